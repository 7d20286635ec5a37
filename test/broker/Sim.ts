/**
 * A seeded scheduler and a virtual clock in one: which of the tasks that are ready runs next is drawn from the seed,
 * and time passes only when nothing is ready, straight to the next deadline. The same seed gives the same run on every
 * runtime.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"

/** Numbers from 0 (inclusive) to 1 (exclusive). */
export const mulberry32 = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

interface Sleeper {
  readonly atMs: number
  readonly wake: () => void
}

export class Sim implements Scheduler.Scheduler, Clock.Clock {
  readonly executionMode = "async" as const
  /** Virtual milliseconds since 1970. */
  nowMs: number
  /** Tasks that ran. */
  steps = 0
  readonly random: () => number
  readonly #preemption: number
  #tasks: Array<() => void> = []
  #sleepers: Array<Sleeper> = []
  #isArmed = false

  constructor(seed: number, options: { readonly startMs?: number; readonly preemption?: number } = {}) {
    this.random = mulberry32(seed)
    this.nowMs = options.startMs ?? 1_700_000_000_000
    this.#preemption = options.preemption ?? 0.02
  }

  // A fiber's first operation is never preempted: it would not get anywhere.
  shouldYield(fiber: { currentOpCount: number; cache: { maxOpsBeforeYield: number } }): boolean {
    return fiber.currentOpCount > 1 &&
      (fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield || this.random() < this.#preemption)
  }
  makeDispatcher(): this {
    return this
  }
  scheduleTask(task: () => void): void {
    this.#tasks.push(task)
    this.#arm()
  }
  flush(): void {
    this.#drain()
  }

  #arm(): void {
    if (this.#isArmed) return
    this.#isArmed = true
    queueMicrotask(() => this.#drain())
  }

  #drain(): void {
    this.#isArmed = false
    for (;;) {
      while (this.#tasks.length > 0) {
        const index = Math.floor(this.random() * this.#tasks.length)
        const task = this.#tasks[index]!
        this.#tasks[index] = this.#tasks.at(-1)!
        this.#tasks.pop()
        this.steps++
        task()
      }
      const next = this.#sleepers.shift()
      if (next === undefined) return
      this.nowMs = next.atMs
      next.wake()
    }
  }

  currentTimeMillisUnsafe(): number {
    return this.nowMs
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.nowMs)) * 1_000_000n
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.nowMs)
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos: Effect.Effect<bigint> = this.currentTimeNanos
  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const sleeper: Sleeper = { atMs: this.nowMs + Duration.toMillis(duration), wake: () => resume(Effect.void) }
      let index = this.#sleepers.length
      while (index > 0 && this.#sleepers[index - 1]!.atMs > sleeper.atMs) index--
      this.#sleepers.splice(index, 0, sleeper)
      this.#arm()
      return Effect.sync(() => {
        const at = this.#sleepers.indexOf(sleeper)
        if (at >= 0) this.#sleepers.splice(at, 1)
      })
    })
  }

  run<A, E>(effect: Effect.Effect<A, E>, seed: number): Promise<A> {
    return Effect.runPromise(
      effect.pipe(
        Random.withSeed(`sim-${seed}`),
        Effect.provideService(Clock.Clock, this),
        Effect.provideService(Scheduler.Scheduler, this)
      )
    )
  }
}

/** FNV-1a over lines, as 8 hex digits. */
export const hashOf = (lines: ReadonlyArray<string>): string => {
  let hash = 0x811c9dc5
  for (const line of lines) {
    for (let i = 0; i < line.length; i++) hash = Math.imul(hash ^ line.charCodeAt(i), 0x01000193)
    hash = Math.imul(hash ^ 10, 0x01000193)
  }
  return (hash >>> 0).toString(16).padStart(8, "0")
}
