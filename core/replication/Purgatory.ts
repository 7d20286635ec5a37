/**
 * Requests that wait: for a high watermark (acks=all), for bytes (long polls), for a flush. An operation watches the
 * objects that can complete it (partitions keep a `Watchers`), and may wait for so long by the monotonic clock. It leaves
 * all of it at once when it completes, expires or is cancelled, so nothing is left behind by a closed connection.
 *
 * One timer fiber serves all deadlines: it sleeps until the earliest, and is started anew only when an earlier one
 * comes. A deadline that was met meanwhile costs one early wake-up, not a timer per request.
 *
 * Bounds: `maxOperations` waiting at once. When full an operation is not taken, and its caller answers as if its time
 * were up: a fetch with what is there, a produce with REQUEST_TIMED_OUT.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { DeadlineEntry, DeadlineHeap } from "../model/DeadlineHeap.ts"

/** Operations that may wait at once in one purgatory. */
export const MAX_WAITING_OPERATIONS = 100_000

/** Completes itself: `tryComplete` when something it watches changed, `expire` when its time is up. */
export abstract class DelayedOperation extends DeadlineEntry {
  /** It waits this long from when it is watched, in milliseconds. */
  readonly timeoutMs: number
  /** For the purgatory. */
  watching: ReadonlyArray<Watchers> = []

  constructor(timeoutMs: number) {
    super()
    this.timeoutMs = timeoutMs
  }

  /** Looks whether it can complete, and if so answers and returns true. `source` changed, or undefined: look at all. */
  abstract tryComplete(source: Watchers | undefined): boolean
  /** Its time is up: answers with what there is. */
  abstract expire(): void
}

/** The operations that watch one object. */
export class Watchers {
  readonly operations: Set<DelayedOperation> = new Set()
  readonly #purgatory: Purgatory

  constructor(purgatory: Purgatory) {
    this.#purgatory = purgatory
  }

  /** Lets each operation look; those that completed leave. One that comes meanwhile is not looked at. */
  check(): void {
    if (this.operations.size === 0) return
    for (const operation of [...this.operations]) {
      if (operation.heapIndex !== -1 && operation.tryComplete(this)) this.#purgatory.remove(operation)
    }
  }
}

export interface TimerHost {
  /** Of a clock that is never set. */
  readonly monotonicMs: () => number
  /** Starts a fiber at once, in the scope of the broker. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

export class Purgatory {
  readonly #host: TimerHost
  readonly #maxOperations: number
  readonly #heap: DeadlineHeap<DelayedOperation> = new DeadlineHeap()
  #timer: Fiber.Fiber<void> | undefined
  #timerDeadlineMs = Infinity
  #closed = false

  constructor(host: TimerHost, maxOperations: number = MAX_WAITING_OPERATIONS) {
    this.#host = host
    this.#maxOperations = maxOperations
  }

  get size(): number {
    return this.#heap.size
  }

  /** @returns false when it cannot be taken (full, closed, or it has no time to wait): the caller answers at once */
  watch(operation: DelayedOperation, watching: ReadonlyArray<Watchers>): boolean {
    if (this.#closed || this.#heap.size >= this.#maxOperations) return false
    if (operation.timeoutMs <= 0) return false
    const deadlineMs = this.#host.monotonicMs() + operation.timeoutMs
    operation.watching = watching
    for (const watchers of watching) watchers.operations.add(operation)
    this.#heap.insert(operation, deadlineMs)
    if (deadlineMs < this.#timerDeadlineMs) this.#arm(deadlineMs)
    return true
  }

  /** Takes an operation out: it completed, or its connection is gone. Nothing when it is not waiting. */
  remove(operation: DelayedOperation): void {
    if (operation.heapIndex === -1) return
    for (const watchers of operation.watching) watchers.operations.delete(operation)
    operation.watching = []
    this.#heap.remove(operation)
  }

  /** Expires what waits, and takes no more: the broker stops. */
  close(): void {
    this.#closed = true
    if (this.#timer !== undefined) this.#host.fork(Fiber.interrupt(this.#timer))
    this.#timer = undefined
    for (;;) {
      const operation = this.#heap.first
      if (operation === undefined) return
      this.remove(operation)
      operation.expire()
    }
  }

  #arm(deadlineMs: number): void {
    const previous = this.#timer
    this.#timerDeadlineMs = deadlineMs
    const waitMs = Math.max(0, deadlineMs - this.#host.monotonicMs())
    this.#timer = this.#host.fork(
      Effect.andThen(Effect.sleep(waitMs), Effect.sync(() => {
        // A timer that was replaced and fires all the same does nothing: its successor has the deadline.
        if (this.#timerDeadlineMs === deadlineMs) this.#expireDue()
      }))
    )
    if (previous !== undefined) this.#host.fork(Fiber.interrupt(previous))
  }

  #expireDue(): void {
    this.#timer = undefined
    this.#timerDeadlineMs = Infinity
    const nowMs = this.#host.monotonicMs()
    for (;;) {
      const operation = this.#heap.first
      if (operation === undefined) return
      if (operation.heapMs > nowMs) {
        if (operation.heapMs < this.#timerDeadlineMs) this.#arm(operation.heapMs)
        return
      }
      this.remove(operation)
      operation.expire()
    }
  }
}
