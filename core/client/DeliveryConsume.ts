/**
 * Consumes by a delivery: polls, cuts what came into steps, runs each step in the delivery's order, and saves what is
 * unsaved before a partition is given away and at the end. All records of a poll are processed before the next poll,
 * so memory is bounded by `max.poll.records`, and a rebalance never meets a record in work.
 *
 * A consumer with a group needs `enable.auto.commit=false`: else it would save positions by itself, of records that
 * failed too.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { monotonicNow } from "../model/Time.ts"
import { type ClientError, FatalError } from "./ClientError.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { Consumer, type ConsumerRecord, type PartitionOffset, type RebalanceHooks, type Subscription } from "./Consumer.ts"
import { type AtLeastOnce, type AtMostOnce, ConsumerDelivery, type Processed, type Saved, type SaveFailurePolicy } from "./Delivery.ts"
import * as State from "./DeliveryState.ts"
import { OffsetStore, OffsetStoreError } from "./OffsetStore.ts"

/** The part of a Consumer that a delivery drives. */
export type DeliveryConsumer = Pick<Consumer, "config" | "subscribe" | "assign" | "assignment" | "poll" | "seek">

/** One record at a time, or all of a partition that a step has (for bulk inserts): one must be given. */
export type Processing<E, R> =
  | { readonly process: (record: ConsumerRecord) => Effect.Effect<unknown, E, R> }
  | { readonly processBatch: (records: ReadonlyArray<ConsumerRecord>) => Effect.Effect<unknown, E, R> }

export type ConsumeOptions<E, R> = Processing<E, R> & {
  /** Topics or a pattern (joins the group), or partitions by hand; those begin at `offset`, else where the store says. */
  readonly from: Subscription | { readonly partitions: ReadonlyArray<TopicPartition & { readonly offset?: number }> }
  /** Partitions in work at once; inside one the order is kept. Default 1. */
  readonly concurrency?: number
  /** When it is done, the consumer ends after its step, with everything saved. Default: never. */
  readonly until?: Effect.Effect<unknown>
  /** Of the application: `onAssigned` runs after positions were sought, `onRevoked` after they were saved. */
  readonly hooks?: RebalanceHooks
}

/** Of one poll, in ms: how long a step, an end or an interval may have to wait for an answer of the broker. */
const POLL_MS = 500

interface Step {
  readonly _: unique symbol
}
const token: unknown = Object.freeze({})

/**
 * Processes records until `until`, an error or an interruption; then saves what was processed (at least once). A
 * record whose processing fails is not saved by at-least-once, and lost by at-most-once: handle in `process` what
 * should not end the consumer.
 */
export const consume = <E, R>(
  options: ConsumeOptions<E, R>
): Effect.Effect<void, ClientError | OffsetStoreError | E, R | Consumer | ConsumerDelivery | OffsetStore> =>
  Effect.gen(function*() {
    yield* consumeWith(yield* Consumer, yield* OffsetStore, yield* ConsumerDelivery, options)
  })

