/**
 * How soon a test has its broker: starts TestBroker again and again in this process, on a free port of this runtime's
 * sockets, and asks each one ApiVersions. Started by StartupBench.ts; what it measures is the built package in dist/, as
 * a stranger's test imports it.
 *
 *   TestBrokerProgram.ts <node|bun|deno> <starts>
 *
 * Prints {"readyMs": [...], "answeredMs": [...]}, a number for every start, the process's first one first: until
 * `TestBroker.start` gave the broker, and until a connection of its own had the answer.
 */
import { connect } from "node:net"
import process from "node:process"

const [runtime, starts] = process.argv.slice(2)
const built = (path: string): Promise<never> => import(new URL(`../../dist/${path}`, import.meta.url).href) as Promise<never>
const { TestBroker }: typeof import("../../core/testing/index.ts") = await built("core/testing/index.js")
const { layer: host }: typeof import("../../adapters/node/index.ts") = await built(`adapters/${runtime}/index.js`)

/** Sends ApiVersions v0 with correlation id 7 and waits for the first bytes that come back. */
const ask = (port: number): Promise<void> =>
  new Promise((done, fail) => {
    const socket = connect(port, "127.0.0.1", () => {
      //                            size        api 18     version 0  correlation id 7      client id null
      socket.write(Uint8Array.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]))
    })
    socket.setNoDelay(true)
    socket.on("data", (bytes: Uint8Array) => {
      socket.destroy()
      if (bytes.length >= 10 && bytes[7] === 7 && bytes[8] === 0 && bytes[9] === 0) done()
      else fail(new Error("the broker did not answer ApiVersions"))
    })
    socket.on("error", fail)
  })

const readyMs: Array<number> = []
const answeredMs: Array<number> = []
for (let start = 0; start < Number(starts); start++) {
  const begin = performance.now()
  const broker = await TestBroker.start({ host })
  readyMs.push(performance.now() - begin)
  await ask(broker.port)
  answeredMs.push(performance.now() - begin)
  await broker.close()
}
process.stdout.write(`${JSON.stringify({ readyMs, answeredMs })}\n`)
process.exit(0)
