/** What brokers that do not lead a partition answer about it, as Apache Kafka 4.3.1 does, and what they ask of who leads. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { startCluster, until, withTime } from "../../replication/TestCluster.ts"
import * as Apis from "../Apis.ts"

const [LATEST, CONSUMER, DEBUGGING_REPLICA] = [-1, -1, -2] as const

/** Topic "t" of one partition, with one record that is committed and one that is not, on a follower too. */
const start = Effect.gen(function*() {
  const cluster = yield* startCluster()
  const admin = yield* cluster.running.get(1)!.connect
  expect((yield* withTime(admin.createTopic("t", 1, {}, 3))).errorCode).toBe(ErrorCode.NONE)
  yield* until("replicas", () => [1, 2, 3].every((id) => cluster.partition(id, "t") !== undefined))
  const [near, far] = cluster.followers("t") as [number, number]
  const client = yield* cluster.leaderClient("t")
  const sent = { producerId: 7, producerEpoch: 0, baseSequence: 0 }
  expect((yield* withTime(client.produce("t", ["a"], sent))).errorCode).toBe(ErrorCode.NONE)
  yield* until("the high watermark", () => cluster.partition(near, "t")!.highWatermark === 1)
  cluster.cut([far])
  expect((yield* withTime(client.produce("t", ["b"], { ...sent, baseSequence: 1, acks: 1 }))).errorCode).toBe(ErrorCode.NONE)
  yield* until("the record", () => cluster.partition(near, "t")!.logEndOffset === 2)
  return { cluster, client, near, far, follower: yield* cluster.running.get(near)!.connect }
})

describe("A follower", () => {
  it.effect("tells the producers that its own log knows (KIP-664)", () =>
    Effect.gen(function*() {
      const { follower } = yield* start
      const { topics } = yield* withTime(follower.rpc.call(Apis.describeProducersApi, { topics: [{ name: "t", partitionIndexes: [0] }] }))
      expect(topics[0]!.partitions).toMatchObject([{ errorCode: ErrorCode.NONE, activeProducers: [{ producerId: 7, lastSequence: 1 }] }])
    }))

  it.effect("has none to tell of a partition that is on other brokers only, and sends the client to the leader", () =>
    Effect.gen(function*() {
      const { client, cluster, follower } = yield* start
      expect((yield* withTime(client.createTopic("u"))).errorCode).toBe(ErrorCode.NONE)
      const { leader } = cluster.partitionImage("u")
      const other = leader === cluster.partitionImage("t").leader ? follower : client
      const ask = (name: string, index: number) =>
        Effect.map(
          withTime(other.rpc.call(Apis.describeProducersApi, { topics: [{ name, partitionIndexes: [index] }] })),
          ({ topics }) => topics[0]!.partitions[0]!
        )
      expect(yield* ask("u", 0)).toMatchObject({ errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, errorMessage: null })
      expect(yield* ask("u", 1)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null })
      expect(yield* ask("v", 0)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: expect.any(String) })
    }))

  it.effect("tells a debugger where its log ends, and sends a consumer to the leader", () =>
    Effect.gen(function*() {
      const { client, follower } = yield* start
      const ask = (of: typeof client, replicaId: number) =>
        Effect.map(
          withTime(of.rpc.call(Apis.listOffsetsApi, {
            replicaId,
            isolationLevel: 0,
            topics: [{ name: "t", partitions: [{ partitionIndex: 0, timestamp: LATEST }] }]
          })),
          ({ topics }) => [topics[0]!.partitions[0]!.errorCode, Number(topics[0]!.partitions[0]!.offset)]
        )
      expect(yield* ask(follower, DEBUGGING_REPLICA)).toEqual([ErrorCode.NONE, 2])
      expect(yield* ask(client, DEBUGGING_REPLICA)).toEqual([ErrorCode.NONE, 2])
      expect(yield* ask(follower, CONSUMER)).toEqual([ErrorCode.NOT_LEADER_OR_FOLLOWER, -1])
      expect(yield* ask(client, CONSUMER)).toEqual([ErrorCode.NONE, 1])
    }))

  it.effect("that asks who does not lead is told who does, but not where that is, as a consumer would be (KIP-951)", () =>
    Effect.gen(function*() {
      const { cluster, far, follower } = yield* start
      const answer = yield* withTime(follower.rpc.call(Apis.fetchApi, {
        replicaState: { replicaId: far, replicaEpoch: -1 },
        maxWaitMs: 0,
        minBytes: 1,
        topics: [{ topicId: cluster.leading("t").topicId, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }] }]
      }))
      const { leader, leaderEpoch } = cluster.partitionImage("t")
      expect(answer.responses[0]!.partitions).toMatchObject([
        { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, currentLeader: { leaderId: leader, leaderEpoch } }
      ])
      expect(answer.nodeEndpoints).toEqual([])
    }))
})
