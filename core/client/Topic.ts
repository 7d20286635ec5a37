/**
 * A topic with the types of its keys and values: a typed producer and a typed consumer over {@link Producer} and
 * {@link Consumer}.
 *
 * ```ts
 * const orders = Topic.make("orders", { key: Serde.string, value: Serde.json(Order) })
 * const program = Effect.gen(function*() {
 *   const producer = yield* Topic.producer(orders)
 *   yield* producer.send({ key: "c-7", value: new Order({ id: 1 }) })
 *   yield* Topic.consume(orders, { process: ({ key, value }) => ship(key, value), onDecodeFailure: Topic.skip })
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Network } from "../ports/Network.ts"
import type { RecordHeader } from "../records/Record.ts"
import type { ClientError } from "./ClientError.ts"
import { Consumer, type ConsumerRecord } from "./Consumer.ts"
import type { ConsumerDelivery } from "./Delivery.ts"
import { consume as consumeBytes, type ConsumeOptions } from "./DeliveryConsume.ts"
import type { OffsetStore, OffsetStoreError } from "./OffsetStore.ts"
import { Partitioner } from "./Partitioner.ts"
import * as Producers from "./Producer.ts"
import type { Serde } from "./Serde.ts"

const formatIssue = SchemaIssue.makeFormatterDefault()

/** A record's key or value is not what its topic says. */
export class DecodeError extends Error {
  readonly _tag = "DecodeError"
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly part: "key" | "value"
  /** The Serde's name. */
  readonly serde: string
  readonly issue: SchemaIssue.Issue
  constructor(record: ConsumerRecord, part: "key" | "value", serde: string, issue: SchemaIssue.Issue) {
    super(`the ${part} of ${record.topic}-${record.partition} at offset ${record.offset} is no ${serde}: ${formatIssue(issue)}`)
    this.topic = record.topic
    this.partition = record.partition
    this.offset = record.offset
    this.part = part
    this.serde = serde
    this.issue = issue
  }
}

/** A key or value cannot be written as its topic says; nothing was sent. */
export class EncodeError extends Error {
  readonly _tag = "EncodeError"
  readonly topic: string
  readonly part: "key" | "value"
  readonly issue: SchemaIssue.Issue
  constructor(topic: string, part: "key" | "value", serde: string, issue: SchemaIssue.Issue) {
    super(`a ${part} for ${topic} cannot be written as ${serde}: ${formatIssue(issue)}`)
    this.topic = topic
    this.part = part
    this.issue = issue
  }
}

/** A record to send, typed. */
export interface TopicRecord<K, V> extends Pick<Producers.ProducerRecord, "partition" | "headers" | "timestamp"> {
  readonly key: K
  readonly value: V
}

/** A record that was read, typed. */
export interface TopicConsumerRecord<K, V> extends Omit<ConsumerRecord, "key" | "value"> {
  readonly key: K
  readonly value: V
}

export interface Topic<K, V> {
  readonly name: string
  readonly key: Serde<K>
  readonly value: Serde<V>
  /** Of this topic alone, under {@link producerLayer} or {@link partitionerLayer}; undefined: the producer's. */
  readonly partitioner: Partitioner | undefined
  /** A plain function, for hot paths. */
  readonly encode: (record: TopicRecord<K, V>) => Result.Result<Producers.ProducerRecord, EncodeError>
  /** A plain function, for hot paths. */
  readonly decode: (record: ConsumerRecord) => Result.Result<TopicConsumerRecord<K, V>, DecodeError>
}

/** @param options.partitioner of this topic alone; the producer must be made by {@link producerLayer} to know it */
export const make = <K, V>(
  name: string,
  options: { readonly key: Serde<K>; readonly value: Serde<V>; readonly partitioner?: Partitioner }
): Topic<K, V> => {
  const { key, value } = options
  return {
    name,
    key,
    value,
    partitioner: options.partitioner,
    encode: (record) => {
      const keyBytes = key.serialize(record.key)
      if (Result.isFailure(keyBytes)) return Result.fail(new EncodeError(name, "key", key.name, keyBytes.failure))
      const valueBytes = value.serialize(record.value)
      if (Result.isFailure(valueBytes)) return Result.fail(new EncodeError(name, "value", value.name, valueBytes.failure))
      return Result.succeed({
        ...record,
        topic: name,
        key: keyBytes.success,
        value: valueBytes.success,
        // A partitioner may look at the key as it was before its Serde.
        keyObject: record.key
      })
    },
    decode: (record) => {
      const decodedKey = key.deserialize(record.key)
      if (Result.isFailure(decodedKey)) return Result.fail(new DecodeError(record, "key", key.name, decodedKey.failure))
      const decodedValue = value.deserialize(record.value)
      if (Result.isFailure(decodedValue)) {
        return Result.fail(new DecodeError(record, "value", value.name, decodedValue.failure))
      }
      return Result.succeed({ ...record, key: decodedKey.success, value: decodedValue.success })
    }
  }
}

