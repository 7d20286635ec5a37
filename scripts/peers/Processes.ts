/**
 * Child processes, temporary directories and free ports for the scripts that drive real peers.
 *
 * Whatever was started or made through this file is ended and removed when the script ends, also when it is
 * interrupted: nothing is left running on the machine.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"

/** A peer is missing or failed: its message says what to do, a stack would not help. */
export class PeerError extends Error {
  readonly _tag = "PeerError"
}

/** The repository's root, for paths of main files and documents. */
export const repository: string = new URL("../..", import.meta.url).pathname.replace(/\/$/, "")

const children = new Set<ChildProcess>()
const directories = new Set<string>()
let watching = false

const cleanUp = (): void => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
  for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  children.clear()
  directories.clear()
}

const watchForTheEnd = (): void => {
  if (watching) return
  watching = true
  process.on("exit", cleanUp)
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130))
}

/** Where fetched and built peers stay between runs: `$OTTLA_PEERS`, or a directory in the user's cache. */
export const cacheDirectory = (...names: ReadonlyArray<string>): string => {
  const base = process.env["OTTLA_PEERS"] ??
    join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "ottla-peers")
  const path = join(base, ...names)
  mkdirSync(path, { recursive: true })
  return path
}

/** A new directory under the system's temporary one, removed at the end. */
export const temporaryDirectory = (prefix: string): string => {
  watchForTheEnd()
  const path = mkdtempSync(join(process.env["OTTLA_TMP"] ?? tmpdir(), `ottla-${prefix}-`))
  directories.add(path)
  return path
}

/** Removes a directory of `temporaryDirectory` before the end. */
export const removeDirectory = (path: string): void => {
  rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  directories.delete(path)
}

/** A port that was free a moment ago; who binds it must be ready to lose the race. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => address !== null && typeof address === "object" ? resolve(address.port) : reject(new PeerError("no port")))
    })
  })

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Does something with each item, so many of them at a time and begun in their order. The first error ends it. */
export const eachAtOnce = async <A>(atOnce: number, items: Iterable<A>, work: (item: A) => Promise<void>): Promise<void> => {
  const rest = items[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** Polls until `condition` gives something else than undefined. @throws PeerError after `timeoutMs` */
export const waitFor = async <A>(
  what: string,
  timeoutMs: number,
  condition: () => Promise<A | undefined> | A | undefined
): Promise<A> => {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value !== undefined) return value
    if (performance.now() > deadline) throw new PeerError(`${what}: not within ${timeoutMs / 1000} s`)
    await sleep(20)
  }
}

export interface RunOptions {
  /** Text or bytes for standard input; closed at once when left out. */
  readonly input?: string | Uint8Array
  /** A file that standard input is read from. */
  readonly inputFile?: string
  /** A file that standard output goes to; `stdout` is empty then. */
  readonly outputFile?: string
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface RunResult {
  /** -1 when it was ended by a signal (a timeout, too). */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly seconds: number
}

/** Runs a program to its end. Does not throw for an exit code; does when it cannot be started. */
export const run = (command: string, args: ReadonlyArray<string>, options: RunOptions = {}): Promise<RunResult> => {
  watchForTheEnd()
  const begin = performance.now()
  return new Promise((resolve, reject) => {
    const stdin = options.inputFile === undefined ? "pipe" : openSync(options.inputFile, "r")
    const output = options.outputFile === undefined ? "pipe" : openSync(options.outputFile, "w")
    const child = spawn(command, args, {
      stdio: [stdin, output, "pipe"],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd })
    })
    children.add(child)
    const out: Array<Buffer> = []
    const err: Array<Buffer> = []
    child.stdout?.on("data", (bytes: Buffer) => out.push(bytes))
    child.stderr?.on("data", (bytes: Buffer) => err.push(bytes))
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill("SIGKILL")
    }, options.timeoutMs ?? 120_000)
    child.on("error", (error) => {
      clearTimeout(timer)
      children.delete(child)
      reject(new PeerError(`cannot run ${command}: ${error.message}`))
    })
    child.on("close", (code) => {
      clearTimeout(timer)
      children.delete(child)
      resolve({
        code: code ?? -1,
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString() + (late ? `\n(ended after ${options.timeoutMs ?? 120_000} ms)` : ""),
        seconds: (performance.now() - begin) / 1000
      })
    })
    if (child.stdin !== null) {
      child.stdin.on("error", () => undefined) // it may end without reading all
      child.stdin.end(options.input ?? "")
    }
  })
}

/** As `run`, and an exit code other than 0 is a PeerError that carries what was printed. */
export const runOrThrow = async (
  command: string,
  args: ReadonlyArray<string>,
  options: RunOptions = {}
): Promise<RunResult> => {
  const result = await run(command, args, options)
  if (result.code !== 0) {
    const said = `${result.stdout.slice(-2000)}\n${result.stderr.slice(-4000)}`.trim()
    throw new PeerError(`${command} ${args.join(" ").slice(0, 300)}: exit code ${result.code}\n${said}`)
  }
  return result
}

/** Whether a program of that name is on the path. */
export const isInstalled = (command: string): boolean => {
  try {
    execFileSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** A running broker: ours or Apache Kafka's. Signals go to the broker's own process. */
export interface Peer {
  readonly name: string
  readonly host: string
  readonly port: number
  /** `host:port` for `--bootstrap-server` and the like. */
  readonly bootstrap: string
  readonly pid: number
  /** The directory that holds the partitions; stays after `stop` and `kill` until the script ends. */
  readonly dataDirectory: string
  /** Milliseconds from the start of the process to the line or answer that said it was ready. */
  readonly readyMs: number
  /** SIGTERM, and the exit code once it has ended. @throws PeerError when it does not end within a minute */
  stop(): Promise<number>
  /** SIGKILL; done when the process is gone. */
  kill(): Promise<void>
  /** Whether the process is still there. */
  alive(): boolean
  /** What it printed, its end only when it was much. */
  log(): string
}

export interface Server {
  readonly child: ChildProcess
  readonly pid: number
  readonly ended: Promise<number>
  readonly log: () => string
  readonly stop: () => Promise<number>
  readonly kill: () => Promise<void>
  readonly alive: () => boolean
}

/** Starts a process that keeps running; what it prints goes to `logFile`. */
export const serve = (
  command: string,
  args: ReadonlyArray<string>,
  logFile: string,
  env: Readonly<Record<string, string>> = {},
  cwd: string = repository
): Server => {
  watchForTheEnd()
  const output = openSync(logFile, "a")
  const child = spawn(command, args, { stdio: ["ignore", output, output], env: { ...process.env, ...env }, cwd })
  children.add(child)
  const ended = new Promise<number>((resolve) => {
    child.on("error", () => resolve(-1))
    child.on("exit", (code) => {
      children.delete(child)
      resolve(code ?? -1)
    })
  })
  const alive = (): boolean => child.pid !== undefined && child.exitCode === null && child.signalCode === null
  const kill = async (): Promise<void> => {
    if (alive()) child.kill("SIGKILL")
    await ended
  }
  return {
    child,
    pid: child.pid ?? -1,
    ended,
    log: () => existsSync(logFile) ? readFileSync(logFile, "utf8").slice(-20_000) : "",
    alive,
    kill,
    stop: async () => {
      if (alive()) child.kill("SIGTERM")
      const code = await Promise.race([ended, sleep(60_000).then(() => undefined)])
      if (code !== undefined) return code
      await kill()
      throw new PeerError(`process ${child.pid} did not end within a minute of SIGTERM`)
    }
  }
}
