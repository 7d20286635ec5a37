/** What a log is made of. One object per log, shared by what works on it: PartitionLog and its LogAppender. */
import { DiskError } from "../ports/Disk.ts"
import type { EpochFile } from "./EpochFile.ts"
import type { LogConfig } from "./LogConfig.ts"
import type { LogContext } from "./LogContext.ts"
import type { LogReader } from "./LogReader.ts"
import type { PartitionLog } from "./PartitionLog.ts"
import type { ProducerSnapshots } from "./ProducerSnapshots.ts"
import type { ProducerState } from "./ProducerState.ts"
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
  /** When the oldest record that is not flushed was appended. */
  unflushedSinceMs: number
  /** Why the log takes nothing more. */
  failure: DiskError | undefined
}

/** Anything but lack of space (or a file that is in use) means that the disk can't be trusted. */
export const fail = (state: LogState, error: DiskError): void => {
  if (error.kind === "NoSpace" || error.kind === "Busy" || state.failure !== undefined) return
  state.failure = error
  state.context.failed(state.log, error)
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
