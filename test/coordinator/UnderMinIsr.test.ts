/** What a group coordinator answers while its partition's ISR is smaller than min.insync.replicas: what is committed stays so. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import * as GroupApis from "../broker/handlers/GroupClient.ts"
import { startCluster, until, withTime } from "../replication/TestCluster.ts"

const OFFSETS = "__consumer_offsets"

it.effect("A group coordinator tells committed offsets, describes groups and hears heartbeats below min.insync.replicas, and commits nothing", () =>
  Effect.gen(function*() {
    const cluster = yield* startCluster({
      "replica.lag.time.max.ms": "10000",
      "offsets.topic.replication.factor": "3",
      "offsets.topic.num.partitions": "1",
      "min.insync.replicas": "2"
    })
    const first = yield* cluster.running.get(1)!.connect
    expect((yield* withTime(first.createTopic("t", 1, {}, 3))).errorCode).toBe(ErrorCode.NONE)
    yield* withTime(new GroupApis.GroupClient(first.rpc).find("g"))
    yield* until("a coordinator", () => cluster.partitionImage(OFFSETS).leader !== -1)
    const group = new GroupApis.GroupClient((yield* cluster.leaderClient(OFFSETS)).rpc)
    const { generationId, memberId } = yield* withTime(group.joinNew("g", { sessionTimeoutMs: 300_000 }))
    expect((yield* withTime(group.sync("g", { memberId, generationId }, { [memberId]: "" }))).errorCode).toBe(ErrorCode.NONE)
    expect(yield* withTime(group.commit("g", "t", 0, 42, { memberId, generationId }))).toBe(ErrorCode.NONE)

    const { leader } = cluster.partitionImage(OFFSETS)
    for (const follower of cluster.followers(OFFSETS)) yield* cluster.crash(follower)
    yield* cluster.isrIs(OFFSETS, [leader])
    const offsets = yield* withTime(
      group.rpc.call(GroupApis.offsetFetchApi, { groups: [{ groupId: "g", topics: null }], requireStable: true }, { version: 9 })
    )
    expect(offsets.groups).toMatchObject([
      { groupId: "g", errorCode: ErrorCode.NONE, topics: [{ name: "t", partitions: [{ partitionIndex: 0, committedOffset: 42, errorCode: ErrorCode.NONE }] }] }
    ])
    const { groups } = yield* withTime(group.rpc.call(GroupApis.describeGroupsApi, { groups: ["g", "other"] }))
    expect(groups).toMatchObject([
      { groupId: "g", errorCode: ErrorCode.NONE, groupState: "Stable", members: [{ memberId }] },
      { groupId: "other", groupState: "Dead" }
    ])
    const listed = yield* withTime(group.rpc.call(GroupApis.listGroupsApi, {}))
    expect(listed).toMatchObject({ errorCode: ErrorCode.NONE, groups: [{ groupId: "g" }] })
    expect(yield* withTime(group.heartbeat("g", { memberId, generationId }))).toBe(ErrorCode.NONE)
    expect(yield* withTime(group.commit("g", "t", 0, 43, { memberId, generationId }))).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE)
  }))
