/**
 * What offset and time index share: a file of entries of one size, sorted, that is appended to, searched and cut.
 *
 * New entries wait in a small tail in memory and go to the file in blocks, since a system call per 8 bytes would cost
 * more than the append itself. What a crash takes with the tail, recovery builds again from the log; the file is
 * always a prefix of the index, so Kafka's tools read it at any time. (Kafka allots the whole file and maps it.)
 *
 * A search looks at the first entry of each page (remembered once read), then at one page, so its cost does not
 * depend on the index's size: usually no system call, at most one read of a page.
 */
import type { Disk, File } from "../ports/Disk.ts"
import { getInt32, getInt64 } from "../records/RecordBatch.ts"

/** Entries that wait in memory, in bytes. */
const TAIL_BYTES = 1536
/** Entries that are read at once, in bytes: a multiple of 8 and of 12. */
const PAGE_BYTES = 3072
/**
 * Pages that a broker keeps, for all its indexes together: up to 6 MiB, allotted as they are used. The index of 3 GB in
 * 4 KiB batches, or of 12 GB in 16 KiB batches. A power of two.
 */
const CACHED_PAGES = 2048

/** Recently read pages of any index: direct-mapped, so it is bounded and costs one comparison. */
export class IndexPages {
  private readonly owners: Array<IndexFile | undefined>
  private readonly numbers: Int32Array
  private readonly pages: Array<Uint8Array | undefined>
  private nextId = 0

  /** @param capacity in pages, a power of two */
  constructor(capacity: number = CACHED_PAGES) {
    this.owners = new Array(capacity).fill(undefined)
    this.numbers = new Int32Array(capacity)
    this.pages = new Array(capacity).fill(undefined)
  }

  id(): number {
    return this.nextId++
  }

  /** An index's pages lie side by side, those of the next one far away. */
  private slot(id: number, number: number): number {
    return ((Math.imul(id, 0x9e37_79b1) >>> 16) + number) & (this.owners.length - 1)
  }

  /** Page `number` of `index`, of which only the first `length` bytes have meaning. */
  get(index: IndexFile, id: number, number: number, length: number): Uint8Array {
    const slot = this.slot(id, number)
    let page = this.pages[slot]
    if (page !== undefined && this.owners[slot] === index && this.numbers[slot] === number) return page
    page ??= this.pages[slot] = new Uint8Array(PAGE_BYTES)
    this.owners[slot] = undefined
    index.readInto(page.subarray(0, length), number * PAGE_BYTES)
    this.owners[slot] = index
    this.numbers[slot] = number
    return page
  }

  /** Page `number` of `index` has changed. */
  forgetPage(index: IndexFile, id: number, number: number): void {
    const slot = this.slot(id, number)
    if (this.owners[slot] === index && this.numbers[slot] === number) this.owners[slot] = undefined
  }

  forget(index: IndexFile): void {
    for (let slot = 0; slot < this.owners.length; slot++) if (this.owners[slot] === index) this.owners[slot] = undefined
  }
}

export class IndexFile {
  path: string
  private readonly disk: Disk
  private readonly pages: IndexPages
  private readonly id: number
  private readonly entrySize: number
  private readonly entriesPerPage: number
  private file: File | undefined
  /** Entries in the file; -1 until somebody asks. */
  private written = -1
  private tail: Uint8Array = EMPTY
  private inTail = 0
  /** First entry of each page of the file, as far as they have been read. */
  private fences: Uint8Array = EMPTY
  private knownFences: Uint8Array = EMPTY
  /** Where `locate` found an entry. */
  private foundIn: Uint8Array = EMPTY
  private foundAt = 0
  /** Something was written since the last sync. */
  isDirty = false
  /** A full disk took only a part of what was to be written: it may lie behind the last entry. */
  private hasRest = false

  constructor(disk: Disk, pages: IndexPages, path: string, entrySize: number, isNew: boolean) {
    this.disk = disk
    this.pages = pages
    this.id = pages.id()
    this.path = path
    this.entrySize = entrySize
    this.entriesPerPage = PAGE_BYTES / entrySize
    if (isNew) this.written = 0
  }

  get entries(): number {
    return this.load() + this.inTail
  }

  /** @throws DiskError */
  private load(): number {
    if (this.written >= 0) return this.written
    const size = this.disk.stat(this.path)?.size ?? 0
    return this.written = Math.floor(size / this.entrySize)
  }

  private open(): File {
    return this.file ??= this.disk.open(this.path, "create")
  }

  /** For IndexPages. */
  readInto(target: Uint8Array, position: number): void {
    this.open().read(target, position)
  }

  /** Makes room for `count` entries in memory, so that the appends that follow cannot fail. @throws DiskError */
  reserve(count: number): void {
    this.load()
    const size = this.entrySize
    const needed = (this.inTail + count) * size
    if (needed <= this.tail.length) return
    if (this.inTail > 0) this.write()
    const length = Math.max(TAIL_BYTES, count * size)
    if (this.tail.length < length) this.tail = new Uint8Array(length)
  }

  /** The bytes of a new last entry, to be filled; `reserve` made room. */
  protected push(): number {
    return this.inTail++ * this.entrySize
  }
  protected get tailBytes(): Uint8Array {
    return this.tail
  }

