/** Every invariant holds of a small cluster that follows the rules, and is told by name when one rule is broken. */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { type InvariantName, Invariants } from "../../core/testing/Invariants.ts"
import type { BatchIdentity, ControllerPartition, PartitionSnapshot, ReplicaSnapshot } from "../../core/testing/InvariantsSnapshot.ts"

let written = 0
const batch = (baseOffset: number, leaderEpoch: number, over: Partial<BatchIdentity> = {}): BatchIdentity => ({
  baseOffset,
  lastOffset: baseOffset,
  leaderEpoch,
  crc: ++written,
  producerId: 7,
  producerEpoch: 0,
  baseSequence: written,
  isControl: false,
  ...over
})

/** Three replicas with a leader, as plain data that a test bends. */
class Model {
  controller: ControllerPartition = {
    leader: 1,
    leaderEpoch: 0,
    partitionEpoch: 0,
    replicas: [1, 2, 3],
    isr: [1, 2, 3],
    elr: [],
    lastKnownElr: [],
    addingReplicas: [],
    removingReplicas: [],
    modRevision: 1,
    minIsr: 2
  }
  readonly replicas: Map<number, ReplicaSnapshot> = new Map()
  readonly invariants = new Invariants()
  unclean: ReadonlySet<number> = new Set()
  isCompacted = false

  constructor() {
    for (const brokerId of [1, 2, 3]) {
      this.replicas.set(brokerId, {
        brokerId,
        incarnation: 1,
        role: brokerId === 1 ? "leader" : "follower",
        leaderEpoch: 0,
        partitionEpoch: 0,
        isr: [1, 2, 3],
        isrInFlight: undefined,
        minIsr: 2,
        passed: [],
        logStartOffset: 0,
        logEndOffset: 0,
        highWatermark: 0,
        isAfterPowerLoss: false,
        batches: [],
        stableEnd: 0
      })
    }
  }
  at(id: number): ReplicaSnapshot {
    return this.replicas.get(id)!
  }
  set(id: number, change: Partial<ReplicaSnapshot>): void {
    this.replicas.set(id, { ...this.at(id), ...change })
  }
  append(id: number, batches: ReadonlyArray<BatchIdentity>): void {
    const { logEndOffset } = this.at(id)
    this.set(id, {
      batches: [...this.at(id).batches, ...batches],
      logEndOffset: (batches.at(-1)?.lastOffset ?? logEndOffset - 1) + 1,
      stableEnd: logEndOffset
    })
  }
  /** The follower takes what its leader has. */
  replicate(from: number, to: number, upTo: number = Infinity): void {
    const { logEndOffset } = this.at(to)
    this.append(to, this.at(from).batches.filter(({ baseOffset }) => baseOffset >= logEndOffset && baseOffset < upTo))
  }
  truncate(id: number, to: number): void {
    const { batches, highWatermark } = this.at(id)
    this.set(id, {
      batches: batches.filter(({ lastOffset }) => lastOffset < to),
      logEndOffset: to,
      stableEnd: to,
      highWatermark: Math.min(highWatermark, to)
    })
  }
  lead(id: number, isr: ReadonlyArray<number>, elr: ReadonlyArray<number> = []): void {
    const leaderEpoch = this.controller.leaderEpoch + 1
    this.change({ leader: id, leaderEpoch, isr, elr })
    for (const replica of this.replicas.keys()) {
      this.set(replica, { role: replica === id ? "leader" : "follower", leaderEpoch, isr, isrInFlight: undefined })
    }
  }
  change(change: Partial<ControllerPartition>): void {
    const { modRevision, partitionEpoch } = this.controller
    this.controller = { ...this.controller, partitionEpoch: partitionEpoch + 1, modRevision: modRevision + 1, ...change }
  }
  snapshot(): PartitionSnapshot {
    const { controller, replicas, unclean } = this
    return { topic: "t", topicId: "id", partition: 0, isCompacted: this.isCompacted, controller, replicas: [...replicas.values()], unclean }
  }
  broken(): ReadonlyArray<InvariantName> {
    return this.invariants.observe(this.snapshot()).map(({ invariant }) => invariant)
  }
  /** Five batches on all, committed by all. */
  static committed(): Model {
    const model = new Model()
    model.append(1, [0, 1, 2, 3, 4].map((offset) => batch(offset, 0)))
    for (const id of [2, 3]) model.replicate(1, id)
    for (const id of [1, 2, 3]) {
      model.set(id, { highWatermark: 5 })
      expect(model.broken()).toEqual([])
    }
    return model
  }
}

