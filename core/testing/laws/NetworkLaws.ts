/** What every layer of the Network port keeps on its own runtime. A law waits for conditions, never for time. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import type { Payload, ReadableFile } from "../../model/Payload.ts"
import { Network, type NetworkError } from "../../ports/Network.ts"
import { concat } from "./Bytes.ts"
import { Dice, ensure, ensureSame, ensureSameBytes, type Law, LAW_PATIENCE_MS, lawOf, show } from "./Law.ts"
import { connect, End, Leases, listen, pair, pattern, settle, turn, until } from "./NetworkEnd.ts"

/** Makes a file with these bytes, of the kind whose slices the network is to send; it is gone with the scope. */
export type MakeFile = (bytes: Uint8Array) => Effect.Effect<ReadableFile, never, Scope>

export interface NetworkLawsOptions {
  /** In ms: what does not happen by then breaks the law. Default LAW_PATIENCE_MS. */
  readonly patienceMs?: number
}

/** Larger than what kernels take for one connection on loopback, so that a reader can stall a sender. In bytes. */
const MUCH = 24 * 1024 * 1024

const refusal = (effect: Effect.Effect<unknown, NetworkError>): Effect.Effect<string | undefined> =>
  Effect.match(effect, { onSuccess: () => undefined, onFailure: ({ kind }) => kind })

/** One call of `send`, and whether a turn of the loop follows. */
interface Send {
  readonly pieces: ReadonlyArray<{ readonly isSlice: boolean; readonly position: number; readonly length: number }>
  readonly isTurn: boolean
}

/** Lengths around what layers treat differently: nothing, headers, a sendfile's least, more than a buffer. */
const makeSends = (dice: Dice): ReadonlyArray<Send> =>
  dice.list(8, () => ({
    isTurn: dice.isOneIn(2),
    pieces: dice.list(12, () => ({
      isSlice: dice.isOneIn(2),
      position: dice.below(500_001),
      length: dice.pick([dice.below(41), dice.below(5001), dice.between(32_000, 33_500), dice.below(400_001)])
    }))
  }))

