import { describe, expect, it } from "vitest"
import { parseOffsetReset, resetTimestamp } from "../../core/client/OffsetReset.ts"

const HOUR_MS = 3_600_000
const timestampOf = (value: string, nowMs: number): number | undefined => resetTimestamp(parseOffsetReset(value)!, nowMs)

describe("auto.offset.reset", () => {
  it("is a time before now, the end, the beginning or nothing", () => {
    expect(timestampOf("latest", 5)).toBe(-1)
    expect(timestampOf("earliest", 5)).toBe(-2)
    expect(timestampOf("none", 5)).toBeUndefined()
    expect(timestampOf("by_duration:PT1H", 10 * HOUR_MS)).toBe(9 * HOUR_MS)
    expect(timestampOf("by_duration:P1DT2H0.5S", 100 * HOUR_MS)).toBe(74 * HOUR_MS - 500)
    expect(timestampOf("by_duration:pt0s", 7)).toBe(7)
    expect(timestampOf("by_duration:PT0.0001S", 7)).toBe(6)
    // There is nothing before 1970.
    expect(timestampOf("by_duration:P1000000D", 5)).toBe(0)
  })

  it("is nothing else", () => {
    for (const wrong of ["", "LATEST", "by_duration", "by_duration:", "by_duration:PT", "by_duration:1h", "by_duration:-PT1H", "by_duration:PT-1H", 5, undefined]) {
      expect(parseOffsetReset(wrong), String(wrong)).toBeUndefined()
    }
  })
})
