/**
 * From a frame to a reply: reads the header, finds the handler, answers what has no handler. Only registered handlers
 * are served and advertised.
 *
 * As Kafka does: an ApiVersions request of an unknown version is answered in version 0 with UNSUPPORTED_VERSION and the
 * versions that it may have (KIP-511); any other unknown api or version ends the connection, for no answer could be read.
 */
import { ByteReader } from "../protocol/ByteReader.ts"
import { ApiKey } from "../protocol/ApiKey.ts"
import { decodeRequestHeader } from "../protocol/Headers.ts"
import { type ConnectionInfo, type Handler, type Reply, type RequestContext } from "./Handler.ts"

export interface AdvertisedApi {
  readonly apiKey: number
  readonly minVersion: number
  readonly maxVersion: number
}

export type Dispatched =
  | {
    readonly _tag: "Dispatched"
    readonly context: RequestContext
    /** In which the response header and body are written. */
    readonly responseVersion: number
    readonly reply: Reply
  }
  /** The connection is to be closed. */
  | { readonly _tag: "Refused"; readonly apiKey: number; readonly apiVersion: number; readonly reason: string }

/** Answers an ApiVersions request whose version is not known, in version 0. */
export type UnsupportedApiVersions = (context: RequestContext) => Reply

export class Dispatcher {
  readonly advertised: ReadonlyArray<AdvertisedApi>
  readonly #handlers: ReadonlyMap<number, Handler>
  readonly #unsupportedApiVersions: UnsupportedApiVersions

  constructor(handlers: ReadonlyArray<Handler>, unsupportedApiVersions: UnsupportedApiVersions) {
    this.#handlers = new Map(handlers.map((handler) => [handler.apiKey, handler]))
    this.#unsupportedApiVersions = unsupportedApiVersions
    this.advertised = advertise(handlers)
  }

  /**
   * @param beforeOther called before a handler that is not Produce's runs
   * @throws ProtocolError when the request is malformed
   */
  dispatch(frame: Uint8Array, connection: ConnectionInfo, monotonicMs: number, beforeOther: () => void): Dispatched {
    const reader = new ByteReader(frame)
    const { apiKey, apiVersion, correlationId, clientId } = decodeRequestHeader(reader)
    const context: RequestContext = { connection, apiKey, apiVersion, correlationId, clientId, monotonicMs }
    const handler = this.#handlers.get(apiKey)
    if (handler === undefined) return { _tag: "Refused", apiKey, apiVersion, reason: "api is not served" }
    if (apiVersion < handler.minVersion || apiVersion > handler.maxVersion) {
      if (apiKey !== ApiKey.ApiVersions) return { _tag: "Refused", apiKey, apiVersion, reason: "version is not served" }
      return { _tag: "Dispatched", context, responseVersion: 0, reply: this.#unsupportedApiVersions(context) }
    }
    if (apiKey !== ApiKey.Produce) beforeOther()
    return { _tag: "Dispatched", context, responseVersion: apiVersion, reply: handler.handle(context, reader) }
  }
}

/** In order of api key. */
export const advertise = (handlers: ReadonlyArray<Handler>): ReadonlyArray<AdvertisedApi> =>
  handlers
    .map(({ apiKey, advertisedMin, minVersion, maxVersion }) => ({
      apiKey,
      minVersion: advertisedMin ?? minVersion,
      maxVersion
    }))
    .sort((a, b) => a.apiKey - b.apiKey)
