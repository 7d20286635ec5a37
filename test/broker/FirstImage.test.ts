/** A broker that starts follows each image of the cluster's metadata, at whatever moment of its start it comes. */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/testing/TestClock"
import { expect, it } from "vitest"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { MetadataStore, type Operation } from "../../core/ports/MetadataStore.ts"
import { makeController, newTopic, registration } from "../cluster/support.ts"
import { makeWorld, startBroker } from "./TestBroker.ts"

/** So many schedules; about one in six lets the image come between what a start did in two steps once. */
const SCHEDULES = 40

/** From a moment on whoever runs makes way for the others after about every other operation, as the seed says. */
class Preempting extends Scheduler.MixedScheduler {
  isPreempting = false
  #state: number

  constructor(seed: number) {
    super()
    this.#state = seed
  }
  override shouldYield(fiber: Parameters<Scheduler.MixedScheduler["shouldYield"]>[0]): boolean {
    // The first operation after a pause is always done: else it would pause for ever.
    if (!this.isPreempting || fiber.currentOpCount <= 1) return super.shouldYield(fiber)
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return this.#state >>> 31 === 0
  }
}

/** What a commit is made of that creates a topic which broker 1 leads. */
const creating: Effect.Effect<ReadonlyArray<Operation>> = Effect.gen(function*() {
  const memory = MemoryMetadataStore.make()
  let last: ReadonlyArray<Operation> = []
  const controller = yield* makeController({
    ...memory,
    commit: (comparisons, operations) => {
      last = operations
      return memory.commit(comparisons, operations)
    }
  })
  yield* controller.registerBroker(registration(1))
  yield* controller.createTopics([newTopic("t")])
  return last
}).pipe(Effect.scoped, Effect.orDie)

/** What broker 1 says of the topic that is created as soon as somebody sees that the broker is registered. */
const leadsAfterStart = (seed: number): Promise<unknown> => {
  const scheduler = new Preempting(seed)
  return Effect.gen(function*() {
    const operations = yield* creating
    const world = yield* makeWorld()
    const store = Context.get(world.context, MetadataStore)
    const other = yield* makeController(store, { brokerId: 9 }, 9)
    const isSeen = Deferred.makeUnsafe<void>()
    other.onChange(({ brokers }) => {
      if (brokers.get(1)?.fenced !== false) return
      scheduler.isPreempting = true
      Deferred.doneUnsafe(isSeen, Effect.void)
    })
    yield* Effect.forkChild(Effect.andThen(Deferred.await(isSeen), store.commit([], operations)), { startImmediately: true })
    const { broker: { services } } = yield* startBroker(world, { "node.id": "1" })
    scheduler.isPreempting = false
    while (!services.image().topicsByName.has("t")) yield* Effect.yieldNow
    return services.partitions.get("t", 0)?.isLeader
  }).pipe(
    Effect.scoped,
    Effect.provide(TestClock.layer()),
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.provideService(Scheduler.Scheduler, scheduler),
    Effect.runPromise
  )
}

it("A broker leads what it is elected for between its registration and the first image that it follows", async () => {
  const leads: Array<readonly [seed: number, leads: unknown]> = []
  for (let seed = 1; seed <= SCHEDULES; seed++) leads.push([seed, await leadsAfterStart(seed)])
  expect(leads.filter(([, isLeader]) => isLeader !== true)).toEqual([])
})
