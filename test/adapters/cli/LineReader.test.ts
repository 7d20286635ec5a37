/** What the examples expect is what Kafka 4.3.1's console producer wrote for the same lines. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { lineReaderConfig, LineSplitter, parseLine } from "../../../adapters/cli/LineReader.ts"

const text = (bytes: Uint8Array | null): string | null => (bytes === null ? null : new TextDecoder().decode(bytes))
const bytes = (line: string): Uint8Array => new TextEncoder().encode(line)

const read = (line: string, properties: Readonly<Record<string, string>>) => {
  const record = parseLine(lineReaderConfig(new Map(Object.entries(properties))), bytes(line), 2)
  return {
    key: text(record.key),
    value: text(record.value),
    headers: record.headers.map(({ key, value }) => [key, text(value)])
  }
}

describe("a line", () => {
  const both = { "parse.key": "true", "parse.headers": "true", "null.marker": "NULL" }

  it("is a value, unless it is to be parsed", () => {
    expect(read("a\tb", {})).toEqual({ key: null, value: "a\tb", headers: [] })
    expect(read("", {})).toEqual({ key: null, value: "", headers: [] })
    expect(read("k\tv\tw", { "parse.key": " TRUE " })).toEqual({ key: "k", value: "v\tw", headers: [] })
    expect(read("k=>v", { "parse.key": "true", "key.separator": "=>" })).toEqual({ key: "k", value: "v", headers: [] })
  })

  it("has headers, key and value", () => {
    expect(read("h1:v1,h2:v2\tk1\tv1", both)).toEqual({ key: "k1", value: "v1", headers: [["h1", "v1"], ["h2", "v2"]] })
    expect(read("h3:NULL\tNULL\tNULL", both)).toEqual({ key: null, value: null, headers: [["h3", null]] })
    expect(read("NULL\tk\tv", both)).toEqual({ key: "k", value: "v", headers: [] })
  })

  it("without its separators is wrong, or taken as it is", () => {
    const lenient = { "parse.key": "true", "ignore.error": "true" }
    expect(read("no key", lenient)).toEqual({ key: null, value: "no key", headers: [] })
    expect(() => read("k2:v2", { "parse.key": "true" })).toThrow("No key separator found on line number 2: 'k2:v2'")
    expect(() => read("x", both)).toThrow("No headers delimiter found on line number 2: 'x'")
    expect(() => read("x\tk\tv", both)).toThrow("No header key separator found in pair 'x' on line number 2")
    expect(() => read("NULL:x\tk\tv", both)).toThrow("Header keys should not be equal to the null marker 'NULL'")
    const headers = { "parse.headers": "true", "ignore.error": "true" }
    expect(read("h\tv", headers)).toEqual({ key: null, value: "v", headers: [["h", null]] })
    expect(read("a:1,:2,,b:3,\tv2", headers).headers).toEqual([["a", "1"], ["", "2"], ["", null], ["b", "3"]])
    expect(read(",,\tv", headers).headers).toEqual([])
    expect(read("\tv", headers).headers).toEqual([["", null]])
  })

  it("keeps bytes that are no text", () => {
    const line = new Uint8Array([0xff, 0xfe, 9, 0x80, 0])
    const { key, value } = parseLine(lineReaderConfig(new Map([["parse.key", "true"]])), line, 1)
    expect([[...key!], [...value!]]).toEqual([[0xff, 0xfe], [0x80, 0]])
  })

  it("needs separators that differ", () => {
    const config = (properties: Readonly<Record<string, string>>) => () => lineReaderConfig(new Map(Object.entries(properties)))
    expect(config({ "headers.delimiter": ":" })).toThrow("headers.delimiter and headers.key.separator may not be equal")
    expect(config({ "headers.separator": ":" })).toThrow("headers.separator and headers.key.separator may not be equal")
    expect(config({ "headers.separator": "\t" })).toThrow("headers.delimiter and headers.separator may not be equal")
    expect(config({ "null.marker": "\t" })).toThrow("null.marker and key.separator may not be equal")
    expect(config({ "headers.separator": "(" })).toThrow("no regular expression")
  })
})

it("lines are the same however the bytes are cut", () => {
  const pieces = fc.array(fc.constantFrom("a", "bc", "\n", "\r", "\r\n", "é", ""), { maxLength: 30 })
  fc.assert(fc.property(pieces, fc.array(fc.nat(6), { minLength: 1, maxLength: 20 }), (parts, cuts) => {
    const all = bytes(parts.join(""))
    const splitter = new LineSplitter()
    const lines: Array<string> = []
    const take = (line: Uint8Array): void => void lines.push(text(line)!)
    for (let at = 0, cut = 0; at < all.length; cut++) {
      const size = cuts[cut % cuts.length]! + (cut % 7 === 6 ? 1 : 0)
      splitter.push(all.slice(at, at + size), take)
      at += size
    }
    const rest = splitter.end()
    if (rest !== undefined) take(rest)
    const expected = parts.join("").split(/\r\n|\r|\n/)
    if (expected.at(-1) === "") expected.pop()
    expect(lines).toEqual(expected)
  }))
})
