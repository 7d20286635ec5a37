/** Waiting under TestClock, for tests of clients against our broker in memory. */
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

/** Lets everything that can happen without time passing happen. */
export const settle: Effect.Effect<void> = TestClock.adjust(0).pipe(
  Effect.andThen(Effect.yieldNow),
  Effect.repeat({ times: 100 }),
  Effect.asVoid
)
