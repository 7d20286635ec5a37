/**
 * Keeps this broker's followers equal to their leaders: one fiber and one connection per leader's broker, which fetches
 * all that is followed there with one request at a time (KIP-227 sessions), and applies what comes. What to ask and
 * how far to go back is decided in ReplicaFetcherState.ts; the logs are changed by Partition.ts.
 *
 * A fetcher lives as long as anything is followed from its broker. Without a connection, or with an address that is not
 * known yet, it tries again after `replica.fetch.backoff.ms`, for ever: the image says when to stop.
 *
 * Bounds: one request in flight per leader's broker, of `replica.fetch.response.max.bytes`, which only a first batch
 * that alone is larger exceeds.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type { Scope } from "effect/Scope"
import { type Address, Network } from "../ports/Network.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { type FetchRequestInput, fetchApi } from "../protocol/generated/Fetch.ts"
import { type ListOffsetsRequestInput, listOffsetsApi } from "../protocol/generated/ListOffsets.ts"
import { toSafe } from "../protocol/Int64.ts"
import { connect, type RpcConnection, RpcError } from "../rpc/RpcConnection.ts"
import type { Partition } from "./Partition.ts"
import type { Partitions } from "./Partitions.ts"
import type { ReplicationQuota } from "./ReplicationQuota.ts"
import { type FollowedId, type LogPosition, type ReplicaAnswer, ReplicaFetcherState, type ReplicaFetchLimits } from "./ReplicaFetcherState.ts"

export interface ReplicaFetchSettings extends ReplicaFetchLimits {
  /** `replica.fetch.wait.max.ms` and `replica.fetch.min.bytes`: how long a leader waits for how much. */
  readonly maxWaitMs: number
  readonly minBytes: number
  /** `replica.fetch.response.max.bytes`. */
  readonly maxBytes: number
  /** `replica.socket.timeout.ms`. */
  readonly socketTimeoutMs: number
}

export interface ReplicaFetcherOptions {
  readonly brokerId: number
  /** Of this broker's registration: a leader takes no fetch of an earlier life (KIP-903). */
  readonly brokerEpoch: () => number
  readonly partitions: Partitions
  /** Where brokers reach each other; undefined: that one is not there. */
  readonly addressOf: (brokerId: number) => Address | undefined
  readonly network: Network
  /** Of what this broker copies. */
  readonly quota: ReplicationQuota
  readonly settings: ReplicaFetchSettings
  /** For intervals only: of a clock that is never set. */
  readonly nowMs: () => number
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

/** The first version with topic ids and the replica's epoch. */
const REPLICA_STATE_SINCE = 15
const LATEST = -1
const EARLIEST = -2

/** What passes by itself: the image of one of the two brokers is behind. */
const PASSING: ReadonlySet<number> = new Set([
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.UNKNOWN_LEADER_EPOCH,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.UNKNOWN_TOPIC_ID
])

/** What an answer leaves to do, once its records are in the logs. */
interface Applied {
  readonly failed: Array<readonly [answer: ReplicaAnswer, error: number]>
  readonly flushing: Array<Partition>
  readonly outOfRange: Array<ReplicaAnswer>
}

/** What is followed from one broker. */
class LeaderFetcher {
  readonly #options: ReplicaFetcherOptions
  readonly #leaderId: number
  readonly #state: ReplicaFetcherState
  /** Opened when there is something new to ask for. */
  readonly #wake: Latch.Latch = Latch.makeUnsafe()
  #isConnected = false
  #hasWarned = false
  readonly #fiber: Fiber.Fiber<void>

  constructor(options: ReplicaFetcherOptions, leaderId: number) {
    this.#options = options
    this.#leaderId = leaderId
    this.#state = new ReplicaFetcherState(options.settings)
    this.#fiber = options.fork(Effect.forever(this.#survived(this.#connected()), { disableYield: false }))
  }

  /** Follows a partition from now on, in its present leader epoch. */
  follow(partition: Partition): void {
    if (this.#state.follow(partition, partition.leaderEpoch)) this.#wake.openUnsafe()
  }

  unfollow(partition: Partition): void {
    this.#state.unfollow(partition)
  }

  get isIdle(): boolean {
    return this.#state.size === 0
  }

  stop(): void {
    this.#fiber.interruptUnsafe()
  }

  /** One connection, from its making to its end; then all that is followed waits. */
  #connected(): Effect.Effect<void> {
    const { addressOf, brokerId, network, nowMs, settings } = this.#options
    return Effect.gen({ self: this }, function*() {
      yield* this.#untilDue()
      const address = addressOf(this.#leaderId)
      if (address === undefined) return this.#state.disconnected(nowMs())
      yield* connect(address, {
        clientId: `broker-${brokerId}-fetcher-0`,
        requestTimeoutMs: settings.socketTimeoutMs,
        connectTimeoutMs: settings.socketTimeoutMs,
        // What comes is in the logs when the answer is settled.
        reusesMemory: true
      }).pipe(
        Effect.flatMap((connection) => this.#fetchWhile(connection, address)),
        Effect.scoped,
        Effect.catch((error) => this.#lost(error)),
        Effect.provideService(Network, network)
      )
    })
  }

  /** A bug in one answer must not end replication from this broker for good: it is said, and tried again. */
  #survived(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.catchCause(effect, (cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.failCause(cause)
        : Effect.suspend(() => {
          this.#state.disconnected(this.#options.nowMs())
          return Effect.logError(`replication from broker ${this.#leaderId} failed, trying again`, cause)
        }))
  }

  #lost(error: RpcError): Effect.Effect<void> {
    this.#state.disconnected(this.#options.nowMs())
    const isNews = this.#isConnected || !this.#hasWarned
    this.#isConnected = false
    this.#hasWarned = true
    if (!isNews) return Effect.void
    return Effect.logWarning(`replication from broker ${this.#leaderId} waits: ${error.message}`)
  }

