/**
 * The laws of the Network port: every layer passes them on its own runtime. A law waits for conditions, never for time.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type FileSlice, payloadLength, type Payload, type ReadableFile } from "../../core/model/Payload.ts"
import {
  type Connection,
  type ConnectionHandler,
  type Listener,
  Network,
  type NetworkError
} from "../../core/ports/Network.ts"

/** Makes a file with these bytes, of the kind whose slices the network is to send; it is gone with the scope. */
export type MakeFile = (bytes: Uint8Array) => Effect.Effect<ReadableFile, never, Scope>

/** Larger than what kernels take for one connection on loopback, so that a reader can stall a sender. In bytes. */
const MUCH = 24 * 1024 * 1024

/** Counts releases of the slices it makes. */
class Leases {
  readonly releases: Array<number> = []
  slice(file: ReadableFile, position: number, length: number): FileSlice {
    const index = this.releases.push(0) - 1
    return { file, position, length, release: () => void this.releases[index]!++ }
  }
  get held(): number {
    return this.releases.filter((count) => count === 0).length
  }
  expectEachOnce(): void {
    expect(this.releases.filter((count) => count !== 1)).toEqual([])
  }
}

/** One end, with what happened to it. `received` are copies unless `keep` is off. */
class End implements ConnectionHandler {
  connection!: Connection
  readonly events: Array<string> = []
  received: Array<Uint8Array> = []
  receivedBytes = 0
  drained = 0
  closed = 0
  error: NetworkError | undefined
  /** While the test is in a call on the connection. */
  inCall = false
  onBytes: ((bytes: Uint8Array) => void) | undefined
  keep = true
  /** A law that a callback broke. */
  broken: string | undefined
  private waiting: Array<{ readonly holds: () => boolean; readonly done: (broken: string | undefined) => void }> = []

  private happened(event: string): void {
    // a runtime may swallow what is thrown here: `until` fails with it
    if (this.inCall) this.broken = `${event} inside a call on the connection`
    if (this.closed > 0) this.broken = `${event} after onClosed`
    if (this.events.at(-1) !== event) this.events.push(event)
  }
  private check(): void {
    const now = this.waiting.filter(({ holds }) => this.broken !== undefined || holds())
    this.waiting = this.waiting.filter((each) => !now.includes(each))
    for (const { done } of now) done(this.broken)
  }
  onData(bytes: Uint8Array): void {
    this.happened("data")
    if (this.keep) this.received.push(bytes.slice())
    this.receivedBytes += bytes.length
    this.onBytes?.(bytes)
    bytes.fill(0xee) // they are ours until we return
    this.check()
  }
  onDrained(): void {
    this.happened("drained")
    this.drained++
    this.check()
  }
  onClosed(error: NetworkError | undefined): void {
    this.happened("closed")
    this.closed++
    this.error = error
    this.check()
  }
  call(run: (connection: Connection) => void): void {
    this.inCall = true
    run(this.connection)
    this.inCall = false
  }
  until(holds: () => boolean): Promise<void> {
    if (holds()) return this.broken === undefined ? Promise.resolve() : Promise.reject(new Error(this.broken))
    return new Promise((resolve, reject) =>
      this.waiting.push({ holds, done: (broken) => (broken === undefined ? resolve() : reject(new Error(broken))) })
    )
  }
  untilReceived(bytes: number): Promise<void> {
    return this.until(() => this.receivedBytes >= bytes)
  }
  untilClosed(): Promise<void> {
    return this.until(() => this.closed > 0)
  }
  bytes(): Uint8Array {
    return concat(this.received)
  }
}

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const all = new Uint8Array(payloadLength(parts))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Equal without the cost of a readable difference: on failure the first position that differs. */
const expectSameBytes = (actual: Uint8Array, expected: Uint8Array): void => {
  expect(actual.length).toBe(expected.length)
  if (Buffer.compare(actual, expected) !== 0) {
    expect(`first difference at ${actual.findIndex((byte, i) => byte !== expected[i])}`).toBe("none")
  }
}

