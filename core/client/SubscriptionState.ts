/**
 * What a consumer reads and where it is: pure, without clock or I/O, changed by its one owner.
 *
 * | phase        | means                                          | leaves it by                                  |
 * |--------------|------------------------------------------------|-----------------------------------------------|
 * | Initializing | no position                                    | the committed offset, a seek, or a reset      |
 * | Resetting    | an offset is asked for by time or by policy    | the answer of ListOffsets, a seek             |
 * | Validating   | the leader changed since the position was set  | the answer of OffsetForLeaderEpoch (KIP-320)  |
 * | Fetching     | records are fetched and given out              | a new leader epoch, an offset out of range    |
 *
 * Answers come late. Whoever asks remembers `version`, which every change of position from outside increments; an
 * answer to an older version is dropped.
 */
import type { TopicPartition } from "./ClusterView.ts"

export type PartitionPhase = "Initializing" | "Resetting" | "Validating" | "Fetching"

/** Timestamps with a meaning of their own in ListOffsets. */
export const LATEST_TIMESTAMP = -1
export const EARLIEST_TIMESTAMP = -2

export const NO_OFFSET = -1
export const UNKNOWN_EPOCH = -1

/** Topic names cannot end the part before the last dash otherwise: the last number is the partition. */
export const partitionKey = (topic: string, partition: number): string => `${topic}-${partition}`

export class AssignedPartition implements TopicPartition {
  readonly topic: string
  readonly partition: number
  readonly key: string
  phase: PartitionPhase = "Initializing"
  /** Of the next record to be given out; NO_OFFSET while there is none. */
  position: number = NO_OFFSET
  /** The leader epoch of the record before `position`, for commits and validation. */
  positionEpoch: number = UNKNOWN_EPOCH
  /** Of the next record to be fetched: ahead of `position` by what is buffered. */
  fetchOffset: number = NO_OFFSET
  /** The leader's epoch that the position is known to be good for; goes along with each fetch. */
  leaderEpoch: number = UNKNOWN_EPOCH
  version: number = 0
  /** Counts seeks and resets: what was read before the last is of no use after it. A position that is validated stays. */
  moves: number = 0
  /** While Resetting: a timestamp as in ListOffsets. */
  resetTimestamp: number = LATEST_TIMESTAMP
  /** By the application. */
  paused: boolean = false
  /** By a partition stream whose reader is behind. */
  held: boolean = false
  /** With hooks of `onAssigned` still to run: nothing of it is given out. */
  pendingAssignment: boolean = false
  /** A follower nearer to us, told by the leader (KIP-392); -1: none. */
  preferredReplica: number = -1
  preferredUntilMs: number = 0
  /** High watermark, or last stable offset for read_committed; -1 before the first fetch. */
  endOffset: number = -1
  /** Not asked again before. */
  retryAtMs: number = 0
  /** A question about its position is under way. */
  asking: boolean = false
  /** Set by partition streams: the offset up to which its reader is done; else `position` is what is committed. */
  processed: number | undefined = undefined
  /** The leader epoch that goes with `processed`. */
  processedEpoch: number = UNKNOWN_EPOCH

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
    this.key = partitionKey(topic, partition)
  }

  /** Whether records of it may be given out now. */
  get isReadable(): boolean {
    return this.phase === "Fetching" && !this.paused && !this.held && !this.pendingAssignment
  }

  /** Goes to an offset: what was fetched from elsewhere is void. A known epoch has the position validated first. */
  seek(offset: number, epoch: number = UNKNOWN_EPOCH): void {
    this.#moved()
    this.position = offset
    this.fetchOffset = offset
    this.positionEpoch = epoch
    this.leaderEpoch = UNKNOWN_EPOCH
    this.phase = epoch === UNKNOWN_EPOCH ? "Fetching" : "Validating"
  }

  /** Forgets the position until ListOffsets has told the one of `timestamp`. */
  reset(timestamp: number): void {
    this.#moved()
    this.position = NO_OFFSET
    this.fetchOffset = NO_OFFSET
    this.positionEpoch = UNKNOWN_EPOCH
    this.phase = "Resetting"
    this.resetTimestamp = timestamp
  }

  /** Forgets the position until the committed one is known again. */
  initialize(): void {
    this.#moved()
    this.position = NO_OFFSET
    this.fetchOffset = NO_OFFSET
    this.positionEpoch = UNKNOWN_EPOCH
    this.phase = "Initializing"
  }

  #moved(): void {
    this.version++
    this.moves++
    this.asking = false
    this.retryAtMs = 0
    this.processed = undefined
    this.processedEpoch = UNKNOWN_EPOCH
    this.endOffset = -1
    this.preferredReplica = -1
  }

  /** Records up to `nextOffset` were given out; `epoch` is that of the last batch. */
  advance(nextOffset: number, epoch: number): void {
    this.position = nextOffset
    if (epoch !== UNKNOWN_EPOCH) this.positionEpoch = epoch
  }

  /** Fetches from the position on again: what is on its way lies behind something that was not given out. */
  refetch(): void {
    this.version++
    this.asking = false
    this.fetchOffset = this.position
  }

  /**
   * The leader that metadata names has this epoch.
   * @param canValidate whether it answers OffsetForLeaderEpoch for consumers
   * @returns whether what was fetched before is void: a new leader's log may differ from where we are
   */
  onLeaderEpoch(epoch: number, canValidate: boolean): boolean {
    // A smaller one is that of a topic that was deleted and made again.
    if (this.phase !== "Fetching" || epoch === UNKNOWN_EPOCH || epoch === this.leaderEpoch) return false
    const isFirst = this.leaderEpoch === UNKNOWN_EPOCH
    this.leaderEpoch = epoch
    if (isFirst || this.positionEpoch === UNKNOWN_EPOCH || !canValidate) return false
    this.version++
    this.fetchOffset = this.position
    this.asking = false
    this.phase = "Validating"
    this.preferredReplica = -1
    return true
  }

  /**
   * Where this position's epoch ends in the leader's log.
   * @returns undefined when the position is good; else the log was truncated below it: `divergentOffset` is the first
   * offset that is known to differ, -1 when the leader does not know the epoch
   */
  validated(endOffset: number, endEpoch: number, leaderEpoch: number): { readonly divergentOffset: number } | undefined {
    this.asking = false
    if (endOffset < 0 || endEpoch < 0) return { divergentOffset: NO_OFFSET }
    if (endOffset < this.position) return { divergentOffset: endOffset }
    this.phase = "Fetching"
    if (leaderEpoch > this.leaderEpoch) this.leaderEpoch = leaderEpoch
    return undefined
  }

  /** Goes on at where the logs part, in that epoch (KIP-320 with a reset policy): nothing is asked again. */
  truncatedTo(offset: number, epoch: number, leaderEpoch: number): void {
    this.seek(offset)
    this.positionEpoch = epoch
    this.leaderEpoch = leaderEpoch
  }

  /** The committed position, or what is to be committed: what the application is done with. */
  get consumed(): { readonly offset: number; readonly leaderEpoch: number } | undefined {
    if (this.processed !== undefined) return { offset: this.processed, leaderEpoch: this.processedEpoch }
    // While it is validated nobody knows whether the log still has that position.
    return this.phase === "Fetching" ? { offset: this.position, leaderEpoch: this.positionEpoch } : undefined
  }
}

