/**
 * The latest offset of each key in the part of a log that a compaction looks at. Bounded by
 * `log.cleaner.dedupe.buffer.size` times `log.cleaner.io.buffer.load.factor`; what does not fit waits for the next
 * compaction.
 *
 * Whole keys are kept and compared, where Kafka trusts their MD5: two keys never count as one, so a record is never
 * dropped for another key's sake, not even when a client picks its keys to that end. The price: a key of k bytes takes
 * k + 24 bytes of the buffer where Kafka takes 24, so long keys may need more compactions. Memory is taken as keys
 * come, not at the start.
 *
 * An entry, in blocks of memory that never move:
 *
 * | offset | size | meaning                              |
 * |-------:|-----:|--------------------------------------|
 * |      0 |    8 | latest offset of the key             |
 * |      8 |    4 | hash of the key                      |
 * |     12 |    4 | length of the key                    |
 * |     16 |      | the key                              |
 *
 * A hash table of int32, at most 3/4 full, says where entries are: 0 for none, else 1 + block * 2^20 + position in it.
 */
import { invariant } from "../model/Invariant.ts"
import { getInt32, getInt64, setInt32, setInt64 } from "../records/RecordBatch.ts"

/** What a key of no bytes takes: 16 of its entry, about 8 of the table. As much as any key in Kafka's map. */
export const OFFSET_MAP_ENTRY_BYTES = 24

/** The largest buffer, in bytes, as in Kafka: what is configured beyond it is not used. */
export const MAX_OFFSET_MAP_BYTES = 0x7fff_ffff

export interface OffsetMapOptions {
  /** log.cleaner.dedupe.buffer.size, divided by log.cleaner.threads. */
  readonly memoryBytes: number
  /** log.cleaner.io.buffer.load.factor: the part of the buffer that is filled. */
  readonly loadFactor: number
  /** 8 unpredictable bytes: nobody can choose keys that fall on each other. No result depends on them. */
  readonly seed: Uint8Array
}

const ENTRY_HEADER_BYTES = 16
const BLOCK_BITS = 20
const BLOCK_BYTES = 1 << BLOCK_BITS
const BLOCK_MASK = BLOCK_BYTES - 1
const FIRST_TABLE_SLOTS = 1024

export class OffsetMap {
  /** What may be taken, in bytes of keys + 24 each. */
  readonly capacityBytes: number
  private readonly seed0: number
  private readonly seed1: number
  private table: Int32Array = new Int32Array(FIRST_TABLE_SLOTS)
  private blocks: Array<Uint8Array> = []
  /** Free bytes of the last block begin here. */
  private blockEnd = 0
  private entries = 0
  private taken = 0
  private latest = -1

  constructor(options: OffsetMapOptions) {
    this.capacityBytes = Math.floor(Math.min(options.memoryBytes, MAX_OFFSET_MAP_BYTES) * options.loadFactor)
    invariant(options.seed.length >= 8, "a seed of 8 bytes")
    this.seed0 = getInt32(options.seed, 0)
    this.seed1 = getInt32(options.seed, 4)
  }

  /** Keys in the map. */
  get size(): number {
    return this.entries
  }

  /** The part that is taken: over 1 when one key alone is larger than the buffer. */
  get utilization(): number {
    return this.taken / this.capacityBytes
  }

  /** Up to here, inclusive, every record is in the map or needs no place in it; -1 before the first. */
  get latestOffset(): number {
    return this.latest
  }

  /** Offsets up to `offset` were looked at, and had no keys or none that count. */
  updateLatestOffset(offset: number): void {
    this.latest = offset
  }

  /**
   * Remembers that the key, `length` bytes of `bytes` from `start`, is at `offset`, which is above all earlier ones.
   * @returns false, and nothing has changed, when there is no room. The first key is always taken, so that each
   * compaction gets on: it may pass the bound by the size of one record's key.
   */
  put(bytes: Uint8Array, start: number, length: number, offset: number): boolean {
    const hash = this.hash(bytes, start, length)
    const slot = this.find(bytes, start, length, hash)
    const found = this.table[slot]!
    if (found !== 0) {
      setInt64(this.blockOf(found), (found - 1) & BLOCK_MASK, offset)
      this.latest = offset
      return true
    }
    const size = length + OFFSET_MAP_ENTRY_BYTES
    if (this.taken + size > this.capacityBytes && this.entries > 0) return false
    this.table[slot] = this.add(bytes, start, length, hash, offset)
    this.taken += size
    this.entries++
    this.latest = offset
    if (this.entries * 4 > this.table.length * 3) this.grow()
    return true
  }

