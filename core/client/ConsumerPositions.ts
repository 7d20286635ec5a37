/**
 * Finds out where to read: the committed offset, the offset that a reset asks for, and whether a position still is in
 * the log after its partition's leader changed. Questions go out for all partitions at once, again after
 * `retry.backoff.ms` while they fail; the application hears only of what it must decide.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { type ClientError, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import { endOfEpochs, fetchCommitted, isClientError, type Isolation, listOffsets } from "./ConsumerOffsets.ts"
import type { FetcherHost } from "./Fetcher.ts"
import { type OffsetReset, resetTimestamp } from "./OffsetReset.ts"
import {
  type AssignedPartition,
  LATEST_TIMESTAMP,
  NO_OFFSET,
  partitionKey,
  type SubscriptionState,
  UNKNOWN_EPOCH
} from "./SubscriptionState.ts"

export interface PositionsOptions {
  readonly groupId: string | undefined
  readonly reset: OffsetReset
  readonly isolation: Isolation
  readonly retryBackoffMs: number
}

export interface PositionsHost extends Pick<FetcherHost, "now" | "fork" | "wakeAt" | "fail"> {
  /** In milliseconds since 1970: what records' timestamps are compared with. */
  readonly wallMs: () => number
  /** What is buffered of it is void. */
  readonly discard: (state: AssignedPartition) => void
  /** Positions are known that were not: fetch, and let who waits look. */
  readonly changed: () => void
}

interface Asked {
  readonly state: AssignedPartition
  readonly version: number
}

export class ConsumerPositions {
  readonly #cluster: Cluster
  readonly #subscription: SubscriptionState
  readonly #options: PositionsOptions
  readonly #host: PositionsHost

  constructor(cluster: Cluster, subscription: SubscriptionState, options: PositionsOptions, host: PositionsHost) {
    this.#cluster = cluster
    this.#subscription = subscription
    this.#options = options
    this.#host = host
  }

  /** Asks whatever is to be asked now. */
  check(): void {
    const now = this.#host.now()
    let nextAtMs = Infinity
    let committed: Array<AssignedPartition> | undefined
    let resets: Array<AssignedPartition> | undefined
    let validations: Array<AssignedPartition> | undefined
    for (const state of this.#subscription.partitions.values()) {
      if (state.phase === "Fetching" || state.phase === "Validating") {
        const epoch = this.#cluster.topic(state.topic)?.partitions[state.partition]?.leaderEpoch ?? UNKNOWN_EPOCH
        if (state.onLeaderEpoch(epoch, true)) this.#host.discard(state)
        if (state.phase === "Fetching") continue
      }
      if (state.asking) continue
      if (state.retryAtMs > now) {
        nextAtMs = Math.min(nextAtMs, state.retryAtMs)
        continue
      }
      if (state.phase === "Validating") (validations ??= []).push(state)
      else if (state.phase === "Resetting") (resets ??= []).push(state)
      else if (this.#options.groupId !== undefined) (committed ??= []).push(state)
      else if (this.#beginAnew(state)) (resets ??= []).push(state)
    }
    if (committed !== undefined) this.#askCommitted(this.#options.groupId!, committed)
    if (resets !== undefined) this.#askReset(resets)
    if (validations !== undefined) this.#askValidation(validations)
    if (nextAtMs !== Infinity) this.#host.wakeAt(nextAtMs)
  }

  /** The broker has no record at the position. */
  outOfRange(state: AssignedPartition): void {
    const offset = state.fetchOffset
    // What was fetched before is given out first: the position may be behind the fetch.
    if (state.position !== offset) return
    this.#host.discard(state)
    const timestamp = resetTimestamp(this.#options.reset, this.#host.wallMs())
    if (timestamp === undefined) {
      state.retryAtMs = this.#host.now() + this.#options.retryBackoffMs
      this.#host.fail(
        new FatalError(
          "OFFSET_OUT_OF_RANGE",
          `offset ${offset} is not in the log of ${state.key}, and auto.offset.reset is none: seek to an offset that is`,
          ErrorCode.OFFSET_OUT_OF_RANGE
        )
      )
      return
    }
    state.reset(timestamp)
    this.#host.changed()
  }

  /** Without a committed offset: by policy. @returns whether there is one */
  #beginAnew(state: AssignedPartition): boolean {
    const { groupId, reset, retryBackoffMs } = this.#options
    const timestamp = resetTimestamp(reset, this.#host.wallMs())
    if (timestamp !== undefined) {
      state.reset(timestamp)
      return true
    }
    state.retryAtMs = this.#host.now() + retryBackoffMs
    // The application may still seek in its hook.
    if (state.pendingAssignment) return false
    const who = groupId === undefined ? "there is no group" : `group ${groupId} has committed none`
    this.#host.fail(
      new FatalError("NO_OFFSET_FOR_PARTITION", `no offset to begin at for ${state.key}: ${who}, and auto.offset.reset is none`)
    )
    return false
  }

  #begin(states: ReadonlyArray<AssignedPartition>): ReadonlyArray<Asked> {
    return states.map((state) => {
      state.asking = true
      return { state, version: state.version }
    })
  }

