/** When a producer sends, and when it has room, under TestClock; what it waits for and gives up is in SetClock.test.ts. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Partitioner } from "../../core/client/Partitioner.ts"
import * as Producer from "../../core/client/Producer.ts"
import { readValues } from "./ProducerLog.ts"
import { type OwnBroker, startOwnBroker, testOwnBroker } from "./TestBrokers.ts"
import { settle } from "./VirtualTime.ts"

const encoder = new TextEncoder()
const bytes = (text: string): Uint8Array => encoder.encode(text)

const warm = (broker: OwnBroker, config: Partial<Producer.ProducerConfig>, partitions = 1) =>
  Effect.gen(function*() {
    const topic = yield* broker.createTopic("time", { partitions })
    const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, ...config })
    yield* producer.ready(topic)
    const offsets: Array<number | string> = []
    const offer = (record: Partial<Producer.ProducerRecord> = {}) =>
      producer.offer({ topic, partition: 0, value: bytes("v"), ...record }, (result) =>
        offsets.push(result instanceof Error ? result.reason : result.offset))
    return { topic, producer, offsets, offer }
  })

describe("A producer in time", () => {
  testOwnBroker("sends a batch that is full before linger.ms is over", (broker) =>
    Effect.gen(function*() {
      const { offer, offsets } = yield* warm(broker, { "linger.ms": 100_000, "batch.records": 3 })
      for (let n = 0; n < 5; n++) offer()
      yield* settle
      expect(offsets).toEqual([0, 1, 2])
    }))

  testOwnBroker("lets nothing linger while it is flushed", (broker) =>
    Effect.gen(function*() {
      const { offer, offsets, producer } = yield* warm(broker, { "linger.ms": 100_000 })
      offer()
      const flush = yield* Effect.forkChild(producer.flush, { startImmediately: true })
      yield* settle
      expect(offsets).toEqual([0])
      yield* Fiber.join(flush)
    }))

  testOwnBroker("is full at buffer.memory, tells so after max.block.ms, and has room again when batches end", (broker) =>
    Effect.gen(function*() {
      const { offer, offsets, producer, topic } = yield* warm(broker, {
        "batch.size": 1000, "buffer.memory": 4000, "linger.ms": 0, "max.block.ms": 300
      })
      yield* broker.stop
      let accepted = 0
      while (offer({ value: new Uint8Array(600) }) === "Accepted") accepted++
      expect(accepted).toBe(4)
      const late = yield* Effect.forkChild(Effect.flip(producer.send({ topic, value: new Uint8Array(600) })), { startImmediately: true })
      yield* settle
      yield* TestClock.adjust(300)
      expect(yield* Fiber.join(late)).toMatchObject({ _tag: "RetriableError", reason: "BUFFER_EXHAUSTED" })
      yield* broker.start
      const fits = yield* Effect.forkChild(producer.ready(topic), { startImmediately: true })
      for (let n = 0; n < 20; n++) {
        yield* TestClock.adjust(10)
        yield* settle
      }
      for (let n = 0; n < 50 && offsets.length < 4; n++) {
        yield* TestClock.adjust(100)
        yield* settle
      }
      expect(offsets).toEqual([0, 1, 2, 3])
      yield* Effect.ignore(Fiber.join(fits))
      expect(offer({ value: new Uint8Array(600) })).toBe("Accepted")
      yield* settle
      expect(offsets).toEqual([0, 1, 2, 3, 4])
    }))

  testOwnBroker("is ready for a record when it has room for all of it, and its partition", (broker) =>
    Effect.gen(function*() {
      const { offer, producer, topic } = yield* warm(broker, {
        "batch.size": 100, "buffer.memory": 2000, "linger.ms": 0, "max.block.ms": 300,
        "request.timeout.ms": 500, "delivery.timeout.ms": 1000
      })
      yield* broker.stop
      expect(offer({ value: new Uint8Array(1200) })).toBe("Accepted")
      const large = { topic, value: new Uint8Array(900) }
      expect(offer(large)).toBe("Full")
      yield* producer.ready(topic)
      for (const [record, reason] of [[large, "BUFFER_EXHAUSTED"], [{ topic, partition: 9 }, "TIMED_OUT"]] as const) {
        const late = yield* Effect.forkChild(Effect.flip(producer.ready(record)), { startImmediately: true })
        yield* settle
        yield* TestClock.adjust(299)
        yield* settle
        expect(late.pollUnsafe()).toBeUndefined()
        yield* TestClock.adjust(1)
        expect(yield* Fiber.join(late)).toMatchObject({ _tag: "RetriableError", reason })
      }
      yield* TestClock.adjust(1000)
      yield* settle
      yield* producer.ready(large)
      expect(offer(large)).toBe("Accepted")
      yield* TestClock.adjust(1000)
      yield* settle
    }))

  testOwnBroker("serves those who wait for memory in their order", (broker) =>
    Effect.gen(function*() {
      const { producer, topic } = yield* warm(broker, { "batch.size": 500, "buffer.memory": 500, "linger.ms": 0 })
      const values = Array.from({ length: 30 }, (_, n) => `${n}`.padStart(400, " "))
      const sends = yield* Effect.forkChild(
        Effect.forEach(values, (value) => producer.send({ topic, partition: 0, value: bytes(value) }), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* settle
      yield* TestClock.adjust(1000)
      yield* settle
      expect((yield* Fiber.join(sends)).map(({ offset }) => offset)).toEqual(values.map((_, n) => n))
      expect(yield* readValues(broker.bootstrap, topic)).toEqual(values)
    }))

  testOwnBroker("forgets a record that gave up waiting for its place", (broker) =>
    Effect.gen(function*() {
      const { offer, producer, topic } = yield* warm(broker, { "batch.size": 500, "buffer.memory": 500, "linger.ms": 0 })
      yield* broker.stop
      offer({ value: bytes("first".padEnd(400)) })
      const waiting = yield* Effect.forkChild(producer.send({ topic, value: bytes("second".padEnd(400)) }), { startImmediately: true })
      yield* settle
      yield* Fiber.interrupt(waiting)
      yield* broker.start
      const end = yield* Effect.forkChild(producer.close, { startImmediately: true })
      yield* TestClock.adjust(5000)
      yield* settle
      yield* Fiber.join(end)
      expect((yield* readValues(broker.bootstrap, topic)).map((value) => value?.trim())).toEqual(["first"])
    }))

  it.effect("asks the partitioner that its layer has, unless the record names a partition", () =>
    Effect.gen(function*() {
      const broker = yield* startOwnBroker()
      const layer = Partitioner.layer(Partitioner.fromFunction("by-first-byte", ({ value }, { partitions }) => value![0]! % partitions.length))
      yield* Effect.gen(function*() {
        const { producer, topic } = yield* warm(broker, { "linger.ms": 0 }, 3)
        const send = (record: Partial<Producer.ProducerRecord>) =>
          Effect.map(producer.send({ topic, ...record }), ({ partition }) => partition)
        const all = yield* Effect.forkChild(Effect.all([
          send({ value: new Uint8Array([4]) }),
          send({ key: bytes("k"), value: new Uint8Array([5]) }),
          send({ partition: 0, key: bytes("k"), value: new Uint8Array([5]) })
        ], { concurrency: "unbounded" }), { startImmediately: true })
        yield* TestClock.adjust(10)
        yield* settle
        expect(yield* Fiber.join(all)).toEqual([1, 2, 0])
      }).pipe(Effect.provide([layer]), Effect.provide(broker.ports))
    }).pipe(Effect.scoped))
})
