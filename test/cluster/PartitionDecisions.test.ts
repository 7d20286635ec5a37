import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { AlterPartition } from "../../core/cluster/Commands.ts"
import { clearedElrKey } from "../../core/cluster/Keys.ts"
import { decideAlterPartition, decideElections } from "../../core/cluster/PartitionDecisions.ts"
import type { MetadataImage, PartitionImage } from "../../core/cluster/MetadataImage.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { imageOf, partitionOf as partition, TOPIC_ID as ID } from "./PartitionWorld.ts"
import { broker } from "./support.ts"

const context = (minIsr = 1, unclean = false) => ({ minInSyncReplicas: () => minIsr, uncleanLeaderElection: () => unclean })
const live = [broker(1), broker(2), broker(3)]
const fenced = (...ids: ReadonlyArray<number>) => live.map((one) => ids.includes(one.id) ? { ...one, fenced: true } : one)
const elected = (image: MetadataImage, minIsr = 1, unclean = false) =>
  decideElections(image, context(minIsr, unclean)).map(({ result }) => ({ ...result.after, unclean: result.unclean }))

/** Broker 1 registered after the partition last changed. */
const again = (cleanStart: boolean) => [broker(1, { epoch: 200, uncleanEpoch: cleanStart ? -1 : 200 }), broker(2), broker(3)]

