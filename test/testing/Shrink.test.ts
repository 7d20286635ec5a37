import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { shrink } from "../../core/testing/Shrink.ts"

describe("shrink", () => {
  it("finds exactly the items that the failure needs, in their order", () => {
    fc.assert(fc.property(fc.uniqueArray(fc.nat(1000), { maxLength: 60 }), fc.array(fc.nat(), { maxLength: 4 }), (items, picks) => {
      const needed = new Set(items.length === 0 ? [] : picks.map((pick) => items[pick % items.length]!))
      const result = Effect.runSync(shrink(items, (left) => Effect.succeed([...needed].every((one) => left.includes(one))), 10_000))
      expect(result.items).toEqual(items.filter((item) => needed.has(item)))
      expect(result.isMinimal).toBe(true)
    }))
  })

  it("is minimal for a failure that has several causes, too: no single item can go", () => {
    fc.assert(fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 60 }), (items, least) => {
      const fails = (left: ReadonlyArray<number>): boolean => left.reduce((sum, one) => sum + one, 0) >= least
      fc.pre(fails(items))
      const { items: left } = Effect.runSync(shrink(items, (some) => Effect.succeed(fails(some)), 10_000))
      expect(fails(left)).toBe(true)
      for (const at of left.keys()) expect(fails(left.toSpliced(at, 1))).toBe(false)
    }))
  })

  it("gives what it has when its runs are used up", () => {
    const items = Array.from({ length: 64 }, (_, at) => at)
    const { isMinimal, items: left, runs } = Effect.runSync(shrink(items, (some) => Effect.succeed(some.includes(7) && some.includes(50)), 6))
    expect(isMinimal).toBe(false)
    expect(runs).toBe(6)
    expect(left.length).toBeLessThan(64)
    expect(left).toEqual(expect.arrayContaining([7, 50]))
  })
})
