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
  /** The group that `subscribe` joins and that commits go to: its members share the partitions of their topics. */
  readonly "group.id"?: string
  /**
   * Makes this a static member (KIP-345): a name that no other member of the group has. It may be away for
   * `session.timeout.ms` and finds its partitions again, without a rebalance of the others.
   */
  readonly "group.instance.id"?: string
  /**
   * Where to begin without a committed offset, or when that is no longer in the log: "latest" (default), "earliest",
   * "none" (fails), or for example "by_duration:PT1H": at the first record of the last hour (KIP-1106).
   */
  readonly "auto.offset.reset"?: OffsetResetName
  /** Default true: commits what earlier polls returned, at the next poll after the interval. */
  readonly "enable.auto.commit"?: boolean
  /** In ms. Default 5000. */
  readonly "auto.commit.interval.ms"?: number
  /**
   * How the group deals out its partitions, in order of preference, separated by commas: range, roundrobin, sticky,
   * cooperative-sticky. All members need one in common. Default "range,cooperative-sticky".
   */
  readonly "partition.assignment.strategy"?: string
  /** A member that the group has not heard of for so long loses its partitions to the others, in ms. Default 45000. */
  readonly "session.timeout.ms"?: number
  /** How often the group hears of this member, in ms; lower than `session.timeout.ms`. Default 3000. */
  readonly "heartbeat.interval.ms"?: number
  /** A consumer that does not poll for so long leaves its group, in ms. Default 300000. */
  readonly "max.poll.interval.ms"?: number
  /** Default 500: the most records of one poll. */
  readonly "max.poll.records"?: number
  /** A broker answers as soon as it has so many bytes, or after `fetch.max.wait.ms`. Default 1. */
  readonly "fetch.min.bytes"?: number
  /** Of one answer of a broker; its first batch comes whole, however large. Default 52428800. */
  readonly "fetch.max.bytes"?: number
  /** How long a broker waits for `fetch.min.bytes`, in ms. Default 500. */
  readonly "fetch.max.wait.ms"?: number
  /** Of one partition in such an answer. Default 1048576. */
  readonly "max.partition.fetch.bytes"?: number
  /** Not Kafka's: bytes fetched and not yet given to the application. Default 67108864. */
  readonly "fetch.buffer.bytes"?: number
  /** "read_committed" leaves out records of transactions that are open or were aborted. Default "read_uncommitted". */
  readonly "isolation.level"?: "read_uncommitted" | "read_committed"
  /** Default true: the checksums of what is fetched are checked. */
  readonly "check.crcs"?: boolean
  /** Default true: a topic that is asked for and does not exist may be created by the broker, if it does such things. */
  readonly "allow.auto.create.topics"?: boolean
  /** Default true: internal topics do not match patterns. */
  readonly "exclude.internal.topics"?: boolean
}

export interface ConsumerRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** In ms since 1970; -1: none. */
  readonly timestamp: number
  /** Whose time it is: the producer's, or the broker's when it appended the record. */
  readonly timestampType: "CreateTime" | "LogAppendTime"
  /** Which of the partition's leaders appended it: they are counted. -1: unknown. */
  readonly leaderEpoch: number
  /** Views on what was fetched; copy what outlives the record. */
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<RecordHeader>
}

