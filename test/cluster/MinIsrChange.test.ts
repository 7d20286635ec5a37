/** No committed record is lost, and no partition stays without a leader, when min.insync.replicas changes at any moment. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ImageState } from "../../core/cluster/ImageApply.ts"
import { clearedElrKey, partitionKey, partitionValue, topicKey, topicValue } from "../../core/cluster/Keys.ts"
import type { PartitionImage } from "../../core/cluster/MetadataImage.ts"
import { brokersWithout, partitionOf, PartitionWorld, TOPIC_ID } from "./PartitionWorld.ts"

/** The partition as images show it after a change of its topic's min.insync.replicas. */
const cleared = (partition: PartitionImage): PartitionImage => {
  const entry = (key: string, value: string, modRevision: number) => ({ key, value, modRevision, createRevision: modRevision })
  const image = new ImageState().reset(partition.modRevision + 1, [
    entry(topicKey("t"), topicValue(TOPIC_ID, 1), 1),
    entry(partitionKey(TOPIC_ID, 0), partitionValue(partition), partition.modRevision),
    entry(clearedElrKey("t"), "{}", partition.modRevision + 1)
  ])
  return image.topicsByName.get("t")!.partitions[0]!
}

const REPLICAS: ReadonlyArray<number> = [1, 2, 3]
const replica = fc.constantFrom(...REPLICAS)
const event = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ _tag: "Append" as const }) },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Isr" as const), isr: fc.subarray([...REPLICAS]) }) },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Die" as const), id: replica }) },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Return" as const), id: replica }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("MinIsr" as const), minIsr: fc.integer({ min: 1, max: 3 }) }) }
)

describe("min.insync.replicas that changes at any moment", () => {
  it("loses no committed record, and leaves a partition without a leader only while its replicas are dead", () => {
    const seen = { changedWithoutLeader: 0, fromElr: 0, voided: 0 }
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        let minIsr = 2
        const world = new PartitionWorld(partitionOf(), brokersWithout(4, 5), {
          minInSyncReplicas: () => minIsr,
          uncleanLeaderElection: () => false
        })
        /** Records that each replica has; all histories are one here, as an elected leader must have the longest that counts. */
        const records = new Map(REPLICAS.map((id) => [id, 0]))
        let committed = 0
        const commit = (): void => {
          const { isr, leader } = world.partition
          if (leader !== -1 && isr.length >= Math.min(minIsr, REPLICAS.length)) {
            committed = Math.max(committed, Math.min(...isr.map((id) => records.get(id)!)))
          }
        }
        const settle = (): void => {
          const before = world.partition
          world.reconcile()
          const { isr, leader } = world.partition
          if (leader === -1 || leader === before.leader && isr.every((id) => before.isr.includes(id))) return
          if (leader !== before.leader) {
            if (before.elr.includes(leader)) seen.fromElr++
            expect(records.get(leader)).toBeGreaterThanOrEqual(committed)
          }
          for (const id of isr) records.set(id, records.get(leader)!)
        }
        for (const one of events) {
          const { isr, leader } = world.partition
          const isLive = (id: number): boolean => world.brokers.get(id)!.fenced === false
          switch (one._tag) {
            case "Append":
              if (leader !== -1) {
                const next = records.get(leader)! + 1
                for (const id of isr) records.set(id, next)
              }
              break
            case "Isr": {
              if (leader === -1) break
              const next = [leader, ...one.isr.filter((id) => id !== leader && isLive(id))]
              world.alterIsr(next)
              for (const id of world.partition.isr) records.set(id, records.get(leader)!)
              break
            }
            case "Die":
              world.die(one.id)
              break
            case "Return":
              if (!isLive(one.id)) world.register(one.id, true)
              break
            case "MinIsr": {
              if (one.minIsr === minIsr) break
              minIsr = one.minIsr
              if (leader === -1) seen.changedWithoutLeader++
              const after = cleared(world.partition)
              if (after.elr.length < world.partition.elr.length) seen.voided++
              world.partition = after
              break
            }
          }
          settle()
          commit()
        }
        for (const id of REPLICAS) if (world.brokers.get(id)!.fenced) world.register(id, true)
        settle()
        expect(world.partition.leader).not.toBe(-1)
        expect(records.get(world.partition.leader)).toBeGreaterThanOrEqual(committed)
      }),
      { seed: 966, numRuns: 3000 }
    )
    for (const [what, count] of Object.entries(seen)) expect([what, count > 0]).toEqual([what, true])
  })
})
