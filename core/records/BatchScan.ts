/**
 * Batches one after the other in a piece of a log: what recovery and followers ask of bytes before they trust them.
 * Records inside the batches are not looked at: their leader did, and the CRC holds what it saw.
 */
import type { Crypto } from "../ports/Crypto.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { ProduceRefusal } from "./ProduceRefusal.ts"
import {
  batchSizeAt,
  getInt32,
  HEADER_SIZE_UP_TO_MAGIC,
  LOG_OVERHEAD,
  MAGIC_V2,
  MIN_BATCH_LENGTH,
  RECORD_BATCH_OVERHEAD,
  RecordBatch
} from "./RecordBatch.ts"

/**
 * Why a scan stopped. `End`: nothing is left. `Partial`: the last batch is not all there, which in a window means to
 * look again with more bytes and at the end of a file a torn write. `Corrupt`: these bytes are no batch.
 */
export type ScanStop = "End" | "Partial" | "Corrupt"

export interface BatchScan {
  /** Where the last good batch ends, as a position in `bytes`. */
  readonly validEnd: number
  /** One after the last good batch's last offset; what was given as `nextOffset` when there was none. */
  readonly nextOffset: number
  readonly stop: ScanStop
  /** Of a partial batch: the bytes from `validEnd` on that are needed to go on. Else 0. */
  readonly neededBytes: number
  /** For messages; "" at the end. */
  readonly detail: string
}

export interface ScanOptions {
  readonly crypto: Crypto
  /** Positions in `bytes`. Default: all of it. */
  readonly from?: number
  readonly end?: number
  /** The first batch must not begin below this offset. Default 0. */
  readonly nextOffset?: number
}

/**
 * Walks whole batches of magic 2 with right sizes, CRCs and rising offsets.
 * @param visit gets each good one; the view moves on when it returns
 */
export const scanBatches = (
  bytes: Uint8Array,
  options: ScanOptions,
  visit?: (batch: RecordBatch) => void
): BatchScan => {
  const end = options.end ?? bytes.length
  let at = options.from ?? 0
  let nextOffset = options.nextOffset ?? 0
  const batch = new RecordBatch(bytes, at)
  const stopped = (stop: ScanStop, neededBytes: number, detail: string): BatchScan => ({
    validEnd: at,
    nextOffset,
    stop,
    neededBytes,
    detail
  })
  while (at < end) {
    const problem = headerProblem(bytes, at, end)
    if (problem !== undefined) return stopped("Corrupt", 0, problem)
    const left = end - at
    if (left < HEADER_SIZE_UP_TO_MAGIC) return stopped("Partial", RECORD_BATCH_OVERHEAD, `${left} bytes of a header`)
    batch.position = at
    const size = batch.sizeInBytes
    if (batch.magic !== MAGIC_V2) return stopped("Corrupt", 0, `magic ${batch.magic}`)
    if (size < RECORD_BATCH_OVERHEAD) return stopped("Corrupt", 0, `a batch of ${size} bytes`)
    if (left < size) return stopped("Partial", size, `${left} of ${size} bytes`)
    const baseOffset = batch.baseOffset
    const lastOffset = batch.lastOffset
    if (baseOffset < nextOffset || lastOffset < baseOffset || !Number.isSafeInteger(lastOffset)) {
      return stopped("Corrupt", 0, `offsets ${baseOffset} to ${lastOffset} where ${nextOffset} is next`)
    }
    if (!batch.isIntact(options.crypto)) {
      return stopped("Corrupt", 0, `stored CRC ${batch.crc}, computed ${batch.computeCrc(options.crypto)}`)
    }
    visit?.(batch)
    at += size
    nextOffset = lastOffset + 1
  }
  return stopped("End", 0, "")
}

/** What Kafka finds wrong with a batch's size and magic, in its order; undefined while nothing is (or too little is there to say). */
export const headerProblem = (bytes: Uint8Array, at: number, end: number): string | undefined => {
  if (end - at < LOG_OVERHEAD) return undefined
  const length = batchSizeAt(bytes, at) - LOG_OVERHEAD
  if (length < MIN_BATCH_LENGTH) {
    return `Record size ${length} is less than the minimum record overhead (${MIN_BATCH_LENGTH})`
  }
  if (end - at < HEADER_SIZE_UP_TO_MAGIC) return undefined
  const magic = (bytes[at + 16]! << 24) >> 24
  return magic < 0 || magic > MAGIC_V2 ? `Invalid magic found in record: ${magic}` : undefined
}

export interface ReplicatedBatches {
  readonly _tag: "Batches"
  /** What was given without a partial batch at its end. */
  readonly bytes: Uint8Array
  /** One view per batch, at its position in `bytes`. */
  readonly batches: ReadonlyArray<RecordBatch>
}

export interface ReplicatedContext {
  readonly crypto: Crypto
  /** The follower's log end offset: the first batch must not begin below it. */
  readonly nextOffset: number
  /** The leader epoch the follower fetches in; a batch of a later one and all behind it are left out. */
  readonly leaderEpoch?: number
}

/**
 * What a follower got from its leader: whole batches with rising offsets. A fetch may end in a part of one, which is
 * cut off.
 */
export const validateReplicated = (
  records: Uint8Array,
  context: ReplicatedContext
): ReplicatedBatches | ProduceRefusal => {
  const batches: Array<RecordBatch> = []
  const maxEpoch = context.leaderEpoch ?? 0x7fff_ffff
  let cut = -1
  const scan = scanBatches(records, context, (batch) => {
    if (cut < 0 && getInt32(batch.bytes, batch.position + 12) > maxEpoch) cut = batch.position
    if (cut < 0) batches.push(new RecordBatch(records, batch.position))
  })
  if (scan.stop === "Corrupt") {
    return { _tag: "Refusal", error: ErrorCode.CORRUPT_MESSAGE, message: "", recordErrors: [], detail: scan.detail }
  }
  return { _tag: "Batches", bytes: records.subarray(0, cut < 0 ? scan.validEnd : cut), batches }
}
