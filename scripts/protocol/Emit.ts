/**
 * Turns a message's facts into TypeScript: two interfaces, a decoder and an encoder per struct, in straight lines that
 * branch on the version only where a field's presence or encoding does.
 */
import { covers, type Field, intersect, isEmpty, type Message, type Struct, type Versions } from "./Facts.ts"

/** Names that a field's local variable must not take. */
const TAKEN: ReadonlySet<string> = new Set(
  (
    "reader writer version value flexible unknown unknownTaggedFields tag tagCount tagEnd mark i count " +
    "break case catch class const continue debugger default delete do else enum export extends false finally for " +
    "function if import in instanceof new null return super switch this throw true try typeof var void while with " +
    "yield let static implements interface package private protected public await arguments eval"
  ).split(" ")
)
const local = (field: Field): string => (TAKEN.has(field.name) ? `${field.name}_` : field.name)

/** True in `range`, given that the version is `within`; undefined when always true. */
const condition = (range: Versions, within: Versions): string | undefined => {
  const both = intersect(range, within)
  if (isEmpty(both)) return "false"
  if (covers(both, within)) return undefined
  if (both.min === both.max) return `version === ${both.min}`
  if (both.max === within.max) return `version >= ${both.min}`
  if (both.min === within.min) return `version <= ${both.max}`
  return `version >= ${both.min} && version <= ${both.max}`
}
const negated = (test: string): string => {
  const simple = /^version (>=|<=|===) (\d+)$/.exec(test)
  if (simple === null) return `!(${test})`
  return `version ${simple[1] === ">=" ? "<" : simple[1] === "<=" ? ">" : "!=="} ${simple[2]}`
}

const isNullable = (field: Field): boolean =>
  !isEmpty(field.nullable) || field.default === null || field.default === "null"

