/** The expected lines are what Kafka 4.3.1's kafka-console-consumer printed of the same records. */
import { describe, expect, it } from "vitest"
import { printPoll } from "../../../adapters/cli/ConsoleConsumer.ts"
import { deserializerOf } from "../../../adapters/cli/Deserializers.ts"
import { format, formatterConfig, Page } from "../../../adapters/cli/Formatter.ts"
import type { ConsumerRecord } from "../../../core/client/Consumer.ts"

const bytes = (text: string | null): Uint8Array | null => (text === null ? null : new TextEncoder().encode(text))
const text = (page: Page): string => new TextDecoder().decode(page.take())

const record = (fields: Partial<ConsumerRecord> = {}): ConsumerRecord => ({
  topic: "t",
  partition: 1,
  offset: 3,
  timestamp: 1795266300244,
  timestampType: "CreateTime",
  leaderEpoch: 0,
  key: null,
  value: bytes("v2"),
  headers: [],
  ...fields
})

const config = (...pairs: ReadonlyArray<string>) =>
  formatterConfig(new Map(pairs.map((pair) => pair.split("=") as unknown as [string, string])))

const printed = (one: ConsumerRecord, ...pairs: ReadonlyArray<string>): string => {
  const page = new Page()
  format(config(...pairs), one, page)
  return text(page)
}

describe("a record", () => {
  const all = ["timestamp", "partition", "offset", "delivery", "epoch", "headers", "key"].map((name) => `print.${name}=true`)

  it("is its value, or all that is asked for", () => {
    expect(printed(record())).toBe("v2\n")
    expect(printed(record({ value: null }))).toBe("null\n")
    const headers = [{ key: "a", value: bytes("1") }, { key: "", value: bytes("2") }, { key: "", value: null }, { key: "b", value: bytes("3") }]
    expect(printed(record({ headers }), ...all)).toBe(
      "CreateTime:1795266300244\tPartition:1\tOffset:3\tDelivery:NOT_PRESENT\tEpoch:NOT_PRESENT\ta:1,:2,:null,b:3\tnull\tv2\n"
    )
    expect(printed(record({ key: bytes("k1"), timestampType: "LogAppendTime" }), ...all)).toBe(
      "LogAppendTime:1795266300244\tPartition:1\tOffset:3\tDelivery:NOT_PRESENT\tEpoch:NOT_PRESENT\tNO_HEADERS\tk1\tv2\n"
    )
  })

  it("ends with the line separator whatever is printed last", () => {
    expect(printed(record({ key: bytes("k") }), "print.key=true", "print.value=false")).toBe("k\n")
    expect(printed(record(), "print.offset=true", "print.value=false", "key.separator=|", "line.separator=;")).toBe("Offset:3;")
    expect(printed(record(), "print.value=false")).toBe("")
    expect(printed(record(), "print.key=true", "key.separator=|", "null.literal=-")).toBe("-|v2\n")
  })

  it("keeps bytes that are no text, in output of any length", () => {
    const value = new Uint8Array(200_000).fill(0xfe)
    const page = new Page()
    for (let count = 0; count < 3; count++) format(config(), record({ value }), page)
    const taken = page.take()
    expect(taken.length).toBe(3 * 200_001)
    expect([...new Set(taken)].sort((a, b) => a - b)).toEqual([10, 0xfe])
    expect(page.length).toBe(0)
  })
})

describe("deserializers", () => {
  const read = (name: string, hex: string): string =>
    deserializerOf(`org.apache.kafka.common.serialization.${name}Deserializer`)!(new Uint8Array(Buffer.from(hex, "hex")))

  it("show numbers as Java does", () => {
    expect(read("Integer", "ffffffff")).toBe("-1")
    expect(read("Long", "7fffffffffffffff")).toBe("9223372036854775807")
    expect(read("Short", "8000")).toBe("-32768")
    expect(read("Double", "3ff0000000000000")).toBe("1.0")
    expect(read("Double", "4202a05f20000000")).toBe("1.0E10")
    expect(read("Double", "3fb999999999999a")).toBe("0.1")
    expect(read("Float", "3dcccccd")).toBe("0.1")
    expect(read("Float", "7f800000")).toBe("Infinity")
    expect(read("Boolean", "01")).toBe("true")
    expect(read("String", "c3a9")).toBe("é")
  })

  it("refuse other sizes", () => {
    expect(() => read("Integer", "00")).toThrow("Size of data received by IntegerDeserializer is not 4")
  })
})

describe("the records of a poll", () => {
  const polled = [
    { topic: "t", partition: 0, records: [0, 1, 2].map((offset) => record({ partition: 0, offset, value: bytes(`a${offset}`) })), nextOffset: 3, endOffset: 3 },
    { topic: "t", partition: 1, records: [7, 8].map((offset) => record({ partition: 1, offset, value: bytes(`b${offset}`) })), nextOffset: 9, endOffset: 9 }
  ]

  it("are printed up to a limit; where each partition goes on is told", () => {
    const page = new Page()
    const print = (limit: number) => printPoll(page, polled, { formatter: config(), skipOnError: false }, limit)
    expect(print(4)).toMatchObject({ count: 4, unread: [{ topic: "t", partition: 1, offset: 8 }] })
    expect(text(page)).toBe("a0\na1\na2\nb7\n")
    expect(print(1).unread).toEqual([{ topic: "t", partition: 0, offset: 1 }, { topic: "t", partition: 1, offset: 7 }])
    page.take()
    expect(print(Infinity)).toMatchObject({ count: 5, unread: [] })
  })

  it("that cannot be printed end it or are skipped, and leave no half line", () => {
    const integers = config("print.offset=true", "value.deserializer=org.apache.kafka.common.serialization.ShortDeserializer")
    const mixed = [{ ...polled[0]!, records: [record({ value: bytes("ab") }), record({ value: bytes("abc") }), record({ value: bytes("cd") })] }]
    const page = new Page()
    const ended = printPoll(page, mixed, { formatter: integers, skipOnError: false }, Infinity)
    expect([ended.count, ended.error?.message]).toEqual([2, "Size of data received by ShortDeserializer is not 2"])
    expect(text(page)).toBe("Offset:3\t24930\n")
    const skipped = printPoll(page, mixed, { formatter: integers, skipOnError: true }, Infinity)
    expect([skipped.count, skipped.error, skipped.skipped.length]).toEqual([3, undefined, 1])
    expect(text(page)).toBe("Offset:3\t24930\nOffset:3\t25444\n")
  })
})