/** The laws of the Network port. @param layer is built anew for each law @param makeFile for slices of files; bytes in memory do where there is no file */
export const networkLaws = (
  layer: Layer.Layer<Network>,
  makeFile: MakeFile,
  options: NetworkLawsOptions = {}
): ReadonlyArray<Law> => {
  const { patienceMs = LAW_PATIENCE_MS } = options
  const on = (name: string, check: (network: Network) => Effect.Effect<void, unknown, Scope>): Law =>
    lawOf(name, () => Effect.provide(Effect.flatMap(Network, check), layer), patienceMs)

  return [
    on("port 0 takes a free port, and both ends know each other's address", (network) =>
      Effect.gen(function*() {
        const [client, server] = yield* pair(network)
        ensure(server.connection.local.port > 0, "the port that was taken is not 0")
        ensureSame(client.connection.remote.port, server.connection.local.port, "the server's port as the client knows it")
        ensureSame(client.connection.local.port, server.connection.remote.port, "the client's port")
      })),

    on("a taken port is AddressInUse", (network) =>
      Effect.gen(function*() {
        const listener = yield* listen(network)
        ensure(listener.address.port > 0, "the port that was taken is not 0")
        const again = network.listen({ ...listener.address }, () => new End())
        ensureSame(yield* refusal(Effect.scoped(again)), "AddressInUse", "a second listener's failure")
      })),

    on("an empty host listens on every address", (network) =>
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
      })),

    on("when a listener's scope ends its port refuses and its connections live on", (network) =>
      Effect.gen(function*() {
        const [client, server, listener] = yield* Effect.scoped(Effect.gen(function*() {
          let resolve: (end: End) => void
          const accepted = new Promise<End>((done) => resolve = done)
          const listener = yield* listen(network, (end) => resolve(end))
          const client = yield* connect(network, listener)
          client.connection.send([new Uint8Array([1])])
          return [client, yield* Effect.promise(() => accepted), listener] as const
        }))
        ensureSame(yield* refusal(connect(network, listener)), "Refused", "a connection to the closed port")
        server.connection.send([pattern(1000)])
        yield* until(() => client.untilReceived(1000))
        client.connection.end()
        yield* until(() => Promise.all([client.untilClosed(), server.untilClosed()]))
      })),

    on("an interrupted connect leaves nothing behind", (network) =>
      Effect.gen(function*() {
        const accepted: Array<End> = []
        const listener = yield* listen(network, (end) => void accepted.push(end))
        for (let round = 0; round < 5; round++) {
          const fiber = yield* Effect.forkChild(connect(network, listener), { startImmediately: true })
          for (let turns = 0; turns < round; turns++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          const exit = yield* Fiber.await(fiber)
          // it was there already: then it is ours to end
          if (Exit.isSuccess(exit)) exit.value.connection.destroy()
        }
        yield* settle(network)
        yield* until(() => Promise.all(accepted.map((end) => end.untilClosed())))
      })),

    on("bytes arrive in order and unchanged, however payloads are split and mixed with slices", (network) =>
      Effect.gen(function*() {
        const source = pattern(1 << 20)
        const file = yield* makeFile(source)
        for (let seed = 20_261_121; seed < 20_261_121 + 25; seed++) {
          const script = makeSends(new Dice(seed))
          const [client, server] = yield* pair(network)
          const leases = new Leases()
          const expected: Array<Uint8Array> = []
          for (const { isTurn, pieces } of script) {
            const payloads: Array<Payload> = pieces.map(({ isSlice, length, position }) => {
              const bytes = source.slice(position, position + length)
              expected.push(bytes)
              return isSlice ? leases.slice(file, position, length) : bytes.slice()
            })
            server.call((connection) => connection.send(payloads))
            if (isTurn) yield* Effect.yieldNow
          }
          const bytes = concat(expected)
          server.call((connection) => connection.end())
          yield* until(() => client.untilClosed())
          ensureSameBytes(client.bytes(), bytes, "what arrived")
          ensureSame(client.error?.kind, undefined, "the client's error")
          yield* until(() => server.untilClosed())
          leases.ensureEachOnce()
          ensureSame(server.connection.queuedBytes, 0, "queuedBytes")
        }
      })),

    on("a stalled reader stalls the sender, holds its leases, and then gets the same bytes", (network) =>
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
        ensureSame(server.connection.queuedBytes, total, "queuedBytes in the turn of the sends")
        yield* settle(network)
        ensure(server.connection.queuedBytes > 0, "some bytes are queued while the reader stalls")
        ensure(leases.held > 0, "slices that were not sent are held")
        client.call((connection) => connection.resume())
        yield* until(() => client.untilReceived(total))
        ensureSameBytes(client.bytes(), concat(expected), "what arrived")
        yield* until(() => server.until(() => server.drained > 0))
        ensureSame(server.connection.queuedBytes, 0, "queuedBytes")
        leases.ensureEachOnce()
      })),

    on("a reader that takes a little at a time gets the same bytes", (network) =>
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
          void turn().then(async () => {
            if (turns++ % 3 === 0) await turn()
            client.connection.resume()
          })
        }
        yield* until(() => client.untilReceived(bytes.length))
        ensureSameBytes(client.bytes(), bytes, "what arrived")
        yield* until(() => server.until(() => server.connection.queuedBytes === 0))
        leases.ensureEachOnce()
      })),

    on("bytes that come in memory which the reader offers are the reader's for good", (network) =>
      Effect.gen(function*() {
        const source = pattern(3 << 20)
        const file = yield* makeFile(source)
        for (let seed = 20_261_121; seed < 20_261_121 + 5; seed++) {
          const dice = new Dice(seed)
          const [client, server] = yield* pair(network)
          const leases = new Leases()
          const expected: Array<Uint8Array> = []
          client.offer = () => {
            if (dice.isOneIn(3)) return undefined
            const margin = dice.below(100)
            return new Uint8Array(dice.pick([1, dice.between(2, 5000), dice.between(60_000, 400_000)]) + margin).subarray(margin)
          }
          if (dice.isOneIn(2)) {
            client.onBytes = () => {
              if (!dice.isOneIn(3)) return
              client.connection.pause()
              void turn().then(() => client.connection.resume())
            }
          }
          for (let i = 0; i < 4; i++) {
            const length = dice.between(1, source.length)
            expected.push(pattern(37, i), source.subarray(0, length))
            server.connection.send([pattern(37, i), leases.slice(file, 0, length)])
          }
          server.connection.end()
          yield* until(() => client.untilClosed())
          // Kept as they came, so nothing was written over what came before.
          ensureSameBytes(client.bytes(), concat(expected), "what arrived")
          yield* until(() => server.untilClosed())
          leases.ensureEachOnce()
        }
      })),

    on("pause stops reading until resume", (network) =>
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
        ensure(calls - callsAtPause <= 1, () => `${calls - callsAtPause} reads after the pause`)
        client.onBytes = undefined
        client.connection.resume()
        yield* until(() => client.untilReceived(21_000))
      })),

    on("a reset in the middle of slices releases each once, and closes both ends once", (network) =>
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
          ensure(leases.held > 0, "slices that were not sent are held")
          client.call((connection) => connection.destroy())
          // a paused socket may learn of a reset only when it writes
          server.connection.send([leases.slice(file, 0, 100_000)])
          yield* until(() => Promise.all([client.untilClosed(), server.untilClosed()]))
          ensureSame(client.error?.kind, undefined, "the client's error")
          ensureSame(server.error?.kind, "Reset", "the server's error")
          leases.ensureEachOnce()
          ensureSame(server.connection.queuedBytes, 0, "queuedBytes")
          server.call((connection) => connection.send([leases.slice(file, 0, 100_000), pattern(5)]))
          leases.ensureEachOnce()
        }
      })),

    on("destroy drops what is queued and releases it at once", (network) =>
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
        leases.ensureEachOnce()
        ensureSame(server.connection.queuedBytes, 0, "queuedBytes")
        yield* until(() => server.untilClosed())
        ensureSame(server.error?.kind, undefined, "the server's error")
        client.connection.resume()
        yield* until(() => client.untilClosed())
        // A host that cannot send a reset (Deno) lets it look like an end in the middle: framing has to notice.
        ensure(client.error === undefined || client.error.kind === "Reset", () => `the client's error: ${show(client.error)}`)
        ensure(client.receivedBytes < 8 * ((4 << 20) + 10), "what was dropped does not arrive")
      })),

    on("end sends what is queued, then both ends close in order", (network) =>
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
        ensureSameBytes(client.bytes(), concat([pattern(10), source, pattern(20)]), "what arrived")
        ensureSame([client.error?.kind, server.error?.kind], [undefined, undefined], "errors of both ends")
        leases.ensureEachOnce()
        yield* settle(network)
        ensureSame([client.closed, server.closed], [1, 1], "closes of both ends")
        ensureSame([client.events.at(-1), server.events.at(-1)], ["closed", "closed"], "last events of both ends")
      })),

    on("queuedBytes counts what was given, and is 0 when onDrained comes", (network) =>
      Effect.gen(function*() {
        const [client, server] = yield* pair(network)
        for (let i = 1; i <= 20; i++) {
          server.call((connection) => connection.send([pattern(i * 1000), new Uint8Array(0), pattern(i)]))
          ensureSame(server.connection.queuedBytes, i * 1001, "queuedBytes in the turn of the send")
          yield* until(() => server.until(() => server.drained >= i))
          ensureSame(server.connection.queuedBytes, 0, "queuedBytes")
        }
        yield* until(() => client.untilReceived(1001 * 210))
      })),

    on("what one callback sends is answered though it destroys others", (network) =>
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
        ensureSameBytes(first.bytes(), pattern(10), "what arrived")
      })),

    on("no byte of one connection reaches another, though descriptors are used again after resets", (network) =>
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
        const one = (id: number): Effect.Effect<void, unknown> =>
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
            if (resetAfter === undefined) ensureSame(client.receivedBytes, perAnswer(id), "bytes of one answer")
            client.connection.destroy()
          })
        yield* Effect.forEach(Array.from({ length: ids * 3 }, (_, i) => i % ids), one, { concurrency: 12, discard: true })
        ensureSame(wrong, 0, "bytes of other connections")
        yield* until(() => Promise.all(ends.map((end) => end.untilClosed())))
        leases.ensureEachOnce()
      }))
  ]
}
