/** Records as streams: all of them by polling, or a stream for each partition. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ClientError } from "./ClientError.ts"
import type { TopicPartition } from "./ClusterView.ts"
import type { Consumer, ConsumerRecord, PartitionRecords } from "./Consumer.ts"
import type { ConsumerInternals } from "./ConsumerEngine.ts"
import { type AssignedPartition, partitionKey } from "./SubscriptionState.ts"

/** A poll without records lets the fiber be interrupted and rebalances run, in ms. */
const STREAM_POLL_MS = 500
/** Records that wait for a partition's reader before its fetching is held. */
const MAX_WAITING_RECORDS = 1000
/** How long a revocation waits for readers to end with the records that they have, in ms. */
const READER_END_MS = 30_000

/** Of a partition that is not assigned any more. */
const NO_MOVES = -1

/**
 * The records of a poll are pulled as one chunk: the next poll begins when they have been processed. Whoever stops
 * reading in the middle of a chunk has not processed it: all of it comes again, and a commit does not name it.
 */
export const recordStream = (internals: ConsumerInternals): Stream.Stream<ConsumerRecord, ClientError> =>
  Stream.scoped(Stream.fromPull(Effect.gen(function*() {
    let given: ReadonlyArray<Waiting> = []
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { moves, records } of given) {
          const state = internals.get(records)
          // Not one that was revoked, sought, or read on by somebody else.
          if (state?.moves !== moves || state.position !== records.nextOffset) continue
          state.processed ??= records.records[0]?.offset ?? state.position
          internals.rewind(state)
        }
      }))
    const next: Effect.Effect<Arr.NonEmptyReadonlyArray<ConsumerRecord>, ClientError> = Effect.suspend(() => {
      given = []
      return Effect.flatMap(internals.poll(STREAM_POLL_MS), (partitions) => {
        const records = partitions.length === 1 ? partitions[0]!.records : partitions.flatMap((one) => one.records)
        if (!Arr.isReadonlyArrayNonEmpty(records)) return next
        given = partitions.map((records) => ({ records, moves: internals.get(records)?.moves ?? NO_MOVES }))
        return Effect.succeed(records)
      })
    })
    return next
  })))

interface PartitionStream extends TopicPartition {
  readonly records: Stream.Stream<ConsumerRecord, ClientError>
}

/** Records and how often their partition had been sought before they were read. */
interface Waiting {
  readonly records: PartitionRecords
  readonly moves: number
}

/** One partition's reader and what waits for it. */
class Reader {
  readonly state: AssignedPartition
  readonly waiting: Array<Waiting> = []
  waitingRecords = 0
  hasBegun = false
  /** Revoked, or the consumer ended: no more is given out. */
  end: Exit.Exit<never, ClientError | Cause.Done> | undefined
  /** The reader has ended, so nothing of the partition is processed any more. */
  readonly ended: Deferred.Deferred<void> = Deferred.makeUnsafe()
  look: (() => void) | undefined

  constructor(state: AssignedPartition) {
    this.state = state
  }
}

/**
 * A fiber polls and hands out. What is committed without naming offsets is what the readers are done with: a chunk is
 * done when the next is pulled. Whoever stops reading in the middle of a chunk gets all of it again.
 */
