/** What every layer of the Disk port keeps. Registers vitest tests; each adapter calls it on its own runtime. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type Disk, DiskError, type DiskErrorKind, type File } from "../../core/ports/Disk.ts"

export interface DiskUnderTest {
  readonly disk: Disk
  /** An empty directory that the tests may fill. */
  readonly directory: string
  /** Removes it. */
  readonly dispose: () => void
}

const bytes = (...values: ReadonlyArray<number>): Uint8Array => Uint8Array.from(values)

const readAll = (file: File): Uint8Array => {
  const all = new Uint8Array(file.size())
  const read = file.read(all, 0)
  expect(read).toBe(all.length)
  return all
}

const kindOf = (run: () => unknown): DiskErrorKind | undefined => {
  try {
    run()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(DiskError)
    return (error as DiskError).kind
  }
}

export const diskLaws = (name: string, makeDisk: () => DiskUnderTest | Promise<DiskUnderTest>): void => {
  describe(`laws of the Disk port: ${name}`, () => {
    let under: DiskUnderTest
    let disk: Disk
    let at: (name: string) => string
    const files: Array<File> = []
    beforeEach(async () => {
      under = await makeDisk()
      disk = under.disk
      at = (name) => `${under.directory}/${name}`
    })
    afterEach(() => {
      for (const file of files.splice(0)) file.close()
      under.dispose()
    })
    const open = (path: string, mode: Parameters<Disk["open"]>[1]): File => {
      const file = disk.open(path, mode)
      files.push(file)
      return file
    }

    test("open modes say what must and must not be there", () => {
      expect(kindOf(() => disk.open(at("a"), "read"))).toBe("NotFound")
      expect(kindOf(() => disk.open(at("a"), "readWrite"))).toBe("NotFound")
      expect(kindOf(() => disk.open(at("no/a"), "create"))).toBe("NotFound")
      open(at("a"), "createNew").write([bytes(1, 2)], 0)
      expect(kindOf(() => disk.open(at("a"), "createNew"))).toBe("AlreadyExists")
      expect(readAll(open(at("a"), "create"))).toEqual(bytes(1, 2))
      expect(readAll(open(at("a"), "read"))).toEqual(bytes(1, 2))
    })

    test("a file opened for reading refuses writes", () => {
      open(at("a"), "create").write([bytes(1)], 0)
      const file = open(at("a"), "read")
      expect(kindOf(() => file.write([bytes(2)], 0))).toBeDefined()
      expect(readAll(file)).toEqual(bytes(1))
    })

    test("buffers are written one after the other, holes read as zeros, reads end at the end", () => {
      const file = open(at("a"), "create")
      file.write([bytes(1, 2), bytes(), bytes(3)], 2)
      expect(file.size()).toBe(5)
      expect(readAll(file)).toEqual(bytes(0, 0, 1, 2, 3))
      const target = new Uint8Array(4).fill(9)
      expect(file.read(target, 3)).toBe(2)
      expect(target).toEqual(bytes(2, 3, 9, 9))
      expect(file.read(target, 5)).toBe(0)
      expect(file.read(target, 50)).toBe(0)
    })

    test("more buffers than a system call takes are written in order", () => {
      const file = open(at("a"), "create")
      const buffers = Array.from({ length: 5000 }, (_, i) => bytes(i & 255, i >> 8))
      file.write(buffers, 1)
      const all = readAll(file)
      expect(all.length).toBe(10001)
      for (let i = 0; i < 5000; i++) expect(all[1 + 2 * i]! | (all[2 + 2 * i]! << 8)).toBe(i)
    })

    test("buffers are the caller's again on return", () => {
      const file = open(at("a"), "create")
      const buffer = bytes(1, 2, 3)
      file.write([buffer], 0)
      buffer.fill(7)
      expect(readAll(file)).toEqual(bytes(1, 2, 3))
    })

    test("truncate shortens, and lengthens with zeros", () => {
      const file = open(at("a"), "create")
      file.write([bytes(1, 2, 3, 4)], 0)
      file.truncate(2)
      expect(readAll(file)).toEqual(bytes(1, 2))
      file.truncate(4)
      expect(readAll(file)).toEqual(bytes(1, 2, 0, 0))
    })

    test("handles of one file see each other's writes", () => {
      const writer = open(at("a"), "create")
      const reader = open(at("a"), "read")
      writer.write([bytes(5)], 0)
      expect(readAll(reader)).toEqual(bytes(5))
    })

    test("a removed file stays readable and writable through what was opened before", () => {
      const file = open(at("a"), "create")
      file.write([bytes(1, 2)], 0)
      disk.remove(at("a"))
      expect(disk.stat(at("a"))).toBeUndefined()
      file.write([bytes(3)], 2)
      expect(readAll(file)).toEqual(bytes(1, 2, 3))
    })

    test("a rename replaces a file; both stay readable through what was opened before", () => {
      const old = open(at("a"), "create")
      old.write([bytes(1)], 0)
      const replacement = open(at("b"), "create")
      replacement.write([bytes(2)], 0)
      disk.rename(at("b"), at("a"))
      expect(disk.list(under.directory)).toEqual(["a"])
      expect(readAll(old)).toEqual(bytes(1))
      expect(readAll(replacement)).toEqual(bytes(2))
      expect(readAll(open(at("a"), "read"))).toEqual(bytes(2))
      expect(kindOf(() => disk.rename(at("none"), at("x")))).toBe("NotFound")
    })

    test("directories: made with parents, listed, renamed with what is in them, removed whole", () => {
      disk.makeDirectory(at("d/e/f"))
      disk.makeDirectory(at("d/e/f"))
      const file = open(at("d/e/x"), "create")
      file.write([bytes(1)], 0)
      expect([...disk.list(at("d/e"))].sort()).toEqual(["f", "x"])
      expect(disk.stat(at("d"))?.kind).toBe("directory")
      expect(disk.stat(at("d/e/x"))).toMatchObject({ kind: "file", size: 1 })
      disk.rename(at("d"), at("g"))
      expect(readAll(open(at("g/e/x"), "read"))).toEqual(bytes(1))
      disk.remove(at("g"))
      disk.remove(at("g"))
      expect(disk.list(under.directory)).toEqual([])
      expect(readAll(file)).toEqual(bytes(1))
      expect(kindOf(() => disk.list(at("g")))).toBe("NotFound")
    })

    test("a closed file refuses everything; closing again is nothing", async () => {
      const file = disk.open(at("a"), "create")
      file.close()
      file.close()
      expect(kindOf(() => file.read(new Uint8Array(1), 0))).toBe("Closed")
      expect(kindOf(() => file.write([bytes(1)], 0))).toBe("Closed")
      expect(kindOf(() => file.size())).toBe("Closed")
      expect(file.descriptor).toBe(-1)
      const error = await Effect.runPromise(Effect.flip(file.sync))
      expect(error).toBeInstanceOf(DiskError)
      expect(error.kind).toBe("Closed")
    })

    test("files and directories sync; a sync outlives a close that comes meanwhile", async () => {
      const file = open(at("a"), "create")
      file.write([bytes(1)], 0)
      await Effect.runPromise(file.sync)
      await Effect.runPromise(Effect.all([file.sync, file.sync, disk.syncDirectory(under.directory)], { concurrency: 3 }))
      const error = await Effect.runPromise(Effect.flip(disk.syncDirectory(at("none"))))
      expect(error.kind).toBe("NotFound")
    })

    test("a lock is held once, until its scope ends", async () => {
      const held = Scope.makeUnsafe()
      const lock = (scope: Scope.Scope): Effect.Effect<void, DiskError> => Scope.provide(disk.lock(at(".lock")), scope)
      await Effect.runPromise(lock(held))
      expect((await Effect.runPromise(Effect.flip(Effect.scoped(disk.lock(at(".lock")))))).kind).toBe("Busy")
      await Effect.runPromise(Scope.close(held, Exit.void))
      await Effect.runPromise(Effect.scoped(disk.lock(at(".lock"))))
      await Effect.runPromise(Effect.scoped(disk.lock(at(".lock"))))
    })

    test("space: usable bytes are part of the total, or unknown", () => {
      const { totalBytes, usableBytes } = disk.space(under.directory)
      expect(totalBytes === -1 || totalBytes >= usableBytes).toBe(true)
    })

    test("an absolute path stays what it is", () => {
      const path = disk.absolute(under.directory)
      expect(disk.absolute(path)).toBe(path)
      expect(path.endsWith("/")).toBe(false)
    })

    test("any sequence of writes and truncations leaves what a plain array would hold", () => {
      const operation = fc.oneof(
        fc.record({
          _tag: fc.constant("write" as const),
          buffers: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }),
          position: fc.nat(9000)
        }),
        fc.record({ _tag: fc.constant("truncate" as const), length: fc.nat(9000) })
      )
      let round = 0
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 12 }), (operations) => {
          const path = at(`f${round++}`)
          const file = disk.open(path, "createNew")
          let model = new Uint8Array(0)
          const resize = (length: number): void => {
            const next = new Uint8Array(length)
            next.set(model.subarray(0, length))
            model = next
          }
          for (const operation of operations) {
            if (operation._tag === "truncate") {
              file.truncate(operation.length)
              resize(operation.length)
              continue
            }
            file.write(operation.buffers, operation.position)
            let position = operation.position
            for (const buffer of operation.buffers) {
              if (buffer.length > 0 && position + buffer.length > model.length) resize(position + buffer.length)
              model.set(buffer, position > model.length ? model.length : position)
              position += buffer.length
            }
          }
          expect(readAll(file)).toEqual(model)
          file.close()
          disk.remove(path)
        }),
        { seed: 42, numRuns: 60 }
      )
    })
  })
}
