/**
 * Opens a log from its directory. After a clean stop the files are taken as they are; else every segment from the
 * recovery point on is scanned: what follows the last good batch is cut, indexes and producers are built again.
 */
import * as Effect from "effect/Effect"
import { ZERO_TOPIC_ID } from "../model/Ids.ts"
import { DiskError } from "../ports/Disk.ts"
import { scanBatches } from "../records/BatchScan.ts"
import type { RecordBatch } from "../records/RecordBatch.ts"
import { parseEpochs, parsePartitionMetadata, showEpochs, showPartitionMetadata } from "./Checkpoints.ts"
import { LeaderEpochCache } from "./LeaderEpochCache.ts"
import type { LogConfig } from "./LogConfig.ts"
import type { LogContext } from "./LogContext.ts"
import {
  CLEANED_SUFFIX,
  DELETED_SUFFIX,
  LEADER_EPOCH_CHECKPOINT,
  LOG_SUFFIX,
  offsetOfName,
  PARTITION_METADATA,
  SEGMENT_SUFFIXES,
  SWAP_SUFFIX,
  TEMPORARY_SUFFIX
} from "./LogFiles.ts"
import { PartitionLog } from "./PartitionLog.ts"
import { loadProducers, observeBatch, ProducerSnapshots } from "./ProducerSnapshots.ts"
import { ProducerState } from "./ProducerState.ts"
import { Segment } from "./Segment.ts"
import { Segments } from "./Segments.ts"
import { attempt, readText, replaceFile } from "./TextFile.ts"
import type { AbortedEntry } from "./TransactionIndex.ts"

/** Read at once by a scan, in bytes; a larger batch is read whole. */
const WINDOW_BYTES = 1024 * 1024
/** Scanned before others get their turn, in bytes. */
const TURN_BYTES = 8 * WINDOW_BYTES

export interface LoadOptions {
  readonly topic: string
  readonly partition: number
  /** The partition's. */
  readonly directory: string
  readonly config: LogConfig
  /** From the checkpoints of the log directory; 0 where they have none. */
  readonly logStartOffset: number
  readonly recoveryPoint: number
  /** The broker that wrote it last stopped cleanly. */
  readonly isClean: boolean
  readonly nowMs: number
}

/**
 * A new log: its directory, partition.metadata and an empty segment. Nothing is left of one that the disk refused: it may
 * be made in another log directory then, and no broker starts with one log in two of them. @throws DiskError
 */
export const createLog = (
  context: LogContext,
  options: Omit<LoadOptions, "logStartOffset" | "recoveryPoint" | "isClean"> & { readonly topicId: string }
): PartitionLog => {
  const { config, directory, nowMs, partition, topic, topicId } = options
  const { disk } = context
  const isThere = disk.stat(directory) !== undefined
  let first: Segment
  try {
    disk.makeDirectory(directory)
    replaceFile(disk, `${directory}/${PARTITION_METADATA}`, showPartitionMetadata(topicId))
    first = Segment.create(context, directory, 0, nowMs)
  } catch (error) {
    if (!isThere) removeIfPossible(context, directory)
    throw error
  }
  return new PartitionLog(context, {
    topic,
    partition,
    topicId,
    directory,
    config,
    segments: new Segments([first]),
    producers: new ProducerState(),
    snapshots: new ProducerSnapshots(context, directory, []),
    epochs: new LeaderEpochCache(),
    logStartOffset: 0,
    logEndOffset: 0,
    flushedOffset: 0,
    isDurable: false
  })
}

const removeIfPossible = (context: LogContext, path: string): void => {
  try {
    context.disk.remove(path)
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
  }
}

/** What `partition.metadata` says; undefined without a whole one. @throws DiskError */
export const readTopicId = (context: LogContext, directory: string): string | undefined => {
  const text = readText(context.disk, `${directory}/${PARTITION_METADATA}`)
  return text === undefined ? undefined : parsePartitionMetadata(text)
}

