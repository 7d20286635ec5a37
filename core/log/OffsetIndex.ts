/**
 * `<base offset>.index`: where batches begin. Sorted by both fields; about one entry per index.interval.bytes.
 *
 * | offset | size | field          | meaning                                                             |
 * |-------:|-----:|----------------|---------------------------------------------------------------------|
 * |      0 |    4 | relativeOffset | a batch's last offset, less the segment's base offset               |
 * |      4 |    4 | position       | where that batch begins in the .log file, in bytes                  |
 */
import { invariant } from "../model/Invariant.ts"
import type { Disk } from "../ports/Disk.ts"
import { setInt32 } from "../records/RecordBatch.ts"
import { IndexFile, type IndexPages } from "./IndexFile.ts"

export const OFFSET_INDEX_ENTRY_BYTES = 8

export class OffsetIndex extends IndexFile {
  readonly baseOffset: number
  /** -1 until known, -2 when empty: the last entry's relative offset. */
  private lastRelative = -1

  constructor(disk: Disk, pages: IndexPages, path: string, baseOffset: number, isNew: boolean) {
    super(disk, pages, path, OFFSET_INDEX_ENTRY_BYTES, isNew)
    this.baseOffset = baseOffset
  }

  /** `reserve` made room. @param offset larger than every earlier entry's */
  append(offset: number, position: number): void {
    const relative = offset - this.baseOffset
    invariant(relative > this.last(), "offset index entries grow")
    const at = this.push()
    setInt32(this.tailBytes, at, relative)
    setInt32(this.tailBytes, at + 4, position)
    this.lastRelative = relative
  }

  private last(): number {
    if (this.lastRelative === -1) {
      const { entries } = this
      this.lastRelative = entries === 0 ? -2 : this.int32(entries - 1, 0)
    }
    return this.lastRelative
  }

  /** Of the last entry; the base offset when there is none. @throws DiskError */
  get lastOffset(): number {
    const last = this.last()
    return last < 0 ? this.baseOffset : this.baseOffset + last
  }

  /** Where to begin looking for `offset`: no batch that begins before this position holds it. @throws DiskError */
  floorPosition(offset: number): number {
    const entry = this.floor(0, 4, Math.min(offset - this.baseOffset, 0x7fff_ffff))
    return entry < 0 ? 0 : this.int32(entry, 4)
  }

  /** The last known beginning of a batch at or before `position`. @throws DiskError */
  floorByPosition(position: number): number {
    const entry = this.floor(4, 4, Math.min(position, 0x7fff_ffff))
    return entry < 0 ? 0 : this.int32(entry, 4)
  }

  /** For tests and recovery. @throws DiskError */
  entry(index: number): { readonly offset: number; readonly position: number } {
    return { offset: this.baseOffset + this.int32(index, 0), position: this.int32(index, 4) }
  }

  /** Keeps entries below `offset`. @throws DiskError */
  truncateTo(offset: number): void {
    this.cut(this.floor(0, 4, Math.min(offset - this.baseOffset - 1, 0x7fff_ffff)) + 1)
    this.lastRelative = -1
  }

  override cut(count: number): void {
    super.cut(count)
    this.lastRelative = -1
  }
}
