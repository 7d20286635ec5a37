/**
 * Group append: the batches of all Produce requests that one network callback decoded are staged first, then written
 * with one write per partition, then answered. The connection calls `commit` before its callback returns (the bytes
 * are its only until then), and before any request that is not a Produce, so that a pipelined Fetch sees them.
 */
import type { Partition } from "../replication/Partition.ts"

export interface AwaitsWrite {
  /** After the write, successful or not: the place to answer. */
  written(): void
}

export class AppendTurn {
  #touched: Array<Partition> = []
  #waiting: Array<AwaitsWrite> = []

  get isEmpty(): boolean {
    return this.#touched.length === 0 && this.#waiting.length === 0
  }

  /** Something was staged in `partition`. */
  touch(partition: Partition): void {
    // The first of a turn: the others find it listed.
    if (partition.stagedCount === 1) this.#touched.push(partition)
  }

  /** To be told when the turn is written. */
  await(waiting: AwaitsWrite): void {
    this.#waiting.push(waiting)
  }

  commit(): void {
    if (this.isEmpty) return
    const touched = this.#touched
    const waiting = this.#waiting
    this.#touched = []
    this.#waiting = []
    for (const partition of touched) partition.commitStaged()
    for (const each of waiting) each.written()
  }
}
