/**
 * Snappy, both ways, in both framings that Kafka clients write: raw blocks (kafkajs, @platformatic/kafka) and
 * xerial's, Java's. The output stays within its bound whatever the bytes say.
 *
 * | xerial frame | size | meaning                                                    |
 * |--------------|-----:|------------------------------------------------------------|
 * | magic        |    8 | 0x82 "SNAPPY" 0x00                                         |
 * | version      |    4 | 1, big endian like all below                               |
 * | compatible   |    4 | 1                                                          |
 * | blocks       |      | each: 4 bytes of size, then a raw block                    |
 *
 * | raw block    | meaning                                                                                     |
 * |--------------|---------------------------------------------------------------------------------------------|
 * | length       | of the output; 7 bits per byte, least significant first                                     |
 * | elements     | low 2 bits of the first byte:                                                               |
 * |   0 literal  | upper 6 bits + 1 bytes follow; 60-63: that + 1 stands in the next 1-4 bytes (little endian) |
 * |   1 copy     | bits 2-4: length - 4; offset: bits 5-7 above the next byte                                  |
 * |   2 copy     | upper 6 bits: length - 1; offset in the next 2 bytes                                        |
 * |   3 copy     | upper 6 bits: length - 1; offset in the next 4 bytes                                        |
 */
import { CompressionError } from "../../core/ports/Compression.ts"
import { copyMatch } from "./CompressionMatch.ts"

const MAGIC = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]
const HEADER_BYTES = 16
/** What goes into one block, in bytes, as in Java's frames: an offset always fits 2 bytes. */
const BLOCK_BYTES = 32 * 1024
/**
 * A copy of 64 bytes takes 3 bytes of a block and nothing grows more: a longer claim is refused before any memory is
 * taken for it.
 */
const MAX_RATIO = 22

const malformed = (what: string): CompressionError => new CompressionError("Malformed", `snappy: ${what}`)

const isFramed = (bytes: Uint8Array, at: number): boolean =>
  bytes.length - at >= HEADER_BYTES && MAGIC.every((byte, index) => bytes[at + index] === byte)

/** What the block at `from` to `end` says that it decompresses to. @throws CompressionError */
const outputLength = (bytes: Uint8Array, from: number, end: number, maxBytes: number): number => {
  let length = 0
  let scale = 1
  for (let at = from; at < end && at < from + 5; at++) {
    const byte = bytes[at]!
    length += (byte & 0x7f) * scale
    if (byte < 0x80) {
      if (length > maxBytes) throw new CompressionError("TooLong", `snappy: ${length} bytes, ${maxBytes} left`)
      if (length > (end - from) * MAX_RATIO) throw malformed(`${end - from} bytes cannot become ${length}`)
      return length
    }
    scale *= 128
  }
  throw malformed("a block without a length")
}

/** @throws CompressionError */
export const decompressSnappy = (bytes: Uint8Array, maxBytes: number): Uint8Array => {
  if (!isFramed(bytes, 0)) {
    const output = new Uint8Array(outputLength(bytes, 0, bytes.length, maxBytes))
    decompressBlock(bytes, 0, bytes.length, output, 0, output.length)
    return output
  }
  // Sizes first, so that the output is allocated once.
  let total = 0
  forEachBlock(bytes, (from, end) => {
    total += outputLength(bytes, from, end, maxBytes - total)
  })
  const output = new Uint8Array(total)
  let at = 0
  forEachBlock(bytes, (from, end) => {
    const length = outputLength(bytes, from, end, maxBytes)
    decompressBlock(bytes, from, end, output, at, at + length)
    at += length
  })
  return output
}

const forEachBlock = (bytes: Uint8Array, visit: (from: number, end: number) => void): void => {
  let at = HEADER_BYTES
  while (at < bytes.length) {
    if (isFramed(bytes, at)) {
      at += HEADER_BYTES // frames may follow each other
      continue
    }
    if (bytes.length - at < 4) return // as Kafka: less than a size is nothing
    const size = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
    at += 4
    if (size > bytes.length - at) throw malformed("a block ends early")
    visit(at, at + size)
    at += size
  }
}

