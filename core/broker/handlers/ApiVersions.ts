/**
 * ApiVersions, versions 0-4. Says which APIs this broker serves, with exact ranges: only what has a handler.
 *  - KIP-511 (3): client software name and version; an invalid one is INVALID_REQUEST. An unknown version of the
 *    request is answered in version 0 with UNSUPPORTED_VERSION and the range of ApiVersions alone.
 *  - KIP-584 (3): supported and finalized features. The response header is always version 0, without tags.
 * Left out: finalized features other than none (`metadata.version` belongs to KRaft), client metrics (KIP-714).
 */
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { decodeApiVersionsRequest, encodeApiVersionsResponse } from "../../protocol/generated/ApiVersions.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler, RequestContext, ResponseBody } from "../Handler.ts"

/** What Kafka takes as a client's software name or version. */
const SOFTWARE: RegExp = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

/** The answer to a version that is not known. */
export const unsupportedApiVersions = (broker: BrokerServices) => (_context: RequestContext): ResponseBody => (writer) =>
  encodeApiVersionsResponse(writer, 0, {
    errorCode: ErrorCode.UNSUPPORTED_VERSION,
    apiKeys: broker.advertisedApis().filter(({ apiKey }) => apiKey === ApiKey.ApiVersions)
  })

export const makeApiVersions = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.ApiVersions,
  minVersion: 0,
  maxVersion: 4,
  handle: ({ apiVersion }, reader) => {
    const request = decodeApiVersionsRequest(reader, apiVersion)
    const isValid = apiVersion < 3 ||
      (SOFTWARE.test(request.clientSoftwareName) && SOFTWARE.test(request.clientSoftwareVersion))
    const errorCode = isValid ? ErrorCode.NONE : ErrorCode.INVALID_REQUEST
    const apiKeys = isValid ? broker.advertisedApis() : []
    return (writer) => encodeApiVersionsResponse(writer, apiVersion, { errorCode, apiKeys })
  }
})