/** Bytes that tell their position. */
const pattern = (length: number, salt = 0): Uint8Array => {
  const words = new Uint32Array((length + 3) >> 2)
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + salt + 1, 0x9e3779b1)
  return new Uint8Array(words.buffer, 0, length)
}

const until = (wait: () => Promise<unknown>): Effect.Effect<void> => Effect.asVoid(Effect.promise(wait))

const listen = (
  network: Network,
  accepted: (end: End) => void = () => {}
): Effect.Effect<Listener, NetworkError, Scope> =>
  network.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    const end = new End()
    end.connection = connection
    accepted(end)
    return end
  })

const connect = (network: Network, listener: Listener): Effect.Effect<End, NetworkError> => {
  const end = new End()
  return Effect.as(
    network.connect(listener.address, (connection) => {
      end.connection = connection
      return end
    }),
    end
  )
}

/** A connecting end and its accepted one. */
const pair = (network: Network): Effect.Effect<readonly [client: End, server: End], NetworkError, Scope> =>
  Effect.gen(function*() {
    let resolve: (end: End) => void
    const accepted = new Promise<End>((done) => resolve = done)
    const listener = yield* listen(network, (end) => resolve(end))
    const client = yield* connect(network, listener)
    const server = yield* Effect.promise(() => accepted)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        client.connection.destroy()
        server.connection.destroy()
      })
    )
    return [client, server] as const
  })

/** Lets everything that is possible happen: round trips on another connection. */
const settle = (network: Network): Effect.Effect<void, NetworkError> =>
  Effect.scoped(Effect.gen(function*() {
    const [client, server] = yield* pair(network)
    server.onBytes = (bytes) => server.connection.send([bytes.slice()])
    for (let i = 1; i <= 50; i++) {
      client.connection.send([new Uint8Array(1)])
      yield* until(() => client.untilReceived(i))
    }
  }))

