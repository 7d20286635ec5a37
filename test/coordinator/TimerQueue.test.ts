import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Timer, TimerQueue } from "../../core/coordinator/TimerQueue.ts"

const TIMERS = 6

type Move =
  | { readonly kind: "set"; readonly timer: number; readonly inMs: number }
  | { readonly kind: "cancel"; readonly timer: number }
  | { readonly kind: "pass"; readonly ms: number }

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), timer: fc.nat(TIMERS - 1), inMs: fc.nat(100) }),
  fc.record({ kind: fc.constant("cancel" as const), timer: fc.nat(TIMERS - 1) }),
  fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(60) })
)

describe("TimerQueue", () => {
  it("gives what is due when it is due, once, as a list of times would", () => {
    fc.assert(fc.property(fc.array(move, { maxLength: 60, size: "max" }), (moves) => {
      const queue = new TimerQueue<number>()
      const timers = Array.from({ length: TIMERS }, (_, i) => new Timer(i))
      const due = new Map<number, number>()
      let nowMs = 0
      for (const step of moves) {
        if (step.kind === "set") {
          queue.set(timers[step.timer]!, nowMs + step.inMs)
          due.set(step.timer, nowMs + step.inMs)
        } else if (step.kind === "cancel") {
          queue.cancel(timers[step.timer]!)
          due.delete(step.timer)
        } else nowMs += step.ms
        // It may ask to be looked at early, never late.
        expect(queue.nextMs).toBeLessThanOrEqual(Math.min(Infinity, ...due.values()))
        const taken: Array<number> = []
        for (let timer = queue.take(nowMs); timer !== undefined; timer = queue.take(nowMs)) taken.push(timer.event)
        const expected = [...due].filter(([, dueMs]) => dueMs <= nowMs).map(([timer]) => timer)
        expect(taken.sort()).toEqual(expected.sort())
        for (const timer of expected) due.delete(timer)
        expect(queue.size).toBe(due.size)
      }
    }))
  })

  it("gives timers in the order of their times", () => {
    const queue = new TimerQueue<string>()
    const make = (name: string, dueMs: number) => queue.set(new Timer(name), dueMs)
    make("c", 30)
    make("a", 10)
    make("b", 20)
    const names: Array<string> = []
    for (let timer = queue.take(100); timer !== undefined; timer = queue.take(100)) names.push(timer.event)
    expect(names).toEqual(["a", "b", "c"])
    expect(queue.nextMs).toBe(Infinity)
  })
})
