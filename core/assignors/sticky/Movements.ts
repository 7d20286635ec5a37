/**
 * What has moved from whom to whom while a group is being balanced. When a partition should move from A to B although
 * another of its topic went from B to A before, that other one goes back instead: two moves less.
 */
import { grownCapacity, INITIAL_CAPACITY, slotOf } from "../HashOrder.ts"
import type { StickyPart } from "./Group.ts"

interface Move {
  readonly from: string
  readonly to: string
}

/** Partitions in the order of a Java `HashSet`, whose table never shrinks. */
class PartSet {
  /** In the order they came in. */
  readonly #parts = new Set<StickyPart>()
  #capacity = INITIAL_CAPACITY

  add(part: StickyPart): void {
    this.#parts.add(part)
    this.#capacity = grownCapacity(this.#capacity, this.#parts.size)
  }

  /** @returns whether the set is empty now */
  remove(part: StickyPart): boolean {
    this.#parts.delete(part)
    return this.#parts.size === 0
  }

  /** Of a set that is not empty. */
  first(): StickyPart {
    let first: StickyPart | undefined
    let slot = this.#capacity
    for (const part of this.#parts) {
      const other = slotOf(part.hash, this.#capacity)
      if (other < slot) {
        first = part
        slot = other
      }
    }
    return first!
  }
}

const keyOf = (topic: string, { from, to }: Move): string => JSON.stringify([topic, from, to])

export class Movements {
  readonly #moves = new Map<StickyPart, Move>()
  /** By topic and move. */
  readonly #moved = new Map<string, PartSet>()

  /** The partition to move in place of `part`: itself, or one of its topic that would only go back. */
  best(part: StickyPart, owner: string, to: string): StickyPart {
    const from = this.#moves.get(part)?.from ?? owner
    return this.#moved.get(keyOf(part.topic, { from: to, to: from }))?.first() ?? part
  }

  record(part: StickyPart, owner: string, to: string): void {
    const earlier = this.#moves.get(part)
    if (earlier !== undefined) {
      const key = keyOf(part.topic, earlier)
      if (this.#moved.get(key)!.remove(part)) this.#moved.delete(key)
      this.#moves.delete(part)
    }
    const move: Move = { from: earlier?.from ?? owner, to }
    if (move.from === to) return
    this.#moves.set(part, move)
    const key = keyOf(part.topic, move)
    const parts = this.#moved.get(key)
    if (parts !== undefined) parts.add(part)
    else {
      const first = new PartSet()
      first.add(part)
      this.#moved.set(key, first)
    }
  }
}
