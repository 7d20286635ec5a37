/** Partitions move between three brokers while clients use them: the production brokers, by their APIs. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { ElectionType } from "../../core/cluster/Commands.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import * as AlterPartitionReassignments from "../../core/protocol/generated/AlterPartitionReassignments.ts"
import * as ElectLeaders from "../../core/protocol/generated/ElectLeaders.ts"
import * as ListPartitionReassignments from "../../core/protocol/generated/ListPartitionReassignments.ts"
import * as Apis from "../broker/Apis.ts"
import type { TestClient } from "../broker/TestBroker.ts"
import { bytesOf, IDS, startCluster, type TestCluster, until, withTime } from "../replication/TestCluster.ts"

/** A client of some broker that runs. */
const connect = (cluster: TestCluster) => Effect.suspend(() => Effect.orDie([...cluster.running.values()][0]!.connect))

/** A topic of one partition on these brokers. */
const create = (cluster: TestCluster, topic: string, brokerIds: ReadonlyArray<number>, configs: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const client = yield* connect(cluster)
    const { topics } = yield* withTime(client.rpc.call(Apis.createTopicsApi, {
      topics: [{
        name: topic,
        numPartitions: -1,
        replicationFactor: -1,
        assignments: [{ partitionIndex: 0, brokerIds }],
        configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
      }],
      timeoutMs: 30_000,
      validateOnly: false
    }))
    expect(topics[0]!.errorCode).toBe(ErrorCode.NONE)
    yield* until("replicas", () => brokerIds.every((id) => cluster.partition(id, topic) !== undefined))
  })

const reassign = (cluster: TestCluster, topic: string, replicas: ReadonlyArray<number> | null) =>
  Effect.gen(function*() {
    const client = yield* connect(cluster)
    const { errorCode, responses } = yield* withTime(client.rpc.call(AlterPartitionReassignments.alterPartitionReassignmentsApi, {
      timeoutMs: 30_000,
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, replicas }] }]
    }))
    expect(errorCode).toBe(ErrorCode.NONE)
    return responses[0]!.partitions[0]!.errorCode
  })

const ongoing = (cluster: TestCluster) =>
  Effect.gen(function*() {
    const client = yield* connect(cluster)
    const { topics } = yield* withTime(client.rpc.call(ListPartitionReassignments.listPartitionReassignmentsApi, { timeoutMs: 30_000, topics: null }))
    return topics.flatMap(({ name, partitions }) =>
      partitions.map(({ addingReplicas, removingReplicas, replicas }) => ({ name, replicas, addingReplicas, removingReplicas })))
  })

const elect = (cluster: TestCluster, topic: string, electionType: number) =>
  Effect.gen(function*() {
    const client = yield* connect(cluster)
    const { errorCode, replicaElectionResults } = yield* withTime(client.rpc.call(ElectLeaders.electLeadersApi, {
      electionType,
      topicPartitions: [{ topic, partitions: [0] }],
      timeoutMs: 30_000
    }))
    expect(errorCode).toBe(ErrorCode.NONE)
    return replicaElectionResults[0]!.partitionResult[0]!.errorCode
  })

const produce = (client: TestClient, values: ReadonlyArray<string>) =>
  Effect.map(withTime(client.produce("t", values)), ({ errorCode }) => expect(errorCode).toBe(ErrorCode.NONE))

const readAll = (cluster: TestCluster) =>
  Effect.gen(function*() {
    const client = yield* cluster.leaderClient("t")
    return yield* withTime(client.readAll("t"))
  })

const movedTo = (cluster: TestCluster, replicas: ReadonlyArray<number>) =>
  until(`the replicas are ${replicas.join()}`, () => {
    const image = cluster.partitionImage("t")
    return image.replicas.join() === replicas.join() && image.addingReplicas.length + image.removingReplicas.length === 0
  })

