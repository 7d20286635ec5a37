/**
 * One client doing one thing, in a process of its own whose CPU time is measured: started by ClientBench.ts.
 *
 *   ClientProgram.ts <ottla|kafkajs|platformatic> <produce|consume> <batched|single> <bootstrap> <record bytes> <records>
 *
 * Each line of standard input is `topic seconds [records]`, one round with a new client; a round ends after so many
 * seconds or records (those of the line, else of the arguments) and prints {"records", "seconds", "cpuSeconds", "userSeconds"}. The process stays, and its compiled code with
 * it: the first round is the warm-up. produce: `batched` has full batches, five requests at a time, `single` awaits each record's
 * acknowledgement before the next; the clock starts when a first record is acknowledged. consume: `batched` takes what a
 * fetch brought, `single` one record at a time; the clock starts when the first have come.
 */
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import { layer as cryptoLayer } from "../../adapters/shared/Crypto.ts"
import * as OttlaConsumer from "../../core/client/Consumer.ts"
import * as OttlaProducer from "../../core/client/Producer.ts"
import { adapters } from "../adapters/Runtime.ts"

const [client, what, mode, bootstrap = "", sizeText, recordsText] = process.argv.slice(2)
const recordBytes = Number(sizeText)
/** Of the round that runs. */
let maxMs = 0
let maxRecords = 0
/** Of records in one batch, the same for all. */
const BATCH_BYTES = 100_000
const perBatch = Math.floor(BATCH_BYTES / recordBytes)
const IN_FLIGHT = 5
const value = Buffer.alloc(recordBytes, "x")
const isSingle = mode === "single"

interface Measured {
  readonly records: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly userSeconds: number
}
interface Subject {
  readonly work: () => Promise<Measured>
  readonly close: () => Promise<unknown>
}

/** How often a loop over records looks at the clock. */
const LOOK_EVERY = 256

class Watch {
  readonly #cpu: NodeJS.CpuUsage = process.cpuUsage()
  readonly #begin: number = performance.now()
  get isOver(): boolean {
    return performance.now() - this.#begin >= maxMs
  }
  read(records: number): Measured {
    const { system, user } = process.cpuUsage(this.#cpu)
    return { records, seconds: (performance.now() - this.#begin) / 1000, cpuSeconds: (system + user) / 1e6, userSeconds: user / 1e6 }
  }
}

/** Batches of messages, five on their way. */
const inBatches = (send: (count: number) => Promise<unknown>): Subject["work"] => async () => {
  await send(1)
  const watch = new Watch()
  let sent = 0
  await Promise.all(Array.from({ length: isSingle ? 1 : IN_FLIGHT }, async () => {
    while (!watch.isOver && sent < maxRecords) {
      const now = isSingle ? 1 : perBatch
      sent += now
      await send(now)
    }
  }))
  return watch.read(sent)
}

/** What a consumer's callback counts. */
class Count {
  #watch: Watch | undefined
  #seen = 0
  #lookAt = LOOK_EVERY
  #done: (measured: Measured) => void = () => undefined
  readonly start = (begin: () => Promise<unknown>): Subject["work"] => () =>
    new Promise((resolve, reject) => {
      this.#done = resolve
      begin().catch(reject)
    })
  /** What the first call counts was fetched before the clock started. */
  add(count: number): void {
    if (this.#watch === undefined) return void (this.#watch = new Watch())
    this.#seen += count
    if (this.#seen < this.#lookAt) return
    this.#lookAt = this.#seen + LOOK_EVERY
    if (this.#seen >= maxRecords || this.#watch.isOver) this.#done(this.#watch.read(this.#seen))
  }
}

let rounds = 0
/** Nobody has committed for it. */
const newGroup = (): string => `bench-${process.pid}-${rounds++}`

const kafkajs = async (topic: string): Promise<Subject> => {
  const { default: { Kafka, logLevel } } = await import("kafkajs")
  const kafka = new Kafka({ clientId: "bench", brokers: [bootstrap], logLevel: logLevel.NOTHING })
  if (what === "produce") {
    const producer = kafka.producer()
    await producer.connect()
    const work = inBatches((count) => producer.send({ topic, acks: -1, messages: Array.from({ length: count }, () => ({ value, partition: 0 })) }))
    return { work, close: () => producer.disconnect() }
  }
  const consumer = kafka.consumer({ groupId: newGroup() })
  const count = new Count()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const work = count.start(() => consumer.run(isSingle
    ? { eachMessage: () => Promise.resolve(count.add(1)) }
    : { eachBatch: ({ batch }) => Promise.resolve(count.add(batch.messages.length)) }))
  return { work, close: () => consumer.disconnect() }
}

const platformatic = async (topic: string): Promise<Subject> => {
  const { Consumer, Producer } = await import("@platformatic/kafka")
  const base = { clientId: "bench", bootstrapBrokers: [bootstrap] }
  if (what === "produce") {
    const producer = new Producer(base)
    const work = inBatches((count) => producer.send({ acks: -1, messages: Array.from({ length: count }, () => ({ topic, value, partition: 0 })) }))
    return { work, close: () => producer.close() }
  }
  const consumer = new Consumer({ ...base, groupId: newGroup() })
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

const oneByOne = <A, E>(send: Effect.Effect<A, E>): Effect.Effect<Measured, E> =>
  Effect.gen(function*() {
    const watch = new Watch()
    let sent = 0
    for (; sent < maxRecords && !watch.isOver; sent++) yield* send
    return watch.read(sent)
  })

const ottla = async (topic: string): Promise<Subject> => {
  if (what === "produce") {
    const [producer, close] = await held(OttlaProducer.make({
      "bootstrap.servers": bootstrap,
      "batch.size": BATCH_BYTES + 10_000,
      "batch.records": perBatch,
      "linger.ms": isSingle ? 0 : 5
    }))
    const send = producer.send({ topic, partition: 0, value })
    if (isSingle) return { work: () => Effect.runPromise(Effect.flatMap(send, () => oneByOne(send))), close }
    const work = (): Promise<Measured> =>
      Effect.runPromise(Effect.gen(function*() {
        yield* send
        const watch = new Watch()
        let ended = 0
        let failure: Error | undefined
        const listener = (result: OttlaProducer.RecordMetadata | Error): void => {
          if (result instanceof Error) failure ??= result
          ended++
        }
        let sent = 0
        while (sent < maxRecords && (sent % LOOK_EVERY !== 0 || !watch.isOver)) {
          const answer = producer.offer({ topic, partition: 0, value }, listener)
          if (answer === "Accepted") sent++
          else if (answer === "Full") yield* producer.ready(topic)
          else return yield* Effect.fail(answer)
        }
        yield* producer.flush
        if (failure !== undefined) throw failure
        if (ended !== sent) throw new Error(`${ended} of ${sent} records ended`)
        return watch.read(sent)
      }))
    return { work, close }
  }
  const [consumer, close] = await held(OttlaConsumer.make({
    "bootstrap.servers": bootstrap,
    "group.id": newGroup(),
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

const subjects: Readonly<Record<string, (topic: string) => Promise<Subject>>> = { ottla, kafkajs, platformatic }
for await (const line of createInterface({ input: process.stdin })) {
  const [topic = "", seconds, records = recordsText] = line.split(" ")
  maxMs = Number(seconds) * 1000
  maxRecords = Number(records)
  const subject = await subjects[client ?? ""]!(topic)
  const measured = await subject.work()
  await Promise.race([subject.close(), sleep(5000)])
  process.stdout.write(`${JSON.stringify(measured)}\n`)
}
process.exit(0)
