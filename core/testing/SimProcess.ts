/**
 * A process of a simulation: a scheduler and a clock of its own over those of the simulation. All that runs in it runs as
 * its tasks, so it can be killed as kill -9 kills (none of its tasks, timers or finalizers ever runs again), paused
 * as a debugger or a garbage collector pauses, and given a clock that is wrong.
 *
 * What processes share (network, metadata store) must call back by `scheduleTask` of the process that is called: code
 * of one process then never runs inside a task of another.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Fiber } from "effect/Fiber"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import type { SimRandom } from "./SimRandom.ts"
import type { SimTimer } from "./SimTimers.ts"

/** What a process asks of its simulation. */
export interface SimKernel {
  /** Virtual milliseconds since 1970, with fractions. */
  readonly nowMs: () => number
  readonly enqueue: (owner: SimProcess, task: () => void) => void
  readonly at: (atMs: number, owner: SimProcess, run: () => void) => SimTimer
  readonly cancel: (timer: SimTimer) => void
  /** A process ended: its timers are dropped, its tasks will not run. */
  readonly forget: (owner: SimProcess) => void
  /** Whether a fiber is stopped here and another has its turn. */
  readonly preempts: () => boolean
}

export type SimProcessState = "running" | "paused" | "dead"

/** The process that was to run an effect died first. */
export class ProcessKilled extends Error {
  readonly _tag = "ProcessKilled"
  readonly process: string
  constructor(process: string) {
    super(`process ${process} was killed`)
    this.process = process
  }
}

export class SimProcess implements Scheduler.Scheduler, Clock.Clock {
  readonly executionMode = "async" as const
  readonly name: string
  /** Its own dice. */
  readonly random: SimRandom
  /** Scheduler, Clock and Random of this process, and no log lines: what its effects run with. */
  readonly context: Context.Context<never>
  /** Added to the simulation's time when its clock is read: a wall clock that is wrong. Timers are right. */
  skewMs = 0
  readonly #kernel: SimKernel
  #state: SimProcessState = "running"
  /** Tasks that came up while it was paused. */
  #held: Array<() => void> = []
  readonly #onDeath: Set<() => void> = new Set()

  constructor(name: string, kernel: SimKernel, random: SimRandom) {
    this.name = name
    this.#kernel = kernel
    this.random = random
    const { next } = random
    this.context = Context.empty().pipe(
      Context.add(Scheduler.Scheduler, this),
      Context.add(Clock.Clock, this),
      Context.add(Random.Random, {
        nextDoubleUnsafe: next,
        nextIntUnsafe: () => Math.floor((next() - 0.5) * Number.MAX_SAFE_INTEGER)
      }),
      Context.add(References.MinimumLogLevel, "None")
    )
  }

  get state(): SimProcessState {
    return this.#state
  }

  // -- life ----------------------------------------------------------------------------------------------------

  /** Nothing of it ever runs again. */
  kill(): void {
    if (this.#state === "dead") return
    this.#state = "dead"
    this.#held = []
    this.#kernel.forget(this)
    for (const tell of [...this.#onDeath]) tell()
    this.#onDeath.clear()
  }

  /** It stands still until `resume`; time goes on without it. */
  pause(): void {
    if (this.#state === "running") this.#state = "paused"
  }
  resume(): void {
    if (this.#state !== "paused") return
    this.#state = "running"
    const held = this.#held
    this.#held = []
    for (const task of held) this.#kernel.enqueue(this, task)
  }

  /** Called once, when it is killed; at once when it is dead. Gives what takes the listener away. */
  onDeath(listener: () => void): () => void {
    if (this.#state === "dead") {
      listener()
      return () => {}
    }
    this.#onDeath.add(listener)
    return () => void this.#onDeath.delete(listener)
  }

  /** For the simulation: a task's turn. False when it did not run. */
  turn(task: () => void): boolean {
    if (this.#state === "dead") return false
    if (this.#state === "paused") {
      this.#held.push(task)
      return false
    }
    task()
    return true
  }

  /** Runs a task after so many virtual milliseconds. */
  after(delayMs: number, task: () => void): SimTimer {
    return this.#kernel.at(this.#kernel.nowMs() + delayMs, this, task)
  }
  cancel(timer: SimTimer): void {
    this.#kernel.cancel(timer)
  }

  /**
   * Runs an effect in this process, for a caller outside it. Interrupting the caller interrupts the effect. Fails with
   * ProcessKilled when the process dies first.
   */
  run<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | ProcessKilled> {
    return Effect.callback<A, E | ProcessKilled>((resume) => {
      let fiber: Fiber<A, E> | undefined
      let isGivenUp = false
      // Not on the stack of what killed it: that may be in the middle of something.
      const forget = this.onDeath(() =>
        this.#kernel.enqueue(this.outside, () => resume(Effect.fail(new ProcessKilled(this.name))))
      )
      this.scheduleTask(() => {
        if (isGivenUp) return
        fiber = Effect.runForkWith(this.context)(effect)
        fiber.addObserver((exit) => {
          forget()
          this.#kernel.enqueue(this.outside, () => resume(exit))
        })
      })
      return Effect.sync(() => {
        isGivenUp = true
        forget()
        fiber?.interruptUnsafe()
      })
    })
  }
  /** Whose task a caller of `run` goes on in: the simulation's own process. */
  outside: SimProcess = this

  // -- Scheduler -----------------------------------------------------------------------------------------------

  shouldYield(fiber: { currentOpCount: number; cache: { maxOpsBeforeYield: number } }): boolean {
    // A fiber's first operation is never preempted: it would not get anywhere.
    return fiber.currentOpCount > 1 && (this.#kernel.preempts() || fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield)
  }
  makeDispatcher(): this {
    return this
  }
  scheduleTask(task: () => void): void {
    if (this.#state !== "dead") this.#kernel.enqueue(this, task)
  }
  /** Tasks run when the simulation draws them, and not before. */
  flush(): void {}

  // -- Clock ---------------------------------------------------------------------------------------------------

  currentTimeMillisUnsafe(): number {
    return Math.floor(this.#kernel.nowMs()) + this.skewMs
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(this.currentTimeMillisUnsafe()) * 1_000_000n
  }
  monotonicTimeNanosUnsafe(): bigint {
    return BigInt(Math.floor(this.#kernel.nowMs() * 1000)) * 1000n
  }
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.monotonicTimeNanosUnsafe())
  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return this.wait(Duration.toMillis(duration))
  }
  /** Goes on in a task of this process, so many virtual milliseconds later. */
  wait(delayMs: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.#state === "dead") return
      const timer = this.after(delayMs, () => resume(Effect.void))
      return Effect.sync(() => this.#kernel.cancel(timer))
    })
  }
}
