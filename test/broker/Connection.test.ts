/** Connections and the dispatcher over the memory network, with handlers made for the test. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { AppendTurn } from "../../core/broker/AppendTurn.ts"
import { Connections } from "../../core/broker/Connections.ts"
import { Dispatcher } from "../../core/broker/Dispatcher.ts"
import { CloseConnection, type Handler, Later, NoResponse } from "../../core/broker/Handler.ts"
import * as MemoryNetwork from "../../core/memory/MemoryNetwork.ts"
import { type Connection, Network } from "../../core/ports/Network.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import type { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { FrameBuffers } from "../../core/protocol/FrameBuffers.ts"
import { toBytes } from "../../core/model/Payload.ts"
import { monotonicMs } from "../../core/model/Time.ts"
import { decodeApiVersionsResponse, encodeApiVersionsResponse } from "../../core/protocol/generated/ApiVersions.ts"
import { malformed } from "../../core/protocol/ProtocolError.ts"
import { requestFrame } from "../../core/protocol/Headers.ts"

/** The api that the test serves: ListOffsets version 1, whose header is the plain one. Its body is one int32. */
const KEY = ApiKey.ListOffsets

interface Options {
  readonly maxInFlightRequests?: number
  readonly maxQueuedResponseBytes?: number
  readonly maxRequestBytes?: number
  readonly maxConnections?: number
  readonly maxConnectionsPerIp?: number
  readonly maxIdleMs?: number
  readonly handle?: (argument: number) => ReturnType<Handler["handle"]>
}

/** A server whose handler answers with the int32 it was sent, and connections to it. */
const serve = (options: Options = {}) =>
  Effect.gen(function*() {
    const network = yield* Network
    const clock = yield* Clock.Clock
    const runFork = yield* FiberSet.makeRuntime<never>()
    const handled: Array<number> = []
    const laters: Map<number, Later> = new Map()
    const echo = (value: number) => (writer: ByteWriter): void => writer.int32(value)
    const handler: Handler = {
      apiKey: KEY,
      minVersion: 1,
      maxVersion: 1,
      handle: (_context, reader) => {
        const argument = reader.int32()
        handled.push(argument)
        if (options.handle !== undefined) return options.handle(argument)
        if (argument >= 0) return echo(argument)
        const later = new Later()
        laters.set(argument, later)
        return later
      }
    }
    const appendTurn = new AppendTurn()
    const unsupported = () => (writer: ByteWriter): void =>
      encodeApiVersionsResponse(writer, 0, { errorCode: 35, apiKeys: [] })
    const versions: Handler = {
      apiKey: ApiKey.ApiVersions,
      minVersion: 0,
      maxVersion: 4,
      handle: () => unsupported()
    }
    const connections = new Connections({
      host: {
        dispatcher: new Dispatcher([handler, versions], unsupported),
        appendTurn,
        limits: {
          maxInFlightRequests: options.maxInFlightRequests ?? 100,
          maxQueuedResponseBytes: options.maxQueuedResponseBytes ?? 1_000_000,
          maxRequestBytes: options.maxRequestBytes ?? 1000
        },
        frameBuffers: new FrameBuffers(),
        monotonicMs: () => monotonicMs(clock),
        runFork
      },
      maxConnections: () => options.maxConnections ?? 100,
      maxConnectionsPerIp: () => options.maxConnectionsPerIp ?? 100,
      maxIdleMs: () => options.maxIdleMs ?? 600_000
    })
    connections.open()
    const { address } = yield* network.listen(
      { host: "127.0.0.1", port: 0 },
      (connection) => connections.accept(connection, { name: "PLAINTEXT", securityProtocol: "PLAINTEXT" })
    )
    const complete = (argument: number): void => laters.get(argument)!.complete(echo(argument))
    const connect = Effect.gen(function*() {
      const client = new Client()
      client.connection = yield* network.connect(address, () => client)
      return client
    })
    return { connections, handled, laters, complete, connect, appendTurn }
  })

class Client {
  connection!: Connection
  received: Uint8Array = new Uint8Array(0)
  isClosed = false

