/**
 * Compacts one log. Reads, filters and writes a window at a time and lets others run in between, so the log may change
 * meanwhile: segments are taken away by retention, a truncation cuts into them, the topic is deleted. That is looked at
 * after each turn, and then the compaction is given up; nothing of the log has changed.
 *
 * New segments take the place of old ones by names, each step durable before the next:
 *
 *   1. `.cleaned` files, synced with their directory      a crash: removed at the next start
 *   2. renamed to `.swap`                                 a crash: complete, so the next start goes on from here
 *   3. the old files renamed to `.deleted`                who reads them goes on reading them
 *   4. `.swap` taken off
 */
import * as Effect from "effect/Effect"
import type { DiskError } from "../ports/Disk.ts"
import { batchSizeAt, LOG_OVERHEAD, RECORD_BATCH_OVERHEAD, RecordBatch } from "../records/RecordBatch.ts"
import { RecordError } from "../records/RecordError.ts"
import { CleanedTransactions } from "./CleanedTransactions.ts"
import { groupSegments, type LogToClean } from "./CleanerDecisions.ts"
import { compactBatch, type CompactionContext, indexBatch, type LastRecord } from "./Compaction.ts"
import type { LogContext } from "./LogContext.ts"
import { CLEANED_SUFFIX, SWAP_SUFFIX } from "./LogFiles.ts"
import type { OffsetMap } from "./OffsetMap.ts"
import { OFFSET_INDEX_ENTRY_BYTES } from "./OffsetIndex.ts"
import type { PartitionLog } from "./PartitionLog.ts"
import { Segment } from "./Segment.ts"
import { attempt } from "./TextFile.ts"
import { TIME_INDEX_ENTRY_BYTES } from "./TimeIndex.ts"
import type { AbortedEntry } from "./TransactionIndex.ts"

/** The log changed under the compaction: another time. */
export class CleaningAborted extends Error {
  readonly _tag = "CleaningAborted"
}

export interface LogCleaningOptions {
  readonly context: LogContext
  readonly log: PartitionLog
  readonly range: Pick<LogToClean, "firstDirtyOffset" | "firstUncleanableOffset">
  /** Empty. */
  readonly map: OffsetMap
  /** log.cleaner.io.buffer.size: what is read in one turn, in bytes; a larger batch is read whole. */
  readonly bufferBytes: number
  readonly nowMs: number
  /** Whether the log is there at all. */
  readonly isOpen: () => boolean
  /** After each turn, with the bytes it read and wrote: lets others run. */
  readonly turn: (bytes: number) => Effect.Effect<void>
}

/**
 * Compacts what the map has room for.
 * @returns the next first dirty offset
 * A RecordError or CompressionError, for a batch that is not whole, comes as a defect: nothing was replaced by it.
 */
export const cleanLog = (options: LogCleaningOptions): Effect.Effect<number, DiskError | CleaningAborted> =>
  Effect.gen(function*() {
    const { log, map, range } = options
    const watched = new Watched(options)
    yield* buildMap(options, watched)
    yield* watched.check
    const endOffset = map.latestOffset + 1
    const segments = log.segments.all.filter(({ baseOffset }) => baseOffset < endOffset)
    const groups = yield* attempt(() =>
      groupSegments(
        segments.map((segment) => ({
          baseOffset: segment.baseOffset,
          sizeInBytes: segment.size,
          offsetIndexBytes: segment.offsetIndex.entries * OFFSET_INDEX_ENTRY_BYTES,
          timeIndexBytes: segment.timeIndex.entries * TIME_INDEX_ENTRY_BYTES,
          segment
        })),
        log.config,
        range.firstUncleanableOffset
      )
    )
    const transactions = new CleanedTransactions()
    for (const group of groups) {
      yield* cleanGroup(options, watched, group.map(({ segment }) => segment), transactions)
    }
    return Math.max(endOffset, range.firstDirtyOffset)
  })

/**
 * The segments that are still to be compacted, and the one behind them. They must stay what follows each other in the
 * log: a truncation into one of them takes away the one behind, and with it what the map says of their keys.
 */
class Watched {
  private readonly options: LogCleaningOptions
  private expected: ReadonlyArray<Segment>

