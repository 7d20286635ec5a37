/**
 * Sends records. They wait in batches by partition until a batch is full, `linger.ms` is over or it is flushed; each
 * broker gets its batches in few requests. Every record that was accepted ends acknowledged or failed.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import * as Sink from "effect/Sink"
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Network } from "../ports/Network.ts"
import type { RecordHeader } from "../records/Record.ts"
import type { ClientConfig } from "./ClientConfig.ts"
import type { ClientError } from "./ClientError.ts"
import * as Clusters from "./Cluster.ts"
import { makeEngine, type ProducerEngine } from "./ProducerEngine.ts"
import { producerSettings } from "./ProducerSettings.ts"

export type CompressionType = "none" | "gzip" | "snappy" | "lz4" | "zstd"

/** Under Kafka's names with Kafka 4.3's defaults. */
export interface ProducerConfig extends ClientConfig {
  /** When a record counts as acknowledged. "0": when it is sent; "1": when its leader has it; "all" (default): when every replica in sync has it. */
  readonly "acks"?: "0" | "1" | "all" | "-1"
  /** What is sent again is in the log once. Default true, unless acks, retries or max.in.flight rule it out. */
  readonly "enable.idempotence"?: boolean
  /** How long a batch waits for more records, in ms. Default 5. */
  readonly "linger.ms"?: number
  /** Bytes of one batch, default 16384. */
  readonly "batch.size"?: number
  /** Not Kafka's: records of one batch. Default unlimited. */
  readonly "batch.records"?: number
  /** Bytes of all records that are not acknowledged yet. Default 33554432. */
  readonly "buffer.memory"?: number
  /** How long a send waits for memory or metadata, in ms. Default 60000. */
  readonly "max.block.ms"?: number
  /** From acceptance to acknowledgement or failure, in ms. Default 120000. */
  readonly "delivery.timeout.ms"?: number
  /** How often a batch is sent again, within `delivery.timeout.ms`. Default 2147483647: as often as that allows. */
  readonly "retries"?: number
  /** Requests that a broker has not answered yet. Default 5; at most 5 with idempotence. */
  readonly "max.in.flight.requests.per.connection"?: number
  /** Bytes of one request, default 1048576. */
  readonly "max.request.size"?: number
  /** Of whole batches. Default "none". */
  readonly "compression.type"?: CompressionType
  /** 1 (fast) to 9 (small); default -1: the codec's own. */
  readonly "compression.gzip.level"?: number
  /** 1 (fast) to 17 (small); default: the codec's own. */
  readonly "compression.lz4.level"?: number
  /** -131072 (fast) to 22 (small); default: the codec's own. */
  readonly "compression.zstd.level"?: number
  /** Default true: keyless records avoid slow brokers (KIP-794). */
  readonly "partitioner.adaptive.partitioning.enable"?: boolean
  /** A broker that took nothing for so long, though something waited for it, gets no keyless records, in ms. Default 0: it does. */
  readonly "partitioner.availability.timeout.ms"?: number
  /** Default false; true: a record with a key goes where one without a key would go. */
  readonly "partitioner.ignore.keys"?: boolean
}

/** A record to send: key and value as bytes. `Topic.producerOf` takes values of a Schema. */
export interface ProducerRecord {
  readonly topic: string
  /** Default: the partitioner's choice. */
  readonly partition?: number
  /** Null or undefined: none. The bytes must not change until the record is acknowledged or failed. */
  readonly key?: Uint8Array | null
  /** The key before its Serde, for the partitioner alone. */
  readonly keyObject?: unknown
  /** Null or undefined: a tombstone, which says in a compacted topic that the key is gone. */
  readonly value?: Uint8Array | null
  readonly headers?: ReadonlyArray<RecordHeader>
  /** In ms since 1970. Default: when it was accepted. */
  readonly timestamp?: number
}

/** A record's identity. */
export interface RecordMetadata {
  readonly topic: string
  readonly partition: number
  /** -1: unknown; with acks=0, and when a broker that restarted remembers that it has the record but not where. */
  readonly offset: number
  /** Of the record; of its append, in ms since 1970, where the topic's message.timestamp.type is LogAppendTime. -1: unknown. */
  readonly timestamp: number
}

