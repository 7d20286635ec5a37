/**
 * Kafka's own partitioner (KIP-794): murmur2 of the key, or for records without a key the sticky choice by bytes and
 * by load. With `partitioner.ignore.keys` every record is placed like one without a key.
 */
import type { Partitioner } from "../Partitioner.ts"
import { keyPartitioner } from "./KeyPartitioner.ts"
import { murmur2, toPositive } from "./Murmur2.ts"
import { stickyPartitioner } from "./StickyPartitioner.ts"

/** Where Java's producer puts a key. @param partitions how many the topic has, at least 1 */
export const partitionForKey = (key: Uint8Array, partitions: number): number => toPositive(murmur2(key)) % partitions

const keyed = keyPartitioner({ name: "default", place: partitionForKey, keyless: stickyPartitioner })

export const kafkaPartitioner: Partitioner = {
  name: "default",
  make: (topic, random, options) => (options.ignoreKeys ? stickyPartitioner : keyed).make(topic, random, options)
}
