import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ByteReader, MAX_ELEMENTS } from "../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { fromBigInt } from "../../core/protocol/Int64.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { readJson } from "./Fixtures.ts"
import { fromHex, toHex } from "./Schemas.ts"

const seed = 20260617

interface VarintVectors {
  readonly varint: ReadonlyArray<{ readonly value: number; readonly hex: string }>
  readonly varlong: ReadonlyArray<{ readonly value: string; readonly hex: string }>
  readonly unsignedVarint: ReadonlyArray<{ readonly value: string; readonly hex: string }>
  readonly invalid: ReadonlyArray<{ readonly type: string; readonly hex: string; readonly reads?: string }>
}

const written = (write: (writer: ByteWriter) => void): string => {
  const writer = new ByteWriter(0)
  write(writer)
  return toHex(writer.toBytes())
}

describe("varints", () => {
  const vectors = readJson("varint.json") as VarintVectors

  it("are read and written as by Kafka", () => {
    expect([vectors.varint.length, vectors.varlong.length, vectors.unsignedVarint.length]).toEqual([24, 21, 14])
    for (const { value, hex } of vectors.varint) {
      expect(new ByteReader(fromHex(hex)).varint()).toBe(value)
      expect(written((writer) => writer.varint(value))).toBe(hex)
    }
    for (const { value, hex } of vectors.varlong) {
      const exact = fromBigInt(BigInt(value))
      expect(new ByteReader(fromHex(hex)).varlong()).toBe(exact)
      expect(written((writer) => writer.varlong(exact))).toBe(hex)
    }
    for (const { value, hex } of vectors.unsignedVarint) {
      expect(new ByteReader(fromHex(hex)).uvarint()).toBe(Number(value))
      expect(written((writer) => writer.uvarint(Number(value)))).toBe(hex)
    }
  })

  it("that are too long or cut are refused where Kafka refuses them, and read as Kafka reads them", () => {
    expect(vectors.invalid.length).toBe(15)
    for (const { type, hex, reads } of vectors.invalid) {
      const reader = new ByteReader(fromHex(hex))
      const read = (): unknown =>
        type === "varint" ? reader.varint() : type === "varlong" ? reader.varlong() : reader.uvarint()
      if (reads === undefined) expect(read, `${type} ${hex}`).toThrow(ProtocolError)
      else expect(String(read()), `${type} ${hex}`).toBe(reads)
    }
  })

  it("give back any value", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.integer(), (long, int) => {
        const exact = fromBigInt(long)
        expect(new ByteReader(fromHex(written((writer) => writer.varlong(exact)))).varlong()).toBe(exact)
        expect(new ByteReader(fromHex(written((writer) => writer.varint(int)))).varint()).toBe(int)
      }),
      { seed }
    )
  })
})

describe("int64", () => {
  it("is a number exactly where a number is safe", () => {
    const edges: ReadonlyArray<readonly [string, number | bigint]> = [
      ["001fffffffffffff", Number.MAX_SAFE_INTEGER],
      ["0020000000000000", 2n ** 53n],
      ["ffe0000000000001", Number.MIN_SAFE_INTEGER],
      ["ffe0000000000000", -(2n ** 53n)],
      ["7fffffffffffffff", 2n ** 63n - 1n],
      ["8000000000000000", -(2n ** 63n)],
      ["ffffffffffffffff", -1],
      ["0000000000000000", 0],
      ["0000000080000000", 2 ** 31],
      ["ffffffff7fffffff", -(2 ** 31) - 1]
    ]
    for (const [hex, value] of edges) {
      expect(new ByteReader(fromHex(hex)).int64()).toBe(value)
      expect(written((writer) => writer.int64(value))).toBe(hex)
      expect(written((writer) => writer.int64(BigInt(value)))).toBe(hex)
    }
  })

  it("gives back any value", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        expect(new ByteReader(fromHex(written((writer) => writer.int64(value)))).int64()).toBe(fromBigInt(value))
      }),
      { seed }
    )
  })
})

