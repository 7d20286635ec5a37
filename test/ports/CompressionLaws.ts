/**
 * The laws of the Compression port. Bytes of other programs' making come from native packages, which share no code with
 * the layer under test, and from the batches of four libraries (test/records/BatchVectors.test.ts).
 */
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib"
import fc from "fast-check"
import { compressFrameSync, decompressFrameSync } from "lz4-napi"
import { compressSync, uncompressSync } from "snappy"
import { describe, expect, it } from "vitest"
import { type Compression, type CompressionCodec, CompressionError } from "../../core/ports/Compression.ts"

const codecs: ReadonlyArray<readonly [string, CompressionCodec]> = [["gzip", 1], ["snappy", 2], ["lz4", 3], ["zstd", 4]]
const MAX_BYTES = 16 * 1024 * 1024

const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
/** A runtime's own comparison: vitest's walks element by element, which is slow on long arrays. */
const expectBytes = (actual: Uint8Array, expected: Uint8Array, what = ""): void => {
  if (Buffer.compare(actual, expected) !== 0) {
    throw new Error(`${what}: ${actual.length} bytes are not the ${expected.length} expected`)
  }
}

/** Bytes with repetitions near and far, of all lengths around the codecs' block sizes. */
const content: fc.Arbitrary<Uint8Array> = fc.record({
  pieces: fc.array(
    fc.record({ piece: fc.uint8Array({ maxLength: 40 }), times: fc.integer({ min: 1, max: 200 }) }),
    { maxLength: 60 }
  ),
  again: fc.boolean()
}).map(({ pieces, again }) => {
  const once = concat(...pieces.flatMap(({ piece, times }) => Array.from({ length: times }, () => piece)))
  return again ? concat(once, once) : once
})

/** Not compressible. */
const noise = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state = 0x2545_f491
  for (let at = 0; at < length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state
  }
  return bytes
}
const sizes = [0, 1, 3, 4, 5, 12, 13, 60, 61, 64, 255, 256, 300, 32767, 32768, 32769, 65535, 65536, 65537, 131072, 300_000]

const errorOf = (run: () => unknown): CompressionError => {
  try {
    run()
  } catch (error) {
    if (error instanceof CompressionError) return error
    throw error
  }
  throw new Error("nothing was thrown")
}

