/**
 * A connection's life, the same on the three runtimes: open; then ending (what is queued leaves, what arrives is
 * dropped); then closed. What differs, a runtime's socket, is below the abstract methods.
 */
import type { FileSlice, Payload } from "../../core/model/Payload.ts"
import { type Address, type Connection, type ConnectionHandler, NetworkError } from "../../core/ports/Network.ts"
import type { Libc } from "./Libc.ts"
import { toNetworkError } from "./NetworkErrors.ts"
import { type SendHost, SendQueue } from "./SendQueue.ts"

/** How long a connection that we ended waits for its peer to end too, in ms: a close with unread bytes would be a reset. */
const LINGER_MS = 1000

export interface SocketConnectionOptions {
  readonly remote: Address
  readonly local: Address
  /** Its sendfile(2), if it has one. */
  readonly libc: Libc
}

export abstract class SocketConnection implements Connection, SendHost {
  readonly remote: Address
  readonly local: Address
  readonly sendfile: ((slice: FileSlice, position: number, length: number) => number) | undefined
  readonly sendBefore: ((bytes: Uint8Array) => number) | undefined
  protected readonly queue: SendQueue
  private handler: ConnectionHandler | undefined
  /** Asked for by us or by the peer's end. */
  protected ending = false
  /** No more reads, writes or use of the descriptor. */
  protected dead = false
  private reported = false
  private peerEnded = false
  private shut = false
  private error: NetworkError | undefined
  private linger: ReturnType<typeof setTimeout> | undefined

  constructor(options: SocketConnectionOptions) {
    this.remote = options.remote
    this.local = options.local
    this.queue = new SendQueue(this)
    const { sendBefore, sendfile } = options.libc
    this.sendfile = sendfile === undefined ? undefined : (slice, position, length) => {
      // Both numbers are read now, in the same turn as the call: after a close they may be another connection's.
      const socket = this.dead ? -1 : this.descriptor()
      const file = slice.file.descriptor
      return socket < 0 || file < 0 ? -1 : sendfile(socket, file, position, length)
    }
    this.sendBefore = sendBefore === undefined ? undefined : (bytes) => {
      const socket = this.dead ? -1 : this.descriptor()
      return socket < 0 ? -1 : sendBefore(socket, bytes)
    }
  }

  /** The socket's descriptor now; -1 when closed or not known. */
  protected abstract descriptor(): number
  protected abstract stopReading(): void
  protected abstract startReading(): void
  /** Sends our end after what was written. */
  protected abstract closeSending(): void
  /** Frees the socket at once; `dropping` when bytes that were queued are lost, which the peer should see as a reset. */
  protected abstract closeSocket(dropping: boolean): void
  abstract write(chunks: ReadonlyArray<Uint8Array>): boolean

  /** The owner's callbacks; before the first read. */
  attach(handler: ConnectionHandler): void {
    this.handler = handler
  }

  get queuedBytes(): number {
    return this.queue.queuedBytes
  }

  send(payloads: ReadonlyArray<Payload>): void {
    this.queue.send(payloads)
  }

  pause(): void {
    if (!this.dead && !this.ending) this.stopReading()
  }

  resume(): void {
    if (!this.dead && !this.ending) this.startReading()
  }

  end(): void {
    if (this.dead || this.ending) return
    this.ending = true
    this.queue.end()
    this.startReading() // to see the peer's end; its bytes are dropped
  }

  destroy(): void {
    this.kill(undefined)
  }

  shutdown(): void {
    if (this.dead) return
    this.shut = true
    if (this.peerEnded) return this.kill(undefined)
    this.closeSending()
    this.linger = setTimeout(() => this.kill(undefined), LINGER_MS)
    this.linger.unref?.()
  }

  failed(cause: unknown): void {
    this.kill(toNetworkError(cause, "send"))
  }

  drained(): void {
    if (!this.dead) this.handler?.onDrained()
  }

  later(task: () => void): void {
    setImmediate(task)
  }

  /** Where the handler wants the next bytes, for a runtime that can read into memory of others. */
  protected wanted(): Uint8Array | undefined {
    return this.ending || this.dead ? undefined : this.handler?.readBuffer?.()
  }

  /** From the runtime: bytes, which are the handler's until it returns. */
  protected received(bytes: Uint8Array): void {
    if (!this.ending && !this.dead) this.handler?.onData(bytes)
  }

  /** From the runtime: the peer sends no more. What is queued still leaves, for a peer that only half closed. */
  protected receivedEnd(): void {
    if (this.dead || this.peerEnded) return
    this.peerEnded = true
    if (this.shut) return this.kill(undefined)
    this.ending = true
    this.queue.end()
  }

  /** Ends it now; the runtime's own close event, or ours, then reports it. */
  protected kill(error: NetworkError | undefined): void {
    if (this.dead) return
    this.dead = true
    this.error = error
    clearTimeout(this.linger)
    const dropping = this.queue.queuedBytes > 0
    this.queue.close()
    this.closeSocket(dropping)
  }

  /**
   * The runtime freed the socket: nothing comes after this. A close that nobody asked for, before both ends were
   * seen, is a reset: some runtimes tell it as a close only.
   */
  protected reportClosed(error?: NetworkError): void {
    if (this.reported) return
    this.reported = true
    if (!this.dead) {
      this.dead = true
      clearTimeout(this.linger)
      if (!(this.peerEnded && this.queue.queuedBytes === 0) && !this.shut) {
        this.error = error ?? new NetworkError("Reset", "connection reset by peer")
      }
      this.queue.close()
    }
    this.handler?.onClosed(this.error)
  }
}

export const showAddress = (address: Address): string =>
  address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