  constructor(options: LogCleaningOptions) {
    this.options = options
    const { log, range } = options
    const { all } = log.segments
    this.expected = all.slice(0, all.findIndex(({ baseOffset }) => baseOffset >= range.firstUncleanableOffset) + 1)
  }

  readonly check: Effect.Effect<void, CleaningAborted> = Effect.suspend(() => {
    const { expected, options: { isOpen, log } } = this
    const { all } = log.segments
    const from = all.indexOf(expected[0]!)
    const isSame = isOpen() && log.failed === undefined && from >= 0 &&
      expected.every((segment, i) => all[from + i] === segment)
    return isSame ? Effect.void : Effect.fail(new CleaningAborted(`${log.topic}-${log.partition} has changed`))
  })

  /** The first `count` were compacted: what becomes of them no longer matters. */
  done(count: number): void {
    this.expected = this.expected.slice(count)
  }
}

/** Walks a segment's batches from `position`, a window at a time. `visit` may be told a batch only until it returns. */
const walk = (
  options: LogCleaningOptions,
  segment: Segment,
  position: number,
  watched: Watched,
  visit: (batches: ReadonlyArray<RecordBatch>) => { readonly goesOn: boolean; readonly bytesWritten: number }
): Effect.Effect<boolean, DiskError | CleaningAborted> =>
  Effect.gen(function*() {
    const buffer = new Uint8Array(Math.max(RECORD_BATCH_OVERHEAD, Math.min(options.bufferBytes, segment.size)))
    while (position < segment.size) {
      yield* watched.check
      const at = position
      const result = yield* attempt(() => {
        let window = buffer
        let read = segment.file.read(window.subarray(0, Math.min(window.length, segment.size - at)), at)
        const size = read < LOG_OVERHEAD ? 0 : batchSizeAt(window, 0)
        if (size < RECORD_BATCH_OVERHEAD || at + size > segment.size) {
          throw new RecordError(`${segment.path} has no whole batch`, at)
        }
        if (size > read) {
          window = new Uint8Array(size)
          read = segment.file.read(window, at)
        }
        const batches: Array<RecordBatch> = []
        let end = 0
        while (end + RECORD_BATCH_OVERHEAD <= read) {
          const next = batchSizeAt(window, end)
          if (next < RECORD_BATCH_OVERHEAD || end + next > read) break
          batches.push(new RecordBatch(window, end))
          end += next
        }
        return { end, ...visit(batches) }
      })
      position += result.end
      yield* options.turn(result.end + result.bytesWritten)
      if (!result.goesOn) return false
    }
    return true
  })

/** Index entries of aborted transactions in [from, upTo). @throws DiskError */
const abortedIn = (log: PartitionLog, from: number, upTo: number): ReadonlyArray<AbortedEntry> => {
  const found: Array<AbortedEntry> = []
  const { segments } = log
  for (let index = segments.floor(from); index < segments.all.length; index++) {
    if (segments.at(index)!.txnIndex.collect(from, upTo, found)) break
  }
  return found
}

/** The first walk: the keys of the dirty segments, as many as there is room for. */
const buildMap = (
  options: LogCleaningOptions,
  watched: Watched
): Effect.Effect<void, DiskError | CleaningAborted> =>
  Effect.gen(function*() {
    const { context, log, map, range } = options
    const { compression, crypto } = context
    const startOffset = range.firstDirtyOffset
    const endOffset = range.firstUncleanableOffset
    const { all } = log.segments
    const dirty = all.slice(log.segments.floor(startOffset)).filter(({ baseOffset }) => baseOffset < endOffset)
    const transactions = new CleanedTransactions()
    transactions.addAborted(yield* attempt(() => abortedIn(log, startOffset, endOffset)))
    for (const [index, segment] of dirty.entries()) {
      const position = index === 0 ? yield* attempt(() => segment.locate(startOffset)?.position ?? segment.size) : 0
      const isWhole = yield* walk(options, segment, position, watched, (batches) => ({
        goesOn: batches.every((batch) => indexBatch(batch, { map, startOffset, transactions, crypto, compression })),
        bytesWritten: 0
      }))
      if (!isWhole) return
      // Offsets behind the last batch are not in the log.
      map.updateLatestOffset((dirty[index + 1]?.baseOffset ?? endOffset) - 1)
    }
  })

