/** What every layer of the MetadataStore port keeps. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Entry, MetadataStore, MetadataStoreError, Operation, WatchBatch } from "../../ports/MetadataStore.ts"
import { type Dice, ensure, ensureSame, forSequences, type Law, law, LAW_PATIENCE_MS, lawOf, LawViolation, show } from "./Law.ts"

export interface MetadataStoreLawsOptions {
  /** In ms: a store that does not answer by then breaks the law. Default LAW_PATIENCE_MS. */
  readonly patienceMs?: number
}

/** Makes a store for one law; it may have keys and revisions of its own already, which begin with none of the laws' names. */
export type MakeMetadataStore = () => Effect.Effect<MetadataStore, unknown, Scope.Scope>

const put = (key: string, value: string, session?: string): Operation =>
  session === undefined ? { _tag: "Put", key, value } : { _tag: "Put", key, value, session }
const del = (key: string): Operation => ({ _tag: "Delete", key })

const committed = (store: MetadataStore, ...operations: ReadonlyArray<Operation>): Effect.Effect<number, MetadataStoreError> =>
  Effect.map(store.commit([], operations), (result) => {
    ensure(result._tag === "Committed", "a commit without comparisons is committed")
    return result.revision
  })

const refusal = (effect: Effect.Effect<unknown, MetadataStoreError>): Effect.Effect<string | undefined> =>
  Effect.match(effect, { onSuccess: () => undefined, onFailure: ({ kind }) => kind })

const byKey = (a: Entry, b: Entry): number => (a.key < b.key ? -1 : 1)

/** What watch batches make of a listing. */
const replay = (entries: ReadonlyArray<Entry>, batches: ReadonlyArray<WatchBatch>): ReadonlyArray<Entry> => {
  const map = new Map(entries.map((entry) => [entry.key, entry]))
  for (const { events } of batches) {
    for (const event of events) {
      if (event._tag === "Put") map.set(event.entry.key, event.entry)
      else map.delete(event.key)
    }
  }
  return [...map.values()].sort(byKey)
}

interface Commit {
  /** Of key k0 to k3, and whether the revision compared is the right one. */
  readonly compare: { readonly key: number; readonly isRight: boolean } | undefined
  readonly puts: ReadonlyArray<number>
  readonly deletes: ReadonlyArray<number>
}

const someOf = (dice: Dice, all: ReadonlyArray<number>, max: number): ReadonlyArray<number> =>
  [...new Set(dice.list(max, () => dice.pick(all)))]

const makeCommits = (dice: Dice): ReadonlyArray<Commit> =>
  dice.list(20, () => ({
    compare: dice.isOneIn(2) ? undefined : { key: dice.below(4), isRight: !dice.isOneIn(3) },
    puts: someOf(dice, [0, 1, 2, 3], 3),
    deletes: someOf(dice, [2, 3, 4, 5], 2)
  }))

/** Commits one after the other, with a map of keys beside them. */
const agrees = (store: MetadataStore, commits: ReadonlyArray<Commit>): Effect.Effect<void, MetadataStoreError> =>
  Effect.gen(function*() {
    let { revision } = yield* store.list("")
    const model = new Map<string, Entry>()
    for (const { compare, deletes, puts } of commits) {
      const operations = [
        ...puts.map((key) => put(`k${key}`, `${revision}`)),
        ...deletes.filter((key) => !puts.includes(key)).map((key) => del(`k${key}`))
      ]
      const right = compare === undefined ? 0 : model.get(`k${compare.key}`)?.modRevision ?? 0
      const comparisons = compare === undefined ? [] : [{ key: `k${compare.key}`, modRevision: compare.isRight ? right : right + 1 }]
      const result = yield* store.commit(comparisons, operations)
      if (compare?.isRight === false) {
        ensureSame(result, { _tag: "Conflict" }, "a commit whose comparison does not hold")
        continue
      }
      if (operations.some((one) => one._tag === "Put" || model.has(one.key))) revision++
      ensureSame(result, { _tag: "Committed", revision }, "a commit")
      for (const one of operations) {
        if (one._tag === "Delete") model.delete(one.key)
        else {
          const createRevision = model.get(one.key)?.createRevision ?? revision
          model.set(one.key, { key: one.key, value: one.value, createRevision, modRevision: revision })
        }
      }
      ensureSame((yield* store.list("k")).entries, [...model.values()].sort(byKey), "entries")
    }
  })

