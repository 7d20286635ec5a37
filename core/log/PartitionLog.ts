/** One partition's log: an ordered list of record batches in segments, with its indexes, producers and leader epochs. */
import type { Effect } from "effect/Effect"
import type { DiskError } from "../ports/Disk.ts"
import type { LogConfig } from "./LogConfig.ts"
import type {
  AbortedTransaction,
  ActiveProducer,
  AppendResult,
  EpochEnd,
  FollowerAppended,
  FollowerAppendOptions,
  LeaderAppendOptions,
  ReadOptions,
  ReadResult,
  TimestampOffset
} from "./LogTypes.ts"

export type * from "./LogTypes.ts"

export interface PartitionLog {
  readonly topic: string
  readonly partition: number
  /** Kafka's base64url spelling. */
  readonly topicId: string
  /** Its path. */
  readonly directory: string
  readonly config: LogConfig
  setConfig(config: LogConfig): void

  readonly logStartOffset: number
  /** Exclusive end of what is written: nothing that is only staged. */
  readonly logEndOffset: number
  readonly sizeInBytes: number
  /** Exclusive end of what an fsync has covered. */
  readonly flushedOffset: number
  /** Same, as the checkpoint file has it: recovery scans from here. */
  readonly recoveryPoint: number

  /** Validates, checks sequences, stamps and stages `records`, whose bytes must stay as they are until `write`. */
  appendAsLeader(records: Uint8Array, options: LeaderAppendOptions): AppendResult
  /** Checks and stages batches that carry their offsets and epochs. @throws CorruptRecords */
  appendAsFollower(records: Uint8Array, options: FollowerAppendOptions): FollowerAppended
  /** Writes all that is staged. @throws DiskError after undoing all of it */
  write(): void
  /** flush.messages or flush.ms asks for a flush. */
  flushDue(nowMs: number): boolean
  /** fsync of all that is written; concurrent calls share one. */
  readonly flush: Effect<void, DiskError>

  /** Never past `endOffset`, one segment at a time. @throws DiskError */
  read(offset: number, options: ReadOptions): ReadResult
  /** In offset order, for reads of `[from, upTo)` with read_committed. */
  abortedTransactions(from: number, upTo: number): ReadonlyArray<AbortedTransaction>
  /** First offset of a transaction that is not decided. */
  readonly firstUnstableOffset: number | undefined
  /** The first record at or after `timestamp`. */
  offsetForTimestamp(timestamp: number): TimestampOffset | undefined
  /** The record with the largest timestamp. */
  maxTimestampOffset(): TimestampOffset | undefined

  /** -1 when the log has none. */
  readonly latestEpoch: number
  /** @throws DiskError */
  assignEpoch(epoch: number, startOffset: number): void
  endOffsetForEpoch(epoch: number): EpochEnd

  /** Removes records from `offset` on. @throws DiskError */
  truncateTo(offset: number): void
  /** Removes all records: the next one gets `offset`. @throws DiskError */
  truncateFullyAndStartAt(offset: number): void
  /** @throws DiskError */
  incrementLogStartOffset(offset: number): void

  activeProducers(): ReadonlyArray<ActiveProducer>
  /** Removes segments that retention allows, never past the high watermark. @throws DiskError */
  retain(nowMs: number, highWatermark: number): void
  /** @throws DiskError */
  rollIfDue(nowMs: number): void
  /** Ends every file that no lease holds. */
  close(): void
}
