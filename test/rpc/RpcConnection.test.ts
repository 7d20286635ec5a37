/** The client's side of a connection, against a peer that the test plays. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as MemoryNetwork from "../../core/memory/MemoryNetwork.ts"
import { type Connection, Network } from "../../core/ports/Network.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import type { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { FrameReader } from "../../core/protocol/Framing.ts"
import { encodeApiVersionsResponse } from "../../core/protocol/generated/ApiVersions.ts"
import { decodeRequestHeader, responseFrame } from "../../core/protocol/Headers.ts"
import { invalidValue, malformed, unsupportedField } from "../../core/protocol/ProtocolError.ts"
import { commonVersion, type RpcApi } from "../../core/rpc/RpcApi.ts"
import { ReadTurn } from "../../core/rpc/ReadTurn.ts"
import { connect, type RpcOptions } from "../../core/rpc/RpcConnection.ts"
import { SETTINGS, withSettableClock } from "../model/SettableClock.ts"

/** An api whose request and response are one int32. */
const echoApi: RpcApi<number, number> = {
  key: ApiKey.ListOffsets,
  name: "Echo",
  minVersion: 1,
  maxVersion: 3,
  encodeRequest: (writer, _version, value) => writer.int32(value),
  decodeResponse: (reader) => {
    const value = reader.int32()
    if (value === 666) throw malformed("666")
    return value
  }
}

interface Request {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly argument: number
}

/** A peer that knows ApiVersions up to `apiVersionsMax` and leaves the rest to the test. */
const peer = (options: { readonly apiVersionsMax?: number; readonly echoMax?: number } = {}) =>
  Effect.gen(function*() {
    const network = yield* Network
    const requests: Array<Request> = []
    const asked: Array<number> = []
    let connection!: Connection
    const answer = (apiKey: number, version: number, correlationId: number, body: (writer: ByteWriter) => void): void =>
      connection.send(responseFrame(apiKey, version, correlationId, body))
    const { address } = yield* network.listen({ host: "127.0.0.1", port: 0 }, (accepted) => {
      connection = accepted
      const frames = new FrameReader({
        maxBytes: 1_000_000,
        onFrame: (frame) => {
          const reader = new ByteReader(frame)
          const { apiKey, apiVersion, correlationId } = decodeRequestHeader(reader)
          if (apiKey !== ApiKey.ApiVersions) {
            return void requests.push({ apiKey, apiVersion, correlationId, argument: reader.int32() })
          }
          asked.push(apiVersion)
          const isKnown = apiVersion <= (options.apiVersionsMax ?? 4)
          const version = isKnown ? apiVersion : 0
          answer(apiKey, version, correlationId, (writer) =>
            encodeApiVersionsResponse(writer, version, {
              errorCode: isKnown ? 0 : 35,
              apiKeys: [
                { apiKey: ApiKey.ApiVersions, minVersion: 0, maxVersion: options.apiVersionsMax ?? 4 },
                { apiKey: ApiKey.ListOffsets, minVersion: 0, maxVersion: options.echoMax ?? 2 }
              ]
            }))
        }
      })
      return { onData: (bytes) => frames.push(bytes), onDrained: () => {}, onClosed: () => {} }
    })
    const reply = ({ apiKey, apiVersion, argument, correlationId }: Request, value = argument): void =>
      answer(apiKey, apiVersion, correlationId, (writer) => writer.int32(value))
    return { address, requests, asked, reply, connection: () => connection }
  })

const settle = TestClock.adjust(0).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 50 }))
const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** A peer and a connection to it. */
const start = (rpcOptions: RpcOptions = {}, peerOptions: Parameters<typeof peer>[0] = {}) =>
  Effect.gen(function*() {
    const other = yield* peer(peerOptions)
    const rpc = yield* connect(other.address, rpcOptions)
    return { ...other, rpc }
  })

