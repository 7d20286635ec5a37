/** A checker that sees nothing is worthless: good histories pass, and each kind of harm done to one is told by its name. */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { check, type CheckOptions, type ViolationKind } from "../../core/testing/Checker.ts"
import type { FinalRead, HistoryEvent, PolledRecord } from "../../core/testing/History.ts"

const of = { topic: "t", partition: 0 }

interface Run {
  readonly events: ReadonlyArray<HistoryEvent>
  readonly finals: ReadonlyArray<FinalRead>
}

/** Two producers send, some sends fail with or without a trace, one group of two members reads it all and saves offsets. */
const goodRun = (fates: ReadonlyArray<"acknowledged" | "unknown, there" | "unknown, gone">, pollSizes: ReadonlyArray<number>): Run => {
  const events: Array<HistoryEvent> = []
  const records: Array<PolledRecord> = []
  let atMs = 0
  for (const [index, fate] of fates.entries()) {
    const producer = index % 3 === 0 ? "p1" : "p2"
    const value = `${producer}/${index}`
    events.push({ _tag: "Sent", atMs: ++atMs, ...of, producer, order: index, value })
    // Offsets have gaps where transactions end or batches were empty: here now and then.
    const offset = records.length + (records.at(-1)?.offset ?? -1) - (records.length - 1) + (index % 5 === 4 ? 1 : 0)
    if (fate !== "unknown, gone") records.push({ offset, value })
    events.push(
      fate === "acknowledged"
        ? { _tag: "Acknowledged", atMs: ++atMs, ...of, value, offset }
        : { _tag: "Refused", atMs: ++atMs, ...of, value, error: "REQUEST_TIMED_OUT", isCertain: false }
    )
  }
  let at = 0
  let poll = 0
  let saved = 0
  while (at < records.length) {
    const consumer = poll % 4 < 2 ? "c1" : "c2"
    const isNew = poll % 2 === 0
    if (isNew) {
      events.push({ _tag: "Positioned", atMs: ++atMs, ...of, group: "g", consumer, offset: saved, isCommitted: saved > 0 })
      at = records.findIndex((record) => record.offset >= saved)
    }
    const taken = records.slice(at, at + pollSizes[poll % pollSizes.length]!)
    at += taken.length
    events.push({ _tag: "Polled", atMs: ++atMs, ...of, group: "g", consumer, records: taken })
    const offset = taken.at(-1)!.offset + 1
    events.push({ _tag: "CommitBegun", atMs: ++atMs, ...of, group: "g", consumer, offset })
    // Every third save is not answered: it may count, or not.
    if (poll % 3 !== 2) {
      events.push({ _tag: "Committed", atMs: ++atMs, ...of, group: "g", consumer, offset })
      saved = offset
    }
    if (!isNew) events.push({ _tag: "Revoked", atMs: ++atMs, ...of, group: "g", consumer })
    poll++
  }
  return { events, finals: [{ ...of, logStartOffset: 0, endOffset: (records.at(-1)?.offset ?? -1) + 1, records }] }
}

const fatesArb = fc.array(fc.constantFrom("acknowledged" as const, "acknowledged" as const, "unknown, there" as const, "unknown, gone" as const), { maxLength: 40 })
const pollsArb = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 })

const kinds = (run: Run, options: CheckOptions = {}): ReadonlyArray<ViolationKind> =>
  [...new Set(check(run.events, run.finals, { maxViolations: 1000, ...options }).map(({ kind }) => kind))]

/** A run long enough that every kind of harm can be done to it. */
const base: Run = goodRun(Array.from({ length: 24 }, (_, i) => i % 7 === 6 ? "unknown, gone" : i % 5 === 3 ? "unknown, there" : "acknowledged"), [3, 2])
const records = base.finals[0]!.records
const withRecords = (changed: ReadonlyArray<PolledRecord>): Run => ({ ...base, finals: [{ ...base.finals[0]!, records: changed }] })
const acknowledgedAt = (nth: number) => base.events.filter((event) => event._tag === "Acknowledged")[nth]!
const mapEvents = (change: (event: HistoryEvent) => ReadonlyArray<HistoryEvent>): Run => ({ ...base, events: base.events.flatMap(change) })

