/**
 * One client doing one thing, in a process of its own whose CPU time is measured: started by ClientBench.ts.
 *
 *   ClientProgram.ts <ottla|kafkajs|platformatic> <produce|consume> <batched|single> <bootstrap> <topic> <record bytes> <records>
 *
 * produce: `batched` has full batches in five requests at a time, `single` awaits each record's acknowledgement before
 * the next; a fifth of the records comes first, to warm up. consume: `batched` takes what a fetch brought, `single` one
 * record at a time; nothing comes first, because what a consumer fetched ahead would not be counted.
 * Prints {"records", "seconds", "cpuSeconds"}.
 */
import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import { layer as cryptoLayer } from "../../adapters/shared/Crypto.ts"
import * as OttlaConsumer from "../../core/client/Consumer.ts"
import * as OttlaProducer from "../../core/client/Producer.ts"
import { adapters } from "../adapters/Runtime.ts"

const [client, what, mode, bootstrap = "", topic = "", sizeText, countText] = process.argv.slice(2)
const recordBytes = Number(sizeText)
const records = Number(countText)
/** Of records in one batch, the same for all. */
const BATCH_BYTES = 100_000
const perBatch = Math.floor(BATCH_BYTES / recordBytes)
const IN_FLIGHT = 5
const value = Buffer.alloc(recordBytes, "x")
const isSingle = mode === "single"

/** Does so many records and is done when they are. */
type Work = (count: number) => Promise<void>
interface Subject {
  readonly work: Work
  readonly close: () => Promise<unknown>
}

/** Batches of messages, five on their way. */
const inBatches = (send: (count: number) => Promise<unknown>): Work => async (count) => {
  let left = count
  await Promise.all(Array.from({ length: isSingle ? 1 : IN_FLIGHT }, async () => {
    while (left > 0) {
      const now = Math.min(left, isSingle ? 1 : perBatch)
      left -= now
      await send(now)
    }
  }))
}

/** What a consumer's callback counts, and those who wait for it. */
class Count {
  #left = 0
  #done: () => void = () => undefined
  /** Begins and is done with so many. */
  readonly start = (begin: () => Promise<unknown>): Work => (count) =>
    new Promise((resolve, reject) => {
      this.#left = count
      this.#done = resolve
      begin().catch(reject)
    })
  add(count: number): void {
    this.#left -= count
    if (this.#left <= 0) this.#done()
  }
}

const kafkajs = async (): Promise<Subject> => {
  const { default: { Kafka, logLevel } } = await import("kafkajs")
  const kafka = new Kafka({ clientId: "bench", brokers: [bootstrap], logLevel: logLevel.NOTHING })
  if (what === "produce") {
    const producer = kafka.producer()
    await producer.connect()
    const work = inBatches((count) => producer.send({ topic, acks: -1, messages: Array.from({ length: count }, () => ({ value, partition: 0 })) }))
    return { work, close: () => producer.disconnect() }
  }
  const consumer = kafka.consumer({ groupId: `bench-${process.pid}` })
  const count = new Count()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const work = count.start(() => consumer.run(isSingle
    ? { eachMessage: () => Promise.resolve(count.add(1)) }
    : { eachBatch: ({ batch }) => Promise.resolve(count.add(batch.messages.length)) }))
  return { work, close: () => consumer.disconnect() }
}

const platformatic = async (): Promise<Subject> => {
  const { Consumer, Producer } = await import("@platformatic/kafka")
  const base = { clientId: "bench", bootstrapBrokers: [bootstrap] }
  if (what === "produce") {
    const producer = new Producer(base)
    const work = inBatches((count) => producer.send({ acks: -1, messages: Array.from({ length: count }, () => ({ topic, value, partition: 0 })) }))
    return { work, close: () => producer.close() }
  }
  const consumer = new Consumer({ ...base, groupId: `bench-${process.pid}` })
  const count = new Count()
  const work = count.start(async () => {
    const stream = await consumer.consume({ topics: [topic], mode: "earliest", autocommit: true, maxBytes: 10_485_760, maxWaitTime: 500, isolationLevel: 0 })
    if (!isSingle) return stream.on("data", () => count.add(1))
    for await (const _ of stream) count.add(1)
  })
  return { work, close: () => consumer.close(true) }
}

const ports = Layer.mergeAll(adapters.networkLayer, compressionLayer, cryptoLayer)

/** Keeps an Effect's scope open until `close`. */
const held = <A>(make: Effect.Effect<A, unknown, OttlaProducer.Requirements>): Promise<readonly [A, () => Promise<unknown>]> =>
  new Promise((resolve, reject) => {
    let end: () => void = () => undefined
    const ended = new Promise<void>((done) => (end = done))
    const run: Promise<unknown> = Effect.runPromise(
      Effect.flatMap(make, (one) => {
        resolve([one, () => (end(), run)])
        return Effect.promise(() => ended)
      }).pipe(Effect.scoped, Effect.provide(ports))
    )
    run.catch(reject)
  })

const ottla = async (): Promise<Subject> => {
  if (what === "produce") {
    const [producer, close] = await held(OttlaProducer.make({
      "bootstrap.servers": bootstrap,
      "batch.size": BATCH_BYTES + 10_000,
      "batch.records": perBatch,
      "linger.ms": isSingle ? 0 : 5
    }))
    if (isSingle) {
      const one = producer.send({ topic, partition: 0, value })
      return { work: (count) => Effect.runPromise(Effect.asVoid(Effect.repeat(one, { times: count - 1 }))), close }
    }
    const work: Work = (count) =>
      Effect.runPromise(Effect.gen(function*() {
        let ended = 0
        const listener = (result: OttlaProducer.RecordMetadata | Error): void => {
          if (result instanceof Error) throw result
          ended++
        }
        for (let sent = 0; sent < count;) {
          const answer = producer.offer({ topic, partition: 0, value }, listener)
          if (answer === "Accepted") sent++
          else if (answer === "Full") yield* producer.ready(topic)
          else return yield* Effect.fail(answer)
        }
        yield* producer.flush
        if (ended !== count) throw new Error(`${ended} of ${count} records ended`)
      }))
    return { work, close }
  }
  const [consumer, close] = await held(OttlaConsumer.make({
    "bootstrap.servers": bootstrap,
    "group.id": `bench-${process.pid}`,
    "auto.offset.reset": "earliest",
    "max.poll.records": 10_000
  }))
  const count = new Count()
  const read = isSingle
    ? Stream.runForEach(consumer.records, () => Effect.sync(() => count.add(1)))
    : Effect.forever(Effect.map(consumer.poll(), (polled) => {
      for (const { records } of polled) count.add(records.length)
    }))
  const work = count.start(() => Effect.runPromise(Effect.andThen(consumer.subscribe({ topics: [topic] }), read)))
  return { work, close }
}

const subjects: Readonly<Record<string, () => Promise<Subject>>> = { ottla, kafkajs, platformatic }
const subject = await subjects[client ?? ""]!()
if (what === "produce") await subject.work(Math.ceil(records / 5))
const cpu = process.cpuUsage()
const begin = performance.now()
await subject.work(records)
const seconds = (performance.now() - begin) / 1000
const { system, user } = process.cpuUsage(cpu)
process.stdout.write(`${JSON.stringify({ records, seconds, cpuSeconds: (system + user) / 1e6 })}\n`)
await Promise.race([subject.close(), sleep(3000)])
process.exit(0)
