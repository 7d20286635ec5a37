/**
 * The world that the laws of delivery run in: every effect passes a point, and at each point a crash or a failure can
 * be injected. A crash ends everything at once, no finalizer of the program reaches the world any more; then the
 * program begins again with what was durable. Time passes only by sleeping, so a law takes none.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import { LawViolation } from "./Law.ts"

export type Fault = "crash" | "fail"
/** What is injected at a point; points are numbered from 0 over all lives of the program. */
export type Plan = (point: number, name: string) => Fault | undefined

/** After so many crashes and failures a program has to have ended; only in a plan without end it has not. */
const MAX_LIVES = 16
/** Past so many points a life is stopped: the program runs in a circle. */
const MAX_POINTS = 2000

const CRASH = "the machine crashed"

/** Points, faults and what happened. Laws add the durable things. */
export class World {
  readonly trace: Array<string> = []
  points = 0
  isDead = false
  violation: string | undefined
  private readonly plan: Plan
  constructor(plan: Plan) {
    this.plan = plan
  }

  note(what: string): void {
    this.trace.push(what)
  }

  violate(reason: string): void {
    this.violation ??= reason
  }

  /** Passes a point; `failure` makes the error where the plan says that it fails. */
  point<E>(name: string, failure: () => E): Effect.Effect<void, E> {
    return Effect.suspend((): Effect.Effect<void, E> => {
      if (this.isDead) return Effect.die(CRASH)
      const fault = this.points > MAX_POINTS ? "crash" : this.plan(this.points, name)
      this.points++
      if (fault === undefined) return Effect.void
      this.note(`${fault} ${name}`)
      if (fault === "fail") return Effect.fail(failure())
      this.isDead = true
      return Effect.die(CRASH)
    })
  }
}

/** Sleeping takes no time; nothing else moves this clock. */
const makeClock = (): Clock.Clock => {
  let nowMs = 0
  const nanos = (): bigint => BigInt(nowMs) * 1_000_000n
  return {
    currentTimeMillisUnsafe: () => nowMs,
    currentTimeMillis: Effect.sync(() => nowMs),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.andThen(
        Effect.yieldNow,
        Effect.sync(() => {
          nowMs += Duration.toMillis(duration)
        })
      )
  }
}

/** Runs a program to its end, again after each crash or failure. @returns whether it ended */
export const live = <E>(world: World, program: Effect.Effect<void, E>): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    for (let life = 0; life < MAX_LIVES; life++) {
      world.isDead = false
      // A fiber of its own: what it has in its context and its interruption ends with it.
      const fiber = yield* Effect.forkChild(program, { startImmediately: true })
      const exit = yield* Fiber.await(fiber)
      if (Exit.isSuccess(exit) && !world.isDead) return true
      world.note("begins again")
    }
    return false
  }).pipe(
    Effect.provideService(Clock.Clock, makeClock()),
    // Of what was injected, thousands of times.
    Effect.provide(Logger.layer([]))
  )

/**
 * Runs `body` without faults, then with each fault at each point, then with each two of them. `body` makes a world,
 * runs in it and says what is wrong.
 */
export const explore = <W extends World>(
  body: (plan: Plan) => Effect.Effect<W>,
  faults: ReadonlyArray<Fault>
): Effect.Effect<void, LawViolation> =>
  Effect.gen(function*() {
    const under = (plan: Plan): Effect.Effect<number, LawViolation> =>
      Effect.flatMap(body(plan), (world) =>
        world.violation === undefined
          ? Effect.succeed(world.points)
          : Effect.fail(new LawViolation(world.violation, world.trace)))
    const points = yield* under(() => undefined)
    for (const fault of faults) {
      for (let first = 0; first < points; first++) {
        const reached = yield* under((point) => (point === first ? fault : undefined))
        for (const other of faults) {
          for (let second = first + 1; second < reached; second++) {
            yield* under((point) => (point === first ? fault : point === second ? other : undefined))
          }
        }
      }
    }
  })
