/**
 * MurmurHash2 with 32 bits and Kafka's seed: what Java's default partitioner takes of a key's bytes, and so what every
 * client must take that shares keyed topics with it.
 */

const SEED = 0x9747b28c | 0
const M = 0x5bd1e995

/** @returns the hash as a signed 32-bit integer, as Java's `Utils.murmur2` */
export const murmur2 = (bytes: Uint8Array): number => {
  const length = bytes.length
  let h = SEED ^ length
  let at = 0
  // words are little-endian whatever the machine is
  for (const end = length & ~3; at < end; at += 4) {
    let k = Math.imul(bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24), M)
    k ^= k >>> 24
    h = Math.imul(h, M) ^ Math.imul(k, M)
  }
  const rest = length & 3
  if (rest > 0) {
    if (rest === 3) h ^= bytes[at + 2]! << 16
    if (rest >= 2) h ^= bytes[at + 1]! << 8
    h = Math.imul(h ^ bytes[at]!, M)
  }
  h = Math.imul(h ^ (h >>> 13), M)
  return h ^ (h >>> 15)
}

/** Java's `Utils.toPositive`: the sign bit is dropped, which is not the absolute value. */
export const toPositive = (hash: number): number => hash & 0x7fffffff