  onData(bytes: Uint8Array): void {
    const all = new Uint8Array(this.received.length + bytes.length)
    all.set(this.received)
    all.set(bytes, this.received.length)
    this.received = all
  }
  onDrained(): void {}
  onClosed(): void {
    this.isClosed = true
  }
  sendBytes(bytes: Uint8Array): void {
    this.connection.send([bytes])
  }
  /** Sends requests as one piece; each with its argument as correlation id. */
  request(...requests: ReadonlyArray<number>): void {
    this.sendBytes(toBytes(requests.flatMap((argument) => frameOf(argument))))
  }
  /** [correlation id, int32] of each answer. */
  get answers(): Array<readonly [number, number]> {
    const answers: Array<readonly [number, number]> = []
    const reader = new ByteReader(this.received)
    while (reader.remaining >= 12) {
      expect(reader.int32()).toBe(8)
      answers.push([reader.int32(), reader.int32()])
    }
    return answers
  }
}

const frameOf = (argument: number, apiKey: number = KEY, apiVersion = 1) =>
  requestFrame(
    { apiKey, apiVersion, correlationId: argument, clientId: "test" },
    (writer) => writer.int32(argument)
  )

/** Lets everything that can happen without time passing happen. */
const settle = TestClock.adjust(0).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 50 }))

const NetworkLive: Layer.Layer<Network> = MemoryNetwork.layer({ bufferBytes: 4096, segmentBytes: 1024 })

