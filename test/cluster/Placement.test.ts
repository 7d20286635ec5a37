import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { PlacementRefusal, placeReplicas } from "../../core/cluster/Placement.ts"
import { broker } from "./support.ts"

const clusters = fc.record({
  brokers: fc.uniqueArray(
    fc.record({ id: fc.nat(40), rack: fc.option(fc.constantFrom("a", "b", "c")), fenced: fc.boolean() }),
    { selector: ({ id }) => id, minLength: 1, maxLength: 12 }
  ),
  count: fc.integer({ min: 1, max: 40 }),
  replicationFactor: fc.integer({ min: 1, max: 5 }),
  seed: fc.nat(70_000)
})
const parameters = { seed: 3, numRuns: 400 }

describe("placement", () => {
  it("puts a partition's replicas on different brokers, live ones first, the leader live", () => {
    fc.assert(
      fc.property(clusters, ({ brokers, ...request }) => {
        const live = brokers.filter(({ fenced }) => !fenced).map(({ id }) => id)
        const placed = placeReplicas(brokers.map((one) => broker(one.id, one)), request)
        if (live.length === 0 || request.replicationFactor > brokers.length) {
          expect(placed).toBeInstanceOf(PlacementRefusal)
          return
        }
        const partitions = placed as ReadonlyArray<ReadonlyArray<number>>
        expect(partitions.length).toBe(request.count)
        for (const replicas of partitions) {
          expect(new Set(replicas).size).toBe(request.replicationFactor)
          expect(live).toContain(replicas[0])
          const fenced = replicas.filter((id) => !live.includes(id)).length
          expect(fenced).toBe(Math.max(0, request.replicationFactor - live.length))
        }
      }),
      parameters
    )
  })

  it("spreads leaders evenly, and covers as many racks as there are", () => {
    fc.assert(
      fc.property(clusters, ({ brokers, ...request }) => {
        const all = brokers.map((one) => broker(one.id, { ...one, fenced: false }))
        fc.pre(request.replicationFactor <= all.length)
        const partitions = placeReplicas(all, request) as ReadonlyArray<ReadonlyArray<number>>
        const leaders = all.map(({ id }) => partitions.filter(([leader]) => leader === id).length)
        expect(Math.max(...leaders) - Math.min(...leaders)).toBeLessThanOrEqual(1)
        const rackOf = new Map(all.map(({ id, rack }) => [id, rack]))
        const racks = Math.min(new Set(rackOf.values()).size, request.replicationFactor)
        for (const replicas of partitions) expect(new Set(replicas.map((id) => rackOf.get(id))).size).toBe(racks)
      }),
      parameters
    )
  })

  it("spreads replicas evenly where racks don't stand in the way", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4 }), fc.nat(30), fc.nat(99), (size, rf, count, seed) => {
        fc.pre(rf <= size)
        const all = Array.from({ length: size }, (_, id) => broker(id))
        const partitions = placeReplicas(all, { count, replicationFactor: rf, seed }) as ReadonlyArray<ReadonlyArray<number>>
        const replicas = all.map(({ id }) => partitions.flat().filter((one) => one === id).length)
        expect(Math.max(...replicas) - Math.min(...replicas)).toBeLessThanOrEqual(2)
      }),
      parameters
    )
  })

  it("is a function of what it is given", () => {
    const all = [broker(1, { rack: "a" }), broker(2, { rack: "b" }), broker(3, { rack: "a" })]
    const request = { count: 4, replicationFactor: 2, seed: 1 }
    expect(placeReplicas(all, request)).toEqual(placeReplicas([...all].reverse(), request))
  })
})
