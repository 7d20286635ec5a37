/** What a sender knows of one broker. */
import type { PartitionQueue } from "./Accumulator.ts"

export class SenderNode {
  readonly id: number
  /** `Away`: there is no connection; one is made before anything is sent. */
  status: "Away" | "Connecting" | "Ready" = "Away"
  /** Requests without an answer. */
  inFlight = 0
  /** Backoff, or the broker's throttling (KIP-219). */
  notBeforeMs = 0
  /** Connections that failed in a row. */
  failures = 0
  /** When it last took something, or something first waited for it. */
  lastDrainMs = 0
  /** Partitions that have something for it, while a poll looks. */
  candidates: Array<PartitionQueue> = []
  /** When something last waited for it; undefined: never. */
  #lastReadyMs: number | undefined

  constructor(id: number) {
    this.id = id
  }

  /** Something waits for it. */
  hasWork(nowMs: number): void {
    if (this.#lastReadyMs === undefined) this.lastDrainMs = nowMs
    this.#lastReadyMs = nowMs
  }

  /** Whether it took nothing for longer than `partitioner.availability.timeout.ms` although there was something; 0: never. */
  isStuck(timeoutMs: number): boolean {
    return timeoutMs > 0 && this.#lastReadyMs !== undefined && this.#lastReadyMs - this.lastDrainMs > timeoutMs
  }
}
