/**
 * What compaction does with a batch, as Kafka's cleaner does it: the last value of each key stays where it is, with its
 * offset. Pure; the cleaner reads, writes and swaps files around it.
 *
 * A compaction walks the log twice. `indexBatch` gets the dirty batches and fills the map of keys; `compactBatch` gets
 * all batches from the log's start to the end of the last segment that the map reaches into.
 *
 * - A record goes when its key has a later offset in the map, or when it has no key. Records past the map's latest
 *   offset stay.
 * - A tombstone (a key with a null value) stays until the delete horizon of its batch (KIP-534). The first compaction
 *   that finds one sets the horizon, now + delete.retention.ms, and rewrites the batch's timestamps around it.
 * - Data of aborted transactions goes at once. A marker goes when no data of its transaction is left, after a delete
 *   horizon of its own.
 * - A batch keeps its base and last offset, so its sequences too. Emptied it is dropped, unless it holds the last
 *   sequence of a producer that is still known, or is the last batch below the compaction's end.
 * - A rebuilt batch keeps its codec, at the codec's default level.
 */
import type { Compression, CompressionCodec } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { emptyBatch } from "../records/BatchBuilder.ts"
import { compressWith } from "../records/Codec.ts"
import { recordBytes, RecordReader } from "../records/Record.ts"
import {
  DELETE_HORIZON_FLAG,
  NO_TIMESTAMP,
  RECORD_BATCH_OVERHEAD,
  type RecordBatch,
  writeBatchHeader
} from "../records/RecordBatch.ts"
import { RecordError } from "../records/RecordError.ts"
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from "../records/Varint.ts"
import type { CleanedTransactions } from "./CleanedTransactions.ts"
import type { OffsetMap } from "./OffsetMap.ts"

/** The first walk's context. */
export interface IndexContext {
  readonly map: OffsetMap
  /** The first dirty offset: records below it were compacted before. */
  readonly startOffset: number
  /** Knows the aborted transactions of the dirty offsets. */
  readonly transactions: CleanedTransactions
  readonly crypto: Crypto
  readonly compression: Compression
}

/**
 * Enters a batch's keys in the map. Aborted data and markers don't count.
 * @returns false when the map is full: its `latestOffset` says how far it got, maybe into this batch
 * @throws RecordError @throws CompressionError for a batch that is not whole
 */
export const indexBatch = (batch: RecordBatch, context: IndexContext): boolean => {
  requireIntact(batch, context.crypto)
  const { compression, map, startOffset, transactions } = context
  const doesNotCount = batch.isControl
    ? (transactions.onControlBatch(batch, compression), true)
    : transactions.onBatch(batch)
  if (!doesNotCount && batch.recordCount > 0) {
    const baseOffset = batch.baseOffset
    const reader = new RecordReader(recordBytes(batch, compression), batch.recordCount)
    while (reader.next()) {
      const offset = baseOffset + reader.offsetDelta
      if (reader.keyLength < 0 || offset < startOffset) continue
      if (!map.put(reader.bytes, reader.keyStart, reader.keyLength, offset)) return false
    }
  }
  if (batch.lastOffset >= startOffset) map.updateLatestOffset(batch.lastOffset)
  return true
}

/** What a producer that is still known did last in this log. */
export interface LastRecord {
  /** Of its last batch of data; -1 when only a marker is known. */
  readonly lastDataOffset: number
  readonly producerEpoch: number
}

/** The second walk's context. */
export interface CompactionContext {
  /** As the first walk left it. */
  readonly map: OffsetMap
  /** A new one, which is told the aborted transactions of each segment before its batches come. */
  readonly transactions: CleanedTransactions
  readonly lastRecords: ReadonlyMap<number, LastRecord>
  /** The first uncleanable offset: the batch that ends there is kept, if only empty, so that the offset is not lost. */
  readonly endOffset: number
  /** The same for the whole compaction. */
  readonly nowMs: number
  /** delete.retention.ms */
  readonly deleteRetentionMs: number
  readonly crypto: Crypto
  readonly compression: Compression
}

/**
 * What becomes of the next batch: nothing, its own bytes (a view), or bytes of a new one.
 * @throws RecordError @throws CompressionError for a batch that is not whole: nothing of the log may be replaced then
 */
export const compactBatch = (batch: RecordBatch, context: CompactionContext): Uint8Array | "Drop" => {
  const { compression, crypto, nowMs, transactions } = context
  // A batch that is rebuilt gets a CRC of its own, which must not make good what has rotted.
  requireIntact(batch, crypto)
  const isControl = batch.isControl
  const horizon = batch.deleteHorizonMs
  const isObsolete = isControl ? transactions.onControlBatch(batch, compression) : transactions.onBatch(batch)
  const dropsRecords = isControl ? isObsolete && horizon !== undefined && horizon <= nowMs : isObsolete
  const keepsEmpty = isLastOfProducer(batch, context) || batch.nextOffset === context.endOffset
  if (dropsRecords && !keepsEmpty) return "Drop"
  const count = batch.recordCount
  if (dropsRecords || count === 0) return keepsEmpty ? emptied(batch, crypto) : "Drop"

  const bytes = recordBytes(batch, compression)
  const walk = isControl ? allOf(bytes, count) : walkRecords(batch, bytes, context)
  if (walk.kept === 0) return keepsEmpty ? emptied(batch, crypto) : "Drop"
  const needsHorizon = horizon === undefined && (walk.hasTombstones || (isControl && isObsolete))
  if (walk.kept === count && !needsHorizon) return batch.toBytes()
  return rebuilt(batch, bytes, walk, needsHorizon ? nowMs + context.deleteRetentionMs : horizon, context)
}

