/** The facts of Kafka's protocol as they are in the JSON files beside this one, and their resolved form. */
import { readFileSync } from "node:fs"

export interface FieldFacts {
  readonly name: string
  readonly type: string
  readonly versions: string
  readonly nullableVersions?: string
  readonly taggedVersions?: string
  readonly flexibleVersions?: string
  readonly tag?: number
  readonly default?: string | number | boolean | null
  readonly ignorable?: boolean
  readonly fields?: ReadonlyArray<FieldFacts>
}

export interface StructFacts {
  readonly name: string
  readonly versions: string
  readonly fields: ReadonlyArray<FieldFacts>
}

export type MessageKind =
  | "request"
  | "response"
  | "header"
  | "data"
  | "metadata"
  | "coordinator-key"
  | "coordinator-value"

export interface MessageFacts {
  readonly name: string
  readonly kind: MessageKind
  readonly module: string
  readonly apiKey?: number
  readonly validVersions?: string
  readonly flexibleVersions?: string
  readonly latestVersionUnstable?: boolean
  readonly fields: ReadonlyArray<FieldFacts>
  readonly commonStructs?: ReadonlyArray<StructFacts>
}

export interface ApiFacts {
  readonly key: number
  readonly name: string
  readonly versions: readonly [number, number] | null
  readonly requestFlexibleFrom: number | null
  readonly responseFlexibleFrom: number | null
  readonly advertisedMin?: number
  readonly latestStable?: number
  readonly listeners: ReadonlyArray<string>
  readonly clusterAction?: boolean
  readonly forwardable?: boolean
}

export interface ErrorFacts {
  readonly code: number
  readonly name: string
  readonly retriable: boolean
  readonly refreshMetadata?: boolean
}

const load = (file: string): unknown => JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8"))

export const loadMessages = (): ReadonlyArray<MessageFacts> =>
  (load("messages.json") as { messages: ReadonlyArray<MessageFacts> }).messages
export const loadApis = (): ReadonlyArray<ApiFacts> => (load("apis.json") as { apis: ReadonlyArray<ApiFacts> }).apis
export const loadErrors = (): ReadonlyArray<ErrorFacts> =>
  (load("errors.json") as { errors: ReadonlyArray<ErrorFacts> }).errors

/** Both ends inclusive; empty when `min > max`. */
export interface Versions {
  readonly min: number
  readonly max: number
}

export const NO_VERSIONS: Versions = { min: 0, max: -1 }

/** "3", "0-7", "2+" or "none". */
export const parseVersions = (text: string | undefined): Versions => {
  if (text === undefined || text === "none") return NO_VERSIONS
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(text)
  if (match === null) throw new Error(`versions ${text}`)
  const min = Number(match[1])
  return { min, max: match[2] !== undefined ? 32767 : match[3] !== undefined ? Number(match[3]) : min }
}

export const intersect = (a: Versions, b: Versions): Versions => {
  const both = { min: Math.max(a.min, b.min), max: Math.min(a.max, b.max) }
  return both.min > both.max ? NO_VERSIONS : both
}
export const isEmpty = (a: Versions): boolean => a.min > a.max
export const covers = (a: Versions, b: Versions): boolean => isEmpty(b) || (a.min <= b.min && a.max >= b.max)

export type Base =
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint16"
  | "uint32"
  | "float64"
  | "string"
  | "uuid"
  | "bytes"
  | "records"
  | "struct"

export interface Field {
  /** As Kafka spells it; `name` starts with a small letter. */
  readonly kafkaName: string
  readonly name: string
  readonly base: Base
  readonly isArray: boolean
  readonly struct: Struct | undefined
  /** Within the versions of the struct. */
  readonly versions: Versions
  readonly nullable: Versions
  readonly tag: number | undefined
  readonly default: string | number | boolean | null | undefined
  readonly ignorable: boolean
  /** RequestHeader.ClientId alone: never compact. */
  readonly neverFlexible: boolean
}

export interface Struct {
  /** The message's name, then the struct's: unique among all generated types. */
  readonly typeName: string
  /** Versions of the message that it can occur in. */
  versions: Versions
  fields: ReadonlyArray<Field>
}

export interface Message {
  readonly facts: MessageFacts
  readonly versions: Versions
  readonly flexible: Versions
  readonly root: Struct
  /** Inner ones first, the root last. */
  readonly structs: ReadonlyArray<Struct>
}

const lowerFirst = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1)

/** Undefined for messages of which no version is left. */
export const resolve = (facts: MessageFacts): Message | undefined => {
  const versions = parseVersions(facts.validVersions)
  if (isEmpty(versions)) return undefined
  const structs: Array<Struct> = []
  const byName = new Map<string, Struct>()
  const factsByName = new Map<string, ReadonlyArray<FieldFacts>>()
  for (const struct of facts.commonStructs ?? []) factsByName.set(struct.name, struct.fields)
  const collect = (fields: ReadonlyArray<FieldFacts>): void => {
    for (const field of fields) {
      if (field.fields === undefined) continue
      factsByName.set(field.type.replace("[]", ""), field.fields)
      collect(field.fields)
    }
  }
  collect(facts.fields)
  for (const struct of facts.commonStructs ?? []) collect(struct.fields)

  // A common struct may occur in several places: first the versions of all its uses, then the fields within those.
  const uses = new Map<string, Versions>()
  const walk = (fields: ReadonlyArray<FieldFacts>, within: Versions): void => {
    for (const field of fields) {
      const name = field.type.replace("[]", "")
      const inner = factsByName.get(name)
      const range = intersect(parseVersions(field.versions), within)
      if (inner === undefined || isEmpty(range)) continue
      const known = uses.get(name)
      uses.set(
        name,
        known === undefined ? range : { min: Math.min(known.min, range.min), max: Math.max(known.max, range.max) }
      )
      walk(inner, range)
    }
  }
  walk(facts.fields, versions)

  const resolveStruct = (name: string): Struct => {
    const known = byName.get(name)
    if (known !== undefined) return known
    const struct: Struct = { typeName: facts.name + name, versions: uses.get(name) ?? NO_VERSIONS, fields: [] }
    byName.set(name, struct)
    struct.fields = resolveFields(factsByName.get(name)!, struct.versions)
    structs.push(struct)
    return struct
  }
  const resolveFields = (fields: ReadonlyArray<FieldFacts>, within: Versions): ReadonlyArray<Field> =>
    fields.flatMap((field): Array<Field> => {
      const range = intersect(parseVersions(field.versions), within)
      if (isEmpty(range)) return []
      const isArray = field.type.startsWith("[]")
      const type = field.type.replace("[]", "")
      const isStruct = factsByName.has(type)
      return [
        {
          kafkaName: field.name,
          name: lowerFirst(field.name),
          base: isStruct ? "struct" : (type as Base),
          isArray,
          struct: isStruct ? resolveStruct(type) : undefined,
          versions: range,
          nullable: intersect(parseVersions(field.nullableVersions), range),
          tag: field.tag,
          default: field.default,
          ignorable: field.ignorable === true,
          neverFlexible: field.flexibleVersions === "none"
        }
      ]
    })
  const root: Struct = { typeName: facts.name, versions, fields: [] }
  root.fields = resolveFields(facts.fields, versions)
  structs.push(root)
  return { facts, versions, flexible: intersect(parseVersions(facts.flexibleVersions), versions), root, structs }
}
