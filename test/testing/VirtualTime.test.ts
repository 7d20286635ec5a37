import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { expect, it } from "vitest"
import { VirtualTime } from "../../core/testing/VirtualTime.ts"

const START = 1_700_000_000_000

it("wakes who sleeps in the order of deadlines, each at its time", async () => {
  const time = new VirtualTime(START)
  const woken: Array<readonly [string, number]> = []
  const sleeper = (name: string, ms: number) =>
    Effect.andThen(Effect.sleep(ms), Effect.sync(() => void woken.push([name, time.currentTimeMillisUnsafe() - START])))
  const fiber = Effect.runFork(
    Effect.all([sleeper("c", 30), sleeper("a", 10), sleeper("b", 10), Effect.repeat(sleeper("every 8", 8), { times: 2 })], { concurrency: 4 }).pipe(
      Effect.provide(time.layer)
    )
  )
  await time.advance(9)
  expect(woken).toEqual([["every 8", 8]])
  await time.advance(20)
  expect(woken).toEqual([["every 8", 8], ["a", 10], ["b", 10], ["every 8", 16], ["every 8", 24]])
  await time.advance(1)
  await Effect.runPromise(Fiber.join(fiber))
  expect(woken.at(-1)).toEqual(["c", 30])
  expect(time.currentTimeMillisUnsafe()).toBe(START + 30)
})

it("has run what a deadline makes ready before the next one, promises of others too", async () => {
  const time = new VirtualTime(START)
  const seen: Array<number> = []
  Effect.runFork(
    Effect.forever(Effect.gen(function*() {
      yield* Effect.sleep(1000)
      yield* Effect.yieldNow
      yield* Effect.promise(() => Promise.resolve())
      seen.push(time.currentTimeMillisUnsafe() - START)
    })).pipe(Effect.provide(time.layer))
  )
  await time.advance(3500)
  expect(seen).toEqual([1000, 2000, 3000])
})

it("makes no more jumps over a year than over an hour", async () => {
  const time = new VirtualTime(START)
  let ticks = 0
  Effect.runFork(Effect.forever(Effect.andThen(Effect.sleep(1000), Effect.sync(() => ticks++))).pipe(Effect.provide(time.layer)))
  await time.advance(3_600_000)
  expect(ticks).toBe(3600)
  ticks = 0
  await time.advance(365 * 24 * 3_600_000)
  expect(ticks).toBeGreaterThan(4900)
  expect(ticks).toBeLessThanOrEqual(5001)
})

it("forgets who was interrupted, and lets others go on when a task throws", async () => {
  const time = new VirtualTime(START)
  let woken = 0
  const fiber = Effect.runFork(Effect.andThen(Effect.sleep(10), Effect.sync(() => woken++)).pipe(Effect.provide(time.layer)))
  await time.advance(5)
  await Effect.runPromise(Fiber.interrupt(fiber))
  await time.advance(10)
  expect(woken).toBe(0)
  time.scheduleTask(() => {
    throw new Error("a client's mistake")
  })
  time.scheduleTask(() => void woken++)
  expect(() => time.flush()).toThrow("a client's mistake")
  await time.advance(0)
  expect(woken).toBe(1)
})
