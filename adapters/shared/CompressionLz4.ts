/**
 * LZ4 frames, both ways: the output stays within its bound whatever the bytes say, and every form of frame is read.
 *
 * | frame            | size | meaning                                                                                |
 * |------------------|-----:|----------------------------------------------------------------------------------------|
 * | magic            |    4 | 0x184D2204, little endian like all below                                               |
 * | flags            |    1 | bits 7-6 version 1, 5 blocks are independent, 4 block checksums, 3 content size,       |
 * |                  |      | 2 content checksum, 0 dictionary id                                                    |
 * | block descriptor |    1 | bits 6-4: 4 = 64 KiB, 5 = 256 KiB, 6 = 1 MiB, 7 = 4 MiB                                |
 * | content size     |  0/8 | of the output                                                                          |
 * | dictionary id    |  0/4 | refused: Kafka has no dictionaries                                                     |
 * | header checksum  |    1 | second byte of the xxHash32 from the flags on                                          |
 * | blocks           |      | 4 bytes of size, 0 ends them, bit 31: stored as it is; data; maybe 4 of checksum       |
 * | content checksum |  0/4 | xxHash32 of the output                                                                 |
 *
 * As for Kafka, what follows the first frame's end mark is not looked at. Java clients for record format 0 had the header checksum wrong; such a frame is refused as format 2 demands it right.
 */
import { CompressionError } from "../../core/ports/Compression.ts"
import { copyMatch } from "./CompressionMatch.ts"
import { xxHash32 } from "./CompressionXxHash32.ts"

const MAGIC = 0x184d_2204
const MIN_MATCH = 4
/** How far back a match may reach. */
const WINDOW_BYTES = 65536
/** A byte of a match's length stands for 255 of output, and nothing grows more. */
const MAX_RATIO = 255

const malformed = (what: string): CompressionError => new CompressionError("Malformed", `lz4: ${what}`)
const tooLong = (maxBytes: number): CompressionError =>
  new CompressionError("TooLong", `lz4: more than ${maxBytes} bytes`)

const readUint32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

/** A frame's header, as far as decoding needs it. */
interface Header {
  /** Of the frame's first block size field. */
  readonly blocksAt: number
  readonly independent: boolean
  readonly blockChecksums: boolean
  readonly contentChecksum: boolean
  /** Of the output, -1 when it is not stated. */
  readonly contentSize: number
  readonly maxBlockBytes: number
}

/** @throws CompressionError */
const readHeader = (bytes: Uint8Array): Header => {
  if (bytes.length < 7) throw malformed("the frame ends in its header")
  const flags = bytes[4]!
  const descriptor = bytes[5]!
  if (flags >>> 6 !== 1 || (flags & 2) !== 0) throw malformed(`frame version ${flags >>> 6}`)
  if ((flags & 1) !== 0) throw malformed("a dictionary")
  const sizeCode = descriptor >>> 4
  if ((descriptor & 0x8f) !== 0 || sizeCode < 4) throw malformed(`block descriptor ${descriptor}`)
  const hasSize = (flags & 8) !== 0
  const end = 6 + (hasSize ? 8 : 0)
  if (bytes.length <= end) throw malformed("the frame ends in its header")
  if (((xxHash32(bytes, 4, end) >>> 8) & 0xff) !== bytes[end]) throw malformed("the header checksum is wrong")
  return {
    blocksAt: end + 1,
    independent: (flags & 0x20) !== 0,
    blockChecksums: (flags & 0x10) !== 0,
    contentChecksum: (flags & 4) !== 0,
    contentSize: hasSize ? readUint32(bytes, 6) + readUint32(bytes, 10) * 0x1_0000_0000 : -1,
    maxBlockBytes: 1 << (8 + 2 * sizeCode)
  }
}

/** Grows with what arrives, not with what is claimed; never past its bound. */
class Output {
  bytes: Uint8Array
  length = 0
  readonly #maxBytes: number

  constructor(expectedBytes: number, maxBytes: number) {
    this.#maxBytes = maxBytes
    this.bytes = new Uint8Array(Math.min(expectedBytes, maxBytes))
  }

