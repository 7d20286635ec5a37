/**
 * DescribeTopicPartitions, version 0. Topics by name in the order of their names, page by page, with eligible leader
 * replicas (KIP-966). No topics named are all topics.
 *  - A page ends at the request's limit of partitions, at most max.request.partition.size.limit; topics that are not
 *    there count nothing. The cursor names the next partition; in a request it must be of a named topic.
 * Left out: authorisation.
 */
import type { TopicImage } from "../../cluster/MetadataImage.ts"
import { topicNameError, ZERO_TOPIC_ID } from "../../model/Ids.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeDescribeTopicPartitionsRequest,
  encodeDescribeTopicPartitionsResponse
} from "../../protocol/generated/DescribeTopicPartitions.ts"
import type {
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponseDescribeTopicPartitionsResponseTopicInput
} from "../../protocol/generated/DescribeTopicPartitions.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler, ResponseBody } from "../Handler.ts"
import { isInternalTopic, partitionAnswer, TOPIC_OPERATIONS } from "./MetadataAnswer.ts"

type TopicAnswer = DescribeTopicPartitionsResponseDescribeTopicPartitionsResponseTopicInput

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const unknownTopic = (name: string): TopicAnswer => ({
  errorCode: topicNameError(name) === undefined ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.INVALID_TOPIC_EXCEPTION,
  name,
  topicId: ZERO_TOPIC_ID,
  isInternal: isInternalTopic(name),
  partitions: [],
  topicAuthorizedOperations: TOPIC_OPERATIONS
})

const refuse = (version: number, request: DescribeTopicPartitionsRequest): ResponseBody => (writer) =>
  encodeDescribeTopicPartitionsResponse(writer, version, {
    throttleTimeMs: 0,
    topics: request.topics.map(({ name }) => ({
      errorCode: ErrorCode.INVALID_REQUEST,
      name,
      topicId: ZERO_TOPIC_ID,
      partitions: []
    }))
  })

export const makeDescribeTopicPartitions = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DescribeTopicPartitions,
  minVersion: 0,
  maxVersion: 0,
  handle: ({ apiVersion, connection }, reader) => {
    const request = decodeDescribeTopicPartitionsRequest(reader, apiVersion)
    const image = broker.image()
    const { cursor } = request
    const all = request.topics.length === 0
    const names = new Set(all ? image.topicsByName.keys() : request.topics.map(({ name }) => name))
    if (cursor !== null) {
      if (cursor.partitionIndex < 0 || (!all && !names.has(cursor.topicName))) return refuse(apiVersion, request)
      // The topic of the last page's cursor may be gone by now: then it is answered as unknown.
      names.add(cursor.topicName)
    }
    const wanted = [...names].filter((name) => cursor === null || compare(name, cursor.topicName) >= 0).sort(compare)
    let left = Math.max(Math.min(request.responsePartitionLimit, broker.config.number("max.request.partition.size.limit")), 1)
    const topics: Array<TopicAnswer> = []
    let nextCursor: { readonly topicName: string; readonly partitionIndex: number } | null = null

    const describe = (topic: TopicImage, from: number): void => {
      const partitions = topic.partitions.slice(from, from + left).map((partition) => ({
        ...partitionAnswer(image, topic.id, partition, connection.listenerName),
        // As in Kafka: that there is no leader is no error here.
        errorCode: ErrorCode.NONE,
        eligibleLeaderReplicas: partition.elr,
        lastKnownElr: partition.lastKnownElr
      }))
      left -= partitions.length
      if (from + partitions.length < topic.partitions.length) {
        nextCursor = { topicName: topic.name, partitionIndex: from + partitions.length }
      }
      topics.push({
        errorCode: ErrorCode.NONE,
        name: topic.name,
        topicId: topic.id,
        isInternal: isInternalTopic(topic.name),
        partitions,
        topicAuthorizedOperations: TOPIC_OPERATIONS
      })
    }

    for (const name of wanted) {
      if (nextCursor !== null) break
      if (left === 0) {
        nextCursor = { topicName: name, partitionIndex: 0 }
        break
      }
      const topic = image.topicsByName.get(name)
      if (topic === undefined) topics.push(unknownTopic(name))
      else describe(topic, cursor?.topicName === name ? cursor.partitionIndex : 0)
    }
    return (writer) => encodeDescribeTopicPartitionsResponse(writer, apiVersion, { throttleTimeMs: 0, topics, nextCursor })
  }
})
