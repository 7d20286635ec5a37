/** What is tested, by name: each of the four test runners takes these lists as they are. */
import { deepEqual, equal } from "node:assert/strict"
import { setTimeout } from "node:timers/promises"
import * as Effect from "effect/Effect"
import { Kafka, logLevel, Partitioners } from "kafkajs"
import { MemoryDisk, MemoryMetadataStore, MemoryNetwork } from "ottla/memory"
import { Delivery, Partitioner, partitionForKey } from "ottla/client"
import {
  consumerDeliveryLaws,
  diskLaws,
  type Law,
  metadataStoreLaws,
  networkLaws,
  partitionerLaws,
  TestBroker
} from "ottla/testing"
import { type Invoice, INVOICES, type Order, ORDERS, OrderService } from "./OrderService.ts"

export const { layer: host } = "Bun" in globalThis
  ? await import("ottla/bun")
  : "Deno" in globalThis
  ? await import("ottla/deno")
  : await import("ottla/node")

/** No runner's own: a name and a function, as laws are. */
type Case = Law

const TOPICS = { [ORDERS]: 3, [INVOICES]: { partitions: 1, configs: { "cleanup.policy": "compact" } } }

/** kafkajs as the service has it: by a port, or by connections in memory. */
const kafkaOf = (broker: TestBroker.RunningTestBroker, network: "port" | "memory"): Kafka =>
  new Kafka({
    brokers: [...broker.brokers],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, maxRetryTime: 200, retries: 50 },
    ...(network === "memory" ? { socketFactory: broker.socketFactory as never } : {})
  })

const order = async (kafka: Kafka, orders: ReadonlyArray<Order>): Promise<void> => {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  await producer.send({ topic: ORDERS, messages: orders.map((each) => ({ key: each.customer, value: JSON.stringify(each) })) })
  await producer.disconnect()
}

/** Orders 0 to `count`, of three customers. */
const orders = (count: number): ReadonlyArray<Order> =>
  Array.from({ length: count }, (_, n) => ({ id: `o${n}`, customer: `c${n % 3}`, cents: 100 * (n + 1) }))

/** Waits until there is an invoice for every order, and gives them by order. */
const invoices = async (broker: TestBroker.RunningTestBroker, count: number): Promise<ReadonlyMap<string, Invoice>> => {
  for (;;) {
    const found = new Map<string, Invoice>()
    for (const { value } of await broker.records(INVOICES)) {
      const invoice = JSON.parse(new TextDecoder().decode(value!)) as Invoice
      found.set(invoice.order, invoice)
    }
    if (found.size >= count) return found
    await setTimeout(5)
  }
}

const withService = async (kafka: Kafka, use: () => Promise<void>): Promise<void> => {
  const service = new OrderService(kafka)
  await service.start()
  try {
    await use()
  } finally {
    await service.stop()
  }
}

