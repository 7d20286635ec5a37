/** One timer for everything that is to happen later: it rings at the earliest time that was asked for. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

export interface AlarmHost {
  /** Of the clock by which it is asked, in ms. */
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly ring: () => void
}

interface Timer {
  readonly atMs: number
  fiber: Fiber.Fiber<void> | undefined
}

export class Alarm {
  readonly #host: AlarmHost
  #timer: Timer | undefined
  #isStopped = false

  constructor(host: AlarmHost) {
    this.#host = host
  }

  /** Rings then, or before: whoever asked for a later time than others asks again when it rings. */
  readonly at = (atMs: number): void => {
    if (this.#isStopped || (this.#timer !== undefined && this.#timer.atMs <= atMs)) return
    this.#timer?.fiber?.interruptUnsafe()
    const timer: Timer = this.#timer = { atMs, fiber: undefined }
    const ring = Effect.sync(() => {
      if (this.#timer !== timer) return
      this.#timer = undefined
      this.#host.ring()
    })
    // A clock of tests may not wait at all for what is due: then it has rung before there is a fiber to remember.
    timer.fiber = this.#host.fork(Effect.andThen(Effect.sleep(Math.max(0, atMs - this.#host.now())), ring))
  }

  /** It rings never again, and has no timer. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.fiber?.interruptUnsafe()
    this.#timer = undefined
  }
}
