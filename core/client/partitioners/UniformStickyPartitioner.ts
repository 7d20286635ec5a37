/**
 * Every record, with a key or without, stays with one partition until its batch is closed, then goes to another one
 * (KIP-480). Simple, and every partition gets as many batches; not as many bytes where some fill faster than others.
 */
import type { Partitioner, PartitionerTopic, TopicPartitioner } from "../Partitioner.ts"
import { otherPartition } from "./Choice.ts"

class UniformSticky implements TopicPartitioner {
  readonly #random: () => number
  readonly #limitBytes: number
  #current = -1
  #bytes = 0

  constructor(random: () => number, batchSizeBytes: number) {
    this.#random = random
    this.#limitBytes = Math.max(1, batchSizeBytes)
  }

  readonly partition = (_record: unknown, topic: PartitionerTopic): number => {
    if (this.#current < 0 || this.#current >= topic.partitions.length) this.#switch(topic)
    return this.#current
  }

  readonly onAppended = (
    partition: number,
    sizeBytes: number,
    topic: PartitionerTopic,
    _record: unknown,
    batchOpen: boolean
  ): void => {
    if (partition !== this.#current) return
    this.#bytes += sizeBytes
    // a batch's worth has gone into batches that are all open still: others fill them too
    if (!batchOpen || this.#bytes >= 2 * this.#limitBytes) this.#switch(topic)
  }

  readonly onBatchClosed = (partition: number, topic: PartitionerTopic): void => {
    if (partition === this.#current && this.#bytes > 0) this.#switch(topic)
  }

  #switch(topic: PartitionerTopic): void {
    this.#bytes = 0
    this.#current = otherPartition(topic, this.#current, this.#random)
  }
}

export const uniformStickyPartitioner: Partitioner = {
  name: "uniform-sticky",
  make: (_topic, random, options) => new UniformSticky(random, options.batchSizeBytes)
}
