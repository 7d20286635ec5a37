/**
 * One client's connection: frames in, responses out in the order of the requests, however late each is ready.
 *
 * Everything that can be answered at once is answered inside the network's callback, and all responses that became
 * ready in it leave with one send. Requests that are pipelined do not wait for each other; only their answers do.
 *
 * Bounds, each stops reading until there is room (TCP then slows the client down):
 *  - MAX_IN_FLIGHT_REQUESTS requests without their answer sent
 *  - MAX_QUEUED_RESPONSE_BYTES of responses made and not taken by the client
 * Requests that were already received when a bound was met are kept as copies, at most what one or two reads of the
 * socket hold. A client that stops reading altogether is closed like an idle one, after connections.max.idle.ms
 * without progress in either direction.
 *
 * Whatever goes wrong with one request closes this connection alone, with a log line.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Fiber } from "effect/Fiber"
import { type Payload, payloadLength, releaseAll } from "../model/Payload.ts"
import type { Connection as NetworkConnection, ConnectionHandler, NetworkError } from "../ports/Network.ts"
import { apiFacts } from "../protocol/ApiFacts.ts"
import { ByteWriter } from "../protocol/ByteWriter.ts"
import type { FrameBuffers } from "../protocol/FrameBuffers.ts"
import { FrameReader } from "../protocol/Framing.ts"
import { responseHeader } from "../protocol/Headers.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import type { AppendTurn } from "./AppendTurn.ts"
import type { Dispatcher } from "./Dispatcher.ts"
import {
  CloseConnection,
  type ConnectionInfo,
  isEffectReply,
  Later,
  NoResponse,
  type Reply,
  type RequestContext,
  type Response,
  type ResponseBody
} from "./Handler.ts"

/** Requests of one connection that are not answered yet. */
export const MAX_IN_FLIGHT_REQUESTS = 1024

/** Above it no further request of the connection is handled until its client has read. One response can be larger. */
export const MAX_QUEUED_RESPONSE_BYTES: number = 4 * 1024 * 1024

export interface ConnectionLimits {
  readonly maxInFlightRequests: number
  readonly maxQueuedResponseBytes: number
  /** `socket.request.max.bytes`. */
  readonly maxRequestBytes: number
}

/** What connections share. */
export interface ConnectionHost {
  readonly dispatcher: Dispatcher
  readonly appendTurn: AppendTurn
  readonly limits: ConnectionLimits
  readonly frameBuffers: FrameBuffers
  /** Of a clock that is never set. */
  readonly monotonicMs: () => number
  readonly runFork: (effect: Effect.Effect<unknown>) => Fiber<unknown>
  /** The connection is over; its resources are gone. */
  readonly closed: (connection: BrokerConnection) => void
}

interface Slot {
  readonly context: RequestContext
  readonly responseVersion: number
  /** To be cancelled when the connection goes. */
  later: Later | undefined
  isDone: boolean
  /** When done: the frame, empty when there is no answer. */
  payloads: ReadonlyArray<Payload>
}

const NO_PAYLOADS: ReadonlyArray<Payload> = []

export class BrokerConnection implements ConnectionHandler {
  readonly info: ConnectionInfo
  /** Of the last byte that came or went, for connections.max.idle.ms. */
  lastActiveMs: number
  readonly #host: ConnectionHost
  readonly #network: NetworkConnection
  readonly #frames: FrameReader
  /** In the order of requests; answered ones leave from the front. */
  #slots: Array<Slot> = []
  /** Ready to be sent. */
  #out: Array<Payload> = []
  /** Bytes of responses that are made and not given to the network yet: for the next send, and held for their turn. */
  #outBytes = 0
  #heldBytes = 0
  #writer: ByteWriter | undefined
  /** Requests received while a bound was met. */
  #backlog: Array<Uint8Array> = []
  /** The request being handled, for what is said when it is malformed; undefined between requests. */
  #frame: Uint8Array | undefined
  #inCallback = false
  /** When the network called: the time of all requests of the turn. */
  #turnMs = 0
  readonly #commitTurn: () => void
  #isPaused = false
  #isStopping = false
  #isClosed = false

