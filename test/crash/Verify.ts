/** Reads a partition back and holds it against what was written. */
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { readBatches, readRecords } from "../oracle/Batches.ts"
import { type Lane, valueOf, WrongAnswer } from "./NumberedProducer.ts"

const FETCH_BYTES = 4 * 1024 * 1024

const ends = async (caller: Caller, lane: Lane, timestamp: number): Promise<number> => {
  const answer = await caller.ask("ListOffsets", 6, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: lane.topic, partitions: [{ partitionIndex: lane.partition, currentLeaderEpoch: -1, timestamp }] }]
  })
  const result = (answer["topics"] as ReadonlyArray<Fields>)[0]?.["partitions"][0] as Fields
  if (result["errorCode"] !== 0) throw new WrongAnswer(`ListOffsets ${lane.topic}-${lane.partition}: error ${result["errorCode"]}`)
  return Number(result["offset"])
}

/**
 * Every record from `from` on is there once, in order, whole; all acknowledged ones are there, none that was never
 * sent. @returns the log end offset
 * @throws WrongAnswer
 */
export const verifyLane = async (caller: Caller, lane: Lane, from: number): Promise<number> => {
  const where = `${lane.topic}-${lane.partition}`
  const start = await ends(caller, lane, -2)
  const end = await ends(caller, lane, -1)
  if (end < lane.acked) throw new WrongAnswer(`${where}: the log ends at ${end}, acknowledged were ${lane.acked} records`)
  if (end > lane.next) throw new WrongAnswer(`${where}: the log ends at ${end}, sent were ${lane.next} records`)
  let expected = Math.max(from, start)
  let first = true
  while (expected < end) {
    const answer = await caller.ask("Fetch", 12, {
      replicaId: -1, maxWaitMs: 1000, minBytes: 1, maxBytes: FETCH_BYTES, isolationLevel: 0, sessionId: 0, sessionEpoch: -1, rackId: "",
      forgottenTopicsData: [],
      topics: [{ topic: lane.topic, partitions: [{
        partition: lane.partition, currentLeaderEpoch: -1, fetchOffset: expected, lastFetchedEpoch: -1, logStartOffset: -1, partitionMaxBytes: FETCH_BYTES
      }] }]
    })
    const result = (answer["responses"] as ReadonlyArray<Fields>)[0]?.["partitions"][0] as Fields
    if (result["errorCode"] !== 0) throw new WrongAnswer(`${where}: fetch at ${expected}: error ${result["errorCode"]}`)
    const { batches } = readBatches((result["records"] as Uint8Array | null) ?? new Uint8Array())
    if (batches.length === 0) throw new WrongAnswer(`${where}: nothing at ${expected}, the log ends at ${end}`)
    for (const batch of batches) {
      if (!batch.crcIsRight) throw new WrongAnswer(`${where}: wrong CRC at ${batch.baseOffset}`)
      // the first batch may begin before the offset that was asked for
      if (first ? batch.baseOffset > expected : batch.baseOffset !== expected) {
        throw new WrongAnswer(`${where}: offset ${batch.baseOffset} instead of ${expected}`)
      }
      let number = batch.baseOffset
      for (const record of readRecords(batch)) {
        const value = Buffer.from(record.value ?? []).toString()
        if (record.offset !== number || value !== valueOf(lane, number)) throw new WrongAnswer(`${where}: at ${number} stands offset ${record.offset}: ${value.slice(0, 60)}`)
        number++
      }
      if (number !== batch.baseOffset + batch.lastOffsetDelta + 1) throw new WrongAnswer(`${where}: a batch of ${batch.baseOffset} ends at ${number}`)
      expected = number
      first = false
    }
  }
  return end
}
