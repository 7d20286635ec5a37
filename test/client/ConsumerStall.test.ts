/** A consumer in a program that is busy with something else for a while: its timers come late, and all at once. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Consumer from "../../core/client/Consumer.ts"
import { startOwnBroker } from "./TestBrokers.ts"
import { settle } from "./VirtualTime.ts"

describe("A consumer whose program stalls", () => {
  it.effect("keeps its place in the group while it waits in a poll", () =>
    Effect.gen(function*() {
      const broker = yield* startOwnBroker()
      yield* Effect.gen(function*() {
        const topic = yield* broker.createTopic("stall", { partitions: 1 })
        const clock = yield* Clock.Clock
        /** How much later it is than the next timer was to fire. */
        let lateMs = 0
        const late = new Proxy(clock, {
          get: (target, key) =>
            key === "monotonicTimeNanosUnsafe"
              ? () => target.monotonicTimeNanosUnsafe() + BigInt(lateMs) * 1_000_000n
              : Reflect.get(target, key)
        })
        const consumer = yield* Consumer.make({
          "bootstrap.servers": broker.bootstrap,
          "group.id": "stalled",
          "max.poll.interval.ms": 1000,
          "enable.auto.commit": false
        }).pipe(Effect.provideService(Clock.Clock, late))
        yield* consumer.subscribe({ topics: [topic] })
        while (consumer.assignment().length === 0) {
          const poll = yield* Effect.forkChild(consumer.poll({ timeoutMs: 50 }), { startImmediately: true })
          yield* TestClock.adjust(50)
          yield* settle
          yield* Fiber.join(poll)
        }
        const before = consumer.groupMetadata()
        const poll = yield* Effect.forkChild(consumer.poll({ timeoutMs: 10_000 }), { startImmediately: true })
        yield* TestClock.adjust(100)
        lateMs = 1500
        yield* TestClock.adjust(1000)
        yield* settle
        expect(consumer.groupMetadata()).toEqual(before)
        expect(consumer.assignment()).toEqual([{ topic, partition: 0 }])
        yield* Fiber.interrupt(poll)
      }).pipe(Effect.provide(broker.ports))
    }).pipe(Effect.scoped))
})
