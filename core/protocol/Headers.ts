/**
 * Request and response headers, and whole frames.
 *
 * | request header  | int16 api key, int16 api version, int32 correlation id; from v1 a nullable string client id   |
 * |                 | (never compact); from v2 tagged fields. v2 when the request's version is flexible, else v1    |
 * | response header | int32 correlation id; from v1 tagged fields. v1 when the response's version is flexible, else |
 * |                 | v0; ApiVersions always v0: its client does not know yet what the broker speaks (KIP-511)      |
 * | frame           | int32 size of the rest, header, body                                                          |
 */
import type { Payload } from "../model/Payload.ts"
import { apiFacts } from "./ApiFacts.ts"
import { ApiKey } from "./ApiKey.ts"
import type { ByteReader } from "./ByteReader.ts"
import { ByteWriter } from "./ByteWriter.ts"
import { decodeRequestHeader as decodeHeader, encodeRequestHeader } from "./generated/records/RequestHeader.ts"
import { decodeResponseHeader as decodeAnswerHeader, encodeResponseHeader } from "./generated/records/ResponseHeader.ts"

export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
}

/** 1 or 2. A version newer than all we know is flexible if the latest is; an API that we don't know is not. */
export const requestHeaderVersion = (apiKey: number, apiVersion: number): number => {
  const facts = apiFacts.get(apiKey)
  return facts !== undefined && apiVersion >= facts.requestFlexibleFrom ? 2 : 1
}

/** 0 or 1. */
export const responseHeaderVersion = (apiKey: number, apiVersion: number): number => {
  if (apiKey === ApiKey.ApiVersions) return 0
  const facts = apiFacts.get(apiKey)
  return facts !== undefined && apiVersion >= facts.responseFlexibleFrom ? 1 : 0
}

/**
 * Reads the header at the start of a request. Its reader then stands at the body. For an API or a version that we
 * don't serve the header is read all the same, since the answer needs the correlation id.
 * @throws ProtocolError
 */
export const decodeRequestHeader = (reader: ByteReader): RequestHeader => {
  const start = reader.position
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  reader.position = start
  const header = decodeHeader(reader, requestHeaderVersion(apiKey, apiVersion))
  return { apiKey, apiVersion, correlationId: header.correlationId, clientId: header.clientId }
}

/** Reads a response's header and gives its correlation id; the reader then stands at the body. @throws ProtocolError */
export const decodeResponseHeaderOf = (reader: ByteReader, apiKey: number, apiVersion: number): number =>
  decodeAnswerHeader(reader, responseHeaderVersion(apiKey, apiVersion)).correlationId

export const requestHeader = (writer: ByteWriter, header: RequestHeader): void =>
  encodeRequestHeader(writer, requestHeaderVersion(header.apiKey, header.apiVersion), {
    requestApiKey: header.apiKey,
    requestApiVersion: header.apiVersion,
    correlationId: header.correlationId,
    clientId: header.clientId
  })

export const responseHeader = (
  writer: ByteWriter,
  apiKey: number,
  apiVersion: number,
  correlationId: number
): void => encodeResponseHeader(writer, responseHeaderVersion(apiKey, apiVersion), { correlationId })

/** A whole request, size in front; `body` writes what follows the header. */
export const requestFrame = (header: RequestHeader, body: (writer: ByteWriter) => void): Array<Payload> => {
  const writer = new ByteWriter()
  writer.beginFrame()
  requestHeader(writer, header)
  body(writer)
  return writer.finishFrame()
}

/** A whole response, size in front; `body` writes what follows the header. */
export const responseFrame = (
  apiKey: number,
  apiVersion: number,
  correlationId: number,
  body: (writer: ByteWriter) => void
): Array<Payload> => {
  const writer = new ByteWriter()
  writer.beginFrame()
  responseHeader(writer, apiKey, apiVersion, correlationId)
  body(writer)
  return writer.finishFrame()
}
