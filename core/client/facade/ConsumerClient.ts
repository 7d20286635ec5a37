/** {@link ConsumerClient} over a Consumer: records by iteration, by poll, or by a delivery. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { type ClientError, FatalError } from "../ClientError.ts"
import type { TopicPartition } from "../ClusterView.ts"
import type { Consumer, ConsumerRecord, PartitionRecords, RebalanceHooks, Subscription } from "../Consumer.ts"
import * as Delivery from "../Delivery.ts"
import { consumeWith } from "../DeliveryConsume.ts"
import * as OffsetStore from "../OffsetStore.ts"
import type { ConsumerClient, ConsumerOptions, RebalanceListeners, RunOptions, Topics } from "./Client.ts"
import { closedError, msOf, Part, type Ports, run, type Runtime } from "./Host.ts"

const subscriptionOf = (topics: Topics): Subscription =>
  topics instanceof RegExp ? { pattern: topics } : { topics: typeof topics === "string" ? [topics] : topics }

const hooksOf = ({ onAssigned, onLost, onRevoked }: RebalanceListeners): RebalanceHooks => {
  const hook = (listener: (partitions: ReadonlyArray<TopicPartition>) => void | Promise<void>) =>
  (partitions: ReadonlyArray<TopicPartition>): Effect.Effect<void, ClientError> =>
    // A listener that throws ends the poll with what it threw.
    Effect.mapError(called(() => listener(partitions)), (error) => error as ClientError)
  return {
    ...(onAssigned === undefined ? {} : { onAssigned: hook(onAssigned) }),
    ...(onRevoked === undefined ? {} : { onRevoked: hook(onRevoked) }),
    ...(onLost === undefined ? {} : { onLost: hook(onLost) })
  }
}

/**
 * Gives a poll's records one by one and polls again when they are used up. Not a generator: a record costs one
 * promise, and what is in hand has to be known when the loop ends early.
 */
class Records implements AsyncIterableIterator<ConsumerRecord> {
  readonly #poll: () => Promise<ReadonlyArray<PartitionRecords>>
  readonly #giveBack: (unused: ReadonlyArray<ConsumerRecord>) => Promise<void>
  readonly #begin: () => Promise<void>
  #begun: Promise<void> | undefined
  #batches: ReadonlyArray<PartitionRecords> = []
  #batch = 0
  #record = 0
  #given: ConsumerRecord | undefined
  #isDone = false
  /** Calls of `next` are answered in their order; `#open` of them are not answered yet. */
  #last: Promise<unknown> = Promise.resolve()
  #open = 0

  constructor(
    begin: () => Promise<void>,
    poll: () => Promise<ReadonlyArray<PartitionRecords>>,
    giveBack: (unused: ReadonlyArray<ConsumerRecord>) => Promise<void>
  ) {
    this.#begin = begin
    this.#poll = poll
    this.#giveBack = giveBack
  }

  get isDone(): boolean {
    return this.#isDone
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<ConsumerRecord, undefined>> {
    // Nearly every record: it is in hand.
    const record = this.#open > 0 || this.#isDone ? undefined : this.#take()
    if (record !== undefined) {
      this.#given = record
      return Promise.resolve({ done: false, value: record })
    }
    this.#open++
    const next = this.#last.then(() => this.#next()).finally(() => this.#open--)
    this.#last = next.catch(() => {})
    return next
  }

  async #next(): Promise<IteratorResult<ConsumerRecord, undefined>> {
    if (this.#isDone) return { done: true, value: undefined }
    try {
      this.#begun ??= this.#begin()
      await this.#begun
      while (true) {
        const record = this.#take()
        if (record !== undefined) {
          this.#given = record
          return { done: false, value: record }
        }
        // Everything of the last poll was asked past, and so processed.
        this.#given = undefined
        this.#batches = await this.#poll()
        this.#batch = 0
        this.#record = 0
      }
    } catch (error) {
      this.#isDone = true
      if (error instanceof FatalError && error.reason === "CLOSED") return { done: true, value: undefined }
      throw error
    }
  }

  #take(): ConsumerRecord | undefined {
    while (this.#batch < this.#batches.length) {
      const record = this.#batches[this.#batch]!.records[this.#record++]
      if (record !== undefined) return record
      this.#batch++
      this.#record = 0
    }
    return undefined
  }

