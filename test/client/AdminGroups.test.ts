/** The Admin's groups and their offsets, and the whole Admin with old brokers, against ours and Apache Kafka. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Admin from "../../core/client/Admin.ts"
import { type ClientError, errorOfCode } from "../../core/client/ClientError.ts"
import * as Cluster from "../../core/client/Cluster.ts"
import { encodeAssignment } from "../../core/client/ConsumerProtocol.ts"
import { apiFacts } from "../../core/protocol/ApiFacts.ts"
import type { RpcApi } from "../../core/rpc/RpcApi.ts"
import { joinGroupApi, subscription, syncGroupApi } from "../broker/handlers/GroupClient.ts"
import { batchOf } from "../broker/TestBroker.ts"
import { topicWriter } from "./ConsumerTopic.ts"
import { eventually, overBroker, type TestBroker } from "./TestBrokers.ts"

const start = (broker: TestBroker) =>
  Effect.gen(function*() {
    const cluster = yield* Cluster.make({ "bootstrap.servers": broker.bootstrap })
    return { cluster, admin: yield* Admin.makeWith(cluster) }
  })

/** A static member that owns a partition; it lives as long as its session, for nothing beats. */
const join = (cluster: Cluster.Cluster, groupId: string, topic: string) =>
  cluster.retry(Effect.gen(function*() {
    const nodeId = yield* cluster.coordinator({ kind: "group", key: groupId })
    const joined = yield* cluster.call(nodeId, "coordinator", joinGroupApi, {
      groupId,
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 30_000,
      memberId: "",
      groupInstanceId: "instance-1",
      protocolType: "consumer",
      protocols: [{ name: "range", metadata: subscription(topic) }]
    })
    if (joined.errorCode !== 0) return yield* Effect.fail(errorOfCode(joined.errorCode, "join"))
    const assignment = encodeAssignment([{ topic, partitions: [0] }])
    const synced = yield* cluster.call(nodeId, "coordinator", syncGroupApi, {
      groupId,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupInstanceId: "instance-1",
      protocolType: "consumer",
      protocolName: "range",
      assignments: [{ memberId: joined.memberId, assignment }]
    })
    if (synced.errorCode !== 0) return yield* Effect.fail(errorOfCode(synced.errorCode, "sync"))
    return joined.memberId
  }))

