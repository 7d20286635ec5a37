/**
 * The store's keys and the JSON under them. All lie below one prefix, so one list and one watch see everything.
 *
 * | key | value | by |
 * |---|---|---|
 * | metadata/cluster | `{clusterId}` | whoever starts first |
 * | metadata/controller | `{brokerId}` | the session that holds it |
 * | metadata/brokers/ID | `{rack, listeners, logDirs, cleanStart, uncleanEpoch}`; its modRevision is the broker epoch | registration only |
 * | metadata/live/ID | `{session, shuttingDown?: true, offline?: ["TOPIC_ID/N", …]}` | the broker's session: gone = fenced |
 * | metadata/topics/NAME | `{id, partitions}` | controller |
 * | metadata/partitions/TOPIC_ID/N | StoredPartition | controller, the partition's leader |
 * | metadata/configs/topics/NAME | `{key: value}` | controller |
 * | metadata/configs/brokers/ID or default | `{key: value}` | controller |
 * | metadata/clearedElr/topics/NAME, …/default | `{}`; ELRs of partitions that are older than its modRevision are void | controller |
 * | metadata/producerIds | `{next}` | any broker |
 *
 * A topic exists when its own key does. Partition keys are written before the topic's key names them and removed
 * after it is gone, so a creation or deletion that takes several commits is never seen by halves; what an
 * interrupted one leaves (partition keys that no topic counts) the next controller removes.
 */
import type { PartitionImage } from "./MetadataImage.ts"

export const PREFIX = "metadata/"
export const CLUSTER_KEY = "metadata/cluster"
export const CONTROLLER_KEY = "metadata/controller"
export const PRODUCER_IDS_KEY = "metadata/producerIds"

const BROKERS = "metadata/brokers/"
const LIVE = "metadata/live/"
const TOPICS = "metadata/topics/"
const PARTITIONS = "metadata/partitions/"
const TOPIC_CONFIGS = "metadata/configs/topics/"
const BROKER_CONFIGS = "metadata/configs/brokers/"
const CLEARED_ELR = "metadata/clearedElr/"
/** How the cluster-wide default, "" in Kafka's protocol, is spelled in a key. */
const DEFAULT_BROKER = "default"

export const brokerKey = (id: number): string => BROKERS + id
export const liveKey = (id: number): string => LIVE + id
export const topicKey = (name: string): string => TOPICS + name
export const partitionKey = (topicId: string, partition: number): string => `${PARTITIONS}${topicId}/${partition}`
export const topicConfigKey = (name: string): string => TOPIC_CONFIGS + name
/** `broker` "": the cluster-wide default. */
export const brokerConfigKey = (broker: string): string => BROKER_CONFIGS + (broker === "" ? DEFAULT_BROKER : broker)
/** Put with each change of `min.insync.replicas`. `topic` "": of all topics, as the cluster-wide default changed. */
export const clearedElrKey = (topic: string): string => CLEARED_ELR + (topic === "" ? DEFAULT_BROKER : `topics/${topic}`)

export type ParsedKey =
  | { readonly _tag: "Cluster" | "Controller" | "ProducerIds" }
  | { readonly _tag: "Broker" | "Live"; readonly id: number }
  | { readonly _tag: "Topic" | "TopicConfig" | "BrokerConfig" | "ClearedElr"; readonly name: string }
  | { readonly _tag: "Partition"; readonly topicId: string; readonly partition: number }

const CLUSTER: ParsedKey = { _tag: "Cluster" }
const CONTROLLER: ParsedKey = { _tag: "Controller" }
const PRODUCER_IDS: ParsedKey = { _tag: "ProducerIds" }

/** Undefined for a key that this version does not know: it is left alone. */
export const parseKey = (key: string): ParsedKey | undefined => {
  if (key.startsWith(PARTITIONS)) {
    const slash = key.indexOf("/", PARTITIONS.length)
    const partition = Number(key.slice(slash + 1))
    return slash < 0 || !Number.isInteger(partition)
      ? undefined
      : { _tag: "Partition", topicId: key.slice(PARTITIONS.length, slash), partition }
  }
  if (key.startsWith(TOPICS)) return { _tag: "Topic", name: key.slice(TOPICS.length) }
  if (key.startsWith(TOPIC_CONFIGS)) return { _tag: "TopicConfig", name: key.slice(TOPIC_CONFIGS.length) }
  if (key.startsWith(BROKER_CONFIGS)) {
    const name = key.slice(BROKER_CONFIGS.length)
    return { _tag: "BrokerConfig", name: name === DEFAULT_BROKER ? "" : name }
  }
  if (key.startsWith(CLEARED_ELR)) {
    const name = key.slice(CLEARED_ELR.length)
    return { _tag: "ClearedElr", name: name === DEFAULT_BROKER ? "" : name.slice("topics/".length) }
  }
  if (key.startsWith(BROKERS)) return { _tag: "Broker", id: Number(key.slice(BROKERS.length)) }
  if (key.startsWith(LIVE)) return { _tag: "Live", id: Number(key.slice(LIVE.length)) }
  if (key === CLUSTER_KEY) return CLUSTER
  if (key === CONTROLLER_KEY) return CONTROLLER
  if (key === PRODUCER_IDS_KEY) return PRODUCER_IDS
  return undefined
}

/** A partition under its key; empty lists are left out. */
export interface StoredPartition {
  readonly leader: number
  readonly leaderEpoch: number
  readonly partitionEpoch: number
  readonly replicas: ReadonlyArray<number>
  readonly isr: ReadonlyArray<number>
  readonly elr?: ReadonlyArray<number>
  readonly lastKnownElr?: ReadonlyArray<number>
  readonly addingReplicas?: ReadonlyArray<number>
  readonly removingReplicas?: ReadonlyArray<number>
}

export const partitionValue = (partition: Omit<PartitionImage, "modRevision" | "partition">): string => {
  const { leader, leaderEpoch, partitionEpoch, replicas, isr } = partition
  const { elr, lastKnownElr, addingReplicas, removingReplicas } = partition
  const stored: StoredPartition = {
    leader,
    leaderEpoch,
    partitionEpoch,
    replicas,
    isr,
    ...(elr.length > 0 ? { elr } : {}),
    ...(lastKnownElr.length > 0 ? { lastKnownElr } : {}),
    ...(addingReplicas.length > 0 ? { addingReplicas } : {}),
    ...(removingReplicas.length > 0 ? { removingReplicas } : {})
  }
  return JSON.stringify(stored)
}

export const topicValue = (id: string, partitions: number): string => JSON.stringify({ id, partitions })

/** Keys in order, so that equal configurations are equal text. */
export const configValue = (configs: ReadonlyMap<string, string>): string =>
  JSON.stringify(Object.fromEntries([...configs].sort(([a], [b]) => (a < b ? -1 : 1))))
