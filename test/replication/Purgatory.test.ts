import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as TestClock from "effect/testing/TestClock"
import { monotonicMs } from "../../core/model/Time.ts"
import { DelayedOperation, Purgatory, Watchers } from "../../core/replication/Purgatory.ts"

class Operation extends DelayedOperation {
  readonly log: Array<string>
  readonly name: string
  isReady = false
  constructor(name: string, timeoutMs: number, log: Array<string>) {
    super(timeoutMs)
    this.name = name
    this.log = log
  }
  override tryComplete(): boolean {
    if (this.isReady) this.log.push(`${this.name} completed`)
    return this.isReady
  }
  override expire(): void {
    this.log.push(`${this.name} expired`)
  }
}

const makePurgatory = (maxOperations?: number) =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const fork = yield* FiberSet.makeRuntime<never>()
    return new Purgatory({ monotonicMs: () => monotonicMs(clock), fork }, maxOperations)
  })

describe("Purgatory", () => {
  it.effect("expires operations after their timeouts, in order, whatever order they came in", () =>
    Effect.gen(function*() {
      const purgatory = yield* makePurgatory()
      const log: Array<string> = []
      const watchers = new Watchers(purgatory)
      for (const [name, timeoutMs] of [["c", 300], ["a", 100], ["b", 200], ["b2", 200]] as const) {
        expect(purgatory.watch(new Operation(name, timeoutMs, log), [watchers])).toBe(true)
      }
      yield* TestClock.adjust(99)
      expect(log).toEqual([])
      yield* TestClock.adjust(1)
      expect(log).toEqual(["a expired"])
      yield* TestClock.adjust(100)
      expect(log).toEqual(["a expired", "b expired", "b2 expired"])
      yield* TestClock.adjust(1000)
      expect(log.at(-1)).toBe("c expired")
      expect(purgatory.size).toBe(0)
      expect(watchers.operations.size).toBe(0)
    }))

  it.effect("completes an operation once, and never after it left", () =>
    Effect.gen(function*() {
      const purgatory = yield* makePurgatory()
      const log: Array<string> = []
      const [one, other] = [new Watchers(purgatory), new Watchers(purgatory)]
      const operation = new Operation("a", 100, log)
      purgatory.watch(operation, [one, other])
      one.check()
      expect(log).toEqual([])
      operation.isReady = true
      other.check()
      one.check()
      yield* TestClock.adjust(1000)
      expect(log).toEqual(["a completed"])
      expect(one.operations.size + other.operations.size).toBe(0)
    }))

  it.effect("leaves nothing behind of an operation that was cancelled", () =>
    Effect.gen(function*() {
      const purgatory = yield* makePurgatory()
      const log: Array<string> = []
      const watchers = new Watchers(purgatory)
      const operations = Array.from({ length: 100 }, (_, i) => new Operation(`o${i}`, 100 + (i * 37) % 100, log))
      for (const operation of operations) purgatory.watch(operation, [watchers])
      for (const operation of operations) purgatory.remove(operation)
      purgatory.remove(operations[0]!)
      expect(purgatory.size).toBe(0)
      expect(watchers.operations.size).toBe(0)
      yield* TestClock.adjust(1000)
      expect(log).toEqual([])
    }))

  it.effect("takes no operation beyond its limit, nor one that has no time to wait", () =>
    Effect.gen(function*() {
      const purgatory = yield* makePurgatory(1)
      const watchers = new Watchers(purgatory)
      expect(purgatory.watch(new Operation("late", 0, []), [watchers])).toBe(false)
      expect(purgatory.watch(new Operation("a", 10, []), [watchers])).toBe(true)
      expect(purgatory.watch(new Operation("b", 10, []), [watchers])).toBe(false)
      expect(watchers.operations.size).toBe(1)
    }))

  it.effect("expires all that waits when it closes", () =>
    Effect.gen(function*() {
      const purgatory = yield* makePurgatory()
      const log: Array<string> = []
      purgatory.watch(new Operation("a", 10, log), [new Watchers(purgatory)])
      purgatory.close()
      expect(log).toEqual(["a expired"])
      expect(purgatory.watch(new Operation("b", 10, log), [])).toBe(false)
    }))
})
