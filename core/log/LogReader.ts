/**
 * Reads of a log: from an offset to a slice of whole batches. The slice's end lies on a batch's end, so the reader's
 * next offset is known, and remembered with its position: a reader that goes on from there, and one that reads what
 * was appended just now, cost no system call. Any other read costs an index search and a block of headers or two,
 * whatever the size of the log.
 */
import type { HeaderReader } from "./HeaderReader.ts"
import type { ReadOptions, ReadResult } from "./LogTypes.ts"
import type { Segment } from "./Segment.ts"
import type { Segments } from "./Segments.ts"

/** Batches at the log's end whose positions are remembered. A power of two. */
const RECENT_BATCHES = 64
/** Ends of earlier reads that are remembered. A power of two. */
const REMEMBERED_ENDS = 8

const NOTHING: ReadResult = { _tag: "Read", slice: undefined }
const OUT_OF_RANGE: ReadResult = { _tag: "OffsetOutOfRange" }

export class LogReader {
  private readonly headers: HeaderReader
  // Batches of the active segment in append order: ring of [recentCount - recentKept, recentCount).
  private recentSegment: Segment | undefined
  private readonly recentBase: Array<number> = new Array(RECENT_BATCHES).fill(0)
  private readonly recentLast: Array<number> = new Array(RECENT_BATCHES).fill(0)
  private readonly recentPosition: Array<number> = new Array(RECENT_BATCHES).fill(0)
  private recentCount = 0
  private recentKept = 0
  /** Exclusive end of the last recent batch. */
  private recentEnd = 0
  // Where readers stopped: all batches before the position are below the offset, all others are not.
  private readonly endOffsets: Array<number> = new Array(REMEMBERED_ENDS).fill(-1)
  private readonly endSegments: Array<Segment | undefined> = new Array(REMEMBERED_ENDS).fill(undefined)
  private readonly endPositions: Array<number> = new Array(REMEMBERED_ENDS).fill(0)
  private nextEnd = 0
  // What `boundary` found.
  private foundPosition = 0
  private foundOffset = 0

  constructor(headers: HeaderReader) {
    this.headers = headers
  }

  /** A batch now lies at [position, position + sizeInBytes) of the active segment. */
  appended(segment: Segment, baseOffset: number, lastOffset: number, position: number, sizeInBytes: number): void {
    if (segment !== this.recentSegment || position !== this.recentEnd) {
      this.recentSegment = segment
      this.recentKept = 0
    }
    const slot = this.recentCount++ & (RECENT_BATCHES - 1)
    this.recentBase[slot] = baseOffset
    this.recentLast[slot] = lastOffset
    this.recentPosition[slot] = position
    this.recentEnd = position + sizeInBytes
    if (this.recentKept < RECENT_BATCHES) this.recentKept++
  }

  /** Positions have changed: truncation, compaction, retention. */
  forget(): void {
    this.recentSegment = undefined
    this.recentKept = 0
    this.endOffsets.fill(-1)
    this.endSegments.fill(undefined)
  }

  /** @throws DiskError */
  read(segments: Segments, logStartOffset: number, logEndOffset: number, offset: number, options: ReadOptions): ReadResult {
    if (offset < logStartOffset || offset > logEndOffset) return OUT_OF_RANGE
    const endOffset = Math.min(options.endOffset, logEndOffset)
    if (offset >= endOffset) return NOTHING
    // What this read's searches have in common is read once; what an earlier read saw may have changed.
    this.headers.forget()
    let index = segments.floor(offset)
    let segment = segments.at(index)!
    let start = this.startOf(segment, offset)
    // A gap that compaction left may reach to the end of a segment.
    while (start >= segment.size) {
      const next = segments.at(++index)
      if (next === undefined || next.baseOffset >= endOffset) return NOTHING
      segment = next
      start = 0
    }
    return this.slice(segment, segments.endOffset(index, logEndOffset), start, endOffset, options)
  }

