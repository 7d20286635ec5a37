/** Whom a lock's file takes for its holder, where only the file says it. */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { afterEach, beforeEach, expect, it } from "vitest"
import { lockFile } from "../../../adapters/shared/DiskLock.ts"
import { noLibc } from "../../../adapters/shared/Libc.ts"

let directory: string
let path: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ottla-lock-"))
  path = join(directory, ".lock")
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const lock = (): Promise<void> => Effect.runPromise(Effect.scoped(lockFile(noLibc, path)))

/** The line that a process leaves in the file of a lock that it holds. */
const lineOf = (pid: number): string => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  return `${pid} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}\n`
}

it.runIf(process.platform === "linux")("a process that was killed holds nothing, though its parent has not taken note of it", async () => {
  // The shell becomes a sleep, which never asks how the child ended that the shell had.
  const parent = spawn("sh", ["-c", "sleep 100 & echo $!; exec sleep 100"])
  try {
    const child = Number(await new Promise<string>((done) => parent.stdout.once("data", (bytes: Buffer) => done(bytes.toString()))))
    const line = lineOf(child)
    writeFileSync(path, line)
    await expect(lock()).rejects.toThrow(`held by process ${child}`)
    // While it is still the shell it may ask after all.
    await expect.poll(() => readFileSync(`/proc/${parent.pid}/comm`, "utf8"), { timeout: 30_000 }).toBe("sleep\n")
    process.kill(child, "SIGKILL")
    const state = (): string => /\) (\S)/.exec(readFileSync(`/proc/${child}/stat`, "utf8"))![1]!
    await expect.poll(state, { timeout: 30_000 }).toBe("Z")
    writeFileSync(path, line)
    await lock()
    expect(readFileSync(path, "utf8")).toBe("")
  } finally {
    parent.kill("SIGKILL")
  }
})
