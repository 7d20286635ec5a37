/**
 * One partition's log: an ordered list of record batches in segments, with its producers and leader epochs.
 *
 * Appending has two steps. `appendAsLeader` and `appendAsFollower` check a batch and stage it; `write` brings all that
 * is staged to the disk with one write, and only then does it count. When the disk refuses, everything staged is taken
 * back: nothing refused is ever read, not after a restart either.
 */
import * as Effect from "effect/Effect"
import { invariant } from "../model/Invariant.ts"
import { DiskError } from "../ports/Disk.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { validateReplicated } from "../records/BatchScan.ts"
import { type ProducedBatch, type ProduceRefusal, validateProduced, type ValidationContext } from "../records/BatchValidation.ts"
import { RecordBatch } from "../records/RecordBatch.ts"
import { type FlushWork, Flusher } from "./Flusher.ts"
import { LeaderEpochCache } from "./LeaderEpochCache.ts"
import type { LogConfig } from "./LogConfig.ts"
import type { LogContext } from "./LogContext.ts"
import { showEpochs } from "./Checkpoints.ts"
import { DELETED_SUFFIX, LEADER_EPOCH_CHECKPOINT, PARTITION_METADATA } from "./LogFiles.ts"
import { findAborted, findByTimestamp, findMaxTimestamp } from "./LogQueries.ts"
import { LogReader } from "./LogReader.ts"
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
import { type ProducerSnapshots, loadProducers, observeBatch } from "./ProducerSnapshots.ts"
import type { ProducerState } from "./ProducerState.ts"
import { deletableSegments } from "./Retention.ts"
import { Rolling } from "./Rolling.ts"
import { Segment } from "./Segment.ts"
import { Segments } from "./Segments.ts"
import { Staging } from "./Staging.ts"
import { replaceFile } from "./TextFile.ts"

export type * from "./LogTypes.ts"

/** What loading or creating a log gives it. */
export interface LogParts {
  readonly topic: string
  readonly partition: number
  readonly topicId: string
  readonly directory: string
  readonly config: LogConfig
  readonly segments: Segments
  readonly producers: ProducerState
  readonly snapshots: ProducerSnapshots
  readonly epochs: LeaderEpochCache
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly flushedOffset: number
}

export class PartitionLog {
  readonly topic: string
  readonly partition: number
  /** Kafka's base64url spelling. */
  readonly topicId: string
  /** For the cleaner and tests. */
  readonly segments: Segments
  readonly producers: ProducerState
  /** fsync of all that is written; concurrent calls share one. */
  readonly flush: Effect.Effect<void, DiskError>
  private readonly context: LogContext
  private readonly snapshots: ProducerSnapshots
  private readonly epochs: LeaderEpochCache
  private readonly reader: LogReader
  private readonly staging = new Staging()
  private readonly rolling = new Rolling()
  private readonly view = new RecordBatch(new Uint8Array(0))
  private path: string
  private logConfig: LogConfig
  private validation: { -readonly [K in keyof ValidationContext]: ValidationContext[K] }
  private startOffset: number
  private endOffset: number
  /** The end offset once what is staged is written. */
  private stagedEndOffset: number
  private stagedMs = 0
  private epochsBefore: LeaderEpochCache["entries"] | undefined
  private flushed: number
  /** When the oldest record that is not flushed was appended. */
  private unflushedSinceMs = 0
  /** Closed segments whose files wait for a sync. */
  private readonly unsynced = new Set<Segment>()
  /** Names were made or changed since the last flush. */
  private isDirectoryDirty = true
  /** The name of its directory and its topic's id are not known to be on the device. */
  private isNameDirty = true
  private isEpochFileDirty = true
  /** leader-epoch-checkpoint has an epoch that was taken back. */
  private isEpochFileStale = false
  /** A failed write could not be taken back: bytes may lie after the log's end. */
  private isTailDirty = false
  private knowsHighWatermark = false
  private failure: DiskError | undefined
  private isClosed = false

