/** Every partitioner that comes with the client; a program takes one by `Partitioner.layer(roundRobinPartitioner)`. */
import type { Partitioner } from "../Partitioner.ts"
import { consistentHashPartitioner } from "./ConsistentHash.ts"
import { kafkaJs } from "./KafkaJs.ts"
import { kafkaPartitioner } from "./KafkaPartitioner.ts"
import { librdkafka } from "./Librdkafka.ts"
import { randomPartitioner, roundRobinPartitioner } from "./SimplePartitioners.ts"
import { stickyPartitioner } from "./StickyPartitioner.ts"
import { uniformStickyPartitioner } from "./UniformStickyPartitioner.ts"

export { type KeyPlacement, keyPartitioner } from "./KeyPartitioner.ts"
export { partitionForKey } from "./KafkaPartitioner.ts"
export { type PartitionWeight, smoothWeightedPartitioner } from "./SmoothWeightedPartitioner.ts"
export {
  consistentHashPartitioner,
  kafkaJs,
  kafkaPartitioner,
  librdkafka,
  randomPartitioner,
  roundRobinPartitioner,
  stickyPartitioner,
  uniformStickyPartitioner
}

/** By name, those that need nothing said. */
export const partitioners: ReadonlyMap<string, Partitioner> = new Map(
  [
    kafkaPartitioner,
    stickyPartitioner,
    uniformStickyPartitioner,
    roundRobinPartitioner,
    randomPartitioner,
    consistentHashPartitioner,
    ...Object.values(librdkafka),
    ...Object.values(kafkaJs)
  ].map((one: Partitioner): [string, Partitioner] => [one.name, one])
)
