/**
 * A producer's configuration with Kafka 4.3's defaults filled in and its contradictions refused, as Kafka's
 * ProducerConfig does it: idempotence that was not asked for by name gives way to what rules it out.
 */
import type { CompressionCodec } from "../ports/Compression.ts"
import { FatalError } from "./ClientError.ts"
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
  readonly retryBackoffMs: number
  readonly retryBackoffMaxMs: number
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

type NumberKey = {
  readonly [K in keyof ProducerConfig]-?: NonNullable<ProducerConfig[K]> extends number ? K : never
}[keyof ProducerConfig]

const refuse = (message: string): FatalError => new FatalError("INVALID_ARGUMENT", `producer configuration: ${message}`)

/** @returns an error that says which key is wrong and what it takes */
export const producerSettings = (config: ProducerConfig): ProducerSettings | FatalError => {
  let wrong: FatalError | undefined
  const number = (key: NumberKey, byDefault: number, least: number, most: number = MAX_INT32): number => {
    const value = config[key] ?? byDefault
    if (value === Infinity && most === MAX_INT32) return MAX_INT32
    if (!Number.isInteger(value) || value < least || value > most) {
      wrong ??= refuse(`${key} is ${value}, it takes an integer from ${least}${most === MAX_INT32 ? " on" : ` to ${most}`}`)
    }
    return value
  }

  const acksText = config.acks ?? "all"
  if (!["0", "1", "all", "-1"].includes(acksText)) wrong ??= refuse(`acks is ${acksText}, it takes 0, 1, all or -1`)
  const acks = acksText === "0" ? 0 : acksText === "1" ? 1 : -1
  const retries = number("retries", MAX_INT32, 0)
  const maxInFlight = number("max.in.flight.requests.per.connection", 5, 1)
  const ruledOut = acks !== -1 ?
    "acks=all" :
    retries === 0 ?
    "retries above 0" :
    maxInFlight > MAX_IDEMPOTENT_IN_FLIGHT ?
    `max.in.flight.requests.per.connection of at most ${MAX_IDEMPOTENT_IN_FLIGHT}` :
    undefined
  if (config["enable.idempotence"] === true && ruledOut !== undefined) {
    wrong ??= refuse(`enable.idempotence needs ${ruledOut}`)
  }

  const lingerMs = number("linger.ms", 5, 0)
  const requestTimeoutMs = number("request.timeout.ms", 30_000, 0)
  let deliveryTimeoutMs = number("delivery.timeout.ms", 120_000, 0)
  const leastDeliveryMs = Math.min(MAX_INT32, lingerMs + requestTimeoutMs)
  if (deliveryTimeoutMs < leastDeliveryMs) {
    if (config["delivery.timeout.ms"] !== undefined) {
      wrong ??= refuse(
        `delivery.timeout.ms is ${deliveryTimeoutMs}, it takes at least linger.ms + request.timeout.ms, ${leastDeliveryMs}`
      )
    }
    deliveryTimeoutMs = leastDeliveryMs
  }

  const type = config["compression.type"] ?? "none"
  if (!Object.hasOwn(codecs, type)) {
    wrong ??= refuse(`compression.type is ${type}, it takes ${Object.keys(codecs).join(", ")}`)
  }
  const settings: ProducerSettings = {
    acks,
    isIdempotent: ruledOut === undefined && config["enable.idempotence"] !== false,
    lingerMs,
    batchBytes: Math.max(1, number("batch.size", 16_384, 0)),
    batchRecords: number("batch.records", MAX_INT32, 1),
    bufferBytes: number("buffer.memory", 33_554_432, 0, Number.MAX_SAFE_INTEGER),
    maxBlockMs: number("max.block.ms", 60_000, 0, Number.MAX_SAFE_INTEGER),
    deliveryTimeoutMs,
    retries,
    maxInFlight,
    maxRequestBytes: number("max.request.size", 1_048_576, 0),
    requestTimeoutMs,
    retryBackoffMs: number("retry.backoff.ms", 100, 0),
    retryBackoffMaxMs: number("retry.backoff.max.ms", 1000, 0),
    codec: codecs[type] ?? 0,
    level: type === "gzip"
      ? config["compression.gzip.level"]
      : type === "lz4"
      ? config["compression.lz4.level"]
      : type === "zstd"
      ? config["compression.zstd.level"]
      : undefined,
    adaptive: config["partitioner.adaptive.partitioning.enable"] ?? true,
    availabilityTimeoutMs: number("partitioner.availability.timeout.ms", 0, 0),
    ignoreKeys: config["partitioner.ignore.keys"] ?? false
  }
  return wrong ?? settings
}
