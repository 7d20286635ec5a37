/**
 * `<base offset>.timeindex`: by when the log had reached a timestamp. Both fields grow; the last entry of a closed
 * segment is its largest timestamp.
 *
 * | offset | size | field          | meaning                                                             |
 * |-------:|-----:|----------------|---------------------------------------------------------------------|
 * |      0 |    8 | timestamp      | the largest in the segment so far, in ms                            |
 * |      8 |    4 | relativeOffset | last offset of the batch that has it, less the segment's base offset |
 */
import type { Disk } from "../ports/Disk.ts"
import { setInt32, setInt64 } from "../records/RecordBatch.ts"
import { IndexFile, type IndexPages } from "./IndexFile.ts"

export const TIME_INDEX_ENTRY_BYTES = 12

export class TimeIndex extends IndexFile {
  readonly baseOffset: number
  /** Undefined until known. -1 when there is none. */
  private lastKnown: { readonly timestamp: number; readonly offset: number } | undefined

  constructor(disk: Disk, pages: IndexPages, path: string, baseOffset: number, isNew: boolean) {
    super(disk, pages, path, TIME_INDEX_ENTRY_BYTES, isNew)
    this.baseOffset = baseOffset
  }

  /** Nothing unless `timestamp` is larger than all before. `reserve` made room. */
  maybeAppend(timestamp: number, offset: number): void {
    if (timestamp <= this.last().timestamp) return
    const at = this.push()
    setInt64(this.tailBytes, at, timestamp)
    setInt32(this.tailBytes, at + 8, offset - this.baseOffset)
    this.lastKnown = { timestamp, offset }
  }

  /** The last entry; timestamp -1 and the base offset when there is none. @throws DiskError */
  last(): { readonly timestamp: number; readonly offset: number } {
    if (this.lastKnown === undefined) {
      const { entries } = this
      this.lastKnown = entries === 0 ? { timestamp: -1, offset: this.baseOffset } : this.entry(entries - 1)
    }
    return this.lastKnown
  }

  /** Every record before this offset has a timestamp below `timestamp`. @throws DiskError */
  floorOffset(timestamp: number): number {
    // The entry whose timestamp is asked for may itself not be the first record that has it.
    const entry = this.floor(0, 8, timestamp)
    return entry < 0 ? this.baseOffset : this.baseOffset + this.int32(entry, 8)
  }

  /** @throws DiskError */
  entry(index: number): { readonly timestamp: number; readonly offset: number } {
    return { timestamp: this.int64(index, 0), offset: this.baseOffset + this.int32(index, 8) }
  }

  /** Keeps entries whose offset is below `offset`. @throws DiskError */
  truncateTo(offset: number): void {
    this.cut(this.floor(8, 4, Math.min(offset - this.baseOffset - 1, 0x7fff_ffff)) + 1)
  }

  override cut(count: number): void {
    super.cut(count)
    this.lastKnown = undefined
  }
}
