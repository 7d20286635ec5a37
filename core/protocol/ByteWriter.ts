/**
 * Writes Kafka's primitive types (ByteReader has their byte table) into a buffer that grows, and lets large payloads
 * pass: bytes from SPLICE_BYTES on and slices of files go into the result as they are, between pieces of the buffer.
 * Values out of their type's range throw ProtocolError instead of being cut.
 */
import { isFileSlice, payloadLength, type Payload } from "../model/Payload.ts"
import { MAX_STRING_BYTES } from "./ByteReader.ts"
import { type Int64, toSafe } from "./Int64.ts"
import { invalidValue, malformed } from "./ProtocolError.ts"
import type { TaggedField } from "./TaggedField.ts"
import { writeUuid } from "./Uuid.ts"

/** Shorter payloads are copied: a piece of their own costs more than the copy. */
export const SPLICE_BYTES = 4096

/** What an encoder takes for a field of type records: bytes, or pieces of a log that pass through untouched. */
export type Records = Uint8Array | ReadonlyArray<Payload>

const encoder: TextEncoder = new TextEncoder()

/**
 * Most responses are a few hundred bytes, and making an array of their own would cost more than filling it. So writers
 * claim the next bytes of a slab, and give back what they did not use; no byte of a slab is ever given out twice.
 */
const SLAB_BYTES: number = 64 * 1024

/** What a writer claims at first unless told otherwise, in bytes. */
const FIRST_CLAIM_BYTES = 1024

/** A larger claim gets an array of its own. */
const MAX_CLAIM_BYTES: number = SLAB_BYTES / 4

let slab: Uint8Array = new Uint8Array(SLAB_BYTES)
let slabUsed = 0

/** Gives where in the slab the next `bytes` bytes start, or -1 when they are too many for it. */
const claim = (bytes: number): number => {
  if (bytes > MAX_CLAIM_BYTES) return -1
  if (slabUsed + bytes > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES)
    slabUsed = 0
  }
  const start = slabUsed
  slabUsed += bytes
  return start
}

export class ByteWriter {
  #buffer: Uint8Array
  /** Of the next byte in the buffer. */
  #position: number
  /** End of what this writer may fill. */
  #limit: number
  /** Where the piece of the buffer begins that is in no part yet. */
  #pieceStart: number
  #parts: Array<Payload> = []
  /** Bytes in `#parts`. */
  #partBytes = 0
  /** Tagged fields that are open: their bytes may move, so nothing is spliced. */
  #openTags = 0
  /** Of the frame that is open: `length` at its start (-1: none is), then where its size will be. */
  #frameStart = -1
  #framePart = 0
  /** From the start of that part, or of the piece that is in no part yet. */
  #frameOffset = 0

  /** `expectedBytes`: a guess, spliced payloads left out. */
  constructor(expectedBytes: number = FIRST_CLAIM_BYTES) {
    const start = claim(expectedBytes)
    this.#buffer = start < 0 ? new Uint8Array(expectedBytes) : slab
    this.#position = this.#pieceStart = Math.max(start, 0)
    this.#limit = this.#position + expectedBytes
  }

  /** All bytes written, spliced ones included. */
  get length(): number {
    return this.#partBytes + this.#position - this.#pieceStart
  }

  /** Makes room for `count` bytes and gives the position they start at. */
  #reserve(count: number): number {
    const position = this.#position
    if (position + count > this.#limit) return this.#grow(count)
    this.#position = position + count
    return position
  }

