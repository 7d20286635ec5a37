/** Drives a process of each runtime: a whole cluster under one seed, and a whole scenario of `npm run simulate`, does the same on all of them. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const script = fileURLToPath(new URL("./SimStoryMain.ts", import.meta.url))
const SEEDS = ["1", "2", "3", "4", "s1", "s2"]

const hashesOn = (command: string, ...args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, [...args, script, ...SEEDS], { encoding: "utf8" })
  expect(error).toBeUndefined()
  expect({ status, stderr }).toMatchObject({ status: 0 })
  return stdout.split("\n").filter((line) => /^s?\d+ [0-9a-f]{16}$/.test(line)).join("\n")
}

describe("A simulated cluster", () => {
  it("has the same trace hash for the same seed on Node, Bun and Deno", () => {
    const onNode = hashesOn("node")
    expect(onNode.split("\n")).toHaveLength(SEEDS.length)
    expect(hashesOn("bun")).toBe(onNode)
    expect(hashesOn("deno", "run", "--allow-all")).toBe(onNode)
  })
})
