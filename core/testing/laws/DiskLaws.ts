/** What every layer of the Disk port keeps. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type Disk, DiskError, type DiskErrorKind, type File, type OpenMode } from "../../ports/Disk.ts"
import { type Dice, ensure, ensureSame, ensureSameBytes, forSequences, type Law, law } from "./Law.ts"

export interface DiskUnderTest {
  readonly disk: Disk
  /** An empty directory that the law may fill; its path has no "/" at its end. */
  readonly directory: string
  /** Removes it. */
  readonly dispose: () => void
  /**
   * For a disk that can be crashed: afterwards nothing that was open is, and of what was not synced all is there
   * (`process`) or anything (`machine`). Two more laws ask for it.
   */
  readonly crash?: (what: "process" | "machine") => void
}

/** What a law works with; files that it opens are closed at its end. */
interface Bench extends DiskUnderTest {
  readonly at: (name: string) => string
  readonly open: (name: string, mode: OpenMode) => File
}

const bytes = (...values: ReadonlyArray<number>): Uint8Array => Uint8Array.from(values)

const readAll = (file: File): Uint8Array => {
  const all = new Uint8Array(file.size())
  const read = file.read(all, 0)
  ensureSame(read, all.length, "bytes read of the whole file")
  return all
}

const kindOf = (run: () => unknown): DiskErrorKind | undefined => {
  try {
    run()
    return undefined
  } catch (error) {
    ensure(error instanceof DiskError, () => `a DiskError is thrown, not ${String(error)}`)
    return error.kind
  }
}
const ensureKind = (run: () => unknown, kind: DiskErrorKind, what: string): void => ensureSame(kindOf(run), kind, what)
const failure = (effect: Effect.Effect<unknown, DiskError>): Promise<DiskErrorKind | undefined> =>
  Effect.runPromise(Effect.match(effect, { onSuccess: () => undefined, onFailure: ({ kind }) => kind }))

/** What any sequence of these leaves is what a plain array would hold. */
type Change =
  | { readonly buffers: ReadonlyArray<Uint8Array>; readonly position: number }
  | { readonly truncate: number }

const makeChanges = (dice: Dice): ReadonlyArray<Change> =>
  dice.list(12, () =>
    dice.isOneIn(3)
      ? { truncate: dice.below(9001) }
      : { position: dice.below(9001), buffers: dice.list(4, () => dice.bytes(dice.below(301))) })

const applyTo = (model: Uint8Array, change: Change): Uint8Array => {
  const resized = (length: number): Uint8Array => {
    const next = new Uint8Array(length)
    next.set(model.subarray(0, length))
    return next
  }
  if ("truncate" in change) return resized(change.truncate)
  let { position } = change
  for (const buffer of change.buffers) {
    if (buffer.length > 0 && position + buffer.length > model.length) model = resized(position + buffer.length)
    if (buffer.length > 0) model.set(buffer, position)
    position += buffer.length
  }
  return model
}

