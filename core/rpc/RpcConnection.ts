/**
 * A connection to a broker: requests are pipelined, their answers matched by order and correlation id, versions
 * negotiated once by ApiVersions (KIP-511: a broker that does not know our version says so in version 0).
 *
 * A request that is not answered within its timeout ends the connection, as in Kafka's own client: its answer could
 * come any time later and nothing tells how late. All who wait then fail; whoever owns the connection makes another.
 *
 * A broker that throttles (KIP-219) is sent nothing more until its time is over: requests wait, and their timeouts begin
 * when they are sent.
 *
 * Bounds: those of RpcPipeline.ts; a response is at most `maxResponseBytes` long.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Payload } from "../model/Payload.ts"
import { type Address, Network, NetworkError } from "../ports/Network.ts"
import { ApiKey } from "../protocol/ApiKey.ts"
import type { ByteReader } from "../protocol/ByteReader.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { apiVersionsApi } from "../protocol/generated/ApiVersions.ts"
import { requestFrame } from "../protocol/Headers.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import { commonVersion, type RpcApi, type VersionRange } from "./RpcApi.ts"
import { ReadTurn } from "./ReadTurn.ts"
import { RpcError } from "./RpcError.ts"
import { RpcPipeline, type Submission } from "./RpcPipeline.ts"
import { throttleMsOf } from "./Throttling.ts"

export { RpcError, type RpcErrorKind } from "./RpcError.ts"

export interface RpcOptions {
  readonly clientId?: string | null
  /** `request.timeout.ms`. Default 30000. */
  readonly requestTimeoutMs?: number
  /** `socket.connection.setup.timeout.ms`: how long the peer may take to accept. Default: `requestTimeoutMs`. */
  readonly connectTimeoutMs?: number
  /** `max.in.flight.requests.per.connection`. Default 100. */
  readonly maxInFlightRequests?: number
  /** Default 128 MiB. */
  readonly maxResponseBytes?: number
  /** Told to the broker (KIP-511). */
  readonly softwareName?: string
  readonly softwareVersion?: string
  /** False: no ApiVersions request; every call states its version. Default true. */
  readonly negotiate?: boolean
  /** Shared with other connections of the same client; default: its own. */
  readonly turn?: ReadTurn
  /**
   * True: the memory of answers is used again for later ones. For a connection whose large answers are all asked for with
   * `isTransient`; what others bring is copied. Default false.
   */
  readonly reusesMemory?: boolean
}

export interface CallOptions {
  /** Instead of the highest common one. */
  readonly version?: number
  readonly timeoutMs?: number
}

export interface AskOptions {
  /** Default: `requestTimeoutMs`. */
  readonly timeoutMs?: number
  /** True: what is in the answer is looked at only until `settle` returns, so that its bytes need no copy. */
  readonly isTransient: boolean
}

export interface RpcConnection {
  readonly address: Address
  readonly isOpen: boolean
  /** Requests that are not answered yet. */
  readonly inFlight: number
  /** When it was last used, in milliseconds of the monotonic clock: only differences mean something. */
  readonly lastUsedMs: number
  /** What the broker said it serves, by api key; empty without negotiation. */
  readonly versions: ReadonlyMap<number, VersionRange>
  /** The highest version of an API that both sides speak. */
  readonly versionOf: (api: RpcApi<never, unknown>) => number | undefined
  /** Sends a request and awaits its answer, whose bytes are the caller's own. Interrupted, it lets the answer come and go. */
  readonly call: <Request, Response>(
    api: RpcApi<Request, Response>,
    request: Request,
    options?: CallOptions
  ) => Effect.Effect<Response, RpcError>
  /**
   * As `call`, without an effect, for hot paths. `settle` is called once, when the answer has come; at once if the
   * request cannot be sent.
   */
  readonly ask: <Request, Response>(
    api: RpcApi<Request, Response>,
    version: number,
    request: Request,
    options: AskOptions,
    settle: (result: Response | RpcError) => void
  ) => void
  /** Sends a request that has no answer (Produce with acks=0); done when the socket has room for it. */
  readonly tell: <Request>(
    api: RpcApi<Request, unknown>,
    request: Request,
    options?: { readonly version?: number }
  ) => Effect.Effect<void, RpcError>
  /** Sends bytes as they are, outside of every rule: for tests of a broker's manners. */
  readonly sendRaw: (payloads: ReadonlyArray<Payload>) => void
  /** Completes when the connection is over. */
  readonly closed: Effect.Effect<void>
  /** Calls once when the connection is over; synchronous. @returns how to leave */
  readonly onEnd: (listener: () => void) => () => void
  readonly close: () => void
  /** Stops and restarts reading: for flow control. */
  readonly pause: () => void
  readonly resume: () => void
}

