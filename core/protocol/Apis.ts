/**
 * Every API with its codecs, by key: for clients, proxies and tests. It loads all generated code; a handler imports
 * the file of its own API instead.
 */
import { apiFacts, type ApiFacts } from "./ApiFacts.ts"
import type { ByteReader } from "./ByteReader.ts"
import type { ByteWriter } from "./ByteWriter.ts"
import { codecs } from "./generated/Codecs.ts"

/** The codecs of the bodies, without their types: what `decodeRequest` gives, `encodeRequest` takes. */
export interface MessageCodecs {
  decodeRequest(reader: ByteReader, version: number): object
  encodeRequest(writer: ByteWriter, version: number, value: object): void
  decodeResponse(reader: ByteReader, version: number): object
  encodeResponse(writer: ByteWriter, version: number, value: object): void
}

export interface ApiCodec extends ApiFacts, MessageCodecs {}

export const apis: ReadonlyMap<number, ApiCodec> = new Map(
  [...codecs].flatMap(([key, codec]) => {
    const facts = apiFacts.get(key)
    return facts === undefined ? [] : [[key, { ...facts, ...codec }] as const]
  })
)
