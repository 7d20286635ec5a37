/**
 * Replays the log of a partition into a coordinator's state: all records from the log start to the end that the log has
 * when the replay begins, in pieces, so that the loop serves others in between. Nobody else appends meanwhile: requests
 * are refused until the partition is loaded.
 *
 * Control batches are left out (transactional offsets come with the transaction coordinator), and so are kinds of
 * records that this coordinator does not know; they are counted.
 */
import * as Effect from "effect/Effect"
import { toBytes } from "../model/Payload.ts"
import type { Compression } from "../ports/Compression.ts"
import { records } from "../records/Record.ts"
import { batchSizeAt, LOG_OVERHEAD, RecordBatch } from "../records/RecordBatch.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { Partition } from "../replication/Partition.ts"
import type { CoordinatorState, RecordCodec } from "./CoordinatorState.ts"

/** Read at once, in bytes; a larger batch is read whole. Kafka's offsets.load.buffer.size is five times that. */
export const LOAD_BYTES: number = 1024 * 1024
/** Replayed before others get their turn, in bytes. */
const TURN_BYTES: number = 256 * 1024

export interface Replayed {
  readonly records: number
  /** Of kinds that are not known. */
  readonly skipped: number
}

/** The log can't be replayed: what this coordinator would answer may be wrong, so it answers nothing. */
export class LoadError extends Error {
  readonly _tag = "LoadError"
}

/** Whole batches; a slice may begin with one that begins below `from`. */
const replayBytes = <Record>(
  bytes: Uint8Array,
  from: number,
  state: CoordinatorState<Record>,
  codec: RecordCodec<Record>,
  compression: Compression
): Replayed & { readonly nextOffset: number } => {
  let nextOffset = from
  let count = 0
  let skipped = 0
  for (let at = 0; at + LOG_OVERHEAD <= bytes.length;) {
    const size = batchSizeAt(bytes, at)
    if (at + size > bytes.length) break
    const batch = new RecordBatch(bytes, at)
    at += size
    nextOffset = Math.max(nextOffset, batch.nextOffset)
    if (batch.isControl) continue
    for (const { key, offset, value } of records(batch, compression)) {
      if (offset < from || key === null) continue
      const record = codec.decode(key, value)
      if (record === undefined) skipped++
      else {
        state.replay(record, offset)
        count++
      }
    }
  }
  return { records: count, skipped, nextOffset }
}

/** Ends early, without an error, when `isWanted` no longer holds. */
export const replayLog = <Record>(
  partition: Partition,
  state: CoordinatorState<Record>,
  codec: RecordCodec<Record>,
  compression: Compression,
  isWanted: () => boolean
): Effect.Effect<Replayed, LoadError> =>
  Effect.gen(function*() {
    const endOffset = partition.logEndOffset
    let offset = partition.logStartOffset
    let count = 0
    let skipped = 0
    let turnBytes = 0
    while (offset < endOffset && isWanted()) {
      const piece = yield* Effect.try({
        try: () => {
          const read = partition.read(offset, LOAD_BYTES, true, "LogEnd")
          if (read.error !== ErrorCode.NONE) throw new LoadError(`reading at offset ${offset}: error ${read.error}`)
          const bytes = toBytes(read.slices)
          return { bytes: bytes.length, read, ...replayBytes(bytes, offset, state, codec, compression) }
        },
        catch: (cause) =>
          cause instanceof LoadError
            ? cause
            : new LoadError(`records from offset ${offset} on: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
      })
      // What compaction emptied is a gap at the log's end.
      offset = piece.nextOffset > offset ? piece.nextOffset : Math.max(offset + 1, piece.read.endOffset)
      count += piece.records
      skipped += piece.skipped
      turnBytes += piece.bytes
      if (turnBytes >= TURN_BYTES) {
        turnBytes = 0
        yield* Effect.yieldNow
      }
    }
    return { records: count, skipped }
  })
