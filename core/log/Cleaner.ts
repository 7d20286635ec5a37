/**
 * Compaction in the background (log.cleaner.*): picks the dirtiest log that is due, compacts it, and goes on until none
 * is. One log at a time, whatever log.cleaner.threads says: there is one loop, and turns are what is shared.
 *
 * How far a log is clean is in the cleaner-offset-checkpoint of its directory, written after its segments are in place:
 * what a crash loses is compacted again, with the same result.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { OffsetCheckpoint, PartitionOffset } from "./Checkpoints.ts"
import { type CleanableLog, filthiest, isDue, type LogToClean, measureLog } from "./CleanerDecisions.ts"
import { cleanLog } from "./LogCleaning.ts"
import type { LogContext } from "./LogContext.ts"
import { CLEANER_CHECKPOINT, type LogDirectory } from "./LogDirectory.ts"
import { OffsetMap } from "./OffsetMap.ts"
import type { PartitionLog } from "./PartitionLog.ts"
import { attempt } from "./TextFile.ts"

export interface CleanerOptions {
  readonly context: LogContext
  /** Those of directories that are online. */
  readonly logs: () => ReadonlyArray<PartitionLog>
  readonly directoryOf: (log: PartitionLog) => LogDirectory | undefined
  readonly highWatermark: (log: PartitionLog) => number
  readonly nowMs: () => number
  readonly config: {
    readonly number: (key: string) => number
    /** For log.cleaner.enable. */
    readonly boolean?: (key: string) => boolean
  }
}

const keyOf = (log: { readonly topic: string; readonly partition: number }): string => `${log.topic}-${log.partition}`

/** Below this a limit of bytes per second is none, in ms of waiting per turn. */
const MIN_THROTTLE_MS = 1

const cleanableOf = (log: PartitionLog, highWatermark: number): CleanableLog => ({
  segments: log.segments.all.map((segment) => ({
    baseOffset: segment.baseOffset,
    sizeInBytes: segment.size,
    get largestTimestamp(): number {
      return segment.maxTimestamp >= 0 ? segment.maxTimestamp : segment.modifiedMs
    },
    get firstBatchTimestamp(): number {
      return segment.firstTimestamp
    }
  })),
  logStartOffset: log.logStartOffset,
  logEndOffset: log.logEndOffset,
  lastStableOffset: Math.min(highWatermark, log.firstUnstableOffset ?? highWatermark),
  config: log.config
})

interface Found extends LogToClean {
  readonly log: PartitionLog
  readonly directory: LogDirectory
}

