/**
 * Builds one batch of magic 2 from records. Deterministic: the same records and options give the same bytes.
 * Bytes of records are written as they are appended, compressed when the batch is built.
 */
import type { Compression, CompressionCodec } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { compressWith } from "./Codec.ts"
import type { RecordHeader } from "./Record.ts"
import {
  CONTROL_FLAG,
  DELETE_HORIZON_FLAG,
  LOG_APPEND_TIME_FLAG,
  NO_LEADER_EPOCH,
  NO_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  NO_SEQUENCE,
  NO_TIMESTAMP,
  RECORD_BATCH_OVERHEAD,
  TRANSACTIONAL_FLAG,
  writeBatchHeader
} from "./RecordBatch.ts"
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from "./Varint.ts"

export interface BatchOptions {
  readonly crypto: Crypto
  /** Default 0, what a client sends. */
  readonly baseOffset?: number
  readonly leaderEpoch?: number
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly isTransactional?: boolean
  readonly isControl?: boolean
  /** With log-append time: every record has this timestamp, in ms. */
  readonly logAppendTimeMs?: number
  /** KIP-534; takes the base timestamp's place in the header. */
  readonly deleteHorizonMs?: number
  /** Default 0, none. */
  readonly codec?: 0 | CompressionCodec
  readonly level?: number
  /** Needed with a codec. */
  readonly compression?: Compression
  /** Of the batch, when it is more than its last record's: compaction keeps a batch's range. */
  readonly lastOffset?: number
}

export interface RecordInput {
  /** In ms. Default -1, none. */
  readonly timestamp?: number
  readonly key?: Uint8Array | null
  readonly value?: Uint8Array | null
  readonly headers?: ReadonlyArray<RecordHeader>
}

const NO_HEADERS: ReadonlyArray<RecordHeader> = []
/** What a builder claims at first, in bytes. */
const FIRST_CLAIM_BYTES = 512

const encoder: TextEncoder = new TextEncoder()

const sizeOfBytes = (bytes: Uint8Array | null): number =>
  bytes === null ? 1 : sizeOfVarint(bytes.length) + bytes.length

const utf8Length = (text: string): number => {
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) length++
    else if (unit < 0x800) length += 2
    else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      length += 4
      i++
    } else length += 3
  }
  return length
}

const sizeOfBody = (
  timestampDelta: number,
  offsetDelta: number,
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: ReadonlyArray<RecordHeader>
): number => {
  let size = 1 + sizeOfVarlong(timestampDelta) + sizeOfVarint(offsetDelta) + sizeOfBytes(key) + sizeOfBytes(value) +
    sizeOfVarint(headers.length)
  for (const header of headers) {
    const keyLength = utf8Length(header.key)
    size += sizeOfVarint(keyLength) + keyLength + sizeOfBytes(header.value)
  }
  return size
}

export class BatchBuilder {
  readonly #options: BatchOptions
  readonly #baseOffset: number
  #bytes: Uint8Array = new Uint8Array(FIRST_CLAIM_BYTES)
  #position: number = RECORD_BATCH_OVERHEAD
  #count = 0
  #lastOffset: number
  #baseTimestamp: number
  #hasBaseTimestamp: boolean
  #maxTimestamp: number = NO_TIMESTAMP

  constructor(options: BatchOptions) {
    this.#options = options
    this.#baseOffset = options.baseOffset ?? 0
    this.#lastOffset = this.#baseOffset - 1
    this.#baseTimestamp = options.deleteHorizonMs ?? NO_TIMESTAMP
    this.#hasBaseTimestamp = options.deleteHorizonMs !== undefined
  }

  get count(): number {
    return this.#count
  }
  /** Of the last record; one below the base offset when there is none. */
  get lastOffset(): number {
    return this.#lastOffset
  }
  /** What the batch has now, header and all, before compression. */
  get sizeInBytes(): number {
    return this.#position
  }
  /** What the batch would have with this record, before compression: for a producer's `batch.size`. */
  sizeWith(record: RecordInput): number {
    const delta = (record.timestamp ?? NO_TIMESTAMP) - this.#baseTimestamp
    const body = sizeOfBody(
      this.#hasBaseTimestamp ? delta : 0,
      this.#lastOffset + 1 - this.#baseOffset,
      record.key ?? null,
      record.value ?? null,
      record.headers ?? NO_HEADERS
    )
    return this.#position + sizeOfVarint(body) + body
  }

