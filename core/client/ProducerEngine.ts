/**
 * Drives a SenderState: gives it time, metadata and answers, does what it says, and tells listeners. Callback-driven:
 * no Effect and no promise for a record that `offer` takes; one Effect for a request.
 *
 * Bounds: `buffer.memory` for what was accepted; those who wait for memory hold one record each and wait no longer than
 * `max.block.ms`.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import { Scheduler, type SchedulerDispatcher } from "effect/Scheduler"
import type { Scope } from "effect/Scope"
import { monotonicMs } from "../model/Time.ts"
import { Compression } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { initProducerIdApi } from "../protocol/generated/InitProducerId.ts"
import { produceApi, type ProduceResponse } from "../protocol/generated/Produce.ts"
import { Accumulator, PartitionQueue, type TopicState } from "./Accumulator.ts"
import { Alarm } from "./Alarm.ts"
import { type ClientError, errorOfCode, FatalError, RetriableError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import { MemoryLine, type Refusal } from "./MemoryLine.ts"
import { Partitioner, type PartitionerRecord } from "./Partitioner.ts"
import { guardedPartitioner } from "./PartitionerGuard.ts"
import type { ProducerRecord, SendListener } from "./Producer.ts"
import { maxSizeOfOne, NO_HEADERS } from "./ProducerBatch.ts"
import { newProducerId, produceRequest } from "./ProducerRequests.ts"
import type { ProducerSettings } from "./ProducerSettings.ts"
import { closedError, isHopeless, type ProduceCall, SenderState, type Todo } from "./SenderState.ts"

export class ProducerEngine {
  readonly settings: ProducerSettings
  readonly #cluster: Cluster
  readonly #context: Context.Context<never>
  readonly #clock: Clock.Clock
  readonly #crypto: Crypto
  readonly #partitioner: Partitioner
  readonly #random: () => number
  readonly #dispatcher: SchedulerDispatcher
  readonly #accumulator: Accumulator
  readonly #sender: SenderState
  readonly #memoryLine: MemoryLine
  readonly #alarm: Alarm
  #isPollScheduled = false
  #flushes = 0
  #isClosed = false
  #lastTopic: TopicState | undefined
  /** What was refused last and where it was to go: it is not placed again when it comes again. */
  #refused: ProducerRecord | undefined
  #refusedQueue: PartitionQueue | undefined
  #forgottenFailures = 0
  #forgottenError: ClientError | undefined

  constructor(
    settings: ProducerSettings,
    cluster: Cluster,
    context: Context.Context<never>,
    services: {
      readonly clock: Clock.Clock
      readonly crypto: Crypto
      readonly compression: Compression
      readonly partitioner: Partitioner
      readonly random: () => number
      readonly dispatcher: SchedulerDispatcher
    }
  ) {
    this.settings = settings
    this.#cluster = cluster
    this.#context = context
    this.#clock = services.clock
    this.#crypto = services.crypto
    this.#partitioner = guardedPartitioner(services.partitioner, this.#onPartitionerThrow)
    this.#random = services.random
    this.#dispatcher = services.dispatcher
    this.#accumulator = new Accumulator(settings, services.compression)
    this.#sender = new SenderState(settings, this.#accumulator, services.random)
    this.#memoryLine = new MemoryLine({
      hasRoom: (claimBytes) => this.#accumulator.memory.hasRoom(claimBytes),
      append: (record, listener) => this.#append(record, listener, true),
      closed: () => this.#isClosed ? closedError() : undefined,
      onWait: () => this.#schedulePoll()
    })
    this.#alarm = new Alarm({ now: this.nowMs, fork: Effect.runForkWith(context), ring: () => this.#schedulePoll() })
  }

  /** Of the monotonic clock: all deadlines are. Records are dated by the wall clock. */
  readonly nowMs = (): number => monotonicMs(this.#clock)
  /** Records that were accepted and have not ended are in so many batches. */
  get incompleteBatches(): number {
    return this.#accumulator.incomplete.size
  }
  get claimedBytes(): number {
    return this.#accumulator.memory.claimedBytes
  }

  // -- accepting

  /** @returns where the record went, why it cannot go there now, or why it never will */
  offer(record: ProducerRecord, listener: SendListener | undefined): PartitionQueue | Refusal | ClientError {
    if (this.#isClosed) return closedError()
    return this.#append(record, listener, this.#memoryLine.isEmpty)
  }

  #append(record: ProducerRecord, listener: SendListener | undefined, mayClaim: boolean): PartitionQueue | Refusal | ClientError {
    const fatal = this.#sender.fatal
    if (fatal !== undefined) return fatal
    const topic = this.#topicOf(record.topic)
    if (topic === undefined) return typeof record.topic === "string" ? "NoMetadata" : noTopic(record.topic)
    const key = record.key ?? null
    const value = record.value ?? null
    const headers = record.headers ?? NO_HEADERS
    const size = maxSizeOfOne(key, value, headers)
    if (size > this.settings.maxRequestBytes) return tooLarge(size, "max.request.size", this.settings.maxRequestBytes)
    if (size > this.settings.bufferBytes) return tooLarge(size, "buffer.memory", this.settings.bufferBytes)
    const timestamp = record.timestamp ?? this.#clock.currentTimeMillisUnsafe()
    if (timestamp < 0 || !Number.isSafeInteger(timestamp)) {
      return new FatalError("INVALID_ARGUMENT", `a record for ${record.topic}: the timestamp is ${timestamp}, it takes milliseconds from 0 on`)
    }
    const view = record.partition === undefined ? { topic: record.topic, key, value, keyObject: record.keyObject } : undefined
    let queue: PartitionQueue | undefined
    if (record === this.#refused) queue = this.#refusedQueue
    if (queue === undefined) {
      const placed = this.#place(topic, record, view)
      if (!(placed instanceof PartitionQueue)) return placed
      queue = placed
    }
    let wasIdle = queue.queue.length === 0
    const mayLeave = view !== undefined && topic.partitioner.onBatchClosed !== undefined
    let bytes = this.#accumulator.append(queue, timestamp, key, value, headers, listener, size, this.nowMs, mayClaim, mayLeave)
    if (bytes < 0) {
      // A sticky partitioner leaves with the batch: this record would begin a batch that no other would fill.
      this.#schedulePoll()
      const placed = this.#place(topic, record, view)
      if (!(placed instanceof PartitionQueue)) return placed
      queue = placed
      wasIdle = queue.queue.length === 0
      bytes = this.#accumulator.append(queue, timestamp, key, value, headers, listener, size, this.nowMs, mayClaim, false)
    }
    if (bytes === 0) {
      // The open batch was closed for it.
      this.#schedulePoll()
      this.#refused = record
      this.#refusedQueue = queue
      return "NoMemory"
    }
    if (this.#refused === record) this.#refused = undefined
    if (view !== undefined) topic.partitioner.onAppended?.(queue.partition, bytes, topic.described, view, queue.open !== undefined)
    // A batch that just began or just was closed has something to say to the sender.
    if (wasIdle || queue.open === undefined || queue.queue.length > 1) this.#schedulePoll()
    return queue
  }

  #place(
    topic: TopicState,
    record: ProducerRecord,
    view: PartitionerRecord | undefined
  ): PartitionQueue | Refusal | ClientError {
    let partition: number
    try {
      partition = view === undefined ? record.partition! : topic.partitioner.partition(view, topic.described)
    } catch (error) {
      return new FatalError(
        "INVALID_ARGUMENT",
        `a record for ${record.topic}: the partitioner ${this.#partitioner.name} failed: ${error instanceof Error ? error.message : String(error)}`
      )
    }
    if (!Number.isInteger(partition) || partition < 0) {
      return new FatalError("INVALID_ARGUMENT", `a record for ${record.topic}: there is no partition ${partition}`)
    }
    if (partition >= topic.view.partitions.length) {
      if (view === undefined) return "NoPartition"
      return new FatalError(
        "INVALID_ARGUMENT",
        `the partitioner ${this.#partitioner.name} chose partition ${partition} of ${record.topic}, which has ${topic.view.partitions.length}`
      )
    }
    return topic.partitions[partition]!
  }

  #topicOf(name: string): TopicState | undefined {
    const known = this.#lastTopic?.name === name ? this.#lastTopic : this.#accumulator.topics.get(name)
    if (known?.isInUse === true && !known.isLost) return this.#lastTopic = known
    // No request can ask for it: one that waits for what is no name would stop the client's metadata.
    if (typeof name !== "string") return undefined
    // The look keeps it in the metadata. One that is not there any more is asked for anew.
    const view = this.#cluster.topic(name)
    if (view === undefined || view.partitions.length === 0) return undefined
    const topic = known ?? this.#accumulator.addTopic(view, this.#partitioner, this.#random)
    if (topic.isLost) topic.update(view)
    topic.isInUse = true
    return this.#lastTopic = topic
  }

  /** Accepts a record, waiting for metadata and memory up to `max.block.ms`. */
  accept(record: ProducerRecord, listener: SendListener | undefined): Effect.Effect<PartitionQueue, ClientError> {
    return Effect.suspend(() => {
      const queue = this.offer(record, listener)
      if (typeof queue === "string") return this.#acceptLater(record, listener)
      return queue instanceof Error ? Effect.fail(queue) : Effect.succeed(queue)
    })
  }

  #acceptLater(record: ProducerRecord, listener: SendListener | undefined): Effect.Effect<PartitionQueue, ClientError> {
    const deadlineMs = this.nowMs() + this.settings.maxBlockMs
    return Effect.gen({ self: this }, function*() {
      yield* this.#awaitTopic(record.topic, record.partition ?? 0, deadlineMs)
      return yield* this.#inTime(this.#memoryLine.accept(record, listener), record.topic, deadlineMs)
    })
  }

  /** Done when there may be room for such a record, and its topic has its partition. */
  ready({ headers, key, partition = 0, topic, value }: ProducerRecord): Effect.Effect<void, ClientError> {
    return Effect.suspend(() => {
      const claimBytes = this.#accumulator.claimOf(maxSizeOfOne(key ?? null, value ?? null, headers ?? NO_HEADERS))
      const deadlineMs = this.nowMs() + this.settings.maxBlockMs
      return Effect.andThen(
        this.#awaitTopic(topic, partition, deadlineMs),
        this.#inTime(this.#memoryLine.room(topic, claimBytes), topic, deadlineMs)
      )
    })
  }

  /** Waits until a topic with such a partition is known. */
  #awaitTopic(name: string, partition: number, deadlineMs: number): Effect.Effect<void, ClientError> {
    return Effect.gen({ self: this }, function*() {
      if (this.#topicOf(name) === undefined) {
        const timeoutMs = Math.max(0, deadlineMs - this.nowMs())
        yield* this.#cluster.topics([name], { timeoutMs, allowAutoCreate: true })
      }
      for (;;) {
        const topic = this.#topicOf(name)
        if (topic !== undefined && partition < topic.view.partitions.length) return
        const leftMs = deadlineMs - this.nowMs()
        const { version } = this.#cluster.view()
        this.#cluster.invalidate()
        const view = leftMs <= 0 ? undefined : yield* this.#cluster.viewAfter(version).pipe(
          Effect.timeoutOrElse({ duration: leftMs, orElse: () => Effect.succeed(undefined) })
        )
        if (view !== undefined) continue
        const what = topic === undefined
          ? `topic ${name}`
          : `partition ${partition} of topic ${name}, which has ${topic.view.partitions.length},`
        return yield* Effect.fail(
          new RetriableError("TIMED_OUT", `${what} was not in the cluster's metadata within max.block.ms, ${this.settings.maxBlockMs} ms`)
        )
      }
    })
  }

  /** Of those who wait for memory, in what is left of their time when that begins. */
  #inTime<A>(waiting: Effect.Effect<A, ClientError>, topic: string, deadlineMs: number): Effect.Effect<A, ClientError> {
    return Effect.suspend(() =>
      Effect.timeoutOrElse(waiting, {
        duration: Math.max(0, deadlineMs - this.nowMs()),
        orElse: () =>
          Effect.fail(
            new RetriableError(
              "BUFFER_EXHAUSTED",
              `no room for a record of topic ${topic} within max.block.ms, ${this.settings.maxBlockMs} ms: batches hold ` +
                `${this.claimedBytes} bytes of buffer.memory, ${this.settings.bufferBytes}`
            )
          )
      })
    )
  }

  /** For records whose fate nobody asked for. */
  readonly forgotten: SendListener = (result) => {
    if (!(result instanceof Error)) return
    this.#forgottenFailures++
    this.#forgottenError = result
  }

  // -- sending

  #schedulePoll(): void {
    if (this.#isPollScheduled) return
    this.#isPollScheduled = true
    if (!this.#cluster.afterRead(this.#poll)) this.#dispatcher.scheduleTask(this.#poll, 0)
  }

  readonly #poll = (): void => {
    this.#isPollScheduled = false
    const nowMs = this.nowMs()
    const todo = this.#sender.poll(nowMs, { isExhausted: !this.#memoryLine.isEmpty, isFlushing: this.#flushes > 0 })
    this.#do(todo)
    this.#tellEnded()
  }

  #do(todo: Todo): void {
    for (const hint of todo.hints) this.#cluster.invalidate(hint)
    if (todo.refresh) this.#cluster.invalidate()
    if (todo.askProducerId) this.#askProducerId()
    for (const nodeId of todo.connect) this.#connect(nodeId)
    for (const call of todo.calls) this.#send(call)
    // With acks=0 the last records end while they are sent, and the producer with them: then it is silent already.
    if (todo.wakeAtMs !== Infinity) this.#alarm.at(todo.wakeAtMs)
  }

  #run<A>(effect: Effect.Effect<A, ClientError>, onExit: (result: A | ClientError) => void): void {
    Effect.runCallbackWith(this.#context)(effect, {
      onExit: (exit) => {
        if (Exit.isSuccess(exit)) onExit(exit.value)
        else {
          const error = Cause.squash(exit.cause)
          onExit(isClientError(error) ? error : new RetriableError("DISCONNECTED", `a request ended unexpectedly: ${String(error)}`))
        }
        this.#tellEnded()
        this.#schedulePoll()
      }
    })
  }

  #connect(nodeId: number): void {
    this.#run(this.#cluster.versionOf(nodeId, "data", produceApi), (result) => {
      if (!isClientError(result)) return this.#sender.onConnected(nodeId)
      if (isHopeless(result)) this.#sender.failAll(result)
      else this.#sender.onDisconnected(nodeId, this.nowMs())
    })
  }

  #askProducerId(): void {
    const ask = Effect.gen({ self: this }, function*() {
      const node = yield* this.#cluster.anyNode
      return yield* this.#cluster.call(node, "data", initProducerIdApi, newProducerId)
    })
    this.#run(ask, (result) => {
      if (isClientError(result)) return this.#sender.onProducerIdFailed(result, this.nowMs())
      if (result.errorCode !== ErrorCode.NONE) {
        return this.#sender.onProducerIdFailed(errorOfCode(result.errorCode, "asking for a producer id"), this.nowMs())
      }
      this.#sender.onProducerId({ producerId: Number(result.producerId), producerEpoch: result.producerEpoch })
    })
  }

  #send(call: ProduceCall): void {
    const request = produceRequest(call, this.settings, this.#crypto)
    const { acks, requestTimeoutMs } = this.settings
    if (acks === 0) {
      this.#run(this.#cluster.tell(call.nodeId, "data", produceApi, request), (result) => {
        if (isClientError(result)) this.#sender.onLost(call, result, this.nowMs())
        else this.#sender.onTold(call)
      })
      return
    }
    const onEnd = (result: ProduceResponse | ClientError): void => {
      if (isClientError(result)) this.#sender.onLost(call, result, this.nowMs())
      else this.#sender.onAnswer(call, result, this.nowMs())
    }
    const isAsked = this.#cluster.ask(call.nodeId, "data", produceApi, request, { timeoutMs: requestTimeoutMs, isTransient: true }, (result) => {
      onEnd(result)
      this.#tellEnded()
      this.#schedulePoll()
    })
    if (!isAsked) this.#run(this.#cluster.call(call.nodeId, "data", produceApi, request, { timeoutMs: requestTimeoutMs }), onEnd)
  }

  #tellEnded(): void {
    for (let ended = this.#sender.takeEnded(); ended.length > 0; ended = this.#sender.takeEnded()) {
      for (const { batch, result } of ended) batch.tell(result, this.#onThrow)
    }
    if (!this.#memoryLine.isEmpty) this.#memoryLine.serve()
    if (this.#forgottenFailures === 0) return
    const message = `${this.#forgottenFailures} record(s) that nobody waits for failed: ${this.#forgottenError?.message}`
    this.#forgottenFailures = 0
    Effect.runForkWith(this.#context)(Effect.logWarning(message))
  }

  readonly #onPartitionerThrow = (what: string, error: unknown): void => {
    const message = `the partitioner ${this.#partitioner.name}: ${what}, which it must not; the producer goes on`
    Effect.runForkWith(this.#context)(Effect.logError(message, error))
  }

  readonly #onThrow = (error: unknown): void => {
    Effect.runForkWith(this.#context)(Effect.logError("a listener of a record threw, which it must not", error))
  }

  // -- ending

  /** Done when every record accepted before has ended; until then nothing lingers. */
  readonly flush: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const batches = [...this.#accumulator.incomplete]
    if (batches.length === 0) return resume(Effect.void)
    let left = batches.length
    let isDone = false
    const done = (): void => {
      if (isDone) return
      isDone = true
      this.#flushes--
    }
    this.#flushes++
    for (const batch of batches) {
      batch.endListeners.push(() => {
        if (--left > 0) return
        done()
        resume(Effect.void)
      })
    }
    this.#schedulePoll()
    return Effect.sync(done)
  })

  /** Accepts nothing more, and is done when what was accepted has ended. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#isClosed = true
    this.#memoryLine.serve()
    return this.flush
  })

  /** After `close`: no timer is left. */
  stop(): void {
    this.#alarm.stop()
  }

  /** Follows the cluster's metadata until what is returned is called. */
  follow(): () => void {
    return this.#cluster.onView((view) => {
      this.#sender.onView(view)
      // From here on a topic is in use that has something to send, or gets it.
      for (const topic of this.#accumulator.topics.values()) topic.isInUse = false
      for (const { topic } of this.#accumulator.active) if (!topic.isInUse) this.#topicOf(topic.name)
      if (this.#accumulator.active.size > 0) this.#schedulePoll()
    })
  }
}

const isClientError = (value: unknown): value is ClientError =>
  value instanceof RetriableError || value instanceof FatalError

const tooLarge = (size: number, key: string, limit: number): FatalError =>
  new FatalError("MESSAGE_TOO_LARGE", `a record of ${size} bytes is larger than ${key}, ${limit} bytes: send a smaller one or raise ${key}`)

/** Of programs without types, and of those that read it from an environment that does not have it. */
const noTopic = (topic: unknown): FatalError =>
  new FatalError("INVALID_ARGUMENT", `a record's topic is ${topic}; it takes the name of a topic`)

/** Ends with its scope: nothing accepted is lost. */
export const makeEngine = (
  cluster: Cluster,
  settings: ProducerSettings
): Effect.Effect<ProducerEngine, never, Compression | Crypto | Scope> =>
  Effect.gen(function*() {
    const random = yield* Random.Random
    const context = yield* Effect.context<never>()
    const engine = new ProducerEngine(settings, cluster, context, {
      clock: yield* Clock.Clock,
      crypto: yield* Crypto,
      compression: yield* Compression,
      partitioner: yield* Partitioner,
      random: () => random.nextDoubleUnsafe(),
      dispatcher: (yield* Scheduler).makeDispatcher()
    })
    yield* Effect.acquireRelease(
      Effect.sync(() => engine.follow()),
      (leave) => Effect.andThen(engine.close, Effect.sync(() => {
        leave()
        engine.stop()
      }))
    )
    return engine
  })
