/**
 * What one fetch brought of one partition: whole batches, decoded when they are asked for, record by record, into
 * objects that are made once. Plain functions: this is the consumer's hot path.
 *
 * Left out are records before the position (a fetch brings whole batches), control batches, and with read_committed
 * the records of aborted transactions.
 */
import type { Compression } from "../ports/Compression.ts"
import { CompressionError } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { controlRecordType, ControlRecordType } from "../records/ControlRecord.ts"
import { type RecordHeader, recordBytes, RecordReader } from "../records/Record.ts"
import { HEADER_SIZE_UP_TO_MAGIC, MAGIC_V2, RECORD_BATCH_OVERHEAD, RecordBatch } from "../records/RecordBatch.ts"
import { RecordError } from "../records/RecordError.ts"
import type { ConsumerRecord } from "./Consumer.ts"

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

export interface DecodeOptions {
  /** Undefined: CRCs are not checked (`check.crcs`). */
  readonly crypto: Crypto | undefined
  readonly compression: Compression
}

/** The offset after the last whole batch and that batch's leader epoch; undefined when there is none. */
export const endOfBatches = (
  bytes: Uint8Array
): { readonly nextOffset: number; readonly leaderEpoch: number; readonly endPosition: number } | undefined => {
  const batch = new RecordBatch(bytes, 0)
  let last = -1
  let at = 0
  while (bytes.length - at >= HEADER_SIZE_UP_TO_MAGIC) {
    batch.position = at
    const end = batch.endPosition
    // A magic or a size that cannot be is found when the batch is decoded, with its place in the message.
    if (end > bytes.length || end <= at || batch.magic !== MAGIC_V2) break
    last = at
    at = end
  }
  if (last < 0) return undefined
  batch.position = last
  return { nextOffset: batch.lastOffset + 1, leaderEpoch: batch.partitionLeaderEpoch, endPosition: at }
}

const NO_HEADERS: ReadonlyArray<RecordHeader> = []
const NO_RECORDS: Uint8Array = new Uint8Array(0)
const text: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true })
const TWO_28 = 0x1000_0000

export class FetchedRecords {
  readonly topic: string
  readonly partition: number
  readonly #bytes: Uint8Array
  readonly #batch: RecordBatch
  readonly #options: DecodeOptions
  /** In the order of their first offsets; undefined: read_uncommitted. */
  readonly #aborted: ReadonlyArray<AbortedTransaction> | undefined
  #abortedNext = 0
  readonly #abortedProducers: Set<number> = new Set()
  /** Records of the current batch that are left, in what it decompressed to. */
  #left = 0
  #records: Uint8Array = NO_RECORDS
  #at = 0
  #end = 0
  #baseOffset = 0
  #baseTimestamp = 0
  #appendTime: number | undefined
  #position = 0
  /** Of the next record to be given out. */
  nextOffset: number
  /** Leader epoch of the batch that `nextOffset` follows; -1: none yet. */
  leaderEpoch = -1

  constructor(
    of: { readonly topic: string; readonly partition: number },
    bytes: Uint8Array,
    fetchOffset: number,
    aborted: ReadonlyArray<AbortedTransaction> | undefined,
    options: DecodeOptions
  ) {
    this.topic = of.topic
    this.partition = of.partition
    this.#bytes = bytes
    this.#batch = new RecordBatch(bytes, 0)
    this.nextOffset = fetchOffset
    this.#aborted = aborted
    this.#options = options
  }

  /** What it holds, in bytes. */
  get sizeInBytes(): number {
    return this.#bytes.length
  }

