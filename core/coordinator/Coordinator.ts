/**
 * The coordinators of one internal topic on this broker, one per partition that it leads. Follows the metadata image:
 * a partition whose leadership comes is loaded, one after the other; one whose leadership goes is unloaded. What a
 * request gets before its partition is loaded is COORDINATOR_LOAD_IN_PROGRESS, and NOT_COORDINATOR where this broker
 * does not lead.
 *
 * One timer fiber serves the timers of all partitions: it sleeps until the earliest is due.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Now } from "../model/Time.ts"
import type { Compression, CompressionCodec } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { Partition } from "../replication/Partition.ts"
import type { Partitions } from "../replication/Partitions.ts"
import { CoordinatorShard, type ShardHost } from "./CoordinatorShard.ts"
import type { CoordinatorState, RecordCodec } from "./CoordinatorState.ts"
import { replayLog } from "./LogReplay.ts"

export interface CoordinatorOptions<State extends CoordinatorState<Record>, Record> {
  /** The internal topic: `__consumer_offsets`. */
  readonly topic: string
  readonly partitions: Partitions
  readonly makeState: () => State
  readonly codec: RecordCodec<Record>
  readonly crypto: Crypto
  readonly compression: Compression
  /** Of the batches that are written. Default 0, none. */
  readonly compressionCodec?: 0 | CompressionCodec
  readonly now: () => Now
  /** Starts a fiber at once, in the broker's scope. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** Of a commit, in ms. */
  readonly commitTimeoutMs: () => number
}

export class Coordinator<State extends CoordinatorState<Record>, Record> {
  readonly #options: CoordinatorOptions<State, Record>
  readonly #shards: Map<number, CoordinatorShard<State, Record>> = new Map()
  readonly #host: ShardHost
  /** Waiting to be loaded, in the order in which leadership came. */
  #loadQueue: Array<CoordinatorShard<State, Record>> = []
  #isLoading = false
  #isClosed = false
  #timer: Fiber.Fiber<void> | undefined
  #timerDueMs = Infinity

