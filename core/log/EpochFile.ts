/** A log's leader epochs and the file that keeps them (leader-epoch-checkpoint). */
import * as Effect from "effect/Effect"
import type { Disk, DiskError } from "../ports/Disk.ts"
import { type EpochEntry, showEpochs } from "./Checkpoints.ts"
import type { LeaderEpochCache } from "./LeaderEpochCache.ts"
import { LEADER_EPOCH_CHECKPOINT } from "./LogFiles.ts"
import { replaceFile } from "./TextFile.ts"

export class EpochFile {
  readonly cache: LeaderEpochCache
  private readonly disk: Disk
  private directory: string
  /** The file says something else. */
  private isStale = false
  private isDirty: boolean
  /** Before the first change that may be taken back. */
  private before: ReadonlyArray<EpochEntry> | undefined

  constructor(disk: Disk, directory: string, cache: LeaderEpochCache, isDurable: boolean) {
    this.disk = disk
    this.directory = directory
    this.cache = cache
    this.isDirty = !isDurable
  }

  /** `epoch` begins with a batch that is staged: `commit` or `rollback` follows. */
  stage(epoch: number, startOffset: number): void {
    this.before ??= this.cache.entries
    if (this.cache.assign(epoch, startOffset)) this.isStale = true
  }

  commit(): void {
    this.before = undefined
  }

  /** The batches were refused. The file may have their epoch; an append must not make it real. */
  rollback(): void {
    if (this.before === undefined) return
    this.cache.entries = this.before
    this.before = undefined
    this.isStale = true
  }

  /** The cache was changed. */
  changed(): void {
    this.isStale = true
  }

  /** Nothing when the file says what it should. @throws DiskError */
  write(): boolean {
    if (!this.isStale) return false
    replaceFile(this.disk, `${this.directory}/${LEADER_EPOCH_CHECKPOINT}`, showEpochs(this.cache.entries))
    this.isStale = false
    this.isDirty = true
    return true
  }

  /** What makes the file's bytes durable. @throws DiskError */
  sync(): ReadonlyArray<Effect.Effect<void, DiskError>> {
    if (!this.isDirty) return []
    this.isDirty = false
    return syncPath(this.disk, `${this.directory}/${LEADER_EPOCH_CHECKPOINT}`)
  }

  moved(directory: string): void {
    this.directory = directory
  }
}

/** The sync of a file by its name; none when it is not there. @throws DiskError */
export const syncPath = (disk: Disk, path: string): ReadonlyArray<Effect.Effect<void, DiskError>> => {
  if (disk.stat(path) === undefined) return []
  const file = disk.open(path, "readWrite")
  return [Effect.ensuring(file.sync, Effect.sync(() => file.close()))]
}
