/**
 * What a log remembers of its producers (KIP-98, KIP-890): each one's epoch and last five batches, so that what is sent
 * again is answered and not appended again, and its open transaction. Pure: the same batches in the same order give
 * the same state; recovery replays them.
 *
 * Entries are replaced, never changed. Until `commit` each replaced one is kept, and `rollback` puts them back when the
 * disk refuses the batches.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { incrementSequence } from "../records/RecordBatch.ts"
import { ControlRecordType, type EndTransactionMarker } from "../records/ControlRecord.ts"
import type { ActiveProducer } from "./LogTypes.ts"

/** Batches per producer that are recognised when sent again: what a client may have in flight. */
export const PRODUCER_WINDOW_BATCHES = 5

export interface ProducerBatch {
  readonly lastSequence: number
  readonly lastOffset: number
  /** lastOffset - baseOffset */
  readonly offsetDelta: number
  readonly timestamp: number
}

export interface ProducerEntry {
  readonly producerId: number
  readonly producerEpoch: number
  /** Oldest first. */
  readonly batches: ReadonlyArray<ProducerBatch>
  /** Of its last end-transaction marker; -1 before one. */
  readonly coordinatorEpoch: number
  readonly lastTimestamp: number
  /** -1: none open. */
  readonly currentTxnFirstOffset: number
}

/** One batch, as the log is about to have it. */
export interface ProducerAppend {
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly baseOffset: number
  readonly lastOffset: number
  readonly maxTimestamp: number
  readonly isTransactional: boolean
}

export interface CompletedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  /** Of the marker. */
  readonly lastOffset: number
  readonly isAborted: boolean
}

/** What a producer's next batch is: an append, one that was appended before, or an error to answer. */
export type SequenceVerdict =
  | { readonly _tag: "Next" }
  | { readonly _tag: "Duplicate"; readonly batch: ProducerBatch }
  | { readonly _tag: "Refused"; readonly error: number; readonly message: string }

const NEXT: SequenceVerdict = { _tag: "Next" }
const NO_SEQUENCE = -1
const NO_EPOCH = -1

export class ProducerState {
  /** Exclusive end of what this state knows. */
  mapEndOffset = 0
  private entries = new Map<number, ProducerEntry>()
  /** Producer ids by first offset, in offset order. */
  private ongoing = new Map<number, number>()
  /** Ended, but by a marker that is not below the high watermark yet: first offset to marker's offset. */
  private unreplicated = new Map<number, number>()
  private readonly undone: Array<() => void> = []
  private readonly replacedIds: Array<number> = []
  private readonly replaced: Array<ProducerEntry | undefined> = []

  get size(): number {
    return this.entries.size
  }

  get(producerId: number): ProducerEntry | undefined {
    return this.entries.get(producerId)
  }

  all(): IterableIterator<ProducerEntry> {
    return this.entries.values()
  }

  // -- what a leader asks before an append -----------------------------------------------------------------------

  check(producerId: number, producerEpoch: number, baseSequence: number, lastOffsetDelta: number, isTransactional: boolean): SequenceVerdict {
    const entry = this.entries.get(producerId)
    if (entry === undefined) return NEXT
    const lastSequence = incrementSequence(baseSequence, lastOffsetDelta)
    if (entry.producerEpoch === producerEpoch) {
      for (let i = entry.batches.length - 1; i >= 0; i--) {
        const batch = entry.batches[i]!
        if (batch.lastSequence === lastSequence && batch.offsetDelta === lastOffsetDelta) {
          return { _tag: "Duplicate", batch }
        }
      }
    }
    if (producerEpoch < entry.producerEpoch) {
      return {
        _tag: "Refused",
        error: ErrorCode.INVALID_PRODUCER_EPOCH,
        message: `Epoch of producer ${producerId} is ${producerEpoch}, which is smaller than the last seen epoch ${entry.producerEpoch}`
      }
    }
    const last = entry.batches.at(-1)
    if (producerEpoch !== entry.producerEpoch) {
      if (baseSequence !== 0 && entry.producerEpoch !== NO_EPOCH) return outOfOrder(producerId, baseSequence, -1)
    } else {
      const lastKnown = last?.lastSequence ?? NO_SEQUENCE
      const follows = baseSequence === lastKnown + 1 || (baseSequence === 0 && lastKnown === 0x7fff_ffff)
      if (!follows) return outOfOrder(producerId, baseSequence, lastKnown)
    }
    if (entry.currentTxnFirstOffset >= 0 && !isTransactional) {
      return {
        _tag: "Refused",
        error: ErrorCode.INVALID_TXN_STATE,
        message: `Expected transactional write from producer ${producerId}`
      }
    }
    return NEXT
  }

  // -- changes ---------------------------------------------------------------------------------------------------

