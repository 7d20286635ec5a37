/**
 * What members of a classic group of consumers tell each other through their coordinator, which does not read it.
 *
 * | bytes     | meaning                                                                       |
 * |-----------|-------------------------------------------------------------------------------|
 * | int16     | version; a newer one begins as the newest that is known                       |
 * | the rest  | ConsumerProtocolSubscription, or ConsumerProtocolAssignment, of that version  |
 */
import { ByteReader } from "../protocol/ByteReader.ts"
import { ByteWriter } from "../protocol/ByteWriter.ts"
import {
  decodeConsumerProtocolAssignment,
  encodeConsumerProtocolAssignment
} from "../protocol/generated/records/ConsumerProtocolAssignment.ts"
import {
  type ConsumerProtocolSubscription,
  type ConsumerProtocolSubscriptionInput,
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolSubscription
} from "../protocol/generated/records/ConsumerProtocolSubscription.ts"
import type { TopicPartition } from "./ClusterView.ts"

/** `protocolType` of JoinGroup. */
export const CONSUMER_PROTOCOL_TYPE = "consumer"

const HIGHEST_VERSION = 3

/** In the order of topics, then of partitions. */
export const groupByTopic = (
  partitions: Iterable<TopicPartition>
): ReadonlyArray<{ readonly topic: string; readonly partitions: ReadonlyArray<number> }> => {
  const topics = new Map<string, Array<number>>()
  for (const { partition, topic } of partitions) {
    const list = topics.get(topic)
    if (list === undefined) topics.set(topic, [partition])
    else list.push(partition)
  }
  return [...topics.keys()].sort().map((topic) => ({ topic, partitions: topics.get(topic)!.sort((a, b) => a - b) }))
}

export const encodeSubscription = (subscription: ConsumerProtocolSubscriptionInput): Uint8Array => {
  const writer = new ByteWriter()
  writer.int16(HIGHEST_VERSION)
  encodeConsumerProtocolSubscription(writer, HIGHEST_VERSION, subscription)
  return writer.toBytes()
}

/** @throws ProtocolError */
export const decodeSubscription = (bytes: Uint8Array): ConsumerProtocolSubscription => {
  const reader = new ByteReader(bytes)
  return decodeConsumerProtocolSubscription(reader, Math.min(reader.int16(), HIGHEST_VERSION))
}

export const encodeAssignment = (
  partitions: ReadonlyArray<{ readonly topic: string; readonly partitions: ReadonlyArray<number> }>
): Uint8Array => {
  const writer = new ByteWriter()
  writer.int16(HIGHEST_VERSION)
  encodeConsumerProtocolAssignment(writer, HIGHEST_VERSION, { assignedPartitions: partitions })
  return writer.toBytes()
}

/** Empty bytes: nothing, for a member that its leader did not know. @throws ProtocolError */
export const decodeAssignment = (bytes: Uint8Array): ReadonlyArray<TopicPartition> => {
  if (bytes.length === 0) return []
  const reader = new ByteReader(bytes)
  const { assignedPartitions } = decodeConsumerProtocolAssignment(reader, Math.min(reader.int16(), HIGHEST_VERSION))
  return assignedPartitions.flatMap(({ partitions, topic }) => partitions.map((partition) => ({ topic, partition })))
}