export const cases: ReadonlyArray<Case> = [
  {
    name: "an order becomes an invoice with tax, in memory",
    run: async () => {
      await using broker = await TestBroker.start({ topics: TOPICS })
      const kafka = kafkaOf(broker, "memory")
      await withService(kafka, async () => {
        await order(kafka, [{ id: "o1", customer: "c1", cents: 1000 }])
        const found = await invoices(broker, 1)
        equal(found.get("o1")?.cents, 1190)
      })
    }
  },
  {
    name: "every order has its invoice, by a port of this host",
    run: async () => {
      await using broker = await TestBroker.start({ host, topics: TOPICS })
      const kafka = kafkaOf(broker, "port")
      await withService(kafka, async () => {
        await order(kafka, orders(50))
        equal((await invoices(broker, 50)).size, 50)
      })
    }
  },
  {
    name: "an order is not lost when the broker is killed in the middle",
    run: async () => {
      await using broker = await TestBroker.start({ topics: TOPICS })
      const kafka = kafkaOf(broker, "memory")
      await withService(kafka, async () => {
        await order(kafka, orders(20))
        await invoices(broker, 1)
        await broker.kill()
        await broker.start()
        await order(kafka, orders(40).slice(20))
        equal((await invoices(broker, 40)).size, 40)
      })
    }
  },
  {
    name: "orders that nobody took are gone after a week, which takes no time",
    run: async () => {
      const DAY = 24 * 60 * 60 * 1000
      await using broker = await TestBroker.start({
        time: "virtual",
        topics: { [ORDERS]: { configs: { "retention.ms": 7 * DAY, "segment.ms": DAY } } }
      })
      const client = await broker.connect()
      await client.producer().send({ topic: ORDERS, value: "old", timestamp: broker.nowMs() })
      await broker.advance(2 * DAY)
      await client.producer().send({ topic: ORDERS, value: "new", timestamp: broker.nowMs() })
      await broker.advance(6 * DAY)
      equal((await broker.records(ORDERS)).length, 1)
    }
  },
  {
    name: "a broker for every test: twenty side by side in one process, each alone with what it was sent",
    run: async () => {
      const brokers = await Promise.all(Array.from({ length: 20 }, () => TestBroker.start({ host, topics: { [ORDERS]: 1 } })))
      try {
        equal(new Set(brokers.map(({ bootstrapServers }) => bootstrapServers)).size, brokers.length)
        await Promise.all(brokers.map(async (broker, n) => {
          const client = await broker.connect()
          await client.producer().send({ topic: ORDERS, value: `to broker ${n}` })
        }))
        for (const [n, broker] of brokers.entries()) {
          const records = await broker.records(ORDERS)
          deepEqual(records.map(({ value }) => new TextDecoder().decode(value!)), [`to broker ${n}`])
        }
      } finally {
        await Promise.all(brokers.map((broker) => broker.close()))
      }
    }
  },
  {
    name: "a broker that was closed leaves its place to the next, twenty times in one process",
    run: async () => {
      for (let n = 0; n < 20; n++) {
        await using broker = await TestBroker.start({ host, topics: { [ORDERS]: 1 } })
        equal((await broker.records(ORDERS)).length, 0)
        const client = await broker.connect()
        equal((await client.producer().send({ topic: ORDERS, value: "hello" })).offset, 0)
      }
    }
  }
]

/** The laws that the service's own parts keep, and what it stands on. */
const byCustomer = Partitioner.fromFunction("by-customer", ({ key }, { partitions }) =>
  key === null ? 0 : partitionForKey(key, partitions.length))

const threeTries = Delivery.atLeastOnce({
  name: "three tries",
  every: { records: 1 },
  run: (step) => Effect.flatMap(Effect.retry(step.process, { times: 2 }), step.save)
})

const memoryDisk = () => {
  const memory = new MemoryDisk.MemoryDisk()
  memory.disk.makeDirectory("/d")
  return { disk: memory.disk, directory: "/d", dispose: () => {} }
}

const memoryFile = (bytes: Uint8Array) =>
  Effect.succeed({
    path: "/memory",
    descriptor: -1,
    read: (target: Uint8Array, position: number) => {
      const found = bytes.subarray(position, position + target.length)
      target.set(found)
      return found.length
    }
  })

const named = (what: string, laws: ReadonlyArray<Law>): ReadonlyArray<Law> =>
  laws.map(({ name, run }) => ({ name: `${what}: ${name}`, run }))

export const laws: ReadonlyArray<Law> = [
  ...partitionerLaws(byCustomer, { spreadsKeyless: false }),
  ...named(threeTries.name, consumerDeliveryLaws(threeTries)),
  ...named("disk", diskLaws(memoryDisk)),
  ...named("metadata store", metadataStoreLaws(() => Effect.sync(() => MemoryMetadataStore.make()))),
  ...named("network", networkLaws(MemoryNetwork.layer(), memoryFile))
]