  /** Fetches until the leader's broker has moved to another address. */
  #fetchWhile(connection: RpcConnection, address: Address): Effect.Effect<void, RpcError, Scope> {
    const { addressOf, brokerEpoch, brokerId, nowMs, settings } = this.#options
    return Effect.gen({ self: this }, function*() {
      for (;;) {
        const current = addressOf(this.#leaderId)
        if (current?.host !== address.host || current.port !== address.port) return this.#state.disconnected(nowMs())
        const session = this.#state.request(nowMs(), (id) => this.#position(id))
        if (session !== undefined) {
          const applied = yield* this.#fetch(connection, {
            replicaState: { replicaId: brokerId, replicaEpoch: brokerEpoch() },
            maxWaitMs: settings.maxWaitMs,
            minBytes: settings.minBytes,
            maxBytes: settings.maxBytes,
            isolationLevel: 0,
            ...session
          })
          this.#isConnected = true
          for (const [answer, error] of applied.failed) yield* this.#failed(answer, error)
          for (const partition of applied.flushing) yield* Effect.ignore(partition.log.flush)
          for (const answer of applied.outOfRange) yield* this.#findOffset(connection, answer)
        }
        yield* this.#untilDue()
      }
    })
  }

  /** Until something that is followed may be asked for. */
  #untilDue(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const waitMs = this.#state.nextDueMs() - this.#options.nowMs()
      if (waitMs <= 0) return Effect.void
      this.#wake.closeUnsafe()
      return waitMs === Infinity ? this.#wake.await : Effect.raceFirst(this.#wake.await, Effect.sleep(waitMs))
    })
  }

  #partition({ partition, topicId }: FollowedId): Partition | undefined {
    return this.#options.partitions.topicById(topicId)?.partitions[partition]
  }

  /** Where a partition goes on; undefined: not now. */
  #position(id: FollowedId): LogPosition | undefined {
    const partition = this.#partition(id)
    if (partition === undefined) return undefined
    const { brokerId, nowMs, quota } = this.#options
    const isHeldBack = partition.isFollowerThrottled && !partition.state.isr.includes(brokerId) && quota.isExceeded(nowMs())
    return isHeldBack ? undefined : partition.follower.position
  }

  /** The partition, if what was fetched for it still fits on its log. */
  #fitting({ fetchOffset, leaderEpoch, ...id }: ReplicaAnswer): Partition | undefined {
    const partition = this.#partition(id)
    return partition?.follower.isFollowing(this.#leaderId, leaderEpoch, fetchOffset) === true ? partition : undefined
  }

  /** Asks, and writes what comes while its bytes are there: inside the network's callback, without a copy. */
  #fetch(connection: RpcConnection, request: FetchRequestInput): Effect.Effect<Applied, RpcError> {
    return Effect.callback<Applied, RpcError>((resume) => {
      const version = Math.max(REPLICA_STATE_SINCE, connection.versionOf(fetchApi) ?? REPLICA_STATE_SINCE)
      let isWanted = true
      connection.ask(fetchApi, version, request, { isTransient: true }, (response) => {
        if (!isWanted) return
        if (response instanceof RpcError) return resume(Effect.fail(response))
        try {
          resume(Effect.succeed(this.#apply(this.#state.answered(response, this.#options.nowMs()))))
        } catch (error) {
          // The caller's to say: the network must not see it.
          resume(Effect.die(error))
        }
      })
      return Effect.sync(() => {
        isWanted = false
      })
    })
  }

  #apply(answers: ReadonlyArray<ReplicaAnswer>): Applied {
    const applied: Applied = { failed: [], flushing: [], outOfRange: [] }
    for (const answer of answers) {
      const partition = this.#fitting(answer)
      if (partition === undefined) continue
      const { data } = answer
      if (partition.isFollowerThrottled) this.#options.quota.record(data.records?.length ?? 0, this.#options.nowMs())
      if (data.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
        applied.outOfRange.push(answer)
        continue
      }
      const error = data.errorCode !== ErrorCode.NONE
        ? data.errorCode
        : data.divergingEpoch.epoch >= 0
        ? partition.follower.truncateToLeader({
          epoch: data.divergingEpoch.epoch,
          endOffset: toSafe(data.divergingEpoch.endOffset) ?? 0
        })
        : partition.follower.append(data.records, {
          highWatermark: toSafe(data.highWatermark) ?? -1,
          logStartOffset: toSafe(data.logStartOffset) ?? -1
        })
      if (error !== ErrorCode.NONE) applied.failed.push([answer, error])
      // The next fetch tells the leader that this is here: not before the flush policy has it on the device.
      else if (partition.state.flushRequiredTo !== 0) applied.flushing.push(partition)
    }
    return applied
  }

  #failed(answer: ReplicaAnswer, error: number): Effect.Effect<void> {
    this.#state.failed(answer, answer.leaderEpoch, this.#options.nowMs())
    if (PASSING.has(error)) return Effect.void
    const { partition, topicId } = answer
    return Effect.logWarning(`a partition cannot be replicated from broker ${this.#leaderId}, trying again`).pipe(
      Effect.annotateLogs({ topic: this.#partition(answer)?.topic ?? topicId, partition, error })
    )
  }

  /** The leader's log ends before ours, which only an unclean election brings about, or begins behind our end. */
  #findOffset(connection: RpcConnection, answer: ReplicaAnswer): Effect.Effect<void, RpcError> {
    return Effect.gen({ self: this }, function*() {
      const end = yield* this.#listOffset(connection, answer, LATEST)
      const start = end.error === ErrorCode.NONE ? yield* this.#listOffset(connection, answer, EARLIEST) : end
      const partition = this.#fitting(answer)
      if (partition === undefined) return
      if (start.error !== ErrorCode.NONE) return yield* this.#failed(answer, start.error)
      const error = end.offset < answer.fetchOffset
        ? partition.follower.truncateTo(end.offset)
        : start.offset > answer.fetchOffset
        ? partition.follower.restartAt(start.offset)
        // It is in range by now, or the epoch is what the leader does not know: a moment's patience is all there is.
        : ErrorCode.OFFSET_OUT_OF_RANGE
      if (error !== ErrorCode.NONE) yield* this.#failed(answer, error)
    })
  }

  #listOffset(
    connection: RpcConnection,
    { leaderEpoch, partition, topicId }: ReplicaAnswer,
    timestamp: number
  ): Effect.Effect<{ readonly error: number; readonly offset: number }, RpcError> {
    const name = this.#options.partitions.topicById(topicId)?.name ?? ""
    const request: ListOffsetsRequestInput = {
      replicaId: this.#options.brokerId,
      isolationLevel: 0,
      topics: [{ name, partitions: [{ partitionIndex: partition, currentLeaderEpoch: leaderEpoch, timestamp }] }]
    }
    return Effect.map(connection.call(listOffsetsApi, request), ({ topics }) => {
      const answer = topics[0]?.partitions[0]
      return answer === undefined
        ? { error: ErrorCode.UNKNOWN_SERVER_ERROR, offset: -1 }
        : { error: answer.errorCode, offset: toSafe(answer.offset) ?? -1 }
    })
  }
}

