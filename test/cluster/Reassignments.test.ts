import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ElectionType } from "../../core/cluster/Commands.ts"
import { decideAlterPartitionReassignments, listReassignments } from "../../core/cluster/Reassignments.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { brokersWithout, contextOf, imageOf, partitionOf, PartitionWorld } from "./PartitionWorld.ts"

const worldOf = (over: Parameters<typeof partitionOf>[0] = {}, minIsr = 1, unclean = false, fenced: ReadonlyArray<number> = []) =>
  new PartitionWorld(partitionOf(over), brokersWithout(...fenced), contextOf(minIsr, unclean))

const decide = (replicas: ReadonlyArray<number> | null, over: { topic?: string; partition?: number; keep?: boolean } = {}) =>
  decideAlterPartitionReassignments(
    imageOf(partitionOf(), brokersWithout()),
    [{ topic: over.topic ?? "t", partition: over.partition ?? 0, replicas }],
    over.keep !== true,
    contextOf()
  ).map(({ change, result: { error, message } }) => [error, message, change === undefined])[0]

describe("a reassignment", () => {
  it("begins with the target, then those that go, and goes on until the new ones are in the ISR", () => {
    const world = worldOf()
    expect(world.reassign([4, 2])).toBe(ErrorCode.NONE)
    expect(world.partition).toMatchObject({
      replicas: [4, 2, 1, 3],
      addingReplicas: [4],
      removingReplicas: [1, 3],
      isr: [1, 2, 3],
      leader: 1,
      leaderEpoch: 3,
      partitionEpoch: 6
    })
    expect(listReassignments(world.image(), null)).toEqual([
      { topic: "t", partition: 0, replicas: [4, 2, 1, 3], addingReplicas: [4], removingReplicas: [1, 3] }
    ])
    // The leader goes, and hears so; the first of the target takes over.
    expect(world.alterIsr([1, 2, 3, 4])).toBe(ErrorCode.NEW_LEADER_ELECTED)
    expect(world.partition).toMatchObject({
      replicas: [4, 2],
      addingReplicas: [],
      removingReplicas: [],
      isr: [2, 4],
      leader: 4,
      leaderEpoch: 4,
      partitionEpoch: 7
    })
    expect(listReassignments(world.image(), null)).toEqual([])
  })

  it("raises the leader epoch of a leader that stays when a replica goes, and only then", () => {
    const world = worldOf()
    world.reassign([1, 4, 5])
    world.alterIsr([1, 2, 3, 4])
    expect(world.partition).toMatchObject({ leaderEpoch: 3, addingReplicas: [4, 5] })
    expect(world.alterIsr([1, 2, 3, 4, 5])).toBe(ErrorCode.NONE)
    expect(world.partition).toMatchObject({ replicas: [1, 4, 5], isr: [1, 4, 5], leader: 1, leaderEpoch: 4 })
    world.reassign([1, 4, 5, 2])
    world.alterIsr([1, 4, 5, 2])
    expect(world.partition).toMatchObject({ replicas: [1, 4, 5, 2], leaderEpoch: 4 })
  })

  it("is done at once when it adds nobody and the ISR has all that stay", () => {
    const world = worldOf()
    world.reassign([3, 1, 2])
    expect(world.partition).toMatchObject({ replicas: [3, 1, 2], leader: 1, leaderEpoch: 3, partitionEpoch: 6 })
    world.reassign([3])
    expect(world.partition).toMatchObject({ replicas: [3], isr: [3], leader: 3, leaderEpoch: 4, removingReplicas: [] })
  })

  it("that takes replicas away waits until all that stay are in the ISR", () => {
    const world = worldOf({ isr: [1, 3] })
    world.reassign([2, 3])
    expect(world.partition).toMatchObject({ replicas: [2, 3, 1], removingReplicas: [1], isr: [1, 3], leader: 1 })
    world.alterIsr([1, 3, 2])
    expect(world.partition).toMatchObject({ replicas: [2, 3], removingReplicas: [], leader: 2 })
  })

  it("that takes away no more than it adds ends although one that stays lags or is dead, as in Kafka", () => {
    for (const [minIsr, dead] of [[1, []], [2, []], [2, [2]]] as const) {
      const world = worldOf({ isr: [1, 3] }, minIsr, false, dead)
      world.reassign([4, 2, 3])
      expect(world.partition).toMatchObject({ replicas: [4, 2, 3, 1], addingReplicas: [4], removingReplicas: [1], isr: [1, 3] })
      expect(world.alterIsr([1, 3, 4])).toBe(ErrorCode.NEW_LEADER_ELECTED)
      expect(world.partition).toMatchObject({ replicas: [4, 2, 3], removingReplicas: [], isr: [3, 4], leader: 4, leaderEpoch: 4 })
    }
  })

  it("changes nothing when the target is what is there", () => {
    expect(decide([1, 2, 3])).toEqual([ErrorCode.NONE, null, true])
  })

  it("is refused with Kafka's errors and words", () => {
    expect(decide([1, 2, 3], { topic: "u" })).toEqual([ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "Unable to find a topic named u.", true])
    expect(decide(null, { partition: 7 })).toEqual([ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "Unable to find partition t:7.", true])
    expect(decide([1, 2, 9])).toEqual([
      ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      "The manual partition assignment includes broker 9, but no such broker is registered.",
      true
    ])
    expect(decide([])).toEqual([ErrorCode.INVALID_REPLICA_ASSIGNMENT, "The manual partition assignment includes an empty replica list.", true])
    expect(decide([1, 1])?.[0]).toBe(ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    expect(decide([1, 2], { keep: true })).toEqual([ErrorCode.INVALID_REPLICATION_FACTOR, "The replication factor is changed from 3 to 2", true])
    expect(decide(null)).toEqual([ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, null, true])
    // While one is under way the number that counts is the one it leads to.
    const world = worldOf()
    world.reassign([4, 2])
    expect(world.reassign([5, 2, 1], false)).toBe(ErrorCode.INVALID_REPLICATION_FACTOR)
    expect(world.reassign([5, 2], false)).toBe(ErrorCode.NONE)
  })

  it("is replaced by another: back to what was there it is done at once, and who is named stays", () => {
    const back = worldOf()
    back.reassign([4, 2])
    back.reassign([1, 2, 3])
    expect(back.partition).toMatchObject({ replicas: [1, 2, 3], addingReplicas: [], removingReplicas: [], leader: 1 })
    const stays = worldOf()
    stays.reassign([4, 2])
    stays.reassign([4, 2, 1])
    expect(stays.partition).toMatchObject({ replicas: [4, 2, 1, 3], addingReplicas: [4], removingReplicas: [3] })
    stays.reassign([4, 5])
    expect(stays.partition).toMatchObject({ replicas: [4, 5, 1, 2, 3], addingReplicas: [4, 5], removingReplicas: [1, 2, 3] })
    stays.reassign(null)
    expect([...stays.partition.replicas].sort()).toEqual([1, 2, 3])
  })

  it("is taken back: who was being added leaves, under a new leader epoch", () => {
    const world = worldOf()
    world.reassign([4, 5])
    world.alterIsr([1, 2, 3, 4])
    expect(world.partition.addingReplicas).toEqual([4, 5])
    expect(world.reassign(null)).toBe(ErrorCode.NONE)
    expect(world.partition).toMatchObject({
      replicas: [1, 2, 3],
      isr: [1, 2, 3],
      addingReplicas: [],
      removingReplicas: [],
      leader: 1,
      leaderEpoch: 4
    })
    expect(world.reassign(null)).toBe(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
  })

  it("is not taken back when none of the old replicas has the records, unless unclean elections are allowed", () => {
    const midway = { replicas: [4, 5, 1, 2], addingReplicas: [4, 5], removingReplicas: [1, 2], isr: [4], leader: 4 }
    const strict = worldOf(midway)
    expect(strict.reassign(null)).toBe(ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    expect(strict.partition).toMatchObject(midway)
    const loose = worldOf(midway, 1, true)
    expect(loose.reassign(null)).toBe(ErrorCode.NONE)
    expect(loose.partition).toMatchObject({ replicas: [1, 2], isr: [1], leader: 1, leaderEpoch: 4 })
  })

  it("never leaves acknowledged records to fewer replicas than min.insync.replicas asks for", () => {
    // 1 and 4 acknowledged with min.insync.replicas=2; neither ending nor going back may drop one of them.
    const ending = worldOf({ replicas: [4, 2, 3, 1], addingReplicas: [4], removingReplicas: [1], isr: [1] }, 2)
    expect(ending.alterIsr([1, 4])).toBe(ErrorCode.NONE)
    expect(ending.partition).toMatchObject({ isr: [1, 4], removingReplicas: [1], leader: 1 })
    expect(ending.reassign(null)).toBe(ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    expect(ending.alterIsr([1, 4, 2])).toBe(ErrorCode.NEW_LEADER_ELECTED)
    expect(ending.partition).toMatchObject({ replicas: [4, 2, 3], isr: [4, 2], removingReplicas: [] })
  })

  it("ends when min.insync.replicas asks for no more any longer", () => {
    let minIsr = 3
    const context = { minInSyncReplicas: () => minIsr, uncleanLeaderElection: () => false }
    const midway = { replicas: [1, 4, 2, 3], addingReplicas: [4], removingReplicas: [3], isr: [1, 3] }
    const world = new PartitionWorld(partitionOf(midway), brokersWithout(2), context)
    world.alterIsr([1, 3, 4])
    expect(world.partition).toMatchObject({ isr: [1, 3, 4], removingReplicas: [3] })
    expect(world.reconcile()).toBe(0)
    minIsr = 2
    expect(world.reconcile()).toBe(1)
    expect(world.partition).toMatchObject({ replicas: [1, 4, 2], isr: [1, 4], removingReplicas: [], leader: 1, leaderEpoch: 4 })
  })

  it("does not hide that a member of ISR or ELR came back after an unclean stop", () => {
    const world = worldOf({ isr: [1], elr: [2, 3] }, 2)
    world.register(3, false)
    world.reassign([1, 2, 3, 4])
    expect(world.partition).toMatchObject({ isr: [1], elr: [2] })
    const led = worldOf({}, 2)
    led.register(1, false)
    led.reassign([1, 2, 3, 4])
    expect(led.partition).toMatchObject({ isr: [2, 3], leader: 2, leaderEpoch: 4 })
  })
})

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 })
const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ _tag: fc.constant("Isr" as const), isr: ids }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Reassign" as const), replicas: ids }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Cancel" as const) }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Die" as const), id: fc.integer({ min: 1, max: 5 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ _tag: fc.constant("Return" as const), id: fc.integer({ min: 1, max: 5 }), clean: fc.boolean() })
  },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Reconcile" as const) }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Elect" as const), type: fc.constantFrom(0, 1) }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Balance" as const) }) }
)

