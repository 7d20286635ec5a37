/**
 * Keeps a client's view of the cluster: asks for topics that are new, again when the view is said to be stale and when
 * it is older than `metadata.max.age.ms`. However many wait, one request is in flight, and the next one gathers what is
 * wanted meanwhile.
 *
 * Pace: a first question goes out at once; after a failure, or for a topic that was not there, pauses grow as
 * `retry.backoff.ms` says. So a waiter just asks again.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { Scope } from "effect/Scope"
import { monotonicMs } from "../../model/Time.ts"
import type { MetadataResponse } from "../../protocol/generated/Metadata.ts"
import { backoffMs } from "../Backoff.ts"
import type { ResolvedClientConfig } from "../ClientConfig.ts"
import { type ClientError, errorOfCode, RetriableError } from "../ClientError.ts"
import type { ClusterView, TopicView } from "../ClusterView.ts"
import { closedError } from "./Links.ts"
import { type LeaderHint, type MetadataQuestion, MetadataState } from "./MetadataState.ts"

interface Answer {
  /** Topics that have an error instead of a view. */
  readonly errors: ReadonlyMap<string, number>
  /** Every topic, if all were asked for. */
  readonly all: ReadonlyMap<string, TopicView> | undefined
}

/** Questions that go out together. */
interface Round {
  readonly names: Set<string>
  /** Also every topic of interest. */
  isFull: boolean
  /** Also every other topic. */
  isAll: boolean
  /** Something was never asked for before. */
  isUrgent: boolean
  readonly done: Deferred.Deferred<Answer, ClientError>
}

export interface Metadata {
  readonly view: () => ClusterView
  readonly topic: (name: string) => TopicView | undefined
  readonly topics: (
    names: ReadonlyArray<string>,
    options: { readonly timeoutMs: number; readonly autoCreate: boolean }
  ) => Effect.Effect<ReadonlyMap<string, TopicView>, ClientError>
  readonly allTopics: Effect.Effect<ReadonlyMap<string, TopicView>, ClientError>
  readonly invalidate: (hint?: LeaderHint) => void
  /** Whether the view was said to be stale and is not renewed yet. */
  readonly isStale: () => boolean
  /** Done when a question that was asked after now is answered; not retried. */
  readonly refresh: Effect.Effect<void, ClientError>
  readonly viewAfter: (version: number) => Effect.Effect<ClusterView, ClientError>
  readonly onView: (listener: (view: ClusterView) => void) => () => void
  /** Who waits fails. */
  readonly close: () => void
}

export interface MetadataOptions {
  readonly config: ResolvedClientConfig
  /** Asks some broker. */
  readonly ask: (question: MetadataQuestion) => Effect.Effect<MetadataResponse, ClientError>
}