  constructor(context: LogContext, parts: LogParts) {
    this.context = context
    this.topic = parts.topic
    this.partition = parts.partition
    this.topicId = parts.topicId
    this.path = parts.directory
    this.logConfig = parts.config
    this.segments = parts.segments
    this.producers = parts.producers
    this.snapshots = parts.snapshots
    this.epochs = parts.epochs
    this.startOffset = parts.logStartOffset
    this.endOffset = parts.logEndOffset
    this.stagedEndOffset = parts.logEndOffset
    this.flushed = parts.flushedOffset
    this.reader = new LogReader(context.headers)
    this.rolling.reset(this.segments.active)
    this.validation = this.validationOf(parts.config)
    for (const segment of this.segments.all) if (segment.isDirty && segment !== this.segments.active) this.unsynced.add(segment)
    this.flush = new Flusher(() => this.beginFlush(), (error) => this.fail(error)).flush
  }

  // -- state -----------------------------------------------------------------------------------------------------

  /** Its directory's path. */
  get directory(): string {
    return this.path
  }
  get config(): LogConfig {
    return this.logConfig
  }
  get logStartOffset(): number {
    return this.startOffset
  }
  /** Exclusive end of what is written: nothing that is only staged. */
  get logEndOffset(): number {
    return this.endOffset
  }
  get sizeInBytes(): number {
    return this.segments.sizeInBytes
  }
  /** Exclusive end of what an fsync has covered. */
  get flushedOffset(): number {
    return this.flushed
  }
  /** What the recovery point checkpoint should say: recovery trusts what is below. */
  get recoveryPoint(): number {
    return this.flushed
  }
  /** Why the log takes nothing more: its disk failed. */
  get failed(): DiskError | undefined {
    return this.failure
  }

  setConfig(config: LogConfig): void {
    this.logConfig = config
    this.validation = this.validationOf(config)
  }

  private validationOf(config: LogConfig): PartitionLog["validation"] {
    const { compressionType } = config
    return {
      topicPartition: `${this.topic}-${this.partition}`,
      compacted: config.cleanupPolicy.compact,
      maxMessageBytes: config.maxMessageBytes,
      timestampType: config.messageTimestampType,
      timestampBeforeMaxMs: config.messageTimestampBeforeMaxMs,
      timestampAfterMaxMs: config.messageTimestampAfterMaxMs,
      compressionType,
      compressionLevel: compressionType === "gzip"
        ? config.compressionGzipLevel
        : compressionType === "lz4"
        ? config.compressionLz4Level
        : compressionType === "zstd"
        ? config.compressionZstdLevel
        : undefined,
      nowMs: 0,
      apiVersion: 0,
      crypto: this.context.crypto,
      compression: this.context.compression,
      isCoordinator: false
    }
  }

  /** Anything but lack of space (or a file that is in use) means that the disk can't be trusted. */
  private fail(error: DiskError): void {
    if (error.kind === "NoSpace" || error.kind === "Busy" || this.failure !== undefined) return
    this.failure = error
    this.context.failed(this, error)
  }

  /** Runs work with the disk, and takes note when it fails. @throws DiskError */
  private guarded<A>(run: () => A): A {
    if (this.failure !== undefined) throw this.failure
    try {
      return run()
    } catch (error) {
      if (error instanceof DiskError) this.fail(error)
      throw error
    }
  }

  // -- staging ---------------------------------------------------------------------------------------------------

