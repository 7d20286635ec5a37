/**
 * One partition's coordinator, for as long as this broker leads the partition at one leader epoch: its state machine,
 * the batch that is being filled, and what waits for a commit.
 *
 * Group append: the records of all requests of one turn of the loop share a batch, as long as it is smaller than the
 * partition's max.message.bytes. Records are replayed as they are added, so that the next request decides on them;
 * whatever it answers waits for the same commit. When the write fails, what was replayed is taken back in the opposite
 * order: nothing was told to anyone yet, and the log has none of it.
 *
 * When the commit takes longer than offsets.commit.timeout.ms its askers are answered COORDINATOR_NOT_AVAILABLE; the
 * records stay in the log and in the state, as in Kafka.
 *
 * Bounds: the open batch by max.message.bytes; batches that wait for their commit by the purgatory's MAX_WAITING_OPERATIONS.
 */
import * as Effect from "effect/Effect"
import type { Now } from "../model/Time.ts"
import { type Compression, type CompressionCodec, CompressionError } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import { BatchBuilder, type RecordInput } from "../records/BatchBuilder.ts"
import type { Partition, StagedAppend } from "../replication/Partition.ts"
import { DelayedOperation, type Purgatory } from "../replication/Purgatory.ts"
import { type Append, coordinatorError, type CoordinatorState, type RecordCodec, type Step } from "./CoordinatorState.ts"

export interface ShardHost {
  readonly crypto: Crypto
  readonly compression: Compression
  /** Of the batches that are written; 0: none. */
  readonly codec: 0 | CompressionCodec
  readonly purgatory: Purgatory
  readonly now: () => Now
  /** Starts an effect in the broker's scope. */
  readonly fork: (effect: Effect.Effect<unknown>) => void
  /** A commit is awaited for so long, in ms. */
  readonly commitTimeoutMs: () => number
  /** When the state's next timer is due by the monotonic clock, told after every change. */
  readonly timersChanged: (dueMs: number) => void
  /** A step threw, which is a bug: the state can't be trusted any more, the log can. */
  readonly broken: (partition: number, error: unknown) => void
}

type Settle<Record> = Append<Record>["settle"]

/** `Active`: takes requests. `Failed`: its log could not be read, and it stays so until leadership changes. */
export type ShardStatus = "Loading" | "Active" | "Failed" | "Unloaded"

/** The version of Produce whose rules the batches keep: those of the newest. */
const PRODUCE_VERSION = 13

interface OpenBatch<Record> {
  readonly builder: BatchBuilder
  readonly baseOffset: number
  readonly undos: Array<() => void>
  readonly settles: Array<Settle<Record>>
}

/** A written batch on its way to its commit. */
class CommitWait<Record> extends DelayedOperation {
  readonly staged: StagedAppend
  readonly settles: Array<Settle<Record>>
  readonly #settled: (wait: CommitWait<Record>, error: number) => void
  isDone = false

  constructor(
    timeoutMs: number,
    staged: StagedAppend,
    settles: Array<Settle<Record>>,
    settled: (wait: CommitWait<Record>, error: number) => void
  ) {
    super(timeoutMs)
    this.staged = staged
    this.settles = settles
    this.#settled = settled
  }

  override tryComplete(): boolean {
    if (this.isDone) return true
    const outcome = this.staged.partition.appendOutcome(this.staged, -1)
    if (outcome === undefined) return false
    this.complete(outcome)
    return true
  }

  override expire(): void {
    this.complete(ErrorCode.REQUEST_TIMED_OUT)
  }

  complete(error: number): void {
    if (this.isDone) return
    this.isDone = true
    this.#settled(this, error)
  }
}

export class CoordinatorShard<State extends CoordinatorState<Record>, Record> {
  readonly partition: Partition
  readonly leaderEpoch: number
  readonly state: State
  status: ShardStatus = "Loading"
  readonly #codec: RecordCodec<Record>
  readonly #host: ShardHost
  #open: OpenBatch<Record> | undefined
  /** In the order of the log. */
  readonly #waits: Set<CommitWait<Record>> = new Set()
  readonly #replies: Array<() => void> = []
  #changing = 0
  /** Of the last batch that was written. */
  #lastStaged: StagedAppend | undefined

