/** The committed offsets of all groups of a coordinator: group, topic, partition. */
import type { CommittedOffset } from "./GroupRecords.ts"

/** Of one group, by topic and partition. */
export type GroupOffsets = ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>>

const NONE: GroupOffsets = new Map()

export class OffsetStore {
  readonly #groups: Map<string, Map<string, Map<number, CommittedOffset>>> = new Map()
  #size = 0

  /** Offsets of all groups. */
  get size(): number {
    return this.#size
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#groups.get(groupId)?.get(topic)?.get(partition)
  }

  of(groupId: string): GroupOffsets {
    return this.#groups.get(groupId) ?? NONE
  }

  /** Undefined removes. @returns what was there before */
  set(groupId: string, topic: string, partition: number, offset: CommittedOffset | undefined): CommittedOffset | undefined {
    return offset === undefined
      ? this.#remove(groupId, topic, partition)
      : this.#put(groupId, topic, partition, offset)
  }

  #put(groupId: string, topic: string, partition: number, offset: CommittedOffset): CommittedOffset | undefined {
    let topics = this.#groups.get(groupId)
    if (topics === undefined) this.#groups.set(groupId, topics = new Map())
    let partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, partitions = new Map())
    const before = partitions.get(partition)
    partitions.set(partition, offset)
    if (before === undefined) this.#size++
    return before
  }

  /** Nothing is kept of a group without offsets. */
  #remove(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    const topics = this.#groups.get(groupId)
    const partitions = topics?.get(topic)
    const before = partitions?.get(partition)
    if (topics === undefined || partitions === undefined || before === undefined) return undefined
    partitions.delete(partition)
    if (partitions.size === 0) topics.delete(topic)
    if (topics.size === 0) this.#groups.delete(groupId)
    this.#size--
    return before
  }

  /** Offsets of these topics, in whatever group. */
  *ofTopics(topics: ReadonlySet<string>): IterableIterator<{ readonly groupId: string; readonly topic: string; readonly partition: number }> {
    for (const [groupId, byTopic] of this.#groups) {
      for (const topic of topics) {
        for (const partition of byTopic.get(topic)?.keys() ?? []) yield { groupId, topic, partition }
      }
    }
  }
}
