import { describe, expect, it } from "vitest"
import { crashRun, PRODUCERS, RECORDS_PER_PRODUCER } from "./CrashRun.ts"

describe("The production broker under a seeded scheduler and a virtual clock", () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(`loses and repeats nothing it acknowledged, through ${seed % 2 === 1 ? "machine" : "process"} crashes (seed ${seed})`, async () => {
      const run = await crashRun(seed)
      expect(run.acknowledged).toBe(PRODUCERS * RECORDS_PER_PRODUCER)
      expect(run.crashes).toBeGreaterThan(0)
    })
  }

  it("runs the same way for the same seed, and another way for another", async () => {
    const [first, again, other] = [await crashRun(3), await crashRun(3), await crashRun(5)]
    expect(again.trace).toEqual(first.trace)
    expect(again.steps).toBe(first.steps)
    expect(other.hash).not.toBe(first.hash)
  })
})
