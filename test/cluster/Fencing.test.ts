/** What a controller decided on an image that has passed is not committed: interleavings, each made on purpose. */
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import { describe, expect, it } from "vitest"
import { ConfigOperation } from "../../core/cluster/Commands.ts"
import { ConfigResourceType } from "../../core/cluster/ConfigDecisions.ts"
import type { Controller } from "../../core/cluster/Controller.ts"
import { CONTROLLER_KEY, brokerKey, liveKey, partitionKey } from "../../core/cluster/Keys.ts"
import type { PartitionImage } from "../../core/cluster/MetadataImage.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import type { MetadataStore, Operation } from "../../core/ports/MetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { alterOne, makeController, newTopic, registration } from "./support.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(effect).pipe(Effect.provideService(References.MinimumLogLevel, "None")) as Effect.Effect<A>
  )

/** Lets everything happen that can without time passing. */
const until = (what: string, holds: () => boolean) =>
  Effect.gen(function*() {
    for (let turn = 0; turn < 10_000; turn++) {
      if (holds()) return
      yield* Effect.yieldNow
    }
    throw new Error(`it did not come about: ${what}`)
  })

/** A store as one broker sees it, where something happens between that broker's decision and its commit. */
const intercepted = (store: MetadataStore) => {
  const outcomes: Array<{ readonly keys: ReadonlyArray<string>; readonly outcome: string }> = []
  let before: { readonly when: (operations: ReadonlyArray<Operation>) => boolean; readonly happens: Effect.Effect<unknown, unknown> } | undefined
  return {
    outcomes,
    /** Once, before the first commit that it fits. */
    interpose: (when: (operations: ReadonlyArray<Operation>) => boolean, happens: Effect.Effect<unknown, unknown>): void => {
      before = { when, happens }
    },
    store: {
      ...store,
      commit: (comparisons, operations) =>
        Effect.gen(function*() {
          if (before?.when(operations) === true) {
            const { happens } = before
            before = undefined
            yield* Effect.orDie(happens)
          }
          const result = yield* store.commit(comparisons, operations)
          outcomes.push({ keys: operations.map(({ key }) => key), outcome: result._tag })
          return result
        })
    } satisfies MetadataStore
  }
}

/** Brokers 1 to 3 with a controller each, the first the controller; a topic on all three. */
const cluster = Effect.gen(function*() {
  const memory = MemoryMetadataStore.make()
  const first = intercepted(memory)
  const controllers: Array<Controller> = []
  for (const id of [1, 2, 3]) {
    const controller = yield* makeController(id === 1 ? first.store : memory, {
      brokerId: id,
      replicationFactor: () => 3,
      minInSyncReplicas: () => 2
    }, id)
    yield* controller.registerBroker(registration(id))
    controllers.push(controller)
  }
  const [one] = controllers as [Controller]
  expect(one.image().controllerId).toBe(1)
  const [topic] = yield* one.createTopics([
    newTopic("t", -1, { assignments: [{ partitionIndex: 0, brokerIds: [2, 3, 1] }] })
  ])
  expect(topic?.error).toBe(ErrorCode.NONE)
  const partition = (controller: Controller = one): PartitionImage => controller.image().topicsByName.get("t")!.partitions[0]!
  const key = partitionKey(topic!.topicId!, 0)
  const touches = (wanted: string) => (operations: ReadonlyArray<Operation>): boolean => operations.some((one) => one.key === wanted)
  /** The controller's session ends, and another broker takes over. */
  const depose = Effect.gen(function*() {
    memory.loseSession(memory.sessionOf(CONTROLLER_KEY)!)
    yield* until("another controller", () => [2, 3].includes(controllers[1]!.image().controllerId))
  })
  return { memory, first, controllers, one, partition, key, touches, depose, topicId: topic!.topicId! }
})

describe("a controller", () => {
  it("commits nothing that it decided before another took over, and decides again", () =>
    run(Effect.gen(function*() {
      const { depose, first, one, touches } = yield* cluster
      first.interpose(touches("metadata/topics/u"), depose)
      const [created] = yield* one.createTopics([newTopic("u", 1)])
      expect(created?.error).toBe(ErrorCode.NONE)
      const ofTopic = first.outcomes.filter(({ keys }) => keys.includes("metadata/topics/u"))
      expect(ofTopic.map(({ outcome }) => outcome)).toEqual(["Conflict", "Committed"])
    })))

  it("that was deposed elects nobody any more: that is the next one's to do", () =>
    run(Effect.gen(function*() {
      const { first, key, memory, partition, touches } = yield* cluster
      const before = partition()
      expect(before).toMatchObject({ leader: 2, isr: [2, 3, 1] })
      // The next one does nothing yet.
      const another = memory.commit([], [{ _tag: "Put", key: CONTROLLER_KEY, value: JSON.stringify({ brokerId: 9 }) }])
      first.interpose(touches(key), another)
      // The leader is gone: the first controller decides an election, and is deposed before it commits.
      memory.loseSession(memory.sessionOf(liveKey(2))!)
      const byFirst = () => first.outcomes.filter(({ keys }) => keys.includes(key)).map(({ outcome }) => outcome)
      yield* until("its commit", () => byFirst().length > 1)
      for (let turn = 0; turn < 1000; turn++) yield* Effect.yieldNow
      expect(byFirst()).toEqual(["Committed", "Conflict"])
      expect(partition()).toEqual(before)
    })))

  it("does not keep who registered again after an unclean stop while it decided", () =>
    run(Effect.gen(function*() {
      const { controllers, first, key, memory, partition, touches } = yield* cluster
      /** Broker 3's machine fails and is back at once: another registration, which no clean stop came before. */
      const again = Effect.suspend(() => {
        memory.loseSession(memory.sessionOf(liveKey(3))!)
        return until("it is registered again", () => controllers[0]!.image().brokers.get(3)?.fenced === false)
      }).pipe(Effect.andThen(Effect.suspend(() => {
        // What the controller of this test registers again as clean, it registers as unclean here.
        const value = JSON.stringify({ rack: null, listeners: [], logDirs: [], cleanStart: false })
        return memory.commit([], [{ _tag: "Put", key: brokerKey(3), value }])
      })))
      first.interpose(touches(key), again)
      memory.loseSession(memory.sessionOf(liveKey(2))!)
      yield* until("a leader", () => partition().leader === 1 && !partition().isr.includes(3))
      expect(partition()).toMatchObject({ leader: 1, isr: [1] })
      expect(partition().elr).not.toContain(3)
    })))
})

