/** The monotonic clock as a number: what a clock has in nanoseconds, in whole milliseconds. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { monotonicMs, monotonicNow, type Now, nowOf } from "../../core/model/Time.ts"
import { VirtualTime } from "../../core/testing/VirtualTime.ts"

/** What counts from the start of a machine, and what counts from 1970, as clocks of tests do. */
const milliseconds = fc.oneof(fc.nat(10_000), fc.nat(2 ** 31 - 1), fc.integer({ min: 1_700_000_000_000, max: 4_000_000_000_000 }))

const clockAt = (nanos: bigint): Clock.Clock => {
  const clock = new VirtualTime(0)
  return Object.assign(clock, { monotonicTimeNanosUnsafe: () => nanos })
}

describe("monotonicMs", () => {
  it("is the millisecond that has begun, however long the clock has been running", () => {
    fc.assert(fc.property(milliseconds, fc.nat(999_999), (ms, nanos) => {
      expect(monotonicMs(clockAt(BigInt(ms) * 1_000_000n + BigInt(nanos)))).toBe(ms)
    }))
  })

  it("is not early by a millisecond where a sleep until a deadline ends", () => {
    fc.assert(fc.property(milliseconds, fc.nat(60_000), (beganMs, timeoutMs) => {
      const clock = new VirtualTime(beganMs)
      const deadlineMs = monotonicMs(clock) + timeoutMs
      expect(monotonicMs(new VirtualTime(beganMs + timeoutMs))).toBe(deadlineMs)
    }))
  })

  it("is read from the clock that an effect runs with", async () => {
    const clock = clockAt(1_700_000_000_001_999_999n)
    expect(await Effect.runPromise(Effect.provideService(monotonicNow, Clock.Clock, clock))).toBe(1_700_000_000_001)
    expect(nowOf(clock)).toEqual<Now>({ wallMs: 0, monotonicMs: 1_700_000_000_001 })
  })
})
