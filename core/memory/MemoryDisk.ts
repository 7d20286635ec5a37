/**
 * Disk in memory: for embedding, tests and simulation. Beside bytes it models what a crash leaves: a write is durable
 * after the file's sync, a name (created, renamed, removed) after `syncDirectory` of its directory. A rename is atomic.
 *
 * Faults are for tests: fail or stop at the n-th operation that changes something, a full disk, syncs and reads that
 * fail, bits that flip. `operations` counts what changes something, so that a test can stop the machine at each of them in turn.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import { Disk, DiskError, type DiskErrorKind, type File, type FileStat, type OpenMode } from "../ports/Disk.ts"
import { MemoryInode, type Random } from "./MemoryInode.ts"

interface Directory {
  readonly entries: Map<string, Node>
  /** Changes of names since the last syncDirectory, in order. */
  changes: Array<NameChange>
}
type Node = Directory | MemoryInode

/** What it takes to undo a change of names. A rename's two halves share one object: both are kept, or none. */
interface NameChange {
  readonly undo: () => void
  readonly redo: () => void
  /** Where it is listed: the directory that has the new name, then the one that had the old. */
  readonly directories: ReadonlyArray<Directory>
  /** Position among all changes. */
  readonly order: number
  isKept: boolean
}

/** What an operation that a fault stops is: the name of a Disk or File method. */
export type Operation = "write" | "truncate" | "create" | "rename" | "remove" | "makeDirectory" | "sync" | "syncDirectory"

export interface MemoryDiskOptions {
  /** Bytes that all files together may hold. Default: no limit. */
  readonly limitBytes?: number
  /** Remembers what a loss of power would leave. Default true; false saves memory where nobody asks. */
  readonly isDurabilityTracked?: boolean
  /** For modification times. Default: always 0. */
  readonly nowMs?: () => number
  /** What each sync waits for, while others run and the power may go. Default: a turn of the scheduler. */
  readonly device?: Effect.Effect<void>
}

/**
 * `process`: all that was written is there. `machine`: only what was synced is certain; with a `random` the rest is
 * torn and lost by its choices, without one it is all gone.
 */
export type CrashMode = { readonly _tag: "process" } | { readonly _tag: "machine"; readonly random?: Random }

const isDirectory = (node: Node): node is Directory => !(node instanceof MemoryInode)

class MemoryFile implements File {
  readonly path: string
  readonly descriptor = -1
  readonly sync: Effect.Effect<void, DiskError>
  private readonly disk: MemoryDisk
  private readonly inode: MemoryInode
  private readonly isReadOnly: boolean
  private readonly generation: number
  private isClosed = false

  constructor(disk: MemoryDisk, inode: MemoryInode, path: string, isReadOnly: boolean) {
    this.disk = disk
    this.inode = inode
    this.path = path
    this.isReadOnly = isReadOnly
    this.generation = disk.generation
    this.sync = Effect.suspend(() => {
      this.check("sync")
      const covered = this.inode.unsynced
      this.inode.seal()
      // Others run while the device works, and the power may go.
      return Effect.flatMap(this.disk.device, () => {
        this.check("sync")
        this.disk.change("sync", this.path)
        this.inode.synced(covered)
        return Effect.void
      })
    }).pipe(Effect.catchDefect((defect) => defect instanceof DiskError ? Effect.fail(defect) : Effect.die(defect)))
  }

  private check(operation: string): void {
    if (this.isClosed) throw new DiskError("Closed", operation, this.path, "the file is closed")
    // No close of ours: whoever still runs must not take it for one.
    if (this.generation !== this.disk.generation) throw new DiskError("Io", operation, this.path, "the machine crashed")
  }

  read(target: Uint8Array, position: number): number {
    this.check("read")
    this.disk.requirePower("read", this.path)
    this.disk.requireReadable(this.path)
    return this.inode.read(target, position)
  }