export class ReplicaFetchers {
  readonly #options: ReplicaFetcherOptions
  readonly #fetchers: Map<number, LeaderFetcher> = new Map()
  /** What is followed, and from which broker. */
  readonly #followed: Map<Partition, number> = new Map()

  constructor(options: ReplicaFetcherOptions) {
    this.#options = options
  }

  /** Makes what is fetched follow the roles of the partitions that changed. Call it when an image was applied. */
  refresh(): void {
    const left = new Set<number>()
    for (const partition of this.#options.partitions.takeChanged()) {
      const { leaderId, role } = partition.state
      const before = this.#followed.get(partition)
      const now = role === "follower" && leaderId >= 0 && !partition.isDeleted ? leaderId : undefined
      if (before !== undefined && before !== now) {
        this.#followed.delete(partition)
        this.#fetchers.get(before)?.unfollow(partition)
        left.add(before)
      }
      if (now === undefined) continue
      this.#followed.set(partition, now)
      let fetcher = this.#fetchers.get(now)
      if (fetcher === undefined) this.#fetchers.set(now, fetcher = new LeaderFetcher(this.#options, now))
      fetcher.follow(partition)
    }
    for (const leaderId of left) {
      const fetcher = this.#fetchers.get(leaderId)
      if (fetcher?.isIdle !== true) continue
      this.#fetchers.delete(leaderId)
      fetcher.stop()
    }
  }

  /** The broker stops. */
  close(): void {
    for (const fetcher of this.#fetchers.values()) fetcher.stop()
    this.#fetchers.clear()
    this.#followed.clear()
  }
}
