/** The control channel on this runtime's own sockets. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { askControl, CONTROL_DIRECTORY, type ControlAnswer, type ControlRequest, parseRequest, serveControl, socketPath } from "../../../adapters/cli/ClusterControl.ts"

let directory: string
let scope: Scope.Closeable
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ottla-control-"))
  scope = Effect.runSync(Scope.make())
})
afterEach(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void))
  rmSync(directory, { recursive: true, force: true })
})

const answer: ControlAnswer = { ok: true, cluster: { clusterId: "c", controllerId: 1, brokers: [], partitions: 0, withoutLeader: 0 } }

/** What was asked for, and what was warned of. */
const serve = async (logDir = directory): Promise<{ readonly asked: Array<ControlRequest>; readonly warned: Array<string> }> => {
  const asked: Array<ControlRequest> = []
  const warned: Array<string> = []
  const handle = (request: ControlRequest): Effect.Effect<ControlAnswer> =>
    Effect.sync(() => {
      asked.push(request)
      return request.command === "stop" ? { ok: false, error: `not ${request.broker}` } : answer
    })
  await Effect.runPromise(serveControl(logDir, handle).pipe(
    Scope.provide(scope),
    Effect.provide(Logger.layer([Logger.make(({ message }) => void warned.push(String(message)))]))
  ))
  return { asked, warned }
}

const ask = (request: ControlRequest, logDir = directory): Promise<ControlAnswer> => Effect.runPromise(askControl(logDir, request))

/** Writes as it is, and gives all that comes back. */
const raw = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(socketPath(directory)!)
    let said = ""
    socket.setEncoding("utf8")
    socket.on("connect", () => socket.write(text))
    socket.on("data", (part: string) => {
      said += part
    })
    socket.on("error", reject)
    socket.on("close", () => resolve(said))
  })

it("carries a request to the cluster and its answer back, one a connection", async () => {
  const { asked, warned } = await serve()
  expect(await ask({ command: "describe" })).toEqual(answer)
  expect(await ask({ command: "kill", broker: 2, session: "ends" })).toEqual(answer)
  expect(await ask({ command: "stop", broker: 3 })).toEqual({ ok: false, error: "not 3" })
  expect(await raw(`{"command":"start","broker":1}\n{"command":"start","broker":2}\n`)).toBe(`${JSON.stringify(answer)}\n`)
  expect(asked).toEqual([{ command: "describe" }, { command: "kill", broker: 2, session: "ends" }, { command: "stop", broker: 3 }, { command: "start", broker: 1 }])
  expect(warned).toEqual([])
})

it("is for who owns the directory, and gone with the cluster", async () => {
  await serve()
  expect(statSync(join(directory, CONTROL_DIRECTORY)).mode & 0o777).toBe(0o700)
  await Effect.runPromise(Scope.close(scope, Exit.void))
  expect(readdirSync(join(directory, CONTROL_DIRECTORY))).toEqual([])
  await expect(ask({ command: "describe" })).rejects.toThrow(`no cluster runs in ${directory}; ottla start --brokers 3`)
})

it("takes the place of what a killed process left", async () => {
  await serve()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  writeFileSync(socketPath(directory)!, "")
  scope = Effect.runSync(Scope.make())
  const { warned } = await serve()
  expect(warned).toEqual([])
  expect(await ask({ command: "describe" })).toEqual(answer)
})

it("refuses what is no request, and ends a connection that never ends its line", async () => {
  const { asked } = await serve()
  const refused = async (line: string): Promise<string> => (JSON.parse(await raw(`${line}\n`)) as { readonly error: string }).error
  expect(await refused("kill 2")).toBe("a request is a line of JSON")
  expect(await refused("null")).toBe("command is describe, kill, stop or start")
  expect(await refused(`{"command":"kill"}`)).toBe("kill takes the id of a broker")
  expect(await refused(`{"command":"kill","broker":"2"}`)).toBe("kill takes the id of a broker")
  expect(await refused(`{"command":"kill","broker":2,"session":1}`)).toBe("session is ends or expires")
  expect(await raw("x".repeat(2000)).catch(() => "reset")).toMatch(/^(reset)?$/)
  expect(asked).toEqual([])
  expect(parseRequest(`{"command":"start","broker":2,"session":"ends"}`)).toEqual({ command: "start", broker: 2 })
})

it("is left out with a warning where no socket can have so long a path", async () => {
  const long = join(directory, "x".repeat(120))
  const { warned } = await serve(long)
  expect(warned.join()).toMatch(/ottla cluster cannot reach this cluster: .*longer than 103 bytes/)
  expect(existsSync(join(long, CONTROL_DIRECTORY))).toBe(false)
  await expect(ask({ command: "describe" }, long)).rejects.toThrow("longer than 103 bytes")
})
