/**
 * The two clocks of a host, as numbers. The wall clock says what time it is, and can be set: by a minute when it is
 * corrected, by hours when a laptop wakes up. The monotonic clock says nothing but how much time has passed.
 *
 * What is stored, sent, or compared with something stored is wall time. A wait or a deadline inside one process is
 * monotonic: it neither ends early nor is held up when the wall clock is set.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Both clocks at one moment, for state machines that store times and wait. */
export interface Now {
  /** Milliseconds since 1970. */
  readonly wallMs: number
  /** Whole milliseconds since some moment of this process's host; zero means nothing. */
  readonly monotonicMs: number
}

/**
 * Whole milliseconds, so that what sleeps until a deadline does not wake up a fraction before it. Divided as integers:
 * a clock of tests counts from 1970, and so many nanoseconds are no number; one in eight milliseconds would be the one before.
 */
export const monotonicMs = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

export const nowOf = (clock: Clock.Clock): Now => ({
  wallMs: clock.currentTimeMillisUnsafe(),
  monotonicMs: monotonicMs(clock)
})

/** {@link monotonicMs} of the clock that an effect runs with. */
export const monotonicNow: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => monotonicMs(clock)))
