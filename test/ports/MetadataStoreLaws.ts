/** The laws of the MetadataStore port: every layer passes them. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Entry, MetadataStore, MetadataStoreError, Operation, WatchBatch } from "../../core/ports/MetadataStore.ts"

const put = (key: string, value: string, session?: string): Operation =>
  session === undefined ? { _tag: "Put", key, value } : { _tag: "Put", key, value, session }
const del = (key: string): Operation => ({ _tag: "Delete", key })

const committed = (store: MetadataStore, ...operations: ReadonlyArray<Operation>): Effect.Effect<number, MetadataStoreError> =>
  Effect.map(store.commit([], operations), (result) => {
    expect(result._tag).toBe("Committed")
    return result._tag === "Committed" ? result.revision : -1
  })

/** What watch batches make of a listing. */
const replay = (entries: ReadonlyArray<Entry>, batches: ReadonlyArray<WatchBatch>): ReadonlyArray<Entry> => {
  const map = new Map(entries.map((entry) => [entry.key, entry]))
  for (const { events } of batches) {
    for (const event of events) {
      if (event._tag === "Put") map.set(event.entry.key, event.entry)
      else map.delete(event.key)
    }
  }
  return [...map.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
}

export const metadataStoreLaws = (
  name: string,
  make: () => Effect.Effect<MetadataStore, unknown, Scope.Scope>
): void => {
  const law = (title: string, body: (store: MetadataStore) => Effect.Effect<unknown, unknown, Scope.Scope>): void =>
    it(title, () => Effect.runPromise(Effect.scoped(Effect.flatMap(make(), body)) as Effect.Effect<unknown>))

  describe(`a MetadataStore (${name})`, () => {
    law("gives each commit the next revision and an entry its first and last", (store) =>
      Effect.gen(function*() {
        const { revision: start } = yield* store.list("")
        const first = yield* committed(store, put("a/1", "x"), put("a/2", "y"))
        const second = yield* committed(store, put("a/1", "z"))
        expect([first, second]).toEqual([start + 1, start + 2])
        expect(yield* store.list("a/")).toEqual({
          revision: second,
          entries: [
            { key: "a/1", value: "z", createRevision: first, modRevision: second },
            { key: "a/2", value: "y", createRevision: first, modRevision: first }
          ]
        })
      }))

    law("starts a key's life again when it was deleted in between", (store) =>
      Effect.gen(function*() {
        yield* committed(store, put("k", "1"))
        yield* committed(store, del("k"))
        const again = yield* committed(store, put("k", "2"))
        expect((yield* store.list("k")).entries).toEqual([
          { key: "k", value: "2", createRevision: again, modRevision: again }
        ])
      }))

    law("changes nothing when a comparison fails, and everything when all hold", (store) =>
      Effect.gen(function*() {
        const revision = yield* committed(store, put("k", "1"))
        for (
          const comparisons of [
            [{ key: "k", modRevision: 0 }],
            [{ key: "k", modRevision: revision - 1 }],
            [{ key: "k", modRevision: revision }, { key: "other", modRevision: revision }]
          ]
        ) {
          expect(yield* store.commit(comparisons, [put("k", "2"), put("l", "2")])).toEqual({ _tag: "Conflict" })
        }
        expect((yield* store.list("")).revision).toBe(revision)
        const both = [{ key: "k", modRevision: revision }, { key: "other", modRevision: 0 }]
        expect((yield* store.commit(both, [put("k", "2"), put("other", "2")]))._tag).toBe("Committed")
      }))

    law("lets one of many commits win that compare the same revision", (store) =>
      Effect.gen(function*() {
        const revision = yield* committed(store, put("k", "0"))
        const results = yield* Effect.all(
          Array.from({ length: 8 }, (_, i) => store.commit([{ key: "k", modRevision: revision }], [put("k", `${i}`)])),
          { concurrency: "unbounded" }
        )
        expect(results.filter(({ _tag }) => _tag === "Committed").length).toBe(1)
      }))

    law("makes no revision of a commit that changes nothing", (store) =>
      Effect.gen(function*() {
        const revision = yield* committed(store, put("k", "1"))
        expect(yield* committed(store)).toBe(revision)
        expect(yield* committed(store, del("missing"))).toBe(revision)
      }))

    law("refuses more operations than it states", (store) =>
      Effect.gen(function*() {
        const operations = Array.from({ length: store.maxOperations + 1 }, (_, i) => put(`k${i}`, ""))
        const error = yield* Effect.flip(store.commit([], operations))
        expect(error.kind).toBe("TooManyOperations")
        expect((yield* store.list("k")).entries).toEqual([])
        yield* committed(store, ...operations.slice(1))
      }))

    law("shows a watch every commit after its revision once and in order, past and to come", (store) =>
      Effect.gen(function*() {
        yield* committed(store, put("a/0", "before"))
        const { revision } = yield* store.list("")
        yield* committed(store, put("a/1", "past"), put("b/1", "elsewhere"))
        const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.take(store.watch("a/", revision), 3)))
        yield* Effect.yieldNow
        yield* committed(store, put("b/2", "elsewhere"))
        yield* committed(store, put("a/2", "live"))
        yield* committed(store, del("a/1"), put("a/0", "after"))
        const batches = yield* Fiber.join(fiber)
        expect(batches.map(({ revision }) => revision)).toEqual([revision + 1, revision + 3, revision + 4])
        expect(batches.map(({ events }) => events.map((event) => event._tag === "Put" ? event.entry.key : `-${event.key}`)))
          .toEqual([["a/1"], ["a/2"], ["-a/1", "a/0"]])
      }))

    law("has no revision that a watch does not come to, whatever is committed at once", (store) =>
      Effect.gen(function*() {
        const { revision, entries } = yield* store.list("")
        const fiber = yield* Effect.forkChild(
          Stream.runCollect(Stream.takeUntil(store.watch("", revision), ({ events }) =>
            events.some((event) => event._tag === "Put" && event.entry.key === "end")))
        )
        yield* Effect.all(
          Array.from({ length: 40 }, (_, i) =>
            store.commit([], i % 5 === 4 ? [del(`k${i % 3}`)] : [put(`k${i % 7}`, `${i}`), put(`l${i}`, "")])),
          { concurrency: 8 }
        )
        yield* committed(store, put("end", ""))
        const batches = yield* Fiber.join(fiber)
        const now = yield* store.list("")
        expect(batches.map(({ revision }) => revision)).toEqual(
          Array.from({ length: now.revision - revision }, (_, i) => revision + 1 + i)
        )
        expect(replay(entries, batches)).toEqual(now.entries)
      }))

    law("deletes a lost session's keys in one commit, and no one else's", (store) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const session = yield* store.session(60_000).pipe(Scope.provide(scope))
        const other = yield* store.session(60_000)
        yield* committed(store, put("s/1", "", session.id), put("s/2", "", session.id), put("s/3", "", other.id), put("s/4", ""))
        // A key belongs to whoever put it last.
        yield* committed(store, put("s/2", "", other.id))
        yield* committed(store, put("s/5", "", session.id))
        const { revision } = yield* store.list("")
        yield* Scope.close(scope, Exit.void)
        yield* session.lost
        const [batch] = yield* Stream.runCollect(Stream.take(store.watch("s/", revision), 1))
        expect(batch?.events.map((event) => event._tag === "Delete" ? event.key : "").sort()).toEqual(["s/1", "s/5"])
        expect((yield* store.list("s/")).entries.map(({ key }) => key)).toEqual(["s/2", "s/3", "s/4"])
        expect((yield* Effect.flip(store.commit([], [put("s/6", "", session.id)]))).kind).toBe("SessionLost")
      }))

    it("agrees with a map of keys under any sequence of commits", () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              compare: fc.option(fc.tuple(fc.nat(3), fc.boolean()), { nil: undefined }),
              puts: fc.uniqueArray(fc.nat(3), { maxLength: 3 }),
              deletes: fc.uniqueArray(fc.integer({ min: 4, max: 7 }), { maxLength: 2 })
            }),
            { maxLength: 20 }
          ),
          (commits) =>
            Effect.runPromise(Effect.scoped(Effect.gen(function*() {
              const store = yield* make()
              let { revision } = yield* store.list("")
              const model = new Map<string, Entry>()
              for (const { compare, puts, deletes } of commits) {
                const operations = [...puts.map((k) => put(`k${k}`, `${revision}`)), ...deletes.map((k) => del(`k${k - 2}`))]
                  .filter((one, index, all) => all.findIndex(({ key }) => key === one.key) === index)
                const right = compare === undefined ? 0 : model.get(`k${compare[0]}`)?.modRevision ?? 0
                const result = yield* store.commit(
                  compare === undefined ? [] : [{ key: `k${compare[0]}`, modRevision: compare[1] ? right : right + 1 }],
                  operations
                )
                if (compare?.[1] === false) {
                  expect(result._tag).toBe("Conflict")
                  continue
                }
                if (operations.some((one) => one._tag === "Put" || model.has(one.key))) revision++
                expect(result).toEqual({ _tag: "Committed", revision })
                for (const one of operations) {
                  if (one._tag === "Delete") model.delete(one.key)
                  else {
                    model.set(one.key, {
                      key: one.key,
                      value: one.value,
                      createRevision: model.get(one.key)?.createRevision ?? revision,
                      modRevision: revision
                    })
                  }
                }
                expect((yield* store.list("")).entries).toEqual([...model.values()].sort((a, b) => (a.key < b.key ? -1 : 1)))
              }
            })) as Effect.Effect<void>)
        ),
        { seed: 7, numRuns: 60 }
      ))
  })
}
