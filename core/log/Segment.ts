/**
 * One segment: a .log file of whole batches with rising offsets, and its indexes. Knows nothing of other segments.
 * Appending is in three steps (`reserve`, a write to `file`, `appended` per batch), of which only the first two can
 * fail, so a batch is in the log with its index entries or not at all.
 */
import type { FileSlice } from "../model/Payload.ts"
import { DiskError, type File } from "../ports/Disk.ts"
import type { LogContext } from "./LogContext.ts"
import { LogFile } from "./LogFile.ts"
import {
  CLEANED_SUFFIX,
  INDEX_SUFFIX,
  LOG_SUFFIX,
  offsetPath,
  SEGMENT_SUFFIXES,
  TIME_INDEX_SUFFIX,
  TXN_INDEX_SUFFIX
} from "./LogFiles.ts"
import { OFFSET_INDEX_ENTRY_BYTES, OffsetIndex } from "./OffsetIndex.ts"
import { TIME_INDEX_ENTRY_BYTES, TimeIndex } from "./TimeIndex.ts"
import { TransactionIndex } from "./TransactionIndex.ts"

/** The batch that `locate` found. */
export interface BatchPosition {
  readonly position: number
  readonly sizeInBytes: number
  readonly baseOffset: number
  readonly lastOffset: number
}

export class Segment {
  readonly baseOffset: number
  readonly offsetIndex: OffsetIndex
  readonly timeIndex: TimeIndex
  readonly txnIndex: TransactionIndex
  /** Of the .log file's batches, in bytes: what is written and counts. */
  size: number
  /** When the segment was made or opened. */
  readonly createdMs: number
  /** Of the last append. */
  modifiedMs: number
  /** Something was written since the last sync. */
  isDirty = false
  /** The file goes on after `size`, with bytes that were cut off while a reader had them. */
  hasStaleTail = false
  private readonly context: LogContext
  private directory: string
  private suffix: string
  private logFile: LogFile | undefined
  private bytesSinceIndexEntry = -1
  /** Largest timestamp and the last offset of the first batch that has it; undefined until known. */
  private maxTimestampKnown: number | undefined
  private maxTimestampOffset = 0
  /** Of the first batch: its largest timestamp; undefined until known, -1 without one. */
  private firstTimestampKnown: number | undefined

  constructor(
    context: LogContext,
    directory: string,
    baseOffset: number,
    options: { readonly size: number; readonly nowMs: number; readonly isNew: boolean; readonly suffix?: string }
  ) {
    this.context = context
    this.directory = directory
    this.baseOffset = baseOffset
    this.suffix = options.suffix ?? ""
    this.size = options.size
    this.createdMs = options.nowMs
    this.modifiedMs = options.nowMs
    const { disk, pages } = context
    const { isNew } = options
    this.offsetIndex = new OffsetIndex(disk, pages, this.pathOf(INDEX_SUFFIX), baseOffset, isNew)
    this.timeIndex = new TimeIndex(disk, pages, this.pathOf(TIME_INDEX_SUFFIX), baseOffset, isNew)
    this.txnIndex = new TransactionIndex(disk, this.pathOf(TXN_INDEX_SUFFIX), isNew)
    if (isNew) {
      this.bytesSinceIndexEntry = 0
      this.maxTimestampKnown = -1
      this.maxTimestampOffset = baseOffset
    }
  }

  /** A new, empty segment: its .log file is there, its indexes come with their first entry. @throws DiskError */
  static create(context: LogContext, directory: string, baseOffset: number, nowMs: number, suffix = ""): Segment {
    const segment = new Segment(context, directory, baseOffset, { size: 0, nowMs, isNew: true, suffix })
    const { disk } = context
    for (const each of SEGMENT_SUFFIXES) {
      if (disk.stat(segment.pathOf(each)) !== undefined) disk.remove(segment.pathOf(each))
    }
    for (const each of [INDEX_SUFFIX, TIME_INDEX_SUFFIX]) disk.open(segment.pathOf(each), "create").close()
    segment.logFile = new LogFile(disk.open(segment.pathOf(LOG_SUFFIX), "create"))
    segment.isDirty = true
    return segment
  }

  private pathOf(fileSuffix: string): string {
    return `${offsetPath(this.directory, this.baseOffset)}${fileSuffix}${this.suffix}`
  }

  get path(): string {
    return this.pathOf(LOG_SUFFIX)
  }

  private openLog(): LogFile {
    return this.logFile ??= new LogFile(this.context.disk.open(this.pathOf(LOG_SUFFIX), "readWrite"))
  }

  /** @throws DiskError when it must be opened and can't be */
  get file(): File {
    return this.openLog().file
  }

  lease(position: number, length: number): FileSlice {
    return this.openLog().lease(position, length)
  }

  // -- appending -------------------------------------------------------------------------------------------------

