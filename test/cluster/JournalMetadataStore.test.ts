import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { noLibc } from "../../adapters/shared/Libc.ts"
import * as NodeDisk from "../../adapters/shared/NodeDisk.ts"
import * as JournalMetadataStore from "../../core/cluster/JournalMetadataStore.ts"
import type { JournalOptions } from "../../core/cluster/JournalMetadataStore.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { Disk, type DiskError } from "../../core/ports/Disk.ts"
import type { MetadataStore, MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import { metadataStoreLaws } from "../../core/testing/index.ts"
import { seededCrypto } from "./support.ts"

const root = mkdtempSync(join(tmpdir(), "ottla-journal-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let directories = 0
const newDirectory = (): string => `${root}/${directories++}`

const open = (
  directory: string,
  options: Partial<JournalOptions> = {}
): Effect.Effect<MetadataStore, MetadataStoreError | DiskError, Scope.Scope> =>
  JournalMetadataStore.make({ directory, ...options }).pipe(
    Effect.provideService(Disk, NodeDisk.make(noLibc)),
    Effect.provideService(Crypto, seededCrypto())
  )

/** Opens, uses and closes it. */
const using = <A>(
  directory: string,
  use: (store: MetadataStore) => Effect.Effect<A, unknown, Scope.Scope>,
  options: Partial<JournalOptions> = {}
): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.flatMap(open(directory, options), use)) as Effect.Effect<A>)

const put = (key: string, value: string, session?: string) =>
  session === undefined ? { _tag: "Put" as const, key, value } : { _tag: "Put" as const, key, value, session }

for (const [name, options] of [["journal", {}], ["journal with a snapshot at every turn", { snapshotAfterBytes: 1 }]] as const) {
  describe(`laws of MetadataStore: ${name}`, () => {
    for (const law of metadataStoreLaws(() => Effect.suspend(() => open(newDirectory(), options)))) it(law.name, law.run)
  })
}

/** Six commits, and where each ends in the file. */
const fill = async (directory: string): Promise<{ path: string; bytes: Uint8Array; ends: ReadonlyArray<number> }> => {
  const ends: Array<number> = []
  const path = join(directory, "00000000000000000000.journal")
  await using(directory, (store) =>
    Effect.gen(function*() {
      for (let i = 0; i < 6; i++) {
        yield* store.commit([], [put(`k${i}`, "x".repeat(10))])
        ends.push(readFileSync(path).length)
      }
    }))
  return { path, bytes: new Uint8Array(readFileSync(path)), ends }
}

describe("the journal", () => {
  it("has everything at the next start, with the same revisions", async () => {
    const directory = newDirectory()
    const before = await using(directory, (store) =>
      Effect.gen(function*() {
        for (let i = 0; i < 20; i++) yield* store.commit([], [put(`k${i % 6}`, `ü${i}`)])
        yield* store.commit([], [{ _tag: "Delete", key: "k3" }])
        return yield* store.list("")
      }))
    expect(before.revision).toBe(21)
    for (let round = 0; round < 2; round++) {
      expect(await using(directory, (store) => store.list(""))).toEqual(before)
    }
  })

  it("puts a snapshot in the place of a large journal, and goes on from it", async () => {
    const directory = newDirectory()
    const options = { snapshotAfterBytes: 2000 }
    const before = await using(directory, (store) =>
      Effect.gen(function*() {
        for (let i = 0; i < 200; i++) {
          yield* store.commit([], [put(`k${i % 6}`, `value ${i}`)])
          expect(readdirSync(directory).filter((name) => name.endsWith(".journal")).length).toBe(1)
        }
        return yield* store.list("")
      }), options)
    const sizes = readdirSync(directory).map((name) => readFileSync(join(directory, name)).length)
    expect(Math.max(...sizes)).toBeLessThan(4000)
    expect(await using(directory, (store) => store.list(""), options)).toEqual(before)
  })

  it("deletes at its start the keys of sessions that died with the process", async () => {
    const directory = newDirectory()
    const copy = newDirectory()
    await using(directory, (store) =>
      Effect.gen(function*() {
        const session = yield* store.session(1000)
        yield* store.commit([], [put("mine", "", session.id), put("kept", "")])
        // What a killed process leaves.
        const disk = NodeDisk.make(noLibc)
        disk.makeDirectory(copy)
        for (const name of readdirSync(directory)) {
          if (name.endsWith(".journal")) writeFileSync(join(copy, name), readFileSync(join(directory, name)))
        }
      }))
    const after = await using(copy, (store) => store.list(""))
    expect(after.entries.map(({ key }) => key)).toEqual(["kept"])
    expect(after.revision).toBe(2)
  })

  it("is one process's alone", async () => {
    const directory = newDirectory()
    await using(directory, () =>
      Effect.gen(function*() {
        expect(yield* Effect.flip(Effect.scoped(open(directory)))).toMatchObject({ _tag: "DiskError", kind: "Busy" })
      }))
    await using(directory, (store) => store.list(""))
  })

  it("cuts an end that was torn at any byte, and loses no other commit", async () => {
    const directory = newDirectory()
    const { path, bytes, ends } = await fill(directory)
    const [fifth, sixth] = ends.slice(4) as [number, number]
    for (let length = fifth; length < sixth; length++) {
      writeFileSync(path, bytes.subarray(0, length))
      expect((await using(directory, (store) => store.list(""))).revision).toBe(5)
      // As far as it was, with zeros or garbage where the rest should be.
      for (const filler of [0, 0xa5]) {
        const torn = bytes.slice()
        torn.fill(filler, length)
        writeFileSync(path, torn)
        expect((await using(directory, (store) => store.list(""))).revision).toBe(5)
        expect(readFileSync(path).length).toBe(fifth)
      }
    }
  })

  it("reports a commit that was harmed after it was kept, with path and position", async () => {
    const directory = newDirectory()
    const { path, bytes, ends } = await fill(directory)
    const begins = [20, ...ends]
    for (let position = 0; position < (ends[4] as number); position++) {
      const harmed = bytes.slice()
      harmed[position] = (harmed[position] as number) ^ 0x40
      writeFileSync(path, harmed)
      const error = await using(directory, (store) => store.list("")).then(() => undefined, (error: unknown) => error)
      expect(error, `byte ${position}`).toMatchObject({ kind: "Corrupt" })
      const begin = position < 20 ? 0 : begins.filter((one) => one <= position).pop()
      expect(String(error)).toContain(path)
      expect(String(error)).toContain(`position ${begin}`)
    }
  })
})
