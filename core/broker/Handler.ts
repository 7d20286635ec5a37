/**
 * What one API's handler is: a number, a version range and a function from a request to a reply.
 *
 * Handlers run synchronously inside the network's callback, so a request that can be answered at once costs no fiber.
 * The bytes under `reader` (and every view decoded from them) are the handler's only until `handle` returns; Produce's
 * records alone live until the turn's write (see AppendTurn.ts). What an effect or a `Later` needs of a request must
 * be decoded before, and decoded `records` and other byte views copied.
 *
 * A thrown ProtocolError means that the request is malformed: its connection is closed with a log line. Anything else
 * that is thrown, and a defect of an effect, is a bug of ours: it is logged and the connection closed.
 */
import * as EffectModule from "effect/Effect"
import type { ByteReader } from "../protocol/ByteReader.ts"
import type { ByteWriter } from "../protocol/ByteWriter.ts"

/** What stays the same for all requests of a connection. */
export interface ConnectionInfo {
  /** `localHost:localPort-remoteHost:remotePort-index`, as Kafka names connections in its logs. */
  readonly id: string
  /** The listener it came in by: `PLAINTEXT`. Metadata answers with that listener's advertised addresses. */
  readonly listenerName: string
  readonly securityProtocol: string
  /** The peer's host, without the port. */
  readonly clientAddress: string
  /** `User:ANONYMOUS` until connections are authenticated. */
  readonly principal: string
}

export interface RequestContext {
  readonly connection: ConnectionInfo
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  /** Null and empty are different on the wire. */
  readonly clientId: string | null
  /** When the request was read, by the broker's monotonic clock. */
  readonly monotonicMs: number
}

/** Appends the body of a response (no size, no header) in the request's version. Called once, soon after it is given. */
export type ResponseBody = (writer: ByteWriter) => void

/** The request is done and its client awaits no answer (Produce with acks=0). */
export const NoResponse = "NoResponse" as const
export type NoResponse = typeof NoResponse

/** Closes the connection instead of answering: acks=0 with an error, as Kafka does. */
export class CloseConnection {
  readonly _tag = "CloseConnection"
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

export type Response = ResponseBody | NoResponse | CloseConnection

/**
 * An answer that comes later without a fiber: long polls, appends that await their write. Whoever holds it calls
 * `complete` once; the connection puts the answer in its place in the order of requests.
 */
export class Later {
  /** Set when the connection is gone: the answer will go nowhere, so there is no need to make it. */
  cancelled = false
  /** Called once when the connection goes before the answer: leave what you wait in. */
  onCancel: (() => void) | undefined = undefined
  #response: Response | undefined = undefined
  #listener: ((response: Response) => void) | undefined = undefined

  /** The response's body is encoded before this returns or never, so leases it took are released either way. */
  complete(response: Response): void {
    if (this.cancelled || this.#response !== undefined) return
    this.#response = response
    this.onCancel = undefined
    this.#listener?.(response)
  }

  get isDone(): boolean {
    return this.#response !== undefined
  }

  /** For the connection. */
  listen(listener: (response: Response) => void): void {
    if (this.#response !== undefined) listener(this.#response)
    else this.#listener = listener
  }

  /** For the connection. */
  cancel(): void {
    if (this.cancelled || this.#response !== undefined) return
    this.cancelled = true
    const onCancel = this.onCancel
    this.onCancel = undefined
    onCancel?.()
  }
}

/**
 * A response now, a response later, or an effect that makes it (a fiber per request: for what waits for the
 * controller or the device). An effect goes on when its connection closes, as in Kafka; its answer is dropped.
 */
export type Reply = Response | Later | EffectModule.Effect<Response>

export const isEffectReply = (reply: Reply): reply is EffectModule.Effect<Response> => EffectModule.isEffect(reply)

/** One API. `handlers/<Api>.ts` exports `make<Api>(broker: BrokerServices): Handler`. */
export interface Handler {
  readonly apiKey: number
  /** What ApiVersions advertises for it is `[advertisedMin ?? minVersion, maxVersion]`. */
  readonly minVersion: number
  readonly maxVersion: number
  /** Produce is advertised from 0 although its lowest version is 3 (librdkafka needs it). */
  readonly advertisedMin?: number
  readonly handle: (context: RequestContext, reader: ByteReader) => Reply
}
