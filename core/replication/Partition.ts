/**
 * One partition on this broker: its log and its replication state glued together, and the only way for handlers to
 * either. Synchronous; waiting is done by operations in the purgatory that watch `fetchWatchers` and `produceWatchers`.
 *
 * Appending has two steps, so that the batches of one turn share one write: `appendAsLeader` validates and stages,
 * `commitStaged` writes all that is staged, then steps the state. Nothing staged is readable. AppendTurn.ts (broker)
 * sees to it that every stage is followed by a commit before the bytes go away.
 */
import * as Effect from "effect/Effect"
import type { ReplicationConfig } from "../cluster/configs/TopicConfigs.ts"
import type { AbortedTransaction, AppendResult, PartitionLog } from "../log/PartitionLog.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { DiskError } from "../ports/Disk.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { ProduceRefusal } from "../records/ProduceRefusal.ts"
import { Follower } from "./Follower.ts"
import { type ListedOffset, listOffset } from "./ListedOffset.ts"
import {
  effectiveMinIsr,
  HIGH_WATERMARK_MOVED,
  isUnderMinIsr,
  ISR_CHANGE_WANTED,
  LEADERSHIP_CHANGED,
  makePartitionState,
  type PartitionEvent,
  type PartitionState,
  step
} from "./PartitionState.ts"
import { divergence, type PartitionRead, readPartition, refusedRead } from "./PartitionRead.ts"
import { type Purgatory, Watchers } from "./Purgatory.ts"
import { isThrottled } from "./ReplicationQuota.ts"
import { StorageErrorLog } from "./StorageErrorLog.ts"

/** How far a reader may see. A replica reads to the log end. */
export type FetchIsolation = "LogEnd" | "HighWatermark" | "LastStable"

export interface PartitionContext {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly brokerId: number
  readonly purgatory: Purgatory
  readonly crypto: Crypto
  /** Milliseconds since 1970, for the log. */
  readonly nowMs: () => number
  /** Of a clock that is never set, for how far replicas lag. */
  readonly monotonicMs: () => number
  /** Starts an effect in the broker's scope. */
  readonly fork: (effect: Effect.Effect<unknown>) => void
  /** A state's `isrInFlight` is to be submitted to the controller. */
  readonly isrChangeWanted: (partition: Partition) => void
}

/** An append that waits for its turn's write, then maybe for its commit. */
export interface StagedAppend {
  readonly _tag: "Staged"
  readonly partition: Partition
  readonly appended: AppendResult & { readonly _tag: "Appended" }
  /** Of the leader that appended: when it changes the answer is NOT_LEADER_OR_FOLLOWER. */
  readonly leaderEpoch: number
  /** NONE, or why the write failed. */
  error: number
}

export interface EpochEndOffset {
  readonly error: number
  /** -1 when the epoch is not known. */
  readonly leaderEpoch: number
  readonly endOffset: number
}

const refusal = (error: number, message: string): ProduceRefusal => ({
  _tag: "Refusal",
  error,
  message,
  recordErrors: []
})

export class Partition {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly log: PartitionLog
  readonly state: PartitionState
  /** Consumers' fetches that wait for bytes; ListOffsets never waits. */
  readonly fetchWatchers: Watchers
  /** Fetches by replicas: what is appended is there for them before it is committed. */
  readonly replicaWatchers: Watchers
  /** Produces that wait for the high watermark, or for a flush. */
  readonly produceWatchers: Watchers
  /** DeleteRecords that wait for followers to move their log start. */
  readonly logStartWatchers: Watchers
  /** The topic is gone, or this replica of it: everything is answered with the error of that. */
  isDeleted = false
  #deletedError: number = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  /** Its directory failed: everything is answered KAFKA_STORAGE_ERROR. */
  isOffline = false
  /** What other replicas copy from here, and what this one copies, is held to a rate (ReplicationQuota.ts). */
  isLeaderThrottled = false
  isFollowerThrottled = false
  /** What it does as a follower. */
  readonly follower: Follower
  readonly #context: PartitionContext
  readonly #storageErrors = new StorageErrorLog()
  #staged: Array<StagedAppend> = []
  #flushing = false