  /** Validates, checks sequences, stamps and stages `records`, whose bytes must stay as they are until `write`. */
  appendAsLeader(records: Uint8Array, options: LeaderAppendOptions): AppendResult {
    const { validation } = this
    validation.nowMs = options.nowMs
    validation.apiVersion = options.apiVersion
    validation.isCoordinator = options.isCoordinator === true
    const produced = validateProduced(records, validation)
    if (produced._tag === "Refusal") return produced
    const { bytes } = produced
    if (bytes.length > this.logConfig.segmentBytes) {
      return refusal(
        ErrorCode.RECORD_LIST_TOO_LARGE,
        `Message batch size is ${bytes.length} bytes in append to partition ${this.topic}-${this.partition}, which exceeds the maximum configured segment size of ${this.logConfig.segmentBytes}.`
      )
    }
    const baseOffset = this.stagedEndOffset
    const lastOffset = baseOffset + produced.lastOffsetDelta
    if (!Number.isSafeInteger(lastOffset)) return refusal(ErrorCode.UNKNOWN_SERVER_ERROR, "offset beyond 2^53-1")
    if (produced.producerId >= 0 && !produced.isControl) {
      const known = this.checkSequence(produced)
      if (known !== undefined) return known
    }
    const { view } = this
    view.bytes = bytes
    view.position = 0
    view.stamp(baseOffset, options.leaderEpoch)
    if (options.leaderEpoch > this.epochs.latestEpoch) this.stageEpoch(options.leaderEpoch, baseOffset)
    this.stage(view, bytes, baseOffset, lastOffset, produced.maxTimestamp, options.nowMs)
    return {
      _tag: "Appended",
      baseOffset,
      lastOffset,
      logAppendTimeMs: this.logConfig.messageTimestampType === "LogAppendTime" ? options.nowMs : -1,
      logStartOffset: this.startOffset,
      duplicate: false
    }
  }

  private checkSequence(produced: ProducedBatch): AppendResult | undefined {
    const verdict = this.producers.check(
      produced.producerId,
      produced.producerEpoch,
      produced.baseSequence,
      produced.lastOffsetDelta,
      produced.isTransactional
    )
    if (verdict._tag === "Next") return undefined
    if (verdict._tag === "Refused") return refusal(verdict.error, verdict.message)
    const { lastOffset, offsetDelta, timestamp } = verdict.batch
    return {
      _tag: "Appended",
      baseOffset: lastOffset - offsetDelta,
      lastOffset,
      logAppendTimeMs: timestamp,
      logStartOffset: this.startOffset,
      duplicate: true
    }
  }

  /** Checks and stages batches that carry their offsets and epochs. */
  appendAsFollower(records: Uint8Array, options: FollowerAppendOptions): FollowerAppended | ProduceRefusal {
    const { crypto } = this.context
    const { leaderEpoch, nowMs } = options
    const replicated = validateReplicated(
      records,
      leaderEpoch === undefined
        ? { crypto, nextOffset: this.stagedEndOffset }
        : { crypto, nextOffset: this.stagedEndOffset, leaderEpoch }
    )
    if (replicated._tag === "Refusal") return replicated
    const { batches } = replicated
    for (const batch of batches) {
      const epoch = batch.partitionLeaderEpoch
      if (epoch > this.epochs.latestEpoch) this.stageEpoch(epoch, batch.baseOffset)
      this.stage(batch, batch.toBytes(), batch.baseOffset, batch.lastOffset, batch.maxTimestamp, nowMs)
    }
    return {
      _tag: "Appended",
      baseOffset: batches[0]?.baseOffset ?? -1,
      lastOffset: batches.at(-1)?.lastOffset ?? -1
    }
  }

  private stage(
    batch: RecordBatch,
    bytes: Uint8Array,
    baseOffset: number,
    lastOffset: number,
    maxTimestamp: number,
    nowMs: number
  ): void {
    const { rolling, staging } = this
    if (rolling.isDue(this.logConfig, bytes.length, lastOffset, maxTimestamp, nowMs)) {
      // The new segment is named by the log end, as the snapshot of the producers before it.
      const rollOffset = this.stagedEndOffset
      rolling.rolled(rollOffset, nowMs, this.jitterMs())
      staging.rolls.push({ index: staging.count, baseOffset: rollOffset, snapshot: this.snapshots.encode(this.producers) })
    }
    rolling.staged(bytes.length, maxTimestamp)
    if (batch.hasProducerId) {
      const completed = observeBatch(this.producers, batch, this.context)
      if (completed?.isAborted === true) {
        const lastStableOffset = this.producers.lastStableOffsetAfter(completed)
        staging.aborts.push({ index: staging.count, completed, lastStableOffset })
      }
    }
    staging.add(bytes, baseOffset, lastOffset, maxTimestamp)
    this.stagedEndOffset = lastOffset + 1
    this.stagedMs = nowMs
  }

