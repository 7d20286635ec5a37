/** The group APIs on the whole broker, on memory layers and the test's clock. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type { OffsetDeleteRequestInput } from "../../../core/protocol/generated/OffsetDelete.ts"
import { makeWorld } from "../TestBroker.ts"
import { settle, stableGroup, startGroups, startOn } from "./GroupBroker.ts"
import {
  bytesOf,
  deleteGroupsApi,
  describeGroupsApi,
  findCoordinatorApi,
  heartbeatApi,
  leaveGroupApi,
  listGroupsApi,
  offsetCommitApi,
  offsetDeleteApi,
  offsetFetchApi,
  syncGroupApi,
  textOf
} from "./GroupClient.ts"

describe("a group", () => {
  it.effect("is joined, synced, kept alive and left, and keeps offsets", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups()
      const first = yield* group.join("g")
      expect(first.errorCode).toBe(ErrorCode.MEMBER_ID_REQUIRED)
      const joined = yield* group.join("g", { memberId: first.memberId })
      expect(joined).toMatchObject({
        errorCode: 0,
        generationId: 1,
        protocolType: "consumer",
        protocolName: "range",
        leader: first.memberId,
        memberId: first.memberId
      })
      expect(joined.members.map(({ memberId }) => memberId)).toEqual([first.memberId])
      const synced = yield* group.sync("g", joined, { [joined.memberId]: "t-0 t-1" })
      expect(synced).toMatchObject({ errorCode: 0, protocolType: "consumer", protocolName: "range" })
      expect(textOf(synced.assignment)).toBe("t-0 t-1")
      expect(yield* group.heartbeat("g", joined)).toBe(ErrorCode.NONE)
      const of = { memberId: joined.memberId, generationId: 1 }
      expect(yield* group.commit("g", "t", 0, 7, { ...of, metadata: "mine" })).toBe(ErrorCode.NONE)
      expect(yield* group.commit("g", "t", 1, 9, of)).toBe(ErrorCode.NONE)
      expect(yield* group.committed("g")).toEqual({ "t-0": 7, "t-1": 9 })
      const left = yield* group.leave("g", joined.memberId)
      expect(left.members.map(({ errorCode }) => errorCode)).toEqual([ErrorCode.NONE])
      expect(yield* group.heartbeat("g", joined)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
      expect(yield* group.committed("g")).toEqual({ "t-0": 7, "t-1": 9 })
    }))

  it.effect("is the same after a restart: its members go on where they were", () =>
    Effect.gen(function*() {
      const { broker: _, group, stop, world } = yield* startGroups()
      const member = yield* stableGroup(group)
      yield* group.commit("g", "t", 0, 42, member)
      yield* stop
      const again = yield* startOn(world)
      expect(yield* again.group.heartbeat("g", member)).toBe(ErrorCode.NONE)
      expect(yield* again.group.committed("g")).toEqual({ "t-0": 42 })
      expect(textOf((yield* again.group.sync("g", member)).assignment)).toBe("all of it")
      expect(yield* again.group.commit("g", "t", 0, 43, member)).toBe(ErrorCode.NONE)
    }))
})

const BY_NAME = "AAAAAAAAAAAAAAAAAAAAAA"

describe("FindCoordinator", () => {
  for (const version of [0, 1, 2, 3, 4, 5, 6]) {
    it.effect(`version ${version} makes the offsets topic and names its leader`, () =>
      Effect.gen(function*() {
        const { broker, client, group } = yield* startOn(yield* makeWorld())
        expect((yield* group.join("g")).errorCode).toBe(ErrorCode.NOT_COORDINATOR)
        const request = version >= 4 ? { keyType: 0, coordinatorKeys: ["g", ""] } : { key: "g" }
        const answer = yield* group.rpc.call(findCoordinatorApi, request, { version })
        const { port } = broker.advertised[0]!
        const found = { errorCode: 0, nodeId: 1, host: "127.0.0.1", port }
        if (version >= 4) expect(answer.coordinators).toMatchObject([{ key: "g", ...found }, { key: "", ...found }])
        else expect(answer).toMatchObject(found)
        const topic = broker.services.image().topicsByName.get("__consumer_offsets")
        expect(topic?.partitions).toHaveLength(50)
        expect(broker.services.image().topicConfigs.get("__consumer_offsets")?.get("cleanup.policy")).toBe("compact")
        expect((yield* group.join("g")).errorCode).toBe(ErrorCode.MEMBER_ID_REQUIRED)
        // Consumers may read it, producers not write to it.
        expect((yield* client.produce("__consumer_offsets", ["x"])).errorCode).toBe(ErrorCode.INVALID_TOPIC_EXCEPTION)
        expect((yield* client.fetchOne("__consumer_offsets")).errorCode).toBe(ErrorCode.NONE)
      }))
  }

  it.effect("knows no coordinators of transactions and share groups yet, and nothing of other kinds", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups()
      const codeOf = (keyType: number, key: string, version: number) =>
        Effect.map(
          group.rpc.call(findCoordinatorApi, version >= 4 ? { keyType, coordinatorKeys: [key] } : { keyType, key }, { version }),
          (answer) => version >= 4 ? answer.coordinators[0]!.errorCode : answer.errorCode
        )
      for (const version of [1, 3, 4, 6]) {
        expect(yield* codeOf(1, "t", version)).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE)
        expect(yield* codeOf(7, "t", version)).toBe(ErrorCode.INVALID_REQUEST)
        expect(yield* codeOf(2, "t", version)).toBe(ErrorCode.INVALID_REQUEST)
      }
      expect(yield* codeOf(2, `g:${BY_NAME}:0`, 6)).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    }))

  it.effect("is asked by many at once, and makes one topic", () =>
    Effect.gen(function*() {
      const { broker, group } = yield* startOn(yield* makeWorld())
      const answers = yield* Effect.forEach(["a", "b", "c"], (id) => group.find(id), { concurrency: "unbounded" })
      expect(answers.map(({ coordinators }) => coordinators[0]!.errorCode)).toEqual([0, 0, 0])
      expect(broker.services.image().topicsByName.size).toBe(1)
    }))
})

describe("in every version", () => {
  for (let version = 0; version <= 9; version++) {
    it.effect(`JoinGroup ${version}`, () =>
      Effect.gen(function*() {
        const { group } = yield* startGroups()
        const joined = version >= 4 ? yield* group.joinNew("g", { version }) : yield* group.join("g", { version })
        expect(joined).toMatchObject({ errorCode: 0, generationId: 1, protocolName: "range", leader: joined.memberId })
        expect(joined.members).toHaveLength(1)
        expect(joined.protocolType).toBe(version >= 7 ? "consumer" : null)
        const failed = yield* group.join("", { version })
        expect(failed).toMatchObject({ errorCode: ErrorCode.INVALID_GROUP_ID, protocolName: version >= 7 ? null : "" })
      }))
  }

  for (let version = 0; version <= 5; version++) {
    it.effect(`SyncGroup, Heartbeat and LeaveGroup ${version}`, () =>
      Effect.gen(function*() {
        const { group } = yield* startGroups()
        const { memberId } = yield* group.joinNew("g")
        const member = { groupId: "g", memberId, generationId: 1 }
        const synced = yield* group.rpc.call(syncGroupApi, {
          ...member,
          ...(version >= 5 ? { protocolType: "consumer", protocolName: "range" } : {}),
          assignments: [{ memberId, assignment: bytesOf("x") }]
        }, { version })
        expect(synced).toMatchObject({ errorCode: 0, protocolName: version >= 5 ? "range" : null })
        expect(textOf(synced.assignment)).toBe("x")
        if (version >= 5) {
          const incomplete = yield* group.rpc.call(syncGroupApi, { ...member, assignments: [] }, { version })
          expect(incomplete.errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        }
        if (version <= 4) {
          expect((yield* group.rpc.call(heartbeatApi, member, { version })).errorCode).toBe(ErrorCode.NONE)
        }
        const leave = version >= 3 ? { groupId: "g", members: [{ memberId }] } : { groupId: "g", memberId }
        const left = yield* group.rpc.call(leaveGroupApi, leave, { version })
        expect(left).toMatchObject({ errorCode: 0, members: version >= 3 ? [{ memberId, errorCode: 0 }] : [] })
        // The group is gone for it: old versions say so of the whole, new ones of the member.
        const again = yield* group.rpc.call(leaveGroupApi, leave, { version })
        expect(version >= 3 ? again.members[0]!.errorCode : again.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
      }))
  }

  for (let version = 2; version <= 10; version++) {
    it.effect(`OffsetCommit ${version}`, () =>
      Effect.gen(function*() {
        const { broker, group } = yield* startGroups()
        const topicId = broker.services.image().topicsByName.get("t")!.id
        const unknownId = "abcdefghijklmnopqrstuA"
        const partitions = (...indexes: ReadonlyArray<number>) =>
          indexes.map((partitionIndex) => ({
            partitionIndex,
            committedOffset: 10 + partitionIndex,
            committedMetadata: null,
            ...(version >= 6 ? { committedLeaderEpoch: 3 } : {})
          }))
        const { topics } = yield* group.rpc.call(offsetCommitApi, {
          groupId: "g",
          memberId: "",
          topics: [
            { ...(version >= 10 ? { topicId } : { name: "t" }), partitions: partitions(0, 7, 1) },
            { ...(version >= 10 ? { topicId: unknownId } : { name: "nothing" }), partitions: partitions(0) }
          ]
        }, { version })
        const codes = topics.map(({ name, partitions, topicId }) => [
          version >= 10 ? topicId : name,
          ...partitions.map(({ errorCode, partitionIndex }) => [partitionIndex, errorCode])
        ])
        const missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        expect(codes).toEqual([
          [version >= 10 ? topicId : "t", [7, missing], [0, 0], [1, 0]],
          version >= 10 ? [unknownId, [0, ErrorCode.UNKNOWN_TOPIC_ID]] : ["nothing", [0, missing]]
        ])
        expect(yield* group.committed("g")).toEqual({ "t-0": 10, "t-1": 11 })
        expect(broker.services.image().topicsByName.has("nothing")).toBe(false)
      }))
  }

  for (let version = 1; version <= 10; version++) {
    it.effect(`OffsetFetch ${version}`, () =>
      Effect.gen(function*() {
        const { broker, group } = yield* startGroups()
        const topicId = broker.services.image().topicsByName.get("t")!.id
        yield* group.commit("g", "t", 1, 5, { metadata: "m" })
        const topics = [{ ...(version >= 10 ? { topicId } : { name: "t" }), partitionIndexes: [1, 0, 9] }]
        const answer = yield* group.rpc.call(
          offsetFetchApi,
          version >= 8 ? { groups: [{ groupId: "g", topics }, { groupId: "other", topics }] } : { groupId: "g", topics: [{ name: "t", partitionIndexes: [1, 0, 9] }] },
          { version }
        )
        const told = version >= 8 ? answer.groups[0]! : answer
        expect(told.errorCode).toBe(0)
        const none = { committedOffset: -1, committedLeaderEpoch: -1, metadata: "", errorCode: 0 }
        expect(told.topics[0]!.partitions).toEqual([
          { partitionIndex: 1, committedOffset: 5, committedLeaderEpoch: -1, metadata: "m", errorCode: 0 },
          { partitionIndex: 0, ...none },
          { partitionIndex: 9, ...none }
        ])
        if (version >= 8) {
          expect(answer.groups[1]!.topics[0]!.partitions.map(({ committedOffset }) => committedOffset)).toEqual([-1, -1, -1])
        }
        if (version >= 2) {
          const all = yield* group.rpc.call(
            offsetFetchApi,
            version >= 8 ? { groups: [{ groupId: "g", topics: null }] } : { groupId: "g", topics: null },
            { version }
          )
          const [topic] = version >= 8 ? all.groups[0]!.topics : all.topics
          expect(topic).toMatchObject(version >= 10 ? { topicId } : { name: "t" })
          expect(topic!.partitions.map(({ partitionIndex }) => partitionIndex)).toEqual([1])
        }
        if (version >= 10) {
          const unknown = yield* group.rpc.call(offsetFetchApi, {
            groups: [{ groupId: "g", topics: [{ topicId: "abcdefghijklmnopqrstuA", partitionIndexes: [0] }] }]
          }, { version })
          expect(unknown.groups[0]!.topics[0]!.partitions[0]).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_ID, committedOffset: -1 })
        }
      }))
  }

  for (let version = 0; version <= 6; version++) {
    it.effect(`DescribeGroups ${version}, ListGroups and DeleteGroups`, () =>
      Effect.gen(function*() {
        const { group } = yield* startGroups()
        const member = yield* stableGroup(group, "g", { groupInstanceId: "i" })
        yield* group.commit("simple", "t", 0, 1)
        const { groups } = yield* group.rpc.call(describeGroupsApi, {
          groups: ["g", "nothing"],
          ...(version >= 3 ? { includeAuthorizedOperations: true } : {})
        }, { version })
        expect(groups.find(({ groupId }) => groupId === "g")).toMatchObject({
          errorCode: 0,
          groupState: "Stable",
          protocolType: "consumer",
          protocolData: "range",
          authorizedOperations: version >= 3 ? 3400 : -2147483648,
          members: [{
            memberId: member.memberId,
            groupInstanceId: version >= 4 ? "i" : null,
            clientId: "test",
            clientHost: "/127.0.0.1",
            memberAssignment: bytesOf("all of it")
          }]
        })
        expect(groups.find(({ groupId }) => groupId === "nothing")).toMatchObject({
          errorCode: version >= 6 ? ErrorCode.GROUP_ID_NOT_FOUND : 0,
          errorMessage: version >= 6 ? "Group nothing not found." : null,
          groupState: "Dead"
        })
        if (version <= 5) {
          const listed = yield* group.rpc.call(listGroupsApi, {}, { version })
          expect(listed.groups.map(({ groupId }) => groupId).sort()).toEqual(["g", "simple"])
          if (version >= 4) expect(listed.groups.map(({ groupState }) => groupState).sort()).toEqual(["Empty", "Stable"])
          if (version >= 5) expect(new Set(listed.groups.map(({ groupType }) => groupType))).toEqual(new Set(["classic"]))
        }
        if (version <= 2) {
          const { results } = yield* group.rpc.call(deleteGroupsApi, { groupsNames: ["g", "simple", "nothing", "g"] }, { version })
          expect(Object.fromEntries(results.map(({ errorCode, groupId }) => [groupId, errorCode]))).toEqual({
            g: ErrorCode.NON_EMPTY_GROUP,
            simple: ErrorCode.NONE,
            nothing: ErrorCode.GROUP_ID_NOT_FOUND
          })
          expect(results).toHaveLength(3)
        }
      }))
  }
})

describe("the APIs of groups", () => {
  it.effect("list by state and type, whatever the case", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups()
      yield* stableGroup(group)
      yield* group.commit("simple", "t", 0, 1)
      const ids = (options: Parameters<typeof group.list>[0]) =>
        Effect.map(group.list(options), ({ groups }) => groups.map(({ groupId }) => groupId).sort())
      expect(yield* ids({ states: ["stable"] })).toEqual(["g"])
      expect(yield* ids({ states: ["EMPTY", "Stable"] })).toEqual(["g", "simple"])
      expect(yield* ids({ states: ["Dead"] })).toEqual([])
      expect(yield* ids({ types: ["Classic"] })).toEqual(["g", "simple"])
      expect(yield* ids({ types: ["consumer"] })).toEqual([])
    }))

  it.effect("delete offsets of what nobody reads, one answer for what is named twice", () =>
    Effect.gen(function*() {
      const { client, group } = yield* startGroups()
      yield* client.createTopic("u")
      const member = yield* stableGroup(group)
      yield* group.commit("g", "t", 0, 1, member)
      yield* group.commit("g", "u", 0, 1, member)
      const remove = (groupId: string, topics: OffsetDeleteRequestInput["topics"]) =>
        group.rpc.call(offsetDeleteApi, { groupId, topics })
      const partitions = (...indexes: ReadonlyArray<number>) => indexes.map((partitionIndex) => ({ partitionIndex }))
      const { errorCode, topics } = yield* remove("g", [
        { name: "t", partitions: partitions(0) },
        { name: "u", partitions: partitions(0, 5, 0) },
        { name: "nothing", partitions: partitions(0) }
      ])
      expect(errorCode).toBe(ErrorCode.NONE)
      const codes = Object.fromEntries(topics.map(({ name, partitions }) => [name, partitions.map(({ errorCode, partitionIndex }) => [partitionIndex, errorCode])]))
      expect(codes).toEqual({
        t: [[0, ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC]],
        u: [[5, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION], [0, ErrorCode.NONE]],
        nothing: [[0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]]
      })
      expect(yield* group.committed("g")).toEqual({ "t-0": 1 })
      expect((yield* remove("nothing", [])).errorCode).toBe(ErrorCode.GROUP_ID_NOT_FOUND)
    }))

  it.effect("forget the offsets of a topic that is deleted", () =>
    Effect.gen(function*() {
      const { client, group } = yield* startGroups()
      yield* client.createTopic("u")
      yield* group.commit("g", "t", 0, 1)
      yield* group.commit("g", "u", 0, 2)
      yield* client.deleteTopic("t")
      expect(yield* group.committed("g")).toEqual({ "u-0": 2 })
    }))

  it.effect("answer for a topic of that name made anew as if nothing was committed, when it is named by id", () =>
    Effect.gen(function*() {
      const { broker, client, group } = yield* startGroups()
      yield* group.commit("g", "t", 0, 1)
      const fetch = (topicId: string) =>
        Effect.map(
          group.rpc.call(offsetFetchApi, { groups: [{ groupId: "g", topics: [{ topicId, partitionIndexes: [0] }] }] }, { version: 10 }),
          ({ groups }) => Number(groups[0]!.topics[0]!.partitions[0]!.committedOffset)
        )
      expect(yield* fetch(broker.services.image().topicsByName.get("t")!.id)).toBe(1)
      yield* client.deleteTopic("t")
      const { topicId } = yield* client.createTopic("t", 2)
      expect(yield* fetch(topicId)).toBe(-1)
    }))

  it.effect("refuse offsets that are no safe number", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups()
      const { topics } = yield* group.rpc.call(offsetCommitApi, {
        groupId: "g",
        memberId: "",
        topics: [{ name: "t", partitions: [{ partitionIndex: 0, committedOffset: 2n ** 60n, committedMetadata: "" }] }]
      }, { version: 9 })
      expect(topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.INVALID_COMMIT_OFFSET_SIZE)
    }))
})

describe("a broker that stops", () => {
  it.effect("in the middle of a rebalance answers who waits, and the group goes on with the next broker", () =>
    Effect.gen(function*() {
      const { connectGroup, group, stop, world } = yield* startGroups()
      const member = yield* stableGroup(group)
      const joining = yield* Effect.forkChild(Effect.flatMap(connectGroup, (other) => other.joinNew("g")))
      yield* settle
      expect(yield* group.heartbeat("g", member)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
      yield* stop
      expect((yield* Fiber.join(joining)).errorCode).toBe(ErrorCode.NOT_COORDINATOR)
      const again = yield* startOn(world)
      // The generation before is back: its member joins the next one as if nothing was.
      expect(yield* again.group.heartbeat("g", member)).toBe(ErrorCode.NONE)
      const rejoined = yield* again.group.join("g", { memberId: member.memberId })
      expect(rejoined).toMatchObject({ errorCode: 0, generationId: 2 })
    }))

  it.effect("keeps what was answered, whatever the crash", () =>
    Effect.gen(function*() {
      const { crash, group, world } = yield* startGroups()
      const member = yield* stableGroup(group)
      for (let i = 1; i <= 5; i++) expect(yield* group.commit("g", "t", 0, i, member)).toBe(ErrorCode.NONE)
      yield* crash({ _tag: "process" })
      const again = yield* startOn(world)
      expect(yield* again.group.committed("g")).toEqual({ "t-0": 5 })
      expect(yield* again.group.heartbeat("g", member)).toBe(ErrorCode.NONE)
    }))

  it.effect("whose members never come back ends their group in time, and leaves no timer of theirs", () =>
    Effect.gen(function*() {
      const { group, stop, world } = yield* startGroups()
      for (const id of ["a", "b", "c"]) yield* stableGroup(group, id)
      yield* stop
      const again = yield* startOn(world)
      expect((yield* again.group.describe("a")).groupState).toBe("Stable")
      yield* TestClock.adjust(10_000)
      yield* settle
      for (const id of ["a", "b", "c"]) expect((yield* again.group.describe(id)).groupState).toBe("Empty")
      let timers = 0
      for (const id of ["a", "b", "c"]) {
        again.broker.services.groups.run(id, (state) => {
          timers = Math.max(timers, state.timerCount)
          return { replies: [], appends: [] }
        }, () => {})
      }
      expect(timers).toBe(1) // of the retention
    }))
})

describe("the offsets topic", () => {
  it.effect("is compacted, and a coordinator that is loaded from what is left knows the same", () =>
    Effect.gen(function*() {
      const overrides = {
        "offsets.topic.num.partitions": "1",
        "offsets.topic.segment.bytes": "1048576",
        "log.cleaner.min.cleanable.ratio": "0.01",
        "log.cleaner.backoff.ms": "1000"
      }
      const { broker, client, group, stop, world } = yield* startGroups(overrides)
      yield* client.createTopic("wide", 500)
      const commitAll = (offset: number) =>
        group.rpc.call(offsetCommitApi, {
          groupId: "g",
          memberId: "",
          topics: [{
            name: "wide",
            partitions: Array.from({ length: 500 }, (_, partitionIndex) => ({
              partitionIndex,
              committedOffset: offset + partitionIndex,
              committedMetadata: "x".repeat(100)
            }))
          }]
        }, { version: 9 })
      yield* group.commit("gone", "t", 0, 1)
      yield* group.delete("gone")
      for (let i = 0; i < 24; i++) yield* commitAll(i)
      const partition = broker.services.partitions.get("__consumer_offsets", 0)!
      const sizeOf = () => {
        const read = partition.read(0, 1e9, true, "LogEnd")
        for (const slice of read.slices) slice.release()
        return read.sizeBytes
      }
      const before = sizeOf()
      yield* TestClock.adjust(120_000)
      yield* settle
      // The active segment stays as it is.
      expect(sizeOf()).toBeLessThan(0.6 * before)
      const committed = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`wide-${i}`, 23 + i]))
      expect(yield* group.committed("g")).toEqual(committed)
      yield* stop
      const again = yield* startOn(world, overrides)
      yield* settle
      expect(yield* again.group.committed("g")).toEqual(committed)
      expect((yield* again.group.list()).groups.map(({ groupId }) => groupId)).toEqual(["g"])
    }))

  it.effect("keeps its number of partitions for groups when it is given more, until the broker starts anew", () =>
    Effect.gen(function*() {
      const { broker, group } = yield* startGroups()
      yield* group.commit("g", "t", 0, 5)
      const before = broker.services.groups.partitionFor("g")
      const more = yield* broker.services.controller.createPartitions([{ name: "__consumer_offsets", count: 61, assignments: null }])
      expect(more[0]!.error).toBe(ErrorCode.NONE)
      expect(broker.services.groups.partitionFor("g")).toBe(before)
      expect(yield* group.committed("g")).toEqual({ "t-0": 5 })
    }))

  it.effect("that is deleted takes the groups along, and is made again", () =>
    Effect.gen(function*() {
      const { client, group } = yield* startGroups()
      yield* group.commit("g", "t", 0, 5)
      yield* client.deleteTopic("__consumer_offsets")
      expect(yield* group.commit("g", "t", 0, 6)).toBe(ErrorCode.NOT_COORDINATOR)
      yield* group.find("g")
      expect(yield* group.committed("g")).toEqual({})
      expect(yield* group.commit("g", "t", 0, 7)).toBe(ErrorCode.NONE)
    }))
})

describe("many", () => {
  it.effect("hundreds of members of one group make one generation", () =>
    Effect.gen(function*() {
      const { connectGroup } = yield* startGroups({ "group.initial.rebalance.delay.ms": "100" })
      const members = yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.forkChild(Effect.flatMap(connectGroup, (one) => one.joinNew("g"))))
      yield* settle
      yield* TestClock.adjust(200)
      const joined = yield* Effect.forEach(members, Fiber.join)
      expect(new Set(joined.map(({ generationId }) => generationId))).toEqual(new Set([1]))
      const leader = joined.find(({ leader, memberId }) => leader === memberId)!
      expect(leader.members).toHaveLength(200)
    }), 30_000)

  it.effect("groups share the partitions of the offsets topic", () =>
    Effect.gen(function*() {
      const { broker, group } = yield* startGroups()
      const ids = Array.from({ length: 100 }, (_, i) => `group-${i}`)
      for (const id of ids) yield* group.commit(id, "t", 0, 1)
      expect((yield* group.list()).groups).toHaveLength(100)
      expect(new Set(ids.map((id) => broker.services.groups.partitionFor(id))).size).toBeGreaterThan(20)
      // Java's hash of a string, as Kafka places them.
      expect([broker.services.groups.partitionFor("g"), broker.services.groups.partitionFor("polygenelubricants")]).toEqual([3, 0])
    }))
})
