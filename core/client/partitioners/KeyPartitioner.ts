/** Partitioners that place a record by its key: they differ in how, and in what becomes of a record without a key. */
import type { Partitioner, TopicPartitioner } from "../Partitioner.ts"

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

export interface KeyPlacement {
  readonly name: string
  /** @returns an index below `partitions`; a function of these two alone */
  readonly place: (key: Uint8Array, partitions: number) => number
  /** Places records without a key. */
  readonly keyless: Partitioner
  /** Whether an empty key counts as none, as with librdkafka's consistent_random. */
  readonly emptyIsNone?: boolean
}

/**
 * Equal keys go to one partition for as long as the partition count stays, whether it has a leader or not: a key that
 * moved away for a while would lose its order.
 */
export const keyPartitioner = ({ emptyIsNone = false, keyless, name, place }: KeyPlacement): Partitioner => ({
  name,
  make: (topicName, random, options) => {
    const rest = keyless.make(topicName, random, options)
    const isKeyed = (key: Uint8Array | null): key is Uint8Array => key !== null && (!emptyIsNone || key.length > 0)
    const partitioner: Mutable<TopicPartitioner> = {
      partition: (record, topic) =>
        isKeyed(record.key) ? place(record.key, topic.partitions.length) : rest.partition(record, topic)
    }
    // what the other one is not told it must not seem to listen to: see TopicPartitioner.onBatchClosed
    if (rest.onAppended !== undefined) {
      // the bytes of keyed records say nothing of where keyless ones should go next
      partitioner.onAppended = (at, sizeBytes, topic, record, batchOpen) => {
        if (!isKeyed(record.key)) rest.onAppended!(at, sizeBytes, topic, record, batchOpen)
      }
    }
    if (rest.onBatchClosed !== undefined) partitioner.onBatchClosed = (at, topic) => rest.onBatchClosed!(at, topic)
    if (rest.onLoad !== undefined) {
      partitioner.onLoad = (queueSizes, partitions, topic) => rest.onLoad!(queueSizes, partitions, topic)
    }
    return partitioner
  }
})
