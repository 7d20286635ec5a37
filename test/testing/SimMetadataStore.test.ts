/** The simulated metadata store keeps the port's laws, and each fault does what it says. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { MetadataStore, MetadataStoreError, Operation } from "../../core/ports/MetadataStore.ts"
import { metadataStoreLaws } from "../../core/testing/laws/MetadataStoreLaws.ts"
import { Sim } from "../../core/testing/Sim.ts"
import { SimHost } from "../../core/testing/SimHost.ts"
import { SimMetadataStore } from "../../core/testing/SimMetadataStore.ts"

/** One store, and two machines that see it. */
class World {
  readonly sim: Sim
  readonly store: SimMetadataStore
  readonly a: SimHost
  readonly b: SimHost
  readonly atA: MetadataStore
  readonly atB: MetadataStore

  constructor(seed: number) {
    this.sim = new Sim(seed)
    this.store = new SimMetadataStore(this.sim)
    this.a = new SimHost(this.sim, "a", "10.0.0.1")
    this.b = new SimHost(this.sim, "b", "10.0.0.2")
    this.atA = this.store.view(this.a, this.a.boot())
    this.atB = this.store.view(this.b, this.b.boot())
  }
}

describe("laws of MetadataStore: simulated", () => {
  for (const law of metadataStoreLaws(() => Effect.sync(() => new World(1).atA))) it(law.name, law.run)
})

const put = (key: string, value: string, session?: string): Operation =>
  session === undefined ? { _tag: "Put", key, value } : { _tag: "Put", key, value, session }

const story = (
  name: string,
  run: (world: World) => Effect.Effect<void, MetadataStoreError, Scope.Scope>
): void =>
  it(name, async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World(seed)
      await world.sim.run(Effect.scoped(run(world)))
    }
  })

const kindOf = <A>(effect: Effect.Effect<A, MetadataStoreError>): Effect.Effect<string> =>
  Effect.match(effect, { onSuccess: () => "none", onFailure: ({ kind }) => kind })

const keys = (store: SimMetadataStore): ReadonlyArray<string> => store.state.list("").map(({ key }) => key)

/** What a watch on all keys sees, and when. */
const watched = (world: World, store: MetadataStore): Effect.Effect<ReadonlyArray<string>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    yield* store.watch("", 0).pipe(
      Stream.runForEach(({ events }) =>
        Effect.sync(() => {
          for (const event of events) seen.push(`${world.sim.elapsedMs} ${event._tag === "Put" ? event.entry.key : `-${event.key}`}`)
        })),
      Effect.forkScoped
    )
    return seen
  })

