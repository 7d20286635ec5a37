/** Typed topics and deliveries over a broker: in a group, with members that come and go. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Consumer from "../../core/client/Consumer.ts"
import * as Delivery from "../../core/client/DeliveryIndex.ts"
import * as OffsetStore from "../../core/client/OffsetStore.ts"
import { Partitioner } from "../../core/client/Partitioner.ts"
import * as Producer from "../../core/client/Producer.ts"
import * as Serde from "../../core/client/Serde.ts"
import * as Topic from "../../core/client/Topic.ts"
import { eventually, overBroker, type OwnBroker, type Ports, type TestBroker } from "./TestBrokers.ts"

const Order = Schema.Struct({ id: Schema.Int })

overBroker("typed topics", (test) => {
  test("are written, placed by their own partitioner, read, and cleaned of what does not decode", (broker) =>
    Effect.gen(function*() {
      const name = yield* broker.createTopic("orders", { partitions: 3 })
      const dead = yield* broker.createTopic("dead")
      const partitioner = Partitioner.fromFunction("by-number", ({ keyObject }, { partitions }) => Number(keyObject) % partitions.length)
      const orders = Topic.make(name, { key: Serde.integer, value: Serde.json(Order), partitioner })
      const servers = { "bootstrap.servers": broker.bootstrap }
      yield* Effect.gen(function*() {
        const producer = yield* Producer.Producer
        const typed = Topic.producerOf(producer, orders)
        const sent = yield* typed.sendAll([0, 1, 2, 3, 4, 5].map((id) => ({ key: id, value: { id } })))
        expect(sent.map(({ partition }) => partition)).toEqual([0, 1, 2, 0, 1, 2])
        yield* producer.send({ topic: name, partition: 1, key: new Uint8Array([1]), value: null })
        yield* typed.send({ key: 1, value: { id: 7 } })

        const consumer = yield* Consumer.Consumer
        yield* consumer.assign([{ topic: name, partition: 1, offset: 0 }])
        const read = yield* Topic.records(orders, { onDecodeFailure: Topic.deadLetter(producer, dead) }).pipe(
          Stream.take(3),
          Stream.runCollect
        )
        expect(read.map(({ key, offset, value }) => [key, offset, value.id])).toEqual([[1, 0, 1], [4, 1, 4], [1, 3, 7]])
        yield* consumer.assign([{ topic: dead, partition: 0, offset: 0 }])
        const [letter] = yield* Stream.runCollect(Stream.take(consumer.records, 1))
        expect(letter).toMatchObject({ key: new Uint8Array([1]), value: null })
        const headers = new Map(letter!.headers.map(({ key, value }) => [key, new TextDecoder().decode(value!)]))
        expect(headers.get("__connect.errors.topic")).toBe(name)
        expect(headers.get("__connect.errors.offset")).toBe("2")
        expect(headers.get("__connect.errors.stage")).toBe("KEY_CONVERTER")
      }).pipe(Effect.provide(Layer.merge(Topic.producerLayer(servers, [orders]), Consumer.layer(servers))))
    }))
})

/** Only our own broker's network is in the test's hands. */
const dropConnections = (broker: TestBroker): Effect.Effect<void> =>
  Effect.sync(() => {
    if (broker.kind === "own") (broker as OwnBroker).network.drop()
  })

const PARTITIONS = 4
const PER_PARTITION = 60

overBroker("deliveries in a group whose members come and go", (test) => {
  /** What members did with each record, by `partition@offset`. */
  const scenario = (broker: TestBroker, delivery: Delivery.ConsumerDelivery) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("delivery", { partitions: PARTITIONS })
      const group = broker.name("group")
      const servers = { "bootstrap.servers": broker.bootstrap }
      yield* Effect.gen(function*() {
        const producer = yield* Producer.Producer
        yield* producer.sendAll(Array.from({ length: PARTITIONS * PER_PARTITION }, (_, n) => ({ topic, partition: n % PARTITIONS })))
      }).pipe(Effect.provide(Producer.layer(servers)))
      const begun: Array<string> = []
      const completed: Array<string> = []
      /** The next records, as many as that, crash their member: in the middle of processing. */
      let crashes = 0
      const member = Delivery.consume({
        from: { topics: [topic] },
        process: ({ offset, partition }) =>
          Effect.suspend(() => {
            begun.push(`${partition}@${offset}`)
            if (crashes > 0) {
              crashes--
              return Effect.fail("crash" as const)
            }
            return Effect.map(Effect.sleep(1), () => void completed.push(`${partition}@${offset}`))
          })
      }).pipe(
        Effect.provide(OffsetStore.groupLayer),
        Effect.provide(Delivery.consumerLayer(delivery)),
        Effect.provide(Consumer.layer({
          ...servers,
          "group.id": group,
          "auto.offset.reset": "earliest",
          "enable.auto.commit": false,
          "partition.assignment.strategy": "cooperative-sticky",
          "max.poll.records": 10,
          "session.timeout.ms": 6000,
          "heartbeat.interval.ms": 50
        })),
        // a member that ends badly is started again
        Effect.catch((error) => error === "crash" ? Effect.void : Effect.fail(error)),
        Effect.forever({ disableYield: false })
      )
      const progress = (count: number) => eventually(Effect.sync(() => begun.length), (now) => now >= count)
      const failed = yield* Deferred.make<never, unknown>()
      const start = Effect.forkScoped(Effect.catch(member, (error) => Deferred.fail(failed, error)))
      const story = Effect.gen(function*() {
        const first = yield* start
        yield* progress(20)
        const second = yield* start
        yield* progress(60)
        // every connection ends: whether a commit under way was done is not known
        yield* dropConnections(broker)
        crashes = 2
        yield* progress(100)
        yield* Fiber.interrupt(first)
        yield* progress(130)
        yield* start
        yield* progress(160)
        yield* dropConnections(broker)
        yield* Fiber.interrupt(second)
        const consumer = yield* Consumer.make({ ...servers, "group.id": group, "enable.auto.commit": false })
        const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }))
        yield* eventually(consumer.committed(partitions), (positions) =>
          positions.length === PARTITIONS && positions.every(({ offset }) => offset === PER_PARTITION))
      })
      yield* Effect.raceFirst(story, Deferred.await(failed))
      return { begun, completed }
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))

  test("at least once loses nothing", (broker): Effect.Effect<void, unknown, Ports> =>
    Effect.map(scenario(broker, Delivery.atLeastOnce({ every: { records: 7, ms: 50 } })), ({ completed }) => {
      expect(new Set(completed).size).toBe(PARTITIONS * PER_PARTITION)
    }))

  test("at most once repeats nothing, and loses only what members had in hand", (broker): Effect.Effect<void, unknown, Ports> =>
    Effect.map(scenario(broker, Delivery.atMostOnce({ every: { records: 3 } })), ({ begun, completed }) => {
      expect(new Set(begun).size).toBe(begun.length)
      // two crashes and three interruptions (the last when everything is saved), each with a step of three in hand
      expect(completed.length).toBeGreaterThanOrEqual(PARTITIONS * PER_PARTITION - 5 * 3)
    }))
})
