/**
 * Time that passes only when it is told to: a clock and a scheduler in one. Between two calls of `advance` what runs on
 * it runs as on any other scheduler, in turns of the runtime's loop; `advance` lets time jump from one deadline to the
 * next, and all that a jump makes ready has run before the next one.
 *
 * A broker has timers of a second or less, so a week would be a million jumps. One `advance` makes at most
 * {@link MAX_JUMPS}: over a long time a timer may be late by that part of it, as on a machine that has much to do.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"

/** Jumps of one `advance`. */
const MAX_JUMPS = 5000
/** Turns of the runtime's loop in one `advance`, in which sockets and promises of others get their share. */
const MAX_TURNS = 500
/** Tasks that run in a row: what never comes to rest lets others go on after so many. */
const MAX_TASKS = 1_000_000

interface Sleeper {
  readonly atMs: number
  readonly wake: () => void
}

export class VirtualTime implements Clock.Clock, Scheduler.Scheduler {
  readonly executionMode = "async" as const
  #nowMs: number
  /** By deadline; in the order of their beginning where that is equal. */
  readonly #sleepers: Array<Sleeper> = []
  /** Ready, from `#head` on. */
  #tasks: Array<() => void> = []
  #head = 0
  #isArmed = false
  readonly #real: Scheduler.Scheduler = Context.get(Context.empty(), Scheduler.Scheduler)
  readonly #dispatcher: Scheduler.SchedulerDispatcher = this.#real.makeDispatcher()

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  /** Both as the services that effects take. */
  get layer(): Layer.Layer<never> {
    return Layer.succeedContext(Context.make(Clock.Clock, this).pipe(Context.add(Scheduler.Scheduler, this)))
  }

  // -- scheduler -------------------------------------------------------------------------------------------------

  shouldYield(fiber: Parameters<Scheduler.Scheduler["shouldYield"]>[0]): boolean {
    return this.#real.shouldYield(fiber)
  }
  makeDispatcher(): this {
    return this
  }
  scheduleTask(task: () => void): void {
    this.#tasks.push(task)
    this.#arm()
  }
  flush(): void {
    this.#run()
  }

  #arm(): void {
    if (this.#isArmed) return
    this.#isArmed = true
    this.#dispatcher.scheduleTask(() => {
      this.#isArmed = false
      this.#run()
    }, 0)
  }

  /** Runs what is ready, and what that makes ready. */
  #run(): void {
    try {
      for (let ran = 0; this.#head < this.#tasks.length && ran < MAX_TASKS; ran++) {
        const task = this.#tasks[this.#head++]!
        if (this.#head === this.#tasks.length) {
          this.#tasks = []
          this.#head = 0
        }
        task()
      }
    } finally {
      // A task that threw, or too many: the rest has its turn all the same.
      if (this.#tasks.length > 0) this.#arm()
    }
  }

  // -- clock -----------------------------------------------------------------------------------------------------

  currentTimeMillisUnsafe(): number {
    return this.#nowMs
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.#nowMs)) * 1_000_000n
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.#nowMs)
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos: Effect.Effect<bigint> = this.currentTimeNanos

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const ms = Duration.toMillis(duration)
    if (ms <= 0) return Effect.yieldNow
    return Effect.callback<void>((resume) => {
      const sleeper: Sleeper = { atMs: this.#nowMs + ms, wake: () => resume(Effect.void) }
      let at = this.#sleepers.length
      while (at > 0 && this.#sleepers[at - 1]!.atMs > sleeper.atMs) at--
      this.#sleepers.splice(at, 0, sleeper)
      return Effect.sync(() => {
        const index = this.#sleepers.indexOf(sleeper)
        if (index >= 0) this.#sleepers.splice(index, 1)
      })
    })
  }

  /** A turn of the runtime's loop, and what it made ready. */
  async #turn(): Promise<void> {
    await Effect.runPromise(Effect.yieldNow)
    this.#run()
  }

  /** Lets time pass, in ms; all that became due has run when it is done. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    const leastMs = ms / MAX_JUMPS
    await this.#turn()
    for (let jumps = 0; ; jumps++) {
      const next = this.#sleepers[0]
      if (next === undefined || next.atMs > endMs) break
      this.#nowMs = Math.max(this.#nowMs, next.atMs, Math.min(endMs, this.#nowMs + leastMs))
      while (this.#sleepers.length > 0 && this.#sleepers[0]!.atMs <= this.#nowMs) {
        this.#sleepers.shift()!.wake()
        this.#run()
      }
      // The first jumps are followed by a turn each: who waits for a few timers sees them one after the other.
      if (jumps < MAX_TURNS / 2 || jumps % Math.ceil((2 * MAX_JUMPS) / MAX_TURNS) === 0) await this.#turn()
    }
    this.#nowMs = Math.max(this.#nowMs, endMs)
    await this.#turn()
  }
}