const requireIntact = (batch: RecordBatch, crypto: Crypto): void => {
  if (batch.isIntact(crypto)) return
  throw new RecordError(`the batch at offset ${batch.baseOffset} has not the CRC that it states`, batch.position)
}

/**
 * Whether a producer's next sequence is checked against this batch. A producer of which only a marker is known needs
 * that: it has the last epoch.
 */
const isLastOfProducer = (batch: RecordBatch, context: CompactionContext): boolean => {
  if (!batch.hasProducerId) return false
  const last = context.lastRecords.get(batch.producerId)
  if (last === undefined) return false
  return last.lastDataOffset >= 0
    ? batch.lastOffset === last.lastDataOffset
    : batch.isControl && batch.producerEpoch === last.producerEpoch
}

/** Which records of a batch stay. */
interface Walk {
  /** One per record. */
  readonly stays: ReadonlyArray<boolean>
  readonly kept: number
  /** Among those that stay. */
  readonly hasTombstones: boolean
}

const allOf = (bytes: Uint8Array, count: number): Walk => {
  const reader = new RecordReader(bytes, count)
  const stays: Array<boolean> = []
  while (reader.next()) stays.push(true)
  return { stays, kept: stays.length, hasTombstones: false }
}

const walkRecords = (batch: RecordBatch, bytes: Uint8Array, context: CompactionContext): Walk => {
  const { map, nowMs } = context
  const { baseOffset, deleteHorizonMs: horizon } = batch
  const keepsTombstones = horizon === undefined || nowMs < horizon
  const { latestOffset } = map
  const reader = new RecordReader(bytes, batch.recordCount)
  const stays: Array<boolean> = []
  let kept = 0
  let hasTombstones = false
  while (reader.next()) {
    const offset = baseOffset + reader.offsetDelta
    const isTombstone = reader.valueLength < 0
    const staysHere = offset > latestOffset || (
      reader.keyLength >= 0 &&
      (!isTombstone || keepsTombstones) &&
      offset >= map.get(bytes, reader.keyStart, reader.keyLength)
    )
    stays.push(staysHere)
    if (!staysHere) continue
    kept++
    if (isTombstone) hasTombstones = true
  }
  return { stays, kept, hasTombstones }
}

const emptied = (batch: RecordBatch, crypto: Crypto): Uint8Array =>
  emptyBatch({
    baseOffset: batch.baseOffset,
    lastOffset: batch.lastOffset,
    leaderEpoch: batch.partitionLeaderEpoch,
    maxTimestamp: batch.maxTimestamp,
    usesLogAppendTime: batch.usesLogAppendTime,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    isTransactional: batch.isTransactional,
    isControl: batch.isControl
  }, crypto)

/** The batch with the records that stay. Only lengths and timestamps are written anew; the rest is copied as it is. */
const rebuilt = (
  batch: RecordBatch,
  bytes: Uint8Array,
  walk: Walk,
  horizon: number | undefined,
  context: CompactionContext
): Uint8Array => {
  const { compression, crypto } = context
  const appendTime = batch.usesLogAppendTime ? batch.maxTimestamp : undefined
  const oldBase = batch.baseTimestamp
  let base = horizon
  let maxTimestamp = NO_TIMESTAMP
  // A delta grows by 9 bytes at most, the record's length with it by 1, a key's or an offset's varint never.
  let out = new Uint8Array(RECORD_BATCH_OVERHEAD + bytes.length + walk.kept * 10)
  let at = RECORD_BATCH_OVERHEAD
  const reader = new RecordReader(bytes, batch.recordCount)
  while (reader.next()) {
    if (!walk.stays[reader.index]) continue
    const timestamp = appendTime ?? oldBase + reader.timestampDelta
    base ??= timestamp
    if (timestamp > maxTimestamp) maxTimestamp = timestamp
    const delta = timestamp - base
    const restStart = reader.keyStart
    const rest = reader.end - restStart
    const size = 1 + sizeOfVarlong(delta) + sizeOfVarint(reader.offsetDelta) + sizeOfVarint(reader.keyLength) + rest
    at = writeVarint(out, at, size)
    out[at++] = 0
    at = writeVarlong(out, at, delta)
    at = writeVarint(out, at, reader.offsetDelta)
    at = writeVarint(out, at, reader.keyLength)
    out.set(bytes.subarray(restStart, reader.end), at)
    at += rest
  }
  const codec = batch.compressionCodec
  if (codec !== 0) {
    const packed = compressWith(compression, codec as CompressionCodec, out.subarray(RECORD_BATCH_OVERHEAD, at))
    at = RECORD_BATCH_OVERHEAD + packed.length
    out = new Uint8Array(at)
    out.set(packed, RECORD_BATCH_OVERHEAD)
  }
  writeBatchHeader(out, 0, at, {
    baseOffset: batch.baseOffset,
    lastOffsetDelta: batch.lastOffsetDelta,
    leaderEpoch: batch.partitionLeaderEpoch,
    attributes: horizon === undefined ? batch.attributes & ~DELETE_HORIZON_FLAG : batch.attributes | DELETE_HORIZON_FLAG,
    baseTimestamp: base!,
    maxTimestamp: appendTime ?? maxTimestamp,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    recordCount: walk.kept
  }, crypto)
  return out.subarray(0, at)
}
