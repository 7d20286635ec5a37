/** Command lines of `ottla` on one runtime, run to their end or until they have printed enough. */
import { spawn } from "node:child_process"
import { ottlaCommand, type Runtime } from "../../scripts/peers/Ottla.ts"
import { PeerError, repository, run, type RunResult } from "../../scripts/peers/Processes.ts"

/** Of one command, in ms; much more than any needs. */
const TIMEOUT_MS = 60_000

export interface Shell {
  readonly runtime: Runtime
  /** `kafka-topics --list …` and what it reads. */
  readonly run: (line: ReadonlyArray<string>, input?: string) => Promise<RunResult>
  /** Runs until standard output holds what is waited for, then sends Ctrl-C. */
  readonly interrupt: (line: ReadonlyArray<string>, until: (stdout: string) => boolean) => Promise<RunResult>
  /** Runs until `act` is done, then sends Ctrl-C. */
  readonly during: (line: ReadonlyArray<string>, act: () => Promise<void>) => Promise<RunResult>
}

/** What runs while others do their work may take as long as all of that, in ms. */
const LONG_MS = 20 * 60_000

/** A process that Ctrl-C ends, and what it has printed. */
const background = (runtime: Runtime, line: ReadonlyArray<string>, timeoutMs: number) => {
  const [program, ...args] = ottlaCommand(runtime)
  const child = spawn(program, [...args, ...line], { cwd: repository, stdio: ["ignore", "pipe", "pipe"] })
  const begin = performance.now()
  let [stdout, stderr] = ["", ""]
  const watchers = new Set<() => void>()
  child.stdout.on("data", (bytes: Buffer) => {
    stdout += bytes.toString()
    for (const watcher of watchers) watcher()
  })
  child.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()))
  // a script that ends early leaves nothing running
  const kill = (): void => void child.kill("SIGKILL")
  process.once("exit", kill)
  let late = false
  const timer = setTimeout(() => {
    late = true
    kill()
  }, timeoutMs)
  const ended = new Promise<RunResult>((resolve, reject) => {
    child.on("error", (error) => reject(new PeerError(`cannot run ${program}: ${error.message}`)))
    child.on("close", (code) => {
      clearTimeout(timer)
      process.off("exit", kill)
      for (const watcher of watchers) watcher()
      const told = late ? `${stderr}\n(ended after ${timeoutMs} ms)` : stderr
      resolve({ code: code ?? -1, stdout, stderr: told, seconds: (performance.now() - begin) / 1000 })
    })
  })
  return { child, ended, watchers, printed: () => stdout }
}

export const shell = (runtime: Runtime): Shell => {
  const [program, ...args] = ottlaCommand(runtime)
  return {
    runtime,
    run: (line, input) =>
      run(program, [...args, ...line], { cwd: repository, timeoutMs: TIMEOUT_MS, ...(input === undefined ? {} : { input }) }),
    interrupt: async (line, until) => {
      const { child, ended, printed, watchers } = background(runtime, line, TIMEOUT_MS)
      await new Promise<void>((resolve) => {
        watchers.add(() => {
          if (until(printed()) || child.exitCode !== null) resolve()
        })
      })
      child.kill("SIGINT")
      return ended
    },
    during: async (line, act) => {
      const { child, ended } = background(runtime, line, LONG_MS)
      try {
        await act()
      } finally {
        child.kill("SIGINT")
      }
      return ended
    }
  }
}
