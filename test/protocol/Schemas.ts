/**
 * The facts as test code sees them: every message with a pair of codecs under one type, and the way between a vector's
 * spelling of a value (schema names, int64 as decimal strings, bytes as hex) and ours.
 */
import { type ByteReader } from "../../core/protocol/ByteReader.ts"
import { type ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { fromBigInt } from "../../core/protocol/Int64.ts"
import { readUuid } from "../../core/protocol/Uuid.ts"
import { covers, type Field, loadMessages, type Message, resolve, type Struct } from "../../scripts/protocol/Facts.ts"

export interface Codec {
  readonly name: string
  readonly message: Message
  readonly decode: (reader: ByteReader, version: number) => object
  readonly encode: (writer: ByteWriter, version: number, value: object) => void
}

/** Every message of which a version is left, by name. */
export const loadCodecs = async (): Promise<ReadonlyMap<string, Codec>> => {
  const codecs = new Map<string, Codec>()
  for (const facts of loadMessages()) {
    const message = resolve(facts)
    if (message === undefined) continue
    const isApi = facts.kind === "request" || facts.kind === "response"
    const file = isApi ? facts.name.replace(/(Request|Response)$/, "") : `records/${facts.name}`
    const module = (await import(new URL(`../../core/protocol/generated/${file}.ts`, import.meta.url).href)) as Record<
      string,
      never
    >
    codecs.set(facts.name, {
      name: facts.name,
      message,
      decode: module[`decode${facts.name}`]!,
      encode: module[`encode${facts.name}`]!
    })
  }
  return codecs
}

export const fromHex = (hex: string): Uint8Array => {
  const bytes = new Uint8Array(hex.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

const HEX: ReadonlyArray<string> = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"))
export const toHex = (bytes: Uint8Array): string => {
  let text = ""
  for (const byte of bytes) text += HEX[byte]!
  return text
}

/** A vector's value as an encoder takes it. Fields that the vector leaves out stay out. */
export const fromVector = (struct: Struct, value: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const known = new Map(struct.fields.map((field) => [field.kafkaName, field]))
  const out: Record<string, unknown> = {}
  for (const [name, inner] of Object.entries(value)) {
    const field = known.get(name)
    if (field === undefined) throw new Error(`${struct.typeName} has no field ${name}`)
    if (inner === null) out[field.name] = null
    else out[field.name] = field.isArray ? (inner as Array<unknown>).map((x) => one(field, x)) : one(field, inner)
  }
  return out
}

const one = (field: Field, value: unknown): unknown => {
  switch (field.base) {
    case "int64":
      return fromBigInt(BigInt(value as string))
    case "bytes":
    case "records":
      return fromHex(value as string)
    case "uuid":
      return readUuid(fromHex((value as string).replaceAll("-", "")), 0)
    case "float64":
      return Number(value)
    case "struct":
      return fromVector(field.struct!, value as Record<string, unknown>)
    default:
      return value
  }
}

const defaultOf = (field: Field): unknown => {
  if (field.default === null || field.default === "null") return null
  if (field.isArray) return []
  const text = field.default === undefined ? "" : String(field.default)
  switch (field.base) {
    case "bool":
      return text === "true"
    case "string":
      return text
    case "uuid":
      return "AAAAAAAAAAAAAAAAAAAAAA"
    case "bytes":
      return new Uint8Array(0)
    case "records":
      return covers({ min: 1, max: 0 }, field.nullable) ? new Uint8Array(0) : null
    case "struct":
      return withDefaults(field.struct!, {})
    case "int64":
      return fromBigInt(BigInt(text))
    default:
      return Number(text)
  }
}

/** The value with every field that is missing at its default: what a decoder gives. */
export const withDefaults = (struct: Struct, value: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const out: Record<string, unknown> = {}
  for (const field of struct.fields) {
    const given = value[field.name]
    if (given === undefined) out[field.name] = defaultOf(field)
    else if (given === null || field.base !== "struct") out[field.name] = given
    else if (field.isArray) {
      out[field.name] = (given as Array<Record<string, unknown>>).map((x) => withDefaults(field.struct!, x))
    } else out[field.name] = withDefaults(field.struct!, given as Record<string, unknown>)
  }
  if (value["unknownTaggedFields"] !== undefined) out["unknownTaggedFields"] = value["unknownTaggedFields"]
  return out
}
