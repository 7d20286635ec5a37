import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cluster from "../../core/client/Cluster.ts"
import { overBroker } from "./TestBrokers.ts"

overBroker("Cluster", (test) => {
  test("finds a topic's leader from one bootstrap server", (broker) =>
    Effect.gen(function*() {
      const name = yield* broker.createTopic("leaders", { partitions: 3 })
      const cluster = yield* Cluster.make({ "bootstrap.servers": broker.bootstrap })
      const topic = (yield* cluster.topics([name])).get(name)!
      expect(topic.partitions.map(({ partition }) => partition)).toEqual([0, 1, 2])
      for (const { leader } of topic.partitions) expect(cluster.view().nodes.has(leader)).toBe(true)
      expect(cluster.topic(name)).toBe(topic)
      expect(yield* cluster.controller).toBeGreaterThanOrEqual(0)
    }))

  test("says that a topic does not exist once its time is over", (broker) =>
    Effect.gen(function*() {
      const cluster = yield* Cluster.make({ "bootstrap.servers": broker.bootstrap })
      const error = yield* Effect.flip(cluster.topics([broker.name("none")], { timeoutMs: 300, allowAutoCreate: false }))
      expect(error).toMatchObject({ _tag: "RetriableError", reason: "UNKNOWN_TOPIC_OR_PARTITION" })
    }))

  test("refuses an illegal name at once", (broker) =>
    Effect.gen(function*() {
      const cluster = yield* Cluster.make({ "bootstrap.servers": broker.bootstrap })
      const error = yield* Effect.flip(cluster.topics(["not a topic"]))
      expect(error).toMatchObject({ _tag: "FatalError", reason: "INVALID_TOPIC_EXCEPTION" })
    }))
})
