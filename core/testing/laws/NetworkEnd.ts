/** What the laws of the Network port watch connections with. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { FileSlice, ReadableFile } from "../../model/Payload.ts"
import type { Connection, ConnectionHandler, Listener, Network, NetworkError } from "../../ports/Network.ts"
import { concat } from "./Bytes.ts"
import { ensureSame, LawViolation } from "./Law.ts"

/** Counts releases of the slices it makes. */
export class Leases {
  readonly releases: Array<number> = []
  slice(file: ReadableFile, position: number, length: number): FileSlice {
    const index = this.releases.push(0) - 1
    return { file, position, length, release: () => void this.releases[index]!++ }
  }
  get held(): number {
    return this.releases.filter((count) => count === 0).length
  }
  ensureEachOnce(): void {
    ensureSame(this.releases.filter((count) => count !== 1), [], "releases of slices, of those that were not released once")
  }
}

/** One end, with what happened to it. `received` are copies unless `keep` is off. */
export class End implements ConnectionHandler {
  connection!: Connection
  readonly events: Array<string> = []
  received: Array<Uint8Array> = []
  receivedBytes = 0
  drained = 0
  closed = 0
  error: NetworkError | undefined
  /** While the law is in a call on the connection. */
  inCall = false
  onBytes: ((bytes: Uint8Array) => void) | undefined
  keep = true
  /** Memory that it offers for the next bytes; undefined: none. What comes in it is kept as it is, not copied. */
  offer: (() => Uint8Array | undefined) | undefined
  private offered: Uint8Array | undefined
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
  readBuffer(): Uint8Array | undefined {
    if (this.closed > 0) this.broken = "readBuffer after onClosed"
    if (this.offer !== undefined) this.offered = this.offer()
    return this.offered
  }
  onData(bytes: Uint8Array): void {
    this.happened("data")
    const isOurs = this.offered !== undefined && bytes.buffer === this.offered.buffer
    if (isOurs && bytes.byteOffset !== this.offered?.byteOffset) this.broken = "bytes that do not begin where readBuffer's memory does"
    if (this.keep) this.received.push(isOurs ? bytes : bytes.slice())
    this.receivedBytes += bytes.length
    this.onBytes?.(bytes)
    if (!isOurs) bytes.fill(0xee) // they are ours until we return
    this.offered = undefined
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
    const violation = (broken: string): LawViolation => new LawViolation(broken, this.events)
    if (holds()) return this.broken === undefined ? Promise.resolve() : Promise.reject(violation(this.broken))
    return new Promise((resolve, reject) =>
      this.waiting.push({ holds, done: (broken) => (broken === undefined ? resolve() : reject(violation(broken))) })
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

/** Bytes that tell their position. */
export const pattern = (length: number, salt = 0): Uint8Array => {
  const words = new Uint32Array((length + 3) >> 2)
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + salt + 1, 0x9e3779b1)
  return new Uint8Array(words.buffer, 0, length)
}

export const until = (wait: () => Promise<unknown>): Effect.Effect<void, unknown> =>
  Effect.asVoid(Effect.tryPromise({ try: wait, catch: (error) => error }))

/** One turn of the runtime's loop, in which its sockets can be read and written. */
export const turn = (): Promise<void> => Effect.runPromise(Effect.yieldNow)

export const listen = (
  network: Network,
  accepted: (end: End) => void = () => {}
): Effect.Effect<Listener, NetworkError, Scope> =>
  network.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    const end = new End()
    end.connection = connection
    accepted(end)
    return end
  })

export const connect = (network: Network, listener: Listener): Effect.Effect<End, NetworkError> => {
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
export const pair = (network: Network): Effect.Effect<readonly [client: End, server: End], NetworkError, Scope> =>
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
export const settle = (network: Network): Effect.Effect<void, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const [client, server] = yield* pair(network)
    server.onBytes = (bytes) => server.connection.send([bytes.slice()])
    for (let i = 1; i <= 50; i++) {
      client.connection.send([new Uint8Array(1)])
      yield* until(() => client.untilReceived(i))
    }
  }))
