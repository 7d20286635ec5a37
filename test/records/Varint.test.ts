import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { RecordError } from "../../core/records/RecordError.ts"
import { sizeOfVarint, sizeOfVarlong, VarintReader, writeVarint, writeVarlong } from "../../core/records/Varint.ts"
import { fromHex, toHex, varintVectors } from "./Fixtures.ts"

const vectors = varintVectors()
const reader = (bytes: Uint8Array): VarintReader => new VarintReader(bytes, 0, bytes.length)
const written = (write: (bytes: Uint8Array, at: number, value: number) => number, value: number): string => {
  const bytes = new Uint8Array(10)
  return toHex(bytes.subarray(0, write(bytes, 0, value)))
}

describe("varints", () => {
  it("are Java's bytes", () => {
    for (const { value, hex } of vectors.varint) {
      expect(reader(fromHex(hex)).varint()).toBe(value)
      expect(written(writeVarint, value)).toBe(hex)
      expect(sizeOfVarint(value)).toBe(hex.length / 2)
    }
  })

  it("of 64 bits are Java's bytes, beyond 2^53 the nearest number", () => {
    for (const { value, hex } of vectors.varlong) {
      expect(reader(fromHex(hex)).varlong()).toBe(Number(value))
      const exact = Number.isSafeInteger(Number(value)) || value === "9223372036854775807" || value === "-9223372036854775808"
      if (exact) {
        expect(written(writeVarlong, Number(value))).toBe(hex)
        expect(sizeOfVarlong(Number(value))).toBe(hex.length / 2)
      }
    }
  })

  it("come back from their bytes", () => {
    fc.assert(
      fc.property(fc.integer(), fc.maxSafeInteger(), (small, large) => {
        const bytes = new Uint8Array(15)
        const end = writeVarlong(bytes, writeVarint(bytes, 0, small), large)
        expect(end).toBe(sizeOfVarint(small) + sizeOfVarlong(large))
        const back = new VarintReader(bytes, 0, end)
        expect([back.varint(), back.varlong(), back.position]).toEqual([small, large, end])
      }),
      { seed: 7, numRuns: 500 }
    )
  })

  it("may be longer than they need, and no longer than 5 or 10 bytes", () => {
    expect(reader(fromHex("8080808000")).varint()).toBe(0)
    expect(reader(fromHex("80808080808080808000")).varlong()).toBe(0)
    expect(() => reader(fromHex("808080808000")).varint()).toThrow(RecordError)
    expect(() => reader(fromHex("8080808080808080808000")).varlong()).toThrow(RecordError)
  })

  it("that end early are refused at their place", () => {
    expect(() => new VarintReader(fromHex("0080"), 1, 2).varint()).toThrow("(at byte 2)")
    expect(() => reader(fromHex("ffffffffffffff")).varlong()).toThrow(RecordError)
    expect(() => reader(new Uint8Array(0)).int8()).toThrow(RecordError)
  })
})