/** A record on its way. */
export interface SendHandle {
  /** Known when it is accepted. */
  readonly topic: string
  readonly partition: number
  /** Completes once. */
  readonly acknowledged: Effect.Effect<RecordMetadata, ClientError>
}

/** Called exactly once for an accepted record, synchronously when its batch ends; must not throw. */
export type SendListener = (result: RecordMetadata | ClientError) => void

/** Sends records in batches; one for many topics, shared by all fibers of a program. */
export interface Producer {
  /** Accepts a record (waiting for memory and metadata up to `max.block.ms`), and is done when it is acknowledged. */
  readonly send: (record: ProducerRecord) => Effect.Effect<RecordMetadata, ClientError>
  /** Done when the record is accepted; the handle tells its fate. */
  readonly enqueue: (record: ProducerRecord) => Effect.Effect<SendHandle, ClientError>
  /** Fire and forget: done when the record is accepted; its fate is only counted and logged. */
  readonly forget: (record: ProducerRecord) => Effect.Effect<void, ClientError>
  /** Sends all; done when each is acknowledged, in their order; fails with the first failure. */
  readonly sendAll: (records: Iterable<ProducerRecord>) => Effect.Effect<ReadonlyArray<RecordMetadata>, ClientError>
  /** For a Stream of records, with the buffer's back-pressure; its result counts what was acknowledged. */
  readonly sink: Sink.Sink<number, ProducerRecord, never, ClientError>
  /**
   * The hot path: a plain function. "Accepted": `listener` will be called once. "Full": no memory or no metadata yet,
   * nothing was accepted; await `ready` of the record and offer again. An error: this record cannot be sent.
   */
  readonly offer: (record: ProducerRecord, listener?: SendListener) => "Accepted" | "Full" | ClientError
  /**
   * Done when an `offer` of this record may succeed: there are metadata, with its partition, and memory. Waits up to
   * `max.block.ms`. A topic stands for a record of it that names no partition and fits in a batch of `batch.size`.
   */
  readonly ready: (of: string | ProducerRecord) => Effect.Effect<void, ClientError>
  /** Done when every record accepted before has ended. */
  readonly flush: Effect.Effect<void>
  /** Flushes, then ends; later sends fail with CLOSED. Also done when the scope it was made in closes. */
  readonly close: Effect.Effect<void>
}
export const Producer: Context.Service<Producer, Producer> = Context.Service("ottla/client/Producer")

const isError = (result: RecordMetadata | ClientError): result is ClientError => result instanceof Error

