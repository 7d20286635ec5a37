/**
 * The sticky assignment of a group whose members all subscribe to the same topics. Then balance is a matter of counting:
 * with n partitions and m members each gets floor(n / m), and n mod m of them one more.
 *
 * Members keep what they owned up to their count; then those with too little take of what is free in turn, first (with
 * racks, KIP-881) what has a replica in their rack, then anything.
 */
import { invariant } from "../../model/Invariant.ts"
import { compareStrings } from "../HashOrder.ts"
import { racksMismatch, type StickyGroup, type StickyPart } from "./Group.ts"

export interface StickyResult {
  readonly assignment: Map<string, Array<StickyPart>>
  /** Partitions given to a member while another may still hold them: in a cooperative round they have to wait. */
  readonly moving: ReadonlyMap<StickyPart, string>
}

class AlikeAssignment {
  readonly #group: StickyGroup
  readonly #assignment: Map<string, Array<StickyPart>>
  readonly #moving = new Map<StickyPart, string>()
  /** Given up by its owner, who may still get it back. */
  readonly #released = new Map<StickyPart, string>()
  readonly #min: number
  readonly #max: number
  /** How many members get one more than #min; 0 where it divides. */
  readonly #luckyMembers: number
  #lucky = 0
  /** Members with fewer than #min. */
  #short: Array<string> = []
  /** Members with #min that may get one more. */
  #atMin: Array<string> = []

  constructor(group: StickyGroup) {
    this.#group = group
    this.#assignment = new Map(group.members.map((member): [string, Array<StickyPart>] => [member.memberId, []]))
    this.#min = Math.floor(group.total / group.members.length)
    this.#max = Math.ceil(group.total / group.members.length)
    this.#luckyMembers = group.total % group.members.length
  }

  run(): StickyResult {
    const kept = new Set<StickyPart>()
    for (const [memberId, owned] of this.#group.owned) this.#keep(memberId, owned, kept)
    this.#short.sort(compareStrings)
    this.#atMin.sort(compareStrings)

    let free = [...this.#group.parts]
      .toSorted(([a], [b]) => compareStrings(a, b))
      .flatMap(([, parts]) => parts.filter((part) => !kept.has(part)))
    const { rackMembers } = this.#group
    // those with the fewest takers first; also when racks turned out not to matter (as Kafka)
    if (rackMembers !== null) free = free.toSorted((a, b) => rackMembers(a) - rackMembers(b))
    if (this.#group.memberRacks.size > 0) free = this.#fillWithinRacks(free)
    this.#fill(free)
    return { assignment: this.#assignment, moving: this.#moving }
  }

  #keep(memberId: string, owned: ReadonlyArray<StickyPart>, kept: Set<StickyPart>): void {
    const mine: Array<StickyPart> = []
    for (const part of owned) {
      if (racksMismatch(this.#group, memberId, part)) this.#released.set(part, memberId)
      else if (!this.#group.doublyOwned.has(part)) mine.push(part)
    }
    // each topic's first partitions stay, so that what leaves is spread over the topics
    mine.sort((a, b) => a.partition - b.partition || compareStrings(a.topic, b.topic))
    let keeps = mine.length
    if (mine.length < this.#min) this.#short.push(memberId)
    else if (mine.length >= this.#max && this.#lucky < this.#luckyMembers) {
      keeps = this.#max
      this.#oneMoreLucky()
    } else {
      keeps = this.#min
      if (this.#lucky < this.#luckyMembers) this.#atMin.push(memberId)
    }
    const row = this.#assignment.get(memberId)!
    mine.forEach((part, at) => {
      if (at >= keeps) this.#released.set(part, memberId)
      else {
        row.push(part)
        kept.add(part)
      }
    })
  }

  #oneMoreLucky(): void {
    this.#lucky++
    if (this.#lucky === this.#luckyMembers) this.#atMin = []
  }

  /** The index of the first of `members`, from `from` round to it again, with a replica of `part` in its rack; or -1. */
  #nextInRack(part: StickyPart, members: ReadonlyArray<string>, from: number): number {
    for (let i = 0; i < members.length; i++) {
      const at = (from + i) % members.length
      const rack = this.#group.memberRacks.get(members[at]!)
      if (rack !== undefined && part.racks.has(rack)) return at
    }
    return -1
  }

  /** @returns what nobody could take without leaving its rack */
  #fillWithinRacks(free: ReadonlyArray<StickyPart>): Array<StickyPart> {
    const rest: Array<StickyPart> = []
    let turn = 0
    for (const part of free) {
      let at = this.#nextInRack(part, this.#short, turn)
      if (at >= 0) {
        const memberId = this.#short[at]!
        const count = this.#give(part, memberId)
        if (count >= this.#min) {
          this.#short.splice(at, 1)
          if (count < this.#max && this.#lucky < this.#luckyMembers) this.#atMin.push(memberId)
        } else at++
        turn = this.#short.length === 0 ? 0 : at % this.#short.length
        continue
      }
      at = this.#nextInRack(part, this.#atMin, 0)
      if (at < 0) rest.push(part)
      else {
        const memberId = this.#atMin[at]!
        if (this.#give(part, memberId) === this.#max) {
          this.#atMin.splice(at, 1)
          this.#oneMoreLucky()
        }
      }
    }
    return rest
  }

  #fill(free: ReadonlyArray<StickyPart>): void {
    let turn = 0
    for (const part of free) {
      if (turn >= this.#short.length) turn = 0
      const fromShort = this.#short.length > 0
      const memberId = fromShort ? this.#short[turn]! : this.#atMin.shift()
      invariant(memberId !== undefined, "every member is full, but not every partition is assigned")
      const count = this.#give(part, memberId)
      if (!fromShort) this.#lucky++
      else if (count === this.#min) {
        this.#short.splice(turn, 1)
        this.#atMin.push(memberId)
      } else turn++
    }
    invariant(this.#short.length === 0, "some members are short of partitions, but every one is assigned")
  }

  #give(part: StickyPart, memberId: string): number {
    const owner = this.#released.get(part)
    if ((owner !== undefined && owner !== memberId) || this.#group.doublyOwned.has(part)) this.#moving.set(part, memberId)
    const row = this.#assignment.get(memberId)!
    row.push(part)
    return row.length
  }
}

export const assignAlike = (group: StickyGroup): StickyResult => new AlikeAssignment(group).run()
