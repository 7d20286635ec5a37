/** The programs of docs/embedding.md, as they stand there, on the runtime that the tests run on. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterEach, beforeEach, expect, it, vi } from "vitest"

const root = resolve(import.meta.dirname, "../..")
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"

const programs = Array.from(
  readFileSync(join(root, "docs/embedding.md"), "utf8").matchAll(/^```ts\n([^]*?)^```$/gm),
  ([, program]) => program!
)

/** Entries of the package, as package.json has them, before the build. */
const entries: Readonly<Record<string, string>> = {
  ottla: "core/index.ts",
  "ottla/memory": "core/memory/index.ts",
  "ottla/node": `adapters/${runtime}/index.ts`
}

let directory: string
let data: string
beforeEach(() => {
  // in the repository, so that dependencies are found
  directory = mkdtempSync(join(import.meta.dirname, ".program-"))
  data = mkdtempSync(join(tmpdir(), "ottla-embedding-"))
})
afterEach(() => {
  vi.restoreAllMocks()
  for (const path of [directory, data]) rmSync(path, { recursive: true, force: true })
})

/** Runs a program to its end. @returns what it printed, without the broker's own lines */
const run = async (program: string): Promise<ReadonlyArray<string>> => {
  const file = join(directory, "Program.ts")
  writeFileSync(file, program.replaceAll('"./data"', JSON.stringify(data)).replace(/from "(ottla[^"]*)"/g, (_, entry: string) => {
    const path = entries[entry]
    if (path === undefined) throw new Error(`the document imports ${entry}, which is no entry`)
    return `from ${JSON.stringify(join(root, path))}`
  }))
  const lines: Array<string> = []
  vi.spyOn(console, "log").mockImplementation((line: unknown) => void lines.push(String(line)))
  await import(/* @vite-ignore */ file)
  return lines
}

it("a broker on disk takes a record of a Kafka client", async () => {
  expect(programs.length).toBe(3)
  const lines = await run(programs[0]!)
  expect(lines.at(-1)).toBe("stopped")
  expect(readFileSync(join(data, "greetings-0/00000000000000000000.log"), "latin1")).toContain("hello")
})

it("several brokers are one cluster, of which one is killed and returns", async () => {
  expect(await run(programs[2]!)).toEqual(["1 running,2 killed,3 running", "1 running,2 running,3 running"])
})

it("a broker in memory answers in memory", async () => {
  const lines = await run(programs[1]!)
  expect(lines.at(-1)).toMatch(/^broker 1 serves [1-9][0-9]* APIs$/)
})
