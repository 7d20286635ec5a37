/**
 * CreateTopics, versions 2-7. Each topic is created whole or refused with an error of its own; the answer comes when
 * this broker serves what was created.
 *  - Partitions and replication factor -1 are the broker's defaults (KIP-464); manual assignments need both at -1.
 *  - KIP-525 (5): partitions, replication factor and every effective configuration of a created topic. KIP-516 (7): ids.
 *  - A name that comes twice, and __cluster_metadata, are INVALID_REQUEST, and come after the others.
 *  - validateOnly decides and commits nothing. After `timeoutMs` all are REQUEST_TIMED_OUT and may yet be created.
 * Left out: authorisation, KIP-599's controller mutation quota.
 */
import * as Effect from "effect/Effect"
import type { CreateTopicResult, NewTopic } from "../../cluster/Commands.ts"
import { topicConfigDefs } from "../../cluster/configs/ConfigDefs.ts"
import { topicValue } from "../../cluster/configs/TopicConfigs.ts"
import { EMPTY_CONFIG } from "../../cluster/MetadataImage.ts"
import type { ConfigMap } from "../../cluster/MetadataImage.ts"
import { ZERO_TOPIC_ID } from "../../model/Ids.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeCreateTopicsRequest, encodeCreateTopicsResponse } from "../../protocol/generated/CreateTopics.ts"
import type {
  CreateTopicsResponseCreatableTopicConfigsInput,
  CreateTopicsResponseCreatableTopicResultInput
} from "../../protocol/generated/CreateTopics.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { splitDuplicates, withinTimeout } from "./Submission.ts"

const CLUSTER_METADATA_TOPIC = "__cluster_metadata"

const refused = (name: string, error: number, message: string | null): CreateTopicResult => ({
  name,
  error,
  message,
  topicId: null,
  numPartitions: -1,
  replicationFactor: -1,
  configs: EMPTY_CONFIG
})

/** As in DescribeConfigs: what gives a value. */
const Source = { TOPIC: 1, DYNAMIC_BROKER: 2, DYNAMIC_DEFAULT_BROKER: 3, STATIC_BROKER: 4, DEFAULT: 5 } as const

/** Every configuration that a topic with these overrides has, by name. */
const effectiveConfigs = (
  broker: BrokerServices,
  overrides: ConfigMap
): ReadonlyArray<CreateTopicsResponseCreatableTopicConfigsInput> => {
  const { dynamicBroker, dynamicDefault, staticBroker } = broker.config.layers
  const layers = [
    [dynamicBroker, Source.DYNAMIC_BROKER],
    [dynamicDefault, Source.DYNAMIC_DEFAULT_BROKER],
    [staticBroker, Source.STATIC_BROKER]
  ] as const
  const configs: Array<CreateTopicsResponseCreatableTopicConfigsInput> = []
  for (const def of [...topicConfigDefs.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (def.internal) continue
    let value = overrides.get(def.name) ?? def.default
    let configSource: number = overrides.has(def.name) ? Source.TOPIC : Source.DEFAULT
    if (configSource === Source.DEFAULT) {
      const synonym = def.synonyms.find(({ name }) => layers.some(([texts]) => texts.has(name)))
      const layer = synonym && layers.find(([texts]) => texts.has(synonym.name))
      if (synonym !== undefined && layer !== undefined) {
        const text = layer[0].get(synonym.name) as string
        // Hours and minutes are told in milliseconds, as the topic's key counts them.
        value = synonym.factor === 1 ? text : String(topicValue(def, overrides, broker.config.texts))
        configSource = layer[1]
      }
    }
    configs.push({ name: def.name, value, readOnly: false, configSource, isSensitive: def.sensitive })
  }
  return configs
}

/** From which version on a result has configurations. */
const CONFIGS_SINCE = 5

const resultOf = (broker: BrokerServices, version: number, result: CreateTopicResult): CreateTopicsResponseCreatableTopicResultInput => ({
  name: result.name,
  topicId: result.topicId ?? ZERO_TOPIC_ID,
  errorCode: result.error,
  errorMessage: result.message,
  numPartitions: result.numPartitions,
  replicationFactor: result.replicationFactor,
  configs: version >= CONFIGS_SINCE && result.error === ErrorCode.NONE ? effectiveConfigs(broker, result.configs) : []
})

export const makeCreateTopics = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.CreateTopics,
  minVersion: 2,
  maxVersion: 7,
  handle: ({ apiVersion }, reader) => {
    const request = decodeCreateTopicsRequest(reader, apiVersion)
    const { once, repeated } = splitDuplicates(request.topics.map(({ name }) => name))
    const topics: ReadonlyArray<NewTopic> = request.topics.filter(({ name }) =>
      once.has(name) && name !== CLUSTER_METADATA_TOPIC
    )
    const submitted = Effect.map(
      broker.controller.createTopics(topics, { validateOnly: request.validateOnly }),
      (results) => [
        ...results,
        ...[...repeated].map((name) => refused(name, ErrorCode.INVALID_REQUEST, "Duplicate topic name.")),
        ...(once.has(CLUSTER_METADATA_TOPIC)
          ? [refused(
            CLUSTER_METADATA_TOPIC,
            ErrorCode.INVALID_REQUEST,
            `Creation of internal topic ${CLUSTER_METADATA_TOPIC} is prohibited.`
          )]
          : [])
      ]
    )
    return Effect.map(
      withinTimeout(
        request.timeoutMs,
        submitted,
        ({ error, message }) => request.topics.map(({ name }) => refused(name, error, message))
      ),
      (results) => {
        const topics = results.map((result) => resultOf(broker, apiVersion, result))
        return (writer) => encodeCreateTopicsResponse(writer, apiVersion, { throttleTimeMs: 0, topics })
      }
    )
  }
})
