/**
 * The whole client and our whole broker in memory, under a seeded scheduler on a virtual clock, while connections are cut
 * and the broker is stopped, killed and started again: every record that was accepted ends once, what was acknowledged
 * is in the log once, where it was said to be, and the records of a key are in their order.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Producer from "../../core/client/Producer.ts"
import { Sim } from "../../core/testing/Sim.ts"
import { readLog, textOf } from "./ProducerLog.ts"
import { type OwnBroker, startOwnBroker } from "./TestBrokers.ts"

const encoder = new TextEncoder()
const KEYS = 7
const PARTITIONS = 3
const RECORDS = 400

/** Breaks something, again and again. */
const faults = (broker: OwnBroker, random: () => number): Effect.Effect<never, unknown> =>
  Effect.forever(Effect.gen(function*() {
    yield* Effect.sleep(Math.floor(random() * 200))
    const dice = random()
    if (dice < 0.5) {
      for (const one of broker.network.connections) if (random() < 0.6) one.destroy()
    } else if (dice < 0.65) yield* broker.restart
    else if (dice < 0.8) {
      yield* broker.running().crash({ _tag: "process" })
      yield* Effect.sleep(Math.floor(random() * 100))
      yield* broker.start
    }
  }))

interface Sent {
  readonly key: number
  result: Producer.RecordMetadata | Error | undefined
  results: number
}

/** @returns how many records failed */
const scenario = (random: () => number, config: Partial<Producer.ProducerConfig>): Effect.Effect<number, unknown> =>
  Effect.gen(function*() {
    const broker = yield* startOwnBroker({ "num.partitions": `${PARTITIONS}` })
    const topic = yield* broker.createTopic("sim", { partitions: PARTITIONS })
    const sent: Array<Sent> = []
    yield* Effect.gen(function*() {
      const producer = yield* Producer.make({
        "bootstrap.servers": broker.bootstrap,
        "batch.size": 500,
        "buffer.memory": 8000,
        "request.timeout.ms": 1000,
        ...config
      })
      const breaking = yield* Effect.forkChild(faults(broker, random))
      while (sent.length < RECORDS) {
        const one: Sent = { key: Math.floor(random() * KEYS), result: undefined, results: 0 }
        const record = { topic, key: encoder.encode(`k${one.key}`), value: encoder.encode(`${sent.length}`) }
        const answer = producer.offer(record, (result) => {
          one.result = result
          one.results++
        })
        if (answer === "Full") yield* Effect.ignore(producer.ready(topic))
        else if (answer instanceof Error) throw answer
        else sent.push(one)
        if (random() < 0.1) yield* Effect.sleep(Math.floor(random() * 60))
      }
      yield* Fiber.interrupt(breaking)
      yield* broker.stop
      yield* broker.start
      yield* producer.close
    }).pipe(Effect.scoped, Effect.provideContext(broker.ports))
    expect(broker.network.attempts.length, "connections").toBeGreaterThan(2)
    yield* check(broker, topic, sent).pipe(Effect.provideContext(broker.ports))
    return sent.filter(({ result }) => result instanceof Error).length
  }).pipe(Effect.scoped)

const check = (broker: OwnBroker, topic: string, sent: ReadonlyArray<Sent>) =>
  Effect.gen(function*() {
    const places = new Map<number, string>()
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const last = new Map<string | null, number>()
      for (const { key, offset, value } of yield* readLog(broker.bootstrap, topic, partition)) {
        const number = Number(textOf(value))
        expect(places.has(number), `record ${number} twice`).toBe(false)
        places.set(number, `${partition}@${offset}`)
        expect(textOf(key)).toBe(`k${sent[number]!.key}`)
        expect(number, `order of key ${textOf(key)}`).toBeGreaterThan(last.get(textOf(key)) ?? -1)
        last.set(textOf(key), number)
      }
    }
    for (const [number, { result, results }] of sent.entries()) {
      expect(results, `results of record ${number}`).toBe(1)
      if (result instanceof Error || result === undefined) continue
      expect(places.get(number), `record ${number}`).toBe(`${result.partition}@${result.offset}`)
    }
  })

describe("A producer while connections are cut and brokers restart", () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(`loses nothing, sends nothing twice, keeps the order of keys: seed ${seed}`, async () => {
      const sim = new Sim(seed)
      expect(await sim.run(scenario(sim.random, { "linger.ms": seed % 3 * 10 })), "failed records").toBe(0)
    })
  }
  for (let seed = 13; seed <= 20; seed++) {
    it(`sends nothing twice where time runs out: seed ${seed}`, async () => {
      const sim = new Sim(seed)
      await sim.run(scenario(sim.random, { "linger.ms": 0, "request.timeout.ms": 100, "delivery.timeout.ms": 150 }))
    })
  }
})