/** A position to save: the offset of the next record to read. */
export interface OffsetAndMetadata {
  readonly offset: number
  /** Any text, kept beside the offset. Default "". */
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
  /**
   * Where the readable part of the partition ended when this was fetched: at the high watermark, before which all
   * replicas in sync have everything; for read_committed at the last stable offset, before which no transaction is open.
   */
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

/** As what the group knows this consumer. */
export interface GroupMetadata {
  readonly groupId: string
  /** Counts the group's rebalances; -1: in none of them. */
  readonly generationId: number
  /** Given by the broker; "": not yet. */
  readonly memberId: string
  /** `group.instance.id`. */
  readonly groupInstanceId: string | undefined
}

/** Reads records, as a member of a group (`subscribe`) or alone (`assign`): one or the other. */
export interface Consumer {
  /** As it was given. */
  readonly config: ConsumerConfig
  /** Replaces the subscription; joins the group of `group.id` with the next poll, and is given some of the partitions. */
  readonly subscribe: (subscription: Subscription, hooks?: RebalanceHooks) => Effect.Effect<void, ClientError>
  /**
   * Replaces the assignment, without a group: nobody else is asked, so others may read the same. `offset` undefined: the
   * one that `group.id` has committed, else `auto.offset.reset`. Not together with `subscribe`.
   */
  readonly assign: (
    partitions: ReadonlyArray<TopicPartition & { readonly offset?: number }>
  ) => Effect.Effect<void, ClientError>
  /** Gives up every partition (auto-commit saves the positions first) and leaves the group. */
  readonly unsubscribe: Effect.Effect<void, ClientError>
  /** The topics subscribed to; of a pattern those that match now. */
  readonly subscription: () => ReadonlyArray<string>
  /** The partitions that are read now. */
  readonly assignment: () => ReadonlyArray<TopicPartition>
  /** Undefined without a `group.id`. */
  readonly groupMetadata: () => GroupMetadata | undefined

  /**
   * The next records, at most `max.poll.records`, waiting up to `timeoutMs` (default 500; 0: what is there). Drives
   * rebalances and auto-commit. Empty when none came in time.
   */
  readonly poll: (options?: { readonly timeoutMs?: number }) => Effect.Effect<ReadonlyArray<PartitionRecords>, ClientError>
  /**
   * Every record, by polling; ends never, fails as `poll` does. Order is kept inside a partition. Whoever stops in the middle
   * of what a poll brought has not processed it: all of it comes again.
   */
  readonly records: Stream.Stream<ConsumerRecord, ClientError>
  /**
   * A stream for each partition, from its assignment to its revocation (its stream then ends): run them with bounded
   * concurrency. A partition's slow stream pauses its own fetching and no other's.
   */
  readonly partitionStreams: Stream.Stream<
    { readonly topicPartition: TopicPartition; readonly records: Stream.Stream<ConsumerRecord, ClientError> },
    ClientError
  >

  /** Saves positions in the group. Undefined: what polls have returned so far. Fails with REBALANCE_IN_PROGRESS, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID when the group has moved on. */
  readonly commit: (offsets?: ReadonlyArray<PartitionOffset>) => Effect.Effect<void, ClientError>
  /** What the group has committed of these partitions; one that is left out of the answer has nothing committed. */
  readonly committed: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError>
  /** The offset of the next record to be given out. */
  readonly position: (partition: TopicPartition) => Effect.Effect<number, ClientError>
  /** Goes on at this offset, at the first record from there on. */
  readonly seek: (partition: TopicPartition, offset: number) => Effect.Effect<void, ClientError>
  /** To the first record that the log still has. No partitions: all assigned ones. */
  readonly seekToBeginning: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  /** Behind the last record. No partitions: all assigned ones. */
  readonly seekToEnd: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  /** To the first record at or after a time (ms since 1970); to the end where there is none. */
  readonly seekToTimestamp: (
    partitions: ReadonlyArray<TopicPartition>,
    timestamp: number
  ) => Effect.Effect<void, ClientError>
  /** Polls give no records of these partitions until `resume`; they stay this consumer's. */
  readonly pause: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  readonly resume: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, ClientError>
  readonly paused: () => ReadonlyArray<TopicPartition>
  /** Of the first record that each log still has. */
  readonly beginningOffsets: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError>
  /** Behind each partition's last readable record. */
  readonly endOffsets: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError>
  /** Of the first record at or after each time (ms since 1970), with its own; left out where there is none. */
  readonly offsetsForTimes: (
    partitions: ReadonlyArray<TopicPartition & { readonly timestamp: number }>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset & { readonly timestamp: number }>, ClientError>
  /** How many offsets it is from the position to the end, as of the last fetch; undefined before the first. */
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