  private stageEpoch(epoch: number, startOffset: number): void {
    this.epochsBefore ??= this.epochs.entries
    this.epochs.assign(epoch, startOffset)
  }

  private jitterMs(): number {
    const { segmentJitterMs, segmentMs } = this.logConfig
    return segmentJitterMs === 0 ? 0 : Math.floor(this.context.random() * Math.min(segmentJitterMs, segmentMs))
  }

  // -- writing ---------------------------------------------------------------------------------------------------

  /** Writes all that is staged. @throws DiskError after undoing all of it */
  write(): void {
    const { staging } = this
    const { count, rolls } = staging
    if (count === 0) return
    const startedAt = this.segments.active
    const sizeBefore = startedAt.size
    try {
      if (this.failure !== undefined) throw this.failure
      if (this.epochsBefore !== undefined || this.isEpochFileStale) this.writeEpochs()
      if (this.isTailDirty) {
        startedAt.cutUnwritten()
        this.isTailDirty = false
      }
      let from = 0
      for (const { baseOffset, index, snapshot } of rolls) {
        if (index > from) this.writeGroup(from, index)
        this.beginSegment(baseOffset, snapshot, this.stagedMs)
        from = index
      }
      this.writeGroup(from, count)
    } catch (error) {
      this.undo(startedAt, sizeBefore)
      if (error instanceof DiskError) this.fail(error)
      throw error
    }
    if (this.endOffset <= this.flushed) this.unflushedSinceMs = this.stagedMs
    this.endOffset = this.stagedEndOffset
    this.epochsBefore = undefined
    this.producers.commit()
    const hasRolled = rolls.length > 0
    staging.clear()
    if (hasRolled) {
      this.rolling.made(this.segments.active)
      this.context.rolled(this)
    }
  }

  private writeGroup(from: number, to: number): void {
    const { baseOffsets, bytes, lastOffsets, maxTimestamps } = this.staging
    const segment = this.segments.active
    segment.reserve(to - from)
    for (const { completed, index, lastStableOffset } of this.staging.aborts) {
      if (index < from || index >= to) continue
      const { firstOffset, lastOffset, producerId } = completed
      segment.txnIndex.append({ producerId, firstOffset, lastOffset, lastStableOffset })
    }
    segment.file.write(from === 0 && to === bytes.length ? bytes : bytes.slice(from, to), segment.size)
    segment.modifiedMs = this.stagedMs
    const interval = this.logConfig.indexIntervalBytes
    for (let i = from; i < to; i++) {
      const size = bytes[i]!.length
      this.reader.appended(segment, baseOffsets[i]!, lastOffsets[i]!, segment.size, size)
      segment.appended(size, lastOffsets[i]!, maxTimestamps[i]!, interval)
    }
  }

  /** Closes the active segment and makes the next. @throws DiskError */
  private beginSegment(baseOffset: number, snapshot: Uint8Array, nowMs: number): void {
    const closed = this.segments.active
    closed.finish()
    this.unsynced.add(closed)
    this.snapshots.write(baseOffset, snapshot)
    this.segments.add(Segment.create(this.context, this.path, baseOffset, nowMs))
    this.isDirectoryDirty = true
  }

  /**
   * Takes back all that is staged: the disk did not take it. What a write has left in the files is cut off; should
   * even that fail, the next write tries again first.
   */
  private undo(startedAt: Segment, sizeBefore: number): void {
    this.staging.clear()
    this.stagedEndOffset = this.endOffset
    this.producers.rollback()
    this.reader.forget()
    if (this.epochsBefore !== undefined) {
      this.epochs.entries = this.epochsBefore
      this.epochsBefore = undefined
      // The file may have the new epoch. At a start it is past the log's end and goes; an append must not make it real.
      this.isEpochFileStale = true
    }
    this.isTailDirty = true
    try {
      const made = this.segments.all.slice(this.segments.all.indexOf(startedAt) + 1)
      if (made.length > 0) this.segments.replace(made, [])
      for (const segment of [startedAt, ...made]) this.unsynced.delete(segment)
      for (const segment of made) segment.remove()
      this.snapshots.removeUnless((offset) => offset <= this.endOffset)
      // Only before a roll can batches have been counted.
      if (startedAt.size > sizeBefore) startedAt.cut(sizeBefore, this.endOffset)
      else startedAt.txnIndex.truncateTo(this.endOffset)
      startedAt.cutUnwritten()
      this.isTailDirty = false
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.fail(error)
    }
    this.rolling.reset(this.segments.active)
  }

