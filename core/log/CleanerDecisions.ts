/**
 * Which log to compact, from where to where, and which of its segments become one. Pure, and as Kafka decides it.
 *
 * A log's segments in offset order: those below the first dirty offset are clean (compacted before), those up to the
 * first uncleanable offset are dirty, the rest may not be touched: the active segment, what is not stable, what is
 * younger than min.compaction.lag.ms.
 */
import type { LogConfig } from "./LogConfig.ts"

/** What a decision asks of a segment; the two timestamps may cost a read. */
export interface CleanableSegment {
  readonly baseOffset: number
  readonly sizeInBytes: number
  /** In ms; what the segment was last changed at when no batch has one. */
  readonly largestTimestamp: number
  /** Of the first batch, in ms; -1 without one. */
  readonly firstBatchTimestamp: number
}

export interface CleanableLog {
  /** Never empty, the last is the active one. */
  readonly segments: ReadonlyArray<CleanableSegment>
  readonly logStartOffset: number
  readonly logEndOffset: number
  /** At most the high watermark. */
  readonly lastStableOffset: number
  readonly config: Pick<LogConfig, "cleanupPolicy" | "minCleanableDirtyRatio" | "minCompactionLagMs" | "maxCompactionLagMs">
}

export interface DirtyRange {
  readonly firstDirtyOffset: number
  /** Exclusive; at least the first dirty offset. Base offset of the first segment that may not be touched. */
  readonly firstUncleanableOffset: number
  /** The checkpointed offset is not in the log: write the first dirty offset in its place. */
  readonly resetsCheckpoint: boolean
}

export interface LogToClean extends DirtyRange {
  readonly cleanBytes: number
  readonly cleanableBytes: number
  /** The cleanable part of all that is not uncleanable, from 0 to 1. */
  readonly dirtyRatio: number
  /** Something dirty is older than max.compaction.lag.ms. */
  readonly mustCleanNow: boolean
}

/** Index of the segment that holds `offset`, or would. */
const floorSegment = (segments: ReadonlyArray<CleanableSegment>, offset: number): number => {
  let index = 0
  while (index + 1 < segments.length && segments[index + 1]!.baseOffset <= offset) index++
  return index
}

/** The part of the log that may be compacted. `checkpoint`: from cleaner-offset-checkpoint, undefined without one. */
export const dirtyRange = (log: CleanableLog, checkpoint: number | undefined, nowMs: number): DirtyRange => {
  const { config, segments } = log
  // Records were deleted past it, or lost to a truncation: the whole log counts as dirty.
  const resetsCheckpoint = checkpoint !== undefined && (checkpoint < log.logStartOffset || checkpoint > log.logEndOffset)
  const firstDirtyOffset = checkpoint === undefined || resetsCheckpoint ? log.logStartOffset : checkpoint
  const active = segments.length - 1
  let uncleanable = floorSegment(segments, Math.min(log.lastStableOffset, segments[active]!.baseOffset))
  const lagMs = Math.max(0, config.minCompactionLagMs)
  if (lagMs > 0) {
    for (let index = floorSegment(segments, firstDirtyOffset); index < uncleanable; index++) {
      if (segments[index]!.largestTimestamp > nowMs - lagMs) uncleanable = index
    }
  }
  return {
    firstDirtyOffset,
    firstUncleanableOffset: Math.max(firstDirtyOffset, segments[uncleanable]!.baseOffset),
    resetsCheckpoint
  }
}

/** Whether something dirty in a closed segment is older than max.compaction.lag.ms. */
const isOverdue = (log: CleanableLog, firstDirtyOffset: number, nowMs: number): boolean => {
  const { config, segments } = log
  const limit = nowMs - Math.max(0, config.maxCompactionLagMs)
  // No limit (or one before 1970): the segments need not be read.
  if (limit <= 0) return false
  const active = segments.length - 1
  for (let index = floorSegment(segments, firstDirtyOffset); index < active; index++) {
    const timestamp = segments[index]!.firstBatchTimestamp
    if (timestamp > 0 && timestamp < limit) return true
  }
  return false
}