  constructor(context: PartitionContext, log: PartitionLog, initial: {
    readonly highWatermark: number
    readonly minInsyncReplicas: number
  }) {
    this.#context = context
    this.topic = context.topic
    this.topicId = context.topicId
    this.partition = context.partition
    this.log = log
    this.state = makePartitionState(context.brokerId, {
      logStartOffset: log.logStartOffset,
      logEndOffset: log.logEndOffset,
      ...initial
    })
    // From the first on: else the log would take markers for decided that are not committed yet.
    log.onHighWatermark(this.state.highWatermark)
    this.follower = new Follower(this, {
      crypto: context.crypto,
      nowMs: context.nowMs,
      flush: () => this.#flush(),
      storageError: (error) => this.#storageError(error),
      warn: (message, details) => this.#warn(message, details)
    })
    this.fetchWatchers = new Watchers(context.purgatory)
    this.replicaWatchers = new Watchers(context.purgatory)
    this.produceWatchers = new Watchers(context.purgatory)
    this.logStartWatchers = new Watchers(context.purgatory)
  }

  // -- state ---------------------------------------------------------------------------------------------------

  get isLeader(): boolean {
    return this.state.role === "leader"
  }
  get leaderEpoch(): number {
    return this.state.leaderEpoch
  }
  get highWatermark(): number {
    return this.state.highWatermark
  }
  get logStartOffset(): number {
    return this.log.logStartOffset
  }
  get logEndOffset(): number {
    return this.log.logEndOffset
  }
  /** Exclusive bound of what read_committed sees. */
  get lastStableOffset(): number {
    const firstUnstable = this.log.firstUnstableOffset
    return firstUnstable === undefined ? this.state.highWatermark : Math.min(firstUnstable, this.state.highWatermark)
  }
  /** Exclusive bound of what a reader sees. */
  readableEnd(isolation: FetchIsolation): number {
    if (isolation === "HighWatermark") return this.state.highWatermark
    return isolation === "LastStable" ? this.lastStableOffset : this.log.logEndOffset
  }

  setThrottled(config: Pick<ReplicationConfig, "leaderThrottledReplicas" | "followerThrottledReplicas">): void {
    const { brokerId } = this.#context
    this.isLeaderThrottled = isThrottled(config.leaderThrottledReplicas, this.partition, brokerId)
    this.isFollowerThrottled = isThrottled(config.followerThrottledReplicas, this.partition, brokerId)
  }

