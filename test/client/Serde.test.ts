import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Serde from "../../core/client/Serde.ts"

const format = SchemaIssue.makeFormatterDefault()
const hex = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
const unhex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16))

const written = <A>(serde: Serde.Serde<A>, value: A): Uint8Array | null => Result.getOrThrowWith(serde.serialize(value), format as () => unknown)
const read = <A>(serde: Serde.Serde<A>, bytes: Uint8Array | null): A => Result.getOrThrowWith(serde.deserialize(bytes), format as () => unknown)
const refusal = (result: Result.Result<unknown, SchemaIssue.Issue>): string => {
  if (Result.isSuccess(result)) throw new Error(`took it: ${String(result.success)}`)
  return format(result.failure)
}

const roundTrips = <A>(serde: Serde.Serde<A>, values: fc.Arbitrary<A>): void =>
  fc.assert(fc.property(values, fc.nat(5), (value, offset) => {
    const bytes = written(serde, value)!
    // as records come: views on what was fetched
    const around = new Uint8Array(bytes.length + offset + 3).fill(0xee)
    around.set(bytes, offset)
    expect(read(serde, around.subarray(offset, offset + bytes.length))).toEqual(value)
  }))

describe("Kafka's encodings", () => {
  // what the serializers of kafka-clients 4.3.1 write: ByteBuffer's big-endian, UTF-8, UUID.toString
  const golden: ReadonlyArray<readonly [string, Serde.Serde<never>, unknown, string]> = [
    ["short", Serde.short as never, -2, "fffe"],
    ["integer", Serde.integer as never, 1234567890, "499602d2"],
    ["long", Serde.long as never, 1234567890123, "0000011f71fb04cb"],
    ["long", Serde.long as never, -1, "ffffffffffffffff"],
    ["long of 64 bits", Serde.longBigInt as never, -(2n ** 63n), "8000000000000000"],
    ["float", Serde.float as never, 1.5, "3fc00000"],
    ["double", Serde.double as never, -2.25, "c002000000000000"],
    ["boolean", Serde.boolean as never, true, "01"],
    ["string", Serde.string as never, "zażółć 🦦", "7a61c5bcc3b3c582c48720f09fa6a6"],
    ["string", Serde.string as never, "", ""],
    ["uuid", Serde.uuid as never, "123e4567-e89b-12d3-a456-426614174000", hex(new TextEncoder().encode("123e4567-e89b-12d3-a456-426614174000"))!]
  ]
  it.each(golden)("%s: %#", (_, serde, value, bytes) => {
    expect(hex(written(serde, value as never))).toBe(bytes)
    expect(read(serde, unhex(bytes))).toEqual(value)
  })

  it("read what they write", () => {
    roundTrips(Serde.short, fc.integer({ min: -32768, max: 32767 }))
    roundTrips(Serde.integer, fc.integer())
    roundTrips(Serde.long, fc.maxSafeInteger())
    roundTrips(Serde.longBigInt, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
    roundTrips(Serde.float, fc.float())
    roundTrips(Serde.double, fc.double())
    roundTrips(Serde.boolean, fc.boolean())
    roundTrips(Serde.string, fc.string({ unit: "grapheme" }))
    roundTrips(Serde.string, fc.constant("\ufeffa byte order mark"))
    roundTrips(Serde.uuid, fc.uuid())
    roundTrips(Serde.bytes, fc.uint8Array())
    // JSON has no -0
    roundTrips(Serde.jsonUnknown, fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value))))
  })

  it("refuse what they cannot hold, and say what can", () => {
    expect(refusal(Serde.short.serialize(32768))).toContain("no integer of 16 bits")
    expect(refusal(Serde.integer.serialize(1.5))).toContain("no integer of 32 bits")
    expect(refusal(Serde.long.serialize(2 ** 53))).toContain("Serde.longBigInt")
    expect(refusal(Serde.longBigInt.serialize(2n ** 63n))).toContain("no integer of 64 bits")
    expect(refusal(Serde.long.deserialize(unhex("0020000000000000")))).toContain("Serde.longBigInt")
    expect(refusal(Serde.long.deserialize(unhex("ffdfffffffffffff")))).toContain("Serde.longBigInt")
    expect(read(Serde.long, unhex("001fffffffffffff"))).toBe(Number.MAX_SAFE_INTEGER)
    expect(read(Serde.long, unhex("ffe0000000000001"))).toBe(Number.MIN_SAFE_INTEGER)
    expect(refusal(Serde.integer.deserialize(unhex("000000")))).toBe("3 bytes, and a integer has 4")
    expect(refusal(Serde.boolean.deserialize(unhex("02")))).toContain("no boolean")
    expect(refusal(Serde.string.deserialize(unhex("ff")))).toBe("not UTF-8")
    expect(refusal(Serde.uuid.deserialize(unhex("61")))).toContain("no UUID")
    expect(refusal(Serde.uuid.serialize("x"))).toContain("no UUID")
  })
})

describe("null", () => {
  it("is taken by nullable and none, by nothing else", () => {
    for (const serde of [Serde.string, Serde.long, Serde.jsonUnknown, Serde.bytes, Serde.json(Schema.String)]) {
      expect(refusal(serde.deserialize(null))).toContain("Serde.nullable")
    }
    expect(written(Serde.nullable(Serde.string), null)).toBe(null)
    expect(read(Serde.nullable(Serde.string), null)).toBe(null)
    expect(read(Serde.nullable(Serde.string), unhex("61"))).toBe("a")
    expect(read(Serde.none, null)).toBe(null)
    expect(refusal(Serde.none.deserialize(unhex("61")))).toContain("1 bytes")
  })
})

describe("schemas", () => {
  const Order = Schema.Struct({ id: Schema.Int, at: Schema.Date, note: Schema.optionalKey(Schema.String) })

  it("make JSON, dates too", () => {
    const serde = Serde.json(Order)
    const order = { id: 7, at: new Date(0) }
    expect(new TextDecoder().decode(written(serde, order)!)).toBe('{"id":7,"at":"1970-01-01T00:00:00.000Z"}')
    expect(read(serde, written(serde, order))).toEqual(order)
  })

  it("say where a record is wrong", () => {
    const serde = Serde.json(Order)
    const text = (json: string) => new TextEncoder().encode(json)
    expect(refusal(serde.deserialize(text('{"id":1.5,"at":"1970-01-01T00:00:00.000Z"}')))).toContain('["id"]')
    expect(refusal(serde.deserialize(text('{"id":1}')))).toContain('["at"]')
    expect(refusal(serde.deserialize(text("{")))).toContain("not JSON")
    expect(refusal(serde.serialize({ id: 0.5, at: new Date(0) }))).toContain('["id"]')
    expect(refusal(Serde.jsonUnknown.serialize(undefined))).toContain("no JSON")
    expect(refusal(Serde.jsonUnknown.serialize(1n))).toContain("no JSON")
  })

  it("stand on any other serde", () => {
    const status = Serde.compose(Serde.string, Schema.Literals(["created", "paid"]))
    expect(read(status, written(status, "paid"))).toBe("paid")
    expect(refusal(status.deserialize(new TextEncoder().encode("lost")))).toContain("created")
    expect(refusal(status.deserialize(unhex("ff")))).toBe("not UTF-8")
  })
})