const DEFAULT_TIMEOUT_MS = 30_000
const DEFAULT_MAX_IN_FLIGHT = 100
const DEFAULT_MAX_RESPONSE_BYTES: number = 128 * 1024 * 1024

/** Connects and, unless told not to, negotiates versions. The connection ends with the scope. */
export const connect = (
  address: Address,
  options: RpcOptions = {}
): Effect.Effect<RpcConnection, RpcError, Network | Scope> =>
  Effect.gen(function*() {
    const network = yield* Network
    const clientId = options.clientId === undefined ? "ottla" : options.clientId
    const timeoutMs = options.requestTimeoutMs ?? DEFAULT_TIMEOUT_MS
    const connectTimeoutMs = options.connectTimeoutMs ?? timeoutMs
    const where = `${address.host}:${address.port}`
    const pipeline = new RpcPipeline({
      where,
      maxInFlight: options.maxInFlightRequests ?? DEFAULT_MAX_IN_FLIGHT,
      maxResponseBytes: options.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES,
      allocate: network.allocate,
      reusesMemory: options.reusesMemory ?? false,
      stallTimeoutMs: timeoutMs,
      clock: yield* Clock.Clock,
      turn: options.turn ?? new ReadTurn(),
      context: yield* Effect.context<never>()
    })
    const close = (): void => pipeline.fail(new RpcError("Disconnected", `the connection to ${where} was closed here`), true)
    const closeHere = Effect.sync(close)

    yield* Effect.acquireRelease(
      network.connect(address, (connection) => {
        pipeline.attach(connection)
        return {
          onData: (bytes) => pipeline.onData(bytes),
          readBuffer: () => pipeline.readBuffer(),
          onDrained: () => pipeline.onDrained(),
          onClosed: (error) =>
            pipeline.fail(new RpcError("Disconnected", `${where} closed the connection${error === undefined ? "" : `: ${error.message}`}`))
        }
      }).pipe(Effect.onInterrupt(() => closeHere)),
      () => closeHere,
      // Else the time limit below would wait for what it is to end.
      { interruptible: true }
    ).pipe(
      Effect.mapError((error: NetworkError) => new RpcError("Unreachable", error.message)),
      Effect.timeoutOrElse({
        duration: connectTimeoutMs,
        orElse: () => Effect.fail(new RpcError("TimedOut", `${where} did not accept within ${connectTimeoutMs} ms`))
      })
    )

    let versions: ReadonlyMap<number, VersionRange> = new Map()
    const versionOf = (api: RpcApi<never, unknown>): number | undefined => commonVersion(api, versions.get(api.key))

    const submission = <Request>(
      api: RpcApi<Request, unknown>,
      version: number,
      request: Request,
      callTimeoutMs: number,
      isAnswered: boolean,
      isTransient: boolean,
      settle: NonNullable<Submission["settle"]>
    ): Submission => ({
      apiKey: api.key,
      apiName: api.name,
      version,
      timeoutMs: callTimeoutMs,
      isAnswered,
      isTransient,
      encode: (correlationId) =>
        requestFrame(
          { apiKey: api.key, apiVersion: version, correlationId, clientId },
          (writer) => api.encodeRequest(writer, version, request)
        ),
      settle
    })

    const noCommonVersion = (api: RpcApi<never, unknown>): Effect.Effect<never, RpcError> =>
      Effect.fail(new RpcError("UnsupportedVersion", `${where} and this client have no common version of ${api.name}`))

    const decoded = <Response>(
      api: RpcApi<never, Response>,
      version: number,
      result: ByteReader | RpcError | undefined
    ): Response | RpcError => {
      if (result === undefined || result instanceof RpcError) return result!
      try {
        const answer = api.decodeResponse(result, version)
        const throttleMs = throttleMsOf(api.key, version, answer)
        if (throttleMs > 0) pipeline.throttle(throttleMs)
        return answer
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        const malformed = new RpcError("Malformed", `${api.name} answer of ${where}: ${error.message}`)
        pipeline.fail(malformed)
        return malformed
      }
    }

    const callVersion = <Request, Response>(
      api: RpcApi<Request, Response>,
      version: number,
      request: Request,
      callTimeoutMs: number,
      responseVersion: ((reader: ByteReader) => number) | undefined
    ): Effect.Effect<Response, RpcError> =>
      Effect.callback<Response, RpcError>((resume) => {
        const asked = submission(api, version, request, callTimeoutMs, true, false, (result) => {
          try {
            const isAnswer = responseVersion !== undefined && result !== undefined && !(result instanceof RpcError)
            const answer = decoded(api, isAnswer ? responseVersion(result) : version, result)
            resume(answer instanceof RpcError ? Effect.fail(answer) : Effect.succeed(answer))
          } catch (error) {
            resume(Effect.die(error))
          }
        })
        pipeline.submit(asked)
        return Effect.sync(() => pipeline.abandon(asked))
      })

    const ask: RpcConnection["ask"] = (api, version, request, { isTransient, timeoutMs: askTimeoutMs = timeoutMs }, settle) =>
      pipeline.submit(submission(api, version, request, askTimeoutMs, true, isTransient, (result) => settle(decoded(api, version, result))))

    const call: RpcConnection["call"] = (api, request, callOptions) => {
      const version = callOptions?.version ?? versionOf(api)
      return version === undefined
        ? noCommonVersion(api)
        : callVersion(api, version, request, callOptions?.timeoutMs ?? timeoutMs, undefined)
    }

    const tell: RpcConnection["tell"] = (api, request, tellOptions) => {
      const version = tellOptions?.version ?? versionOf(api)
      if (version === undefined) return noCommonVersion(api)
      return Effect.callback<void, RpcError>((resume) => {
        const told = submission(api, version, request, timeoutMs, false, false, (result) =>
          resume(result instanceof RpcError ? Effect.fail(result) : Effect.void))
        pipeline.submit(told)
        return Effect.sync(() => pipeline.abandon(told))
      })
    }

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
        answer = yield* callVersion(apiVersionsApi, version, version >= 3 ? request : {}, timeoutMs, undefined)
      }
      if (answer.errorCode !== ErrorCode.NONE) {
        return yield* Effect.fail(new RpcError("UnsupportedVersion", `${where} refused ApiVersions: ${answer.errorCode}`))
      }
      versions = new Map(answer.apiKeys.map(({ apiKey, maxVersion, minVersion }) => [apiKey, { minVersion, maxVersion }]))
    }

    const connection: RpcConnection = {
      address,
      get isOpen() {
        return pipeline.isOpen
      },
      get inFlight() {
        return pipeline.inFlight
      },
      get lastUsedMs() {
        return pipeline.lastUsedMs
      },
      versions,
      versionOf,
      call,
      ask,
      tell,
      sendRaw: (payloads) => pipeline.connection!.send(payloads),
      closed: Effect.callback<void>((resume) => {
        const leave = pipeline.onEnd(() => resume(Effect.void))
        return Effect.sync(leave)
      }),
      onEnd: (listener) => pipeline.onEnd(listener),
      close,
      pause: () => pipeline.connection!.pause(),
      resume: () => pipeline.connection!.resume()
    }
    return connection
  })
