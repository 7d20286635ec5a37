/** What can be asked of the controller, and the answers, item by item in the order of the request. */
import type { TopicId } from "../model/Ids.ts"
import type { BrokerListener, ConfigMap, TopicImage } from "./MetadataImage.ts"

/** The outcome of one item: `error` is a Kafka error code, 0 none. */
export interface ItemResult {
  readonly error: number
  readonly message: string | null
}

export interface NewTopic {
  readonly name: string
  /** -1: `num.partitions`. */
  readonly numPartitions: number
  /** -1: `default.replication.factor`. */
  readonly replicationFactor: number
  /** Replicas by partition, chosen by the client; empty: the controller places them. */
  readonly assignments: ReadonlyArray<{ readonly partitionIndex: number; readonly brokerIds: ReadonlyArray<number> }>
  /** A null value is refused. */
  readonly configs: ReadonlyArray<{ readonly name: string; readonly value: string | null }>
}

export interface CreateTopicResult extends ItemResult {
  readonly name: string
  /** Also under validateOnly (then nothing has it); null when refused. */
  readonly topicId: TopicId | null
  readonly numPartitions: number
  readonly replicationFactor: number
  /** The overrides that the topic was created with. */
  readonly configs: ConfigMap
}

/** A topic by name or, when `name` is null, by id. */
export interface DeleteTopicTarget {
  readonly name: string | null
  readonly topicId: string
}

export interface DeleteTopicResult extends ItemResult {
  readonly name: string | null
  readonly topicId: string
}

export interface NewPartitions {
  readonly name: string
  /** Partitions that the topic shall have in all. */
  readonly count: number
  /** Replicas of the added partitions in order; null: the controller places them. */
  readonly assignments: ReadonlyArray<ReadonlyArray<number>> | null
}

export interface CreatePartitionsResult extends ItemResult {
  readonly name: string
}

/** Kafka's resource types of configurations: 2 topic, 4 broker. */
export type ConfigResourceType = number

/** As in IncrementalAlterConfigs: set, delete, append to a list, subtract from it. */
export const ConfigOperation: { readonly SET: 0; readonly DELETE: 1; readonly APPEND: 2; readonly SUBTRACT: 3 } = {
  SET: 0,
  DELETE: 1,
  APPEND: 2,
  SUBTRACT: 3
}

export interface ConfigResourceChange {
  readonly resourceType: ConfigResourceType
  /** Topic name, or node id; "" is the default of all brokers. */
  readonly resourceName: string
  readonly changes: ReadonlyArray<{ readonly name: string; readonly operation: number; readonly value: string | null }>
}

/** Legacy AlterConfigs: `configs` replace all that the resource has. */
export interface ConfigResourceReplacement {
  readonly resourceType: ConfigResourceType
  readonly resourceName: string
  readonly configs: ReadonlyArray<{ readonly name: string; readonly value: string | null }>
}

export interface ConfigResult extends ItemResult {
  readonly resourceType: ConfigResourceType
  readonly resourceName: string
}

export interface RegisterBroker {
  readonly id: number
  readonly rack: string | null
  readonly listeners: ReadonlyArray<BrokerListener>
  readonly logDirs: ReadonlyArray<string>
  /** The epoch in the clean-shutdown marker; -1 when the broker was not stopped cleanly. */
  readonly previousBrokerEpoch: number
}

export interface ProducerIdBlock {
  readonly first: number
  readonly count: number
}

/** A leader's wish to change the ISR (KIP-497, KIP-841, KIP-903). */
export interface AlterPartition {
  readonly topicId: string
  readonly partition: number
  readonly leader: number
  readonly leaderEpoch: number
  /** Of the leader's registration. */
  readonly brokerEpoch: number
  /** That the leader knows. */
  readonly partitionEpoch: number
  readonly newIsr: ReadonlyArray<{ readonly brokerId: number; /** -1: unknown */ readonly brokerEpoch: number }>
}

export interface AlterPartitionResult extends ItemResult {
  readonly topic: TopicImage | undefined
}

/** `replicas` null: take back a reassignment that is under way (KIP-455). */
export interface PartitionReassignment {
  readonly topic: string
  readonly partition: number
  /** The target, in the order of preference. */
  readonly replicas: ReadonlyArray<number> | null
}

export interface PartitionResult extends ItemResult {
  readonly topic: string
  readonly partition: number
}

export interface OngoingReassignment {
  readonly topic: string
  readonly partition: number
  /** All that the partition has now: the target, then those that go. */
  readonly replicas: ReadonlyArray<number>
  readonly addingReplicas: ReadonlyArray<number>
  readonly removingReplicas: ReadonlyArray<number>
}

/** Kafka's numbers: the first replica shall lead; any live replica shall lead where there is no leader. */
export const ElectionType: { readonly PREFERRED: 0; readonly UNCLEAN: 1 } = { PREFERRED: 0, UNCLEAN: 1 }
