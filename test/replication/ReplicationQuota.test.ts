/** Replicas outside the ISR are copied no faster than asked. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { isThrottled, ReplicationQuota } from "../../core/replication/ReplicationQuota.ts"
import * as Apis from "../broker/Apis.ts"
import { makeWorld, startBroker } from "../broker/TestBroker.ts"
import { startCluster, type TestCluster, until, withTime } from "./TestCluster.ts"

describe("ReplicationQuota", () => {
  it("measures over the windows that there are, one at least, and forgets what is older", () => {
    const quota = new ReplicationQuota({ rate: () => 100, windows: 3, windowMs: 1000 })
    expect(quota.isExceeded(0)).toBe(false)
    quota.record(100, 0)
    expect(quota.rate(0)).toBe(100)
    expect(quota.isExceeded(999)).toBe(false)
    quota.record(1, 999)
    expect(quota.isExceeded(999)).toBe(true)
    expect(quota.rate(2000)).toBe(50.5)
    quota.record(300, 2000)
    expect(quota.rate(2000)).toBe(200.5)
    // The first window is over.
    expect(quota.rate(3000)).toBe(300)
    expect(quota.rate(4999)).toBeCloseTo(300 / 2.999)
    expect(quota.rate(5000)).toBe(0)
  })

  it("holds the mean at the rate, whatever comes when, but for what one answer may have above it", () => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 700 }), bytes: fc.integer({ min: 0, max: 3000 }) }), { maxLength: 200 }),
      (rate, asked) => {
        const quota = new ReplicationQuota({ rate: () => rate, windows: 11, windowMs: 1000 })
        let now = 0
        let given = 0
        for (const { bytes, waitMs } of asked) {
          now += waitMs
          if (quota.isExceeded(now)) continue
          quota.record(bytes, now)
          given += bytes
        }
        // A burst per measured span is the answer that exceeds it and what a window may count for at its beginning.
        const bursts = 1 + Math.ceil(now / 1000)
        expect(given).toBeLessThanOrEqual(rate * (now / 1000 + 1) + 3000 * bursts)
      }
    ))
  })

  it.effect("has the windows that the broker's configuration says", () =>
    Effect.gen(function*() {
      const { broker } = yield* startBroker(yield* makeWorld(), {
        "replication.quota.window.num": "2",
        "replication.quota.window.size.seconds": "3"
      })
      const { follower, leader } = broker.services.replicationQuotas
      for (const quota of [follower, leader]) {
        expect(quota.isExceeded(0)).toBe(false)
        quota.record(600, 0)
        expect(quota.rate(0)).toBe(200)
        expect(quota.rate(5999)).toBeCloseTo(600 / 5.999)
        expect(quota.rate(6000)).toBe(0)
      }
    }))

  it("is for the replicas that the list names", () => {
    expect(isThrottled([], 0, 1)).toBe(false)
    expect(isThrottled(["*"], 7, 9)).toBe(true)
    expect(isThrottled(["0:1", "1:2"], 1, 2)).toBe(true)
    expect(isThrottled(["0:1", "1:2"], 1, 1)).toBe(false)
  })
})

const SET = 0
const TOPIC = 2
const BROKER = 4

const alter = (cluster: TestCluster, resourceType: number, resourceName: string, name: string, value: string) =>
  Effect.gen(function*() {
    // As in Kafka a broker's own configuration is asked of itself.
    const client = yield* cluster.running.get(resourceType === BROKER ? Number(resourceName) : 1)!.connect
    const { responses } = yield* withTime(client.rpc.call(Apis.incrementalAlterConfigsApi, {
      resources: [{ resourceType, resourceName, configs: [{ name, configOperation: SET, value }] }],
      validateOnly: false
    }))
    expect(responses[0]!.errorCode).toBe(ErrorCode.NONE)
  })

const RECORD_BYTES = 10_000
const RECORDS = 60
const RATE = 50_000

/** A follower that missed some 600 KB while it was cut off, and how long it takes to have them, in virtual ms. */
const catchUp = (throttle: (cluster: TestCluster, leader: number, far: number) => Effect.Effect<void, unknown, Scope>) =>
  Effect.gen(function*() {
    const cluster = yield* startCluster({
      "replica.lag.time.max.ms": "5000",
      "replica.fetch.max.bytes": "20000",
      "replica.fetch.backoff.ms": "100",
      "replica.fetch.wait.max.ms": "100"
    })
    const client = yield* cluster.running.get(1)!.connect
    expect((yield* withTime(client.createTopic("t", 1, {}, 3))).errorCode).toBe(ErrorCode.NONE)
    const { leader } = cluster.partitionImage("t")
    const [near, far] = cluster.followers("t") as [number, number]
    yield* until("replicas", () => cluster.partition(far, "t") !== undefined && cluster.partition(near, "t") !== undefined)
    cluster.cut([far])
    const producer = yield* cluster.leaderClient("t")
    const value = "x".repeat(RECORD_BYTES)
    for (let i = 0; i < RECORDS; i++) {
      expect((yield* withTime(producer.produce("t", [value]))).errorCode).toBe(ErrorCode.NONE)
    }
    yield* cluster.isrIs("t", [leader, near].sort())
    yield* throttle(cluster, leader, far)
    const before = yield* TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
    cluster.heal([far])
    yield* until("it has half", () => cluster.partition(far, "t")!.logEndOffset >= RECORDS / 2)
    // Who is in the ISR is not held back meanwhile.
    expect((yield* withTime(producer.produce("t", ["y"]))).errorCode).toBe(ErrorCode.NONE)
    yield* cluster.isrIs("t", [1, 2, 3])
    const after = yield* TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
    return after - before
  })

