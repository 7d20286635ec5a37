/** Administration: topics, configurations, groups, offsets, the cluster. Each operation is retried within `default.api.timeout.ms`. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import type { Network } from "../ports/Network.ts"
import { clusterAdmin } from "./AdminCluster.ts"
import { configsAdmin } from "./AdminConfigs.ts"
import { groupOffsetsAdmin } from "./AdminGroupOffsets.ts"
import { groupsAdmin } from "./AdminGroups.ts"
import { offsetsAdmin } from "./AdminOffsets.ts"
import { replicasAdmin } from "./AdminReplicas.ts"
import { resetGroupOffsets } from "./AdminReset.ts"
import { topicsAdmin } from "./AdminTopics.ts"
import type { ClientConfig } from "./ClientConfig.ts"
import type { ClientError } from "./ClientError.ts"
import * as Cluster from "./Cluster.ts"
import type { ClusterView, TopicPartition, TopicView } from "./ClusterView.ts"
import type { PartitionOffset } from "./Consumer.ts"

export interface NewTopic {
  readonly name: string
  /** Default -1: the broker's num.partitions. */
  readonly partitions?: number
  /** Default -1: the broker's default.replication.factor. */
  readonly replicationFactor?: number
  /** Replicas by partition, instead of counts. */
  readonly replicaAssignment?: ReadonlyArray<ReadonlyArray<number>>
  readonly configs?: Readonly<Record<string, string>>
}

/** What has configurations. */
export interface ConfigResource {
  readonly type: "topic" | "broker" | "group" | "broker-logger"
  /** A topic, a broker's id, a group. "" with "broker": the default of all brokers. */
  readonly name: string
}

export interface ConfigEntry {
  readonly name: string
  /** Null: none, or one that is not shown. */
  readonly value: string | null
  /**
   * Who says so, by Kafka's numbers: 1 the topic, 2 this broker and 3 all brokers (changed while they run), 4 the
   * broker's server.properties, 5 nobody: the default, 6 a logger's level, 8 the group.
   */
  readonly source: number
  readonly isDefault: boolean
  /** A password or its like: its value is null. */
  readonly isSensitive: boolean
  /** Only a broker's start can change it. */
  readonly isReadOnly: boolean
  /** 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password; 0: not told. */
  readonly type: number
  readonly documentation: string | null
  /** All who say something to it, the first of whom counts; empty unless asked for. */
  readonly synonyms: ReadonlyArray<{ readonly name: string; readonly value: string | null; readonly source: number }>
}

export interface ConfigAlteration {
  readonly name: string
  /** DELETE goes back to what holds without it; APPEND and SUBTRACT add to a list and take from it. */
  readonly operation: "SET" | "DELETE" | "APPEND" | "SUBTRACT"
  readonly value?: string
}

export interface GroupListing {
  readonly groupId: string
  /** "consumer" for consumers; "" where nobody has ever joined. */
  readonly protocolType: string
  /** "Stable", "Empty", "PreparingRebalance", "CompletingRebalance", …; "" from brokers before KIP-518. */
  readonly state: string
  /** "classic", "consumer", …; "" from brokers before KIP-848. */
  readonly type: string
}

export interface GroupMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly assignment: ReadonlyArray<TopicPartition>
}

export interface GroupDescription {
  readonly groupId: string
  readonly state: string
  readonly protocolType: string
  /** The name of the assignor that deals out its partitions. */
  readonly protocol: string
  /** The id of the broker that keeps it. */
  readonly coordinator: number
  readonly members: ReadonlyArray<GroupMember>
}

/** The end of the log, its beginning, its record with the largest timestamp, or the first record at or after a time (ms since 1970). */
export type OffsetSpec = "latest" | "earliest" | "max-timestamp" | number

/**
 * Where a group goes on, as for Kafka's `kafka-consumer-groups --reset-offsets`: at the log's beginning or end, where it
 * is ("current"; the end where nothing is committed), at the first record of a time in ms (the end when there is none),
 * at an offset, or that many records further. Beyond the log it stops at the log's beginning or end.
 */
export type OffsetTarget =
  | "earliest"
  | "latest"
  | "current"
  | { readonly timestamp: number }
  | { readonly offset: number }
  | { readonly shift: number }

