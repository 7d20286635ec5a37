/** What waits for virtual time: a binary heap by deadline and, at the same deadline, in the order of setting. */
import type { SimProcess } from "./SimProcess.ts"

export class SimTimer {
  readonly atMs: number
  readonly order: number
  readonly owner: SimProcess
  readonly run: () => void
  /** Its place in the heap; below 0 once it is out of it. */
  index = -1

  constructor(atMs: number, order: number, owner: SimProcess, run: () => void) {
    this.atMs = atMs
    this.order = order
    this.owner = owner
    this.run = run
  }
}

const isBefore = (a: SimTimer, b: SimTimer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

export class SimTimers {
  #heap: Array<SimTimer> = []
  #order = 0

  get size(): number {
    return this.#heap.length
  }
  get first(): SimTimer | undefined {
    return this.#heap[0]
  }

  add(atMs: number, owner: SimProcess, run: () => void): SimTimer {
    const timer = new SimTimer(atMs, this.#order++, owner, run)
    timer.index = this.#heap.length
    this.#heap.push(timer)
    this.#up(timer)
    return timer
  }

  /** Nothing when it is over already. */
  remove(timer: SimTimer): void {
    const { index } = timer
    if (index < 0) return
    timer.index = -1
    const last = this.#heap.pop()!
    if (last === timer) return
    this.#heap[index] = last
    last.index = index
    this.#up(last)
    this.#down(last)
  }

  /** Those of a process that died. */
  removeAll(owner: SimProcess): void {
    const gone = this.#heap.filter((timer) => timer.owner === owner)
    for (const timer of gone) this.remove(timer)
  }

  #up(timer: SimTimer): void {
    let { index } = timer
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = this.#heap[above]!
      if (!isBefore(timer, parent)) break
      this.#heap[index] = parent
      parent.index = index
      index = above
    }
    this.#heap[index] = timer
    timer.index = index
  }

  #down(timer: SimTimer): void {
    const heap = this.#heap
    let { index } = timer
    for (;;) {
      let below = 2 * index + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++
      const child = heap[below]!
      if (!isBefore(child, timer)) break
      heap[index] = child
      child.index = index
      index = below
    }
    heap[index] = timer
    timer.index = index
  }
}
