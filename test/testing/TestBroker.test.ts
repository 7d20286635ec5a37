import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { CompressionTypes, type Consumer, Kafka, logLevel } from "kafkajs"
import { describe, expect, it } from "vitest"
import { Producer } from "../../core/client/index.ts"
import { text } from "../../core/client/facade/Client.ts"
import { TestBroker } from "../../core/testing/index.ts"
import { host, runtime } from "../adapters/Host.ts"

const decoder = new TextDecoder()
const valuesOf = (records: ReadonlyArray<{ readonly value: Uint8Array | null }>): ReadonlyArray<string | null> =>
  records.map(({ value }) => (value === null ? null : decoder.decode(value)))

/** The values of `count` records that a group of kafkajs reads, sorted. */
const read = async (consumer: Consumer, topic: string, count: number): Promise<ReadonlyArray<string>> => {
  const values: Array<string> = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((done, fail) => {
    consumer.on("consumer.crash", ({ payload }) => fail(payload.error))
    consumer.run({
      eachMessage: async ({ message }) => {
        values.push(String(message.value))
        if (values.length === count) done()
      }
    }).catch(fail)
  })
  await consumer.disconnect()
  return values.sort()
}

/** A producer, a group and an admin of kafkajs. */
const workWith = async (kafka: Kafka): Promise<void> => {
  const admin = kafka.admin()
  await admin.connect()
  expect(await admin.listTopics()).toContain("orders")
  await admin.disconnect()
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  const messages = Array.from({ length: 20 }, (_, n) => ({ key: `k${n % 5}`, value: `v${n}` }))
  await producer.send({ topic: "orders", messages })
  await producer.disconnect()
  expect(await read(kafka.consumer({ groupId: "g" }), "orders", 20)).toEqual(messages.map(({ value }) => value).sort())
}