  /** A batch of records. Replayed and replicated ones are not checked: their leader did. */
  append(batch: ProducerAppend): void {
    const { baseOffset, lastOffset, maxTimestamp, producerEpoch, producerId } = batch
    const before = this.entries.get(producerId)
    const offsetDelta = lastOffset - baseOffset
    const known: ProducerBatch = {
      lastSequence: incrementSequence(batch.baseSequence, offsetDelta),
      lastOffset,
      offsetDelta,
      timestamp: maxTimestamp
    }
    let batches: ReadonlyArray<ProducerBatch>
    if (before === undefined || before.producerEpoch !== producerEpoch) batches = [known]
    else {
      const kept = before.batches
      batches = kept.length < PRODUCER_WINDOW_BATCHES
        ? [...kept, known]
        : [kept[1]!, kept[2]!, kept[3]!, kept[4]!, known]
    }
    let txn = before?.currentTxnFirstOffset ?? -1
    if (batch.isTransactional && txn < 0) {
      txn = baseOffset
      this.ongoing.set(baseOffset, producerId)
      this.undone.push(() => void this.ongoing.delete(baseOffset))
    }
    this.put({
      producerId,
      producerEpoch,
      batches,
      coordinatorEpoch: before?.coordinatorEpoch ?? -1,
      lastTimestamp: maxTimestamp,
      currentTxnFirstOffset: txn
    })
  }

  /**
   * A marker ends a transaction. A producer without one open, which a coordinator's second marker finds, is only given
   * the epochs.
   */
  endTransaction(
    producerId: number,
    producerEpoch: number,
    marker: EndTransactionMarker,
    offset: number,
    timestamp: number
  ): CompletedTransaction | undefined {
    const before = this.entries.get(producerId)
    const firstOffset = before?.currentTxnFirstOffset ?? -1
    this.put({
      producerId,
      producerEpoch,
      batches: before !== undefined && before.producerEpoch === producerEpoch ? before.batches : [],
      coordinatorEpoch: marker.coordinatorEpoch,
      lastTimestamp: timestamp,
      currentTxnFirstOffset: -1
    })
    if (firstOffset < 0) return undefined
    this.ongoing.delete(firstOffset)
    this.unreplicated.set(firstOffset, offset)
    this.undone.push(() => {
      this.unreplicated.delete(firstOffset)
      this.ongoing.set(firstOffset, producerId)
    })
    return { producerId, firstOffset, lastOffset: offset, isAborted: marker.type === ControlRecordType.ABORT }
  }

  private put(entry: ProducerEntry): void {
    this.replacedIds.push(entry.producerId)
    this.replaced.push(this.entries.get(entry.producerId))
    this.entries.set(entry.producerId, entry)
  }

  /** What was changed since the last commit stays. */
  commit(): void {
    if (this.replacedIds.length === 0) return
    this.replacedIds.length = 0
    this.replaced.length = 0
    this.undone.length = 0
  }

  /** Takes back what was changed since the last commit. */
  rollback(): void {
    for (let i = this.undone.length - 1; i >= 0; i--) this.undone[i]!()
    for (let i = this.replacedIds.length - 1; i >= 0; i--) {
      const entry = this.replaced[i]
      if (entry === undefined) this.entries.delete(this.replacedIds[i]!)
      else this.entries.set(this.replacedIds[i]!, entry)
    }
    this.commit()
  }

  // -- transactions ----------------------------------------------------------------------------------------------

  /** The first offset of a transaction that is open, or ended above the high watermark. */
  get firstUnstableOffset(): number | undefined {
    if (this.ongoing.size === 0 && this.unreplicated.size === 0) return undefined
    let first = Infinity
    for (const offset of this.ongoing.keys()) if (offset < first) first = offset
    for (const offset of this.unreplicated.keys()) if (offset < first) first = offset
    return first
  }

  /** What the last stable offset will be once `completed` is replicated: what its index entry says. */
  lastStableOffsetAfter(completed: CompletedTransaction): number {
    let first = completed.lastOffset + 1
    for (const offset of this.ongoing.keys()) if (offset !== completed.firstOffset && offset < first) first = offset
    return first
  }

  /** Transactions whose marker is below `highWatermark` are decided for readers. */
  onHighWatermark(highWatermark: number): void {
    if (this.unreplicated.size === 0) return
    for (const [first, last] of this.unreplicated) if (last < highWatermark) this.unreplicated.delete(first)
  }

  // -- forgetting ------------------------------------------------------------------------------------------------

  /** Producers that wrote nothing for `expirationMs` and have no open transaction (producer.id.expiration.ms). */
  expire(nowMs: number, expirationMs: number): void {
    for (const [id, entry] of this.entries) {
      if (entry.currentTxnFirstOffset < 0 && nowMs - entry.lastTimestamp >= expirationMs) this.entries.delete(id)
    }
  }

  clear(mapEndOffset: number): void {
    this.commit()
    this.entries.clear()
    this.ongoing.clear()
    this.unreplicated.clear()
    this.mapEndOffset = mapEndOffset
  }

  /** From a snapshot. */
  restore(entry: ProducerEntry): void {
    this.entries.set(entry.producerId, entry)
    if (entry.currentTxnFirstOffset >= 0) this.ongoing.set(entry.currentTxnFirstOffset, entry.producerId)
  }

  active(): ReadonlyArray<ActiveProducer> {
    return [...this.entries.values()].map((entry) => ({
      producerId: entry.producerId,
      producerEpoch: entry.producerEpoch,
      lastSequence: entry.batches.at(-1)?.lastSequence ?? -1,
      lastTimestamp: entry.lastTimestamp,
      coordinatorEpoch: entry.coordinatorEpoch,
      currentTxnStartOffset: entry.currentTxnFirstOffset
    }))
  }
}

const outOfOrder = (producerId: number, got: number, last: number): SequenceVerdict => ({
  _tag: "Refused",
  error: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  message: `Out of order sequence number for producer ${producerId}: ${got} (incoming seq. number), ${last} (current end sequence number)`
})