/** @param makeDisk is called once for each law that runs */
export const diskLaws = (makeDisk: () => DiskUnderTest | Promise<DiskUnderTest>): ReadonlyArray<Law> => {
  const on = (name: string, check: (bench: Bench) => void | Promise<void>): Law =>
    law(name, async () => {
      const under = await makeDisk()
      const files: Array<File> = []
      const at = (file: string): string => `${under.directory}/${file}`
      const open = (file: string, mode: OpenMode): File => {
        const opened = under.disk.open(at(file), mode)
        files.push(opened)
        return opened
      }
      try {
        await check({ ...under, at, open })
      } finally {
        for (const file of files) file.close()
        under.dispose()
      }
    })

  return [
    on("open modes say what must and must not be there", ({ at, disk, open }) => {
      ensureKind(() => disk.open(at("a"), "read"), "NotFound", "reading what is missing")
      ensureKind(() => disk.open(at("a"), "readWrite"), "NotFound", "writing what is missing")
      ensureKind(() => disk.open(at("no/a"), "create"), "NotFound", "creating in a directory that is missing")
      open("a", "createNew").write([bytes(1, 2)], 0)
      ensureKind(() => disk.open(at("a"), "createNew"), "AlreadyExists", "createNew of what is there")
      ensureSame(readAll(open("a", "create")), bytes(1, 2), "create keeps what is there")
      ensureSame(readAll(open("a", "read")), bytes(1, 2), "read")
    }),

    on("a file opened for reading refuses writes", ({ open }) => {
      open("a", "create").write([bytes(1)], 0)
      const file = open("a", "read")
      ensure(kindOf(() => file.write([bytes(2)], 0)) !== undefined, "the write is refused")
      ensureSame(readAll(file), bytes(1), "after the refused write")
    }),

    on("buffers are written one after the other, holes read as zeros, reads end at the end", ({ open }) => {
      const file = open("a", "create")
      file.write([bytes(1, 2), bytes(), bytes(3)], 2)
      ensureSame(file.size(), 5, "size")
      ensureSame(readAll(file), bytes(0, 0, 1, 2, 3), "the file")
      const target = new Uint8Array(4).fill(9)
      ensureSame(file.read(target, 3), 2, "bytes read before the end")
      ensureSame(target, bytes(2, 3, 9, 9), "what a short read leaves of its target")
      ensureSame(file.read(target, 5), 0, "bytes read at the end")
      ensureSame(file.read(target, 50), 0, "bytes read behind the end")
    }),

    on("more buffers than a system call takes are written in order", ({ open }) => {
      const file = open("a", "create")
      const buffers = Array.from({ length: 5000 }, (_, i) => bytes(i & 255, i >> 8))
      file.write(buffers, 1)
      const all = readAll(file)
      ensureSame(all.length, 10_001, "size")
      for (let i = 0; i < 5000; i++) ensureSame(all[1 + 2 * i]! | (all[2 + 2 * i]! << 8), i, `buffer ${i}`)
    }),

    on("buffers are the caller's again on return", ({ open }) => {
      const file = open("a", "create")
      const buffer = bytes(1, 2, 3)
      file.write([buffer], 0)
      buffer.fill(7)
      ensureSame(readAll(file), bytes(1, 2, 3), "the file")
    }),

    on("truncate shortens, and lengthens with zeros", ({ open }) => {
      const file = open("a", "create")
      file.write([bytes(1, 2, 3, 4)], 0)
      file.truncate(2)
      ensureSame(readAll(file), bytes(1, 2), "shortened")
      file.truncate(4)
      ensureSame(readAll(file), bytes(1, 2, 0, 0), "lengthened")
    }),

    on("handles of one file see each other's writes", ({ open }) => {
      const writer = open("a", "create")
      const reader = open("a", "read")
      writer.write([bytes(5)], 0)
      ensureSame(readAll(reader), bytes(5), "what the other handle reads")
    }),

    on("a removed file stays readable and writable through what was opened before", ({ at, disk, open }) => {
      const file = open("a", "create")
      file.write([bytes(1, 2)], 0)
      disk.remove(at("a"))
      ensureSame(disk.stat(at("a")), undefined, "its name")
      file.write([bytes(3)], 2)
      ensureSame(readAll(file), bytes(1, 2, 3), "the file")
    }),

    on("a rename replaces a file; both stay readable through what was opened before", ({ at, directory, disk, open }) => {
      const old = open("a", "create")
      old.write([bytes(1)], 0)
      const replacement = open("b", "create")
      replacement.write([bytes(2)], 0)
      disk.rename(at("b"), at("a"))
      ensureSame(disk.list(directory), ["a"], "names")
      ensureSame(readAll(old), bytes(1), "the replaced file")
      ensureSame(readAll(replacement), bytes(2), "the renamed file")
      ensureSame(readAll(open("a", "read")), bytes(2), "what the name gives now")
      ensureKind(() => disk.rename(at("none"), at("x")), "NotFound", "renaming what is missing")
    }),

    on("directories: made with parents, listed, renamed with what is in them, removed whole", ({ at, directory, disk, open }) => {
      disk.makeDirectory(at("d/e/f"))
      disk.makeDirectory(at("d/e/f"))
      const file = open("d/e/x", "create")
      file.write([bytes(1)], 0)
      ensureSame([...disk.list(at("d/e"))].sort(), ["f", "x"], "names")
      ensureSame(disk.stat(at("d"))?.kind, "directory", "a directory's kind")
      const stat = disk.stat(at("d/e/x"))
      ensureSame([stat?.kind, stat?.size], ["file", 1], "a file's kind and size")
      disk.rename(at("d"), at("g"))
      ensureSame(readAll(open("g/e/x", "read")), bytes(1), "a file in the renamed directory")
      disk.remove(at("g"))
      disk.remove(at("g"))
      ensureSame(disk.list(directory), [], "names after all is removed")
      ensureSame(readAll(file), bytes(1), "the file that was open")
      ensureKind(() => disk.list(at("g")), "NotFound", "listing what is removed")
    }),

    on("a closed file refuses everything; closing again is nothing", async ({ at, disk }) => {
      const file = disk.open(at("a"), "create")
      file.close()
      file.close()
      ensureKind(() => file.read(new Uint8Array(1), 0), "Closed", "read")
      ensureKind(() => file.write([bytes(1)], 0), "Closed", "write")
      ensureKind(() => file.size(), "Closed", "size")
      ensureSame(file.descriptor, -1, "descriptor")
      ensureSame(await failure(file.sync), "Closed", "sync")
    }),

    on("files and directories sync; a sync outlives a close that comes meanwhile", async ({ at, directory, disk, open }) => {
      const file = open("a", "create")
      file.write([bytes(1)], 0)
      ensureSame(await failure(file.sync), undefined, "a sync's failure")
      const three = Effect.all([file.sync, file.sync, disk.syncDirectory(directory)], { concurrency: 3 })
      ensureSame(await failure(three), undefined, "the failure of three syncs at once")
      ensureSame(await failure(disk.syncDirectory(at("none"))), "NotFound", "syncing a directory that is missing")
    }),

    on("a lock is held once, until its scope ends", async ({ at, disk }) => {
      const held = Scope.makeUnsafe()
      const once = Effect.scoped(disk.lock(at(".lock")))
      ensureSame(await failure(Scope.provide(disk.lock(at(".lock")), held)), undefined, "the first")
      ensureSame(await failure(once), "Busy", "the second, while the first is held")
      await Effect.runPromise(Scope.close(held, Exit.void))
      ensureSame(await failure(once), undefined, "one after the first has ended")
      ensureSame(await failure(once), undefined, "another")
    }),

    on("space: usable bytes are part of the total, or unknown", ({ directory, disk }) => {
      const { totalBytes, usableBytes } = disk.space(directory)
      ensure(totalBytes === -1 || totalBytes >= usableBytes, () => `${usableBytes} of ${totalBytes} bytes are usable`)
    }),

    on("an absolute path stays what it is", ({ directory, disk }) => {
      const path = disk.absolute(directory)
      ensureSame(disk.absolute(path), path, "made absolute twice")
      ensure(!path.endsWith("/"), () => `${path} ends with /`)
    }),

    on("any sequence of writes and truncations leaves what a plain array would hold", ({ at, disk }) => {
      let round = 0
      return forSequences({ seed: 42, runs: 60, make: makeChanges }, (changes) => {
        const path = at(`f${round++}`)
        const file = disk.open(path, "createNew")
        try {
          let model: Uint8Array = new Uint8Array(0)
          for (const change of changes) {
            if ("truncate" in change) file.truncate(change.truncate)
            else file.write(change.buffers, change.position)
            model = applyTo(model, change)
          }
          ensureSameBytes(readAll(file), model, "the file")
        } finally {
          file.close()
          disk.remove(path)
        }
      })
    }),

    ...crashLaws(on)
  ]
}

