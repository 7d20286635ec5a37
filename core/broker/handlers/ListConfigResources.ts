/**
 * ListConfigResources, versions 0-1 (KIP-1142). Names what DescribeConfigs can be asked about: topics, brokers and
 * their loggers. Version 0 is KIP-714's ListClientMetricsResources: there are none here.
 *  - No types: all of them. A type that Kafka does not know makes the whole request UNSUPPORTED_VERSION.
 * Left out: authorisation; groups and client metrics have no configurations yet, so none are named.
 */
import { ConfigResourceType } from "../../cluster/ConfigDecisions.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeListConfigResourcesRequest,
  encodeListConfigResourcesResponse,
  type ListConfigResourcesResponseConfigResourceInput
} from "../../protocol/generated/ListConfigResources.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { BROKER_LOGGER, CLIENT_METRICS, GROUP } from "./AlteredConfigs.ts"

const KNOWN_TYPES: ReadonlyArray<number> = [ConfigResourceType.TOPIC, ConfigResourceType.BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP]

export const makeListConfigResources = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.ListConfigResources,
  minVersion: 0,
  maxVersion: 1,
  handle: ({ apiVersion }, reader) => {
    const { resourceTypes } = decodeListConfigResourcesRequest(reader, apiVersion)
    const asked = apiVersion === 0 ? [CLIENT_METRICS] : resourceTypes.length === 0 ? KNOWN_TYPES : resourceTypes
    const unknown = asked.some((type) => !KNOWN_TYPES.includes(type))
    const configResources: Array<ListConfigResourcesResponseConfigResourceInput> = []
    const add = (resourceType: number, names: Iterable<string | number>): void => {
      if (unknown || !asked.includes(resourceType)) return
      for (const name of names) configResources.push({ resourceName: String(name), resourceType })
    }
    const image = broker.image()
    const brokers = [...image.brokers.values()].filter((b) => !b.fenced).map((b) => b.id)
    add(BROKER_LOGGER, brokers)
    add(ConfigResourceType.BROKER, brokers)
    add(ConfigResourceType.TOPIC, image.topicsByName.keys())
    const errorCode = unknown ? ErrorCode.UNSUPPORTED_VERSION : ErrorCode.NONE
    return (writer) => encodeListConfigResourcesResponse(writer, apiVersion, { throttleTimeMs: 0, errorCode, configResources })
  }
})
