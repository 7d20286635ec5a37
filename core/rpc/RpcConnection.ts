/**
 * A connection to a broker: requests are pipelined, their answers matched by order and correlation id, versions
 * negotiated once by ApiVersions (KIP-511: a broker that does not know our version says so in version 0).
 *
 * A request that is not answered within its timeout ends the connection, as in Kafka's own client: its answer could
 * come any time later and nothing tells how late. All who wait then fail; whoever owns the connection makes another.
 *
 * Bounds: `maxInFlightRequests` requests are sent and unanswered, more wait for a place; a response is at most
 * `maxResponseBytes` long.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Payload } from "../model/Payload.ts"
import { type Address, type Connection, Network, NetworkError } from "../ports/Network.ts"
import { ApiKey } from "../protocol/ApiKey.ts"
import { ByteReader } from "../protocol/ByteReader.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { FrameReader } from "../protocol/Framing.ts"
import { type ApiVersionsResponse, decodeApiVersionsResponse, encodeApiVersionsRequest } from "../protocol/generated/ApiVersions.ts"
import { decodeResponseHeaderOf, requestFrame } from "../protocol/Headers.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import { commonVersion, type RpcApi, rpcApi, type VersionRange } from "./RpcApi.ts"

/** `TimedOut` also ends the connection. `Malformed`: the peer's bytes are not an answer; ends it too. */
export type RpcErrorKind = "Unreachable" | "Disconnected" | "TimedOut" | "UnsupportedVersion" | "Malformed"

