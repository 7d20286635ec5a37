/** Requests by name through our own codecs, on a raw connection: answers come back as plain fields. */
import { apis, type ApiCodec } from "../../core/protocol/Apis.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { PeerError } from "./Processes.ts"
import { type Outcome, sized, WireClient } from "./Wire.ts"

/** A message's fields in camelCase, as the codecs have them. */
// oxlint-disable-next-line no-explicit-any
export type Fields = { readonly [name: string]: any }

export type Answer =
  | { readonly _tag: "Answer"; readonly fields: Fields }
  | { readonly _tag: "Malformed"; readonly error: string; readonly frame: Uint8Array }
  | { readonly _tag: "Closed" }
  | { readonly _tag: "Timeout" }

const byName: ReadonlyMap<string, ApiCodec> = new Map(Array.from(apis.values(), (api) => [api.name, api]))

/** @throws PeerError for a name that is no API */
export const codecOf = (name: string): ApiCodec => {
  const codec = byName.get(name)
  if (codec === undefined) throw new PeerError(`no API is called ${name}`)
  return codec
}

/** Names of fields that a version of a request cannot carry, as its codec said. */
const cannotCarry = new Map<string, Set<string>>()

const without = (value: unknown, names: ReadonlySet<string>): unknown => {
  if (Array.isArray(value)) return value.map((item) => without(item, names))
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).filter(([name]) => !names.has(name)).map(([name, field]) => [name, without(field, names)]))
}

/** Callers give all fields that any version has: those that this one lacks are left out. */
const encodeBody = (codec: ApiCodec, writer: ByteWriter, version: number, fields: Fields): Uint8Array => {
  const key = `${codec.key}/${version}`
  const names = cannotCarry.get(key) ?? new Set<string>()
  cannotCarry.set(key, names)
  for (;;) {
    try {
      codec.encodeRequest(writer, version, (names.size === 0 ? fields : without(fields, names)) as Fields)
      return writer.toBytes()
    } catch (error) {
      const name = /cannot carry the value of \w+\.(\w+)/.exec(String(error))?.[1]
      if (name === undefined || names.has(name)) throw error
      names.add(name)
      writer = new ByteWriter(1024)
    }
  }
}

/** The request's bytes with size and header. */
export const encodeRequest = (api: string, version: number, fields: Fields, correlationId: number, clientId = "ottla-peers"): Uint8Array => {
  const codec = codecOf(api)
  const head = new ByteWriter(64)
  head.int16(codec.key)
  head.int16(version)
  head.int32(correlationId)
  head.nullableString(clientId, false)
  if (version >= codec.requestFlexibleFrom) head.uvarint(0)
  return sized(Buffer.concat([head.toBytes(), encodeBody(codec, new ByteWriter(1024), version, fields)]))
}

/** The fields of an answer's frame. ApiVersions answers have no tags in their header, and fall back to version 0. */
export const decodeAnswer = (api: string, version: number, frame: Uint8Array): Answer => {
  const codec = codecOf(api)
  try {
    const reader = new ByteReader(frame)
    reader.int32()
    if (api !== "ApiVersions" && version >= codec.responseFlexibleFrom) {
      for (let tags = reader.uvarint(); tags > 0; tags--) {
        reader.uvarint()
        reader.raw(reader.uvarint())
      }
    }
    const layout = api === "ApiVersions" && Buffer.from(frame).readInt16BE(4) === 35 ? 0 : version
    const fields = codec.decodeResponse(reader, layout) as Fields
    if (reader.remaining > 0) return { _tag: "Malformed", error: `${reader.remaining} bytes follow the answer`, frame }
    return { _tag: "Answer", fields }
  } catch (error) {
    return { _tag: "Malformed", error: String(error), frame }
  }
}

/** One connection with requests by name; pipelined calls get their answers in order. */
export class Caller {
  readonly wire: WireClient
  #correlation = 0

  constructor(wire: WireClient) {
    this.wire = wire
  }

  static async connect(host: string, port: number): Promise<Caller> {
    return new Caller(await WireClient.connect(host, port))
  }

  /** Sends, and gives what came of it. */
  async call(api: string, version: number, fields: Fields, timeoutMs = 30_000): Promise<Answer> {
    this.wire.send(encodeRequest(api, version, fields, ++this.#correlation))
    return answerOf(api, version, await this.wire.receive(timeoutMs))
  }

  /** As `call`, for requests that must be answered. @throws PeerError */
  async ask(api: string, version: number, fields: Fields, timeoutMs = 30_000): Promise<Fields> {
    const answer = await this.call(api, version, fields, timeoutMs)
    if (answer._tag === "Answer") return answer.fields
    throw new PeerError(`${api} ${version}: ${answer._tag}${answer._tag === "Malformed" ? `: ${answer.error}` : ""}`)
  }

  close(): void {
    this.wire.destroy()
  }
}

const answerOf = (api: string, version: number, outcome: Outcome): Answer =>
  outcome._tag === "Answer" ? decodeAnswer(api, version, outcome.frame) : outcome