describe("strings", () => {
  it("give back any text, compact or not, short, long, ASCII or not", () => {
    const text = fc.oneof(fc.string({ maxLength: 200 }), fc.string({ unit: "grapheme", maxLength: 100 }))
    fc.assert(
      fc.property(text, fc.boolean(), fc.nat(4), (value, flexible, before) => {
        const writer = new ByteWriter(before)
        for (let i = 0; i < before; i++) writer.int8(i)
        writer.string(value, flexible)
        writer.int8(7)
        const reader = new ByteReader(writer.toBytes(), before)
        expect(reader.string(flexible)).toBe(value)
        expect(reader.int8()).toBe(7)
      }),
      { seed, numRuns: 1000 }
    )
  })

  it("that share a slot of the cache don't replace each other", () => {
    const texts = Array.from({ length: 5000 }, (_, i) => `topic-${i}`)
    const writer = new ByteWriter()
    for (const text of texts) writer.string(text, true)
    for (let round = 0; round < 2; round++) {
      const reader = new ByteReader(writer.toBytes())
      expect(texts.map(() => reader.string(true))).toEqual(texts)
    }
  })

  it("keep a byte order mark and mark what is not UTF-8", () => {
    expect(new ByteReader(fromHex("0006efbbbf616263")).string(false)).toBe("\ufeffabc")
    expect(new ByteReader(fromHex("0002c328")).string(false)).toBe("\ufffd(")
  })

  it("longer than an int16 can tell are refused both ways", () => {
    const long = "x".repeat(0x8000)
    expect(() => new ByteWriter().string(long, true)).toThrow(ProtocolError)
    const writer = new ByteWriter()
    writer.uvarint(long.length + 1)
    writer.raw(new TextEncoder().encode(long))
    expect(() => new ByteReader(writer.toBytes()).string(true)).toThrow(ProtocolError)
  })
})

describe("uuids", () => {
  it("give back any 16 bytes, from the cache and without it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const text = new ByteReader(bytes).uuid()
        expect(text).toBe(btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").slice(0, 22))
        expect(new ByteReader(bytes).uuid()).toBe(text)
        expect(written((writer) => writer.uuid(text))).toBe(toHex(bytes))
      }),
      { seed, numRuns: 3000 }
    )
  })

  it("are refused when they are none", () => {
    for (const text of ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAA\u4e2d"]) {
      expect(() => new ByteWriter().uuid(text)).toThrow(ProtocolError)
    }
  })
})

describe("a length from the wire", () => {
  it("is never believed beyond the bytes that remain", () => {
    for (const hex of ["7fffffff", "7fffffff00000000", "00000002"]) {
      expect(() => new ByteReader(fromHex(hex)).byteArray(false)).toThrow(ProtocolError)
      expect(() => new ByteReader(fromHex(hex)).int64Array(false)).toThrow(ProtocolError)
      expect(() => new ByteReader(fromHex(hex)).arrayLength(false, 5)).toThrow(ProtocolError)
    }
    for (const hex of ["ffffffff0f", "ffffffff7f", "ff"]) {
      expect(() => new ByteReader(fromHex(hex)).byteArray(true)).toThrow(ProtocolError)
      expect(() => new ByteReader(fromHex(hex)).stringArray(true)).toThrow(ProtocolError)
    }
  })

  it("ends at the reader's end, not at the buffer's", () => {
    const bytes = fromHex("00000004aabbccdd")
    expect(() => new ByteReader(bytes, 0, 6).byteArray(false)).toThrow(ProtocolError)
    expect(() => new ByteReader(bytes, 0, 3).int32()).toThrow(ProtocolError)
    expect(toHex(new ByteReader(bytes, 0, 8).byteArray(false))).toBe("aabbccdd")
  })

  it("cannot ask for more elements than one message may have", () => {
    const bytes = new Uint8Array(MAX_ELEMENTS + 16).fill(1)
    const writer = new ByteWriter()
    writer.uvarint(MAX_ELEMENTS + 2)
    bytes.set(writer.toBytes())
    expect(() => new ByteReader(bytes).arrayLength(true, 1)).toThrow("array elements")
  })
})
