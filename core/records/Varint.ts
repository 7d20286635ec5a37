/**
 * Variable-length integers as records use them: zigzag, then 7 bits per byte, least significant first; the high bit
 * says that more follow. A varint has at most 5 bytes, a varlong 10. Longer than needed is allowed, as in Kafka.
 *
 * A position is returned beside each value by moving the cursor, so that reading allocates nothing.
 */
import { RecordError } from "./RecordError.ts"

/** Reads from `position` to `end` of `bytes`. */
export class VarintReader {
  bytes: Uint8Array
  position: number
  end: number

  constructor(bytes: Uint8Array, position: number, end: number) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }

  #byte(): number {
    if (this.position >= this.end) throw new RecordError("the bytes end inside a number", this.position)
    return this.bytes[this.position++]!
  }

  int8(): number {
    return (this.#byte() << 24) >> 24
  }

  /** An int32. @throws RecordError */
  varint(): number {
    let byte = this.#byte()
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
    let raw = byte & 0x7f
    for (let shift = 7; shift < 35; shift += 7) {
      byte = this.#byte()
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return (raw >>> 1) ^ -(raw & 1)
    }
    throw new RecordError("a varint is longer than 5 bytes", this.position)
  }

  /** An int64; beyond 2^53 the nearest number. @throws RecordError */
  varlong(): number {
    const from = this.position
    let raw = 0
    let scale = 1
    for (let count = 0; count < 7; count++) {
      const byte = this.#byte()
      raw += (byte & 0x7f) * scale
      if (byte < 0x80) return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
      scale *= 128
    }
    return this.#longVarlong(from)
  }

  #longVarlong(from: number): number {
    this.position = from
    let raw = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      raw |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return Number(BigInt.asIntN(64, (BigInt.asUintN(64, raw) >> 1n) ^ -(raw & 1n)))
    }
    throw new RecordError("a varlong is longer than 10 bytes", this.position)
  }
}

/** Bytes that `writeVarint` writes: 1 to 5. */
export const sizeOfVarint = (value: number): number => {
  const raw = ((value << 1) ^ (value >> 31)) >>> 0
  return raw < 0x80 ? 1 : raw < 0x4000 ? 2 : raw < 0x20_0000 ? 3 : raw < 0x1000_0000 ? 4 : 5
}

/** @returns the position after it */
export const writeVarint = (bytes: Uint8Array, at: number, value: number): number => {
  let raw = ((value << 1) ^ (value >> 31)) >>> 0
  while (raw >= 0x80) {
    bytes[at++] = raw | 0x80
    raw >>>= 7
  }
  bytes[at++] = raw
  return at
}

const MAX_INT64 = 0x7fff_ffff_ffff_ffffn

/** Zigzagged, exactly; 2^63, the nearest number to Long.MAX_VALUE, counts as that. */
const zigzagBig = (value: number): bigint => {
  const big = BigInt(value) > MAX_INT64 ? MAX_INT64 : BigInt.asIntN(64, BigInt(value))
  return BigInt.asUintN(64, (big << 1n) ^ (big >> 63n))
}

/** Beyond this a zigzagged number is no longer exact. */
const MAX_PLAIN = 2 ** 51

/** Bytes that `writeVarlong` writes: 1 to 10. */
export const sizeOfVarlong = (value: number): number => {
  let size = 1
  if (value >= MAX_PLAIN || value < -MAX_PLAIN) {
    for (let raw = zigzagBig(value); raw >= 0x80n; raw >>= 7n) size++
    return size
  }
  for (let raw = value >= 0 ? value * 2 : -value * 2 - 1; raw >= 0x80; raw = Math.floor(raw / 128)) size++
  return size
}

/** @returns the position after it */
export const writeVarlong = (bytes: Uint8Array, at: number, value: number): number => {
  if (value >= MAX_PLAIN || value < -MAX_PLAIN) {
    let raw = zigzagBig(value)
    for (; raw >= 0x80n; raw >>= 7n) bytes[at++] = Number(raw & 0x7fn) | 0x80
    bytes[at++] = Number(raw)
    return at
  }
  let raw = value >= 0 ? value * 2 : -value * 2 - 1
  for (; raw >= 0x80; raw = Math.floor(raw / 128)) bytes[at++] = (raw & 0x7f) | 0x80
  bytes[at++] = raw
  return at
}