/**
 * Brings a directory's names in order: what a crash left of compaction is completed or undone, what waits for its
 * deletion goes, indexes without a log go. @returns the names left @throws DiskError
 */
const tidy = (context: LogContext, directory: string): ReadonlyArray<string> => {
  const { disk } = context
  let names = disk.list(directory)
  const remove = (mayGo: (name: string) => boolean): void => {
    for (const name of names) if (mayGo(name)) disk.remove(`${directory}/${name}`)
    names = names.filter((name) => !mayGo(name))
  }
  const segmentOffset = (name: string, suffix: string): number | undefined => {
    for (const each of SEGMENT_SUFFIXES) {
      const offset = offsetOfName(name, each + suffix)
      if (offset !== undefined) return offset
    }
    return undefined
  }
  // A cleaned segment becomes .swap from the last to the first: where one is still .cleaned, those after it are not
  // all there is, and the segments they replace still are.
  let firstCleaned = Infinity
  for (const name of names) firstCleaned = Math.min(firstCleaned, segmentOffset(name, CLEANED_SUFFIX) ?? Infinity)
  remove((name) =>
    name.endsWith(DELETED_SUFFIX) || name.endsWith(CLEANED_SUFFIX) || name.endsWith(TEMPORARY_SUFFIX) ||
    (name.endsWith(SWAP_SUFFIX) && (segmentOffset(name, SWAP_SUFFIX) ?? Infinity) >= firstCleaned)
  )
  // The rest of the .swap files are complete: they take the place of the segments in their range.
  let from = Infinity
  let to = -1
  for (const name of names) {
    const offset = offsetOfName(name, LOG_SUFFIX + SWAP_SUFFIX)
    if (offset === undefined) continue
    const size = disk.stat(`${directory}/${name}`)?.size ?? 0
    const segment = new Segment(context, directory, offset, { size, nowMs: 0, isNew: false, suffix: SWAP_SUFFIX })
    from = Math.min(from, offset)
    to = Math.max(to, nextOffsetOf(segment, context) ?? offset + 1)
    segment.close()
  }
  remove((name) => {
    const offset = segmentOffset(name, "")
    // An index that has its name already belongs to the .swap log.
    if (offset === undefined || offset < from || offset >= to) return false
    return name.endsWith(LOG_SUFFIX) || names.includes(name.slice(0, 20) + LOG_SUFFIX) || names.includes(name + SWAP_SUFFIX)
  })
  names = names.map((name) => {
    if (!name.endsWith(SWAP_SUFFIX)) return name
    const final = name.slice(0, -SWAP_SUFFIX.length)
    disk.rename(`${directory}/${name}`, `${directory}/${final}`)
    return final
  })
  remove((name) => {
    const offset = segmentOffset(name, "")
    return offset !== undefined && !name.endsWith(LOG_SUFFIX) && !names.includes(name.slice(0, 20) + LOG_SUFFIX)
  })
  return names
}

/** One after the last offset; undefined when the batches, or the index, don't end where the file does. @throws DiskError */
const nextOffsetOf = (segment: Segment, context: LogContext): number | undefined => {
  const { headers } = context
  const { entries } = segment.offsetIndex
  let position = entries === 0 ? 0 : segment.offsetIndex.entry(entries - 1).position
  let nextOffset = segment.baseOffset
  // Of no batch that is there: what it says of the offsets before it is not known.
  if (position > 0 && position >= segment.size) return undefined
  if (segment.size > 0) headers.begin(segment.file)
  while (headers.seek(position, segment.size)) {
    const { batch } = headers
    const { sizeInBytes } = batch
    if (sizeInBytes <= 0) return undefined
    nextOffset = batch.nextOffset
    position += sizeInBytes
  }
  return position === segment.size ? nextOffset : undefined
}

