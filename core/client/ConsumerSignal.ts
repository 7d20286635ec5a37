/**
 * What those who wait in a consumer wait for: that something changed, or that it is time. Everything that may change
 * something calls `wake`; everything that is to happen later asks for it by `wakeAt`, and one timer serves them all.
 */
import * as Effect from "effect/Effect"
import { Alarm, type AlarmHost } from "./Alarm.ts"

export interface SignalHost extends Omit<AlarmHost, "ring"> {
  /** It is a time that somebody asked for. `isPolled`: a poll waits, however late the timer comes in a busy program. */
  readonly ring: (isPolled: boolean) => void
}

export class ConsumerSignal {
  readonly #alarm: Alarm
  readonly #waiting: Set<() => void> = new Set()
  /** Those of them that are polls. */
  readonly #polls: Set<() => void> = new Set()
  #changes = 0

  constructor({ fork, now, ring }: SignalHost) {
    this.#alarm = new Alarm({ now, fork, ring: () => ring(this.#polls.size > 0) })
  }

  /** Counts `wake`, so that a change between looking and waiting is not slept through. */
  get changes(): number {
    return this.#changes
  }

  readonly wake = (): void => {
    this.#changes++
    for (const resume of [...this.#waiting]) resume()
  }

  /** Rings then, or before. */
  readonly wakeAt = (atMs: number): void => this.#alarm.at(atMs)

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
    this.#alarm.stop()
    this.wake()
  }
}
