/** The group APIs on the whole broker, on memory layers and the test's clock. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { stableGroup, startGroups, startOn } from "./GroupBroker.ts"
import { textOf } from "./GroupClient.ts"

describe("a group", () => {
  it.effect("is joined, synced, kept alive and left, and keeps offsets", () =>
    Effect.gen(function*() {
      const { group } = yield* startGroups()
      const first = yield* group.join("g")
      expect(first.errorCode).toBe(ErrorCode.MEMBER_ID_REQUIRED)
      const joined = yield* group.join("g", { memberId: first.memberId })
      expect(joined).toMatchObject({
        errorCode: 0,
        generationId: 1,
        protocolType: "consumer",
        protocolName: "range",
        leader: first.memberId,
        memberId: first.memberId
      })
      expect(joined.members.map(({ memberId }) => memberId)).toEqual([first.memberId])
      const synced = yield* group.sync("g", joined, { [joined.memberId]: "t-0 t-1" })
      expect(synced).toMatchObject({ errorCode: 0, protocolType: "consumer", protocolName: "range" })
      expect(textOf(synced.assignment)).toBe("t-0 t-1")
      expect(yield* group.heartbeat("g", joined)).toBe(ErrorCode.NONE)
      const of = { memberId: joined.memberId, generationId: 1 }
      expect(yield* group.commit("g", "t", 0, 7, { ...of, metadata: "mine" })).toBe(ErrorCode.NONE)
      expect(yield* group.commit("g", "t", 1, 9, of)).toBe(ErrorCode.NONE)
      expect(yield* group.committed("g")).toEqual({ "t-0": 7, "t-1": 9 })
      const left = yield* group.leave("g", joined.memberId)
      expect(left.members.map(({ errorCode }) => errorCode)).toEqual([ErrorCode.NONE])
      expect(yield* group.heartbeat("g", joined)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
      expect(yield* group.committed("g")).toEqual({ "t-0": 7, "t-1": 9 })
    }))

  it.effect("is the same after a restart: its members go on where they were", () =>
    Effect.gen(function*() {
      const { broker: _, group, stop, world } = yield* startGroups()
      const member = yield* stableGroup(group)
      yield* group.commit("g", "t", 0, 42, member)
      yield* stop
      const again = yield* startOn(world)
      expect(yield* again.group.heartbeat("g", member)).toBe(ErrorCode.NONE)
      expect(yield* again.group.committed("g")).toEqual({ "t-0": 42 })
      expect(textOf((yield* again.group.sync("g", member)).assignment)).toBe("all of it")
      expect(yield* again.group.commit("g", "t", 0, 43, member)).toBe(ErrorCode.NONE)
    }))
})