  #grow(count: number): number {
    const pending = this.#position - this.#pieceStart
    const wanted = Math.max(pending + count, 2 * (this.#limit - this.#pieceStart), FIRST_CLAIM_BYTES)
    if (this.#ownsSlabEnd() && this.#pieceStart + wanted <= SLAB_BYTES) {
      const position = this.#position
      this.#limit = this.#pieceStart + wanted
      slabUsed = this.#limit
      this.#position = position + count
      return position
    }
    const start = claim(wanted)
    const buffer = start < 0 ? new Uint8Array(wanted) : slab
    this.#moveTo(buffer, Math.max(start, 0))
    this.#limit = this.#pieceStart + wanted
    const position = this.#position
    this.#position = position + count
    return position
  }

  /** Takes the piece that is in no part yet along. */
  #moveTo(buffer: Uint8Array, start: number): void {
    if (this.#position > this.#pieceStart) buffer.set(view(this.#buffer, this.#pieceStart, this.#position), start)
    this.#buffer = buffer
    this.#position = start + this.#position - this.#pieceStart
    this.#pieceStart = start
  }

  /** True when nobody has claimed what comes after this writer's part of the slab. */
  #ownsSlabEnd(): boolean {
    return this.#buffer === slab && this.#limit === slabUsed
  }

