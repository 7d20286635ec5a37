/**
 * All connections of a broker: accepts within max.connections and max.connections.per.ip, closes what was idle for
 * connections.max.idle.ms, and ends all of them when the broker stops.
 *
 * As in Kafka, a connection beyond max.connections waits unaccepted until another ends; one beyond the limit per
 * address is closed at once. A port has no way not to accept, so waiting means that nothing is read from it. At most
 * MAX_WAITING_CONNECTIONS wait; one more is closed.
 */
import * as Effect from "effect/Effect"
import type { Connection as NetworkConnection, ConnectionHandler, NetworkError } from "../ports/Network.ts"
import { BrokerConnection, type ConnectionHost } from "./Connection.ts"
import type { ConnectionInfo } from "./Handler.ts"

/** Connections over max.connections that wait for another to end. */
export const MAX_WAITING_CONNECTIONS = 50

export interface ConnectionsOptions {
  readonly host: Omit<ConnectionHost, "closed">
  /** Asked at each use: they can be changed while running. */
  readonly maxConnections: () => number
  readonly maxConnectionsPerIp: (address: string) => number
  /** Negative: never. */
  readonly maxIdleMs: () => number
}

export interface ListenerInfo {
  readonly name: string
  readonly securityProtocol: string
}

interface Waiting {
  readonly network: NetworkConnection
  /** Builds the handler and reads on. */
  readonly admit: () => void
}

export class Connections {
  readonly #options: ConnectionsOptions
  readonly #host: ConnectionHost
  readonly #open: Set<BrokerConnection> = new Set()
  readonly #perAddress: Map<string, number> = new Map()
  readonly #waiting: Set<Waiting> = new Set()
  /** Told when the last connection is gone. */
  #onEmpty: (() => void) | undefined
  #isStopping = false
  /** The broker serves: until then who connects waits. */
  #isOpen = false
  #index = 0

  constructor(options: ConnectionsOptions) {
    this.#options = options
    this.#host = { ...options.host, closed: (connection) => this.#closed(connection) }
  }

  get count(): number {
    return this.#open.size
  }

  accept(network: NetworkConnection, listener: ListenerInfo): ConnectionHandler {
    const address = network.remote.host
    const held = this.#perAddress.get(address) ?? 0
    if (this.#isStopping || held >= this.#options.maxConnectionsPerIp(address)) {
      if (!this.#isStopping) this.#warn("connection closed", address, "max.connections.per.ip is reached")
      network.destroy()
      return IGNORE
    }
    const info: ConnectionInfo = {
      id: `${network.local.host}:${network.local.port}-${address}:${network.remote.port}-${this.#index++}`,
      listenerName: listener.name,
      securityProtocol: listener.securityProtocol,
      clientAddress: address,
      principal: "User:ANONYMOUS"
    }
    this.#perAddress.set(address, held + 1)
    if (!this.#hasPlace) return this.#wait(network, info)
    return this.#admit(network, info)
  }

  get #hasPlace(): boolean {
    return this.#isOpen && this.#open.size < this.#options.maxConnections()
  }

  /** Serves from now on. */
  open(): void {
    this.#isOpen = true
    this.#admitWaiting()
  }

  #admitWaiting(): void {
    for (const waiting of this.#waiting) {
      if (!this.#hasPlace) return
      this.#waiting.delete(waiting)
      waiting.admit()
    }
  }

  #admit(network: NetworkConnection, info: ConnectionInfo): BrokerConnection {
    const connection = new BrokerConnection(this.#host, network, info)
    this.#open.add(connection)
    return connection
  }

  #wait(network: NetworkConnection, info: ConnectionInfo): ConnectionHandler {
    if (this.#waiting.size >= MAX_WAITING_CONNECTIONS) {
      this.#warn("connection closed", info.clientAddress, "max.connections is reached and too many wait")
      network.destroy()
      return { ...IGNORE, onClosed: () => this.#forget(info.clientAddress) }
    }
    if (this.#isOpen) this.#warn("connection waits", info.clientAddress, "max.connections is reached")
    let inner: BrokerConnection | undefined
    // What was read before the pause took hold: at most a read or two of the socket.
    const early: Array<Uint8Array> = []
    const waiting: Waiting = {
      network,
      admit: () => {
        inner = this.#admit(network, info)
        // Before what came early: that may meet a bound, and pause.
        network.resume()
        for (const bytes of early) inner.onData(bytes)
      }
    }
    this.#waiting.add(waiting)
    network.pause()
    return {
      onData: (bytes) => inner === undefined ? void early.push(bytes.slice()) : inner.onData(bytes),
      onDrained: () => inner?.onDrained(),
      onClosed: (error: NetworkError | undefined) => {
        if (inner !== undefined) return inner.onClosed(error)
        this.#waiting.delete(waiting)
        this.#forget(info.clientAddress)
      }
    }
  }

  #closed(connection: BrokerConnection): void {
    if (!this.#open.delete(connection)) return
    this.#forget(connection.info.clientAddress)
    this.#admitWaiting()
    if (this.#open.size === 0) this.#onEmpty?.()
  }

  #forget(address: string): void {
    const held = (this.#perAddress.get(address) ?? 1) - 1
    if (held === 0) this.#perAddress.delete(address)
    else this.#perAddress.set(address, held)
  }

  #warn(what: string, peer: string, reason: string): void {
    this.#host.runFork(Effect.annotateLogs(Effect.logWarning(what), { peer, reason }))
  }

  /** Closes the idle; gives how long until the next can be idle. Called by one fiber of the broker. */
  closeIdle(): number {
    const maxIdleMs = this.#options.maxIdleMs()
    if (maxIdleMs < 0) return 60_000
    const nowMs = this.#host.monotonicMs()
    let nextMs = maxIdleMs
    for (const connection of this.#open) {
      const leftMs = connection.lastActiveMs + maxIdleMs - nowMs
      if (leftMs <= 0) connection.destroy()
      else if (leftMs < nextMs) nextMs = leftMs
    }
    return Math.max(1, nextMs)
  }

  /** No more requests; each connection ends when what it owes is sent. */
  stop(): void {
    this.#isStopping = true
    for (const waiting of this.#waiting) waiting.network.destroy()
    for (const connection of this.#open) connection.stop()
  }

  destroyAll(): void {
    for (const connection of this.#open) connection.destroy()
  }

  /** When the last connection is gone. */
  readonly awaitEmpty: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.#open.size === 0) return resume(Effect.void)
    this.#onEmpty = () => resume(Effect.void)
  })
}

const IGNORE: ConnectionHandler = { onData: () => {}, onDrained: () => {}, onClosed: () => {} }
