/**
 * A record inside a batch of magic 2. Lengths are zigzag varints; -1 is null.
 *
 * | field          | type    | meaning                                                            |
 * |----------------|---------|--------------------------------------------------------------------|
 * | length         | varint  | bytes that follow this field                                       |
 * | attributes     | int8    | unused                                                             |
 * | timestampDelta | varlong | adds to the batch's baseTimestamp                                  |
 * | offsetDelta    | varint  | adds to the batch's baseOffset                                     |
 * | key            | bytes   | varint length, bytes                                               |
 * | value          | bytes   | varint length, bytes                                               |
 * | headers        | array   | varint count; each: varint length and UTF-8 key (never null),      |
 * |                |         | varint length and bytes of the value                               |
 */
import type { Compression, CompressionCodec } from "../ports/Compression.ts"
import { decompressWith } from "./Codec.ts"
import { NO_SEQUENCE, incrementSequence, RECORD_BATCH_OVERHEAD, type RecordBatch } from "./RecordBatch.ts"
import { RecordError } from "./RecordError.ts"
import { sizeOfVarint, sizeOfVarlong, VarintReader, writeVarint, writeVarlong } from "./Varint.ts"

export interface RecordHeader {
  readonly key: string
  readonly value: Uint8Array | null
}

/** Key, value and header values are views on the batch (or on what it decompressed to). */
export interface Record {
  readonly offset: number
  /** In ms; beyond 2^53 the nearest number. */
  readonly timestamp: number
  /** -1 when the batch has none. */
  readonly sequence: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<RecordHeader>
}

/**
 * What a batch may decompress to, in bytes. Kafka streams and has no bound of its own; we hold the whole block, so a
 * small batch of zeros must not take all memory. 2.5 times the default of `socket.request.max.bytes`.
 */
export const MAX_DECOMPRESSED_BYTES: number = 256 * 1024 * 1024

const NO_HEADERS: ReadonlyArray<RecordHeader> = []
// A byte order mark at the start of a header key is part of it.
const decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * The bytes that hold a batch's records, decompressed when it has a codec.
 * @throws CompressionError @throws RecordError for a codec that does not exist
 */
export const recordBytes = (
  batch: RecordBatch,
  compression: Compression,
  maxBytes: number = MAX_DECOMPRESSED_BYTES
): Uint8Array => {
  const bytes = batch.bytes.subarray(batch.position + RECORD_BATCH_OVERHEAD, batch.endPosition)
  const codec = batch.compressionCodec
  if (codec === 0) return bytes
  if (codec > 4) throw new RecordError(`unknown compression codec ${codec}`, batch.position)
  return decompressWith(compression, codec as CompressionCodec, bytes, maxBytes)
}

/**
 * Steps from record to record without making objects: `next` moves, the fields tell where things are. Positions are in
 * `bytes`, lengths are -1 for null. What it was given is checked to the last byte: neither a field, nor a record, nor
 * all of them may reach past their end, and nothing may be left over.
 */
export class RecordReader {
  readonly bytes: Uint8Array
  /** The record's first byte (its length) and the byte after its last. */
  start = 0
  end = 0
  timestampDelta = 0
  offsetDelta = 0
  /** Where the key begins with its length: what lies before depends on the record's place in its batch. */
  keyLengthStart = 0
  keyStart = 0
  keyLength = -1
  valueStart = 0
  valueLength = -1
  headersStart = 0
  headerCount = 0
  /** Of the record that `next` found, from 0. */
  index = -1
  readonly #count: number
  readonly #reader: VarintReader

  /** `bytes` holds `count` records and nothing else. */
  constructor(bytes: Uint8Array, count: number) {
    if (count < 0) throw new RecordError(`Found invalid record count ${count} in magic v2 batch`, 0)
    this.bytes = bytes
    this.#count = count
    this.#reader = new VarintReader(bytes, 0, bytes.length)
  }

