/** Partitioners that look neither at keys nor at sizes: one record here, the next one there. */
import type { Partitioner, PartitionerTopic } from "../Partitioner.ts"
import { anyPartition } from "./Choice.ts"

/** @param first where the counter starts, by the random number it is given */
export const roundRobinFrom = (name: string, first: (random: () => number) => number): Partitioner => ({
  name,
  make: (_topic, random) => {
    let counter = first(random)
    return {
      partition: (_record: unknown, { available, partitions }: PartitionerTopic) => {
        const turn = counter
        counter = (counter + 1) & 0x7fffffff
        return available.length > 0 ? available[turn % available.length]! : turn % partitions.length
      }
    }
  }
})

/** The partitions with a leader in turn, whatever the key. A batch for each partition fills slowly. */
export const roundRobinPartitioner: Partitioner = roundRobinFrom("round-robin", () => 0)

/** Each record for itself to any partition with a leader, whatever the key. */
export const randomPartitioner: Partitioner = {
  name: "random",
  make: (_topic, random) => ({ partition: (_record: unknown, topic: PartitionerTopic) => anyPartition(topic, random) })
}
