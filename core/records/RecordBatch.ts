/**
 * Record batch v2 (KIP-98): the same bytes on disk and on the wire. Big endian.
 *
 * | offset | size | field                | meaning                                                               |
 * |-------:|-----:|----------------------|-----------------------------------------------------------------------|
 * |      0 |    8 | baseOffset           | offset of the first record; the leader stamps it                      |
 * |      8 |    4 | batchLength          | bytes that follow this field: size - 12                               |
 * |     12 |    4 | partitionLeaderEpoch | the leader stamps it                                                  |
 * |     16 |    1 | magic                | 2                                                                     |
 * |     17 |    4 | crc                  | CRC-32C of byte 21 to the end                                         |
 * |     21 |    2 | attributes           | bits 0-2 codec, 3 log-append time, 4 transactional, 5 control,        |
 * |        |      |                      | 6 baseTimestamp is the delete horizon (KIP-534)                       |
 * |     23 |    4 | lastOffsetDelta      | last offset - baseOffset; compaction may have removed that record     |
 * |     27 |    8 | baseTimestamp        | ms; what the records' timestamp deltas add to                         |
 * |     35 |    8 | maxTimestamp         | ms; with log-append time: every record's timestamp                    |
 * |     43 |    8 | producerId           | -1 without one                                                        |
 * |     51 |    2 | producerEpoch        | -1 without one (kafkajs: 0)                                           |
 * |     53 |    4 | baseSequence         | of the first record, -1 without one (kafkajs: 0)                      |
 * |     57 |    4 | recordCount          | 0 in a batch that compaction emptied                                  |
 * |     61 |      | records              | as in Record.ts; compressed as one block when there is a codec        |
 *
 * The CRC leaves out what the leader stamps, so stamping needs no new one.
 * An int64 beyond 2^53 (a timestamp such as Java's Long.MAX_VALUE) is read as the nearest number.
 */
import type { Crypto } from "../ports/Crypto.ts"
import { crc32cOf } from "./Crc32c.ts"

/** Bytes before the records. */
export const RECORD_BATCH_OVERHEAD = 61
/** baseOffset and batchLength: what must be there to know a batch's size. */
export const LOG_OVERHEAD = 12
/** Bytes up to and with the magic: what must be there to know a batch's format. */
export const HEADER_SIZE_UP_TO_MAGIC = 17
/** The smallest batchLength of any magic (a v0 record's overhead): below it Kafka calls the bytes corrupt. */
export const MIN_BATCH_LENGTH = 14
export const MAGIC_V2 = 2

export const NO_TIMESTAMP = -1
export const NO_PRODUCER_ID = -1
export const NO_PRODUCER_EPOCH = -1
export const NO_SEQUENCE = -1
export const NO_LEADER_EPOCH = -1

export const CODEC_MASK = 0x07
export const LOG_APPEND_TIME_FLAG = 0x08
export const TRANSACTIONAL_FLAG = 0x10
export const CONTROL_FLAG = 0x20
export const DELETE_HORIZON_FLAG = 0x40

/** The CRC of fewer bytes is computed here: a view on them and a call out of the runtime would take longer. */
const NATIVE_CRC_FROM = 256
const crcOf = (bytes: Uint8Array, from: number, end: number, crypto: Crypto): number =>
  end - from < NATIVE_CRC_FROM ? crc32cOf(bytes, from, end) : crypto.crc32c(bytes.subarray(from, end))

const LENGTH_AT = 8
const LEADER_EPOCH_AT = 12
const MAGIC_AT = 16
const CRC_AT = 17
/** The CRC covers from here to the end. */
const ATTRIBUTES_AT = 21
const LAST_OFFSET_DELTA_AT = 23
const BASE_TIMESTAMP_AT = 27
const MAX_TIMESTAMP_AT = 35
const PRODUCER_ID_AT = 43
const PRODUCER_EPOCH_AT = 51
const BASE_SEQUENCE_AT = 53
const RECORD_COUNT_AT = 57

const TWO_32 = 0x1_0000_0000

export const getInt32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

