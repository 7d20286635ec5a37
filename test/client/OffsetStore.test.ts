import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FatalError, RetriableError } from "../../core/client/ClientError.ts"
import type { PartitionOffset } from "../../core/client/Consumer.ts"
import * as OffsetStore from "../../core/client/OffsetStore.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import { Disk } from "../../core/ports/Disk.ts"

const run = <A, E>(disk: Disk, use: (store: OffsetStore.OffsetStore) => Effect.Effect<A, E>) =>
  Effect.runPromise(
    Effect.scoped(Effect.flatMap(OffsetStore.checkpoint("state/deep/positions"), use)).pipe(
      Effect.provideService(Disk, disk)
    )
  )

const at = (topic: string, partition: number, offset: number): PartitionOffset => ({ topic, partition, offset })

const textOf = (disk: Disk): string => {
  const file = disk.open("/state/deep/positions", "read")
  const bytes = new Uint8Array(file.size())
  file.read(bytes, 0)
  file.close()
  return new TextDecoder().decode(bytes)
}

const position = fc.record({
  topic: fc.constantFrom("orders", "a.b_c-d", "x"),
  partition: fc.integer({ min: 0, max: 3 }),
  offset: fc.oneof(fc.nat(100), fc.constant(Number.MAX_SAFE_INTEGER))
})

