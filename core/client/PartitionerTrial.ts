/**
 * Trying a partitioner without a producer: topics, keys and random numbers from a seed, and batches that fill as a
 * producer's do. What the laws of `ottla/testing` and {@link ./PartitionerReport.ts} are made of.
 */
import type { Partitioner, PartitionerOptions, PartitionerRecord, PartitionerTopic, TopicPartitioner } from "./Partitioner.ts"

/**
 * Numbers in [0, 1), the same for the same seed (Mulberry32). What is drawn for a partitioner and what is drawn for its
 * records need seeds of their own: drawn in step, they would depend on each other.
 */
export const seeded = (seed: number): () => number => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000
  }
}

/** Added to the seed for what is drawn for records. */
export const RECORDS_SEED = 7919

/** @param leaderless partitions that have no leader */
export const trialTopic = (partitions: number, leaderless: ReadonlySet<number> = new Set()): PartitionerTopic => {
  const all = Array.from({ length: partitions }, (_, partition) => ({
    partition,
    leader: leaderless.has(partition) ? -1 : partition % 3
  }))
  return {
    name: "trial",
    partitions: all,
    available: all.filter(({ leader }) => leader >= 0).map(({ partition }) => partition)
  }
}

export const TRIAL_OPTIONS: PartitionerOptions = { batchSizeBytes: 1000, adaptive: true, ignoreKeys: false }

const encoder = new TextEncoder()

/** What keys look like: text with a number in it, a number alone, eight bytes of a number, and any bytes. */
const KEY_KINDS: ReadonlyArray<(n: number, random: () => number) => Uint8Array> = [
  (n) => encoder.encode(`user-${n}`),
  (n) => encoder.encode(`${n}`),
  (n) => Uint8Array.of(0, 0, 0, 0, n >>> 24, n >>> 16, n >>> 8, n),
  (_n, random) => Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256))
]

/** `count` different keys, as many of each kind. */
export const trialKeys = (count: number, seed: number): Array<Uint8Array> => {
  const random = seeded(seed)
  return Array.from({ length: count }, (_, n) => KEY_KINDS[n % KEY_KINDS.length]!(n, random))
}

export const recordOf = (key: Uint8Array | null, value: Uint8Array | null = null): PartitionerRecord => ({
  topic: "trial",
  key,
  value
})

/** Calls the partitioner as a producer does: a batch per partition, closed when the next record does not fit. */
export class TrialProducer {
  readonly #partitioner: TopicPartitioner
  readonly #batchSizeBytes: number
  /** Bytes in the open batch, by partition. */
  readonly #batches = new Map<number, number>()

  constructor(partitioner: Partitioner, seed: number, options: PartitionerOptions = TRIAL_OPTIONS) {
    this.#partitioner = partitioner.make("trial", seeded(seed), options)
    this.#batchSizeBytes = options.batchSizeBytes
  }

  /** @returns the partition as the partitioner named it, in range or not */
  send(record: PartitionerRecord, topic: PartitionerTopic, sizeBytes: number): number {
    let partition = this.#partitioner.partition(record, topic)
    let before = this.#batches.get(partition) ?? 0
    if (before > 0 && before + sizeBytes > this.#batchSizeBytes) {
      this.#batches.set(partition, 0)
      this.#partitioner.onBatchClosed?.(partition, topic)
      if (this.#partitioner.onBatchClosed !== undefined) partition = this.#partitioner.partition(record, topic)
      before = this.#batches.get(partition) ?? 0
    }
    const bytes = before + sizeBytes
    const open = bytes < this.#batchSizeBytes
    this.#batches.set(partition, open ? bytes : 0)
    this.#partitioner.onAppended?.(partition, sizeBytes, topic, record, open)
    return partition
  }

  load(queueSizes: ReadonlyArray<number>, partitions: ReadonlyArray<number>, topic: PartitionerTopic): void {
    this.#partitioner.onLoad?.(queueSizes, partitions, topic)
  }
}
