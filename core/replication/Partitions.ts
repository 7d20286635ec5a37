/**
 * The partitions that this broker holds, kept equal to the metadata image: an image that has a replica here which is
 * not there yet gets its log and role, one that no longer has it loses both. Synchronous: when the controller has
 * applied a commit, what it made can be produced to.
 *
 * A topic is deleted while it is read and written: its partitions answer those who wait with
 * UNKNOWN_TOPIC_OR_PARTITION and leave the maps, then their logs are removed; slices that are being sent keep their
 * files (leases). A topic of the same name made again has another id and a log of its own.
 */
import * as Effect from "effect/Effect"
import type { MetadataImage, PartitionImage, TopicImage } from "../cluster/MetadataImage.ts"
import { replicaName, topicConfigOf } from "../cluster/MetadataImage.ts"
import type { ReplicationConfig } from "../cluster/configs/TopicConfigs.ts"
import type { LogConfig } from "../log/LogConfig.ts"
import type { LogManager } from "../log/LogManager.ts"
import { isFailure } from "../log/LogState.ts"
import type { PartitionLog } from "../log/PartitionLog.ts"
import { ZERO_TOPIC_ID } from "../model/Ids.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { DiskError } from "../ports/Disk.ts"
import { Partition, type PartitionContext } from "./Partition.ts"
import type { Purgatory } from "./Purgatory.ts"

/** A topic's partitions on this broker, by index; a hole is a partition without a replica here. */
export interface HostedTopic {
  readonly name: string
  readonly id: string
  readonly partitions: Array<Partition | undefined>
}

export interface PartitionsOptions {
  readonly brokerId: number
  readonly logManager: LogManager
  readonly purgatory: Purgatory
  readonly crypto: Crypto
  readonly nowMs: () => number
  readonly monotonicMs: () => number
  readonly fork: (effect: Effect.Effect<unknown>) => void
  /** Of a topic: its overrides over the broker's defaults. */
  readonly configFor: (topic: string, image: MetadataImage) => LogConfig
  readonly replicationConfigFor: (topic: string, image: MetadataImage) => ReplicationConfig
  readonly isrChangeWanted: (partition: Partition) => void
  /** A replica here (`replicaName`) lies in a log directory that failed. */
  readonly replicaOffline: (name: string) => void
  /** A full disk refused to make or to remove some logs: `retryRefused` is to be called after a while. */
  readonly logsRefused: () => void
}

export class Partitions {
  readonly purgatory: Purgatory
  readonly #options: PartitionsOptions
  readonly #byName: Map<string, HostedTopic> = new Map()
  readonly #byId: Map<string, HostedTopic> = new Map()
  #applied: MetadataImage | undefined
  #changed: Set<Partition> = new Set()
  /** Replicas in log directories that failed: they come back with a start that finds their directory. */
  readonly #offline: Set<string> = new Set()
  /** Topics with replicas here whose logs a full disk refused, by id. */
  #refused: Set<string> = new Set()
  /** Of the replicas (`replicaName`) among them: a disk may be full for long. */
  readonly #toldRefused: Set<string> = new Set()
  /** Logs of no partition that a full disk refused to rename: their room is what it lacks. */
  #unremoved: Set<PartitionLog> = new Set()

  constructor(options: PartitionsOptions) {
    this.#options = options
    this.purgatory = options.purgatory
    options.logManager.setHighWatermarks((topic, partition) => this.get(topic, partition)?.highWatermark)
    options.logManager.onOffline((log) => {
      const partition = this.get(log.topic, log.partition)
      if (partition?.log !== log) return
      partition.markOffline()
      this.#goOffline(partition.topicId, partition.partition)
    })
  }

  #goOffline(topicId: string, partition: number): void {
    const name = replicaName(topicId, partition)
    if (this.#offline.has(name)) return
    this.#offline.add(name)
    this.#options.replicaOffline(name)
  }

  /** Does the replica lie in a log directory that failed? */
  isOffline(topicId: string, partition: number): boolean {
    return this.#offline.has(replicaName(topicId, partition))
  }

  topic(name: string): HostedTopic | undefined {
    return this.#byName.get(name)
  }

  topicById(id: string): HostedTopic | undefined {
    return this.#byId.get(id)
  }

  get(topic: string, partition: number): Partition | undefined {
    return this.#byName.get(topic)?.partitions[partition]
  }

