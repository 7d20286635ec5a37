/** A broker whose wall clock is set while others wait: each wait ends after its time, neither earlier nor later. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { SETTINGS, withSettableClock } from "../model/SettableClock.ts"
import { IDS, settle, startCluster, until, withTime } from "../replication/TestCluster.ts"
import { makeWorld, startBroker, type Overrides } from "./TestBroker.ts"

const start = (overrides: Overrides = {}) =>
  Effect.gen(function*() {
    const running = yield* startBroker(yield* makeWorld(), overrides)
    const client = yield* running.connect
    yield* client.createTopic("t")
    return { ...running, client }
  })

const startThree = (overrides: Overrides) =>
  Effect.gen(function*() {
    const cluster = yield* startCluster(overrides)
    const client = yield* cluster.running.get(1)!.connect
    yield* withTime(client.createTopic("t", 1, {}, IDS.length))
    yield* cluster.isrIs("t", IDS)
    yield* until("replicas", () => IDS.every((id) => cluster.partition(id, "t") !== undefined))
    return { cluster, client: yield* cluster.leaderClient("t") }
  })

describe.each(SETTINGS)("A broker whose wall clock is %s", (_what, byMs) => {
  it.effect("answers long polls when their time is up", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { client } = yield* start()
        const poll = yield* Effect.forkChild(client.fetchOne("t", { maxWaitMs: 500 }), { startImmediately: true })
        yield* settle
        yield* TestClock.adjust(200)
        setWallClock(byMs)
        yield* TestClock.adjust(299)
        yield* settle
        expect(poll.pollUnsafe()).toBeUndefined()
        yield* TestClock.adjust(1)
        yield* settle
        expect(poll.pollUnsafe()).toBeDefined()
      })
    ))

  it.effect("ends waits that began before with those that began after", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { client, connect } = yield* start()
        const other = yield* connect
        const first = yield* Effect.forkChild(client.fetchOne("t", { maxWaitMs: 500 }), { startImmediately: true })
        yield* settle
        setWallClock(byMs)
        const second = yield* Effect.forkChild(other.fetchOne("t", { maxWaitMs: 300 }), { startImmediately: true })
        yield* settle
        yield* TestClock.adjust(299)
        yield* settle
        expect([first.pollUnsafe(), second.pollUnsafe()]).toEqual([undefined, undefined])
        yield* TestClock.adjust(1)
        yield* settle
        expect([first.pollUnsafe() === undefined, second.pollUnsafe() === undefined]).toEqual([true, false])
        yield* TestClock.adjust(200)
        yield* settle
        expect(first.pollUnsafe()).toBeDefined()
      })
    ))

  it.effect("times out acks=all after the request's timeout", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { client, cluster } = yield* startThree({ "replica.lag.time.max.ms": "600000" })
        cluster.cut(cluster.followers("t"))
        const produced = yield* Effect.forkChild(client.produce("t", ["a"], { timeoutMs: 2000 }), { startImmediately: true })
        yield* settle
        setWallClock(byMs)
        yield* TestClock.adjust(1999)
        yield* settle
        expect(produced.pollUnsafe()).toBeUndefined()
        yield* TestClock.adjust(1)
        expect((yield* withTime(Fiber.join(produced))).errorCode).toBe(ErrorCode.REQUEST_TIMED_OUT)
      })
    ))

  it.effect("puts who lags out of the ISR after replica.lag.time.max.ms, and nobody else", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { client, cluster } = yield* startThree({ "replica.lag.time.max.ms": "10000" })
        const [near, far] = cluster.followers("t") as [number, number]
        cluster.cut([far])
        yield* client.produce("t", ["a"], { acks: 1 })
        setWallClock(byMs)
        yield* TestClock.adjust(9000)
        yield* settle
        expect(cluster.partitionImage("t").isr).toHaveLength(3)
        // It is looked at twice in that time.
        for (let step = 0; step < 7; step++) {
          yield* TestClock.adjust(1000)
          yield* settle
        }
        expect([...cluster.partitionImage("t").isr].sort()).toEqual([cluster.partitionImage("t").leader, near].sort())
      })
    ))

  it.effect("closes connections that were idle for connections.max.idle.ms, and only those", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { broker, client, connect } = yield* start({ "connections.max.idle.ms": "10000" })
        const idle = yield* connect
        yield* settle
        yield* TestClock.adjust(6000)
        yield* client.fetchOne("t")
        setWallClock(byMs)
        yield* TestClock.adjust(3999)
        yield* settle
        expect([broker.connectionCount(), idle.rpc.isOpen]).toEqual([2, true])
        yield* TestClock.adjust(1)
        yield* settle
        expect([broker.connectionCount(), idle.rpc.isOpen, client.rpc.isOpen]).toEqual([1, false, true])
      })
    ))
})
