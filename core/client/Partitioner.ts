/**
 * Which partition a record goes to when it names none. A producer makes one {@link TopicPartitioner} for each topic
 * that it sends to, and calls it with plain functions: once per record, without an Effect.
 *
 * ```ts
 * const byCustomer = Partitioner.fromFunction("by-customer", (record, topic) =>
 *   record.key === null ? 0 : record.key[0]! % topic.partitions.length)
 * program.pipe(Effect.provide(Partitioner.layer(byCustomer)))
 * ```
 *
 * Without a layer it is Kafka's own (KIP-794). Other layers are in `partitioners/`, the laws for anyone's partitioner
 * are `partitionerLaws` of `ottla/testing`.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { kafkaPartitioner } from "./partitioners/KafkaPartitioner.ts"

/** A record as its partitioner sees it: serialized. */
export interface PartitionerRecord {
  readonly topic: string
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** The key as the application gave it, before its Serde; absent where the application gives bytes. */
  readonly keyObject?: unknown
}

/** A topic as the producer's metadata has it. It always has a partition. */
export interface PartitionerTopic {
  readonly name: string
  /** All of them: the index is the partition. `leader` is a broker id, -1 for none. */
  readonly partitions: ReadonlyArray<{ readonly partition: number; readonly leader: number }>
  /** Those with a leader, ascending; empty when none has one. */
  readonly available: ReadonlyArray<number>
}

/**
 * One per producer and topic, so it may keep state; synchronous. What `partition` or `make` throws fails the record; what
 * the others throw is logged, once for each and topic, and changes nothing.
 */
export interface TopicPartitioner {
  /**
   * Called once for each record that names no partition; twice for one that its batch had no room for, if there is an
   * `onBatchClosed`: then the second answer counts.
   * @returns an index into `topic.partitions`; the record fails with anything else
   */
  readonly partition: (record: PartitionerRecord, topic: PartitionerTopic) => number
  /**
   * Told after a record that `partition` placed was added to its batch: sticky partitioners switch by bytes (KIP-794).
   * @param sizeBytes what the record took in its batch
   * @param batchOpen whether a batch of this partition still waits for more records
   */
  readonly onAppended?: (
    partition: number,
    sizeBytes: number,
    topic: PartitionerTopic,
    record: PartitionerRecord,
    batchOpen: boolean
  ) => void
  /**
   * Told when the open batch of a partition was closed (full, its linger over, flushed): none of it waits for more. If
   * it was closed because the next record does not fit, `partition` is asked again for that record, so that it does not
   * begin a batch in a partition that the others leave. Partitioners without this are not asked again: one that goes
   * by turns would pass over a partition.
   */
  readonly onBatchClosed?: (partition: number, topic: PartitionerTopic) => void
  /**
   * Told how many batches wait in the partitions, for KIP-794's adaptive weights, each time the sender has looked.
   * Nothing is told until every partition of the topic has had a batch. Left out are partitions without a leader and,
   * under `partitioner.availability.timeout.ms`, those whose broker took nothing for that long.
   * @param queueSizes batches waiting, by place in `partitions`
   */
  readonly onLoad?: (queueSizes: ReadonlyArray<number>, partitions: ReadonlyArray<number>, topic: PartitionerTopic) => void
}

/** What the producer's configuration says to its partitioner. */
export interface PartitionerOptions {
  /** `batch.size`: a sticky partitioner stays for at least that many bytes. */
  readonly batchSizeBytes: number
  /** `partitioner.adaptive.partitioning.enable`: may queue sizes weigh the choice? */
  readonly adaptive: boolean
  /** `partitioner.ignore.keys`: Kafka's own places keyed records like keyless ones. */
  readonly ignoreKeys: boolean
}

export interface Partitioner {
  readonly name: string
  /** @param random uniform in [0, 1); from Effect's Random, so that a seeded program places its records the same again */
  readonly make: (topic: string, random: () => number, options: PartitionerOptions) => TopicPartitioner
}

/** A partitioner that is a plain function: it decides on the record and the topic alone. */
const fromFunction = (name: string, partition: TopicPartitioner["partition"]): Partitioner => {
  const one: TopicPartitioner = { partition }
  return { name, make: () => one }
}

/** Every producer that is built under this layer places its records by `partitioner`. */
const layer = (partitioner: Partitioner): Layer.Layer<never> => Layer.succeed(Partitioner, partitioner)

/** The key, with what makes a partitioner of a function and a layer of a partitioner. */
export interface PartitionerKey extends Context.Reference<Partitioner> {
  readonly fromFunction: typeof fromFunction
  readonly layer: typeof layer
}

export const Partitioner: PartitionerKey = Object.assign(
  Context.Reference<Partitioner>("ottla/Partitioner", { defaultValue: () => kafkaPartitioner }),
  { fromFunction, layer }
)