  constructor(partition: Partition, state: State, codec: RecordCodec<Record>, host: ShardHost) {
    this.partition = partition
    this.leaderEpoch = partition.leaderEpoch
    this.state = state
    this.#codec = codec
    this.#host = host
  }

  /**
   * While `Active`: takes a step of the machine and does what it asks for. What was due before comes before, whether
   * the timer has had its turn yet or not: a member whose session is over is gone for whoever asks then.
   * @throws what a broken machine threw: nobody was answered
   */
  run(decide: (state: State, now: Now) => Step<Record>): void {
    try {
      const now = this.#host.now()
      this.#whole(() => {
        this.#fireDue(now)
        this.#perform(decide(this.state, now))
      })
    } catch (error) {
      this.#host.broken(this.partition.partition, error)
      throw error
    }
  }

  /** The log is replayed. */
  activate(): void {
    this.status = "Active"
    this.#perform(this.state.loaded(this.#host.now()))
  }

  /** Answers everyone: those who wait for a commit, and those whom the machine keeps. */
  unload(): void {
    if (this.status === "Unloaded") return
    const wasActive = this.status === "Active"
    this.status = "Unloaded"
    this.#whole(() => {
      const open = this.#open
      this.#open = undefined
      for (const wait of [...this.#waits]) {
        this.#host.purgatory.remove(wait)
        wait.complete(ErrorCode.NOT_LEADER_OR_FOLLOWER)
      }
      if (open !== undefined) this.#fail(open, ErrorCode.NOT_LEADER_OR_FOLLOWER)
      if (wasActive) this.#perform(this.state.unloaded())
    })
  }

  /** Handles the timers that are due. */
  fireTimers(): void {
    try {
      this.#fireDue(this.#host.now())
    } catch (error) {
      this.#host.broken(this.partition.partition, error)
    }
  }

  #fireDue(now: Now): void {
    while (this.status === "Active" && this.state.nextDeadlineMs <= now.monotonicMs) {
      const step = this.state.fire(now)
      if (step === undefined) return
      this.#perform(step)
    }
  }

  #perform(step: Step<Record>): void {
    this.#whole(() => {
      for (const reply of step.replies) this.#replies.push(reply)
      for (const append of step.appends) this.#append(append)
    })
  }

  /**
   * Answers leave when `change` is over: an answer can let in the next request of its connection, which must not find a
   * step half done, nor write its records before those of a step that was decided earlier.
   */
  #whole(change: () => void): void {
    this.#changing++
    try {
      change()
    } finally {
      this.#changing--
    }
    if (this.#changing > 0) return
    for (let reply = this.#replies.shift(); reply !== undefined; reply = this.#replies.shift()) reply()
    if (this.status === "Active") this.#host.timersChanged(this.state.nextDeadlineMs)
  }

  #settle(settle: Settle<Record>, error: number): void {
    this.#perform(settle(error === ErrorCode.NONE ? error : coordinatorError(error), this.#host.now()))
  }

  #append({ records, replay, settle }: Append<Record>): void {
    if (this.status !== "Active") return this.#settle(settle, ErrorCode.NOT_LEADER_OR_FOLLOWER)
    if (records.length === 0) return this.#afterCommits(settle)
    const encoded = this.#encode(records)
    if (encoded === undefined) return this.#settle(settle, ErrorCode.UNKNOWN_SERVER_ERROR)
    const batch = this.#batchFor(encoded)
    for (let i = 0; i < records.length; i++) {
      const offset = batch.baseOffset + batch.builder.count
      batch.builder.append(encoded[i]!)
      if (replay) batch.undos.push(this.state.replay(records[i]!, offset))
    }
    batch.settles.push(settle)
  }

  /** Undefined when something does not fit its type on disk: a name that grew when its bytes were no UTF-8. */
  #encode(records: ReadonlyArray<Record>): ReadonlyArray<RecordInput> | undefined {
    const timestamp = this.#host.now().wallMs
    try {
      return records.map((record): RecordInput => ({ timestamp, ...this.#codec.encode(record) }))
    } catch (error) {
      if (error instanceof ProtocolError) return undefined
      throw error
    }
  }

  /** The open batch if all of the records still fit, else a new one. What is too large for any is refused by the log. */
  #batchFor(encoded: ReadonlyArray<RecordInput>): OpenBatch<Record> {
    // What follows from a flush may begin a batch of its own: it is looked at like the one before.
    while (this.#open !== undefined) {
      const { builder } = this.#open
      let size = builder.sizeInBytes
      for (const record of encoded) size += builder.sizeWith(record) - builder.sizeInBytes
      if (size <= this.partition.log.config.maxMessageBytes) return this.#open
      this.#flush()
    }
    const { codec, compression, crypto } = this.#host
    const open: OpenBatch<Record> = {
      builder: new BatchBuilder({ crypto, codec, compression }),
      baseOffset: this.partition.logEndOffset,
      undos: [],
      settles: []
    }
    this.#open = open
    // The turn's end: requests that other connections have in this turn of the loop come before it.
    this.#host.fork(Effect.andThen(Effect.yieldNow, Effect.sync(() => {
      if (this.#open === open) this.flush()
    })))
    return open
  }

  #afterCommits(settle: Settle<Record>): void {
    if (this.#open !== undefined) {
      this.#open.settles.push(settle)
      return
    }
    const staged = this.#lastStaged
    if (staged === undefined || this.#isCommitted(staged)) return this.#settle(settle, ErrorCode.NONE)
    this.#await(staged, [settle])
  }

  /** What was committed stays so for who only reads, also when the ISR has become too small for more. */
  #isCommitted(staged: StagedAppend): boolean {
    const outcome = this.partition.appendOutcome(staged, -1)
    return outcome === ErrorCode.NONE || outcome === ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
  }

  /** Writes the open batch. */
  flush(): void {
    try {
      this.#whole(() => this.#flush())
    } catch (error) {
      this.#host.broken(this.partition.partition, error)
    }
  }

  #flush(): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    const { partition } = this
    if (partition.leaderEpoch !== this.leaderEpoch) return this.#fail(open, ErrorCode.NOT_LEADER_OR_FOLLOWER)
    let batch: Uint8Array
    try {
      batch = open.builder.build()
    } catch (error) {
      if (!(error instanceof CompressionError)) throw error
      const { partition: index, topic } = partition
      this.#host.fork(Effect.annotateLogs(Effect.logError(`a coordinator's records don't compress: ${error.message}`), { topic, partition: index }))
      return this.#fail(open, ErrorCode.UNKNOWN_SERVER_ERROR)
    }
    const staged = partition.appendAsLeader(batch, -1, {
      nowMs: this.#host.now().wallMs,
      apiVersion: PRODUCE_VERSION,
      isCoordinator: true
    })
    if (staged._tag === "Refusal") return this.#fail(open, staged.error)
    partition.commitStaged()
    if (staged.error !== ErrorCode.NONE) return this.#fail(open, staged.error)
    this.#lastStaged = staged
    this.#await(staged, open.settles)
  }

  #await(staged: StagedAppend, settles: Array<Settle<Record>>): void {
    const wait = new CommitWait<Record>(this.#host.commitTimeoutMs(), staged, settles, (done, error) => {
      this.#waits.delete(done)
      for (const settle of done.settles) this.#settle(settle, error)
    })
    this.#waits.add(wait)
    // A full purgatory is a commit that takes too long.
    if (wait.tryComplete()) return
    if (!this.#host.purgatory.watch(wait, [this.partition.produceWatchers])) wait.expire()
  }

  #fail(batch: OpenBatch<Record>, error: number): void {
    for (let i = batch.undos.length - 1; i >= 0; i--) batch.undos[i]!()
    for (const settle of batch.settles) this.#settle(settle, error)
  }
}
