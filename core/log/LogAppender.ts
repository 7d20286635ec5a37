/**
 * The end of a log: batches are checked and staged, then all that is staged is written with one write, and only then
 * does it count. When the disk refuses, everything staged is taken back: segments, index entries, producers, epochs.
 */
import { invariant } from "../model/Invariant.ts"
import { DiskError } from "../ports/Disk.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { validateReplicated } from "../records/BatchScan.ts"
import { type ProducedBatch, type ProduceRefusal, validateProduced, type ValidationContext } from "../records/BatchValidation.ts"
import { RecordBatch } from "../records/RecordBatch.ts"
import type { LogConfig } from "./LogConfig.ts"
import type { LogContext } from "./LogContext.ts"
import { fail, guarded, type LogState, retireFences, writeFacts } from "./LogState.ts"
import type { AppendResult, FollowerAppended, FollowerAppendOptions, LeaderAppendOptions } from "./LogTypes.ts"
import { observeBatch } from "./ProducerSnapshots.ts"
import { Rolling } from "./Rolling.ts"
import { Segment } from "./Segment.ts"
import { Staging } from "./Staging.ts"

/** Filled in anew for each batch. */
type Validation = { -readonly [K in keyof ValidationContext]: ValidationContext[K] }

export class LogAppender {
  private readonly state: LogState
  private readonly staging = new Staging()
  private readonly rolling = new Rolling()
  private readonly view = new RecordBatch(new Uint8Array(0))
  private validation: Validation
  /** The end offset once what is staged is written. */
  private stagedEndOffset: number
  /** When the last batch was staged. */
  private stagedMs = 0
  /** A failed write could not be taken back: bytes may lie after the log's end. */
  private isTailDirty = false

  constructor(state: LogState) {
    this.state = state
    this.stagedEndOffset = state.endOffset
    this.validation = validationOf(state)
    this.rolling.reset(state.segments.active)
  }

  configChanged(): void {
    this.validation = validationOf(this.state)
  }

  get lastAppendMs(): number {
    return this.stagedMs
  }

  /** The log's end was moved by something else. */
  endMoved(): void {
    this.stagedEndOffset = this.state.endOffset
    this.rolling.reset(this.state.segments.active)
  }

  requireNothingStaged(): void {
    invariant(this.staging.count === 0, "nothing is staged")
  }

  // -- staging ---------------------------------------------------------------------------------------------------