describe("elections", () => {
  it("changes nothing where the ISR is live", () => {
    expect(elected(imageOf(partition(), live))).toEqual([])
    expect(elected(imageOf(partition({ isr: [1, 3] }), fenced(2)))).toEqual([])
  })

  it("lets a follower that is gone leave the ISR, under the same leader epoch", () => {
    expect(elected(imageOf(partition(), fenced(2)))).toMatchObject([
      { leader: 1, isr: [1, 3], leaderEpoch: 3, partitionEpoch: 6, unclean: false }
    ])
  })

  it("takes the first live member of the ISR when the leader is gone, and drops the dead", () => {
    expect(elected(imageOf(partition(), fenced(1)))).toMatchObject([
      { leader: 2, isr: [2, 3], leaderEpoch: 4, partitionEpoch: 6, unclean: false }
    ])
    expect(elected(imageOf(partition({ isr: [1, 3] }), fenced(1)))).toMatchObject([{ leader: 3, isr: [3] }])
  })

  it("keeps who left below min.insync.replicas eligible, and elects from there", () => {
    const [after] = elected(imageOf(partition({ isr: [1, 2] }), fenced(1)), 2)
    expect(after).toMatchObject({ leader: 2, isr: [2], elr: [1] })
    const [next] = elected(imageOf(partition({ leader: 2, isr: [2], elr: [1] }), fenced(2)), 2)
    expect(next).toMatchObject({ leader: 1, isr: [1], unclean: false })
  })

  it("forgets ELR and last known ELR when the ISR is large enough", () => {
    const none = partition({ replicas: [1], leader: -1, isr: [], elr: [1], lastKnownElr: [1] })
    expect(elected(imageOf(none, live))).toMatchObject([{ leader: 1, isr: [1], elr: [], lastKnownElr: [], unclean: false }])
  })

  it("leaves a partition without a leader when all that may lead are gone, unless unclean elections are allowed", () => {
    const image = imageOf(partition({ isr: [1] }), fenced(1))
    expect(elected(image)).toMatchObject([{ leader: -1, isr: [], elr: [1], lastKnownElr: [1], leaderEpoch: 4 }])
    expect(elected(image, 1, true)).toMatchObject([{ leader: 2, isr: [2], unclean: true }])
    const back = imageOf(partition({ leader: -1, isr: [], elr: [1], lastKnownElr: [1] }), live)
    expect(elected(back)).toMatchObject([{ leader: 1, isr: [1], elr: [], lastKnownElr: [], leaderEpoch: 4, unclean: false }])
    // As an older version left it.
    const old = imageOf(partition({ leader: -1, isr: [1] }), live)
    expect(elected(old)).toMatchObject([{ leader: 1, isr: [1], leaderEpoch: 4, unclean: false }])
  })

  it("does so on condition that min.insync.replicas stays what it was where that made somebody eligible", () => {
    const conditions = (over: Partial<PartitionImage>, minIsr: number) =>
      decideElections(imageOf(partition({ leader: -1, isr: [], ...over }), live), context(minIsr))
        .flatMap(({ change }) => change!.comparisons)
        .filter(({ key }) => [clearedElrKey("t"), clearedElrKey("")].includes(key))
    const both = [{ key: clearedElrKey("t"), modRevision: 0 }, { key: clearedElrKey(""), modRevision: 0 }]
    // Nobody is eligible any more after it.
    expect(conditions({ elr: [2] }, 1)).toEqual(both)
    expect(conditions({ elr: [2] }, 3)).toEqual(both)
    expect(conditions({ lastKnownElr: [2] }, 1)).toEqual(both)
    // A leader that registered again.
    expect(decideElections(imageOf(partition(), again(true)), context())[0]!.change!.comparisons.map(({ key }) => key))
      .not.toContain(clearedElrKey("t"))
  })

  it("gives a leader that registered again a new epoch", () => {
    expect(elected(imageOf(partition(), again(true)))).toMatchObject([{ leader: 1, isr: [1, 2, 3], leaderEpoch: 4 }])
    expect(elected(imageOf(partition(), again(false)))).toMatchObject([{ leader: 2, isr: [2, 3], leaderEpoch: 4 }])
    // A follower that came back clean stays; an unclean one leaves, under the same leader.
    expect(elected(imageOf(partition({ leader: 2 }), again(true)))).toEqual([])
    expect(elected(imageOf(partition({ leader: 2 }), again(false)))).toMatchObject([
      { leader: 2, isr: [2, 3], elr: [], leaderEpoch: 3, partitionEpoch: 6 }
    ])
  })

  it("takes out who came back after an unclean stop, though it has registered again since", () => {
    const again = broker(3, { epoch: 300, uncleanEpoch: 200 })
    expect(elected(imageOf(partition(), [broker(1), broker(2), again]))).toMatchObject([{ leader: 1, isr: [1, 2], leaderEpoch: 3 }])
    // Done once: the partition has changed since it came back.
    expect(elected(imageOf(partition({ modRevision: 250 }), [broker(1), broker(2), again]))).toEqual([])
  })

  it("elects a lone replica after an unclean stop, and says so", () => {
    const lone = partition({ replicas: [1], isr: [1] })
    expect(elected(imageOf(lone, [broker(1, { epoch: 200, uncleanEpoch: 200 })]))).toMatchObject([
      { leader: 1, isr: [1], elr: [], lastKnownElr: [], leaderEpoch: 4, unclean: true }
    ])
  })

  it("elects the last leader, and says so, when all that were eligible come back after an unclean stop", () => {
    const dead = partition({ leader: 3, isr: [3], elr: [2] })
    const returned = (...ids: ReadonlyArray<number>) => live.map((one) =>
      ids.includes(one.id) ? { ...one, epoch: 200, uncleanEpoch: 200 } : { ...one, fenced: true })
    const [first] = elected(imageOf(dead, returned(1, 2)), 2)
    expect(first).toMatchObject({ leader: -1, isr: [], elr: [3], lastKnownElr: [3], leaderEpoch: 4 })
    const { unclean: _, ...after } = first!
    const [second] = elected(imageOf(after, returned(1, 2, 3)), 2)
    expect(second).toMatchObject({ leader: 3, isr: [3], elr: [], lastKnownElr: [], leaderEpoch: 5, unclean: true })
    // Who comes back is taken only once the one that is known is there.
    expect(elected(imageOf(partition({ leader: -1, isr: [], lastKnownElr: [3] }), returned(1, 2)), 2)).toEqual([])
  })

  it("holds KIP-966's invariants in any state, and is done after one round", () => {
    fc.assert(
      fc.property(
        fc.record({
          isr: fc.subarray([1, 2, 3]),
          elr: fc.subarray([1, 2, 3]),
          leader: fc.constantFrom(-1, 1, 2, 3),
          minIsr: fc.integer({ min: 1, max: 3 }),
          unclean: fc.boolean(),
          brokers: fc.array(fc.record({ fenced: fc.boolean(), unclean: fc.boolean(), restarted: fc.boolean() }), {
            minLength: 3,
            maxLength: 3
          })
        }),
        ({ brokers, elr, isr, leader, minIsr, unclean }) => {
          fc.pre(leader === -1 || isr.includes(leader))
          const before = partition({ isr, elr: elr.filter((id) => !isr.includes(id)), leader })
          const registered = brokers.map(({ fenced, restarted, unclean }, index) =>
            broker(index + 1, { fenced, epoch: restarted ? 200 : 1, uncleanEpoch: unclean ? restarted ? 200 : 1 : -1 }))
          const [decision] = decideElections(imageOf(before, registered), context(minIsr, unclean))
          if (decision === undefined) return
          const { after } = decision.result
          const isLive = (id: number) => registered[id - 1]?.fenced === false
          expect(after.partitionEpoch).toBe(before.partitionEpoch + 1)
          expect(after.leaderEpoch).toBeGreaterThanOrEqual(before.leaderEpoch)
          if (after.leader !== before.leader) expect(after.leaderEpoch).toBe(before.leaderEpoch + 1)
          if (after.leader !== -1) {
            expect(isLive(after.leader)).toBe(true)
            expect(after.isr).toContain(after.leader)
          }
          expect(after.elr.filter((id) => after.isr.includes(id))).toEqual([])
          if (!decision.result.unclean && after.leader !== -1) {
            expect([...before.isr, ...before.elr]).toContain(after.leader)
          }
          const settled = imageOf({ ...after, modRevision: 300 }, registered)
          const again = decideElections(settled, context(minIsr, unclean))
          expect(again.map(({ result }) => result.after)).toEqual([])
        }
      ),
      { seed: 5, numRuns: 2000 }
    )
  })
})