  private writeEpochs(): void {
    replaceFile(this.context.disk, `${this.path}/${LEADER_EPOCH_CHECKPOINT}`, showEpochs(this.epochs.entries))
    this.isEpochFileStale = false
    this.isEpochFileDirty = true
    this.isDirectoryDirty = true
  }

  /** Begins a new segment when the active one's first record is older than segment.ms by now. @throws DiskError */
  rollIfDue(nowMs: number): void {
    if (this.rolling.isDue(this.logConfig, 0, this.endOffset, nowMs, nowMs)) this.roll(nowMs)
  }

  /** Begins a new segment; nothing when the active one is empty. @throws DiskError */
  roll(nowMs: number): void {
    invariant(this.staging.count === 0, "nothing is staged at a roll")
    if (this.segments.active.size === 0) return
    this.guarded(() => this.beginSegment(this.endOffset, this.snapshots.encode(this.producers), nowMs))
    this.rolling.rolled(this.endOffset, nowMs, this.jitterMs())
    this.rolling.made(this.segments.active)
    this.context.rolled(this)
  }

  // -- flushing --------------------------------------------------------------------------------------------------

  /** flush.messages or flush.ms asks for a flush. */
  flushDue(nowMs: number): boolean {
    const unflushed = this.endOffset - this.flushed
    if (unflushed <= 0) return false
    return unflushed >= this.logConfig.flushMessages || nowMs - this.unflushedSinceMs >= this.logConfig.flushMs
  }

  private beginFlush(): FlushWork {
    if (this.failure !== undefined) throw this.failure
    const target = this.endOffset
    const syncs: Array<Effect.Effect<void, DiskError>> = []
    for (const segment of this.unsynced) for (const file of segment.filesToSync()) syncs.push(file.sync)
    this.unsynced.clear()
    // The active segment's indexes are built again by recovery, which always scans it.
    const { active } = this.segments
    if (active.isDirty) {
      active.isDirty = false
      syncs.push(active.file.sync)
    }
    const { disk } = this.context
    if (this.isEpochFileDirty) {
      this.isEpochFileDirty = false
      const path = `${this.path}/${LEADER_EPOCH_CHECKPOINT}`
      if (disk.stat(path) !== undefined) {
        const file = disk.open(path, "readWrite")
        syncs.push(Effect.ensuring(file.sync, Effect.sync(() => file.close())))
      }
    }
    if (this.isDirectoryDirty) {
      this.isDirectoryDirty = false
      syncs.push(disk.syncDirectory(this.path))
    }
    if (this.isNameDirty) {
      this.isNameDirty = false
      const path = `${this.path}/${PARTITION_METADATA}`
      if (disk.stat(path) !== undefined) {
        const file = disk.open(path, "readWrite")
        syncs.push(Effect.ensuring(file.sync, Effect.sync(() => file.close())))
      }
      syncs.push(disk.syncDirectory(this.path.slice(0, this.path.lastIndexOf("/"))))
    }
    return {
      syncs,
      done: () => {
        // A truncation may have come meanwhile.
        this.flushed = Math.max(this.flushed, Math.min(target, this.endOffset))
        this.unflushedSinceMs = this.stagedMs
      }
    }
  }

  // -- reading ---------------------------------------------------------------------------------------------------

  /** Never past `endOffset`, one segment at a time. @throws DiskError */
  read(offset: number, options: ReadOptions): ReadResult {
    return this.reader.read(this.segments, this.startOffset, this.endOffset, offset, options)
  }

  /** By first offset, for reads of `[from, upTo)` with read_committed. @throws DiskError */
  abortedTransactions(from: number, upTo: number): ReadonlyArray<AbortedTransaction> {
    return findAborted(this.segments, from, upTo)
  }

