/**
 * Batches that wait for one write, in parallel arrays that are used again: staging allocates next to nothing.
 * `rolls` says before which of them a new segment begins, with the snapshot of producers that belongs to it.
 */
import type { CompletedTransaction } from "./ProducerState.ts"

interface StagedRoll {
  /** Index of the batch that the new segment begins with. */
  readonly index: number
  readonly baseOffset: number
  readonly snapshot: Uint8Array
}

interface StagedAbort {
  /** Index of the batch with the marker. */
  readonly index: number
  readonly completed: CompletedTransaction
  readonly lastStableOffset: number
}

export class Staging {
  readonly bytes: Array<Uint8Array> = []
  readonly baseOffsets: Array<number> = []
  readonly lastOffsets: Array<number> = []
  readonly maxTimestamps: Array<number> = []
  readonly rolls: Array<StagedRoll> = []
  readonly aborts: Array<StagedAbort> = []

  get count(): number {
    return this.bytes.length
  }

  add(bytes: Uint8Array, baseOffset: number, lastOffset: number, maxTimestamp: number): void {
    this.bytes.push(bytes)
    this.baseOffsets.push(baseOffset)
    this.lastOffsets.push(lastOffset)
    this.maxTimestamps.push(maxTimestamp)
  }

  clear(): void {
    this.bytes.length = 0
    this.baseOffsets.length = 0
    this.lastOffsets.length = 0
    this.maxTimestamps.length = 0
    if (this.rolls.length > 0) this.rolls.length = 0
    if (this.aborts.length > 0) this.aborts.length = 0
  }
}
