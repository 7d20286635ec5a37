/**
 * What a leader asks of a produced batch before it may enter a log. The order of the checks is Kafka 4.3's, because
 * the first that fails is the answer:
 *
 *  1. there is one whole batch, of magic 2, and nothing behind it but less than another batch   INVALID_RECORD
 *     a size or magic that no batch has                                                        CORRUPT_MESSAGE
 *     zstd below Produce 7 (KIP-110)                                        UNSUPPORTED_COMPRESSION_TYPE
 *  2. a client's base offset is 0                                                               INVALID_RECORD
 *  3. size up to max.message.bytes                                                           MESSAGE_TOO_LARGE
 *  4. CRC                                                                                      CORRUPT_MESSAGE
 *  5. a client's offsets, count, sequence and control bit                                       INVALID_RECORD
 *  6. records: structure, count, offset deltas; keys on compacted topics                        INVALID_RECORD
 *     timestamps in range                                                                    INVALID_TIMESTAMP
 *     a codec that fails, here or when the batch is compressed anew                     UNKNOWN_SERVER_ERROR
 *  7. size once more when the batch was compressed anew                                      MESSAGE_TOO_LARGE
 *
 * Kafka corrects a max timestamp that no record has, and so do we; with log-append time it is the broker's clock.
 * Either changes header and CRC in place. Where we are stricter or answer otherwise: docs/compatibility.md.
 */
import { type Compression, type CompressionCodec, CompressionError } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { headerProblem } from "./BatchScan.ts"
import { compressWith, decompressWith } from "./Codec.ts"
import type { ProduceRefusal, RecordRefusal } from "./ProduceRefusal.ts"
import { MAX_DECOMPRESSED_BYTES, RecordReader, withTimestampDeltas } from "./Record.ts"
import {
  batchSizeAt,
  CODEC_MASK,
  CONTROL_FLAG,
  HEADER_SIZE_UP_TO_MAGIC,
  LOG_APPEND_TIME_FLAG,
  MAGIC_V2,
  NO_TIMESTAMP,
  RECORD_BATCH_OVERHEAD,
  RecordBatch,
  TRANSACTIONAL_FLAG,
  writeBatchHeader
} from "./RecordBatch.ts"
import { RecordError } from "./RecordError.ts"
import { makeWalkResult, walkRecords } from "./RecordWalk.ts"

export type { ProduceRefusal, RecordRefusal } from "./ProduceRefusal.ts"

/** A topic's `compression.type`. */
export type CompressionType = "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd"

const CODECS: Readonly<Record<Exclude<CompressionType, "producer">, 0 | CompressionCodec>> = {
  uncompressed: 0,
  gzip: 1,
  snappy: 2,
  lz4: 3,
  zstd: 4
}
const ZSTD = 4
/** The first Produce version whose clients all know zstd. */
const ZSTD_FROM_VERSION = 7
/** Record errors that the message repeats. */
const SHOWN_RECORD_ERRORS = 3

export interface ValidationContext {
  /** For messages: "topic-0". */
  readonly topicPartition?: string
  /** `cleanup.policy` has "compact": records need keys. */
  readonly compacted: boolean
  /** `max.message.bytes`: of the batch as it came, and of the batch as it is stored. */
  readonly maxMessageBytes: number
  readonly timestampType: "CreateTime" | "LogAppendTime"
  /** `message.timestamp.before.max.ms`, `.after.max.ms`; MAX_SAFE_INTEGER is no bound. */
  readonly timestampBeforeMaxMs: number
  readonly timestampAfterMaxMs: number
  readonly compressionType: CompressionType
  /** Of the codec that `compressionType` names; undefined for its default. */
  readonly compressionLevel: number | undefined
  readonly nowMs: number
  /** Of the Produce request. */
  readonly apiVersion: number
  readonly crypto: Crypto
  readonly compression: Compression
  /** A coordinator of this broker writes, not a client: control batches and any base offset are allowed. */
  readonly isCoordinator: boolean
}

