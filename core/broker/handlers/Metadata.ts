/**
 * Metadata, versions 0-13. Brokers, controller and topics as this broker has applied them; the connection's listener
 * decides which addresses are told.
 *  - Topics null (version 0: empty) are all topics. A topic that is named twice is answered once.
 *  - auto.create.topics.enable, with the request's consent from version 4 on: unknown topics with legal names are
 *    created, internal ones with the partitions and configurations of their own keys. They are answered as created,
 *    where Kafka answers UNKNOWN_TOPIC_OR_PARTITION first and lets the client ask again; when the creation is
 *    refused the answer is UNKNOWN_TOPIC_OR_PARTITION in both.
 *  - KIP-430 (8): authorised operations, all of them without an authorizer, of names that are no topic too (not of
 *    unknown ids). KIP-700 (11): the cluster's moved away.
 *  - KIP-516 (10, 12): topic ids; a request with ids is answered by ids alone, below version 12 with INVALID_REQUEST.
 * Left out: authorisation, KIP-1102's rebootstrap error.
 */
import * as Effect from "effect/Effect"
import type { NewTopic } from "../../cluster/Commands.ts"
import type { MetadataImage, TopicImage } from "../../cluster/MetadataImage.ts"
import { topicNameError, ZERO_TOPIC_ID } from "../../model/Ids.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeMetadataRequest, encodeMetadataResponse } from "../../protocol/generated/Metadata.ts"
import type { MetadataRequest, MetadataResponseMetadataResponseTopicInput } from "../../protocol/generated/Metadata.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler, RequestContext, ResponseBody } from "../Handler.ts"
import { internalTopic } from "./InternalTopics.ts"
import {
  brokersFor,
  CLUSTER_OPERATIONS,
  controllerFor,
  isInternalTopic,
  OPERATIONS_NOT_ASKED,
  partitionAnswer,
  TOPIC_OPERATIONS
} from "./MetadataAnswer.ts"

type TopicAnswer = MetadataResponseMetadataResponseTopicInput

/** A topic with its broker's defaults, or an internal one with what its coordinator needs. */
const autoCreated = (broker: BrokerServices, name: string): NewTopic =>
  internalTopic(broker.config, name) ?? { name, numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }

const knownTopic = (
  image: MetadataImage,
  topic: TopicImage,
  listenerName: string,
  version: number,
  operations: number
): TopicAnswer => ({
  errorCode: ErrorCode.NONE,
  name: topic.name,
  topicId: topic.id,
  isInternal: isInternalTopic(topic.name),
  partitions: topic.partitions.map((partition) =>
    partitionAnswer(image, topic.id, partition, listenerName, { onlyReachable: version === 0, tellListener: version >= 6 })
  ),
  topicAuthorizedOperations: operations
})

const unknownTopic = (
  errorCode: number,
  name: string | null,
  topicId: string,
  operations: number = OPERATIONS_NOT_ASKED
): TopicAnswer => ({
  errorCode,
  name,
  topicId,
  isInternal: name !== null && isInternalTopic(name),
  partitions: [],
  topicAuthorizedOperations: operations
})

/** Names that the request wants and the image does not have, each once. */
const missingNames = (request: MetadataRequest, image: MetadataImage): ReadonlyArray<string> => {
  const missing = new Set<string>()
  for (const { name } of request.topics ?? []) {
    if (name !== null && !image.topicsByName.has(name)) missing.add(name)
  }
  return [...missing]
}

const topicAnswers = (
  request: MetadataRequest,
  image: MetadataImage,
  version: number,
  listenerName: string
): ReadonlyArray<TopicAnswer> => {
  const operations = request.includeTopicAuthorizedOperations ? TOPIC_OPERATIONS : OPERATIONS_NOT_ASKED
  const known = (topic: TopicImage): TopicAnswer => knownTopic(image, topic, listenerName, version, operations)
  if (request.topics === null || (version === 0 && request.topics.length === 0)) {
    return [...image.topicsByName.values()].map(known)
  }
  const ids = new Set(request.topics.map(({ topicId }) => topicId).filter((id) => id !== ZERO_TOPIC_ID))
  const found: Array<TopicAnswer> = []
  const unknown: Array<TopicAnswer> = []
  if (ids.size > 0) {
    for (const id of ids) {
      const topic = image.topicsById.get(id)
      if (topic === undefined) unknown.push(unknownTopic(ErrorCode.UNKNOWN_TOPIC_ID, null, id))
      else found.push(known(topic))
    }
    return [...unknown, ...found]
  }
  for (const name of new Set(request.topics.map((topic) => topic.name ?? ""))) {
    const topic = image.topicsByName.get(name)
    if (topic !== undefined) found.push(known(topic))
    else {
      const error = topicNameError(name) === undefined
        ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        : ErrorCode.INVALID_TOPIC_EXCEPTION
      unknown.push(unknownTopic(error, name, ZERO_TOPIC_ID, operations))
    }
  }
  return [...found, ...unknown]
}

const answer = (broker: BrokerServices, { apiVersion, connection }: RequestContext, request: MetadataRequest): ResponseBody => {
  const image = broker.image()
  const response = {
    brokers: brokersFor(image, connection.listenerName),
    clusterId: image.clusterId,
    controllerId: controllerFor(image, connection.listenerName, broker.brokerId),
    topics: topicAnswers(request, image, apiVersion, connection.listenerName),
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations ? CLUSTER_OPERATIONS : OPERATIONS_NOT_ASKED
  }
  return (writer) => encodeMetadataResponse(writer, apiVersion, response)
}

/** What versions with topic ids in their schema answer before ids could be asked for. */
const idsRefused = ({ apiVersion }: RequestContext, request: MetadataRequest): ResponseBody => (writer) =>
  encodeMetadataResponse(writer, apiVersion, {
    brokers: [],
    clusterId: null,
    controllerId: -1,
    topics: (request.topics ?? []).map(({ name, topicId }) => unknownTopic(ErrorCode.INVALID_REQUEST, name ?? "", topicId))
  })

export const makeMetadata = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.Metadata,
  minVersion: 0,
  maxVersion: 13,
  handle: (context, reader) => {
    const request = decodeMetadataRequest(reader, context.apiVersion)
    const hasIds = request.topics?.some(({ name, topicId }) => name === null || topicId !== ZERO_TOPIC_ID) === true
    if (hasIds && context.apiVersion < 12) return idsRefused(context, request)
    if (hasIds || !request.allowAutoTopicCreation || !broker.config.boolean("auto.create.topics.enable")) {
      return answer(broker, context, request)
    }
    const missing = missingNames(request, broker.image()).filter((name) => topicNameError(name) === undefined)
    if (missing.length === 0) return answer(broker, context, request)
    return broker.controller.createTopics(missing.map((name) => autoCreated(broker, name))).pipe(
      Effect.tap((results) =>
        Effect.forEach(
          results.filter(({ error }) => error !== ErrorCode.NONE && error !== ErrorCode.TOPIC_ALREADY_EXISTS),
          ({ message, name }) => Effect.logInfo(`topic ${name} was not created for a client's metadata request: ${message}`)
        )
      ),
      // The client sees an unknown topic and asks again.
      Effect.catch((error) => Effect.logWarning(`topics were not created for a metadata request: ${error.message}`)),
      Effect.map(() => answer(broker, context, request))
    )
  }
})
