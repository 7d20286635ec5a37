/**
 * A connection of the Network port in the shape of a Node socket, for clients that let one bring sockets: kafkajs'
 * `socketFactory` for one. It has what such clients use of `net.Socket` (events, `write`, `end`, `destroy`, `pause`,
 * `resume`), and settings of a kernel's socket (`setKeepAlive`, `setNoDelay`, `ref`) are taken and mean nothing.
 */
import * as Effect from "effect/Effect"
import type { Connection, Network, NetworkError } from "../ports/Network.ts"

/** What kafkajs gives to a `socketFactory`. */
export interface SocketFactoryOptions {
  readonly host: string
  readonly port: number
  /** TLS is not spoken in memory: asking for it is an error. */
  readonly ssl?: unknown
  readonly onConnect: () => void
}

type Listener = (...values: ReadonlyArray<any>) => void

/** What Node's Buffer has and other arrays of bytes have not. */
interface BufferConstructor {
  readonly allocUnsafe: (size: number) => Uint8Array
}

/** Written before the connection is there, in bytes; more is an error of the client's, which was not told to go on. */
const MAX_EARLY_BYTES = 1024 * 1024

const encoder = new TextEncoder()

/** The events and calls of a `net.Socket` that clients of Kafka use. */
export class MemorySocket {
  /** As of `net.Socket`. */
  connecting = true
  destroyed = false
  readonly #listeners: Map<string, Array<{ readonly listener: Listener; readonly once: boolean }>> = new Map()
  #connection: Connection | undefined
  /** Written before the connection was there. */
  #early: Array<Uint8Array> = []
  #earlyBytes = 0
  #isEnding = false
  #isPaused = false
  /**
   * The kind of bytes that the client works with: a client on Node writes Buffers and calls methods of Buffer on what
   * it reads, and nothing here may name a runtime's class. Kafka's clients write first.
   */
  #kind: BufferConstructor | undefined
  readonly #interrupt: () => void

  constructor(network: Network, { host, onConnect, port }: SocketFactoryOptions, run: (effect: Effect.Effect<void>) => () => void) {
    this.on("connect", onConnect)
    this.#interrupt = run(
      network.connect({ host, port }, (connection) => {
        this.#connection = connection
        return {
          onData: (bytes) => this.emit("data", this.#own(bytes)),
          onDrained: () => this.emit("drain"),
          onClosed: (error) => this.#closed(error)
        }
      }).pipe(
        Effect.matchEffect({
          onFailure: (error) => Effect.sync(() => this.#closed(error)),
          onSuccess: (connection) => Effect.sync(() => this.#connected(connection))
        })
      )
    )
  }

  get writable(): boolean {
    return !this.destroyed && !this.#isEnding
  }
  get readyState(): string {
    return this.connecting ? "opening" : this.destroyed ? "closed" : "open"
  }

  #connected(connection: Connection): void {
    if (this.destroyed) return connection.destroy()
    this.connecting = false
    if (this.#isPaused) connection.pause()
    const early = this.#early
    this.#early = []
    this.emit("connect")
    this.emit("ready")
    if (early.length > 0) connection.send(early)
    if (this.#isEnding) connection.end()
  }

  #closed(error: NetworkError | undefined): void {
    if (this.destroyed) return
    this.destroyed = true
    this.connecting = false
    if (error === undefined) this.emit("end")
    else this.emit("error", error)
    this.emit("close", error !== undefined)
  }

  /** The bytes that a connection lends are the client's to keep, in its kind. */
  #own(bytes: Uint8Array): Uint8Array {
    if (this.#kind === undefined) return bytes.slice()
    const own = this.#kind.allocUnsafe(bytes.length)
    own.set(bytes)
    return own
  }

  /** @param encodingOrDone text is UTF-8 whatever an encoding says; Kafka's clients write bytes */
  write(data: Uint8Array | string, encodingOrDone?: unknown, done?: () => void): boolean {
    const bytes = typeof data === "string" ? encoder.encode(data) : data
    const kind = bytes.constructor as Partial<BufferConstructor>
    if (this.#kind === undefined && typeof kind.allocUnsafe === "function") this.#kind = kind as BufferConstructor
    const told = typeof encodingOrDone === "function" ? encodingOrDone as () => void : done
    if (this.destroyed || this.#isEnding) {
      queueMicrotask(() => this.emit("error", new Error("write after end")))
      return false
    }
    if (this.connecting) {
      this.#earlyBytes += bytes.length
      if (this.#earlyBytes > MAX_EARLY_BYTES) throw new RangeError(`more than ${MAX_EARLY_BYTES} bytes are written before the connection is there`)
      this.#early.push(bytes)
    } else this.#connection!.send([bytes])
    if (told !== undefined) queueMicrotask(told)
    return this.connecting || this.#connection!.queuedBytes === 0
  }

  end(data?: Uint8Array | string): this {
    if (data !== undefined) this.write(data)
    if (!this.#isEnding && !this.destroyed) {
      this.#isEnding = true
      if (!this.connecting) this.#connection!.end()
    }
    return this
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.#interrupt()
    this.#connection?.destroy()
    queueMicrotask(() => {
      if (error !== undefined) this.emit("error", error)
      this.emit("close", error !== undefined)
    })
    return this
  }

  pause(): this {
    this.#isPaused = true
    this.#connection?.pause()
    return this
  }
  resume(): this {
    this.#isPaused = false
    this.#connection?.resume()
    return this
  }

  setKeepAlive(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  /** Nothing is idle by the wall clock here: the timeout never comes. In brackets, because it is no timer of ours. */
  ["setTimeout"](_ms: number, onTimeout?: () => void): this {
    return onTimeout === undefined ? this : this.once("timeout", onTimeout)
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }

  on(event: string, listener: Listener): this {
    return this.#add(event, listener, false)
  }
  addListener(event: string, listener: Listener): this {
    return this.#add(event, listener, false)
  }
  once(event: string, listener: Listener): this {
    return this.#add(event, listener, true)
  }
  #add(event: string, listener: Listener, once: boolean): this {
    this.#listeners.set(event, [...this.#listeners.get(event) ?? [], { listener, once }])
    return this
  }

  off(event: string, listener: Listener): this {
    const all = this.#listeners.get(event) ?? []
    const at = all.findLastIndex((each) => each.listener === listener)
    if (at >= 0) this.#listeners.set(event, all.filter((_, index) => index !== at))
    return this
  }
  removeListener(event: string, listener: Listener): this {
    return this.off(event, listener)
  }
  removeAllListeners(event?: string): this {
    if (event === undefined) this.#listeners.clear()
    else this.#listeners.delete(event)
    return this
  }

  /** @returns whether anyone listens */
  emit(event: string, ...values: ReadonlyArray<unknown>): boolean {
    const all = this.#listeners.get(event) ?? []
    for (const { listener, once } of all) {
      if (once) this.off(event, listener)
      listener(...values)
    }
    return all.length > 0
  }
}
