/**
 * A group as the sticky assignors see it: its partitions as one object each, and what every member claims to have owned
 * before, with claims that contradict each other settled.
 */
import type { AssignorTopic, MemberSubscription, TopicPartitions } from "../Assignor.ts"
import { javaHash } from "../HashOrder.ts"
import { membersInHashOrder, type Part, rackOf, racksMatter, subscribedTopics } from "../Members.ts"
import { NO_GENERATION } from "./UserData.ts"

export interface StickyPart extends Part {
  /** Java's hash of the partition: some choices follow a hash set's order. */
  readonly hash: number
  /** Racks of its replicas. */
  readonly racks: ReadonlySet<string>
}

/** What a member says of itself, and in which generation it was so. */
export interface Claim {
  readonly partitions: ReadonlyArray<TopicPartitions>
  readonly generationId: number
}

export interface StickyGroup {
  /** In Java's order; those that exist and that somebody subscribes to. */
  readonly parts: ReadonlyMap<string, ReadonlyArray<StickyPart>>
  readonly total: number
  /** In Java's order. */
  readonly members: ReadonlyArray<MemberSubscription>
  /** Whether all members subscribe to the same topics. */
  readonly alike: boolean
  /** What each may keep, if it stays subscribed to it. Rows are the caller's to change. */
  readonly owned: Map<string, Array<StickyPart>>
  /** Claimed by two members of one generation: at most one of them is right, so nobody keeps it for certain. */
  readonly doublyOwned: ReadonlySet<StickyPart>
  readonly claims: ReadonlyMap<string, Claim>
  readonly maxGeneration: number
  /** By member; empty when racks do not matter (KIP-881). */
  readonly memberRacks: ReadonlyMap<string, string>
  /** How many members share a rack with the partition; null where no member has a rack. */
  readonly rackMembers: ((part: StickyPart) => number) | null
}

export const partOf = (group: StickyGroup, topic: string, partition: number): StickyPart | undefined =>
  group.parts.get(topic)?.[partition]

/** Whether the member would have to read from another rack, where racks matter. */
export const racksMismatch = (group: StickyGroup, memberId: string, part: StickyPart): boolean => {
  const rack = group.memberRacks.get(memberId)
  return rack !== undefined && !part.racks.has(rack)
}

const partsOf = (topics: ReadonlyMap<string, AssignorTopic>, names: ReadonlyArray<string>) => {
  const parts = new Map<string, Array<StickyPart>>()
  for (const topic of names) {
    const { partitions, racks = [] } = topics.get(topic)!
    const topicHash = javaHash(topic)
    parts.set(topic, Array.from({ length: partitions }, (_, partition): StickyPart => ({
      topic,
      partition,
      hash: (Math.imul(31, 31 + partition) + topicHash) | 0,
      racks: new Set(racks[partition] ?? [])
    })))
  }
  return parts
}

/**
 * Equal as sets and in size. A member that subscribes to nothing (yet: its pattern may match nothing) is not like the
 * others. Kafka 4.3.1 takes it to be, if it happens to stand first, and then gives it partitions.
 */
const subscribeAlike = (members: ReadonlyArray<MemberSubscription>): boolean => {
  const first = new Set(members[0]?.topics ?? [])
  return members.every(({ topics }) => topics.length === first.size && topics.every((topic) => first.has(topic)))
}

const racksOf = (members: ReadonlyArray<MemberSubscription>, parts: ReadonlyArray<StickyPart>) => {
  const inRack = new Map<string, number>()
  const memberRacks = new Map<string, string>()
  for (const member of members) {
    const rack = rackOf(member)
    if (rack === null) continue
    memberRacks.set(member.memberId, rack)
    inRack.set(rack, (inRack.get(rack) ?? 0) + 1)
  }
  const matter = racksMatter(new Set(inRack.keys()), parts.map((part) => part.racks))
  const rackMembers = (part: StickyPart): number => {
    let sum = 0
    for (const rack of part.racks) sum += inRack.get(rack) ?? 0
    return sum
  }
  return {
    memberRacks: matter ? memberRacks : new Map<string, string>(),
    rackMembers: memberRacks.size === 0 ? null : rackMembers
  }
}

/** @param claimOf reads what a member owned and when out of its subscription */
export const stickyGroup = (
  topics: ReadonlyMap<string, AssignorTopic>,
  given: ReadonlyArray<MemberSubscription>,
  claimOf: (member: MemberSubscription) => Claim
): StickyGroup => {
  const parts = partsOf(topics, subscribedTopics(topics, given))
  const all = [...parts.values()].flat()
  const members = membersInHashOrder(given)
  const claims = new Map(members.map((member) => [member.memberId, claimOf(member)]))
  const subscriptions = new Map(members.map((member) => [member.memberId, member]))
  const owned = new Map<string, Array<StickyPart>>()
  const owners = new Map<StickyPart, string>()
  const doublyOwned = new Set<StickyPart>()
  let maxGeneration = NO_GENERATION

  const disown = (memberId: string, part: StickyPart): void => {
    const row = owned.get(memberId)!
    const at = row.indexOf(part)
    if (at >= 0) row.splice(at, 1)
  }
  for (const { memberId } of members) {
    const claim = claims.get(memberId)!
    const row: Array<StickyPart> = []
    owned.set(memberId, row)
    maxGeneration = Math.max(maxGeneration, claim.generationId)
    for (const { partitions, topic } of claim.partitions) {
      for (const partition of partitions) {
        // a topic that was made again may have fewer partitions; Kafka's own keeps and counts those that are gone
        const part = parts.get(topic)?.[partition]
        if (part === undefined) continue
        const other = owners.get(part)
        // the other's generation is what its subscription says, even where the claim came out of userData (as Kafka)
        const otherGeneration = other === undefined ? NO_GENERATION : subscriptions.get(other)!.generationId
        if (other === undefined) row.push(part)
        else if (claim.generationId < otherGeneration) continue
        else if (claim.generationId > otherGeneration) {
          row.push(part)
          disown(other, part)
        } else {
          doublyOwned.add(part)
          disown(other, part)
        }
        owners.set(part, memberId)
      }
    }
  }
  return {
    parts,
    total: all.length,
    members,
    alike: subscribeAlike(members),
    owned,
    doublyOwned,
    claims,
    maxGeneration,
    ...racksOf(members, all)
  }
}