// -- producing -------------------------------------------------------------------------------------------------

/** A Producer of one topic. */
export interface TopicProducer<K, V> {
  /** Done when it is acknowledged. */
  readonly send: (record: TopicRecord<K, V>) => Effect.Effect<Producers.RecordMetadata, ClientError | EncodeError>
  /** Done when it is accepted; the handle tells its fate. */
  readonly enqueue: (record: TopicRecord<K, V>) => Effect.Effect<Producers.SendHandle, ClientError | EncodeError>
  /** Fire and forget. */
  readonly forget: (record: TopicRecord<K, V>) => Effect.Effect<void, ClientError | EncodeError>
  /** All or, where one cannot be encoded, none are sent. */
  readonly sendAll: (
    records: Iterable<TopicRecord<K, V>>
  ) => Effect.Effect<ReadonlyArray<Producers.RecordMetadata>, ClientError | EncodeError>
}

/** {@link producer} with its service as an argument. */
export const producerOf = <K, V>(producer: Producers.Producer, topic: Topic<K, V>): TopicProducer<K, V> => {
  const encoded = <A>(
    record: TopicRecord<K, V>,
    use: (record: Producers.ProducerRecord) => Effect.Effect<A, ClientError>
  ): Effect.Effect<A, ClientError | EncodeError> =>
    Effect.suspend((): Effect.Effect<A, ClientError | EncodeError> => {
      const result = topic.encode(record)
      return Result.isSuccess(result) ? use(result.success) : Effect.fail(result.failure)
    })
  return {
    send: (record) => encoded(record, producer.send),
    enqueue: (record) => encoded(record, producer.enqueue),
    forget: (record) => encoded(record, producer.forget),
    sendAll: (records) =>
      Effect.suspend((): Effect.Effect<ReadonlyArray<Producers.RecordMetadata>, ClientError | EncodeError> => {
        const all: Array<Producers.ProducerRecord> = []
        for (const record of records) {
          const result = topic.encode(record)
          if (Result.isFailure(result)) return Effect.fail(result.failure)
          all.push(result.success)
        }
        return producer.sendAll(all)
      })
  }
}

/** A typed producer on the Producer in the context. */
export const producer = <K, V>(topic: Topic<K, V>): Effect.Effect<TopicProducer<K, V>, never, Producers.Producer> =>
  Effect.map(Producers.Producer, (producer) => producerOf(producer, topic))

/** One partitioner that asks each topic's own, and for all others the one that is in the context now. */
export const partitionerLayer = (topics: ReadonlyArray<Pick<Topic<never, never>, "name" | "partitioner">>): Layer.Layer<never> => {
  const own = new Map(topics.flatMap(({ name, partitioner }) => partitioner === undefined ? [] : [[name, partitioner] as const]))
  return Layer.effect(
    Partitioner,
    Effect.map(Partitioner, (others): Partitioner => ({
      name: others.name,
      make: (topic, random, options) => (own.get(topic) ?? others).make(topic, random, options)
    }))
  )
}

/** A Producer that places the records of these topics by their own partitioners. */
export const producerLayer = (
  config: Producers.ProducerConfig,
  topics: ReadonlyArray<Pick<Topic<never, never>, "name" | "partitioner">>
): Layer.Layer<Producers.Producer, ClientError, Network | Compression | Crypto> =>
  Layer.provide(Producers.layer(config), partitionerLayer(topics))

// -- consuming -------------------------------------------------------------------------------------------------

