import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect, it } from "vitest"
import * as MemoryMetadataStore from "../../../core/memory/MemoryMetadataStore.ts"
import type { MetadataStore } from "../../../core/ports/MetadataStore.ts"
import { type Law, metadataStoreLaws, type MetadataStoreLawsOptions } from "../../../core/testing/index.ts"
import { brokenLaws, describeBroken } from "./Broken.ts"

/** For cases in which what a law waits for never comes. */
const HASTY = { patienceMs: 50 }

const lawsOf = (
  change: (store: MetadataStore) => Partial<MetadataStore> = () => ({}),
  options: MetadataStoreLawsOptions = {}
): ReadonlyArray<Law> =>
  metadataStoreLaws(() =>
    Effect.sync(() => {
      const store = MemoryMetadataStore.make()
      return { ...store, ...change(store) }
    }), options)

describeBroken([
  ["a commit takes two revisions", () => lawsOf(({ commit }) => ({
    commit: (comparisons, operations) =>
      Effect.flatMap(commit(comparisons, operations), (result) => result._tag === "Conflict" || operations.length === 0
        ? Effect.succeed(result)
        : commit([], [{ _tag: "Put", key: "extra", value: "" }]))
  })), ["each commit has", "any sequence"]],
  ["a commit is answered with the newest revision", () => lawsOf(({ commit, list }) => ({
    commit: (comparisons, operations) =>
      Effect.gen(function*() {
        const result = yield* commit(comparisons, operations)
        if (result._tag === "Conflict") return result
        yield* Effect.yieldNow
        return { ...result, revision: (yield* list("")).revision }
      })
  })), ["a commit is answered"]],
  ["an entry is always of its first revision", () => lawsOf(({ list }) => ({
    list: (prefix) => Effect.map(list(prefix), ({ entries, revision }) => ({ revision, entries: entries.map((entry) => ({ ...entry, modRevision: entry.createRevision })) }))
  })), ["each commit has", "any sequence"]],
  ["a deleted key keeps its first revision", () => lawsOf(({ list }) => {
    const first = new Map<string, number>()
    return {
      list: (prefix) =>
        Effect.map(list(prefix), ({ entries, revision }) => ({
          revision,
          entries: entries.map((entry) => {
            if (!first.has(entry.key)) first.set(entry.key, 1)
            return { ...entry, createRevision: Math.min(entry.createRevision, first.get(entry.key)!) }
          })
        }))
    }
  }), ["a key's life"]],
  ["comparisons are not looked at", () => lawsOf(({ commit }) => ({ commit: (_, operations) => commit([], operations) })), ["nothing changes when", "one of many commits", "any sequence"]],
  ["the first comparison decides", () => lawsOf(({ commit }) => ({ commit: (comparisons, operations) => commit(comparisons.slice(0, 1), operations) })), ["nothing changes when"]],
  ["a commit is refused half done", () => lawsOf(({ commit }) => ({
    commit: (comparisons, operations) =>
      Effect.tap(commit(comparisons, operations), (result) => result._tag === "Conflict" ? commit([], operations.slice(0, 1)) : Effect.void)
  })), ["nothing changes when"]],
  ["a commit of nothing makes a revision", () => lawsOf(({ commit }) => ({
    commit: (comparisons, operations) => commit(comparisons, operations.length === 0 ? [{ _tag: "Put", key: "nothing", value: "" }] : operations)
  })), ["a commit that changes nothing"]],
  ["any number of operations is taken", () => lawsOf(({ commit }) => ({
    maxOperations: 8,
    commit
  })), ["more operations than"]],
  ["a watch begins with what comes", () => lawsOf(({ list, watch }) => ({
    watch: (prefix) => Stream.unwrap(Effect.map(list(""), ({ revision }) => watch(prefix, revision)))
  }), HASTY), ["a watch shows"]],
  ["a watch shows a commit twice", () => lawsOf(({ watch }) => ({
    watch: (prefix, after) => Stream.flatMap(watch(prefix, after), (batch) => Stream.make(batch, batch))
  })), ["a watch shows", "there is no revision"]],
  ["a watch shows other keys too", () => lawsOf(({ watch }) => ({ watch: (_, after) => watch("", after) })), ["a watch shows"]],
  ["a watch leaves deletions out", () => lawsOf(({ watch }) => ({
    watch: (prefix, after) => Stream.map(watch(prefix, after), (batch) => ({ ...batch, events: batch.events.filter(({ _tag }) => _tag === "Put") }))
  })), ["a watch shows", "there is no revision", "a lost session's"]],
  ["a lost session's keys stay", () => lawsOf(({ commit }) => ({
    commit: (comparisons, operations) => commit(comparisons, operations.map((one) => one._tag === "Put" ? { _tag: "Put", key: one.key, value: one.value } : one))
  }), HASTY), ["a lost session's"]]
], lawsOf())

it("a store that does not answer breaks every law that waits for it, after the patience given", async () => {
  const names = await brokenLaws(
    metadataStoreLaws(() => Effect.succeed({ ...MemoryMetadataStore.make(), watch: () => Stream.never }), HASTY)
  )
  expect(names.map((name) => name.slice(0, 13))).toEqual(["a commit is a", "a watch shows", "there is no r", "a lost sessio"])
})
