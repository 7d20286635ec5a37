/**
 * Where zstd frames end (RFC 8878). The runtimes differ on what is not one whole frame: Bun and Deno give what they
 * have of a frame that is cut short, Deno gives the first of two frames, Node ignores what follows the last. So frames
 * are found here, and `node:zlib` only ever sees whole ones.
 *
 * | frame             | size  | meaning                                                                              |
 * |-------------------|------:|--------------------------------------------------------------------------------------|
 * | magic             |     4 | 0xFD2FB528, little endian like all below; 0x184D2A5x: 4 bytes of size, to be skipped |
 * | descriptor        |     1 | bits 7-6 width of the content size, 5 no window byte, 2 checksum, 1-0 width of the   |
 * |                   |       | dictionary id                                                                        |
 * | window            |   0/1 |                                                                                      |
 * | dictionary id     | 0/1/2/4 |                                                                                    |
 * | content size      | 0/1/2/4/8 |                                                                                  |
 * | blocks            |       | 3 bytes: bit 0 last, bits 1-2 type (0 stored, 1 one byte repeated, 2 compressed),    |
 * |                   |       | bits 3-23 size; data                                                                 |
 * | checksum          |   0/4 |                                                                                      |
 */
import { CompressionError } from "../../core/ports/Compression.ts"

const MAGIC = 0xfd2f_b528
const SKIPPABLE_MAGIC = 0x184d_2a50
const DICTIONARY_BYTES = [0, 1, 2, 4]
const CONTENT_SIZE_BYTES = [0, 2, 4, 8]
const REPEATED_BYTE = 1
const RESERVED = 3

const malformed = (what: string): CompressionError => new CompressionError("Malformed", `zstd: ${what}`)

const readUint32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

/** Views of the whole frames in a row that `bytes` are; skippable ones left out. @throws CompressionError */
export const zstdFrames = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const frames: Array<Uint8Array> = []
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < 8) throw malformed(`${bytes.length - at} bytes are no frame`)
    const magic = readUint32(bytes, at)
    if (magic === MAGIC) {
      const end = frameEnd(bytes, at)
      frames.push(bytes.subarray(at, end))
      at = end
    } else if ((magic & 0xffff_fff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + readUint32(bytes, at + 4)
    } else throw malformed("not a frame")
    if (at > bytes.length) throw malformed("a frame ends early")
  }
  return frames
}

/** May lie past the end of the bytes. */
const frameEnd = (bytes: Uint8Array, start: number): number => {
  const descriptor = bytes[start + 4]!
  const hasWindow = (descriptor & 0x20) === 0
  const contentSizeFlag = descriptor >>> 6
  const contentSizeBytes = contentSizeFlag === 0 && !hasWindow ? 1 : CONTENT_SIZE_BYTES[contentSizeFlag]!
  let at = start + 5 + (hasWindow ? 1 : 0) + DICTIONARY_BYTES[descriptor & 3]! + contentSizeBytes
  for (let last = false; !last;) {
    if (bytes.length - at < 3) throw malformed("a frame ends early")
    const header = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)
    const type = (header >>> 1) & 3
    if (type === RESERVED) throw malformed("a block of unknown type")
    last = (header & 1) !== 0
    at += 3 + (type === REPEATED_BYTE ? 1 : header >>> 3)
  }
  return (descriptor & 4) !== 0 ? at + 4 : at
}