describe("A reassignment", () => {
  it.effect("copies the partition to its new replica and takes it from the old one, while it is written to", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      yield* create(cluster, "t", [1, 2], { "min.insync.replicas": "2" })
      const before = yield* cluster.leaderClient("t")
      yield* produce(before, ["a", "b", "c"])
      cluster.cut([3])
      expect(yield* reassign(cluster, "t", [3, 2])).toBe(ErrorCode.NONE)
      yield* produce(before, ["d"])
      expect(yield* ongoing(cluster)).toEqual([{ name: "t", replicas: [3, 2, 1], addingReplicas: [3], removingReplicas: [1] }])
      cluster.heal([3])
      yield* movedTo(cluster, [3, 2])
      expect(cluster.partitionImage("t")).toMatchObject({ leader: 3, leaderEpoch: 1 })
      yield* cluster.isrIs("t", [2, 3])
      expect(yield* ongoing(cluster)).toEqual([])
      yield* until("it is gone where it was", () => cluster.partition(1, "t") === undefined)
      expect(cluster.running.get(1)!.broker.services.logManager.get("t", 0)).toBeUndefined()
      // A client that did not hear of it asks where it was, and is sent on.
      const refused = yield* withTime(before.produce("t", ["x"]))
      expect(refused.errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER)
      const after = yield* cluster.leaderClient("t")
      yield* produce(after, ["e"])
      expect(yield* readAll(cluster)).toEqual(["a", "b", "c", "d", "e"])
      yield* until("equal logs", () => bytesOf(cluster.partition(2, "t")!) === bytesOf(cluster.partition(3, "t")!))
    }))

  it.effect("begins where the leader's log begins, and can go back to where the partition was", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      yield* create(cluster, "t", [1, 2])
      const client = yield* cluster.leaderClient("t")
      for (const value of ["a", "b", "c"]) yield* produce(client, [value])
      const deleted = yield* withTime(client.rpc.call(Apis.deleteRecordsApi, {
        topics: [{ name: "t", partitions: [{ partitionIndex: 0, offset: 2 }] }],
        timeoutMs: 30_000
      }))
      expect(deleted.topics[0]!.partitions[0]).toMatchObject({ errorCode: ErrorCode.NONE, lowWatermark: 2 })
      yield* reassign(cluster, "t", [3])
      yield* movedTo(cluster, [3])
      expect(cluster.leading("t")).toMatchObject({ logStartOffset: 2, logEndOffset: 3 })
      yield* until("it is gone where it was", () => [1, 2].every((id) => cluster.partition(id, "t") === undefined))
      yield* reassign(cluster, "t", [1, 2])
      yield* movedTo(cluster, [1, 2])
      const back = yield* cluster.leaderClient("t")
      yield* produce(back, ["d"])
      expect(yield* withTime(back.readAll("t", 0, 2))).toEqual(["c", "d"])
    }))

  it.effect("waits for a replica that is down, is told by name, and can be taken back", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      yield* create(cluster, "t", [1, 2])
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a"])
      yield* cluster.crash(3)
      yield* until("it is fenced", () => cluster.image().brokers.get(3)!.fenced)
      expect(yield* reassign(cluster, "t", [3, 1])).toBe(ErrorCode.NONE)
      const wanted = { name: "t", replicas: [3, 1, 2], addingReplicas: [3], removingReplicas: [2] }
      expect(yield* ongoing(cluster)).toEqual([wanted])
      yield* TestClock.adjust(60_000)
      expect(yield* ongoing(cluster)).toEqual([wanted])
      // Three replicas for now, two of them in the ISR: writes go on.
      yield* produce(client, ["b"])
      expect(yield* reassign(cluster, "t", null)).toBe(ErrorCode.NONE)
      expect(cluster.partitionImage("t")).toMatchObject({ replicas: [1, 2], leader: 1, leaderEpoch: 1 })
      expect(yield* reassign(cluster, "t", null)).toBe(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
      yield* produce(client, ["c"])
      expect(yield* readAll(cluster)).toEqual(["a", "b", "c"])
    }))

  it.effect("goes on when the replica returns, and when the controller and the leader die meanwhile", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      yield* create(cluster, "t", [1, 2])
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a", "b"])
      yield* cluster.crash(3)
      yield* reassign(cluster, "t", [3, 2])
      expect(cluster.image().controllerId).toBe(1)
      yield* cluster.crash(1)
      yield* until("another leads", () => cluster.partitionImage("t").leader === 2)
      yield* cluster.start(3)
      yield* movedTo(cluster, [3, 2])
      expect(yield* readAll(cluster)).toEqual(["a", "b"])
      // What the first broker has is nobody's any more: it gives it up when it returns.
      yield* cluster.start(1)
      yield* until("it is gone", () => cluster.running.get(1)!.broker.services.logManager.get("t", 0) === undefined)
      expect(cluster.partition(1, "t")).toBeUndefined()
    }))
})