  /** @returns whether there was one more @throws RecordError */
  next(): boolean {
    const reader = this.#reader
    const total = this.bytes.length
    this.start = this.end
    reader.position = this.end
    reader.end = total
    if (this.index + 1 >= this.#count) {
      if (this.end !== total) {
        throw new RecordError("Incorrect declared batch size, records still remaining in file", this.end)
      }
      return false
    }
    if (this.end >= total) throw new RecordError("Incorrect declared batch size, premature EOF reached", this.end)
    this.index++
    const length = reader.varint()
    const end = reader.position + length
    if (length < 0 || end > total) {
      throw new RecordError(`Invalid record size: ${length} bytes where ${total - reader.position} remain`, this.start)
    }
    reader.end = end
    reader.int8()
    this.timestampDelta = reader.varlong()
    this.offsetDelta = reader.varint()
    this.keyLengthStart = reader.position
    this.keyLength = this.#skipBytes()
    this.keyStart = reader.position - Math.max(0, this.keyLength)
    this.valueLength = this.#skipBytes()
    this.valueStart = reader.position - Math.max(0, this.valueLength)
    this.headerCount = reader.varint()
    this.headersStart = reader.position
    if (this.headerCount < 0 || this.headerCount > end - reader.position) {
      throw new RecordError(`Found invalid number of record headers ${this.headerCount}`, reader.position)
    }
    for (let left = this.headerCount; left > 0; left--) {
      if (this.#skipBytes() < 0) throw new RecordError("Invalid negative header key size", reader.position)
      this.#skipBytes()
    }
    if (reader.position !== end) {
      throw new RecordError(
        `Invalid record size: ${end - reader.position} bytes are left of a record of ${length}`,
        reader.position
      )
    }
    this.end = end
    return true
  }

  /** Length and bytes; gives the length, -1 for null. */
  #skipBytes(): number {
    const reader = this.#reader
    const length = reader.varint()
    if (length < 0) return -1
    if (length > reader.end - reader.position) {
      throw new RecordError(`${length} bytes where ${reader.end - reader.position} remain`, reader.position)
    }
    reader.position += length
    return length
  }

  key(): Uint8Array | null {
    return this.keyLength < 0 ? null : this.bytes.subarray(this.keyStart, this.keyStart + this.keyLength)
  }

  value(): Uint8Array | null {
    return this.valueLength < 0 ? null : this.bytes.subarray(this.valueStart, this.valueStart + this.valueLength)
  }

  headers(): ReadonlyArray<RecordHeader> {
    if (this.headerCount === 0) return NO_HEADERS
    const reader = new VarintReader(this.bytes, this.headersStart, this.end)
    const take = (): Uint8Array | null => {
      const length = reader.varint()
      if (length < 0) return null
      reader.position += length
      return this.bytes.subarray(reader.position - length, reader.position)
    }
    const headers: Array<RecordHeader> = []
    for (let left = this.headerCount; left > 0; left--) {
      const key = decoder.decode(take() ?? undefined)
      headers.push({ key, value: take() })
    }
    return headers
  }
}

/**
 * A copy of `count` records whose timestamps count from elsewhere; what `of` makes of each delta is the new one.
 * @throws RecordError
 */
export const withTimestampDeltas = (bytes: Uint8Array, count: number, of: (delta: number) => number): Uint8Array => {
  // Both passes step over the same records: sizes first, then the bytes.
  const bodySize = (reader: RecordReader, delta: number): number =>
    1 + sizeOfVarlong(delta) + sizeOfVarint(reader.offsetDelta) + reader.end - reader.keyLengthStart
  let size = 0
  for (const reader = new RecordReader(bytes, count); reader.next();) {
    const body = bodySize(reader, of(reader.timestampDelta))
    size += sizeOfVarint(body) + body
  }
  const copy = new Uint8Array(size)
  let at = 0
  for (const reader = new RecordReader(bytes, count); reader.next();) {
    const delta = of(reader.timestampDelta)
    // Attributes, unused, stay 0.
    at = writeVarint(copy, at, bodySize(reader, delta)) + 1
    at = writeVarlong(copy, at, delta)
    at = writeVarint(copy, at, reader.offsetDelta)
    copy.set(bytes.subarray(reader.keyLengthStart, reader.end), at)
    at += reader.end - reader.keyLengthStart
  }
  return copy
}

/**
 * A batch's records, one at a time.
 * @throws RecordError @throws CompressionError, both while iterating: what came before is good
 */
export function* records(
  batch: RecordBatch,
  compression: Compression,
  maxBytes: number = MAX_DECOMPRESSED_BYTES
): Generator<Record, void, undefined> {
  const count = batch.recordCount
  const baseOffset = batch.baseOffset
  const baseTimestamp = batch.baseTimestamp
  const baseSequence = batch.baseSequence
  const appendTime = batch.usesLogAppendTime ? batch.maxTimestamp : undefined
  // Kafka looks into an emptied batch no further: its codec bits may say anything.
  if (count === 0) return
  const reader = new RecordReader(recordBytes(batch, compression, maxBytes), count)
  while (reader.next()) {
    yield {
      offset: baseOffset + reader.offsetDelta,
      timestamp: appendTime ?? baseTimestamp + reader.timestampDelta,
      sequence: baseSequence < 0 ? NO_SEQUENCE : incrementSequence(baseSequence, reader.offsetDelta),
      key: reader.key(),
      value: reader.value(),
      headers: reader.headers()
    }
  }
}
