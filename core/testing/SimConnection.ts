/**
 * One end of a connection of the simulated network. Each direction is a queue (what `send` was given; slices keep their
 * leases there), the wire (segments on their way, in order) and the inbox of the other end, bounded like a kernel's.
 */
import { isFileSlice, type Payload, releaseAll } from "../model/Payload.ts"
import { type Address, type Connection, type ConnectionHandler, NetworkError } from "../ports/Network.ts"
import type { SimHost } from "./SimHost.ts"
import type { SimProcess } from "./SimProcess.ts"

/** On the wire and unread, in each direction, in bytes. */
export const BUFFER_BYTES: number = 256 * 1024
/** Given to a reader in one call at most, in bytes. */
export const SEGMENT_BYTES: number = 64 * 1024

export type Segment = Uint8Array | "end" | "reset"

/** What an end asks of the network. */
export interface SimWire {
  /** Sends the first segment of `from.wire` on its way, if none is and the link is open. */
  readonly pump: (from: SimConnection) => void
  /** When a segment arrives that is sent now. */
  readonly arrivalMs: (from: SimConnection, bytes: number) => number
  readonly closed: (end: SimConnection) => void
}

export class SimConnection implements Connection {
  readonly local: Address
  readonly remote: Address
  readonly host: SimHost
  readonly process: SimProcess
  peer!: SimConnection
  queuedBytes = 0
  /** On the way to the peer, in order, each with the earliest time of its arrival. */
  readonly wire: Array<{ readonly segment: Segment; atMs: number }> = []
  /** Of the first on the wire a timer is set. */
  isOnTheWay = false
  /** Bytes on the wire never arrive any more, and neither end is told. */
  isLost = false
  readonly #net: SimWire
  #handler: ConnectionHandler | undefined
  #queue: Array<Payload> = []
  /** Bytes of the first in the queue that have left. */
  #headSent = 0
  #wireBytes = 0
  #inbox: Array<Uint8Array> = []
  #inboxBytes = 0
  #isPaused = false
  #isEnding = false
  #isClosed = false
  /** The peer's end is behind what is in the inbox. */
  #endArrived = false
  #isFlushing = false
  #isDelivering = false