describe("a test broker", () => {
  it("serves kafkajs in memory, by its socketFactory", async () => {
    await using broker = await TestBroker.start({ topics: { orders: 3 } })
    await workWith(new Kafka({ brokers: [...broker.brokers], socketFactory: broker.socketFactory as never, logLevel: logLevel.ERROR }))
    expect((await broker.records("orders")).length).toBe(20)
  })

  it(`serves kafkajs on a free port of ${runtime}`, async () => {
    await using one = await TestBroker.start({ host, topics: { orders: 3 } })
    await using other = await TestBroker.start({ host })
    expect(one.port).toBeGreaterThan(0)
    expect(other.port).not.toBe(one.port)
    await workWith(new Kafka({ brokers: [...one.brokers], logLevel: logLevel.ERROR }))
    await expect(other.records("orders")).rejects.toThrow("there is no topic orders")
  })

  it("serves our client in memory, with the host's codecs and without", async () => {
    for (const options of [{}, { host, network: "memory" as const }]) {
      await using broker = await TestBroker.start({ ...options, topics: { orders: { partitions: 1, configs: { "cleanup.policy": "compact" } } } })
      const client = await broker.connect()
      await client.producer({ "compression.type": "host" in options ? "zstd" : "none" }).send({ topic: "orders", key: "k", value: "hello", headers: { h: "x" } })
      for await (const record of client.consumer({ "group.id": "g", "auto.offset.reset": "earliest" }).subscribe(["orders"])) {
        expect(text(record.value)).toBe("hello")
        break
      }
      const [record] = await broker.records("orders")
      expect(record).toMatchObject({ topic: "orders", partition: 0, offset: 0 })
      expect(valuesOf([record!])).toEqual(["hello"])
    }
  })

  it("says what a compressed batch lacks where there is no host", async () => {
    await using broker = await TestBroker.start({ topics: { orders: 1 }, logLevel: "None" })
    const client = await broker.connect()
    expect(() => client.producer({ "compression.type": "gzip" })).toThrow("TestBroker.start({ host })")
    const kafka = new Kafka({ brokers: [...broker.brokers], socketFactory: broker.socketFactory as never, logLevel: logLevel.NOTHING, retry: { retries: 0 } })
    const producer = kafka.producer()
    await producer.connect()
    await expect(producer.send({ topic: "orders", compression: CompressionTypes.GZIP, messages: [{ value: "hello" }] })).rejects.toThrow()
    await producer.disconnect()
    expect(await broker.records("orders")).toEqual([])
  })

  it("is stopped and started again with its records, its port and its ids", async () => {
    await using broker = await TestBroker.start({ host, topics: { orders: 1 } })
    const client = await broker.connect()
    await client.producer().send({ topic: "orders", value: "before" })
    const { clusterId } = broker.broker()
    await broker.stop()
    expect(() => broker.broker()).toThrow("the broker is stopped")
    await broker.start()
    await broker.start()
    expect(broker.broker().clusterId).toBe(clusterId)
    expect(broker.broker().listeners[0]!.port).toBe(broker.port)
    await client.producer().send({ topic: "orders", value: "after" })
    expect(valuesOf(await broker.records("orders"))).toEqual(["before", "after"])
  })

  it("is killed and started again: its process loses nothing that was written, its machine what was not flushed", async () => {
    for (const [lost, left] of [["process", ["one", "two"]], ["machine", ["one"]]] as const) {
      await using broker = await TestBroker.start({ topics: { orders: 1 } })
      const client = await broker.connect()
      await client.producer().send({ topic: "orders", value: "one" })
      await broker.stop()
      await broker.start()
      await client.producer().send({ topic: "orders", value: "two" })
      await broker.kill(lost)
      await broker.kill(lost)
      expect(() => broker.broker()).toThrow("the broker is stopped")
      await broker.start()
      expect(valuesOf(await broker.records("orders"))).toEqual(left)
      const { offset } = await client.producer().send({ topic: "orders", value: "three" })
      expect(offset).toBe(left.length)
    }
  })

  it("lets its time pass by advance alone: records go when their retention has passed", async () => {
    await using broker = await TestBroker.start({
      time: "virtual",
      topics: { orders: { configs: { "retention.ms": "3600000", "segment.bytes": "1048576", "segment.ms": "600000" } } }
    })
    const client = await broker.connect()
    await client.producer().send({ topic: "orders", value: "old" })
    const began = broker.nowMs()
    await broker.advance(30 * 60_000)
    await client.producer().send({ topic: "orders", value: "new", timestamp: broker.nowMs() })
    expect(valuesOf(await broker.records("orders"))).toEqual(["old", "new"])
    await broker.advance(40 * 60_000)
    expect(valuesOf(await broker.records("orders"))).toEqual(["new"])
    expect(broker.nowMs() - began).toBe(70 * 60_000)
  })

  it("has a disk that can be full, and has room again", async () => {
    await using broker = await TestBroker.start({ topics: { orders: 1 }, logLevel: "None" })
    const client = await broker.connect()
    await client.producer().send({ topic: "orders", value: "before" })
    broker.disk.limitBytes = broker.disk.usedBytes
    const impatient = (await broker.connect({ "request.timeout.ms": 100 })).producer({ "delivery.timeout.ms": 150, "linger.ms": 0 })
    await expect(impatient.send({ topic: "orders", value: "too much" })).rejects.toThrow()
    broker.disk.limitBytes = Infinity
    await client.producer().send({ topic: "orders", value: "after" })
    expect(valuesOf(await broker.records("orders"))).toEqual(["before", "after"])
  })

  it("tells what cannot be", async () => {
    await expect(TestBroker.start({ network: "host" })).rejects.toThrow("needs a host")
    await expect(TestBroker.start({ config: { "num.partitions": "many" } })).rejects.toThrow("num.partitions")
    await expect(TestBroker.start({ topics: { "a b": 1 } })).rejects.toThrow("INVALID_TOPIC_EXCEPTION")
    await using broker = await TestBroker.start({ topics: { a: 1 } })
    await expect(broker.createTopics({ a: 1 })).rejects.toThrow("TOPIC_ALREADY_EXISTS")
    await expect(broker.advance(1)).rejects.toThrow(`time: "virtual"`)
    await using virtual = await TestBroker.start({ time: "virtual" })
    for (const ms of [-1, NaN, Infinity]) await expect(virtual.advance(ms)).rejects.toThrow(`advance takes milliseconds, 0 or more, not ${ms}`)
    expect(() => broker.socketFactory({ host: broker.host, port: broker.port, ssl: true, onConnect: () => {} })).toThrow("TLS")
  })

  it("refuses a key that Kafka does not have, which would change nothing", async () => {
    const misspelled = TestBroker.start({ config: { "auto.create.topics.enabled": false } })
    await expect(misspelled).rejects.toThrow("auto.create.topics.enabled is not a broker configuration of Kafka 4.3; did you mean auto.create.topics.enable?")
    await expect(TestBroker.start({ topics: { orders: { configs: { "retention": 1 } } } })).rejects.toThrow("Unknown topic config name: retention")
  })

  it("takes values as text and as what they are", async () => {
    await using broker = await TestBroker.start({
      config: { "num.partitions": 3, "auto.create.topics.enable": false },
      topics: { orders: { configs: { "retention.ms": 60_000 } } }
    })
    const admin = (await broker.connect()).admin()
    const entriesOf = async (type: "topic" | "broker", name: string) => {
      const [described] = await admin.describeConfigs([{ type, name }])
      return new Map(described!.entries.map(({ name, value }) => [name, value]))
    }
    expect((await entriesOf("topic", "orders")).get("retention.ms")).toBe("60000")
    const ofBroker = await entriesOf("broker", "1")
    expect([ofBroker.get("num.partitions"), ofBroker.get("auto.create.topics.enable")]).toEqual(["3", "false"])
  })

  it("in memory has an address that is nowhere else: a client without its connections finds no other broker", async () => {
    await using broker = await TestBroker.start()
    expect(broker.bootstrapServers).toBe("in-memory.invalid:9092")
    expect(broker.broker().listeners[0]).toMatchObject({ host: broker.host, port: broker.port })
  })

  it("that was closed says so, whatever it is asked for", async () => {
    const broker = await TestBroker.start({ topics: { orders: 1 }, time: "virtual" })
    await broker.close()
    const asked = [
      () => broker.records("orders"),
      () => broker.createTopics({ more: 1 }),
      () => broker.connect(),
      () => broker.start(),
      () => broker.advance(1)
    ]
    for (const ask of asked) await expect(ask()).rejects.toThrow("the broker is closed")
    expect(() => broker.broker()).toThrow("the broker is closed")
    await broker.stop()
    await broker.kill()
    await broker.close()
  })

  it("has the same ids for the same seed, and others without one", async () => {
    const idOf = async (seed?: number): Promise<string> => {
      await using broker = await TestBroker.start(seed === undefined ? {} : { seed })
      return broker.broker().clusterId
    }
    expect(await idOf(7)).toBe(await idOf(7))
    expect(await idOf()).not.toBe(await idOf())
  })

  it("is a scoped layer that clients stand on, under the test's clock", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      yield* broker.createTopics({ orders: 1 })
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrapServers, "linger.ms": 0 })
      const { offset } = yield* producer.send({ topic: "orders", value: new TextEncoder().encode("hello") })
      expect(offset).toBe(0)
      expect(valuesOf(yield* broker.records("orders"))).toEqual(["hello"])
    }).pipe(
      Effect.scoped,
      Effect.provide(TestBroker.layer().pipe(Layer.provideMerge(TestClock.layer({ warningDelay: "1 hour" })))),
      Effect.runPromise
    ))
})