export const makeMetadata = ({ ask, config }: MetadataOptions): Effect.Effect<Metadata, never, Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const state = new MetadataState()
    const listeners = new Set<(view: ClusterView) => void>()
    const viewWaiters = new Set<() => void>()
    const retry = { initialMs: config["retry.backoff.ms"], maxMs: config["retry.backoff.max.ms"] }
    const maxAgeMs = config["metadata.max.age.ms"]
    let next: Round | undefined
    let current: Round | undefined
    /** Counts the times that the view was said to be stale; `renewed` of them are seen to. */
    let staled = 0
    let renewed = 0
    let failures = 0
    let isUnreachable = false
    let notBeforeMs = -Infinity
    /** When the last round ended. */
    let roundMs = -Infinity
    let isClosed = false
    let isAwake = false
    let wake: (() => void) | undefined

    const wakeUp = (): void => {
      isAwake = true
      wake?.()
    }

    const nextRound = (): Round => {
      next ??= { names: new Set(), isFull: false, isAll: false, isUrgent: false, done: Deferred.makeUnsafe() }
      return next
    }

    const viewChanged = (): void => {
      for (const listener of [...listeners]) listener(state.view)
      for (const waiter of [...viewWaiters]) waiter()
    }

    /** In ms from now; Infinity: nothing is to be asked. Begins a round for a view that is stale or too old. */
    const waitMs = (): number => {
      const nowMs = monotonicMs(clock)
      const expiresMs = state.fullMs === undefined ? Infinity : state.fullMs + maxAgeMs
      if (next === undefined && (staled > renewed || expiresMs <= nowMs)) nextRound().isFull = true
      if (next === undefined) return expiresMs - nowMs
      if (next.isUrgent && !isUnreachable) return 0
      // A topic that is not there slows down only who waits for it.
      return Math.max(0, (next.isFull && !isUnreachable ? roundMs + retry.initialMs : notBeforeMs) - nowMs)
    }

    const questionsOf = (round: Round): ReadonlyArray<MetadataQuestion> => [
      ...round.isAll ? [{ names: null, autoCreate: false }] : [],
      ...round.isAll && round.names.size === 0 && !round.isFull
        ? []
        : state.plan(round.names, round.isFull, monotonicMs(clock))
    ]

    const askAll = (round: Round): Effect.Effect<Answer, ClientError> =>
      Effect.gen(function*() {
        const errors = new Map<string, number>()
        let all: ReadonlyMap<string, TopicView> | undefined
        const staledBefore = staled
        for (const question of questionsOf(round)) {
          const applied = state.apply(question, yield* ask(question))
          for (const [name, code] of applied.errors) errors.set(name, code)
          if (question.names === null) all = applied.topics
          viewChanged()
        }
        if (round.isFull) {
          state.markFull(monotonicMs(clock))
          renewed = staledBefore
        } else if (state.fullMs === undefined) state.markFull(monotonicMs(clock))
        return { errors, all }
      })

    const runRound = (round: Round): Effect.Effect<void> =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(askAll(round))
        const jitter = yield* Random.next
        isUnreachable = Exit.isFailure(exit)
        failures = isUnreachable || (Exit.isSuccess(exit) && exit.value.errors.size > 0) ? failures + 1 : 0
        roundMs = monotonicMs(clock)
        notBeforeMs = roundMs + backoffMs(retry, Math.max(failures, 1), jitter)
        yield* Deferred.done(round.done, exit)
      })

    const asleep = (ms: number): Effect.Effect<void> => {
      const woken = Effect.callback<void>((resume) => {
        if (isAwake) return resume(Effect.void)
        wake = () => resume(Effect.void)
        return Effect.sync(() => {
          wake = undefined
        })
      })
      return ms === Infinity ? woken : Effect.asVoid(Effect.timeoutOption(woken, ms))
    }

    const loop: Effect.Effect<never> = Effect.gen(function*() {
      for (;;) {
        isAwake = false
        const ms = waitMs()
        if (ms > 0) {
          yield* asleep(ms)
          continue
        }
        current = next!
        next = undefined
        yield* runRound(current)
        current = undefined
      }
    })
    yield* Effect.forkScoped(loop)

    /** Joins the question that is in flight if it asks for the same, for it is as good as the next one. */
    const askFor = (fill: (round: Round) => void, joins: (round: Round) => boolean): Effect.Effect<Answer, ClientError> =>
      Effect.suspend(() => {
        if (isClosed) return Effect.fail(closedError())
        if (current !== undefined && joins(current)) return Deferred.await(current.done)
        const round = nextRound()
        fill(round)
        wakeUp()
        return Deferred.await(round.done)
      })

    const knownOf = (names: ReadonlyArray<string>): Map<string, TopicView> => {
      const known = new Map<string, TopicView>()
      for (const name of names) {
        const topic = state.topic(name)
        if (topic !== undefined) known.set(name, topic)
      }
      return known
    }

    const topics: Metadata["topics"] = (names, { autoCreate, timeoutMs }) =>
      Effect.suspend(() => {
        if (isClosed) return Effect.fail(closedError())
        state.want(names, autoCreate, monotonicMs(clock))
        // However old: the loop renews the view, and while no broker can be reached nothing newer is to be had.
        const known = knownOf(names)
        if (known.size === new Set(names).size) return Effect.succeed(known)
        let last: ClientError = new RetriableError("TIMED_OUT", `no metadata of ${names.join(", ")} within ${timeoutMs} ms`)
        const attempts = Effect.gen(function*() {
          for (let attempt = 0;; attempt++) {
            const missing = names.filter((name) => state.topic(name) === undefined)
            if (missing.length === 0) return knownOf(names)
            const result = yield* Effect.result(askFor(
              (round) => {
                for (const name of missing) round.names.add(name)
                if (attempt === 0) round.isUrgent = true
              },
              (round) => attempt === 0 && missing.every((name) => round.names.has(name))
            ))
            if (Result.isFailure(result)) {
              last = result.failure
              if (last._tag === "FatalError") return yield* Effect.fail(last)
              continue
            }
            for (const name of missing) {
              const code = result.success.errors.get(name)
              if (code === undefined) continue
              last = errorOfCode(code, `topic ${JSON.stringify(name)}`)
              if (last._tag === "FatalError") return yield* Effect.fail(last)
            }
          }
        })
        return Effect.timeoutOrElse(attempts, { duration: timeoutMs, orElse: () => Effect.fail(last) })
      })

    return {
      view: () => state.view,
      topic: (name) => state.topic(name),
      topics,
      allTopics: Effect.map(
        askFor(
          (round) => {
            round.isAll = true
            round.isUrgent = true
          },
          // What was created after that question was asked would be missing.
          () => false
        ),
        ({ all }) => all!
      ),
      invalidate: (hint) => {
        if (isClosed) return
        if (hint !== undefined && state.hint(hint)) viewChanged()
        staled += 1
        wakeUp()
      },
      isStale: () => staled > renewed,
      refresh: Effect.asVoid(askFor(
        (round) => {
          round.isFull = true
        },
        () => false
      )),
      viewAfter: (version) =>
        Effect.callback<ClusterView, ClientError>((resume) => {
          const look = (): void => {
            if (state.view.version > version) resume(Effect.succeed(state.view))
            else if (isClosed) resume(Effect.fail(closedError()))
            else return
            viewWaiters.delete(look)
          }
          viewWaiters.add(look)
          look()
          return Effect.sync(() => void viewWaiters.delete(look))
        }),
      onView: (listener) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
      close: () => {
        isClosed = true
        listeners.clear()
        for (const round of [current, next]) {
          if (round !== undefined) Deferred.doneUnsafe(round.done, Effect.fail(closedError()))
        }
        for (const waiter of [...viewWaiters]) waiter()
      }
    }
  })
