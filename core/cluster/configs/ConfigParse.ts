/**
 * From the text of a configuration to its value, with Kafka's rules and Kafka's words for what is wrong.
 *
 * A long keeps all of its 64 bits as text (`canonicalText`); as a value to compute with, whatever is past 2^53-1 is
 * Number.MAX_SAFE_INTEGER, which as a time or a size is "never" all the same.
 */
import type { ConfigDef } from "./ConfigDefs.ts"

export type ConfigValue = boolean | number | string | ReadonlyArray<string>

/** A value that Kafka refuses. `message` is what a client is told. */
export class ConfigError {
  readonly _tag = "ConfigError"
  readonly key: string
  readonly message: string
  constructor(key: string, message: string) {
    this.key = key
    this.message = message
  }
}

const invalid = (def: ConfigDef, value: string, why: string): ConfigError =>
  new ConfigError(def.name, `Invalid value ${value} for configuration ${def.name}: ${why}`)

const INT64_MAX = 9_223_372_036_854_775_807n
const INT64_MIN = -9_223_372_036_854_775_808n
const INTEGER = /^[+-]?[0-9]+$/
/** What Java's Double.parseDouble takes, hexadecimal aside. */
const DOUBLE = /^[+-]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?)$/

const bounds = { short: 32_767, int: 2_147_483_647 } as const

const clamp = (value: bigint): number => {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER
  return Number(value)
}

const parseDouble = (text: string): number => {
  const plain = text.replace(/[dDfF]$/, "")
  return plain.endsWith("NaN") ? Number.NaN : Number(plain)
}

/** Splits as Kafka does: around commas, dropping spaces beside them; empty text is an empty list. */
export const splitList = (text: string): ReadonlyArray<string> => {
  const trimmed = text.trim()
  return trimmed === "" ? [] : trimmed.split(/\s*,\s*/)
}

const parseText = (def: ConfigDef, raw: string): ConfigValue | ConfigError => {
  const text = raw.trim()
  switch (def.type) {
    case "boolean": {
      const lower = text.toLowerCase()
      if (lower === "true") return true
      if (lower === "false") return false
      return invalid(def, raw, "Expected value to be either true or false")
    }
    case "short":
    case "int": {
      const type = def.type.toUpperCase()
      if (!INTEGER.test(text)) return invalid(def, raw, `Not a number of type ${type}`)
      const value = Number(text)
      const max = bounds[def.type]
      if (value > max || value < -max - 1) return invalid(def, raw, `Not a number of type ${type}`)
      return value
    }
    case "long": {
      if (!INTEGER.test(text)) return invalid(def, raw, "Not a number of type LONG")
      const value = BigInt(text.replace(/^\+/, ""))
      if (value > INT64_MAX || value < INT64_MIN) return invalid(def, raw, "Not a number of type LONG")
      return clamp(value)
    }
    case "double":
      return DOUBLE.test(text) ? parseDouble(text) : invalid(def, raw, "Not a number of type DOUBLE")
    case "list": {
      // Kafka warns about duplicates and drops them
      return [...new Set(splitList(text))]
    }
    case "string":
    case "class":
    case "password":
      return text
  }
}

/** An empty entry is none. */
const THROTTLED_REPLICA = /^([0-9]+:[0-9]+)?$/

/** The rules that the facts only describe in words. */
const customError = (def: ConfigDef, value: ConfigValue, text: string, raw: string): ConfigError | undefined => {
  switch (def.name) {
    case "compression.gzip.level":
      return value === -1 || (typeof value === "number" && value >= 1 && value <= 9)
        ? undefined
        : invalid(def, text, "Value must be between 1 and 9 or equal to -1")
    case "follower.replication.throttled.replicas":
    case "leader.replication.throttled.replicas": {
      // As it was given: `value` has no duplicates any more.
      const list = splitList(raw)
      return list.join("") === "*" || list.every((entry) => THROTTLED_REPLICA.test(entry))
        ? undefined
        : invalid(
            def,
            `[${list.join(", ")}]`,
            `${def.name} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...`
          )
    }
    default:
      return undefined
  }
}

