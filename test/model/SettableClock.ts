/**
 * The test's clock with a wall clock that can be set, as a laptop's is when it wakes up. What passes (the monotonic
 * clock, all that sleeps) goes on with TestClock. The two have nothing in common from the beginning.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

const HOUR_MS = 3_600_000
const BEGIN_MS = 1_700_000_000_000

/** What is done to wall clocks, in milliseconds. */
export const SETTINGS: ReadonlyArray<readonly [what: string, byMs: number]> = [
  ["set back by an hour", -HOUR_MS],
  ["set forward by an hour", HOUR_MS]
]

export const withSettableClock = <A, E, R>(
  test: (setWallClock: (byMs: number) => void) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  TestClock.testClockWith((clock) => {
    let aheadMs = BEGIN_MS
    const currentTimeMillisUnsafe = (): number => clock.currentTimeMillisUnsafe() + aheadMs
    const currentTimeNanosUnsafe = (): bigint => BigInt(currentTimeMillisUnsafe()) * 1_000_000n
    const settable: TestClock.TestClock = {
      ...clock,
      currentTimeMillisUnsafe,
      currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
      currentTimeNanosUnsafe,
      currentTimeNanos: Effect.sync(currentTimeNanosUnsafe)
    }
    const setWallClock = (byMs: number): void => void (aheadMs += byMs)
    return Effect.provideService(Effect.suspend(() => test(setWallClock)), Clock.Clock, settable)
  })
