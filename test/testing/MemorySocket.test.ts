import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { TestBroker } from "../../core/testing/index.ts"

/** ApiVersions v0 of correlation id 7, without a client id. */
const REQUEST = [0, 0, 0, 10, 0, ApiKey.ApiVersions, 0, 0, 0, 0, 0, 7, 0xff, 0xff]

type Broker = Awaited<ReturnType<typeof TestBroker.start>>

const open = (broker: Broker, port = broker.port, onConnect = (): void => {}) =>
  broker.socketFactory({ host: broker.host, port, onConnect })
const happens = (socket: ReturnType<typeof open>, event: string): Promise<unknown> =>
  new Promise((resolve) => socket.once(event, (value: unknown) => resolve(value)))

it("answers what was written, before it was connected too, in the bytes that its client works with", async () => {
  await using broker = await TestBroker.start()
  for (const bytes of [Buffer.from(REQUEST), Uint8Array.from(REQUEST)]) {
    let isConnected = false
    const socket = open(broker, broker.port, () => {
      isConnected = true
    })
    expect(socket.readyState).toBe("opening")
    socket.write(bytes, "binary")
    const answer = await happens(socket, "data") as Uint8Array
    expect(isConnected).toBe(true)
    expect(socket.readyState).toBe("open")
    expect(Buffer.isBuffer(answer)).toBe(Buffer.isBuffer(bytes))
    expect([...answer.subarray(4, 10)]).toEqual([0, 0, 0, 7, 0, 0])
    const closed = happens(socket, "close")
    expect(socket.end()).toBe(socket)
    expect(await closed).toBe(false)
    expect(socket.destroyed).toBe(true)
  }
})

it("says that nobody listens there, and that the broker went away", async () => {
  await using broker = await TestBroker.start()
  const refused = await happens(open(broker, 1), "error")
  expect(String(refused)).toContain("nothing listens there")
  const socket = open(broker)
  await happens(socket, "connect")
  const ended = happens(socket, "end")
  await broker.stop()
  await ended
  const late = happens(socket, "error")
  expect(socket.write(Buffer.from(REQUEST))).toBe(false)
  expect(String(await late)).toContain("write after end")
})

it("gives up when it is destroyed, whether it is connected yet or not", async () => {
  await using broker = await TestBroker.start()
  const early = open(broker)
  const closed = happens(early, "close")
  early.destroy()
  await closed
  const socket = open(broker)
  await happens(socket, "connect")
  expect(broker.broker().connectionCount()).toBe(1)
  const error = happens(socket, "error")
  socket.destroy(new Error("enough"))
  expect(String(await error)).toContain("enough")
  while (broker.broker().connectionCount() > 0) await Effect.runPromise(Effect.yieldNow)
})

it("calls who listens, once or each time, until they listen no more", async () => {
  await using broker = await TestBroker.start()
  const socket = open(broker)
  const seen: Array<string> = []
  const always = (value: string): void => void seen.push(`always ${value}`)
  socket.on("x", always).once("x", (value: string) => void seen.push(`once ${value}`))
  expect(socket.emit("x", "1")).toBe(true)
  socket.emit("x", "2")
  socket.off("x", always)
  expect(socket.emit("x", "3")).toBe(false)
  expect(seen).toEqual(["always 1", "once 1", "always 2"])
  socket.destroy()
})

it("stops reading while it is paused", async () => {
  await using broker = await TestBroker.start()
  const socket = open(broker)
  await happens(socket, "connect")
  let bytes = 0
  socket.on("data", (data: Uint8Array) => {
    bytes += data.length
  })
  socket.pause()
  socket.write(Buffer.from(REQUEST))
  // Another connection's answer: this one's would have come before it.
  const other = open(broker)
  for (let round = 0; round < 3; round++) {
    other.write(Buffer.from(REQUEST))
    await happens(other, "data")
  }
  expect(bytes).toBe(0)
  const data = happens(socket, "data")
  socket.resume()
  await data
  expect(bytes).toBeGreaterThan(10)
  other.destroy()
  socket.destroy()
})
