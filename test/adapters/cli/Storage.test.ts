import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { storage } from "../../../adapters/cli/Storage.ts"

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ottla-storage-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

it("ids are 16 random bytes that no command line takes for a flag", () => {
  const ids = Array.from({ length: 200 }, () => storage(["random-uuid"]).trimEnd())
  expect(new Set(ids).size).toBe(200)
  for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/)
})

it("directories are formatted once, and belong to their cluster", () => {
  const [a, b] = [join(directory, "a"), join(directory, "b")]
  const file = join(directory, "server.properties")
  writeFileSync(file, `process.roles=broker,controller\nnode.id=7\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs=${a},${b}\n`)
  const id = storage(["random-uuid"]).trimEnd()
  expect(storage(["format", "--standalone", "-t", id, "-c", file])).toBe(
    `Formatting dynamic metadata voter directory ${a} with metadata.version 4.3-IV0.\nFormatting data directory ${b} with metadata.version 4.3-IV0.\n`
  )
  const meta = readFileSync(join(b, "meta.properties"), "utf8")
  expect(meta).toMatch(new RegExp(`^node.id=7\ndirectory.id=[A-Za-z0-9_-]{22}\nversion=1\ncluster.id=${id}\n$`))
  expect(() => storage(["format", "-t", id, "-c", file])).toThrow(`Log directory ${a} is already formatted. Use --ignore-formatted`)
  expect(storage(["format", "-t", id, "-c", file, "--ignore-formatted"])).toBe("All of the log directories are already formatted.\n")
  expect(() => storage(["format", "-t", "another", "-c", file, "-g"])).toThrow(`Expected another, but read ${id}`)
  expect(readFileSync(join(b, "meta.properties"), "utf8")).toBe(meta)
})

it("what is missing or wrong is named, and nothing is made", () => {
  const file = join(directory, "wrong.properties")
  writeFileSync(file, `num.partitions=many\nlog.dirs=${join(directory, "never")}\n`)
  expect(() => storage(["format", "-t", "x"])).toThrow("--config/-c is required")
  expect(() => storage(["format", "-c", file])).toThrow("--cluster-id/-t is required")
  expect(() => storage(["format", "-t", "x", "-c", file])).toThrow("num.partitions")
  expect(() => storage(["formt"])).toThrow(`not "formt"`)
  expect(() => storage(["format", "--foo"])).toThrow("--foo")
  expect(existsSync(join(directory, "never"))).toBe(false)
})
