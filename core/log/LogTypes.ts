/** What a partition's log is asked and answers. */
import type { FileSlice } from "../model/Payload.ts"
import type { ProduceRefusal } from "../records/BatchValidation.ts"

export interface LeaderAppendOptions {
  readonly leaderEpoch: number
  readonly nowMs: number
  /** Of the Produce request; the latest for batches that the broker makes itself. */
  readonly apiVersion: number
  /** A coordinator's own batch: control batches are allowed. */
  readonly isCoordinator?: boolean
}

export interface Appended {
  readonly _tag: "Appended"
  readonly baseOffset: number
  /** Inclusive. */
  readonly lastOffset: number
  /** -1 unless the topic keeps log-append time. */
  readonly logAppendTimeMs: number
  readonly logStartOffset: number
  /** The producer sent this before (KIP-98): nothing is staged, the offsets are the first append's. */
  readonly duplicate: boolean
}

export type AppendResult = Appended | ProduceRefusal

export interface FollowerAppendOptions {
  readonly nowMs: number
  /** The epoch the follower fetches in: a batch of a later one, and all behind it, is left out. */
  readonly leaderEpoch?: number
}

export interface FollowerAppended {
  readonly _tag: "Appended"
  /** Of the first batch; -1 when there was none. */
  readonly baseOffset: number
  /** Of the last batch, inclusive; -1 when there was none. */
  readonly lastOffset: number
}

export interface ReadOptions {
  readonly maxBytes: number
  /** The first batch is given even when it is larger than `maxBytes`. */
  readonly minOneBatch: boolean
  /** Exclusive: high watermark, last stable offset or log end. A batch that reaches past it is not given. */
  readonly endOffset: number
}

/** Whole batches of one segment, the first of which holds the offset asked for or is the first after it. */
export interface Read {
  readonly _tag: "Read"
  /** A lease: sent or released by whoever gets it. Undefined: nothing to read there yet, or nothing that fits. */
  readonly slice: FileSlice | undefined
  /** The offset after the slice's last batch, to go on from; undefined without a slice. */
  readonly nextOffset?: number
}
export interface OffsetOutOfRange {
  readonly _tag: "OffsetOutOfRange"
}
export type ReadResult = Read | OffsetOutOfRange

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

export interface TimestampOffset {
  readonly offset: number
  readonly timestamp: number
  /** -1 when not known. */
  readonly leaderEpoch: number
}

/** Where an epoch ends in this log (KIP-101, KIP-279); both -1 when the epoch is not known. */
export interface EpochEnd {
  readonly leaderEpoch: number
  readonly endOffset: number
}

export interface ActiveProducer {
  readonly producerId: number
  readonly producerEpoch: number
  /** -1 when none. */
  readonly lastSequence: number
  readonly lastTimestamp: number
  /** -1 when none. */
  readonly coordinatorEpoch: number
  /** -1 when no transaction is open. */
  readonly currentTxnStartOffset: number
}