  /**
   * First offset of a transaction that is open, or ended above the high watermark that was last told. Until one is
   * told, a marker decides as soon as it is written.
   */
  get firstUnstableOffset(): number | undefined {
    if (!this.knowsHighWatermark) this.producers.onHighWatermark(this.endOffset)
    const first = this.producers.firstUnstableOffset
    return first === undefined ? undefined : Math.max(first, this.startOffset)
  }

  /** Transactions that ended below it are decided. */
  onHighWatermark(highWatermark: number): void {
    this.knowsHighWatermark = true
    this.producers.onHighWatermark(highWatermark)
  }

  /** The first record at or after `timestamp`. @throws DiskError */
  offsetForTimestamp(timestamp: number): TimestampOffset | undefined {
    return findByTimestamp(this.segments, this.startOffset, timestamp, this.context)
  }

  /** The first record that has the largest timestamp. @throws DiskError */
  maxTimestampOffset(): TimestampOffset | undefined {
    return findMaxTimestamp(this.segments, this.context)
  }

  /** -1 when the log has none. */
  get latestEpoch(): number {
    return this.epochs.latestEpoch
  }

  /** For tests and messages. */
  get epochEntries(): LeaderEpochCache["entries"] {
    return this.epochs.entries
  }

  endOffsetForEpoch(epoch: number): EpochEnd {
    return this.epochs.endOffsetFor(epoch, this.endOffset)
  }

  activeProducers(): ReadonlyArray<ActiveProducer> {
    return this.producers.active()
  }

  // -- changing --------------------------------------------------------------------------------------------------

  /** `epoch` begins at `startOffset`. @throws DiskError */
  assignEpoch(epoch: number, startOffset: number): void {
    const before = this.epochs.entries
    if (!this.epochs.assign(epoch, startOffset)) return
    try {
      this.guarded(() => this.writeEpochs())
    } catch (error) {
      this.epochs.entries = before
      throw error
    }
  }

  /** Removes records from `offset` on; a batch that holds it goes whole. @throws DiskError */
  truncateTo(offset: number): void {
    if (offset >= this.endOffset) return
    if (offset < this.segments.first.baseOffset) return this.truncateFullyAndStartAt(offset)
    invariant(this.staging.count === 0, "nothing is staged at a truncation")
    this.guarded(() => {
      const index = this.segments.floor(offset)
      const segment = this.segments.at(index)!
      const found = segment.locate(offset)
      const position = found?.position ?? segment.size
      const end = found === undefined ? offset : Math.min(offset, found.baseOffset)
      // Later segments first: a crash in between leaves a log without a hole.
      this.removeSegments(this.segments.all.slice(index + 1))
      if (position === 0 && segment.isLeasedPast(0)) {
        this.retire(segment)
        this.segments.replace([segment], [Segment.create(this.context, this.path, segment.baseOffset, this.stagedMs)])
      } else {
        this.unsynced.delete(segment)
        segment.cut(position, end)
      }
      this.isDirectoryDirty = true
      this.endedAt(end)
      if (this.epochs.truncateFromEnd(end)) this.writeEpochs()
      loadProducers(this.producers, this.snapshots, this.segments, end, this.context)
      // What a reader has stays in the old file: what comes now must not be written over it.
      if (segment.hasStaleTail) {
        this.beginSegment(end, this.snapshots.encode(this.producers), this.stagedMs)
        this.rolling.reset(this.segments.active)
      }
    })
    this.context.truncated(this)
  }

  /** Removes all records: the next one gets `offset`. @throws DiskError */
  truncateFullyAndStartAt(offset: number): void {
    invariant(this.staging.count === 0, "nothing is staged at a truncation")
    this.guarded(() => {
      const old = this.segments.all
      for (const segment of old) this.retire(segment)
      this.segments.replace(old, [Segment.create(this.context, this.path, offset, this.stagedMs)])
      this.unsynced.clear()
      this.isDirectoryDirty = true
      this.snapshots.removeUnless(() => false)
      this.producers.clear(offset)
      this.startOffset = offset
      this.flushed = offset
      this.endedAt(offset)
      this.epochs.entries = []
      this.writeEpochs()
    })
    this.context.truncated(this)
  }

