/**
 * The partitioners of kafkajs, for topics whose keyed records it wrote. Since 2.0 its default agrees with Java's on
 * keys; before, its murmur2 was computed in floating point and agrees with nobody: that is the legacy one.
 */
import type { Partitioner } from "../Partitioner.ts"
import { keyPartitioner } from "./KeyPartitioner.ts"
import { murmur2, toPositive } from "./Murmur2.ts"
import { roundRobinFrom } from "./SimplePartitioners.ts"

const SEED = 0x9747b28c | 0
const M = 0x5bd1e995

/**
 * Products are rounded to 53 bits before their lower 32 are taken, and the last bytes of a key whose length four does
 * not divide are mixed in once more as a word of their own.
 */
const legacyHash = (bytes: Uint8Array): number => {
  const { length } = bytes
  const at = (index: number): number => bytes[index] ?? 0
  let h: number = SEED ^ length
  for (let i = 0; i < length; i += 4) {
    const word = at(i) | (at(i + 1) << 8) | (at(i + 2) << 16) | (at(i + 3) << 24)
    const mixed = word * M
    h = (h * M) ^ ((mixed ^ (mixed >>> 24)) * M)
  }
  const rest = length & 3
  if (rest > 0) {
    const tail = length - rest
    if (rest === 3) h ^= at(tail + 2) << 16
    if (rest >= 2) h ^= at(tail + 1) << 8
    h = (h ^ at(tail)) * M
  }
  h = (h ^ (h >>> 13)) * M
  return h ^ (h >>> 15)
}

const keyless = roundRobinFrom("round-robin", (random) => Math.floor(random() * 0x80000000))

export interface KafkaJs {
  /** `Partitioners.DefaultPartitioner`: Java's hash; records without a key in turn. */
  readonly default: Partitioner
  /** `Partitioners.LegacyPartitioner`, the default before 2.0. */
  readonly legacy: Partitioner
}

export const kafkaJs: KafkaJs = {
  default: keyPartitioner({ name: "kafkajs", place: (key, count) => toPositive(murmur2(key)) % count, keyless }),
  legacy: keyPartitioner({ name: "kafkajs.legacy", place: (key, count) => toPositive(legacyHash(key)) % count, keyless })
}
