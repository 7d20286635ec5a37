/** What a producer does with every broker: ours and Apache Kafka. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Producer from "../../core/client/Producer.ts"
import { readLog, readValues, textOf } from "./ProducerLog.ts"
import { overBroker } from "./TestBrokers.ts"

const encoder = new TextEncoder()
const bytes = (text: string): Uint8Array => encoder.encode(text)

overBroker("Producer", (test) => {
  test("tells each record's topic, partition and offset, and the log has it whole", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("whole", { partitions: 2 })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 0 })
      const headers = [{ key: "größe", value: bytes("42") }, { key: "none", value: null }]
      const first = yield* producer.send({ topic, partition: 1, key: bytes("k"), value: bytes("v"), headers, timestamp: 1234 })
      expect(first).toEqual({ topic, partition: 1, offset: 0, timestamp: 1234 })
      const second = yield* producer.send({ topic, partition: 1, key: null, value: null })
      expect(second).toMatchObject({ topic, partition: 1, offset: 1 })
      const log = yield* readLog(broker.bootstrap, topic, 1)
      expect(log.map(({ key, value, timestamp }) => [textOf(key), textOf(value), timestamp])).toEqual([
        ["k", "v", 1234],
        [null, null, second.timestamp]
      ])
      expect(log[0]!.headers.map(([key, value]) => [key, textOf(value)])).toEqual([["größe", "42"], ["none", null]])
    }))

  for (const codec of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
    test(`sends many, in order, compressed with ${codec}`, (broker) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("many")
        const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "compression.type": codec, "batch.size": 4096 })
        const values = Array.from({ length: 3000 }, (_, n) => `record ${n} ${"x".repeat(n % 50)}`)
        const results = yield* producer.sendAll(values.map((value) => ({ topic, value: bytes(value) })))
        expect(results.map(({ offset }) => offset)).toEqual(values.map((_, n) => n))
        expect(yield* readValues(broker.bootstrap, topic)).toEqual(values)
      }))
  }

  for (const acks of ["0", "1", "all"] as const) {
    test(`sends with acks=${acks}`, (broker) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("acks")
        const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, acks, "linger.ms": 0 })
        const sent = yield* producer.send({ topic, value: bytes("a") })
        expect(sent).toMatchObject({ topic, partition: 0, offset: acks === "0" ? -1 : 0 })
        yield* producer.send({ topic, value: bytes("b") })
        yield* producer.flush
        yield* Effect.repeat(readValues(broker.bootstrap, topic), { until: (values) => values.length === 2 })
        expect(yield* readValues(broker.bootstrap, topic)).toEqual(["a", "b"])
      }))
  }

  test("takes a stream", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("stream")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap })
      const count = yield* Stream.range(1, 1000).pipe(
        Stream.map((n) => ({ topic, value: bytes(`${n}`) })),
        Stream.run(producer.sink)
      )
      expect(count).toBe(1000)
      expect((yield* readValues(broker.bootstrap, topic)).length).toBe(1000)
    }))

  test("closes only when everything accepted has ended", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("close")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 60_000 })
      const handle = yield* producer.enqueue({ topic, value: bytes("a") })
      yield* producer.forget({ topic, value: bytes("b") })
      yield* producer.close
      expect(yield* handle.acknowledged).toMatchObject({ topic, partition: 0, offset: 0 })
      expect(yield* readValues(broker.bootstrap, topic)).toEqual(["a", "b"])
      expect(yield* Effect.flip(producer.send({ topic, value: bytes("c") }))).toMatchObject({ reason: "CLOSED" })
    }))

  test("is flushed and ended by its scope", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("scope")
      yield* Effect.scoped(Effect.gen(function*() {
        const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 60_000 })
        yield* producer.forget({ topic, value: bytes("a") })
      }))
      expect(yield* readValues(broker.bootstrap, topic)).toEqual(["a"])
    }))

  test("offers without an Effect, full until the topic is known", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("offer")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 0 })
      const told: Array<number> = []
      const offer = () =>
        producer.offer({ topic, value: bytes("a") }, (result) => told.push(result instanceof Error ? -2 : result.offset))
      expect(offer()).toBe("Full")
      yield* producer.ready(topic)
      expect(offer()).toBe("Accepted")
      expect(offer()).toBe("Accepted")
      yield* producer.flush
      expect(told).toEqual([0, 1])
    }))

  test("says what the broker refused, and goes on with what is good", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("compacted", { configs: { "cleanup.policy": "compact" } })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap })
      const results = yield* Effect.all([
        Effect.result(producer.send({ topic, key: bytes("k"), value: bytes("good") })),
        Effect.result(producer.send({ topic, key: null, value: bytes("a compacted topic takes no record without a key") }))
      ], { concurrency: "unbounded" })
      expect(results.map(({ _tag }) => _tag)).toEqual(["Failure", "Failure"])
      expect(results.map((result) => result._tag === "Failure" ? result.failure._tag : "")).toEqual(["RetriableError", "FatalError"])
      expect(results[1]).toMatchObject({ failure: { reason: "INVALID_RECORD" } })
      expect(yield* producer.send({ topic, key: bytes("k"), value: bytes("again") })).toMatchObject({ offset: 0 })
    }))

  test("splits a batch that the broker finds too large", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("split", { configs: { "max.message.bytes": "1000" } })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap })
      const values = Array.from({ length: 200 }, (_, n) => `${n}`.padStart(100, "."))
      const results = yield* producer.sendAll(values.map((value) => ({ topic, value: bytes(value) })))
      expect(results.map(({ offset }) => offset)).toEqual(values.map((_, n) => n))
      expect(yield* readValues(broker.bootstrap, topic)).toEqual(values)
      const error = yield* Effect.flip(producer.send({ topic, value: new Uint8Array(2000) }))
      expect(error).toMatchObject({ _tag: "FatalError", reason: "MESSAGE_TOO_LARGE" })
      expect(yield* producer.send({ topic, value: bytes("small") })).toMatchObject({ offset: 200 })
    }))

  test("tells the log's own time where that is the topic's", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("append-time", { configs: { "message.timestamp.type": "LogAppendTime" } })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 0 })
      const { timestamp } = yield* producer.send({ topic, value: bytes("v"), timestamp: 1234 })
      expect(timestamp).toBeGreaterThan(1_600_000_000_000)
      expect((yield* readLog(broker.bootstrap, topic))[0]!.offset).toBe(0)
    }))

  test("sends to a topic that is created for it", (broker) =>
    Effect.gen(function*() {
      const topic = broker.name("created")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 0 })
      expect(yield* producer.send({ topic, value: bytes("v") })).toMatchObject({ topic, offset: 0 })
    }))

  test("keeps the order of keys over partitions, and one partition for each key", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("keys", { partitions: 5 })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "batch.size": 200 })
      yield* producer.sendAll(Array.from({ length: 2000 }, (_, n) => ({ topic, key: bytes(`k${n % 17}`), value: bytes(`${n}`) })))
      const places = new Map<string, { readonly partition: number; last: number }>()
      let count = 0
      for (let partition = 0; partition < 5; partition++) {
        for (const { key, value } of yield* readLog(broker.bootstrap, topic, partition)) {
          const place = places.get(textOf(key)!) ?? { partition, last: -1 }
          expect(place.partition).toBe(partition)
          expect(Number(textOf(value))).toBeGreaterThan(place.last)
          place.last = Number(textOf(value))
          places.set(textOf(key)!, place)
          count++
        }
      }
      expect(count).toBe(2000)
    }))

  test("refuses what can never be sent", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("refused")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "max.request.size": 1000, "max.block.ms": 200 })
      const refused = (record: Partial<Producer.ProducerRecord>) => Effect.flip(producer.send({ topic, ...record }))
      expect(yield* refused({ value: new Uint8Array(1000) })).toMatchObject({ _tag: "FatalError", reason: "MESSAGE_TOO_LARGE" })
      expect(yield* refused({ timestamp: -5 })).toMatchObject({ _tag: "FatalError", reason: "INVALID_ARGUMENT" })
      expect(yield* refused({ partition: -1 })).toMatchObject({ _tag: "FatalError", reason: "INVALID_ARGUMENT" })
      expect(yield* refused({ partition: 7 })).toMatchObject({ _tag: "RetriableError", reason: "TIMED_OUT" })
      expect(yield* refused({ topic: undefined as never })).toMatchObject({ _tag: "FatalError", message: "a record's topic is undefined; it takes the name of a topic" })
      expect(yield* refused({ topic: "no/topic" })).toMatchObject({ _tag: "FatalError", reason: "INVALID_TOPIC_EXCEPTION" })
    }))
})