  *all(): IterableIterator<Partition> {
    for (const { partitions } of this.#byName.values()) {
      for (const partition of partitions) if (partition !== undefined) yield partition
    }
  }

  /** Partitions that were made, removed or given a role by the images that were applied since the last call. */
  takeChanged(): Iterable<Partition> {
    const changed = this.#changed
    if (changed.size > 0) this.#changed = new Set()
    return changed
  }

  /** Makes what is held here follow `image`. Costs what changed, plus a look at each topic when any topic did. */
  applyImage(image: MetadataImage): void {
    const previous = this.#applied
    this.#applied = image
    if (previous?.topicsById !== image.topicsById) {
      for (const hosted of [...this.#byId.values()]) {
        if (!image.topicsById.has(hosted.id)) this.#removeTopic(hosted)
      }
      for (const topic of image.topicsById.values()) {
        const before = previous?.topicsById.get(topic.id)
        if (before !== topic) this.#applyTopic(topic, before, image, previous === undefined)
      }
    }
    if (previous === undefined) return this.#retireStrays()
    if (previous.brokerConfigs !== image.brokerConfigs) {
      for (const hosted of this.#byName.values()) this.#applyConfig(hosted, image)
    } else if (previous.topicConfigs !== image.topicConfigs) {
      for (const hosted of this.#byName.values()) {
        if (topicConfigOf(previous, hosted.name) !== topicConfigOf(image, hosted.name)) this.#applyConfig(hosted, image)
      }
    }
  }

  /**
   * Removes and makes the logs that a full disk refused, and gives these the roles that they should have: `takeChanged`
   * has them.
   */
  retryRefused(): void {
    const image = this.#applied
    const unremoved = this.#unremoved
    this.#unremoved = new Set()
    for (const log of unremoved) {
      const { partition, topic } = log
      // Unless it came to use again meanwhile, or went.
      if (this.get(topic, partition)?.log !== log && this.#options.logManager.get(topic, partition) === log) this.#removeLog(log, true)
    }
    const refused = this.#refused
    this.#refused = new Set()
    for (const id of refused) {
      const topic = image?.topicsById.get(id)
      if (topic !== undefined) this.#applyTopic(topic, topic, image!, false)
    }
    if (this.#refused.size === 0) this.#toldRefused.clear()
  }

  /** Logs of topics that were deleted while this broker was down keep their files, under names with "-stray". */
  #retireStrays(): void {
    const { fork, logManager } = this.#options
    for (const { partition, topic } of [...logManager.all()]) {
      if (this.get(topic, partition) !== undefined) continue
      fork(Effect.annotateLogs(Effect.logWarning("log of no topic is put aside"), { topic, partition }))
      try {
        logManager.removeStray(topic, partition)
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
      }
    }
  }

  #applyTopic(topic: TopicImage, before: TopicImage | undefined, image: MetadataImage, isFirst: boolean): void {
    let hosted = this.#byId.get(topic.id)
    for (const partitionImage of topic.partitions) {
      const isReplica = partitionImage.replicas.includes(this.#options.brokerId)
      const index = partitionImage.partition
      const held = hosted?.partitions[index]
      // One that is missing here, because the disk refused it, is tried again.
      if (before?.partitions[index] === partitionImage && (held !== undefined || !isReplica)) continue
      if (!isReplica) {
        if (held !== undefined) this.#removePartition(hosted!, held, true)
        continue
      }
      if (hosted === undefined) {
        hosted = { name: topic.name, id: topic.id, partitions: [] }
        this.#byId.set(topic.id, hosted)
        this.#byName.set(topic.name, hosted)
      }
      const partition = held ?? this.#create(topic, index, image, isFirst)
      if (partition === undefined) continue
      hosted.partitions[index] = partition
      this.#applyRole(partition, partitionImage)
    }
  }

  #applyRole(partition: Partition, image: PartitionImage): void {
    const { leader, leaderEpoch, partitionEpoch, replicas, isr } = image
    if (leaderEpoch < partition.leaderEpoch) return
    this.#changed.add(partition)
    if (leader === this.#options.brokerId) {
      partition.apply({ _tag: "BecomeLeader", leaderEpoch, partitionEpoch, replicas, isr })
    } else {
      partition.apply({ _tag: "BecomeFollower", leaderId: leader, leaderEpoch, partitionEpoch, replicas, isr })
    }
  }

  /** Undefined when the disk refused: the partition is answered as if it were not here. */
  #create(topic: TopicImage, index: number, image: MetadataImage, isFirst: boolean): Partition | undefined {
    const { logManager, nowMs, monotonicMs, fork, purgatory, crypto, brokerId, isrChangeWanted } = this.#options
    if (this.isOffline(topic.id, index)) return undefined
    let log: PartitionLog
    try {
      const found = logManager.get(topic.name, index)
      // At a start it may lie in the directory that is missing: an empty one in its place would be a loss, said by nobody.
      if (found === undefined && isFirst && logManager.directories().some(({ isOnline }) => !isOnline)) {
        this.#goOffline(topic.id, index)
        return undefined
      }
      // As in Kafka a log that has lost its topic id is the topic's of that name.
      if (found !== undefined && (found.topicId === topic.id || found.topicId === ZERO_TOPIC_ID)) {
        log = found
        log.setConfig(this.#options.configFor(topic.name, image))
      } else {
        // Of a deleted topic of that name, left by a stop before its files went. They stay, under another name.
        if (found !== undefined && this.#unremoved.has(found)) logManager.remove(topic.name, index)
        else if (found !== undefined) logManager.removeStray(topic.name, index)
        log = logManager.create(topic.name, index, topic.id, this.#options.configFor(topic.name, image))
      }
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.#logRefused(topic, index, error)
      return undefined
    }
    const context: PartitionContext = {
      topic: topic.name,
      topicId: topic.id,
      partition: index,
      brokerId,
      purgatory,
      crypto,
      nowMs,
      monotonicMs,
      fork,
      isrChangeWanted
    }
    const replicationConfig = this.#options.replicationConfigFor(topic.name, image)
    const partition = new Partition(context, log, {
      highWatermark: logManager.checkpointedHighWatermark(topic.name, index),
      minInsyncReplicas: replicationConfig.minInsyncReplicas
    })
    partition.setThrottled(replicationConfig)
    if (logManager.isOffline(log)) {
      partition.markOffline()
      this.#goOffline(topic.id, index)
    }
    return partition
  }

  /** It is made when there is room, or, with no directory that works, led by another broker. */
  #logRefused(topic: TopicImage, index: number, error: DiskError): void {
    const { fork } = this.#options
    const name = replicaName(topic.id, index)
    const isTold = this.#toldRefused.has(name)
    if (isFailure(error)) this.#goOffline(topic.id, index)
    else {
      this.#retryLater()
      this.#refused.add(topic.id)
      this.#toldRefused.add(name)
    }
    if (isTold) return
    fork(
      Effect.annotateLogs(Effect.logError("log could not be made"), { topic: topic.name, partition: index, error: error.message })
    )
  }

  #applyConfig(hosted: HostedTopic, image: MetadataImage): void {
    const config = this.#options.configFor(hosted.name, image)
    const replicationConfig = this.#options.replicationConfigFor(hosted.name, image)
    for (const partition of hosted.partitions) {
      if (partition === undefined) continue
      partition.log.setConfig(config)
      partition.setThrottled(replicationConfig)
      partition.apply({ _tag: "MinInsyncReplicas", minInsyncReplicas: replicationConfig.minInsyncReplicas })
    }
  }

  #removeTopic(hosted: HostedTopic): void {
    this.#byId.delete(hosted.id)
    if (this.#byName.get(hosted.name) === hosted) this.#byName.delete(hosted.name)
    for (const partition of hosted.partitions) if (partition !== undefined) this.#removePartition(hosted, partition, false)
  }

  #removePartition(hosted: HostedTopic, partition: Partition, isMoved: boolean): void {
    hosted.partitions[partition.partition] = undefined
    this.#changed.add(partition)
    partition.markDeleted(isMoved)
    this.#removeLog(partition.log, false)
  }

  /** Before something is noted as refused. */
  #retryLater(): void {
    if (this.#refused.size === 0 && this.#unremoved.size === 0) this.#options.logsRefused()
  }

  #removeLog(log: PartitionLog, isTold: boolean): void {
    const { fork, logManager } = this.#options
    const { partition, topic } = log
    try {
      logManager.remove(topic, partition)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      if (!isFailure(error)) {
        this.#retryLater()
        this.#unremoved.add(log)
      }
      if (isTold) return
      fork(Effect.annotateLogs(Effect.logError("log could not be removed"), { topic, partition, error: error.message }))
    }
  }
}
