/**
 * Judges a history and what was read in the end, as Jepsen's Kafka workload does. Pure.
 *
 * | finding             | what a client was promised                                                                  |
 * |---------------------|---------------------------------------------------------------------------------------------|
 * | Lost                | an acknowledged record is there in the end                                                  |
 * | Duplicate           | an idempotent producer's record is in the log once                                          |
 * | InconsistentOffset  | an offset has one record for ever: in answers, in all polls, in the end                     |
 * | Unwritten           | what is read was sent, to that partition, and not refused for certain                       |
 * | OutOfOrder          | records of one producer in one partition are in the order in which they were sent           |
 * | NonMonotonicPoll    | while a member keeps a partition its offsets grow                                           |
 * | Skipped             | ... and leave out no record that is there                                                   |
 * | Unseen              | every group that reads from the beginning is given every record in the end                  |
 * | CommitLost          | a group goes on from no offset below one whose saving was acknowledged                      |
 * | Unanswered          | every record that was taken is acknowledged or refused                                      |
 */
import type { FinalRead, HistoryEvent, Polled, PolledRecord, Sent } from "./History.ts"

export type ViolationKind =
  | "Lost"
  | "Duplicate"
  | "InconsistentOffset"
  | "Unwritten"
  | "OutOfOrder"
  | "NonMonotonicPoll"
  | "Skipped"
  | "Unseen"
  | "CommitLost"
  | "Unanswered"

export interface Violation {
  readonly kind: ViolationKind
  /** One sentence with the names and numbers that it is about. */
  readonly message: string
  readonly topic: string
  readonly partition: number
  /** When the client saw it; undefined for what only the end shows. */
  readonly atMs?: number
}

export interface CheckOptions {
  /** Topics that were deleted: what they held is nobody's loss. */
  readonly deletedTopics?: ReadonlySet<string>
  /**
   * Nobody deletes records, and no retention does: what lies below a log's start in the end is lost. Default false: it was
   * deleted on purpose.
   */
  readonly keepsRecords?: boolean
  /**
   * By `topic-partition`: below this offset records were deleted on purpose, and may be there again: a log's start is
   * written down once in a while, so a broker that dies can go back to an earlier one.
   */
  readonly deletedBefore?: ReadonlyMap<string, number>
  /** Groups that read from the beginning to the end and so must have seen everything. Default: all in the history. */
  readonly completeGroups?: ReadonlyArray<string>
  /** Findings that are told; the rest is only counted. Default 20. */
  readonly maxViolations?: number
}

const keyOf = (topic: string, partition: number): string => `${topic}-${partition}`

/** What a member that holds a partition has been given. */
interface Reading {
  /** The last offset given out, or the one before the position. */
  last: number
}

class Check {
  readonly violations: Array<Violation> = []
  readonly #deleted: ReadonlySet<string>
  readonly #sent: Map<string, Sent> = new Map()
  readonly #certainlyRefused: Set<string> = new Set()
  readonly #open: Set<string> = new Set()
  readonly #acknowledged: Map<string, { readonly topic: string; readonly partition: number; readonly offset: number; readonly atMs: number }> = new Map()
  /** By partition: offset to value, from whoever said so first. */
  readonly #atOffset: Map<string, Map<number, string>> = new Map()
  /** By group and partition: what its members were given, by offset. */
  readonly #given: Map<string, Set<number>> = new Map()
  readonly #readings: Map<string, Reading> = new Map()
  /** By group and partition: the largest offset whose saving was acknowledged. */
  readonly #committed: Map<string, number> = new Map()
  readonly #polls: Array<{ readonly event: Polled; readonly from: number }> = []
  readonly groups: Set<string> = new Set()
  readonly #keepsRecords: boolean
  readonly #deletedBefore: ReadonlyMap<string, number>

  constructor({ deletedBefore, deletedTopics, keepsRecords }: CheckOptions) {
    this.#deleted = deletedTopics ?? new Set()
    this.#keepsRecords = keepsRecords ?? false
    this.#deletedBefore = deletedBefore ?? new Map()
  }

