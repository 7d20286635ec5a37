import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { ConsumerSignal } from "../../core/client/ConsumerSignal.ts"
import { monotonicMs } from "../../core/model/Time.ts"
import { settle } from "./VirtualTime.ts"

const setUp = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const fibers: Array<Fiber.Fiber<void>> = []
  const rings: Array<{ readonly atMs: number; readonly isPolled: boolean }> = []
  const now = (): number => monotonicMs(clock)
  const beganMs = now()
  const signal = new ConsumerSignal({
    now,
    fork: (effect) => {
      const fiber = Effect.runForkWith(context)(effect)
      fibers.push(fiber)
      return fiber
    },
    ring: (isPolled) => void rings.push({ atMs: now() - beganMs, isPolled })
  })
  const open = (): number => fibers.filter((fiber) => fiber.pollUnsafe() === undefined).length
  return { signal, rings, open, at: (ms: number) => signal.wakeAt(beganMs + ms) }
})

describe("The signal of a consumer", () => {
  it.effect("rings at the earliest time that was asked for, by one timer", () =>
    Effect.gen(function*() {
      const { at, open, rings } = yield* setUp
      for (let round = 0; round < 20; round++) {
        at(60_000)
        at(100 * (round + 1))
        at(30_000)
        yield* TestClock.adjust(99)
        expect(rings).toHaveLength(round)
        yield* TestClock.adjust(1)
        expect(rings.at(-1)).toEqual({ atMs: 100 * (round + 1), isPolled: false })
        // A time that was put off by an earlier one leaves no timer behind.
        expect(open()).toBe(0)
      }
    }))

  it.effect("wakes who waits at a change since they looked, and at their time; rings for polls say so", () =>
    Effect.gen(function*() {
      const { rings, signal } = yield* setUp
      const before = signal.changes
      signal.wake()
      yield* signal.wait(before, Infinity, true)
      const poll = yield* Effect.forkChild(signal.wait(signal.changes, Infinity, true), { startImmediately: true })
      yield* TestClock.adjust(1000)
      expect(poll.pollUnsafe()).toBeUndefined()
      signal.wakeAt(yield* Clock.currentTimeMillis)
      yield* settle
      expect(rings).toEqual([{ atMs: 1000, isPolled: true }])
      signal.wake()
      yield* Fiber.join(poll)
      const other = yield* Effect.forkChild(signal.wait(signal.changes, Infinity, true), { startImmediately: true })
      yield* Fiber.interrupt(other)
      signal.wakeAt(yield* Clock.currentTimeMillis)
      yield* settle
      expect(rings.at(-1)).toEqual({ atMs: 1000, isPolled: false })
    }))

  it.effect("is silent when it is stopped, and keeps nobody waiting", () =>
    Effect.gen(function*() {
      const { at, open, rings, signal } = yield* setUp
      at(100)
      const waits = yield* Effect.forkChild(signal.wait(signal.changes, Infinity, false), { startImmediately: true })
      signal.stop()
      yield* Fiber.join(waits)
      at(50)
      yield* TestClock.adjust(200)
      expect(rings).toEqual([])
      expect(open()).toBe(0)
    }))
})
