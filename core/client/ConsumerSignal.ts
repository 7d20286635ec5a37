/**
 * What those who wait in a consumer wait for: that something changed, or that it is time. Everything that may change
 * something calls `wake`; everything that is to happen later asks for it by `wakeAt`, and one timer serves them all.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

export interface SignalHost {
  readonly now: () => number
  /** Runs an effect until it ends or the consumer does. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** It is a time that somebody asked for. `isPolled`: a poll waits, however late the timer comes in a busy program. */
  readonly ring: (isPolled: boolean) => void
}

interface Timer {
  readonly atMs: number
  readonly fiber: Fiber.Fiber<void>
}

export class ConsumerSignal {
  readonly #host: SignalHost
  readonly #waiting: Set<() => void> = new Set()
  /** Those of them that are polls. */
  readonly #polls: Set<() => void> = new Set()
  #changes = 0
  #timer: Timer | undefined
  #isStopped = false

  constructor(host: SignalHost) {
    this.#host = host
  }

  /** Counts `wake`, so that a change between looking and waiting is not slept through. */
  get changes(): number {
    return this.#changes
  }

  readonly wake = (): void => {
    this.#changes++
    for (const resume of [...this.#waiting]) resume()
  }

  /** The earliest time that was asked for is the timer's; whoever asked for a later one asks again when it rings. */
  readonly wakeAt = (atMs: number): void => {
    if (this.#isStopped || (this.#timer !== undefined && this.#timer.atMs <= atMs)) return
    this.#timer?.fiber.interruptUnsafe()
    const ring = Effect.sync(() => {
      if (this.#isStopped) return
      this.#timer = undefined
      this.#host.ring(this.#polls.size > 0)
    })
    this.#timer = { atMs, fiber: this.#host.fork(Effect.andThen(Effect.sleep(Math.max(0, atMs - this.#host.now())), ring)) }
  }

  /** Done at the first change since `changes` was `since`, or at that time. */
  wait(since: number, untilMs: number, isPoll: boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.#changes !== since) return resume(Effect.void)
      const leave = (): void => {
        this.#waiting.delete(look)
        this.#polls.delete(look)
      }
      const look = (): void => {
        leave()
        resume(Effect.void)
      }
      this.#waiting.add(look)
      if (isPoll) this.#polls.add(look)
      if (untilMs !== Infinity) this.wakeAt(untilMs)
      return Effect.sync(leave)
    })
  }

  /** No timer rings any more. Who waits is woken. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.fiber.interruptUnsafe()
    this.#timer = undefined
    this.wake()
  }
}