  /** The loop was left, or the consumer is being closed: what was not asked past is not processed. */
  async return(): Promise<IteratorResult<ConsumerRecord, undefined>> {
    await this.#last
    if (!this.#isDone) {
      this.#isDone = true
      const unused: Array<ConsumerRecord> = this.#given === undefined ? [] : [this.#given]
      for (let record = this.#take(); record !== undefined; record = this.#take()) unused.push(record)
      if (unused.length > 0) await this.#giveBack(unused)
    }
    return { done: true, value: undefined }
  }
}

export const makeConsumerClient = (
  runtime: Runtime,
  make: (options: ConsumerOptions) => Effect.Effect<Consumer, ClientError, Ports | Scope>,
  options: ConsumerOptions
): ConsumerClient => {
  /** `run` saves positions itself, so what kind of consumer it is shows with its first use. */
  let isRun: boolean | undefined
  const stopped = Deferred.makeUnsafe<void>()
  const running = new Set<Promise<unknown>>()
  /** Those that may have records in hand. */
  const iterations = new Set<Records>()
  const part = new Part(runtime, Effect.suspend(() => make(isRun === true ? { ...options, "enable.auto.commit": false } : options)))
  const { use } = part

  const asKind = (wanted: boolean): void => {
    if (isRun !== undefined && isRun !== wanted) {
      throw new FatalError("INVALID_ARGUMENT", "a consumer that runs a delivery saves positions itself; take another one to subscribe, assign or poll")
    }
    isRun = wanted
  }
  /** Ends with CLOSED when the consumer is closed meanwhile. */
  const untilClosed = <A, E>(effect: Effect.Effect<A, E, Ports>): Promise<A> => {
    if (part.isClosed) return Promise.reject(closedError())
    const done = run(runtime, Effect.raceFirst(effect, Effect.flatMap(Deferred.await(stopped), () => Effect.fail(closedError()))))
    running.add(done)
    const end = (): void => void running.delete(done)
    done.then(end, end)
    return done
  }
  const poll = async (timeoutMs: number): Promise<ReadonlyArray<PartitionRecords>> => {
    const consumer = await part.get()
    return untilClosed(consumer.poll({ timeoutMs }))
  }
  const giveBack = async (unused: ReadonlyArray<ConsumerRecord>): Promise<void> => {
    if (part.isClosed) return
    const first = new Map<string, ConsumerRecord>()
    for (const record of unused) {
      const key = `${record.topic} ${record.partition}`
      if (!first.has(key)) first.set(key, record)
    }
    await use((consumer) =>
      Effect.forEach(first.values(), ({ offset, partition, topic }) =>
        consumer.assignment().some((tp) => tp.topic === topic && tp.partition === partition)
          ? consumer.seek({ topic, partition }, offset)
          : Effect.void, { discard: true }))
  }
  const iterate = (begin: (consumer: Consumer) => Effect.Effect<void, ClientError>): AsyncIterableIterator<ConsumerRecord> => {
    asKind(false)
    for (const iteration of iterations) if (iteration.isDone) iterations.delete(iteration)
    const records = new Records(() => use(begin), () => poll(500), giveBack)
    iterations.add(records)
    return records
  }

  const close = async (): Promise<void> => {
    Deferred.doneUnsafe(stopped, Effect.void)
    // What is under way ends first: it may be saving positions.
    await Promise.allSettled(running)
    // Else their positions would be saved with those of what the program has processed.
    await Promise.allSettled(Array.from(iterations, (records) => records.return()))
    await part.close()
  }

  const consume = async (consumer: Consumer, options: RunOptions): Promise<void> => {
    const { checkpointFile, concurrency, from, process, signal } = options
    const ended = Deferred.makeUnsafe<void>()
    const end = (): void => void Deferred.doneUnsafe(ended, Effect.void)
    if (signal?.aborted === true) return
    signal?.addEventListener("abort", end)
    const program = Effect.gen(function*() {
      const store = checkpointFile === undefined ? OffsetStore.group(consumer) : yield* OffsetStore.checkpoint(checkpointFile)
      yield* consumeWith(consumer, store, deliveryOf(options), {
        from: typeof from === "object" && "partitions" in from ? from : subscriptionOf(from),
        process: (record) => called(() => process(record)),
        hooks: hooksOf(options),
        until: Effect.raceFirst(Deferred.await(ended), Deferred.await(stopped)),
        ...(concurrency === undefined ? {} : { concurrency })
      })
    })
    const done = run(runtime, Effect.scoped(program))
    running.add(done)
    try {
      await done
    } finally {
      running.delete(done)
      signal?.removeEventListener("abort", end)
    }
  }

  return {
    subscribe: (topics, listeners) => iterate((consumer) => consumer.subscribe(subscriptionOf(topics), hooksOf(listeners ?? {}))),
    assign: (partitions) => iterate((consumer) => consumer.assign(partitions)),
    poll: async (timeoutMs) => {
      asKind(false)
      return poll(timeoutMs ?? 500)
    },
    run: async (runOptions) => {
      if (options["enable.auto.commit"] === true) {
        throw new FatalError("INVALID_ARGUMENT", "enable.auto.commit=true contradicts a delivery, which saves positions itself; leave it out")
      }
      asKind(true)
      await consume(await part.get(), runOptions)
    },
    commit: (offsets) => use((consumer) => consumer.commit(offsets)),
    committed: (partitions) => use((consumer) => consumer.committed(partitions)),
    position: (partition) => use((consumer) => consumer.position(partition)),
    seek: (partition, offset) => use((consumer) => consumer.seek(partition, offset)),
    seekToBeginning: (partitions) => use((consumer) => consumer.seekToBeginning(partitions ?? [])),
    seekToEnd: (partitions) => use((consumer) => consumer.seekToEnd(partitions ?? [])),
    seekToTimestamp: (partitions, timestamp) => use((consumer) => consumer.seekToTimestamp(partitions, msOf(timestamp))),
    offsetsForTimes: (partitions) =>
      use((consumer) => consumer.offsetsForTimes(partitions.map((each) => ({ ...each, timestamp: msOf(each.timestamp) })))),
    beginningOffsets: (partitions) => use((consumer) => consumer.beginningOffsets(partitions)),
    endOffsets: (partitions) => use((consumer) => consumer.endOffsets(partitions)),
    pause: (partitions) => use((consumer) => consumer.pause(partitions)),
    resume: (partitions) => use((consumer) => consumer.resume(partitions)),
    assignment: async () => (await part.get()).assignment(),
    groupMetadata: async () => (await part.get()).groupMetadata(),
    lag: async (partition) => (await part.get()).lag(partition),
    close,
    [Symbol.asyncDispose]: close
  }
}

const isThenable = (value: unknown): boolean =>
  typeof value === "object" && value !== null && typeof (value as { readonly then?: unknown }).then === "function"

/** Calls a function of the program: what it throws, or its promise is rejected with, is the failure. */
const called = (use: () => unknown): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    try {
      const result = use()
      // A function that is done needs no promise.
      return isThenable(result) ? Effect.tryPromise({ try: async () => result, catch: (error) => error }) : Effect.void
    } catch (error) {
      return Effect.fail(error)
    }
  })

const deliveryOf = ({ delivery, every }: RunOptions): Delivery.ConsumerDelivery => {
  if (delivery !== "at-most-once") return Delivery.atLeastOnce(every === undefined ? {} : { every })
  if (every?.ms !== undefined) {
    throw new FatalError("INVALID_ARGUMENT", "at-most-once saves before it processes: its interval is records, not ms")
  }
  return Delivery.atMostOnce(every?.records === undefined ? {} : { every: { records: every.records } })
}
