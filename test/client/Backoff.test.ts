import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { backoffMs } from "../../core/client/Backoff.ts"

const policy = fc.record({ initialMs: fc.integer({ min: 0, max: 100_000 }), maxMs: fc.integer({ min: 0, max: 100_000 }) })
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe("Backoff", () => {
  it("is within 20 % of the doubled pause and never above its maximum", () => {
    fc.assert(fc.property(policy, fc.integer({ min: 1, max: 1000 }), random, ({ initialMs, maxMs }, failures, random) => {
      const pause = backoffMs({ initialMs, maxMs }, failures, random)
      expect(Number.isSafeInteger(pause)).toBe(true)
      expect(pause).toBeLessThanOrEqual(maxMs)
      if (maxMs <= initialMs) expect(pause).toBe(maxMs)
      const exact = Math.min(initialMs * 2 ** (failures - 1), maxMs)
      expect(pause).toBeGreaterThanOrEqual(Math.floor(exact * 0.8))
      expect(pause).toBeLessThanOrEqual(Math.min(exact * 1.2, maxMs))
    }))
  })

  it("spreads clients also at the maximum", () => {
    const pauses = [0, 0.1, 0.2, 0.3, 0.4].map((random) => backoffMs({ initialMs: 100, maxMs: 1000 }, 50, random))
    expect(pauses).toEqual([800, 840, 880, 920, 960])
  })
})
