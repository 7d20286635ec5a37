/** Which segments may go. Pure. */
import type { LogConfig } from "./LogConfig.ts"

/** A segment as retention sees it; the last one is active. */
export interface RetainedSegment {
  /** Exclusive. */
  readonly endOffset: number
  readonly sizeInBytes: number
  /** Largest timestamp; without one, when it was last written. */
  readonly timestampMs: () => number
}

/**
 * How many of the oldest segments may go: those below the log start, and with cleanup.policy=delete those that are too
 * old or too much. Each must lie below the high watermark; an empty active segment stays.
 */
export const deletableSegments = (
  segments: ReadonlyArray<RetainedSegment>,
  config: LogConfig,
  state: { readonly logStartOffset: number; readonly highWatermark: number; readonly nowMs: number }
): number => {
  const { highWatermark, logStartOffset, nowMs } = state
  const isFree = (index: number): boolean => {
    const segment = segments[index]
    if (segment === undefined || segment.endOffset > highWatermark) return false
    return index < segments.length - 1 || segment.sizeInBytes > 0
  }
  const count = (mayGo: (segment: RetainedSegment, index: number) => boolean): number => {
    let index = 0
    while (isFree(index) && mayGo(segments[index]!, index)) index++
    return index
  }
  // The active segment stays for a log start at its very end: there is nothing to gain.
  let deletable = count(({ endOffset }, index) => index < segments.length - 1 && endOffset <= logStartOffset)
  if (!config.cleanupPolicy.delete) return deletable
  if (config.retentionMs >= 0) {
    deletable = Math.max(deletable, count((segment) => nowMs - segment.timestampMs() > config.retentionMs))
  }
  if (config.retentionBytes >= 0) {
    let excess = -config.retentionBytes
    for (const { sizeInBytes } of segments) excess += sizeInBytes
    deletable = Math.max(
      deletable,
      count(({ sizeInBytes }) => {
        if (excess - sizeInBytes < 0) return false
        excess -= sizeInBytes
        return true
      })
    )
  }
  return deletable
}