  #giveBack(): void {
    if (!this.#ownsSlabEnd()) return
    slabUsed = this.#position
    this.#limit = this.#position
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) throw outOfRange("int8", value)
    const at = this.#reserve(1)
    this.#buffer[at] = value
  }

  bool(value: boolean): void {
    const at = this.#reserve(1)
    this.#buffer[at] = value ? 1 : 0
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) throw outOfRange("int16", value)
    const at = this.#reserve(2)
    const buffer = this.#buffer
    buffer[at] = value >> 8
    buffer[at + 1] = value
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw outOfRange("uint16", value)
    const at = this.#reserve(2)
    const buffer = this.#buffer
    buffer[at] = value >> 8
    buffer[at + 1] = value
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw outOfRange("int32", value)
    this.#word(this.#reserve(4), value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange("uint32", value)
    this.#word(this.#reserve(4), value)
  }

  #word(at: number, value: number): void {
    const buffer = this.#buffer
    buffer[at] = value >> 24
    buffer[at + 1] = value >> 16
    buffer[at + 2] = value >> 8
    buffer[at + 3] = value
  }

  int64(value: Int64): void {
    const at = this.#reserve(8)
    if (typeof value === "number") {
      if (!Number.isSafeInteger(value)) throw outOfRange("int64", value)
      this.#word(at, Math.floor(value / 0x100000000))
      this.#word(at + 4, value | 0)
      return
    }
    if (BigInt.asIntN(64, value) !== value) throw outOfRange("int64", value)
    this.#word(at, Number(value >> 32n))
    this.#word(at + 4, Number(BigInt.asIntN(32, value)))
  }

  float64(value: number): void {
    const at = this.#reserve(8)
    const buffer = this.#buffer
    new DataView(buffer.buffer, buffer.byteOffset + at, 8).setFloat64(0, value)
  }

  uuid(value: string): void {
    const at = this.#reserve(16)
    writeUuid(value, this.#buffer, at)
  }

  /** 0 to 2^32-1. */
  uvarint(value: number): void {
    if (value >>> 0 !== value) throw outOfRange("uvarint", value)
    let rest = value
    while (rest > 0x7f) {
      const at = this.#reserve(1)
      this.#buffer[at] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    const at = this.#reserve(1)
    this.#buffer[at] = rest
  }

  varint(value: number): void {
    if ((value | 0) !== value) throw outOfRange("varint", value)
    this.uvarint(((value << 1) ^ (value >> 31)) >>> 0)
  }

  varlong(value: Int64): void {
    const safe = toSafe(value)
    if (safe !== undefined && safe >= -0x40000000 && safe < 0x40000000) return this.varint(safe)
    if (safe === undefined && (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value)) {
      throw outOfRange("varlong", value)
    }
    const wide = BigInt(value)
    let rest = BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n))
    while (rest > 0x7fn) {
      const at = this.#reserve(1)
      this.#buffer[at] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    const at = this.#reserve(1)
    this.#buffer[at] = Number(rest)
  }

  string(value: string, flexible: boolean): void {
    const length = value.length
    if (length <= 64) {
      // ASCII, as nearly all strings of the protocol are: one byte per character, written in place.
      this.#stringLength(length, flexible)
      const at = this.#reserve(length)
      const buffer = this.#buffer
      let i = 0
      for (; i < length; i++) {
        const code = value.charCodeAt(i)
        if (code >= 0x80) break
        buffer[at + i] = code
      }
      if (i === length) return
      this.#position = at - this.#lengthBytes(length, flexible)
    }
    const bytes = encoder.encode(value)
    this.#stringLength(bytes.length, flexible)
    this.raw(bytes)
  }

  #lengthBytes(length: number, flexible: boolean): number {
    return flexible ? (length + 1 > 0x7f ? 2 : 1) : 2
  }

  #stringLength(length: number, flexible: boolean): void {
    if (length > MAX_STRING_BYTES) throw invalidValue(`a string of ${length} bytes, at most ${MAX_STRING_BYTES} fit`)
    if (flexible) this.uvarint(length + 1)
    else this.int16(length)
  }

  nullableString(value: string | null, flexible: boolean): void {
    if (value !== null) return this.string(value, flexible)
    if (flexible) this.uvarint(0)
    else this.int16(-1)
  }

  /** Of bytes, records or an array: -1 for null. */
  lengthOrCount(value: number, flexible: boolean): void {
    if (flexible) this.uvarint(value + 1)
    else this.int32(value)
  }

  byteArray(value: Uint8Array, flexible: boolean): void {
    this.lengthOrCount(value.length, flexible)
    this.splice(value)
  }

  nullableByteArray(value: Uint8Array | null, flexible: boolean): void {
    if (value === null) this.lengthOrCount(-1, flexible)
    else this.byteArray(value, flexible)
  }

  records(value: Records, flexible: boolean): void {
    if (value instanceof Uint8Array) return this.byteArray(value, flexible)
    this.lengthOrCount(payloadLength(value), flexible)
    for (const payload of value) this.splice(payload)
  }

  nullableRecords(value: Records | null, flexible: boolean): void {
    if (value === null) this.lengthOrCount(-1, flexible)
    else this.records(value, flexible)
  }

  /** Copies bytes. */
  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length)
    this.#buffer.set(bytes, at)
  }

  /** Adds a payload without copying it, unless it is small. */
  splice(payload: Payload): void {
    if (!isFileSlice(payload) && (payload.length < SPLICE_BYTES || this.#openTags > 0)) return this.raw(payload)
    if (this.#openTags > 0) throw invalidValue("a tagged field cannot hold a slice of a file")
    this.#closePiece()
    this.#parts.push(payload)
    this.#partBytes += payload.length
  }

  #closePiece(): void {
    const length = this.#position - this.#pieceStart
    if (length === 0) return
    this.#parts.push(view(this.#buffer, this.#pieceStart, this.#position))
    this.#partBytes += length
    this.#pieceStart = this.#position
  }

  /** Starts a tagged field; its bytes follow, then `endTag` with what this gave. */
  beginTag(tag: number): number {
    this.uvarint(tag)
    this.#openTags++
    const at = this.#reserve(1)
    return at - this.#pieceStart
  }

  /** Puts the size before the field's bytes, which move when it takes more than the one byte kept for it. */
  endTag(mark: number): void {
    this.#openTags--
    const start = this.#pieceStart + mark + 1
    const size = this.#position - start
    if (size < 0x80) {
      this.#buffer[start - 1] = size
      return
    }
    let sizeBytes = 2
    for (let rest = size >>> 14; rest > 0; rest >>>= 7) sizeBytes++
    this.#reserve(sizeBytes - 1)
    // #reserve may have moved the piece.
    const from = this.#pieceStart + mark + 1
    this.#buffer.copyWithin(from + sizeBytes - 1, from, from + size)
    const end = this.#position
    this.#position = from - 1
    this.uvarint(size)
    this.#position = end
  }

  /** Writes those of `fields` from index `from` on whose tag is below `limit`; gives the index of the first left. */
  unknownTags(fields: ReadonlyArray<TaggedField> | undefined, from: number, limit: number): number {
    if (fields === undefined) return 0
    let index = from
    for (; index < fields.length; index++) {
      const field = fields[index]!
      if (field.tag >= limit) break
      this.uvarint(field.tag)
      this.uvarint(field.data.length)
      this.raw(field.data)
    }
    return index
  }

  /** The tagged fields of a struct that knows none. */
  tags(unknown: ReadonlyArray<TaggedField> | undefined): void {
    if (unknown === undefined) return this.uvarint(0)
    this.uvarint(unknown.length)
    this.unknownTags(unknown, 0, Infinity)
  }

  int8Array(values: ReadonlyArray<number>, flexible: boolean): void {
    this.lengthOrCount(values.length, flexible)
    for (const value of values) this.int8(value)
  }

  int16Array(values: ReadonlyArray<number>, flexible: boolean): void {
    this.lengthOrCount(values.length, flexible)
    for (const value of values) this.int16(value)
  }

  int32Array(values: ReadonlyArray<number>, flexible: boolean): void {
    this.lengthOrCount(values.length, flexible)
    for (const value of values) this.int32(value)
  }

  int64Array(values: ReadonlyArray<Int64>, flexible: boolean): void {
    this.lengthOrCount(values.length, flexible)
    for (const value of values) this.int64(value)
  }

  stringArray(values: ReadonlyArray<string>, flexible: boolean): void {
    this.lengthOrCount(values.length, flexible)
    for (const value of values) this.string(value, flexible)
  }

  uuidArray(values: ReadonlyArray<string>, flexible: boolean): void {
    this.lengthOrCount(values.length, flexible)
    for (const value of values) this.uuid(value)
  }

  /** Keeps four bytes for the size of the frame that starts here. Frames follow each other; they do not nest. */
  beginFrame(): void {
    this.#frameStart = this.length
    this.#framePart = this.#parts.length
    this.#frameOffset = this.#position - this.#pieceStart
    this.#reserve(4)
  }

  /** Ends the frame that `beginFrame` started: its size goes in front. */
  endFrame(): void {
    const size = this.length - this.#frameStart - 4
    if (this.#frameStart < 0 || size < 0) throw malformed("a frame begins with its size")
    this.#frameStart = -1
    // Something was spliced since: the piece with the size is a part already.
    const part = this.#parts[this.#framePart]
    const bytes = part instanceof Uint8Array ? part : this.#buffer
    const at = part === undefined ? this.#pieceStart + this.#frameOffset : this.#frameOffset
    bytes[at] = size >> 24
    bytes[at + 1] = size >> 16
    bytes[at + 2] = size >> 8
    bytes[at + 3] = size
  }

  /** The frames written, each with its size in front. */
  finishFrame(): Array<Payload> {
    this.endFrame()
    return this.finish()
  }

  /** What was written. Whoever takes it ends the leases of its slices; the writer starts anew. */
  finish(): Array<Payload> {
    this.#closePiece()
    this.#giveBack()
    const parts = this.#parts
    this.#parts = []
    this.#partBytes = 0
    return parts
  }

  /** What was written, as one array. @throws ProtocolError when slices of files are among it */
  toBytes(): Uint8Array {
    this.#giveBack()
    if (this.#parts.length === 0) return view(this.#buffer, this.#pieceStart, this.#position)
    this.#closePiece()
    const bytes = new Uint8Array(this.#partBytes)
    let at = 0
    for (const part of this.#parts) {
      if (isFileSlice(part)) throw invalidValue("slices of files are not bytes yet")
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }
}

const view = (bytes: Uint8Array, start: number, end: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)

const outOfRange = (type: string, value: unknown): Error => invalidValue(`not an ${type}: ${String(value)}`)
