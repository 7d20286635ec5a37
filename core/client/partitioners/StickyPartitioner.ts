/**
 * Records stay with one partition until it has a batch's worth of bytes, then go to another (KIP-794): full batches
 * without waiting for them, and evenly spread bytes in the long run whatever the records' sizes are.
 */
import type { Partitioner, PartitionerOptions, PartitionerTopic, TopicPartitioner } from "../Partitioner.ts"
import { anyPartition } from "./Choice.ts"
import { LoadWeights } from "./LoadWeights.ts"

class Sticky implements TopicPartitioner {
  readonly #random: () => number
  readonly #limitBytes: number
  readonly #weights: LoadWeights | null
  /** -1 before the first record. */
  #current = -1
  #bytes = 0

  constructor(random: () => number, options: PartitionerOptions) {
    this.#random = random
    this.#limitBytes = Math.max(1, options.batchSizeBytes)
    this.#weights = options.adaptive ? new LoadWeights() : null
  }

  readonly partition = (_record: unknown, topic: PartitionerTopic): number => {
    // a topic that was deleted and created again may have fewer
    if (this.#current < 0 || this.#current >= topic.partitions.length) this.#switch(topic)
    return this.#current
  }

  /**
   * Leaving an open batch behind would send it half full. So it waits until the batch is closed, but not longer than
   * twice the limit: explicit partitions and keys may open one batch after another here.
   */
  readonly onAppended = (
    partition: number,
    sizeBytes: number,
    topic: PartitionerTopic,
    _record: unknown,
    batchOpen: boolean
  ): void => {
    // a record that had to wait for memory may arrive after the switch
    if (partition !== this.#current) return
    this.#bytes += sizeBytes
    if (this.#bytes >= this.#limitBytes && (!batchOpen || this.#bytes >= 2 * this.#limitBytes)) this.#switch(topic)
  }

  readonly onBatchClosed = (partition: number, topic: PartitionerTopic): void => {
    if (partition === this.#current && this.#bytes >= this.#limitBytes) this.#switch(topic)
  }

  readonly onLoad = (
    queueSizes: ReadonlyArray<number>,
    partitions: ReadonlyArray<number>,
    topic: PartitionerTopic
  ): void => this.#weights?.update(queueSizes, partitions, topic.partitions.length)

  #switch(topic: PartitionerTopic): void {
    this.#bytes = 0
    const weighted = this.#weights?.active === true ? this.#weights.choose(this.#random) : -1
    this.#current = weighted >= 0 && weighted < topic.partitions.length ? weighted : anyPartition(topic, this.#random)
  }
}

/** Kafka's placing of records without a key, for records with and without one. */
export const stickyPartitioner: Partitioner = {
  name: "sticky",
  make: (_topic, random, options) => new Sticky(random, options)
}