  /** Steps the state and does what that asks for. */
  apply(event: PartitionEvent): void {
    const flags = step(this.state, event, this.#context.monotonicMs())
    if (event._tag === "FollowerFetched" || event._tag === "BecomeLeader") this.logStartWatchers.check()
    if (flags === 0) return
    if ((flags & LEADERSHIP_CHANGED) !== 0 && this.state.role === "leader") {
      try {
        this.log.assignEpoch(this.state.leaderEpoch, this.state.epochStartOffset)
      } catch (error) {
        // A full disk takes it with the first record that it has room for, never after it: a record without its
        // epoch's start would be truncated wrongly one day. Any other failure has taken the directory offline.
        this.#storageError(error)
      }
    }
    if ((flags & HIGH_WATERMARK_MOVED) !== 0) this.log.onHighWatermark(this.state.highWatermark)
    if ((flags & ISR_CHANGE_WANTED) !== 0) this.#context.isrChangeWanted(this)
    if ((flags & (HIGH_WATERMARK_MOVED | LEADERSHIP_CHANGED)) !== 0) this.wake()
  }

  /** Lets everyone who waits on this partition look again. */
  wake(): void {
    this.produceWatchers.check()
    this.fetchWatchers.check()
    this.replicaWatchers.check()
    this.logStartWatchers.check()
  }

  /** @param isMoved the topic is there, on other brokers: who asks here shall look for its leader */
  markDeleted(isMoved = false): void {
    this.isDeleted = true
    if (isMoved) this.#deletedError = ErrorCode.NOT_LEADER_OR_FOLLOWER
    this.wake()
  }

  markOffline(): void {
    if (this.isOffline) return
    this.isOffline = true
    this.wake()
  }

  /**
   * NONE when this replica may serve the request; `currentLeaderEpoch` -1: the client states none (KIP-320).
   * `anyReplica`: followers answer too.
   */
  check(currentLeaderEpoch: number, anyReplica = false): number {
    if (this.isDeleted) return this.#deletedError
    if (this.isOffline) return ErrorCode.KAFKA_STORAGE_ERROR
    if (currentLeaderEpoch !== -1 && currentLeaderEpoch !== this.state.leaderEpoch) {
      return currentLeaderEpoch < this.state.leaderEpoch
        ? ErrorCode.FENCED_LEADER_EPOCH
        : ErrorCode.UNKNOWN_LEADER_EPOCH
    }
    return this.state.role === "leader" || (anyReplica && this.state.role === "follower")
      ? ErrorCode.NONE
      : ErrorCode.NOT_LEADER_OR_FOLLOWER
  }

  /**
   * A replica asked for what follows `fetchOffset`, so it has all below, if its history is ours up to there.
   * @param eligible may it join the ISR: alive, and of the epoch that the image knows
   */
  followerFetched(fetch: {
    readonly replica: number
    readonly brokerEpoch: number
    readonly fetchOffset: number
    readonly lastFetchedEpoch: number
    readonly logStartOffset: number
    readonly eligible: boolean
  }): void {
    const { brokerEpoch, eligible, fetchOffset, lastFetchedEpoch, logStartOffset, replica } = fetch
    // Out of range, or of another history: it has to go back first.
    if (fetchOffset < this.log.logStartOffset || fetchOffset > this.log.logEndOffset) return
    if (divergence(this.log, lastFetchedEpoch, fetchOffset) !== undefined) return
    this.apply({ _tag: "FollowerFetched", replica, brokerEpoch, fetchOffset, logStartOffset, eligible })
  }

  /** Appends that wait for `commitStaged`. */
  get stagedCount(): number {
    return this.#staged.length
  }

  // -- append --------------------------------------------------------------------------------------------------

  /** Validates and stages. `requiredAcks` -1 asks for the min ISR first. */
  appendAsLeader(
    records: Uint8Array,
    requiredAcks: number,
    options: { readonly nowMs: number; readonly apiVersion: number; readonly isCoordinator?: boolean }
  ): StagedAppend | ProduceRefusal {
    const error = this.check(-1)
    if (error !== ErrorCode.NONE) return refusal(error, "")
    if (requiredAcks === -1 && isUnderMinIsr(this.state)) {
      return refusal(
        ErrorCode.NOT_ENOUGH_REPLICAS,
        `The size of the current ISR : ${this.state.isr.length} is insufficient to satisfy the min.isr requirement of ` +
          `${effectiveMinIsr(this.state)} for partition ${this.topic}-${this.partition}.`
      )
    }
    const leaderEpoch = this.state.leaderEpoch
    let appended: AppendResult
    try {
      appended = this.log.appendAsLeader(records, {
        leaderEpoch,
        nowMs: options.nowMs,
        apiVersion: options.apiVersion,
        isCoordinator: options.isCoordinator ?? false
      })
    } catch (error) {
      return refusal(this.#storageError(error), "")
    }
    if (appended._tag === "Refusal") return appended
    const staged: StagedAppend = { _tag: "Staged", partition: this, appended, leaderEpoch, error: ErrorCode.NONE }
    this.#staged.push(staged)
    return staged
  }

  /** Writes what is staged and lets it count; the staged appends carry the error when the disk refused. */
  commitStaged(): void {
    const staged = this.#staged
    if (staged.length === 0) return
    this.#staged = []
    try {
      this.log.write()
    } catch (error) {
      const code = this.#storageError(error)
      for (const append of staged) append.error = code
      return
    }
    const flushDue = this.log.flushDue(this.#context.nowMs())
    this.apply({ _tag: "Appended", logEndOffset: this.log.logEndOffset, flushDue })
    // Where the leader is alone the high watermark has moved already, and nobody else reads ahead of it.
    if (this.state.replicas.length > 1) this.replicaWatchers.check()
    if (flushDue) this.#flush()
  }

  /**
   * Is an append of this leader done for `requiredAcks`? Undefined: not yet.
   * The interleaving behind the epoch check: A appends at epoch 5, another leader takes over, truncates A's records and
   * raises the high watermark past their offsets; A's client must not hear that they are committed.
   */
  appendOutcome(append: StagedAppend, requiredAcks: number): number | undefined {
    if (append.error !== ErrorCode.NONE) return append.error
    if (this.isDeleted) return this.#deletedError
    if (this.isOffline) return ErrorCode.KAFKA_STORAGE_ERROR
    const { state } = this
    const endOffset = append.appended.lastOffset + 1
    if (state.role !== "leader" || state.leaderEpoch !== append.leaderEpoch) return ErrorCode.NOT_LEADER_OR_FOLLOWER
    if (requiredAcks !== -1) return state.durableEndOffset >= endOffset ? ErrorCode.NONE : undefined
    if (state.highWatermark < endOffset) return undefined
    return isUnderMinIsr(state) ? ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND : ErrorCode.NONE
  }

  /** One fsync at a time; appends that come meanwhile share the next. */
  #flush(): void {
    if (this.#flushing) return
    this.#flushing = true
    this.#context.fork(
      Effect.matchEffect(this.log.flush, {
        onFailure: (error) =>
          Effect.suspend(() => {
            this.#flushing = false
            // And so is its whole directory: the log has seen to that.
            return Effect.logError("fsync failed: partition is offline").pipe(
              Effect.annotateLogs({ topic: this.topic, partition: this.partition, error: error.message })
            )
          }),
        onSuccess: () =>
          Effect.sync(() => {
            this.#flushing = false
            this.apply({ _tag: "Flushed", flushedOffset: this.log.flushedOffset })
            // acks=1 waits for the flush, not for the high watermark, which may not have moved.
            this.produceWatchers.check()
            if (this.state.flushRequiredTo !== 0) this.#flush()
          })
      })
    )
  }

  #warn(message: string, details: Readonly<Record<string, number>>): void {
    const { partition, topic } = this
    this.#context.fork(Effect.annotateLogs(Effect.logWarning(`partition ${message}`), { topic, partition, ...details }))
  }

  /** A full disk refuses what is written now; any other failure means that the directory can't be trusted. */
  #storageError(error: unknown): number {
    if (!(error instanceof DiskError)) throw error
    const { message, kind } = error
    const untold = this.#storageErrors.note(kind, this.#context.monotonicMs())
    if (untold !== undefined) {
      const { partition, topic } = this
      this.#context.fork(Effect.annotateLogs(Effect.logError("storage error"), { topic, partition, kind, error: message, untold }))
    }
    return ErrorCode.KAFKA_STORAGE_ERROR
  }

