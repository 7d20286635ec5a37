/**
 * The transactions that a compaction comes by, batch after batch: which data was aborted, and which markers still have
 * data before them. A compaction has one for each of its two walks.
 */
import type { Compression } from "../ports/Compression.ts"
import { ControlRecordType, controlRecordType } from "../records/ControlRecord.ts"
import { recordBytes, RecordReader } from "../records/Record.ts"
import type { RecordBatch } from "../records/RecordBatch.ts"
import type { AbortedEntry } from "./TransactionIndex.ts"

interface OngoingAborted {
  readonly entry: AbortedEntry
  /** Data was seen, whether or not it is kept: its segment may not have been replaced when the marker's is. */
  hasData: boolean
}

export class CleanedTransactions {
  /** Aborted transactions whose first offset was not reached yet, the lowest last. */
  private coming: Array<AbortedEntry> = []
  private readonly aborted = new Map<number, OngoingAborted>()
  /** Producers with data that no abort is known for. */
  private readonly committed = new Set<number>()
  private retained: Array<AbortedEntry> = []

  /** Before a segment's batches: the aborted transactions in it, those that reach into it included. */
  addAborted(entries: ReadonlyArray<AbortedEntry>): void {
    if (entries.length === 0) return
    this.coming = [...this.coming, ...entries].sort((a, b) => b.firstOffset - a.firstOffset)
  }

  /** Index entries of markers that stay and whose data may be there still, since the last call, in log order. */
  takeRetained(): ReadonlyArray<AbortedEntry> {
    const { retained } = this
    this.retained = []
    return retained
  }

  /** A batch of data. @returns whether it was aborted */
  onBatch(batch: RecordBatch): boolean {
    this.reach(batch)
    if (!batch.isTransactional) return false
    const ongoing = this.aborted.get(batch.producerId)
    if (ongoing === undefined) {
      this.committed.add(batch.producerId)
      return false
    }
    ongoing.hasData = true
    return true
  }

  /**
   * A control batch.
   * @returns whether it is a marker without data before it; an emptied one is as good as that
   * @throws RecordError
   */
  onControlBatch(batch: RecordBatch, compression: Compression): boolean {
    this.reach(batch)
    if (batch.recordCount === 0) return true
    const reader = new RecordReader(recordBytes(batch, compression), batch.recordCount)
    reader.next()
    switch (controlRecordType(reader.key())) {
      case ControlRecordType.ABORT: {
        const ongoing = this.aborted.get(batch.producerId)
        this.aborted.delete(batch.producerId)
        if (ongoing === undefined || !ongoing.hasData) return true
        this.retained.push(ongoing.entry)
        return false
      }
      case ControlRecordType.COMMIT:
        return !this.committed.delete(batch.producerId)
      default:
        return false
    }
  }

  /** Transactions that begin at or before the batch have begun. */
  private reach(batch: RecordBatch): void {
    const { coming } = this
    const { lastOffset } = batch
    for (let next = coming.at(-1); next !== undefined && next.firstOffset <= lastOffset; next = coming.at(-1)) {
      coming.pop()
      // One that spans segments comes with each; its marker may be behind us, and the producer's next is not aborted.
      if (next.lastOffset < batch.baseOffset || this.aborted.has(next.producerId)) continue
      this.aborted.set(next.producerId, { entry: next, hasData: false })
    }
  }
}
