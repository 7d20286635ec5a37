/**
 * Network in memory: for embedding, tests and simulation. Nothing happens but as a task of the Effect scheduler that the
 * layer was built with, so a seeded scheduler decides every interleaving and the same seed gives the same run.
 *
 * Each direction of a connection is a queue (what `send` was given; slices keep their leases there) and, behind it,
 * a buffer of bounded size like a kernel's: a reader that pauses stalls the sender's queue once that is full.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Scheduler, type SchedulerDispatcher } from "effect/Scheduler"
import type { Scope } from "effect/Scope"
import { isFileSlice, type Payload, releaseAll } from "../model/Payload.ts"
import {
  type Address,
  type Connection,
  type ConnectionHandler,
  type Listener,
  type ListenOptions,
  Network,
  NetworkError
} from "../ports/Network.ts"

export interface MemoryNetworkOptions {
  /** Held for a reader in each direction, in bytes. Default 256 KiB. */
  readonly bufferBytes?: number
  /** Given to a reader in one call at most, in bytes. Default 64 KiB. */
  readonly segmentBytes?: number
  /**
   * Runs before each arrival, one after the other in each direction; what a simulation delays or withholds things
   * with. Default: nothing.
   */
  readonly transmit?: (from: Address, to: Address, bytes: number) => Effect.Effect<void>
}

const DEFAULT_BUFFER_BYTES = 256 * 1024
const DEFAULT_SEGMENT_BYTES = 64 * 1024
/** Ports that a listener on port 0 and connecting ends take, in turn. */
const FIRST_EPHEMERAL_PORT = 49152
const LAST_PORT = 65535

interface Host {
  readonly bufferBytes: number
  readonly segmentBytes: number
  readonly dispatcher: SchedulerDispatcher
  /** Runs `then` once the transmission of `bytes` is through. */
  readonly transmit: ((from: Address, to: Address, bytes: number, then: () => void) => void) | undefined
}

class MemoryConnection implements Connection {
  readonly local: Address
  readonly remote: Address
  queuedBytes = 0
  peer: MemoryConnection | undefined
  handler: ConnectionHandler | undefined
  private readonly host: Host
  private queue: Array<Payload> = []
  /** Bytes of the first in the queue that have left. */
  private headSent = 0
  /** Arrived and not read. */
  private inbox: Array<Uint8Array> = []
  private inboxHead = 0
  /** In the inbox or on the way to it. */
  private inboxBytes = 0
  private paused = false
  private ending = false
  /** The peer's end is behind what is in the inbox. */
  private endArrived = false
  private closed = false
  private pumping = false
  private delivering = false

  constructor(host: Host, local: Address, remote: Address) {
    this.host = host
    this.local = local
    this.remote = remote
  }

  send(payloads: ReadonlyArray<Payload>): void {
    if (this.closed || this.ending) return releaseAll(payloads)
    for (const payload of payloads) {
      if (payload.length > 0) {
        this.queue.push(payload)
        this.queuedBytes += payload.length
      } else if (isFileSlice(payload)) payload.release()
    }
    this.schedulePump()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.scheduleDelivery()
  }

  end(): void {
    if (this.closed || this.ending) return
    this.ending = true
    this.schedulePump()
  }

  destroy(): void {
    if (this.closed) return
    // As TCP: bytes that were dropped or not read make the close a reset, else the peer sees an end.
    const reset = this.queuedBytes > 0 || this.inboxBytes > 0
    this.close(undefined)
    const peer = this.peer!
    this.schedule(() => (reset ? peer.close(resetByPeer()) : peer.arriveEnd()))
  }

  private schedule(task: () => void): void {
    this.host.dispatcher.scheduleTask(task, 0)
  }

  /** Frees all that it holds now; the handler hears of it in a task of its own, after which nothing comes. */
  private close(error: NetworkError | undefined): void {
    if (this.closed) return
    this.closed = true
    const rest = this.queue
    this.queue = []
    this.queuedBytes = 0
    this.inbox = []
    this.inboxHead = 0
    this.inboxBytes = 0
    releaseAll(rest)
    this.schedule(() => this.handler?.onClosed(error))
  }

  private schedulePump(): void {
    if (this.pumping || this.closed) return
    this.pumping = true
    this.schedule(this.pump)
  }

  /** Moves from the queue to the peer's inbox, as far as that has room. */
  private readonly pump = (): void => {
    this.pumping = false
    if (this.closed) return
    const peer = this.peer!
    while (this.queue.length > 0) {
      if (peer.closed && !peer.ending) return this.close(resetByPeer()) // it destroyed its end
      const room = peer.closed ? this.host.bufferBytes : this.host.bufferBytes - peer.inboxBytes
      if (room <= 0) return // the peer's next read schedules this again
      let bytes: Uint8Array
      try {
        bytes = this.take(Math.min(room, this.host.segmentBytes))
      } catch (cause) {
        this.close(new NetworkError("Io", `send: ${String(cause)}`))
        peer.close(resetByPeer())
        return
      }
      if (peer.closed) { // it ended before and reads no more
        if (this.taken(bytes.length)) return
        continue
      }
      peer.inboxBytes += bytes.length
      const transmit = this.host.transmit
      if (transmit !== undefined) {
        this.pumping = true // one arrival at a time keeps the order
        transmit(this.local, this.remote, bytes.length, () => {
          peer.arrive(bytes)
          this.taken(bytes.length)
          this.pump()
        })
        return
      }
      peer.arrive(bytes)
      if (this.taken(bytes.length)) return // the handler may have sent more
    }
    if (this.ending) {
      peer.arriveEnd()
      this.close(undefined)
    }
  }

