/**
 * What a leader asks of a produced batch before it may enter a log.
 * Signatures first; the checks follow.
 */
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { ProduceRefusal } from "./ProduceRefusal.ts"

export { scanBatches, validateReplicated } from "./BatchScan.ts"
export type { ProduceRefusal, RecordRefusal } from "./ProduceRefusal.ts"

/** A topic's `compression.type`. */
export type CompressionType = "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd"

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
  /** A coordinator of this broker writes, not a client: control batches are allowed. */
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

export const validateProduced = (
  records: Uint8Array,
  context: ValidationContext
): ProducedBatch | ProduceRefusal => {
  throw new Error(`not yet: ${records.length} bytes, produce ${context.apiVersion}`)
}