/** Leader epoch of a segment's first batch; -1 when it has none that is whole. @throws DiskError */
const firstEpoch = (segment: Segment, context: LogContext): number => {
  const { crypto, headers } = context
  if (segment.size === 0) return -1
  headers.begin(segment.file)
  if (!headers.seek(0, segment.size)) return -1
  const { sizeInBytes } = headers.batch
  if (sizeInBytes > segment.size) return -1
  const bytes = new Uint8Array(Math.max(0, sizeInBytes))
  segment.file.read(bytes, 0)
  let epoch = -1
  scanBatches(bytes, { crypto, nextOffset: segment.baseOffset }, (batch) => {
    epoch = batch.partitionLeaderEpoch
  })
  return epoch
}

/**
 * Scans a segment, appends its good batches again to it in place, and cuts the rest.
 *
 * Batches that reach past the beginning of the next segment are of one of two histories. They were truncated while a
 * reader had them, so that the log went on in a new segment: then the next one begins where they do, and they are cut.
 * Or the next segment was truncated, and a crash of the machine brought its name back: then it begins inside a batch,
 * or its leader epoch is older than theirs, and it must go.
 *
 * @returns whether the next segment follows: its batches were appended after these
 */
const recoverSegment = (
  segment: Segment,
  context: LogContext,
  { config, recoveryPoint }: LoadOptions,
  next: Segment | undefined,
  visit: (batch: RecordBatch) => void
): Effect.Effect<boolean, DiskError> =>
  Effect.gen(function*() {
    const { crypto } = context
    const { file } = segment
    const fileSize = yield* attempt(() => file.size())
    yield* attempt(() => segment.restart())
    let window = new Uint8Array(Math.min(WINDOW_BYTES, fileSize))
    let position = 0
    let nextOffset = segment.baseOffset
    let sinceTurn = 0
    const nextEpoch = next === undefined ? -1 : yield* attempt(() => firstEpoch(next, context))
    // What lies below the recovery point was synced with its names, so what seems wrong there is not.
    const isUncertain = next !== undefined && next.baseOffset > recoveryPoint
    let lastEpoch = -1
    let keptEnd = segment.baseOffset
    let isPastNext = false
    let isNextStale = false
    while (position < fileSize && !isPastNext) {
      const length = Math.min(window.length, fileSize - position)
      const bytes = window.subarray(0, length)
      const at = position
      const scan = yield* attempt(() => {
        file.read(bytes, at)
        return scanBatches(bytes, { crypto, nextOffset }, (batch) => {
          if (next !== undefined && !isNextStale && batch.lastOffset >= next.baseOffset) {
            const isOlder = batch.baseOffset < next.baseOffset || (nextEpoch >= 0 && nextEpoch < lastEpoch)
            if (isUncertain && isOlder) isNextStale = true
            else isPastNext = true
          }
          if (isPastNext) return
          lastEpoch = batch.partitionLeaderEpoch
          keptEnd = batch.nextOffset
          segment.reserve(1)
          segment.appended(batch.sizeInBytes, batch.lastOffset, batch.maxTimestamp, config.indexIntervalBytes)
          visit(batch)
        })
      })
      position += scan.validEnd
      nextOffset = scan.nextOffset
      if (scan.stop === "Corrupt") break
      if (scan.stop === "Partial") {
        if (position + scan.neededBytes > fileSize) break
        if (scan.neededBytes > window.length) window = new Uint8Array(scan.neededBytes)
      }
      sinceTurn += length
      if (sinceTurn >= TURN_BYTES) {
        sinceTurn = 0
        yield* Effect.yieldNow
      }
    }
    yield* attempt(() => {
      if (segment.size < fileSize) file.truncate(segment.size)
      segment.offsetIndex.trim()
      segment.timeIndex.trim()
      if (next !== undefined) segment.finish()
    })
    if (next === undefined) return true
    // A machine's crash may take the end of a segment and leave the next one, a process's may come between the steps of
    // a truncation. (A hole that compaction made is none.)
    const hasHole = (isUncertain || segment.size === 0) && keptEnd < next.baseOffset && !config.cleanupPolicy.compact
    isNextStale ||= isUncertain && nextEpoch >= 0 && nextEpoch < lastEpoch
    return !isNextStale && !hasHole && (isPastNext || fileSize === segment.size)
  })