overBroker("Admin: groups", (test) => {
  test("commits, lists and deletes the offsets of a group without members, and the group", (broker) =>
    Effect.gen(function*() {
      const { admin } = yield* start(broker)
      const topic = yield* broker.createTopic("committed", { partitions: 3 })
      const group = broker.name("group")
      expect(yield* admin.alterGroupOffsets(group, [
        { topic, partition: 2, offset: 7, metadata: "seven" },
        { topic, partition: 0, offset: 1 }
      ])).toEqual([{ topic, partition: 2, error: undefined }, { topic, partition: 0, error: undefined }])
      const byPartition = (offsets: ReadonlyArray<{ readonly partition: number }>) => offsets.toSorted((a, b) => a.partition - b.partition)
      expect(byPartition(yield* admin.listGroupOffsets(group))).toMatchObject([
        { topic, partition: 0, offset: 1, metadata: "" },
        { topic, partition: 2, offset: 7, metadata: "seven" }
      ])
      expect(yield* admin.listGroupOffsets(group, [{ topic, partition: 1 }, { topic, partition: 2 }]))
        .toMatchObject([{ partition: 2, offset: 7 }])

      expect(yield* admin.listGroups()).toContainEqual({ groupId: group, protocolType: "", state: "Empty", type: "classic" })
      expect((yield* admin.listGroups({ states: ["Stable"] })).map(({ groupId }) => groupId)).not.toContain(group)
      expect((yield* admin.listGroups({ states: ["Empty"], types: ["classic"] })).map(({ groupId }) => groupId)).toContain(group)
      expect((yield* admin.describeGroups([group])).get(group)).toMatchObject({ groupId: group, state: "Empty", members: [] })

      expect(yield* admin.deleteGroupOffsets(group, [{ topic, partition: 0 }])).toEqual([{ topic, partition: 0, error: undefined }])
      expect(yield* admin.listGroupOffsets(group)).toMatchObject([{ partition: 2 }])
      const none = broker.name("none")
      const deleted = yield* admin.deleteGroups([group, none])
      expect([...deleted]).toMatchObject([[group, undefined], [none, { reason: "GROUP_ID_NOT_FOUND" }]])
      expect(yield* admin.listGroupOffsets(group)).toEqual([])
    }))

  test("moves a group to a place, a time or by a distance, and never beyond the log", (broker) =>
    Effect.gen(function*() {
      const { admin, cluster } = yield* start(broker)
      const topic = yield* broker.createTopic("replayed", { partitions: 2 })
      const { writeBytes } = yield* topicWriter(broker)
      // Not long ago: Kafka's retention goes by the time of records.
      const begin = Date.now() - 10_000
      for (const [index, value] of ["a", "b", "c", "d", "e"].entries()) yield* writeBytes(topic, batchOf([value], { timestamp: begin + 1000 * index }))
      yield* admin.deleteRecords([{ topic, partition: 0, offset: 1 }])
      const group = broker.name("replay")
      const partitions = [{ topic, partition: 0 }]
      const move = (target: Admin.OffsetTarget, options?: { readonly dryRun?: boolean }) =>
        Effect.map(admin.resetGroupOffsets(group, partitions, target, options), ([reset]) =>
          reset!.error === undefined ? [reset!.offsetBefore, reset!.offset] : reset!.error.reason)
      expect(yield* move({ shift: 1 })).toBe("INVALID_ARGUMENT")
      expect(yield* move("current", { dryRun: true })).toEqual([undefined, 5])
      expect(yield* admin.listGroupOffsets(group)).toEqual([])
      for (const [target, offset] of [
        ["earliest", 1],
        [{ shift: 2 }, 3],
        ["current", 3],
        [{ shift: -7 }, 1],
        ["latest", 5],
        [{ shift: 1 }, 5],
        [{ timestamp: begin + 1500 }, 2],
        [{ timestamp: begin + 9000 }, 5],
        [{ offset: 4 }, 4],
        [{ offset: 0 }, 1],
        [{ offset: 99 }, 5]
      ] as const) {
        const [before] = yield* admin.listGroupOffsets(group)
        expect(yield* move(target), JSON.stringify(target)).toEqual([before?.offset, offset])
        expect(yield* admin.listGroupOffsets(group)).toMatchObject([{ partition: 0, offset }])
      }
      yield* join(cluster, group, topic)
      expect(yield* move("earliest")).toBe("UNKNOWN_MEMBER_ID")
    }))

  test("describes and removes members, and leaves the offsets of a living group alone", (broker) =>
    Effect.gen(function*() {
      const { admin, cluster } = yield* start(broker)
      const topic = yield* broker.createTopic("read")
      const group = broker.name("living")
      const memberId = yield* join(cluster, group, topic)
      const described = (yield* admin.describeGroups([group])).get(group)
      expect(described).toMatchObject({
        state: "Stable",
        protocolType: "consumer",
        protocol: "range",
        coordinator: yield* cluster.coordinator({ kind: "group", key: group }),
        members: [{ memberId, groupInstanceId: "instance-1", clientId: "ottla", assignment: [{ topic, partition: 0 }] }]
      })
      expect(yield* admin.alterGroupOffsets(group, [{ topic, partition: 0, offset: 1 }]))
        .toMatchObject([{ error: { _tag: "FatalError", reason: "UNKNOWN_MEMBER_ID" } }])
      expect(yield* admin.deleteGroupOffsets(group, [{ topic, partition: 0 }]))
        .toMatchObject([{ error: { reason: "GROUP_SUBSCRIBED_TO_TOPIC" } }])
      expect((yield* admin.deleteGroups([group])).get(group)).toMatchObject({ reason: "NON_EMPTY_GROUP" })
      expect(yield* Effect.flip(admin.removeMembers(group, [{ groupInstanceId: "instance-2" }])))
        .toMatchObject({ reason: "UNKNOWN_MEMBER_ID" })
      yield* admin.removeMembers(group, [{ groupInstanceId: "instance-1" }], "because the test says so")
      expect((yield* admin.describeGroups([group])).get(group)).toMatchObject({ state: "Empty", members: [] })
      expect((yield* admin.deleteGroups([group])).get(group)).toBeUndefined()
    }))

  test("has an end for each of many groups, found in few requests", (broker) =>
    Effect.gen(function*() {
      const { admin, cluster } = yield* start(broker)
      const topic = yield* broker.createTopic("many")
      const groups = Array.from({ length: 20 }, () => broker.name("many"))
      yield* Effect.forEach(groups.slice(1), (group) => admin.alterGroupOffsets(group, [{ topic, partition: 0, offset: 1 }]), { concurrency: "unbounded" })
      const described = yield* admin.describeGroups(groups)
      expect([...described.keys()]).toEqual(groups)
      expect(described.get(groups[0]!)).toMatchObject({ reason: "GROUP_ID_NOT_FOUND" })
      for (const group of groups.slice(1)) expect(described.get(group)).toMatchObject({ state: "Empty" })
      expect([...(yield* admin.deleteGroups(groups)).values()].filter((end) => end !== undefined).length).toBe(1)
      yield* cluster.close
    }))
})

/** As if brokers knew no version of an API above its oldest one plus `age`. */
const ofAge = (cluster: Cluster.Cluster, age: number): Cluster.Cluster => {
  const old = <Request, Response>(api: RpcApi<Request, Response>): RpcApi<Request, Response> => ({
    ...api,
    maxVersion: Math.min(api.maxVersion, apiFacts.get(api.key)!.minVersion + age)
  })
  return {
    ...cluster,
    call: (nodeId, lane, api, request, options) => cluster.call(nodeId, lane, old(api), request, options),
    versionOf: (nodeId, lane, api) => cluster.versionOf(nodeId, lane, old(api))
  }
}

