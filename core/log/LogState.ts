/** What a log is made of. One object per log, shared by what works on it: PartitionLog and its LogAppender. */
import { DiskError } from "../ports/Disk.ts"
import type { EpochFile } from "./EpochFile.ts"
import type { LogConfig } from "./LogConfig.ts"
import type { LogContext } from "./LogContext.ts"
import { DELETED_SUFFIX } from "./LogFiles.ts"
import type { LogReader } from "./LogReader.ts"
import type { PartitionLog } from "./PartitionLog.ts"
import type { ProducerSnapshots } from "./ProducerSnapshots.ts"
import type { ProducerState } from "./ProducerState.ts"
import type { Segment } from "./Segment.ts"
import type { Segments } from "./Segments.ts"
import type { Unflushed } from "./Unflushed.ts"

export interface LogState {
  readonly context: LogContext
  /** For the context's callbacks. */
  readonly log: PartitionLog
  readonly topic: string
  readonly partition: number
  readonly segments: Segments
  readonly producers: ProducerState
  readonly snapshots: ProducerSnapshots
  readonly epochs: EpochFile
  readonly reader: LogReader
  readonly unflushed: Unflushed
  config: LogConfig
  /** Its directory's path. */
  directory: string
  startOffset: number
  /** Exclusive end of what is written. */
  endOffset: number
  /** Exclusive end of what an fsync has covered. */
  flushedOffset: number
  /** What the flush that runs will have covered: what is written after a truncation meanwhile is not of it. */
  flushingTo: number
  /** When the oldest record that is not flushed was appended. */
  unflushedSinceMs: number
  /** The log was truncated, and the recovery point checkpoint does not say so yet. */
  isCheckpointDue: boolean
  /** And it begins before where the checkpoint of log starts may say: its records there would be lost. */
  isStartDue: boolean
  /** In the log no more: segments whose names have to stay until the active segment has no stale tail. */
  fences: ReadonlyArray<Segment>
  /** Why the log takes nothing more. */
  failure: DiskError | undefined
}

/** The disk can't be trusted any more. */
export const distrust = (state: LogState, error: DiskError): void => {
  if (state.failure !== undefined) return
  state.failure = error
  state.context.failed(state.log, error)
}

/** Anything but lack of space (or a file that is in use) means that the disk can't be trusted. */
export const isFailure = (error: DiskError): boolean => error.kind !== "NoSpace" && error.kind !== "Busy"

export const fail = (state: LogState, error: DiskError): void => {
  if (isFailure(error)) distrust(state, error)
}

/** Runs work with the disk, and takes note when it fails. @throws DiskError */
export const guarded = <A>(state: LogState, run: () => A): A => {
  if (state.failure !== undefined) throw state.failure
  try {
    return run()
  } catch (error) {
    if (error instanceof DiskError) fail(state, error)
    throw error
  }
}

/** As in Kafka a disk that does not give what was written can't be trusted with more. A file that was closed is no failure of it. */
export const noted = (state: LogState, error: unknown): unknown => {
  if (error instanceof DiskError && error.kind !== "Closed") fail(state, error)
  return error
}

/** Reads, also what a failed log still has. @throws DiskError */
export const looking = <A>(state: LogState, look: () => A): A => {
  try {
    return look()
  } catch (error) {
    throw noted(state, error)
  }
}

/**
 * Brings up to date what other files say of the log: where its epochs begin, and how far recovery may trust it. A disk
 * that is full may refuse it; the log does not grow before it is done. @throws DiskError
 */
export const writeFacts = (state: LogState): void => {
  if (state.epochs.write()) state.unflushed.namesChanged()
  if (!state.isCheckpointDue) return
  state.context.truncated(state.log, state.isStartDue)
  state.isCheckpointDue = false
  state.isStartDue = false
}

/** A segment that was taken out: its files go after file.delete.delay.ms. @throws DiskError */
export const retire = (state: LogState, segment: Segment): void => {
  segment.changeSuffix(DELETED_SUFFIX)
  segment.close()
  state.unflushed.remove(segment)
  state.context.schedule(state.config.fileDeleteDelayMs, () => segment.remove())
}

/** Once nothing needs them. The log does not grow before they are gone: it may need their names. @throws DiskError */
export const retireFences = (state: LogState): void => {
  if (state.fences.length === 0 || state.segments.active.hasStaleTail) return
  for (const fence of state.fences) {
    retire(state, fence)
    state.fences = state.fences.filter((other) => other !== fence)
  }
}