describe("Invariants", () => {
  it("hold of a partition that is written, replicated, led by another, truncated and shrunk by the rules", () => {
    const actions = fc.array(fc.record({ kind: fc.nat(7), who: fc.constantFrom(1, 2, 3), many: fc.nat(3) }), { maxLength: 60 })
    fc.assert(fc.property(actions, (steps) => {
      const model = new Model()
      for (const { kind, many, who } of steps) {
        const leader = [...model.replicas.values()].find(({ role }) => role === "leader")!
        const { isr } = model.controller
        const epoch = model.controller.leaderEpoch
        if (kind <= 1) {
          const from = leader.logEndOffset
          model.append(leader.brokerId, Array.from({ length: many }, (_, i) => batch(from + i, epoch)))
        } else if (kind <= 3 && who !== leader.brokerId) {
          // By leader epoch: back to where the histories are one, then on.
          const common = model.at(who).batches.findIndex((one, i) => leader.batches[i]?.crc !== one.crc)
          if (common >= 0) model.truncate(who, common)
          model.replicate(leader.brokerId, who, model.at(who).logEndOffset + many)
        } else if (kind === 4) {
          // Who has another history is not counted by its log end: its fetches are answered with where it diverges.
          const common = (id: number): number => {
            const parts = model.at(id).batches.findIndex((one, i) => leader.batches[i]?.crc !== one.crc)
            return parts === -1 ? model.at(id).logEndOffset : parts
          }
          const end = Math.min(...isr.map(common))
          if (isr.length >= 2 && end > leader.highWatermark) model.set(leader.brokerId, { highWatermark: end })
        } else if (kind === 5 && who !== leader.brokerId) {
          const highWatermark = Math.min(leader.highWatermark, model.at(who).logEndOffset)
          // Only what it has in common with its leader counts.
          const same = model.at(who).batches.slice(0, highWatermark).every((one, i) => leader.batches[i]?.crc === one.crc)
          if (same && highWatermark > model.at(who).highWatermark) model.set(who, { highWatermark })
        } else if (kind === 6 && who !== leader.brokerId) {
          const joins = model.at(who).logEndOffset === leader.logEndOffset &&
            model.at(who).batches.every((one, i) => leader.batches[i]?.crc === one.crc)
          const next = isr.includes(who) ? isr.filter((id) => id !== who) : joins ? [...isr, who] : isr
          const elr = next.length >= 2 ? [] : [...new Set([...model.controller.elr, ...isr])].filter((id) => !next.includes(id))
          model.change({ isr: next, elr })
          model.set(leader.brokerId, { isr: next })
        } else if (kind === 7 && isr.includes(who) && who !== leader.brokerId) {
          model.lead(who, isr, model.controller.elr)
        }
        expect(model.invariants.observe(model.snapshot())).toEqual([])
      }
    }), { numRuns: 300 })
  })

  const cases: ReadonlyArray<readonly [InvariantName, string, (model: Model) => void]> = [
    ["ValidIsrAndElr", "an ELR beside a full ISR", (m) => m.change({ isr: [1, 2], elr: [3] })],
    ["ValidIsrAndElr", "an ISR with somebody else", (m) => m.change({ isr: [1, 2, 9] })],
    ["ValidIsrAndElr", "a leader out of its ISR", (m) => m.change({ isr: [2, 3] })],
    ["ValidIsrAndElr", "a member of both", (m) => m.change({ isr: [1], elr: [1] })],
    ["EpochsGrow", "a leader epoch that goes back", (m) => {
      m.lead(2, [1, 2, 3])
      m.broken()
      m.change({ leaderEpoch: 0 })
    }],
    ["EpochsGrow", "a partition epoch that goes back", (m) => m.change({ partitionEpoch: -1 })],
    ["OneLeaderPerEpoch", "two leaders of one epoch", (m) => m.set(2, { role: "leader" })],
    ["ReplicationQuorumSuperset", "a leader that does without a member of the ISR", (m) => m.set(1, { isr: [1, 2] })],
    ["HighWatermarkMonotonic", "a high watermark that goes back", (m) => m.set(1, { highWatermark: 3, stableEnd: 5 })],
    ["HighWatermarkUnderMinIsr", "a leader that commits alone", (m) => {
      m.change({ isr: [1], elr: [2, 3] })
      m.set(1, { isr: [1] })
      expect(m.broken()).toEqual([])
      m.append(1, [batch(5, 0)])
      m.set(1, { highWatermark: 6 })
    }],
    ["CommittedOnMinIsr", "a high watermark that nobody else has reached", (m) => {
      m.append(1, [batch(5, 0)])
      m.set(1, { highWatermark: 6 })
    }],
    ["LogMatching", "another batch below the high watermark", (m) => {
      m.truncate(3, 3)
      m.append(3, [batch(3, 0), batch(4, 0)])
      m.set(3, { highWatermark: 5 })
    }],
    ["LogMatching", "a follower whose high watermark is ahead of its leader's", (m) => {
      m.append(1, [batch(5, 0)])
      m.replicate(1, 2)
      m.set(2, { highWatermark: 6 })
    }],
    ["EpochMatching", "two batches at one offset of one epoch", (m) => {
      m.truncate(3, 4)
      m.append(3, [batch(4, 0)])
    }],
    ["LeaderCompleteness", "a leader without the last batch", (m) => {
      m.truncate(2, 4)
      m.lead(2, [2, 3])
    }],
    ["LeaderCandidateCompleteness", "a member of the ISR that lost its tail", (m) => m.truncate(3, 4)],
    ["LeaderCandidateCompleteness", "a member of the ELR that lost its tail", (m) => {
      m.change({ isr: [1], elr: [2, 3] })
      m.set(1, { isr: [1] })
      m.truncate(3, 4)
    }],
    ["LeaderCandidateCompleteness", "a member that came into the ISR behind the high watermark", (m) => {
      m.change({ isr: [1, 2] })
      m.set(1, { isr: [1, 2] })
      m.truncate(3, 2)
      expect(m.broken()).toEqual([])
      m.change({ isr: [1, 2, 3] })
    }],
    ["NoDuplicateBatch", "a batch that is committed twice", (m) => {
      const { baseSequence } = m.at(1).batches[2]!
      m.append(1, [batch(5, 0, { baseSequence })])
      for (const id of [2, 3]) m.replicate(1, id)
      m.set(1, { highWatermark: 6 })
    }]
  ]
  it.each(cases)("%s: %s", (name, _, harm) => {
    const model = Model.committed()
    harm(model)
    expect(model.broken()).toContain(name)
  })

  describe("of a leader that is under min ISR at both looks", () => {
    /** Alone, with a new batch that is on all replicas and not committed. */
    const alone = (): Model => {
      const model = Model.committed()
      model.change({ isr: [1], elr: [2, 3] })
      model.set(1, { isr: [1] })
      model.append(1, [batch(5, 0)])
      for (const id of [2, 3]) model.replicate(1, id)
      expect(model.broken()).toEqual([])
      return model
    }
    const small = { isr: [1], minIsr: 2 }

    it("let it commit when it went through a full ISR in between", () => {
      const model = alone()
      model.set(1, { highWatermark: 6, passed: [small, { isr: [1, 2], minIsr: 2 }, small] })
      expect(model.broken()).toEqual([])
    })

    it("let it commit when it went through a smaller min ISR in between", () => {
      const model = alone()
      model.set(1, { highWatermark: 6, passed: [small, { isr: [1], minIsr: 1 }, small] })
      expect(model.broken()).toEqual([])
    })

    it("tell when it went through neither, whatever was before", () => {
      const model = alone()
      model.controller = { ...model.controller, elr: [], minIsr: 1 }
      model.set(1, { minIsr: 1, passed: [small, { isr: [1], minIsr: 1 }] })
      expect(model.broken()).toEqual([])
      model.controller = { ...model.controller, minIsr: 2 }
      model.set(1, { minIsr: 2, passed: [{ isr: [1], minIsr: 1 }, small] })
      expect(model.broken()).toEqual([])
      model.set(1, { highWatermark: 6, passed: [small, small] })
      expect(model.broken()).toEqual(["HighWatermarkUnderMinIsr"])
    })

    it("tell what nobody else has, though a smaller min ISR was enough for it once", () => {
      const model = alone()
      model.controller = { ...model.controller, elr: [], minIsr: 1 }
      model.set(1, { minIsr: 1, highWatermark: 6, passed: [{ isr: [1], minIsr: 1 }] })
      expect(model.broken()).toEqual([])
      model.controller = { ...model.controller, isr: [1, 2], minIsr: 2 }
      model.set(1, { isr: [1, 2], minIsr: 2, passed: [{ isr: [1], minIsr: 1 }, { isr: [1, 2], minIsr: 2 }] })
      expect(model.broken()).toEqual([])
      model.append(1, [batch(6, 0)])
      model.set(1, { highWatermark: 7, passed: [{ isr: [1, 2], minIsr: 2 }] })
      expect(model.broken()).toContain("CommittedOnMinIsr")
    })
  })

  it("let a replica be that came back after an unclean stop, until the controller has looked at it", () => {
    const model = Model.committed()
    model.truncate(3, 2)
    model.set(3, { incarnation: 2, highWatermark: 2 })
    model.unclean = new Set([3])
    expect(model.broken()).toEqual([])
    model.unclean = new Set()
    expect(model.broken()).toEqual(["LeaderCandidateCompleteness"])
  })

  it("let a compacted log have fewer batches, in their places, and hold it to its end and its epochs", () => {
    const compacted = (): Model => {
      const model = new Model()
      model.isCompacted = true
      model.append(1, [0, 1, 2, 3, 4].map((offset) => batch(offset, 0)))
      for (const id of [2, 3]) model.replicate(1, id)
      for (const id of [1, 2, 3]) model.set(id, { highWatermark: 5 })
      expect(model.broken()).toEqual([])
      const [first, , third, ...rest] = model.at(3).batches
      model.set(3, { incarnation: 2, stableEnd: 0, batches: [{ ...first!, crc: -1 }, third!, ...rest] })
      return model
    }
    expect(compacted().broken()).toEqual([])
    const short = compacted()
    short.truncate(3, 4)
    expect(short.broken()).toEqual(["LeaderCandidateCompleteness"])
    const other = compacted()
    other.set(3, { batches: other.at(3).batches.map((one) => ({ ...one, leaderEpoch: 1 })) })
    expect(other.broken()).toContain("LogMatching")
  })

  it("hold a leader to the batches of what it commits, not to its numbers alone", () => {
    for (const isCompacted of [false, true]) {
      const model = Model.committed()
      model.isCompacted = isCompacted
      model.append(1, [5, 6, 7].map((offset) => batch(offset, 0)))
      model.set(1, { batches: model.at(1).batches.filter(({ baseOffset }) => baseOffset !== 6), highWatermark: 8 })
      for (const id of [2, 3]) model.replicate(1, id)
      expect(new Invariants().observe(model.snapshot()).map(({ invariant }) => invariant)).toEqual(isCompacted ? [] : ["LeaderCompleteness"])
    }
  })

  it("take what a leader committed just before it became a follower for committed, if enough replicas have it", () => {
    const model = Model.committed()
    model.append(1, [batch(5, 0)])
    model.replicate(1, 2)
    expect(model.broken()).toEqual([])
    model.lead(2, [2], [1])
    model.set(1, { highWatermark: 6 })
    expect(model.broken()).toEqual([])
    expect(model.invariants.committedEnd("id", 0)).toBe(6)
    const alone = Model.committed()
    alone.append(1, [batch(5, 0)])
    expect(alone.broken()).toEqual([])
    alone.lead(2, [2], [1])
    alone.set(1, { highWatermark: 6 })
    expect(alone.broken()).toContain("CommittedOnMinIsr")
  })

  it("forgive a restarted replica its older high watermark, and hold it to the same log", () => {
    const model = Model.committed()
    model.set(2, { incarnation: 2, highWatermark: 1, stableEnd: 0 })
    expect(model.broken()).toEqual([])
    expect(model.invariants.committedEnd("id", 0)).toBe(5)
    expect(model.invariants.committed("id", 0).map(({ baseOffset }) => baseOffset)).toEqual([0, 1, 2, 3, 4])
  })
})