  write(buffers: ReadonlyArray<Uint8Array>, position: number): void {
    this.check("write")
    if (this.isReadOnly) throw new DiskError("NotPermitted", "write", this.path, "opened for reading")
    let length = 0
    for (const buffer of buffers) length += buffer.length
    if (length === 0) return
    let failure: DiskError | undefined
    let allowed = length
    try {
      this.disk.change("write", this.path)
    } catch (error) {
      failure = error as DiskError
      allowed = Math.floor(this.disk.tear() * length)
    }
    const room = this.disk.roomFor(this.inode, position, allowed)
    if (room < allowed) {
      failure ??= new DiskError("NoSpace", "write", this.path, "no space left on device")
      allowed = room
    }
    const sizeBefore = this.inode.size
    for (const buffer of buffers) {
      if (allowed === 0) break
      const part = buffer.length <= allowed ? buffer : buffer.subarray(0, allowed)
      this.inode.write(part, position)
      position += part.length
      allowed -= part.length
    }
    this.disk.grown(this.inode, sizeBefore)
    if (failure !== undefined) throw failure
  }

  truncate(length: number): void {
    this.check("truncate")
    if (this.isReadOnly) throw new DiskError("NotPermitted", "truncate", this.path, "opened for reading")
    this.disk.change("truncate", this.path)
    const sizeBefore = this.inode.size
    // Lengthening leaves a hole, which takes no space until it is written; here it does, to keep the count simple.
    this.inode.truncate(length)
    this.disk.grown(this.inode, sizeBefore)
  }

  size(): number {
    this.check("stat")
    return this.inode.size
  }

  close(): void {
    this.isClosed = true
  }
}

export class MemoryDisk {
  readonly disk: Disk
  /** Operations so far that change something: writes, truncations, names, syncs. */
  operations = 0
  /** Bytes that the files with a name hold. */
  usedBytes = 0
  limitBytes: number
  /** Grows with each crash: what was opened before fails. */
  generation = 0
  /** For MemoryFile. */
  readonly device: Effect.Effect<void>
  private readonly isTracked: boolean
  private readonly nowMs: () => number
  private readonly root: Directory = { entries: new Map(), changes: [] }
  private readonly locks = new Set<string>()
  private fault: ((operation: Operation, path: string, count: number) => DiskErrorKind | undefined) | undefined
  private readFault: ((path: string) => DiskErrorKind | undefined) | undefined
  private stopAt = Infinity
  private tearAt: Random = () => 0
  private isDown = false

  constructor(options: MemoryDiskOptions = {}) {
    this.limitBytes = options.limitBytes ?? Infinity
    this.isTracked = options.isDurabilityTracked ?? true
    this.nowMs = options.nowMs ?? ((): number => 0)
    this.device = options.device ?? Effect.yieldNow
    this.disk = {
      open: (path, mode) => this.open(path, mode),
      stat: (path) => this.stat(path),
      list: (path) => [...this.directory("list", path).entries.keys()],
      makeDirectory: (path) => this.makeDirectory(path),
      rename: (from, to) => this.rename(from, to),
      remove: (path) => this.remove(path),
      syncDirectory: (path) => this.syncDirectory(path),
      lock: (path) => this.lock(path),
      space: () => ({
        totalBytes: this.limitBytes === Infinity ? -1 : this.limitBytes,
        usableBytes: this.limitBytes === Infinity ? -1 : this.limitBytes - this.usedBytes
      }),
      absolute: (path) => `/${split(path).join("/")}`
    }
  }

  // -- faults --------------------------------------------------------------------------------------------------

  /** Asked before each operation that changes something; what it gives, that operation fails with. Undefined: no faults. */
  failWhen(fault: ((operation: Operation, path: string, count: number) => DiskErrorKind | undefined) | undefined): void {
    this.fault = fault
  }

  /** The same before each read of a file's bytes, which `operations` does not count. */
  failReadsWhen(fault: ((path: string) => DiskErrorKind | undefined) | undefined): void {
    this.readFault = fault
  }

  /** The power goes in the middle of operation number `count` (from 1, counted by `operations`): all fail until `crash`. */
  stopAtOperation(count: number, tear: Random = (): number => 0): void {
    this.stopAt = count
    this.tearAt = tear
  }

  /** Flips bits of a byte of a file. */
  rot(path: string, position: number, mask = 0xff): void {
    const node = this.find(path)
    if (node instanceof MemoryInode) node.rot(position, mask)
  }

