/** Partitioners that hash a key: they differ in the hash, and in what becomes of a record without a key. */
import type { Partitioner, PartitionerRecord, PartitionerTopic } from "../Partitioner.ts"

export interface KeyHash {
  readonly name: string
  /** @returns an integer from 0 to 2^32 - 1; the partition is its remainder by the partition count */
  readonly hash: (key: Uint8Array) => number
  /** Places records without a key. */
  readonly keyless: Partitioner
  /** Whether an empty key counts as none, as with librdkafka's consistent_random. */
  readonly emptyIsNone?: boolean
}

/**
 * Equal keys go to one partition for as long as the partition count stays, whether it has a leader or not: a key that
 * moved away for a while would lose its order.
 */
export const keyHashPartitioner = ({ emptyIsNone = false, hash, keyless, name }: KeyHash): Partitioner => ({
  name,
  make: (topicName, random, options) => {
    const rest = keyless.make(topicName, random, options)
    const isKeyed = (key: Uint8Array | null): key is Uint8Array => key !== null && (!emptyIsNone || key.length > 0)
    const partition = (record: PartitionerRecord, topic: PartitionerTopic): number =>
      isKeyed(record.key) ? hash(record.key) % topic.partitions.length : rest.partition(record, topic)
    return {
      partition,
      // the bytes of keyed records say nothing of where keyless ones should go next
      onAppended: (at, sizeBytes, topic, record, batchOpen) => {
        if (!isKeyed(record.key)) rest.onAppended?.(at, sizeBytes, topic, record, batchOpen)
      },
      onBatchClosed: (at, topic) => rest.onBatchClosed?.(at, topic),
      onLoad: (queueSizes, partitions, topic) => rest.onLoad?.(queueSizes, partitions, topic)
    }
  }
})
