/**
 * A seeded scheduler and a virtual clock in one: which of the tasks that are ready runs next is drawn from the seed,
 * and time passes only when nothing is ready, straight to the next deadline. The same seed gives the same run on every
 * runtime.
 *
 * The order is the seed's only as far as everything runs as a task of the simulation: effects with its Scheduler, Clock
 * and Random (`run` and `SimProcess.context` give them), callbacks by `scheduleTask`. Promises, timers of the runtime and
 * anything else that goes on outside is out of its hands.
 */
import * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import { runForkWith } from "effect/Effect"
import { type SimKernel, SimProcess } from "./SimProcess.ts"
import { SimRandom } from "./SimRandom.ts"
import { type SimTimer, SimTimers } from "./SimTimers.ts"
import { Trace } from "./Trace.ts"

export { mulberry32 } from "./SimRandom.ts"

/** Of every run unless it says otherwise: 2023-11-14T22:13:20Z. */
export const START_MS = 1_700_000_000_000

export interface SimOptions {
  /** Virtual milliseconds since 1970 at the start. Default START_MS. */
  readonly startMs?: number
  /** One of so many operations of fibers, on average, is where another fiber gets its turn. Default 50; 0: never. */
  readonly preemptEvery?: number
}

export interface RunOptions {
  /**
   * After so many tasks the run fails with SimLimit: something turns without end, or waits for what never comes. Default
   * DEFAULT_MAX_STEPS.
   */
  readonly maxSteps?: number
}

/** A busy cluster takes about a thousand tasks in a virtual second. */
export const DEFAULT_MAX_STEPS = 5_000_000

/** A run took more tasks than it may. */
export class SimLimit extends Error {
  readonly _tag = "SimLimit"
}

export class Sim {
  readonly seed: number
  /** Virtual milliseconds since 1970, with fractions. */
  nowMs: number
  readonly startMs: number
  /** Tasks that ran. */
  steps = 0
  readonly dice: SimRandom
  /** Of the same dice, as a plain function. */
  readonly random: () => number
  readonly trace: Trace = new Trace()
  /** Told after each task, with the process that it ran in: what watches the simulation looks here. It must change nothing. */
  onStep: ((owner: SimProcess) => void) | undefined
  /** What the effect that `run` was given runs in, and what stands for the world outside every process. */
  readonly main: SimProcess
  readonly #preemptEvery: number
  #untilPreempted: number
  readonly #timers: SimTimers = new SimTimers()
  // Two lists instead of a list of pairs: a task costs no object.
  #tasks: Array<() => void> = []
  #owners: Array<SimProcess> = []
  #isArmed = false
  #isOver = false
  #maxSteps = Infinity
  #limit = Infinity
  #failed: ((error: unknown) => void) | undefined
  #processes = 0
  readonly #kernel: SimKernel

  constructor(seed: number, options: SimOptions = {}) {
    this.seed = seed
    this.dice = new SimRandom(seed)
    this.random = this.dice.next
    this.startMs = options.startMs ?? START_MS
    this.nowMs = this.startMs
    this.#preemptEvery = options.preemptEvery ?? 50
    this.#untilPreempted = this.#preemptEvery
    this.#kernel = {
      nowMs: () => this.nowMs,
      enqueue: (owner, task) => this.#enqueue(owner, task),
      at: (atMs, owner, run) => {
        this.#arm()
        return this.#timers.add(atMs, owner, run)
      },
      cancel: (timer) => this.#timers.remove(timer),
      forget: (owner) => this.#timers.removeAll(owner),
      preempts: () => this.#preempts()
    }
    this.main = new SimProcess("main", this.#kernel, this.dice.fork("main"))
  }

  /** A process of its own. Names may repeat: each gets dice of its own. */
  process(name: string): SimProcess {
    const owner = new SimProcess(name, this.#kernel, this.dice.fork(`${name}#${this.#processes++}`))
    owner.outside = this.main
    return owner
  }

  /** Virtual milliseconds since the run's start, in whole numbers. */
  get elapsedMs(): number {
    return Math.floor(this.nowMs - this.startMs)
  }

  /** A line of the trace, now. */
  say(text: string): void {
    this.trace.line(this.elapsedMs, text)
  }

  /** Runs something of the world outside every process, in so many virtual milliseconds. */
  after(delayMs: number, run: () => void): SimTimer {
    return this.main.after(delayMs, run)
  }
  cancel(timer: SimTimer): void {
    this.#timers.remove(timer)
  }

  #preempts(): boolean {
    if (this.#preemptEvery === 0 || --this.#untilPreempted > 0) return false
    this.#untilPreempted = 1 + Math.floor(this.random() * 2 * this.#preemptEvery)
    return true
  }

  #enqueue(owner: SimProcess, task: () => void): void {
    this.#tasks.push(task)
    this.#owners.push(owner)
    this.#arm()
  }

  #arm(): void {
    if (this.#isArmed) return
    this.#isArmed = true
    queueMicrotask(() => this.#drain())
  }

  #drain(): void {
    try {
      this.#turn()
    } catch (error) {
      // A callback that throws where nobody catches would end a process of the real world.
      this.#isOver = true
      this.#failed?.(error)
    }
    this.#isArmed = false
  }

  #turn(): void {
    const tasks = this.#tasks
    const owners = this.#owners
    while (!this.#isOver) {
      while (tasks.length > 0 && !this.#isOver) {
        const index = tasks.length === 1 ? 0 : Math.floor(this.random() * tasks.length)
        const task = tasks[index]!
        const owner = owners[index]!
        const lastTask = tasks.pop()!
        const lastOwner = owners.pop()!
        if (index < tasks.length) {
          tasks[index] = lastTask
          owners[index] = lastOwner
        }
        this.trace.number(index)
        if (!owner.turn(task)) continue
        this.onStep?.(owner)
        if (++this.steps >= this.#maxSteps) {
          this.#isOver = true
          this.#failed?.(new SimLimit(
            `seed ${this.seed}: more than ${this.#limit} steps (maxSteps), at ${this.elapsedMs} ms. What turns without end? ` +
              "A promise, timer or socket of the runtime never comes within a simulation: Effect's clock and the simulated network do."
          ))
        }
      }
      if (this.#isOver || !this.#passTime()) return
    }
  }

  /** Goes to the next deadline; all that wait for it are ready then. False when nobody waits. */
  #passTime(): boolean {
    const first = this.#timers.first
    if (first === undefined) return false
    const { atMs } = first
    if (atMs > this.nowMs) {
      this.nowMs = atMs
      this.trace.number(Math.floor(atMs))
    }
    for (let timer = this.#timers.first; timer !== undefined && timer.atMs <= atMs; timer = this.#timers.first) {
      this.#timers.remove(timer)
      this.#enqueue(timer.owner, timer.run)
    }
    return true
  }

  /**
   * Runs an effect to its end with the simulation's scheduler, clock and dice. What else is under way then, in any
   * process, stops where it is.
   */
  run<A, E>(effect: Effect.Effect<A, E>, options: RunOptions = {}): Promise<A> {
    return new Promise((resolve, reject) => {
      this.#isOver = false
      this.#limit = options.maxSteps ?? DEFAULT_MAX_STEPS
      this.#maxSteps = this.steps + this.#limit
      this.#failed = reject
      const fiber = runForkWith(this.main.context)(effect)
      fiber.addObserver((exit) => {
        this.#isOver = true
        if (exit._tag === "Success") resolve(exit.value)
        else reject(Cause.squash(exit.cause))
      })
      this.#arm()
    })
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
