/** Drives a process of each runtime: a scenario with all its faults does the same on all of them. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const script = fileURLToPath(new URL("./SimulationMain.ts", import.meta.url))
const SEEDS = ["1", "2", "3"]

const linesOn = (command: string, ...args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, [...args, script, ...SEEDS], { encoding: "utf8" })
  expect(error).toBeUndefined()
  expect({ status, stderr }).toMatchObject({ status: 0 })
  return stdout.split("\n").filter((line) => /^\d+ [0-9a-f]{16} passed$/.test(line)).join("\n")
}

describe("A simulation", () => {
  it("has the same trace hash for the same seed on Node, Bun and Deno", () => {
    const onNode = linesOn("node")
    expect(onNode.split("\n")).toHaveLength(SEEDS.length)
    expect(linesOn("bun")).toBe(onNode)
    expect(linesOn("deno", "run", "--allow-all")).toBe(onNode)
  })
})