describe("An election that is asked for", () => {
  it.effect("gives a returned broker what it led before", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "auto.leader.rebalance.enable": "false" })
      yield* create(cluster, "t", [1, 2, 3])
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a"])
      yield* cluster.crash(1)
      yield* until("another leads", () => cluster.partitionImage("t").leader === 2)
      expect(yield* elect(cluster, "t", ElectionType.PREFERRED)).toBe(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE)
      yield* cluster.start(1)
      yield* cluster.isrIs("t", IDS)
      expect(cluster.partitionImage("t").leader).toBe(2)
      yield* TestClock.adjust(900_000)
      expect(cluster.partitionImage("t").leader).toBe(2)
      expect(yield* elect(cluster, "t", ElectionType.PREFERRED)).toBe(ErrorCode.NONE)
      expect(cluster.partitionImage("t").leader).toBe(1)
      expect(yield* elect(cluster, "t", ElectionType.PREFERRED)).toBe(ErrorCode.ELECTION_NOT_NEEDED)
      expect(yield* elect(cluster, "t", ElectionType.UNCLEAN)).toBe(ErrorCode.ELECTION_NOT_NEEDED)
      expect(yield* readAll(cluster)).toEqual(["a"])
    }))

  it.effect("takes who is there when nobody who has all records is, and loses what that one had not", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      yield* create(cluster, "t", [1, 2])
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a"])
      yield* cluster.crash(2)
      yield* cluster.isrIs("t", [1])
      yield* produce(client, ["b"])
      yield* cluster.crash(1)
      yield* cluster.start(2)
      expect(cluster.partitionImage("t")).toMatchObject({ leader: -1, isr: [], elr: [1], lastKnownElr: [1] })
      expect(yield* elect(cluster, "t", ElectionType.PREFERRED)).toBe(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE)
      expect(yield* elect(cluster, "t", ElectionType.UNCLEAN)).toBe(ErrorCode.NONE)
      expect(cluster.partitionImage("t")).toMatchObject({ leader: 2, isr: [2] })
      expect(yield* readAll(cluster)).toEqual(["a"])
    }))

  it.effect("is answered for all partitions that need one, and for none with a type that is none", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "auto.leader.rebalance.enable": "false" })
      for (const topic of ["t", "u"]) yield* create(cluster, topic, [1, 2, 3])
      yield* create(cluster, "v", [2, 3])
      yield* cluster.crash(1)
      yield* until("others lead", () => cluster.partitionImage("t").leader === 2 && cluster.partitionImage("u").leader === 2)
      yield* cluster.start(1)
      yield* until("it is back", () => ["t", "u"].every((topic) => cluster.partitionImage(topic).isr.length === 3))
      const client = yield* connect(cluster)
      const all = yield* withTime(client.rpc.call(ElectLeaders.electLeadersApi, { electionType: 0, topicPartitions: null, timeoutMs: 30_000 }))
      const told = all.replicaElectionResults.map(({ partitionResult, topic }) => [topic, partitionResult.map((one) => one.errorCode)])
      expect(told.sort()).toEqual([["t", [0]], ["u", [0]], ["v", []]])
      const none = yield* withTime(client.rpc.call(ElectLeaders.electLeadersApi, {
        electionType: 7,
        topicPartitions: [{ topic: "t", partitions: [0] }],
        timeoutMs: 30_000
      }))
      expect(none.errorCode).toBe(ErrorCode.INVALID_REQUEST)
      expect(none.replicaElectionResults[0]!.partitionResult[0]!.errorCode).toBe(ErrorCode.INVALID_REQUEST)
    }))
})

describe("Preferred leaders", () => {
  it.effect("lead again when leader.imbalance.check.interval.seconds are over", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "leader.imbalance.check.interval.seconds": "30" })
      yield* create(cluster, "t", [1, 2, 3])
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a"])
      yield* cluster.crash(1)
      yield* until("another leads", () => cluster.partitionImage("t").leader === 2)
      yield* cluster.start(1)
      yield* cluster.isrIs("t", IDS)
      expect(cluster.partitionImage("t").leader).toBe(2)
      yield* TestClock.adjust(30_000)
      yield* until("it leads", () => cluster.partitionImage("t").leader === 1)
      expect(yield* readAll(cluster)).toEqual(["a"])
    }))
})
