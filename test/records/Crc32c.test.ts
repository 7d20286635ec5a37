import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { crc32c } from "../../core/records/Crc32c.ts"
import { crcVectors, fromHex } from "./Fixtures.ts"
import { crypto } from "./Ports.ts"

const implementations = [["in JavaScript", crc32c], ["of this runtime", crypto.crc32c]] as const

for (const [name, crc] of implementations) {
  describe(`CRC-32C ${name}`, () => {
    it("is what five libraries agree on", () => {
      const vectors = crcVectors()
      expect(vectors.length).toBe(52)
      for (const vector of vectors) expect(crc(fromHex(vector.data)), vector.data).toBe(vector.crc32c)
    })

    it("of two parts is the second's continued from the first's, at any alignment", () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), fc.nat(15), (bytes, cut, shift) => {
          const at = cut % (bytes.length + 1)
          expect(crc(bytes.subarray(at), crc(bytes.subarray(0, at)))).toBe(crc(bytes))
          const shifted = new Uint8Array(bytes.length + shift)
          shifted.set(bytes, shift)
          expect(crc(shifted.subarray(shift))).toBe(crc32c(bytes))
        }),
        { seed: 3, numRuns: 300 }
      )
    })
  })
}

describe("random bytes", () => {
  it("are as many as asked for, and not the same twice", () => {
    expect(crypto.randomBytes(0).length).toBe(0)
    expect(crypto.randomBytes(16)).not.toEqual(crypto.randomBytes(16))
  })
})