describe("an ISR change", () => {
  it("of a leader that lost its session is refused, and so is one with a member's old epoch", () =>
    run(Effect.gen(function*() {
      const { memory, one, partition, topicId } = yield* cluster
      const epochOf = (id: number): number => one.image().brokers.get(id)!.epoch
      const change = (brokerEpoch: number, memberEpoch: number) =>
        Effect.map(
          alterOne(one, {
            topicId,
            partition: 0,
            leader: partition().leader,
            leaderEpoch: partition().leaderEpoch,
            brokerEpoch,
            partitionEpoch: partition().partitionEpoch,
            newIsr: [
              { brokerId: partition().leader, brokerEpoch },
              { brokerId: 1, brokerEpoch: epochOf(1) },
              { brokerId: 2, brokerEpoch: memberEpoch }
            ]
          }),
          ({ error }) => error
        )
      const old = epochOf(2)
      memory.loseSession(memory.sessionOf(liveKey(2))!)
      yield* until("it is registered again", () => !one.image().brokers.get(2)!.fenced && epochOf(2) > old)
      yield* until("another leads", () => partition().leader === 3)
      const before = partition()
      expect(yield* change(epochOf(3) - 1, epochOf(2))).toBe(ErrorCode.STALE_BROKER_EPOCH)
      expect(yield* change(epochOf(3), old)).toBe(ErrorCode.INELIGIBLE_REPLICA)
      expect(partition()).toEqual(before)
      expect(yield* change(epochOf(3), epochOf(2))).toBe(ErrorCode.NONE)
      expect(partition().isr).toEqual([3, 1, 2])
    })))

  it("is not committed when a member registered again between decision and commit", () =>
    run(Effect.gen(function*() {
      const { first, key, memory, one, partition, topicId, touches } = yield* cluster
      const { leader, leaderEpoch, partitionEpoch } = partition()
      const epochOf = (id: number): number => one.image().brokers.get(id)!.epoch
      first.interpose(
        touches(key),
        Effect.suspend(() => {
          const value = JSON.stringify({ rack: null, listeners: [], logDirs: [], cleanStart: false })
          return memory.commit([], [{ _tag: "Put", key: brokerKey(1), value }])
        })
      )
      const { error } = yield* alterOne(one, {
        topicId,
        partition: 0,
        leader,
        leaderEpoch,
        brokerEpoch: epochOf(leader),
        partitionEpoch,
        newIsr: [leader, 1].map((brokerId) => ({ brokerId, brokerEpoch: epochOf(brokerId) }))
      })
      expect(error).toBe(ErrorCode.INELIGIBLE_REPLICA)
      yield* until("it is out", () => !partition().isr.includes(1))
    })))

  it("puts nobody into the ISR whose session ended between decision and commit, and keeps no ELR by an old min.insync.replicas", () =>
    run(Effect.gen(function*() {
      const { controllers, first, key, memory, one, partition, topicId, touches } = yield* cluster
      const ask = (isr: ReadonlyArray<number>) =>
        Effect.suspend(() => {
          const { leader, leaderEpoch, partitionEpoch } = partition()
          const epochOf = (id: number): number => one.image().brokers.get(id)!.epoch
          const newIsr = isr.map((brokerId) => ({ brokerId, brokerEpoch: epochOf(brokerId) }))
          return alterOne(one, { topicId, partition: 0, leader, leaderEpoch, brokerEpoch: epochOf(leader), partitionEpoch, newIsr })
        })
      expect((yield* ask([2, 1])).error).toBe(ErrorCode.NONE)
      // The controller has nothing to do when that broker goes, which is in no ISR, and so nothing that it would notice.
      first.interpose(touches(key), memory.commit([], [{ _tag: "Delete", key: liveKey(3) }]))
      expect((yield* ask([2, 1, 3])).error).toBe(ErrorCode.INELIGIBLE_REPLICA)
      expect(partition().isr).toEqual([2, 1])

      const lowered = [{
        resourceType: ConfigResourceType.TOPIC,
        resourceName: "t",
        changes: [{ name: "min.insync.replicas", operation: ConfigOperation.SET, value: "1" }]
      }]
      first.interpose(touches(key), Effect.suspend(() => controllers[1]!.incrementalAlterConfigs(lowered)))
      expect((yield* ask([2])).error).toBe(ErrorCode.NONE)
      expect(partition()).toMatchObject({ leader: 2, isr: [2], elr: [] })
    })))
})