describe("a checkpoint file", () => {
  it("keeps what was saved, in Kafka's format", async () => {
    const { disk } = new MemoryDisk()
    await run(disk, (store) =>
      Effect.gen(function*() {
        expect(yield* store.load([at("orders", 0, 0)])).toEqual([])
        yield* store.save([at("orders", 0, 5), at("orders", 2, 7)])
        yield* store.save([at("orders", 0, 6)])
      }))
    expect(textOf(disk)).toBe("0\n2\norders 0 6\norders 2 7\n")
    await run(disk, (store) =>
      Effect.map(store.load([at("orders", 2, 0), at("orders", 1, 0), at("orders", 0, 0)]), (positions) =>
        expect(positions).toEqual([at("orders", 2, 7), at("orders", 0, 6)])))
  })

  it("is what a save that was done left, wherever the machine stops", () =>
    fc.assert(fc.asyncProperty(
      fc.array(fc.array(position, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 40 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      async (saves, stopAt, dice) => {
        const memory = new MemoryDisk()
        const random = () => dice.next().value as number
        memory.stopAtOperation(stopAt, random)
        /** After each save, what all saves until then leave. */
        const states: Array<Map<string, number>> = [new Map()]
        let done = 0
        await run(memory.disk, (store) =>
          Effect.gen(function*() {
            for (const save of saves) {
              const next = new Map(states.at(-1))
              for (const { offset, partition, topic } of save) next.set(`${topic} ${partition}`, offset)
              states.push(next)
              yield* store.save(save)
              done++
            }
          })).catch((error: unknown) => expect(error).toBeInstanceOf(OffsetStore.OffsetStoreError))
        memory.crash({ _tag: "machine", random })
        const all = ["orders", "a.b_c-d", "x"].flatMap((topic) => [0, 1, 2, 3].map((partition) => at(topic, partition, 0)))
        const found = await run(memory.disk, (store) => store.load(all))
        const foundState = Object.fromEntries(found.map(({ offset, partition, topic }) => [`${topic} ${partition}`, offset]))
        // the save under way may have happened; one that was done must have, one that was not begun cannot
        expect(states.slice(done, done + 2).map((state) => Object.fromEntries(state))).toContainEqual(foundState)
      }
    ), { numRuns: 300 }))

  it("that fails says so, keeps the old positions and takes the next save", async () => {
    const memory = new MemoryDisk()
    await run(memory.disk, (store) =>
      Effect.gen(function*() {
        yield* store.save([at("orders", 0, 1)])
        for (const operation of ["create", "write", "sync", "rename"]) {
          memory.failWhen((what) => (what === operation ? "NoSpace" : undefined))
          const error = yield* Effect.flip(store.save([at("orders", 0, 2)]))
          expect(error).toMatchObject({ _tag: "OffsetStoreError", reason: "Failed", operation: "save", cause: { kind: "NoSpace" } })
          expect(textOf(memory.disk)).toBe("0\n1\norders 0 1\n")
          expect(yield* store.load([at("orders", 0, 0)])).toEqual([at("orders", 0, 1)])
        }
        memory.failWhen(undefined)
        yield* store.save([at("orders", 0, 3)])
        expect(textOf(memory.disk)).toBe("0\n1\norders 0 3\n")
      }))
  })

  it("is one program's at a time", async () => {
    const { disk } = new MemoryDisk()
    const scope = Effect.runSync(Scope.make())
    await Effect.runPromise(
      OffsetStore.checkpoint("/positions").pipe(Effect.provideService(Disk, disk), Scope.provide(scope))
    )
    const second = Effect.scoped(OffsetStore.checkpoint("/positions")).pipe(Effect.provideService(Disk, disk))
    expect(await Effect.runPromise(Effect.flip(second))).toMatchObject({ reason: "Failed", cause: { kind: "Busy" } })
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await Effect.runPromise(second)
  })

  it.each([
    ["another version", "1\n0\n"],
    ["no count", "0\nmany\n"],
    ["a line too few", "0\n2\norders 0 1\n"],
    ["a line cut short", "0\n1\norders 0 1"],
    ["a line too many", "0\n1\norders 0 1\norders 1 1\n"],
    ["no number", "0\n1\norders 0 x\n"],
    ["no topic", "0\n1\nor/ders 0 1\n"],
    ["an unsafe offset", "0\n1\norders 0 9999999999999999\n"],
    ["a partition twice", "0\n2\norders 0 1\norders 0 2\n"],
    ["nothing", ""]
  ])("with %s is refused", async (_, text) => {
    const { disk } = new MemoryDisk()
    disk.makeDirectory("/state/deep")
    const file = disk.open("/state/deep/positions", "createNew")
    file.write([new TextEncoder().encode(text)], 0)
    file.close()
    await expect(run(disk, () => Effect.void)).rejects.toMatchObject({ _tag: "OffsetStoreError", reason: "Corrupt" })
  })

  it("reads what it shows", () =>
    fc.assert(fc.property(
      fc.uniqueArray(position, { selector: ({ partition, topic }) => `${topic} ${partition}` }),
      (positions) => {
        const parsed = OffsetStore.parseCheckpoint(OffsetStore.showCheckpoint(positions))
        expect(typeof parsed === "string" ? parsed : [...parsed.values()]).toEqual(positions)
      }
    )))
})

describe("the group's positions", () => {
  it("are committed, and a commit's failure is told apart from a group that moved on", async () => {
    const commits: Array<unknown> = []
    const failing = (error: RetriableError | FatalError) => OffsetStore.group({ commit: () => Effect.fail(error) })
    const store = OffsetStore.group({ commit: (offsets) => Effect.sync(() => void commits.push(offsets)) })
    await Effect.runPromise(store.save([at("orders", 0, 4)]))
    await Effect.runPromise(store.save([]))
    expect(commits).toEqual([[at("orders", 0, 4)]])
    const reasonOf = (store: OffsetStore.OffsetStore) =>
      Effect.runPromise(Effect.map(Effect.flip(store.save([at("orders", 0, 4)])), ({ reason }) => reason))
    expect(await reasonOf(failing(new RetriableError("REBALANCE_IN_PROGRESS", "")))).toBe("NotOwner")
    expect(await reasonOf(failing(new FatalError("ILLEGAL_GENERATION", "")))).toBe("NotOwner")
    expect(await reasonOf(failing(new FatalError("UNKNOWN_MEMBER_ID", "")))).toBe("NotOwner")
    expect(await reasonOf(failing(new FatalError("FENCED_INSTANCE_ID", "")))).toBe("Failed")
    expect(await reasonOf(failing(new RetriableError("DISCONNECTED", "")))).toBe("Failed")
  })
})
