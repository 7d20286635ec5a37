/**
 * Each topic for itself: its partitions in order are cut into as many runs as it has members, the first runs one longer
 * where it does not divide. Topics with equal partition counts and members are cut alike, so a member gets the same
 * partition numbers of each (co-partitioning). With racks (KIP-881) partitions first go to members in the rack of one
 * of their replicas, under the same counts, co-partitioned topics still alike; what is left goes by ranges.
 */
import type { Assignor, AssignorTopic, MemberSubscription } from "./Assignor.ts"
import { compareStrings } from "./HashOrder.ts"
import { compareMembers, grouped, type Part, rackOf, racksMatter, subscribedTopics } from "./Members.ts"

/** What is still to be given of one topic. */
class TopicRange {
  readonly topic: string
  readonly partitions: number
  /** Member ids in the order of the runs, with their racks. */
  readonly racks: ReadonlyMap<string, string | null>
  readonly matters: boolean
  /** Ascending. */
  readonly unassigned: Set<number> = new Set()
  readonly #given = new Map<string, number>()
  readonly #partitionRacks: ReadonlyArray<ReadonlySet<string>>
  readonly #perMember: number
  #longerRuns: number

  constructor(topic: string, { partitions, racks = [] }: AssignorTopic, members: ReadonlyArray<MemberSubscription>) {
    this.topic = topic
    this.partitions = partitions
    this.racks = new Map(members.toSorted(compareMembers).map((member) => [member.memberId, rackOf(member)]))
    for (let partition = 0; partition < partitions; partition++) this.unassigned.add(partition)
    this.#partitionRacks = Array.from(this.unassigned, (partition) => new Set(racks[partition] ?? []))
    this.#perMember = Math.floor(partitions / this.racks.size)
    this.#longerRuns = partitions % this.racks.size
    const memberRacks = new Set([...this.racks.values()].filter((rack) => rack !== null))
    this.matters = racksMatter(memberRacks, this.#partitionRacks)
  }

  /** A member without a rack matches everything. */
  matches(memberId: string, partition: number): boolean {
    const rack = this.racks.get(memberId)
    return rack === null || rack === undefined || this.#partitionRacks[partition]!.has(rack)
  }

  /** How many more the member may get; the longer runs go to whoever reaches for them first. */
  room(memberId: string): number {
    return Math.max(0, this.#perMember + (this.#longerRuns > 0 ? 1 : 0) - (this.#given.get(memberId) ?? 0))
  }

  give(memberId: string, partitions: ReadonlyArray<number>, assignment: ReadonlyMap<string, Array<Part>>): void {
    const given = (this.#given.get(memberId) ?? 0) + partitions.length
    this.#given.set(memberId, given)
    if (given > this.#perMember) this.#longerRuns--
    const row = assignment.get(memberId)!
    for (const partition of partitions) {
      this.unassigned.delete(partition)
      row.push({ topic: this.topic, partition })
    }
  }

  /** Gives each member in turn the first partitions that it may have, up to its room. */
  cut(mayHave: (memberId: string, partition: number) => boolean, assignment: ReadonlyMap<string, Array<Part>>): void {
    for (const memberId of this.racks.keys()) {
      if (this.unassigned.size === 0) return
      const room = this.room(memberId)
      const run: Array<number> = []
      for (const partition of this.unassigned) {
        if (run.length === room) break
        if (mayHave(memberId, partition)) run.push(partition)
      }
      if (run.length > 0) this.give(memberId, run, assignment)
    }
  }
}

/** One partition number of all the topics at a time, to the first member that matches in each and has room in each. */
const cutTogether = (ranges: ReadonlyArray<TopicRange>, assignment: ReadonlyMap<string, Array<Part>>): void => {
  const members = [...ranges[0]!.racks.keys()]
  for (let partition = 0; partition < ranges[0]!.partitions && members.length > 0; partition++) {
    const at = members.findIndex((id) => ranges.every((range) => range.matches(id, partition) && range.room(id) > 0))
    if (at < 0) continue
    const memberId = members[at]!
    for (const range of ranges) range.give(memberId, [partition], assignment)
    if (ranges.every((range) => range.room(memberId) === 0)) members.splice(at, 1)
  }
}

const cutByRacks = (ranges: ReadonlyArray<TopicRange>, assignment: ReadonlyMap<string, Array<Part>>): void => {
  // co-partitioned: the same members and as many partitions
  const alike = new Map<string, Array<TopicRange>>()
  for (const range of ranges) {
    if ([...range.racks.values()].every((rack) => rack === null)) continue
    const key = JSON.stringify([range.partitions, ...range.racks.keys()])
    const group = alike.get(key)
    if (group === undefined) alike.set(key, [range])
    else group.push(range)
  }
  for (const group of alike.values()) {
    if (group.length > 1) cutTogether(group, assignment)
    else if (group[0]!.matters) group[0]!.cut((id, partition) => group[0]!.matches(id, partition), assignment)
  }
}

export const rangeAssignor: Assignor = {
  name: "range",
  supportedProtocols: ["EAGER"],
  subscriptionUserData: () => null,
  assign: (topics, members) => {
    const subscribers = new Map<string, Array<MemberSubscription>>()
    for (const topic of subscribedTopics(topics, members)) subscribers.set(topic, [])
    for (const member of members) for (const topic of member.topics) subscribers.get(topic)?.push(member)
    const ranges = [...subscribers].map(([topic, ofTopic]) => new TopicRange(topic, topics.get(topic)!, ofTopic))
    const assignment = new Map(members.map(({ memberId }): [string, Array<Part>] => [memberId, []]))
    const byRacks = ranges.some((range) => range.matters)
    if (byRacks) cutByRacks(ranges, assignment)
    for (const range of ranges) range.cut(() => true, assignment)
    if (byRacks) {
      for (const row of assignment.values()) {
        row.sort((a, b) => compareStrings(a.topic, b.topic) || a.partition - b.partition)
      }
    }
    return grouped(assignment)
  }
}