/** A batch that may be appended; offsets and leader epoch are still to be stamped. */
export interface ProducedBatch {
  readonly _tag: "Batch"
  /** Exactly the batch: what was given (maybe with another timestamp, in place) or a rebuilt copy. */
  readonly bytes: Uint8Array
  readonly count: number
  readonly lastOffsetDelta: number
  /** With log-append time `nowMs`; -1 when no record has one. */
  readonly maxTimestamp: number
  /** Kafka's time index points to the batch's last offset: this is `lastOffsetDelta`, or -1 without a timestamp. */
  readonly offsetOfMaxTimestampDelta: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly isTransactional: boolean
  readonly isControl: boolean
  /** As stored: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  readonly codec: number
}

const refusal = (
  error: number,
  detail: string,
  message: string = "",
  recordErrors: ReadonlyArray<RecordRefusal> = []
): ProduceRefusal => ({ _tag: "Refusal", error, message, recordErrors, detail })

// Scratch of one synchronous call: nothing in it outlives validateProduced.
const walked = makeWalkResult()

/** `records`: one partition's part of a Produce request. Its bytes may be changed in place, also when it is refused. */
export const validateProduced = (
  records: Uint8Array,
  context: ValidationContext
): ProducedBatch | ProduceRefusal => {
  const unfit = requestProblem(records, context.apiVersion)
  if (unfit !== undefined) return unfit
  const size = batchSizeAt(records, 0)
  if (size < RECORD_BATCH_OVERHEAD) return refusal(ErrorCode.CORRUPT_MESSAGE, `a batch of ${size} bytes`)
  const batch = new RecordBatch(size === records.length ? records : records.subarray(0, size))
  const isClient = !context.isCoordinator
  const baseOffset = batch.baseOffset
  if (isClient && baseOffset !== 0) {
    return refusal(ErrorCode.INVALID_RECORD, `the base offset of a produced batch is ${baseOffset}, not 0`)
  }
  if (size > context.maxMessageBytes) return tooLarge(size, context.maxMessageBytes)
  const crypto = context.crypto
  if (!batch.isIntact(crypto)) {
    return refusal(ErrorCode.CORRUPT_MESSAGE, `stored CRC ${batch.crc}, computed ${batch.computeCrc(crypto)}`)
  }
  const codec = batch.compressionCodec
  if (codec > ZSTD) return refusal(ErrorCode.UNKNOWN_SERVER_ERROR, `unknown compression codec ${codec}`)
  if (isClient) {
    const problem = clientProblem(batch)
    if (problem !== undefined) return refusal(ErrorCode.INVALID_RECORD, problem)
  }
  return validateRecords(batch, codec as 0 | CompressionCodec, context)
}

const tooLarge = (size: number, limit: number): ProduceRefusal =>
  refusal(ErrorCode.MESSAGE_TOO_LARGE, `a batch of ${size} bytes is over max.message.bytes, ${limit}`)

/** Step 1: what Kafka looks at before it knows the partition. */
const requestProblem = (records: Uint8Array, apiVersion: number): ProduceRefusal | undefined => {
  const end = records.length
  const corrupt = headerProblem(records, 0, end)
  if (corrupt !== undefined) return refusal(ErrorCode.CORRUPT_MESSAGE, corrupt, corrupt)
  if (end < HEADER_SIZE_UP_TO_MAGIC || batchSizeAt(records, 0) > end) {
    return refusal(ErrorCode.INVALID_RECORD, `no whole batch in ${end} bytes`)
  }
  const magic = records[HEADER_SIZE_UP_TO_MAGIC - 1]!
  if (magic !== MAGIC_V2) return refusal(ErrorCode.INVALID_RECORD, `a batch of magic ${magic}`)
  const size = batchSizeAt(records, 0)
  if (apiVersion < ZSTD_FROM_VERSION && size > 22 && (records[22]! & CODEC_MASK) === ZSTD) {
    return refusal(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, `zstd in Produce ${apiVersion}`)
  }
  if (size === end) return undefined
  // Kafka leaves out an unfinished batch behind the first; a finished one is one too many.
  const second = headerProblem(records, size, end)
  if (second !== undefined) return refusal(ErrorCode.CORRUPT_MESSAGE, second)
  if (end - size >= HEADER_SIZE_UP_TO_MAGIC && size + batchSizeAt(records, size) <= end) {
    return refusal(ErrorCode.INVALID_RECORD, "more than one batch")
  }
  return undefined
}

/** Step 5. */
const clientProblem = (batch: RecordBatch): string | undefined => {
  const count = batch.recordCount
  const countFromOffsets = batch.lastOffsetDelta + 1
  if (countFromOffsets <= 0) return `an offset range of ${countFromOffsets}`
  if (count <= 0) return `a record count of ${count}`
  if (countFromOffsets !== count) return `${count} records in an offset range of ${countFromOffsets}`
  if (batch.isControl) return "clients are not allowed to write control records"
  if (batch.hasProducerId && batch.baseSequence < 0) return `sequence ${batch.baseSequence} with a producer id`
  return undefined
}

/** Steps 6 and 7. */
const validateRecords = (
  batch: RecordBatch,
  codec: 0 | CompressionCodec,
  context: ValidationContext
): ProducedBatch | ProduceRefusal => {
  let bytes = batch.bytes
  let from = RECORD_BATCH_OVERHEAD
  if (codec !== 0) {
    try {
      bytes = decompressWith(context.compression, codec, bytes.subarray(RECORD_BATCH_OVERHEAD), MAX_DECOMPRESSED_BYTES)
      from = 0
    } catch (error) {
      if (!(error instanceof CompressionError)) throw error
      return refusal(
        error.kind === "TooLong" ? ErrorCode.MESSAGE_TOO_LARGE : ErrorCode.UNKNOWN_SERVER_ERROR,
        `the records don't decompress: ${error.message}`
      )
    }
  }
  const count = batch.recordCount
  const base = batch.baseTimestamp
  let maxTimestamp = NO_TIMESTAMP
  const isCreateTime = context.timestampType === "CreateTime"
  if (
    !batch.usesLogAppendTime &&
    walkRecords(bytes, from, bytes.length, count, context.compacted, walked) &&
    (!isCreateTime || isInRange(base + walked.minTimestampDelta, context) && isInRange(base + walked.maxTimestampDelta, context))
  ) {
    maxTimestamp = Math.max(NO_TIMESTAMP, base + walked.maxTimestampDelta)
  } else {
    const found = explain(batch, from === 0 ? bytes : bytes.subarray(from), context)
    if (typeof found !== "number") return found
    maxTimestamp = found
  }
  return store(batch, codec, bytes, isCreateTime ? maxTimestamp : context.nowMs, context)
}

/** The codec to store the batch with. A control batch stays uncompressed. */
const targetCodec = (batch: RecordBatch, { compressionType }: ValidationContext): 0 | CompressionCodec => {
  const codec = batch.compressionCodec as 0 | CompressionCodec
  return compressionType === "producer" || (codec === 0 && batch.isControl) ? codec : CODECS[compressionType]
}

/** Stamps the time, compresses anew where the topic wants another codec. */
const store = (
  batch: RecordBatch,
  codec: 0 | CompressionCodec,
  recordBytes: Uint8Array,
  maxTimestamp: number,
  context: ValidationContext
): ProducedBatch | ProduceRefusal => {
  const { crypto } = context
  const target = targetCodec(batch, context)
  const logAppendTime = context.timestampType === "LogAppendTime"
  let stored = batch
  if (target === codec) batch.setMaxTimestamp(logAppendTime, maxTimestamp, crypto)
  else {
    try {
      stored = recompress(batch, codec, recordBytes, target, maxTimestamp, context)
    } catch (error) {
      if (!(error instanceof CompressionError)) throw error
      return refusal(ErrorCode.UNKNOWN_SERVER_ERROR, `the records don't compress with ${context.compressionType}: ${error.message}`)
    }
    const size = stored.bytes.length
    if (size > context.maxMessageBytes) return tooLarge(size, context.maxMessageBytes)
  }
  const lastOffsetDelta = batch.lastOffsetDelta
  return {
    _tag: "Batch",
    bytes: stored.bytes,
    count: batch.recordCount,
    lastOffsetDelta,
    maxTimestamp,
    offsetOfMaxTimestampDelta: maxTimestamp === NO_TIMESTAMP ? -1 : lastOffsetDelta,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    isTransactional: batch.isTransactional,
    isControl: batch.isControl,
    codec: target
  }
}

/**
 * Records keep their bytes when they count from the first one's timestamp, as nearly all clients' do. Kafka builds the
 * batch anew from its records, so what the header's base timestamp was before is lost, as are unused attributes.
 */
const recompress = (
  batch: RecordBatch,
  codec: 0 | CompressionCodec,
  recordBytes: Uint8Array,
  target: 0 | CompressionCodec,
  maxTimestamp: number,
  context: ValidationContext
): RecordBatch => {
  let plain = codec === 0 ? recordBytes.subarray(RECORD_BATCH_OVERHEAD) : recordBytes
  let baseTimestamp = batch.baseTimestamp
  const first = new RecordReader(plain, batch.recordCount)
  if (first.next()) {
    if (batch.usesLogAppendTime) {
      baseTimestamp = batch.maxTimestamp
      plain = withTimestampDeltas(plain, batch.recordCount, () => 0)
    } else if (first.timestampDelta !== 0) {
      const shift = first.timestampDelta
      baseTimestamp += shift
      plain = withTimestampDeltas(plain, batch.recordCount, (delta) => delta - shift)
    }
  }
  const packed = target === 0 ? plain : compressWith(context.compression, target, plain, context.compressionLevel)
  const bytes = new Uint8Array(RECORD_BATCH_OVERHEAD + packed.length)
  bytes.set(packed, RECORD_BATCH_OVERHEAD)
  const logAppendTimeBit = context.timestampType === "LogAppendTime" ? LOG_APPEND_TIME_FLAG : 0
  writeBatchHeader(bytes, 0, bytes.length, {
    baseOffset: batch.baseOffset,
    lastOffsetDelta: batch.lastOffsetDelta,
    leaderEpoch: batch.partitionLeaderEpoch,
    attributes: (batch.attributes & (TRANSACTIONAL_FLAG | CONTROL_FLAG)) | target | logAppendTimeBit,
    baseTimestamp,
    maxTimestamp,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    recordCount: batch.recordCount
  }, context.crypto)
  return new RecordBatch(bytes)
}

const isInRange = (timestamp: number, context: ValidationContext): boolean =>
  (context.timestampBeforeMaxMs === Number.MAX_SAFE_INTEGER || context.nowMs - timestamp <= context.timestampBeforeMaxMs) &&
  (context.timestampAfterMaxMs === Number.MAX_SAFE_INTEGER || timestamp - context.nowMs <= context.timestampAfterMaxMs)

/**
 * Walks records that the fast walk did not pass, record by record: gives what is wrong with each, or the largest
 * timestamp when nothing is after all.
 */
const explain = (
  batch: RecordBatch,
  recordBytes: Uint8Array,
  context: ValidationContext
): number | ProduceRefusal => {
  // Kafka skips over keys and values of a batch that stays compressed, and its messages show that.
  const isSkipped = batch.compressionCodec !== 0 && targetCodec(batch, context) === batch.compressionCodec
  const base = batch.baseTimestamp
  const appendTime = batch.usesLogAppendTime ? batch.maxTimestamp : undefined
  const isCreateTime = context.timestampType === "CreateTime"
  const where = context.topicPartition ?? "the partition"
  const errors: Array<RecordRefusal> = []
  let badTimestamps = false
  let maxTimestamp = NO_TIMESTAMP
  try {
    const reader = new RecordReader(recordBytes, batch.recordCount)
    while (reader.next()) {
      const index = reader.index
      const offset = batch.baseOffset + reader.offsetDelta
      if (reader.offsetDelta !== index) {
        return refusal(ErrorCode.INVALID_RECORD, `record ${index} has offset delta ${reader.offsetDelta}`)
      }
      const timestamp = appendTime ?? base + reader.timestampDelta
      if (timestamp > maxTimestamp) maxTimestamp = timestamp
      if (context.compacted && reader.keyLength < 0) {
        errors.push({
          index,
          message: `Compacted topic cannot accept message without key in topic partition ${where}`
        })
      } else if (isCreateTime && timestamp !== NO_TIMESTAMP) {
        if (!isInRange(timestamp, context)) {
          badTimestamps = true
          errors.push({ index, message: rangeMessage(timestamp, offset, context) })
        }
      } else if (appendTime !== undefined) {
        badTimestamps = true
        errors.push({
          index,
          message: `Invalid timestamp type in message ${isSkipped ? "Partial" : ""}${showRecord(reader, offset, timestamp)}. ` +
            "Producer should not set timestamp type to LogAppendTime."
        })
      }
    }
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
    return refusal(ErrorCode.INVALID_RECORD, error.message)
  }
  if (errors.length === 0) return maxTimestamp
  if (badTimestamps) {
    const message = "One or more records have been rejected due to invalid timestamp"
    return refusal(ErrorCode.INVALID_TIMESTAMP, message, message, errors)
  }
  const shown = errors.slice(0, SHOWN_RECORD_ERRORS).map(({ index, message }) =>
    `RecordError(batchIndex=${index}, message='${message}')`
  )
  const message = `One or more records have been rejected due to ${errors.length} record errors in total, ` +
    `and only showing the first three errors at most: [${shown.join(", ")}]`
  return refusal(ErrorCode.INVALID_RECORD, message, message, errors)
}

/** As an int64's text; MAX_SAFE_INTEGER in a configuration stands for Java's Long.MAX_VALUE. */
const bound = (ms: number): bigint => ms === Number.MAX_SAFE_INTEGER ? 0x7fff_ffff_ffff_ffffn : BigInt(ms)

const rangeMessage = (timestamp: number, offset: number, context: ValidationContext): string => {
  const now = BigInt(context.nowMs)
  const from = BigInt.asIntN(64, now - bound(context.timestampBeforeMaxMs))
  const to = BigInt.asIntN(64, now + bound(context.timestampAfterMaxMs))
  return `Timestamp ${timestamp >= 2 ** 63 ? 0x7fff_ffff_ffff_ffffn : BigInt(timestamp)} of message with offset ` +
    `${offset} is out of range. The timestamp should be within [${from}, ${to}]`
}

const showRecord = (reader: RecordReader, offset: number, timestamp: number): string =>
  `DefaultRecord(offset=${offset}, timestamp=${timestamp}, key=${Math.max(0, reader.keyLength)} bytes, ` +
  `value=${Math.max(0, reader.valueLength)} bytes)`
