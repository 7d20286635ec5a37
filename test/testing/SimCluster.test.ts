/** A whole cluster under one seed: it serves, it survives what is done to it, and it does the same again. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Admin from "../../core/client/Admin.ts"
import * as Consumer from "../../core/client/Consumer.ts"
import * as Producer from "../../core/client/Producer.ts"
import { simulate, type SimCluster } from "../../core/testing/SimCluster.ts"

const utf8 = new TextEncoder()
const text = new TextDecoder()

const createTopic = (cluster: SimCluster, name: string, partitions = 1) =>
  cluster.client("admin").run(Effect.gen(function*() {
    const admin = yield* Admin.make({ "bootstrap.servers": cluster.bootstrap })
    yield* admin.createTopics([{ name, partitions, replicationFactor: 3 }])
  }))

const produce = (cluster: SimCluster, topic: string, count: number) =>
  cluster.client("producer").run(Effect.gen(function*() {
    const producer = yield* Producer.make({ "bootstrap.servers": cluster.bootstrap, acks: "all" })
    for (let i = 0; i < count; i++) yield* producer.send({ topic, value: utf8.encode(String(i)) })
  }))

const consume = (cluster: SimCluster, topic: string, count: number) =>
  cluster.client("consumer").run(Effect.gen(function*() {
    const consumer = yield* Consumer.make({ "bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest" })
    yield* consumer.subscribe({ topics: [topic] })
    const values: Array<string> = []
    while (values.length < count) {
      for (const { records } of yield* consumer.poll({ timeoutMs: 1000 })) {
        for (const { value } of records) values.push(text.decode(value!))
      }
    }
    return values
  }))

const story = (cluster: SimCluster) =>
  Effect.gen(function*() {
    yield* cluster.startAll
    yield* createTopic(cluster, "t")
    yield* produce(cluster, "t", 20)
    return yield* consume(cluster, "t", 20)
  })

describe("SimCluster", () => {
  it("boots three brokers that serve a producer and a group", async () => {
    const { value, steps, virtualMs } = await simulate({ seed: 1 }, story)
    expect(value).toEqual(Array.from({ length: 20 }, (_, i) => String(i)))
    console.log({ steps, virtualMs })
  })

  it("does the same again with the same seed, and something else with another", async () => {
    const [a, b, c] = [await simulate({ seed: 5 }, story), await simulate({ seed: 5 }, story), await simulate({ seed: 6 }, story)]
    expect(b.hash).toBe(a.hash)
    expect(c.hash).not.toBe(a.hash)
    console.log(a.hash, a.steps)
  })
})
