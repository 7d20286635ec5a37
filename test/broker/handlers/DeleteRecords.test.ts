/** DeleteRecords on several replicas: answered when nobody who lives has the records any more. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import * as Apis from "../Apis.ts"
import type { TestClient } from "../TestBroker.ts"
import { IDS, settle, startCluster, type TestCluster, until, withTime } from "../../replication/TestCluster.ts"
import { GroupClient } from "./GroupClient.ts"

const start = Effect.gen(function*() {
  const cluster = yield* startCluster({ "replica.lag.time.max.ms": "600000", "replica.fetch.wait.max.ms": "400" })
  const client = yield* cluster.running.get(1)!.connect
  expect((yield* withTime(client.createTopic("t", 1, {}, 3))).errorCode).toBe(ErrorCode.NONE)
  yield* until("replicas", () => IDS.every((id) => cluster.partition(id, "t") !== undefined))
  const leader = yield* cluster.leaderClient("t")
  for (const value of ["a", "b", "c"]) expect((yield* withTime(leader.produce("t", [value]))).errorCode).toBe(ErrorCode.NONE)
  return { cluster, leader }
})

const deleteRecords = (client: TestClient, offset: number, timeoutMs = 60_000, name = "t") =>
  Effect.map(
    client.rpc.call(Apis.deleteRecordsApi, { topics: [{ name, partitions: [{ partitionIndex: 0, offset }] }], timeoutMs }),
    ({ topics }) => {
      const { errorCode, lowWatermark } = topics[0]!.partitions[0]!
      return { errorCode, lowWatermark: Number(lowWatermark) }
    }
  )

const starts = (cluster: TestCluster) => IDS.map((id) => cluster.partition(id, "t")?.logStartOffset)

describe("DeleteRecords", () => {
  it.effect("waits for the followers to move their log start, and answers the smallest", () =>
    Effect.gen(function*() {
      const { cluster, leader } = yield* start
      const done = yield* withTime(deleteRecords(leader, 2))
      expect(done).toEqual({ errorCode: ErrorCode.NONE, lowWatermark: 2 })
      expect(starts(cluster)).toEqual([2, 2, 2])
      // Nothing to wait for: it is below that everywhere.
      expect(yield* deleteRecords(leader, 1)).toEqual({ errorCode: ErrorCode.NONE, lowWatermark: 2 })
      expect(yield* withTime(deleteRecords(leader, -1))).toEqual({ errorCode: ErrorCode.NONE, lowWatermark: 3 })
      expect(starts(cluster)).toEqual([3, 3, 3])
      expect((yield* deleteRecords(leader, 4)).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE)
    }))

  it.effect("times out while a replica that lives does not follow, and does not wait for one that is gone", () =>
    Effect.gen(function*() {
      const { cluster, leader } = yield* start
      const [far] = cluster.followers("t") as [number]
      cluster.cut([far])
      // Followers fetch with long polls; let the one that is left tell first.
      expect(yield* withTime(deleteRecords(leader, 1, 5000))).toEqual({ errorCode: ErrorCode.REQUEST_TIMED_OUT, lowWatermark: 0 })
      expect(cluster.leading("t").logStartOffset).toBe(1)
      const waiting = yield* Effect.forkChild(deleteRecords(leader, 2), { startImmediately: true })
      yield* settle
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* cluster.crash(far)
      expect(yield* withTime(Fiber.join(waiting))).toEqual({ errorCode: ErrorCode.NONE, lowWatermark: 2 })
    }))

  it.effect("is refused where it waits when the leader changes, and by who is not the leader", () =>
    Effect.gen(function*() {
      const { cluster, leader } = yield* start
      const first = cluster.partitionImage("t").leader
      const followers = cluster.followers("t")
      const follower = yield* cluster.running.get(followers[0]!)!.connect
      expect((yield* deleteRecords(follower, 1)).errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER)
      cluster.cut(followers)
      const waiting = yield* Effect.forkChild(deleteRecords(leader, 1), { startImmediately: true })
      yield* settle
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* withTime(cluster.running.get(first)!.broker.services.controller.controlledShutdown)
      expect(yield* withTime(Fiber.join(waiting))).toEqual({ errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, lowWatermark: -1 })
    }))

  it.effect("leaves internal topics alone", () =>
    Effect.gen(function*() {
      const { cluster, leader } = yield* start
      const group = new GroupClient(leader.rpc)
      yield* withTime(group.find("g"))
      yield* until("the topic", () => cluster.image().topicsByName.has("__consumer_offsets"))
      const { errorCode } = yield* deleteRecords(leader, -1, 1000, "__consumer_offsets")
      expect(errorCode).toBe(ErrorCode.INVALID_TOPIC_EXCEPTION)
      expect((yield* deleteRecords(leader, -1, 1000, "nothing")).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    }))
})
