/** What a relay does around the steps; the laws of producers cover the order. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { describe, expect, it } from "vitest"
import { type ClientError, FatalError, RetriableError } from "../../core/client/ClientError.ts"
import * as Delivery from "../../core/client/Delivery.ts"
import { type Relayed, relayWith } from "../../core/client/DeliveryRelay.ts"
import type { ProducerRecord, SendHandle } from "../../core/client/Producer.ts"

const lost = new RetriableError("TIMED_OUT", "no answer")
const refused = new FatalError("TOPIC_AUTHORIZATION_FAILED", "no")

/** A source of two batches, and a producer whose n-th send (from 0) fails as `fails` says: at its end, or at once. */
const world = (fails: (send: number) => ClientError | undefined = () => undefined, failsAtOnce = false) => {
  const log: Array<string> = []
  const batches = [["a", "b"], ["c"]]
  let sends = 0
  const outcome = (record: ProducerRecord): ClientError | undefined => {
    const error = fails(sends++)
    log.push(`${error === undefined ? "" : "no "}${new TextDecoder().decode(record.value!)}`)
    return error
  }
  const source = {
    next: Effect.sync(() => {
      const batch = batches[0]
      return batch === undefined ? undefined : {
        records: batch.map((value): ProducerRecord => ({ topic: "t", value: new TextEncoder().encode(value) })),
        release: Effect.sync(() => {
          batches.shift()
          log.push("released")
        })
      }
    })
  }
  const producer = {
    enqueue: (record: ProducerRecord): Effect.Effect<SendHandle, ClientError> =>
      Effect.suspend(() => {
        const error = outcome(record)
        if (error !== undefined && failsAtOnce) return Effect.fail(error)
        const acknowledged = error === undefined
          ? Effect.succeed({ topic: "t", partition: 0, offset: 0, timestamp: 0 })
          : Effect.fail(error)
        return Effect.succeed({ topic: "t", partition: 0, acknowledged })
      }),
    forget: (record: ProducerRecord): Effect.Effect<void, ClientError> =>
      Effect.suspend(() => {
        const error = outcome(record)
        return error === undefined ? Effect.void : Effect.fail(error)
      }),
    flush: Effect.sync(() => void log.push("flushed"))
  }
  const run = (delivery: Delivery.ProducerDelivery): Promise<Exit.Exit<Relayed, ClientError>> =>
    Effect.runPromise(
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(relayWith(producer, delivery, source))
        yield* TestClock.adjust("1 second")
        return yield* Fiber.await(fiber)
      }).pipe(Effect.provide(TestClock.layer()), Effect.provide(Logger.layer([])))
    )
  return { log, run }
}

describe("a relay", () => {
  it("that sends once releases first, goes on past what is lost, and ends with what no retry would help", async () => {
    const losing = world((send) => (send === 1 ? lost : undefined))
    expect(await losing.run(Delivery.sendOnce)).toEqual(Exit.succeed({ sent: 2, lost: 1 }))
    expect(losing.log).toEqual(["released", "a", "no b", "released", "c", "flushed"])
    const ending = world((send) => (send === 1 ? refused : undefined))
    expect(await ending.run(Delivery.sendOnce)).toEqual(Exit.fail(refused))
    expect(ending.log).toEqual(["released", "a", "no b"])
  })

  it.each([false, true])("that resends sends again what failed, and only that (at once: %s)", async (atOnce) => {
    const { log, run } = world((send) => (send === 0 || send === 2 ? lost : undefined), atOnce)
    expect(await run(Delivery.resend())).toEqual(Exit.succeed({ sent: 3, lost: 0 }))
    expect(log).toEqual(["no a", "b", "no a", "a", "released", "c", "released", "flushed"])
  })

  it("that resends ends with what no retry would help, and releases nothing of that batch", async () => {
    const { log, run } = world((send) => (send === 0 ? lost : send === 1 ? refused : undefined))
    expect(await run(Delivery.resend())).toEqual(Exit.fail(refused))
    expect(log).toEqual(["no a", "no b"])
  })

  it("that is idempotent leaves sending again to the producer, which knows the sequence", async () => {
    const { log, run } = world((send) => (send === 2 ? lost : undefined))
    expect(await run(Delivery.idempotent)).toEqual(Exit.fail(lost))
    expect(log).toEqual(["a", "b", "released", "no c"])
  })
})

describe("a producer's configuration", () => {
  const config = { "bootstrap.servers": "b:1" }
  it("is what its delivery needs", () => {
    expect(Delivery.producerConfig(Delivery.sendOnce, config)).toEqual({ ...config, "acks": "0", "retries": 0, "enable.idempotence": false })
    expect(Delivery.producerConfig(Delivery.resend({ acks: "1" }), config)).toMatchObject({ "acks": "1", "enable.idempotence": false })
    expect(Delivery.producerConfig(Delivery.idempotent, { ...config, "acks": "-1", "retries": 5 })).toMatchObject({ "acks": "-1", "retries": 5, "enable.idempotence": true })
  })
  it.each([
    [Delivery.sendOnce, { retries: 1 }],
    [Delivery.sendOnce, { "acks": "all" as const }],
    [Delivery.resend(), { "enable.idempotence": true }],
    [Delivery.resend(), { retries: 0 }],
    [Delivery.idempotent, { "acks": "1" as const }]
  ])("is refused where it says otherwise: %#", (delivery, override) => {
    expect(Delivery.producerConfig(delivery, { ...config, ...override })).toMatchObject({ _tag: "FatalError", reason: "INVALID_ARGUMENT" })
  })
})
