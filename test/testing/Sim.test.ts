/** The seeded scheduler, its clock and its processes. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as fc from "fast-check"
import { Sim, SimLimit } from "../../core/testing/Sim.ts"
import { ProcessKilled } from "../../core/testing/SimProcess.ts"
import { type SimTimer, SimTimers } from "../../core/testing/SimTimers.ts"

describe("SimTimers", () => {
  it("gives the earliest first and, at the same time, the one that was set first", () => {
    const { main } = new Sim(1)
    fc.assert(fc.property(
      fc.array(fc.oneof(
        { weight: 3, arbitrary: fc.record({ op: fc.constant("add" as const), atMs: fc.integer({ min: 0, max: 20 }) }) },
        { weight: 1, arbitrary: fc.record({ op: fc.constant("remove" as const), index: fc.nat(100) }) },
        { weight: 1, arbitrary: fc.record({ op: fc.constant("take" as const) }) }
      )),
      (operations) => {
        const timers = new SimTimers()
        // The model: a list, sorted when it is asked.
        let model: Array<SimTimer> = []
        const take = (): void => {
          const expected = [...model].sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0]
          expect(timers.first).toBe(expected)
          if (expected === undefined) return
          timers.remove(expected)
          model = model.filter((timer) => timer !== expected)
        }
        for (const operation of operations) {
          if (operation.op === "add") model.push(timers.add(operation.atMs, main, () => {}))
          else if (operation.op === "take") take()
          else if (model.length > 0) {
            const timer = model[operation.index % model.length]!
            timers.remove(timer)
            timers.remove(timer)
            model = model.filter((each) => each !== timer)
          }
          expect(timers.size).toBe(model.length)
        }
        while (model.length > 0) take()
        expect(timers.first).toBeUndefined()
      }
    ))
  })
})

/** Fibers that note what they do in an order that only the scheduler decides. */
const race = (sim: Sim) =>
  Effect.gen(function*() {
    const order: Array<string> = []
    const fibers = yield* Effect.forEach(["a", "b", "c"], (name) =>
      Effect.forkChild(Effect.gen(function*() {
        for (let i = 0; i < 5; i++) {
          order.push(name)
          yield* i % 2 === 0 ? Effect.yieldNow : Effect.sleep((yield* Random.next) * 10)
        }
      })))
    yield* Fiber.joinAll(fibers)
    return `${order.join("")} ${sim.elapsedMs}`
  })

describe("Sim", () => {
  it("does the same with the same seed, and many things with many", async () => {
    const run = async (seed: number): Promise<string> => {
      const sim = new Sim(seed)
      return `${await sim.run(race(sim))} ${sim.trace.hash()}`
    }
    const runs: Array<string> = []
    for (let seed = 0; seed < 50; seed++) {
      runs.push(await run(seed))
      expect(await run(seed)).toBe(runs[seed])
    }
    expect(new Set(runs).size).toBe(50)
  })

  it("passes time only when nothing is ready, straight to the next deadline", async () => {
    const sim = new Sim(1)
    const begin = sim.nowMs
    await sim.run(Effect.gen(function*() {
      yield* Effect.forEach([1, 2, 3], () => Effect.yieldNow)
      expect(sim.nowMs).toBe(begin)
      yield* Effect.sleep("30 days")
      expect(yield* Clock.currentTimeMillis).toBe(begin + 30 * 24 * 3600 * 1000)
    }))
    expect(sim.steps).toBeLessThan(10)
  })

  it("leaves the order of those that wait for the same time to the seed", async () => {
    const orders = new Set<string>()
    for (let seed = 0; seed < 30; seed++) {
      const order: Array<string> = []
      await new Sim(seed).run(Effect.forEach(["a", "b", "c"], (name) =>
        Effect.andThen(Effect.sleep(10), Effect.sync(() => order.push(name))), { concurrency: "unbounded" }))
      orders.add(order.join(""))
    }
    expect(orders.size).toBe(6)
  })

  it("stops a fiber in the middle of what it does", async () => {
    const places = new Set<number>()
    for (let seed = 0; seed < 30; seed++) {
      await new Sim(seed, { preemptEvery: 10 }).run(Effect.gen(function*() {
        let at = 0
        const busy = yield* Effect.forkChild(Effect.forEach(Array.from({ length: 50 }), () => Effect.sync(() => at++), { discard: true }))
        yield* Effect.yieldNow
        places.add(at)
        yield* Fiber.join(busy)
      }))
    }
    expect(places.size).toBeGreaterThan(3)
  })

  it("ends a run that turns without end", async () => {
    await expect(new Sim(1).run(Effect.forever(Effect.yieldNow), { maxSteps: 1000 })).rejects.toThrow(SimLimit)
  })

  it("does not wait for ever for what comes from outside while others go on", async () => {
    const outside = Effect.promise(() => new Promise<void>(() => {}))
    await expect(new Sim(1).run(Effect.raceFirst(outside, Effect.forever(Effect.sleep(1))), { maxSteps: 10_000 })).rejects.toThrow("never comes within a simulation")
  })

  it("fails a run in which a callback throws", async () => {
    const sim = new Sim(1)
    sim.after(5, () => {
      throw new Error("a bug")
    })
    await expect(sim.run(Effect.sleep(10))).rejects.toThrow("a bug")
  })

  it("says what went wrong in the program", async () => {
    await expect(new Sim(1).run(Effect.fail(new Error("expected")))).rejects.toThrow("expected")
  })
})

