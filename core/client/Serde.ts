/**
 * Keys and values as bytes and back: plain functions, one call for each record. Kafka's own encodings, and any Effect
 * Schema on top of them.
 *
 * | serde        | bytes                                         | as Kafka's           |
 * |--------------|-----------------------------------------------|----------------------|
 * | `bytes`      | as they are                                   | ByteArraySerializer  |
 * | `string`     | UTF-8                                         | StringSerializer     |
 * | `short`      | 2, big-endian, two's complement               | ShortSerializer      |
 * | `integer`    | 4, big-endian, two's complement               | IntegerSerializer    |
 * | `long`       | 8, big-endian, two's complement               | LongSerializer       |
 * | `float`      | 4, IEEE 754, big-endian                       | FloatSerializer      |
 * | `double`     | 8, IEEE 754, big-endian                       | DoubleSerializer     |
 * | `boolean`    | 1: 0x00 or 0x01                               | BooleanSerializer    |
 * | `uuid`       | 36 characters of text                         | UUIDSerializer       |
 * | `json(…)`    | UTF-8 JSON                                    |                      |
 *
 * None of them takes null, neither a record without a key nor a tombstone: {@link nullable} does.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

export interface Serde<A> {
  /** For messages: "string", "json". */
  readonly name: string
  /** Null: a record without a key, or a tombstone. */
  readonly serialize: (value: A) => Result.Result<Uint8Array | null, SchemaIssue.Issue>
  /** May keep views on `bytes`. */
  readonly deserialize: (bytes: Uint8Array | null) => Result.Result<A, SchemaIssue.Issue>
}

const refuse = (message: string, input?: unknown): Result.Result<never, SchemaIssue.Issue> =>
  Result.fail(new SchemaIssue.InvalidValue({ message }, input))

/** A Serde of two plain functions; what they refuse is a sentence. Neither sees a null. */
export const make = <A>(
  name: string,
  serialize: (value: A) => Uint8Array | string,
  deserialize: (bytes: Uint8Array) => Result.Result<A, string>
): Serde<A> => ({
  name,
  serialize: (value) => {
    const bytes = serialize(value)
    return typeof bytes === "string" ? refuse(bytes, value) : Result.succeed(bytes)
  },
  deserialize: (bytes) => {
    if (bytes === null) return refuse(`null is no ${name}; Serde.nullable takes it`)
    const value = deserialize(bytes)
    return Result.isSuccess(value) ? Result.succeed(value.success) : refuse(value.failure)
  }
})

export const bytes: Serde<Uint8Array> = make("bytes", (value) => value, (bytes) => Result.succeed(bytes))

const encoder = new TextEncoder()
// A byte order mark is part of the text: what is read is what was written.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const utf8 = (bytes: Uint8Array): Result.Result<string, string> => {
  try {
    return Result.succeed(decoder.decode(bytes))
  } catch {
    return Result.fail("not UTF-8")
  }
}

/** Bytes that are not UTF-8 are refused, where Kafka's would put U+FFFD. */
export const string: Serde<string> = make("string", (value) => encoder.encode(value), utf8)

/** A number of so many bytes, as a view reads and writes it. */
const fixed = <A>(
  name: string,
  size: number,
  reason: (value: A) => string | undefined,
  write: (view: DataView, value: A) => void,
  read: (view: DataView) => Result.Result<A, string>
): Serde<A> =>
  make(
    name,
    (value) => {
      const wrong = reason(value)
      if (wrong !== undefined) return wrong
      const bytes = new Uint8Array(size)
      write(new DataView(bytes.buffer), value)
      return bytes
    },
    (bytes) =>
      bytes.length === size
        ? read(new DataView(bytes.buffer, bytes.byteOffset, size))
        : Result.fail(`${bytes.length} bytes, and a ${name} has ${size}`)
  )

const notAnInteger = (bits: number) => (value: number): string | undefined =>
  Number.isInteger(value) && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1)
    ? undefined
    : `${value} is no integer of ${bits} bits`

