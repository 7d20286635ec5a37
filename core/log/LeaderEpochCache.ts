/**
 * Where each leader epoch of a log begins (KIP-101): epochs and start offsets both grow. Pure; PartitionLog keeps the
 * file (leader-epoch-checkpoint) in step. Entries are replaced, never changed, so that an append can be taken back.
 */
import type { EpochEntry } from "./Checkpoints.ts"
import type { EpochEnd } from "./LogTypes.ts"

const UNKNOWN: EpochEnd = { leaderEpoch: -1, endOffset: -1 }
/** Epochs of deleted records that are remembered; an older one ends, as in Kafka, where the oldest of these begins. */
const MAX_PAST_EPOCHS = 100

export class LeaderEpochCache {
  private list: ReadonlyArray<EpochEntry>
  /** -1 without entries. */
  latestEpoch: number
  /**
   * As long as records are deleted: the epochs up to the first of the list, where they began. A replica that returns may
   * have records of another history where this log has none any more. In memory only: in the file the first epoch begins
   * where the log does.
   */
  private past: ReadonlyArray<EpochEntry> = []

  constructor(entries: ReadonlyArray<EpochEntry> = []) {
    this.list = entries
    this.latestEpoch = entries.at(-1)?.epoch ?? -1
  }

  get entries(): ReadonlyArray<EpochEntry> {
    return this.list
  }

  set entries(entries: ReadonlyArray<EpochEntry>) {
    if (entries[0] !== this.list[0]) this.past = []
    this.list = entries
    this.latestEpoch = entries.at(-1)?.epoch ?? -1
  }

  /**
   * `epoch` begins at `startOffset`. Entries that contradict it (a later start, or a later epoch) go: they are of
   * batches that were truncated.
   * @returns whether something changed
   */
  assign(epoch: number, startOffset: number): boolean {
    const last = this.list.at(-1)
    if (last !== undefined && last.epoch === epoch && last.startOffset <= startOffset) return false
    const kept = this.list.filter((entry) => entry.epoch < epoch && entry.startOffset < startOffset)
    this.entries = [...kept, { epoch, startOffset }]
    return true
  }

  /** The epoch that an offset was written in; -1 when not known. */
  epochAt(offset: number): number {
    for (let i = this.list.length - 1; i >= 0; i--) if (this.list[i]!.startOffset <= offset) return this.list[i]!.epoch
    return -1
  }

  /** KIP-279: the largest epoch known that is not above `epoch`, and where it ends. */
  endOffsetFor(epoch: number, logEndOffset: number): EpochEnd {
    if (epoch === -1 || this.list.length === 0) return UNKNOWN
    if (epoch === this.latestEpoch) return { leaderEpoch: epoch, endOffset: logEndOffset }
    const known = this.past.length === 0 ? this.list : [...this.past, ...this.list.slice(1)]
    const higher = known.findIndex((entry) => entry.epoch > epoch)
    if (higher < 0) return UNKNOWN
    const endOffset = known[higher]!.startOffset
    return { leaderEpoch: higher === 0 ? epoch : known[higher - 1]!.epoch, endOffset }
  }

  /** The log ends at `endOffset` now. @returns whether something changed */
  truncateFromEnd(endOffset: number): boolean {
    if ((this.list.at(-1)?.startOffset ?? -1) < endOffset) return false
    this.entries = this.list.filter((entry) => entry.startOffset < endOffset)
    return true
  }

  /** The log starts at `startOffset` now; the epoch that holds it starts there too. @returns whether something changed */
  truncateFromStart(startOffset: number): boolean {
    const first = this.list[0]
    if (first === undefined || first.startOffset >= startOffset) return false
    let at = 0
    while (at + 1 < this.list.length && this.list[at + 1]!.startOffset <= startOffset) at++
    const past = [...this.past, ...this.list.slice(this.past.length === 0 ? 0 : 1, at + 1)]
    this.entries = [{ epoch: this.list[at]!.epoch, startOffset }, ...this.list.slice(at + 1)]
    this.past = past.slice(-MAX_PAST_EPOCHS)
    return true
  }
}
