/**
 * Reads Kafka's primitive types from bytes that nobody vouches for.
 *
 * | type            | bytes                                                                                    |
 * | int8..int64     | big-endian two's complement; uint16, uint32 unsigned; float64 IEEE 754; bool 1 byte      |
 * | uvarint         | 7 bits per byte, least significant first, high bit: more follow; at most 5 bytes         |
 * | varint, varlong | zigzag, then as uvarint; at most 5 and 10 bytes                                          |
 * | uuid            | 16                                                                                       |
 * | string          | int16 length (-1: null), UTF-8; compact: uvarint length + 1 (0: null)                    |
 * | bytes, records  | int32 length (-1: null), bytes; compact: uvarint length + 1 (0: null)                    |
 * | array           | int32 count (-1: null), elements; compact: uvarint count + 1 (0: null)                   |
 *
 * Every length is held against the bytes that remain before anything is allocated, and a message holds at most
 * MAX_ELEMENTS array elements, so what decoding allocates stays in proportion to the frame. Every failure is a
 * ProtocolError. What is decoded as bytes is a view: it lives as long as the frame is left alone.
 */
import type { Int64 } from "./Int64.ts"
import { malformed } from "./ProtocolError.ts"
import type { TaggedField } from "./TaggedField.ts"
import { readUuid } from "./Uuid.ts"

/**
 * Array elements and unknown tags in one message, nested ones included. The smallest element is one byte on the wire
 * and some sixty in memory: without this bound a 100 MiB request could ask for gigabytes.
 */
export const MAX_ELEMENTS: number = 4 * 1024 * 1024

/** A longer string is malformed, as for Kafka, compact or not. In bytes. */
export const MAX_STRING_BYTES = 0x7fff

/** Shared: the default of fields of bytes. */
export const NO_BYTES: Uint8Array = new Uint8Array(0)
// A byte order mark at the start of a string is part of it.
const decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * Topic names, client ids and host names repeat: short ASCII strings are kept in a direct-mapped cache, which costs a
 * comparison instead of an allocation. 1024 slots of at most 64 characters.
 */
const STRING_SLOTS = 1024
const MAX_CACHED_LENGTH = 64
const cachedStrings: Array<string> = Array.from({ length: STRING_SLOTS }, () => "")

export class ByteReader {
  readonly bytes: Uint8Array
  /** Of the next byte to read. */
  position: number
  /** Exclusive. */
  readonly end: number
  #elementsLeft: number = MAX_ELEMENTS