const request = (over: Partial<AlterPartition> = {}): AlterPartition => ({
  topicId: ID,
  partition: 0,
  leader: 1,
  leaderEpoch: 3,
  brokerEpoch: 1,
  partitionEpoch: 5,
  newIsr: [1, 2].map((brokerId) => ({ brokerId, brokerEpoch: 1 })),
  ...over
})
const isr = (...ids: ReadonlyArray<number>) => ids.map((brokerId) => ({ brokerId, brokerEpoch: 1 }))

describe("a leader's change of the ISR", () => {
  it("is compared with the partition and every member's registration and session", () => {
    const { change, result } = decideAlterPartition(imageOf(partition(), live), request(), context())
    expect(result.error).toBe(ErrorCode.NONE)
    expect(change?.comparisons).toEqual([
      { key: `metadata/partitions/${ID}/0`, modRevision: 100 },
      { key: "metadata/brokers/1", modRevision: 1 },
      { key: "metadata/brokers/2", modRevision: 1 },
      { key: "metadata/live/1", modRevision: 0 },
      { key: "metadata/live/2", modRevision: 0 }
    ])
    expect(change?.operations).toMatchObject([{ _tag: "Put", key: `metadata/partitions/${ID}/0` }])
  })

  it("is refused with the error that tells why", () => {
    const cases: ReadonlyArray<readonly [Partial<AlterPartition>, number]> = [
      [{ brokerEpoch: 7 }, ErrorCode.STALE_BROKER_EPOCH],
      [{ topicId: "bbcdefghijklmnopqrstuA" }, ErrorCode.UNKNOWN_TOPIC_ID],
      [{ partition: 4 }, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
      [{ leaderEpoch: 2 }, ErrorCode.FENCED_LEADER_EPOCH],
      [{ leaderEpoch: 4 }, ErrorCode.NOT_CONTROLLER],
      [{ partitionEpoch: 6 }, ErrorCode.NOT_CONTROLLER],
      [{ partitionEpoch: 4 }, ErrorCode.INVALID_UPDATE_VERSION],
      [{ leader: 2 }, ErrorCode.INVALID_REQUEST],
      [{ newIsr: isr(2, 3) }, ErrorCode.INVALID_REQUEST],
      [{ newIsr: [] }, ErrorCode.INVALID_REQUEST],
      [{ newIsr: isr(1, 1) }, ErrorCode.INVALID_REQUEST],
      [{ newIsr: isr(1, 9) }, ErrorCode.INVALID_REQUEST],
      [{ newIsr: [{ brokerId: 1, brokerEpoch: 1 }, { brokerId: 2, brokerEpoch: 0 }] }, ErrorCode.INELIGIBLE_REPLICA]
    ]
    for (const [over, error] of cases) {
      const { change, result } = decideAlterPartition(imageOf(partition(), live), request(over), context())
      expect([over, result.error]).toEqual([over, error])
      expect(change).toBe(undefined)
    }
    const gone = decideAlterPartition(imageOf(partition({ isr: [1] }), fenced(2)), request(), context())
    expect(gone.result.error).toBe(ErrorCode.INELIGIBLE_REPLICA)
  })

  it("keeps nobody in the ISR who came back after an unclean stop, whatever epoch the leader knows of it", () => {
    const unknown = { newIsr: [{ brokerId: 1, brokerEpoch: 1 }, { brokerId: 2, brokerEpoch: -1 }] }
    const returned = (cleanStart: boolean) => [broker(1), broker(2, { epoch: 200, uncleanEpoch: cleanStart ? -1 : 200 }), broker(3)]
    const change = (one: PartitionImage, cleanStart: boolean) =>
      decideAlterPartition(imageOf(one, returned(cleanStart)), request(unknown), context()).result.error
    expect(change(partition(), false)).toBe(ErrorCode.INELIGIBLE_REPLICA)
    expect(change(partition(), true)).toBe(ErrorCode.NONE)
    // Who is not in it has been caught up with since.
    expect(change(partition({ isr: [1, 3] }), false)).toBe(ErrorCode.NONE)
  })

  it("is answered again when its answer was lost", () => {
    const { change, result } = decideAlterPartition(imageOf(partition({ isr: [2, 1], partitionEpoch: 6 }), live), request(), context())
    expect([result.error, change]).toEqual([ErrorCode.NONE, undefined])
  })

  it("keeps who leaves below min.insync.replicas eligible, until the ISR is large enough", () => {
    const shrunk = decideAlterPartition(imageOf(partition(), live), request({ newIsr: isr(1) }), context(2))
    const operation = shrunk.change?.operations[0]
    expect(JSON.parse(operation?._tag === "Put" ? operation.value : "")).toMatchObject({ isr: [1], elr: [2, 3] })
    const grown = decideAlterPartition(imageOf(partition({ isr: [1], elr: [2, 3] }), live), request(), context(2))
    const put = grown.change?.operations[0]
    expect(JSON.parse(put?._tag === "Put" ? put.value : "")).not.toHaveProperty("elr")
  })
})
