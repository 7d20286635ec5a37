/** What a client of an API needs: its number, the versions we speak and two codecs. Generated files define one for each. */
import { invariant } from "../model/Invariant.ts"
import { apiFacts } from "./ApiFacts.ts"
import type { ByteReader } from "./ByteReader.ts"
import type { ByteWriter } from "./ByteWriter.ts"

export interface RpcApi<Request, Response> {
  readonly key: number
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  readonly encodeRequest: (writer: ByteWriter, version: number, request: Request) => void
  /** @throws ProtocolError */
  readonly decodeResponse: (reader: ByteReader, version: number) => Response
}

/** At all stable versions. */
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
