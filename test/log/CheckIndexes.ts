import { expect } from "vitest"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { batchesIn } from "./TestLog.ts"

/** The offset index is what a rebuild gives; each time index entry is true, and a closed segment's last is its largest. */
export const checkIndexes = (log: PartitionLog, indexIntervalBytes: number): void => {
  log.segments.all.forEach((segment, index) => {
    const bytes = new Uint8Array(segment.size)
    if (segment.size > 0) segment.file.read(bytes, 0)
    const rebuilt: Array<{ readonly offset: number; readonly position: number }> = []
    const firstOffsetOf = new Map<number, number>()
    let since = 0
    let max = -1
    for (const batch of batchesIn(bytes)) {
      if (since > indexIntervalBytes) {
        rebuilt.push({ offset: batch.lastOffset, position: batch.position })
        since = 0
      }
      since += batch.sizeInBytes
      if (batch.maxTimestamp > max) {
        max = batch.maxTimestamp
        firstOffsetOf.set(max, batch.lastOffset)
      }
    }
    const entries = Array.from({ length: segment.offsetIndex.entries }, (_, i) => segment.offsetIndex.entry(i))
    expect(entries).toEqual(rebuilt)
    let before = -1
    for (let i = 0; i < segment.timeIndex.entries; i++) {
      const { offset, timestamp } = segment.timeIndex.entry(i)
      expect(timestamp).toBeGreaterThan(before)
      expect(offset).toBe(firstOffsetOf.get(timestamp))
      before = timestamp
    }
    expect(segment.maxTimestamp).toBe(max)
    if (index < log.segments.all.length - 1) expect(segment.timeIndex.last().timestamp).toBe(max)
  })
}