/** {@link consume} with its services as arguments. */
export const consumeWith = <E, R>(
  consumer: DeliveryConsumer,
  store: OffsetStore,
  delivery: ConsumerDelivery,
  options: ConsumeOptions<E, R>
): Effect.Effect<void, ClientError | OffsetStoreError | E, R> =>
  Effect.gen(function*() {
    const state = State.makeDeliveryState(yield* monotonicNow)
    const end = yield* Deferred.make<void>()
    let isEnded = false
    // A hook of the consumer fails with a ClientError only: what the store said waits here for the poll's return.
    let hookFailure: OffsetStoreError | undefined

    const save = (positions: ReadonlyArray<PartitionOffset>): Effect.Effect<void, OffsetStoreError> =>
      Effect.flatMap(saveWith(store, delivery.onSaveFailure, positions), () =>
        Effect.map(monotonicNow, (nowMs) => State.saved(state, positions, nowMs)))

    const keepFailure = (error: OffsetStoreError): Effect.Effect<void> =>
      Effect.sync(() => {
        hookFailure ??= error
      })

    const onRevoked = (partitions: ReadonlyArray<TopicPartition>): Effect.Effect<void, ClientError> => {
      const saveRevoked = Effect.suspend(() => {
        const positions = State.unsaved(state, partitions)
        return positions.length === 0 ? Effect.void : saveWith(store, delivery.onSaveFailure, positions)
      }).pipe(
        // What could not be saved is processed again by the next owner: at least once holds without it.
        Effect.catch((error) =>
          error.reason === "NotOwner" || goesOn(delivery) ? Effect.logWarning(`positions of revoked partitions are not saved: ${error.message}`) : keepFailure(error)
        ),
        Effect.andThen(Effect.sync(() => State.dropPartitions(state, partitions)))
      )
      return Effect.andThen(saveRevoked, options.hooks?.onRevoked?.(partitions) ?? Effect.void)
    }

    const hooks: RebalanceHooks = {
      onAssigned: (partitions) =>
        store.load(partitions).pipe(
          Effect.matchEffect({
            onFailure: keepFailure,
            onSuccess: (positions) =>
              Effect.forEach(positions, (position) => consumer.seek(position, position.offset), { discard: true })
          }),
          Effect.andThen(Effect.suspend(() => options.hooks?.onAssigned?.(partitions) ?? Effect.void))
        ),
      onRevoked,
      onLost: (partitions) =>
        Effect.andThen(
          Effect.sync(() => State.dropPartitions(state, partitions)),
          (options.hooks?.onLost ?? options.hooks?.onRevoked)?.(partitions) ?? Effect.void
        )
    }

    const begin = Effect.gen(function*() {
      const { "enable.auto.commit": autoCommit, "group.id": groupId } = consumer.config
      if (groupId !== undefined && autoCommit !== false) {
        return yield* Effect.fail(
          new FatalError("INVALID_ARGUMENT", "a consumer with a delivery saves positions by it; set enable.auto.commit to false")
        )
      }
      if (!("partitions" in options.from)) return yield* consumer.subscribe(options.from, hooks)
      const asked = options.from.partitions
      const known = yield* store.load(asked.filter((partition) => partition.offset === undefined))
      yield* consumer.assign(asked.map((partition) =>
        partition.offset !== undefined
          ? partition
          : known.find(({ partition: number, topic }) => topic === partition.topic && number === partition.partition) ?? partition
      ))
    })

    /** Processes a slice's records in order and calls `done` after each, with how many are. Ends early when `isOver`. */
    const processSlice = (
      slice: State.Slice,
      done: (count: number) => void,
      isOver: Effect.Effect<boolean> | undefined
    ): Effect.Effect<void, E, R> => {
      const count = slice.records.length
      // Not even what the log leaves out is passed over while records before it are in hand.
      if (count === 0) return Effect.map(isOver ?? Effect.succeed(false), (isNow) => isNow ? undefined : done(0))
      if ("processBatch" in options) return Effect.map(options.processBatch(slice.records), () => done(count))
      return Effect.gen(function*() {
        for (let index = 0; index < count; index++) {
          if (isOver !== undefined && (yield* isOver)) return
          yield* options.process(slice.records[index]!)
          done(index + 1)
        }
      })
    }
    const concurrency = options.concurrency ?? 1
    /** Several partitions at once, the slices of one after each other. */
    const processLanes = (
      slices: ReadonlyArray<State.Slice>,
      use: (slice: State.Slice, place: number) => Effect.Effect<void, E, R>
    ): Effect.Effect<void, E, R> =>
      concurrency === 1 ? Effect.forEach(slices, use, { discard: true }) : Effect.forEach(
        State.lanesOf(slices),
        (places) => Effect.forEach(places, (place) => use(slices[place]!, place), { discard: true }),
        { concurrency, discard: true }
      )

    const atMostOnceStep = (delivery: AtMostOnce): Effect.Effect<void, ClientError | OffsetStoreError | E, R> => {
      const slices = State.take(state, delivery.every.records)
      const positions = slices.map(({ end }) => end)
      return delivery.run<Step, E, R>({
        save: Effect.as(save(positions), token as Saved<Step>),
        // Saved before they are processed, positions do not wait for anything.
        process: () =>
          Effect.as(
            processLanes(slices, (slice) => processSlice(slice, () => {}, undefined)),
            token as Processed<Step>
          )
      }).pipe(
        Effect.catchIf(
          (error) => error instanceof OffsetStoreError && error.reason === "NotOwner",
          // Neither saved nor processed: whoever has the partitions after the rebalance reads them again, and where
          // that is this consumer, from where it was.
          () => giveBack(slices)
        ),
        Effect.asVoid
      )
    }
    const giveBack = (slices: ReadonlyArray<State.Slice>): Effect.Effect<void, ClientError> =>
      Effect.forEach(State.giveBack(state, slices), ({ offset, partition, topic }) =>
        consumer.assignment().some((tp) => tp.topic === topic && tp.partition === partition)
          ? consumer.seek({ topic, partition }, offset)
          : Effect.void, { discard: true })

    const atLeastOnceStep = (delivery: AtLeastOnce): Effect.Effect<void, OffsetStoreError | E, R> => {
      const room = delivery.every.records === undefined
        ? Number.MAX_SAFE_INTEGER
        : Math.max(1, delivery.every.records - state.unsavedRecords)
      const process = Effect.suspend(() => {
        const slices = State.take(state, room)
        /** Of each slice; -1: it was not come to. */
        const counts = slices.map(() => -1)
        let isBegun = false
        const done = (place: number) => (count: number) => {
          counts[place] = count
          isBegun = true
        }
        // By time a step ends in the middle of what it has in hand, after one record at least.
        const { ms } = delivery.every
        const isOver = ms === undefined
          ? Effect.sync(() => isEnded)
          : Effect.map(monotonicNow, (nowMs) => isEnded || (isBegun && nowMs - state.savedAtMs >= ms))
        return Effect.onExit(
          processLanes(slices, (slice, place) => processSlice(slice, done(place), isOver)),
          // What it did not come to is in hand again, also after a failure: a delivery may try again.
          () =>
            Effect.sync(() => {
              for (const [place, slice] of slices.entries()) {
                const count = counts[place]!
                if (count >= 0) State.processed(state, slice, count)
              }
              for (let place = slices.length - 1; place >= 0; place--) State.putBack(state, slices[place]!, Math.max(0, counts[place]!))
            })
        )
      })
      const saveDue = Effect.flatMap(monotonicNow, (nowMs) =>
        State.isSaveDue(state, delivery.every, nowMs) ? Effect.suspend(() => save(State.unsaved(state))) : Effect.void)
      return delivery.run<Step, E, R>({
        process: Effect.as(process, token as Processed<Step>),
        save: () => Effect.as(Effect.catch(saveDue, (error) => putOff(delivery, error)), token as Saved<Step>)
      }).pipe(Effect.asVoid)
    }
    const putOff = (delivery: AtLeastOnce, error: OffsetStoreError): Effect.Effect<void, OffsetStoreError> => {
      // The next poll hears of the rebalance and drops what is no longer ours.
      if (error.reason !== "NotOwner" && delivery.onSaveFailure.otherwise === "fail") return Effect.fail(error)
      return Effect.flatMap(monotonicNow, (nowMs) => {
        State.restartInterval(state, nowMs)
        return Effect.logWarning(`positions are saved later: ${error.message}`)
      })
    }

    const poll = Effect.gen(function*() {
      const nowMs = yield* monotonicNow
      if (state.pending.size === 0) State.restartInterval(state, nowMs)
      const everyMs = delivery.semantics === "AtLeastOnce" ? delivery.every.ms : undefined
      const timeoutMs = Math.min(POLL_MS, State.saveDueInMs(state, everyMs, nowMs) ?? POLL_MS)
      const batches = yield* Effect.raceFirst(consumer.poll({ timeoutMs }), Effect.as(Deferred.await(end), []))
      if (hookFailure !== undefined) return yield* Effect.fail(hookFailure)
      State.polled(state, batches)
    })

    const loop = Effect.gen(function*() {
      yield* begin
      while (!isEnded) {
        if (!State.hasRecords(state)) yield* poll
        if (delivery.semantics === "AtLeastOnce") yield* atLeastOnceStep(delivery)
        else if (State.hasRecords(state)) yield* atMostOnceStep(delivery)
      }
    })

    const finish = Effect.suspend(() => {
      const positions = State.unsaved(state)
      return positions.length === 0 ? Effect.void : save(positions)
    })
    const running = Effect.onExit(loop, (exit) =>
      Exit.isSuccess(exit)
        ? Effect.void
        // Why it ended is told by the exit; what could not be saved is repeated.
        : Effect.catch(finish, (error) => Effect.logWarning(`positions are not saved: ${error.message}`)))
    const watched = options.until === undefined ? running : Effect.scoped(
      Effect.andThen(
        Effect.forkScoped(
          Effect.andThen(options.until, Effect.suspend(() => {
            isEnded = true
            return Deferred.succeed(end, undefined)
          })),
          { startImmediately: true }
        ),
        running
      )
    )
    // The consumer may go on, with this delivery or another: what was polled and not processed is polled again.
    yield* Effect.onExit(watched, () => Effect.ignore(Effect.suspend(() => giveBack([]))))
    yield* Effect.catch(finish, (error) => goesOn(delivery) || error.reason === "NotOwner" ? Effect.logWarning(`positions are not saved: ${error.message}`) : Effect.fail(error))
  })

const goesOn = (delivery: ConsumerDelivery): boolean =>
  delivery.semantics === "AtLeastOnce" && delivery.onSaveFailure.otherwise === "continue"

/** Saves with the policy's retries. A group that has moved on is not asked again. */
const saveWith = (
  store: OffsetStore,
  { pauseMs, retries }: SaveFailurePolicy,
  positions: ReadonlyArray<PartitionOffset>
): Effect.Effect<void, OffsetStoreError> => {
  const attempt = (left: number): Effect.Effect<void, OffsetStoreError> =>
    Effect.catch(store.save(positions), (error) =>
      left === 0 || error.reason !== "Failed"
        ? Effect.fail(error)
        : Effect.andThen(Effect.sleep(pauseMs), attempt(left - 1)))
  return attempt(retries)
}
