/**
 * The sticky assignment of a group whose members subscribe to different topics. How even it can be depends on who may
 * have what, so it is found by moving: members keep what they owned, the rest goes to whoever has least, and then single
 * partitions move from members with more to members with less for as long as that evens it out.
 *
 * It is even when no partition can move to a member that has at least two fewer than its owner.
 */
import { compareStrings } from "../HashOrder.ts"
import { partOf, racksMismatch, type StickyGroup, type StickyPart } from "./Group.ts"
import { Movements } from "./Movements.ts"

/** Members by how many partitions they have, the fewest first, then by name. */
class ByLoad {
  readonly #members: Array<string> = []
  readonly #load: (memberId: string) => number

  constructor(load: (memberId: string) => number) {
    this.#load = load
  }

  get members(): ReadonlyArray<string> {
    return this.#members
  }

  add(memberId: string): void {
    this.#members.splice(this.#place(memberId), 0, memberId)
  }

  /** Before its load changes: the place is found by it. */
  remove(memberId: string): void {
    const at = this.#place(memberId)
    if (this.#members[at] === memberId) this.#members.splice(at, 1)
  }

  #place(memberId: string): number {
    const load = this.#load(memberId)
    let low = 0
    let high = this.#members.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.#members[middle]!
      const order = this.#load(other) - load || compareStrings(other, memberId)
      if (order < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Sum of the differences between all pairs: 0 when all have as many. */
const unevenness = (assignment: ReadonlyMap<string, ReadonlyArray<unknown>>): number => {
  const counts = [...assignment.values()].map((row) => row.length).sort((a, b) => a - b)
  return counts.reduce((sum, count, at) => sum + count * (2 * at - counts.length + 1), 0)
}

const copy = (assignment: ReadonlyMap<string, ReadonlyArray<StickyPart>>): Map<string, Array<StickyPart>> =>
  new Map([...assignment].map(([memberId, row]) => [memberId, [...row]]))

class MixedAssignment {
  readonly #group: StickyGroup
  #assignment: Map<string, Array<StickyPart>>
  readonly #owner = new Map<StickyPart, string>()
  /** Subscribed topics that exist, by member. */
  readonly #topics = new Map<string, Set<string>>()
  /** Members by topic. */
  readonly #subscribers = new Map<string, Array<string>>()
  readonly #byLoad: ByLoad
  readonly #movements = new Movements()
  /** Whether it is even; undefined since something moved. */
  #even: boolean | undefined

  constructor(group: StickyGroup) {
    this.#group = group
    this.#assignment = copy(group.owned)
    this.#byLoad = new ByLoad((memberId) => this.#load(memberId))
    for (const topic of group.parts.keys()) this.#subscribers.set(topic, [])
    for (const { memberId, topics } of group.members) {
      const known = new Set(topics.filter((topic) => group.parts.has(topic)))
      this.#topics.set(memberId, known)
      for (const topic of known) this.#subscribers.get(topic)!.push(memberId)
    }
  }

  run(): Map<string, Array<StickyPart>> {
    // topics with the fewest takers first: they have the least choice
    let sorted = [...this.#group.parts]
      .toSorted(([a], [b]) => this.#subscribersOf(a).length - this.#subscribersOf(b).length || compareStrings(a, b))
      .flatMap(([, parts]) => parts)
    const earlier = this.#earlierOwners()
    const revoked = this.#dropWhatMustGo()
    let unassigned = sorted.filter((part) => !this.#owner.has(part))
    for (const memberId of this.#assignment.keys()) this.#byLoad.add(memberId)

    const fresh = this.#load(this.#byLoad.members.at(-1)!) === 0
    let rest: ReadonlyArray<StickyPart> = unassigned
    if (this.#group.memberRacks.size > 0) {
      rest = rest.filter((part) => !this.#giveToLeast(part, (id) => !racksMismatch(this.#group, id, part)))
    }
    for (const part of rest) this.#giveToLeast(part, () => true)

    // what has one taker, and members that have nothing else, are out of the game
    const canMove = (part: StickyPart): boolean => this.#subscribersOf(part.topic).length > 1
    sorted = sorted.filter(canMove)
    unassigned = unassigned.filter(canMove)
    const fixed = this.#setAsideFixed(canMove)

    const before = copy(this.#assignment)
    // first with those that are new to their owners, unless others have to move anyway
    if (!revoked) this.#evenOut(unassigned, earlier)
    const moved = this.#evenOut(sorted, earlier)
    if (!fresh && moved && unevenness(this.#assignment) >= unevenness(before)) this.#assignment = before
    for (const [memberId, row] of fixed) this.#assignment.set(memberId, row)
    return this.#assignment
  }

  #load(memberId: string): number {
    return this.#assignment.get(memberId)?.length ?? 0
  }

  #subscribersOf(topic: string): ReadonlyArray<string> {
    return this.#subscribers.get(topic)!
  }

  /** Who owned what in older generations, the latest of them: balancing may give it back. */
  #earlierOwners(): ReadonlyMap<StickyPart, string> {
    const earlier = new Map<StickyPart, { readonly memberId: string; readonly generationId: number }>()
    for (const [memberId, { generationId, partitions: topics }] of this.#group.claims) {
      if (generationId >= this.#group.maxGeneration) continue
      for (const { partitions, topic } of topics) {
        // Kafka's own also remembers a member that has left the topic since, and could give it back to that one
        if (this.#topics.get(memberId)?.has(topic) !== true) continue
        for (const partition of partitions) {
          const part = partOf(this.#group, topic, partition)
          if (part === undefined || (earlier.get(part)?.generationId ?? -Infinity) >= generationId) continue
          earlier.set(part, { memberId, generationId })
        }
      }
    }
    return new Map([...earlier].map(([part, { memberId }]) => [part, memberId]))
  }

  /** @returns whether a member has to give up something: it left the topic, or the partition has no replica in its rack */
  #dropWhatMustGo(): boolean {
    let revoked = false
    for (const [memberId, row] of this.#assignment) {
      const stays = row.filter((part) =>
        this.#topics.get(memberId)!.has(part.topic) && !racksMismatch(this.#group, memberId, part)
      )
      if (stays.length < row.length) revoked = true
      for (const part of stays) this.#owner.set(part, memberId)
      this.#assignment.set(memberId, stays)
    }
    return revoked
  }

  #giveToLeast(part: StickyPart, mayHave: (memberId: string) => boolean): boolean {
    const memberId = this.#byLoad.members.find((id) => this.#topics.get(id)!.has(part.topic) && mayHave(id))
    if (memberId === undefined) return false
    this.#byLoad.remove(memberId)
    this.#assignment.get(memberId)!.push(part)
    this.#owner.set(part, memberId)
    this.#byLoad.add(memberId)
    return true
  }

  /** Takes out members that own all they could and share none of it. */
  #setAsideFixed(canMove: (part: StickyPart) => boolean): Map<string, Array<StickyPart>> {
    const fixed = new Map<string, Array<StickyPart>>()
    for (const [memberId, topics] of this.#topics) {
      const row = this.#assignment.get(memberId)!
      let most = 0
      for (const topic of topics) most += this.#group.parts.get(topic)!.length
      if (row.length < most || row.some(canMove)) continue
      this.#byLoad.remove(memberId)
      fixed.set(memberId, row)
    }
    for (const memberId of fixed.keys()) this.#assignment.delete(memberId)
    return fixed
  }

  #isEven(): boolean {
    const members = this.#byLoad.members
    if (members.length < 2 || this.#load(members[0]!) >= this.#load(members.at(-1)!) - 1) return true
    if (this.#even === undefined) {
      const largest = new Map<string, number>()
      for (const [part, memberId] of this.#owner) {
        const load = this.#load(memberId)
        if (load > (largest.get(part.topic) ?? 0)) largest.set(part.topic, load)
      }
      this.#even = members.every((memberId) => {
        const enough = this.#load(memberId) + 1
        for (const topic of this.#topics.get(memberId)!) if (enough < (largest.get(topic) ?? 0)) return false
        return true
      })
    }
    return this.#even
  }

  /**
   * Moves single partitions until it is even or nothing can move. Each move makes it more even, except where
   * {@link Movements} sends another partition back; so the number of passes over all of them is bounded.
   */
  #evenOut(parts: ReadonlyArray<StickyPart>, earlier: ReadonlyMap<StickyPart, string>): boolean {
    const maxPasses = this.#group.total + this.#group.members.length
    let moved = false
    for (let pass = 0; pass < maxPasses; pass++) {
      let movedNow = false
      for (const part of parts) {
        if (this.#isEven()) break
        const owner = this.#owner.get(part)!
        const before = earlier.get(part)
        const to = before !== undefined && this.#isLoadedMore(owner, before)
          ? before
          : this.#byLoad.members.find((memberId) => this.#topics.get(memberId)!.has(part.topic))
        if (to === undefined || !this.#isLoadedMore(owner, to)) continue
        this.#move(this.#movements.best(part, owner, to), to)
        movedNow = true
      }
      if (!movedNow) break
      moved = true
    }
    return moved
  }

  /** By so much that moving one partition makes it more even. */
  #isLoadedMore(memberId: string, other: string): boolean {
    return this.#load(memberId) > this.#load(other) + 1
  }

  #move(part: StickyPart, to: string): void {
    const owner = this.#owner.get(part)!
    this.#byLoad.remove(owner)
    this.#byLoad.remove(to)
    this.#movements.record(part, owner, to)
    const row = this.#assignment.get(owner)!
    row.splice(row.indexOf(part), 1)
    this.#assignment.get(to)!.push(part)
    this.#owner.set(part, to)
    this.#byLoad.add(to)
    this.#byLoad.add(owner)
    this.#even = undefined
  }
}

export const assignMixed = (group: StickyGroup): Map<string, Array<StickyPart>> => new MixedAssignment(group).run()