export const networkLaws = (name: string, layer: Layer.Layer<Network>, makeFile: MakeFile): void => {
  const law = (
    sentence: string,
    body: (network: Network) => Effect.Effect<void, unknown, Scope>
  ): void =>
    it(sentence, () => Effect.runPromise(Effect.scoped(Effect.provide(Effect.flatMap(Network, body), layer))), 60_000)

  describe(`Network laws: ${name}`, () => {
    law("port 0 takes a free port, and both ends know each other's address", (network) =>
      Effect.gen(function*() {
        const [client, server] = yield* pair(network)
        expect(server.connection.local.port).toBeGreaterThan(0)
        expect(client.connection.remote.port).toBe(server.connection.local.port)
        expect(client.connection.local.port).toBe(server.connection.remote.port)
      }))

    law("a taken port is AddressInUse", (network) =>
      Effect.gen(function*() {
        const listener = yield* listen(network)
        expect(listener.address.port).toBeGreaterThan(0)
        const again = network.listen({ ...listener.address }, () => new End())
        expect((yield* Effect.flip(Effect.scoped(again))).kind).toBe("AddressInUse")
      }))

    law("an empty host listens on every address", (network) =>
      Effect.gen(function*() {
        const accepted = new End()
        const listener = yield* network.listen({ host: "", port: 0 }, (connection) => {
          accepted.connection = connection
          return accepted
        })
        const client = yield* network.connect({ host: "127.0.0.1", port: listener.address.port }, () => new End())
        client.send([pattern(5)])
        yield* until(() => accepted.untilReceived(5))
        client.destroy()
        yield* until(() => accepted.untilClosed())
      }))

    law("when a listener's scope ends its port refuses and its connections live on", (network) =>
      Effect.gen(function*() {
        let server: End | undefined
        const [client, listener] = yield* Effect.scoped(Effect.gen(function*() {
          const listener = yield* listen(network, (end) => server = end)
          const client = yield* connect(network, listener)
          client.connection.send([new Uint8Array([1])])
          yield* Effect.callback<void>((resume) => {
            const poll = (): void => server === undefined ? void setImmediate(poll) : resume(Effect.void)
            poll()
          })
          return [client, listener] as const
        }))
        const refused = yield* Effect.flip(connect(network, listener))
        expect(refused.kind).toBe("Refused")
        server!.connection.send([pattern(1000)])
        yield* until(() => client.untilReceived(1000))
        client.connection.end()
        yield* until(() => Promise.all([client.untilClosed(), server!.untilClosed()]))
      }))

    law("an interrupted connect leaves nothing behind", (network) =>
      Effect.gen(function*() {
        const listener = yield* listen(network)
        const exit = yield* Effect.exit(Effect.race(connect(network, listener), Effect.void))
        expect(Exit.isSuccess(exit)).toBe(true)
      }))

    law("bytes arrive in order and unchanged, however payloads are split and mixed with slices", (network) =>
      Effect.gen(function*() {
        const source = pattern(1 << 20)
        const file = yield* makeFile(source)
        const piece = fc.record({
          slice: fc.boolean(),
          position: fc.nat(500_000),
          length: fc.oneof(fc.nat(40), fc.nat(5_000), fc.integer({ min: 32_000, max: 33_500 }), fc.nat(400_000))
        })
        const sends = fc.array(fc.record({ pieces: fc.array(piece, { maxLength: 12 }), turn: fc.boolean() }), { maxLength: 8 })
        for (const script of fc.sample(sends, { numRuns: 25, seed: 20_261_121 })) {
          const [client, server] = yield* pair(network)
          const leases = new Leases()
          const expected: Array<Uint8Array> = []
          for (const { pieces, turn } of script) {
            const payloads: Array<Payload> = pieces.map(({ length, position, slice }) => {
              const bytes = source.slice(position, position + length)
              expected.push(bytes)
              return slice ? leases.slice(file, position, length) : bytes.slice()
            })
            server.call((connection) => connection.send(payloads))
            if (turn) yield* Effect.yieldNow
          }
          const bytes = concat(expected)
          server.call((connection) => connection.end())
          yield* until(() => client.untilClosed())
          expectSameBytes(client.bytes(), bytes)
          expect(client.error).toBe(undefined)
          yield* until(() => server.untilClosed())
          leases.expectEachOnce()
          expect(server.connection.queuedBytes).toBe(0)
        }
      }))

    law("a stalled reader stalls the sender, holds its leases, and then gets the same bytes", (network) =>
      Effect.gen(function*() {
        const source = pattern(4 << 20)
        const file = yield* makeFile(source)
        const [client, server] = yield* pair(network)
        const leases = new Leases()
        client.connection.pause()
        const expected: Array<Uint8Array> = []
        let total = 0
        for (let i = 0; total < MUCH; i++) {
          const header = pattern(100 + i, i)
          const length = 1_000_000 + i * 4097
          expected.push(header, source.subarray(i * 1000, i * 1000 + length))
          server.call((connection) => connection.send([header, leases.slice(file, i * 1000, length)]))
          total += header.length + length
        }
        expect(server.connection.queuedBytes).toBe(total)
        yield* settle(network)
        expect(server.connection.queuedBytes).toBeGreaterThan(0)
        expect(leases.held).toBeGreaterThan(0)
        client.call((connection) => connection.resume())
        yield* until(() => client.untilReceived(total))
        expectSameBytes(client.bytes(), concat(expected))
        yield* until(() => server.until(() => server.drained > 0))
        expect(server.connection.queuedBytes).toBe(0)
        leases.expectEachOnce()
      }))

    law("a reader that takes a little at a time gets the same bytes", (network) =>
      Effect.gen(function*() {
        const source = pattern(3 << 20)
        const file = yield* makeFile(source)
        const [client, server] = yield* pair(network)
        const leases = new Leases()
        const expected: Array<Uint8Array> = []
        for (let i = 0; i < 6; i++) {
          expected.push(pattern(37, i), source)
          server.connection.send([pattern(37, i), leases.slice(file, 0, source.length)])
        }
        const bytes = concat(expected)
        let turns = 0
        client.onBytes = () => {
          client.connection.pause()
          setImmediate(() => {
            if (turns++ % 3 === 0) setImmediate(() => client.connection.resume())
            else client.connection.resume()
          })
        }
        yield* until(() => client.untilReceived(bytes.length))
        expectSameBytes(client.bytes(), bytes)
        yield* until(() => server.until(() => server.connection.queuedBytes === 0))
        leases.expectEachOnce()
      }))

    law("pause stops reading until resume", (network) =>
      Effect.gen(function*() {
        const [client, server] = yield* pair(network)
        let calls = 0
        client.onBytes = () => {
          calls++
          client.connection.pause()
        }
        server.connection.send([pattern(1000)])
        yield* until(() => client.untilReceived(1000))
        const callsAtPause = calls
        for (let i = 0; i < 20; i++) {
          server.connection.send([pattern(1000)])
          yield* settle(network)
        }
        expect(calls - callsAtPause).toBeLessThanOrEqual(1)
        client.onBytes = undefined
        client.connection.resume()
        yield* until(() => client.untilReceived(21_000))
      }))

    law("a reset in the middle of slices releases each once, and closes both ends once", (network) =>
      Effect.gen(function*() {
        const file = yield* makeFile(pattern(4 << 20))
        for (let round = 0; round < 5; round++) {
          const [client, server] = yield* pair(network)
          const leases = new Leases()
          for (let i = 0; i < 8; i++) server.connection.send([pattern(50), leases.slice(file, i, 3 << 20)])
          client.onBytes = () => {
            if (client.receivedBytes > round * 300_000) client.connection.pause()
          }
          yield* until(() => client.untilReceived(round * 300_000 + 1))
          yield* settle(network)
          expect(leases.held).toBeGreaterThan(0)
          client.call((connection) => connection.destroy())
          // a paused socket may learn of a reset only when it writes
          server.connection.send([leases.slice(file, 0, 100_000)])
          yield* until(() => Promise.all([client.untilClosed(), server.untilClosed()]))
          expect(client.error).toBe(undefined)
          expect(server.error?.kind).toBe("Reset")
          leases.expectEachOnce()
          expect(server.connection.queuedBytes).toBe(0)
          server.call((connection) => connection.send([leases.slice(file, 0, 100_000), pattern(5)]))
          leases.expectEachOnce()
        }
      }))

    law("destroy drops what is queued and releases it at once", (network) =>
      Effect.gen(function*() {
        const file = yield* makeFile(pattern(4 << 20))
        const [client, server] = yield* pair(network)
        const leases = new Leases()
        client.connection.pause()
        for (let i = 0; i < 8; i++) server.connection.send([leases.slice(file, 0, 4 << 20), pattern(10)])
        yield* settle(network)
        server.call((connection) => {
          connection.destroy()
          connection.destroy()
          connection.end()
          connection.pause()
          connection.resume()
          connection.send([leases.slice(file, 0, 4 << 20)])
        })
        leases.expectEachOnce()
        expect(server.connection.queuedBytes).toBe(0)
        yield* until(() => server.untilClosed())
        expect(server.error).toBe(undefined)
        client.connection.resume()
        yield* until(() => client.untilClosed())
        // A host that cannot send a reset (Deno) lets it look like an end in the middle: framing has to notice.
        expect([undefined, "Reset"]).toContain(client.error?.kind)
        expect(client.receivedBytes).toBeLessThan(8 * ((4 << 20) + 10))
      }))

    law("end sends what is queued, then both ends close in order", (network) =>
      Effect.gen(function*() {
        const source = pattern(4 << 20)
        const file = yield* makeFile(source)
        const [client, server] = yield* pair(network)
        const leases = new Leases()
        server.call((connection) => {
          connection.send([pattern(10)])
          connection.send([leases.slice(file, 0, source.length), pattern(20)])
          connection.end()
          connection.end()
          connection.send([leases.slice(file, 0, 100), pattern(7)]) // too late: dropped
        })
        yield* until(() => Promise.all([client.untilClosed(), server.untilClosed()]))
        expectSameBytes(client.bytes(), concat([pattern(10), source, pattern(20)]))
        expect([client.error, server.error]).toEqual([undefined, undefined])
        leases.expectEachOnce()
        yield* settle(network)
        expect([client.closed, server.closed]).toEqual([1, 1])
        expect([client.events.at(-1), server.events.at(-1)]).toEqual(["closed", "closed"])
      }))

    law("queuedBytes counts what was given, and is 0 when onDrained comes", (network) =>
      Effect.gen(function*() {
        const [client, server] = yield* pair(network)
        for (let i = 1; i <= 20; i++) {
          server.call((connection) => connection.send([pattern(i * 1000), new Uint8Array(0), pattern(i)]))
          expect(server.connection.queuedBytes).toBe(i * 1001)
          yield* until(() => server.until(() => server.drained >= i))
          expect(server.connection.queuedBytes).toBe(0)
        }
        yield* until(() => client.untilReceived(1001 * 210))
      }))

    law("what one callback sends is answered though it destroys others", (network) =>
      Effect.gen(function*() {
        const [first, firstServer] = yield* pair(network)
        const [second, secondServer] = yield* pair(network)
        firstServer.onBytes = () => {
          secondServer.connection.destroy()
          firstServer.connection.send([pattern(10)])
          firstServer.connection.end()
        }
        second.connection.send([pattern(1)])
        first.connection.send([pattern(1)])
        yield* until(() => Promise.all([first.untilClosed(), second.untilClosed(), secondServer.untilClosed()]))
        expectSameBytes(first.bytes(), pattern(10))
      }))

    law("no byte of one connection reaches another, though descriptors are used again after resets", (network) =>
      Effect.gen(function*() {
        const REGION = 512 * 1024
        const ids = 64
        const source = new Uint8Array(ids * REGION)
        for (let id = 0; id < ids; id++) source.fill(id, id * REGION, (id + 1) * REGION)
        const file = yield* makeFile(source)
        const leases = new Leases()
        const ends: Array<End> = []
        const listener = yield* listen(network, (server) => {
          ends.push(server)
          server.keep = false
          server.onBytes = (bytes) => {
            const id = bytes[0]!
            for (let i = 0; i < 6; i++) {
              server.connection.send([
                new Uint8Array(100 + id).fill(id),
                leases.slice(file, id * REGION, REGION - id),
                new Uint8Array(20_000).fill(id)
              ])
            }
          }
        })
        const perAnswer = (id: number): number => 6 * (100 + id + REGION - id + 20_000)
        let wrong = 0
        const one = (id: number): Effect.Effect<void, NetworkError> =>
          Effect.gen(function*() {
            const client = yield* connect(network, listener)
            ends.push(client)
            client.keep = false
            const resetAfter = id % 4 === 0 ? undefined : (id * 7919) % 2_000_000 + 1
            client.onBytes = (bytes) => {
              for (let i = 0; i < bytes.length; i++) if (bytes[i] !== id) wrong++
              if (resetAfter !== undefined && client.receivedBytes >= resetAfter) client.connection.destroy()
            }
            client.connection.send([new Uint8Array([id])])
            yield* until(() =>
              resetAfter === undefined ? client.untilReceived(perAnswer(id)) : client.untilClosed()
            )
            if (resetAfter === undefined) expect(client.receivedBytes).toBe(perAnswer(id))
            client.connection.destroy()
          })
        yield* Effect.forEach(Array.from({ length: ids * 3 }, (_, i) => i % ids), one, { concurrency: 12, discard: true })
        expect(wrong).toBe(0)
        yield* until(() => Promise.all(ends.map((end) => end.untilClosed())))
        leases.expectEachOnce()
      }))
  })
}
