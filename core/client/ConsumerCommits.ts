/** A consumer's commits, one after the other: those that it is asked for, and by itself what polls have returned. */
import * as Effect from "effect/Effect"
import type * as Semaphore from "effect/Semaphore"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { type ClientError, FatalError, RetriableError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { PartitionOffset } from "./Consumer.ts"
import { commitOffsets } from "./ConsumerOffsets.ts"
import type { ConsumerSettings } from "./ConsumerSettings.ts"
import type { FetcherHost } from "./Fetcher.ts"
import { type Membership, ungrouped } from "./Membership.ts"
import type { SubscriptionState } from "./SubscriptionState.ts"

export interface CommitsHost extends Pick<FetcherHost, "now" | "fork"> {
  /** Undefined without a group. */
  readonly membership: () => Membership | undefined
}

export const noGroup = (what: string): FatalError =>
  new FatalError("INVALID_GROUP_ID", `${what} needs a group: set group.id`, ErrorCode.INVALID_GROUP_ID)

export class ConsumerCommits {
  readonly #cluster: Cluster
  readonly #subscription: SubscriptionState
  readonly #settings: ConsumerSettings
  readonly #lock: Semaphore.Semaphore
  readonly #host: CommitsHost
  #isAutoCommitting = false
  #autoCommitAtMs = Infinity

  constructor(
    cluster: Cluster,
    subscription: SubscriptionState,
    settings: ConsumerSettings,
    lock: Semaphore.Semaphore,
    host: CommitsHost
  ) {
    this.#cluster = cluster
    this.#subscription = subscription
    this.#settings = settings
    this.#lock = lock
    this.#host = host
  }

  /** What the application is done with, of every assigned partition. */
  consumed(): ReadonlyArray<PartitionOffset> {
    const offsets: Array<PartitionOffset> = []
    for (const { consumed, partition, topic } of this.#subscription.partitions.values()) {
      if (consumed !== undefined) offsets.push({ topic, partition, ...consumed })
    }
    return offsets
  }

  /**
   * In the order in which they are asked for: the last one is what counts. Offsets are looked at when it is its turn; the
   * time that it waits for its turn is part of `timeoutMs`.
   */
  commit(of: () => ReadonlyArray<PartitionOffset>, timeoutMs: number): Effect.Effect<void, ClientError> {
    return Effect.suspend(() => {
      const deadlineMs = this.#host.now() + timeoutMs
      return Effect.suspend(() => {
        const { groupId } = this.#settings
        if (groupId === undefined) return Effect.fail(noGroup("a commit"))
        const offsets = of()
        if (offsets.length === 0) return Effect.void
        return this.#cluster.retry(this.#once(groupId, offsets), { timeoutMs: Math.max(0, deadlineMs - this.#host.now()) })
      }).pipe(
        this.#lock.withPermits(1),
        // One millisecond more: whose turn has come ends with what it was refused with.
        Effect.timeoutOrElse({
          duration: timeoutMs + 1,
          orElse: () => Effect.fail(new RetriableError("TIMED_OUT", `a commit waited ${timeoutMs} ms for the one before it, which has no answer yet`))
        })
      )
    })
  }

  /** Before partitions are given up. */
  autoCommitNow(timeoutMs: number): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#settings.autoCommitIntervalMs === undefined || !this.#isAllowed()
        ? Effect.void
        : Effect.catch(this.commit(() => this.consumed(), timeoutMs), (error) => this.#warn(error))
    )
  }

  /** When `autoCommit` has something to do; Infinity: never. */
  get dueAtMs(): number {
    return this.#isAutoCommitting || !this.#isAllowed() ? Infinity : this.#autoCommitAtMs
  }

  /** Partitions are new: the interval begins. */
  restart(): void {
    this.#autoCommitAtMs = this.#host.now() + (this.#settings.autoCommitIntervalMs ?? Infinity)
  }

  /**
   * What earlier polls returned, when its time has come. In the background, poll does not wait for it; one attempt, the
   * next one has newer offsets.
   */
  autoCommit(nowMs: number): void {
    const { autoCommitIntervalMs, groupId, retryBackoffMs } = this.#settings
    if (autoCommitIntervalMs === undefined || groupId === undefined) return
    if (this.#isAutoCommitting || nowMs < this.#autoCommitAtMs || !this.#isAllowed()) return
    const offsets = this.consumed()
    this.#autoCommitAtMs = nowMs + autoCommitIntervalMs
    if (offsets.length === 0) return
    this.#isAutoCommitting = true
    this.#host.fork(
      this.#once(groupId, offsets).pipe(
        this.#lock.withPermits(1),
        Effect.catch((error) => {
          if (error._tag === "RetriableError") {
            this.#autoCommitAtMs = Math.min(this.#autoCommitAtMs, this.#host.now() + retryBackoffMs)
          }
          return this.#warn(error)
        }),
        Effect.ensuring(Effect.sync(() => {
          this.#isAutoCommitting = false
        }))
      )
    )
  }

  /** The member that commits; undefined: partitions were assigned by hand. */
  #member(): Membership | undefined {
    const { kind } = this.#subscription
    return kind === "Topics" || kind === "Pattern" ? this.#host.membership() : undefined
  }

  /** Else it would be refused: the hooks of the rebalance that is under way commit, or nobody may. */
  #isAllowed(): boolean {
    return !(this.#member()?.commitMetadata instanceof FatalError)
  }

  #once(groupId: string, offsets: ReadonlyArray<PartitionOffset>): Effect.Effect<void, ClientError> {
    return Effect.suspend(() => {
      const member = this.#member()
      const group = member?.commitMetadata ?? ungrouped(groupId)
      if (group instanceof FatalError) return Effect.fail(group)
      return Effect.tapError(commitOffsets(this.#cluster, group, offsets), (error) =>
        Effect.sync(() => {
          if (error.code !== undefined) member?.commitRefused(group, error.code)
        }))
    })
  }

  #warn(error: ClientError): Effect.Effect<void> {
    return Effect.logWarning(`auto-commit of group ${this.#settings.groupId}: ${error.message}`)
  }
}
