/**
 * The consumer: what its parts find out and fetch in the background is taken by `poll`, in the application's fiber.
 * `poll` waits for one thing, that something changed: see ConsumerSignal.ts.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type { Scope } from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { assignors } from "../assignors/index.ts"
import { monotonicMs } from "../model/Time.ts"
import { Compression } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import { type ClientError, FatalError, RetriableError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { checkConfig } from "./ConfigKeys.ts"
import type { Consumer, ConsumerConfig, PartitionRecords, RebalanceHooks } from "./Consumer.ts"
import { ConsumerCommits, noGroup } from "./ConsumerCommits.ts"
import { fetchCommitted } from "./ConsumerOffsets.ts"
import { ConsumerPositions } from "./ConsumerPositions.ts"
import { consumerSettings } from "./ConsumerSettings.ts"
import { ConsumerSignal } from "./ConsumerSignal.ts"
import { partitionStreams, recordStream } from "./ConsumerStreams.ts"
import { ConsumerTopics } from "./ConsumerTopics.ts"
import { Fetcher } from "./Fetcher.ts"
import { Membership } from "./Membership.ts"
import { OffsetLookup } from "./OffsetLookup.ts"
import {
  type AssignedPartition,
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  partitionKey,
  SubscriptionState,
  UNKNOWN_EPOCH
} from "./SubscriptionState.ts"

const DEFAULT_POLL_TIMEOUT_MS = 500
/** Java's `close()`: how long a last commit and leaving the group may take, in ms. */
const CLOSE_TIMEOUT_MS = 30_000
/** Errors that wait for a poll; when there are more, the oldest are dropped. */
const MAX_PENDING_ERRORS = 16

const NO_RECORDS: ReadonlyArray<PartitionRecords> = []
const NO_HOOKS: RebalanceHooks = {}

/** What partition streams need beside the public interface. */
export interface ConsumerInternals {
  readonly poll: (timeoutMs: number) => Effect.Effect<ReadonlyArray<PartitionRecords>, ClientError>
  readonly get: (partition: TopicPartition) => AssignedPartition | undefined
  /** Stops or goes on giving out a partition's records. */
  readonly hold: (partition: AssignedPartition, held: boolean) => void
  /** What was given out and is not processed will be given out again. */
  readonly rewind: (partition: AssignedPartition) => void
  /** Called around the application's own hooks. */
  readonly observe: (observer: AssignmentObserver) => () => void
  /** Lets a waiting poll look again. */
  readonly wake: () => void
}

export interface AssignmentObserver {
  /** Before partitions are given up or were lost, and before the application's hook. */
  readonly onRemoving: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
}