  /**
   * Appends up to `max` records to `out`.
   * @returns whether there may be more
   * @throws RecordError, CompressionError: the bytes are not what they should be; `nextOffset` stays before them
   */
  take(max: number, out: Array<ConsumerRecord>): boolean {
    const limit = out.length + max
    while (out.length < limit) {
      if (this.#left === 0 && !this.#nextBatch()) return false
      this.#decode(limit - out.length, out)
    }
    return this.#left > 0 || this.#position < this.#bytes.length
  }

  /** Opens the next batch that has something to give; false at the end. */
  #nextBatch(): boolean {
    const batch = this.#batch
    const bytes = this.#bytes
    for (;;) {
      const at = this.#position
      const rest = bytes.length - at
      if (rest < HEADER_SIZE_UP_TO_MAGIC) return this.#finish()
      batch.position = at
      const end = batch.endPosition
      // The last batch may be cut off: it comes whole with the next fetch.
      if (end > bytes.length) return this.#finish()
      if (batch.magic !== MAGIC_V2) throw new RecordError(`magic ${batch.magic}, only batches of magic 2 are read`, at)
      if (end - at < RECORD_BATCH_OVERHEAD) throw new RecordError(`a batch of ${end - at} bytes`, at)
      const { crypto } = this.#options
      if (crypto !== undefined && !batch.isIntact(crypto)) {
        throw new RecordError(`Record batch at offset ${batch.baseOffset} is corrupt (stored crc = ${batch.crc}, computed crc = ${batch.computeCrc(crypto)})`, at)
      }
      if (this.#isSkipped(batch)) {
        this.#position = end
        this.#passed(batch)
        continue
      }
      const count = batch.recordCount
      const records = recordBytes(batch, this.#options.compression)
      this.#position = end
      this.#left = count
      this.#records = records
      this.#at = 0
      this.#end = records.length
      this.#baseOffset = batch.baseOffset
      this.#baseTimestamp = batch.baseTimestamp
      this.#appendTime = batch.usesLogAppendTime ? batch.maxTimestamp : undefined
      return true
    }
  }

  #finish(): boolean {
    this.#position = this.#bytes.length
    this.#records = NO_RECORDS
    return false
  }