  /** What is left after a crash; what was opened fails from now on, every lock is free, every fault over. */
  crash(mode: CrashMode): void {
    this.generation++
    this.locks.clear()
    this.isDown = false
    this.stopAt = Infinity
    this.fault = undefined
    this.readFault = undefined
    if (mode._tag === "process") return
    const names: Array<NameChange> = []
    const inodes = new Set<MemoryInode>()
    const visit = (directory: Directory): void => {
      const { random } = mode
      // Of one directory's changes the device has the first few.
      const kept = random === undefined ? 0 : Math.floor(random() * (directory.changes.length + 1))
      directory.changes.forEach((change, index) => {
        change.isKept ||= change.directories[0] === directory && index < kept
        if (!names.includes(change)) names.push(change)
      })
      for (const node of directory.entries.values()) {
        if (isDirectory(node)) visit(node)
        else inodes.add(node)
      }
      directory.changes = []
    }
    visit(this.root)
    for (const change of [...names].sort((a, b) => b.order - a.order)) change.undo()
    // What came back by that may have unsynced bytes and names of its own.
    const collect = (directory: Directory): void => {
      for (const node of directory.entries.values()) {
        if (isDirectory(node)) {
          directoryLost(node)
          collect(node)
        } else inodes.add(node)
      }
    }
    const directoryLost = (directory: Directory): void => {
      for (const change of directory.changes.splice(0).reverse()) change.undo()
    }
    collect(this.root)
    for (const change of names.sort((a, b) => a.order - b.order)) if (change.isKept) change.redo()
    for (const inode of inodes) inode.lose(mode.random)
    this.recount()
  }

  /** For MemoryFile: counts the operation, or throws what a fault wants. */
  change(operation: Operation, path: string): void {
    this.requirePower(operation, path)
    this.operations++
    if (this.operations >= this.stopAt) {
      this.isDown = true
      throw new DiskError("Io", operation, path, "the machine stopped")
    }
    const kind = this.fault?.(operation, path, this.operations)
    if (kind !== undefined) throw new DiskError(kind, operation, path, "fault")
  }

  requirePower(operation: string, path: string): void {
    if (this.isDown) throw new DiskError("Io", operation, path, "the machine stopped")
  }

  /** For MemoryFile. */
  requireReadable(path: string): void {
    const kind = this.readFault?.(path)
    if (kind !== undefined) throw new DiskError(kind, "read", path, "fault")
  }

  /** For MemoryFile: the part, from 0 to 1, that a failed write gets done. */
  tear(): number {
    return this.tearAt()
  }

  /** For MemoryFile: how many of `length` bytes at `position` there is room for. */
  roomFor(inode: MemoryInode, position: number, length: number): number {
    if (this.limitBytes === Infinity) return length
    const room = Math.max(0, this.limitBytes - this.usedBytes)
    return Math.min(length, Math.max(0, inode.size - position) + room)
  }

  grown(inode: MemoryInode, sizeBefore: number): void {
    this.usedBytes += inode.size - sizeBefore
    inode.modifiedMs = this.nowMs()
  }

  // -- names ---------------------------------------------------------------------------------------------------

  private find(path: string): Node | undefined {
    let node: Node = this.root
    for (const name of split(path)) {
      if (!isDirectory(node)) return undefined
      const next: Node | undefined = node.entries.get(name)
      if (next === undefined) return undefined
      node = next
    }
    return node
  }

  private directory(operation: string, path: string): Directory {
    this.requirePower(operation, path)
    const node = this.find(path)
    if (node === undefined) throw new DiskError("NotFound", operation, path, "no such directory")
    if (!isDirectory(node)) throw new DiskError("Io", operation, path, "not a directory")
    return node
  }

  private parent(operation: string, path: string): { readonly directory: Directory; readonly name: string } {
    const names = split(path)
    const name = names.pop()
    if (name === undefined) throw new DiskError("NotPermitted", operation, path, "the root")
    return { directory: this.directory(operation, names.join("/")), name }
  }

  /** Sets or (undefined) removes a name, and remembers how to take that back. */
  private assign(directory: Directory, name: string, node: Node | undefined, from?: { directory: Directory; name: string }): void {
    const before = directory.entries.get(name)
    const put = (name: string, directory: Directory, node: Node | undefined): void => {
      if (node === undefined) directory.entries.delete(name)
      else directory.entries.set(name, node)
    }
    const redo = (): void => {
      if (from !== undefined) put(from.name, from.directory, undefined)
      put(name, directory, node)
    }
    const undo = (): void => {
      put(name, directory, before)
      if (from !== undefined) put(from.name, from.directory, node)
    }
    redo()
    if (!this.isTracked) return
    const directories = from === undefined || from.directory === directory ? [directory] : [directory, from.directory]
    const change: NameChange = { undo, redo, directories, order: this.operations, isKept: false }
    for (const each of directories) each.changes.push(change)
  }

