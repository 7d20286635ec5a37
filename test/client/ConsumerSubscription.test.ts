import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { AssignedPartition, NO_OFFSET, partitionKey, SubscriptionState } from "../../core/client/SubscriptionState.ts"

const partitions = fc.uniqueArray(
  fc.record({ topic: fc.constantFrom("a", "a-1", "b"), partition: fc.nat(11) }),
  { selector: ({ partition, topic }) => partitionKey(topic, partition), maxLength: 12 }
)

describe("SubscriptionState", () => {
  it("what stays assigned keeps its position, what is new has none, what is gone has moved on", () => {
    fc.assert(
      fc.property(fc.array(partitions, { minLength: 1, maxLength: 6 }), (rounds) => {
        const subscription = new SubscriptionState()
        const positions = new Map<string, number>()
        let offset = 0
        for (const assigned of rounds) {
          const before = new Map(subscription.partitions)
          const versions = new Map([...before].map(([key, { version }]) => [key, version]))
          const { added, removed } = subscription.setAssigned(assigned)
          const keys = assigned.map(({ partition, topic }) => partitionKey(topic, partition))
          expect([...subscription.partitions.keys()]).toEqual(keys)
          expect(added.map(({ key }) => key)).toEqual(keys.filter((key) => !before.has(key)))
          expect(removed.map(({ key }) => key)).toEqual([...before.keys()].filter((key) => !keys.includes(key)))
          for (const state of removed) expect(state.version).toBeGreaterThan(versions.get(state.key)!)
          for (const state of subscription.partitions.values()) {
            if (before.has(state.key)) expect(state.position).toBe(positions.get(state.key))
            else {
              expect(state.position).toBe(NO_OFFSET)
              state.seek(++offset)
              positions.set(state.key, offset)
            }
          }
        }
      })
    )
  })

  it("keys name one partition each", () => {
    fc.assert(
      fc.property(partitions, (assigned) => {
        expect(new Set(assigned.map(({ partition, topic }) => partitionKey(topic, partition))).size).toBe(assigned.length)
      })
    )
  })

  it("a pattern matches whole names, and says whether its topics changed", () => {
    const subscription = new SubscriptionState()
    subscription.subscribePattern(/logs-\d+/g)
    expect(subscription.matched(["logs-1", "my-logs-1", "logs-1-old", "logs-22"])).toBe(true)
    expect(subscription.topics).toEqual(["logs-1", "logs-22"])
    expect(subscription.matched(["logs-22", "logs-1"])).toBe(false)
    expect(subscription.matched(["logs-1"])).toBe(true)
  })
})

describe("AssignedPartition", () => {
  const moves = fc.array(
    fc.oneof(
      fc.record({ move: fc.constant("seek" as const), offset: fc.nat(100), epoch: fc.integer({ min: -1, max: 3 }) }),
      fc.record({ move: fc.constant("reset" as const), offset: fc.constantFrom(-1, -2, 5), epoch: fc.constant(-1) }),
      fc.record({ move: fc.constant("take" as const), offset: fc.nat(5), epoch: fc.nat(3) }),
      fc.record({ move: fc.constant("leader" as const), offset: fc.constant(0), epoch: fc.integer({ min: -1, max: 5 }) }),
      fc.record({ move: fc.constant("validated" as const), offset: fc.integer({ min: -1, max: 120 }), epoch: fc.integer({ min: -1, max: 5 }) })
    ),
    { maxLength: 40 }
  )

  it("gives out and commits only from a position that is known to be good", () => {
    fc.assert(
      fc.property(moves, (script) => {
        const state = new AssignedPartition("t", 0)
        for (const { epoch, move, offset } of script) {
          const { phase, position, version } = state
          switch (move) {
            case "seek":
              state.seek(offset, epoch)
              expect(state.position).toBe(offset)
              expect(state.version).toBe(version + 1)
              // An epoch that is known is asked about first.
              expect(state.phase).toBe(epoch === -1 ? "Fetching" : "Validating")
              break
            case "reset":
              state.reset(offset)
              expect(state.isReadable).toBe(false)
              break
            case "take":
              if (!state.isReadable) break
              state.fetchOffset = Math.max(state.fetchOffset, position + offset)
              state.advance(position + offset, epoch)
              break
            case "leader": {
              const isVoid = state.onLeaderEpoch(epoch, true)
              expect(isVoid).toBe(phase === "Fetching" && state.phase === "Validating")
              if (isVoid) expect(state.fetchOffset).toBe(state.position)
              break
            }
            case "validated": {
              if (phase !== "Validating") break
              const truncated = state.validated(offset, epoch, 5)
              if (truncated === undefined) expect(state.phase).toBe("Fetching")
              else {
                expect(offset < position || epoch < 0).toBe(true)
                expect(state.isReadable).toBe(false)
              }
              break
            }
          }
          expect(state.fetchOffset).toBeGreaterThanOrEqual(state.position)
          if (state.isReadable) expect(state.position).toBeGreaterThanOrEqual(0)
          if (state.phase !== "Fetching") expect(state.consumed).toBeUndefined()
          else expect(state.consumed?.offset).toBe(state.position)
        }
      })
    )
  })

  it("a reader that is behind is what is committed", () => {
    const state = new AssignedPartition("t", 0)
    state.seek(10)
    state.advance(50, 2)
    state.processed = 30
    state.processedEpoch = 1
    expect(state.consumed).toEqual({ offset: 30, leaderEpoch: 1 })
    state.seek(5)
    expect(state.consumed).toEqual({ offset: 5, leaderEpoch: -1 })
  })
})