  /** The whole batch lies behind: also what compaction left out at its end. */
  #passed(batch: RecordBatch): void {
    if (batch.lastOffset + 1 > this.nextOffset) this.nextOffset = batch.lastOffset + 1
    this.leaderEpoch = batch.partitionLeaderEpoch
  }

  #isSkipped(batch: RecordBatch): boolean {
    const aborted = this.#aborted
    if (aborted !== undefined && batch.hasProducerId) {
      const producerId = batch.producerId
      const lastOffset = batch.lastOffset
      while (this.#abortedNext < aborted.length && aborted[this.#abortedNext]!.firstOffset <= lastOffset) {
        this.#abortedProducers.add(aborted[this.#abortedNext++]!.producerId)
      }
      if (batch.isControl) {
        if (this.#isAbortMarker(batch)) this.#abortedProducers.delete(producerId)
      } else if (batch.isTransactional && this.#abortedProducers.has(producerId)) return true
    }
    return batch.isControl || batch.recordCount === 0 || batch.lastOffset < this.nextOffset
  }

  #isAbortMarker(batch: RecordBatch): boolean {
    if (batch.recordCount === 0) return false
    const reader = new RecordReader(recordBytes(batch, this.#options.compression), batch.recordCount)
    return reader.next() && controlRecordType(reader.key()) === ControlRecordType.ABORT
  }

  /** Decodes up to `max` records of the open batch. */
  #decode(max: number, out: Array<ConsumerRecord>): void {
    const bytes = this.#records
    const buffer = bytes.buffer
    const byteOffset = bytes.byteOffset
    const { partition, topic } = this
    const baseOffset = this.#baseOffset
    const appendTime = this.#appendTime
    const baseTimestamp = this.#baseTimestamp
    const leaderEpoch = this.#batch.partitionLeaderEpoch
    const timestampType = appendTime === undefined ? "CreateTime" : "LogAppendTime"
    const wanted = this.nextOffset
    let left = this.#left
    let room = max
    let next = this.nextOffset
    try {
      while (left > 0 && room > 0) {
        const length = this.#varint()
        const start = this.#at
        const end = start + length
        if (length < 0 || end > this.#end) {
          throw new RecordError(`Invalid record size: ${length} bytes where ${this.#end - start} remain`, start)
        }
        this.#at = start + 1 // attributes
        const timestampDelta = this.#varlong()
        const offset = baseOffset + this.#varint()
        const keyLength = this.#varint()
        const keyStart = this.#at
        if (keyLength > 0) this.#at = keyStart + keyLength
        const valueLength = this.#varint()
        const valueStart = this.#at
        if (valueLength > 0) this.#at = valueStart + valueLength
        const headerCount = this.#varint()
        const headers = headerCount === 0 ? NO_HEADERS : this.#headers(headerCount, end)
        // A length that leads out of the record ends elsewhere than its record does.
        if (this.#at !== end) {
          throw new RecordError(`Invalid record size: the fields of a record of ${length} bytes take ${this.#at - start}`, start)
        }
        left--
        if (offset < wanted) continue
        next = offset + 1
        room--
        out.push({
          topic,
          partition,
          offset,
          timestamp: appendTime ?? baseTimestamp + timestampDelta,
          timestampType,
          leaderEpoch,
          key: keyLength < 0 ? null : new Uint8Array(buffer, byteOffset + keyStart, keyLength),
          value: valueLength < 0 ? null : new Uint8Array(buffer, byteOffset + valueStart, valueLength),
          headers
        })
      }
    } finally {
      // What was given out before bytes that are not right is given out.
      this.nextOffset = next
    }
    this.#left = left
    this.leaderEpoch = leaderEpoch
    if (left > 0) return
    if (this.#at !== this.#end) {
      throw new RecordError("Incorrect declared batch size, records still remaining in file", this.#at)
    }
    this.#passed(this.#batch)
  }

  #headers(count: number, end: number): ReadonlyArray<RecordHeader> {
    const bytes = this.#records
    if (count < 0 || count > end - this.#at) throw new RecordError(`Found invalid number of record headers ${count}`, this.#at)
    const headers: Array<RecordHeader> = []
    for (let left = count; left > 0; left--) {
      const keyLength = this.#varint()
      const keyStart = this.#at
      if (keyLength < 0 || keyLength > end - keyStart) throw new RecordError("Invalid header key size", keyStart)
      this.#at = keyStart + keyLength
      const valueLength = this.#varint()
      const valueStart = this.#at
      if (valueLength > end - valueStart) throw new RecordError("Invalid header value size", valueStart)
      if (valueLength > 0) this.#at = valueStart + valueLength
      headers.push({
        key: text.decode(bytes.subarray(keyStart, keyStart + keyLength)),
        value: valueLength < 0 ? null : new Uint8Array(bytes.buffer, bytes.byteOffset + valueStart, valueLength)
      })
    }
    return headers
  }

  #varint(): number {
    const bytes = this.#records
    let at = this.#at
    let byte = bytes[at++]!
    if (byte < 0x80) {
      this.#at = at
      return (byte >>> 1) ^ -(byte & 1)
    }
    let raw = byte & 0x7f
    byte = bytes[at++]!
    raw |= (byte & 0x7f) << 7
    for (let shift = 14; byte >= 0x80; shift += 7) {
      if (shift > 28) throw new RecordError("a varint of more than 5 bytes", this.#at)
      byte = bytes[at++]!
      raw |= (byte & 0x7f) << shift
    }
    this.#at = at
    return (raw >>> 1) ^ -(raw & 1)
  }

  /** As a number: beyond 2^53 the nearest. */
  #varlong(): number {
    const bytes = this.#records
    const from = this.#at
    let at = from
    let low = 0
    let byte: number
    // 28 bits fit an int; nearly every delta does.
    for (let shift = 0; shift < 28; shift += 7) {
      byte = bytes[at++]!
      low |= (byte & 0x7f) << shift
      if (!(byte >= 0x80)) {
        this.#at = at
        return (low >>> 1) ^ -(low & 1)
      }
    }
    let scale = TWO_28
    let high = 0
    do {
      if (at - from >= 10) throw new RecordError("a varlong of more than 10 bytes", from)
      byte = bytes[at++]!
      high += (byte & 0x7f) * scale
      scale *= 128
    } while (byte >= 0x80)
    this.#at = at
    // Zigzag: the lowest bit is the sign; the halves are added after they are halved, to keep what fits.
    const half = high / 2 + (low >>> 1)
    return (low & 1) === 0 ? half : -half - 1
  }
}

/** What `take` throws for bytes that are not right. */
export const isCorrupt = (error: unknown): error is RecordError | CompressionError =>
  error instanceof RecordError || error instanceof CompressionError
