/** A client that has ended leaves no timer: one would keep the program alive, for minutes. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Producer from "../../core/client/Producer.ts"
import { eventually, overBroker } from "./TestBrokers.ts"

overBroker("a producer's end", (test) => {
  for (const acks of ["0", "1", "all"] as const) {
    test(`leaves no timer (acks=${acks})`, (broker) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("end")
        const clock = yield* Clock.Clock
        const open = new Set<string>()
        let sleeps = 0
        const counting: Clock.Clock = {
          ...clock,
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
          currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
          monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
          sleep: (duration) =>
            Effect.suspend(() => {
              const name = `${sleeps++}: ${String(duration)}`
              open.add(name)
              return Effect.ensuring(clock.sleep(duration), Effect.sync(() => void open.delete(name)))
            })
        }
        yield* Effect.scoped(Effect.gen(function*() {
          const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, acks })
          for (let n = 0; n < 3; n++) yield* producer.forget({ topic, value: new Uint8Array(n) })
          yield* producer.flush
        })).pipe(Effect.provideService(Clock.Clock, counting))
        // what was scheduled for the turn has run
        for (let turn = 0; turn < 20; turn++) yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)))
        yield* eventually(Effect.sync(() => Array.from(open)), (timers) => timers.length === 0).pipe(
          Effect.timeoutOrElse({ duration: 500, orElse: () => Effect.sync(() => expect(Array.from(open)).toEqual([])) })
        )
        expect(sleeps).toBeGreaterThan(0)
      }))
  }
})
