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
  readonly #touched: Array<Partition> = []
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

  /**
   * An answer can make room on another connection, whose requests are then handled, and committed, in the middle of this
   * turn. Both take from the same list: what the inner one staged is written before it is told, whoever staged there
   * first. What throws is a bug; it keeps no other partition from its write, for the bytes are gone afterwards.
   * @throws what the first that failed threw, after the others
   */
  commit(): void {
    if (this.isEmpty) return
    let failure: { readonly error: unknown } | undefined
    for (let partition = this.#touched.shift(); partition !== undefined; partition = this.#touched.shift()) {
      try {
        partition.commitStaged()
      } catch (error) {
        failure ??= { error }
      }
    }
    const waiting = this.#waiting
    this.#waiting = []
    for (const each of waiting) {
      try {
        each.written()
      } catch (error) {
        failure ??= { error }
      }
    }
    if (failure !== undefined) throw failure.error
  }
}