overBroker("Admin: every version of every API that it uses", (test) => {
  for (let age = 0; age <= 11; age++) {
    test(`serves with brokers that know each API's oldest version plus ${age}`, (broker) =>
      Effect.gen(function*() {
        const cluster = ofAge((yield* start(broker)).cluster, age)
        const admin = yield* Admin.makeWith(cluster)
        const name = broker.name("aged")
        /** What began at a version above the oldest fails with UNSUPPORTED before, and not otherwise. */
        const since = <A>(first: number, effect: Effect.Effect<A, ClientError>) =>
          Effect.gen(function*() {
            const exit = yield* Effect.result(effect)
            if (age >= first) {
              if (exit._tag === "Failure") return yield* Effect.fail(exit.failure)
            } else expect(exit._tag === "Failure" ? exit.failure : exit).toMatchObject({ reason: "UNSUPPORTED" })
          })

        const created = (yield* admin.createTopics([{ name, partitions: 2, replicationFactor: 1, configs: { "retention.ms": "1000" } }])).get(name)
        expect(created).not.toBeInstanceOf(Error)
        // CreateTopics 4, and 2 is the oldest.
        yield* since(2, admin.createTopics([{ name: broker.name("default") }]))
        expect((yield* admin.createPartitions([{ name, totalCount: 3 }])).get(name)).toBeUndefined()
        const resource = { type: "topic", name } as const
        const [described] = yield* eventually(
          admin.describeConfigs([resource], { synonyms: true, documentation: true }),
          ([described]) => Array.isArray(described!.result)
        )
        expect(described!.result).toContainEqual(expect.objectContaining({ name: "retention.ms", value: "1000", isDefault: false }))
        expect(yield* admin.alterConfigs([{ resource, alterations: [{ name: "retention.ms", operation: "DELETE" }] }])).toMatchObject([{ error: undefined }])

        expect(yield* admin.listOffsets([{ topic: name, partition: 0, spec: "latest" }, { topic: name, partition: 1, spec: "earliest" }]))
          .toMatchObject([{ partition: 0, offset: 0 }, { partition: 1, offset: 0 }])
        // ListOffsets 7 and 2, and 1 is the oldest.
        yield* since(6, Effect.flatMap(admin.listOffsets([{ topic: name, partition: 0, spec: "max-timestamp" }]), ([listed]) =>
          "error" in listed! ? Effect.fail(listed.error) : Effect.succeed(listed)))
        expect(yield* admin.deleteRecords([{ topic: name, partition: 0, offset: 0 }])).toMatchObject([{ lowWatermark: 0, error: undefined }])

        const group = broker.name("aged")
        expect(yield* admin.alterGroupOffsets(group, [{ topic: name, partition: 1, offset: 5, metadata: "m" }])).toMatchObject([{ error: undefined }])
        expect(yield* admin.listGroupOffsets(group, [{ topic: name, partition: 1 }, { topic: name, partition: 0 }]))
          .toMatchObject([{ topic: name, partition: 1, offset: 5, metadata: "m" }])
        // Null for all of them: OffsetFetch 2, and 1 is the oldest.
        yield* since(1, Effect.map(admin.listGroupOffsets(group), (offsets) => expect(offsets).toMatchObject([{ topic: name, partition: 1, offset: 5 }])))
        expect((yield* admin.listGroups()).map(({ groupId }) => groupId)).toContain(group)
        yield* since(5, admin.listGroups({ states: ["Empty"], types: ["classic"] }))
        expect((yield* admin.describeGroups([group, broker.name("none")])).get(group)).toMatchObject({ state: "Empty" })
        const memberId = yield* join(cluster, group, name).pipe(
          // Static members came with JoinGroup 5, and others must join twice from 4 on.
          Effect.catch((error) => error.reason === "UNSUPPORTED" ? Effect.succeed(undefined) : Effect.fail(error))
        )
        expect(memberId === undefined).toBe(age < 5)
        if (memberId !== undefined) yield* admin.removeMembers(group, [{ memberId, groupInstanceId: "instance-1" }])
        expect(yield* admin.deleteGroupOffsets(group, [{ topic: name, partition: 1 }])).toMatchObject([{ error: undefined }])
        yield* admin.deleteGroups([group])

        expect((yield* admin.describeCluster).nodes.size).toBeGreaterThan(0)
        expect((yield* admin.describeLogDirs()).length).toBeGreaterThan(0)
        yield* eventually(admin.describeTopics([name]), (topics) => {
          const topic = topics.get(name)!
          return "partitions" in topic && topic.partitions.length === 3
        })
        expect((yield* admin.deleteTopics([name])).get(name)).toBeUndefined()
      }))
  }
})