/** The laws of the MetadataStore port. @param make an empty store for each law, gone with the scope */
export const metadataStoreLaws = (
  make: MakeMetadataStore,
  options: MetadataStoreLawsOptions = {}
): ReadonlyArray<Law> => {
  const { patienceMs = LAW_PATIENCE_MS } = options
  const on = (
    name: string,
    check: (store: MetadataStore) => Effect.Effect<unknown, unknown, Scope.Scope>
  ): Law => lawOf(name, () => Effect.flatMap(make(), check), patienceMs)

  return [
    on("each commit has the next revision, an entry its first and its last", (store) =>
      Effect.gen(function*() {
        const { revision: start } = yield* store.list("")
        const first = yield* committed(store, put("a/1", "x"), put("a/2", "y"))
        const second = yield* committed(store, put("a/1", "z"))
        ensureSame([first, second], [start + 1, start + 2], "revisions")
        ensureSame(yield* store.list("a/"), {
          revision: second,
          entries: [
            { key: "a/1", value: "z", createRevision: first, modRevision: second },
            { key: "a/2", value: "y", createRevision: first, modRevision: first }
          ]
        }, "the listing")
      })),

    on("a commit is answered with its own revision, when who watches it commits at once, too", (store) =>
      Effect.gen(function*() {
        const { revision: start } = yield* store.list("")
        const answers = Stream.runForEach(store.watch("asked", start), () => store.commit([], [put("answer", "")]))
        yield* Effect.forkChild(answers, { startImmediately: true })
        for (let round = 0; round < 5; round++) {
          const revision = yield* committed(store, put("asked", `${round}`))
          const { entries } = yield* store.list("asked")
          ensureSame(entries.map(({ modRevision }) => modRevision), [revision], "the revision of what it put")
          yield* Stream.runHead(store.watch("answer", revision))
        }
      })),

    on("a key's life starts again when it was deleted in between", (store) =>
      Effect.gen(function*() {
        yield* committed(store, put("k", "1"))
        yield* committed(store, del("k"))
        const again = yield* committed(store, put("k", "2"))
        const { entries } = yield* store.list("k")
        ensureSame(entries, [{ key: "k", value: "2", createRevision: again, modRevision: again }], "the entry")
      })),

    on("nothing changes when a comparison fails, and everything when all hold", (store) =>
      Effect.gen(function*() {
        const revision = yield* committed(store, put("k", "1"))
        for (
          const comparisons of [
            [{ key: "k", modRevision: 0 }],
            [{ key: "k", modRevision: revision - 1 }],
            [{ key: "k", modRevision: revision }, { key: "other", modRevision: revision }]
          ]
        ) {
          const result = yield* store.commit(comparisons, [put("k", "2"), put("l", "2")])
          ensureSame(result, { _tag: "Conflict" }, `a commit on condition of ${show(comparisons)}`)
        }
        ensureSame((yield* store.list("")).revision, revision, "the revision after conflicts")
        const both = [{ key: "k", modRevision: revision }, { key: "other", modRevision: 0 }]
        const result = yield* store.commit(both, [put("k", "2"), put("other", "2")])
        ensureSame(result._tag, "Committed", "a commit whose comparisons all hold")
      })),

    on("one of many commits wins that compare the same revision", (store) =>
      Effect.gen(function*() {
        const revision = yield* committed(store, put("k", "0"))
        const results = yield* Effect.all(
          Array.from({ length: 8 }, (_, i) => store.commit([{ key: "k", modRevision: revision }], [put("k", `${i}`)])),
          { concurrency: "unbounded" }
        )
        ensureSame(results.filter(({ _tag }) => _tag === "Committed").length, 1, "winners")
      })),

    on("a commit that changes nothing makes no revision", (store) =>
      Effect.gen(function*() {
        const revision = yield* committed(store, put("k", "1"))
        ensureSame(yield* committed(store), revision, "after a commit of nothing")
        ensureSame(yield* committed(store, del("missing")), revision, "after a deletion of what is not there")
      })),

    on("more operations than the store states are refused", (store) =>
      Effect.gen(function*() {
        const operations = Array.from({ length: store.maxOperations + 1 }, (_, i) => put(`k${i}`, ""))
        ensureSame(yield* refusal(store.commit([], operations)), "TooManyOperations", "one more than it takes")
        ensureSame((yield* store.list("k")).entries, [], "entries after the refusal")
        yield* committed(store, ...operations.slice(1))
      })),

    on("a watch shows every commit after its revision once and in order, past and to come", (store) =>
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
        ensureSame(batches.map((batch) => batch.revision), [revision + 1, revision + 3, revision + 4], "revisions")
        const changed = batches.map(({ events }) => events.map((event) => event._tag === "Put" ? event.entry.key : `-${event.key}`))
        ensureSame(changed, [["a/1"], ["a/2"], ["-a/1", "a/0"]], "changed keys")
      })),

    on("there is no revision that a watch does not come to, whatever is committed at once", (store) =>
      Effect.gen(function*() {
        const { entries, revision } = yield* store.list("")
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
        const all = Array.from({ length: now.revision - revision }, (_, i) => revision + 1 + i)
        ensureSame(batches.map((batch) => batch.revision), all, "revisions")
        ensureSame(replay(entries, batches), now.entries, "what the watch makes of the first listing")
      })),

    on("a lost session's keys are deleted in one commit, and no one else's", (store) =>
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
        const gone = batch?.events.map((event) => event._tag === "Delete" ? event.key : "").sort()
        ensureSame(gone, ["s/1", "s/5"], "keys that one commit deletes")
        ensureSame((yield* store.list("s/")).entries.map(({ key }) => key), ["s/2", "s/3", "s/4"], "keys that are left")
        ensureSame(yield* refusal(store.commit([], [put("s/6", "", session.id)])), "SessionLost", "a commit of the lost session")
      })),

    law("any sequence of commits leaves what a map of keys would hold", () =>
      forSequences({ seed: 7, runs: 60, make: makeCommits }, async (commits) => {
        const one = lawOf("", () => Effect.flatMap(make(), (store) => agrees(store, commits)), patienceMs)
        await one.run().catch((error: unknown) => {
          throw error instanceof LawViolation ? error : new LawViolation(show(error))
        })
      }))
  ]
}
