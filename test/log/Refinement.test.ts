/**
 * Longer runs: LOG_SEEDS=1000 (how many) and LOG_FIRST_SEED=1 (from which on).
 */
import process from "node:process"
import { describe, expect, test } from "vitest"
import { LogModel } from "./LogModel.ts"
import { crypto, text } from "./TestLog.ts"

const DEFAULT_SEEDS = 24
const SEEDS = Number(process.env["LOG_SEEDS"] ?? DEFAULT_SEEDS)
const FIRST_SEED = Number(process.env["LOG_FIRST_SEED"] ?? 1)
const STEPS = 80

const run = async (seed: number): Promise<string> => {
  const model = new LogModel(seed)
  try {
    await model.setUp()
    for (let i = 0; i < STEPS; i++) {
      await model.step()
      if (i % 10 === 9) model.check()
    }
    model.check()
  } catch (error) {
    const trace = model.trace.slice(-25).join("\n")
    throw new Error(`seed ${seed}:\n${trace}\n${error instanceof Error ? error.stack : error}`, { cause: error })
  }
  return model.trace.join("\n")
}

describe("a log refines a list of batches", () => {
  test(`under ${SEEDS} seeded sequences of ${STEPS} operations and crashes`, { timeout: 3_600_000 }, async () => {
    let crc = 0
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) crc = crypto.crc32c(text(await run(seed)), crc)
    // The same on every runtime. What changes the operations, or what a log answers, changes it.
    if (SEEDS === DEFAULT_SEEDS && FIRST_SEED === 1) expect(crc.toString(16)).toBe("7eec4bb4")
  })
})
