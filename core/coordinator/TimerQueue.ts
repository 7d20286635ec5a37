/**
 * Timers as events: a state machine sets and cancels them, whoever owns the clock asks for what is due. Pure: time comes
 * in as a number, of a clock that is never set.
 *
 * Session timeouts are set anew with every heartbeat and nearly never come due, so moving a timer to a later time only
 * writes the time down; where it stands in the heap is put right when its old place comes up.
 *
 * Bound: as many entries as there are timers that are set; a cancelled one leaves at once.
 */

import { DeadlineEntry, DeadlineHeap } from "../model/DeadlineHeap.ts"

/** One thing that may come due, again and again. Its owner keeps it and hands it to the queue. */
export class Timer<Event> extends DeadlineEntry {
  /** What happens when it is due; its owner may change it while the timer is not set. */
  event: Event
  /** In ms; Infinity: not set. It stands in the heap with this time or an earlier one. */
  dueMs: number = Infinity

  constructor(event: Event) {
    super()
    this.event = event
  }
}

export class TimerQueue<Event> {
  readonly #heap: DeadlineHeap<Timer<Event>> = new DeadlineHeap()

  get size(): number {
    return this.#heap.size
  }

  /** When to look next: no timer is due before; Infinity when none is set. It may be early, never late. */
  get nextMs(): number {
    return this.#heap.first?.heapMs ?? Infinity
  }

  set(timer: Timer<Event>, dueMs: number): void {
    timer.dueMs = dueMs
    if (timer.heapIndex === -1) this.#heap.insert(timer, dueMs)
    else if (dueMs < timer.heapMs) this.#heap.advance(timer, dueMs)
  }

  /** Nothing when it is not set. */
  cancel(timer: Timer<Event>): void {
    timer.dueMs = Infinity
    if (timer.heapIndex !== -1) this.#heap.remove(timer)
  }

  /** Takes out the earliest timer that is due, or gives undefined. */
  take(nowMs: number): Timer<Event> | undefined {
    for (;;) {
      const timer = this.#heap.first
      if (timer === undefined || timer.heapMs > nowMs) return undefined
      this.#heap.remove(timer)
      if (timer.dueMs <= nowMs) {
        timer.dueMs = Infinity
        return timer
      }
      this.#heap.insert(timer, timer.dueMs)
    }
  }
}
