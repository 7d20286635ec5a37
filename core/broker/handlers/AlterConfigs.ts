/**
 * AlterConfigs, versions 0-2. Replaces all configurations of topics, of this broker, or of all brokers by default
 * (resource name ""): what the request leaves out goes back to its default. IncrementalAlterConfigs took its place,
 * older clients still send it.
 * Left out: authorisation. BROKER_LOGGER is refused, as in Kafka.
 */
import * as Effect from "effect/Effect"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  type AlterConfigsRequestAlterableConfig,
  decodeAlterConfigsRequest,
  encodeAlterConfigsResponse
} from "../../protocol/generated/AlterConfigs.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { alterResources, BROKER_LOGGER } from "./AlteredConfigs.ts"

export const makeAlterConfigs = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.AlterConfigs,
  minVersion: 0,
  maxVersion: 2,
  handle: ({ apiVersion }, reader) => {
    const { resources, validateOnly } = decodeAlterConfigsRequest(reader, apiVersion)
    return Effect.map(
      alterResources<AlterConfigsRequestAlterableConfig>(resources, {
        brokerId: broker.brokerId,
        mayBeNull: () => false,
        decide: ({ resourceType }) =>
          resourceType === BROKER_LOGGER
            ? { error: ErrorCode.INVALID_REQUEST, message: `Unknown resource type ${resourceType}` }
            : undefined,
        submit: (left) => broker.controller.alterConfigs(left, { validateOnly })
      }),
      (results) => {
        const responses = results.map(({ error, message, resourceName, resourceType }) => ({
          errorCode: error,
          errorMessage: message,
          resourceType,
          resourceName
        }))
        return (writer) => encodeAlterConfigsResponse(writer, apiVersion, { throttleTimeMs: 0, responses })
      }
    )
  }
})
