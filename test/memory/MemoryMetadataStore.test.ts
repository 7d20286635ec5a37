import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { describe, expect, it } from "vitest"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { metadataStoreLaws } from "../../core/testing/index.ts"

describe("laws of MetadataStore: memory", () => {
  for (const law of metadataStoreLaws(() => Effect.sync(() => MemoryMetadataStore.make()))) it(law.name, law.run)
})

it("tells a watch from before its history that it must list again", () =>
  Effect.runPromise(Effect.gen(function*() {
    const store = MemoryMetadataStore.make({ maxHistory: 2 })
    for (let i = 0; i < 5; i++) yield* store.commit([], [{ _tag: "Put", key: "k", value: `${i}` }])
    const error = yield* Effect.flip(Stream.runCollect(Stream.take(store.watch("", 2), 1)))
    expect(error.kind).toBe("Compacted")
    expect((yield* Stream.runCollect(Stream.take(store.watch("", 3), 2))).map(({ revision }) => revision)).toEqual([4, 5])
  })))

it("loses a session when it is told to", () =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const store = MemoryMetadataStore.make()
    const session = yield* store.session(1000)
    yield* store.commit([], [{ _tag: "Put", key: "k", value: "", session: session.id }])
    store.loseSession(session.id)
    yield* session.lost
    expect((yield* store.list("")).entries).toEqual([])
  }))))
