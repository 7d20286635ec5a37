/** The laws hold for every delivery of ours, and each rule taken out breaks the law that names it. */
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Delivery from "../../../core/client/Delivery.ts"
import { consumerDeliveryLaws, type Law, LawViolation, producerDeliveryLaws } from "../../../core/testing/index.ts"

const holds = (laws: ReadonlyArray<Law>): void => {
  expect(laws.length).toBeGreaterThan(1)
  for (const law of laws) it(law.name, law.run)
}

/** Names of the laws that do not hold, and what the first of them says. */
const broken = async (laws: ReadonlyArray<Law>): Promise<ReadonlyArray<string>> => {
  const names: Array<string> = []
  for (const law of laws) {
    const violation = await law.run().then(() => undefined, (error: unknown) => error)
    if (violation === undefined) continue
    expect(violation).toBeInstanceOf(LawViolation)
    expect((violation as LawViolation).trace.length).toBeGreaterThan(0)
    names.push(law.name)
  }
  return names
}

const sendOnceThat = (run: Delivery.SendOnce["run"]): Delivery.SendOnce => ({ ...Delivery.sendOnce, run })
const resendThat = (run: Delivery.Resend["run"]): Delivery.Resend => ({ ...Delivery.resend(), run })
const idempotentThat = (run: Delivery.Idempotent["run"], retries: number): Delivery.Idempotent => ({
  ...Delivery.idempotent,
  config: { ...Delivery.idempotent.config, retries },
  run
})

/** What only a cast can make: a token that no effect gave. */
const forged = {} as never

describe("consumers", () => {
  const deliveries: ReadonlyArray<readonly [string, Delivery.ConsumerDelivery]> = [
    ["at most once", Delivery.atMostOnce()],
    ["at most once, two records a step", Delivery.atMostOnce({ every: { records: 2 } })],
    ["at most once, saves tried again", Delivery.atMostOnce({ onSaveFailure: { retries: 2 } })],
    ["at least once", Delivery.atLeastOnce()],
    ["at least once, each record", Delivery.atLeastOnce({ every: { records: 1 } })],
    ["at least once, every two", Delivery.atLeastOnce({ every: { records: 2, ms: 1000 } })],
    ["at least once, failed saves put off", Delivery.atLeastOnce({ every: { records: 1 }, onSaveFailure: { otherwise: "continue" } })],
    ["at least once, three tries", Delivery.atLeastOnce({
      every: { records: 1 },
      run: (step) => Effect.flatMap(Effect.retry(step.process, { times: 2 }), step.save)
    })]
  ]
  for (const [name, delivery] of deliveries) describe(name, () => holds(consumerDeliveryLaws(delivery)))

  it("at most once that processes first repeats", async () => {
    const names = await broken(consumerDeliveryLaws(Delivery.atMostOnce({
      run: (step) => Effect.tap(step.process(forged), step.save)
    })))
    expect(names).toContain("at most once never repeats (step by step)")
    expect(names).toContain("at most once never repeats (in a consumer)")
  })

  it("at most once that makes nothing of a failed save processes what is not saved", async () => {
    const names = await broken(consumerDeliveryLaws(Delivery.atMostOnce({
      run: (step) => Effect.flatMap(Effect.catch(step.save, () => Effect.succeed(forged)), step.process)
    })))
    expect(names).toContain("at most once processes nothing while its position cannot be saved (step by step)")
    expect(names).toContain("at most once processes nothing while its position cannot be saved (in a consumer)")
    expect(names).toContain("at most once never repeats (step by step)")
  })

  it("at most once that processes a failed record again repeats, though its types allow it", async () => {
    const names = await broken(consumerDeliveryLaws(Delivery.atMostOnce({
      run: (step) => Effect.flatMap(step.save, (saved) => Effect.retry(step.process(saved), { times: 1 }))
    })))
    expect(names).toContain("at most once never repeats (step by step)")
  })

  it("at least once that saves first loses", async () => {
    const names = await broken(consumerDeliveryLaws(Delivery.atLeastOnce({
      every: { records: 1 },
      run: (step) => Effect.tap(step.save(forged), step.process)
    })))
    expect(names).toContain("at least once never loses (step by step)")
    // A consumer saves what it has processed, whatever it is told: there, saving first is saving one step later.
    expect(names).not.toContain("at least once never loses (in a consumer)")
  })

  it("at least once that makes nothing of a failure loses", async () => {
    const names = await broken(consumerDeliveryLaws(Delivery.atLeastOnce({
      every: { records: 1 },
      run: (step) => Effect.flatMap(Effect.catch(step.process, () => Effect.succeed(forged)), step.save)
    })))
    expect(names).toContain("at least once never loses (step by step)")
    // A consumer keeps the record in hand that was not processed: its next step begins with it.
    expect(names).not.toContain("at least once never loses (in a consumer)")
  })

  it("at least once that never saves repeats more than its interval", async () => {
    const names = await broken(consumerDeliveryLaws(Delivery.atLeastOnce({
      every: { records: 1 },
      run: (step) => Effect.as(step.process, forged)
    })))
    expect(names).toContain("at least once repeats no more at a crash than its interval has (step by step)")
    expect(names).toContain("without a fault every record is processed once, in order, and the last position is saved (step by step)")
  })
})

describe("producers", () => {
  describe("send once", () => holds(producerDeliveryLaws(Delivery.sendOnce)))
  describe("resend", () => holds(producerDeliveryLaws(Delivery.resend())))
  describe("idempotent", () => holds(producerDeliveryLaws(Delivery.idempotent)))

  it("send once with retries repeats", async () => {
    expect(await broken(producerDeliveryLaws({ ...Delivery.sendOnce, config: { ...Delivery.sendOnce.config, retries: 3 as 0 } })))
      .toEqual(["at most once never repeats"])
  })

  it("send once that releases afterwards repeats", async () => {
    expect(await broken(producerDeliveryLaws(sendOnceThat((step) => Effect.tap(step.send(forged), step.release))))).toContain("at most once never repeats")
  })

  it("resend that releases first loses", async () => {
    expect(await broken(producerDeliveryLaws(resendThat((step) => Effect.tap(step.release(forged), step.send)))))
      .toContain("at least once never loses")
  })

  it("resend that awaits no answer loses", async () => {
    expect(await broken(producerDeliveryLaws({
      ...Delivery.resend(),
      config: { "acks": "0" as "1", "retries": 0, "enable.idempotence": false }
    }))).toContain("at least once never loses")
  })

  it("an idempotent producer without idempotence repeats", async () => {
    expect(await broken(producerDeliveryLaws({
      ...Delivery.idempotent,
      config: { ...Delivery.idempotent.config, "enable.idempotence": false as true }
    }))).toEqual(["an idempotent producer never repeats while it lives"])
  })

  it("an idempotent producer whose failed sends are made again repeats", async () => {
    const names = await broken(producerDeliveryLaws(
      idempotentThat((step) => Effect.flatMap(Effect.retry(step.send, { times: 3 }), step.release), 0)
    ))
    expect(names).toContain("an idempotent producer never repeats while it lives")
  })
})
