/** Kafka's deserializers by the names of their Java classes, as far as a text can show what they give. */
import { UsageError } from "./Options.ts"

/** @throws DeserializationError */
export type TextOf = (bytes: Uint8Array) => string

/** Bytes that are not what their deserializer takes. */
export class DeserializationError extends Error {
  readonly _tag = "DeserializationError"
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Big-endian, of one size. */
const sized = (name: string, size: number, textOf: (view: DataView) => string): TextOf => (bytes) => {
  if (bytes.length !== size) throw new DeserializationError(`Size of data received by ${name} is not ${size}`)
  return textOf(new DataView(bytes.buffer, bytes.byteOffset, size))
}

/** Java's decimal point and exponent: 1.0, 1.0E10. */
const javaDecimal = (number: number, shortest: string): string => {
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity"
  if (Object.is(number, -0)) return "-0.0"
  const size = Math.abs(number)
  if (size === 0 || (size >= 1e-3 && size < 1e7)) return shortest.includes(".") ? shortest : `${shortest}.0`
  const [digits = "", exponent = ""] = Number(shortest).toExponential().split("e")
  return `${digits.includes(".") ? digits : `${digits}.0`}E${Number(exponent)}`
}

/** The fewest digits that are this float. */
const floatDigits = (number: number): string => {
  for (let digits = 1; digits < 9; digits += 1) {
    const text = Number(number.toPrecision(digits))
    if (Math.fround(text) === number) return String(text)
  }
  return String(Number(number.toPrecision(9)))
}

const hex = (byte: number): string => byte.toString(16).padStart(2, "0")

const PACKAGE = "org.apache.kafka.common.serialization."
/** Undefined: the bytes as they are. */
const known: Readonly<Record<string, TextOf | undefined>> = {
  StringDeserializer: (bytes) => decoder.decode(bytes),
  ByteArrayDeserializer: undefined,
  BytesDeserializer: (bytes) =>
    [...bytes].map((byte) => (byte >= 32 && byte < 127 && byte !== 92 ? String.fromCharCode(byte) : `\\x${hex(byte).toUpperCase()}`)).join(""),
  ShortDeserializer: sized("ShortDeserializer", 2, (view) => String(view.getInt16(0))),
  IntegerDeserializer: sized("IntegerDeserializer", 4, (view) => String(view.getInt32(0))),
  LongDeserializer: sized("LongDeserializer", 8, (view) => String(view.getBigInt64(0))),
  FloatDeserializer: sized("FloatDeserializer", 4, (view) => javaDecimal(view.getFloat32(0), floatDigits(view.getFloat32(0)))),
  DoubleDeserializer: sized("DoubleDeserializer", 8, (view) => javaDecimal(view.getFloat64(0), String(view.getFloat64(0)))),
  BooleanDeserializer: sized("BooleanDeserializer", 1, (view) => {
    const byte = view.getUint8(0)
    if (byte > 1) throw new DeserializationError(`Unexpected byte received by BooleanDeserializer: ${byte}`)
    return byte === 1 ? "true" : "false"
  }),
  UUIDDeserializer: (bytes) => decoder.decode(bytes)
}

/** Undefined: the bytes as they are. @throws UsageError naming those that there are */
export const deserializerOf = (name: string | undefined): TextOf | undefined => {
  if (name === undefined || name === "") return undefined
  const short = name.startsWith(PACKAGE) ? name.slice(PACKAGE.length) : name
  if (!Object.hasOwn(known, short)) {
    throw new UsageError(`there is no deserializer ${name}; there are ${Object.keys(known).map((one) => `${PACKAGE}${one}`).join(", ")}`)
  }
  return known[short]
}
