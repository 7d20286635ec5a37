import { beforeAll, describe, expect, it } from "vitest"
import { fuzz, loadTargets, type Target } from "./Fuzzer.ts"

let targets: ReadonlyArray<Target>
beforeAll(async () => {
  targets = await loadTargets()
})

describe("decoders of mutated bytes", () => {
  it("have all vectors and frames to start from", () => {
    expect(targets.length).toBe(2614 + 145 + 128)
  })

  // A failure prints its seed and input; `fuzz(targets, seed, inputs)` repeats it.
  for (const seed of [1, 2, 3, 4]) {
    it(`answer with a value or a ProtocolError and stay in proportion to the input, seed ${seed}`, () => {
      const report = fuzz(targets, seed, 10_000)
      // A fuzzer whose inputs are all refused at once, or hardly ever, tests nothing.
      expect(report.decoded).toBeGreaterThan(1000)
      expect(report.refused).toBeGreaterThan(1000)
    }, 60_000)
  }
})