describe("BrokerConnection", () => {
  it.layer(NetworkLive)("over the memory network", (it) => {
    it.effect("answers requests in their order, however they are cut", () =>
      Effect.gen(function*() {
        const { connect } = yield* serve()
        const client = yield* connect
        const bytes = toBytes([1, 2, 3].flatMap((n) => frameOf(n)))
        for (const byte of bytes) client.sendBytes(Uint8Array.of(byte))
        yield* settle
        expect(client.answers).toEqual([[1, 1], [2, 2], [3, 3]])
      }))

    it.effect("holds answers that are ready until those before them are", () =>
      Effect.gen(function*() {
        const { complete, connect } = yield* serve()
        const client = yield* connect
        client.request(-1, 5, -2, 6)
        yield* settle
        expect(client.answers).toEqual([])
        complete(-2)
        yield* settle
        expect(client.answers).toEqual([])
        complete(-1)
        yield* settle
        expect(client.answers).toEqual([[-1, -1], [5, 5], [-2, -2], [6, 6]])
      }))

    it.effect("answers by effects too", () =>
      Effect.gen(function*() {
        const { connect } = yield* serve({
          handle: (n) => Effect.as(Effect.sleep(n), (writer: ByteWriter) => writer.int32(n))
        })
        const client = yield* connect
        client.request(50, 10)
        yield* settle
        yield* TestClock.adjust(10)
        yield* settle
        expect(client.answers).toEqual([])
        yield* TestClock.adjust(40)
        yield* settle
        expect(client.answers).toEqual([[50, 50], [10, 10]])
      }))

    it.effect("sends nothing for a request without answer, and goes on", () =>
      Effect.gen(function*() {
        const { connect } = yield* serve({ handle: (n) => n === 0 ? NoResponse : (writer) => writer.int32(n) })
        const client = yield* connect
        client.request(0, 1, 0, 2)
        yield* settle
        expect(client.answers).toEqual([[1, 1], [2, 2]])
      }))

    it.effect("stops reading at the limit of requests in flight and goes on when there is room", () =>
      Effect.gen(function*() {
        const { complete, connect, handled } = yield* serve({ maxInFlightRequests: 2 })
        const client = yield* connect
        client.request(-1, -2, -3, -4, 5)
        yield* settle
        expect(handled).toEqual([-1, -2])
        complete(-1)
        yield* settle
        expect(handled).toEqual([-1, -2, -3])
        complete(-2)
        complete(-3)
        complete(-4)
        yield* settle
        expect(client.answers.map(([id]) => id)).toEqual([-1, -2, -3, -4, 5])
        client.request(6)
        yield* settle
        expect(client.answers.at(-1)).toEqual([6, 6])
      }))

    it.effect("handles no more requests of a client that does not read, and all of them once it does", () =>
      Effect.gen(function*() {
        const { connect, handled } = yield* serve({
          maxQueuedResponseBytes: 2000,
          handle: () => (writer) => writer.raw(new Uint8Array(1000))
        })
        const client = yield* connect
        client.connection.pause()
        for (let n = 0; n < 50; n++) client.request(n)
        yield* settle
        expect(handled.length).toBeGreaterThan(2)
        expect(handled.length).toBeLessThan(15)
        client.connection.resume()
        yield* settle
        expect(handled).toEqual(Array.from({ length: 50 }, (_, n) => n))
        expect(client.received.length).toBe(50 * 1008)
      }))

    for (
      const [what, bytes] of [
        ["a malformed body", toBytes(requestFrame({ apiKey: KEY, apiVersion: 1, correlationId: 1, clientId: null }, () => {}))],
        ["a frame that is too large", Uint8Array.of(0, 0, 4, 0, 1, 2)],
        ["a negative size", Uint8Array.of(255, 255, 255, 255)],
        ["an empty frame", Uint8Array.of(0, 0, 0, 0)],
        ["an api that is not served", toBytes(frameOf(1, 3, 1))],
        ["a version that is not served", toBytes(frameOf(1, KEY, 2))]
      ] as const
    ) {
      it.effect(`closes the connection that sent ${what}, after what came before it, and no other`, () =>
        Effect.gen(function*() {
          const { connect, connections } = yield* serve()
          const [bad, good] = [yield* connect, yield* connect]
          bad.sendBytes(toBytes([...frameOf(7), bytes, ...frameOf(8)]))
          yield* settle
          expect(bad.isClosed).toBe(true)
          expect(bad.answers).toEqual([[7, 7]])
          good.request(1)
          yield* settle
          expect(good.isClosed).toBe(false)
          expect(good.answers).toEqual([[1, 1]])
          expect(connections.count).toBe(1)
        }))
    }

    it.effect("answers ApiVersions of an unknown version in version 0 with UNSUPPORTED_VERSION", () =>
      Effect.gen(function*() {
        const { connect } = yield* serve()
        const client = yield* connect
        client.sendBytes(toBytes(frameOf(9, ApiKey.ApiVersions, 99)))
        yield* settle
        const reader = new ByteReader(client.received)
        reader.int32()
        expect(reader.int32()).toBe(9)
        expect(decodeApiVersionsResponse(reader, 0).errorCode).toBe(35)
        expect(client.isClosed).toBe(false)
      }))

    it.effect("closes the connection when a handler says so, fails or breaks", () =>
      Effect.gen(function*() {
        const { connect } = yield* serve({
          handle: (n) => {
            if (n === 1) return new CloseConnection("acks=0")
            if (n === 2) throw malformed("bad")
            if (n === 3) throw new Error("bug")
            if (n === 4) return Effect.die("bug")
            return () => {
              throw new Error("cannot be written")
            }
          }
        })
        for (const n of [1, 2, 3, 4, 5]) {
          const client = yield* connect
          client.request(n)
          yield* settle
          expect([n, client.isClosed]).toEqual([n, true])
        }
      }))

    it.effect("tells an answer that is waited for that its connection is gone", () =>
      Effect.gen(function*() {
        const { connect, connections, laters } = yield* serve()
        const client = yield* connect
        client.request(-1)
        yield* settle
        let left = 0
        laters.get(-1)!.onCancel = () => left++
        client.connection.destroy()
        yield* settle
        expect(left).toBe(1)
        expect(laters.get(-1)!.cancelled).toBe(true)
        expect(connections.count).toBe(0)
      }))

    it.effect("writes what a turn staged before it answers, and before the next request that is no Produce", () =>
      Effect.gen(function*() {
        const order: Array<string> = []
        const { appendTurn, connect } = yield* serve({
          handle: (n) => {
            order.push(`request ${n}, ${appendTurn.isEmpty ? "nothing" : "something"} staged`)
            appendTurn.await({ written: () => void order.push(`written ${n}`) })
            return (writer) => writer.int32(n)
          }
        })
        const client = yield* connect
        client.request(1, 2)
        yield* settle
        expect(order).toEqual(["request 1, nothing staged", "written 1", "request 2, nothing staged", "written 2"])
      }))

    it.effect("holds connections beyond max.connections until another ends", () =>
      Effect.gen(function*() {
        const { connect } = yield* serve({ maxConnections: 1 })
        const [first, second] = [yield* connect, yield* connect]
        first.request(1)
        second.request(2)
        yield* settle
        expect([first.answers.length, second.answers.length]).toEqual([1, 0])
        first.connection.destroy()
        yield* settle
        expect(second.answers).toEqual([[2, 2]])
      }))

    it.effect("keeps a connection that waited to its limits from its first request on", () =>
      Effect.gen(function*() {
        const { connect, connections, handled } = yield* serve({ maxConnections: 1, maxInFlightRequests: 2 })
        const first = yield* connect
        yield* settle
        let isPaused = false
        const remote = { host: "127.0.0.2", port: 1 }
        const waits: Connection = {
          remote,
          local: remote,
          queuedBytes: 0,
          send: () => {},
          pause: () => void (isPaused = true),
          resume: () => void (isPaused = false),
          end: () => {},
          destroy: () => {}
        }
        const handler = connections.accept(waits, { name: "PLAINTEXT", securityProtocol: "PLAINTEXT" })
        // Read already when the pause took hold.
        handler.onData(toBytes([-1, -2, -3].flatMap((argument) => frameOf(argument))))
        first.connection.destroy()
        yield* settle
        expect(handled).toEqual([-1, -2])
        expect(isPaused).toBe(true)
      }))

    it.effect("closes a connection beyond max.connections.per.ip at once", () =>
      Effect.gen(function*() {
        const { connect } = yield* serve({ maxConnectionsPerIp: 1 })
        const [first, second] = [yield* connect, yield* connect]
        yield* settle
        expect([first.isClosed, second.isClosed]).toEqual([false, true])
        first.connection.destroy()
        yield* settle
        const third = yield* connect
        yield* settle
        expect(third.isClosed).toBe(false)
      }))

    it.effect("closes connections that were idle for connections.max.idle.ms, and only those", () =>
      Effect.gen(function*() {
        const { connect, connections } = yield* serve({ maxIdleMs: 1000 })
        const [idle, busy] = [yield* connect, yield* connect]
        yield* settle
        yield* TestClock.adjust(600)
        busy.request(1)
        yield* settle
        expect(connections.closeIdle()).toBe(400)
        yield* TestClock.adjust(400)
        expect(connections.closeIdle()).toBe(600)
        yield* settle
        expect([idle.isClosed, busy.isClosed]).toEqual([true, false])
      }))

    it.effect("closes a reader that stalls for connections.max.idle.ms although much is queued for it", () =>
      Effect.gen(function*() {
        const { connect, connections } = yield* serve({
          maxIdleMs: 1000,
          handle: () => (writer) => writer.raw(new Uint8Array(100_000))
        })
        const client = yield* connect
        client.connection.pause()
        client.request(1)
        yield* settle
        yield* TestClock.adjust(1000)
        connections.closeIdle()
        yield* settle
        expect(connections.count).toBe(0)
      }))

    it.effect("answers what is in flight when it stops, takes nothing new, and ends", () =>
      Effect.gen(function*() {
        const { complete, connect, connections, handled } = yield* serve()
        const client = yield* connect
        client.request(-1)
        yield* settle
        connections.stop()
        client.request(2)
        yield* settle
        expect(client.isClosed).toBe(false)
        complete(-1)
        yield* settle
        expect(client.answers).toEqual([[-1, -1]])
        expect(client.isClosed).toBe(true)
        expect(handled).toEqual([-1])
        yield* connections.awaitEmpty
      }))
  })
})
