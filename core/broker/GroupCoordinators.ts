/**
 * The group coordinators of this broker: which partition of __consumer_offsets a group belongs to, and the way from a
 * request to the state machine there. One per broker, built by Broker.ts.
 */
import type { Coordinator } from "../coordinator/Coordinator.ts"
import type { MetadataImage } from "../cluster/MetadataImage.ts"
import type { Now } from "../model/Time.ts"
import type { CompressionCodec } from "../ports/Compression.ts"
import type { GroupConfig } from "../groups/GroupConfig.ts"
import type { GroupRecord } from "../groups/GroupRecords.ts"
import type { GroupsState, GroupsStep } from "../groups/GroupsState.ts"
import { partitionFor } from "../groups/JavaHash.ts"
import type { BrokerConfig } from "./config/BrokerConfig.ts"

export const OFFSETS_TOPIC = "__consumer_offsets"

const MS_PER_MINUTE = 60_000

/** What a configuration says about groups, when the broker starts: none of these keys changes while it runs. */
export const groupConfigOf = (config: BrokerConfig): GroupConfig => ({
  initialRebalanceDelayMs: config.number("group.initial.rebalance.delay.ms"),
  minSessionTimeoutMs: config.number("group.min.session.timeout.ms"),
  maxSessionTimeoutMs: config.number("group.max.session.timeout.ms"),
  maxSize: config.number("group.max.size"),
  offsetMetadataMaxBytes: config.number("offset.metadata.max.bytes"),
  offsetsRetentionMs: config.number("offsets.retention.minutes") * MS_PER_MINUTE,
  offsetsRetentionCheckIntervalMs: config.number("offsets.retention.check.interval.ms")
})

/** `offsets.topic.compression.codec` by its number; what is none is no codec. */
export const offsetsCodecOf = (config: BrokerConfig): 0 | CompressionCodec => {
  const codec = config.number("offsets.topic.compression.codec")
  return codec === 1 || codec === 2 || codec === 3 || codec === 4 ? codec : 0
}

/** Names that `previous` had with an id that `image` does not have any more. */
const topicsGone = (previous: MetadataImage, image: MetadataImage): ReadonlySet<string> => {
  const gone = new Set<string>()
  for (const { id, name } of previous.topicsById.values()) if (!image.topicsById.has(id)) gone.add(name)
  return gone
}

export class GroupCoordinators {
  readonly #coordinator: Coordinator<GroupsState, GroupRecord>
  readonly #configuredPartitions: number
  /** Of the topic when it was first seen: more partitions that it gets later do not move groups, until a restart. */
  #partitions: number | undefined
  #image: MetadataImage | undefined

  constructor(coordinator: Coordinator<GroupsState, GroupRecord>, configuredPartitions: number) {
    this.#coordinator = coordinator
    this.#configuredPartitions = configuredPartitions
  }

  /** Follows an image that the partitions have applied. */
  applyImage(image: MetadataImage): void {
    const previous = this.#image
    this.#image = image
    const topic = image.topicsByName.get(OFFSETS_TOPIC)
    if (topic === undefined) this.#partitions = undefined
    else this.#partitions ??= topic.partitions.length
    this.#coordinator.refresh()
    if (previous === undefined || previous.topicsById === image.topicsById) return
    const gone = topicsGone(previous, image)
    if (gone.size === 0) return
    for (const shard of this.#coordinator.shards()) {
      if (shard.status === "Active") shard.run((state) => state.topicsDeleted(gone))
    }
  }

  /** Of the offsets topic. */
  partitionFor(groupId: string): number {
    return partitionFor(groupId, this.#partitions ?? this.#configuredPartitions)
  }

  /** Has the group's state machine decide; `refused` gets the error code when this broker does not coordinate it now. */
  run(groupId: string, decide: (state: GroupsState, now: Now) => GroupsStep, refused: (errorCode: number) => void): void {
    this.runPartition(this.partitionFor(groupId), decide, refused)
  }

  runPartition(
    partition: number,
    decide: (state: GroupsState, now: Now) => GroupsStep,
    refused: (errorCode: number) => void
  ): void {
    const shard = this.#coordinator.shard(partition)
    if (typeof shard === "number") refused(shard)
    else shard.run(decide)
  }

  /** The partitions that this broker coordinates, loaded or not. */
  partitions(): ReadonlyArray<number> {
    return [...this.#coordinator.shards()].map(({ partition }) => partition.partition)
  }

  /** Answers everyone who waits: the broker stops. */
  close(): void {
    this.#coordinator.close()
  }
}