const producerOf = (engine: ProducerEngine): Producer => {
  const send = (record: ProducerRecord): Effect.Effect<RecordMetadata, ClientError> =>
    Effect.callback<RecordMetadata, ClientError>((resume) => {
      const listener: SendListener = (result) => resume(isError(result) ? Effect.fail(result) : Effect.succeed(result))
      const queue = engine.offer(record, listener)
      if (typeof queue !== "string") return queue instanceof Error ? resume(Effect.fail(queue)) : undefined
      // Interrupted before it is accepted, it never will be.
      resume(Effect.suspend(() => {
        let result: RecordMetadata | ClientError | undefined
        let tell = (one: RecordMetadata | ClientError): void => void (result = one)
        return Effect.andThen(
          engine.accept(record, (one) => tell(one)),
          Effect.callback<RecordMetadata, ClientError>((done) => {
            tell = (one) => done(isError(one) ? Effect.fail(one) : Effect.succeed(one))
            if (result !== undefined) tell(result)
          })
        )
      }))
    })

  const enqueue = (record: ProducerRecord): Effect.Effect<SendHandle, ClientError> =>
    Effect.suspend(() => {
      const waiting = new Set<(result: RecordMetadata | ClientError) => void>()
      let result: RecordMetadata | ClientError | undefined
      const listener: SendListener = (one) => {
        result = one
        for (const tell of waiting) tell(one)
        waiting.clear()
      }
      const acknowledged = Effect.callback<RecordMetadata, ClientError>((resume) => {
        const tell = (one: RecordMetadata | ClientError): void => resume(isError(one) ? Effect.fail(one) : Effect.succeed(one))
        if (result !== undefined) return tell(result)
        waiting.add(tell)
        return Effect.sync(() => waiting.delete(tell))
      })
      return Effect.map(engine.accept(record, listener), ({ partition }) => ({ topic: record.topic, partition, acknowledged }))
    })

  const sendAll = (records: Iterable<ProducerRecord>): Effect.Effect<ReadonlyArray<RecordMetadata>, ClientError> =>
    Effect.suspend(() => {
      const results: Array<RecordMetadata> = []
      const outcome = new Outcome()
      return Effect.gen(function*() {
        let index = 0
        for (const record of records) {
          if (outcome.failure !== undefined) break
          const at = index++
          const listener: SendListener = (result) => {
            if (!isError(result)) results[at] = result
            outcome.ended(result)
          }
          outcome.begun()
          const queue = engine.offer(record, listener)
          if (typeof queue === "string") yield* engine.accept(record, listener)
          else if (queue instanceof Error) return yield* Effect.fail(queue)
        }
        yield* outcome.all
        return results
      })
    })

  const sink: Sink.Sink<number, ProducerRecord, never, ClientError> = Sink.suspend(() => {
    const outcome = new Outcome()
    return Sink.forEachArray((records: ReadonlyArray<ProducerRecord>) =>
      Effect.gen(function*() {
        for (const record of records) {
          if (outcome.failure !== undefined) return yield* Effect.fail(outcome.failure)
          outcome.begun()
          const queue = engine.offer(record, outcome.ended)
          if (typeof queue === "string") yield* engine.accept(record, outcome.ended)
          else if (queue instanceof Error) return yield* Effect.fail(queue)
        }
      })
    ).pipe(Sink.mapEffect(() => Effect.andThen(engine.flush, Effect.as(outcome.all, outcome)).pipe(Effect.map(({ acknowledged }) => acknowledged))))
  })

  return {
    send,
    enqueue,
    forget: (record) => Effect.asVoid(engine.accept(record, engine.forgotten)),
    sendAll,
    sink,
    offer: (record, listener) => {
      const queue = engine.offer(record, listener)
      return queue instanceof Error ? queue : typeof queue === "string" ? "Full" : "Accepted"
    },
    ready: (of) => engine.ready(typeof of === "string" ? { topic: of } : of),
    flush: engine.flush,
    close: engine.close
  }
}

/** What became of several records. */
class Outcome {
  acknowledged = 0
  failure: ClientError | undefined
  #open = 0
  #tell: (() => void) | undefined

  begun(): void {
    this.#open++
  }

  readonly ended = (result: RecordMetadata | ClientError): void => {
    this.#open--
    if (isError(result)) this.failure ??= result
    else this.acknowledged++
    if (this.#open === 0 || this.failure !== undefined) this.#tell?.()
  }

  /** Done when all that have begun have ended; fails with the first failure as soon as there is one. */
  readonly all: Effect.Effect<void, ClientError> = Effect.callback<void, ClientError>((resume) => {
    this.#tell = () => resume(this.failure === undefined ? Effect.void : Effect.fail(this.failure))
    if (this.#open === 0 || this.failure !== undefined) this.#tell()
  })
}

/** A producer on connections that it shares with others. Fails on a configuration that makes no sense. */
export const makeWith = (
  cluster: Clusters.Cluster,
  config: ProducerConfig
): Effect.Effect<Producer, ClientError, Compression | Crypto | Scope> =>
  Effect.suspend(() => {
    const settings = producerSettings(config)
    return settings instanceof Error ? Effect.fail(settings) : Effect.map(makeEngine(cluster, settings), producerOf)
  })

/** What a producer with connections of its own needs from its host, and where it ends. */
export type Requirements = Network | Compression | Crypto | Scope

/** A producer with connections of its own. Connects when it first sends; ends with its scope, flushed. */
export const make = (config: ProducerConfig): Effect.Effect<Producer, ClientError, Requirements> =>
  Effect.flatMap(Clusters.make(config), (cluster) => makeWith(cluster, config))

/** As `make`. The partitioner is the one that `Partitioner.layer` provides to this layer; Kafka's own without it. */
export const layer = (config: ProducerConfig): Layer.Layer<Producer, ClientError, Network | Compression | Crypto> =>
  Layer.effect(Producer, make(config))
