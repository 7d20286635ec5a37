/** What all assignors ask of a group: which topics, in which order, and who comes first. */
import type { AssignorTopic, GroupAssignment, MemberSubscription } from "./Assignor.ts"
import { compareStrings, hashOrder } from "./HashOrder.ts"

/** A partition on its way to a member. One object for each, so that they compare by identity. */
export interface Part {
  readonly topic: string
  readonly partition: number
}

/** Members in the order of the map that Java's leader keeps their subscriptions in. */
export const membersInHashOrder = (members: ReadonlyArray<MemberSubscription>): Array<MemberSubscription> => {
  const byId = new Map(members.map((member) => [member.memberId, member]))
  return hashOrder(byId.keys()).map((id) => byId.get(id)!)
}

/** The topics that somebody subscribes to and that have partitions, in Java's order. */
export const subscribedTopics = (
  topics: ReadonlyMap<string, AssignorTopic>,
  members: ReadonlyArray<MemberSubscription>
): Array<string> => {
  const asked = hashOrder(membersInHashOrder(members).flatMap((member) => member.topics))
  // those that exist go into a map of their own, which may have fewer slots
  return hashOrder(asked.filter((topic) => (topics.get(topic)?.partitions ?? 0) > 0))
}

/**
 * Static members before dynamic ones, each by name: a static member has its place wherever it restarts, while the
 * member ids of the others are random.
 */
export const compareMembers = (a: MemberSubscription, b: MemberSubscription): number => {
  if (a.groupInstanceId !== null && b.groupInstanceId !== null) return compareStrings(a.groupInstanceId, b.groupInstanceId)
  if (a.groupInstanceId !== null) return -1
  if (b.groupInstanceId !== null) return 1
  return compareStrings(a.memberId, b.memberId)
}

/** Each member's row of partitions by topic, topics in the order in which they first appear. */
export const grouped = (assignment: ReadonlyMap<string, ReadonlyArray<Part>>): GroupAssignment => {
  const result = new Map<string, Map<string, Array<number>>>()
  for (const [memberId, parts] of assignment) {
    const byTopic = new Map<string, Array<number>>()
    for (const { partition, topic } of parts) {
      const partitions = byTopic.get(topic)
      if (partitions === undefined) byTopic.set(topic, [partition])
      else partitions.push(partition)
    }
    result.set(memberId, byTopic)
  }
  return result
}

/** `client.rack`; an empty one is none. */
export const rackOf = (member: MemberSubscription): string | null => (member.rackId === "" ? null : member.rackId)

/**
 * Racks are worth looking at (KIP-881) when some member shares a rack with some partition and the partitions differ in
 * theirs: where every rack has every partition, any assignment matches.
 */
export const racksMatter = (
  memberRacks: ReadonlySet<string>,
  racksByPartition: Iterable<ReadonlySet<string>>
): boolean => {
  if (memberRacks.size === 0) return false
  const all = [...racksByPartition]
  const union = new Set(all.flatMap((racks) => [...racks]))
  if (![...memberRacks].some((rack) => union.has(rack))) return false
  return all.some((racks) => racks.size !== union.size)
}