describe("Checker", () => {
  it("finds nothing in a run that kept every promise", () => {
    fc.assert(fc.property(fatesArb, pollsArb, (fates, polls) => {
      expect(check(goodRun(fates, polls).events, goodRun(fates, polls).finals)).toEqual([])
    }))
  })

  it("tells an acknowledged record that is gone, whichever it is", () => {
    fc.assert(fc.property(fatesArb, pollsArb, fc.nat(), (fates, polls, at) => {
      const run = goodRun(fates, polls)
      const acknowledged = run.events.filter((event) => event._tag === "Acknowledged")
      fc.pre(acknowledged.length > 0)
      const { value } = acknowledged[at % acknowledged.length]!
      const left = run.finals[0]!.records.filter((record) => record.value !== value)
      const found = check(run.events, [{ ...run.finals[0]!, records: left }])
      expect(found.map(({ kind }) => kind)).toContain("Lost")
      expect(found.find(({ kind }) => kind === "Lost")!.message).toContain(value)
    }))
  })

  it("tells a record that moved from where it was acknowledged", () => {
    const { value } = acknowledgedAt(4)
    const moved = records.filter((record) => record.value !== value)
    expect(kinds(withRecords([...moved, { offset: 999, value }]))).toContain("Lost")
  })

  it("holds nobody to what retention or DeleteRecords removed, or to a deleted topic", () => {
    const start = records[5]!.offset
    const final = { ...base.finals[0]!, logStartOffset: start, records: records.slice(5) }
    expect(kinds({ ...base, finals: [final] })).toEqual([])
    // A log that begins later than it should hides what it lost.
    expect(kinds({ ...base, finals: [final] }, { keepsRecords: true })).toEqual(["Lost"])
    expect(kinds({ ...base, finals: [] }, { deletedTopics: new Set(["t"]) })).toEqual([])
    expect(kinds({ ...base, finals: [] })).toContain("Lost")
  })

  it("tells a duplicate", () => {
    expect(kinds(withRecords([...records, { offset: 999, value: records[3]!.value }]))).toContain("Duplicate")
  })

  it("tells an offset that has two records, in a poll or in an answer", () => {
    const [a, b] = [records[2]!, records[3]!]
    expect(kinds(mapEvents((event) =>
      event._tag === "Polled"
        ? [{ ...event, records: event.records.map((record) => record.offset === a.offset ? { ...a, value: b.value } : record) }]
        : [event]
    ))).toContain("InconsistentOffset")
    const { value } = acknowledgedAt(3)
    expect(kinds(mapEvents((event) =>
      event._tag === "Acknowledged" && event.value === value ? [{ ...event, offset: event.offset + 1 }] : [event]
    ))).toContain("InconsistentOffset")
  })

  it("tells what nobody sent, what was sent elsewhere, and what was refused for certain", () => {
    expect(kinds(withRecords([...records, { offset: 999, value: "ghost" }]))).toContain("Unwritten")
    expect(kinds(mapEvents((event) => event._tag === "Sent" && event.order === 1 ? [{ ...event, partition: 1 }] : [event])))
      .toContain("Unwritten")
    const there = base.events.find((event) => event._tag === "Refused" && records.some(({ value }) => value === event.value))!
    expect(kinds(mapEvents((event) => event === there ? [{ ...event, isCertain: true }] : [event]))).toContain("Unwritten")
  })

  it("tells two records of one producer that changed places", () => {
    const [at, other] = records.flatMap(({ value }, index) => value.startsWith("p2/") ? [index] : [])
    const changed = records.map((record, index) =>
      index === at ? { ...record, value: records[other!]!.value } : index === other ? { ...record, value: records[at!]!.value } : record
    )
    expect(kinds(withRecords(changed))).toContain("OutOfOrder")
  })

  it("tells a member whose offsets go back or skip a record while it keeps the partition", () => {
    const first = base.events.find((event) => event._tag === "Polled")!
    expect(kinds(mapEvents((event) => event === first && event._tag === "Polled" ? [event, event] : [event]))).toContain("NonMonotonicPoll")
    expect(kinds(mapEvents((event) =>
      event === first && event._tag === "Polled" ? [{ ...event, records: [event.records[0]!, ...event.records.slice(2)] }] : [event]
    ))).toContain("Skipped")
    // The first record of a poll is held against the position too.
    expect(kinds(mapEvents((event) =>
      event === first && event._tag === "Polled" ? [{ ...event, records: event.records.slice(1) }] : [event]
    ))).toContain("Skipped")
  })

  it("tells a record that a group was never given", () => {
    const { offset } = records.at(-1)!
    expect(kinds(mapEvents((event) =>
      event._tag === "Polled" ? [{ ...event, records: event.records.filter((record) => record.offset !== offset) }] : [event]
    ))).toEqual(["Unseen"])
    expect(kinds(base, { completeGroups: ["other"] })).toEqual(["Unseen"])
  })

  it("tells a saved offset that was forgotten", () => {
    const resumed = base.events.filter((event) => event._tag === "Positioned" && event.isCommitted).at(-1)!
    expect(kinds(mapEvents((event) => event === resumed && event._tag === "Positioned" ? [{ ...event, offset: 0 }] : [event])))
      .toContain("CommitLost")
  })

  it("tells a record that was taken and never answered", () => {
    const answered = base.events.find((event) => event._tag === "Refused")!
    expect(kinds(mapEvents((event) => event === answered ? [] : [event]))).toEqual(["Unanswered"])
  })
})

describe("A record that was acknowledged as a repetition, at no offset that anybody knows", () => {
  const events: ReadonlyArray<HistoryEvent> = [
    { _tag: "Sent", atMs: 1, ...of, producer: "p", order: 0, value: "p/0" },
    { _tag: "Acknowledged", atMs: 2, ...of, value: "p/0", offset: -1 }
  ]
  const kinds = (logStartOffset: number, deletedBefore: number) =>
    check(events, [{ ...of, logStartOffset, endOffset: logStartOffset, records: [] }], {
      keepsRecords: true,
      deletedBefore: new Map([["t-0", deletedBefore]])
    }).map(({ kind }) => kind)

  it("is lost when it is not there, unless records were deleted", () => {
    expect(kinds(0, 0)).toEqual(["Lost"])
    expect(kinds(5, 5)).toEqual([])
  })
})
