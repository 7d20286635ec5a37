/** What ListOffsets answers of a partition. */
import type { PartitionLog } from "../log/PartitionLog.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { PartitionState } from "./PartitionState.ts"

export interface ListedOffset {
  readonly error: number
  /** -1 where the question was not about a time. */
  readonly timestamp: number
  readonly offset: number
  readonly leaderEpoch: number
}

const listed = (timestamp: number, offset: number, leaderEpoch: number): ListedOffset => ({
  error: ErrorCode.NONE,
  timestamp,
  offset,
  leaderEpoch
})
const NO_OFFSET: ListedOffset = listed(-1, -1, -1)
const NOT_AVAILABLE: ListedOffset = { ...NO_OFFSET, error: ErrorCode.OFFSET_NOT_AVAILABLE }

/** The leader epoch that wrote `offset`: the smallest that ends after it. */
const epochOf = (log: PartitionLog, offset: number): number => {
  let low = 0
  let high = log.latestEpoch
  while (low < high) {
    const middle = (low + high) >> 1
    if (log.endOffsetForEpoch(middle).endOffset > offset) high = middle
    else low = middle + 1
  }
  return high
}

/**
 * `timestamp` -1 to -6 special, else the first record at or after it. Offset -1: there is none.
 * A new leader whose high watermark has not reached the start of its epoch cannot say yet where the log ends for
 * consumers: OFFSET_NOT_AVAILABLE (KIP-207).
 * @param end exclusive bound of what the asker may see
 * @param isReplica it sees the log end, which is always known
 * @throws DiskError
 */
export const listOffset = (
  log: PartitionLog,
  state: PartitionState,
  timestamp: number,
  end: number,
  isReplica: boolean
): ListedOffset => {
  const isBehind = !isReplica && state.epochStartOffset > state.highWatermark
  switch (timestamp) {
    case -1:
      return isBehind ? NOT_AVAILABLE : listed(-1, end, state.leaderEpoch)
    case -2:
    case -4: {
      const start = log.logStartOffset
      return listed(-1, start, epochOf(log, start))
    }
    case -5:
    case -6:
      return NO_OFFSET
  }
  const found = timestamp === -3 ? log.maxTimestampOffset() : log.offsetForTimestamp(timestamp)
  if (found !== undefined && found.offset < end) return listed(found.timestamp, found.offset, found.leaderEpoch)
  return isBehind ? NOT_AVAILABLE : NO_OFFSET
}
