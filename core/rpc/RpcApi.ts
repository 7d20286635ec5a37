/** What a connection needs of an API: its number, the versions we speak and two codecs. */
import { apiFacts } from "../protocol/ApiFacts.ts"
import type { ByteReader } from "../protocol/ByteReader.ts"
import type { ByteWriter } from "../protocol/ByteWriter.ts"
import { invariant } from "../model/Invariant.ts"

export interface RpcApi<Request, Response> {
  readonly key: number
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  readonly encodeRequest: (writer: ByteWriter, version: number, request: Request) => void
  /** @throws ProtocolError */
  readonly decodeResponse: (reader: ByteReader, version: number) => Response
}

/** `rpcApi(ApiKey.Produce, encodeProduceRequest, decodeProduceResponse)`, at all stable versions. */
export const rpcApi = <Request, Response>(
  key: number,
  encodeRequest: (writer: ByteWriter, version: number, request: Request) => void,
  decodeResponse: (reader: ByteReader, version: number) => Response
): RpcApi<Request, Response> => {
  const facts = apiFacts.get(key)
  invariant(facts !== undefined, `no api has the key ${key}`)
  const { name, minVersion, maxVersion } = facts
  return { key, name, minVersion, maxVersion, encodeRequest, decodeResponse }
}

export interface VersionRange {
  readonly minVersion: number
  readonly maxVersion: number
}

/** The highest version that both speak; undefined: none. */
export const commonVersion = (ours: VersionRange, theirs: VersionRange | undefined): number | undefined => {
  if (theirs === undefined) return undefined
  const version = Math.min(ours.maxVersion, theirs.maxVersion)
  return version >= Math.max(ours.minVersion, theirs.minVersion) ? version : undefined
}