export type SubscriptionKind = "None" | "Topics" | "Pattern" | "Manual"

export class SubscriptionState {
  kind: SubscriptionKind = "None"
  /** What the group is told: the list, or the topics that match the pattern; ascending. */
  topics: ReadonlyArray<string> = []
  pattern: RegExp | undefined
  readonly #partitions: Map<string, AssignedPartition> = new Map()

  get partitions(): ReadonlyMap<string, AssignedPartition> {
    return this.#partitions
  }

  get(topicPartition: TopicPartition): AssignedPartition | undefined {
    return this.#partitions.get(partitionKey(topicPartition.topic, topicPartition.partition))
  }

  subscribeTopics(topics: ReadonlyArray<string>): void {
    this.kind = "Topics"
    this.pattern = undefined
    this.topics = [...new Set(topics)].sort()
  }

  subscribePattern(pattern: RegExp): void {
    this.kind = "Pattern"
    this.pattern = pattern
    this.topics = []
  }

  /** @returns whether the topics that match have changed */
  matched(names: Iterable<string>): boolean {
    const pattern = this.pattern
    if (pattern === undefined) return false
    const topics = [...names].filter((name) => matches(pattern, name)).sort()
    if (topics.length === this.topics.length && topics.every((topic, at) => topic === this.topics[at])) return false
    this.topics = topics
    return true
  }

  manual(): void {
    this.kind = "Manual"
    this.pattern = undefined
    this.topics = []
  }

  unsubscribe(): void {
    this.kind = "None"
    this.pattern = undefined
    this.topics = []
    this.#partitions.clear()
  }

  /** Makes these the assigned ones. Those that were before keep their positions. */
  setAssigned(
    assigned: Iterable<TopicPartition>
  ): { readonly added: ReadonlyArray<AssignedPartition>; readonly removed: ReadonlyArray<AssignedPartition> } {
    const before = new Map(this.#partitions)
    const added: Array<AssignedPartition> = []
    this.#partitions.clear()
    for (const { partition, topic } of assigned) {
      const key = partitionKey(topic, partition)
      if (this.#partitions.has(key)) continue
      let state = before.get(key)
      if (state === undefined) added.push(state = new AssignedPartition(topic, partition))
      before.delete(key)
      this.#partitions.set(key, state)
    }
    const removed = [...before.values()]
    // Whoever still holds one of them sees that it has moved on.
    for (const state of removed) state.initialize()
    return { added, removed }
  }
}

/** Java's patterns match the whole name; those of a RegExp with the `g` or `y` flag have a memory, which is not asked. */
const matches = (pattern: RegExp, name: string): boolean => {
  const flags = pattern.flags.replace(/[gy]/g, "")
  return new RegExp(`^(?:${pattern.source})$`, flags).test(name)
}
