/**
 * librdkafka's partitioners, by the names of its `partitioner` setting: for sharing keyed topics with clients that are
 * built on it (C, Python, Go, .NET, Rust). Its default is `consistent_random`.
 *
 * Where it draws a random partition for records without a key, it stays with that one for sticky.partitioning.linger.ms
 * (10 by default); ours stays by bytes instead, as Kafka's own.
 */
import type { Partitioner } from "../Partitioner.ts"
import { crc32 } from "./Crc32.ts"
import { fnv1a } from "./Fnv1a.ts"
import { keyPartitioner } from "./KeyPartitioner.ts"
import { murmur2, toPositive } from "./Murmur2.ts"
import { stickyPartitioner } from "./StickyPartitioner.ts"

type Place = (key: Uint8Array, partitions: number) => number

const byCrc32: Place = (key, partitions) => {
  const hash = crc32(key)
  // the remainder of 32 unsigned bits by way of 31: integers of 32 bits are several times faster than doubles
  return (((hash >>> 1) % partitions) * 2 + (hash & 1)) % partitions
}
const byMurmur2: Place = (key, partitions) => toPositive(murmur2(key)) % partitions
const byFnv1a: Place = (key, partitions) => fnv1a(key) % partitions

const NO_BYTES = new Uint8Array(0)

/** No key is hashed like an empty one: all such records share one partition. */
const consistent = (name: string, place: Place): Partitioner =>
  keyPartitioner({
    name: `librdkafka.${name}`,
    place,
    keyless: { name, make: () => ({ partition: (_record, topic) => place(NO_BYTES, topic.partitions.length) }) }
  })

const orRandom = (name: string, place: Place, emptyIsNone: boolean): Partitioner =>
  keyPartitioner({ name: `librdkafka.${name}`, place, keyless: stickyPartitioner, emptyIsNone })

export interface Librdkafka {
  /** CRC-32 of the key; records without one all go to partition 0. */
  readonly consistent: Partitioner
  /** CRC-32 of the key; an empty one counts as none. */
  readonly consistentRandom: Partitioner
  /** Java's hash; records without a key all share one partition. */
  readonly murmur2: Partitioner
  /** Java's hash and what Java does without one: the same as Kafka's default but for load. */
  readonly murmur2Random: Partitioner
  /** Sarama's hash; records without a key all share one partition. */
  readonly fnv1a: Partitioner
  /** Sarama's hash; records without a key as Kafka's default. */
  readonly fnv1aRandom: Partitioner
}

export const librdkafka: Librdkafka = {
  consistent: consistent("consistent", byCrc32),
  consistentRandom: orRandom("consistent_random", byCrc32, true),
  murmur2: consistent("murmur2", byMurmur2),
  murmur2Random: orRandom("murmur2_random", byMurmur2, false),
  fnv1a: consistent("fnv1a", byFnv1a),
  fnv1aRandom: orRandom("fnv1a_random", byFnv1a, false)
}
