/**
 * `<base offset>.txnindex`: the aborted transactions whose markers are in the segment, in the order of their markers.
 * The file is made with the first.
 *
 * | offset | size | field            | meaning                                                           |
 * |-------:|-----:|------------------|-------------------------------------------------------------------|
 * |      0 |    2 | version          | 0                                                                 |
 * |      2 |    8 | producerId       |                                                                   |
 * |     10 |    8 | firstOffset      | of the transaction                                                |
 * |     18 |    8 | lastOffset       | of its marker                                                     |
 * |     26 |    8 | lastStableOffset | that the marker made possible: no later one aborts before it      |
 */
import type { Disk, File } from "../ports/Disk.ts"
import { getInt64, setInt16, setInt64 } from "../records/RecordBatch.ts"
import { readBytes } from "./TextFile.ts"

const ENTRY_BYTES = 34

export interface AbortedEntry {
  readonly producerId: number
  readonly firstOffset: number
  readonly lastOffset: number
  readonly lastStableOffset: number
}

export class TransactionIndex {
  path: string
  isDirty = false
  private readonly disk: Disk
  /** Undefined until somebody asks. Few: a transaction that aborts is the exception. */
  private list: Array<AbortedEntry> | undefined
  private file: File | undefined

  constructor(disk: Disk, path: string, isNew: boolean) {
    this.disk = disk
    this.path = path
    if (isNew) this.list = []
  }

  /** @throws DiskError */
  get entries(): ReadonlyArray<AbortedEntry> {
    return this.load()
  }

  private load(): Array<AbortedEntry> {
    if (this.list !== undefined) return this.list
    const bytes = readBytes(this.disk, this.path) ?? new Uint8Array(0)
    const list: Array<AbortedEntry> = []
    for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
      list.push({
        producerId: getInt64(bytes, at + 2),
        firstOffset: getInt64(bytes, at + 10),
        lastOffset: getInt64(bytes, at + 18),
        lastStableOffset: getInt64(bytes, at + 26)
      })
    }
    return this.list = list
  }

  /** @throws DiskError, and then the entry is not there */
  append(entry: AbortedEntry): void {
    const list = this.load()
    this.write([entry], list.length)
    list.push(entry)
  }

  private write(entries: ReadonlyArray<AbortedEntry>, at: number): void {
    const bytes = new Uint8Array(entries.length * ENTRY_BYTES)
    entries.forEach((entry, i) => {
      const from = i * ENTRY_BYTES
      setInt16(bytes, from, 0)
      setInt64(bytes, from + 2, entry.producerId)
      setInt64(bytes, from + 10, entry.firstOffset)
      setInt64(bytes, from + 18, entry.lastOffset)
      setInt64(bytes, from + 26, entry.lastStableOffset)
    })
    this.open().write([bytes], at * ENTRY_BYTES)
    this.isDirty = true
  }

  private open(): File {
    return this.file ??= this.disk.open(this.path, "create")
  }

  fileToSync(): File {
    this.isDirty = false
    return this.open()
  }

  /** Keeps transactions whose marker is below `offset`. @throws DiskError */
  truncateTo(offset: number): void {
    this.replace(this.load().filter((entry) => entry.lastOffset < offset))
  }

  /** @throws DiskError */
  replace(entries: ReadonlyArray<AbortedEntry>): void {
    const list = this.load()
    const isPrefix = entries.length <= list.length && entries.every((entry, i) => sameEntry(entry, list[i]!))
    if (isPrefix && entries.length === list.length) return
    // What stays is not written anew: a full disk might refuse it.
    this.open().truncate(isPrefix ? entries.length * ENTRY_BYTES : 0)
    if (!isPrefix) this.write(entries, 0)
    this.isDirty = true
    this.list = [...entries]
  }

  /**
   * Adds those that a reader of [from, upTo) must know of.
   * @returns whether no later segment's index has more of them
   */
  collect(from: number, upTo: number, into: Array<AbortedEntry>): boolean {
    for (const entry of this.load()) {
      if (entry.lastOffset >= from && entry.firstOffset < upTo) into.push(entry)
      if (entry.lastStableOffset >= upTo) return true
    }
    return false
  }

  renamed(path: string): void {
    this.path = path
  }

  close(): void {
    this.file?.close()
    this.file = undefined
  }
}

const sameEntry = (a: AbortedEntry, b: AbortedEntry): boolean =>
  a.producerId === b.producerId && a.firstOffset === b.firstOffset && a.lastOffset === b.lastOffset &&
  a.lastStableOffset === b.lastStableOffset
