/**
 * Few keys move when partitions are added: of n partitions grown to m, the share (m - n) / m, and only to the new ones.
 * (With a remainder, as Kafka's own takes it, nearly all keys move.) Records of a key from before the change stay where
 * they are, so the order of the keys that move is broken once; all others keep it.
 */
import type { Partitioner } from "../Partitioner.ts"
import { jumpHash } from "./JumpHash.ts"
import { keyPartitioner } from "./KeyPartitioner.ts"
import { murmur2 } from "./Murmur2.ts"
import { stickyPartitioner } from "./StickyPartitioner.ts"

/** Jump hash of the key's murmur2; records without a key as Kafka's own. */
export const consistentHashPartitioner: Partitioner = keyPartitioner({
  name: "consistent-hash",
  place: (key, partitions) => jumpHash(0, murmur2(key), partitions),
  keyless: stickyPartitioner
})