const lastRecordsOf = (log: PartitionLog): ReadonlyMap<number, LastRecord> => {
  const last = new Map<number, LastRecord>()
  for (const { batches, producerEpoch, producerId } of log.producers.all()) {
    last.set(producerId, { lastDataOffset: batches.at(-1)?.lastOffset ?? -1, producerEpoch })
  }
  return last
}

/** The second walk, over segments that become one. */
const cleanGroup = (
  options: LogCleaningOptions,
  watched: Watched,
  group: ReadonlyArray<Segment>,
  transactions: CleanedTransactions
): Effect.Effect<void, DiskError | CleaningAborted> =>
  Effect.gen(function*() {
    const { context, log, map, nowMs, range } = options
    const { compression, crypto, disk } = context
    yield* watched.check
    const { directory } = log
    const interval = log.config.indexIntervalBytes
    const cleaned = yield* attempt(() => Segment.create(context, directory, group[0]!.baseOffset, nowMs, CLEANED_SUFFIX))
    let isInLog = false
    const syncDirectory = disk.syncDirectory(directory)
    yield* Effect.gen(function*() {
      const compaction: CompactionContext = {
        map,
        transactions,
        lastRecords: lastRecordsOf(log),
        endOffset: range.firstUncleanableOffset,
        nowMs,
        deleteRetentionMs: log.config.deleteRetentionMs,
        crypto,
        compression
      }
      const { all } = log.segments
      const first = all.indexOf(group[0]!)
      for (const [index, segment] of group.entries()) {
        // The last segment of a log is never here: there is always one behind.
        const upTo = all[first + index + 1]!.baseOffset
        transactions.addAborted(yield* attempt(() => abortedIn(log, segment.baseOffset, upTo)))
        yield* walk(options, segment, 0, watched, (batches) => {
          const kept: Array<Uint8Array> = []
          for (const batch of batches) {
            const result = compactBatch(batch, compaction)
            if (result !== "Drop") kept.push(result)
          }
          return { goesOn: true, bytesWritten: append(cleaned, kept, transactions.takeRetained(), interval) }
        })
      }
      yield* attempt(() => cleaned.finish())
      cleaned.modifiedMs = group.at(-1)!.modifiedMs
      for (const file of yield* attempt(() => cleaned.filesToSync())) yield* file.sync
      yield* syncDirectory
      yield* watched.check
      yield* attempt(() => cleaned.changeSuffix(SWAP_SUFFIX))
      yield* syncDirectory
      yield* watched.check
      yield* attempt(() => log.replaceSegments(group, [cleaned]))
      isInLog = true
      watched.done(group.length)
      yield* syncDirectory
      // It may have been taken away since, with its files.
      if (!options.isOpen() || !log.segments.all.includes(cleaned)) return
      yield* attempt(() => cleaned.changeSuffix(""))
      yield* syncDirectory
    }).pipe(
      Effect.ensuring(Effect.suspend(() => {
        if (isInLog) return Effect.void
        return Effect.ignore(attempt(() => cleaned.remove()))
      })),
      // A directory that was renamed, as a deleted topic's is, has other paths: no failure of the disk.
      Effect.mapError((error) =>
        error._tag === "DiskError" && !options.isOpen() ? new CleaningAborted(error.message) : error
      )
    )
  })

/** @returns the bytes that were written @throws DiskError */
const append = (
  segment: Segment,
  batches: ReadonlyArray<Uint8Array>,
  aborted: ReadonlyArray<AbortedEntry>,
  indexIntervalBytes: number
): number => {
  for (const entry of aborted) segment.txnIndex.append(entry)
  if (batches.length === 0) return 0
  segment.reserve(batches.length)
  segment.file.write(batches, segment.size)
  const view = new RecordBatch(batches[0]!)
  let written = 0
  for (const bytes of batches) {
    view.bytes = bytes
    segment.appended(bytes.length, view.lastOffset, view.maxTimestamp, indexIntervalBytes)
    written += bytes.length
  }
  return written
}