  /** Brings all entries into the file. @throws DiskError */
  write(): void {
    if (this.inTail === 0) return
    const size = this.entrySize
    const end = this.load() * size
    const length = this.inTail * size
    this.hasRest = true
    this.open().write([this.tail.subarray(0, length)], end)
    this.hasRest = false
    this.isDirty = true
    // Of the pages that begin here: no search will have to read them. Most indexes never have a second page.
    for (let page = Math.max(1, Math.ceil(end / PAGE_BYTES)); page * PAGE_BYTES < end + length; page++) {
      const at = page * PAGE_BYTES - end
      this.fenceEntry(page).set(this.tail.subarray(at, at + size))
      this.knownFences[page] = 1
    }
    // A cached page that was the last, and not full, has grown; those before it stay.
    if (end % PAGE_BYTES !== 0) this.pages.forgetPage(this, this.id, Math.floor(end / PAGE_BYTES))
    this.written += this.inTail
    this.inTail = 0
    // One burst's tail is not kept.
    if (this.tail.length > TAIL_BYTES) this.tail = EMPTY
  }

  /** The file for a sync: all entries in it. @throws DiskError */
  fileToSync(): File {
    this.write()
    this.isDirty = false
    return this.open()
  }

  private locate(entry: number): void {
    const written = this.load()
    if (entry >= written) {
      this.foundIn = this.tail
      this.foundAt = (entry - written) * this.entrySize
      return
    }
    const page = Math.floor(entry / this.entriesPerPage)
    const length = Math.min(this.entriesPerPage, written - page * this.entriesPerPage) * this.entrySize
    this.foundIn = this.pages.get(this, this.id, page, length)
    this.foundAt = (entry - page * this.entriesPerPage) * this.entrySize
  }

  /** @param at position in the entry, in bytes. @throws DiskError */
  protected int32(entry: number, at: number): number {
    this.locate(entry)
    return getInt32(this.foundIn, this.foundAt + at)
  }
  protected int64(entry: number, at: number): number {
    this.locate(entry)
    return getInt64(this.foundIn, this.foundAt + at)
  }

  /** Where a page's first entry is remembered, to be filled. */
  private fenceEntry(page: number): Uint8Array {
    const size = this.entrySize
    if (page >= this.knownFences.length) {
      const pages = Math.max(8, page * 2)
      const known = new Uint8Array(pages)
      known.set(this.knownFences)
      const fences = new Uint8Array(pages * size)
      fences.set(this.fences)
      this.knownFences = known
      this.fences = fences
    }
    return this.fences.subarray(page * size, (page + 1) * size)
  }

  /** `width` 4 or 8: the key of a page's first entry. */
  private fence(page: number, at: number, width: number): number {
    const size = this.entrySize
    if (this.knownFences[page] !== 1) {
      this.open().read(this.fenceEntry(page), page * PAGE_BYTES)
      this.knownFences[page] = 1
    }
    return width === 4 ? getInt32(this.fences, page * size + at) : getInt64(this.fences, page * size + at)
  }

  /** The last entry whose key (at `at`, of `width` bytes) is <= `key`; -1 when all are larger. @throws DiskError */
  protected floor(at: number, width: number, key: number): number {
    const written = this.load()
    const size = this.entrySize
    const read = width === 4 ? getInt32 : getInt64
    if (this.inTail > 0 && read(this.tail, at) <= key) {
      let low = 0
      let high = this.inTail - 1
      while (low < high) {
        const middle = (low + high + 1) >>> 1
        if (read(this.tail, middle * size + at) <= key) low = middle
        else high = middle - 1
      }
      return written + low
    }
    if (written === 0) return -1
    let low = 0
    let high = Math.floor((written - 1) / this.entriesPerPage)
    if (this.fence(0, at, width) > key) return -1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.fence(middle, at, width) <= key) low = middle
      else high = middle - 1
    }
    const page = low
    const count = Math.min(this.entriesPerPage, written - page * this.entriesPerPage)
    const bytes = this.pages.get(this, this.id, page, count * size)
    low = 0
    high = count - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (read(bytes, middle * size + at) <= key) low = middle
      else high = middle - 1
    }
    return page * this.entriesPerPage + low
  }

  /** Keeps the first `count` entries. @throws DiskError */
  cut(count: number): void {
    const written = this.load()
    if (count >= written) {
      this.inTail = Math.min(this.inTail, count - written)
      if (!this.hasRest) return
      // A start would take it for entries, of batches that are not there.
      this.open().truncate(written * this.entrySize)
      this.hasRest = false
      this.isDirty = true
      return
    }
    this.open().truncate(count * this.entrySize)
    this.hasRest = false
    this.isDirty = true
    this.pages.forget(this)
    this.inTail = 0
    this.written = count
    this.knownFences.fill(0, Math.ceil(count / this.entriesPerPage))
  }

  /** Removes what a process that allots files in advance (Kafka, killed) left after the last entry. @throws DiskError */
  trim(): void {
    const length = this.load() * this.entrySize
    if ((this.disk.stat(this.path)?.size ?? 0) !== length) this.open().truncate(length)
  }

  /** Its name changed. */
  renamed(path: string): void {
    this.path = path
  }

  /** What waits in memory is dropped: `write` first. */
  close(): void {
    this.pages.forget(this)
    this.file?.close()
    this.file = undefined
  }
}

const EMPTY = new Uint8Array(0)
