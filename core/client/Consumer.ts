/**
 * Reads records: of partitions that are assigned to it by hand, or by the group that it joins by subscribing.
 * Prefetches within a budget of bytes while what came before is processed.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Network } from "../ports/Network.ts"
import type { RecordHeader } from "../records/Record.ts"
import type { ClientConfig } from "./ClientConfig.ts"
import type { ClientError } from "./ClientError.ts"
import * as Cluster from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { makeConsumer } from "./ConsumerEngine.ts"
import type { OffsetResetName } from "./OffsetReset.ts"

/** Under Kafka's names with Kafka 4.3's defaults. */
export interface ConsumerConfig extends ClientConfig {
  readonly "group.id"?: string
  /** KIP-345: a static member. */
  readonly "group.instance.id"?: string
  /**
   * Where to begin without a committed offset: "latest" (default), "earliest", "none" (fails), or for example
   * "by_duration:PT1H": at the first record of the last hour (KIP-1106).
   */
  readonly "auto.offset.reset"?: OffsetResetName
  /** Default true: commits what earlier polls returned, at the next poll after the interval. */
  readonly "enable.auto.commit"?: boolean
  /** Default 5000. */
  readonly "auto.commit.interval.ms"?: number
  /** Names of assignors in order of preference: range, roundrobin, sticky, cooperative-sticky. Default "range,cooperative-sticky". */
  readonly "partition.assignment.strategy"?: string
  /** Default 45000. */
  readonly "session.timeout.ms"?: number
  /** Default 3000. */
  readonly "heartbeat.interval.ms"?: number
  /** Default 300000: a consumer that does not poll for so long leaves its group. */
  readonly "max.poll.interval.ms"?: number
  /** Default 500: the most records of one poll. */
  readonly "max.poll.records"?: number
  /** Default 1. */
  readonly "fetch.min.bytes"?: number
  /** Default 52428800. */
  readonly "fetch.max.bytes"?: number
  /** Default 500. */
  readonly "fetch.max.wait.ms"?: number
  /** Default 1048576. */
  readonly "max.partition.fetch.bytes"?: number
  /** Not Kafka's: bytes fetched and not yet given to the application. Default 67108864. */
  readonly "fetch.buffer.bytes"?: number
  /** Default "read_uncommitted". */
  readonly "isolation.level"?: "read_uncommitted" | "read_committed"
  /** Default true. */
  readonly "check.crcs"?: boolean
  /** Default true. */
  readonly "allow.auto.create.topics"?: boolean
  /** Default true: internal topics do not match patterns. */
  readonly "exclude.internal.topics"?: boolean
}

export interface ConsumerRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** In ms; -1: none. */
  readonly timestamp: number
  readonly timestampType: "CreateTime" | "LogAppendTime"
  /** -1: unknown. */
  readonly leaderEpoch: number
  /** Views on what was fetched; copy what outlives the record. */
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<RecordHeader>
}

/** A position to save: the offset of the next record to read. */
export interface OffsetAndMetadata {
  readonly offset: number
  /** Default "". */
  readonly metadata?: string
  /** Of the last record processed; -1 (default): unknown. */
  readonly leaderEpoch?: number
}

export interface PartitionOffset extends TopicPartition, OffsetAndMetadata {}

/** Records of one partition, in order, without gaps other than the log's own. */
export interface PartitionRecords extends TopicPartition {
  readonly records: ReadonlyArray<ConsumerRecord>
  /** Where the next read begins. */
  readonly nextOffset: number
  /** The partition's high watermark when it was fetched (last stable offset for read_committed). */
  readonly endOffset: number
}

export type Subscription =
  | { readonly topics: ReadonlyArray<string> }
  /** All topics that match, now and later. */
  | { readonly pattern: RegExp }

/**
 * Run in the consumer's fiber, between two polls: no record of a revoked partition is given out after `onRevoked`
 * has begun, none of an assigned one before `onAssigned` has ended. They may commit and seek.
 */
export interface RebalanceHooks {
  readonly onAssigned?: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  readonly onRevoked?: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  /** Taken away without a chance to commit: the member was fenced or its session ended. Default: `onRevoked`. */
  readonly onLost?: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
}

export interface GroupMetadata {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | undefined
}

