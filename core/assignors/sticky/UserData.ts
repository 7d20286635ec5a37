/**
 * What members of the sticky assignors write into their subscription's userData (Kafka's schemas, big endian).
 *
 * | assignor | bytes |
 * |---|---|
 * | sticky, version 0 | int32 topics, each: int16 length and name, int32 partitions, each int32 |
 * | sticky, version 1 | the same, then int32 generation |
 * | cooperative-sticky | int32 generation |
 *
 * No version is written: a reader tries the longer form first, and takes what it cannot read for nothing.
 */
import type { TopicPartitions } from "../Assignor.ts"
import { computedHashOrder } from "../HashOrder.ts"

/** Of a member that never took part in a round. */
export const NO_GENERATION = -1

export interface PreviousAssignment {
  readonly partitions: ReadonlyArray<TopicPartitions>
  readonly generationId: number
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The generation alone, as cooperative-sticky writes it: what it owns stands in the subscription itself. */
export const encodeGeneration = (generationId: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, generationId)
  return bytes
}

/** -1 for bytes that are too short. */
export const decodeGeneration = (userData: Uint8Array): number =>
  userData.length < 4 ? NO_GENERATION : new DataView(userData.buffer, userData.byteOffset).getInt32(0)

/** The topics stand in the order of Java's hash map, which is what Java writes. */
export const encodePrevious = ({ generationId, partitions }: PreviousAssignment): Uint8Array => {
  const byTopic = new Map<string, Array<number>>()
  const topicOfEach = partitions.flatMap((one) => one.partitions.map(() => one.topic))
  for (const topic of computedHashOrder(topicOfEach)) byTopic.set(topic, [])
  for (const one of partitions) byTopic.get(one.topic)?.push(...one.partitions)
  const topics = [...byTopic].map(([topic, numbers]) => ({ name: encoder.encode(topic), numbers }))
  const size = topics.reduce((sum, { name, numbers }) => sum + 2 + name.length + 4 + 4 * numbers.length, 8)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setInt32(0, topics.length)
  let at = 4
  for (const { name, numbers } of topics) {
    view.setInt16(at, name.length)
    bytes.set(name, at + 2)
    at += 2 + name.length
    view.setInt32(at, numbers.length)
    at += 4
    for (const partition of numbers) {
      view.setInt32(at, partition)
      at += 4
    }
  }
  view.setInt32(at, generationId)
  return bytes
}

/** Either version; what cannot be read is a member that owned nothing. */
export const decodePrevious = (userData: Uint8Array): PreviousAssignment => {
  const nothing: PreviousAssignment = { partitions: [], generationId: NO_GENERATION }
  const view = new DataView(userData.buffer, userData.byteOffset, userData.byteLength)
  const end = userData.length
  let at = 0
  /** A count of things that take at least `bytes` each, or -1: members may send anything, also a count of 2^31. */
  const count = (bytes: number): number => {
    if (end - at < 4) return -1
    const value = view.getInt32(at)
    at += 4
    return value * bytes > end - at ? -1 : value
  }
  const topics = count(6)
  if (topics < 0) return nothing
  const partitions: Array<TopicPartitions> = []
  for (let i = 0; i < topics; i++) {
    if (end - at < 2) return nothing
    const length = view.getInt16(at)
    if (length < 0 || end - at - 2 < length) return nothing
    const topic = decoder.decode(userData.subarray(at + 2, at + 2 + length))
    at += 2 + length
    const numbers = count(4)
    if (numbers < 0) return nothing
    const row: Array<number> = []
    for (let n = 0; n < numbers; n++, at += 4) row.push(view.getInt32(at))
    partitions.push({ topic, partitions: row })
  }
  return { partitions, generationId: end - at < 4 ? NO_GENERATION : view.getInt32(at) }
}
