/**
 * What a reader gets of a partition from an offset on: slices of its log's files, or where the reader's history leaves
 * the log's (KIP-595, KIP-392).
 */
import type { PartitionLog } from "../log/PartitionLog.ts"
import type { FileSlice } from "../model/Payload.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"

export interface PartitionRead {
  readonly error: number
  /** Leases: whoever gets this sends or releases them. */
  readonly slices: ReadonlyArray<FileSlice>
  readonly sizeBytes: number
  /** Exclusive end of what the slices may hold; the fetch offset when they are empty. */
  readonly endOffset: number
  /** The reader's history left the log's here. */
  readonly diverging: { readonly epoch: number; readonly endOffset: number } | undefined
}

export interface PartitionReadOptions {
  /** Of all slices together. */
  readonly maxBytes: number
  /** The first batch is given even when it is larger. */
  readonly minOneBatch: boolean
  /** Exclusive: how far the reader may see. */
  readonly endOffset: number
  /** -1 when the reader states none. */
  readonly lastFetchedEpoch: number
}

const NO_SLICES: ReadonlyArray<FileSlice> = []

export const refusedRead = (error: number): PartitionRead => ({
  error,
  slices: NO_SLICES,
  sizeBytes: 0,
  endOffset: -1,
  diverging: undefined
})

/** Where a reader's history leaves the log's; an unknown epoch leaves it nowhere that can be told. */
export const divergence = (
  log: PartitionLog,
  lastFetchedEpoch: number,
  offset: number
): { readonly epoch: number; readonly endOffset: number } | "Unknown" | undefined => {
  if (lastFetchedEpoch === -1) return undefined
  const end = log.endOffsetForEpoch(lastFetchedEpoch)
  if (end.endOffset === -1 || end.leaderEpoch === -1) return "Unknown"
  return end.leaderEpoch < lastFetchedEpoch || end.endOffset < offset
    ? { epoch: end.leaderEpoch, endOffset: end.endOffset }
    : undefined
}

/** @throws DiskError, holding no lease then */
export const readPartition = (log: PartitionLog, offset: number, options: PartitionReadOptions): PartitionRead => {
  const { endOffset, lastFetchedEpoch, maxBytes, minOneBatch } = options
  const diverging = divergence(log, lastFetchedEpoch, offset)
  if (diverging === "Unknown") return refusedRead(ErrorCode.OFFSET_OUT_OF_RANGE)
  if (diverging !== undefined) return { error: ErrorCode.NONE, slices: NO_SLICES, sizeBytes: 0, endOffset: offset, diverging }
  const slices: Array<FileSlice> = []
  let sizeBytes = 0
  let next = offset
  try {
    // One read gives bytes of one segment; go on into the next ones while there is budget.
    for (;;) {
      const read = log.read(next, { maxBytes: maxBytes - sizeBytes, minOneBatch: minOneBatch && sizeBytes === 0, endOffset })
      if (read._tag === "OffsetOutOfRange") {
        return slices.length === 0
          ? refusedRead(ErrorCode.OFFSET_OUT_OF_RANGE)
          : { error: ErrorCode.NONE, slices, sizeBytes, endOffset: next, diverging: undefined }
      }
      if (read.slice !== undefined) {
        slices.push(read.slice)
        sizeBytes += read.slice.length
      }
      if (read.nextOffset === undefined || read.nextOffset <= next) break
      next = read.nextOffset
      if (read.slice === undefined || next >= endOffset || sizeBytes >= maxBytes) break
    }
  } catch (error) {
    for (const slice of slices) slice.release()
    throw error
  }
  return {
    error: ErrorCode.NONE,
    slices,
    sizeBytes,
    endOffset: slices.length === 0 ? offset : next > offset ? next : endOffset,
    diverging: undefined
  }
}
