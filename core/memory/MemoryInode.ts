/**
 * A file's bytes in memory, together with what would be left of them if the machine lost its power now.
 *
 * Durability is kept as an undo list: each change since the last sync with the bytes it replaced. Appends, the common
 * case, replace nothing and extend one entry, so a log that is never synced costs no more memory than its bytes.
 */

/** A page cache writes back pages of this size, each on its own. In bytes. */
const PAGE = 4096

/** One change since the last sync. `before`: the bytes that [position, position + before.length) held. */
interface Change {
  readonly position: number
  /** Bytes written; 0 for a change of length alone. */
  length: number
  readonly before: Uint8Array
  /** The file's length before and after. */
  readonly sizeBefore: number
  sizeAfter: number
}

/** A number in [0, 1). */
export type Random = () => number

const EMPTY = new Uint8Array(0)

export class MemoryInode {
  size = 0
  modifiedMs = 0
  /** Handles of a state before a crash hold an old generation. */
  private bytes: Uint8Array = EMPTY
  private changes: Array<Change> = []
  private readonly isTracked: boolean

  constructor(isTracked: boolean) {
    this.isTracked = isTracked
  }

  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.size - position))
    if (length > 0) target.set(this.bytes.subarray(position, position + length))
    return length
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return
    const end = position + bytes.length
    this.track(position, bytes.length, Math.max(this.size, end))
    this.reserve(end)
    this.bytes.set(bytes, position)
    if (end > this.size) this.size = end
  }

  truncate(length: number): void {
    if (length === this.size) return
    this.track(Math.min(length, this.size), 0, length)
    this.reserve(length)
    if (length < this.size) this.bytes.fill(0, length, this.size)
    this.size = length
  }

  /** Flips bits of one byte, as if the device had: synced or not. */
  rot(position: number, mask: number): void {
    if (position < this.size) this.bytes[position]! ^= mask
  }

  /** Changes so far: what a sync that begins now covers. */
  get unsynced(): number {
    return this.changes.length
  }

  /** The `count` oldest changes are on the device. */
  synced(count: number): void {
    this.changes.splice(0, count)
    // What comes now must not extend a change that the sync did not cover, nor one that it did.
    this.sealed = this.changes.length
  }
  private sealed = 0

  /** A sync begins: later appends are changes of their own. */
  seal(): void {
    this.sealed = this.changes.length
  }

  /**
   * The machine lost its power. Without `random` all changes since the last sync are lost; with it each page of each
   * change is lost, kept, or cut at any byte, and the length is any that the kept pages allow.
   */
  lose(random: Random | undefined): void {
    const changes = this.changes
    this.changes = []
    this.sealed = 0
    if (changes.length === 0) return
    const after: Array<Uint8Array> = []
    for (let i = changes.length - 1; i >= 0; i--) {
      const change = changes[i]!
      after[i] = this.bytes.slice(change.position, change.position + change.length)
      this.reserve(change.sizeBefore)
      // Between the bytes that were replaced and the old length there was nothing else that this change touched.
      if (change.sizeAfter > change.sizeBefore) this.bytes.fill(0, change.sizeBefore, change.sizeAfter)
      this.bytes.set(change.before, change.position)
      this.size = change.sizeBefore
    }
    if (random === undefined) return
    for (let i = 0; i < changes.length; i++) {
      const { length, position, sizeAfter } = changes[i]!
      if (length === 0) {
        if (random() < 0.5) continue
        this.reserve(sizeAfter)
        if (sizeAfter < this.size) this.bytes.fill(0, sizeAfter, this.size)
        this.size = sizeAfter
        continue
      }
      for (let from = 0; from < length;) {
        const to = Math.min(length, from + PAGE - ((position + from) % PAGE))
        const fate = random()
        const kept = fate < 0.4 ? to - from : fate < 0.7 ? 0 : Math.floor(random() * (to - from))
        if (kept > 0) {
          this.reserve(position + from + kept)
          this.bytes.set(after[i]!.subarray(from, from + kept), position + from)
          this.size = Math.max(this.size, position + from + kept)
        }
        from = to
      }
    }
  }

  private track(position: number, length: number, sizeAfter: number): void {
    if (!this.isTracked) return
    const last = this.changes.at(-1)
    if (
      last !== undefined && this.changes.length > this.sealed && length > 0 && last.length > 0 &&
      position === this.size && position === last.position + last.length && last.sizeAfter === this.size
    ) {
      last.length += length
      last.sizeAfter = sizeAfter
      return
    }
    const beforeEnd = length > 0 ? Math.min(this.size, position + length) : Math.max(position, this.size)
    this.changes.push({
      position,
      length,
      before: position < beforeEnd ? this.bytes.slice(position, beforeEnd) : EMPTY,
      sizeBefore: this.size,
      sizeAfter
    })
  }

  private reserve(length: number): void {
    if (length <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(length, Math.min(this.bytes.length * 2, this.bytes.length + (64 << 20)), 256))
    grown.set(this.bytes)
    this.bytes = grown
  }
}