export const compressionLaws = (name: string, compression: Compression): void => {
  describe(`Compression: ${name}`, () => {
    for (const [codecName, codec] of codecs) {
      it(`${codecName}: decompress after compress gives the same bytes`, () => {
        for (const size of sizes) {
          for (const bytes of [noise(size), new Uint8Array(size), noise(size).map((byte) => byte & 3)]) {
            expectBytes(compression.decompress(codec, compression.compress(codec, bytes), MAX_BYTES), bytes, `${size}`)
          }
        }
        fc.assert(
          fc.property(content, (bytes) => {
            const back = compression.decompress(codec, compression.compress(codec, bytes), MAX_BYTES)
            expectBytes(back, bytes)
          }),
          { seed: 41, numRuns: 60 }
        )
      })

      it(`${codecName}: output up to the bound and no byte more`, () => {
        for (const size of [1, 1000, 70_000, 5_000_000]) {
          const packed = compression.compress(codec, new Uint8Array(size))
          expect(compression.decompress(codec, packed, size).length).toBe(size)
          expect(errorOf(() => compression.decompress(codec, packed, size - 1)).kind).toBe("TooLong")
        }
      })

      it(`${codecName}: mutated bytes give some bytes within the bound or a CompressionError`, () => {
        const texts = [concat(noise(50), new Uint8Array(500), noise(50)), noise(700).map((byte) => byte & 7), new Uint8Array(0)]
        const packed = texts.map((bytes) => compression.compress(codec, bytes))
        fc.assert(
          fc.property(
            fc.nat(texts.length - 1),
            fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
            fc.option(fc.nat()),
            (which, changes, cut) => {
              let bytes: Uint8Array = packed[which]!.slice()
              for (const [at, value] of changes) bytes[at % bytes.length] = value
              if (cut !== null) bytes = bytes.subarray(0, cut % (bytes.length + 1))
              try {
                expect(compression.decompress(codec, bytes, 10_000).length).toBeLessThanOrEqual(10_000)
              } catch (error) {
                expect(error).toBeInstanceOf(CompressionError)
              }
            }
          ),
          { seed: 42, numRuns: 1500 }
        )
      })

      it(`${codecName}: what is cut short is malformed`, () => {
        const packed = compression.compress(codec, noise(2000))
        for (const length of [1, 5, packed.length >>> 1, packed.length - 1]) {
          expect(errorOf(() => compression.decompress(codec, packed.subarray(0, length), MAX_BYTES)).kind, `${length}`).toBe("Malformed")
        }
      })
    }

    it("levels give the same bytes back, and higher ones no more than the least", () => {
      const bytes = concat(...Array.from({ length: 400 }, (_, i) => new TextEncoder().encode(`{"n":${i * i},"name":"n${i % 17}"}`)))
      const levels: ReadonlyArray<readonly [CompressionCodec, ReadonlyArray<number>]> = [
        [1, [-1, 1, 6, 9]],
        [3, [1, 9, 12, 17]],
        [4, [-131072, -5, 1, 3, 22]]
      ]
      for (const [codec, of] of levels) {
        for (const level of of) {
          const packed = compression.compress(codec, bytes, level)
          expectBytes(compression.decompress(codec, packed, MAX_BYTES), bytes, `${codec} ${level}`)
        }
      }
      expect(compression.compress(3, bytes, 17).length).toBeLessThan(compression.compress(3, bytes, 9).length)
      expect(compression.compress(4, bytes, 22).length).toBeLessThan(compression.compress(4, bytes, -5).length)
      expect(compression.compress(1, bytes, 9).length).toBeLessThanOrEqual(compression.compress(1, bytes, 1).length)
    })

    it("snappy: raw blocks and xerial's frames, one or more blocks, are read", () => {
      for (const size of sizes.slice(1)) {
        for (const bytes of [noise(size), noise(size).map((byte) => byte & 3), new Uint8Array(size)]) {
          const raw = compressSync(bytes)
          expectBytes(compression.decompress(2, raw, MAX_BYTES), bytes, `raw ${size}`)
          const half = size >>> 1
          const blocks = [bytes.subarray(0, half), bytes.subarray(half)].map((part) => {
            const block = compressSync(part)
            const length = new Uint8Array(4)
            new DataView(length.buffer).setInt32(0, block.length)
            return concat(length, block)
          })
          const framed = concat(Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1), ...blocks)
          expectBytes(compression.decompress(2, framed, MAX_BYTES), bytes, `xerial ${size}`)
        }
      }
    })

    it("snappy: what we write, the native package reads block by block", () => {
      fc.assert(
        fc.property(content, (bytes) => {
          const framed = compression.compress(2, bytes)
          const view = new DataView(framed.buffer, framed.byteOffset, framed.length)
          const parts: Array<Uint8Array> = []
          for (let at = 16; at < framed.length;) {
            const size = view.getInt32(at)
            parts.push(uncompressSync(framed.slice(at + 4, at + 4 + size)) as Uint8Array)
            at += 4 + size
          }
          expectBytes(concat(...parts), bytes)
        }),
        { seed: 43, numRuns: 60 }
      )
    })

    it("snappy: a short block that claims a long output is refused without the memory for it", () => {
      const claim = Uint8Array.of(0x80, 0x80, 0x80, 0x40, 0, 0) // 128 MiB
      expect(errorOf(() => compression.decompress(2, claim, 256 * 1024 * 1024)).kind).toBe("Malformed")
    })

    it("lz4: frames of the native package are read, with content and block checksums and without, and the other way", () => {
      for (const size of sizes) {
        for (const bytes of [noise(size), noise(size).map((byte) => byte & 3), new Uint8Array(size)]) {
          for (const contentChecksum of [false, true]) {
            for (const blockChecksums of [false, true]) {
              const frame = compressFrameSync(Buffer.from(bytes), { contentChecksum, blockChecksums })
              expectBytes(compression.decompress(3, frame, MAX_BYTES), bytes, `${size}`)
              if ((contentChecksum || blockChecksums) && size > 0) {
                const wrong = new Uint8Array(frame)
                const at = blockChecksums ? wrong.length - 5 - (contentChecksum ? 4 : 0) : wrong.length - 1
                wrong[at]! ^= 1
                expect(errorOf(() => compression.decompress(3, wrong, MAX_BYTES)).kind).toBe("Malformed")
              }
            }
          }
          for (const level of [9, 4]) {
            const ours = compression.compress(3, bytes, level)
            expectBytes(decompressFrameSync(Buffer.from(ours)), bytes, `${size} level ${level}`)
          }
        }
      }
    })

    it("lz4: linked blocks and a stated content size are read", () => {
      // "abcdefgh" stored, then a block whose match reaches into the one before
      const flags = 0x48 // version 1, linked, content size
      const header = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, flags, 0x40, 24, 0, 0, 0, 0, 0, 0, 0)
      const blocks = Uint8Array.of(
        8, 0, 0, 0x80, ...new TextEncoder().encode("abcdefgh"),
        9, 0, 0, 0, 0x07, 8, 0, 0x50, ...new TextEncoder().encode("hgfed"),
        0, 0, 0, 0
      )
      const frame = (checksum: number): Uint8Array => concat(header, Uint8Array.of(checksum), blocks)
      // of all header checksums one is right
      const right = Array.from({ length: 256 }, (_, checksum) => frame(checksum)).filter((bytes) => {
        try {
          compression.decompress(3, bytes, 100)
          return true
        } catch {
          return false
        }
      })
      expect(right.length).toBe(1)
      expect(new TextDecoder().decode(compression.decompress(3, right[0]!, 24))).toBe("abcdefghabcdefghabchgfed")
      expect(errorOf(() => compression.decompress(3, right[0]!, 23)).kind).toBe("TooLong")
    })

    it("gzip: several members in a row, and nothing but gzip", () => {
      const bytes = noise(3000).map((byte) => byte & 15)
      const members = concat(gzipSync(bytes.subarray(0, 1000)), gzipSync(bytes.subarray(1000)))
      expectBytes(compression.decompress(1, members, 3000), bytes)
      expect(errorOf(() => compression.decompress(1, members, 2999)).kind).toBe("TooLong")
      expect(errorOf(() => compression.decompress(1, deflateSync(bytes), 3000)).kind).toBe("Malformed")
    })

    it("zstd: several frames in a row, skippable ones between; no partial output of a frame cut short", () => {
      const bytes = noise(300_000).map((byte) => byte & 15)
      const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3)
      const first = zstdCompressSync(bytes.subarray(0, 1000))
      const frames = concat(first, skippable, zstdCompressSync(bytes.subarray(1000)))
      expectBytes(compression.decompress(4, frames, 300_000), bytes)
      expect(errorOf(() => compression.decompress(4, frames, 299_999)).kind).toBe("TooLong")
      expect(errorOf(() => compression.decompress(4, concat(first, Uint8Array.of(1, 2, 3)), 300_000)).kind).toBe("Malformed")
      for (let length = 1; length < first.length; length += 7) {
        expect(errorOf(() => compression.decompress(4, first.subarray(0, length), 300_000)).kind).toBe("Malformed")
      }
    })
  })
}
