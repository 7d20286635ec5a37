/**
 * Our broker as a peer: one process of the main file of a runtime, on a free port, in a directory of its own.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { type Peer, PeerError, repository, serve, temporaryDirectory, waitFor } from "./Processes.ts"

export type Runtime = "node" | "bun" | "deno"
export const runtimes: ReadonlyArray<Runtime> = ["node", "bun", "deno"]

/** `all`, or names with commas between. @throws PeerError for any other name */
export const parseRuntimes = (text: string): ReadonlyArray<Runtime> =>
  text === "all" ? runtimes : text.split(",").map((name) => {
    const runtime = runtimes.find((one) => one === name)
    if (runtime === undefined) throw new PeerError(`${name}: not a runtime; node, bun, deno or all`)
    return runtime
  })

export interface OttlaOptions {
  readonly runtime?: Runtime
  /** Kept from an earlier broker; a new one when missing. */
  readonly dataDirectory?: string
  /** The program of the npm package in dist/ (`npm run build`) instead of the checkout's sources. */
  readonly packaged?: boolean
  /** `key=value` each. */
  readonly overrides?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** A port instead of a free one. */
  readonly port?: number
}

const commands: Readonly<Record<Runtime, readonly [string, ...Array<string>]>> = {
  node: ["node", "adapters/node/start.js"],
  bun: ["bun", "adapters/bun/main.ts"],
  deno: ["deno", "run", "--allow-all", "adapters/deno/main.ts"]
}

/**
 * The binary itself, not the script that npm puts in `.bin`: a signal must reach the broker, and a launcher that is
 * killed would leave it running.
 */
const binary = (runtime: Runtime): string => {
  const candidates: Readonly<Record<Runtime, ReadonlyArray<string>>> = {
    node: [process.versions["bun"] === undefined && !("Deno" in globalThis) ? process.execPath : "node"],
    bun: ["node_modules/bun/bin/bun.exe", "node_modules/bun/bin/bun", "node_modules/.bin/bun"],
    deno: [
      ...["linux-x64-glibc", "linux-arm64-glibc", "darwin-arm64", "darwin-x64"].map((p) => `node_modules/@deno/${p}/deno`),
      "node_modules/deno/deno",
      "node_modules/.bin/deno"
    ]
  }
  for (const candidate of candidates[runtime]) {
    const path = candidate.startsWith("node_modules") ? join(repository, candidate) : candidate
    if (!candidate.startsWith("node_modules") || existsSync(path)) return path
  }
  throw new PeerError(`${runtime} is missing: npm ci brings it`)
}

/** `ottla` on a runtime, from the checkout's sources: the program, and the words before the command's own. */
export const ottlaCommand = (runtime: Runtime): readonly [program: string, ...args: ReadonlyArray<string>] => {
  const [, ...fromSource] = commands[runtime]
  return [binary(runtime), ...fromSource]
}

/** Starts our broker and waits for its line `listening on PLAINTEXT://host:port`. */
export const startOttla = async (options: OttlaOptions = {}): Promise<Peer> => {
  const runtime = options.runtime ?? "node"
  const home = temporaryDirectory(runtime)
  const dataDirectory = options.dataDirectory ?? join(home, "data")
  const [, ...fromSource] = commands[runtime]
  const args = options.packaged === true ? [...fromSource.slice(0, -1), "dist/cli/bin.js"] : fromSource
  const overrides = [`listeners=PLAINTEXT://127.0.0.1:${options.port ?? 0}`, `log.dirs=${dataDirectory}`, ...options.overrides ?? []]
  const begin = performance.now()
  const server = serve(binary(runtime), [...args, "start", ...overrides.flatMap((one) => ["--override", one])], join(home, "broker.log"), options.env)
  let readyMs = 0
  const port = await waitFor(`the broker on ${runtime}`, 60_000, () => {
    const line = /listening on PLAINTEXT:\/\/[^\s"]*?:(\d+)/.exec(server.log())
    if (line !== null) {
      readyMs = performance.now() - begin
      return Number(line[1])
    }
    if (!server.alive()) throw new PeerError(`the broker on ${runtime} ended while it started:\n${server.log().slice(-3000)}`)
    return undefined
  })
  return {
    name: `ottla on ${runtime}`,
    host: "127.0.0.1",
    port,
    bootstrap: `127.0.0.1:${port}`,
    pid: server.pid,
    dataDirectory,
    readyMs,
    stop: server.stop,
    kill: server.kill,
    alive: server.alive,
    log: server.log
  }
}
