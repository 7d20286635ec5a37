import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { describe, expect, it } from "vitest"
import { FatalError } from "../../core/client/ClientError.ts"
import { Consumer, type ConsumerRecord } from "../../core/client/Consumer.ts"
import { Partitioner } from "../../core/client/Partitioner.ts"
import type { Producer, ProducerRecord, RecordMetadata } from "../../core/client/Producer.ts"
import * as Serde from "../../core/client/Serde.ts"
import * as Topic from "../../core/client/Topic.ts"

const Order = Schema.Struct({ id: Schema.Int })
const orders = Topic.make("orders", { key: Serde.string, value: Serde.json(Order) })
const text = (value: string): Uint8Array => new TextEncoder().encode(value)

const recordAt = (offset: number, key: string | null, value: string | null): ConsumerRecord => ({
  topic: "orders",
  partition: 2,
  offset,
  timestamp: 1000 + offset,
  timestampType: "CreateTime",
  leaderEpoch: 0,
  key: key === null ? null : text(key),
  value: value === null ? null : text(value),
  headers: [{ key: "h", value: text("1") }]
})

const sending = () => {
  const sent: Array<ProducerRecord> = []
  const send = (record: ProducerRecord): Effect.Effect<RecordMetadata, FatalError> =>
    Effect.sync(() => {
      sent.push(record)
      return { topic: record.topic, partition: record.partition ?? 0, offset: sent.length - 1, timestamp: 0 }
    })
  const producer = { send, sendAll: (records: Iterable<ProducerRecord>) => Effect.forEach(Array.from(records), send) }
  return { sent, producer: producer as unknown as Producer }
}

/** What a consumer gives that has these records. */
const reading = <A, E>(stream: Stream.Stream<A, E, Consumer>, records: ReadonlyArray<ConsumerRecord>) =>
  Effect.runPromiseExit(Stream.runCollect(stream).pipe(
    Effect.provideService(Consumer, { records: Stream.fromIterable(records) } as unknown as Consumer)
  ))

describe("a typed producer", () => {
  it("sends what its serdes write", async () => {
    const { producer, sent } = sending()
    const typed = Topic.producerOf(producer, orders)
    const metadata = await Effect.runPromise(typed.send({ key: "c", value: { id: 4 }, partition: 1, timestamp: 5, headers: [] }))
    expect(metadata).toMatchObject({ topic: "orders", partition: 1, offset: 0 })
    expect(sent).toMatchObject([{ topic: "orders", partition: 1, timestamp: 5, headers: [], key: text("c"), value: text('{"id":4}') }])
  })

  it("sends none of several when one cannot be written", async () => {
    const { producer, sent } = sending()
    const typed = Topic.producerOf(producer, orders)
    const error = await Effect.runPromise(Effect.flip(typed.sendAll([{ key: "a", value: { id: 1 } }, { key: "b", value: { id: 1.5 } }])))
    expect(error).toMatchObject({ _tag: "EncodeError", topic: "orders", part: "value" })
    expect((error as Topic.EncodeError).message).toContain('["id"]')
    expect(sent).toEqual([])
  })

  it("places the records of a topic by the topic's own partitioner, others by the program's", () => {
    const constant = (name: string, partition: number) => Partitioner.fromFunction(name, () => partition)
    const topics = [Topic.make("orders", { key: Serde.none, value: Serde.bytes, partitioner: constant("own", 1) }), orders]
    const layer = Topic.partitionerLayer([topics[0]!]).pipe(Layer.provide(Partitioner.layer(constant("others", 2))))
    const partitioner = Effect.runSync(Effect.scoped(Effect.map(Layer.build(layer), (context) => Context.get(context, Partitioner))))
    const choose = (topic: string) =>
      partitioner.make(topic, () => 0, { batchSizeBytes: 1, adaptive: false, ignoreKeys: false }).partition(
        { topic, key: null, value: null },
        { name: topic, partitions: [0, 1, 2].map((partition) => ({ partition, leader: 1 })), available: [0, 1, 2] }
      )
    expect([choose("orders"), choose("payments")]).toEqual([1, 2])
  })
})

describe("a typed consumer", () => {
  const good = recordAt(0, "c", '{"id":4}')
  const badValue = recordAt(1, "c", '{"id":"4"}')
  const badKey = recordAt(2, null, '{"id":4}')

  it("gives keys and values, and all else as it was", async () => {
    const exit = await reading(Topic.records(orders), [good])
    expect(exit).toEqual(Exit.succeed([{ ...good, key: "c", value: { id: 4 } }]))
  })

  it("fails by default, with where and why", async () => {
    const exit = await reading(Topic.records(orders), [good, badValue])
    const error = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
    expect(error).toMatchObject({
      error: { _tag: "DecodeError", topic: "orders", partition: 2, offset: 1, part: "value", serde: "json", issue: { _tag: "Composite" } }
    })
    expect(orders.decode(badKey)).toMatchObject(Result.fail({ part: "key", offset: 2 }))
  })

  it("skips", async () => {
    const exit = await reading(Topic.records(orders, { onDecodeFailure: Topic.skip }), [badValue, good, badKey])
    expect(Exit.isSuccess(exit) && exit.value.map(({ offset }) => offset)).toEqual([0])
  })

  it("keeps bad records in a dead letter topic, with the headers of Kafka Connect", async () => {
    const { producer, sent } = sending()
    const onDecodeFailure = Topic.deadLetter(producer, "orders.dead", { name: "shipping" })
    const exit = await reading(Topic.records(orders, { onDecodeFailure }), [badValue, good, badKey])
    expect(Exit.isSuccess(exit) && exit.value.map(({ offset }) => offset)).toEqual([0])
    expect(sent.map(({ headers: _headers, ...record }) => record)).toEqual([
      { topic: "orders.dead", key: badValue.key, value: badValue.value, timestamp: 1001 },
      { topic: "orders.dead", key: null, value: badKey.value, timestamp: 1002 }
    ])
    const shown = sent[0]!.headers!.map(({ key, value }) => [key, new TextDecoder().decode(value!)])
    expect(shown.slice(0, 9)).toEqual([
      ["h", "1"],
      ["__connect.errors.topic", "orders"],
      ["__connect.errors.partition", "2"],
      ["__connect.errors.offset", "1"],
      ["__connect.errors.connector.name", "shipping"],
      ["__connect.errors.task.id", "0"],
      ["__connect.errors.stage", "VALUE_CONVERTER"],
      ["__connect.errors.class.name", "json"],
      ["__connect.errors.exception.class.name", "DecodeError"]
    ])
    expect(shown[9]![0]).toBe("__connect.errors.exception.message")
    expect(shown[9]![1]).toContain('["id"]')
  })

  it("fails when the dead letter topic cannot be written", async () => {
    const down = new FatalError("TOPIC_AUTHORIZATION_FAILED", "no")
    const onDecodeFailure = Topic.deadLetter({ send: () => Effect.fail(down) }, "orders.dead")
    expect(await reading(Topic.records(orders, { onDecodeFailure }), [badValue, good])).toEqual(Exit.fail(down))
  })
})
