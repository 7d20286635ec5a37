/**
 * What the clients of a cluster saw, in the order in which they saw it: what was sent, what was answered, what polls
 * returned, what groups saved. Nothing in it comes from inside a broker, so a checker (Checker.ts) that reads it judges
 * what was promised to clients, as Jepsen does, whatever the brokers believed.
 *
 * A record is known by its value: a text that no other record of the run has.
 */
import { invariant } from "../model/Invariant.ts"

interface Seen {
  /** Virtual milliseconds since 1970. */
  readonly atMs: number
}
interface OfPartition {
  readonly topic: string
  readonly partition: number
}

/** A producer took the record and chose its partition. `order` grows with each send of this producer. */
export interface Sent extends Seen, OfPartition {
  readonly _tag: "Sent"
  readonly producer: string
  readonly order: number
  readonly value: string
}
/** `offset` -1: acknowledged, by a broker that no longer knows where it is. */
export interface Acknowledged extends Seen, OfPartition {
  readonly _tag: "Acknowledged"
  readonly value: string
  readonly offset: number
}
/** `isCertain`: the record is in no log and never will be; else it may be there (no answer came in time). */
export interface Refused extends Seen, OfPartition {
  readonly _tag: "Refused"
  readonly value: string
  readonly error: string
  readonly isCertain: boolean
}
/** A member was given a partition and reads from here on; `isCommitted`: the offset is what its group had saved. */
export interface Positioned extends Seen, OfPartition {
  readonly _tag: "Positioned"
  readonly group: string
  readonly consumer: string
  readonly offset: number
  readonly isCommitted: boolean
}
/** A member gave a partition up, or was told that it had lost it. */
export interface Revoked extends Seen, OfPartition {
  readonly _tag: "Revoked"
  readonly group: string
  readonly consumer: string
}
export interface PolledRecord {
  readonly offset: number
  readonly value: string
}
/** Records of one partition that one poll returned. */
export interface Polled extends Seen, OfPartition {
  readonly _tag: "Polled"
  readonly group: string
  readonly consumer: string
  readonly records: ReadonlyArray<PolledRecord>
}
/** `offset`: of the next record to read. A commit counts as begun before it is answered: it may have been applied. */
export interface CommitBegun extends Seen, OfPartition {
  readonly _tag: "CommitBegun"
  readonly group: string
  readonly consumer: string
  readonly offset: number
}
export interface Committed extends Seen, OfPartition {
  readonly _tag: "Committed"
  readonly group: string
  readonly consumer: string
  readonly offset: number
}

export type HistoryEvent = Sent | Acknowledged | Refused | Positioned | Revoked | Polled | CommitBegun | Committed

/** What a partition holds for consumers when all is healed: every record from the log's start to its high watermark. */
export interface FinalRead extends OfPartition {
  readonly logStartOffset: number
  readonly endOffset: number
  readonly records: ReadonlyArray<PolledRecord>
}

/** Events that one history takes; a run that has more is too long to be checked in memory and ends with an error. */
export const MAX_HISTORY_EVENTS = 2_000_000

export class History {
  readonly #events: Array<HistoryEvent> = []

  get events(): ReadonlyArray<HistoryEvent> {
    return this.#events
  }

  /** @throws InvariantViolation beyond MAX_HISTORY_EVENTS */
  add(event: HistoryEvent): void {
    invariant(this.#events.length < MAX_HISTORY_EVENTS, `a history takes at most ${MAX_HISTORY_EVENTS} events`)
    this.#events.push(event)
  }

  /** Events by kind. */
  count(tag: HistoryEvent["_tag"]): number {
    let count = 0
    for (const event of this.#events) if (event._tag === tag) count++
    return count
  }
}