  private open(path: string, mode: OpenMode): File {
    const { directory, name } = this.parent("open", path)
    let node = directory.entries.get(name)
    if (node === undefined) {
      if (mode === "read" || mode === "readWrite") throw new DiskError("NotFound", "open", path, "no such file")
      this.change("create", path)
      node = new MemoryInode(this.isTracked)
      node.modifiedMs = this.nowMs()
      this.assign(directory, name, node)
    } else if (mode === "createNew") throw new DiskError("AlreadyExists", "open", path, "the file exists")
    if (isDirectory(node)) throw new DiskError("Io", "open", path, "a directory")
    return new MemoryFile(this, node, path, mode === "read")
  }

  private stat(path: string): FileStat | undefined {
    this.requirePower("stat", path)
    const node = this.find(path)
    if (node === undefined) return undefined
    return isDirectory(node)
      ? { kind: "directory", size: 0, modifiedMs: 0 }
      : { kind: "file", size: node.size, modifiedMs: node.modifiedMs }
  }

  private makeDirectory(path: string): void {
    let directory = this.root
    for (const name of split(path)) {
      let node = directory.entries.get(name)
      if (node === undefined) {
        this.change("makeDirectory", path)
        node = { entries: new Map(), changes: [] }
        this.assign(directory, name, node)
      }
      if (!isDirectory(node)) throw new DiskError("AlreadyExists", "makeDirectory", path, "a file has that name")
      directory = node
    }
  }

  private rename(from: string, to: string): void {
    const source = this.parent("rename", from)
    const target = this.parent("rename", to)
    const node = source.directory.entries.get(source.name)
    if (node === undefined) throw new DiskError("NotFound", "rename", from, "no such file")
    const replaced = target.directory.entries.get(target.name)
    if (replaced === node) return
    if (replaced !== undefined && isDirectory(replaced) && replaced.entries.size > 0) {
      throw new DiskError("AlreadyExists", "rename", to, "a directory that is not empty")
    }
    this.change("rename", from)
    this.assign(target.directory, target.name, node, source)
    if (replaced instanceof MemoryInode) this.usedBytes -= replaced.size
  }

  private remove(path: string): void {
    this.requirePower("remove", path)
    const node = this.find(path)
    if (node === undefined) return
    const { directory, name } = this.parent("remove", path)
    this.change("remove", path)
    this.assign(directory, name, undefined)
    this.usedBytes -= bytesOf(node)
  }

  private syncDirectory(path: string): Effect.Effect<void, DiskError> {
    return Effect.suspend(() => {
      const { changes } = this.directory("syncDirectory", path)
      const covered = new Set(changes)
      return Effect.flatMap(this.device, () => {
        const directory = this.directory("syncDirectory", path)
        this.change("syncDirectory", path)
        // The other half of a rename between directories goes with it.
        const touched = new Set([directory, ...changes.flatMap(({ directories }) => directories)])
        for (const each of touched) each.changes = each.changes.filter((change) => !covered.has(change))
        return Effect.void
      })
    }).pipe(Effect.catchDefect((defect) => defect instanceof DiskError ? Effect.fail(defect) : Effect.die(defect)))
  }

  private lock(path: string): Effect.Effect<void, DiskError, Scope> {
    const key = split(path).join("/")
    return Effect.acquireRelease(
      Effect.try({
        try: () => {
          this.open(path, "create").close()
          if (this.locks.has(key)) throw new DiskError("Busy", "lock", path, "held")
          this.locks.add(key)
          return this.generation
        },
        catch: (error) => error as DiskError
      }),
      (generation) =>
        Effect.sync(() => {
          if (generation === this.generation) this.locks.delete(key)
        })
    ).pipe(Effect.asVoid)
  }

  private recount(): void {
    this.usedBytes = bytesOf(this.root)
  }
}

const split = (path: string): Array<string> => path.split("/").filter((name) => name !== "" && name !== ".")

const bytesOf = (node: Node): number => {
  if (!isDirectory(node)) return node.size
  let total = 0
  for (const child of node.entries.values()) total += bytesOf(child)
  return total
}

/** A disk of its own for one embedded broker: nobody asks what a loss of power would leave. */
export const layer = (options: MemoryDiskOptions = {}): Layer.Layer<Disk> =>
  Layer.sync(Disk, () => new MemoryDisk({ isDurabilityTracked: false, ...options }).disk)
