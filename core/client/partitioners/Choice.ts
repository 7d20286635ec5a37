/** Choosing among a topic's partitions without looking at the record. */
import type { PartitionerTopic } from "../Partitioner.ts"

/** Any partition that has a leader, or any at all when none has one. @param random uniform in [0, 1) */
export const anyPartition = (topic: PartitionerTopic, random: () => number): number => {
  const { available } = topic
  return available.length > 0
    ? available[Math.floor(random() * available.length)]!
    : Math.floor(random() * topic.partitions.length)
}

/** Like {@link anyPartition}, but not `last` as long as there is another choice. */
export const otherPartition = (topic: PartitionerTopic, last: number, random: () => number): number => {
  const { available } = topic
  const count = available.length > 0 ? available.length : topic.partitions.length
  const at = available.length > 0 ? available.indexOf(last) : last
  // the last one is taken out of the row: those behind it move up by one
  if (at < 0 || at >= count || count < 2) return anyPartition(topic, random)
  const drawn = Math.floor(random() * (count - 1))
  const index = drawn >= at ? drawn + 1 : drawn
  return available.length > 0 ? available[index]! : index
}