/** Epochs by the batches' headers: for a log whose checkpoint a crash took. @throws DiskError */
const scanEpochs = (segments: ReadonlyArray<Segment>, context: LogContext): LeaderEpochCache => {
  const epochs = new LeaderEpochCache()
  const { headers } = context
  for (const segment of segments) {
    if (segment.size > 0) headers.begin(segment.file)
    for (let position = 0; headers.seek(position, segment.size);) {
      const { batch } = headers
      if (batch.sizeInBytes <= 0) break
      if (batch.partitionLeaderEpoch > epochs.latestEpoch) epochs.assign(batch.partitionLeaderEpoch, batch.baseOffset)
      position += batch.sizeInBytes
    }
  }
  return epochs
}

const openSegments = (context: LogContext, options: LoadOptions, names: ReadonlyArray<string>): Array<Segment> => {
  const { directory, logStartOffset, nowMs } = options
  const offsets = names
    .map((name) => offsetOfName(name, LOG_SUFFIX))
    .filter((offset) => offset !== undefined)
    .sort((a, b) => a - b)
  if (offsets.length === 0) return [Segment.create(context, directory, logStartOffset, nowMs)]
  return offsets.map((offset) => {
    const stat = context.disk.stat(`${directory}/${String(offset).padStart(20, "0")}${LOG_SUFFIX}`)
    const segment = new Segment(context, directory, offset, { size: stat?.size ?? 0, nowMs, isNew: false })
    segment.modifiedMs = stat?.modifiedMs ?? nowMs
    return segment
  })
}

/** @param trusted segments that need no scan of their own: the others tell their epochs when they are recovered */
const readEpochs = (context: LogContext, directory: string, trusted: ReadonlyArray<Segment>): LeaderEpochCache => {
  const text = readText(context.disk, `${directory}/${LEADER_EPOCH_CHECKPOINT}`)
  const entries = text === undefined ? undefined : parseEpochs(text)
  return entries === undefined ? scanEpochs(trusted, context) : new LeaderEpochCache(entries)
}

