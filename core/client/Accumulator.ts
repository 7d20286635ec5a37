/**
 * Accepted records by partition. Pure: time and metadata come in, nothing waits.
 *
 * A partition has batches that were sent and are not resolved (`inFlight`, in the order of their sequences) and batches
 * that were never sent (`queue`, of which the last may be open for more records).
 */
import { invariant } from "../model/Invariant.ts"
import type { Compression } from "../ports/Compression.ts"
import type { RecordHeader } from "../records/Record.ts"
import { RECORD_BATCH_OVERHEAD } from "../records/RecordBatch.ts"
import type { TopicView } from "./ClusterView.ts"
import { PartitionSequences } from "./Idempotence.ts"
import type { Partitioner, PartitionerTopic, TopicPartitioner } from "./Partitioner.ts"
import type { SendListener } from "./Producer.ts"
import { ProducerBatch } from "./ProducerBatch.ts"
import { ProducerMemory } from "./ProducerMemory.ts"
import type { ProducerSettings } from "./ProducerSettings.ts"

export class PartitionQueue {
  readonly topic: TopicState
  readonly partition: number
  /** -1: none is known. */
  leader = -1
  leaderEpoch = -1
  readonly inFlight: Array<ProducerBatch> = []
  readonly queue: Array<ProducerBatch> = []
  /** Whether it ever had a batch. */
  wasUsed = false
  /** The last of the queue, while it takes records. */
  open: ProducerBatch | undefined
  readonly sequences: PartitionSequences = new PartitionSequences()

  constructor(topic: TopicState, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  get isEmpty(): boolean {
    return this.queue.length === 0 && this.inFlight.length === 0
  }
  /** "orders-3", for messages. */
  get name(): string {
    return `${this.topic.name}-${this.partition}`
  }
}

export class TopicState {
  readonly name: string
  readonly partitioner: TopicPartitioner
  view: TopicView
  /** As many as the topic ever had; `view` says how many it has. */
  readonly partitions: Array<PartitionQueue> = []
  /** What the partitioner sees. */
  described: PartitionerTopic = { name: "", partitions: [], available: [] }
  /** Not in the cluster's metadata: deleted, or forgotten because nothing was sent to it for a while. */
  isLost = false
  /** The metadata was told that it is in use since it was renewed last: who is not in use is forgotten. */
  isInUse = false
  /** Partitions that ever had a batch. */
  usedCount = 0
  /** Bytes of records before compression that are expected to come to `batch.size` (KIP-126). */
  compressionRatio = 1

  constructor(view: TopicView, partitioner: TopicPartitioner) {
    this.name = view.name
    this.partitioner = partitioner
    this.view = view
    this.update(view)
  }

  update(view: TopicView): void {
    this.view = view
    this.isLost = false
    for (let i = this.partitions.length; i < view.partitions.length; i++) this.partitions.push(new PartitionQueue(this, i))
    for (const queue of this.partitions) {
      const { leader, leaderEpoch } = view.partitions[queue.partition] ?? { leader: -1, leaderEpoch: -1 }
      queue.leader = leader
      queue.leaderEpoch = leaderEpoch
    }
    this.described = {
      name: view.name,
      partitions: view.partitions,
      available: view.partitions.filter(({ leader }) => leader >= 0).map(({ partition }) => partition)
    }
  }

  /** It does not exist any more, as far as is known. */
  lose(): void {
    this.isLost = true
    for (const queue of this.partitions) queue.leader = -1
  }
}

/** An estimate of the compression ratio falls by this much at most with each batch, and rises as far as it was wrong. */
const RATIO_IMPROVING_STEP = 0.005
/** Room that is left for a batch that compresses worse than its estimate. */
const RATIO_MARGIN = 1.05

export class Accumulator {
  readonly topics: Map<string, TopicState> = new Map()
  /** Partitions with batches. */
  readonly active: Set<PartitionQueue> = new Set()
  /** Batches that have not ended. */
  readonly incomplete: Set<ProducerBatch> = new Set()
  /** Partitions with batches whose codec failed since they were last taken out. */
  readonly failed: Set<PartitionQueue> = new Set()
  readonly memory: ProducerMemory
  readonly #settings: ProducerSettings
  readonly #compression: Compression

  constructor(settings: ProducerSettings, compression: Compression) {
    this.#settings = settings
    this.#compression = compression
    this.memory = new ProducerMemory(settings.bufferBytes, settings.batchBytes)
  }

  addTopic(view: TopicView, partitioner: Partitioner, random: () => number): TopicState {
    const { adaptive, batchBytes, ignoreKeys } = this.#settings
    const topic = new TopicState(view, partitioner.make(view.name, random, { batchSizeBytes: batchBytes, adaptive, ignoreKeys }))
    this.topics.set(view.name, topic)
    return topic
  }

