/** A session that is lost at any moment of a broker's life ends with another registration of that broker, never without one. */
import * as fc from "fast-check"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { describe, expect, it } from "vitest"
import { brokerKey, liveKey } from "../../core/cluster/Keys.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { type MetadataStore, MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import { makeController, newTopic, registration } from "./support.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(effect).pipe(
      Effect.provideService(References.MinimumLogLevel, "None"),
      Effect.provide(TestClock.layer())
    ) as Effect.Effect<A>
  )

/** Turns of the scheduler in which everything has happened that can without time passing. */
const TURNS = 500

/** What waits for time has it, too. */
const until = (what: string, holds: () => boolean) =>
  Effect.gen(function*() {
    for (let turn = 1; turn <= 20 * TURNS; turn++) {
      if (holds()) return
      yield* turn % TURNS === 0 ? TestClock.adjust(100) : Effect.yieldNow
    }
    throw new Error(`it did not come about: ${what}`)
  })

/** When a session is lost that is to hold a registration, and what happens then. */
type Loss =
  | "never"
  | "before the commit"
  | "before the answer"
  | "before the answer, and another session begins"
  | "before the answer, and another process with its id comes and goes"

const loss: fc.Arbitrary<Loss> = fc.constantFrom(
  "never",
  "before the commit",
  "before the answer",
  "before the answer, and another session begins",
  "before the answer, and another process with its id comes and goes"
)

/** A store in which the first registration's session has the first of these losses, and so on; later ones have none. */
const losing = (memory: MemoryMetadataStore.MemoryMetadataStore, losses: ReadonlyArray<Loss>, isCleanStart: boolean) => {
  const expected = { epoch: -1, uncleanEpoch: -1 }
  let next = 0
  /** Its log has all that any process of its id was in ISRs with. */
  let isClean = isCleanStart
  const store: MetadataStore = {
    ...memory,
    commit: (comparisons, operations) =>
      Effect.gen(function*() {
        const life = operations.find((one) => one._tag === "Put" && one.key === liveKey(1))
        if (life?._tag !== "Put") return yield* memory.commit(comparisons, operations)
        const loss = losses[next++] ?? "never"
        if (loss === "before the commit") memory.loseSession(life.session!)
        const result = yield* memory.commit(comparisons, operations)
        if (result._tag === "Conflict") return result
        expected.epoch = result.revision
        if (!isClean) expected.uncleanEpoch = result.revision
        isClean = true
        if (loss === "never") return result
        memory.loseSession(life.session!)
        if (loss === "before the answer, and another process with its id comes and goes") {
          const value = JSON.stringify({ rack: null, listeners: [], logDirs: [], cleanStart: false })
          yield* memory.commit([], [{ _tag: "Put", key: brokerKey(1), value }])
          isClean = false
        }
        // Who is told of it does what it does about it, before the answer comes.
        if (loss !== "before the answer") for (let turn = 0; turn < TURNS; turn++) yield* Effect.yieldNow
        return result
      })
  }
  return { store, expected }
}

describe("A session that is lost while its broker registers", () => {
  it("is made good by another registration, which is clean unless another process had its id meanwhile", () =>
    fc.assert(
      fc.asyncProperty(fc.array(loss, { maxLength: 4 }), fc.boolean(), (losses, isClean) =>
        run(Effect.gen(function*() {
          const memory = MemoryMetadataStore.make()
          const before = yield* Effect.scoped(
            Effect.flatMap(makeController(memory), (controller) => controller.registerBroker(registration(1)))
          )
          const { expected, store } = losing(memory, losses, isClean)
          const controller = yield* makeController(store)
          const starting = yield* Effect.forkChild(controller.registerBroker(registration(1, isClean ? before.epoch : -1)))
          const present = () => controller.image().brokers.get(1)!
          yield* until("it has started, and a session that lives holds its registration", () =>
            starting.pollUnsafe() !== undefined && !present().fenced && memory.openSessions().includes(present().session))
          yield* until("it knows its epoch", () => controller.brokerEpoch() === present().epoch)
          expect(present()).toMatchObject(expected)
        }))),
      { numRuns: 60 }
    ))
})

describe("A controlled shutdown", () => {
  it.each([
    { when: "before the broker has seen that it is registered again", isAnswerLost: false },
    { when: "when the answer to that registration got lost", isAnswerLost: true }
  ])("moves what its broker leads, also $when", ({ isAnswerLost }) =>
    run(Effect.gen(function*() {
      const memory = MemoryMetadataStore.make()
      const sight = Latch.makeUnsafe(true)
      let registrations = 0
      const late: MetadataStore = {
        ...memory,
        watch: (prefix, after) => Stream.tap(memory.watch(prefix, after), () => sight.await),
        commit: (comparisons, operations) =>
          Effect.tap(memory.commit(comparisons, operations), ({ _tag }) =>
            Effect.suspend(() => {
              if (_tag === "Committed" && operations.some(({ key }) => key === brokerKey(1))) registrations++
              else return Effect.void
              return registrations === 2 && isAnswerLost
                ? Effect.fail(new MetadataStoreError("Unavailable", "the answer got lost"))
                : Effect.void
            }))
      }
      const controller = yield* makeController(late)
      yield* controller.registerBroker(registration(1))
      const other = yield* makeController(late, { brokerId: 2 }, 2)
      yield* other.registerBroker(registration(2))
      yield* other.createTopics([newTopic("t", -1, { assignments: [{ partitionIndex: 0, brokerIds: [1, 2] }] })])
      const leader = () => controller.image().topicsByName.get("t")!.partitions[0]!.leader
      yield* until("it leads", () => leader() === 1)

      // Nobody hears of the loss before it is made good: in the end broker 1 leads, in another epoch.
      sight.closeUnsafe()
      memory.loseSession(memory.sessionOf(liveKey(1))!)
      yield* until("it is registered again", () => registrations === 2)
      const stopping = yield* Effect.forkChild(controller.controlledShutdown)
      for (let turn = 0; turn < TURNS; turn++) yield* Effect.yieldNow
      sight.openUnsafe()
      yield* until("the shutdown is done", () => stopping.pollUnsafe() !== undefined)
      expect(controller.image().brokers.get(1)).toMatchObject({ fenced: false, inControlledShutdown: true })
      expect(leader()).toBe(2)
    })))
})