  isIndexFull(maxBytes: number): boolean {
    return this.offsetIndex.entries >= Math.floor(maxBytes / OFFSET_INDEX_ENTRY_BYTES) ||
      this.timeIndex.entries >= Math.floor(maxBytes / TIME_INDEX_ENTRY_BYTES) - 1
  }

  /** Makes room for the index entries of `batches` batches and one at the close. @throws DiskError */
  reserve(batches: number): void {
    this.offsetIndex.reserve(batches)
    this.timeIndex.reserve(batches + 1)
    this.loadTail()
  }

  /** A batch was written at `size`. Cannot fail after `reserve`. */
  appended(sizeInBytes: number, lastOffset: number, maxTimestamp: number, indexIntervalBytes: number): void {
    if (this.size === 0) this.firstTimestampKnown = maxTimestamp
    if (maxTimestamp > this.maxTimestampKnown!) {
      this.maxTimestampKnown = maxTimestamp
      this.maxTimestampOffset = lastOffset
    }
    if (this.bytesSinceIndexEntry > indexIntervalBytes) {
      this.offsetIndex.append(lastOffset, this.size)
      this.timeIndex.maybeAppend(this.maxTimestampKnown!, this.maxTimestampOffset)
      this.bytesSinceIndexEntry = 0
    }
    this.bytesSinceIndexEntry += sizeInBytes
    this.size += sizeInBytes
    this.isDirty = true
  }

  /** What appends go on from, for a segment that was loaded. */
  private loadTail(): void {
    if (this.bytesSinceIndexEntry < 0) {
      const { entries } = this.offsetIndex
      this.bytesSinceIndexEntry = this.size - (entries === 0 ? 0 : this.offsetIndex.entry(entries - 1).position)
    }
    this.loadMaxTimestamp()
  }

  private loadMaxTimestamp(): number {
    if (this.maxTimestampKnown !== undefined) return this.maxTimestampKnown
    let { offset, timestamp } = this.timeIndex.last()
    const { entries } = this.offsetIndex
    // Batches up to the one that the last offset entry names are in the time index.
    let position = entries === 0 ? 0 : this.offsetIndex.entry(entries - 1).position
    const { headers } = this.context
    if (this.size > 0) headers.begin(this.file)
    while (headers.seek(position, this.size)) {
      const { batch } = headers
      if (batch.maxTimestamp > timestamp) {
        timestamp = batch.maxTimestamp
        offset = batch.lastOffset
      }
      position += batch.sizeInBytes
    }
    this.maxTimestampOffset = offset
    return this.maxTimestampKnown = timestamp
  }

  /** -1 when no batch has one. @throws DiskError */
  get maxTimestamp(): number {
    return this.loadMaxTimestamp()
  }

  /** Last offset of the first batch that has the largest timestamp. @throws DiskError */
  get offsetOfMaxTimestamp(): number {
    this.loadMaxTimestamp()
    return this.maxTimestampOffset
  }

  /** Of the first batch; -1 when there is none. @throws DiskError */
  get firstTimestamp(): number {
    if (this.firstTimestampKnown !== undefined) return this.firstTimestampKnown
    if (this.size === 0) return -1
    const { headers } = this.context
    headers.begin(this.file)
    return this.firstTimestampKnown = headers.seek(0, this.size) ? headers.batch.maxTimestamp : -1
  }

  /** Nothing more comes: the time index gets its last entry, the files all entries. @throws DiskError */
  finish(): void {
    if (this.size > 0 && this.maxTimestamp >= 0) {
      this.timeIndex.reserve(1)
      this.timeIndex.maybeAppend(this.maxTimestamp, this.maxTimestampOffset)
    }
    this.offsetIndex.write()
    this.timeIndex.write()
  }

  /** Files with unsynced bytes, each ready for its sync. @throws DiskError */
  filesToSync(): ReadonlyArray<File> {
    if (!this.isDirty && !this.offsetIndex.isDirty && !this.timeIndex.isDirty && !this.txnIndex.isDirty) return []
    this.isDirty = false
    const files = [this.file, this.offsetIndex.fileToSync(), this.timeIndex.fileToSync()]
    if (this.txnIndex.isDirty) files.push(this.txnIndex.fileToSync())
    return files
  }

  // -- looking ---------------------------------------------------------------------------------------------------

  /**
   * The batch that holds `offset`, or the first one after it (compaction leaves gaps).
   * @returns undefined when there is none @throws DiskError
   */
  locate(offset: number): BatchPosition | undefined {
    let position = this.offsetIndex.floorPosition(offset)
    const { headers } = this.context
    if (position < this.size) headers.begin(this.file)
    while (headers.seek(position, this.size)) {
      const { batch } = headers
      const { lastOffset, sizeInBytes } = batch
      if (lastOffset >= offset) return { position, sizeInBytes, baseOffset: batch.baseOffset, lastOffset }
      position += sizeInBytes
    }
    return undefined
  }

  // -- changing --------------------------------------------------------------------------------------------------

