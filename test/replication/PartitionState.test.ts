import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  effectiveMinIsr,
  HIGH_WATERMARK_MOVED,
  ISR_CHANGE_WANTED,
  isUnderMinIsr,
  makePartitionState,
  type PartitionEvent,
  type PartitionState,
  step
} from "../../core/replication/PartitionState.ts"

const SELF = 1
const REPLICAS = [1, 2, 3]

const fresh = (overrides: { logEndOffset?: number; highWatermark?: number; minInsyncReplicas?: number } = {}): PartitionState =>
  makePartitionState(SELF, { logStartOffset: 0, logEndOffset: 0, highWatermark: 0, minInsyncReplicas: 1, ...overrides })

const lead = (replicas: ReadonlyArray<number>, isr = replicas, leaderEpoch = 0, partitionEpoch = 0): PartitionEvent => ({
  _tag: "BecomeLeader",
  leaderEpoch,
  partitionEpoch,
  replicas,
  isr
})
const appended = (logEndOffset: number, flushDue = false): PartitionEvent => ({ _tag: "Appended", logEndOffset, flushDue })
const fetched = (replica: number, fetchOffset: number, eligible = true): PartitionEvent => ({
  _tag: "FollowerFetched",
  replica,
  brokerEpoch: 7,
  fetchOffset,
  logStartOffset: 0,
  eligible
})

