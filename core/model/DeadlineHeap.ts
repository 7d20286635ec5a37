/**
 * What is due at some time, the earliest first: a binary min-heap whose entries know their place, so that any of them
 * leaves it without a search. Equal times keep the order of their coming.
 *
 * Cost: O(log n) for each call but `first`. Bound: none of its own; it holds what its owner puts into it.
 */

/** Something that stands in at most one heap. Its owner extends it, and leaves these fields to the heap. */
export abstract class DeadlineEntry {
  /** -1: it stands in none. */
  heapIndex = -1
  /** Of its place, in ms. */
  heapMs: number = Infinity
  /** Order among equal times. */
  heapSequence = 0
}

export class DeadlineHeap<Entry extends DeadlineEntry> {
  readonly #heap: Array<Entry> = []
  #sequence = 0

  get size(): number {
    return this.#heap.length
  }

  /** The earliest. */
  get first(): Entry | undefined {
    return this.#heap[0]
  }

  /** Puts in an entry that stands in no heap. */
  insert(entry: Entry, atMs: number): void {
    entry.heapMs = atMs
    entry.heapSequence = this.#sequence++
    this.#siftUp(entry, this.#heap.push(entry) - 1)
  }

  /** Moves an entry of this heap to an earlier time; it keeps its order among equals. */
  advance(entry: Entry, atMs: number): void {
    entry.heapMs = atMs
    this.#siftUp(entry, entry.heapIndex)
  }

  /** Takes out an entry of this heap. */
  remove(entry: Entry): void {
    const heap = this.#heap
    const index = entry.heapIndex
    const last = heap.pop()!
    entry.heapIndex = -1
    if (last === entry) return
    this.#siftDown(last, index)
    this.#siftUp(last, last.heapIndex)
  }

  #isBefore(a: Entry, b: Entry): boolean {
    return a.heapMs < b.heapMs || (a.heapMs === b.heapMs && a.heapSequence < b.heapSequence)
  }

  /** Puts `entry` at `from` or above. */
  #siftUp(entry: Entry, from: number): void {
    const heap = this.#heap
    let index = from
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = heap[parentIndex]!
      if (!this.#isBefore(entry, parent)) break
      heap[index] = parent
      parent.heapIndex = index
      index = parentIndex
    }
    heap[index] = entry
    entry.heapIndex = index
  }

  /** Puts `entry` at `from` or below. */
  #siftDown(entry: Entry, from: number): void {
    const heap = this.#heap
    let index = from
    for (;;) {
      let childIndex = 2 * index + 1
      if (childIndex >= heap.length) break
      const right = heap[childIndex + 1]
      if (right !== undefined && this.#isBefore(right, heap[childIndex]!)) childIndex++
      const child = heap[childIndex]!
      if (!this.#isBefore(child, entry)) break
      heap[index] = child
      child.heapIndex = index
      index = childIndex
    }
    heap[index] = entry
    entry.heapIndex = index
  }
}
