/** End to end, one record at a time: from the call that sends it until a waiting fetch has it. */
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { type Peer, PeerError } from "../../scripts/peers/Processes.ts"
import { buildBatch } from "../oracle/Batches.ts"
import type { Metrics } from "./Measure.ts"

const fetchAt = (topic: string, offset: number, maxBytes: number, minBytes: number): Fields => ({
  replicaId: -1, maxWaitMs: 5000, minBytes, maxBytes, isolationLevel: 0, sessionId: 0, sessionEpoch: -1, rackId: "", forgottenTopicsData: [],
  topics: [{ topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, fetchOffset: offset, lastFetchedEpoch: -1, logStartOffset: -1, partitionMaxBytes: maxBytes }] }]
})

const microseconds = (samples: Array<number>): Metrics => {
  samples.sort((a, b) => a - b)
  return {
    "mean us": samples.reduce((sum, one) => sum + one, 0) / samples.length,
    "p50 us": samples[samples.length >> 1] ?? 0,
    "p99 us": samples[Math.floor(samples.length * 0.99)] ?? 0
  }
}

/** Records of `bytes` with acks=1, each awaited at the reader before the next. */
export const endToEnd = async (peer: Peer, topic: string, count: number, bytes = 100): Promise<Metrics> => {
  const [writer, reader] = [await Caller.connect(peer.host, peer.port), await Caller.connect(peer.host, peer.port)]
  const records = buildBatch({ records: [{ key: null, value: Buffer.alloc(bytes, 120), timestamp: Date.now() }] })
  const produce = { transactionalId: null, acks: 1, timeoutMs: 5000, topicData: [{ name: topic, partitionData: [{ index: 0, records }] }] }
  const samples: Array<number> = []
  try {
    for (let offset = 0; offset < count; offset++) {
      const waiting = reader.ask("Fetch", 11, fetchAt(topic, offset, 1_048_576, 1))
      const begin = performance.now()
      const sent = writer.ask("Produce", 8, produce)
      const answer = await waiting
      samples.push((performance.now() - begin) * 1000)
      await sent
      const records = answer["responses"][0]["partitions"][0]["records"] as Uint8Array | null
      if (records === null || records.length === 0) throw new PeerError(`${peer.name}: nothing at offset ${offset}`)
    }
  } finally {
    writer.close()
    reader.close()
  }
  return microseconds(samples.slice(count >> 3)) // the first eighth warms up
}

/** Fetches of one batch at offsets that follow a fixed sequence over the whole partition. */
export const randomFetch = async (peer: Peer, topic: string, endOffset: number, count: number): Promise<Metrics> => {
  const reader = await Caller.connect(peer.host, peer.port)
  const samples: Array<number> = []
  let state = 12_345
  try {
    for (let i = 0; i < count; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      const offset = Math.floor((state / 2 ** 32) * endOffset)
      const begin = performance.now()
      const answer = await reader.ask("Fetch", 11, fetchAt(topic, offset, 1, 1))
      samples.push((performance.now() - begin) * 1000)
      const records = answer["responses"][0]["partitions"][0]["records"] as Uint8Array | null
      if (records === null || records.length === 0) throw new PeerError(`${peer.name}: nothing at offset ${offset}`)
    }
  } finally {
    reader.close()
  }
  return microseconds(samples.slice(count >> 3))
}