  /** What the first record of a new batch claims. */
  claimOf(recordBytes: number): number {
    return Math.max(this.#settings.batchBytes, recordBytes)
  }

  /**
   * @param recordBytes `maxSizeOfOne` of the record
   * @param nowMs of the monotonic clock, read when a batch begins
   * @param mayClaim false: only into an open batch, memory is someone else's turn
   * @param mayLeave whether the record may go to another partition if the open batch has no room
   * @returns bytes that the record took in its batch; 0: no room; -1: the open batch was closed, and it may leave
   */
  append(
    queue: PartitionQueue,
    timestamp: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: ReadonlyArray<RecordHeader>,
    listener: SendListener | undefined,
    recordBytes: number,
    nowMs: () => number,
    mayClaim: boolean,
    mayLeave = false
  ): number {
    const open = queue.open
    if (open !== undefined) {
      const bytes = open.append(timestamp, key, value, headers, listener, this.memory)
      if (bytes > 0) {
        if (open.isFull || open.count >= this.#settings.batchRecords) this.close(queue)
        return bytes
      }
      this.close(queue)
      if (mayLeave) return -1
    }
    const claim = this.claimOf(recordBytes)
    if (!mayClaim || !this.memory.hasRoom(claim)) return 0
    const batch = new ProducerBatch(queue.topic.name, queue.partition, nowMs(), this.memory.claim(claim), claim, this.#limitOf(queue.topic))
    const bytes = batch.append(timestamp, key, value, headers, listener, this.memory)
    queue.queue.push(batch)
    queue.open = batch
    if (!queue.wasUsed) {
      queue.wasUsed = true
      queue.topic.usedCount++
    }
    this.active.add(queue)
    this.incomplete.add(batch)
    if (batch.isFull || this.#settings.batchRecords === 1) this.close(queue)
    return bytes
  }

  #limitOf(topic: TopicState): number {
    const { batchBytes, codec } = this.#settings
    if (codec === 0) return batchBytes
    return RECORD_BATCH_OVERHEAD + Math.ceil((batchBytes - RECORD_BATCH_OVERHEAD) / (topic.compressionRatio * RATIO_MARGIN))
  }

  /** Closes the open batch of a partition. */
  close(queue: PartitionQueue): void {
    const batch = queue.open
    if (batch === undefined) return
    queue.open = undefined
    const { codec, level } = this.#settings
    batch.close(codec, level, this.#compression)
    const { topic } = queue
    if (batch.failure !== undefined) this.failed.add(queue)
    else if (codec !== 0) {
      const ratio = batch.compressionRatio
      topic.compressionRatio = ratio > topic.compressionRatio ? ratio : Math.max(ratio, topic.compressionRatio - RATIO_IMPROVING_STEP)
    }
    topic.partitioner.onBatchClosed?.(queue.partition, topic.described)
  }

  /** Takes the head of a queue, which is closed, to be sent. */
  shift(queue: PartitionQueue): ProducerBatch {
    const batch = queue.queue.shift()
    invariant(batch !== undefined && batch.state === "Closed", "what is sent is closed")
    queue.inFlight.push(batch)
    return batch
  }

  /** Takes out a batch that has ended. `reusable`: the network holds no view of it. */
  remove(queue: PartitionQueue, batch: ProducerBatch, reusable: boolean): void {
    removeFrom(queue.inFlight, batch)
    removeFrom(queue.queue, batch)
    if (queue.open === batch) queue.open = undefined
    batch.state = "Done"
    this.incomplete.delete(batch)
    batch.release(this.memory, reusable)
    if (queue.isEmpty) this.active.delete(queue)
  }

  /**
   * Puts smaller batches in the place of one that was refused as too large. Whoever waits for its end waits for the
   * ends of all. What the codec fails on stands in `failed`.
   */
  split(queue: PartitionQueue, batch: ProducerBatch): void {
    const parts = batch.split(Math.ceil(batch.uncompressedSizeInBytes / 2), this.#compression, this.memory)
    if (batch.failure !== undefined) {
      this.failed.add(queue)
      return
    }
    const { codec, level } = this.#settings
    if (codec !== 0) queue.topic.compressionRatio = Math.max(1, batch.compressionRatio)
    for (const part of parts) {
      part.close(codec, level, this.#compression)
      if (part.failure !== undefined) this.failed.add(queue)
      part.state = "Retry"
      this.incomplete.add(part)
    }
    queue.inFlight.splice(queue.inFlight.indexOf(batch), 1, ...parts)
    let left = parts.length
    const ended = (): void => {
      if (--left === 0) for (const listener of batch.endListeners) listener()
    }
    for (const part of parts) part.endListeners.push(ended)
    this.remove(queue, batch, true)
  }
}

const removeFrom = (batches: Array<ProducerBatch>, batch: ProducerBatch): void => {
  const index = batches.indexOf(batch)
  if (index >= 0) batches.splice(index, 1)
}
