import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { describe, expect, it } from "vitest"
import { ConfigOperation } from "../../core/cluster/Commands.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { makeController, newTopic, registration } from "./support.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect) as Effect.Effect<A>)

describe("a controller on one broker", () => {
  it("has a created topic in its image when it answers, led by the one broker in epoch 0", () =>
    run(Effect.gen(function*() {
      const controller = yield* makeController(MemoryMetadataStore.make())
      const broker = yield* controller.registerBroker(registration(1))
      expect(broker.epoch).toBeGreaterThan(0)
      expect(controller.image().controllerId).toBe(1)
      const [result] = yield* controller.createTopics([
        newTopic("orders", 3, { configs: [{ name: "retention.ms", value: "5" }] })
      ])
      expect(result).toMatchObject({ error: 0, numPartitions: 3, replicationFactor: 1 })
      const topic = controller.image().topicsByName.get("orders")
      expect(topic?.id).toBe(result?.topicId)
      expect(topic?.partitions.map(({ leader, leaderEpoch, isr, replicas }) => ({ leader, leaderEpoch, isr, replicas })))
        .toEqual(Array.from({ length: 3 }, () => ({ leader: 1, leaderEpoch: 0, isr: [1], replicas: [1] })))
      expect(controller.image().topicConfigs.get("orders")).toEqual(new Map([["retention.ms", "5"]]))
    })))

  it("creates, grows and deletes a topic of more partitions than one commit takes, and leaves no key", () =>
    run(Effect.gen(function*() {
      const store = MemoryMetadataStore.make({ maxOperations: 8 })
      const controller = yield* makeController(store)
      yield* controller.registerBroker(registration(1))
      const seen: Array<number> = []
      controller.onChange((image) => {
        const count = image.topicsByName.get("big")?.partitions.length ?? 0
        if (seen[seen.length - 1] !== count) seen.push(count)
      })
      expect((yield* controller.createTopics([newTopic("big", 50)]))[0]?.error).toBe(0)
      expect((yield* controller.createPartitions([{ name: "big", count: 90, assignments: null }]))[0]?.error).toBe(0)
      expect((yield* controller.deleteTopics([{ name: "big", topicId: "" }]))[0]?.error).toBe(0)
      expect(seen).toEqual([0, 50, 90, 0])
      expect((yield* store.list("metadata/partitions/")).entries).toEqual([])
    })))

  it("answers every topic of a request by itself", () =>
    run(Effect.gen(function*() {
      const controller = yield* makeController(MemoryMetadataStore.make({ maxOperations: 4 }))
      yield* controller.registerBroker(registration(1))
      yield* controller.createTopics([newTopic("there")])
      const results = yield* controller.createTopics([
        newTopic("a"),
        newTopic("there"),
        newTopic("b", 0),
        newTopic("c", 2, { configs: [{ name: "bad.key", value: "1" }] }),
        newTopic("d", 1, { replicationFactor: 3 }),
        newTopic("e", 9)
      ])
      expect(results.map(({ name, error }) => [name, error])).toEqual([
        ["a", ErrorCode.NONE],
        ["there", ErrorCode.TOPIC_ALREADY_EXISTS],
        ["b", ErrorCode.INVALID_PARTITIONS],
        ["c", ErrorCode.INVALID_CONFIG],
        ["d", ErrorCode.INVALID_REPLICATION_FACTOR],
        ["e", ErrorCode.NONE]
      ])
      expect([...controller.image().topicsByName.keys()].sort()).toEqual(["a", "e", "there"])
    })))

  it("changes nothing under validateOnly", () =>
    run(Effect.gen(function*() {
      const controller = yield* makeController(MemoryMetadataStore.make())
      yield* controller.registerBroker(registration(1))
      const { revision } = controller.image()
      const [result] = yield* controller.createTopics([newTopic("t", 4)], { validateOnly: true })
      expect(result).toMatchObject({ error: 0, numPartitions: 4 })
      expect(controller.image().revision).toBe(revision)
    })))

  it("alters configurations one operation after the other, whole or not at all", () =>
    run(Effect.gen(function*() {
      const controller = yield* makeController(MemoryMetadataStore.make())
      yield* controller.registerBroker(registration(1))
      yield* controller.createTopics([newTopic("t")])
      const change = (...changes: ReadonlyArray<{ name: string; operation: number; value: string | null }>) =>
        controller.incrementalAlterConfigs([{ resourceType: 2, resourceName: "t", changes }])
      yield* change(
        { name: "cleanup.policy", operation: ConfigOperation.APPEND, value: "compact" },
        { name: "segment.ms", operation: ConfigOperation.SET, value: "9" }
      )
      const both = new Map([["cleanup.policy", "delete,compact"], ["segment.ms", "9"]])
      expect(controller.image().topicConfigs.get("t")).toEqual(both)
      const [refused] = yield* change(
        { name: "segment.ms", operation: ConfigOperation.DELETE, value: null },
        { name: "bad.key", operation: ConfigOperation.SET, value: "1" }
      )
      expect(refused?.error).toBe(ErrorCode.INVALID_CONFIG)
      expect(controller.image().topicConfigs.get("t")).toEqual(both)
      yield* change(
        { name: "cleanup.policy", operation: ConfigOperation.SUBTRACT, value: "delete" },
        { name: "segment.ms", operation: ConfigOperation.DELETE, value: null }
      )
      expect(controller.image().topicConfigs.get("t")).toEqual(new Map([["cleanup.policy", "compact"]]))
      yield* controller.deleteTopics([{ name: "t", topicId: "" }])
      expect(controller.image().topicConfigs.has("t")).toBe(false)
    })))

  it("never gives a producer id twice, also over a restart", () =>
    run(Effect.gen(function*() {
      const store = MemoryMetadataStore.make()
      const scope = yield* Scope.make()
      const first = yield* makeController(store).pipe(Scope.provide(scope))
      const blocks = [yield* first.allocateProducerIds, yield* first.allocateProducerIds]
      yield* Scope.close(scope, Exit.void)
      const second = yield* makeController(store)
      blocks.push(yield* second.allocateProducerIds)
      expect(blocks).toEqual([0, 1000, 2000].map((first) => ({ first, count: 1000 })))
    })))

  it("raises broker epoch and leader epochs when the broker starts again, cleanly stopped or not", () =>
    run(Effect.gen(function*() {
      const store = MemoryMetadataStore.make({ maxOperations: 4 })
      let previous = -1
      for (const [round, clean] of [true, true, false].entries()) {
        const scope = yield* Scope.make()
        const controller = yield* makeController(store).pipe(Scope.provide(scope))
        if (round > 0) expect(controller.image().brokers.get(1)?.fenced).toBe(true)
        const broker = yield* controller.registerBroker(registration(1, clean ? previous : -1))
        expect(broker.epoch).toBeGreaterThan(previous)
        expect(broker.uncleanEpoch).toBe(clean ? -1 : broker.epoch)
        if (round === 0) yield* controller.createTopics([newTopic("t", 10)])
        for (const partition of controller.image().topicsByName.get("t")?.partitions ?? []) {
          expect(partition).toMatchObject({ leader: 1, isr: [1], elr: [], lastKnownElr: [], leaderEpoch: round, partitionEpoch: round })
        }
        previous = broker.epoch
        yield* Scope.close(scope, Exit.void)
      }
    })))

  it("finishes what a caller that gave up has begun", () =>
    run(Effect.gen(function*() {
      const store = MemoryMetadataStore.make({ maxOperations: 4 })
      const slow: typeof store = { ...store, commit: (c, o) => Effect.andThen(Effect.yieldNow, store.commit(c, o)) }
      const controller = yield* makeController(slow)
      yield* controller.registerBroker(registration(1))
      const fiber = yield* Effect.forkChild(controller.createTopics([newTopic("t", 40)]))
      yield* Effect.yieldNow
      fiber.interruptUnsafe()
      yield* controller.createTopics([newTopic("u", 1)])
      expect(controller.image().topicsByName.get("t")?.partitions.length).toBe(40)
    })))
})
