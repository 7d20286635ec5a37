/**
 * The requests of one connection and their answers, which come in the order of the requests. Plain callbacks: the
 * effects around it are in RpcConnection.ts.
 *
 * Bounds: `maxInFlight` requests are sent and unanswered; one that nobody waits for any more keeps its place until its
 * answer comes, for the broker still works on it. MAX_QUEUED_BYTES wait in the socket before the next request is
 * written, and none is while the broker throttles (KIP-219). What finds no room waits in the order of its coming; it costs what its caller holds anyway.
 *
 * One timer watches the oldest deadline, and is set again at most once per timeout: a request costs no timer.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Payload } from "../model/Payload.ts"
import { monotonicMs } from "../model/Time.ts"
import type { Connection } from "../ports/Network.ts"
import { ByteReader } from "../protocol/ByteReader.ts"
import { FrameBuffers } from "../protocol/FrameBuffers.ts"
import { FrameReader } from "../protocol/Framing.ts"
import { decodeResponseHeaderOf } from "../protocol/Headers.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import type { ReadTurn } from "./ReadTurn.ts"
import { RpcError } from "./RpcError.ts"

/** Given to the socket and not taken by it, in bytes: more is not written behind that. */
const MAX_QUEUED_BYTES: number = 4 * 1024 * 1024

export interface Submission {
  readonly apiKey: number
  readonly apiName: string
  readonly version: number
  readonly timeoutMs: number
  /** False: nothing answers it; it is settled when it is written. */
  readonly isAnswered: boolean
  /** True: the answer's bytes are `settle`'s only until it returns, so they need no copy. */
  readonly isTransient: boolean
  /** @throws ProtocolError */
  readonly encode: (correlationId: number) => ReadonlyArray<Payload>
  /** Called once, unless the submission was abandoned. Undefined: written, for what is not answered. */
  settle: ((result: ByteReader | RpcError | undefined) => void) | undefined
}

interface Pending {
  readonly submission: Submission
  readonly correlationId: number
  readonly deadlineMs: number
}

/** What a connection that reuses memory keeps for its next answers, in bytes; what is larger is made anew. */
const REUSED_BYTES: number = 4 * 1024 * 1024

export interface PipelineOptions {
  /** "host:port", for messages. */
  readonly where: string
  readonly maxInFlight: number
  readonly maxResponseBytes: number
  /** Makes the memory of large answers. */
  readonly allocate: ((bytes: number) => Uint8Array) | undefined
  /** The memory of an answer is free again when it is settled: who keeps it is given a copy. */
  readonly reusesMemory: boolean
  /** How long a socket may take nothing while requests wait for it, in ms. */
  readonly stallTimeoutMs: number
  readonly clock: Clock.Clock
  readonly turn: ReadTurn
  readonly context: Context.Context<never>
}

export class RpcPipeline {
  readonly #options: PipelineOptions
  readonly #frames: FrameReader
  readonly #endListeners: Set<() => void> = new Set()
  #connection: Connection | undefined
  #error: RpcError | undefined
  #correlationId = 0
  #pending: Array<Pending> = []
  #waiting: Array<Submission> = []
  /** When the socket, full since then, counts as dead. */
  #stallDeadlineMs = Infinity
  /** Nothing is written before; 0: the broker throttles nothing. */
  #throttledUntilMs = 0
  #watch: Fiber.Fiber<void> | undefined
  #watchAtMs = Infinity
  #lastUsedMs: number

