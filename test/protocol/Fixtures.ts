/** Reads the golden bytes in test/fixtures/protocol: made by Apache Kafka 4.3.1 and captured from six clients. */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"

export interface MessageVector {
  readonly m: string
  readonly v: number
  readonly variant: string
  readonly value: Readonly<Record<string, unknown>>
  readonly unknownTaggedFields?: ReadonlyArray<{ readonly tag: number; readonly hex: string }>
  /** The body, without a header. */
  readonly hex: string
}

export interface FrameVector {
  readonly api: string
  readonly key: number
  readonly version: number
  readonly clientId: string | null
  readonly correlationId: number
  readonly headerVersion: number
  readonly value: Readonly<Record<string, unknown>>
  /** Size, header, body. */
  readonly frame: string
  readonly mockResponse?: { readonly value: Readonly<Record<string, unknown>>; readonly frame: string }
}

const fixture = (name: string): URL => new URL(`../fixtures/protocol/${name}`, import.meta.url)

export const readJson = (name: string): unknown => JSON.parse(readFileSync(fixture(name), "utf8"))

export const messageVectors = (): ReadonlyArray<MessageVector> =>
  gunzipSync(readFileSync(fixture("java-messages.ndjson.gz")))
    .toString("utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as MessageVector)

export const CLIENTS = [
  "java",
  "kafka-python",
  "kafkajs",
  "librdkafka-2.0.2",
  "librdkafka-2.15.0",
  "platformatic"
] as const

export const frameVectors = (client: (typeof CLIENTS)[number]): ReadonlyArray<FrameVector> =>
  (readJson(`requests-${client}.json`) as { readonly vectors: ReadonlyArray<FrameVector> }).vectors
