/** Partitioners in a producer, with every broker: who decides where a record goes, and what becomes of batches. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type { Network } from "../../core/ports/Network.ts"
import { Partitioner, type PartitionerTopic, type TopicPartitioner } from "../../core/client/Partitioner.ts"
import * as Producer from "../../core/client/Producer.ts"
import { librdkafka, partitionForKey, roundRobinPartitioner } from "../../core/client/partitioners/index.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import { TestClient } from "../broker/TestBroker.ts"
import { overBroker } from "./TestBrokers.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const PARTITIONS = 5

/** How many records each batch of a partition has. */
const batchCounts = (bootstrap: string, topic: string, partition: number): Effect.Effect<Array<number>, RpcConnection.RpcError, Network> =>
  Effect.gen(function*() {
    const colon = bootstrap.lastIndexOf(":")
    const address = { host: bootstrap.slice(0, colon), port: Number(bootstrap.slice(colon + 1)) }
    const client = new TestClient(yield* RpcConnection.connect(address, { clientId: "test-reader" }))
    const { records: answered } = yield* client.fetchOne(topic, { partition, offset: 0, partitionMaxBytes: 4_000_000 })
    const records = answered ?? new Uint8Array(0)
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength)
    const counts: Array<number> = []
    // offset 8: the batch's length after itself; 57: its record count
    for (let at = 0; at < records.byteLength; at += 12 + view.getInt32(at + 8)) counts.push(view.getInt32(at + 57))
    return counts
  }).pipe(Effect.scoped)

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

  test("hooks that throw are told once, and neither fail records nor end the producer", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("hooks", { partitions: 2 })
      const asked = { onAppended: 0, onBatchClosed: 0, onLoad: 0 }
      const broken = (hook: keyof typeof asked) => (): never => {
        asked[hook]++
        throw new Error(`${hook} is broken`)
      }
      const hooks: Partitioner = {
        name: "hooks",
        make: (): TopicPartitioner => {
          let next = 0
          return {
            partition: () => next++ % 2,
            onAppended: broken("onAppended"),
            onBatchClosed: broken("onBatchClosed"),
            onLoad: broken("onLoad")
          }
        }
      }
      const logged: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => void logged.push(String(Array.isArray(message) ? message[0] : message)))])
      const offsets = yield* Effect.gen(function*() {
        const producer = yield* Producer.Producer
        const sent = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => producer.send({ topic, value: bytes("v") }))
        // It is told at most once in a millisecond, and six records may take less.
        while (asked.onLoad === 0) yield* producer.send({ topic, partition: 0, value: bytes("v") })
        return sent.map(({ offset, partition }) => [partition, offset])
      }).pipe(
        Effect.provide(Producer.layer({ "bootstrap.servers": broker.bootstrap, "linger.ms": 0 })),
        Effect.provide(Layer.merge(Partitioner.layer(hooks), logger))
      )
      expect(offsets).toEqual([[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]])
      expect(asked.onAppended).toBe(6)
      expect(asked.onBatchClosed).toBeGreaterThan(1)
      const told = logged.filter((line) => line.includes("the partitioner hooks"))
      for (const hook of Object.keys(asked)) expect(told.filter((line) => line.includes(`${hook} threw for topic ${topic}`)).length).toBe(1)
    }))

  test("a partitioner that cannot be made fails its records and no others", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("unmade", { partitions: 2 })
      const unmade: Partitioner = {
        name: "unmade",
        make: () => {
          throw new Error("no such table")
        }
      }
      const sent = yield* Effect.gen(function*() {
        const producer = yield* Producer.Producer
        const failure = yield* Effect.flip(producer.send({ topic, value: bytes("v") }))
        return { failure, placed: yield* producer.send({ topic, partition: 1, value: bytes("v") }) }
      }).pipe(Effect.provide(Producer.layer({ "bootstrap.servers": broker.bootstrap })), Effect.provide(Partitioner.layer(unmade)))
      expect(sent.failure).toMatchObject({ _tag: "FatalError", reason: "INVALID_ARGUMENT" })
      expect(sent.failure.message).toContain("the partitioner unmade failed: no such table")
      expect(sent.placed.partition).toBe(1)
    }))

  test("a partitioner that throws fails the record with what it said, and not the producer", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("throws", { partitions: 2 })
      const throws = Partitioner.fromFunction("throws", (record) => {
        if (record.key === null) throw new Error("no key, no partition")
        return 1
      })
      const sent = yield* Effect.gen(function*() {
        const producer = yield* Producer.Producer
        const failure = yield* Effect.flip(producer.send({ topic, value: bytes("v") }))
        return { failure, after: yield* producer.send({ topic, key: bytes("k"), value: bytes("v") }) }
      }).pipe(Effect.provide(Producer.layer({ "bootstrap.servers": broker.bootstrap })), Effect.provide(Partitioner.layer(throws)))
      expect(sent.failure).toMatchObject({ reason: "INVALID_ARGUMENT" })
      expect(sent.failure.message).toContain("the partitioner throws failed: no key, no partition")
      expect(sent.after.partition).toBe(1)
    }))

  test("Kafka's own fills batches with records that have no key, and leaves none of one record behind", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("sticky", { partitions: PARTITIONS })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 60_000, "batch.size": 2000 })
      for (let i = 0; i < 1000; i++) yield* producer.enqueue({ topic, value: new Uint8Array(100) })
      yield* producer.flush
      const all = yield* Effect.all(Array.from({ length: PARTITIONS }, (_, partition) => batchCounts(broker.bootstrap, topic, partition)))
      expect(all.flat().reduce((sum, count) => sum + count, 0)).toBe(1000)
      const full = Math.max(...all.flat())
      expect(full).toBeGreaterThan(15)
      // only the last one, which the flush closed, may have fewer
      expect(all.flat().filter((count) => count < full).length).toBeLessThanOrEqual(1)
    }))
})
