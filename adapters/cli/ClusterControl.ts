/**
 * The way from `ottla cluster` to the process that runs the brokers: a Unix socket in the cluster's directory, so that
 * the file system says who may use it (docs/adr/0008-control-channel.md).
 *
 *   LOG_DIR/__ottla_control/          mode 0700
 *   LOG_DIR/__ottla_control/socket    one request and one answer per connection, each a line of JSON
 *
 *   {"command":"describe"}
 *   {"command":"kill","broker":2,"session":"expires"}     session may be left out
 *   {"command":"stop","broker":2}
 *   {"command":"start","broker":2}
 *
 *   {"ok":true,"cluster":{…}}      what `describe` shows, after the command
 *   {"ok":false,"error":"…"}       a sentence for a person
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"
import { chmodSync, rmSync } from "node:fs"
import { connect, createServer, type Server, type Socket } from "node:net"
import { join, relative, resolve } from "node:path"
import process from "node:process"
import type { ClusterDescription } from "../../core/broker/LocalCluster.ts"
import { makeDirectories } from "../shared/Directories.ts"

export const CONTROL_DIRECTORY = "__ottla_control"
const SOCKET = "socket"

/** A request is longer than any that there is: its connection ends. In bytes. */
const MAX_REQUEST_BYTES = 1024
/** Who connects and asks for nothing is let go. In milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000
/** More at the same time are refused by closing them. */
const MAX_CONNECTIONS = 16
/** Of a socket's path with its end, where it is shortest (macOS 104, Linux 108). */
const MAX_PATH_BYTES = 103

export type ControlRequest =
  | { readonly command: "describe" }
  | { readonly command: "kill"; readonly broker: number; readonly session?: "ends" | "expires" }
  | { readonly command: "stop" | "start"; readonly broker: number }

export type ControlAnswer =
  | { readonly ok: true; readonly cluster: ClusterDescription }
  | { readonly ok: false; readonly error: string }

/** What a line asks for; a text says what is wrong with it. */
export const parseRequest = (line: string): ControlRequest | string => {
  let request: unknown
  try {
    request = JSON.parse(line)
  } catch {
    return "a request is a line of JSON"
  }
  const { broker, command, session } = (typeof request === "object" && request !== null ? request : {}) as Readonly<Record<string, unknown>>
  if (command === "describe") return { command }
  if (command !== "kill" && command !== "stop" && command !== "start") return "command is describe, kill, stop or start"
  if (typeof broker !== "number" || !Number.isInteger(broker)) return `${command} takes the id of a broker`
  if (command !== "kill" || session === undefined) return { command, broker }
  return session === "ends" || session === "expires" ? { command, broker, session } : "session is ends or expires"
}

/** By its whole path, or from the working directory where that is short enough and the other is not; undefined: neither. */
export const socketPath = (logDir: string): string | undefined => {
  const path = resolve(logDir, CONTROL_DIRECTORY, SOCKET)
  return [path, relative(process.cwd(), path)].find((each) => new TextEncoder().encode(each).length <= MAX_PATH_BYTES)
}

type Handle = (request: ControlRequest) => Effect.Effect<ControlAnswer>

const serveConnection = (socket: Socket, handle: Handle): void => {
  let line = ""
  let isAsked = false
  const answer = (what: ControlAnswer): void => void socket.end(`${JSON.stringify(what)}\n`)
  // Whoever asked may have gone: what was asked for is done all the same.
  socket.on("error", () => socket.destroy())
  // What was asked for may take as long as it takes.
  socket.setTimeout(REQUEST_TIMEOUT_MS, () => {
    if (!isAsked) socket.destroy()
  })
  socket.setEncoding("utf8")
  socket.on("data", (text: string) => {
    if (isAsked) return
    line += text
    const end = line.indexOf("\n")
    if (end < 0) {
      if (line.length > MAX_REQUEST_BYTES) socket.destroy()
      return
    }
    isAsked = true
    const request = parseRequest(line.slice(0, end))
    if (typeof request === "string") return answer({ ok: false, error: request })
    Effect.runFork(handle(request)).addObserver((exit) =>
      answer(Exit.isSuccess(exit) ? exit.value : { ok: false, error: `this is a mistake of ottla's, please report it: ${Cause.pretty(exit.cause)}` })
    )
  })
}

const listen = (path: string, handle: Handle): Effect.Effect<{ readonly server: Server; readonly open: Set<Socket> }, Error> =>
  Effect.callback((resume) => {
    const open = new Set<Socket>()
    const server = createServer((socket) => {
      open.add(socket)
      socket.on("close", () => open.delete(socket))
      serveConnection(socket, handle)
    })
    server.maxConnections = MAX_CONNECTIONS
    server.once("error", (error) => resume(Effect.fail(error)))
    server.listen(path, () => resume(Effect.succeed({ server, open })))
  })

/**
 * Answers requests until the scope ends. For the holder of the journal's lock only: whatever socket it finds is one that
 * a killed process left. Without a socket the cluster runs all the same, and a warning says so.
 */
export const serveControl = (logDir: string, handle: Handle): Effect.Effect<void, never, Scope> => {
  const directory = join(logDir, CONTROL_DIRECTORY)
  const path = socketPath(logDir)
  const start = Effect.gen(function*() {
    if (path === undefined) return yield* Effect.fail(new Error(`the path of its socket is longer than ${MAX_PATH_BYTES} bytes`))
    yield* Effect.try({
      try: () => {
        // Before the socket is there, so that there is no moment at which others can open it.
        makeDirectories(directory, 0o700)
        chmodSync(directory, 0o700)
        rmSync(path, { force: true })
      },
      catch: (error) => error as Error
    })
    return yield* listen(path, handle)
  })
  return Effect.acquireRelease(
    start,
    ({ open, server }) =>
      Effect.sync(() => {
        server.close()
        for (const socket of open) socket.destroy()
        if (path !== undefined) rmSync(path, { force: true })
      })
  ).pipe(
    Effect.catch((error: Error) => Effect.logWarning(`ottla cluster cannot reach this cluster: ${error.message}`)),
    Effect.asVoid
  )
}

/** Nothing listens there, or it ended before it answered. */
export class NoCluster extends Error {
  readonly _tag = "NoCluster"
}

/** Asks the process that runs the cluster. */
export const askControl = (logDir: string, request: ControlRequest): Effect.Effect<ControlAnswer, NoCluster> =>
  Effect.callback((resume) => {
    const path = socketPath(logDir)
    if (path === undefined) {
      return resume(Effect.fail(new NoCluster(`the path of the socket in ${logDir} is longer than ${MAX_PATH_BYTES} bytes; go there and name a relative one`)))
    }
    const socket = connect(path)
    let text = ""
    const fail = (message: string): void => resume(Effect.fail(new NoCluster(message)))
    socket.setEncoding("utf8")
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`))
    socket.on("data", (part: string) => {
      text += part
    })
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EACCES") return fail(`the cluster in ${logDir} is another user's`)
      fail(`no cluster runs in ${logDir}; ottla start --brokers 3 starts one, --log-dirs names another directory`)
    })
    socket.on("close", () => {
      try {
        resume(Effect.succeed(JSON.parse(text) as ControlAnswer))
      } catch {
        fail(`the cluster in ${logDir} ended before it answered`)
      }
    })
    return Effect.sync(() => socket.destroy())
  })