  constructor(bytes: Uint8Array, position: number = 0, end: number = bytes.length) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }

  get remaining(): number {
    return this.end - this.position
  }

  /** Steps over `count` bytes and gives the position they start at. */
  #take(count: number): number {
    const position = this.position
    if (count > this.end - position) throw this.#short(count)
    this.position = position + count
    return position
  }

  #short(count: number): Error {
    return malformed(`${count} bytes expected at position ${this.position}, ${this.end - this.position} remain`)
  }

  int8(): number {
    return (this.bytes[this.#take(1)]! << 24) >> 24
  }

  bool(): boolean {
    return this.bytes[this.#take(1)] !== 0
  }

  int16(): number {
    const at = this.#take(2)
    return ((this.bytes[at]! << 24) >> 16) | this.bytes[at + 1]!
  }

  uint16(): number {
    const at = this.#take(2)
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!
  }

  int32(): number {
    const at = this.#take(4)
    const bytes = this.bytes
    return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  int64(): Int64 {
    const at = this.#take(8)
    const bytes = this.bytes
    const high = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
    const low = ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0
    // -2^53 itself is not safe: -2^53 - 1 would round to it.
    if (high < 0x200000 && (high > -0x200000 || (high === -0x200000 && low !== 0))) return high * 0x100000000 + low
    return (BigInt(high) << 32n) | BigInt(low)
  }

  float64(): number {
    const at = this.#take(8)
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + at, 8).getFloat64(0)
  }

  uuid(): string {
    return readUuid(this.bytes, this.#take(16))
  }

  /** 0 to 2^32-1. */
  uvarint(): number {
    const first = this.bytes[this.#take(1)]!
    if (first < 0x80) return first
    let value = first & 0x7f
    for (let shift = 7; shift < 35; shift += 7) {
      const byte = this.bytes[this.#take(1)]!
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
    throw malformed(`a varint before position ${this.position} is longer than 5 bytes`)
  }

  varint(): number {
    const zigzag = this.uvarint()
    return (zigzag >>> 1) ^ -(zigzag & 1)
  }

  varlong(): Int64 {
    // 28 bits at a time, so that no bigint is made for a number that is safe.
    let low = 0
    let middle = 0
    let high = 0
    for (let index = 0; index < 10; index++) {
      const byte = this.bytes[this.#take(1)]!
      const bits = byte & 0x7f
      if (index < 4) low |= bits << (index * 7)
      else if (index < 8) middle |= bits << ((index - 4) * 7)
      else high |= bits << ((index - 8) * 7)
      if (byte >= 0x80) continue
      if (high === 0 && middle < 0x2000000) {
        const zigzag = middle * 0x10000000 + low
        return low & 1 ? -(zigzag - 1) / 2 - 1 : zigzag / 2
      }
      const wide = BigInt.asUintN(64, (BigInt(high) << 56n) | (BigInt(middle) << 28n) | BigInt(low))
      const value = (wide >> 1n) ^ -(wide & 1n)
      return value >= -0x1fffffffffffffn && value <= 0x1fffffffffffffn ? Number(value) : value
    }
    throw malformed(`a varlong before position ${this.position} is longer than 10 bytes`)
  }

  string(flexible: boolean): string {
    const length = flexible ? this.uvarint() - 1 : this.int16()
    if (length < 0) throw malformed(`a string at position ${this.position} is null and must not be`)
    return this.#utf8(length)
  }

  nullableString(flexible: boolean): string | null {
    const length = flexible ? this.uvarint() - 1 : this.int16()
    return length < 0 ? null : this.#utf8(length)
  }

  #utf8(length: number): string {
    if (length === 0) return ""
    if (length > MAX_STRING_BYTES) throw malformed(`a string of ${length} bytes at position ${this.position}`)
    const start = this.#take(length)
    const bytes = this.bytes
    if (length > MAX_CACHED_LENGTH) return decoder.decode(view(bytes, start, length))
    let hash = length
    let seen = 0
    for (let i = start; i < start + length; i++) {
      const byte = bytes[i]!
      seen |= byte
      hash = Math.imul(hash ^ byte, 0x01000193)
    }
    if (seen >= 0x80) return decoder.decode(view(bytes, start, length))
    const slot = (hash ^ (hash >>> 13)) & (STRING_SLOTS - 1)
    const cached = cachedStrings[slot]!
    if (cached.length === length) {
      let i = 0
      while (i < length && cached.charCodeAt(i) === bytes[start + i]) i++
      if (i === length) return cached
    }
    const text = String.fromCharCode.apply(null, view(bytes, start, length) as unknown as Array<number>)
    cachedStrings[slot] = text
    return text
  }

  /** A view. */
  byteArray(flexible: boolean): Uint8Array {
    const length = flexible ? this.uvarint() - 1 : this.int32()
    if (length < 0) throw malformed(`bytes at position ${this.position} are null and must not be`)
    return this.raw(length)
  }

  /** A view. */
  nullableByteArray(flexible: boolean): Uint8Array | null {
    const length = flexible ? this.uvarint() - 1 : this.int32()
    return length < 0 ? null : this.raw(length)
  }

  /** A view of the next `length` bytes. */
  raw(length: number): Uint8Array {
    return length === 0 ? NO_BYTES : view(this.bytes, this.#take(length), length)
  }

  /** An array's count. `elementBytes`: the fewest that an element takes. */
  arrayLength(flexible: boolean, elementBytes: number): number {
    const count = this.nullableArrayLength(flexible, elementBytes)
    if (count < 0) throw malformed(`an array at position ${this.position} is null and must not be`)
    return count
  }

  /** As `arrayLength`; -1 for null. */
  nullableArrayLength(flexible: boolean, elementBytes: number): number {
    const count = flexible ? this.uvarint() - 1 : this.int32()
    if (count < 0) return -1
    if (count * elementBytes > this.end - this.position) {
      throw malformed(`an array of ${count} at position ${this.position}, ${this.remaining} bytes remain`)
    }
    this.#countElements(count)
    return count
  }

  #countElements(count: number): void {
    this.#elementsLeft -= count
    if (this.#elementsLeft < 0) throw malformed(`more than ${MAX_ELEMENTS} array elements in one message`)
  }

  /** Reads a tagged field's size and gives the position it ends at, to be handed to `endTag`. */
  beginTag(): number {
    const size = this.uvarint()
    if (size > this.end - this.position) throw this.#short(size)
    return this.position + size
  }

  /** @throws ProtocolError unless the tagged field was exactly as long as it said */
  endTag(end: number): void {
    if (this.position !== end) throw malformed(`a tagged field ends at position ${this.position}, its size said ${end}`)
  }

  /** Keeps a tagged field that ends at `end` among the unknown ones. */
  unknownTag(tag: number, end: number, unknown: Array<TaggedField> | undefined): Array<TaggedField> {
    this.#countElements(1)
    const field: TaggedField = { tag, data: this.raw(end - this.position) }
    if (unknown === undefined) return [field]
    unknown.push(field)
    return unknown
  }

  /** The tagged fields of a struct that knows none: undefined when there are none, as almost always. */
  unknownTags(): Array<TaggedField> | undefined {
    const count = this.uvarint()
    let unknown: Array<TaggedField> | undefined
    for (let i = 0; i < count; i++) {
      const tag = this.uvarint()
      unknown = this.unknownTag(tag, this.beginTag(), unknown)
    }
    return unknown
  }

  int8Array(flexible: boolean): Array<number> {
    const count = this.arrayLength(flexible, 1)
    const values: Array<number> = []
    for (let i = 0; i < count; i++) values.push(this.int8())
    return values
  }

  int16Array(flexible: boolean): Array<number> {
    const count = this.arrayLength(flexible, 2)
    const values: Array<number> = []
    for (let i = 0; i < count; i++) values.push(this.int16())
    return values
  }

  int32Array(flexible: boolean): Array<number> {
    const count = this.arrayLength(flexible, 4)
    const values: Array<number> = []
    for (let i = 0; i < count; i++) values.push(this.int32())
    return values
  }

  int64Array(flexible: boolean): Array<Int64> {
    const count = this.arrayLength(flexible, 8)
    const values: Array<Int64> = []
    for (let i = 0; i < count; i++) values.push(this.int64())
    return values
  }

  stringArray(flexible: boolean): Array<string> {
    const count = this.arrayLength(flexible, flexible ? 1 : 2)
    const values: Array<string> = []
    for (let i = 0; i < count; i++) values.push(this.string(flexible))
    return values
  }

  uuidArray(flexible: boolean): Array<string> {
    const count = this.arrayLength(flexible, 16)
    const values: Array<string> = []
    for (let i = 0; i < count; i++) values.push(this.uuid())
    return values
  }

  /** True when the nullable array or struct-array that starts here is null; reads nothing then but its length. */
  skipNullArray(flexible: boolean): boolean {
    const start = this.position
    const count = flexible ? this.uvarint() - 1 : this.int32()
    if (count < 0) return true
    this.position = start
    return false
  }
}

/** Not `subarray`: on a Node Buffer that would give another Buffer, and it is slower. */
const view = (bytes: Uint8Array, position: number, length: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + position, length)