/** Exact up to 2^53, else the nearest number. */
export const getInt64 = (bytes: Uint8Array, at: number): number =>
  getInt32(bytes, at) * TWO_32 + (getInt32(bytes, at + 4) >>> 0)

export const setInt16 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export const setInt32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** What lies beyond int64 (2^63, the nearest number to Long.MAX_VALUE) becomes the nearest int64. */
export const setInt64 = (bytes: Uint8Array, at: number, value: number): void => {
  if (value >= 2 ** 63) {
    setInt32(bytes, at, 0x7fff_ffff)
    setInt32(bytes, at + 4, -1)
    return
  }
  setInt32(bytes, at, Math.floor(value / TWO_32))
  setInt32(bytes, at + 4, value >>> 0)
}

/** Bytes of the batch at `position`, header and all. Meaningful from `LOG_OVERHEAD` bytes on; not checked. */
export const batchSizeAt = (bytes: Uint8Array, position: number): number =>
  getInt32(bytes, position + LENGTH_AT) + LOG_OVERHEAD

/**
 * A view of the batch that begins at `position` of `bytes`. It may be moved. Nothing is checked here: a getter on
 * fewer than RECORD_BATCH_OVERHEAD bytes gives nonsense (see BatchScan.ts).
 */
export class RecordBatch {
  bytes: Uint8Array
  position: number

  constructor(bytes: Uint8Array, position: number = 0) {
    this.bytes = bytes
    this.position = position
  }

  get baseOffset(): number {
    return getInt64(this.bytes, this.position)
  }
  /** Inclusive. */
  get lastOffset(): number {
    return this.baseOffset + this.lastOffsetDelta
  }
  /** The offset after this batch's last. */
  get nextOffset(): number {
    return this.lastOffset + 1
  }
  /** Header and all. */
  get sizeInBytes(): number {
    return batchSizeAt(this.bytes, this.position)
  }
  /** Where the batch ends in `bytes`: the next one's position. */
  get endPosition(): number {
    return this.position + this.sizeInBytes
  }
  get partitionLeaderEpoch(): number {
    return getInt32(this.bytes, this.position + LEADER_EPOCH_AT)
  }
  /** As int8. */
  get magic(): number {
    return (this.bytes[this.position + MAGIC_AT]! << 24) >> 24
  }
  /** As stored, unsigned. */
  get crc(): number {
    return getInt32(this.bytes, this.position + CRC_AT) >>> 0
  }
  /** The low byte, which is all that Kafka uses. */
  get attributes(): number {
    return this.bytes[this.position + ATTRIBUTES_AT + 1]!
  }
  /** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 have no meaning. */
  get compressionCodec(): number {
    return this.attributes & CODEC_MASK
  }
  get usesLogAppendTime(): boolean {
    return (this.attributes & LOG_APPEND_TIME_FLAG) !== 0
  }
  get isTransactional(): boolean {
    return (this.attributes & TRANSACTIONAL_FLAG) !== 0
  }
  get isControl(): boolean {
    return (this.attributes & CONTROL_FLAG) !== 0
  }
  get lastOffsetDelta(): number {
    return getInt32(this.bytes, this.position + LAST_OFFSET_DELTA_AT)
  }
  get baseTimestamp(): number {
    return getInt64(this.bytes, this.position + BASE_TIMESTAMP_AT)
  }
  get maxTimestamp(): number {
    return getInt64(this.bytes, this.position + MAX_TIMESTAMP_AT)
  }
  /** From when on the cleaner may drop this batch's tombstones and markers; undefined when it has not been set. */
  get deleteHorizonMs(): number | undefined {
    return (this.attributes & DELETE_HORIZON_FLAG) !== 0 ? this.baseTimestamp : undefined
  }
  get producerId(): number {
    return getInt64(this.bytes, this.position + PRODUCER_ID_AT)
  }
  get hasProducerId(): boolean {
    return this.producerId > NO_PRODUCER_ID
  }
  get producerEpoch(): number {
    return (this.bytes[this.position + PRODUCER_EPOCH_AT]! << 24 >> 16) | this.bytes[this.position + PRODUCER_EPOCH_AT + 1]!
  }
  get baseSequence(): number {
    return getInt32(this.bytes, this.position + BASE_SEQUENCE_AT)
  }
  /** Sequences wrap from 2^31-1 to 0. */
  get lastSequence(): number {
    const base = this.baseSequence
    return base === NO_SEQUENCE ? NO_SEQUENCE : incrementSequence(base, this.lastOffsetDelta)
  }
  get recordCount(): number {
    return getInt32(this.bytes, this.position + RECORD_COUNT_AT)
  }

