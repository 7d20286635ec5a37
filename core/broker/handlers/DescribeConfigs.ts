/**
 * DescribeConfigs, versions 1-4. The effective configurations of topics and of this broker (KIP-226: with sources and
 * synonyms; KIP-569: with types and documentation), and the cluster-wide defaults of brokers (resource name "").
 *  - A broker is described by itself only: another id is INVALID_REQUEST.
 *  - BROKER_LOGGER (KIP-412): nothing can be changed, so nothing is told.
 *  - A resource without an error has the message "", as in Kafka.
 * Left out: authorisation, groups, client metrics.
 */
import { describeBroker, describeBrokerDefault, type DescribeOptions, describeTopic } from "../../cluster/configs/DescribeEntries.ts"
import { ConfigResourceType } from "../../cluster/ConfigDecisions.ts"
import { topicConfigOf } from "../../cluster/MetadataImage.ts"
import { topicNameError } from "../../model/Ids.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeDescribeConfigsRequest,
  type DescribeConfigsResponseDescribeConfigsResultInput,
  encodeDescribeConfigsResponse
} from "../../protocol/generated/DescribeConfigs.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { BROKER_LOGGER, CLIENT_METRICS, GROUP } from "./AlteredConfigs.ts"

type Result = DescribeConfigsResponseDescribeConfigsResultInput
type Outcome = Pick<Result, "errorCode" | "errorMessage" | "configs">

const described = (configs: Result["configs"]): Outcome => ({ errorCode: ErrorCode.NONE, errorMessage: "", configs })
const refused = (errorCode: number, errorMessage: string): Outcome => ({ errorCode, errorMessage, configs: [] })
const notAnId = (name: string): Outcome =>
  refused(ErrorCode.INVALID_REQUEST, `Broker id must be an integer, but it is: ${name}`)

const describe = (broker: BrokerServices, type: number, name: string, options: DescribeOptions): Outcome => {
  const { brokerId, config } = broker
  switch (type) {
    case ConfigResourceType.TOPIC: {
      const wrong = topicNameError(name)
      if (wrong !== undefined) return refused(ErrorCode.INVALID_TOPIC_EXCEPTION, wrong)
      const image = broker.image()
      return image.topicsByName.has(name)
        ? described(describeTopic(topicConfigOf(image, name), config.layers, options))
        : refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "")
    }
    case ConfigResourceType.BROKER:
      if (name === "") return described(describeBrokerDefault(config.layers, options))
      if (!/^[+-]?[0-9]+$/.test(name)) return notAnId(name)
      return Number(name) === brokerId
        ? described(describeBroker(config.layers, options))
        : refused(ErrorCode.INVALID_REQUEST, `Unexpected broker id, expected ${brokerId} or empty string, but received ${name}`)
    case BROKER_LOGGER:
      if (name === "") return refused(ErrorCode.INVALID_REQUEST, "Broker id must not be empty")
      if (!/^[+-]?[0-9]+$/.test(name)) return notAnId(name)
      return Number(name) === brokerId
        ? described([])
        : refused(ErrorCode.INVALID_REQUEST, `Unexpected broker id, expected ${brokerId} but received ${name}`)
    case CLIENT_METRICS:
    case GROUP:
      return refused(ErrorCode.INVALID_REQUEST, `Configurations of ${type === GROUP ? "groups" : "client metrics"} are not there yet`)
    default:
      return refused(ErrorCode.INVALID_REQUEST, `Unknown resource type ${type}`)
  }
}

export const makeDescribeConfigs = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DescribeConfigs,
  minVersion: 1,
  maxVersion: 4,
  handle: ({ apiVersion }, reader) => {
    const request = decodeDescribeConfigsRequest(reader, apiVersion)
    const results = request.resources.map(({ configurationKeys, resourceName, resourceType }): Result => ({
      ...describe(broker, resourceType, resourceName, {
        keys: configurationKeys,
        synonyms: request.includeSynonyms,
        documentation: request.includeDocumentation
      }),
      resourceType,
      resourceName
    }))
    return (writer) => encodeDescribeConfigsResponse(writer, apiVersion, { throttleTimeMs: 0, results })
  }
})