  private slice(segment: Segment, segmentEndOffset: number, start: number, endOffset: number, options: ReadOptions): ReadResult {
    // Where the batches that may be seen end.
    let end = segment.size
    let nextOffset = segmentEndOffset
    if (endOffset < segmentEndOffset) {
      end = this.startOf(segment, endOffset)
      nextOffset = endOffset
      if (end <= start) return NOTHING
    }
    const { maxBytes } = options
    if (end - start > maxBytes) {
      this.boundary(segment, start, start + maxBytes, end)
      if (this.foundPosition === start) {
        if (!options.minOneBatch) return NOTHING
        const size = this.sizeAt(segment, start)
        if (start + size > end) return NOTHING
        end = start + size
        nextOffset = this.foundOffset
      } else {
        end = this.foundPosition
        nextOffset = this.foundOffset
      }
    }
    const slot = this.nextEnd++ & (REMEMBERED_ENDS - 1)
    this.endOffsets[slot] = nextOffset
    this.endSegments[slot] = segment
    this.endPositions[slot] = end
    return { _tag: "Read", slice: segment.lease(start, end - start), nextOffset }
  }

  /** The position of the first batch whose last offset is at least `offset`; the segment's size when there is none. */
  private startOf(segment: Segment, offset: number): number {
    for (let slot = 0; slot < REMEMBERED_ENDS; slot++) {
      if (this.endOffsets[slot] === offset && this.endSegments[slot] === segment) return this.endPositions[slot]!
    }
    if (segment === this.recentSegment && this.recentKept > 0) {
      let low = this.recentCount - this.recentKept
      let high = this.recentCount - 1
      if (offset > this.recentLast[high & (RECENT_BATCHES - 1)]!) return this.recentEnd
      if (offset >= this.recentBase[low & (RECENT_BATCHES - 1)]!) {
        while (low < high) {
          const middle = (low + high) >>> 1
          if (this.recentLast[middle & (RECENT_BATCHES - 1)]! >= offset) high = middle
          else low = middle + 1
        }
        return this.recentPosition[low & (RECENT_BATCHES - 1)]!
      }
    }
    if (offset <= segment.baseOffset) return 0
    return segment.locate(offset)?.position ?? segment.size
  }

  /**
   * Finds the last beginning of a batch in (start, limit] and the offset there. When the first batch is longer than
   * that: `start`, and the offset after that batch.
   */
  private boundary(segment: Segment, start: number, limit: number, end: number): void {
    if (segment === this.recentSegment && this.recentKept > 0) {
      let low = this.recentCount - this.recentKept
      if (limit >= this.recentPosition[low & (RECENT_BATCHES - 1)]!) {
        let high = this.recentCount - 1
        while (low < high) {
          const middle = (low + high + 1) >>> 1
          if (this.recentPosition[middle & (RECENT_BATCHES - 1)]! <= limit) low = middle
          else high = middle - 1
        }
        const slot = low & (RECENT_BATCHES - 1)
        if (this.recentPosition[slot]! > start) {
          this.foundPosition = this.recentPosition[slot]!
          this.foundOffset = this.recentBase[slot]!
          return
        }
        this.foundPosition = start
        this.foundOffset = this.recentLast[slot]! + 1
        return
      }
    }
    const { headers } = this
    let position = Math.max(start, segment.offsetIndex.floorByPosition(limit))
    headers.goOn(segment.file)
    while (headers.seek(position, end)) {
      const { batch } = headers
      const { sizeInBytes } = batch
      if (position + sizeInBytes > limit) {
        this.foundPosition = position
        this.foundOffset = position === start ? batch.nextOffset : batch.baseOffset
        return
      }
      position += sizeInBytes
    }
    // Only in a damaged file: give nothing rather than part of a batch.
    this.foundPosition = start
    this.foundOffset = -1
  }

  private sizeAt(segment: Segment, position: number): number {
    const { headers } = this
    headers.goOn(segment.file)
    return headers.seek(position, segment.size) ? headers.batch.sizeInBytes : Infinity
  }
}
