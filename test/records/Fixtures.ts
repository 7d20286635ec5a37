/** Record batches that other programs wrote, and what Apache Kafka answered to some (test/fixtures/records). */
import { readFileSync } from "node:fs"

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/records/${name}.json`, import.meta.url), "utf8"))

/** int64 are decimal strings, bytes hex. */
export interface ExpectedRecord {
  readonly offset: string
  readonly timestamp: string
  readonly sequence?: number
  readonly key: string | null
  /** A large value is told by its length and hash. */
  readonly value: string | { readonly length: number; readonly sha256: string } | null
  readonly headers: ReadonlyArray<readonly [string, string | null]>
  readonly controlType?: string
  readonly coordinatorEpoch?: number
}

export interface ExpectedBatch {
  readonly magic: number
  readonly baseOffset: string
  readonly lastOffset: string
  readonly sizeInBytes: number
  readonly compression: "none" | "gzip" | "snappy" | "lz4" | "zstd"
  readonly timestampType: "CreateTime" | "LogAppendTime"
  readonly partitionLeaderEpoch: number
  readonly crc32c: number
  readonly attributes: number
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly lastOffsetDelta: number
  readonly baseTimestamp: string
  readonly maxTimestamp: string
  readonly producerId: string
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly deleteHorizonMs?: string
  readonly records: ReadonlyArray<ExpectedRecord>
}

export interface BatchVector {
  readonly library: string
  readonly name: string
  readonly bytes: Uint8Array
  readonly batches: ReadonlyArray<ExpectedBatch>
  /** Java's exception, when a reader meets one. */
  readonly error: string | undefined
  readonly detail: string | undefined
}

const libraries = ["java", "kafka-python", "kafkajs", "platformatic"] as const

export const fromHex = (hex: string): Uint8Array => {
  const bytes = new Uint8Array(hex.length / 2)
  for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(hex.slice(2 * at, 2 * at + 2), 16)
  return bytes
}
export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

interface RawVector {
  readonly name: string
  readonly hex: string
  readonly batches?: ReadonlyArray<ExpectedBatch>
  readonly error?: string
  readonly detail?: string
}

/** All of them, magic 0 and 1 too. Bytes are fresh at each call. */
export const batchVectors = (): ReadonlyArray<BatchVector> =>
  libraries.flatMap((library) =>
    (read(`batches-${library}`) as { readonly vectors: ReadonlyArray<RawVector> }).vectors.map((vector) => ({
      library,
      name: vector.name,
      bytes: fromHex(vector.hex),
      batches: vector.batches ?? [],
      error: vector.error,
      detail: vector.detail
    }))
  )

export const crcVectors = (): ReadonlyArray<{ readonly data: string; readonly crc32c: number }> =>
  (read("crc32c") as { readonly vectors: ReadonlyArray<{ readonly data: string; readonly crc32c: number }> }).vectors

export const varintVectors = (): {
  readonly varint: ReadonlyArray<{ readonly value: number; readonly hex: string }>
  readonly varlong: ReadonlyArray<{ readonly value: string; readonly hex: string }>
} => read("varint") as ReturnType<typeof varintVectors>

export interface ProduceAnswer {
  readonly name: string
  readonly topic: string
  readonly version: number
  readonly hex: string
  /** The clock when it was sent, and maybe a few ms later when it was judged. */
  readonly nowMs: number
  readonly error: number
  readonly message: string | null
  readonly recordErrors: ReadonlyArray<{ readonly index: number; readonly message: string | null }>
  readonly logAppendTimeMs: number
  /** The batch that a fetch then gave. */
  readonly stored?: string
}

export const produceAnswers = (): {
  readonly configs: { readonly [topic: string]: { readonly [key: string]: string } }
  readonly cases: ReadonlyArray<ProduceAnswer>
} => read("produce-answers") as ReturnType<typeof produceAnswers>