describe("SimProcess", () => {
  /** Counts on, with what it would do at its end. */
  const counting = (said: Array<string>) =>
    Effect.ensuring(
      Effect.forever(Effect.andThen(Effect.sleep(10), Effect.sync(() => said.push("tick")))),
      Effect.sync(() => said.push("finalizer"))
    )

  it("that is killed runs nothing any more, no finalizers either, and who waits for it is told", async () => {
    for (let seed = 0; seed < 10; seed++) {
      const sim = new Sim(seed)
      await sim.run(Effect.gen(function*() {
        const owner = sim.process("p")
        const said: Array<string> = []
        const waiting = yield* Effect.forkChild(Effect.flip(owner.run(counting(said))))
        yield* Effect.sleep(35)
        owner.kill()
        expect(said).toEqual(["tick", "tick", "tick"])
        yield* Effect.sleep(1000)
        expect(said).toEqual(["tick", "tick", "tick"])
        expect(yield* Fiber.join(waiting)).toBeInstanceOf(ProcessKilled)
        expect(yield* Effect.flip(owner.run(Effect.void))).toBeInstanceOf(ProcessKilled)
      }))
    }
  })

  it("that is paused goes on where it was, later", async () => {
    const sim = new Sim(1)
    await sim.run(Effect.gen(function*() {
      const owner = sim.process("p")
      const said: Array<string> = []
      yield* Effect.forkChild(owner.run(counting(said)))
      yield* Effect.sleep(15)
      owner.pause()
      yield* Effect.sleep(1000)
      expect(said).toEqual(["tick"])
      owner.resume()
      yield* Effect.sleep(15)
      expect(said).toEqual(["tick", "tick", "tick"])
    }))
  })

  it("whose effect is interrupted from outside runs its finalizers", async () => {
    const sim = new Sim(1)
    await sim.run(Effect.gen(function*() {
      const said: Array<string> = []
      const waiting = yield* Effect.forkChild(sim.process("p").run(counting(said)))
      yield* Effect.sleep(15)
      yield* Fiber.interrupt(waiting)
      yield* Effect.sleep(15)
      expect(said).toEqual(["tick", "finalizer"])
    }))
  })

  it("reads a clock that is wrong by its skew, and sleeps as long as others", async () => {
    const sim = new Sim(1)
    await sim.run(Effect.gen(function*() {
      const owner = sim.process("p")
      owner.skewMs = -3_600_000
      const begin = sim.nowMs
      const read = yield* owner.run(Effect.andThen(Effect.sleep(100), Clock.currentTimeMillis))
      expect([read, sim.nowMs]).toEqual([begin + 100 - 3_600_000, begin + 100])
    }))
  })
})
