/**
 * The laws of the Compression port, and that every form is read which other clients write: bytes of their making come
 * from native packages, which share no code with the layer under test, and from the batches of four libraries
 * (test/records/BatchVectors.test.ts).
 */
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib"
import fc from "fast-check"
import { compressFrameSync, decompressFrameSync } from "lz4-napi"
import { compressSync, uncompressSync } from "snappy"
import { describe, expect, it } from "vitest"
import { CompressionError } from "../../core/ports/Compression.ts"
import { compressionLaws } from "../../core/testing/index.ts"
import { BLOCK_SIZES, concat, noise } from "../../core/testing/laws/Bytes.ts"
import { compression } from "../records/Ports.ts"

const MAX_BYTES = 16 * 1024 * 1024

/** A runtime's own comparison: vitest's walks element by element, which is slow on long arrays. */
const expectBytes = (actual: Uint8Array, expected: Uint8Array, what = ""): void => {
  if (Buffer.compare(actual, expected) !== 0) {
    throw new Error(`${what}: ${actual.length} bytes are not the ${expected.length} expected`)
  }
}

/** Bytes with repetitions near and far, of all lengths around the codecs' block BLOCK_SIZES. */
const content: fc.Arbitrary<Uint8Array> = fc.record({
  pieces: fc.array(
    fc.record({ piece: fc.uint8Array({ maxLength: 40 }), times: fc.integer({ min: 1, max: 200 }) }),
    { maxLength: 60 }
  ),
  again: fc.boolean()
}).map(({ pieces, again }) => {
  const once = concat(pieces.flatMap(({ piece, times }) => Array.from({ length: times }, () => piece)))
  return again ? concat([once, once]) : once
})

const errorOf = (run: () => unknown): CompressionError => {
  try {
    run()
  } catch (error) {
    if (error instanceof CompressionError) return error
    throw error
  }
  throw new Error("nothing was thrown")
}

describe("the laws of Compression", () => {
  const laws = compressionLaws(compression)
  for (const law of laws) it(law.name, law.run)
  it("are there", () => expect(laws.length).toBe(18))
})

describe("Compression reads what others write", () => {
  it("snappy: raw blocks and xerial's frames, one or more blocks, are read", () => {
    for (const size of BLOCK_SIZES.slice(1)) {
      for (const bytes of [noise(size), noise(size).map((byte) => byte & 3), new Uint8Array(size)]) {
        const raw = compressSync(bytes)
        expectBytes(compression.decompress(2, raw, MAX_BYTES), bytes, `raw ${size}`)
        const half = size >>> 1
        const blocks = [bytes.subarray(0, half), bytes.subarray(half)].map((part) => {
          const block = compressSync(part)
          const length = new Uint8Array(4)
          new DataView(length.buffer).setInt32(0, block.length)
          return concat([length, block])
        })
        const framed = concat([Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1), ...blocks])
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
        expectBytes(concat(parts), bytes)
      }),
      { seed: 43, numRuns: 60 }
    )
  })

  it("lz4: frames of the native package are read, with content and block checksums and without, and the other way", () => {
    for (const size of BLOCK_SIZES) {
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
    const frame = (checksum: number): Uint8Array => concat([header, Uint8Array.of(checksum), blocks])
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
    const members = concat([gzipSync(bytes.subarray(0, 1000)), gzipSync(bytes.subarray(1000))])
    expectBytes(compression.decompress(1, members, 3000), bytes)
    expect(errorOf(() => compression.decompress(1, members, 2999)).kind).toBe("TooLong")
    expect(errorOf(() => compression.decompress(1, deflateSync(bytes), 3000)).kind).toBe("Malformed")
  })

  it("zstd: several frames in a row, skippable ones between; no partial output of a frame cut short", () => {
    const bytes = noise(300_000).map((byte) => byte & 15)
    const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3)
    const first = zstdCompressSync(bytes.subarray(0, 1000))
    const frames = concat([first, skippable, zstdCompressSync(bytes.subarray(1000))])
    expectBytes(compression.decompress(4, frames, 300_000), bytes)
    expect(errorOf(() => compression.decompress(4, frames, 299_999)).kind).toBe("TooLong")
    expect(errorOf(() => compression.decompress(4, concat([first, Uint8Array.of(1, 2, 3)]), 300_000)).kind).toBe("Malformed")
    for (let length = 1; length < first.length; length += 7) {
      expect(errorOf(() => compression.decompress(4, first.subarray(0, length), 300_000)).kind).toBe("Malformed")
    }
  })
})