  constructor(options: CoordinatorOptions<State, Record>) {
    this.#options = options
    this.#host = {
      crypto: options.crypto,
      compression: options.compression,
      codec: options.compressionCodec ?? 0,
      purgatory: options.partitions.purgatory,
      now: options.now,
      fork: (effect) => void options.fork(Effect.asVoid(effect)),
      commitTimeoutMs: options.commitTimeoutMs,
      timersChanged: (dueMs) => this.#armTimer(dueMs),
      broken: (partition, error) => this.#reload(partition, error)
    }
  }

  /** Makes what is coordinated here follow the partitions that are led here. Call it when an image was applied. */
  refresh(): void {
    if (this.#isClosed) return
    const hosted = this.#options.partitions.topic(this.#options.topic)?.partitions ?? []
    for (const [index, shard] of this.#shards) {
      const partition = hosted[index]
      if (partition === shard.partition && partition.isLeader && partition.leaderEpoch === shard.leaderEpoch) continue
      this.#shards.delete(index)
      shard.unload()
    }
    for (const partition of hosted) {
      if (partition?.isLeader === true && !this.#shards.has(partition.partition)) this.#lead(partition)
    }
  }

  /** The coordinator of a partition, or the error that a request for it is answered with. */
  shard(partition: number): CoordinatorShard<State, Record> | number {
    const shard = this.#shards.get(partition)
    if (shard === undefined || shard.partition.isDeleted || shard.partition.isOffline) return ErrorCode.NOT_COORDINATOR
    if (shard.status === "Active") return shard
    return shard.status === "Loading" ? ErrorCode.COORDINATOR_LOAD_IN_PROGRESS : ErrorCode.NOT_COORDINATOR
  }

  /** Those that are led here, in whatever state. */
  shards(): Iterable<CoordinatorShard<State, Record>> {
    return this.#shards.values()
  }

  /** Writes what is open and answers everyone who waits: the broker stops. */
  close(): void {
    if (this.#isClosed) return
    for (const shard of this.#shards.values()) shard.flush()
    this.#isClosed = true
    for (const shard of this.#shards.values()) shard.unload()
    this.#shards.clear()
    this.#loadQueue = []
    if (this.#timer !== undefined) this.#options.fork(Fiber.interrupt(this.#timer))
    this.#timer = undefined
  }

  #lead(partition: Partition): void {
    const shard = new CoordinatorShard(partition, this.#options.makeState(), this.#options.codec, this.#host)
    this.#shards.set(partition.partition, shard)
    this.#loadQueue.push(shard)
    if (this.#isLoading) return
    this.#isLoading = true
    this.#options.fork(this.#loadAll())
  }

  /** After a bug: what the log remembers is right. Whoever waits is told to look for the coordinator again. */
  #reload(index: number, error: unknown): void {
    const { fork, topic } = this.#options
    fork(Effect.annotateLogs(Effect.logError("coordinator failed and is loaded anew"), {
      topic,
      partition: index,
      error: error instanceof Error ? error.stack ?? error.message : String(error)
    }))
    const shard = this.#shards.get(index)
    if (shard === undefined || this.#isClosed) return
    this.#shards.delete(index)
    try {
      shard.unload()
    } catch {
      // It is broken: some of those who wait may have to time out.
    }
    if (shard.partition.isLeader) this.#lead(shard.partition)
  }

  /** One at a time: what they read at once has one bound. */
  #loadAll(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (let shard = this.#loadQueue.shift(); shard !== undefined; shard = this.#loadQueue.shift()) {
        yield* this.#load(shard)
      }
      this.#isLoading = false
    })
  }

  #load(shard: CoordinatorShard<State, Record>): Effect.Effect<void> {
    const { codec, compression, topic } = this.#options
    const { partition, state } = shard
    const isWanted = (): boolean => shard.status === "Loading"
    return replayLog(partition, state, codec, compression, isWanted).pipe(
      Effect.flatMap(({ records, skipped }) => {
        if (!isWanted()) return Effect.void
        shard.activate()
        if (records + skipped === 0) return Effect.void
        return Effect.annotateLogs(Effect.logDebug("coordinator loaded"), {
          topic,
          partition: partition.partition,
          records,
          skipped
        })
      }),
      Effect.catch((error) => {
        shard.status = "Failed"
        return Effect.annotateLogs(
          Effect.logError(
            "coordinator could not be loaded, its partition is not coordinated: look at the log with kafka-dump-log"
          ),
          { topic, partition: partition.partition, error: error.message }
        )
      })
    )
  }

  #armTimer(dueMs: number): void {
    if (this.#isClosed || dueMs >= this.#timerDueMs) return
    const previous = this.#timer
    this.#timerDueMs = dueMs
    const waitMs = dueMs - this.#options.now().monotonicMs
    this.#timer = this.#options.fork(
      // What is due now needs no clock, only that this turn is over.
      Effect.andThen(waitMs > 0 ? Effect.sleep(waitMs) : Effect.yieldNow, Effect.sync(() => {
        // A timer that was replaced and fires all the same does nothing: its successor has the deadline.
        if (this.#timerDueMs === dueMs) this.#fire()
      }))
    )
    if (previous !== undefined) this.#options.fork(Fiber.interrupt(previous))
  }

  #fire(): void {
    this.#timer = undefined
    // Nothing arms a timer until all that is due is handled.
    this.#timerDueMs = -Infinity
    for (const shard of [...this.#shards.values()]) shard.fireTimers()
    this.#timerDueMs = Infinity
    let dueMs = Infinity
    for (const { state, status } of this.#shards.values()) {
      if (status === "Active") dueMs = Math.min(dueMs, state.nextDeadlineMs)
    }
    this.#armTimer(dueMs)
  }
}
