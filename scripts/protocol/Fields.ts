/** What a field becomes in TypeScript: its names, types, default, and the versions it is in, as a condition. */
import { covers, type Field, intersect, isEmpty, type Message, type Struct, type Versions } from "./Facts.ts"

/** Names that a field's local variable must not take. */
const TAKEN: ReadonlySet<string> = new Set(
  (
    "reader writer version value flexible unknown unknownTaggedFields tag tagCount tagEnd mark i count " +
    "left values written element " +
    "break case catch class const continue debugger default delete do else enum export extends false finally for " +
    "function if import in instanceof new null return super switch this throw true try typeof var void while with " +
    "yield let static implements interface package private protected public await arguments eval"
  ).split(" ")
)
export const local = (field: Field): string => (TAKEN.has(field.name) ? `${field.name}_` : field.name)

/** True in `range`, given that the version is `within`; undefined when always true. */
export const condition = (range: Versions, within: Versions): string | undefined => {
  const both = intersect(range, within)
  if (isEmpty(both)) return "false"
  if (covers(both, within)) return undefined
  if (both.min === both.max) return `version === ${both.min}`
  if (both.max === within.max) return `version >= ${both.min}`
  if (both.min === within.min) return `version <= ${both.max}`
  return `version >= ${both.min} && version <= ${both.max}`
}
export const negated = (test: string): string => {
  const simple = /^version (>=|<=|===) (\d+)$/.exec(test)
  if (simple === null) return `!(${test})`
  return `version ${simple[1] === ">=" ? "<" : simple[1] === "<=" ? ">" : "!=="} ${simple[2]}`
}

export const isNullable = (field: Field): boolean =>
  !isEmpty(field.nullable) || field.default === null || field.default === "null"

/** What a version without the field gives, and what an encoder takes for one left out. */
export const defaultOf = (field: Field): string => {
  if (field.default === null || field.default === "null") return "null"
  if (field.isArray) return "[]"
  const given = field.default === undefined || field.default === "" ? undefined : String(field.default)
  switch (field.base) {
    case "bool":
      return given ?? "false"
    case "string":
      return JSON.stringify(given ?? "")
    case "uuid":
      return "ZERO_UUID"
    case "bytes":
      return "NO_BYTES"
    case "records":
      return isNullable(field) ? "null" : "NO_BYTES"
    case "struct":
      return `default${field.struct!.typeName}`
    case "int64": {
      const value = BigInt(given ?? 0)
      return Number.isSafeInteger(Number(value)) ? `${value}` : `${value}n`
    }
    default:
      return String(Number(given ?? 0))
  }
}

export const elementType = (field: Field, input: boolean): string => {
  switch (field.base) {
    case "bool":
      return "boolean"
    case "string":
    case "uuid":
      return "string"
    case "int64":
      return "Int64"
    case "bytes":
      return "Uint8Array"
    case "records":
      return input ? "Records" : "Uint8Array"
    case "struct":
      return field.struct!.typeName + (input ? "Input" : "")
    default:
      return "number"
  }
}
export const typeOf = (field: Field, input: boolean): string => {
  const element = elementType(field, input)
  return (field.isArray ? `ReadonlyArray<${element}>` : element) + (isNullable(field) ? " | null" : "")
}

/** The local that says whether a tagged field is written. */
export const has = (field: Field): string => `has${field.kafkaName}`

export const isOptional = (field: Field, struct: Struct): boolean =>
  field.tag !== undefined || field.default !== undefined || !covers(field.versions, struct.versions)

const showVersions = (range: Versions, within: Versions): string =>
  range.min === range.max
    ? `version ${range.min}`
    : range.max === within.max
      ? `versions from ${range.min}`
      : `versions ${range.min} to ${range.max}`

/** What the types cannot say: versions, null only in some, the default. */
export const remark = (field: Field, struct: Struct): string | undefined => {
  const notes: Array<string> = []
  if (!covers(field.versions, struct.versions)) notes.push(showVersions(field.versions, struct.versions))
  if (!isEmpty(field.nullable) && !covers(field.nullable, field.versions)) {
    notes.push(`null in ${showVersions(field.nullable, field.versions)}`)
  }
  if (field.default !== undefined && field.default !== "") notes.push(`default ${String(field.default)}`)
  if (notes.length === 0) return undefined
  const text = notes.join("; ")
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

/** The fewest bytes that a struct takes in any version. */
export const smallest = (message: Message, struct: Struct): number => {
  let fewest = Infinity
  for (let version = struct.versions.min; version <= struct.versions.max; version++) {
    const at: Versions = { min: version, max: version }
    const flexible = covers(message.flexible, at)
    let bytes = flexible ? 1 : 0
    for (const field of struct.fields) {
      if (field.tag === undefined && covers(field.versions, at)) bytes += smallestField(message, field, flexible)
    }
    fewest = Math.min(fewest, bytes)
  }
  return Math.max(1, fewest)
}
const smallestField = (message: Message, field: Field, flexible: boolean): number => {
  if (field.isArray) return flexible ? 1 : 4
  switch (field.base) {
    case "bool":
    case "int8":
      return 1
    case "int16":
    case "uint16":
      return 2
    case "int32":
    case "uint32":
      return 4
    case "int64":
    case "float64":
      return 8
    case "uuid":
      return 16
    case "string":
      return flexible ? 1 : 2
    case "bytes":
    case "records":
      return flexible ? 1 : 4
    case "struct":
      return isEmpty(field.nullable) ? smallest(message, field.struct!) : 1
  }
}
