/** How followers speak to their leaders, as their configuration says. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { settle, startCluster, type TestCluster, until, withTime } from "./TestCluster.ts"

const create = (cluster: TestCluster) =>
  Effect.gen(function*() {
    const client = yield* cluster.running.get(1)!.connect
    expect((yield* withTime(client.createTopic("t", 1, {}, 3))).errorCode).toBe(ErrorCode.NONE)
    const follower = cluster.followers("t")[0]!
    yield* until("a fetch", () => cluster.link(follower).fetches.length > 1)
    return { follower, link: cluster.link(follower), leader: cluster.partitionImage("t").leader }
  })

const nowMs = TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))

describe("A replica fetcher", () => {
  it.effect("asks for what it is configured to: replica.fetch.wait.max.ms, .min.bytes, .max.bytes, .response.max.bytes", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({
        "replica.fetch.wait.max.ms": "321",
        "replica.fetch.min.bytes": "7",
        "replica.fetch.max.bytes": "65432",
        "replica.fetch.response.max.bytes": "76543"
      })
      const { follower, link } = yield* create(cluster)
      const [first, second] = link.fetches
      expect(first).toMatchObject({
        replicaState: { replicaId: follower, replicaEpoch: cluster.image().brokers.get(follower)!.epoch },
        maxWaitMs: 321,
        minBytes: 7,
        maxBytes: 76543,
        sessionId: 0,
        sessionEpoch: 0,
        topics: [{
          topicId: cluster.leading("t").topicId,
          partitions: [{ partition: 0, currentLeaderEpoch: 0, fetchOffset: 0, lastFetchedEpoch: -1, partitionMaxBytes: 65432 }]
        }]
      })
      // The session knows the rest.
      expect(second).toMatchObject({ sessionEpoch: 1, topics: [] })
      expect(second!.sessionId).not.toBe(0)
    }))

  it.effect("tries again after replica.fetch.backoff.ms, as long as the leader's broker lives", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "replica.fetch.backoff.ms": "3000" })
      const { link } = yield* create(cluster)
      const before = link.attempts.length
      link.cut()
      yield* until("three attempts", () => link.attempts.length >= before + 3)
      const times = link.attempts.slice(before).map(({ atMs }) => atMs)
      expect([times[1]! - times[0]!, times[2]! - times[1]!]).toEqual([3000, 3000])
      link.heal()
      const fetches = link.fetches.length
      yield* until("a fetch", () => link.fetches.length > fetches)
      // Nothing tells what the leader's broker has seen of the session before.
      expect(link.fetches[fetches]).toMatchObject({ sessionId: 0, sessionEpoch: 0 })
    }))

  it.effect("takes another connection when the leader's broker is silent for replica.socket.timeout.ms", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "replica.socket.timeout.ms": "4000", "replica.fetch.backoff.ms": "100" })
      const { link } = yield* create(cluster)
      const before = link.attempts.length
      const asked = link.fetches.length
      link.isSilent = true
      yield* until("a fetch that goes nowhere", () => link.fetches.length > asked)
      const sinceMs = yield* nowMs
      link.isSilent = false
      yield* until("another connection", () => link.attempts.length > before)
      const waitedMs = link.attempts[before]!.atMs - sinceMs
      expect(waitedMs).toBeGreaterThanOrEqual(4000)
      expect(waitedMs).toBeLessThan(4400)
    }))

  it.effect("goes on after a bug that an answer brought out", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const { follower } = yield* create(cluster)
      const { log } = cluster.partition(follower, "t")!
      const append = log.appendAsFollower
      let failures = 0
      log.appendAsFollower = () => {
        failures++
        throw new TypeError("a bug")
      }
      const client = yield* cluster.leaderClient("t")
      yield* withTime(client.produce("t", ["a"], { acks: 1 }))
      yield* until("it met the bug twice", () => failures > 1)
      log.appendAsFollower = append
      yield* until("it has the record", () => cluster.partition(follower, "t")!.logEndOffset === 1)
    }))

  it.effect("reaches the leader's broker by inter.broker.listener.name", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({
        listeners: "PLAINTEXT://127.0.0.1:0,BETWEEN://127.0.0.1:0",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BETWEEN:PLAINTEXT",
        "inter.broker.listener.name": "BETWEEN"
      })
      const { leader, link } = yield* create(cluster)
      yield* settle
      const between = cluster.image().brokers.get(leader)!.listeners.find(({ name }) => name === "BETWEEN")!
      expect(link.attempts.map(({ port }) => port)).toEqual([between.port])
    }))
})
