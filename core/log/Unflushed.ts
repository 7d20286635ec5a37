/** What of a log's files waits for a sync. */
import type * as Effect from "effect/Effect"
import type { Disk, DiskError } from "../ports/Disk.ts"
import { type EpochFile, syncPath } from "./EpochFile.ts"
import { PARTITION_METADATA } from "./LogFiles.ts"
import type { Segment } from "./Segment.ts"
import type { Segments } from "./Segments.ts"

export class Unflushed {
  private readonly disk: Disk
  /** Closed segments. The active one is looked at with each flush. */
  private readonly segments = new Set<Segment>()
  /** Names in the partition's directory were made or changed. */
  private isDirectoryDirty: boolean
  /** The directory's own name, and its topic's id. */
  private isNameDirty: boolean

  constructor(disk: Disk, segments: Segments, isDurable: boolean) {
    this.disk = disk
    this.isDirectoryDirty = !isDurable
    this.isNameDirty = !isDurable
    for (const segment of segments.all) if (segment.isDirty && segment !== segments.active) this.segments.add(segment)
  }

  /** Whether there may be something beside the active segment. */
  get hasNames(): boolean {
    return this.isDirectoryDirty
  }

  add(segment: Segment): void {
    this.segments.add(segment)
  }

  /** It is in the log no more, or active again. */
  remove(segment: Segment): void {
    this.segments.delete(segment)
  }

  namesChanged(): void {
    this.isDirectoryDirty = true
  }

  /** The syncs that cover all that is written now. @throws DiskError */
  begin(directory: string, active: Segment, epochs: EpochFile): ReadonlyArray<Effect.Effect<void, DiskError>> {
    const syncs: Array<Effect.Effect<void, DiskError>> = []
    for (const segment of this.segments) for (const file of segment.filesToSync()) syncs.push(file.sync)
    this.segments.clear()
    // The active segment's indexes are built again by recovery, which always scans it.
    if (active.isDirty) {
      active.isDirty = false
      syncs.push(active.file.sync)
    }
    syncs.push(...epochs.sync())
    if (this.isDirectoryDirty) {
      this.isDirectoryDirty = false
      syncs.push(this.disk.syncDirectory(directory))
    }
    if (this.isNameDirty) {
      this.isNameDirty = false
      syncs.push(...syncPath(this.disk, `${directory}/${PARTITION_METADATA}`))
      syncs.push(this.disk.syncDirectory(directory.slice(0, directory.lastIndexOf("/"))))
    }
    return syncs
  }
}
