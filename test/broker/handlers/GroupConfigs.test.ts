/** What each configuration key of groups does. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { settle, stableGroup, startGroups, startOn } from "./GroupBroker.ts"

const MINUTE = 60_000

describe("a configuration of groups", () => {
  it.effect("group.initial.rebalance.delay.ms is what an empty group waits for more members, 0 by default", () =>
    Effect.gen(function*() {
      const waiting = yield* startGroups({ "group.initial.rebalance.delay.ms": "3000" })
      const first = yield* Effect.forkChild(waiting.group.joinNew("g"))
      yield* settle
      yield* TestClock.adjust(2999)
      yield* settle
      expect(first.pollUnsafe()).toBeUndefined()
      // Who comes within the delay extends it once more, and is in the same generation.
      const second = yield* Effect.forkChild((yield* waiting.connectGroup).joinNew("g"))
      yield* settle
      yield* TestClock.adjust(1)
      yield* settle
      expect(first.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(3000)
      const joined = [yield* Fiber.join(first), yield* Fiber.join(second)]
      expect(joined.map(({ generationId }) => generationId)).toEqual([1, 1])
      expect(joined.map(({ members }) => members.length)).toEqual([2, 0])

      const { group } = yield* startGroups()
      expect((yield* group.joinNew("g")).generationId).toBe(1)
    }))

  it.effect("group.min.session.timeout.ms and group.max.session.timeout.ms bound a member's session timeout", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups({ "group.min.session.timeout.ms": "100", "group.max.session.timeout.ms": "200" })
      const errorOf = (sessionTimeoutMs: number) =>
        Effect.map(group.join("g", { sessionTimeoutMs }), ({ errorCode }) => errorCode)
      expect(yield* errorOf(99)).toBe(ErrorCode.INVALID_SESSION_TIMEOUT)
      expect(yield* errorOf(201)).toBe(ErrorCode.INVALID_SESSION_TIMEOUT)
      expect(yield* errorOf(100)).toBe(ErrorCode.MEMBER_ID_REQUIRED)
      expect(yield* errorOf(200)).toBe(ErrorCode.MEMBER_ID_REQUIRED)
    }))

  it.effect("group.max.size is how many members a group takes", () =>
    Effect.gen(function*() {
      const { connectGroup, group } = yield* startGroups({ "group.max.size": "1" })
      yield* stableGroup(group)
      const other = yield* connectGroup
      expect((yield* other.join("g")).errorCode).toBe(ErrorCode.GROUP_MAX_SIZE_REACHED)
      expect((yield* group.describe("g")).members).toHaveLength(1)
    }))

  it.effect("offset.metadata.max.bytes bounds what is kept with an offset", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups({ "offset.metadata.max.bytes": "3" })
      expect(yield* group.commit("g", "t", 0, 1, { metadata: "four" })).toBe(ErrorCode.OFFSET_METADATA_TOO_LARGE)
      expect(yield* group.committed("g")).toEqual({})
      expect(yield* group.commit("g", "t", 0, 1, { metadata: "abc" })).toBe(ErrorCode.NONE)
    }))

  it.effect("offsets.retention.minutes is how long offsets are kept, offsets.retention.check.interval.ms how often that is looked at", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups({
        "offsets.retention.minutes": "2",
        "offsets.retention.check.interval.ms": "30000"
      })
      const member = yield* stableGroup(group, "g", { sessionTimeoutMs: 6000 })
      yield* group.commit("g", "t", 0, 7, member)
      yield* group.commit("simple", "t", 0, 8)
      // A member is there: what it reads is kept however old it is.
      for (let i = 0; i < 60; i++) {
        yield* TestClock.adjust(3000)
        expect(yield* group.heartbeat("g", member)).toBe(ErrorCode.NONE)
      }
      expect(yield* group.committed("g")).toEqual({ "t-0": 7 })
      expect(yield* group.committed("simple")).toEqual({})
      // Without members they are kept for so long after the last one left.
      yield* group.leave("g", member.memberId)
      yield* TestClock.adjust(2 * MINUTE - 1)
      yield* settle
      expect(yield* group.committed("g")).toEqual({ "t-0": 7 })
      yield* TestClock.adjust(30_000)
      yield* settle
      expect(yield* group.committed("g")).toEqual({})
      expect((yield* group.list()).groups).toEqual([])
    }))

  it.effect("offsets.topic.compression.codec is the codec of what is written, and read again", () =>
    Effect.gen(function*() {
      for (const codec of [0, 1, 2, 3, 4]) {
        const overrides = { "offsets.topic.compression.codec": String(codec), "offsets.topic.num.partitions": "1" }
        const { client, group, stop, world } = yield* startGroups(overrides)
        yield* stableGroup(group)
        expect(yield* group.commit("simple", "t", 0, 9, { metadata: "x".repeat(200) })).toBe(ErrorCode.NONE)
        const { records } = yield* client.fetchOne("__consumer_offsets")
        expect(new DataView(records!.buffer, records!.byteOffset).getInt16(21) & 7).toBe(codec)
        yield* stop
        const again = yield* startOn(world, overrides)
        expect(yield* again.group.committed("simple")).toEqual({ "t-0": 9 })
        expect((yield* again.group.describe("g")).groupState).toBe("Stable")
      }
    }))

  it.effect("offsets.commit.timeout.ms is how long a coordinator waits for its log", () =>
    Effect.gen(function*() {
      const { broker, client, group } = yield* startGroups({ "offsets.commit.timeout.ms": "50" })
      yield* group.commit("g", "t", 0, 1)
      // A log that commits nothing, as when too few replicas are in sync.
      const partition = broker.services.partitions.get("__consumer_offsets", broker.services.groups.partitionFor("g"))!
      partition.appendOutcome = () => undefined
      const commit = yield* Effect.forkChild(group.commit("g", "t", 0, 2))
      yield* settle
      yield* TestClock.adjust(49)
      yield* settle
      expect(commit.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      expect(yield* Fiber.join(commit)).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE)
      expect((yield* client.fetchOne("t")).errorCode).toBe(ErrorCode.NONE)
    }))
})
