/** Partitioners in a producer, with every broker: who decides where a record goes. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type PartitionerTopic, Partitioner } from "../../core/client/Partitioner.ts"
import * as Producer from "../../core/client/Producer.ts"
import { librdkafka, partitionForKey, roundRobinPartitioner } from "../../core/client/partitioners/index.ts"
import { overBroker } from "./TestBrokers.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const PARTITIONS = 5

overBroker("Partitioner", (test) => {
  test("an explicit partition goes before the key, the key before none", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("placed", { partitions: PARTITIONS })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 0 })
      for (let i = 0; i < 20; i++) {
        const key = bytes(`user-${i}`)
        expect((yield* producer.send({ topic, key, value: null })).partition).toBe(partitionForKey(key, PARTITIONS))
        expect((yield* producer.send({ topic, key, value: null, partition: i % PARTITIONS })).partition).toBe(i % PARTITIONS)
      }
    }))

  test("is what the layer says, with the topic as it is now", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("mine", { partitions: PARTITIONS })
      let seen: PartitionerTopic | undefined
      const mine = Partitioner.fromFunction("mine", (record, of) => {
        seen = of
        return record.value!.length % of.partitions.length
      })
      const config = { "bootstrap.servers": broker.bootstrap, "linger.ms": 0 }
      const send = (value: string) => Effect.flatMap(Producer.Producer, (producer) => producer.send({ topic, value: bytes(value) }))
      const placed = yield* Effect.all([send("a"), send("abc"), send("abcdef")]).pipe(
        Effect.provide(Producer.layer(config)),
        Effect.provide(Partitioner.layer(mine))
      )
      expect(placed.map(({ partition }) => partition)).toEqual([1, 3, 1])
      expect(seen).toMatchObject({ name: topic, available: [0, 1, 2, 3, 4] })

      const crc = yield* send("a").pipe(Effect.provide(Producer.layer(config)), Effect.provide(Partitioner.layer(librdkafka.consistent)))
      expect(crc.partition).toBe(0)
      const turns = yield* Effect.all([send("a"), send("a"), send("a")]).pipe(
        Effect.provide(Producer.layer(config)),
        Effect.provide(Partitioner.layer(roundRobinPartitioner))
      )
      expect(turns.map(({ partition }) => partition)).toEqual([0, 1, 2])
    }))

  test("a partition that does not exist fails the record, and not the producer", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("beyond", { partitions: 2 })
      const beyond = Partitioner.fromFunction("beyond", (record) => record.value!.length)
      const sent = yield* Effect.gen(function*() {
        const producer = yield* Producer.Producer
        const failure = yield* Effect.flip(producer.send({ topic, value: bytes("two") }))
        return { failure, after: yield* producer.send({ topic, value: bytes("1") }) }
      }).pipe(Effect.provide(Producer.layer({ "bootstrap.servers": broker.bootstrap })), Effect.provide(Partitioner.layer(beyond)))
      expect(sent.failure.message).toContain("the partitioner beyond chose partition 3")
      expect(sent.after.partition).toBe(1)
    }))
})
