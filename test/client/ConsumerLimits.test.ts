/** How long a consumer whose coordinator is away may take: what its caller allowed, whatever else is under way. */
import { describe, expect } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Consumer from "../../core/client/Consumer.ts"
import * as Producer from "../../core/client/Producer.ts"
import { type OwnBroker, testOwnBroker } from "./TestBrokers.ts"
import { settle } from "./VirtualTime.ts"

/** Time passes until it is done. @returns how much, in ms, in steps of 100; Infinity: more than two minutes */
const elapsed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    const beganMs = yield* Clock.currentTimeMillis
    for (let passedMs = 0; passedMs < 120_000; passedMs += 100) {
      yield* settle
      if (fiber.pollUnsafe() !== undefined) return { ms: (yield* Clock.currentTimeMillis) - beganMs, exit: yield* Fiber.await(fiber) }
      yield* TestClock.adjust(100)
    }
    yield* Fiber.interrupt(fiber)
    return { ms: Infinity, exit: undefined }
  })

/** A member that has read a record; its broker then stops, and an auto-commit of it is under way. */
const committing = (broker: OwnBroker, config: Partial<Consumer.ConsumerConfig> = {}) =>
  Effect.gen(function*() {
    const topic = yield* broker.createTopic("limits")
    const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "linger.ms": 0 })
    yield* elapsed(producer.send({ topic, value: new Uint8Array(1) }))
    const consumer = yield* Consumer.make({
      "bootstrap.servers": broker.bootstrap, "group.id": "limits", "auto.offset.reset": "earliest", ...config
    })
    yield* consumer.subscribe({ topics: [topic] })
    let read = 0
    const poll = elapsed(Effect.map(consumer.poll({ timeoutMs: 100 }), (polled) => void (read += polled.length)))
    while (read === 0) yield* poll
    yield* broker.stop
    yield* TestClock.adjust(5000)
    yield* poll
    return { consumer, topic }
  })

describe("A consumer whose broker is away", () => {
  testOwnBroker("closes within 30 seconds", (broker) =>
    Effect.gen(function*() {
      const { consumer } = yield* committing(broker)
      const { ms } = yield* elapsed(consumer.close)
      expect(ms).toBeLessThanOrEqual(30_100)
    }))

  testOwnBroker("gives a commit up after default.api.timeout.ms", (broker) =>
    Effect.gen(function*() {
      const { consumer, topic } = yield* committing(broker, { "default.api.timeout.ms": 20_000 })
      const { exit, ms } = yield* elapsed(consumer.commit([{ topic, partition: 0, offset: 1 }]))
      expect(exit?._tag).toBe("Failure")
      expect(ms).toBeLessThanOrEqual(20_100)
      yield* elapsed(consumer.close)
    }))
})