  /** Those that nobody has moved meanwhile. */
  #still(asked: ReadonlyArray<Asked>): ReadonlyArray<AssignedPartition> {
    const still: Array<AssignedPartition> = []
    for (const { state, version } of asked) {
      if (state.version !== version) continue
      state.asking = false
      still.push(state)
    }
    return still
  }

  #failed(state: AssignedPartition, error: ClientError): void {
    state.retryAtMs = this.#host.now() + this.#options.retryBackoffMs
    if (error._tag === "FatalError" && error.reason !== "CLOSED") this.#host.fail(error)
  }

  #askCommitted(groupId: string, states: ReadonlyArray<AssignedPartition>): void {
    const asked = this.#begin(states)
    this.#host.fork(
      fetchCommitted(this.#cluster, groupId, states).pipe(
        Effect.result,
        Effect.map((result) => {
          const still = this.#still(asked)
          if (Result.isFailure(result)) {
            for (const state of still) state.retryAtMs = this.#host.now() + this.#options.retryBackoffMs
            if (still.length > 0) this.#failed(still[0]!, result.failure)
          } else {
            const offsets = new Map(result.success.map((one) => [partitionKey(one.topic, one.partition), one]))
            for (const state of still) {
              const one = offsets.get(state.key)
              if (one === undefined) this.#beginAnew(state)
              else state.seek(one.offset, one.leaderEpoch ?? UNKNOWN_EPOCH)
            }
          }
          this.#host.changed()
        })
      )
    )
  }

  #askReset(states: ReadonlyArray<AssignedPartition>): void {
    const asked = this.#begin(states)
    const questions = states.map(({ partition, resetTimestamp, topic }) => ({ topic, partition, timestamp: resetTimestamp }))
    this.#host.fork(
      listOffsets(this.#cluster, questions, this.#options.isolation).pipe(
        Effect.map((answers) => {
          for (const state of this.#still(asked)) {
            const answer = answers.get(state.key)
            if (answer === undefined) state.retryAtMs = this.#host.now() + this.#options.retryBackoffMs
            else if (isClientError(answer)) this.#failed(state, answer)
            else if (answer.offset === NO_OFFSET) state.reset(LATEST_TIMESTAMP)
            else state.seek(answer.offset)
          }
          this.#host.changed()
        })
      )
    )
  }

  #askValidation(states: ReadonlyArray<AssignedPartition>): void {
    const asked = this.#begin(states)
    const questions = states.map(({ partition, positionEpoch, topic }) => ({ topic, partition, leaderEpoch: positionEpoch }))
    this.#host.fork(
      endOfEpochs(this.#cluster, questions).pipe(
        Effect.map((answers) => {
          for (const state of this.#still(asked)) {
            const answer = answers.get(state.key)
            if (answer === undefined) state.retryAtMs = this.#host.now() + this.#options.retryBackoffMs
            else if (!isClientError(answer)) this.#validated(state, answer)
            // A broker that cannot say: read on, as before KIP-320.
            else if (answer.reason === "UNSUPPORTED") state.phase = "Fetching"
            else this.#failed(state, answer)
          }
          this.#host.changed()
        })
      )
    )
  }

  #validated(
    state: AssignedPartition,
    end: { readonly leaderEpoch: number; readonly endOffset: number; readonly askedEpoch: number }
  ): void {
    const position = state.position
    const truncated = state.validated(end.endOffset, end.leaderEpoch, end.askedEpoch)
    if (truncated === undefined) return
    this.#host.discard(state)
    const { divergentOffset } = truncated
    if (this.#options.reset._tag === "None") {
      state.retryAtMs = this.#host.now() + this.#options.retryBackoffMs
      const where = divergentOffset === NO_OFFSET ? "" : `; the logs part at offset ${divergentOffset}`
      this.#host.fail(
        new FatalError("LOG_TRUNCATION", `the log of ${state.key} was truncated below offset ${position}${where}: seek to go on`)
      )
    } else if (divergentOffset === NO_OFFSET) this.#beginAnew(state)
    else state.truncatedTo(divergentOffset, end.leaderEpoch, end.askedEpoch)
  }
}