const validationError = (def: ConfigDef, value: ConfigValue, text: string, raw: string): ConfigError | undefined => {
  const valid = def.valid
  if (valid === undefined) return undefined
  switch (valid[0]) {
    case "range": {
      // NaN passes both comparisons, as it does in Kafka
      const [, min, max] = valid
      if (min !== null && (value as number) < min) return invalid(def, text, `Value must be at least ${min}`)
      if (max !== null && (value as number) > max) return invalid(def, text, `Value must be no more than ${max}`)
      return undefined
    }
    case "oneOf":
      return valid[1].includes(value as string)
        ? undefined
        : invalid(def, text, `String must be one of: ${valid[1].join(", ")}`)
    case "oneOfIgnoreCase":
      return valid[1].some((v) => v.toLowerCase() === (value as string).toLowerCase())
        ? undefined
        : invalid(def, text, `String must be one of (case insensitive): ${valid[1].join(", ")}`)
    case "list": {
      const [, allowed, emptyAllowed] = valid
      const list = value as ReadonlyArray<string>
      if (list.length === 0 && !emptyAllowed) {
        return new ConfigError(def.name, `Configuration '${def.name}' must not be empty. Valid values include: ${allowed === null ? "any non-empty value" : `[${allowed.join(", ")}]`}`)
      }
      if (list.includes("")) return new ConfigError(def.name, `Configuration '${def.name}' values must not be empty.`)
      const stranger = allowed === null ? undefined : list.find((v) => !allowed.includes(v))
      return stranger === undefined || allowed === null
        ? undefined
        : invalid(def, stranger, `String must be one of: ${allowed.join(", ")}`)
    }
    case "nonEmptyString":
      return value === "" ? invalid(def, text, "String must be non-empty") : undefined
    case "custom":
      return customError(def, value, text, raw)
  }
}

/** The largest value that is kept, in bytes, as in Kafka: a list that grows by appending must still fit a response. */
export const MAX_CONFIG_VALUE_BYTES = 32_767

const utf8 = new TextEncoder()

export const tooLongError = (key: string, text: string): ConfigError | undefined =>
  text.length * 3 <= MAX_CONFIG_VALUE_BYTES || utf8.encode(text).length <= MAX_CONFIG_VALUE_BYTES
    ? undefined
    : new ConfigError(
        key,
        `The configuration value cannot be added because it exceeds the maximum value size of ${MAX_CONFIG_VALUE_BYTES} bytes.`
      )

/** The value of a configuration's text, or what is wrong with it. */
export const parseConfig = (def: ConfigDef, raw: string): ConfigValue | ConfigError => {
  const value = parseText(def, raw)
  if (value instanceof ConfigError) return value
  return validationError(def, value, showValue(def, value, raw), raw) ?? value
}

/** A double as Java prints it, within the range where both print digits: 1 is "1.0". */
const showDouble = (value: number): string => {
  if (Number.isNaN(value) || !Number.isFinite(value)) return String(value)
  const magnitude = Math.abs(value)
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e7)) {
    const [digits = "0", exponent = "0"] = value.toExponential().split("e")
    return `${digits.includes(".") ? digits : `${digits}.0`}E${Number(exponent)}`
  }
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

const showValue = (def: ConfigDef, value: ConfigValue, raw: string): string => {
  switch (def.type) {
    case "long":
      return BigInt(raw.trim().replace(/^\+/, "")).toString()
    case "double":
      return showDouble(value as number)
    case "list":
      return (value as ReadonlyArray<string>).join(",")
    default:
      return String(value)
  }
}

/** The text that Kafka shows for a valid text: trimmed, `+5` as `5`, `TRUE` as `true`, every digit of a long kept. */
export const canonicalText = (def: ConfigDef, raw: string): string => {
  const value = parseText(def, raw)
  return value instanceof ConfigError ? raw : showValue(def, value, raw)
}