  /** What lies below this offset in the end nobody owes anyone. */
  #startOf({ logStartOffset, partition, topic }: FinalRead): number {
    const deletedBefore = this.#deletedBefore.get(keyOf(topic, partition)) ?? 0
    return this.#keepsRecords ? deletedBefore : Math.max(logStartOffset, deletedBefore)
  }

  #found(kind: ViolationKind, of: { readonly topic: string; readonly partition: number }, message: string, atMs?: number): void {
    if (this.#deleted.has(of.topic)) return
    const { topic, partition } = of
    this.violations.push({ kind, message, topic, partition, ...(atMs === undefined ? {} : { atMs }) })
  }

  /** Somebody was told that this record is at that offset. */
  #claim(of: { readonly topic: string; readonly partition: number }, { offset, value }: PolledRecord, by: string, atMs?: number): void {
    const key = keyOf(of.topic, of.partition)
    let offsets = this.#atOffset.get(key)
    if (offsets === undefined) this.#atOffset.set(key, offsets = new Map())
    const known = offsets.get(offset)
    if (known === undefined) offsets.set(offset, value)
    else if (known !== value) {
      this.#found("InconsistentOffset", of, `offset ${offset} of ${key} was ${known} and is ${value} to ${by}`, atMs)
    }
  }

  #read(of: { readonly topic: string; readonly partition: number }, record: PolledRecord, by: string, atMs?: number): void {
    this.#claim(of, record, by, atMs)
    const sent = this.#sent.get(record.value)
    const where = `${keyOf(of.topic, of.partition)}@${record.offset}`
    if (sent === undefined) this.#found("Unwritten", of, `${by} was given ${record.value} at ${where}, which nobody sent`, atMs)
    else if (sent.topic !== of.topic || sent.partition !== of.partition) {
      this.#found("Unwritten", of, `${by} was given ${record.value} at ${where}, which was sent to ${keyOf(sent.topic, sent.partition)}`, atMs)
    }
  }

  event(event: HistoryEvent): void {
    const key = keyOf(event.topic, event.partition)
    switch (event._tag) {
      case "Sent":
        this.#sent.set(event.value, event)
        this.#open.add(event.value)
        return
      case "Acknowledged":
        this.#open.delete(event.value)
        this.#acknowledged.set(event.value, event)
        if (event.offset >= 0) this.#claim(event, event, "its producer", event.atMs)
        return
      case "Refused":
        this.#open.delete(event.value)
        if (event.isCertain) this.#certainlyRefused.add(event.value)
        return
      case "Positioned": {
        this.groups.add(event.group)
        this.#readings.set(`${event.consumer} ${key}`, { last: event.offset - 1 })
        const committed = this.#committed.get(`${event.group} ${key}`)
        if (event.isCommitted && committed !== undefined && event.offset < committed) {
          this.#found(
            "CommitLost",
            event,
            `${event.consumer} of ${event.group} went on from ${event.offset} of ${key}, though ${committed} had been saved`,
            event.atMs
          )
        }
        return
      }
      case "Revoked":
        this.#readings.delete(`${event.consumer} ${key}`)
        return
      case "Polled":
        return this.#polled(event, key)
      case "CommitBegun":
        return
      case "Committed": {
        const at = `${event.group} ${key}`
        this.#committed.set(at, Math.max(this.#committed.get(at) ?? 0, event.offset))
        return
      }
    }
  }

  #polled(event: Polled, key: string): void {
    this.groups.add(event.group)
    const at = `${event.group} ${key}`
    let given = this.#given.get(at)
    if (given === undefined) this.#given.set(at, given = new Set())
    const reading = this.#readings.get(`${event.consumer} ${key}`)
    if (reading !== undefined) this.#polls.push({ event, from: reading.last })
    let last = reading?.last ?? -1
    for (const record of event.records) {
      this.#read(event, record, event.consumer, event.atMs)
      given.add(record.offset)
      if (record.offset <= last) {
        this.#found(
          "NonMonotonicPoll",
          event,
          `${event.consumer} was given offset ${record.offset} of ${key} after ${last}`,
          event.atMs
        )
      }
      last = Math.max(last, record.offset)
    }
    if (reading !== undefined) reading.last = last
  }

  /** What is there in the end, of every partition that is left. */
  end(finals: ReadonlyArray<FinalRead>, completeGroups: ReadonlyArray<string>): void {
    const read = new Map<string, FinalRead>()
    for (const final of finals) read.set(keyOf(final.topic, final.partition), final)
    for (const final of finals) this.#final(final, completeGroups)
    for (const [value, { atMs, offset, ...of }] of this.#acknowledged) {
      const final = read.get(keyOf(of.topic, of.partition))
      if (final === undefined) {
        this.#found("Lost", of, `${value} was acknowledged, and ${keyOf(of.topic, of.partition)} could not be read in the end`, atMs)
        continue
      }
      // Of one that was acknowledged as a repetition nobody said where it is: it may be among what was deleted, if anything was.
      const start = this.#startOf(final)
      if (start > 0 && offset < start) continue
      const there = offset >= 0 ? this.#valueAt(final, offset) === value : final.records.some((record) => record.value === value)
      if (!there) {
        const elsewhere = final.records.find((record) => record.value === value)
        this.#found(
          "Lost",
          of,
          `${value} was acknowledged at ${keyOf(of.topic, of.partition)}@${offset} and ` +
            (elsewhere === undefined ? "is not there in the end" : `is at ${elsewhere.offset} in the end`),
          atMs
        )
      }
    }
    for (const value of this.#open) {
      const sent = this.#sent.get(value)!
      this.#found("Unanswered", sent, `${value} was taken and neither acknowledged nor refused`, sent.atMs)
    }
    this.#skipped(read)
  }

  #valueAt(final: FinalRead, offset: number): string | undefined {
    return recordAt(final.records, offset)?.value
  }

  #final(final: FinalRead, completeGroups: ReadonlyArray<string>): void {
    const key = keyOf(final.topic, final.partition)
    const first = new Map<string, number>()
    const lastOrder = new Map<string, Sent>()
    for (const record of final.records) {
      this.#read(final, record, "the last read")
      if (this.#certainlyRefused.has(record.value)) {
        this.#found("Unwritten", final, `${record.value} is at ${key}@${record.offset} though it was refused for certain`)
      }
      const before = first.get(record.value)
      if (before !== undefined) {
        this.#found("Duplicate", final, `${record.value} is at ${before} and at ${record.offset} of ${key}`)
        continue
      }
      first.set(record.value, record.offset)
      const sent = this.#sent.get(record.value)
      if (sent === undefined) continue
      const previous = lastOrder.get(sent.producer)
      if (previous !== undefined && previous.order > sent.order) {
        this.#found("OutOfOrder", final, `${sent.value} follows ${previous.value} in ${key}, which was sent after it`)
      }
      lastOrder.set(sent.producer, sent)
    }
    for (const group of completeGroups) {
      const given = this.#given.get(`${group} ${key}`)
      for (const record of final.records) {
        if (given?.has(record.offset) || record.offset < this.#startOf(final)) continue
        this.#found("Unseen", final, `group ${group} was never given ${record.value} at ${key}@${record.offset}`)
      }
    }
  }

  /** Between two records that follow each other to one member nothing may lie that is there in the end. */
  #skipped(read: ReadonlyMap<string, FinalRead>): void {
    for (const { event, from } of this.#polls) {
      const final = read.get(keyOf(event.topic, event.partition))
      if (final === undefined) continue
      let last = Math.max(from, final.logStartOffset - 1, this.#startOf(final) - 1)
      for (const { offset } of event.records) {
        const index = indexFrom(final.records, last + 1)
        const missed = final.records[index]
        if (missed !== undefined && missed.offset < offset) {
          this.#found(
            "Skipped",
            event,
            `${event.consumer} went from ${last} to ${offset} of ${keyOf(event.topic, event.partition)} and left out ${missed.value} at ${missed.offset}`,
            event.atMs
          )
        }
        last = Math.max(last, offset)
      }
    }
  }
}

/** The first index whose offset is at least `offset`. */
const indexFrom = (records: ReadonlyArray<PolledRecord>, offset: number): number => {
  let low = 0
  let high = records.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (records[middle]!.offset < offset) low = middle + 1
    else high = middle
  }
  return low
}

const recordAt = (records: ReadonlyArray<PolledRecord>, offset: number): PolledRecord | undefined => {
  const record = records[indexFrom(records, offset)]
  return record?.offset === offset ? record : undefined
}

/** Every promise that was broken; empty when all were kept. `finals` are sorted by offset. */
export const check = (
  events: ReadonlyArray<HistoryEvent>,
  finals: ReadonlyArray<FinalRead>,
  options: CheckOptions = {}
): ReadonlyArray<Violation> => {
  const checking = new Check(options)
  for (const event of events) checking.event(event)
  checking.end(finals, options.completeGroups ?? [...checking.groups])
  return checking.violations.slice(0, options.maxViolations ?? 20)
}