export const short: Serde<number> = fixed(
  "short",
  2,
  notAnInteger(16),
  (view, value) => view.setInt16(0, value),
  (view) => Result.succeed(view.getInt16(0))
)
export const integer: Serde<number> = fixed(
  "integer",
  4,
  notAnInteger(32),
  (view, value) => view.setInt32(0, value),
  (view) => Result.succeed(view.getInt32(0))
)
/** As a number; beyond 2^53-1 it is refused: {@link longBigInt} takes all. */
export const long: Serde<number> = fixed(
  "long",
  8,
  (value) => (Number.isSafeInteger(value) ? undefined : `${value} is no integer up to 2^53-1; Serde.longBigInt takes it`),
  (view, value) => view.setBigInt64(0, BigInt(value)),
  (view) => {
    const value = view.getBigInt64(0)
    return BigInt.asIntN(54, value) === value && Number.isSafeInteger(Number(value))
      ? Result.succeed(Number(value))
      : Result.fail(`${value} is beyond 2^53-1; Serde.longBigInt takes it`)
  }
)
export const longBigInt: Serde<bigint> = fixed(
  "long",
  8,
  (value) => (BigInt.asIntN(64, value) === value ? undefined : `${value} is no integer of 64 bits`),
  (view, value) => view.setBigInt64(0, value),
  (view) => Result.succeed(view.getBigInt64(0))
)
/** Rounded to the nearest of 32 bits. */
export const float: Serde<number> = fixed(
  "float",
  4,
  () => undefined,
  (view, value) => view.setFloat32(0, value),
  (view) => Result.succeed(view.getFloat32(0))
)
export const double: Serde<number> = fixed(
  "double",
  8,
  () => undefined,
  (view, value) => view.setFloat64(0, value),
  (view) => Result.succeed(view.getFloat64(0))
)
export const boolean: Serde<boolean> = fixed(
  "boolean",
  1,
  () => undefined,
  (view, value) => view.setUint8(0, value ? 1 : 0),
  (view) => {
    const byte = view.getUint8(0)
    return byte <= 1 ? Result.succeed(byte === 1) : Result.fail(`byte ${byte} is no boolean`)
  }
)

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** A UUID's text, `123e4567-e89b-12d3-a456-426614174000`; written in lower case. */
export const uuid: Serde<string> = make(
  "uuid",
  (value) => (UUID.test(value) ? encoder.encode(value.toLowerCase()) : `${JSON.stringify(value)} is no UUID`),
  (bytes) =>
    Result.flatMap(utf8(bytes), (text) =>
      UUID.test(text) ? Result.succeed(text.toLowerCase()) : Result.fail(`${JSON.stringify(text.slice(0, 40))} is no UUID`))
)

/** Null is null, anything else is of `serde`: tombstones, and records without a key. */
export const nullable = <A>(serde: Serde<A>): Serde<A | null> => ({
  name: serde.name,
  serialize: (value) => (value === null ? Result.succeed(null) : serde.serialize(value)),
  deserialize: (bytes) => (bytes === null ? Result.succeed(null) : serde.deserialize(bytes))
})

/** Always null: topics whose records have no key. */
export const none: Serde<null> = {
  name: "none",
  serialize: () => Result.succeed(null),
  deserialize: (bytes) =>
    bytes === null ? Result.succeed(null) : refuse(`${bytes.length} bytes where there should be none`)
}

/**
 * A Schema on top of a Serde: what `serde` reads is decoded by `schema`, what `schema` encodes is written by `serde`.
 * ```ts
 * Serde.compose(Serde.string, Schema.Literals(["created", "paid"]))
 * ```
 */
export const compose = <A, I>(serde: Serde<I>, schema: Schema.Codec<A, I>): Serde<A> => {
  const decode = Schema.decodeResult(schema)
  const encode = Schema.encodeResult(schema)
  return {
    name: serde.name,
    serialize: (value) => {
      const encoded = encode(value)
      return Result.isSuccess(encoded) ? serde.serialize(encoded.success) : Result.fail(encoded.failure.issue)
    },
    deserialize: (bytes) => {
      const read = serde.deserialize(bytes)
      if (Result.isFailure(read)) return Result.fail(read.failure)
      const decoded = decode(read.success)
      return Result.isSuccess(decoded) ? Result.succeed(decoded.success) : Result.fail(decoded.failure.issue)
    }
  }
}

/** Any JSON, without a Schema. */
export const jsonUnknown: Serde<unknown> = {
  name: "json",
  serialize: (value) => {
    try {
      const text: string | undefined = JSON.stringify(value)
      return text === undefined ? refuse(`${typeof value} has no JSON`, value) : Result.succeed(encoder.encode(text))
    } catch (error) {
      return refuse(`no JSON: ${(error as Error).message}`, value)
    }
  },
  deserialize: (bytes) => {
    if (bytes === null) return refuse("null is no json; Serde.nullable takes it")
    const text = utf8(bytes)
    if (Result.isFailure(text)) return refuse(text.failure)
    try {
      return Result.succeed(JSON.parse(text.success) as unknown)
    } catch (error) {
      return refuse(`not JSON: ${(error as Error).message}`)
    }
  }
}

/**
 * JSON of what a Schema describes; what JSON has no form for (dates, bigints, maps, bytes) gets the Schema's own.
 * ```ts
 * const Order = Schema.Struct({ id: Schema.Int, at: Schema.Date })
 * const orders = Serde.json(Order) // {"id":1,"at":"2026-01-01T00:00:00.000Z"}
 * ```
 */
export const json = <A, I>(schema: Schema.Codec<A, I>): Serde<A> =>
  compose(jsonUnknown, Schema.toCodecJson(schema) as unknown as Schema.Codec<A, unknown>)