describe("RpcConnection", () => {
  it.layer(MemoryNetwork.layer())("over the memory network", (it) => {
    it.effect("uses the highest version that both speak", () =>
      Effect.gen(function*() {
        const { reply, requests, rpc } = yield* start()
        const call = yield* fork(rpc.call(echoApi, 7))
        yield* settle
        expect(requests[0]).toMatchObject({ apiVersion: 2, argument: 7 })
        reply(requests[0]!)
        expect(yield* Fiber.join(call)).toBe(7)
      }))

    it.effect("asks an older broker for its versions in a version that it knows", () =>
      Effect.gen(function*() {
        const { asked, rpc } = yield* start({}, { apiVersionsMax: 2 })
        expect(asked).toEqual([4, 2])
        expect(rpc.versionOf(echoApi)).toBe(2)
      }))

    it.effect("sends nothing when there is no common version", () =>
      Effect.gen(function*() {
        const { requests, rpc } = yield* start({}, { echoMax: 0 })
        expect((yield* Effect.flip(rpc.call(echoApi, 1))).kind).toBe("UnsupportedVersion")
        expect(requests).toEqual([])
      }))

    it.effect("pipelines requests and gives each its answer", () =>
      Effect.gen(function*() {
        const { reply, requests, rpc } = yield* start()
        const calls = yield* fork(Effect.all([1, 2, 3].map((n) => rpc.call(echoApi, n)), { concurrency: "unbounded" }))
        yield* settle
        expect(requests.length).toBe(3)
        for (const request of requests) reply(request, request.argument * 10)
        expect(yield* Fiber.join(calls)).toEqual([10, 20, 30])
      }))

    it.effect("tells who asks without an effect, and what is put off comes after all answers of a read", () =>
      Effect.gen(function*() {
        const turn = new ReadTurn()
        const { connection, requests, rpc } = yield* start({ turn })
        const events: Array<number | string> = []
        const ask = (n: number): void =>
          rpc.ask(echoApi, 2, n, { timeoutMs: 1000, isTransient: true }, (result) => {
            events.push(result instanceof Error ? result.kind : result)
            if (events.length === 1) expect(turn.after(() => events.push("after"))).toBe(true)
          })
        ask(1)
        ask(2)
        yield* settle
        // In one piece, as one read.
        connection().send([Buffer.concat(requests.flatMap(({ apiKey, apiVersion, argument, correlationId }) =>
          responseFrame(apiKey, apiVersion, correlationId, (writer) => writer.int32(argument * 10)) as Array<Uint8Array>))])
        yield* settle
        expect(events).toEqual([10, 20, "after"])
        ask(4)
        connection().destroy()
        yield* settle
        expect(events.slice(3)).toEqual(["Disconnected"])
        ask(5)
        expect(events.slice(4)).toEqual(["Disconnected"])
      }))

    it.effect("keeps to its limit of requests in flight", () =>
      Effect.gen(function*() {
        const { reply, requests, rpc } = yield* start({ maxInFlightRequests: 2 })
        const calls = yield* fork(Effect.all([1, 2, 3].map((n) => rpc.call(echoApi, n)), { concurrency: "unbounded" }))
        yield* settle
        expect(requests.length).toBe(2)
        reply(requests[0]!)
        yield* settle
        expect(requests.length).toBe(3)
        reply(requests[1]!)
        reply(requests[2]!)
        expect(yield* Fiber.join(calls)).toEqual([1, 2, 3])
      }))

    it.effect("sends nothing more for as long as a broker throttles, in versions whose answer does not come late for it", () =>
      Effect.gen(function*() {
        for (const [version, isKept] of [[3, true], [2, false]] as const) {
          const { reply, requests, rpc } = yield* start({ requestTimeoutMs: 1000 }, { echoMax: version })
          const throttled: RpcApi<number, { readonly throttleTimeMs: number }> = {
            ...echoApi,
            decodeResponse: (reader) => ({ throttleTimeMs: reader.int32() })
          }
          const first = yield* fork(rpc.call(throttled, 5000))
          const before = yield* fork(rpc.call(throttled, 0))
          yield* settle
          reply(requests[0]!)
          yield* Fiber.join(first)
          const calls = yield* fork(Effect.all([1, 2, 3].map((n) => rpc.call(echoApi, n)), { concurrency: "unbounded" }))
          yield* settle
          expect(requests.length).toBe(isKept ? 2 : 5)
          // What was sent before is answered, and its answer says nothing that would end the pause.
          reply(requests[1]!)
          yield* Fiber.join(before)
          yield* TestClock.adjust(isKept ? 4999 : 0)
          yield* settle
          expect(requests.length).toBe(isKept ? 2 : 5)
          yield* TestClock.adjust(isKept ? 1 : 0)
          yield* settle
          expect(requests.map(({ argument }) => argument)).toEqual([5000, 0, 1, 2, 3])
          for (const request of requests.slice(2)) reply(request)
          expect(yield* Fiber.join(calls)).toEqual([1, 2, 3])
        }
      }))

    it.effect("keeps the place of an interrupted request until its answer comes", () =>
      Effect.gen(function*() {
        const { reply, requests, rpc } = yield* start({ maxInFlightRequests: 1 })
        const first = yield* fork(rpc.call(echoApi, 1))
        const second = yield* fork(rpc.call(echoApi, 2))
        const third = yield* fork(rpc.call(echoApi, 3))
        yield* settle
        yield* Fiber.interrupt(first)
        yield* Fiber.interrupt(second)
        yield* settle
        // The broker still works on the first; the second was never sent.
        expect(requests.map(({ argument }) => argument)).toEqual([1])
        expect(rpc.inFlight).toBe(2)
        reply(requests[0]!)
        yield* settle
        expect(requests.map(({ argument }) => argument)).toEqual([1, 3])
        reply(requests[1]!)
        expect(yield* Fiber.join(third)).toBe(3)
      }))

    it.effect("ends when an interrupted request is not answered in time", () =>
      Effect.gen(function*() {
        const { requests, rpc } = yield* start({ requestTimeoutMs: 1000 })
        const call = yield* fork(rpc.call(echoApi, 1))
        yield* settle
        expect(requests.length).toBe(1)
        yield* Fiber.interrupt(call)
        yield* TestClock.adjust(1000)
        yield* settle
        expect(rpc.isOpen).toBe(false)
      }))

    it.effect("watches each deadline, in whatever order they come", () =>
      Effect.gen(function*() {
        const { reply, requests, rpc } = yield* start()
        const long = yield* fork(Effect.exit(rpc.call(echoApi, 1, { timeoutMs: 5000 })))
        yield* settle
        yield* TestClock.adjust(1000)
        const short = yield* fork(rpc.call(echoApi, 2, { timeoutMs: 1000 }))
        yield* settle
        reply(requests[0]!)
        reply(requests[1]!)
        expect(yield* Fiber.join(short)).toBe(2)
        expect(Exit.isSuccess(yield* Fiber.join(long))).toBe(true)
        yield* TestClock.adjust(4500)
        expect(rpc.isOpen).toBe(true)
        const last = yield* fork(Effect.flip(rpc.call(echoApi, 3, { timeoutMs: 500 })))
        yield* settle
        yield* TestClock.adjust(499)
        expect(last.pollUnsafe()).toBeUndefined()
        yield* TestClock.adjust(1)
        expect((yield* Fiber.join(last)).kind).toBe("TimedOut")
      }))

    it.effect("holds back what is not answered while the socket is full, in order, and not for ever", () =>
      Effect.gen(function*() {
        const { connection, rpc } = yield* start({ requestTimeoutMs: 5000 })
        connection().pause()
        const megabyte: RpcApi<number, never> = {
          ...echoApi,
          encodeRequest: (writer, _version, value) => writer.raw(new Uint8Array(1024 * 1024).fill(value)),
          decodeResponse: () => {
            throw malformed("never answered")
          }
        }
        const told: Array<number> = []
        const tells = yield* fork(Effect.exit(Effect.forEach(Array.from({ length: 20 }, (_, n) => n), (n) =>
          Effect.tap(rpc.tell(megabyte, n), () => Effect.sync(() => void told.push(n))), { discard: true })))
        yield* settle
        expect(told.length).toBeGreaterThan(3)
        expect(told.length).toBeLessThan(8)
        yield* TestClock.adjust(4999)
        expect(rpc.isOpen).toBe(true)
        yield* TestClock.adjust(1)
        expect(Exit.isFailure(yield* Fiber.join(tells))).toBe(true)
        expect(rpc.isOpen).toBe(false)
      }))

    it.effect("goes on once the socket has taken what was given to it", () =>
      Effect.gen(function*() {
        const { connection, rpc } = yield* start()
        connection().pause()
        const megabyte: RpcApi<number, unknown> = {
          ...echoApi,
          encodeRequest: (writer) => writer.raw(new Uint8Array(900_000))
        }
        const tells = yield* fork(Effect.forEach(Array.from({ length: 20 }, (_, n) => n), (n) => rpc.tell(megabyte, n), { discard: true }))
        yield* settle
        expect(tells.pollUnsafe()).toBeUndefined()
        connection().resume()
        yield* Fiber.join(tells)
      }))

    it.effect("lets what was told leave before it is closed here", () =>
      Effect.gen(function*() {
        const { requests, rpc } = yield* start()
        yield* Effect.forEach([1, 2, 3], (n) => rpc.tell(echoApi, n))
        rpc.close()
        yield* rpc.closed
        yield* settle
        expect(requests.map(({ argument }) => argument)).toEqual([1, 2, 3])
      }))

    it.effect("refuses a request that its version cannot carry, and sends nothing", () =>
      Effect.gen(function*() {
        const { requests, rpc } = yield* start()
        const unwritable = (error: Error): RpcApi<number, number> => ({
          ...echoApi,
          encodeRequest: () => {
            throw error
          }
        })
        expect((yield* Effect.flip(rpc.call(unwritable(unsupportedField("x", 2)), 1))).kind).toBe("UnsupportedVersion")
        expect((yield* Effect.flip(rpc.call(unwritable(invalidValue("x")), 1))).kind).toBe("InvalidRequest")
        expect(rpc.isOpen).toBe(true)
        expect(requests).toEqual([])
      }))

    it.effect("fails all who wait when one request is not answered in time, and is over then", () =>
      Effect.gen(function*() {
        const { requests, rpc } = yield* start({ requestTimeoutMs: 1000 })
        const first = yield* fork(Effect.flip(rpc.call(echoApi, 1)))
        yield* settle
        yield* TestClock.adjust(500)
        const second = yield* fork(Effect.flip(rpc.call(echoApi, 2)))
        yield* settle
        expect(requests.length).toBe(2)
        yield* TestClock.adjust(500)
        expect((yield* Fiber.join(first)).kind).toBe("TimedOut")
        expect((yield* Fiber.join(second)).kind).toBe("TimedOut")
        expect(rpc.isOpen).toBe(false)
        yield* rpc.closed
        expect((yield* Effect.flip(rpc.call(echoApi, 3))).kind).toBe("TimedOut")
      }))

    it.effect("gives up connecting when nobody accepts in time", () =>
      Effect.gen(function*() {
        const network = yield* Network
        let isGivenUp = false
        const never: Network = {
          ...network,
          connect: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (isGivenUp = true)))
        }
        const failed = yield* fork(
          Effect.flip(connect({ host: "127.0.0.1", port: 1 }, { requestTimeoutMs: 1000 })).pipe(
            Effect.provideService(Network, never),
            Effect.scoped
          )
        )
        yield* settle
        yield* TestClock.adjust(1000)
        yield* settle
        expect(isGivenUp).toBe(true)
        expect((yield* Fiber.join(failed)).kind).toBe("TimedOut")
      }), 2000)

    it.effect("fails all who wait when the peer closes", () =>
      Effect.gen(function*() {
        const { connection, rpc } = yield* start()
        const call = yield* fork(Effect.flip(rpc.call(echoApi, 1)))
        yield* settle
        connection().destroy()
        expect((yield* Fiber.join(call)).kind).toBe("Disconnected")
      }))

    it.effect("ends on an answer that cannot be decoded, or that has another correlation id, or that nobody awaits", () =>
      Effect.gen(function*() {
        for (const wrong of ["body", "correlation", "unasked"] as const) {
          const { connection, reply, requests, rpc } = yield* start()
          if (wrong === "unasked") {
            connection().send([Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 9)])
            yield* rpc.closed
            continue
          }
          const call = yield* fork(Effect.flip(rpc.call(echoApi, 1)))
          yield* settle
          if (wrong === "body") reply(requests[0]!, 666)
          else reply({ ...requests[0]!, correlationId: 99 })
          expect((yield* Fiber.join(call)).kind).toBe("Malformed")
          expect(rpc.isOpen).toBe(false)
        }
      }))

    it.effect("ends with its scope", () =>
      Effect.gen(function*() {
        const other = yield* peer()
        const scope = yield* Scope.make()
        const rpc = yield* Scope.provide(connect(other.address), scope)
        const call = yield* fork(Effect.flip(rpc.call(echoApi, 1)))
        yield* settle
        yield* Scope.close(scope, Exit.void)
        expect((yield* Fiber.join(call)).kind).toBe("Disconnected")
      }))

    it.effect("says that nobody listens", () =>
      Effect.gen(function*() {
        expect((yield* Effect.flip(connect({ host: "127.0.0.1", port: 1 }))).kind).toBe("Unreachable")
      }))
  })

  it("finds the highest common version", () => {
    const range = (minVersion: number, maxVersion: number) => ({ minVersion, maxVersion })
    expect(commonVersion(range(1, 5), range(0, 3))).toBe(3)
    expect(commonVersion(range(1, 5), range(4, 9))).toBe(5)
    expect(commonVersion(range(4, 5), range(0, 3))).toBeUndefined()
    expect(commonVersion(range(4, 5), undefined)).toBeUndefined()
  })
})