/** How often something that the property is about came about. */
const seen = { ended: 0, begun: 0, reverted: 0, elected: 0, fromElr: 0, preferred: 0, unclean: 0 }

describe("whatever happens to a partition", () => {
  it("keeps KIP-966's invariants through reassignments, elections and restarts", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (events, minIsr) => {
        const world = worldOf({}, minIsr)
        for (const one of events) {
          const before = world.partition
          let mayLose = false
          switch (one._tag) {
            case "Isr": {
              if (before.leader === -1) break
              // A leader names replicas only, and itself; the live ones, or it would be refused.
              const isr = [before.leader, ...one.isr.filter((id) => id !== before.leader && before.replicas.includes(id))]
              world.alterIsr(isr)
              if (before.addingReplicas.length > 0 && world.partition.addingReplicas.length === 0) seen.ended++
              break
            }
            case "Reassign":
              world.reassign(one.replicas)
              if (world.partition.addingReplicas.length > 0) seen.begun++
              break
            case "Cancel":
              if (world.reassign(null) === ErrorCode.NONE) seen.reverted++
              break
            case "Die":
              world.die(one.id)
              break
            case "Return":
              world.register(one.id, one.clean)
              break
            case "Reconcile":
              world.reconcile()
              expect(world.reconcile()).toBe(0)
              break
            case "Elect":
              mayLose = one.type === ElectionType.UNCLEAN
              if (world.elect(one.type) === ErrorCode.NONE) seen[mayLose ? "unclean" : "preferred"]++
              break
            case "Balance":
              seen.preferred += world.balance()
              break
          }
          const after = world.partition
          if (after === before) continue
          const { elr, isr, leader, replicas } = after
          const min = Math.min(minIsr, replicas.length)
          // ValidIsrAndElr
          expect(new Set([...isr, ...elr]).size).toBe(isr.length + elr.length)
          for (const id of [...isr, ...elr, ...after.lastKnownElr, ...after.addingReplicas, ...after.removingReplicas]) {
            expect(replicas).toContain(id)
          }
          expect(new Set(replicas).size).toBe(replicas.length)
          if (isr.length >= min) expect(elr).toEqual([])
          // Epochs
          expect(after.partitionEpoch).toBe(before.partitionEpoch + 1)
          expect(after.leaderEpoch).toBeGreaterThanOrEqual(before.leaderEpoch)
          if (leader !== before.leader) expect(after.leaderEpoch).toBeGreaterThan(before.leaderEpoch)
          if (before.replicas.some((id) => !replicas.includes(id))) {
            expect(after.leaderEpoch).toBeGreaterThan(before.leaderEpoch)
          }
          if (leader !== -1) expect(isr).toContain(leader)
          if (leader !== before.leader && leader !== -1) {
            seen.elected++
            expect(world.brokers.get(leader)?.fenced).toBe(false)
            if (before.elr.includes(leader)) seen.fromElr++
          }
          // Who lost its tail is out, whatever changed the partition.
          const unclean = (id: number) => world.brokers.get(id)!.uncleanEpoch > before.modRevision
          const safeBefore = [...before.isr, ...before.elr].filter((id) => !unclean(id))
          if (!mayLose && safeBefore.length > 0) {
            const reached = one._tag === "Isr" ? [...safeBefore, ...isr] : safeBefore
            for (const id of [...isr, ...elr]) expect(reached).toContain(id)
            // ReplicationQuorumSuperset: so many as there were, or as min.insync.replicas asks for.
            expect(isr.length + elr.length).toBeGreaterThanOrEqual(Math.min(min, safeBefore.length))
          }
        }
      }),
      { seed: 455, numRuns: 3000 }
    )
    for (const [what, count] of Object.entries(seen)) expect([what, count > 0]).toEqual([what, true])
  })
})
