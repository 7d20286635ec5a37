/**
 * Timers as events: a state machine sets and cancels them, whoever owns the clock asks for what is due. Pure: time comes
 * in as a number.
 *
 * Session timeouts are set anew with every heartbeat and nearly never come due, so moving a timer to a later time only
 * writes the time down; where it stands in the heap is put right when its old place comes up.
 *
 * Bound: as many entries as there are timers that are set; a cancelled one leaves at once.
 */

/** One thing that may come due, again and again. Its owner keeps it and hands it to the queue. */
export class Timer<Event> {
  /** What happens when it is due; its owner may change it while the timer is not set. */
  event: Event
  /** In ms; Infinity: not set. */
  dueMs: number = Infinity
  /** For the queue: the time it stands in the heap with, at most `dueMs`. */
  queuedMs: number = Infinity
  /** For the queue: -1 when not in it. */
  index = -1
  /** For the queue: order among equal times. */
  sequence = 0

  constructor(event: Event) {
    this.event = event
  }
}

export class TimerQueue<Event> {
  /** Binary min-heap by `queuedMs`, then `sequence`. */
  readonly #heap: Array<Timer<Event>> = []
  #sequence = 0

  get size(): number {
    return this.#heap.length
  }

  /** When to look next: no timer is due before; Infinity when none is set. It may be early, never late. */
  get nextMs(): number {
    return this.#heap[0]?.queuedMs ?? Infinity
  }

  set(timer: Timer<Event>, dueMs: number): void {
    timer.dueMs = dueMs
    if (timer.index === -1) this.#insert(timer)
    else if (dueMs < timer.queuedMs) {
      timer.queuedMs = dueMs
      this.#siftUp(timer.index)
    }
  }

  /** Nothing when it is not set. */
  cancel(timer: Timer<Event>): void {
    timer.dueMs = Infinity
    if (timer.index !== -1) this.#removeAt(timer.index)
  }

  /** Takes out the earliest timer that is due, or gives undefined. */
  take(nowMs: number): Timer<Event> | undefined {
    for (;;) {
      const timer = this.#heap[0]
      if (timer === undefined || timer.queuedMs > nowMs) return undefined
      this.#removeAt(0)
      if (timer.dueMs <= nowMs) {
        timer.dueMs = Infinity
        return timer
      }
      this.#insert(timer)
    }
  }

  #insert(timer: Timer<Event>): void {
    timer.queuedMs = timer.dueMs
    timer.sequence = this.#sequence++
    this.#heap.push(timer)
    timer.index = this.#heap.length - 1
    this.#siftUp(timer.index)
  }

  #isBefore(a: Timer<Event>, b: Timer<Event>): boolean {
    return a.queuedMs < b.queuedMs || (a.queuedMs === b.queuedMs && a.sequence < b.sequence)
  }

  #removeAt(index: number): void {
    const heap = this.#heap
    const removed = heap[index]!
    const last = heap.pop()!
    removed.index = -1
    if (last === removed) return
    heap[index] = last
    last.index = index
    this.#siftDown(index)
    this.#siftUp(last.index)
  }

  #siftUp(from: number): void {
    const heap = this.#heap
    const timer = heap[from]!
    let index = from
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = heap[parentIndex]!
      if (!this.#isBefore(timer, parent)) break
      heap[index] = parent
      parent.index = index
      index = parentIndex
    }
    heap[index] = timer
    timer.index = index
  }

  #siftDown(from: number): void {
    const heap = this.#heap
    const timer = heap[from]!
    let index = from
    for (;;) {
      let childIndex = 2 * index + 1
      if (childIndex >= heap.length) break
      const right = heap[childIndex + 1]
      if (right !== undefined && this.#isBefore(right, heap[childIndex]!)) childIndex++
      const child = heap[childIndex]!
      if (!this.#isBefore(child, timer)) break
      heap[index] = child
      child.index = index
      index = childIndex
    }
    heap[index] = timer
    timer.index = index
  }
}