/** Nothing to check where a disk cannot be crashed. */
const crashLaws = (on: (name: string, check: (bench: Bench) => void | Promise<void>) => Law): ReadonlyArray<Law> => [
  on("what was written survives a crash of the process, and locks are free", async ({ at, crash, disk, open }) => {
    if (crash === undefined) return
    const held = Scope.makeUnsafe()
    const file = open("a", "create")
    file.write([bytes(1, 2)], 0)
    ensureSame(await failure(Scope.provide(disk.lock(at(".lock")), held)), undefined, "the lock")
    crash("process")
    ensure(kindOf(() => file.write([bytes(3)], 2)) !== undefined, "what was open is so no more")
    ensureSame(readAll(open("a", "read")), bytes(1, 2), "the file")
    ensureSame(await failure(Effect.scoped(disk.lock(at(".lock")))), undefined, "the lock after the crash")
    await Effect.runPromise(Scope.close(held, Exit.void))
  }),

  on("what was synced, bytes and names, survives a crash of the machine", async ({ at, crash, directory, disk, open }) => {
    if (crash === undefined) return
    const old = open("old", "create")
    old.write([bytes(1, 2)], 0)
    const next = open("next", "create")
    next.write([bytes(3)], 0)
    const synced = Effect.all([old.sync, next.sync, disk.syncDirectory(directory)])
    ensureSame(await failure(synced), undefined, "syncs")
    disk.rename(at("next"), at("old"))
    ensureSame(await failure(disk.syncDirectory(directory)), undefined, "the directory's sync")
    next.write([bytes(4)], 1)
    crash("machine")
    ensureSame(disk.list(directory), ["old"], "names")
    const left = readAll(open("old", "read"))
    ensureSame(left.subarray(0, 1), bytes(3), "the synced byte")
  })
]