/** How dirty a log is. */
export const measureLog = (log: CleanableLog, checkpoint: number | undefined, nowMs: number): LogToClean => {
  const range = dirtyRange(log, checkpoint, nowMs)
  const { firstDirtyOffset, firstUncleanableOffset } = range
  const { segments } = log
  const hasDirty = firstDirtyOffset < firstUncleanableOffset
  // The segment that the first dirty offset lies in counts as both, as in Kafka.
  const firstDirty = floorSegment(segments, firstDirtyOffset)
  let cleanBytes = 0
  let cleanableBytes = 0
  segments.forEach(({ baseOffset, sizeInBytes }, index) => {
    if (baseOffset < firstDirtyOffset) cleanBytes += sizeInBytes
    if (hasDirty && index >= firstDirty && baseOffset < firstUncleanableOffset) cleanableBytes += sizeInBytes
  })
  const totalBytes = cleanBytes + cleanableBytes
  return {
    ...range,
    cleanBytes,
    cleanableBytes,
    dirtyRatio: totalBytes === 0 ? 0 : cleanableBytes / totalBytes,
    mustCleanNow: isOverdue(log, firstDirtyOffset, nowMs)
  }
}

/** Whether its time has come: overdue, or dirtier than min.cleanable.dirty.ratio. */
export const isDue = (log: CleanableLog, measured: LogToClean): boolean =>
  log.config.cleanupPolicy.compact && measured.cleanableBytes > 0 &&
  (measured.mustCleanNow || measured.dirtyRatio > log.config.minCleanableDirtyRatio)

/** The dirtiest; the first of several. Undefined when none is given. */
export const filthiest = <A extends LogToClean>(due: Iterable<A>): A | undefined => {
  let found: A | undefined
  for (const log of due) if (found === undefined || log.dirtyRatio > found.dirtyRatio) found = log
  return found
}

/** What grouping asks of a segment. */
export interface GroupableSegment {
  readonly baseOffset: number
  readonly sizeInBytes: number
  /** Of the entries, in bytes. */
  readonly offsetIndexBytes: number
  readonly timeIndexBytes: number
}

/** A record's offset in an index is an int32 above the segment's base offset. */
const MAX_RELATIVE_OFFSET = 0x7fff_ffff

/**
 * Splits segments that follow each other into groups, each of which fits one segment even if nothing of it can go:
 * otherwise segments would only ever get smaller.
 * @param endOffset the first uncleanable offset, where the last segment's offsets end
 */
export const groupSegments = <A extends GroupableSegment>(
  segments: ReadonlyArray<A>,
  limits: Pick<LogConfig, "segmentBytes" | "segmentIndexBytes">,
  endOffset: number
): ReadonlyArray<ReadonlyArray<A>> => {
  const groups: Array<Array<A>> = []
  let group: Array<A> = []
  let bytes = 0
  let offsetIndexBytes = 0
  let timeIndexBytes = 0
  segments.forEach((segment, index) => {
    // The next segment's base offset is known; the segment's own last offset would cost a read.
    const lastOffset = (segments[index + 1]?.baseOffset ?? endOffset) - 1
    const fits = group.length > 0 &&
      bytes + segment.sizeInBytes <= limits.segmentBytes &&
      offsetIndexBytes + segment.offsetIndexBytes <= limits.segmentIndexBytes &&
      timeIndexBytes + segment.timeIndexBytes <= limits.segmentIndexBytes &&
      (segment.sizeInBytes === 0 || lastOffset - group[0]!.baseOffset <= MAX_RELATIVE_OFFSET)
    if (!fits) {
      groups.push(group = [])
      bytes = 0
      offsetIndexBytes = 0
      timeIndexBytes = 0
    }
    group.push(segment)
    bytes += segment.sizeInBytes
    offsetIndexBytes += segment.offsetIndexBytes
    timeIndexBytes += segment.timeIndexBytes
  })
  return groups
}