export interface OffsetReset extends TopicPartition {
  /** Committed before; undefined: none. */
  readonly offsetBefore: number | undefined
  /** -1 with an error. */
  readonly offset: number
  readonly error: ClientError | undefined
}

export interface ListedOffset extends TopicPartition {
  /** -1: there is no such record. */
  readonly offset: number
  /** Of the record, in ms since 1970; -1 for the log's beginning and end. */
  readonly timestamp: number
  readonly leaderEpoch: number
}

/** One of the directories in which a broker keeps its logs. */
export interface LogDir {
  readonly nodeId: number
  readonly path: string
  /** Why it cannot be used. */
  readonly error: ClientError | undefined
  /** Of its file system; -1: not told. */
  readonly totalBytes: number
  readonly usableBytes: number
  /** `offsetLag`: how far it is behind what is committed. `isFuture`: it is being moved here from another directory. */
  readonly replicas: ReadonlyArray<TopicPartition & { readonly sizeBytes: number; readonly offsetLag: number; readonly isFuture: boolean }>
}

/** One of several partitions, and what came of it. */
export interface PartitionResult extends TopicPartition {
  readonly error: ClientError | undefined
}

/** A partition that is being moved (KIP-455). */
export interface OngoingReassignment extends TopicPartition {
  /** All that it has now: the target, then those that go. */
  readonly replicas: ReadonlyArray<number>
  readonly addingReplicas: ReadonlyArray<number>
  readonly removingReplicas: ReadonlyArray<number>
}

/** The first replica shall lead; or any live replica where nobody leads, which may lose acknowledged records. */
export type ElectionType = "preferred" | "unclean"

/** What happened to each of several; a Map keeps the order asked for. */
export type Results<K, A> = ReadonlyMap<K, A | ClientError>

