/**
 * Disk on `node:fs`, which all three runtimes have: positional synchronous reads and writes, asynchronous syncs.
 * What each runtime adds is its C library, for flock(2).
 */
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import * as Effect from "effect/Effect"
import { type Disk, DiskError, type File, type FileStat, type OpenMode } from "../../core/ports/Disk.ts"
import { makeDirectories } from "./Directories.ts"
import { toDiskError } from "./DiskErrors.ts"
import { lockFile } from "./DiskLock.ts"
import type { Libc } from "./Libc.ts"

/** Buffers that one writev(2) takes (IOV_MAX). */
const MAX_BUFFERS = 1024

/** Deno's writev joins its buffers in a new one for each call: at 64 KiB five times the CPU of a write, most of it the collector's. */
const JOINS_WRITEV = "Deno" in globalThis
/** A longer buffer is written by a call of its own, in bytes. */
const GATHER_BYTES = 8 * 1024
const gathered: Uint8Array = new Uint8Array(JOINS_WRITEV ? 8 * GATHER_BYTES : 0)

const attempt = <A>(operation: string, path: string, run: () => A): A => {
  try {
    return run()
  } catch (cause) {
    throw toDiskError(cause, operation, path)
  }
}

const flagsOf: Readonly<Record<OpenMode, number>> = {
  read: fs.constants.O_RDONLY,
  readWrite: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT,
  createNew: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL
}

class NodeFile implements File {
  readonly path: string
  readonly sync: Effect.Effect<void, DiskError>
  /** -1 once closed: the number may be another file's by then. */
  private fd: number
  /** Syncs that run on another thread with `fd`; a close waits for them, or they would sync another file. */
  private syncing = 0
  private closing = -1

  constructor(path: string, fd: number) {
    this.path = path
    this.fd = fd
    this.sync = Effect.callback((resume) => {
      if (this.fd < 0) return resume(Effect.fail(this.closedError("sync")))
      this.syncing++
      fs.fdatasync(this.fd, (cause) => {
        if (--this.syncing === 0 && this.closing >= 0) this.closeNow()
        resume(cause === null || cause === undefined ? Effect.void : Effect.fail(toDiskError(cause, "sync", this.path)))
      })
    })
  }

  get descriptor(): number {
    return this.fd
  }

  private closedError(operation: string): DiskError {
    return new DiskError("Closed", operation, this.path, "the file is closed")
  }

  private openFd(operation: string): number {
    if (this.fd < 0) throw this.closedError(operation)
    return this.fd
  }

  read(target: Uint8Array, position: number): number {
    const fd = this.openFd("read")
    let read = 0
    try {
      while (read < target.length) {
        const n = fs.readSync(fd, target, read, target.length - read, position + read)
        if (n === 0) break
        read += n
      }
    } catch (cause) {
      throw toDiskError(cause, "read", this.path)
    }
    return read
  }

  write(buffers: ReadonlyArray<Uint8Array>, position: number): void {
    const fd = this.openFd("write")
    try {
      if (buffers.length === 1) writeAll(fd, buffers[0]!, position)
      else if (JOINS_WRITEV) writeGathered(fd, buffers, position)
      else {
        for (let from = 0; from < buffers.length; from += MAX_BUFFERS) {
          const part = buffers.length <= MAX_BUFFERS ? buffers : buffers.slice(from, from + MAX_BUFFERS)
          position += writevAll(fd, part, position)
        }
      }
    } catch (cause) {
      throw toDiskError(cause, "write", this.path)
    }
  }

  truncate(length: number): void {
    const fd = this.openFd("truncate")
    attempt("truncate", this.path, () => fs.ftruncateSync(fd, length))
  }

  size(): number {
    const fd = this.openFd("stat")
    return attempt("stat", this.path, () => fs.fstatSync(fd).size)
  }

  close(): void {
    if (this.fd < 0) return
    this.closing = this.fd
    this.fd = -1
    if (this.syncing === 0) this.closeNow()
  }

  private closeNow(): void {
    const fd = this.closing
    this.closing = -1
    attempt("close", this.path, () => fs.closeSync(fd))
  }
}

const writeAll = (fd: number, bytes: Uint8Array, position: number): void => {
  let written = 0
  while (written < bytes.length) {
    written += fs.writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}

/** Small buffers in one write, through a buffer that is used again; large ones as they are. */
const writeGathered = (fd: number, buffers: ReadonlyArray<Uint8Array>, position: number): void => {
  let used = 0
  const flush = (): void => {
    if (used > 0) writeAll(fd, gathered.subarray(0, used), position)
    position += used
    used = 0
  }
  for (const buffer of buffers) {
    if (used + buffer.length > gathered.length) flush()
    if (buffer.length > GATHER_BYTES) {
      flush()
      writeAll(fd, buffer, position)
      position += buffer.length
    } else {
      gathered.set(buffer, used)
      used += buffer.length
    }
  }
  flush()
}

/** @returns the bytes of all `buffers` */
const writevAll = (fd: number, buffers: ReadonlyArray<Uint8Array>, position: number): number => {
  let total = 0
  for (const buffer of buffers) total += buffer.length
  let written = total === 0 ? 0 : fs.writevSync(fd, buffers as Array<Uint8Array>, position)
  if (written === total) return total
  // A short write: the disk is nearly full, or a signal came. The rest goes buffer by buffer, so that what is wrong
  // shows as an error.
  let end = 0
  for (const buffer of buffers) {
    const start = end
    end += buffer.length
    if (written >= end) continue
    writeAll(fd, buffer.subarray(written - start), position + written)
    written = end
  }
  return total
}

/** fsync of a directory, where the platform has it: on Windows a rename is as durable as it gets. */
const syncDirectory = (directory: string): Effect.Effect<void, DiskError> =>
  Effect.callback((resume) => {
    if (process.platform === "win32") return resume(Effect.void)
    const fail = (cause: unknown): void => resume(Effect.fail(toDiskError(cause, "sync", directory)))
    fs.open(directory, fs.constants.O_RDONLY, (cause, fd) => {
      if (cause) return fail(cause)
      fs.fsync(fd, (cause) => {
        fs.close(fd, () => (cause ? fail(cause) : resume(Effect.void)))
      })
    })
  })

const stat = (path: string): FileStat | undefined =>
  attempt("stat", path, () => {
    const found = fs.statSync(path, { throwIfNoEntry: false })
    if (found === undefined) return undefined
    return { kind: found.isDirectory() ? "directory" : "file", size: found.size, modifiedMs: found.mtimeMs }
  })

const space = (path: string): { readonly totalBytes: number; readonly usableBytes: number } => {
  if (typeof fs.statfsSync !== "function") return { totalBytes: -1, usableBytes: -1 }
  return attempt("statfs", path, () => {
    const volume = fs.statfsSync(path)
    return { totalBytes: volume.blocks * volume.bsize, usableBytes: volume.bavail * volume.bsize }
  })
}

export const make = (libc: Libc): Disk => ({
  open: (path, mode) => new NodeFile(path, attempt("open", path, () => fs.openSync(path, flagsOf[mode], 0o644))),
  stat,
  list: (path) => attempt("list", path, () => fs.readdirSync(path)),
  makeDirectory: (path) => attempt("makeDirectory", path, () => makeDirectories(path)),
  rename: (from, to) => attempt("rename", from, () => fs.renameSync(from, to)),
  remove: (path) => attempt("remove", path, () => fs.rmSync(path, { recursive: true, force: true })),
  syncDirectory,
  lock: (path) => lockFile(libc, path),
  space,
  absolute: (name) => path.resolve(name).replaceAll("\\", "/")
})