  constructor(net: SimWire, host: SimHost, process: SimProcess, local: Address, remote: Address) {
    this.#net = net
    this.host = host
    this.process = process
    this.local = local
    this.remote = remote
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** What arrived before is read now. */
  set handler(handler: ConnectionHandler) {
    this.#handler = handler
    this.#scheduleDelivery()
  }

  // -- the port ------------------------------------------------------------------------------------------------

  send(payloads: ReadonlyArray<Payload>): void {
    if (this.#isClosed || this.#isEnding) return releaseAll(payloads)
    for (const payload of payloads) {
      if (payload.length > 0) {
        this.#queue.push(payload)
        this.queuedBytes += payload.length
      } else if (isFileSlice(payload)) payload.release()
    }
    this.#scheduleFlush()
  }
  pause(): void {
    this.#isPaused = true
  }
  resume(): void {
    this.#isPaused = false
    this.#scheduleDelivery()
  }
  end(): void {
    if (this.#isClosed || this.#isEnding) return
    this.#isEnding = true
    this.#scheduleFlush()
  }
  destroy(): void {
    if (this.#isClosed) return
    // As TCP: bytes that were dropped or not read make the close a reset, else the peer sees an end.
    const isReset = this.queuedBytes > 0 || this.#inboxBytes > 0
    this.#close(undefined)
    this.#transmit(isReset ? "reset" : "end")
  }

  // -- what the network does to it -----------------------------------------------------------------------------

  /** The process is gone: its kernel resets the connection, a machine without power says nothing. */
  abandon(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // Leases of a dead process are nobody's: releasing them would run its code.
    this.#queue = []
    this.queuedBytes = 0
    this.#inbox = []
    this.#net.closed(this)
    if (this.host.isOn) this.#transmit("reset")
  }

  /** The connection breaks, as by a middlebox or an unplugged cable: each end is told by a reset. */
  break(): void {
    this.#close(new NetworkError("Reset", "connection reset by peer"))
  }

  /** The first segment on the wire is lost for good, and so is all behind it: a stream ends, it has no holes. */
  giveUp(): void {
    this.wire.length = 0
    this.break()
    this.#transmit("reset")
  }

  /** A segment of the peer's is here. */
  arrive(segment: Segment): void {
    const { peer } = this
    if (segment instanceof Uint8Array) peer.#wireBytes -= segment.length
    if (this.#isClosed) {
      // Who ended before reads no more; who is gone answers with a reset.
      if (!this.#isEnding && segment !== "reset" && !peer.#isClosed) this.#transmit("reset")
      return
    }
    if (segment === "reset") return this.break()
    if (segment === "end") this.#endArrived = true
    else {
      this.#inbox.push(segment)
      this.#inboxBytes += segment.length
    }
    this.#scheduleDelivery()
  }

  /** There is room at the peer again. */
  #scheduleFlush(): void {
    if (this.#isFlushing || this.#isClosed) return
    this.#isFlushing = true
    this.process.scheduleTask(this.#flush)
  }

  readonly #flush = (): void => {
    this.#isFlushing = false
    if (this.#isClosed) return
    let hasSent = false
    while (this.#queue.length > 0) {
      const room = BUFFER_BYTES - this.#wireBytes - this.peer.#inboxBytes
      if (room <= 0) break
      let bytes: Uint8Array
      try {
        bytes = this.#take(Math.min(room, SEGMENT_BYTES))
      } catch (cause) {
        this.#close(new NetworkError("Io", `send: ${String(cause)}`))
        this.#transmit("reset")
        return
      }
      hasSent = true
      this.queuedBytes -= bytes.length
      this.#wireBytes += bytes.length
      this.#transmit(bytes)
    }
    if (this.#queue.length > 0) return
    if (this.#isEnding) {
      this.#close(undefined)
      this.#transmit("end")
    } else if (hasSent) this.#handler?.onDrained()
  }

  #transmit(segment: Segment): void {
    const atMs = this.#net.arrivalMs(this, segment instanceof Uint8Array ? segment.length : 0)
    const last = this.wire.at(-1)
    this.wire.push({ segment, atMs: last === undefined ? atMs : Math.max(atMs, last.atMs) })
    this.#net.pump(this)
  }

  /** Copies up to `limit` bytes off the queue; a slice's lease ends with its last byte. */
  #take(limit: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(limit, this.queuedBytes))
    let at = 0
    let sent = 0
    while (at < bytes.length) {
      const payload = this.#queue[sent]!
      const n = Math.min(payload.length - this.#headSent, bytes.length - at)
      const target = bytes.subarray(at, at + n)
      if (isFileSlice(payload)) {
        const position = payload.position + this.#headSent
        if (payload.file.read(target, position) < n) {
          throw new RangeError(`${payload.file.path} ends before ${position + n}, inside a leased slice`)
        }
      } else target.set(payload.subarray(this.#headSent, this.#headSent + n))
      at += n
      this.#headSent += n
      if (this.#headSent === payload.length) {
        this.#headSent = 0
        sent++
      }
    }
    releaseAll(this.#queue.splice(0, sent))
    return bytes
  }

  #scheduleDelivery(): void {
    if (this.#isDelivering || this.#isClosed || (this.#isPaused && !this.#isEnding)) return
    if (this.#inbox.length === 0 && !this.#endArrived) return
    this.#isDelivering = true
    this.process.scheduleTask(this.#deliver)
  }

  /** One read, or the peer's end once all is read. */
  readonly #deliver = (): void => {
    this.#isDelivering = false
    if (this.#isClosed || (this.#isPaused && !this.#isEnding) || this.#handler === undefined) return
    const bytes = this.#inbox.shift()
    if (bytes === undefined) {
      // What is queued still leaves, for a peer that only half closed.
      if (this.#endArrived) this.end()
      return
    }
    this.#inboxBytes -= bytes.length
    if (!this.#isEnding) this.#handler.onData(bytes)
    if (this.peer.#queue.length > 0) this.peer.#scheduleFlush()
    this.#scheduleDelivery()
  }

  /** Frees all that it holds now; the handler hears of it in a task of its own, after which nothing comes. */
  #close(error: NetworkError | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const rest = this.#queue
    this.#queue = []
    this.queuedBytes = 0
    this.#inbox = []
    this.#inboxBytes = 0
    releaseAll(rest)
    this.#net.closed(this)
    this.process.scheduleTask(() => this.#handler?.onClosed(error))
  }
}