  // -- read ----------------------------------------------------------------------------------------------------

  /**
   * @param maxBytes of all slices together; the first batch is given even when larger, if `minOneBatch`
   * @param lastFetchedEpoch -1 when the reader states none
   */
  read(
    offset: number,
    maxBytes: number,
    minOneBatch: boolean,
    isolation: FetchIsolation,
    lastFetchedEpoch = -1
  ): PartitionRead {
    try {
      return readPartition(this.log, offset, { maxBytes, minOneBatch, endOffset: this.readableEnd(isolation), lastFetchedEpoch })
    } catch (error) {
      return refusedRead(this.#storageError(error))
    }
  }

  /** For read_committed, by first offset; a number: the error. */
  abortedTransactions(from: number, upTo: number): ReadonlyArray<AbortedTransaction> | number {
    try {
      return this.log.abortedTransactions(from, upTo)
    } catch (error) {
      return this.#storageError(error)
    }
  }

  /** KIP-101/279: where an epoch ends in this log. `leaderEpoch` -1 and `endOffset` -1: not known. */
  lastOffsetForLeaderEpoch(currentLeaderEpoch: number, leaderEpoch: number): EpochEndOffset {
    const error = this.check(currentLeaderEpoch)
    if (error !== ErrorCode.NONE) return { error, leaderEpoch: -1, endOffset: -1 }
    return { error, ...this.log.endOffsetForEpoch(leaderEpoch) }
  }

  /** What ListOffsets asks; by time it reads the log. */
  listOffset(timestamp: number, isolation: FetchIsolation): ListedOffset {
    try {
      return listOffset(this.log, this.state, timestamp, this.readableEnd(isolation), isolation === "LogEnd")
    } catch (error) {
      return { timestamp: -1, offset: -1, leaderEpoch: -1, error: this.#storageError(error) }
    }
  }

  // -- log start -----------------------------------------------------------------------------------------------

  /**
   * DeleteRecords: moves the log start. `offset` -1: to the high watermark.
   * @returns the offset that it was to be moved to, or an error
   */
  deleteRecords(offset: number): { readonly error: number; readonly target: number } {
    const error = this.check(-1)
    if (error !== ErrorCode.NONE) return { error, target: -1 }
    if (!this.log.config.cleanupPolicy.delete) return { error: ErrorCode.POLICY_VIOLATION, target: -1 }
    const target = offset === -1 ? this.state.highWatermark : offset
    if (target < 0 || target > this.state.highWatermark) return { error: ErrorCode.OFFSET_OUT_OF_RANGE, target: -1 }
    try {
      if (target > this.log.logStartOffset) this.log.incrementLogStartOffset(target)
    } catch (failure) {
      return { error: this.#storageError(failure), target: -1 }
    }
    this.apply({ _tag: "LogStartMoved", logStartOffset: this.log.logStartOffset })
    return { error: ErrorCode.NONE, target }
  }

  /** The smallest log start of the replicas that live: below it nobody has anything (KIP-107). -1: one has not told yet. */
  lowWatermark(isAlive: (brokerId: number) => boolean): number {
    let low = this.log.logStartOffset
    for (const [id, { logStartOffset }] of this.state.followers) {
      if (logStartOffset < low && isAlive(id)) low = logStartOffset
    }
    return low
  }
}
