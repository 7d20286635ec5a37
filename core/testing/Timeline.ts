/**
 * What happened in a run, for people: faults, elections, ISR changes, truncations, high watermarks, in virtual time.
 * Bounded: the oldest entries go first, the newest tell what led to a failure.
 */

export type TimelineKind = "fault" | "heal" | "broker" | "leader" | "isr" | "truncate" | "watermark" | "client" | "broken"

export interface TimelineEntry {
  /** Virtual milliseconds since the run's start. */
  readonly atMs: number
  readonly kind: TimelineKind
  /** The broker that it happened to; undefined: none in particular. */
  readonly broker: number | undefined
  /** `topic-partition`; undefined: none in particular. */
  readonly partition: string | undefined
  readonly text: string
}

/** Entries that are kept. */
export const MAX_TIMELINE_ENTRIES = 20_000

export interface RenderOptions {
  /** The newest so many. Default 80. */
  readonly last?: number
  /** Entries of one partition, and those of none; undefined: all. */
  readonly partition?: string | undefined
  /** Without these kinds. */
  readonly without?: ReadonlyArray<TimelineKind>
}

const MARKS: Readonly<Record<TimelineKind, string>> = {
  fault: "×",
  heal: "○",
  broker: "▸",
  leader: "★",
  isr: "≡",
  truncate: "✂",
  watermark: "▲",
  client: "·",
  broken: "‼"
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(3)}s`

export class Timeline {
  #entries: Array<TimelineEntry> = []
  /** Entries that no longer are kept. */
  #dropped = 0

  add(entry: TimelineEntry): void {
    // High watermarks that move on are one line for each partition, not one for every record.
    if (entry.kind === "watermark") {
      const at = this.#entries.findLastIndex(({ broker, kind, partition }) =>
        kind !== "watermark" || (broker === entry.broker && partition === entry.partition)
      )
      if (this.#entries[at]?.kind === "watermark") this.#entries.splice(at, 1)
    }
    this.#entries.push(entry)
    if (this.#entries.length < 2 * MAX_TIMELINE_ENTRIES) return
    this.#dropped += this.#entries.length - MAX_TIMELINE_ENTRIES
    this.#entries = this.#entries.slice(-MAX_TIMELINE_ENTRIES)
  }

  entries(): ReadonlyArray<TimelineEntry> {
    return this.#entries.slice(-MAX_TIMELINE_ENTRIES)
  }

  /** A line for each entry: time, mark, broker, partition, what. Legend first. */
  render(options: RenderOptions = {}): string {
    const { last = 80, partition, without = [] } = options
    const chosen = this.#entries.filter((entry) =>
      !without.includes(entry.kind) && (partition === undefined || entry.partition === undefined || entry.partition === partition)
    )
    const shown = chosen.slice(-last)
    const left = chosen.length - shown.length + this.#dropped
    const names = shown.map((entry) => entry.partition ?? "")
    const width = Math.max(0, ...names.map(({ length }) => length))
    const times = shown.map(({ atMs }) => seconds(atMs))
    const timeWidth = Math.max(0, ...times.map(({ length }) => length))
    const lines = shown.map(({ broker, kind, text }, index) =>
      `${times[index]!.padStart(timeWidth)}  ${MARKS[kind]}  ${(broker === undefined ? "" : String(broker)).padEnd(2)} ${
        names[index]!.padEnd(width)
      } ${text}`.trimEnd()
    )
    return [
      "× fault  ○ healed  ▸ broker  ★ leader  ≡ ISR  ✂ truncated  ▲ high watermark  · client  ‼ broken",
      ...(left > 0 ? [`… ${left} earlier`] : []),
      ...lines
    ].join("\n")
  }
}
