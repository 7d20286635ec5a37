/**
 * A producer's configuration with Kafka 4.3's defaults filled in and its contradictions refused, as Kafka's
 * ProducerConfig does it: idempotence that was not asked for by name gives way to what rules it out.
 */
import type { CompressionCodec } from "../ports/Compression.ts"
import type { BackoffPolicy } from "./Backoff.ts"
import { FatalError } from "./ClientError.ts"
import { checkConfig } from "./ConfigKeys.ts"
import type { CompressionType, ProducerConfig } from "./Producer.ts"

export interface ProducerSettings {
  /** -1: all. */
  readonly acks: -1 | 0 | 1
  readonly isIdempotent: boolean
  readonly lingerMs: number
  /** Of one batch, before compression. */
  readonly batchBytes: number
  readonly batchRecords: number
  readonly bufferBytes: number
  readonly maxBlockMs: number
  readonly deliveryTimeoutMs: number
  readonly retries: number
  /** Per connection; an idempotent producer holds itself to it per partition too. */
  readonly maxInFlight: number
  readonly maxRequestBytes: number
  readonly requestTimeoutMs: number
  readonly retryBackoff: BackoffPolicy
  readonly codec: 0 | CompressionCodec
  readonly level: number | undefined
  readonly adaptive: boolean
  /** 0: brokers are never left out. */
  readonly availabilityTimeoutMs: number
  readonly ignoreKeys: boolean
}

/** Brokers remember so many batches of a producer in each partition: a retry of an older one is not recognised. */
export const MAX_IDEMPOTENT_IN_FLIGHT = 5

const codecs: Readonly<Record<CompressionType, 0 | CompressionCodec>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }
const MAX_INT32 = 0x7fff_ffff

const refuse = (message: string): FatalError => new FatalError("INVALID_ARGUMENT", message)

/** What makes idempotence impossible; undefined: nothing. */
const whatIdempotenceNeeds = (acks: number, retries: number, maxInFlight: number): string | undefined =>
  acks !== -1 ?
    "acks=all" :
    retries === 0 ?
    "retries above 0" :
    maxInFlight > MAX_IDEMPOTENT_IN_FLIGHT ?
    `max.in.flight.requests.per.connection of at most ${MAX_IDEMPOTENT_IN_FLIGHT}` :
    undefined

const levelOf = (config: ProducerConfig): number | undefined => {
  const type = config["compression.type"]
  return type === "gzip" || type === "lz4" || type === "zstd" ? config[`compression.${type}.level`] : undefined
}

/** @returns an error that says which key is wrong and what it takes */
export const producerSettings = (config: ProducerConfig): ProducerSettings | FatalError => {
  const wrong = checkConfig("producer", config)
  if (wrong !== undefined) return wrong
  const acks = config.acks === "0" ? 0 : config.acks === "1" ? 1 : -1
  const retries = config.retries ?? MAX_INT32
  const maxInFlight = config["max.in.flight.requests.per.connection"] ?? MAX_IDEMPOTENT_IN_FLIGHT
  const needed = whatIdempotenceNeeds(acks, retries, maxInFlight)
  if (config["enable.idempotence"] === true && needed !== undefined) return refuse(`enable.idempotence needs ${needed}`)

  const lingerMs = config["linger.ms"] ?? 5
  const requestTimeoutMs = config["request.timeout.ms"] ?? 30_000
  const leastDeliveryMs = Math.min(MAX_INT32, lingerMs + requestTimeoutMs)
  const deliveryTimeoutMs = config["delivery.timeout.ms"] ?? Math.max(120_000, leastDeliveryMs)
  if (deliveryTimeoutMs < leastDeliveryMs) {
    return refuse(
      `delivery.timeout.ms is ${deliveryTimeoutMs}; it takes at least linger.ms + request.timeout.ms, here ${leastDeliveryMs}`
    )
  }
  return {
    acks,
    isIdempotent: needed === undefined && config["enable.idempotence"] !== false,
    lingerMs,
    // 0 batches nothing, as 1 does.
    batchBytes: Math.max(1, config["batch.size"] ?? 16_384),
    batchRecords: config["batch.records"] ?? MAX_INT32,
    bufferBytes: config["buffer.memory"] ?? 33_554_432,
    maxBlockMs: config["max.block.ms"] ?? 60_000,
    deliveryTimeoutMs,
    retries,
    maxInFlight,
    maxRequestBytes: config["max.request.size"] ?? 1_048_576,
    requestTimeoutMs,
    retryBackoff: { initialMs: config["retry.backoff.ms"] ?? 100, maxMs: config["retry.backoff.max.ms"] ?? 1000 },
    codec: codecs[config["compression.type"] ?? "none"],
    level: levelOf(config),
    adaptive: config["partitioner.adaptive.partitioning.enable"] ?? true,
    availabilityTimeoutMs: config["partitioner.availability.timeout.ms"] ?? 0,
    ignoreKeys: config["partitioner.ignore.keys"] ?? false
  }
}