/** Opens the log in `directory`, recovering it when it needs that. */
export const loadLog = (context: LogContext, options: LoadOptions): Effect.Effect<PartitionLog, DiskError> =>
  Effect.gen(function*() {
    const { config, directory, isClean, nowMs, partition, recoveryPoint, topic } = options
    const { disk } = context
    const { names, topicId } = yield* attempt(() => ({
      names: tidy(context, directory),
      topicId: readTopicId(context, directory) ?? ZERO_TOPIC_ID
    }))
    let list = yield* attempt(() => openSegments(context, options, names))
    const snapshots = new ProducerSnapshots(context, directory, names)
    // The segment that ends at the recovery point may have been active then, and its indexes not synced.
    const firstUnflushed = isClean ? list.length : new Segments(list).floor(Math.max(0, recoveryPoint - 1))
    const epochs = yield* attempt(() => readEpochs(context, directory, list.slice(0, firstUnflushed)))
    const epochsOnDisk = epochs.entries
    // The first epoch begins where the log does, and is written down when records are deleted: the checkpoint of log
    // starts may be older. Records from before there were epochs (KIP-101) have none, and where the first record was
    // compacted away a recovery takes the next for the beginning.
    const firstEpochStart = epochsOnDisk[0]?.startOffset ?? 0
    const isStartKnown = !config.cleanupPolicy.compact && firstEpochStart > Math.max(options.logStartOffset, list[0]!.baseOffset) &&
      (yield* attempt(() => firstEpoch(list[0]!, context))) >= 0
    const producers = new ProducerState()

    // Which segments can't be taken as they are: all from the recovery point on after a crash, one without indexes, one
    // that does not end where its last batch does.
    const isDamaged = (segment: Segment, next: Segment | undefined): boolean => {
      if (segment.size === 0) return false
      const hasIndexes = disk.stat(segment.offsetIndex.path) !== undefined &&
        disk.stat(segment.timeIndex.path) !== undefined
      if (!hasIndexes) return true
      if (isClean && next !== undefined) return false
      const nextOffset = nextOffsetOf(segment, context)
      return nextOffset === undefined || (next !== undefined && nextOffset > next.baseOffset)
    }
    let areProducersLoaded = false
    for (let index = 0; index < list.length; index++) {
      const segment = list[index]!
      const next = list[index + 1]
      const mustScan = index >= firstUnflushed || (yield* attempt(() => isDamaged(segment, next)))
      if (!mustScan) continue
      // From here on the batches say which epochs there are: the checkpoint may tell of a truncation that was lost.
      if (index === firstUnflushed) epochs.truncateFromEnd(segment.baseOffset)
      yield* attempt(() =>
        loadProducers(producers, snapshots, new Segments(list.slice(0, index + 1)), segment.baseOffset, context)
      )
      const aborted: Array<AbortedEntry> = []
      const isFollowed = yield* recoverSegment(segment, context, options, next, (batch) => {
        if (batch.partitionLeaderEpoch > epochs.latestEpoch) epochs.assign(batch.partitionLeaderEpoch, batch.baseOffset)
        const completed = observeBatch(producers, batch, context)
        if (completed?.isAborted === true) {
          const { firstOffset, lastOffset, producerId } = completed
          aborted.push({ producerId, firstOffset, lastOffset, lastStableOffset: producers.lastStableOffsetAfter(completed) })
        }
      })
      yield* attempt(() => segment.txnIndex.replace(aborted))
      producers.commit()
      areProducersLoaded = next === undefined
      if (!isFollowed) {
        // What follows a hole is not what was appended after what is left.
        yield* attempt(() => {
          for (const later of list.slice(index + 1)) later.remove()
        })
        list = list.slice(0, index + 1)
        areProducersLoaded = true
      }
    }

    const segments = new Segments(list)
    let logEndOffset = yield* attempt(() => nextOffsetOf(segments.active, context) ?? segments.active.baseOffset)
    const logStartOffset = Math.max(options.logStartOffset, isStartKnown ? firstEpochStart : 0, segments.first.baseOffset)
    if (logStartOffset > logEndOffset) {
      // Records below the log start are gone for readers, and no others are there.
      yield* attempt(() => {
        for (const segment of list) segment.remove()
        segments.replace(list, [Segment.create(context, directory, logStartOffset, nowMs)])
        snapshots.removeUnless(() => false)
        producers.clear(logStartOffset)
      })
      logEndOffset = logStartOffset
      areProducersLoaded = true
    }
    return yield* attempt(() => {
      if (areProducersLoaded) snapshots.removeUnless((offset) => offset <= logEndOffset)
      else loadProducers(producers, snapshots, segments, logEndOffset, context)
      producers.expire(nowMs, context.producerIdExpirationMs())
      epochs.truncateFromEnd(logEndOffset)
      epochs.truncateFromStart(logStartOffset)
      if (epochs.entries !== epochsOnDisk) {
        replaceFile(disk, `${directory}/${LEADER_EPOCH_CHECKPOINT}`, showEpochs(epochs.entries))
      }
      return new PartitionLog(context, {
        topic,
        partition,
        topicId,
        directory,
        config,
        segments,
        producers,
        snapshots,
        epochs,
        logStartOffset,
        logEndOffset,
        flushedOffset: Math.min(recoveryPoint, logEndOffset),
        isDurable: isClean && epochs.entries === epochsOnDisk
      })
    })
  })
