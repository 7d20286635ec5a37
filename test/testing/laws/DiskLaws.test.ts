import * as Effect from "effect/Effect"
import { MemoryDisk } from "../../../core/memory/MemoryDisk.ts"
import { type Disk, DiskError, type File } from "../../../core/ports/Disk.ts"
import { diskLaws, type Law } from "../../../core/testing/index.ts"
import { describeBroken } from "./Broken.ts"

interface World {
  disk: Disk
  memory: MemoryDisk
  crash: (what: "process" | "machine") => void
}

const lawsOf = (breakIt: (world: World) => void = () => {}): ReadonlyArray<Law> =>
  diskLaws(async () => {
    const memory = new MemoryDisk()
    memory.disk.makeDirectory("/d")
    await Effect.runPromise(memory.disk.syncDirectory("/"))
    const world: World = { memory, disk: { ...memory.disk }, crash: (what) => memory.crash({ _tag: what }) }
    breakIt(world)
    return { disk: world.disk, crash: world.crash, directory: "/d", dispose: () => {} }
  })

/** A disk whose files have some methods of their own. */
const withFile = (change: (file: File, path: string, mode: string) => Partial<File>) => (world: World): void => {
  const { open } = world.disk
  world.disk = {
    ...world.disk,
    open: (path, mode) => {
      const file = open(path, mode)
      const changed = change(file, path, mode)
      return new Proxy(file, {
        get: (target, key) => {
          const value: unknown = key in changed ? changed[key as keyof File] : target[key as keyof File]
          return typeof value === "function" ? value.bind(target) : value
        }
      })
    }
  }
}
const withDisk = (change: (disk: Disk, world: World) => Partial<Disk>) => (world: World): void => {
  world.disk = { ...world.disk, ...change(world.disk, world) }
}

