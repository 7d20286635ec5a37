/**
 * min.insync.replicas means the same to all brokers of a cluster: it is a cluster-wide configuration from the first start,
 * that nobody removes and no broker has for itself (KIP-966, as Kafka 4.3 has it with eligible.leader.replicas.version=1).
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import { describe, expect, it } from "vitest"
import { ConfigOperation } from "../../core/cluster/Commands.ts"
import { ConfigResourceType } from "../../core/cluster/ConfigDecisions.ts"
import type { Controller } from "../../core/cluster/Controller.ts"
import { brokerConfigKey, partitionKey } from "../../core/cluster/Keys.ts"
import { brokerConfigOf, topicConfigOf } from "../../core/cluster/MetadataImage.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { makeController, newTopic, registration } from "./support.ts"

const MIN_ISR = "min.insync.replicas"
const { BROKER, TOPIC } = ConfigResourceType
const { DELETE, SET } = ConfigOperation

const BROKER_LEVEL = "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
const CLUSTER_LEVEL = "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(effect).pipe(Effect.provideService(References.MinimumLogLevel, "None")) as Effect.Effect<A>
  )

const clusterConfigs = (controller: Controller): Record<string, string> =>
  Object.fromEntries(brokerConfigOf(controller.image(), undefined))

describe("min.insync.replicas of a cluster", () => {
  it("is what the first broker's properties say at its first start, and stays so whatever later ones say", () =>
    run(Effect.gen(function*() {
      const store = MemoryMetadataStore.make()
      for (const configured of [2, 3, 1]) {
        const scope = yield* Scope.make()
        const controller = yield* makeController(store, { minInSyncReplicas: () => configured }).pipe(Scope.provide(scope))
        expect(clusterConfigs(controller)).toEqual({ [MIN_ISR]: "2" })
        yield* Scope.close(scope, Exit.void)
      }
    })))

  it("keeps the eligible leader replicas over a restart of all brokers with other properties: they change nothing", () =>
    run(Effect.gen(function*() {
      const store = MemoryMetadataStore.make()
      const degraded = { leader: 1, leaderEpoch: 1, partitionEpoch: 2, replicas: [1, 2, 3], isr: [1], elr: [2] }
      const partition = (controller: Controller) => controller.image().topicsByName.get("t")!.partitions[0]!
      const first = yield* Scope.make()
      for (const id of [1, 2, 3]) {
        const controller = yield* makeController(store, { brokerId: id, minInSyncReplicas: () => 2 }, id).pipe(Scope.provide(first))
        yield* controller.registerBroker(registration(id))
        if (id < 3) continue
        yield* controller.createTopics([newTopic("t", -1, { assignments: [{ partitionIndex: 0, brokerIds: [1, 2, 3] }] })])
        const { id: topicId } = controller.image().topicsByName.get("t")!
        yield* store.commit([], [{ _tag: "Put", key: partitionKey(topicId, 0), value: JSON.stringify(degraded) }])
      }
      yield* Scope.close(first, Exit.void)
      const controller = yield* makeController(store, { brokerId: 2, minInSyncReplicas: () => 1 }, 4)
      expect(partition(controller).elr).toContain(2)
      // By two, not by one: with a minimum of one nobody is eligible beside a member of the ISR.
      yield* controller.registerBroker(registration(2, controller.image().brokers.get(2)!.epoch))
      expect(partition(controller)).toMatchObject({ leader: 2, isr: [2], elr: [1] })
    })))

  it("is given to a store that has none, and taken from brokers that have their own", () =>
    run(Effect.gen(function*() {
      const store = MemoryMetadataStore.make()
      yield* store.commit([], [
        { _tag: "Put", key: brokerConfigKey(""), value: JSON.stringify({ "log.retention.ms": "5" }) },
        { _tag: "Put", key: brokerConfigKey("1"), value: JSON.stringify({ [MIN_ISR]: "3" }) },
        { _tag: "Put", key: brokerConfigKey("2"), value: JSON.stringify({ [MIN_ISR]: "3", "log.retention.ms": "7" }) }
      ])
      const controller = yield* makeController(store, { minInSyncReplicas: () => 2 })
      expect(clusterConfigs(controller)).toEqual({ "log.retention.ms": "5", [MIN_ISR]: "2" })
      expect(controller.image().brokerConfigs.has("1")).toBe(false)
      expect(Object.fromEntries(brokerConfigOf(controller.image(), 2))).toEqual({ "log.retention.ms": "7" })
    })))

  it("is changed for all or for a topic, never for a broker, and never removed", () =>
    run(Effect.gen(function*() {
      const controller = yield* makeController(MemoryMetadataStore.make(), { minInSyncReplicas: () => 2 })
      yield* controller.registerBroker(registration(1))
      yield* controller.createTopics([newTopic("t")])
      const alter = (resourceType: number, resourceName: string, operation: number, value: string | null) =>
        Effect.map(
          controller.incrementalAlterConfigs([{ resourceType, resourceName, changes: [{ name: MIN_ISR, operation, value }] }]),
          ([result]) => [result!.error, result!.message]
        )
      const replace = (resourceType: number, resourceName: string, configs: Record<string, string>) =>
        Effect.map(
          controller.alterConfigs([{
            resourceType,
            resourceName,
            configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
          }]),
          ([result]) => [result!.error, result!.message]
        )
      const done = [ErrorCode.NONE, null]
      // Also where nothing would change.
      expect(yield* alter(BROKER, "1", SET, "2")).toEqual([ErrorCode.INVALID_CONFIG, BROKER_LEVEL])
      expect(yield* alter(BROKER, "1", DELETE, null)).toEqual([ErrorCode.INVALID_CONFIG, BROKER_LEVEL])
      expect(yield* replace(BROKER, "1", { [MIN_ISR]: "2" })).toEqual([ErrorCode.INVALID_CONFIG, BROKER_LEVEL])
      expect(yield* replace(BROKER, "1", { "log.retention.ms": "9" })).toEqual(done)
      expect(yield* alter(BROKER, "", DELETE, null)).toEqual([ErrorCode.INVALID_CONFIG, CLUSTER_LEVEL])
      expect(yield* replace(BROKER, "", { "log.retention.ms": "9" })).toEqual([ErrorCode.INVALID_CONFIG, CLUSTER_LEVEL])
      expect(clusterConfigs(controller)).toEqual({ [MIN_ISR]: "2" })
      expect(yield* alter(BROKER, "", SET, "3")).toEqual(done)
      expect(yield* replace(BROKER, "", { "log.retention.ms": "9", [MIN_ISR]: "1" })).toEqual(done)
      expect(clusterConfigs(controller)).toEqual({ "log.retention.ms": "9", [MIN_ISR]: "1" })
      expect(yield* alter(TOPIC, "t", SET, "2")).toEqual(done)
      expect(topicConfigOf(controller.image(), "t").get(MIN_ISR)).toBe("2")
      expect(yield* alter(TOPIC, "t", DELETE, null)).toEqual(done)
      expect(topicConfigOf(controller.image(), "t").has(MIN_ISR)).toBe(false)
    })))
})
