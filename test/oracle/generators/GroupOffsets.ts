/** OffsetCommit, OffsetFetch, OffsetDelete: of members and of nobody, for topics that are there and that are not. */
import type { GroupState, MemberState } from "../Groups.ts"
import { type Fields, type Generator, type Side, somePartition, someTopic, someVersion, topicIdOn, type World } from "../World.ts"
import { type Caller, someCaller, someGroup, UNKNOWN_MEMBER } from "./Groups.ts"

/** Topics of a request, each once, with some of their partitions. */
const someTargets = (world: World): ReadonlyArray<readonly [topic: string, partitions: ReadonlyArray<number>]> => {
  const { random } = world
  const topics = Array.from(new Set(Array.from({ length: random.weighted([[6, 1], [2, 2], [1, 0]]) }, () => someTopic(world))))
  return topics.map((topic) => [topic, Array.from(new Set(Array.from({ length: random.int(1, 2) }, () => somePartition(world, topic))))] as const)
}

/** A group's id, at times of a group that nobody has. */
const someGroupId = (world: World, group: GroupState): string =>
  world.random.weighted([[14, group.id], [2, `${world.prefix}-alone`], [1, `${world.prefix}-nobody`], [1, ""]])

const nobody: Caller = { memberId: () => "", generation: -1, instance: null, isRight: true }

const callerOf = (world: World, group: GroupState, hasInstance: boolean): Caller => {
  const { random } = world
  const members: ReadonlyArray<MemberState> = group.members.filter(({ phase }) => phase !== "new")
  if (members.length > 0 && random.chance(70)) return someCaller(world, group, random.pick(members), { hasInstance })
  return random.weighted<Caller>([[6, nobody], [1, { ...nobody, memberId: () => UNKNOWN_MEMBER, generation: 1 }], [1, { ...nobody, generation: 0 }], [1, { ...nobody, memberId: () => UNKNOWN_MEMBER }]])
}

export const offsetCommit: Generator = {
  api: "OffsetCommit",
  weight: 10,
  make: (world) => {
    const { random } = world
    const version = someVersion(world, "OffsetCommit")
    const group = someGroup(world)
    const groupId = someGroupId(world, group)
    const caller = callerOf(world, group, version >= 7)
    // Kafka makes a group for a commit of which it then refuses every offset: such a group is nothing to compare
    const hasGroup = groupId === group.id && group.members.some(({ generation }) => generation >= 0)
    const topics = someTargets(world).map(([topic, partitions]) => ({
      topic,
      partitions: partitions.map((partitionIndex) => ({
        partitionIndex,
        committedOffset: random.weighted([[10, random.int(0, 1000)], [1, -1], [1, -5], [1, Number.MAX_SAFE_INTEGER]]),
        committedLeaderEpoch: random.weighted([[5, -1], [3, 0], [1, 7]]),
        committedMetadata: random.weighted<string | null>([[5, ""], [3, `m${random.int(0, 99)}`], [2, null], [1, "ü".repeat(20)], [1, "x".repeat(4096)], [hasGroup ? 1 : 0, "x".repeat(4097)]])
      }))
    }))
    const retentionTimeMs = random.weighted([[8, -1], [1, 3_600_000], [1, 86_400_000]])
    return {
      api: "OffsetCommit",
      version,
      fields: (side) => ({
        groupId,
        generationIdOrMemberEpoch: caller.generation,
        memberId: caller.memberId(side),
        groupInstanceId: caller.instance,
        retentionTimeMs,
        topics: topics.map(({ partitions, topic }) => ({ name: topic, topicId: topicIdOn(side, topic), partitions }))
      }),
      group: group.id
    }
  }
}

const fetchedTopics = (side: Side, targets: ReturnType<typeof someTargets> | null): ReadonlyArray<Fields> | null =>
  targets?.map(([topic, partitionIndexes]) => ({ name: topic, topicId: topicIdOn(side, topic), partitionIndexes })) ?? null

export const offsetFetch: Generator = {
  api: "OffsetFetch",
  weight: 8,
  make: (world) => {
    const { random } = world
    const version = someVersion(world, "OffsetFetch")
    const one = (): { readonly groupId: string; readonly targets: ReturnType<typeof someTargets> | null; readonly caller: Caller } => {
      const group = someGroup(world)
      // all topics: null from version 2 on
      const targets = version >= 2 && random.chance(40) ? null : someTargets(world)
      return { groupId: someGroupId(world, group), targets, caller: random.chance(80) ? nobody : callerOf(world, group, false) }
    }
    const groups = Array.from({ length: version >= 8 ? random.weighted([[6, 1], [3, 2], [1, 3], [1, 0]]) : 1 }, one)
    const requireStable = random.chance(30)
    return {
      api: "OffsetFetch",
      version,
      fields: (side) => version < 8 ? {
        groupId: groups[0]?.groupId ?? "",
        topics: fetchedTopics(side, groups[0]?.targets ?? null),
        requireStable
      } : {
        groups: groups.map(({ caller, groupId, targets }) => ({
          groupId, memberId: caller.memberId(side) || null, memberEpoch: caller.generation, topics: fetchedTopics(side, targets)
        })),
        requireStable
      }
    }
  }
}

export const offsetDelete: Generator = {
  api: "OffsetDelete",
  weight: 3,
  make: (world) => {
    const group = someGroup(world)
    const groupId = someGroupId(world, group)
    const topics = someTargets(world)
    return {
      api: "OffsetDelete",
      version: someVersion(world, "OffsetDelete"),
      fields: () => ({ groupId, topics: topics.map(([name, partitions]) => ({ name, partitions: partitions.map((partitionIndex) => ({ partitionIndex })) })) }),
      group: group.id
    }
  }
}
