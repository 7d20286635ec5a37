/**
 * Keeps a producer whole whatever its partitioner throws. What `partition` throws is its record's failure, and told by
 * the producer; what the hooks throw has no record that it could fail: it is reported, once for each hook and topic, and
 * the producer goes on. A `make` that throws fails every record of its topic that names no partition.
 */
import type { Partitioner, TopicPartitioner } from "./Partitioner.ts"

/** @param report `what`: "onAppended threw for topic orders" */
export const guardedPartitioner = (
  partitioner: Partitioner,
  report: (what: string, error: unknown) => void
): Partitioner => ({
  name: partitioner.name,
  make: (topic, random, options) => {
    const told = new Set<string>()
    const failed = (hook: string, error: unknown): void => {
      if (told.has(hook)) return
      told.add(hook)
      report(`${hook} threw for topic ${topic}`, error)
    }
    let one: TopicPartitioner
    try {
      one = partitioner.make(topic, random, options)
    } catch (error) {
      return {
        partition: () => {
          throw error
        }
      }
    }
    const guarded: { -readonly [K in keyof TopicPartitioner]: TopicPartitioner[K] } = { partition: (record, of) => one.partition(record, of) }
    // A hook that is missing stays so: the producer asks whether it is there.
    if (one.onAppended !== undefined) {
      guarded.onAppended = (partition, sizeBytes, of, record, batchOpen) => {
        try {
          one.onAppended!(partition, sizeBytes, of, record, batchOpen)
        } catch (error) {
          failed("onAppended", error)
        }
      }
    }
    if (one.onBatchClosed !== undefined) {
      guarded.onBatchClosed = (partition, of) => {
        try {
          one.onBatchClosed!(partition, of)
        } catch (error) {
          failed("onBatchClosed", error)
        }
      }
    }
    if (one.onLoad !== undefined) {
      guarded.onLoad = (queueSizes, partitions, of) => {
        try {
          one.onLoad!(queueSizes, partitions, of)
        } catch (error) {
          failed("onLoad", error)
        }
      }
    }
    return guarded
  }
})