  /** At the next offset. */
  append(record: RecordInput): void {
    this.appendAt(this.#lastOffset + 1, record)
  }

  /** At an offset above the last one: compaction leaves gaps. */
  appendAt(offset: number, record: RecordInput): void {
    if (offset <= this.#lastOffset) throw new RangeError(`offset ${offset} after ${this.#lastOffset}`)
    const timestamp = record.timestamp ?? NO_TIMESTAMP
    const key = record.key ?? null
    const value = record.value ?? null
    const headers = record.headers ?? NO_HEADERS
    if (!this.#hasBaseTimestamp) {
      this.#baseTimestamp = timestamp
      this.#hasBaseTimestamp = true
    }
    const timestampDelta = timestamp - this.#baseTimestamp
    const offsetDelta = offset - this.#baseOffset
    const size = sizeOfBody(timestampDelta, offsetDelta, key, value, headers)
    this.#reserve(sizeOfVarint(size) + size)
    const bytes = this.#bytes
    let at = writeVarint(bytes, this.#position, size)
    bytes[at++] = 0
    at = writeVarlong(bytes, at, timestampDelta)
    at = writeVarint(bytes, at, offsetDelta)
    at = this.#writeBytes(at, key)
    at = this.#writeBytes(at, value)
    at = writeVarint(bytes, at, headers.length)
    for (const header of headers) {
      const length = utf8Length(header.key)
      at = writeVarint(bytes, at, length)
      encoder.encodeInto(header.key, bytes.subarray(at, at + length))
      at = this.#writeBytes(at + length, header.value)
    }
    this.#position = at
    this.#count++
    this.#lastOffset = offset
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
  }

  #writeBytes(at: number, value: Uint8Array | null): number {
    if (value === null) {
      this.#bytes[at] = 1 // -1 in zigzag
      return at + 1
    }
    const start = writeVarint(this.#bytes, at, value.length)
    this.#bytes.set(value, start)
    return start + value.length
  }

  #reserve(count: number): void {
    const needed = this.#position + count
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#position))
    this.#bytes = grown
  }

  /** The batch, in bytes of its own. The builder is done with. @throws CompressionError when the codec fails */
  build(): Uint8Array {
    const options = this.#options
    const codec = this.#count === 0 ? 0 : options.codec ?? 0
    let bytes = this.#bytes
    let end = this.#position
    if (codec !== 0) {
      if (options.compression === undefined) throw new TypeError("a codec needs the Compression port")
      const packed = compressWith(options.compression, codec, bytes.subarray(RECORD_BATCH_OVERHEAD, end), options.level)
      end = RECORD_BATCH_OVERHEAD + packed.length
      bytes = new Uint8Array(end)
      bytes.set(packed, RECORD_BATCH_OVERHEAD)
    }
    const lastOffset = options.lastOffset ?? this.#lastOffset
    writeBatchHeader(bytes, 0, end, {
      baseOffset: this.#baseOffset,
      lastOffsetDelta: lastOffset - this.#baseOffset,
      leaderEpoch: options.leaderEpoch ?? NO_LEADER_EPOCH,
      attributes: attributesOf(options, codec),
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: options.logAppendTimeMs ?? this.#maxTimestamp,
      producerId: options.producerId ?? NO_PRODUCER_ID,
      producerEpoch: options.producerEpoch ?? NO_PRODUCER_EPOCH,
      baseSequence: options.baseSequence ?? NO_SEQUENCE,
      recordCount: this.#count
    }, options.crypto)
    return bytes.subarray(0, end)
  }
}

const attributesOf = (options: BatchOptions, codec: number): number =>
  codec |
  (options.logAppendTimeMs === undefined ? 0 : LOG_APPEND_TIME_FLAG) |
  (options.isTransactional === true ? TRANSACTIONAL_FLAG : 0) |
  (options.isControl === true ? CONTROL_FLAG : 0) |
  (options.deleteHorizonMs === undefined ? 0 : DELETE_HORIZON_FLAG)

/** One call for a batch of some records. */
export const buildBatch = (records: ReadonlyArray<RecordInput>, options: BatchOptions): Uint8Array => {
  const builder = new BatchBuilder(options)
  for (const record of records) builder.append(record)
  return builder.build()
}

/** What compaction keeps of a batch whose records are all gone: its offsets, its producer's last sequence, its time. */
export interface EmptyBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  readonly maxTimestamp: number
  readonly usesLogAppendTime: boolean
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly isTransactional: boolean
  readonly isControl: boolean
}

/** A batch of 61 bytes without records. */
export const emptyBatch = (kept: EmptyBatch, crypto: Crypto): Uint8Array => {
  const bytes = new Uint8Array(RECORD_BATCH_OVERHEAD)
  writeBatchHeader(bytes, 0, RECORD_BATCH_OVERHEAD, {
    baseOffset: kept.baseOffset,
    lastOffsetDelta: kept.lastOffset - kept.baseOffset,
    leaderEpoch: kept.leaderEpoch,
    attributes: (kept.usesLogAppendTime ? LOG_APPEND_TIME_FLAG : 0) |
      (kept.isTransactional ? TRANSACTIONAL_FLAG : 0) |
      (kept.isControl ? CONTROL_FLAG : 0),
    baseTimestamp: NO_TIMESTAMP,
    maxTimestamp: kept.maxTimestamp,
    producerId: kept.producerId,
    producerEpoch: kept.producerEpoch,
    baseSequence: kept.baseSequence,
    recordCount: 0
  }, crypto)
  return bytes
}