/** Fills `target` from `to` to `limit` exactly. @throws CompressionError */
const decompressBlock = (
  bytes: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  limit: number
): void => {
  let at = from
  while (bytes[at]! >= 0x80) at++
  at++
  let out = to
  while (at < end) {
    const tag = bytes[at++]!
    const kind = tag & 3
    if (kind === 0) {
      let length = tag >>> 2
      if (length >= 60) {
        const extra = length - 59
        if (end - at < extra) throw malformed("a literal ends early")
        length = 0
        for (let byte = 0; byte < extra; byte++) length += bytes[at++]! * 2 ** (8 * byte)
      }
      length++
      if (length > end - at || length > limit - out) throw malformed("a literal is too long")
      if (length <= 32) for (const stop = at + length; at < stop;) target[out++] = bytes[at++]!
      else {
        target.set(bytes.subarray(at, at + length), out)
        at += length
        out += length
      }
      continue
    }
    let length: number
    let offset: number
    if (kind === 1) {
      if (at >= end) throw malformed("a copy ends early")
      length = ((tag >>> 2) & 7) + 4
      offset = ((tag >>> 5) << 8) | bytes[at++]!
    } else {
      const size = kind === 2 ? 2 : 4
      if (end - at < size) throw malformed("a copy ends early")
      length = (tag >>> 2) + 1
      offset = bytes[at]! | (bytes[at + 1]! << 8)
      if (kind === 3) offset = (offset | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
      at += size
    }
    if (offset === 0 || offset > out - to || length > limit - out) throw malformed("a copy from outside")
    out = copyMatch(target, out, offset, length)
  }
  if (out !== limit) throw malformed(`${limit - out} bytes less than stated`)
}

/** In xerial's frame, which every Kafka client reads. */
export const compressSnappy = (bytes: Uint8Array): Uint8Array => {
  const blocks = Math.ceil(bytes.length / BLOCK_BYTES)
  // Literals add a byte or more per 60 at worst: snappy's own bound.
  const output = new Uint8Array(HEADER_BYTES + bytes.length + Math.ceil(bytes.length / 6) + blocks * 36)
  output.set(MAGIC)
  output[11] = 1
  output[15] = 1
  const table = new Uint16Array(TABLE_SIZE)
  let at = HEADER_BYTES
  for (let from = 0; from < bytes.length; from += BLOCK_BYTES) {
    if (from > 0) table.fill(0)
    const end = compressBlock(bytes, from, Math.min(bytes.length, from + BLOCK_BYTES), output, at + 4, table)
    const size = end - at - 4
    output[at] = size >>> 24
    output[at + 1] = size >>> 16
    output[at + 2] = size >>> 8
    output[at + 3] = size
    at = end
  }
  return output.subarray(0, at)
}

const TABLE_BITS = 13
const TABLE_SIZE: number = 1 << TABLE_BITS

const compressBlock = (
  bytes: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  table: Uint16Array
): number => {
  let out = to
  let left = end - from
  for (; left >= 0x80; left >>>= 7) target[out++] = left | 0x80
  target[out++] = left
  let literalsFrom = from
  let at = from
  const lastMatch = end - 8
  while (at < lastMatch) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    const slot = Math.imul(word, 0x1e35_a7bd) >>> (32 - TABLE_BITS)
    const candidate = from + table[slot]!
    table[slot] = at - from
    if (
      candidate >= at ||
      (bytes[candidate]! | (bytes[candidate + 1]! << 8) | (bytes[candidate + 2]! << 16) | (bytes[candidate + 3]! << 24)) !==
        word
    ) {
      at += 1 + ((at - literalsFrom) >>> 5) // give up faster where nothing repeats
      continue
    }
    if (at > literalsFrom) out = writeLiteral(bytes, literalsFrom, at, target, out)
    const offset = at - candidate
    let length = 4
    while (at + length < end && bytes[candidate + length] === bytes[at + length]) length++
    at += length
    literalsFrom = at
    // 60 at a time leaves at least 4 for the last one, the least a short copy can say
    for (; length > 64; length -= 60) out = writeCopy(target, out, offset, 60)
    out = writeCopy(target, out, offset, length)
  }
  return literalsFrom < end ? writeLiteral(bytes, literalsFrom, end, target, out) : out
}

const writeLiteral = (bytes: Uint8Array, from: number, end: number, target: Uint8Array, to: number): number => {
  let out = to
  const last = end - from - 1
  if (last < 60) target[out++] = last << 2
  else if (last < 0x100) {
    target[out++] = 60 << 2
    target[out++] = last
  } else {
    target[out++] = 61 << 2
    target[out++] = last
    target[out++] = last >>> 8
  }
  if (last < 32) for (let at = from; at < end; at++) target[out++] = bytes[at]!
  else {
    target.set(bytes.subarray(from, end), out)
    out += end - from
  }
  return out
}

const writeCopy = (target: Uint8Array, to: number, offset: number, length: number): number => {
  if (length < 12 && offset < 2048) {
    target[to] = ((offset >>> 8) << 5) | ((length - 4) << 2) | 1
    target[to + 1] = offset
    return to + 2
  }
  target[to] = ((length - 1) << 2) | 2
  target[to + 1] = offset
  target[to + 2] = offset >>> 8
  return to + 3
}