/**
 * What is done with a record that does not decode; its position is saved like any other's when this succeeds.
 * {@link fail}, {@link skip}, {@link deadLetter}, or your own.
 */
export type DecodePolicy = (error: DecodeError, record: ConsumerRecord) => Effect.Effect<void, DecodeError | ClientError>

/** The consumer fails with the DecodeError. */
export const fail: DecodePolicy = (error) => Effect.fail(error)
/** A warning in the log. */
export const skip: DecodePolicy = (error) => Effect.logWarning(`skipped: ${error.message}`)

/** Before the names of the headers that say why a record is in a dead letter topic, as Kafka Connect's. */
export const ERROR_HEADER_PREFIX = "__connect.errors."

/**
 * Sends the record as it was (key, value, headers, timestamp) to another topic, acknowledged before the consumer goes
 * on, with the headers that Kafka Connect gives: `topic`, `partition`, `offset`, `connector.name`, `task.id`, `stage`,
 * `class.name`, `exception.class.name` and `exception.message`, each after {@link ERROR_HEADER_PREFIX}, as text.
 * @param options.name whose connector.name it is. Default "ottla"
 */
export const deadLetter = (
  producer: Pick<Producers.Producer, "send">,
  deadLetterTopic: string,
  options?: { readonly name?: string }
): DecodePolicy =>
(error, record) => {
  const text = new TextEncoder()
  const header = (key: string, value: string): RecordHeader => ({ key: ERROR_HEADER_PREFIX + key, value: text.encode(value) })
  return Effect.asVoid(producer.send({
    topic: deadLetterTopic,
    key: record.key,
    value: record.value,
    ...(record.timestamp < 0 ? {} : { timestamp: record.timestamp }),
    headers: [
      ...record.headers,
      header("topic", record.topic),
      header("partition", String(record.partition)),
      header("offset", String(record.offset)),
      header("connector.name", options?.name ?? "ottla"),
      header("task.id", "0"),
      header("stage", error.part === "key" ? "KEY_CONVERTER" : "VALUE_CONVERTER"),
      header("class.name", error.serde),
      header("exception.class.name", error._tag),
      header("exception.message", error.message)
    ]
  }))
}

const decoded = <K, V, A, E, R>(
  topic: Topic<K, V>,
  policy: DecodePolicy,
  record: ConsumerRecord,
  use: (record: TopicConsumerRecord<K, V>) => Effect.Effect<A, E, R>
): Effect.Effect<A | void, E | DecodeError | ClientError, R> => {
  const result = topic.decode(record)
  return Result.isSuccess(result) ? use(result.success) : policy(result.failure, record)
}

/** {@link consumeBytes} of one topic, typed. `from` undefined: the topic, by its group. */
export const consume = <K, V, E, R>(
  topic: Topic<K, V>,
  options: Omit<ConsumeOptions<never, never>, "from" | "process" | "processBatch"> & {
    readonly from?: ConsumeOptions<never, never>["from"]
    readonly process: (record: TopicConsumerRecord<K, V>) => Effect.Effect<unknown, E, R>
    /** Default {@link fail}. */
    readonly onDecodeFailure?: DecodePolicy
  }
): Effect.Effect<void, ClientError | OffsetStoreError | DecodeError | E, R | Consumer | ConsumerDelivery | OffsetStore> => {
  const { from, onDecodeFailure, process, ...others } = options
  return consumeBytes<E | DecodeError | ClientError, R>({
    ...others,
    from: from ?? { topics: [topic.name] },
    process: (record) => decoded(topic, onDecodeFailure ?? fail, record, process)
  })
}

/**
 * The records that the Consumer in the context gives, typed: subscribe or assign it to this topic first. Records that
 * do not decode are left out when the policy (default {@link fail}) succeeds.
 */
export const records = <K, V>(
  topic: Topic<K, V>,
  options?: { readonly onDecodeFailure?: DecodePolicy }
): Stream.Stream<TopicConsumerRecord<K, V>, ClientError | DecodeError, Consumer> =>
  Stream.unwrap(Effect.map(Consumer, (consumer) =>
    consumer.records.pipe(
      Stream.mapEffect((record) => decoded(topic, options?.onDecodeFailure ?? fail, record, Effect.succeed)),
      Stream.filter((record): record is TopicConsumerRecord<K, V> => record !== undefined)
    )))
