/** Scenarios are data: the same for the same seed, within the bounds that they name, and told in one line for each fault. */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { type Fault, showFault, type Target } from "../../core/testing/Faults.ts"
import { MIN_ISR, REPLICATION_FACTOR, scenarioOf } from "../../core/testing/Scenario.ts"

const targetsOf = (fault: Fault): ReadonlyArray<Target> => [
  ...("victim" in fault ? [fault.victim] : []),
  ...("from" in fault && typeof fault.from === "object" ? [fault.from] : []),
  ...("to" in fault && typeof fault.to === "object" ? [fault.to] : [])
]

describe("A scenario", () => {
  it("is plain data that its seed alone gives", () => {
    fc.assert(fc.property(fc.integer(), (seed) => {
      const scenario = scenarioOf(seed)
      expect(scenarioOf(seed)).toEqual(scenario)
      expect(JSON.parse(JSON.stringify(scenario))).toEqual(scenario)
    }))
    expect(scenarioOf(1)).not.toEqual(scenarioOf(2))
  })

  it("has three to five brokers, three replicas, and faults that name what is there, in order of time", () => {
    fc.assert(fc.property(fc.integer(), (seed) => {
      const { brokers, durationMs, faults, groups, producers, topics } = scenarioOf(seed)
      expect(brokers).toBeGreaterThanOrEqual(3)
      expect(brokers).toBeLessThanOrEqual(5)
      for (const { minIsr, partitions, replicationFactor } of topics) {
        expect({ minIsr, replicationFactor }).toEqual({ minIsr: MIN_ISR, replicationFactor: REPLICATION_FACTOR })
        expect(partitions).toBeGreaterThan(0)
      }
      const names = topics.map(({ name }) => name)
      for (const { topic } of producers) expect(names).toContain(topic)
      for (const group of groups) for (const topic of group.topics) expect(names).toContain(topic)
      expect(faults.map(({ atMs }) => atMs)).toEqual(faults.map(({ atMs }) => atMs).sort((a, b) => a - b))
      for (const fault of faults) {
        expect(fault.atMs).toBeGreaterThanOrEqual(0)
        expect(fault.atMs).toBeLessThanOrEqual(durationMs)
        expect(fault.forMs).toBeGreaterThanOrEqual(0)
        for (const target of targetsOf(fault)) {
          if (target.by === "leader" || target.by === "follower") expect(names).toContain(target.topic)
          if (target.by === "id") expect(target.id).toBeLessThanOrEqual(brokers)
          if (target.by === "coordinator") expect(groups.map(({ name }) => name)).toContain(target.group)
        }
        if (fault.kind === "reassign" && fault.replicas !== null) {
          expect(new Set(fault.replicas).size).toBe(fault.replicas.length)
          expect(fault.replicas.length).toBeGreaterThan(0)
          expect(Math.max(...fault.replicas)).toBeLessThanOrEqual(brokers)
        }
        if (fault.kind === "kill member") expect(groups.find(({ name }) => name === fault.group)!.members).toBeGreaterThan(fault.nth)
        expect(showFault(fault)).toMatch(/^\d+\.\d\ds( for \d+\.\d\ds)?: [a-z].*[^ ]$/)
        expect(showFault(fault)).not.toContain("undefined")
      }
    }), { numRuns: 300 })
  })

  it("keeps power on in the fault model of processes, and takes it away in that of machines", () => {
    const kinds = (model: "processes" | "machines"): Set<string> =>
      new Set(Array.from({ length: 60 }, (_, seed) => scenarioOf(seed, { model }).faults.map(({ kind }) => kind)).flat())
    expect(kinds("processes")).not.toContain("power loss")
    expect(kinds("machines")).toContain("power loss")
    expect(kinds("machines")).not.toContain("kill all")
    // Every kind is drawn.
    expect(new Set([...kinds("processes"), ...kinds("machines")]).size).toBe(27)
  })

  it("is what the options say", () => {
    expect(scenarioOf(5, { brokers: 4, durationMs: 1234, model: "machines", faults: 0 }))
      .toMatchObject({ brokers: 4, durationMs: 1234, model: "machines" })
    expect(scenarioOf(5, { faults: 0 }).faults.every(({ kind }) => kind.endsWith("topic"))).toBe(true)
  })
})