  constructor(host: ConnectionHost, network: NetworkConnection, info: ConnectionInfo) {
    this.#host = host
    this.#network = network
    this.info = info
    this.lastActiveMs = host.monotonicMs()
    this.#commitTurn = () => host.appendTurn.commit()
    this.#frames = new FrameReader({
      maxBytes: host.limits.maxRequestBytes,
      buffers: host.frameBuffers,
      onFrame: (frame) => this.#onFrame(frame)
    })
  }

  get inFlightRequests(): number {
    return this.#slots.length
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  // -- from the network ----------------------------------------------------------------------------------------

  /** Where a large request under way goes on: its bytes need no copy then. */
  readBuffer(): Uint8Array | undefined {
    return this.#isClosed ? undefined : this.#frames.space
  }

  onData(bytes: Uint8Array): void {
    if (this.#isClosed) return
    this.#callback(() => {
      this.lastActiveMs = this.#turnMs
      this.#frames.push(bytes)
    })
  }

  onDrained(): void {
    if (this.#isClosed) return
    this.lastActiveMs = this.#host.monotonicMs()
    this.#resumeIfRoom()
    this.#endIfStopped()
  }

  onClosed(_error: NetworkError | undefined): void {
    if (!this.#isClosed) this.#release()
    this.#host.closed(this)
  }

  /** Runs `body` as one turn: staged appends are written and ready responses sent before it returns. */
  #callback(body: () => void): void {
    this.#inCallback = true
    this.#turnMs = this.#host.monotonicMs()
    try {
      body()
    } catch (error) {
      this.#fail(error)
    }
    try {
      this.#host.appendTurn.commit()
    } catch (error) {
      this.#fail(error)
    }
    this.#inCallback = false
    this.#flush()
  }

  // -- requests ------------------------------------------------------------------------------------------------

  get #hasRoom(): boolean {
    return this.#slots.length < this.#host.limits.maxInFlightRequests &&
      this.#network.queuedBytes + this.#outBytes + this.#heldBytes <= this.#host.limits.maxQueuedResponseBytes
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#isClosed || this.#isStopping) return
    if (this.#backlog.length === 0) {
      if (!this.#hasRoom) {
        // Many small requests in one read: answering what is staged makes room.
        this.#host.appendTurn.commit()
        this.#flush()
      }
      if (this.#hasRoom) return this.#handle(frame)
    }
    this.#backlog.push(frame.slice())
    if (!this.#isPaused) {
      this.#isPaused = true
      this.#network.pause()
    }
  }

  #handle(frame: Uint8Array): void {
    this.#frame = frame
    const dispatched = this.#host.dispatcher.dispatch(frame, this.info, this.#turnMs, this.#commitTurn)
    if (dispatched._tag === "Refused") {
      return this.#close(`request refused: ${dispatched.reason}`, dispatched.apiKey, dispatched.apiVersion)
    }
    const slot: Slot = {
      context: dispatched.context,
      responseVersion: dispatched.responseVersion,
      later: undefined,
      isDone: false,
      payloads: NO_PAYLOADS
    }
    this.#slots.push(slot)
    this.#await(slot, dispatched.reply)
    this.#frame = undefined
  }

  #await(slot: Slot, reply: Reply): void {
    if (typeof reply === "function" || reply === NoResponse || reply instanceof CloseConnection) {
      this.#settle(slot, reply)
    } else if (reply instanceof Later) {
      slot.later = reply
      reply.listen((response) => this.#settle(slot, response))
    } else if (isEffectReply(reply)) {
      this.#host.runFork(Effect.matchCause(reply, {
        onFailure: (cause) => this.#failed(slot, cause),
        onSuccess: (response) => this.#settle(slot, response)
      }))
    }
  }

  #failed(slot: Slot, cause: Cause.Cause<unknown>): void {
    if (Cause.hasInterruptsOnly(cause)) return this.#close("the broker stops", slot.context.apiKey, slot.context.apiVersion)
    this.#close(`request failed: ${Cause.pretty(cause)}`, slot.context.apiKey, slot.context.apiVersion, true)
  }

  #settle(slot: Slot, response: Response): void {
    if (this.#isClosed) return discard(response)
    slot.later = undefined
    if (response instanceof CloseConnection) {
      this.#flush()
      return this.#close(response.reason, slot.context.apiKey, slot.context.apiVersion)
    }
    const isFirst = slot === this.#slots[0]
    if (response !== NoResponse && !this.#encode(slot, response, isFirst)) return
    slot.isDone = true
    if (isFirst) this.#collect()
    if (!this.#inCallback) {
      this.#flush()
      this.#resumeIfRoom()
    }
  }

  /**
   * Writes a response. The first in the order goes straight to what is sent next, behind those of this turn; another
   * waits as a frame of its own.
   */
  #encode(slot: Slot, response: ResponseBody, isFirst: boolean): boolean {
    const writer = isFirst ? (this.#writer ??= new ByteWriter()) : new ByteWriter()
    const before = writer.length
    try {
      writer.beginFrame()
      responseHeader(writer, slot.context.apiKey, slot.responseVersion, slot.context.correlationId)
      response(writer)
      writer.endFrame()
    } catch (error) {
      releaseAll(writer.finish())
      if (isFirst) this.#writer = undefined
      this.#close(`response could not be written: ${showError(error)}`, slot.context.apiKey, slot.context.apiVersion, true)
      return false
    }
    if (isFirst) {
      this.#outBytes += writer.length - before
    } else {
      this.#heldBytes += writer.length
      slot.payloads = writer.finish()
    }
    return true
  }

  /** Lets the answered requests at the front go, and moves what is kept of them to what is sent next. */
  #collect(): void {
    let count = 0
    for (const slot of this.#slots) {
      if (!slot.isDone) break
      count++
      if (slot.payloads.length === 0) continue
      this.#finishWriter()
      const bytes = payloadLength(slot.payloads)
      this.#heldBytes -= bytes
      this.#outBytes += bytes
      for (const payload of slot.payloads) this.#out.push(payload)
    }
    if (count === 1) this.#slots.shift()
    else if (count === this.#slots.length) this.#slots = []
    else if (count > 0) this.#slots.splice(0, count)
  }

  #finishWriter(): void {
    if (this.#writer === undefined || this.#writer.length === 0) return
    for (const payload of this.#writer.finish()) this.#out.push(payload)
  }

  #flush(): void {
    if (this.#isClosed) return
    this.#finishWriter()
    this.#writer = undefined
    if (this.#out.length > 0) {
      const out = this.#out
      this.#out = []
      this.#outBytes = 0
      this.#network.send(out)
    }
    this.#endIfStopped()
  }

  #resumeIfRoom(): void {
    if (!this.#isPaused || this.#inCallback || this.#isStopping || this.#isClosed) return
    this.#callback(() => {
      while (this.#backlog.length > 0 && !this.#isClosed) {
        if (!this.#hasRoom) {
          this.#host.appendTurn.commit()
          this.#flush()
          if (!this.#hasRoom) return
        }
        this.#handle(this.#backlog.shift()!)
      }
    })
    if (this.#backlog.length === 0 && this.#hasRoom && !this.#isClosed) {
      this.#isPaused = false
      this.#network.resume()
    }
  }

  // -- end -----------------------------------------------------------------------------------------------------

  /** No more requests; closes when those in flight are answered and sent. */
  stop(): void {
    if (this.#isStopping || this.#isClosed) return
    this.#isStopping = true
    this.#backlog = []
    this.#network.pause()
    this.#flush()
  }

  #endIfStopped(): void {
    if (!this.#isStopping || this.#isClosed || this.#slots.length > 0 || this.#network.queuedBytes > 0) return
    this.#network.end()
  }

  /** Closes at once; what is in flight is not answered. */
  destroy(): void {
    if (!this.#isClosed) this.#release()
    this.#network.destroy()
  }

  #fail(error: unknown): void {
    const frame = this.#frame
    this.#frame = undefined
    // A frame begins with int16 api key, int16 version.
    const apiKey = frame === undefined || frame.length < 4 ? undefined : (frame[0]! << 8) | frame[1]!
    const apiVersion = apiKey === undefined ? undefined : (frame![2]! << 8) | frame![3]!
    if (error instanceof ProtocolError) return this.#close(`malformed request: ${error.message}`, apiKey, apiVersion)
    this.#close(`request failed: ${showError(error)}`, apiKey, apiVersion, true)
  }

  #close(reason: string, apiKey: number | undefined, apiVersion: number | undefined, isBug = false): void {
    if (this.#isClosed) return
    // What was staged before the bad request is appended and answered all the same.
    if (this.#inCallback && !isBug) {
      this.#host.appendTurn.commit()
      this.#flush()
    }
    const log = isBug ? Effect.logError("connection closed") : Effect.logWarning("connection closed")
    this.#host.runFork(Effect.annotateLogs(log, {
      peer: this.info.id,
      listener: this.info.listenerName,
      api: apiKey === undefined ? "unknown" : apiFacts.get(apiKey)?.name ?? apiKey,
      version: apiVersion ?? "unknown",
      reason
    }))
    this.#network.end()
    this.#release()
  }

  /** No request is handled any more. The socket itself lives until onClosed, and counts as a connection until then. */
  #release(): void {
    this.#isClosed = true
    // The frame that is incomplete, not one that is being handled: that is the callback's until it ends.
    this.#frames.close()
    const slots = this.#slots
    this.#slots = []
    this.#backlog = []
    this.#finishWriter()
    this.#writer = undefined
    releaseAll(this.#out)
    this.#out = []
    for (const slot of slots) {
      if (slot.isDone) releaseAll(slot.payloads)
      else slot.later?.cancel()
    }
  }
}

/** Ends the leases of a response that has nowhere to go: they are its body's until it is written. */
const discard = (response: Response): void => {
  if (typeof response !== "function") return
  const writer = new ByteWriter(512)
  try {
    response(writer)
  } finally {
    releaseAll(writer.finish())
  }
}

const showError = (error: unknown): string => error instanceof Error ? error.stack ?? error.message : String(error)