describeBroken([
  ["a file is made when it should be missing", () => lawsOf(withDisk(({ open }) => ({ open: (path, mode) => open(path, mode === "readWrite" ? "create" : mode) }))), ["open modes say"]],
  ["createNew takes what is there", () => lawsOf(withDisk(({ open }) => ({ open: (path, mode) => open(path, mode === "createNew" ? "create" : mode) }))), ["open modes say"]],
  ["an error that is no DiskError", () => lawsOf(withDisk(({ open }) => ({
    open: (path, mode) => {
      try {
        return open(path, mode)
      } catch {
        throw new Error("ENOENT")
      }
    }
  }))), ["open modes say"]],
  ["a file opened for reading can be written", () => lawsOf(withDisk(({ open }) => ({ open: (path, mode) => open(path, mode === "read" ? "readWrite" : mode) }))), ["a file opened for reading"]],
  ["only the first buffer is written", () => lawsOf(withFile((file) => ({ write: (buffers, position) => file.write(buffers.slice(0, 1), position) }))), ["buffers are written", "more buffers", "any sequence"]],
  ["a short read clears the rest of its target", () => lawsOf(withFile((file) => ({ read: (target, position) => file.read(target.fill(0), position) }))), ["buffers are written"]],
  ["buffers beyond what one call takes come first", () => lawsOf(withFile((file) => ({
    write: (buffers, position) => {
      const late = buffers.slice(1024)
      file.write([...late, ...buffers.slice(0, 1024)], position)
    }
  }))), ["more buffers"]],
  ["a buffer is kept and written later", () => lawsOf((world) => {
    const pending: Array<() => void> = []
    withFile((file) => ({
      write: (buffers, position) => void pending.push(() => file.write(buffers, position)),
      read: (target, position) => {
        for (const write of pending.splice(0)) write()
        return file.read(target, position)
      },
      size: () => {
        for (const write of pending.splice(0)) write()
        return file.size()
      }
    }))(world)
  }), ["buffers are the caller's"]],
  ["truncate does not lengthen", () => lawsOf(withFile((file) => ({ truncate: (length) => length < file.size() ? file.truncate(length) : undefined }))), ["truncate shortens", "any sequence"]],
  ["a handle sees only what was there when it was opened", () => lawsOf(withFile((file, _path, mode) => {
    const size = file.size()
    return mode === "read" ? { size: () => size } : {}
  })), ["handles of one file"]],
  ["a removed file is empty", () => lawsOf(withDisk(({ open, remove, stat }) => ({
    remove: (path) => {
      if (stat(path)?.kind === "file") open(path, "readWrite").truncate(0)
      remove(path)
    }
  }))), ["a removed file"]],
  ["a rename writes over the file that it replaces", () => lawsOf(withDisk(({ open, remove, rename, stat }) => ({
    rename: (from, to) => {
      if (stat(to)?.kind !== "file" || stat(from)?.kind !== "file") return rename(from, to)
      const [source, target] = [open(from, "read"), open(to, "readWrite")]
      const bytes = new Uint8Array(source.size())
      source.read(bytes, 0)
      target.truncate(0)
      target.write([bytes], 0)
      remove(from)
    }
  }))), ["a rename replaces"]],
  ["a directory that is missing has no names", () => lawsOf(withDisk(({ list, stat }) => ({ list: (path) => stat(path) === undefined ? [] : list(path) }))), ["directories: made"]],
  ["a closed file can be read", () => lawsOf((world) => {
    withFile((file) => ({ close: () => {}, read: (target, position) => file.read(target, position) }))(world)
  }), ["a closed file refuses"]],
  ["a directory that is missing can be synced", () => lawsOf(withDisk(() => ({ syncDirectory: () => Effect.void }))), ["files and directories sync"]],
  ["a sync at a time", () => lawsOf((world) => {
    let isSyncing = false
    withFile((file) => ({
      sync: Effect.suspend(() => {
        if (isSyncing) return Effect.fail(new DiskError("Io", "sync", file.path, "another is under way"))
        isSyncing = true
        return Effect.ensuring(file.sync, Effect.sync(() => isSyncing = false))
      })
    }))(world)
  }), ["files and directories sync"]],
  ["a lock is held by many", () => lawsOf(withDisk(() => ({ lock: () => Effect.void }))), ["a lock is held once"]],
  ["a lock is never free again", () => lawsOf((world) => {
    const held = new Set<string>()
    withDisk(() => ({
      lock: (path) =>
        Effect.suspend(() => {
          if (held.has(path)) return Effect.fail(new DiskError("Busy", "lock", path, "held"))
          held.add(path)
          return Effect.void
        })
    }))(world)
  }), ["a lock is held once"]],
  ["more usable bytes than there are", () => lawsOf(withDisk(() => ({ space: () => ({ totalBytes: 1, usableBytes: 2 }) }))), ["space: usable"]],
  ["an absolute path grows", () => lawsOf(withDisk(() => ({ absolute: (path) => `/root${path}` }))), ["an absolute path"]],
  ["what was written before a crash of the process is gone", () => lawsOf((world) => {
    world.crash = () => world.memory.crash({ _tag: "machine" })
  }), ["what was written survives"]],
  ["a lock outlives the process", () => lawsOf((world) => {
    const { lock } = world.disk
    let isCrashed = false
    world.disk = { ...world.disk, lock: (path) => isCrashed ? Effect.fail(new DiskError("Busy", "lock", path, "held")) : lock(path) }
    world.crash = (what) => {
      isCrashed = true
      world.memory.crash({ _tag: what })
    }
  }), ["what was written survives"]],
  ["a sync that does nothing", () => lawsOf(withFile(() => ({ sync: Effect.void }))), ["what was synced"]],
  ["a directory's sync that does nothing", () => lawsOf(withDisk(({ stat }) => ({
    syncDirectory: (path) => stat(path) === undefined ? Effect.fail(new DiskError("NotFound", "syncDirectory", path, "")) : Effect.void
  }))), ["what was synced"]]
], lawsOf())
