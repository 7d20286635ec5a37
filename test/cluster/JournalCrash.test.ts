/** The journal on the memory disk: stopped at every operation that changes something, no acknowledged commit is lost. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as JournalMetadataStore from "../../core/cluster/JournalMetadataStore.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import type { CrashMode } from "../../core/memory/MemoryDisk.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { Disk, type DiskError } from "../../core/ports/Disk.ts"
import type { Entry, MetadataStore, MetadataStoreError, Operation } from "../../core/ports/MetadataStore.ts"
import { seededCrypto } from "./support.ts"

const open = (disk: MemoryDisk, snapshotAfterBytes: number): Effect.Effect<MetadataStore, MetadataStoreError | DiskError, Scope.Scope> =>
  JournalMetadataStore.make({ directory: "/data/__ottla_metadata", snapshotAfterBytes }).pipe(
    Effect.provideService(Disk, disk.disk),
    Effect.provideService(Crypto, seededCrypto())
  )

type Commit = ReadonlyArray<Operation>

/** Entries after each revision. */
const statesOf = (commits: ReadonlyArray<Commit>): ReadonlyArray<ReadonlyArray<Entry>> => {
  const entries = new Map<string, Entry>()
  const states: Array<ReadonlyArray<Entry>> = [[]]
  for (const operations of commits) {
    const revision = states.length
    for (const operation of operations) {
      if (operation._tag === "Delete") entries.delete(operation.key)
      else {
        const { key, value } = operation
        entries.set(key, { key, value, createRevision: entries.get(key)?.createRevision ?? revision, modRevision: revision })
      }
    }
    states.push([...entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1)))
  }
  return states
}

/** Commits, `width` at a time, until one fails. @returns the newest revision that was acknowledged */
const commitAll = (store: MetadataStore, commits: ReadonlyArray<Commit>, width: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    let acknowledged = 0
    for (let at = 0; at < commits.length; at += width) {
      const exits = yield* Effect.all(
        commits.slice(at, at + width).map((operations) => Effect.exit(store.commit([], operations))),
        { concurrency: "unbounded" }
      )
      for (const exit of exits) {
        if (Exit.isSuccess(exit) && exit.value._tag === "Committed") acknowledged = Math.max(acknowledged, exit.value.revision)
      }
      if (exits.some(Exit.isFailure)) break
    }
    return acknowledged
  })

/** Commits that each change something: a put of a new value, now and then with a delete of a key that is there. */
const commitsOf = (choices: ReadonlyArray<number>): ReadonlyArray<Commit> => {
  const present = new Set<string>()
  return choices.map((choice, index) => {
    const operations: Array<Operation> = [{ _tag: "Put", key: `k${choice % 5}`, value: `${index}`.repeat(choice % 7 + 1) }]
    const victim = `k${(choice + 1) % 5}`
    if (choice % 3 === 0 && present.delete(victim)) operations.push({ _tag: "Delete", key: victim })
    present.add(`k${choice % 5}`)
    return operations
  })
}

const randomOf = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const modes: ReadonlyArray<readonly [name: string, mode: (seed: number) => CrashMode]> = [
  ["of the process", () => ({ _tag: "process" })],
  ["of the machine, with nothing unsynced kept", () => ({ _tag: "machine" })],
  ["of the machine, with any of the unsynced kept", (seed) => ({ _tag: "machine", random: randomOf(seed) })]
]

const oneLife = (disk: MemoryDisk, commits: ReadonlyArray<Commit>, width: number, snapshotAfterBytes: number) =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* open(disk, snapshotAfterBytes)
    return yield* commitAll(store, commits, width)
  })).pipe(
    Effect.orElseSucceed(() => 0),
    // A snapshot that the machine stopped in is a warning.
    Effect.provideService(References.MinimumLogLevel, "None")
  )

describe("a crash at any operation of the journal", () => {
  for (const [name, mode] of modes) {
    it(`${name}: every acknowledged commit is there, in order and whole`, () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat(30), { minLength: 4, maxLength: 12 }),
          fc.integer({ min: 1, max: 3 }),
          fc.constantFrom(1, 200, 400),
          fc.nat(1000),
          (choices, width, snapshotAfterBytes, seed) =>
            Effect.runPromise(Effect.gen(function*() {
              const commits = commitsOf(choices)
              const states = statesOf(commits)
              const whole = new MemoryDisk()
              expect(yield* oneLife(whole, commits, width, snapshotAfterBytes)).toBe(commits.length)
              for (let stop = 1; stop <= whole.operations; stop++) {
                const disk = new MemoryDisk()
                disk.stopAtOperation(stop, randomOf(seed + stop))
                const acknowledged = yield* oneLife(disk, commits, width, snapshotAfterBytes)
                disk.crash(mode(seed * 31 + stop))
                // Twice: what the first start shows, the next one shows too.
                let seen = acknowledged
                for (let start = 0; start < 2; start++) {
                  const { entries, revision } = yield* Effect.scoped(
                    Effect.flatMap(open(disk, snapshotAfterBytes), (store) => store.list(""))
                  )
                  expect(revision, `stopped at operation ${stop}`).toBeGreaterThanOrEqual(seen)
                  expect(entries, `stopped at operation ${stop}`).toEqual(states[revision])
                  seen = revision
                  disk.crash(mode(seed * 37 + stop))
                }
              }
            }) as Effect.Effect<void>)
        ),
        { seed: 11, numRuns: 12 }
      ))
  }

  it("refuses a commit on a full disk, and goes on when there is room again", () =>
    Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const disk = new MemoryDisk({ limitBytes: 400 })
      const store = yield* open(disk, 1_000_000)
      const put = (value: string) => store.commit([], [{ _tag: "Put", key: "k", value }])
      yield* put("small")
      const error = yield* Effect.flip(put("x".repeat(1000)))
      expect(error.kind).toBe("Unavailable")
      expect((yield* store.list("")).entries).toMatchObject([{ value: "small", modRevision: 1 }])
      disk.limitBytes = 10_000
      expect(yield* put("x".repeat(1000))).toEqual({ _tag: "Committed", revision: 2 })
      disk.crash({ _tag: "machine" })
      const again = yield* open(disk, 1_000_000)
      expect((yield* again.list("")).entries).toMatchObject([{ value: "x".repeat(1000), modRevision: 2 }])
    })) as Effect.Effect<void>))

  it("serves no more when a sync failed: what the device has is not known", () =>
    Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const disk = new MemoryDisk()
      const store = yield* open(disk, 1_000_000)
      const put = store.commit([], [{ _tag: "Put", key: "k", value: "v" }])
      disk.failWhen((operation) => operation === "sync" ? "Io" : undefined)
      expect((yield* Effect.flip(put)).kind).toBe("Unavailable")
      disk.failWhen(undefined)
      expect((yield* Effect.flip(put)).kind).toBe("Unavailable")
    })) as Effect.Effect<void>))
})