export const partitionStreams = (internals: ConsumerInternals): Consumer["partitionStreams"] =>
  Stream.unwrap(Effect.gen(function*() {
    const readers = new Map<AssignedPartition, Reader>()
    // At most one for each assigned partition waits here: those of revoked ones end at once when they are begun.
    const streams = yield* Queue.unbounded<
      { readonly topicPartition: TopicPartition; readonly records: PartitionStream["records"] },
      ClientError | Cause.Done
    >()

    const finish = (reader: Reader, exit: Exit.Exit<never, ClientError | Cause.Done>): void => {
      reader.end ??= exit
      reader.waiting.length = 0
      reader.waitingRecords = 0
      reader.look?.()
    }

    const offer = (records: PartitionRecords): void => {
      const state = internals.get(records)
      // Revoked, or sought between the poll and here.
      if (state === undefined || state.position !== records.nextOffset) return
      let reader = readers.get(state)
      if (reader === undefined) {
        readers.set(state, reader = new Reader(state))
        const topicPartition = { topic: state.topic, partition: state.partition }
        Queue.offerUnsafe(streams, { topicPartition, records: Stream.scoped(Stream.fromPull(pull(reader))) })
      }
      // New, or sought: nothing from here on is processed yet.
      if (state.processed === undefined) state.processed = records.records[0]?.offset ?? state.position
      reader.waiting.push({ records, moves: state.moves })
      reader.waitingRecords += records.records.length
      if (reader.waitingRecords >= MAX_WAITING_RECORDS) internals.hold(state, true)
      reader.look?.()
    }

    const pull = (reader: Reader): Effect.Effect<
      Effect.Effect<Arr.NonEmptyReadonlyArray<ConsumerRecord>, ClientError | Cause.Done<void>>,
      never,
      Scope
    > =>
      Effect.gen(function*() {
        const { state } = reader
        let given: Waiting | undefined
        const done = (): void => {
          if (given !== undefined && state.moves === given.moves && internals.get(state) === state) {
            state.processed = given.records.nextOffset
            state.processedEpoch = given.records.records.at(-1)?.leaderEpoch ?? -1
          }
          given = undefined
        }
        reader.hasBegun = true
        yield* Effect.addFinalizer(() => Effect.sync(() => void Deferred.doneUnsafe(reader.ended, Exit.void)))
        const next: Effect.Effect<Arr.NonEmptyReadonlyArray<ConsumerRecord>, ClientError | Cause.Done<void>> = Effect.suspend(() => {
          done()
          if (reader.end !== undefined) return reader.end
          const waiting = reader.waiting.shift()
          if (waiting === undefined) {
            return Effect.andThen(
              Effect.callback<void>((resume) => {
                reader.look = () => resume(Effect.void)
                return Effect.sync(() => {
                  reader.look = undefined
                })
              }),
              next
            )
          }
          const { records } = waiting.records
          reader.waitingRecords -= records.length
          if (state.held && reader.waitingRecords < MAX_WAITING_RECORDS) internals.hold(state, false)
          // Sought meanwhile: those are not what is wanted any more.
          if (waiting.moves !== state.moves) return next
          given = waiting
          return Arr.isReadonlyArrayNonEmpty(records) ? Effect.succeed(records) : next
        })
        return next
      })

    const stop = internals.observe({
      onRemoving: (partitions) =>
        Effect.suspend(() => {
          const keys = new Set(partitions.map(({ partition, topic }) => partitionKey(topic, partition)))
          const removed = [...readers.values()].filter(({ state }) => keys.has(state.key))
          for (const reader of removed) {
            readers.delete(reader.state)
            reader.state.held = false
            finish(reader, Exit.fail(Cause.Done()))
          }
          // A record that is being processed is finished, and its offset can be committed, before others read on.
          return Effect.forEach(removed.filter(({ hasBegun }) => hasBegun), ({ ended }) => Deferred.await(ended), {
            concurrency: "unbounded",
            discard: true
          }).pipe(Effect.timeoutOption(READER_END_MS), Effect.asVoid)
        })
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        stop()
        for (const reader of readers.values()) {
          finish(reader, Exit.fail(Cause.Done()))
          if (internals.get(reader.state) !== reader.state) continue
          internals.hold(reader.state, false)
          internals.rewind(reader.state)
        }
      })
    )

    const drive: Effect.Effect<never, ClientError> = Effect.forever(
      Effect.map(Effect.suspend(() => internals.poll(STREAM_POLL_MS)), (polled) => {
        for (const records of polled) offer(records)
      })
    )
    yield* Effect.forkScoped(
      Effect.onExit(drive, (exit) =>
        Effect.sync(() => {
          if (!Exit.isFailure(exit)) return
          for (const reader of readers.values()) finish(reader, exit)
          Queue.failCauseUnsafe(streams, exit.cause)
        }))
    )
    return Stream.fromQueue(streams)
  }))
