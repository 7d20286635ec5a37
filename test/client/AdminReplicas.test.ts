/** The Admin's replicas: alone against ours and Apache Kafka, and on three of our brokers. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Admin from "../../core/client/Admin.ts"
import type { ClientError } from "../../core/client/ClientError.ts"
import * as Cluster from "../../core/client/Cluster.ts"
import { makeAdminClient } from "../../core/client/facade/AdminClient.ts"
import { Network } from "../../core/ports/Network.ts"
import type { RpcApi } from "../../core/rpc/RpcApi.ts"
import { IDS, startCluster, type TestCluster, until, withTime } from "../replication/TestCluster.ts"
import { overBroker, type TestBroker } from "./TestBrokers.ts"

const start = (broker: TestBroker) => Cluster.make({ "bootstrap.servers": broker.bootstrap })

overBroker("Admin: replicas on one broker", (test) => {
  test("answers each partition by itself: nothing to move, nothing to elect, nowhere to go", (broker) =>
    Effect.gen(function*() {
      const admin = yield* Admin.makeWith(yield* start(broker))
      const topic = yield* broker.createTopic("still", { partitions: 2 })
      const [node] = [...(yield* admin.describeCluster).nodes.keys()] as [number]
      const none = broker.name("none")
      expect(yield* admin.alterPartitionReassignments([
        { topic, partition: 0, replicas: [node] },
        { topic: none, partition: 0, replicas: [node] },
        { topic, partition: 1, replicas: [node, node + 1000] },
        { topic, partition: 7, replicas: null }
      ])).toMatchObject([
        { topic, partition: 0, error: undefined },
        { topic: none, partition: 0, error: { reason: "UNKNOWN_TOPIC_OR_PARTITION" } },
        { topic, partition: 1, error: { reason: "INVALID_REPLICA_ASSIGNMENT" } },
        { topic, partition: 7, error: { reason: "UNKNOWN_TOPIC_OR_PARTITION" } }
      ])
      expect(yield* admin.alterPartitionReassignments([{ topic, partition: 0, replicas: null }]))
        .toMatchObject([{ error: { reason: "NO_REASSIGNMENT_IN_PROGRESS" } }])
      expect(yield* admin.listPartitionReassignments([{ topic, partition: 0 }, { topic: none, partition: 3 }])).toEqual([])
      expect((yield* admin.listPartitionReassignments()).filter((one) => one.topic === topic)).toEqual([])
      for (const type of ["preferred", "unclean"] as const) {
        expect(yield* admin.electLeaders(type, [{ topic, partition: 1 }, { topic, partition: 2 }])).toMatchObject([
          { topic, partition: 1, error: { reason: "ELECTION_NOT_NEEDED" } },
          { topic, partition: 2, error: { reason: "UNKNOWN_TOPIC_OR_PARTITION" } }
        ])
        expect((yield* admin.electLeaders(type)).filter((one) => one.topic === topic)).toEqual([])
      }
    }))

  for (const age of [0, 1, 2]) {
    test(`serves with brokers that know each API's oldest version plus ${age}`, (broker) =>
      Effect.gen(function*() {
        const cluster = yield* start(broker)
        const old = <Q, A>(api: RpcApi<Q, A>): RpcApi<Q, A> => ({ ...api, maxVersion: Math.min(api.maxVersion, api.minVersion + age) })
        const admin = yield* Admin.makeWith({
          ...cluster,
          call: (nodeId, lane, api, request, options) => cluster.call(nodeId, lane, old(api), request, options),
          versionOf: (nodeId, lane, api) => cluster.versionOf(nodeId, lane, old(api))
        })
        const topic = yield* broker.createTopic("aged")
        const partition = { topic, partition: 0 }
        /** From the first version on the answer's, before it UNSUPPORTED. */
        const reason = (results: Effect.Effect<ReadonlyArray<Admin.PartitionResult>, ClientError>) =>
          Effect.match(results, { onFailure: (error) => error.reason, onSuccess: ([one]) => one?.error?.reason })
        expect(yield* reason(admin.electLeaders("preferred", [partition]))).toBe("ELECTION_NOT_NEEDED")
        expect(yield* reason(admin.electLeaders("unclean", [partition]))).toBe(age === 0 ? "UNSUPPORTED" : "ELECTION_NOT_NEEDED")
        const back = [{ ...partition, replicas: null }]
        expect(yield* reason(admin.alterPartitionReassignments(back))).toBe("NO_REASSIGNMENT_IN_PROGRESS")
        const exit = yield* reason(admin.alterPartitionReassignments(back, { allowReplicationFactorChange: false }))
        // Kafka before 4.1 has no version that can say so.
        if (age === 0 || broker.kind === "own") expect(exit).toBe(age === 0 ? "UNSUPPORTED" : "NO_REASSIGNMENT_IN_PROGRESS")
      }))
  }
})