/** What Kafka's tools do, from a program. Of several things that are asked for each has a result of its own; what fails as a whole is a ClientError. */
export interface Admin {
  /** `validateOnly`, here and below: says what would be and changes nothing. */
  readonly createTopics: (
    topics: ReadonlyArray<NewTopic>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect.Effect<Results<string, { readonly id: string; readonly partitions: number; readonly replicationFactor: number }>, ClientError>
  readonly deleteTopics: (names: ReadonlyArray<string>) => Effect.Effect<Results<string, void>, ClientError>
  /** Makes them as many as `totalCount`, which is more than there are. `assignments`: the replicas of each new one. */
  readonly createPartitions: (
    topics: ReadonlyArray<{ readonly name: string; readonly totalCount: number; readonly assignments?: ReadonlyArray<ReadonlyArray<number>> }>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect.Effect<Results<string, void>, ClientError>
  readonly listTopics: (options?: { readonly includeInternal?: boolean }) => Effect.Effect<ReadonlyArray<TopicView>, ClientError>
  readonly describeTopics: (names: ReadonlyArray<string>) => Effect.Effect<Results<string, TopicView>, ClientError>
  /** The values that hold, whoever says so. */
  readonly describeConfigs: (
    resources: ReadonlyArray<ConfigResource>,
    options?: { readonly synonyms?: boolean; readonly documentation?: boolean }
  ) => Effect.Effect<ReadonlyArray<{ readonly resource: ConfigResource; readonly result: ReadonlyArray<ConfigEntry> | ClientError }>, ClientError>
  readonly alterConfigs: (
    changes: ReadonlyArray<{ readonly resource: ConfigResource; readonly alterations: ReadonlyArray<ConfigAlteration> }>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect.Effect<ReadonlyArray<{ readonly resource: ConfigResource; readonly error: ClientError | undefined }>, ClientError>
  /** All before an offset; -1: all that is committed. `lowWatermark`: the first offset that is left, on every replica; -1 with an error. */
  readonly deleteRecords: (
    partitions: ReadonlyArray<TopicPartition & { readonly offset: number }>
  ) => Effect.Effect<ReadonlyArray<TopicPartition & { readonly lowWatermark: number; readonly error: ClientError | undefined }>, ClientError>
  readonly listOffsets: (
    partitions: ReadonlyArray<TopicPartition & { readonly spec: OffsetSpec }>,
    options?: { readonly isolation?: "read_uncommitted" | "read_committed" }
  ) => Effect.Effect<ReadonlyArray<ListedOffset | (TopicPartition & { readonly error: ClientError })>, ClientError>
  /** Of every broker; `states` and `types` as GroupListing has them. */
  readonly listGroups: (options?: {
    readonly states?: ReadonlyArray<string>
    readonly types?: ReadonlyArray<string>
  }) => Effect.Effect<ReadonlyArray<GroupListing>, ClientError>
  readonly describeGroups: (groupIds: ReadonlyArray<string>) => Effect.Effect<Results<string, GroupDescription>, ClientError>
  /** With their committed offsets; only groups without members. */
  readonly deleteGroups: (groupIds: ReadonlyArray<string>) => Effect.Effect<Results<string, void>, ClientError>
  /** Undefined partitions: all that the group has. */
  readonly listGroupOffsets: (
    groupId: string,
    partitions?: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError>
  /** Only while the group has no members. */
  readonly alterGroupOffsets: (
    groupId: string,
    offsets: ReadonlyArray<PartitionOffset>
  ) => Effect.Effect<ReadonlyArray<TopicPartition & { readonly error: ClientError | undefined }>, ClientError>
  /** Only while the group has no members, too. `dryRun`: says what would be and changes nothing. */
  readonly resetGroupOffsets: (
    groupId: string,
    partitions: ReadonlyArray<TopicPartition>,
    target: OffsetTarget,
    options?: { readonly dryRun?: boolean }
  ) => Effect.Effect<ReadonlyArray<OffsetReset>, ClientError>
  /** Forgets what is committed; not of topics that a member subscribes to. */
  readonly deleteGroupOffsets: (
    groupId: string,
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<TopicPartition & { readonly error: ClientError | undefined }>, ClientError>
  /** Puts members out, each by its id or its `group.instance.id`; who lives joins again. */
  readonly removeMembers: (
    groupId: string,
    members: ReadonlyArray<{ readonly memberId?: string; readonly groupInstanceId?: string }>,
    reason?: string
  ) => Effect.Effect<void, ClientError>
  /**
   * Begins to move partitions to other replicas, or takes that back (`replicas` null). It is under way until
   * `listPartitionReassignments` no longer tells of it. `allowReplicationFactorChange` (KIP-860): default true.
   */
  readonly alterPartitionReassignments: (
    reassignments: ReadonlyArray<TopicPartition & { readonly replicas: ReadonlyArray<number> | null }>,
    options?: { readonly allowReplicationFactorChange?: boolean }
  ) => Effect.Effect<ReadonlyArray<PartitionResult>, ClientError>
  /** Of these partitions, or of all. */
  readonly listPartitionReassignments: (
    partitions?: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<OngoingReassignment>, ClientError>
  /**
   * ELECTION_NOT_NEEDED is the error of a partition that is led as asked for. Undefined partitions: all; then only those
   * are told of that needed an election.
   */
  readonly electLeaders: (
    type: ElectionType,
    partitions?: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionResult>, ClientError>
  readonly describeCluster: Effect.Effect<Pick<ClusterView, "clusterId" | "controllerId" | "nodes">, ClientError>
  /** Of these brokers; undefined: of all. */
  readonly describeLogDirs: (nodeIds?: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<LogDir>, ClientError>
}
export const Admin: Context.Service<Admin, Admin> = Context.Service("ottla/client/Admin")

/** On connections that others use too. */
export const makeWith = (cluster: Cluster.Cluster): Effect.Effect<Admin> =>
  Effect.sync(() => {
    const offsets = offsetsAdmin(cluster)
    const groupOffsets = groupOffsetsAdmin(cluster)
    return {
      ...topicsAdmin(cluster),
      ...configsAdmin(cluster),
      ...offsets,
      ...groupsAdmin(cluster),
      ...groupOffsets,
      resetGroupOffsets: resetGroupOffsets({ ...offsets, ...groupOffsets }),
      ...replicasAdmin(cluster),
      ...clusterAdmin(cluster)
    }
  })

/** With connections of its own, which end with the scope. Fails only on a wrong configuration. */
export const make = (config: ClientConfig): Effect.Effect<Admin, ClientError, Network | Scope> =>
  Effect.flatMap(Cluster.make(config), makeWith)

/** An Admin with connections of its own, until the scope of the layer ends. Fails only on a wrong configuration. */
export const layer = (config: ClientConfig): Layer.Layer<Admin, ClientError, Network> => Layer.effect(Admin, make(config))
