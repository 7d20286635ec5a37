/**
 * What a partition does as a follower: it goes on where its log ends, writes what its leader gives, and goes back where
 * histories part. When and how far, ReplicaFetcherState.ts decides.
 */
import type { PartitionLog } from "../log/PartitionLog.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { validateReplicated } from "../records/BatchScan.ts"
import type { PartitionEvent, PartitionState } from "./PartitionState.ts"
import { type LogPosition, truncationOffset } from "./ReplicaFetcherState.ts"

/** What it changes: Partition.ts. */
export interface FollowingPartition {
  readonly log: PartitionLog
  readonly state: PartitionState
  readonly isDeleted: boolean
  readonly isOffline: boolean
  readonly apply: (event: PartitionEvent) => void
}

export interface FollowerHost {
  readonly crypto: Crypto
  readonly nowMs: () => number
  /** An fsync is due. */
  readonly flush: () => void
  /** The answer to what the disk refused. @throws what is no DiskError */
  readonly storageError: (error: unknown) => number
  readonly warn: (message: string, details: Readonly<Record<string, number>>) => void
}

export class Follower {
  readonly #partition: FollowingPartition
  readonly #host: FollowerHost

  constructor(partition: FollowingPartition, host: FollowerHost) {
    this.#partition = partition
    this.#host = host
  }

  get #isFollower(): boolean {
    const { isDeleted, isOffline, state } = this.#partition
    return !isDeleted && !isOffline && state.role === "follower"
  }

  /** Where this follower goes on; undefined when it cannot now. */
  get position(): LogPosition | undefined {
    if (!this.#isFollower) return undefined
    const { latestEpoch, logEndOffset, logStartOffset } = this.#partition.log
    return { fetchOffset: logEndOffset, lastFetchedEpoch: latestEpoch, logStartOffset }
  }

  /** Follows a leader in that epoch, at that log end: what was fetched from there may be applied. */
  isFollowing(leaderId: number, leaderEpoch: number, logEndOffset: number): boolean {
    const { log, state } = this.#partition
    return this.#isFollower && state.leaderId === leaderId && state.leaderEpoch === leaderEpoch &&
      log.logEndOffset === logEndOffset
  }

  /**
   * Writes what the leader gave for this log's end, then takes over its high watermark and log start.
   * @returns NONE, CORRUPT_MESSAGE, or KAFKA_STORAGE_ERROR
   */
  append(
    records: Uint8Array | null,
    leader: { readonly highWatermark: number; readonly logStartOffset: number }
  ): number {
    const partition = this.#partition
    const { log, state } = partition
    try {
      if (records !== null && records.length > 0) {
        this.#beginWith(records, leader.logStartOffset)
        const nowMs = this.#host.nowMs()
        const appended = log.appendAsFollower(records, { nowMs, leaderEpoch: state.leaderEpoch })
        if (appended._tag === "Refusal") return appended.error
        log.write()
        const flushDue = log.flushDue(nowMs)
        partition.apply({ _tag: "Appended", logEndOffset: log.logEndOffset, flushDue })
        if (flushDue) this.#host.flush()
      }
      partition.apply({ _tag: "LeaderHighWatermark", highWatermark: leader.highWatermark })
      // What was deleted on the leader was committed: not before it is here.
      if (leader.logStartOffset > log.logStartOffset && leader.logStartOffset <= state.highWatermark) {
        log.incrementLogStartOffset(leader.logStartOffset)
        partition.apply({ _tag: "LogStartMoved", logStartOffset: log.logStartOffset })
      }
      return ErrorCode.NONE
    } catch (error) {
      return this.#host.storageError(error)
    }
  }

  /**
   * A leader's log that begins in the middle of a batch, since records before it were deleted, is got with that batch
   * whole: who has nothing, or only what was deleted, has to begin where the batch does. The log start follows as ever.
   * Nothing is given up for bytes that the log would refuse then.
   */
  #beginWith(records: Uint8Array, leaderLogStart: number): void {
    const { log, state: { leaderEpoch } } = this.#partition
    const { logEndOffset, logStartOffset } = log
    if (logEndOffset > Math.max(logStartOffset, leaderLogStart)) return
    const replicated = validateReplicated(records, { crypto: this.#host.crypto, nextOffset: 0, leaderEpoch })
    const first = replicated._tag === "Batches" ? replicated.batches[0] : undefined
    if (first === undefined) return
    const { baseOffset, lastOffset } = first
    if (baseOffset >= logEndOffset || lastOffset < logEndOffset) return
    log.truncateFullyAndStartAt(baseOffset)
    this.#partition.apply({ _tag: "Truncated", logStartOffset: baseOffset, logEndOffset: baseOffset })
  }

  /** The leader's history parts from this log's (KIP-279). @returns NONE or KAFKA_STORAGE_ERROR */
  truncateToLeader(leader: { readonly epoch: number; readonly endOffset: number }): number {
    const { log } = this.#partition
    const own = log.endOffsetForEpoch(leader.epoch)
    return this.truncateTo(truncationOffset(leader, own, log.logEndOffset))
  }

  /** Removes what lies at `offset` and behind. @returns NONE or KAFKA_STORAGE_ERROR */
  truncateTo(offset: number): number {
    const { log, state } = this.#partition
    const { highWatermark } = state
    return this.#truncate(() => {
      // Only an unclean election makes a leader that has less than what is committed.
      if (offset < highWatermark) this.#host.warn("truncated below its high watermark", { offset, highWatermark })
      log.truncateTo(offset)
    })
  }

  /** The leader's log begins behind this one's end: nothing here is of use. @returns NONE or KAFKA_STORAGE_ERROR */
  restartAt(offset: number): number {
    return this.#truncate(() => this.#partition.log.truncateFullyAndStartAt(offset))
  }

  #truncate(change: () => void): number {
    const partition = this.#partition
    let code: number = ErrorCode.NONE
    try {
      change()
    } catch (error) {
      code = this.#host.storageError(error)
    }
    // The disk may have refused when the records were gone already.
    const { logEndOffset, logStartOffset } = partition.log
    partition.apply({ _tag: "Truncated", logStartOffset, logEndOffset })
    return code
  }
}