const adminOf = (cluster: TestCluster) => {
  const bootstrap = [...cluster.running.values()].map(({ broker }) => `${broker.listeners[0]!.host}:${broker.listeners[0]!.port}`)
  return Effect.provideService(
    Admin.make({ "bootstrap.servers": bootstrap.join() }),
    Network,
    cluster.link(1).world.clientNetwork!
  )
}

describe("Admin: replicas on three brokers", () => {
  it.effect("moves a partition, tells of it while it moves, takes it back, and elects leaders", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "auto.leader.rebalance.enable": "false" })
      const admin = yield* withTime(adminOf(cluster))
      const created = yield* withTime(admin.createTopics([{ name: "t", replicaAssignment: [[1, 2]] }]))
      expect(created.get("t")).toMatchObject({ partitions: 1 })
      const partition = { topic: "t", partition: 0 }
      cluster.cut([3])
      const moved = admin.alterPartitionReassignments([{ ...partition, replicas: [3, 2] }])
      expect(yield* withTime(moved)).toEqual([{ ...partition, error: undefined }])
      const wanted = [{ ...partition, replicas: [3, 2, 1], addingReplicas: [3], removingReplicas: [1] }]
      expect(yield* withTime(admin.listPartitionReassignments())).toEqual(wanted)
      expect(yield* withTime(admin.listPartitionReassignments([partition, { topic: "t", partition: 4 }]))).toEqual(wanted)
      expect(yield* withTime(admin.alterPartitionReassignments([{ ...partition, replicas: [3] }], { allowReplicationFactorChange: false })))
        .toMatchObject([{ error: { reason: "INVALID_REPLICATION_FACTOR", detail: "The replication factor is changed from 2 to 1" } }])
      yield* withTime(admin.alterPartitionReassignments([{ ...partition, replicas: null }]))
      expect(yield* withTime(admin.listPartitionReassignments())).toEqual([])
      cluster.heal([3])
      yield* withTime(admin.alterPartitionReassignments([{ ...partition, replicas: [1, 2, 3] }]))
      yield* cluster.isrIs("t", IDS)
      yield* cluster.crash(1)
      yield* until("another leads", () => cluster.partitionImage("t").leader === 2)
      yield* cluster.start(1)
      yield* cluster.isrIs("t", IDS)
      expect(yield* withTime(admin.electLeaders("preferred"))).toEqual([{ ...partition, error: undefined }])
      expect(cluster.partitionImage("t").leader).toBe(1)
    }))

  it.effect("throws what failed to programs without Effect, but not that a partition is led as asked for", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const admin = yield* withTime(adminOf(cluster))
      yield* withTime(admin.createTopics([{ name: "t", replicaAssignment: [[1, 2]] }]))
      const context = yield* Effect.context<never>()
      const facade = makeAdminClient({ runPromiseExit: Effect.runPromiseExitWith(context) } as never, Effect.succeed(admin))
      const partition = { topic: "t", partition: 0 }
      const settled = (promise: Promise<unknown>) =>
        withTime(Effect.promise(() => promise.then((value) => ({ value }), (error: unknown) => ({ error }))))
      expect(yield* settled(facade.electLeaders("preferred", [partition]))).toEqual({ value: undefined })
      expect(yield* settled(facade.listPartitionReassignments())).toEqual({ value: [] })
      expect(yield* settled(facade.alterPartitionReassignments([{ ...partition, replicas: [2, 1] }]))).toEqual({ value: undefined })
      expect(yield* settled(facade.alterPartitionReassignments([{ ...partition, replicas: null }])))
        .toMatchObject({ error: { reason: "NO_REASSIGNMENT_IN_PROGRESS" } })
      expect(yield* settled(facade.electLeaders("unclean", [{ topic: "u", partition: 0 }])))
        .toMatchObject({ error: { reason: "UNKNOWN_TOPIC_OR_PARTITION" } })
    }))
})