  /** The key's latest offset; -1 when it has none. */
  get(bytes: Uint8Array, start: number, length: number): number {
    const found = this.table[this.find(bytes, start, length, this.hash(bytes, start, length))]!
    return found === 0 ? -1 : getInt64(this.blockOf(found), (found - 1) & BLOCK_MASK)
  }

  /** Forgets all keys and gives most of the memory back. */
  clear(): void {
    if (this.table.length > FIRST_TABLE_SLOTS) this.table = new Int32Array(FIRST_TABLE_SLOTS)
    else this.table.fill(0)
    this.blocks = []
    this.blockEnd = 0
    this.entries = 0
    this.taken = 0
    this.latest = -1
  }

  private blockOf(reference: number): Uint8Array {
    return this.blocks[(reference - 1) >>> BLOCK_BITS]!
  }

  /** The slot that has the key, or the free one where it belongs. */
  private find(bytes: Uint8Array, start: number, length: number, hash: number): number {
    const { table } = this
    const mask = table.length - 1
    for (let slot = hash & mask;; slot = (slot + 1) & mask) {
      const reference = table[slot]!
      if (reference === 0) return slot
      const block = this.blockOf(reference)
      const at = (reference - 1) & BLOCK_MASK
      if (getInt32(block, at + 8) !== hash || getInt32(block, at + 12) !== length) continue
      if (sameBytes(block, at + ENTRY_HEADER_BYTES, bytes, start, length)) return slot
    }
  }

  private add(bytes: Uint8Array, start: number, length: number, hash: number, offset: number): number {
    const size = ENTRY_HEADER_BYTES + length
    let block = this.blocks.at(-1)
    if (block === undefined || this.blockEnd + size > block.length) {
      // A large key has a block of its own: an entry begins in the first 2^20 bytes of its block, where it ends is free.
      block = new Uint8Array(Math.max(BLOCK_BYTES, size))
      this.blocks.push(block)
      this.blockEnd = 0
    }
    const at = this.blockEnd
    setInt64(block, at, offset)
    setInt32(block, at + 8, hash)
    setInt32(block, at + 12, length)
    block.set(bytes.subarray(start, start + length), at + ENTRY_HEADER_BYTES)
    this.blockEnd += size
    return ((this.blocks.length - 1) << BLOCK_BITS) + at + 1
  }

  private grow(): void {
    const old = this.table
    const table = new Int32Array(old.length * 2)
    const mask = table.length - 1
    for (const reference of old) {
      if (reference === 0) continue
      let slot = getInt32(this.blockOf(reference), ((reference - 1) & BLOCK_MASK) + 8) & mask
      while (table[slot] !== 0) slot = (slot + 1) & mask
      table[slot] = reference
    }
    this.table = table
  }

  /** HalfSipHash-1-3: keyed, and made of the 32-bit operations that engines have. */
  private hash(bytes: Uint8Array, start: number, length: number): number {
    let v0 = this.seed0
    let v1 = this.seed1
    let v2 = 0x6c79_6765 ^ this.seed0
    let v3 = 0x7465_6462 ^ this.seed1
    const end = start + length
    let at = start
    let word: number
    // The last word has the bytes that are left and the length; then one round to mix it in and three to end.
    for (let rounds = (length >>> 2) + 4; rounds > 0; rounds--) {
      if (rounds > 4) {
        word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
        at += 4
      } else if (rounds === 4) {
        word = length << 24
        for (let shift = 0; at < end; at++, shift += 8) word |= bytes[at]! << shift
      } else {
        word = 0
        if (rounds === 3) v2 ^= 0xff
      }
      v3 ^= word
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= word
    }
    return v1 ^ v3
  }
}

const sameBytes = (a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean => {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false
  return true
}
