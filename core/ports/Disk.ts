/**
 * What the log asks of a file system. Page-cache sized work is synchronous: on all three runtimes it is 3 to 12
 * times cheaper than its asynchronous form, and the log batches it. Only what waits for the device is an Effect.
 *
 * Laws (diskLaws of `ottla/testing`) hold for every layer: a read gives what was last written; what was synced survives
 * a crash of the machine, what was only written survives a crash of the process; a removed or replaced file stays
 * readable through what was opened before.
 */
import * as Context from "effect/Context"
import type { Effect } from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { ReadableFile } from "../model/Payload.ts"

export type DiskErrorKind = "NotFound" | "AlreadyExists" | "NoSpace" | "NotPermitted" | "Busy" | "Closed" | "Io"

/** The host refused or failed an operation. `kind` is what a caller can act on. */
export class DiskError extends Error {
  readonly _tag = "DiskError"
  readonly kind: DiskErrorKind
  readonly operation: string
  readonly path: string
  constructor(kind: DiskErrorKind, operation: string, path: string, detail: string) {
    super(`${operation} ${path}: ${detail}`)
    this.kind = kind
    this.operation = operation
    this.path = path
  }
}

/** An open file. Every position is in bytes from its start. Methods throw DiskError; effects fail with it. */
export interface File extends ReadableFile {
  /**
   * Writes all `buffers`, one after the other, at `position`, with as few system calls as the host allows. The
   * buffers are free again on return. When it throws, any prefix may have been written.
   */
  write(buffers: ReadonlyArray<Uint8Array>, position: number): void
  /** Shortens or (with zeros) lengthens the file. */
  truncate(length: number): void
  /** In bytes. */
  size(): number
  /** Done when what was written before it began is on the device. After a failure the lost pages are unknown: do not retry and hope. */
  readonly sync: Effect<void, DiskError>
  /** Idempotent. */
  close(): void
}

export interface FileStat {
  readonly kind: "file" | "directory"
  readonly size: number
  readonly modifiedMs: number
}

/**
 * `read`: must exist, writes fail. `readWrite`: must exist. `create`: made when missing, kept when there.
 * `createNew`: AlreadyExists when there.
 */
export type OpenMode = "read" | "readWrite" | "create" | "createNew"

export interface Disk {
  /** @throws DiskError */
  readonly open: (path: string, mode: OpenMode) => File
  /** Undefined when nothing has that name. @throws DiskError */
  readonly stat: (path: string) => FileStat | undefined
  /** Names in a directory, in no order. @throws DiskError */
  readonly list: (path: string) => ReadonlyArray<string>
  /** Makes a directory and its parents; nothing when it is there. @throws DiskError */
  readonly makeDirectory: (path: string) => void
  /** Moves a file or directory, replacing a file atomically. @throws DiskError */
  readonly rename: (from: string, to: string) => void
  /** Removes a file, or a directory with all in it; nothing when it is missing. @throws DiskError */
  readonly remove: (path: string) => void
  /** Makes names created, renamed or removed in a directory durable. */
  readonly syncDirectory: (path: string) => Effect<void, DiskError>
  /** Holds `path` against other processes (and other brokers of this one) until the scope ends; `Busy` when held. */
  readonly lock: (path: string) => Effect<void, DiskError, Scope>
  /** Bytes of the volume under `path`; -1 where the host cannot tell. @throws DiskError */
  readonly space: (path: string) => { readonly totalBytes: number; readonly usableBytes: number }
  /** The host's absolute spelling of a path; paths join with "/". */
  readonly absolute: (path: string) => string
}
export const Disk: Context.Service<Disk, Disk> = Context.Service("ottla/Disk")
