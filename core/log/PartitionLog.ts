/**
 * One partition's log: an ordered list of record batches in segments, with its producers and leader epochs.
 *
 * Appending has two steps. `appendAsLeader` and `appendAsFollower` check a batch and stage it; `write` brings all that
 * is staged to the disk with one write, and only then does it count. When the disk refuses, everything staged is taken
 * back: nothing refused is ever read, not after a restart either. LogAppender.ts has that part, LogReader.ts the reads.
 */
import type { Effect } from "effect/Effect"
import { invariant } from "../model/Invariant.ts"
import { DiskError } from "../ports/Disk.ts"
import type { ProduceRefusal } from "../records/BatchValidation.ts"
import type { EpochEntry } from "./Checkpoints.ts"
import { EpochFile } from "./EpochFile.ts"
import { type FlushWork, Flusher } from "./Flusher.ts"
import type { LeaderEpochCache } from "./LeaderEpochCache.ts"
import { LogAppender } from "./LogAppender.ts"
import type { LogConfig } from "./LogConfig.ts"
import type { LogContext } from "./LogContext.ts"
import { TEMPORARY_SUFFIX } from "./LogFiles.ts"
import { findAborted, findByTimestamp, findMaxTimestamp } from "./LogQueries.ts"
import { LogReader } from "./LogReader.ts"
import { distrust, guarded, type LogState, looking, noted, retire, retireFences, writeFacts } from "./LogState.ts"
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
import { loadProducers, type ProducerSnapshots } from "./ProducerSnapshots.ts"
import type { ProducerState } from "./ProducerState.ts"
import { deletableSegments } from "./Retention.ts"
import { Segment } from "./Segment.ts"
import type { Segments } from "./Segments.ts"
import { Unflushed } from "./Unflushed.ts"

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
  /** All its files are durable, as after a clean stop. */
  readonly isDurable: boolean
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
  readonly flush: Effect<void, DiskError>
  private readonly context: LogContext
  private readonly state: LogState
  private readonly appender: LogAppender
  private knowsHighWatermark = false
  private isClosed = false

  constructor(context: LogContext, parts: LogParts) {
    this.context = context
    this.topic = parts.topic
    this.partition = parts.partition
    this.topicId = parts.topicId
    this.segments = parts.segments
    this.producers = parts.producers
    this.state = {
      context,
      log: this,
      topic: parts.topic,
      partition: parts.partition,
      segments: parts.segments,
      producers: parts.producers,
      snapshots: parts.snapshots,
      epochs: new EpochFile(context.disk, parts.directory, parts.epochs, parts.isDurable),
      reader: new LogReader(context.headers),
      unflushed: new Unflushed(context.disk, parts.segments, parts.isDurable),
      config: parts.config,
      directory: parts.directory,
      startOffset: parts.logStartOffset,
      endOffset: parts.logEndOffset,
      flushedOffset: parts.flushedOffset,
      flushingTo: 0,
      unflushedSinceMs: 0,
      isCheckpointDue: false,
      isStartDue: false,
      fences: [],
      failure: undefined
    }
    this.appender = new LogAppender(this.state)
    // Whatever the reason: which pages the device has is unknown, and the next sync would not say.
    this.flush = new Flusher(() => this.beginFlush(), (error) => distrust(this.state, error)).flush
  }

  // -- state -----------------------------------------------------------------------------------------------------

  /** Its directory's path. */
  get directory(): string {
    return this.state.directory
  }
  get config(): LogConfig {
    return this.state.config
  }
  get logStartOffset(): number {
    return this.state.startOffset
  }
  /** Exclusive end of what is written: nothing that is only staged. */
  get logEndOffset(): number {
    return this.state.endOffset
  }
  get sizeInBytes(): number {
    return this.segments.sizeInBytes
  }
  /** Exclusive end of what an fsync has covered. */
  get flushedOffset(): number {
    return this.state.flushedOffset
  }
  /** What the recovery point checkpoint should say: recovery trusts what is below. */
  get recoveryPoint(): number {
    return this.state.flushedOffset
  }
  /** Why the log takes nothing more: its disk failed. */
  get failed(): DiskError | undefined {
    return this.state.failure
  }

  setConfig(config: LogConfig): void {
    this.state.config = config
    this.appender.configChanged()
  }

  // -- the end of the log ------------------------------------------------------------------------------------------

  /** Validates, checks sequences, stamps and stages `records`, whose bytes must stay as they are until `write`. */
  appendAsLeader(records: Uint8Array, options: LeaderAppendOptions): AppendResult {
    try {
      return this.appender.appendAsLeader(records, options)
    } catch (error) {
      throw noted(this.state, error)
    }
  }

  /** Checks and stages batches that carry their offsets and epochs; the same holds for the bytes. */
  appendAsFollower(records: Uint8Array, options: FollowerAppendOptions): FollowerAppended | ProduceRefusal {
    try {
      return this.appender.appendAsFollower(records, options)
    } catch (error) {
      throw noted(this.state, error)
    }
  }

  /** Writes all that is staged. @throws DiskError after undoing all of it */
  write(): void {
    this.appender.write()
  }

  /** Begins a new segment when the active one's first record is older than segment.ms by now. @throws DiskError */
  rollIfDue(nowMs: number): void {
    looking(this.state, () => this.appender.rollIfDue(nowMs))
  }

  /** Begins a new segment; nothing when the active one is empty. @throws DiskError */
  roll(nowMs: number): void {
    this.appender.roll(nowMs)
  }

  // -- flushing --------------------------------------------------------------------------------------------------

  /** flush.messages or flush.ms asks for a flush. */
  flushDue(nowMs: number): boolean {
    const { config, endOffset, flushedOffset, unflushedSinceMs } = this.state
    const unflushed = endOffset - flushedOffset
    if (unflushed <= 0) return false
    return unflushed >= config.flushMessages || nowMs - unflushedSinceMs >= config.flushMs
  }

  private beginFlush(): FlushWork {
    const { state } = this
    if (state.failure !== undefined) throw state.failure
    state.flushingTo = state.endOffset
    return {
      syncs: state.unflushed.begin(state.directory, this.segments.active, state.epochs),
      done: () => {
        state.flushedOffset = Math.max(state.flushedOffset, state.flushingTo)
        state.unflushedSinceMs = this.appender.lastAppendMs
      }
    }
  }

  // -- reading ---------------------------------------------------------------------------------------------------

  /** Never past `endOffset`, one segment at a time. @throws DiskError */
  read(offset: number, options: ReadOptions): ReadResult {
    const { endOffset, reader, startOffset } = this.state
    try {
      return reader.read(this.segments, startOffset, endOffset, offset, options)
    } catch (error) {
      throw noted(this.state, error)
    }
  }

  /** By first offset, for reads of `[from, upTo)` with read_committed. @throws DiskError */
  abortedTransactions(from: number, upTo: number): ReadonlyArray<AbortedTransaction> {
    return looking(this.state, () => findAborted(this.segments, from, upTo))
  }

  /**
   * First offset of a transaction that is open, or ended above the high watermark that was last told. Until one is
   * told, a marker decides as soon as it is written.
   */
  get firstUnstableOffset(): number | undefined {
    if (!this.knowsHighWatermark) this.producers.onHighWatermark(this.state.endOffset)
    const first = this.producers.firstUnstableOffset
    return first === undefined ? undefined : Math.max(first, this.state.startOffset)
  }

  /** Transactions that ended below it are decided. */
  onHighWatermark(highWatermark: number): void {
    this.knowsHighWatermark = true
    this.producers.onHighWatermark(highWatermark)
  }

  /** The first record at or after `timestamp`. @throws DiskError */
  offsetForTimestamp(timestamp: number): TimestampOffset | undefined {
    return looking(this.state, () => findByTimestamp(this.segments, this.state.startOffset, timestamp, this.context))
  }

  /** The first record that has the largest timestamp. @throws DiskError */
  maxTimestampOffset(): TimestampOffset | undefined {
    return looking(this.state, () => findMaxTimestamp(this.segments, this.context))
  }

  /** -1 when the log has none. */
  get latestEpoch(): number {
    return this.state.epochs.cache.latestEpoch
  }

  /** For tests and messages. */
  get epochEntries(): ReadonlyArray<EpochEntry> {
    return this.state.epochs.cache.entries
  }

  endOffsetForEpoch(epoch: number): EpochEnd {
    return this.state.epochs.cache.endOffsetFor(epoch, this.state.endOffset)
  }

  activeProducers(): ReadonlyArray<ActiveProducer> {
    return this.producers.active()
  }

  // -- changing --------------------------------------------------------------------------------------------------

  /** `epoch` begins at `startOffset`. @throws DiskError */
  assignEpoch(epoch: number, startOffset: number): void {
    const { epochs } = this.state
    if (!epochs.cache.assign(epoch, startOffset)) return
    epochs.changed()
    this.writeFacts()
  }

  /** Should it fail, the next write begins with it. @throws DiskError */
  private writeFacts(): void {
    guarded(this.state, () => writeFacts(this.state))
  }

  /** The same after a change that made the log smaller, which a full disk must allow: what is refused is written later. */
  private writeFactsUnlessFull(): void {
    try {
      this.writeFacts()
    } catch (error) {
      if (!(error instanceof DiskError && error.kind === "NoSpace")) throw error
    }
  }

  /**
   * Removes records from `offset` on; a batch that holds it goes whole. A crash on the way leaves the log as it was, or
   * without some of the last records, never with a hole or with records that were truncated before. @throws DiskError
   */
  truncateTo(offset: number): void {
    const { segments, state } = this
    if (offset >= state.endOffset) {
      // A leadership that wrote nothing left its epoch's start at the end: a history that is not the leader's either.
      if (!state.epochs.cache.truncateFromEnd(offset)) return
      state.epochs.changed()
      return this.writeFactsUnlessFull()
    }
    if (offset < segments.first.baseOffset) return this.truncateFullyAndStartAt(offset)
    this.appender.requireNothingStaged()
    const index = segments.floor(offset)
    const segment = segments.at(index)!
    const later = segments.all.slice(index + 1)
    guarded(state, () => {
      const found = segment.locate(offset)
      const position = found?.position ?? segment.size
      // What a reader has stays in the old file, and the log goes on in a new one. Until that is there the segment
      // behind says where the old file's batches count no more.
      const goesOnElsewhere = position > 0 && (segment.hasStaleTail || segment.isLeasedPast(position))
      const fence = goesOnElsewhere ? later[0] : undefined
      let end = state.endOffset
      try {
        for (let i = later.length - 1; i >= 0; i--) {
          // The same holds among those that go.
          const before = i > 0 ? later[i - 1]! : segment
          const isEmptied = before.hasStaleTail && (i > 0 || position === 0)
          if (isEmptied) {
            before.cut(0, before.baseOffset)
            end = before.baseOffset
          }
          if (later[i] === fence) break
          this.removeSegments([later[i]!], isEmptied)
          if (!isEmptied) end = later[i]!.baseOffset
        }
        if (fence !== undefined) segments.replace([fence], [])
        state.unflushed.remove(segment)
        const cutAt = found === undefined ? offset : Math.min(offset, found.baseOffset)
        segment.cut(position, cutAt)
        end = cutAt
      } finally {
        // What is gone is gone, should the disk not let the rest go.
        if (end < state.endOffset) this.shrunkTo(end)
      }
      if (fence !== undefined) state.fences = [...state.fences, fence]
      if (goesOnElsewhere) this.rollUnlessFull(this.appender.lastAppendMs)
      else retireFences(state)
    })
    this.writeFactsUnlessFull()
  }

  /** Removes all records: the next one gets `offset`. @throws DiskError */
  truncateFullyAndStartAt(offset: number): void {
    const { segments, state } = this
    this.appender.requireNothingStaged()
    guarded(state, () => {
      // First, and under a name that no other has: where there is no room for it all stays as it is.
      const empty = Segment.create(this.context, state.directory, offset, this.appender.lastAppendMs, TEMPORARY_SUFFIX)
      const old = segments.all
      for (const segment of [...old, ...state.fences]) retire(state, segment)
      state.fences = []
      empty.changeSuffix("")
      segments.replace(old, [empty])
      if (offset < state.startOffset) state.isStartDue = true
      state.startOffset = offset
      this.producers.clear(offset)
      state.epochs.cache.entries = []
      state.epochs.changed()
      this.endedAt(offset)
      state.snapshots.removeUnless(() => false)
    })
    this.writeFactsUnlessFull()
  }

  /** The segments end there now. @throws DiskError */
  private shrunkTo(end: number): void {
    const { epochs, snapshots } = this.state
    this.endedAt(end)
    if (epochs.cache.truncateFromEnd(end)) epochs.changed()
    loadProducers(this.producers, snapshots, this.segments, end, this.context)
  }

  private endedAt(end: number): void {
    const { state } = this
    state.endOffset = end
    if (end < state.startOffset) state.isStartDue = true
    state.startOffset = Math.min(state.startOffset, end)
    state.flushedOffset = Math.min(state.flushedOffset, end)
    state.flushingTo = Math.min(state.flushingTo, end)
    state.isCheckpointDue = true
    state.unflushed.namesChanged()
    state.reader.forget()
    this.appender.endMoved()
  }

  /** Records below `offset` are gone for readers; their segments go with the next retention. @throws DiskError */
  incrementLogStartOffset(offset: number): void {
    const { state } = this
    if (offset <= state.startOffset) return
    invariant(offset <= state.endOffset, "a log does not start after its end")
    state.startOffset = offset
    if (!state.epochs.cache.truncateFromStart(offset)) return
    state.epochs.changed()
    // This is how a full disk gets room: it must need none. A load cuts an older file at the log start.
    this.writeFactsUnlessFull()
  }

  /** Removes segments that retention allows, never past the high watermark. @throws DiskError */
  retain(nowMs: number, highWatermark: number): void {
    const { segments, state } = this
    const { all } = segments
    const count = guarded(state, () =>
      deletableSegments(
        all.map((segment, index) => ({
          endOffset: segments.endOffset(index, state.endOffset),
          sizeInBytes: segment.size,
          timestampMs: () => segment.maxTimestamp >= 0 ? segment.maxTimestamp : segment.modifiedMs
        })),
        state.config,
        { logStartOffset: state.startOffset, highWatermark, nowMs }
      ))
    const removable = count === all.length && !this.rollUnlessFull(nowMs) ? count - 1 : count
    if (removable <= 0) return
    guarded(state, () => {
      const first = segments.at(removable)!.baseOffset
      state.startOffset = Math.max(state.startOffset, first)
      if (state.epochs.cache.truncateFromStart(state.startOffset)) state.epochs.changed()
      this.removeSegments(all.slice(0, removable))
      state.snapshots.removeUnless((offset) => offset >= first)
    })
    // Last: a full disk refuses it, and what was removed makes room.
    this.writeFacts()
  }

  /** @returns whether the active segment is closed now: a full disk has no room for another */
  private rollUnlessFull(nowMs: number): boolean {
    try {
      this.roll(nowMs)
      return true
    } catch (error) {
      if (error instanceof DiskError && error.kind === "NoSpace") return false
      throw error
    }
  }

  /**
   * Takes segments out; their files go after file.delete.delay.ms. @param anyway also those whose files a full disk
   * keeps, which are fences then. @throws DiskError
   */
  private removeSegments(removed: ReadonlyArray<Segment>, anyway = false): void {
    if (removed.length === 0) return
    const { state } = this
    try {
      for (const segment of removed) retire(state, segment)
    } catch (error) {
      if (anyway) {
        this.segments.replace(removed, [])
        state.fences = [...state.fences, ...removed]
      }
      throw error
    }
    this.segments.replace(removed, [])
    this.state.reader.forget()
    this.state.unflushed.namesChanged()
  }

  /**
   * Compaction made `added` of `removed`: closed segments that follow each other. The new ones are in the log at once;
   * they keep their suffix until the caller has made the old ones' names durable. @throws DiskError
   */
  replaceSegments(removed: ReadonlyArray<Segment>, added: ReadonlyArray<Segment>): void {
    for (const segment of removed) retire(this.state, segment)
    this.segments.replace(removed, added)
    this.state.reader.forget()
    this.state.unflushed.namesChanged()
  }

  /** Its directory has another name now. */
  moved(directory: string): void {
    this.state.directory = directory
    for (const segment of [...this.segments.all, ...this.state.fences]) segment.moved(directory)
    this.state.snapshots.moved(directory)
    this.state.epochs.moved(directory)
  }

  /** Forgets producers that have been silent for producer.id.expiration.ms. */
  expireProducers(nowMs: number): void {
    this.producers.expire(nowMs, this.context.producerIdExpirationMs())
  }

  /** Writes what a start after a clean stop needs: index entries, the producers. @throws DiskError */
  finish(): void {
    const { segments, state } = this
    guarded(state, () => {
      this.appender.cutTail()
      for (const segment of segments.all) if (segment.hasStaleTail) {
        segment.cutStaleTail()
        state.unflushed.add(segment)
      }
      retireFences(state)
      const { active } = segments
      active.finish()
      state.unflushed.add(active)
      // What a clean stop left is as it was: nothing to write.
      if (!active.isDirty && !state.unflushed.hasNames && state.snapshots.has(state.endOffset)) return
      state.snapshots.write(state.endOffset, state.snapshots.encode(this.producers))
      state.unflushed.namesChanged()
    })
    this.writeFacts()
  }

  /** Ends every file; the ones under a lease with their last lease. */
  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    for (const segment of [...this.segments.all, ...this.state.fences]) segment.close()
  }
}
