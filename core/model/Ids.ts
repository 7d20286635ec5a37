/**
 * Branded identifiers. A brand costs nothing at run time; the constructors check what they are given, so they stand
 * where a value enters (a decoded request, a file) and not on paths per record.
 */
import type { Brand } from "effect/Brand"

/** A record's place in a partition: an integer from 0 to 2^53-1. */
export type Offset = number & Brand<"Offset">
/** Grows with each leader of a partition; -1 where none is known. */
export type LeaderEpoch = number & Brand<"LeaderEpoch">
/** A broker's `node.id`. */
export type BrokerId = number & Brand<"BrokerId">
/** Index of a partition in its topic, from 0. */
export type PartitionId = number & Brand<"PartitionId">
/** 1 to 249 characters of `[a-zA-Z0-9._-]`, and neither "." nor "..". */
export type TopicName = string & Brand<"TopicName">
/** A topic's id in Kafka's spelling: 22 characters of unpadded base64url for 16 bytes. */
export type TopicId = string & Brand<"TopicId">
/** From 0; -1 where a batch has no producer. */
export type ProducerId = number & Brand<"ProducerId">

export const Offset = (n: number): Offset => {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not an offset: ${n}`)
  return n as Offset
}

/** The topic id that no topic has: 16 zero bytes. */
export const ZERO_TOPIC_ID: TopicId = "AAAAAAAAAAAAAAAAAAAAAA" as TopicId

export interface TopicPartition {
  readonly topic: TopicName
  readonly partition: PartitionId
}

/** `topic-partition`, as in directory names and messages. */
export const showTopicPartition = (tp: { readonly topic: string; readonly partition: number }): string =>
  `${tp.topic}-${tp.partition}`

/** The longest topic name Kafka allows, in characters. */
export const MAX_TOPIC_NAME_LENGTH = 249

/** What is wrong with a topic name, in Kafka's words; undefined for a legal one. */
export const topicNameError = (name: string): string | undefined => {
  if (name.length === 0) return "Topic name is invalid: the empty string is not allowed"
  if (name === "." || name === "..") return `Topic name is invalid: '${name}' is not allowed`
  if (name.length > MAX_TOPIC_NAME_LENGTH) {
    return `Topic name is invalid: the length of '${name}' is longer than the max allowed length ${MAX_TOPIC_NAME_LENGTH}`
  }
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) {
    return `Topic name is invalid: '${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`
  }
  return undefined
}
