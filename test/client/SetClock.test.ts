/** What clients wait for, let linger and give up: when its time has passed, whatever is done to their wall clock. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Scope } from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Consumer from "../../core/client/Consumer.ts"
import * as Producer from "../../core/client/Producer.ts"
import { SETTINGS, withSettableClock } from "../model/SettableClock.ts"
import { readValues } from "./ProducerLog.ts"
import { type OwnBroker, type Ports, startOwnBroker } from "./TestBrokers.ts"
import { settle } from "./VirtualTime.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Time passes until it is done, ten seconds at most. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* fork(effect)
    for (let passedMs = 0; passedMs < 10_000 && fiber.pollUnsafe() === undefined; passedMs += 50) {
      yield* settle
      yield* TestClock.adjust(50)
    }
    if (fiber.pollUnsafe() === undefined) throw new Error("it is not done within ten seconds")
    return yield* Fiber.join(fiber)
  })

const test = (
  title: string,
  body: (broker: OwnBroker, setWallClock: (byMs: number) => void) => Effect.Effect<void, unknown, Ports | Scope>
): void =>
  void it.effect(title, () =>
    withSettableClock((setWallClock) =>
      Effect.gen(function*() {
        const broker = yield* startOwnBroker()
        yield* Effect.provide(body(broker, setWallClock), broker.ports)
      }).pipe(Effect.scoped)
    ))

const warm = (broker: OwnBroker, config: Partial<Producer.ProducerConfig>) =>
  Effect.gen(function*() {
    const topic = yield* broker.createTopic("time")
    const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, ...config })
    yield* producer.ready(topic)
    const results: Array<Producer.RecordMetadata | string> = []
    const offer = (value: Uint8Array = bytes("v")) =>
      producer.offer({ topic, partition: 0, value }, (result) => results.push(result instanceof Error ? result.reason : result))
    return { topic, producer, results, offer }
  })

const LEFT_ALONE: (typeof SETTINGS)[number] = ["left alone", 0]

describe.each([LEFT_ALONE, ...SETTINGS])("A producer whose wall clock is %s", (_what, byMs) => {
  test("lets a batch wait linger.ms, and dates its records by the wall clock", (broker, setWallClock) =>
    Effect.gen(function*() {
      const { offer, results, topic } = yield* warm(broker, { "linger.ms": 100 })
      const beforeMs = yield* Clock.currentTimeMillis
      offer()
      yield* TestClock.adjust(60)
      setWallClock(byMs)
      const afterMs = yield* Clock.currentTimeMillis
      offer()
      yield* TestClock.adjust(39)
      yield* settle
      expect(yield* readValues(broker.bootstrap, topic)).toEqual([])
      yield* TestClock.adjust(1)
      yield* settle
      expect(results).toMatchObject([{ offset: 0, timestamp: beforeMs }, { offset: 1, timestamp: afterMs }])
    }))

  test("gives up at delivery.timeout.ms, sent or not, and goes on when the broker is back", (broker, setWallClock) =>
    Effect.gen(function*() {
      const { offer, producer, results, topic } = yield* warm(broker, {
        "linger.ms": 0, "request.timeout.ms": 1000, "delivery.timeout.ms": 5000
      })
      yield* producer.send({ topic, value: bytes("first") })
      yield* broker.stop
      offer()
      yield* TestClock.adjust(2500)
      setWallClock(byMs)
      yield* TestClock.adjust(2499)
      yield* settle
      expect(results).toEqual([])
      yield* TestClock.adjust(1)
      yield* settle
      expect(results).toEqual(["TIMED_OUT"])
      yield* broker.start
      expect(yield* inTime(producer.send({ topic, value: bytes("second") }))).toMatchObject({ offset: 1 })
    }))

  test("dates a batch that follows a full one by when it began", (broker, setWallClock) =>
    Effect.gen(function*() {
      const { offer, results } = yield* warm(broker, { "linger.ms": 1000, "batch.records": 2 })
      offer()
      yield* TestClock.adjust(500)
      setWallClock(byMs)
      // It closes the first batch, and the next one begins the second.
      offer()
      offer()
      yield* settle
      expect(results).toHaveLength(2)
      yield* TestClock.adjust(999)
      yield* settle
      expect(results).toHaveLength(2)
      yield* TestClock.adjust(1)
      yield* settle
      expect(results).toHaveLength(3)
    }))

  test("tells after max.block.ms that there is no room", (broker, setWallClock) =>
    Effect.gen(function*() {
      const { offer, producer, topic } = yield* warm(broker, {
        "batch.size": 1000, "buffer.memory": 4000, "linger.ms": 0, "max.block.ms": 300,
        "request.timeout.ms": 500, "delivery.timeout.ms": 1000
      })
      yield* broker.stop
      while (offer(new Uint8Array(600)) === "Accepted");
      const late = yield* fork(Effect.flip(producer.send({ topic, value: new Uint8Array(600) })))
      yield* settle
      setWallClock(byMs)
      yield* TestClock.adjust(299)
      yield* settle
      expect(late.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      yield* settle
      expect(late.pollUnsafe()).toBeDefined()
      expect(yield* Fiber.join(late)).toMatchObject({ reason: "BUFFER_EXHAUSTED" })
      // What was accepted ends, and the producer can.
      yield* TestClock.adjust(1000)
      yield* settle
    }))

  test("tries again when its broker is back, after its backoff", (broker, setWallClock) =>
    Effect.gen(function*() {
      const { offer, results } = yield* warm(broker, { "linger.ms": 0, "reconnect.backoff.max.ms": 1000 })
      yield* broker.stop
      offer()
      yield* TestClock.adjust(3000)
      setWallClock(byMs)
      yield* broker.start
      yield* TestClock.adjust(1500)
      yield* settle
      expect(results).toMatchObject([{ offset: 0 }])
    }))
})

describe.each(SETTINGS)("A consumer whose wall clock is %s", (_what, byMs) => {
  const start = (broker: OwnBroker, config: Partial<Consumer.ConsumerConfig> = {}) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("time")
      const consumer = yield* Consumer.make({ "bootstrap.servers": broker.bootstrap, "group.id": "g", ...config })
      yield* consumer.subscribe({ topics: [topic] })
      const poll = (timeoutMs: number) => inTime(consumer.poll({ timeoutMs }))
      for (let n = 0; n < 200 && consumer.assignment().length === 0; n++) yield* poll(50)
      expect(consumer.assignment()).toHaveLength(1)
      return { consumer, poll, topic }
    })

  test("polls for as long as it was told", (broker, setWallClock) =>
    Effect.gen(function*() {
      const { consumer } = yield* start(broker)
      const polled = yield* fork(consumer.poll({ timeoutMs: 1000 }))
      yield* TestClock.adjust(400)
      setWallClock(byMs)
      yield* TestClock.adjust(599)
      yield* settle
      expect(polled.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      yield* settle
      expect(polled.pollUnsafe()).toBeDefined()
    }))

  test("goes on in its group, with heartbeats and fetches, and commits each auto.commit.interval.ms", (broker, setWallClock) =>
    Effect.gen(function*() {
      const { consumer, poll, topic } = yield* start(broker, { "session.timeout.ms": 6000, "auto.offset.reset": "earliest" })
      const before = consumer.groupMetadata()
      setWallClock(byMs)
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap })
      yield* inTime(producer.send({ topic, value: bytes("a") }))
      expect((yield* poll(1000)).flatMap(({ records }) => records)).toHaveLength(1)
      for (let n = 0; n < 10; n++) yield* poll(1000)
      expect(consumer.groupMetadata()).toEqual(before)
      const [committed] = yield* consumer.committed([{ topic, partition: 0 }])
      expect(committed).toMatchObject({ offset: 1 })
    }))

  test("begins at the records of the last hours by the date", (broker, setWallClock) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("dated")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap })
      setWallClock(byMs)
      const nowMs = yield* Clock.currentTimeMillis
      yield* Effect.forEach([5, 3, 1], (hours) =>
        inTime(producer.send({ topic, partition: 0, value: bytes(`${hours}`), timestamp: nowMs - hours * 3_600_000 })))
      const consumer = yield* Consumer.make({ "bootstrap.servers": broker.bootstrap, "auto.offset.reset": "by_duration:PT4H" })
      yield* consumer.assign([{ topic, partition: 0 }])
      const records = (yield* inTime(consumer.poll({ timeoutMs: 5000 }))).flatMap(({ records }) => records)
      expect(records.map(({ offset }) => offset)).toEqual([1, 2])
    }))
})
