import { expect } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Consumer from "../../core/client/Consumer.ts"
import type { ConsumerConfig } from "../../core/client/Consumer.ts"
import { numbers, pollUntil, topicWriter, valueOf } from "./ConsumerTopic.ts"
import { overBroker, type TestBroker } from "./TestBrokers.ts"

const consumerOf = (broker: TestBroker, config: Partial<ConsumerConfig> = {}) =>
  Consumer.make({
    "bootstrap.servers": broker.bootstrap,
    "auto.offset.reset": "earliest",
    "fetch.max.wait.ms": 50,
    "retry.backoff.ms": 20,
    ...config
  })

overBroker("Consumer with assigned partitions", (test) => {
  test("reads every record of its partitions once and in order", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("assigned", { partitions: 3 })
      const writer = yield* topicWriter(broker)
      for (let partition = 0; partition < 3; partition++) {
        for (let at = 0; at < 1000; at += 100) yield* writer.write(topic, numbers(at, at + 100), { partition })
      }
      const consumer = yield* consumerOf(broker)
      yield* consumer.assign([0, 1, 2].map((partition) => ({ topic, partition })))
      const records = yield* pollUntil(consumer, 3000)
      for (let partition = 0; partition < 3; partition++) {
        const mine = records.filter((record) => record.partition === partition)
        expect(mine.map(valueOf)).toEqual(numbers(0, 1000))
        expect(mine.map(({ offset }) => offset)).toEqual(mine.map((_, index) => index))
        expect(yield* consumer.position({ topic, partition })).toBe(1000)
        expect(consumer.lag({ topic, partition })).toBe(0)
      }
      expect(yield* consumer.poll({ timeoutMs: 0 })).toEqual([])
      yield* writer.write(topic, ["later"], { partition: 1 })
      expect((yield* pollUntil(consumer, 1)).map(valueOf)).toEqual(["later"])
    }))

  test("gives out no more than max.poll.records at a time, and all of them", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("few", { partitions: 2 })
      const writer = yield* topicWriter(broker)
      for (const partition of [0, 1]) yield* writer.write(topic, numbers(0, 50), { partition })
      const consumer = yield* consumerOf(broker, { "max.poll.records": 7 })
      yield* consumer.assign([{ topic, partition: 0 }, { topic, partition: 1 }])
      let total = 0
      while (total < 100) {
        const count = (yield* consumer.poll()).reduce((sum, { records }) => sum + records.length, 0)
        expect(count).toBeLessThanOrEqual(7)
        total += count
      }
      expect(total).toBe(100)
    }))

  test("begins at the end, at an offset, at the beginning, at a time, and goes where it is sent", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("seeks")
      const writer = yield* topicWriter(broker)
      for (let at = 0; at < 10; at++) yield* writer.write(topic, [String(at)], { timestamp: 1000 + at * 10 })
      const here = { topic, partition: 0 }
      const consumer = yield* consumerOf(broker, { "auto.offset.reset": "latest" })
      yield* consumer.assign([here])
      expect(yield* consumer.position(here)).toBe(10)
      yield* consumer.seek(here, 7)
      expect((yield* pollUntil(consumer, 3)).map(valueOf)).toEqual(["7", "8", "9"])
      yield* consumer.seekToBeginning([])
      expect(yield* consumer.position(here)).toBe(0)
      expect((yield* pollUntil(consumer, 10)).map(valueOf)).toEqual(numbers(0, 10))
      yield* consumer.seekToTimestamp([here], 1041)
      expect((yield* pollUntil(consumer, 5)).map(valueOf)).toEqual(numbers(5, 10))
      yield* consumer.seekToTimestamp([here], 5000)
      expect(yield* consumer.position(here)).toBe(10)
      yield* consumer.seek(here, 2)
      yield* consumer.seekToEnd([here])
      expect(yield* consumer.position(here)).toBe(10)
      expect(yield* consumer.beginningOffsets([here])).toEqual([{ ...here, offset: 0 }])
      expect(yield* consumer.endOffsets([here])).toEqual([{ ...here, offset: 10 }])
      expect(yield* consumer.offsetsForTimes([{ ...here, timestamp: 1005 }])).toMatchObject([{ offset: 1, timestamp: 1010 }])
      expect(yield* consumer.offsetsForTimes([{ ...here, timestamp: 9000 }])).toEqual([])
      yield* consumer.assign([{ ...here, offset: 4 }])
      expect((yield* pollUntil(consumer, 6)).map(valueOf)).toEqual(numbers(4, 10))
    }))

  test("a paused partition keeps what was fetched of it and gives out nothing", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("paused", { partitions: 2 })
      const writer = yield* topicWriter(broker)
      for (const partition of [0, 1]) yield* writer.write(topic, numbers(0, 20), { partition })
      const consumer = yield* consumerOf(broker, { "max.poll.records": 5 })
      const [first, second] = [{ topic, partition: 0 }, { topic, partition: 1 }]
      yield* consumer.assign([first, second])
      const before = yield* pollUntil(consumer, 5)
      yield* consumer.pause([first])
      expect(consumer.paused()).toEqual([first])
      const seen = before.filter(({ partition }) => partition === 1).length
      const others = yield* pollUntil(consumer, 20 - seen)
      expect(others.every(({ partition }) => partition === 1)).toBe(true)
      expect(yield* consumer.poll({ timeoutMs: 0 })).toEqual([])
      yield* consumer.resume([first])
      const mine = [...before, ...yield* pollUntil(consumer, 20 - before.length + seen)]
      expect(mine.filter(({ partition }) => partition === 0).map(valueOf)).toEqual(numbers(0, 20))
    }))

  test("an offset that is not in the log is reset by policy, or told", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("range")
      const writer = yield* topicWriter(broker)
      yield* writer.write(topic, numbers(0, 5))
      const here = { topic, partition: 0 }
      const consumer = yield* consumerOf(broker)
      yield* consumer.assign([{ ...here, offset: 100 }])
      expect((yield* pollUntil(consumer, 5)).map(valueOf)).toEqual(numbers(0, 5))
      const strict = yield* consumerOf(broker, { "auto.offset.reset": "none" })
      yield* strict.assign([here])
      expect(yield* Effect.flip(pollUntil(strict, 1))).toMatchObject({ _tag: "FatalError", reason: "NO_OFFSET_FOR_PARTITION" })
      yield* strict.seek(here, 100)
      expect(yield* Effect.flip(pollUntil(strict, 1))).toMatchObject({ _tag: "FatalError", reason: "OFFSET_OUT_OF_RANGE" })
      yield* strict.seek(here, 3)
      expect((yield* pollUntil(strict, 2)).map(valueOf)).toEqual(["3", "4"])
    }))

  test("begins with the first record that is no older than a duration, at the end when there is none", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("duration", { partitions: 2 })
      const writer = yield* topicWriter(broker)
      const nowMs = yield* Clock.currentTimeMillis
      const hourMs = 3_600_000
      for (const [index, value] of numbers(0, 6).entries()) {
        yield* writer.write(topic, [value], { timestamp: nowMs - (5 - index) * hourMs - 60_000 })
        if (index < 3) yield* writer.write(topic, [`old ${value}`], { partition: 1, timestamp: nowMs - (10 - index) * hourMs })
      }
      const consumer = yield* consumerOf(broker, { "auto.offset.reset": "by_duration:PT2H30M" })
      yield* consumer.assign([{ topic, partition: 0 }, { topic, partition: 1 }])
      expect((yield* pollUntil(consumer, 3)).map(valueOf)).toEqual(["3", "4", "5"])
      expect(yield* consumer.position({ topic, partition: 1 })).toBe(3)
      expect(Exit.isFailure(yield* Effect.exit(consumerOf(broker, { "auto.offset.reset": "by_duration:an hour" })))).toBe(true)
    }))

  test("records are a stream", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("stream")
      const writer = yield* topicWriter(broker)
      yield* writer.write(topic, numbers(0, 1000))
      const consumer = yield* consumerOf(broker)
      yield* consumer.assign([{ topic, partition: 0 }])
      const values = yield* consumer.records.pipe(Stream.take(750), Stream.map(valueOf), Stream.runCollect)
      expect(values).toEqual(numbers(0, 750))
    }))

  test("a stream for each partition: one that is not read holds back no other", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("streams", { partitions: 3 })
      const writer = yield* topicWriter(broker)
      for (const partition of [0, 1, 2]) {
        for (let at = 0; at < 5000; at += 500) yield* writer.write(topic, numbers(at, at + 500), { partition })
      }
      const consumer = yield* consumerOf(broker)
      yield* consumer.assign([0, 1, 2].map((partition) => ({ topic, partition })))
      const read = yield* consumer.partitionStreams.pipe(
        Stream.flatMap(({ records, topicPartition: { partition } }) =>
          // The first is never read.
          partition === 0 ? Stream.never : Stream.map(Stream.take(records, 5000), (record) => [partition, valueOf(record)] as const), {
          concurrency: "unbounded"
        }),
        Stream.take(10_000),
        Stream.runCollect
      )
      for (const partition of [1, 2]) {
        expect(read.filter(([of]) => of === partition).map(([, value]) => value)).toEqual(numbers(0, 5000))
      }
    }))

  test("who seeks while partition streams run reads on from there, and commits nothing that it has not read", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("resought")
      const writer = yield* topicWriter(broker)
      yield* writer.write(topic, numbers(0, 100))
      const consumer = yield* consumerOf(broker, { "group.id": broker.name("group"), "enable.auto.commit": false, "max.poll.records": 10 })
      const here = { topic, partition: 0 }
      yield* consumer.assign([here])
      const seen: Array<string> = []
      yield* consumer.partitionStreams.pipe(
        Stream.flatMap(({ records }) =>
          Stream.tap(records, (record) =>
            Effect.gen(function*() {
              seen.push(valueOf(record))
              if (seen.length === 25) yield* consumer.seek(here, 50)
              if (valueOf(record) === "75") yield* consumer.commit()
            }))),
        Stream.takeUntil((record) => valueOf(record) === "99"),
        Stream.runDrain
      )
      const after = seen.slice(25).map(Number)
      expect(after.slice(after.indexOf(50))).toEqual(Array.from({ length: 50 }, (_, index) => 50 + index))
      // What the chunk before the seek still held comes first.
      expect(after.slice(0, after.indexOf(50)).every((value) => value < 30)).toBe(true)
      const [{ offset } = { offset: -1 }] = yield* consumer.committed([here])
      expect(offset).toBe(70)
    }))

  test("what makes no sense is refused with a reason", (broker) =>
    Effect.gen(function*() {
      const consumer = yield* consumerOf(broker)
      expect(yield* Effect.flip(consumer.poll())).toMatchObject({ reason: "INVALID_ARGUMENT" })
      expect(yield* Effect.flip(consumer.subscribe({ topics: ["a"] }))).toMatchObject({ reason: "INVALID_GROUP_ID" })
      expect(yield* Effect.flip(consumer.seek({ topic: "a", partition: 0 }, 0))).toMatchObject({ reason: "INVALID_ARGUMENT" })
      expect(yield* Effect.flip(consumerOf(broker, { "fetch.min.bytes": -1 }))).toMatchObject({ reason: "INVALID_ARGUMENT" })
      expect(yield* Effect.flip(consumerOf(broker, { "partition.assignment.strategy": "best" }))).toMatchObject({ reason: "INVALID_ARGUMENT" })
      // Who writes JavaScript hears of it here.
      const misspelled = { "enable.auto.comit": false } as Partial<Consumer.ConsumerConfig>
      expect(yield* Effect.flip(consumerOf(broker, misspelled))).toMatchObject({
        reason: "INVALID_ARGUMENT",
        message: "enable.auto.comit is no configuration of a consumer: did you mean enable.auto.commit?"
      })
      const text = { "enable.auto.commit": "false" } as unknown as Partial<Consumer.ConsumerConfig>
      expect(yield* Effect.flip(consumerOf(broker, text))).toMatchObject({ reason: "INVALID_ARGUMENT" })
      yield* consumer.close
      expect(yield* Effect.flip(consumer.poll())).toMatchObject({ reason: "CLOSED" })
    }))
})