  /** @returns whether that was all, and the handler was told */
  private taken(bytes: number): boolean {
    if (this.closed) return true
    this.queuedBytes -= bytes
    if (this.queuedBytes > 0) return false
    this.schedulePump()
    this.handler?.onDrained()
    return true
  }

  /** Copies up to `limit` bytes off the queue; a slice's lease ends with its last byte. */
  private take(limit: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(limit, this.queuedBytes))
    let at = 0
    let sent = 0
    while (at < bytes.length) {
      const payload = this.queue[sent] as Payload
      const n = Math.min(payload.length - this.headSent, bytes.length - at)
      const target = bytes.subarray(at, at + n)
      if (isFileSlice(payload)) {
        const position = payload.position + this.headSent
        if (payload.file.read(target, position) < n) {
          throw new RangeError(`${payload.file.path} ends before ${position + n}, inside a leased slice`)
        }
      } else target.set(payload.subarray(this.headSent, this.headSent + n))
      at += n
      this.headSent += n
      if (this.headSent === payload.length) {
        this.headSent = 0
        sent++
      }
    }
    const done = this.queue.splice(0, sent)
    releaseAll(done)
    return bytes
  }

  private arrive(bytes: Uint8Array): void {
    if (this.closed) return
    this.inbox.push(bytes)
    this.scheduleDelivery()
  }

  private arriveEnd(): void {
    if (this.closed) return
    this.endArrived = true
    this.scheduleDelivery()
  }

  private scheduleDelivery(): void {
    if (this.delivering || this.closed || (this.paused && !this.ending)) return
    if (this.inboxHead >= this.inbox.length && !this.endArrived) return
    this.delivering = true
    this.schedule(this.deliver)
  }

  /** One read, or the peer's end once all is read. */
  private readonly deliver = (): void => {
    this.delivering = false
    if (this.closed || (this.paused && !this.ending)) return
    const bytes = this.inbox[this.inboxHead]
    if (bytes === undefined) {
      // What is queued still leaves, for a peer that only half closed.
      if (this.endArrived) this.end()
      return
    }
    this.inbox[this.inboxHead++] = EMPTY
    if (this.inboxHead === this.inbox.length) {
      this.inbox = []
      this.inboxHead = 0
    }
    this.inboxBytes -= bytes.length
    if (!this.ending) this.handler?.onData(bytes)
    this.peer!.schedulePump()
    this.scheduleDelivery()
  }
}

const EMPTY = new Uint8Array(0)
const resetByPeer = (): NetworkError => new NetworkError("Reset", "connection reset by peer")

const anyHost = new Set(["", "0.0.0.0", "::"])
const hostOf = (host: string): string => (anyHost.has(host) ? "" : host === "localhost" ? "127.0.0.1" : host)

interface Bound {
  readonly host: string
  readonly port: number
  readonly accept: (connection: Connection) => ConnectionHandler
}

export const make = (options: MemoryNetworkOptions = {}): Effect.Effect<Network> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const transmit = options.transmit
    const host: Host = {
      bufferBytes: options.bufferBytes ?? DEFAULT_BUFFER_BYTES,
      segmentBytes: options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
      dispatcher: Context.get(context, Scheduler).makeDispatcher(),
      transmit: transmit === undefined ? undefined : (from, to, bytes, then) => {
        Effect.runForkWith(context)(Effect.andThen(transmit(from, to, bytes), Effect.sync(then)))
      }
    }
    const listeners: Array<Bound> = []
    let nextPort = FIRST_EPHEMERAL_PORT
    const ephemeralPort = (): number => {
      const port = nextPort
      nextPort = port === LAST_PORT ? FIRST_EPHEMERAL_PORT : port + 1
      return port
    }
    const taken = (name: string, port: number): boolean =>
      listeners.some((bound) => bound.port === port && (bound.host === name || bound.host === "" || name === ""))

    const listen = (
      address: ListenOptions,
      accept: (connection: Connection) => ConnectionHandler
    ): Effect.Effect<Listener, NetworkError, Scope> =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          const name = hostOf(address.host)
          let port = address.port
          if (port === 0) do port = ephemeralPort(); while (taken(name, port))
          else if (taken(name, port)) {
            return Effect.fail(new NetworkError("AddressInUse", `listen on ${address.host}:${port}: address in use`))
          }
          const bound: Bound = { host: name, port, accept }
          listeners.push(bound)
          return Effect.succeed(bound)
        }),
        (bound) => Effect.sync(() => void listeners.splice(listeners.indexOf(bound), 1))
      ).pipe(Effect.map((bound) => ({ address: { host: address.host, port: bound.port } })))

    const connect = (
      address: Address,
      handle: (connection: Connection) => ConnectionHandler
    ): Effect.Effect<Connection, NetworkError> =>
      Effect.callback((resume) => {
        let interrupted = false
        host.dispatcher.scheduleTask(() => {
          if (interrupted) return
          const name = hostOf(address.host)
          const bound = listeners.find((bound) =>
            bound.port === address.port && (bound.host === name || bound.host === "")
          )
          if (bound === undefined) {
            const message = `connect to ${address.host}:${address.port}: nothing listens there`
            return resume(Effect.fail(new NetworkError("Refused", message)))
          }
          const here: Address = { host: address.host, port: ephemeralPort() }
          const client = new MemoryConnection(host, here, address)
          const server = new MemoryConnection(host, address, here)
          client.peer = server
          server.peer = client
          server.handler = bound.accept(server)
          client.handler = handle(client)
          resume(Effect.succeed(client))
        }, 0)
        return Effect.sync(() => {
          interrupted = true
        })
      })

    return { listen, connect, transfer: "copy" }
  })

export const layer = (options: MemoryNetworkOptions = {}): Layer.Layer<Network> =>
  Layer.effect(Network, make(options))