describe("A fault of the simulated metadata store", () => {
  story("unreachable for one, it fails that one's calls and keeps what happens from its watch until it is back", (world) =>
    Effect.gen(function*() {
      const seen = yield* watched(world, world.atA)
      world.store.change(world.a, { isUnreachable: true })
      expect(yield* kindOf(world.atA.commit([], [put("mine", "")]))).toBe("Unavailable")
      expect(yield* kindOf(world.atA.list(""))).toBe("Unavailable")
      yield* world.atB.commit([], [put("other", "")])
      yield* Effect.sleep(5000)
      expect(seen).toEqual([])
      expect(keys(world.store)).toEqual(["other"])
      world.store.heal()
      yield* Effect.sleep(100)
      expect(seen.map((line) => line.split(" ")[1])).toEqual(["other"])
      yield* world.atA.commit([], [put("mine", "")])
    }))

  story("a session that cannot be heard is over after its time, and its owner learns of it when it can be told", (world) =>
    Effect.gen(function*() {
      const session = yield* world.atA.session(6000)
      yield* world.atA.commit([], [put("life", "", session.id)])
      let lostAtMs: number | undefined
      yield* Effect.forkScoped(Effect.tap(session.lost, () => Effect.sync(() => lostAtMs = world.sim.elapsedMs)))
      world.store.change(world.a, { isUnreachable: true })
      yield* Effect.sleep(3900)
      expect(keys(world.store)).toEqual(["life"])
      yield* Effect.sleep(2200)
      expect(keys(world.store)).toEqual([])
      yield* Effect.sleep(5000)
      expect(lostAtMs).toBeUndefined()
      world.store.heal()
      yield* Effect.sleep(10)
      expect(lostAtMs).toBeGreaterThan(11_000)
      expect(yield* kindOf(world.atA.commit([], [put("life", "", session.id)]))).toBe("SessionLost")
    }))

  story("a session outlives a short silence", (world) =>
    Effect.gen(function*() {
      const session = yield* world.atA.session(6000)
      yield* world.atA.commit([], [put("life", "", session.id)])
      for (let i = 0; i < 10; i++) {
        world.store.change(world.a, { isUnreachable: true })
        yield* Effect.sleep(3000)
        world.store.change(world.a, { isUnreachable: false })
        yield* Effect.sleep(1)
      }
      expect(keys(world.store)).toEqual(["life"])
    }))

  story("a session that is taken from a process that lives is told to it", (world) =>
    Effect.gen(function*() {
      const session = yield* world.atA.session(6000)
      yield* world.atA.commit([], [put("life", "", session.id)])
      expect(world.store.loseSessions(world.a)).toBe(1)
      expect(keys(world.store)).toEqual([])
      yield* session.lost
    }))

  story("a killed process's session ends after its time, one that was closed at once", (world) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const closed = yield* Scope.provide(world.atB.session(6000), scope)
      yield* world.atB.commit([], [put("closed", "", closed.id)])
      const killed = yield* world.atA.session(6000)
      yield* world.atA.commit([], [put("killed", "", killed.id)])
      yield* Scope.close(scope, Exit.void)
      expect(keys(world.store)).toEqual(["killed"])
      world.a.kill()
      yield* Effect.sleep(3900)
      expect(keys(world.store)).toEqual(["killed"])
      yield* Effect.sleep(2200)
      expect(keys(world.store)).toEqual([])
    }))

  story("a stale watch is late and misses nothing", (world) =>
    Effect.gen(function*() {
      const seen = yield* watched(world, world.atA)
      world.store.change(world.a, { watchLagMs: 3000 })
      for (const key of ["1", "2", "3"]) {
        yield* world.atB.commit([], [put(key, "")])
        yield* Effect.sleep(10)
      }
      yield* Effect.sleep(2900)
      expect(seen).toEqual([])
      yield* Effect.sleep(10_000)
      expect(seen.map((line) => line.split(" ")[1])).toEqual(["1", "2", "3"])
    }))

  story("a refused commit has not happened", (world) =>
    Effect.gen(function*() {
      world.store.change(world.a, { refuses: 1 })
      expect(yield* kindOf(world.atA.commit([], [put("k", "")]))).toBe("Unavailable")
      expect(keys(world.store)).toEqual([])
      yield* world.atB.commit([], [put("k", "")])
    }))

  it("a commit whose answer is lost has happened, or not", async () => {
    const outcomes = new Set<number>()
    for (let seed = 1; seed <= 40; seed++) {
      const world = new World(seed)
      await world.sim.run(Effect.gen(function*() {
        world.store.change(world.a, { losesAnswers: 1 })
        expect(yield* kindOf(world.atA.commit([], [put("k", "")]))).toBe("Unavailable")
        outcomes.add(keys(world.store).length)
      }))
    }
    expect(outcomes).toEqual(new Set([0, 1]))
  })

  story("what a process asked before it was killed may still happen, and it hears of nothing", (world) =>
    Effect.gen(function*() {
      world.store.change(world.a, { minDelayMs: 5, maxDelayMs: 5 })
      let isAnswered = false
      yield* Effect.forkChild(world.a.process!.run(Effect.tap(world.atA.commit([], [put("k", "")]), () => Effect.sync(() => isAnswered = true))))
      yield* Effect.sleep(2)
      world.a.kill()
      yield* Effect.sleep(100)
      expect([keys(world.store), isAnswered]).toEqual([["k"], false])
    }))
})