/** What a version without the field gives, and what an encoder takes for one left out. */
const defaultOf = (field: Field): string => {
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

const elementType = (field: Field, input: boolean): string => {
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
const typeOf = (field: Field, input: boolean): string => {
  const element = elementType(field, input)
  return (field.isArray ? `ReadonlyArray<${element}>` : element) + (isNullable(field) ? " | null" : "")
}

const isOptional = (field: Field, struct: Struct): boolean =>
  field.tag !== undefined || field.default !== undefined || !covers(field.versions, struct.versions)

const showVersions = (range: Versions, within: Versions): string =>
  range.min === range.max
    ? `version ${range.min}`
    : range.max === within.max
      ? `versions from ${range.min}`
      : `versions ${range.min} to ${range.max}`

/** What the types cannot say: versions, null only in some, the default. */
const remark = (field: Field, struct: Struct): string | undefined => {
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
const smallest = (message: Message, struct: Struct): number => {
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

const LINE_WIDTH = 120

const mentions = (lines: ReadonlyArray<string>, name: string): boolean => lines.some((line) => new RegExp(`\\b${name}\\b`).test(line.replace(/"[^"]*"/g, "")))

class Emitter {
  readonly message: Message
  lines: Array<string> = []
  /** Structs whose codec looks at the version, itself or for an inner one. */
  readonly decodersWithVersion: Set<Struct> = new Set()
  readonly encodersWithVersion: Set<Struct> = new Set()
  constructor(message: Message) {
    this.message = message
  }

  /** The condition under which a struct's encoding is flexible: "true", "false" or a test of the version. */
  flexibleIn(struct: Struct): string {
    return isEmpty(this.message.flexible) ? "false" : (condition(this.message.flexible, struct.versions) ?? "true")
  }

  /** The argument `flexible` for a field. */
  flexArgument(field: Field, struct: Struct): string {
    if (field.neverFlexible) return "false"
    if (field.tag !== undefined) return "true"
    const test = this.flexibleIn(struct)
    return test === "true" || test === "false" ? test : "flexible"
  }

  /** Whether `const flexible` is needed: fields may have only fixed sizes, but tags always ask. */
  declareFlexible(struct: Struct): void {
    const test = this.flexibleIn(struct)
    if (test !== "true" && test !== "false") this.lines.push(`  const flexible = ${test}`)
  }

  interfaces(struct: Struct): void {
    const out = this.lines
    const canBeFlexible = this.flexibleIn(struct) !== "false"
    for (const input of [false, true]) {
      out.push(`export interface ${struct.typeName}${input ? "Input" : ""} {`)
      for (const field of struct.fields) {
        const note = remark(field, struct)
        if (note !== undefined) out.push(`  /** ${note} */`)
        const optional = input && isOptional(field, struct)
        out.push(`  readonly ${field.name}${optional ? "?" : ""}: ${typeOf(field, input)}${optional ? " | undefined" : ""}`)
      }
      if (canBeFlexible) out.push("  readonly unknownTaggedFields?: ReadonlyArray<TaggedField> | undefined")
      out.push("}", "")
    }
  }

  // -- decoding ------------------------------------------------------------------------------------------------------
  readScalar(field: Field, flex: string, within: Versions): string {
    const nullableTest = isEmpty(field.nullable) ? "false" : (condition(field.nullable, within) ?? "true")
    const either = (nullable: string, plain: string): string =>
      nullableTest === "true" ? nullable : nullableTest === "false" ? plain : `${nullableTest} ? ${nullable} : ${plain}`
    switch (field.base) {
      case "string":
        return either(`reader.nullableString(${flex})`, `reader.string(${flex})`)
      case "bytes":
      case "records":
        return either(`reader.nullableByteArray(${flex})`, `reader.byteArray(${flex})`)
      case "struct": {
        const decode = this.decodeCall(field.struct!)
        return either(`(reader.int8() < 0 ? null : ${decode})`, decode)
      }
      default:
        return `reader.${field.base}()`
    }
  }

  /** Statements that read the field, known to be there, into `target`, which is declared. */
  readArray(field: Field, target: string, flex: string, within: Versions, indent: string): void {
    const nullableTest = isEmpty(field.nullable) ? "false" : (condition(field.nullable, within) ?? "true")
    if (field.base !== "struct") {
      const read = `reader.${field.base}Array(${flex})`
      const orNull = `reader.skipNullArray(${flex}) ? null : ${read}`
      const expression =
        nullableTest === "false" ? read : nullableTest === "true" ? orNull : `${nullableTest} && ${orNull}`
      this.lines.push(`${indent}${target} = ${expression}`)
      return
    }
    const bytes = smallest(this.message, field.struct!)
    const plain = `reader.arrayLength(${flex}, ${bytes})`
    const orNull = `reader.nullableArrayLength(${flex}, ${bytes})`
    const count = nullableTest === "false" ? plain : nullableTest === "true" ? orNull : `${nullableTest} ? ${orNull} : ${plain}`
    const out = this.lines
    const loop = `for (let i = 0; i < count; i++) ${target}.push(${this.decodeCall(field.struct!)})`
    out.push(`${indent}const count = ${count}`)
    if (nullableTest === "false") {
      out.push(`${indent}${target} = []`, `${indent}${loop}`)
    } else {
      out.push(`${indent}if (count < 0) ${target} = null`, `${indent}else {`)
      out.push(`${indent}  ${target} = []`, `${indent}  ${loop}`, `${indent}}`)
    }
  }

  readLoop(field: Field, target: string, flex: string): string {
    const count = `reader.arrayLength(${flex}, ${smallest(this.message, field.struct!)})`
    return `for (let left = ${count}; left > 0; left--) ${target}.push(${this.decodeCall(field.struct!)})`
  }

  decodeCall(struct: Struct): string {
    return `decode${struct.typeName}(reader${this.decodersWithVersion.has(struct) ? ", version" : ""})`
  }

  encodeCall(struct: Struct, value: string): string {
    return `encode${struct.typeName}(writer, ${this.encodersWithVersion.has(struct) ? "version, " : ""}${value})`
  }

  mutableType(field: Field): string {
    const element = elementType(field, false)
    return `Array<${element}>${isNullable(field) ? " | null" : ""}`
  }

  /** The lines that `emit` adds. */
  collect(emit: () => void): Array<string> {
    const before = this.lines
    this.lines = []
    emit()
    const added = this.lines
    this.lines = before
    return added
  }

  decoder(struct: Struct): void {
    const name = struct.typeName
    const isRoot = struct === this.message.root
    const body = this.collect(() => {
      if (isRoot) this.versionCheck()
      this.decoderBody(struct)
    })
    const withVersion = mentions(body, "version")
    if (withVersion) this.decodersWithVersion.add(struct)
    const parameters = `${mentions(body, "reader") ? "" : "_"}reader: ByteReader${withVersion ? ", version: number" : ""}`
    if (isRoot) this.lines.push("/** @throws ProtocolError */")
    this.lines.push(`${isRoot ? "export " : ""}const decode${name} = (${parameters}): ${name} => {`, ...body, "}", "")
  }

  decoderBody(struct: Struct): void {
    const out = this.lines
    const name = struct.typeName
    this.declareFlexible(struct)
    for (const field of struct.fields) {
      if (field.tag !== undefined) continue
      const test = condition(field.versions, struct.versions)
      const flex = this.flexArgument(field, struct)
      const target = local(field)
      if (field.isArray && field.base === "struct" && isEmpty(field.nullable)) {
        out.push(`  const ${target}: ${this.mutableType(field)} = []`)
        const loop = this.readLoop(field, target, flex)
        if (test === undefined) out.push(`  ${loop}`)
        else out.push(`  if (${test}) {`, `    ${loop}`, "  }")
      } else if (field.isArray && field.base === "struct") {
        out.push(`  let ${target}: ${this.mutableType(field)}`)
        out.push(test === undefined ? "  {" : `  if (${test}) {`)
        this.readArray(field, target, flex, field.versions, "    ")
        out.push(test === undefined ? "  }" : `  } else ${target} = ${defaultOf(field)}`)
      } else if (field.isArray) {
        if (test === undefined) {
          this.readArray(field, `const ${target}`, flex, field.versions, "  ")
        } else {
          out.push(`  let ${target}: ${this.mutableType(field)} = ${defaultOf(field)}`)
          out.push(`  if (${test}) {`)
          this.readArray(field, target, flex, field.versions, "    ")
          out.push("  }")
        }
      } else {
        const read = this.readScalar(field, flex, field.versions)
        const guarded = test === undefined ? read : `${test} ? ${read.includes(" ? ") && !read.startsWith("(") ? `(${read})` : read} : ${defaultOf(field)}`
        out.push(`  const ${target} = ${guarded}`)
      }
    }
    const flexibleTest = this.flexibleIn(struct)
    if (flexibleTest === "false") {
      this.returnLiteral(struct, "return ", "")
      return
    }
    const tagged = struct.fields.filter((f) => f.tag !== undefined)
    if (tagged.length === 0) {
      const read = "reader.unknownTags()"
      const unknown = flexibleTest === "true" ? read : `flexible ? ${read} : undefined`
      this.returnLiteral(struct, `return withUnknownTags<${name}>(`, `, ${unknown})`)
      return
    }
    for (const field of tagged) out.push(`  let ${local(field)}: ${typeOf(field, false)} = ${defaultOf(field)}`)
    out.push("  let unknown: Array<TaggedField> | undefined")
    const indent = flexibleTest === "true" ? "  " : "    "
    if (flexibleTest !== "true") out.push("  if (flexible) {")
    out.push(`${indent}for (let tagCount = reader.uvarint(); tagCount > 0; tagCount--) {`)
    out.push(`${indent}  const tag = reader.uvarint()`, `${indent}  const tagEnd = reader.beginTag()`)
    out.push(`${indent}  switch (tag) {`)
    const flexibleRange = intersect(this.message.flexible, struct.versions)
    for (const field of tagged) {
      out.push(`${indent}    case ${field.tag}: {`)
      const test = condition(field.versions, flexibleRange)
      if (test !== undefined) {
        out.push(`${indent}      if (${negated(test)}) throw unexpectedTag("${name}.${field.name}", version)`)
      }
      if (field.isArray) {
        if (field.base === "struct") {
          if (isEmpty(field.nullable)) {
            out.push(`${indent}      const values: ${this.mutableType(field)} = []`)
            out.push(`${indent}      ${this.readLoop(field, "values", "true")}`)
          } else {
            out.push(`${indent}      let values: ${this.mutableType(field)}`)
            this.readArray(field, "values", "true", field.versions, `${indent}      `)
          }
          out.push(`${indent}      ${local(field)} = values`)
        } else this.readArray(field, local(field), "true", field.versions, `${indent}      `)
      } else out.push(`${indent}      ${local(field)} = ${this.readScalar(field, "true", field.versions)}`)
      out.push(`${indent}      break`, `${indent}    }`)
    }
    out.push(`${indent}    default:`, `${indent}      unknown = reader.unknownTag(tag, tagEnd, unknown)`)
    out.push(`${indent}  }`, `${indent}  reader.endTag(tagEnd)`, `${indent}}`)
    if (flexibleTest !== "true") out.push("  }")
    this.returnLiteral(struct, `return withUnknownTags<${name}>(`, ", unknown)")
  }

  returnLiteral(struct: Struct, before: string, after: string): void {
    const members = struct.fields.map((f) => (local(f) === f.name ? f.name : `${f.name}: ${local(f)}`))
    const line = members.length === 0 ? `  ${before}{}${after}` : `  ${before}{ ${members.join(", ")} }${after}`
    if (line.length <= LINE_WIDTH) {
      this.lines.push(line)
      return
    }
    this.lines.push(`  ${before}{`)
    let row = "   "
    members.forEach((member, index) => {
      const text = ` ${member}${index === members.length - 1 ? "" : ","}`
      if (row.length + text.length > LINE_WIDTH) {
        this.lines.push(row)
        row = "   "
      }
      row += text
    })
    this.lines.push(row, `  }${after}`)
  }

  versionCheck(): void {
    const { min, max } = this.message.versions
    const outside = min === max ? `version !== ${min}` : `version < ${min} || version > ${max}`
    this.lines.push(`  if (${outside}) throw unsupportedVersion("${this.message.facts.name}", version)`)
  }

  // -- encoding ------------------------------------------------------------------------------------------------------
  /** The field's value with its default put in. */
  given(field: Field, struct: Struct): string {
    const access = `value.${field.name}`
    if (!isOptional(field, struct)) return access
    const fallback = defaultOf(field)
    if (isNullable(field) && fallback !== "null") return `${access} === undefined ? ${fallback} : ${access}`
    return `${access} ?? ${fallback}`
  }

  /** True when the value is something else than the default. */
  differs(field: Field, access: string, optional: boolean): string {
    const parts = optional ? [`${access} !== undefined`] : []
    const fallback = defaultOf(field)
    const orNull = isNullable(field) ? `${access} === null || ` : ""
    const either = (test: string): string => (orNull === "" ? test : `(${orNull}${test})`)
    if (fallback === "null") parts.push(`${access} !== null`)
    else if (field.isArray || field.base === "bytes" || field.base === "records") parts.push(either(`${access}.length !== 0`))
    else if (field.base === "struct") parts.push(either(`!isDefault${field.struct!.typeName}(${access})`))
    else if (field.base === "int64") parts.push(`!sameInt64(${access}, ${fallback})`)
    else if (field.base === "bool") parts.push(fallback === "true" ? `!${access}` : access)
    else parts.push(`${access} !== ${fallback}`)
    return parts.join(" && ")
  }

  /** Statements that write the field, known to be in the version. */
  writeField(field: Field, struct: Struct, flex: string, indent: string): void {
    const out = this.lines
    const given = this.given(field, struct)
    const nullableTest = isEmpty(field.nullable) ? "false" : (condition(field.nullable, field.versions) ?? "true")
    const path = `"${struct.typeName}.${field.name}"`
    const canBeNull = isNullable(field)
    let expression = given
    const needsLocal = canBeNull && nullableTest !== "true"
    const isStructArray = field.isArray && field.base === "struct"
    if (needsLocal || isStructArray || field.base === "struct") {
      expression = local(field)
      out.push(`${indent}const ${expression} = ${given}`)
    }
    if (needsLocal) {
      const forbidden = nullableTest === "false" ? "" : ` && ${nullableTest.includes("&&") ? negated(nullableTest) : negated(nullableTest)}`
      out.push(`${indent}if (${expression} === null${forbidden}) throw notNullable(${path}, version)`)
    }
    const nullPossible = nullableTest !== "false"
    if (isStructArray) {
      const encode = this.encodeCall(field.struct!, "element")
      const inner = nullPossible ? `${indent}  ` : indent
      if (nullPossible) out.push(`${indent}if (${expression} === null) writer.lengthOrCount(-1, ${flex})`, `${indent}else {`)
      out.push(`${inner}writer.lengthOrCount(${expression}.length, ${flex})`)
      out.push(`${inner}for (const element of ${expression}) ${encode}`)
      if (nullPossible) out.push(`${indent}}`)
    } else if (field.isArray) {
      const write = (of: string): string => `writer.${field.base}Array(${of}, ${flex})`
      if (!nullPossible) out.push(`${indent}${write(expression)}`)
      else {
        if (!needsLocal) out.push(`${indent}const ${local(field)} = ${expression}`)
        out.push(`${indent}if (${local(field)} === null) writer.lengthOrCount(-1, ${flex})`)
        out.push(`${indent}else ${write(local(field))}`)
      }
    } else if (field.base === "struct") {
      const encode = this.encodeCall(field.struct!, expression)
      if (!nullPossible) out.push(`${indent}${encode}`)
      else {
        out.push(`${indent}if (${expression} === null) writer.int8(-1)`, `${indent}else {`)
        out.push(`${indent}  writer.int8(1)`, `${indent}  ${encode}`, `${indent}}`)
      }
    } else if (field.base === "string" || field.base === "bytes" || field.base === "records") {
      const method = field.base === "bytes" ? "byteArray" : field.base
      const called = nullPossible ? `nullable${method.charAt(0).toUpperCase()}${method.slice(1)}` : method
      out.push(`${indent}writer.${called}(${expression}, ${flex})`)
    } else out.push(`${indent}writer.${field.base}(${expression})`)
  }

  /** True when `writeField` declares a variable or needs more than one statement. */
  isBlock(field: Field): boolean {
    const nullableTest = isEmpty(field.nullable) ? "false" : (condition(field.nullable, field.versions) ?? "true")
    return (
      field.base === "struct" ||
      (isNullable(field) && nullableTest !== "true") ||
      (field.isArray && nullableTest !== "false")
    )
  }

  encoder(struct: Struct): void {
    const name = struct.typeName
    const isRoot = struct === this.message.root
    const body = this.collect(() => {
      if (isRoot) this.versionCheck()
      this.encoderBody(struct)
    })
    const withVersion = mentions(body, "version")
    if (withVersion) this.encodersWithVersion.add(struct)
    const unused = (parameter: string): string => (mentions(body, parameter) ? parameter : `_${parameter}`)
    const version = withVersion ? "version: number, " : ""
    const parameters = `${unused("writer")}: ByteWriter, ${version}${unused("value")}: ${name}Input`
    if (isRoot) this.lines.push("/** @throws ProtocolError */")
    const head = `${isRoot ? "export " : ""}const encode${name} = (`
    if (head.length + parameters.length + 12 <= LINE_WIDTH) this.lines.push(`${head}${parameters}): void => {`)
    else this.lines.push(head, ...parameters.split(", ").map((p, i, all) => `  ${p}${i < all.length - 1 ? "," : ""}`), "): void => {")
    this.lines.push(...body, "}", "")
  }

  encoderBody(struct: Struct): void {
    const out = this.lines
    const name = struct.typeName
    this.declareFlexible(struct)
    for (const field of struct.fields) {
      if (field.tag !== undefined) continue
      const test = condition(field.versions, struct.versions)
      const flex = this.flexArgument(field, struct)
      if (test === undefined) {
        this.writeField(field, struct, flex, "  ")
        continue
      }
      const write = this.collect(() => this.writeField(field, struct, flex, "    "))
      if (field.ignorable && write.length === 1) {
        out.push(`  if (${test}) ${write[0]!.trim()}`)
        continue
      }
      out.push(`  if (${test}) {`, ...write)
      const differs = this.differs(field, `value.${field.name}`, true)
      if (field.ignorable) out.push("  }")
      else {
        out.push(`  } else if (${differs}) {`)
        out.push(`    throw unsupportedField("${name}.${field.name}", version)`, "  }")
      }
    }
    this.encodeTags(struct)
  }

  encodeTags(struct: Struct): void {
    const out = this.lines
    const name = struct.typeName
    const flexibleTest = this.flexibleIn(struct)
    if (flexibleTest === "false") return
    const tagged = struct.fields.filter((f) => f.tag !== undefined).sort((a, b) => a.tag! - b.tag!)
    const has = (field: Field): string => `has${field.kafkaName}`
    for (const field of tagged) {
      const test = condition(field.versions, struct.versions)
      const differs = this.differs(field, `value.${field.name}`, true)
      if (test === undefined) out.push(`  const ${has(field)} = ${differs}`)
      else if (field.ignorable) out.push(`  const ${has(field)} = ${test} && ${differs}`)
      else {
        out.push(`  const ${has(field)} = ${differs}`)
        out.push(`  if (${has(field)} && ${negated(test)}) throw unsupportedField("${name}.${field.name}", version)`)
      }
    }
    const refuse = `throw unsupportedField("${name}.unknownTaggedFields", version)`
    if (tagged.length === 0) {
      if (flexibleTest === "true") out.push("  writer.tags(value.unknownTaggedFields)")
      else {
        out.push("  if (flexible) writer.tags(value.unknownTaggedFields)")
        out.push(`  else if (hasTags(value.unknownTaggedFields)) ${refuse}`)
      }
      return
    }
    out.push("  const unknown = value.unknownTaggedFields")
    const indent = flexibleTest === "true" ? "  " : "    "
    if (flexibleTest !== "true") out.push("  if (flexible) {")
    const counts = tagged.map((f) => ` + (${has(f)} ? 1 : 0)`).join("")
    out.push(`${indent}writer.uvarint((unknown === undefined ? 0 : unknown.length)${counts})`)
    out.push(`${indent}let written = 0`)
    for (const field of tagged) {
      out.push(`${indent}if (${has(field)}) {`)
      out.push(`${indent}  written = writer.unknownTags(unknown, written, ${field.tag})`)
      out.push(`${indent}  const mark = writer.beginTag(${field.tag})`)
      this.writeField(field, struct, "true", `${indent}  `)
      out.push(`${indent}  writer.endTag(mark)`, `${indent}}`)
    }
    out.push(`${indent}writer.unknownTags(unknown, written, Infinity)`)
    if (flexibleTest !== "true") out.push(`  } else if (hasTags(unknown)) ${refuse}`)
  }

  defaults(struct: Struct): void {
    const out = this.lines
    const name = struct.typeName
    out.push(`const default${name}: ${name} = {`)
    const members = struct.fields.map((field) => `  ${field.name}: ${defaultOf(field)}`)
    out.push(members.join(",\n"))
    out.push("}", "")
    const parameter = struct.fields.length > 0 || this.flexibleIn(struct) !== "false" ? "value" : "_value"
    out.push(`const isDefault${name} = (${parameter}: ${name}Input): boolean =>`)
    const tests = struct.fields.map((f) => {
      const differs = this.differs(f, `value.${f.name}`, isOptional(f, struct))
      return `!(${differs})`
    })
    if (this.flexibleIn(struct) !== "false") {
      tests.push("(value.unknownTaggedFields === undefined || value.unknownTaggedFields.length === 0)")
    }
    out.push(`  ${tests.join(" &&\n  ")}`, "")
  }

  emit(): ReadonlyArray<string> {
    for (const struct of [...this.message.structs].reverse()) this.interfaces(struct)
    // Constants come before what uses them at load.
    const needed = new Set<Struct>()
    const need = (struct: Struct): void => {
      for (const field of struct.fields) {
        if (field.base === "struct" && !field.isArray && defaultOf(field) !== "null") needed.add(field.struct!)
      }
    }
    for (const struct of this.message.structs) need(struct)
    for (const struct of this.message.structs) {
      if (needed.has(struct) && this.isDefaultUsed(struct)) this.defaults(struct)
    }
    for (const struct of this.message.structs) this.decoder(struct)
    for (const struct of this.message.structs) this.encoder(struct)
    return this.lines
  }

  /** A struct's default matters where it is tagged or missing in some versions. */
  isDefaultUsed(struct: Struct): boolean {
    return this.message.structs.some((outer) =>
      outer.fields.some(
        (f) =>
          f.struct === struct &&
          !f.isArray &&
          (f.tag !== undefined || !covers(f.versions, outer.versions) || this.nestedInDefault(outer))
      )
    )
  }
  nestedInDefault(outer: Struct): boolean {
    return outer !== this.message.root && this.isDefaultUsed(outer)
  }
}

const IMPORTS: ReadonlyArray<readonly [name: string, file: string, isType: boolean]> = [
  ["ByteReader", "ByteReader.ts", true],
  ["NO_BYTES", "ByteReader.ts", false],
  ["ByteWriter", "ByteWriter.ts", true],
  ["Records", "ByteWriter.ts", true],
  ["Int64", "Int64.ts", true],
  ["sameInt64", "Int64.ts", false],
  ["notNullable", "ProtocolError.ts", false],
  ["unexpectedTag", "ProtocolError.ts", false],
  ["unsupportedField", "ProtocolError.ts", false],
  ["unsupportedVersion", "ProtocolError.ts", false],
  ["TaggedField", "TaggedField.ts", true],
  ["hasTags", "TaggedField.ts", false],
  ["withUnknownTags", "TaggedField.ts", false],
  ["ZERO_UUID", "Uuid.ts", false]
]

export const HEAD = "// generated by scripts/GenerateProtocol.ts; do not edit"

/** One file with the codecs of `messages`. `up`: the way from its folder to core/protocol. */
export const emitFile = (messages: ReadonlyArray<Message>, up: string): string => {
  const body = messages.flatMap((message) => [...new Emitter(message).emit()]).join("\n")
  const files = [...new Set(IMPORTS.map(([, file]) => file))]
  const imports = files.flatMap((file) => {
    const used = IMPORTS.filter(([name, from]) => from === file && new RegExp(`\\b${name}\\b`).test(body))
    if (used.length === 0) return []
    const allTypes = used.every(([, , isType]) => isType)
    const names = used.map(([name, , isType]) => (isType && !allTypes ? `type ${name}` : name)).join(", ")
    return [`import ${allTypes ? "type " : ""}{ ${names} } from "${up}${file}"`]
  })
  return `${HEAD}\n${imports.join("\n")}\n\n${body.trimEnd()}\n`
}