/** What a leader can be told, as moves that are made legal for the state they meet. */
type Move =
  | { readonly kind: "append"; readonly count: number; readonly flushDue: boolean }
  | { readonly kind: "flush"; readonly share: number }
  | { readonly kind: "fetch"; readonly replica: number; readonly share: number; readonly eligible: boolean }
  | { readonly kind: "isr"; readonly granted: boolean }
  | { readonly kind: "lag" }
  | { readonly kind: "elect" }
  | { readonly kind: "minIsr"; readonly value: number }
  | { readonly kind: "logStart"; readonly share: number }

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), count: fc.integer({ min: 1, max: 5 }), flushDue: fc.boolean() }),
  fc.record({ kind: fc.constant("flush" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({
    kind: fc.constant("fetch" as const),
    replica: fc.constantFrom(2, 3),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    eligible: fc.boolean()
  }),
  fc.record({ kind: fc.constant("isr" as const), granted: fc.boolean() }),
  fc.record({ kind: fc.constant("lag" as const) }),
  fc.record({ kind: fc.constant("elect" as const) }),
  fc.record({ kind: fc.constant("minIsr" as const), value: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant("logStart" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) })
)

const eventOf = (state: PartitionState, one: Move): PartitionEvent => {
  switch (one.kind) {
    case "append":
      return appended(state.logEndOffset + one.count, one.flushDue)
    case "flush":
      return { _tag: "Flushed", flushedOffset: Math.round(one.share * state.logEndOffset) }
    case "fetch": {
      // A follower's log end grows within an epoch.
      const known = Math.max(0, state.followers.get(one.replica)?.logEndOffset ?? 0)
      return fetched(one.replica, known + Math.round(one.share * (state.logEndOffset - known)), one.eligible)
    }
    case "isr":
      return one.granted && state.isrInFlight !== undefined
        ? { _tag: "IsrCommitted", isr: state.isrInFlight.isr, partitionEpoch: state.partitionEpoch + 1 }
        : { _tag: "IsrRefused" }
    case "lag":
      return { _tag: "LagCheck", replicaLagTimeMaxMs: 30 }
    case "elect":
      return lead(REPLICAS, state.isr, state.leaderEpoch + 1, state.partitionEpoch + 1)
    case "minIsr":
      return { _tag: "MinInsyncReplicas", minInsyncReplicas: one.value }
    case "logStart":
      return { _tag: "LogStartMoved", logStartOffset: Math.round(one.share * state.highWatermark) }
  }
}

/** Runs moves 10 ms apart and gives the events they were. */
const run = (state: PartitionState, moves: ReadonlyArray<Move>, each: (flags: number, event: PartitionEvent) => void): Array<PartitionEvent> => {
  const events: Array<PartitionEvent> = [lead(REPLICAS)]
  step(state, events[0]!, 0)
  moves.forEach((one, index) => {
    const event = eventOf(state, one)
    events.push(event)
    each(step(state, event, (index + 1) * 10), event)
  })
  return events
}

const SEED = { seed: 20260731, numRuns: 500 }

describe("PartitionState", () => {
  it("never moves a leader's high watermark back, nor past a member of the ISR, nor while the ISR is too small", () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        const state = fresh()
        let previous = state.highWatermark
        run(state, moves, (flags, event) => {
          expect(state.highWatermark).toBeGreaterThanOrEqual(previous)
          expect(state.highWatermark !== previous).toBe((flags & HIGH_WATERMARK_MOVED) !== 0)
          expect(state.highWatermark).toBeLessThanOrEqual(state.durableEndOffset)
          expect(state.durableEndOffset).toBeLessThanOrEqual(state.logEndOffset)
          if (state.highWatermark > previous && event._tag !== "LogStartMoved") {
            expect(isUnderMinIsr(state)).toBe(false)
            const members = new Set([...state.isr, ...(state.isrInFlight?.isr ?? [])])
            for (const [replica, follower] of state.followers) {
              if (members.has(replica)) expect(state.highWatermark).toBeLessThanOrEqual(follower.logEndOffset)
            }
          }
          previous = state.highWatermark
        })
      }),
      SEED
    )
  })

  it("gives the same state for the same events", () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        const first = fresh()
        const events = run(first, moves, () => {})
        const second = fresh()
        events.forEach((event, index) => step(second, event, index * 10))
        expect(second).toEqual(first)
      }),
      SEED
    )
  })

  it("has one ISR change in flight at a time and always keeps the leader in it", () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        const state = fresh()
        let inFlight: PartitionState["isrInFlight"]
        run(state, moves, (flags) => {
          if ((flags & ISR_CHANGE_WANTED) !== 0) expect(inFlight).toBeUndefined()
          inFlight = state.isrInFlight
          expect(inFlight?.isr ?? [SELF]).toContain(SELF)
        })
      }),
      SEED
    )
  })

  it("moves the high watermark of a single replica with every append", () => {
    const state = fresh()
    step(state, lead([SELF]), 0)
    expect(step(state, appended(3), 1)).toBe(HIGH_WATERMARK_MOVED)
    expect(state.highWatermark).toBe(3)
  })

  it("counts a single replica as enough although min.insync.replicas is two", () => {
    const state = fresh({ minInsyncReplicas: 2 })
    step(state, lead([SELF]), 0)
    expect(effectiveMinIsr(state)).toBe(1)
    expect(step(state, appended(1), 1)).toBe(HIGH_WATERMARK_MOVED)
  })

  it("holds the high watermark while an fsync is due and moves it when all that was due is flushed", () => {
    const state = fresh()
    step(state, lead([SELF]), 0)
    step(state, appended(2), 1)
    expect(step(state, appended(5, true), 2)).toBe(0)
    expect(step(state, appended(6), 3)).toBe(0)
    expect(step(state, { _tag: "Flushed", flushedOffset: 4 }, 4)).toBe(HIGH_WATERMARK_MOVED)
    expect(state.highWatermark).toBe(4)
    step(state, { _tag: "Flushed", flushedOffset: 6 }, 5)
    expect(state.highWatermark).toBe(6)
    step(state, appended(7), 6)
    expect(state.highWatermark).toBe(7)
  })

  it("waits for every member of the ISR, and for one that is joining", () => {
    const state = fresh()
    step(state, lead(REPLICAS, [1, 2]), 0)
    step(state, appended(10), 1)
    expect(state.highWatermark).toBe(0)
    step(state, fetched(2, 10), 2)
    expect(state.highWatermark).toBe(10)
    expect(step(state, fetched(3, 10), 3) & ISR_CHANGE_WANTED).toBe(ISR_CHANGE_WANTED)
    step(state, appended(12), 4)
    step(state, fetched(2, 12), 5)
    expect(state.highWatermark).toBe(10)
    step(state, { _tag: "IsrRefused" }, 6)
    expect(state.highWatermark).toBe(12)
  })

  it("still waits for a follower that it asked to remove, until that is granted", () => {
    const state = fresh()
    step(state, lead([1, 2]), 0)
    step(state, appended(5), 1)
    expect(step(state, { _tag: "LagCheck", replicaLagTimeMaxMs: 30 }, 100)).toBe(ISR_CHANGE_WANTED)
    expect(state.highWatermark).toBe(0)
    step(state, { _tag: "IsrCommitted", isr: [1], partitionEpoch: 1 }, 101)
    expect(state.highWatermark).toBe(5)
  })

  it("does not let a fenced follower join", () => {
    const state = fresh()
    step(state, lead([1, 2], [1]), 0)
    expect(step(state, fetched(2, 0, false), 1)).toBe(0)
    expect(step(state, fetched(2, 0, true), 2)).toBe(ISR_CHANGE_WANTED)
  })

  it("lets a follower join only from the start of the leader's epoch on", () => {
    const state = fresh({ logEndOffset: 8, highWatermark: 4, minInsyncReplicas: 2 })
    step(state, lead([1, 2], [1], 3), 0)
    expect(state.highWatermark).toBe(4)
    expect(step(state, fetched(2, 5), 1)).toBe(0)
    expect(step(state, fetched(2, 8), 2)).toBe(ISR_CHANGE_WANTED)
  })

  it("keeps a follower's high watermark within its own log", () => {
    const state = fresh({ logEndOffset: 6 })
    step(state, { _tag: "BecomeFollower", leaderId: 2, leaderEpoch: 1, partitionEpoch: 0, replicas: [1, 2], isr: [1, 2] }, 0)
    step(state, { _tag: "LeaderHighWatermark", highWatermark: 9 }, 1)
    expect(state.highWatermark).toBe(6)
    // Another leader that does not know yet how far it is.
    expect(step(state, { _tag: "LeaderHighWatermark", highWatermark: 4 }, 2)).toBe(0)
    expect(state.highWatermark).toBe(6)
    step(state, { _tag: "Truncated", logStartOffset: 0, logEndOffset: 3 }, 2)
    expect(state.highWatermark).toBe(3)
  })
})
