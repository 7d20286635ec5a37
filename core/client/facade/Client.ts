/**
 * The client for programs that do not use Effect: promises, async iterables, thrown errors. What is thrown is a
 * `RetriableError` (the same call may succeed later) or a `FatalError` (something has to be done first), or what the
 * program's own functions throw.
 *
 * ```ts
 * import { connect, text } from "ottla/node" // or ottla/bun, ottla/deno
 *
 * await using client = await connect({ "bootstrap.servers": "localhost:9092" })
 * await client.producer().send({ topic: "orders", key: "c-7", value: "hello" })
 * for await (const record of client.consumer({ "group.id": "shop" }).subscribe(["orders"])) {
 *   console.log(text(record.value))
 * }
 * ```
 */
import type { RecordHeader } from "../../records/Record.ts"
import type {
  ConfigAlteration,
  ConfigEntry,
  ConfigResource,
  ElectionType,
  GroupDescription,
  GroupListing,
  ListedOffset,
  LogDir,
  NewTopic,
  OffsetSpec,
  OngoingReassignment
} from "../Admin.ts"
import type { ClientConfig } from "../ClientConfig.ts"
import type { Node, TopicPartition, TopicView } from "../ClusterView.ts"
import type { ConsumerConfig, ConsumerRecord, GroupMetadata, PartitionOffset, PartitionRecords } from "../Consumer.ts"
import type { Partitioner } from "../Partitioner.ts"
import type { ProducerConfig, RecordMetadata } from "../Producer.ts"

/** Text is UTF-8. */
export type Bytes = Uint8Array | string

/** In ms since 1970, or a `Date`. */
export type Timestamp = number | { readonly getTime: () => number }

/** A record to send. */
export interface OutgoingRecord {
  readonly topic: string
  /** Default: the partitioner's choice. */
  readonly partition?: number
  /** Null or absent: none. */
  readonly key?: Bytes | null
  /** Null or absent: a tombstone. */
  readonly value?: Bytes | null
  readonly headers?: ReadonlyArray<RecordHeader> | Readonly<Record<string, Bytes | null>>
  /** Default: when it was accepted. */
  readonly timestamp?: Timestamp
}

/** Bytes of a record as text, null as null. */
export const text = (bytes: Uint8Array | null): string | null => (bytes === null ? null : decoder.decode(bytes))
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Ends what it stands for; also by `await using`. Harmless when it has ended. */
export interface Closable {
  readonly close: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** What is the client's is left out: it was said to `connect`. */
export type ProducerOptions = Omit<ProducerConfig, keyof ClientConfig> & {
  /** Default: Kafka's. */
  readonly partitioner?: Partitioner
}

export interface ProducerClient extends Closable {
  /** Done when it is acknowledged. */
  readonly send: (record: OutgoingRecord) => Promise<RecordMetadata>
  /** Done when each is acknowledged, in their order; fails with the first failure. Takes as many as there is memory for. */
  readonly sendAll: (records: Iterable<OutgoingRecord> | AsyncIterable<OutgoingRecord>) => Promise<ReadonlyArray<RecordMetadata>>
  /** Fire and forget: done when it is accepted into the producer's buffer; its fate is only logged. */
  readonly forget: (record: OutgoingRecord) => Promise<void>
  /** Done when every record sent before has ended; those that still wait to be accepted do so for `max.block.ms` at most. */
  readonly flush: () => Promise<void>
}

export type ConsumerOptions = Omit<ConsumerConfig, keyof ClientConfig>

/** As the consumer's own: between two polls, and they may commit and seek. */
export interface RebalanceListeners {
  readonly onAssigned?: (partitions: ReadonlyArray<TopicPartition>) => void | Promise<void>
  readonly onRevoked?: (partitions: ReadonlyArray<TopicPartition>) => void | Promise<void>
  /** Default: `onRevoked`. */
  readonly onLost?: (partitions: ReadonlyArray<TopicPartition>) => void | Promise<void>
}

/** Topics by name, or all whose name matches, now and later. */
export type Topics = string | ReadonlyArray<string> | RegExp

/** An AbortSignal is one. */
export interface StopSignal {
  readonly aborted: boolean
  readonly addEventListener: (type: "abort", listener: () => void) => void
  readonly removeEventListener: (type: "abort", listener: () => void) => void
}

export interface RunOptions extends RebalanceListeners {
  /** Topics (joins the group), or partitions by hand. */
  readonly from: Topics | { readonly partitions: ReadonlyArray<TopicPartition & { readonly offset?: number }> }
  /** What it throws ends `run`. */
  readonly process: (record: ConsumerRecord) => unknown
  /** Saves the position, then processes; or (default) processes, then saves. */
  readonly delivery?: "at-most-once" | "at-least-once"
  /** How often positions are saved. Default: each record at most once, 5000 ms at least once. */
  readonly every?: { readonly records?: number; readonly ms?: number }
  /** Saves positions in this file instead of the group; for partitions by hand. */
  readonly checkpointFile?: string
  /** Partitions in work at once. Default 1. */
  readonly concurrency?: number
  /** Ends `run` after the record in work, with positions saved. */
  readonly signal?: StopSignal
}

export interface ConsumerClient extends Closable {
  /**
   * Joins the group and gives every record. Asking for the next record says that the one before is processed: with
   * auto-commit (the default) its position is saved from then on, so a record whose loop ended by `break`, a throw or
   * `close` comes again.
   */
  readonly subscribe: (topics: Topics, listeners?: RebalanceListeners) => AsyncIterableIterator<ConsumerRecord>
  /** The same for partitions by hand, without a group; those without an offset begin at the committed one. */
  readonly assign: (
    partitions: ReadonlyArray<TopicPartition & { readonly offset?: number }>
  ) => AsyncIterableIterator<ConsumerRecord>
  /** What there is, waiting up to so many ms (default 500) for it. Subscribe or assign first; do not iterate too. */
  readonly poll: (timeoutMs?: number) => Promise<ReadonlyArray<PartitionRecords>>
  /** Processes records by a delivery, until `signal`, `close` or an error. Sets `enable.auto.commit` to false. */
  readonly run: (options: RunOptions) => Promise<void>