  /** Whether bytes from `position` on are or were leased: the file may not be cut there. */
  isLeasedPast(position: number): boolean {
    return this.logFile !== undefined && this.logFile.leasedEnd > position
  }

  /**
   * Keeps the batches before `position`, all below `offset`. Where bytes after it were leased the file keeps them, and
   * nothing may be appended to this segment any more (`hasStaleTail`). @throws DiskError
   */
  cut(position: number, offset: number): void {
    const isLeased = this.isLeasedPast(position)
    // A stale tail goes by a name, as what tells its end does: cut in the file, a crash could bring back the tail alone.
    if (position === 0 && (isLeased || this.hasStaleTail)) this.replaceByEmpty()
    else if (isLeased) this.hasStaleTail = true
    else this.file.truncate(position)
    this.size = position
    this.isDirty = true
    this.offsetIndex.truncateTo(offset)
    this.timeIndex.truncateTo(offset)
    this.txnIndex.truncateTo(offset)
    this.forget()
  }

  /** A new file takes the name: who reads the old one goes on reading it. @throws DiskError */
  private replaceByEmpty(): void {
    const { disk } = this.context
    const log = this.openLog()
    // As an unfinished compaction's file it is removed at the next start, should we not get to rename it.
    const temporary = `${this.path}${CLEANED_SUFFIX}`
    disk.remove(temporary)
    const empty = disk.open(temporary, "createNew")
    try {
      disk.rename(temporary, this.path)
    } catch (error) {
      empty.close()
      throw error
    }
    this.logFile = new LogFile(empty)
    this.hasStaleTail = false
    log.retire()
  }

  /** The readers are gone with their connections: what `cut` left in the file goes. @throws DiskError */
  cutStaleTail(): void {
    if (!this.hasStaleTail) return
    // Then the next start must look for it: the stop is not clean.
    if (this.openLog().leases > 0) throw new DiskError("Busy", "truncate", this.path, "a reader has what was truncated")
    this.file.truncate(this.size)
    this.hasStaleTail = false
    this.isDirty = true
  }

  /** Undoes what a failed write may have left after the log's end. @throws DiskError */
  cutUnwritten(): void {
    // Nothing was written behind what readers still have: the write failed on the segment that was to follow.
    if (this.hasStaleTail) return
    const { file } = this.openLog()
    if (file.size() > this.size) file.truncate(this.size)
  }

  /** Takes the segment for empty: recovery appends its batches again, in place. @throws DiskError */
  restart(): void {
    this.offsetIndex.cut(0)
    this.timeIndex.cut(0)
    // What a crash of the process left was never synced, even if it is just what is built again.
    this.isDirty = true
    this.offsetIndex.isDirty = true
    this.timeIndex.isDirty = true
    this.txnIndex.isDirty = this.txnIndex.entries.length > 0
    this.size = 0
    this.bytesSinceIndexEntry = 0
    this.maxTimestampKnown = -1
    this.maxTimestampOffset = this.baseOffset
    this.firstTimestampKnown = undefined
  }

  /** What was remembered of the bytes is no longer so. */
  private forget(): void {
    this.bytesSinceIndexEntry = -1
    this.maxTimestampKnown = undefined
    if (this.size === 0) this.firstTimestampKnown = undefined
  }

  /** Gives the files another last suffix ("", .cleaned, .swap, .deleted). @throws DiskError */
  changeSuffix(suffix: string): void {
    const { disk } = this.context
    // The .log file last: without it, its indexes are nothing.
    const renamed: Array<{ readonly from: string; readonly to: string }> = []
    try {
      for (const each of [TXN_INDEX_SUFFIX, TIME_INDEX_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX]) {
        const from = this.pathOf(each)
        if (disk.stat(from) === undefined) continue
        const to = from.slice(0, from.length - this.suffix.length) + suffix
        disk.rename(from, to)
        renamed.push({ from, to })
      }
    } catch (error) {
      // A segment that a full disk keeps is still used with its indexes.
      for (const { from, to } of renamed.reverse()) disk.rename(to, from)
      throw error
    }
    this.suffix = suffix
    this.renamed()
  }

  /** Its partition's directory has another name. */
  moved(directory: string): void {
    this.directory = directory
    this.renamed()
  }

  private renamed(): void {
    this.offsetIndex.renamed(this.pathOf(INDEX_SUFFIX))
    this.timeIndex.renamed(this.pathOf(TIME_INDEX_SUFFIX))
    this.txnIndex.renamed(this.pathOf(TXN_INDEX_SUFFIX))
  }

  /** Removes its files. @throws DiskError */
  remove(): void {
    this.close()
    for (const each of SEGMENT_SUFFIXES) this.context.disk.remove(this.pathOf(each))
  }

  /** Ends its files; the .log file with the last lease. */
  close(): void {
    this.offsetIndex.close()
    this.timeIndex.close()
    this.txnIndex.close()
    this.logFile?.retire()
    this.logFile = undefined
  }
}