export class RpcError extends Error {
  readonly _tag = "RpcError"
  readonly kind: RpcErrorKind
  constructor(kind: RpcErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export interface RpcOptions {
  readonly clientId?: string | null
  /** `request.timeout.ms`. Default 30000. */
  readonly requestTimeoutMs?: number
  /** `max.in.flight.requests.per.connection`. Default 100. */
  readonly maxInFlightRequests?: number
  /** Default 128 MiB. */
  readonly maxResponseBytes?: number
  /** Told to the broker (KIP-511). */
  readonly softwareName?: string
  readonly softwareVersion?: string
  /** False: no ApiVersions request; every call states its version. Default true. */
  readonly negotiate?: boolean
}

export interface CallOptions {
  /** Instead of the highest common one. */
  readonly version?: number
  readonly timeoutMs?: number
}

export interface RpcConnection {
  readonly address: Address
  readonly isOpen: boolean
  /** What the broker said it serves, by api key; empty without negotiation. */
  readonly versions: ReadonlyMap<number, VersionRange>
  /** The highest version of an API that both sides speak. */
  readonly versionOf: (api: RpcApi<never, unknown>) => number | undefined
  /** Sends a request and awaits its answer. Its bytes are the caller's own. */
  readonly call: <Request, Response>(
    api: RpcApi<Request, Response>,
    request: Request,
    options?: CallOptions
  ) => Effect.Effect<Response, RpcError>
  /** Sends a request that has no answer (Produce with acks=0). */
  readonly tell: <Request>(
    api: RpcApi<Request, unknown>,
    request: Request,
    options?: { readonly version?: number }
  ) => Effect.Effect<void, RpcError>
  /** Sends bytes as they are, outside of every rule: for tests of a broker's manners. */
  readonly sendRaw: (payloads: ReadonlyArray<Payload>) => void
  /** Completes when the connection is over. */
  readonly closed: Effect.Effect<void>
  readonly close: () => void
  /** Stops and restarts reading: for flow control. */
  readonly pause: () => void
  readonly resume: () => void
}

const DEFAULT_TIMEOUT_MS = 30_000
const DEFAULT_MAX_IN_FLIGHT = 100
const DEFAULT_MAX_RESPONSE_BYTES: number = 128 * 1024 * 1024

const apiVersionsApi: RpcApi<Parameters<typeof encodeApiVersionsRequest>[2], ApiVersionsResponse> = rpcApi(
  ApiKey.ApiVersions,
  encodeApiVersionsRequest,
  decodeApiVersionsResponse
)

interface Pending {
  readonly correlationId: number
  readonly apiKey: number
  readonly version: number
  readonly answered: (reader: ByteReader) => void
  readonly failed: (error: RpcError) => void
}

class Client {
  readonly #pending: Array<Pending> = []
  readonly #closedListeners: Set<() => void> = new Set()
  readonly #frames: FrameReader
  #connection: Connection | undefined
  #correlationId = 0
  #error: RpcError | undefined

  constructor(maxResponseBytes: number) {
    this.#frames = new FrameReader({ maxBytes: maxResponseBytes, onFrame: (frame) => this.#onFrame(frame) })
  }

  get isOpen(): boolean {
    return this.#error === undefined && this.#connection !== undefined
  }
  get connection(): Connection | undefined {
    return this.#connection
  }

  attach(connection: Connection): void {
    this.#connection = connection
  }

  onData(bytes: Uint8Array): void {
    if (this.#error !== undefined) return
    try {
      this.#frames.push(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.fail(new RpcError("Malformed", error.message))
    }
  }

  #onFrame(frame: Uint8Array): void {
    const pending = this.#pending[0]
    if (this.#error !== undefined) return
    if (pending === undefined) return this.fail(new RpcError("Malformed", "an answer that nothing asked for"))
    // What is decoded may hold views: they are on a copy, for the frame goes away.
    const reader = new ByteReader(frame.slice())
    const correlationId = decodeResponseHeaderOf(reader, pending.apiKey, pending.version)
    if (correlationId !== pending.correlationId) {
      return this.fail(
        new RpcError("Malformed", `correlation id ${correlationId} answers, ${pending.correlationId} was asked`)
      )
    }
    this.#pending.shift()
    pending.answered(reader)
  }

  /** @returns why it was not sent */
  send(
    api: RpcApi<never, unknown>,
    version: number,
    encode: (frame: { correlationId: number }) => Array<Payload>,
    handlers: Pick<Pending, "answered" | "failed"> | undefined
  ): RpcError | undefined {
    if (this.#error !== undefined) return this.#error
    const correlationId = this.#correlationId
    this.#correlationId = (correlationId + 1) & 0x7fffffff
    const payloads = encode({ correlationId })
    if (handlers !== undefined) this.#pending.push({ correlationId, apiKey: api.key, version, ...handlers })
    this.#connection!.send(payloads)
    return undefined
  }

  /** Ends the connection; everyone who waits fails with `error`. */
  fail(error: RpcError): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.#connection?.destroy()
    for (const { failed } of this.#pending.splice(0)) failed(error)
    for (const listener of this.#closedListeners) listener()
    this.#closedListeners.clear()
  }

  onClosedDo(listener: () => void): () => void {
    if (this.#error !== undefined) listener()
    else this.#closedListeners.add(listener)
    return () => this.#closedListeners.delete(listener)
  }
}

/** Connects and, unless told not to, negotiates versions. The connection ends with the scope. */
export const connect = (
  address: Address,
  options: RpcOptions = {}
): Effect.Effect<RpcConnection, RpcError, Network | Scope> =>
  Effect.gen(function*() {
    const network = yield* Network
    const clientId = options.clientId === undefined ? "ottla" : options.clientId
    const timeoutMs = options.requestTimeoutMs ?? DEFAULT_TIMEOUT_MS
    const places = yield* Semaphore.make(options.maxInFlightRequests ?? DEFAULT_MAX_IN_FLIGHT)
    const client = new Client(options.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES)
    const where = `${address.host}:${address.port}`
    const closeHere = Effect.sync(() =>
      client.fail(new RpcError("Disconnected", `the connection to ${where} was closed here`))
    )

    yield* Effect.acquireRelease(
      network.connect(address, (connection) => {
        client.attach(connection)
        return {
          onData: (bytes) => client.onData(bytes),
          onDrained: () => {},
          onClosed: (error) =>
            client.fail(new RpcError("Disconnected", `${where} closed the connection${error === undefined ? "" : `: ${error.message}`}`))
        }
      }).pipe(Effect.onInterrupt(() => closeHere)),
      () => closeHere,
      // Else the time limit below would wait for what it is to end.
      { interruptible: true }
    ).pipe(
      Effect.mapError((error: NetworkError) => new RpcError("Unreachable", error.message)),
      Effect.timeoutOrElse({
        duration: timeoutMs,
        orElse: () => Effect.fail(new RpcError("TimedOut", `${where} did not accept within ${timeoutMs} ms`))
      })
    )

    let versions: ReadonlyMap<number, VersionRange> = new Map()
    const versionOf = (api: RpcApi<never, unknown>): number | undefined => commonVersion(api, versions.get(api.key))

    const frame = <Request>(api: RpcApi<Request, unknown>, version: number, request: Request) =>
    ({ correlationId }: { correlationId: number }): Array<Payload> =>
      requestFrame(
        { apiKey: api.key, apiVersion: version, correlationId, clientId },
        (writer) => api.encodeRequest(writer, version, request)
      )

    const chosenVersion = (api: RpcApi<never, unknown>, asked: number | undefined): number | RpcError =>
      asked ?? versionOf(api) ??
        new RpcError("UnsupportedVersion", `${where} and this client have no common version of ${api.name}`)

    const callVersion = <Request, Response>(
      api: RpcApi<Request, Response>,
      version: number,
      request: Request,
      callTimeoutMs: number,
      responseVersion: (reader: ByteReader) => number = () => version
    ): Effect.Effect<Response, RpcError> =>
      Effect.callback<Response, RpcError>((resume) => {
        const error = client.send(api, version, frame(api, version, request), {
          answered: (reader) => {
            try {
              resume(Effect.succeed(api.decodeResponse(reader, responseVersion(reader))))
            } catch (error) {
              if (!(error instanceof ProtocolError)) return resume(Effect.die(error))
              const malformed = new RpcError("Malformed", `${api.name} answer of ${where}: ${error.message}`)
              client.fail(malformed)
              resume(Effect.fail(malformed))
            }
          },
          failed: (error) => resume(Effect.fail(error))
        })
        if (error !== undefined) resume(Effect.fail(error))
      }).pipe(
        Effect.timeoutOrElse({
          duration: callTimeoutMs,
          orElse: () =>
            Effect.suspend(() => {
              const error = new RpcError("TimedOut", `${where} did not answer ${api.name} within ${callTimeoutMs} ms`)
              client.fail(error)
              return Effect.fail(error)
            })
        }),
        places.withPermits(1)
      )

    const call: RpcConnection["call"] = (api, request, callOptions = {}) =>
      Effect.suspend(() => {
        const version = chosenVersion(api, callOptions.version)
        return typeof version !== "number"
          ? Effect.fail(version)
          : callVersion(api, version, request, callOptions.timeoutMs ?? timeoutMs)
      })

    const tell: RpcConnection["tell"] = (api, request, tellOptions = {}) =>
      Effect.suspend(() => {
        const version = chosenVersion(api, tellOptions.version)
        if (typeof version !== "number") return Effect.fail(version)
        const error = client.send(api, version, frame(api, version, request), undefined)
        return error === undefined ? Effect.void : Effect.fail(error)
      })

    if (options.negotiate !== false) {
      const request = {
        clientSoftwareName: options.softwareName ?? "ottla",
        clientSoftwareVersion: options.softwareVersion ?? "0.1.0"
      }
      // int16 error code comes first in every version: 35 is told in version 0, whatever was asked.
      const answerVersion = (asked: number) => (reader: ByteReader): number => {
        const at = reader.position
        const error = reader.int16()
        reader.position = at
        return error === ErrorCode.UNSUPPORTED_VERSION ? 0 : asked
      }
      const first = apiVersionsApi.maxVersion
      let answer = yield* callVersion(apiVersionsApi, first, request, timeoutMs, answerVersion(first))
      if (answer.errorCode === ErrorCode.UNSUPPORTED_VERSION) {
        const theirs = answer.apiKeys.find(({ apiKey }) => apiKey === ApiKey.ApiVersions)
        const version = commonVersion(apiVersionsApi, theirs) ?? 0
        answer = yield* callVersion(apiVersionsApi, version, version >= 3 ? request : {}, timeoutMs)
      }
      if (answer.errorCode !== ErrorCode.NONE) {
        return yield* Effect.fail(new RpcError("UnsupportedVersion", `${where} refused ApiVersions: ${answer.errorCode}`))
      }
      versions = new Map(answer.apiKeys.map(({ apiKey, maxVersion, minVersion }) => [apiKey, { minVersion, maxVersion }]))
    }

    const connection: RpcConnection = {
      address,
      get isOpen() {
        return client.isOpen
      },
      versions,
      versionOf,
      call,
      tell,
      sendRaw: (payloads) => client.connection!.send(payloads),
      closed: Effect.callback<void>((resume) => {
        const leave = client.onClosedDo(() => resume(Effect.void))
        return Effect.sync(leave)
      }),
      close: () => client.fail(new RpcError("Disconnected", `the connection to ${where} was closed here`)),
      pause: () => client.connection!.pause(),
      resume: () => client.connection!.resume()
    }
    return connection
  })
