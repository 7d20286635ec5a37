/** The coordinator of a broker whose wall clock is set: its timers fire when their time has passed, its records keep the date. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { recordsIn } from "../broker/TestBroker.ts"
import { settle, stableGroup, startGroups } from "../broker/handlers/GroupBroker.ts"
import { SETTINGS, withSettableClock } from "../model/SettableClock.ts"

describe.each(SETTINGS)("A coordinator whose wall clock is %s", (_what, byMs) => {
  it.effect("ends the session of a silent member at its time, and leaves the others in", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { connectGroup, group } = yield* startGroups()
        yield* group.find("other")
        const silent = yield* stableGroup(group, "g", { sessionTimeoutMs: 10_000 })
        const other = yield* stableGroup(yield* connectGroup, "other", { sessionTimeoutMs: 30_000 })
        yield* TestClock.adjust(4000)
        setWallClock(byMs)
        yield* TestClock.adjust(5999)
        yield* settle
        expect((yield* group.describe("g")).members).toHaveLength(1)
        yield* TestClock.adjust(1)
        yield* settle
        expect((yield* group.describe("g")).members).toHaveLength(0)
        expect(yield* group.heartbeat("g", silent)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
        expect(yield* group.heartbeat("other", other)).toBe(ErrorCode.NONE)
      })
    ))

  it.effect("ends a join that waits for a member at its rebalance timeout", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { connectGroup, group } = yield* startGroups()
        const times = { rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 60_000 }
        yield* stableGroup(group, "g", times)
        const joining = yield* Effect.forkChild((yield* connectGroup).joinNew("g", times), { startImmediately: true })
        yield* settle
        setWallClock(byMs)
        yield* TestClock.adjust(19_999)
        yield* settle
        expect(joining.pollUnsafe()).toBeUndefined()
        yield* TestClock.adjust(1)
        yield* settle
        expect(joining.pollUnsafe()).toBeDefined()
        expect((yield* Fiber.join(joining)).generationId).toBe(2)
      })
    ))

  it.effect("writes down the date that the wall clock has", () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const { broker, client, group } = yield* startGroups()
        yield* TestClock.adjust(1000)
        setWallClock(byMs)
        const nowMs = yield* Clock.currentTimeMillis
        expect(yield* group.commit("g", "t", 0, 1)).toBe(ErrorCode.NONE)
        const partition = broker.services.groups.partitionFor("g")
        const { records } = yield* client.fetchOne("__consumer_offsets", { partition })
        expect(recordsIn(records).map(({ timestamp }) => timestamp)).toEqual([nowMs])
      })
    ))
})
