/**
 * Assignments that are as even as they can be, and among those keep most partitions where they were (KIP-54, KIP-341).
 *
 * `sticky` is eager: everybody stops reading before the round, and what a member had is remembered in its userData.
 * `cooperative-sticky` (KIP-429) lets members keep reading: a partition that moves is given to nobody in the round in
 * which its owner still holds it. The owner sees that it is gone from its assignment, gives it up and joins again, and
 * the next round, without an owner to wait for, gives it to the one it was meant for.
 */
import type { Assignor, AssignorTopic, GroupAssignment, MemberSubscription } from "./Assignor.ts"
import { grouped } from "./Members.ts"
import { assignAlike, type StickyResult } from "./sticky/Alike.ts"
import { type Claim, stickyGroup, type StickyGroup, type StickyPart } from "./sticky/Group.ts"
import { assignMixed } from "./sticky/Mixed.ts"
import { decodeGeneration, decodePrevious, encodeGeneration, encodePrevious, NO_GENERATION } from "./sticky/UserData.ts"

/** Parts that were given to a member although another one says in its subscription that it holds them. */
const movingParts = (
  group: StickyGroup,
  assignment: ReadonlyMap<string, ReadonlyArray<StickyPart>>
): ReadonlyMap<StickyPart, string> => {
  const keyed = ({ partition, topic }: { readonly topic: string; readonly partition: number }) => `${topic}:${partition}`
  const added = new Map<StickyPart, string>()
  const revoked = new Set<string>()
  for (const { memberId, ownedPartitions } of group.members) {
    const owned = new Set(ownedPartitions.flatMap(({ partitions, topic }) =>
      partitions.map((partition) => keyed({ topic, partition }))
    ))
    for (const part of assignment.get(memberId)!) {
      if (!owned.delete(keyed(part))) added.set(part, memberId)
    }
    for (const key of owned) revoked.add(key)
  }
  return new Map([...added].filter(([part]) => revoked.has(keyed(part))))
}

const assignSticky = (
  topics: ReadonlyMap<string, AssignorTopic>,
  members: ReadonlyArray<MemberSubscription>,
  claimOf: (member: MemberSubscription) => Claim
): StickyResult => {
  if (members.length === 0) return { assignment: new Map(), moving: new Map() }
  const group = stickyGroup(topics, members, claimOf)
  if (group.alike) return assignAlike(group)
  const assignment = assignMixed(group)
  return { assignment, moving: movingParts(group, assignment) }
}

export const stickyAssignor: Assignor = {
  name: "sticky",
  supportedProtocols: ["EAGER"],
  subscriptionUserData: (_topics, last) => (last === null ? null : encodePrevious(last)),
  assign: (topics, members) =>
    // its subscription owns nothing: an eager member gave up everything before it joined
    grouped(assignSticky(topics, members, ({ userData }) =>
      userData === null || userData.length === 0
        ? { partitions: [], generationId: NO_GENERATION }
        : decodePrevious(userData)
    ).assignment)
}

const cooperativeClaim = ({ generationId, ownedPartitions, userData }: MemberSubscription): Claim => ({
  partitions: ownedPartitions,
  // members before subscription version 2 say their generation in the userData alone
  generationId: generationId >= 0 ? generationId : userData === null ? NO_GENERATION : decodeGeneration(userData)
})

export const cooperativeStickyAssignor: Assignor = {
  name: "cooperative-sticky",
  supportedProtocols: ["COOPERATIVE", "EAGER"],
  subscriptionUserData: (_topics, last) => encodeGeneration(last?.generationId ?? NO_GENERATION),
  assign: (topics, members): GroupAssignment => {
    const { assignment, moving } = assignSticky(topics, members, cooperativeClaim)
    for (const [part, memberId] of moving) {
      const row = assignment.get(memberId)!
      row.splice(row.indexOf(part), 1)
    }
    return grouped(assignment)
  }
}
