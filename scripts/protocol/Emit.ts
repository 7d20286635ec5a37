/**
 * Turns a message's facts into TypeScript: two interfaces, a decoder and an encoder per struct, in straight lines that
 * branch on the version only where a field's presence or encoding does.
 */
import { covers, type Field, intersect, isEmpty, type Message, type Struct, type Versions } from "./Facts.ts"
import {
  condition,
  defaultOf,
  elementType,
  has,
  isNullable,
  isOptional,
  local,
  negated,
  remark,
  smallest,
  typeOf
} from "./Fields.ts"

const LINE_WIDTH = 120

/** Whether a name occurs in the lines, strings left out. */
const mentions = (lines: ReadonlyArray<string>, name: string): boolean => {
  const word = new RegExp(`\\b${name}\\b`)
  return lines.some((line) => word.test(line.replace(/"[^"]*"/g, "")))
}

/** Breaks the kinds of lines that get too long. */
const wrapped = (line: string): ReadonlyArray<string> => {
  if (line.length <= LINE_WIDTH) return [line]
  const indent = /^ */.exec(line)![0]
  const statement = /^( *(?:for|if|else if) \(.*\)) (throw .*|\S*\.push\(.*|encode.*)$/.exec(line)
  if (statement !== null) return [statement[1]!, `${indent}  ${statement[2]!}`]
  const either = /^( *const \S+ =) (.*)$/.exec(line)
  const operators = line.includes("writer.uvarint(") ? / (?=\+ )/ : / (?=(?:&&|\?|:) )/
  const parts = (either?.[2] ?? line.trim()).split(operators)
  if (parts.length === 1) return [line]
  const first = either === null ? `${indent}${parts[0]!}` : `${either[1]!} ${parts[0]!}`
  return [first, ...parts.slice(1).map((part) => `${indent}  ${part}`)]
}

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
        const type = typeOf(field, input)
        out.push(`  readonly ${field.name}${input && isOptional(field, struct) ? `?: ${type} | undefined` : `: ${type}`}`)
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
    const either = `${nullableTest} ? ${orNull} : ${plain}`
    const count = nullableTest === "false" ? plain : nullableTest === "true" ? orNull : either
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
    const reader = mentions(body, "reader") ? "reader" : "_reader"
    const parameters = `${reader}: ByteReader${withVersion ? ", version: number" : ""}`
    this.openFunction(isRoot, `decode${name}`, parameters, name)
    this.lines.push(...body, "}", "")
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
        const grouped = read.includes(" ? ") && !read.startsWith("(") ? `(${read})` : read
        out.push(`  const ${target} = ${test === undefined ? read : `${test} ? ${grouped} : ${defaultOf(field)}`}`)
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
    const hasLength = field.isArray || field.base === "bytes" || field.base === "records"
    if (fallback === "null") parts.push(`${access} !== null`)
    else if (hasLength) parts.push(either(`${access}.length !== 0`))
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
      const forbidden = nullableTest === "false" ? "" : ` && ${negated(nullableTest)}`
      out.push(`${indent}if (${expression} === null${forbidden}) throw notNullable(${path}, version)`)
    }
    const nullPossible = nullableTest !== "false"
    if (isStructArray) {
      const encode = this.encodeCall(field.struct!, "element")
      const inner = nullPossible ? `${indent}  ` : indent
      if (nullPossible) {
        out.push(`${indent}if (${expression} === null) writer.lengthOrCount(-1, ${flex})`, `${indent}else {`)
      }
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
    this.openFunction(isRoot, `encode${name}`, parameters, "void")
    this.lines.push(...body, "}", "")
  }

  openFunction(isRoot: boolean, name: string, parameters: string, result: string): void {
    if (isRoot) this.lines.push("/** @throws ProtocolError */")
    const head = `${isRoot ? "export " : ""}const ${name} = (`
    const line = `${head}${parameters}): ${result} => {`
    if (line.length <= LINE_WIDTH) this.lines.push(line)
    else this.lines.push(head, parameters.split(", ").map((p) => `  ${p}`).join(",\n"), `): ${result} => {`)
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
    return this.lines.flatMap(wrapped)
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
  ["RpcApi", "RpcApi.ts", true],
  ["rpcApi", "RpcApi.ts", false],
  ["TaggedField", "TaggedField.ts", true],
  ["hasTags", "TaggedField.ts", false],
  ["withUnknownTags", "TaggedField.ts", false],
  ["ZERO_UUID", "Uuid.ts", false]
]

export const HEAD = "// generated by scripts/GenerateProtocol.ts; do not edit"

/** "ListGroups" as the name of a value. */
const lowerFirst = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1)

/** What a client calls an API by. A bundler may leave it out, with the codecs that only it needs. */
const emitApi = ({ key, name }: { readonly key: number; readonly name: string }): ReadonlyArray<string> => [
  "/** For clients, at all stable versions. */",
  `export const ${lowerFirst(name)}Api: RpcApi<${name}RequestInput, ${name}Response> = /* @__PURE__ */ rpcApi(`,
  `  ${key},`,
  `  encode${name}Request,`,
  `  decode${name}Response`,
  ")"
]

/** One file with the codecs of `messages`, which are of `api` if they are of one. `up`: the way from its folder to core/protocol. */
export const emitFile = (
  messages: ReadonlyArray<Message>,
  up: string,
  api?: { readonly key: number; readonly name: string }
): string => {
  const codecs = messages.flatMap((message) => [...new Emitter(message).emit()])
  const body = [...codecs, ...api === undefined ? [] : emitApi(api)].join("\n")
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