describe("A replica that is behind", () => {
  it.effect("catches up at once without a throttle, and where another replica, or none, is throttled", () =>
    Effect.gen(function*() {
      expect(yield* catchUp(() => Effect.void)).toBeLessThan(2000)
      // A rate without replicas that it is for.
      expect(yield* catchUp((cluster, leader) => alter(cluster, BROKER, String(leader), "leader.replication.throttled.rate", String(RATE)))).toBeLessThan(2000)
    }))

  it.effect("takes the time that leader.replication.throttled.rate gives it", () =>
    Effect.gen(function*() {
      const tookMs = yield* catchUp((cluster, leader) =>
        Effect.andThen(
          alter(cluster, TOPIC, "t", "leader.replication.throttled.replicas", `0:${leader}`),
          alter(cluster, BROKER, String(leader), "leader.replication.throttled.rate", String(RATE))
        )
      )
      const leastMs = RECORDS * RECORD_BYTES / RATE * 1000
      expect(tookMs).toBeGreaterThan(leastMs * 0.8)
      expect(tookMs).toBeLessThan(leastMs * 1.5)
    }))

  it.effect("takes the time that follower.replication.throttled.rate gives it", () =>
    Effect.gen(function*() {
      const tookMs = yield* catchUp((cluster, _, far) =>
        Effect.andThen(
          alter(cluster, TOPIC, "t", "follower.replication.throttled.replicas", `0:${far}`),
          alter(cluster, BROKER, String(far), "follower.replication.throttled.rate", String(RATE))
        )
      )
      const leastMs = RECORDS * RECORD_BYTES / RATE * 1000
      expect(tookMs).toBeGreaterThan(leastMs * 0.8)
      expect(tookMs).toBeLessThan(leastMs * 1.5)
    }))
})

describe("A replica that is held back", () => {
  it.effect("learns at once that its history is another, or that it is out of range, and is given no records", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "replica.lag.time.max.ms": "5000" })
      const first = yield* cluster.running.get(1)!.connect
      expect((yield* withTime(first.createTopic("t", 1, {}, 3))).errorCode).toBe(ErrorCode.NONE)
      const { leader } = cluster.partitionImage("t")
      const [near, far] = cluster.followers("t") as [number, number]
      cluster.cut([far])
      const client = yield* cluster.leaderClient("t")
      for (const value of ["a", "b"]) expect((yield* withTime(client.produce("t", [value]))).errorCode).toBe(ErrorCode.NONE)
      yield* cluster.isrIs("t", [leader, near].sort())
      yield* alter(cluster, TOPIC, "t", "leader.replication.throttled.replicas", `0:${leader}`)
      yield* alter(cluster, BROKER, String(leader), "leader.replication.throttled.rate", "1")
      const { topicId } = cluster.leading("t")
      const fetchAs = (fetchOffset: number, lastFetchedEpoch: number) =>
        Effect.map(
          withTime(client.rpc.call(Apis.fetchApi, {
            replicaState: { replicaId: far, replicaEpoch: cluster.image().brokers.get(far)!.epoch },
            maxWaitMs: 0,
            minBytes: 1,
            topics: [{ topicId, partitions: [{ partition: 0, fetchOffset, lastFetchedEpoch, currentLeaderEpoch: 0, partitionMaxBytes: 1000 }] }]
          })),
          ({ responses }) => {
            const { divergingEpoch, errorCode, records } = responses[0]!.partitions[0]!
            return [errorCode, divergingEpoch.epoch, divergingEpoch.endOffset, (records?.length ?? 0) > 0]
          }
        )
      const nothing = [ErrorCode.NONE, -1, -1, false]
      // One answer may exceed the rate.
      expect(yield* fetchAs(0, -1)).toEqual([ErrorCode.NONE, -1, -1, true])
      expect(yield* fetchAs(0, -1)).toEqual(nothing)
      expect(yield* fetchAs(9, 0)).toEqual([ErrorCode.NONE, 0, 2, false])
      expect(yield* fetchAs(9, -1)).toEqual([ErrorCode.OFFSET_OUT_OF_RANGE, -1, -1, false])
      expect(yield* fetchAs(2, 0)).toEqual(nothing)
    }))
})