  /** Undefined: all that was processed. */
  readonly commit: (offsets?: ReadonlyArray<PartitionOffset>) => Promise<void>
  readonly committed: (partitions: ReadonlyArray<TopicPartition>) => Promise<ReadonlyArray<PartitionOffset>>
  readonly position: (partition: TopicPartition) => Promise<number>
  readonly seek: (partition: TopicPartition, offset: number) => Promise<void>
  readonly seekToBeginning: (partitions?: ReadonlyArray<TopicPartition>) => Promise<void>
  readonly seekToEnd: (partitions?: ReadonlyArray<TopicPartition>) => Promise<void>
  /** To the first record at or after a time. */
  readonly seekToTimestamp: (partitions: ReadonlyArray<TopicPartition>, timestamp: Timestamp) => Promise<void>
  readonly offsetsForTimes: (
    partitions: ReadonlyArray<TopicPartition & { readonly timestamp: Timestamp }>
  ) => Promise<ReadonlyArray<PartitionOffset & { readonly timestamp: number }>>
  readonly beginningOffsets: (partitions: ReadonlyArray<TopicPartition>) => Promise<ReadonlyArray<PartitionOffset>>
  readonly endOffsets: (partitions: ReadonlyArray<TopicPartition>) => Promise<ReadonlyArray<PartitionOffset>>
  readonly pause: (partitions: ReadonlyArray<TopicPartition>) => Promise<void>
  readonly resume: (partitions: ReadonlyArray<TopicPartition>) => Promise<void>
  readonly assignment: () => Promise<ReadonlyArray<TopicPartition>>
  readonly groupMetadata: () => Promise<GroupMetadata | undefined>
  readonly lag: (partition: TopicPartition) => Promise<number | undefined>
}

/** Of several, the first that failed is thrown; the others were done all the same. */
export interface AdminClient extends Closable {
  readonly createTopics: (
    topics: ReadonlyArray<NewTopic>,
    options?: { readonly validateOnly?: boolean }
  ) => Promise<ReadonlyMap<string, { readonly id: string; readonly partitions: number; readonly replicationFactor: number }>>
  readonly deleteTopics: (names: ReadonlyArray<string>) => Promise<void>
  readonly createPartitions: (
    topics: ReadonlyArray<{ readonly name: string; readonly totalCount: number; readonly assignments?: ReadonlyArray<ReadonlyArray<number>> }>,
    options?: { readonly validateOnly?: boolean }
  ) => Promise<void>
  readonly listTopics: (options?: { readonly includeInternal?: boolean }) => Promise<ReadonlyArray<TopicView>>
  readonly describeTopics: (names: ReadonlyArray<string>) => Promise<ReadonlyMap<string, TopicView>>
  readonly describeConfigs: (
    resources: ReadonlyArray<ConfigResource>,
    options?: { readonly synonyms?: boolean; readonly documentation?: boolean }
  ) => Promise<ReadonlyArray<{ readonly resource: ConfigResource; readonly entries: ReadonlyArray<ConfigEntry> }>>
  readonly alterConfigs: (
    changes: ReadonlyArray<{ readonly resource: ConfigResource; readonly alterations: ReadonlyArray<ConfigAlteration> }>,
    options?: { readonly validateOnly?: boolean }
  ) => Promise<void>
  readonly deleteRecords: (
    partitions: ReadonlyArray<TopicPartition & { readonly offset: number }>
  ) => Promise<ReadonlyArray<TopicPartition & { readonly lowWatermark: number }>>
  readonly listOffsets: (
    partitions: ReadonlyArray<TopicPartition & { readonly spec: OffsetSpec }>,
    options?: { readonly isolation?: "read_uncommitted" | "read_committed" }
  ) => Promise<ReadonlyArray<ListedOffset>>
  readonly listGroups: (options?: {
    readonly states?: ReadonlyArray<string>
    readonly types?: ReadonlyArray<string>
  }) => Promise<ReadonlyArray<GroupListing>>
  readonly describeGroups: (groupIds: ReadonlyArray<string>) => Promise<ReadonlyMap<string, GroupDescription>>
  readonly deleteGroups: (groupIds: ReadonlyArray<string>) => Promise<void>
  readonly listGroupOffsets: (
    groupId: string,
    partitions?: ReadonlyArray<TopicPartition>
  ) => Promise<ReadonlyArray<PartitionOffset>>
  /** Only while the group has no members. */
  readonly alterGroupOffsets: (groupId: string, offsets: ReadonlyArray<PartitionOffset>) => Promise<void>
  readonly deleteGroupOffsets: (groupId: string, partitions: ReadonlyArray<TopicPartition>) => Promise<void>
  readonly removeMembers: (
    groupId: string,
    members: ReadonlyArray<{ readonly memberId?: string; readonly groupInstanceId?: string }>,
    reason?: string
  ) => Promise<void>
  /** Begins to move partitions to other replicas, or takes that back (`replicas` null). */
  readonly alterPartitionReassignments: (
    reassignments: ReadonlyArray<TopicPartition & { readonly replicas: ReadonlyArray<number> | null }>,
    options?: { readonly allowReplicationFactorChange?: boolean }
  ) => Promise<void>
  /** What is being moved; of these partitions, or of all. */
  readonly listPartitionReassignments: (partitions?: ReadonlyArray<TopicPartition>) => Promise<ReadonlyArray<OngoingReassignment>>
  /** Of these partitions, or of all. A partition that is led as asked for is no error. */
  readonly electLeaders: (type: ElectionType, partitions?: ReadonlyArray<TopicPartition>) => Promise<void>
  readonly describeCluster: () => Promise<{
    readonly clusterId: string | null
    readonly controllerId: number
    readonly nodes: ReadonlyMap<number, Node>
  }>
  readonly describeLogDirs: (nodeIds?: ReadonlyArray<number>) => Promise<ReadonlyArray<LogDir>>
}

/**
 * Closing it closes all that it made, producers flushed, consumers out of their groups. From then on it makes nothing:
 * its methods throw a FatalError, CLOSED.
 */
export interface Client extends Closable {
  /** Without options the same one until it is closed, then another. Connects when it first sends; producers of a client share its connections. */
  readonly producer: (options?: ProducerOptions) => ProducerClient
  /** Connects when it is first used, with connections of its own. */
  readonly consumer: (options?: ConsumerOptions) => ConsumerClient
  /** The same one until it is closed, then another. */
  readonly admin: () => AdminClient
}

/**
 * Done when a broker of `bootstrap.servers` has answered. Throws a RetriableError when none does within
 * `default.api.timeout.ms`, a FatalError for a configuration that makes no sense.
 */
export type Connect = (config: ClientConfig) => Promise<Client>
