/** Drives a process of each runtime: the same seed is the same run on all of them. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const script = fileURLToPath(new URL("./CrashRunMain.ts", import.meta.url))
const SEEDS = ["1", "2", "3", "4"]

const hashesOn = (command: string, ...args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, [...args, script, ...SEEDS], { encoding: "utf8" })
  expect(error).toBeUndefined()
  expect({ status, stderr }).toMatchObject({ status: 0 })
  return stdout.split("\n").filter((line) => /^\d+ [0-9a-f]{8}$/.test(line)).join("\n")
}

describe("A seeded run", () => {
  it("is the same on Node, Bun and Deno", () => {
    const onNode = hashesOn("node")
    expect(onNode.split("\n")).toHaveLength(SEEDS.length)
    expect(hashesOn("bun")).toBe(onNode)
    expect(hashesOn("deno", "run", "--allow-all")).toBe(onNode)
  })
})