  appendAsLeader(records: Uint8Array, options: LeaderAppendOptions): AppendResult {
    const { state, validation } = this
    validation.nowMs = options.nowMs
    validation.apiVersion = options.apiVersion
    validation.isCoordinator = options.isCoordinator === true
    const produced = validateProduced(records, validation)
    if (produced._tag === "Refusal") return produced
    const { bytes } = produced
    if (bytes.length > state.config.segmentBytes) {
      return refusal(
        ErrorCode.RECORD_LIST_TOO_LARGE,
        `Message batch size is ${bytes.length} bytes in append to partition ${state.topic}-${state.partition}, which exceeds the maximum configured segment size of ${state.config.segmentBytes}.`
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
    if (options.leaderEpoch > state.epochs.cache.latestEpoch) state.epochs.stage(options.leaderEpoch, baseOffset)
    this.stage(view, bytes, baseOffset, lastOffset, produced.maxTimestamp, options.nowMs)
    return {
      _tag: "Appended",
      baseOffset,
      lastOffset,
      logAppendTimeMs: state.config.messageTimestampType === "LogAppendTime" ? options.nowMs : -1,
      logStartOffset: state.startOffset,
      duplicate: false
    }
  }

  private checkSequence(produced: ProducedBatch): AppendResult | undefined {
    const verdict = this.state.producers.check(
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
      logStartOffset: this.state.startOffset,
      duplicate: true
    }
  }

  appendAsFollower(records: Uint8Array, options: FollowerAppendOptions): FollowerAppended | ProduceRefusal {
    const { context: { crypto }, epochs } = this.state
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
      if (epoch > epochs.cache.latestEpoch) epochs.stage(epoch, batch.baseOffset)
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
    const { rolling, staging, state } = this
    if (rolling.isDue(state.config, bytes.length, lastOffset, maxTimestamp, nowMs)) {
      // The new segment is named by the log end, as the snapshot of the producers before it.
      const rollOffset = this.stagedEndOffset
      rolling.rolled(rollOffset, nowMs, jitterMs(state.config, state.context))
      const snapshot = state.snapshots.encode(state.producers)
      staging.rolls.push({ index: staging.count, baseOffset: rollOffset, snapshot })
    }
    rolling.staged(bytes.length, maxTimestamp)
    if (batch.hasProducerId) {
      const completed = observeBatch(state.producers, batch, state.context)
      if (completed?.isAborted === true) {
        const lastStableOffset = state.producers.lastStableOffsetAfter(completed)
        staging.aborts.push({ index: staging.count, completed, lastStableOffset })
      }
    }
    staging.add(bytes, baseOffset, lastOffset, maxTimestamp)
    this.stagedEndOffset = lastOffset + 1
    this.stagedMs = nowMs
  }

  // -- writing ---------------------------------------------------------------------------------------------------

  write(): void {
    const { staging, state } = this
    const { count, rolls } = staging
    if (count === 0) return
    let startedAt = state.segments.active
    let sizeBefore = startedAt.size
    try {
      if (state.failure !== undefined) throw state.failure
      writeFacts(state)
      retireFences(state)
      if (this.isTailDirty) {
        startedAt.cutUnwritten()
        this.isTailDirty = false
      }
      let from = 0
      for (const { baseOffset, index, snapshot } of rolls) {
        if (index > from) this.writeGroup(from, index)
        this.beginSegment(baseOffset, snapshot, this.stagedMs)
        from = index
        if (state.fences.length === 0) continue
        // A later one of these segments may need a fence's name. So this one stays, empty, should the rest be refused.
        startedAt = state.segments.active
        sizeBefore = 0
        retireFences(state)
      }
      this.writeGroup(from, count)
    } catch (error) {
      this.undo(startedAt, sizeBefore)
      if (error instanceof DiskError) fail(state, error)
      throw error
    }
    if (state.endOffset <= state.flushedOffset) state.unflushedSinceMs = this.stagedMs
    state.endOffset = this.stagedEndOffset
    state.epochs.commit()
    state.producers.commit()
    const hasRolled = rolls.length > 0
    staging.clear()
    if (hasRolled) this.rolled()
  }

  /** The new segment is there to stay. */
  private rolled(): void {
    const { state } = this
    this.rolling.made(state.segments.active)
    try {
      guarded(state, () => retireFences(state))
    } catch (error) {
      // What was written counts all the same; what it means for the disk was noted.
      if (!(error instanceof DiskError)) throw error
    }
    state.context.rolled(state.log)
  }

  private writeGroup(from: number, to: number): void {
    const { aborts, baseOffsets, bytes, lastOffsets, maxTimestamps } = this.staging
    const { config, reader, segments } = this.state
    const segment = segments.active
    segment.reserve(to - from)
    for (const { completed, index, lastStableOffset } of aborts) {
      if (index < from || index >= to) continue
      const { firstOffset, lastOffset, producerId } = completed
      segment.txnIndex.append({ producerId, firstOffset, lastOffset, lastStableOffset })
    }
    segment.file.write(from === 0 && to === bytes.length ? bytes : bytes.slice(from, to), segment.size)
    segment.modifiedMs = this.stagedMs
    for (let i = from; i < to; i++) {
      const size = bytes[i]!.length
      reader.appended(segment, baseOffsets[i]!, lastOffsets[i]!, segment.size, size)
      segment.appended(size, lastOffsets[i]!, maxTimestamps[i]!, config.indexIntervalBytes)
    }
  }

  /** Closes the active segment and makes the next. @throws DiskError */
  private beginSegment(baseOffset: number, snapshot: Uint8Array, nowMs: number): void {
    const { context, directory, segments, snapshots, unflushed } = this.state
    const closed = segments.active
    closed.finish()
    unflushed.add(closed)
    snapshots.write(baseOffset, snapshot)
    segments.add(Segment.create(context, directory, baseOffset, nowMs))
    unflushed.namesChanged()
  }

  /**
   * Takes back all that is staged: the disk did not take it. What a write has left in the files is cut off; should
   * even that fail, the next write tries again first.
   */
  private undo(startedAt: Segment, sizeBefore: number): void {
    const { endOffset, epochs, producers, reader, segments, snapshots, unflushed } = this.state
    this.staging.clear()
    this.stagedEndOffset = endOffset
    producers.rollback()
    epochs.rollback()
    reader.forget()
    this.isTailDirty = true
    try {
      const made = segments.all.slice(segments.all.indexOf(startedAt) + 1)
      if (made.length > 0) segments.replace(made, [])
      for (const segment of [startedAt, ...made]) unflushed.remove(segment)
      for (const segment of made) segment.remove()
      snapshots.removeUnless((offset) => offset <= endOffset)
      // Only before a roll can batches have been counted.
      if (startedAt.size > sizeBefore) startedAt.cut(sizeBefore, endOffset)
      else startedAt.txnIndex.truncateTo(endOffset)
      startedAt.cutUnwritten()
      // What was taken back may be on the device until the next sync.
      startedAt.isDirty = true
      this.isTailDirty = false
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      fail(this.state, error)
    }
    this.rolling.reset(segments.active)
  }

  /** What a refused write left after the log's end. @throws DiskError */
  cutTail(): void {
    if (this.isTailDirty) this.state.segments.active.cutUnwritten()
    this.isTailDirty = false
  }

  // -- rolling ---------------------------------------------------------------------------------------------------

  rollIfDue(nowMs: number): void {
    if (this.rolling.isDue(this.state.config, 0, this.state.endOffset, nowMs, nowMs)) this.roll(nowMs)
  }

  roll(nowMs: number): void {
    this.requireNothingStaged()
    const { state } = this
    const { endOffset, producers, segments, snapshots } = state
    if (segments.active.size === 0) return
    guarded(state, () => this.beginSegment(endOffset, snapshots.encode(producers), nowMs))
    this.rolling.rolled(endOffset, nowMs, jitterMs(state.config, state.context))
    this.rolled()
  }
}

const jitterMs = ({ segmentJitterMs, segmentMs }: LogConfig, context: LogContext): number =>
  segmentJitterMs === 0 ? 0 : Math.floor(context.random() * Math.min(segmentJitterMs, segmentMs))

const validationOf = ({ config, context, partition, topic }: LogState): Validation => {
  const { compressionType } = config
  return {
    topicPartition: `${topic}-${partition}`,
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
    crypto: context.crypto,
    compression: context.compression,
    isCoordinator: false
  }
}

const refusal = (error: number, message: string): ProduceRefusal => ({
  _tag: "Refusal",
  error,
  message,
  recordErrors: []
})
