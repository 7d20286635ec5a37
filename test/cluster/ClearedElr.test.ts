/**
 * min.insync.replicas says from when on the high watermark stood still, and so who is an eligible leader replica: after
 * it changed, whoever was one may miss what the smaller ISR committed (Kafka's ClearElrRecord).
 */
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import { describe, expect, it } from "vitest"
import { ConfigOperation } from "../../core/cluster/Commands.ts"
import { ConfigResourceType } from "../../core/cluster/ConfigDecisions.ts"
import type { Controller } from "../../core/cluster/Controller.ts"
import { partitionKey } from "../../core/cluster/Keys.ts"
import type { PartitionImage } from "../../core/cluster/MetadataImage.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { makeController, newTopic, registration } from "./support.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(effect).pipe(Effect.provideService(References.MinimumLogLevel, "None")) as Effect.Effect<A>
  )

/** Topics t and u on brokers 1 to 3 with min.insync.replicas=2: of both, 1 leads, 2 is eligible and 3 is gone. */
const cluster = Effect.gen(function*() {
  const memory = MemoryMetadataStore.make()
  const controllers: Array<Controller> = []
  for (const id of [1, 2, 3]) {
    const controller = yield* makeController(memory, {
      brokerId: id,
      replicationFactor: () => 3,
      minInSyncReplicas: () => 2
    }, id)
    yield* controller.registerBroker(registration(id))
    controllers.push(controller)
  }
  const [one] = controllers as [Controller]
  const image = (topic: string): PartitionImage => one.image().topicsByName.get(topic)!.partitions[0]!
  const degraded = { leader: 1, leaderEpoch: 1, partitionEpoch: 2, replicas: [1, 2, 3], isr: [1], elr: [2] }
  for (const topic of ["t", "u"]) {
    yield* one.createTopics([newTopic(topic, -1, { assignments: [{ partitionIndex: 0, brokerIds: [1, 2, 3] }] })])
    const { id } = one.image().topicsByName.get(topic)!
    yield* memory.commit([], [{ _tag: "Put", key: partitionKey(id, 0), value: JSON.stringify(degraded) }])
  }
  while (image("u").elr.length === 0) yield* Effect.yieldNow
  const alter = (resourceType: number, resourceName: string, name: string, value: string) =>
    Effect.map(
      one.incrementalAlterConfigs([
        { resourceType, resourceName, changes: [{ name, operation: ConfigOperation.SET, value }] }
      ]),
      ([result]) => result!.error
    )
  return { alter, image, memory, one }
})

describe("eligible leader replicas", () => {
  it("are so no more when their topic's min.insync.replicas changes, and only then", () =>
    run(Effect.gen(function*() {
      const { alter, image } = yield* cluster
      expect(yield* alter(ConfigResourceType.TOPIC, "t", "retention.ms", "1000")).toBe(ErrorCode.NONE)
      expect(image("t").elr).toEqual([2])
      expect(yield* alter(ConfigResourceType.TOPIC, "t", "min.insync.replicas", "1")).toBe(ErrorCode.NONE)
      expect(image("t")).toMatchObject({ leader: 1, isr: [1], elr: [] })
      expect(image("u").elr).toEqual([2])
    })))

  it("are so no more in any topic when the cluster's default changes", () =>
    run(Effect.gen(function*() {
      const { alter, image } = yield* cluster
      expect(yield* alter(ConfigResourceType.BROKER, "", "min.insync.replicas", "1")).toBe(ErrorCode.NONE)
      expect([image("t").elr, image("u").elr]).toEqual([[], []])
    })))

  it("stay so while nobody is in the ISR: nothing is committed then, and the partition waits for no unclean election", () =>
    run(Effect.gen(function*() {
      const { alter, image, memory, one } = yield* cluster
      const { id } = one.image().topicsByName.get("t")!
      const dead = { leader: -1, leaderEpoch: 2, partitionEpoch: 3, replicas: [1, 2, 3], isr: [], elr: [2], lastKnownElr: [2] }
      yield* memory.commit([], [{ _tag: "Put", key: partitionKey(id, 0), value: JSON.stringify(dead) }])
      while (image("t").leader !== -1) yield* Effect.yieldNow
      expect(yield* alter(ConfigResourceType.TOPIC, "t", "min.insync.replicas", "1")).toBe(ErrorCode.NONE)
      // A configuration may allow an election: the controller looks.
      while (image("t").leader === -1) yield* Effect.yieldNow
      expect(image("t")).toMatchObject({ leader: 2, leaderEpoch: 3, isr: [2], elr: [], lastKnownElr: [] })
    })))

  it("go with a topic: another of its name has its own", () =>
    run(Effect.gen(function*() {
      const { alter, image, one } = yield* cluster
      yield* alter(ConfigResourceType.TOPIC, "t", "min.insync.replicas", "1")
      yield* one.deleteTopics([{ name: "t", topicId: "" }])
      expect([...one.image().revisions.keys()].filter((key) => key.endsWith("/t"))).toEqual([])
      yield* one.createTopics([newTopic("t", -1, { assignments: [{ partitionIndex: 0, brokerIds: [1, 2, 3] }] })])
      expect(image("t").elr).toEqual([])
    })))
})