  private endedAt(end: number): void {
    this.endOffset = end
    this.stagedEndOffset = end
    this.startOffset = Math.min(this.startOffset, end)
    this.flushed = Math.min(this.flushed, end)
    this.reader.forget()
    this.rolling.reset(this.segments.active)
  }

  /** Records below `offset` are gone for readers; their segments go with the next retention. @throws DiskError */
  incrementLogStartOffset(offset: number): void {
    if (offset <= this.startOffset) return
    invariant(offset <= this.endOffset, "a log does not start after its end")
    this.startOffset = offset
    if (this.epochs.truncateFromStart(offset)) this.guarded(() => this.writeEpochs())
  }

  /** Removes segments that retention allows, never past the high watermark. @throws DiskError */
  retain(nowMs: number, highWatermark: number): void {
    const all = this.segments.all
    const count = this.guarded(() =>
      deletableSegments(
        all.map((segment, index) => ({
          endOffset: this.segments.endOffset(index, this.endOffset),
          sizeInBytes: segment.size,
          timestampMs: () => segment.maxTimestamp >= 0 ? segment.maxTimestamp : segment.modifiedMs
        })),
        this.logConfig,
        { logStartOffset: this.startOffset, highWatermark, nowMs }
      )
    )
    if (count === 0) return
    if (count === all.length) this.roll(nowMs)
    this.guarded(() => {
      this.incrementLogStartOffset(this.segments.at(count)!.baseOffset)
      this.removeSegments(all.slice(0, count))
      const first = this.segments.first.baseOffset
      this.snapshots.removeUnless((offset) => offset >= first)
    })
  }

  /** Takes segments out; their files go after file.delete.delay.ms. */
  private removeSegments(removed: ReadonlyArray<Segment>): void {
    if (removed.length === 0) return
    for (const segment of removed) this.retire(segment)
    this.segments.replace(removed, [])
    this.reader.forget()
    this.isDirectoryDirty = true
  }

  private retire(segment: Segment): void {
    segment.changeSuffix(DELETED_SUFFIX)
    segment.close()
    this.unsynced.delete(segment)
    this.context.schedule(this.logConfig.fileDeleteDelayMs, () => segment.remove())
  }

  /**
   * Compaction made `added` of `removed`: closed segments that follow each other. The new ones are in the log at once;
   * they keep their suffix until the caller has made the old ones' names durable. @throws DiskError
   */
  replaceSegments(removed: ReadonlyArray<Segment>, added: ReadonlyArray<Segment>): void {
    for (const segment of removed) this.retire(segment)
    this.segments.replace(removed, added)
    this.reader.forget()
    this.isDirectoryDirty = true
  }

  /** Its directory has another name now. */
  moved(directory: string): void {
    this.path = directory
    for (const segment of this.segments.all) segment.moved(directory)
    this.snapshots.moved(directory)
  }

  /** Forgets producers that have been silent for producer.id.expiration.ms. */
  expireProducers(nowMs: number): void {
    this.producers.expire(nowMs, this.context.producerIdExpirationMs())
  }

  /** Writes what a start after a clean stop needs: index entries, the producers. @throws DiskError */
  finish(): void {
    this.guarded(() => {
      if (this.isTailDirty) this.segments.active.cutUnwritten()
      for (const segment of this.segments.all) if (segment.hasStaleTail) {
        segment.cutStaleTail()
        this.unsynced.add(segment)
      }
      this.segments.active.finish()
      this.unsynced.add(this.segments.active)
      this.snapshots.write(this.endOffset, this.snapshots.encode(this.producers))
      this.isDirectoryDirty = true
    })
  }

  /** Ends every file; the ones under a lease with their last lease. */
  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    for (const segment of this.segments.all) segment.close()
  }
}

const refusal = (error: number, message: string): ProduceRefusal => ({
  _tag: "Refusal",
  error,
  message,
  recordErrors: []
})
