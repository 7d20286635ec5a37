/** When a log begins a new segment. Follows the segment that the next batch goes to, staged batches counted in. */
import type { LogConfig } from "./LogConfig.ts"
import type { Segment } from "./Segment.ts"

export class Rolling {
  private segment: Segment | undefined
  private baseOffset = 0
  private size = 0
  /** Largest timestamp of the first batch; undefined until asked for. */
  private firstTimestamp: number | undefined
  private createdMs = 0
  private jitterMs = 0

  /** What is staged begins in this segment. */
  reset(segment: Segment): void {
    this.segment = segment
    this.baseOffset = segment.baseOffset
    this.size = segment.size
    this.firstTimestamp = undefined
    this.createdMs = segment.createdMs
  }

  /** A new segment begins. */
  rolled(baseOffset: number, nowMs: number, jitterMs: number): void {
    this.segment = undefined
    this.baseOffset = baseOffset
    this.size = 0
    this.firstTimestamp = -1
    this.createdMs = nowMs
    this.jitterMs = jitterMs
  }

  /** The segment that was begun is there. */
  made(segment: Segment): void {
    this.segment = segment
  }

  staged(sizeInBytes: number, maxTimestamp: number): void {
    if (this.size === 0) this.firstTimestamp = maxTimestamp
    this.size += sizeInBytes
  }

  isDue(config: LogConfig, sizeInBytes: number, lastOffset: number, maxTimestamp: number, nowMs: number): boolean {
    if (this.segment?.hasStaleTail === true) return true
    if (this.size === 0) return false
    if (this.size + sizeInBytes > config.segmentBytes || lastOffset - this.baseOffset > 0x7fff_ffff) return true
    if (this.segment !== undefined && this.segment.isIndexFull(config.segmentIndexBytes)) return true
    this.firstTimestamp ??= this.segment?.firstTimestamp ?? -1
    // By the records' time where they have one, so that old data is split as it would have been then.
    const waitedMs = this.firstTimestamp >= 0 ? maxTimestamp - this.firstTimestamp : nowMs - this.createdMs
    // A compacted log's records must reach a closed segment before max.compaction.lag.ms.
    const maxMs = config.cleanupPolicy.compact
      ? Math.min(config.segmentMs, config.maxCompactionLagMs)
      : config.segmentMs
    return waitedMs > maxMs - this.jitterMs
  }
}