  constructor(options: PipelineOptions) {
    this.#options = options
    this.#lastUsedMs = monotonicMs(options.clock)
    this.#frames = new FrameReader({
      maxBytes: options.maxResponseBytes,
      handOver: !options.reusesMemory,
      ...(options.reusesMemory ? { buffers: new FrameBuffers(REUSED_BYTES) } : {}),
      allocate: options.allocate,
      onFrame: (frame, isOwn) => this.#onFrame(frame, isOwn)
    })
  }

  get isOpen(): boolean {
    return this.#error === undefined && this.#connection !== undefined
  }
  /** Requests that are not answered or not written yet. */
  get inFlight(): number {
    return this.#pending.length + this.#waiting.length
  }
  /** When the last request was written or the last answer came, by the monotonic clock. */
  get lastUsedMs(): number {
    return this.#lastUsedMs
  }
  get connection(): Connection | undefined {
    return this.#connection
  }

  /** All that is timed here waits for time that passes, whatever is done to the wall clock. */
  #nowMs(): number {
    return monotonicMs(this.#options.clock)
  }

  attach(connection: Connection): void {
    this.#connection = connection
  }

  /** Where a large answer under way goes on. */
  readBuffer(): Uint8Array | undefined {
    return this.#error === undefined ? this.#frames.space : undefined
  }

  onData(bytes: Uint8Array): void {
    if (this.#error !== undefined) return
    const { turn } = this.#options
    turn.begin()
    try {
      this.#frames.push(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.fail(new RpcError("Malformed", `${this.#options.where}: ${error.message}`))
    } finally {
      turn.end()
    }
  }

  onDrained(): void {
    this.#stallDeadlineMs = Infinity
    this.#pump()
  }

  #onFrame(frame: Uint8Array, isOwn: boolean): void {
    if (this.#error !== undefined) return
    const pending = this.#pending[0]
    const { where } = this.#options
    if (pending === undefined) return this.fail(new RpcError("Malformed", `${where} sent an answer that nothing asked for`))
    const { apiKey, isTransient, settle, version } = pending.submission
    // What is decoded may hold views: on bytes that stay.
    const reader = new ByteReader(isOwn || isTransient ? frame : frame.slice())
    const correlationId = decodeResponseHeaderOf(reader, apiKey, version)
    if (correlationId !== pending.correlationId) {
      const message = `${where}: correlation id ${correlationId} answers, ${pending.correlationId} was asked`
      return this.fail(new RpcError("Malformed", message))
    }
    this.#pending.shift()
    this.#lastUsedMs = this.#nowMs()
    settle?.(reader)
    if (this.#waiting.length > 0) this.#pump()
  }

  submit(submission: Submission): void {
    if (this.#error !== undefined) return submission.settle?.(this.#error)
    if (this.#waiting.length === 0 && this.#hasRoom(submission)) return this.#write(submission)
    this.#waiting.push(submission)
  }

  /** Nobody waits for it any more: it is not sent if it was not yet; else its answer is awaited and dropped. */
  abandon(submission: Submission): void {
    submission.settle = undefined
    const at = this.#waiting.indexOf(submission)
    if (at >= 0) this.#waiting.splice(at, 1)
  }

  /** Nothing more is written for so long. */
  throttle(throttleMs: number): void {
    if (this.#error !== undefined) return
    const untilMs = this.#nowMs() + throttleMs
    if (untilMs <= this.#throttledUntilMs) return
    this.#throttledUntilMs = untilMs
    this.#watchUntil(untilMs)
  }

  #isThrottled(): boolean {
    if (this.#nowMs() < this.#throttledUntilMs) return true
    this.#throttledUntilMs = 0
    return false
  }

  #hasRoom(submission: Submission): boolean {
    if (this.#throttledUntilMs !== 0 && this.#isThrottled()) return false
    if (submission.isAnswered && this.#pending.length >= this.#options.maxInFlight) return false
    if (this.#connection!.queuedBytes < MAX_QUEUED_BYTES) return true
    if (this.#stallDeadlineMs === Infinity) {
      this.#stallDeadlineMs = this.#nowMs() + this.#options.stallTimeoutMs
      this.#watchUntil(this.#stallDeadlineMs)
    }
    return false
  }

  #pump(): void {
    while (this.#error === undefined && this.#waiting.length > 0 && this.#hasRoom(this.#waiting[0]!)) {
      this.#write(this.#waiting.shift()!)
    }
  }

  #write(submission: Submission): void {
    const correlationId = this.#correlationId
    let payloads: ReadonlyArray<Payload>
    try {
      payloads = submission.encode(correlationId)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const kind = error.kind === "UnsupportedVersion" ? "UnsupportedVersion" : "InvalidRequest"
      return submission.settle?.(new RpcError(kind, `${submission.apiName} to ${this.#options.where}: ${error.message}`))
    }
    this.#correlationId = (correlationId + 1) & 0x7fffffff
    const nowMs = this.#lastUsedMs = this.#nowMs()
    if (submission.isAnswered) {
      const deadlineMs = nowMs + submission.timeoutMs
      this.#pending.push({ submission, correlationId, deadlineMs })
      this.#watchUntil(deadlineMs)
    }
    this.#connection!.send(payloads)
    if (!submission.isAnswered) submission.settle?.(undefined)
  }

  #watchUntil(deadlineMs: number): void {
    if (deadlineMs >= this.#watchAtMs) return
    this.#watch?.interruptUnsafe()
    this.#watchAtMs = deadlineMs
    const pauseMs = deadlineMs - this.#nowMs()
    this.#watch = Effect.runForkWith(this.#options.context)(
      Effect.andThen(Effect.sleep(pauseMs), Effect.sync(() => this.#onWatch()))
    )
  }

  /** Ends the connection if a deadline is over; else goes on if it was throttled, and looks again at the next one. */
  #onWatch(): void {
    this.#watch = undefined
    this.#watchAtMs = Infinity
    const nowMs = this.#nowMs()
    let next = this.#stallDeadlineMs
    for (const { deadlineMs, submission } of this.#pending) {
      if (deadlineMs <= nowMs) {
        const message = `${this.#options.where} did not answer ${submission.apiName} within ${submission.timeoutMs} ms`
        return this.fail(new RpcError("TimedOut", message))
      }
      next = Math.min(next, deadlineMs)
    }
    if (next <= nowMs) {
      const message = `${this.#options.where} took no bytes for ${this.#options.stallTimeoutMs} ms`
      return this.fail(new RpcError("TimedOut", message))
    }
    if (this.#throttledUntilMs !== 0 && this.#isThrottled()) next = Math.min(next, this.#throttledUntilMs)
    if (next < Infinity) this.#watchUntil(next)
    this.#pump()
  }

  /**
   * Ends the connection; everyone who waits fails with `error`. Orderly: what the socket still holds leaves first, as
   * requests without an answer count as sent.
   */
  fail(error: RpcError, isOrderly = false): void {
    if (this.#error !== undefined) return
    this.#error = error
    if (isOrderly) this.#connection?.end()
    else this.#connection?.destroy()
    this.#watch?.interruptUnsafe()
    this.#watch = undefined
    this.#frames.close()
    const pending = this.#pending
    const waiting = this.#waiting
    this.#pending = []
    this.#waiting = []
    // The owner first: who fails may ask it for another connection at once.
    for (const listener of this.#endListeners) listener()
    this.#endListeners.clear()
    for (const { submission } of pending) submission.settle?.(error)
    for (const submission of waiting) submission.settle?.(error)
  }

  /** Calls `listener` once when the connection is over, at once if it is. @returns how to leave */
  onEnd(listener: () => void): () => void {
    if (this.#error !== undefined) listener()
    else this.#endListeners.add(listener)
    return () => this.#endListeners.delete(listener)
  }
}