/** Compacts all that is due; gives how many times a log was. Calls wait for each other. */
export const makeCleaner = (options: CleanerOptions): Effect.Effect<number> => {
  const { config, context, directoryOf, highWatermark, logs, nowMs } = options
  /** What the checkpoints of a start say, by directory; read when first asked for. */
  const checkpoints = new Map<LogDirectory, OffsetCheckpoint>()
  /** The logs of that start: one that is made later may have the name of one that is gone. */
  const checkpointed = new WeakSet<PartitionLog>(logs())
  /** First dirty offsets of those that were compacted since. */
  const offsets = new WeakMap<PartitionLog, number>()
  /** A batch of theirs is not whole: until the next start they are left as they are. */
  const uncleanable = new WeakSet<PartitionLog>()

  /** First dirty offset; undefined: it was never compacted. @throws DiskError */
  const offsetOf = (log: PartitionLog, directory: LogDirectory): number | undefined => {
    const known = offsets.get(log)
    if (known !== undefined || !checkpointed.has(log)) return known
    let checkpoint = checkpoints.get(directory)
    if (checkpoint === undefined) checkpoints.set(directory, checkpoint = directory.readOffsets(CLEANER_CHECKPOINT))
    return checkpoint.get(keyOf(log))
  }

  const writeCheckpoint = (log: PartitionLog, directory: LogDirectory, offset: number) => {
    offsets.set(log, offset)
    const entries: Array<PartitionOffset> = []
    for (const each of logs()) {
      const known = directoryOf(each) === directory ? offsetOf(each, directory) : undefined
      if (known !== undefined) entries.push({ topic: each.topic, partition: each.partition, offset: known })
    }
    return directory.writeOffsets(CLEANER_CHECKPOINT, entries)
  }

  const measure = (log: PartitionLog): Found | undefined => {
    const directory = directoryOf(log)
    if (!log.config.cleanupPolicy.compact || directory === undefined || log.failed !== undefined) return undefined
    const cleanable = cleanableOf(log, highWatermark(log))
    const measured = measureLog(cleanable, offsetOf(log, directory), nowMs())
    return isDue(cleanable, measured) ? { ...measured, log, directory } : undefined
  }

  /** Lets others run, and waits as log.cleaner.io.max.bytes.per.second asks. */
  const turn = (bytes: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const waitMs = (bytes / config.number("log.cleaner.io.max.bytes.per.second")) * 1000
      return waitMs < MIN_THROTTLE_MS ? Effect.yieldNow : Effect.sleep(waitMs)
    })

  const clean = (found: Found): Effect.Effect<boolean> =>
    Effect.gen(function*() {
      const { directory, firstDirtyOffset, log } = found
      const annotations = { topic: log.topic, partition: log.partition }
      const map = new OffsetMap({
        memoryBytes: config.number("log.cleaner.dedupe.buffer.size"),
        loadFactor: config.number("log.cleaner.io.buffer.load.factor"),
        seed: context.crypto.randomBytes(8)
      })
      return yield* cleanLog({
        context,
        log,
        range: found,
        map,
        bufferBytes: config.number("log.cleaner.io.buffer.size"),
        nowMs: nowMs(),
        isOpen: () => directoryOf(log) === directory,
        turn
      }).pipe(
        Effect.flatMap((nextDirtyOffset) =>
          Effect.as(writeCheckpoint(log, directory, nextDirtyOffset), nextDirtyOffset > firstDirtyOffset)
        ),
        Effect.catchTag("CleaningAborted", () => Effect.succeed(false)),
        Effect.catchTag("DiskError", (error) => {
          if (error.kind !== "NoSpace") context.failed(log, error)
          return Effect.as(
            Effect.logWarning("a log was not compacted").pipe(Effect.annotateLogs({ ...annotations, error: error.message })),
            false
          )
        }),
        Effect.catchDefect((defect) => {
          if (!isNotWhole(defect)) return Effect.die(defect)
          uncleanable.add(log)
          return Effect.as(
            Effect.logError("a log cannot be compacted").pipe(Effect.annotateLogs({ ...annotations, error: defect.message })),
            false
          )
        })
      )
    })

  const round = Effect.gen(function*() {
    if (config.boolean?.("log.cleaner.enable") === false) return 0
    /** Not tried again in this round: nothing came of it. */
    const given = new Set<PartitionLog>()
    let count = 0
    for (;;) {
      const due: Array<Found> = []
      for (const log of logs()) {
        if (given.has(log) || uncleanable.has(log)) continue
        const found = yield* attempt(() => measure(log)).pipe(
          Effect.catchTag("DiskError", (error) =>
            Effect.sync(() => {
              context.failed(log, error)
              return undefined
            }))
        )
        if (found !== undefined) due.push(found)
      }
      const next = filthiest(due)
      if (next === undefined) return count
      if (yield* clean(next)) count++
      else given.add(next.log)
    }
  })
  const lock = Semaphore.makeUnsafe(1)
  return lock.withPermits(1)(round)
}

const isNotWhole = (defect: unknown): defect is Error => {
  const tag = (defect as { readonly _tag?: string } | undefined)?._tag
  return tag === undefined ? false : ["RecordError", "CompressionError"].includes(tag)
}