export interface Consumer {
  /** As it was given. */
  readonly config: ConsumerConfig
  /** Replaces the subscription; joins the group with the next poll. */
  readonly subscribe: (subscription: Subscription, hooks?: RebalanceHooks) => Effect.Effect<void, ClientError>
  /** Replaces the assignment; no group. `offset` undefined: the committed one, else auto.offset.reset. */
  readonly assign: (
    partitions: ReadonlyArray<TopicPartition & { readonly offset?: number }>
  ) => Effect.Effect<void, ClientError>
  readonly unsubscribe: Effect.Effect<void, ClientError>
  readonly subscription: () => ReadonlyArray<string>
  readonly assignment: () => ReadonlyArray<TopicPartition>
  readonly groupMetadata: () => GroupMetadata | undefined

  /**
   * The next records, at most `max.poll.records`, waiting up to `timeoutMs` (default 500; 0: what is there). Drives
   * rebalances and auto-commit. Empty when none came in time.
   */
  readonly poll: (options?: { readonly timeoutMs?: number }) => Effect.Effect<ReadonlyArray<PartitionRecords>, ClientError>
  /** Every record, by polling; ends never, fails as `poll` does. Order is kept inside a partition. */
  readonly records: Stream.Stream<ConsumerRecord, ClientError>
  /**
   * A stream for each partition, from its assignment to its revocation (its stream then ends): run them with bounded
   * concurrency. A partition's slow stream pauses its own fetching and no other's.
   */
  readonly partitionStreams: Stream.Stream<
    { readonly topicPartition: TopicPartition; readonly records: Stream.Stream<ConsumerRecord, ClientError> },
    ClientError
  >

  /** Undefined: what polls have returned so far. Fails with REBALANCE_IN_PROGRESS, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID when the group has moved on. */
  readonly commit: (offsets?: ReadonlyArray<PartitionOffset>) => Effect.Effect<void, ClientError>
  /** Of these partitions; absent ones have none. */
  readonly committed: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError>
  /** The offset of the next record to be given out. */
  readonly position: (partition: TopicPartition) => Effect.Effect<number, ClientError>
  readonly seek: (partition: TopicPartition, offset: number) => Effect.Effect<void, ClientError>
  /** Empty: all assigned ones. */
  readonly seekToBeginning: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  readonly seekToEnd: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  /** To the first record at or after a time (ms); to the end where there is none. */
  readonly seekToTimestamp: (
    partitions: ReadonlyArray<TopicPartition>,
    timestamp: number
  ) => Effect.Effect<void, ClientError>
  readonly pause: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  readonly resume: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  readonly paused: () => ReadonlyArray<TopicPartition>
  readonly beginningOffsets: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError>
  readonly endOffsets: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError>
  /** The first offset at or after each time; absent where there is none. */
  readonly offsetsForTimes: (
    partitions: ReadonlyArray<TopicPartition & { readonly timestamp: number }>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset & { readonly timestamp: number }>, ClientError>
  /** End offset minus position, from the last fetch; undefined before the first. */
  readonly lag: (partition: TopicPartition) => number | undefined

  /** Commits (with auto-commit), leaves the group (a static member stays), ends. Also done by its scope. */
  readonly close: Effect.Effect<void>
}
export const Consumer: Context.Service<Consumer, Consumer> = Context.Service("ottla/client/Consumer")

/** A consumer on connections that others use too. Closed by its scope. Fails only on a wrong configuration. */
export const makeWith = (
  cluster: Cluster.Cluster,
  config: ConsumerConfig
): Effect.Effect<Consumer, ClientError, Compression | Crypto | Scope> => makeConsumer(cluster, config)

/** A consumer with connections of its own. */
export const make = (
  config: ConsumerConfig
): Effect.Effect<Consumer, ClientError, Network | Compression | Crypto | Scope> =>
  Effect.gen(function*() {
    const cluster = yield* Cluster.make(config)
    const consumer = yield* makeConsumer(cluster, config)
    return { ...consumer, close: Effect.andThen(consumer.close, cluster.close) }
  })

/** One for everybody in the program; ends with the layer. */
export const layer = (config: ConsumerConfig): Layer.Layer<Consumer, ClientError, Network | Compression | Crypto> =>
  Layer.effect(Consumer, make(config))
