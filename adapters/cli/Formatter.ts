/** A record as Kafka's console consumer prints it, by the properties of its DefaultMessageFormatter. */
import type { ConsumerRecord } from "../../core/client/Consumer.ts"
import { deserializerOf, type TextOf } from "./Deserializers.ts"

export interface FormatterConfig {
  readonly timestamp: boolean
  readonly partition: boolean
  readonly offset: boolean
  readonly delivery: boolean
  readonly epoch: boolean
  readonly headers: boolean
  readonly key: boolean
  readonly value: boolean
  readonly keySeparator: Uint8Array
  readonly lineSeparator: Uint8Array
  readonly headersSeparator: Uint8Array
  readonly nullLiteral: Uint8Array
  /** Undefined: the bytes as they are. */
  readonly keyText: TextOf | undefined
  readonly valueText: TextOf | undefined
  readonly headerText: TextOf | undefined
}

const encoder = new TextEncoder()

/** Formatter properties by Kafka's names; others are passed over. @throws UsageError for a deserializer that is not here */
export const formatterConfig = (properties: ReadonlyMap<string, string>): FormatterConfig => {
  const flag = (name: string, otherwise: boolean): boolean => {
    const value = properties.get(name)
    return value === undefined ? otherwise : value.trim().toLowerCase() === "true"
  }
  const text = (name: string, otherwise: string): Uint8Array => encoder.encode(properties.get(name) ?? otherwise)
  return {
    timestamp: flag("print.timestamp", false),
    partition: flag("print.partition", false),
    offset: flag("print.offset", false),
    delivery: flag("print.delivery", false),
    epoch: flag("print.epoch", false),
    headers: flag("print.headers", false),
    key: flag("print.key", false),
    value: flag("print.value", true),
    keySeparator: text("key.separator", "\t"),
    lineSeparator: text("line.separator", "\n"),
    headersSeparator: text("headers.separator", ","),
    nullLiteral: text("null.literal", "null"),
    keyText: deserializerOf(properties.get("key.deserializer")),
    valueText: deserializerOf(properties.get("value.deserializer")),
    headerText: deserializerOf(properties.get("headers.deserializer"))
  }
}

const FIRST_BYTES = 64 * 1024

/** Bytes that are appended to; they become one piece of output. */
export class Page {
  #bytes = new Uint8Array(FIRST_BYTES)
  #length = 0

  get length(): number {
    return this.#length
  }

  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  text(text: string): void {
    this.#room(text.length * 3)
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written
  }

  /** Takes back what was appended since it was that long. */
  cut(length: number): void {
    this.#length = length
  }

  /** All of it, as a copy; it is empty then. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length)
    this.#length = 0
    return taken
  }

  #room(size: number): void {
    if (this.#length + size <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + size))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }
}

const field = (config: FormatterConfig, page: Page, bytes: Uint8Array | null, textOf: TextOf | undefined): void => {
  if (bytes === null) page.bytes(config.nullLiteral)
  else if (textOf === undefined) page.bytes(bytes)
  else page.text(textOf(bytes))
}

/**
 * Appends one record. Delivery count and leader epoch are never there: Kafka's tool leaves them out too.
 * @throws DeserializationError; what was appended of the record stays then
 */
export const format = (config: FormatterConfig, record: ConsumerRecord, page: Page): void => {
  const { delivery, epoch, headers, key, offset, partition, timestamp, value } = config
  const end = (more: boolean): void => page.bytes(more ? config.keySeparator : config.lineSeparator)
  if (timestamp) {
    page.text(`${record.timestampType}:${record.timestamp}`)
    end(partition || offset || delivery || epoch || headers || key || value)
  }
  if (partition) {
    page.text(`Partition:${record.partition}`)
    end(offset || delivery || epoch || headers || key || value)
  }
  if (offset) {
    page.text(`Offset:${record.offset}`)
    end(delivery || epoch || headers || key || value)
  }
  if (delivery) {
    page.text("Delivery:NOT_PRESENT")
    end(epoch || headers || key || value)
  }
  if (epoch) {
    page.text("Epoch:NOT_PRESENT")
    end(headers || key || value)
  }
  if (headers) {
    if (record.headers.length === 0) page.text("NO_HEADERS")
    for (const [index, header] of record.headers.entries()) {
      if (index > 0) page.bytes(config.headersSeparator)
      page.text(`${header.key}:`)
      field(config, page, header.value, config.headerText)
    }
    end(key || value)
  }
  if (key) {
    field(config, page, record.key, config.keyText)
    end(value)
  }
  if (value) {
    field(config, page, record.value, config.valueText)
    end(false)
  }
}
