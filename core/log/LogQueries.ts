/** Questions to a whole log: offsets by time, aborted transactions. */
import { records } from "../records/Record.ts"
import { RecordBatch } from "../records/RecordBatch.ts"
import type { LogContext } from "./LogContext.ts"
import type { AbortedTransaction, TimestampOffset } from "./LogTypes.ts"
import type { Segment } from "./Segment.ts"
import type { Segments } from "./Segments.ts"
import type { AbortedEntry } from "./TransactionIndex.ts"

const readBatch = (segment: Segment, position: number, sizeInBytes: number): RecordBatch => {
  const bytes = new Uint8Array(sizeInBytes)
  segment.file.read(bytes, position)
  return new RecordBatch(bytes)
}

/** The first record at or after `timestamp` and `fromOffset`. @throws DiskError */
export const findByTimestamp = (
  segments: Segments,
  fromOffset: number,
  timestamp: number,
  context: LogContext
): TimestampOffset | undefined => {
  for (let index = segments.floor(fromOffset); index < segments.all.length; index++) {
    const segment = segments.at(index)!
    if (segment.maxTimestamp < timestamp) continue
    const { headers } = context
    let position = segment.offsetIndex.floorPosition(Math.max(segment.timeIndex.floorOffset(timestamp), fromOffset))
    headers.begin(segment.file)
    while (headers.seek(position, segment.size)) {
      const { batch } = headers
      const { sizeInBytes } = batch
      if (batch.maxTimestamp >= timestamp && batch.lastOffset >= fromOffset) {
        const whole = readBatch(segment, position, sizeInBytes)
        for (const record of records(whole, context.compression)) {
          if (record.timestamp >= timestamp && record.offset >= fromOffset) {
            return { offset: record.offset, timestamp: record.timestamp, leaderEpoch: whole.partitionLeaderEpoch }
          }
        }
      }
      position += sizeInBytes
    }
  }
  return undefined
}

/** The first record that has the largest timestamp; where none has a time, the log's first record. @throws DiskError */
export const findMaxTimestamp = (segments: Segments, context: LogContext): TimestampOffset | undefined => {
  let latest = segments.first
  for (const segment of segments.all) if (segment.maxTimestamp > latest.maxTimestamp) latest = segment
  const found = latest.locate(latest.maxTimestamp < 0 ? latest.baseOffset : latest.offsetOfMaxTimestamp)
  if (found === undefined) return undefined
  const batch = readBatch(latest, found.position, found.sizeInBytes)
  const timestamp = batch.maxTimestamp
  const leaderEpoch = batch.partitionLeaderEpoch
  if (batch.usesLogAppendTime) return { offset: batch.baseOffset, timestamp, leaderEpoch }
  for (const record of records(batch, context.compression)) {
    if (record.timestamp === timestamp) return { offset: record.offset, timestamp, leaderEpoch }
  }
  // Compaction took the record and left the batch's time.
  return { offset: batch.lastOffset, timestamp, leaderEpoch }
}

/** Those that a reader of [from, upTo) must know of, by first offset. @throws DiskError */
export const findAborted = (segments: Segments, from: number, upTo: number): ReadonlyArray<AbortedTransaction> => {
  const found: Array<AbortedEntry> = []
  for (let index = segments.floor(from); index < segments.all.length; index++) {
    if (segments.at(index)!.txnIndex.collect(from, upTo, found)) break
  }
  return found
    .sort((a, b) => a.firstOffset - b.firstOffset)
    .map(({ firstOffset, producerId }) => ({ producerId, firstOffset }))
}
