/** Groups whose coordinator's wall clock is set: sessions and rebalances go by the time that passes, offsets by the date. */
import { describe, expect, it } from "vitest"
import { SETTINGS } from "../model/SettableClock.ts"
import { TestGroups } from "./TestGroups.ts"

const DAY_MS = 24 * 3_600_000

const loaded = (...[config]: ConstructorParameters<typeof TestGroups>): TestGroups => {
  const groups = new TestGroups(config, 1_700_000_000_000)
  groups.perform(groups.state.loaded(groups.now))
  return groups
}

describe.each(SETTINGS)("A group whose coordinator's wall clock is %s", (_what, byMs) => {
  it("puts out who was silent for its session timeout, and nobody else", () => {
    const groups = loaded()
    const [silent, other] = groups.stable(2, [{ sessionTimeoutMs: 10_000 }, { sessionTimeoutMs: 30_000 }])
    groups.advance(6000)
    groups.aheadMs += byMs
    groups.advance(3999)
    expect([...groups.group().members.keys()]).toEqual([silent!.memberId, other!.memberId])
    groups.advance(1)
    expect([...groups.group().members.keys()]).toEqual([other!.memberId])
  })

  it("keeps a member whose heartbeats came before and come after", () => {
    const groups = loaded()
    const [member] = groups.stable(1, [{ sessionTimeoutMs: 10_000 }])
    for (let beat = 0; beat < 6; beat++) {
      if (beat === 3) groups.aheadMs += byMs
      groups.advance(9000)
      expect(groups.heartbeat(member!)).toBe(0)
    }
  })

  it("ends a join after the rebalance timeout, without those who did not come", () => {
    const groups = loaded()
    const [first, second] = groups.stable(2, [
      { rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 60_000 },
      { rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 60_000 }
    ])
    const joined = groups.join({ memberId: first!.memberId, rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 60_000 })
    expect(groups.group().state).toBe("PreparingRebalance")
    groups.aheadMs += byMs
    groups.advance(19_999)
    expect(joined.value).toBeUndefined()
    expect(groups.group().members.has(second!.memberId)).toBe(true)
    groups.advance(1)
    expect(joined.value).toMatchObject({ errorCode: 0, generationId: first!.generationId + 1 })
    expect([...groups.group().members.keys()]).toEqual([first!.memberId])
  })

  it("lets the first members wait for group.initial.rebalance.delay.ms", () => {
    const groups = loaded({ initialRebalanceDelayMs: 3000 })
    const joined = groups.joinNew()
    groups.advance(1000)
    groups.aheadMs += byMs
    groups.advance(1999)
    expect(joined.value).toBeUndefined()
    groups.advance(1)
    expect(joined.value?.errorCode).toBe(0)
  })

  it("writes down and compares dates of offsets by the wall clock", () => {
    const groups = loaded({ offsetsRetentionMs: DAY_MS, offsetsRetentionCheckIntervalMs: 600_000 })
    groups.commitOffset(1)
    expect(groups.state.offsets.get("g", "t", 0)?.commitTimestampMs).toBe(groups.nowMs)
    const committedMs = groups.nowMs
    groups.advance(1000)
    groups.aheadMs += byMs
    groups.advance(DAY_MS - byMs - 601_000)
    expect(groups.nowMs - committedMs).toBeLessThan(DAY_MS)
    expect(groups.committed()).toEqual({ "t-0": 1 })
    groups.advance(1_200_000)
    expect(groups.committed()).toEqual({})
  })
})