  /** To twice its size or what `count` more bytes need. @throws CompressionError at the bound */
  grow(count: number): void {
    const needed = this.length + count
    if (needed > this.#maxBytes) throw tooLong(this.#maxBytes)
    const grown = new Uint8Array(Math.min(this.#maxBytes, Math.max(needed, this.bytes.length * 2)))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}

/** What the first frame decompresses to. @throws CompressionError */
export const decompressLz4Frame = (bytes: Uint8Array, maxBytes: number): Uint8Array => {
  if (bytes.length < 4 || readUint32(bytes, 0) !== MAGIC) throw malformed("not a frame")
  const header = readHeader(bytes)
  if (header.contentSize > maxBytes) throw tooLong(maxBytes)
  if (header.contentSize > bytes.length * MAX_RATIO) throw malformed(`${bytes.length} bytes cannot become ${header.contentSize}`)
  const output = new Output(header.contentSize < 0 ? bytes.length * 4 : header.contentSize, maxBytes)
  let at = header.blocksAt
  for (;;) {
    if (bytes.length - at < 4) throw malformed("the frame ends before its end mark")
    const field = readUint32(bytes, at)
    at += 4
    if (field === 0) break
    const size = field & 0x7fff_ffff
    if (size > header.maxBlockBytes) throw malformed(`a block of ${size} bytes`)
    const end = at + size
    if (end + (header.blockChecksums ? 4 : 0) > bytes.length) throw malformed("a block ends early")
    if (header.blockChecksums && xxHash32(bytes, at, end) !== readUint32(bytes, end)) {
      throw malformed("a block checksum is wrong")
    }
    if (field > 0x7fff_ffff) {
      if (output.bytes.length - output.length < size) output.grow(size)
      output.bytes.set(bytes.subarray(at, end), output.length)
      output.length += size
    } else decompressBlock(bytes, at, end, output, header)
    at = header.blockChecksums ? end + 4 : end
  }
  const result = output.bytes.subarray(0, output.length)
  if (header.contentSize >= 0 && result.length !== header.contentSize) {
    throw malformed(`${result.length} bytes where ${header.contentSize} were stated`)
  }
  if (header.contentChecksum) {
    if (bytes.length - at < 4) throw malformed("the frame ends before its checksum")
    if (xxHash32(result, 0, result.length) !== readUint32(bytes, at)) throw malformed("the content checksum is wrong")
  }
  return result
}

/** Appends a block's output, as often as it takes to have room for it. */
const decompressBlock = (bytes: Uint8Array, from: number, end: number, output: Output, header: Header): void => {
  for (;;) {
    const start = output.length
    const window = header.independent ? start : Math.max(0, start - WINDOW_BYTES)
    const limit = Math.min(output.bytes.length, start + header.maxBlockBytes)
    const written = decompressLz4Block(bytes, from, end, output.bytes, start, limit, window)
    if (written >= 0) {
      output.length = written
      return
    }
    if (written === BAD) throw malformed("a block's data")
    if (limit === start + header.maxBlockBytes) throw malformed("a block is longer than stated")
    output.grow(limit - start + 1)
  }
}

const FULL = -1
const BAD = -2

/**
 * Decodes one block into `target` from `to`, up to `limit`; matches reach back to `windowStart` at most.
 * @returns the position after the output, FULL or BAD
 */
const decompressLz4Block = (
  bytes: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  limit: number,
  windowStart: number
): number => {
  let at = from
  let out = to
  while (at < end) {
    const token = bytes[at++]!
    let literals = token >>> 4
    if (literals === 15) {
      let more: number
      do {
        if (at >= end) return BAD
        more = bytes[at++]!
        literals += more
      } while (more === 255)
    }
    if (literals > 0) {
      const stop = at + literals
      if (stop > end) return BAD
      if (out + literals > limit) return FULL
      if (literals <= 32) while (at < stop) target[out++] = bytes[at++]!
      else {
        target.set(bytes.subarray(at, stop), out)
        at = stop
        out += literals
      }
    }
    if (at === end) return out // the last sequence has literals only
    if (end - at < 2) return BAD
    const offset = bytes[at]! | (bytes[at + 1]! << 8)
    at += 2
    if (offset === 0 || out - offset < windowStart) return BAD
    let length = (token & 15) + MIN_MATCH
    if (length === 15 + MIN_MATCH) {
      let more: number
      do {
        if (at >= end) return BAD
        more = bytes[at++]!
        length += more
      } while (more === 255)
    }
    if (out + length > limit) return FULL
    out = copyMatch(target, out, offset, length)
  }
  return BAD // an empty block, or one that ends after a match
}

/** Of the frames we write, as Java clients write them: blocks of 64 KiB, independent, no checksums but the header's. */
const BLOCK_BYTES = 64 * 1024
const FRAME_FLAGS = 0x60
const FRAME_DESCRIPTOR = 0x40
/** The level of `compression.lz4.level` that stands for the fast compressor, as in Kafka. */
const FAST_LEVEL = 9
/** The last match begins this far before a block's end at least, and the last bytes are literals: the format's rule. */
const LAST_MATCH_BYTES = 12
const LAST_LITERALS = 5
const TABLE_BITS = 14

/**
 * One frame. Levels other than 9 look for longer matches: about 2^level candidates are compared at each place.
 */
export const compressLz4Frame = (bytes: Uint8Array, level: number = FAST_LEVEL): Uint8Array => {
  const blocks = Math.ceil(bytes.length / BLOCK_BYTES)
  // A block that does not shrink is stored, so only a block being tried needs the format's worst case.
  const output = new Uint8Array(11 + bytes.length + blocks * 4 + Math.ceil(BLOCK_BYTES / 255) + 16)
  writeUint32(output, 0, MAGIC)
  output[4] = FRAME_FLAGS
  output[5] = FRAME_DESCRIPTOR
  output[6] = xxHash32(output, 4, 6) >>> 8
  const table = new Uint16Array(1 << TABLE_BITS)
  const chain = level === FAST_LEVEL ? undefined : new Uint16Array(BLOCK_BYTES)
  let at = 7
  for (let from = 0; from < bytes.length; from += BLOCK_BYTES) {
    const end = Math.min(bytes.length, from + BLOCK_BYTES)
    if (from > 0) table.fill(0)
    const size = compressLz4Block(bytes, from, end, output, at + 4, table, chain, 2 ** Math.min(level, 12)) - at - 4
    if (size < end - from) {
      writeUint32(output, at, size)
      at += 4 + size
    } else {
      writeUint32(output, at, (end - from) | 0x8000_0000)
      output.set(bytes.subarray(from, end), at + 4)
      at += 4 + end - from
    }
  }
  writeUint32(output, at, 0)
  return output.subarray(0, at + 4)
}

const writeUint32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

/** @returns the position after the block in `target` */
const compressLz4Block = (
  bytes: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  table: Uint16Array,
  chain: Uint16Array | undefined,
  depth: number
): number => {
  let out = to
  let literalsFrom = from
  let at = from
  const lastMatch = end - LAST_MATCH_BYTES
  const matchEnd = end - LAST_LITERALS
  while (at <= lastMatch) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    const slot = Math.imul(word, 0x9e37_79b1) >>> (32 - TABLE_BITS)
    let candidate = from + table[slot]!
    table[slot] = at - from
    let match = 0
    let length = 0
    if (chain === undefined) {
      if (
        candidate < at &&
        (bytes[candidate]! | (bytes[candidate + 1]! << 8) | (bytes[candidate + 2]! << 16) |
            (bytes[candidate + 3]! << 24)) === word
      ) {
        match = candidate
        length = 4
        while (at + length < matchEnd && bytes[match + length] === bytes[at + length]) length++
      }
    } else {
      chain[at - from] = candidate - from
      for (let tries = depth; tries > 0 && candidate < at; tries--) {
        if (bytes[candidate + length] === bytes[at + length]) {
          let found = 0
          while (at + found < matchEnd && bytes[candidate + found] === bytes[at + found]) found++
          if (found > length) {
            length = found
            match = candidate
          }
        }
        const before = from + chain[candidate - from]!
        if (before >= candidate) break
        candidate = before
      }
    }
    if (length < MIN_MATCH) {
      at += chain === undefined ? 1 + ((at - literalsFrom) >>> 6) : 1
      continue
    }
    out = writeSequence(bytes, literalsFrom, at, target, out, at - match, length - MIN_MATCH)
    if (chain !== undefined) {
      for (let inside = at + 1; inside < at + length && inside <= lastMatch; inside++) {
        const next = bytes[inside]! | (bytes[inside + 1]! << 8) | (bytes[inside + 2]! << 16) | (bytes[inside + 3]! << 24)
        const place = Math.imul(next, 0x9e37_79b1) >>> (32 - TABLE_BITS)
        chain[inside - from] = table[place]!
        table[place] = inside - from
      }
    }
    at += length
    literalsFrom = at
  }
  return writeSequence(bytes, literalsFrom, end, target, out, 0, 0)
}

/** Literals and a match; `offset` 0: literals only, which ends a block. */
const writeSequence = (
  bytes: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  offset: number,
  extraLength: number
): number => {
  const literals = end - from
  let out = to
  target[out++] = (Math.min(literals, 15) << 4) | Math.min(extraLength, 15)
  if (literals >= 15) out = writeLength(target, out, literals - 15)
  if (literals <= 32) for (let at = from; at < end; at++) target[out++] = bytes[at]!
  else {
    target.set(bytes.subarray(from, end), out)
    out += literals
  }
  if (offset === 0) return out
  target[out++] = offset
  target[out++] = offset >>> 8
  return extraLength >= 15 ? writeLength(target, out, extraLength - 15) : out
}

const writeLength = (target: Uint8Array, to: number, length: number): number => {
  let out = to
  let left = length
  for (; left >= 255; left -= 255) target[out++] = 255
  target[out++] = left
  return out
}