describe.each(SETTINGS)("RpcConnection whose wall clock is %s", (_what, byMs) => {
  it.layer(MemoryNetwork.layer())("over the memory network", (it) => {
    it.effect("times out each request after its own time, neither earlier nor later", () =>
      withSettableClock((setWallClock) =>
        Effect.gen(function*() {
          const { reply, requests, rpc } = yield* start({ requestTimeoutMs: 1000 })
          const first = yield* fork(rpc.call(echoApi, 1))
          yield* settle
          yield* TestClock.adjust(500)
          const second = yield* fork(Effect.flip(rpc.call(echoApi, 2)))
          yield* settle
          setWallClock(byMs)
          reply(requests[0]!)
          expect(yield* Fiber.join(first)).toBe(1)
          // The deadline of the first comes and goes.
          yield* TestClock.adjust(999)
          yield* settle
          expect([second.pollUnsafe(), rpc.isOpen]).toEqual([undefined, true])
          yield* TestClock.adjust(1)
          yield* settle
          expect(rpc.isOpen).toBe(false)
          expect((yield* Fiber.join(second)).kind).toBe("TimedOut")
        })
      ))

    it.effect("sends nothing for as long as a broker throttles, and no longer", () =>
      withSettableClock((setWallClock) =>
        Effect.gen(function*() {
          const { reply, requests, rpc } = yield* start({ requestTimeoutMs: 60_000 }, { echoMax: 3 })
          const throttled: RpcApi<number, { readonly throttleTimeMs: number }> = {
            ...echoApi,
            decodeResponse: (reader) => ({ throttleTimeMs: reader.int32() })
          }
          const first = yield* fork(rpc.call(throttled, 5000))
          yield* settle
          reply(requests[0]!)
          yield* Fiber.join(first)
          yield* TestClock.adjust(1000)
          setWallClock(byMs)
          const second = yield* fork(rpc.call(echoApi, 2))
          yield* TestClock.adjust(3999)
          yield* settle
          expect(requests).toHaveLength(1)
          yield* TestClock.adjust(1)
          yield* settle
          expect(requests).toHaveLength(2)
          reply(requests[1]!)
          expect(yield* Fiber.join(second)).toBe(2)
        })
      ))
  })
})