export const makeConsumer = (
  cluster: Cluster,
  config: ConsumerConfig
): Effect.Effect<Consumer, ClientError, Compression | Crypto | Scope> =>
  Effect.gen(function*() {
    const settings = consumerSettings(config, assignors)
    if (settings instanceof FatalError) return yield* Effect.fail(settings)
    const wrong = checkConfig("consumer", config)
    if (wrong !== undefined) return yield* Effect.fail(wrong)
    const compression = yield* Compression
    const crypto = yield* Crypto
    const clock = yield* Clock.Clock
    const runFork = yield* FiberSet.makeRuntime<never>()
    const pollLock = yield* Semaphore.make(1)
    const commitLock = yield* Semaphore.make(1)
    const subscription = new SubscriptionState()
    const pending: Array<ClientError> = []
    const observers = new Set<AssignmentObserver>()
    let hooks: RebalanceHooks = NO_HOOKS
    let isClosed = false

    const now = (): number => monotonicMs(clock)
    const fork = (effect: Effect.Effect<void>): void => void runFork(effect)

    const signal: ConsumerSignal = new ConsumerSignal({
      now,
      fork: runFork,
      ring: (isPolled) => {
        if (isPolled) membership?.polled()
        membership?.tick()
        changed()
      }
    })
    const { wake, wakeAt } = signal

    const fail = (error: ClientError): void => {
      if (pending.some(({ message }) => message === error.message)) return
      if (pending.length >= MAX_PENDING_ERRORS) pending.shift()
      pending.push(error)
      wake()
    }

    const changed = (): void => {
      positions.check()
      fetcher.fetch()
      wake()
    }

    const discard = (partition: AssignedPartition): void => fetcher.discard(partition)

    const fetcher: Fetcher = new Fetcher(cluster, subscription, {
      minBytes: settings.fetchMinBytes,
      maxBytes: settings.fetchMaxBytes,
      maxWaitMs: settings.fetchMaxWaitMs,
      maxPartitionBytes: settings.maxPartitionFetchBytes,
      bufferBytes: settings.fetchBufferBytes,
      readCommitted: settings.isolation === "read_committed",
      rack: settings.rack,
      retryBackoffMs: settings.retryBackoffMs,
      metadataMaxAgeMs: settings.metadataMaxAgeMs,
      crypto: settings.checkCrcs ? crypto : undefined,
      compression
    }, { now, fork, wake, wakeAt, fail, outOfRange: (partition) => positions.outOfRange(partition) })

    const positions: ConsumerPositions = new ConsumerPositions(cluster, subscription, {
      groupId: settings.groupId,
      reset: settings.reset,
      isolation: settings.isolation,
      retryBackoffMs: settings.retryBackoffMs
    }, { now, wallMs: () => clock.currentTimeMillisUnsafe(), fork, wakeAt, fail, discard, changed })

    /** `prepare` sees the new ones before anything is asked about them. */
    const setAssigned = (partitions: ReadonlyArray<TopicPartition>, prepare?: (added: ReadonlyArray<AssignedPartition>) => void) => {
      // Dropped while they still are what they were: their bytes leave the buffer.
      const keys = new Set(partitions.map(({ partition, topic }) => partitionKey(topic, partition)))
      for (const [key, state] of subscription.partitions) if (!keys.has(key)) discard(state)
      const result = subscription.setAssigned(partitions)
      prepare?.(result.added)
      changed()
      return result
    }

    const removing = (partitions: ReadonlyArray<TopicPartition>): Effect.Effect<void> =>
      Effect.forEach([...observers], ({ onRemoving }) => onRemoving(partitions), { discard: true })

    const closedError = (): FatalError => new FatalError("CLOSED", "this consumer is closed")

    const isSubscribed = (): boolean => subscription.kind === "Topics" || subscription.kind === "Pattern"

    const commits = new ConsumerCommits(cluster, subscription, settings, commitLock, { now, fork, membership: () => membership })

    const membership: Membership | undefined = settings.groupId === undefined ? undefined : new Membership(
      cluster,
      subscription,
      settings,
      settings.groupId,
      {
        now,
        fork,
        wake,
        wakeAt,
        fail,
        assign: setAssigned,
        // A coordinator that does not answer for so long has given us up.
        giveUp: (partitions) =>
          Effect.andThen(removing(partitions), commits.autoCommitNow(Math.min(settings.sessionTimeoutMs, settings.requestTimeoutMs))),
        lose: removing,
        hooks: () => hooks,
        refresh: (partition) => {
          fetcher.refresh(partition)
          changed()
        }
      }
    )

    const topics = new ConsumerTopics(cluster, subscription, settings, {
      fork: runFork,
      fail,
      changed,
      listed: (all) => {
        if (membership?.match(all) === true) membership.subscribed("the topics that match the pattern have changed")
        changed()
      }
    })

    yield* Effect.acquireRelease(
      Effect.sync(() =>
        cluster.onView(() => {
          if (isClosed) return
          membership?.onView()
          topics.onView()
          changed()
        })
      ),
      (stop) => Effect.sync(stop)
    )

    // ---- poll
    const pollSlowly = (timeoutMs: number): Effect.Effect<ReadonlyArray<PartitionRecords>, ClientError> =>
      Effect.gen(function*() {
        const deadlineMs = now() + timeoutMs
        for (;;) {
          const since = signal.changes
          if (isClosed) return yield* Effect.fail(closedError())
          if (subscription.kind === "None") {
            return yield* Effect.fail(
              new FatalError("INVALID_ARGUMENT", "Consumer is not subscribed to any topics or assigned any partitions")
            )
          }
          membership?.polled()
          // Half a rebalance is worse than a poll that ends late.
          if (membership?.hasWork === true) {
            yield* Effect.uninterruptible(membership.work)
            continue
          }
          const error = pending.shift() ?? membership?.fenced
          if (error !== undefined) return yield* Effect.fail(error)
          const nowMs = now()
          commits.autoCommit(nowMs)
          const records = fetcher.take(settings.maxPollRecords)
          if (records.length > 0) return records
          if (nowMs >= deadlineMs) return NO_RECORDS
          // A poll that waits long still polls, and commits what earlier ones returned.
          yield* signal.wait(since, Math.min(deadlineMs, nowMs + settings.maxPollIntervalMs / 2, Math.max(commits.dueAtMs, nowMs + 1)), true)
        }
      }).pipe(pollLock.withPermits(1))

    let isPolling = false
    /** Where records wait and nothing else is to do, poll is a function call. */
    const poll = (timeoutMs: number): Effect.Effect<ReadonlyArray<PartitionRecords>, ClientError> =>
      Effect.suspend(() => {
        if (!isPolling && !isClosed && fetcher.hasRecords && pending.length === 0 && !(membership?.isBusy === true)) {
          if (membership !== undefined && subscription.kind !== "Manual") membership.polled()
          commits.autoCommit(now())
          const records = fetcher.take(settings.maxPollRecords)
          if (records.length > 0) return Effect.succeed(records)
        }
        isPolling = true
        return Effect.ensuring(pollSlowly(timeoutMs), Effect.sync(() => {
          isPolling = false
        }))
      })

    // ---- the application's questions
    const unassigned = (partition: TopicPartition): FatalError =>
      new FatalError("INVALID_ARGUMENT", `${partitionKey(partition.topic, partition.partition)} is not assigned to this consumer`)

    /** The states of assigned partitions; empty: all. */
    const assignedOf = (
      partitions: ReadonlyArray<TopicPartition>
    ): Effect.Effect<ReadonlyArray<AssignedPartition>, FatalError> =>
      Effect.suspend(() => {
        if (isClosed) return Effect.fail(closedError())
        const states: Array<AssignedPartition> = []
        for (const partition of partitions) {
          const state = subscription.get(partition)
          if (state === undefined) return Effect.fail(unassigned(partition))
          states.push(state)
        }
        return Effect.succeed(states)
      })

    const assignedOrAll = (partitions: ReadonlyArray<TopicPartition>) =>
      partitions.length === 0
        ? Effect.suspend(() => Effect.succeed<ReadonlyArray<AssignedPartition>>([...subscription.partitions.values()]))
        : assignedOf(partitions)

    const move = (states: ReadonlyArray<AssignedPartition>, to: (state: AssignedPartition) => void): void => {
      for (const state of states) {
        discard(state)
        to(state)
      }
      changed()
    }

    const openGroup = (what: string): Effect.Effect<string, FatalError> =>
      Effect.suspend(() => {
        if (isClosed) return Effect.fail(closedError())
        return settings.groupId === undefined ? Effect.fail(noGroup(what)) : Effect.succeed(settings.groupId)
      })

    const lookup = new OffsetLookup(cluster, settings.isolation)

    const whileOpen = <A>(effect: () => Effect.Effect<A, ClientError>): Effect.Effect<A, ClientError> =>
      Effect.suspend(() => isClosed ? Effect.fail(closedError()) : effect())

    const bare = ({ partition, topic }: TopicPartition): TopicPartition => ({ topic, partition })

    /** Gives up what a subscription or an assignment before had. */
    const abandon = (reason: string): Effect.Effect<void, ClientError> =>
      Effect.gen(function*() {
        if (subscription.kind === "None") return
        const owned = [...subscription.partitions.values()].map(bare)
        yield* removing(owned)
        yield* commits.autoCommitNow(settings.requestTimeoutMs)
        const hook = subscription.kind === "Manual" || owned.length === 0 ? undefined : hooks.onRevoked
        yield* Effect.ensuring(Effect.suspend(() => hook?.(owned) ?? Effect.void), Effect.sync(() => {
          if (subscription.kind !== "Manual") membership?.leave(reason)
          setAssigned([])
          subscription.unsubscribe()
          topics.stop()
          pending.length = 0
        }))
      })

    const closeOnce: Effect.Effect<void> = Effect.gen(function*() {
      const deadlineMs = now() + CLOSE_TIMEOUT_MS
      const wasMember = isSubscribed()
      const owned = [...subscription.partitions.values()].map(bare)
      yield* removing(owned)
      yield* commits.autoCommitNow(CLOSE_TIMEOUT_MS)
      if (owned.length > 0 && wasMember && hooks.onRevoked !== undefined) {
        const { onRevoked } = hooks
        yield* Effect.catchCause(Effect.suspend(() => onRevoked(owned)), (cause) => Effect.logWarning("onRevoked at close failed", cause))
      }
      isClosed = true
      signal.stop()
      topics.stop()
      const leftMs = (): number => Math.max(0, Math.min(settings.requestTimeoutMs, deadlineMs - now()))
      if (wasMember && membership !== undefined) yield* membership.leaveAndWait("the consumer is being closed", leftMs())
      yield* fetcher.close(leftMs())
    })
    let closing: Deferred.Deferred<void> | undefined
    /** Whoever closes it, too, awaits its end: it still needs its connections, and its hooks run once. */
    const close: Effect.Effect<void> = Effect.uninterruptible(Effect.suspend(() => {
      if (closing !== undefined) return Deferred.await(closing)
      const done = closing = Deferred.makeUnsafe<void>()
      return Effect.onExit(closeOnce, (exit) => Deferred.done(done, exit))
    }))
    yield* Effect.addFinalizer(() => close)

    const internals: ConsumerInternals = {
      poll,
      get: (partition) => subscription.get(partition),
      hold: (partition, held) => {
        partition.held = held
        fetcher.refresh(partition)
        if (!held) fetcher.fetch()
      },
      rewind: (partition) => {
        const { processed, processedEpoch } = partition
        if (processed === undefined) return
        if (processed === partition.position) {
          partition.processed = undefined
          return
        }
        move([partition], (state) => {
          state.seek(processed)
          state.positionEpoch = processedEpoch
        })
      },
      observe: (observer) => {
        observers.add(observer)
        return () => void observers.delete(observer)
      },
      wake
    }

    const consumer: Consumer = {
      config,
      subscribe: (what, newHooks = NO_HOOKS) =>
        Effect.gen(function*() {
          if (isClosed) return yield* Effect.fail(closedError())
          if (membership === undefined) return yield* Effect.fail(noGroup("subscribing"))
          if (subscription.kind === "Manual") {
            return yield* Effect.fail(
              new FatalError("INVALID_ARGUMENT", "Subscription to topics and partitions are mutually exclusive: unsubscribe first")
            )
          }
          if ("topics" in what) {
            if (what.topics.some((topic) => topic.trim() === "")) {
              return yield* Effect.fail(new FatalError("INVALID_ARGUMENT", "Topic collection to subscribe to cannot contain null or empty topic"))
            }
            if (what.topics.length === 0) return yield* abandon("the consumer unsubscribed from all topics")
            subscription.subscribeTopics(what.topics)
          } else subscription.subscribePattern(what.pattern)
          hooks = newHooks
          commits.restart()
          membership.subscribed("the subscription has changed")
          topics.ask()
        }),
      assign: (partitions) =>
        Effect.gen(function*() {
          if (isClosed) return yield* Effect.fail(closedError())
          if (isSubscribed()) {
            return yield* Effect.fail(
              new FatalError("INVALID_ARGUMENT", "Subscription to topics and partitions are mutually exclusive: unsubscribe first")
            )
          }
          for (const { offset, partition, topic } of partitions) {
            const isRight = topic.trim() !== "" && Number.isSafeInteger(partition) && partition >= 0 &&
              (offset === undefined || (Number.isSafeInteger(offset) && offset >= 0))
            if (!isRight) {
              return yield* Effect.fail(new FatalError("INVALID_ARGUMENT", `cannot assign ${topic}-${partition} at offset ${offset}`))
            }
          }
          if (partitions.length === 0) return yield* abandon("")
          if (subscription.kind === "Manual") commits.autoCommit(Infinity)
          subscription.manual()
          commits.restart()
          const offsets = partitions.filter(({ offset }) => offset !== undefined)
          const keys = new Set(partitions.map(({ partition, topic }) => partitionKey(topic, partition)))
          yield* removing([...subscription.partitions.values()].filter(({ key }) => !keys.has(key)).map(bare))
          setAssigned(partitions, () => {
            for (const one of offsets) {
              const state = subscription.get(one)!
              discard(state)
              state.seek(one.offset!)
            }
          })
          topics.ask()
        }),
      unsubscribe: Effect.suspend(() => isClosed ? Effect.fail(closedError()) : abandon("the consumer unsubscribed from all topics")),
      subscription: () => subscription.topics,
      assignment: () => [...subscription.partitions.values()].map(bare),
      groupMetadata: () => membership?.metadata,

      poll: (options) => poll(options?.timeoutMs ?? DEFAULT_POLL_TIMEOUT_MS),
      records: recordStream(internals),
      partitionStreams: partitionStreams(internals),

      commit: (offsets) =>
        Effect.andThen(openGroup("a commit"), commits.commit(() => offsets ?? commits.consumed(), settings.apiTimeoutMs)),
      committed: (partitions) =>
        Effect.flatMap(openGroup("asking for committed offsets"), (groupId) =>
          partitions.length === 0 ? Effect.succeed([]) : cluster.retry(fetchCommitted(cluster, groupId, partitions))),
      position: (partition) =>
        Effect.gen(function*() {
          const deadlineMs = now() + settings.apiTimeoutMs
          for (;;) {
            const since = signal.changes
            const [state] = yield* assignedOf([partition])
            if (state!.position >= 0 && state!.phase !== "Validating") return state!.position
            const error = pending.shift()
            if (error !== undefined) return yield* Effect.fail(error)
            if (now() >= deadlineMs) {
              return yield* Effect.fail(
                new RetriableError("TIMED_OUT", `the position of ${state!.key} is not known after ${settings.apiTimeoutMs} ms (default.api.timeout.ms)`)
              )
            }
            yield* signal.wait(since, deadlineMs, false)
          }
        }),
      seek: (partition, offset) =>
        Effect.flatMap(assignedOf([partition]), (states) => {
          if (!Number.isSafeInteger(offset) || offset < 0) {
            return Effect.fail(new FatalError("INVALID_ARGUMENT", `seek to ${offset}: an offset is an integer from 0 on`))
          }
          return Effect.sync(() => move(states, (state) => state.seek(offset, UNKNOWN_EPOCH)))
        }),
      seekToBeginning: (partitions) =>
        Effect.map(assignedOrAll(partitions), (states) => move(states, (state) => state.reset(EARLIEST_TIMESTAMP))),
      seekToEnd: (partitions) =>
        Effect.map(assignedOrAll(partitions), (states) => move(states, (state) => state.reset(LATEST_TIMESTAMP))),
      seekToTimestamp: (partitions, timestamp) =>
        Effect.flatMap(assignedOrAll(partitions), (states) => {
          if (!Number.isSafeInteger(timestamp) || timestamp < 0) {
            return Effect.fail(new FatalError("INVALID_ARGUMENT", `seek to the time ${timestamp}: ms since 1970, from 0 on`))
          }
          return Effect.sync(() => move(states, (state) => state.reset(timestamp)))
        }),
      pause: (partitions) =>
        Effect.map(assignedOf(partitions), (states) => {
          for (const state of states) {
            state.paused = true
            fetcher.refresh(state)
          }
        }),
      resume: (partitions) =>
        Effect.map(assignedOf(partitions), (states) => {
          for (const state of states) {
            state.paused = false
            fetcher.refresh(state)
          }
          changed()
        }),
      paused: () => [...subscription.partitions.values()].filter(({ paused }) => paused).map(bare),
      beginningOffsets: (partitions) => whileOpen(() => lookup.edges(EARLIEST_TIMESTAMP, partitions)),
      endOffsets: (partitions) => whileOpen(() => lookup.edges(LATEST_TIMESTAMP, partitions)),
      offsetsForTimes: (questions) => whileOpen(() => lookup.byTime(questions)),
      lag: (partition) => {
        const state = subscription.get(partition)
        return state === undefined || state.endOffset < 0 || state.position < 0
          ? undefined
          : Math.max(0, state.endOffset - state.position)
      },
      close
    }
    return consumer
  })