  /** The CRC that the bytes have, unsigned. */
  computeCrc(crypto: Crypto): number {
    const from = this.position + ATTRIBUTES_AT
    const end = this.endPosition
    return crcOf(this.bytes, from, end, crypto)
  }
  /** Whether the stored CRC is the bytes' own. */
  isIntact(crypto: Crypto): boolean {
    return this.crc === this.computeCrc(crypto)
  }

  /** What a leader does to a batch: gives it its place. The CRC stays right. */
  stamp(baseOffset: number, leaderEpoch: number): void {
    setInt64(this.bytes, this.position, baseOffset)
    setInt32(this.bytes, this.position + LEADER_EPOCH_AT, leaderEpoch)
  }
  /** Changes how and what time the batch states, and its CRC with it; nothing when it states that already. */
  setMaxTimestamp(logAppendTime: boolean, maxTimestamp: number, crypto: Crypto): void {
    if (this.usesLogAppendTime === logAppendTime && this.maxTimestamp === maxTimestamp) return
    const known = this.attributes & (CODEC_MASK | TRANSACTIONAL_FLAG | CONTROL_FLAG | DELETE_HORIZON_FLAG)
    setInt16(this.bytes, this.position + ATTRIBUTES_AT, logAppendTime ? known | LOG_APPEND_TIME_FLAG : known)
    setInt64(this.bytes, this.position + MAX_TIMESTAMP_AT, maxTimestamp)
    this.refreshCrc(crypto)
  }
  /** Stores the CRC that the bytes have now. */
  refreshCrc(crypto: Crypto): void {
    setInt32(this.bytes, this.position + CRC_AT, this.computeCrc(crypto))
  }
  /** The batch's own bytes, as a view. */
  toBytes(): Uint8Array {
    return this.bytes.subarray(this.position, this.endPosition)
  }
}

/** Sequences are int32 and wrap from 2^31-1 to 0. */
export const incrementSequence = (sequence: number, by: number): number => (sequence + by) & 0x7fff_ffff

/** What a batch's header says beside its sizes; writeBatchHeader takes all of it. */
export interface BatchHeader {
  readonly baseOffset: number
  readonly lastOffsetDelta: number
  readonly leaderEpoch: number
  /** As in the byte table. */
  readonly attributes: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
}

/** Writes the 61 bytes at `position` for a batch that ends at `end`, with the CRC of what is there. */
export const writeBatchHeader = (
  bytes: Uint8Array,
  position: number,
  end: number,
  header: BatchHeader,
  crypto: Crypto
): void => {
  setInt64(bytes, position, header.baseOffset)
  setInt32(bytes, position + LENGTH_AT, end - position - LOG_OVERHEAD)
  setInt32(bytes, position + LEADER_EPOCH_AT, header.leaderEpoch)
  bytes[position + MAGIC_AT] = MAGIC_V2
  setInt16(bytes, position + ATTRIBUTES_AT, header.attributes)
  setInt32(bytes, position + LAST_OFFSET_DELTA_AT, header.lastOffsetDelta)
  setInt64(bytes, position + BASE_TIMESTAMP_AT, header.baseTimestamp)
  setInt64(bytes, position + MAX_TIMESTAMP_AT, header.maxTimestamp)
  setInt64(bytes, position + PRODUCER_ID_AT, header.producerId)
  setInt16(bytes, position + PRODUCER_EPOCH_AT, header.producerEpoch)
  setInt32(bytes, position + BASE_SEQUENCE_AT, header.baseSequence)
  setInt32(bytes, position + RECORD_COUNT_AT, header.recordCount)
  setInt32(bytes, position + CRC_AT, crcOf(bytes, position + ATTRIBUTES_AT, end, crypto))
}
