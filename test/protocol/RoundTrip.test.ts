import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { fromBigInt } from "../../core/protocol/Int64.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { readUuid } from "../../core/protocol/Uuid.ts"
import { covers, type Field, isEmpty, type Message, type Struct } from "../../scripts/protocol/Facts.ts"
import { type Codec, loadCodecs, withDefaults } from "./Schemas.ts"

const seed = 20260617
const codecs = await loadCodecs()

const has = (range: { readonly min: number; readonly max: number }, version: number): boolean =>
  version >= range.min && version <= range.max

const int = (bits: number, signed: boolean): fc.Arbitrary<number> =>
  signed
    ? fc.oneof(fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }), fc.constantFrom(0, -1, 1))
    : fc.oneof(fc.integer({ min: 0, max: 2 ** bits - 1 }), fc.constantFrom(0, 2 ** bits - 1))

const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "grapheme", maxLength: 6 }),
  fc.constant("x".repeat(130))
)

const bytes = fc.oneof(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ minLength: 126, maxLength: 130 }))

const scalar = (message: Message, field: Field, version: number): fc.Arbitrary<unknown> => {
  switch (field.base) {
    case "bool":
      return fc.boolean()
    case "int8":
      return int(8, true)
    case "int16":
      return int(16, true)
    case "int32":
      return int(32, true)
    case "uint16":
      return int(16, false)
    case "uint32":
      return int(32, false)
    case "int64":
      return fc
        .oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -3n, max: 1000n }))
        .map(fromBigInt)
    case "float64":
      return fc.double()
    case "string":
      return text
    case "uuid":
      return fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => readUuid(id, 0))
    case "bytes":
    case "records":
      return bytes
    case "struct":
      return structAt(message, field.struct!, version)
  }
}

const fieldAt = (message: Message, field: Field, version: number): fc.Arbitrary<unknown> => {
  const one = scalar(message, field, version)
  const value = field.isArray ? fc.array(one, { maxLength: 3 }) : one
  return has(field.nullable, version) ? fc.option(value, { freq: 4 }) : value
}

/** Any value that the version can carry: what it has not stays at its default. */
const structAt = (message: Message, struct: Struct, version: number): fc.Arbitrary<Record<string, unknown>> => {
  const shape: Record<string, fc.Arbitrary<unknown>> = {}
  for (const field of struct.fields) {
    if (!has(field.versions, version)) continue
    const value = fieldAt(message, field, version)
    // A tagged field is often left at its default.
    shape[field.name] = field.tag === undefined ? value : fc.option(value, { nil: undefined, freq: 2 })
  }
  if (has(message.flexible, version)) {
    const field = fc.record({ tag: fc.integer({ min: 100, max: 300 }), data: bytes })
    const tags = fc
      .uniqueArray(field, { selector: ({ tag }) => tag, minLength: 1, maxLength: 2 })
      .map((fields) => fields.sort((a, b) => a.tag - b.tag))
    shape["unknownTaggedFields"] = fc.option(tags, { nil: undefined, freq: 6 })
  }
  return fc.record(shape).map((value) => withDefaults(struct, value))
}

const encode = (codec: Codec, version: number, value: object): Uint8Array => {
  const writer = new ByteWriter(16)
  codec.encode(writer, version, value)
  return writer.toBytes()
}

describe("any value of any version", () => {
  for (const codec of codecs.values()) {
    const { min, max } = codec.message.versions
    it(`of ${codec.name} is decoded as it was encoded`, () => {
      for (let version = min; version <= max; version++) {
        fc.assert(
          fc.property(structAt(codec.message, codec.message.root, version), (value) => {
            const reader = new ByteReader(encode(codec, version, value))
            expect(codec.decode(reader, version)).toEqual(value)
            expect(reader.remaining).toBe(0)
          }),
          { seed: seed + version, numRuns: 12 }
        )
      }
    })
  }
})

// -- what a version cannot carry -----------------------------------------------------------------------------------

/** A value other than the default. */
const other = (field: Field): unknown => {
  const one = (): unknown => {
    switch (field.base) {
      case "bool":
        return String(field.default) !== "true"
      case "string":
        return "another"
      case "uuid":
        return "AAAAAAAAAAAAAAAAAAAAAQ"
      case "bytes":
      case "records":
        return new Uint8Array([1])
      case "struct": {
        const inner = withDefaults(field.struct!, {})
        const first = field.struct!.fields[0]!
        return { ...inner, [first.name]: other(first) }
      }
      default:
        return 77
    }
  }
  return field.isArray ? [one()] : one()
}

interface Site {
  readonly path: string
  readonly struct: Struct
  readonly field: Field
  /** Puts a value into the field of a message whose other fields are at their defaults. */
  readonly put: (value: unknown) => Record<string, unknown>
}

/** Every field of a version's message, arrays on the way holding one element. */
const sites = (
  struct: Struct,
  version: number,
  path: string,
  wrap: (value: object) => Record<string, unknown>
): Array<Site> =>
  struct.fields.flatMap((field) => {
    const here = `${path}.${field.name}`
    const put = (value: unknown): Record<string, unknown> => wrap({ ...withDefaults(struct, {}), [field.name]: value })
    const inner =
      field.struct !== undefined && has(field.versions, version)
        ? sites(field.struct, version, here, (value) => put(field.isArray ? [value] : value))
        : []
    return [{ path: here, struct, field, put }, ...inner]
  })

const sitesOf = (codec: Codec, version: number): ReadonlyArray<Site> =>
  sites(codec.message.root, version, codec.name, (value) => value as Record<string, unknown>)

describe("a value that a version has no field for", () => {
  it("is dropped where it may be ignored, else refused", () => {
    let dropped = 0
    let refused = 0
    for (const codec of codecs.values()) {
      for (let version = codec.message.versions.min; version <= codec.message.versions.max; version++) {
        for (const { path, field, struct, put } of sitesOf(codec, version)) {
          if (has(field.versions, version)) continue
          const where = `${path} v${version}`
          if (field.ignorable) {
            const plain = encode(codec, version, put(withDefaults(struct, {})[field.name]))
            expect(encode(codec, version, put(other(field))), where).toEqual(plain)
            dropped++
          } else {
            expect(() => encode(codec, version, put(other(field))), where).toThrow(
              expect.objectContaining({ _tag: "ProtocolError", kind: "UnsupportedVersion" })
            )
            refused++
          }
        }
      }
    }
    expect([dropped > 300, refused > 300], `${dropped} dropped, ${refused} refused`).toEqual([true, true])
  })

  it("is refused when it is null in a version that has no null", () => {
    let refused = 0
    for (const codec of codecs.values()) {
      for (let version = codec.message.versions.min; version <= codec.message.versions.max; version++) {
        for (const { path, field, put } of sitesOf(codec, version)) {
          const partly = !isEmpty(field.nullable) && !covers(field.nullable, field.versions)
          if (!partly || !has(field.versions, version) || has(field.nullable, version)) continue
          expect(() => encode(codec, version, put(null)), `${path} v${version}`).toThrow(ProtocolError)
          refused++
        }
      }
    }
    expect(refused).toBeGreaterThan(10)
  })

  it("is refused when it is an unknown tagged field and the version is not flexible", () => {
    for (const codec of codecs.values()) {
      const { flexible, versions, root } = codec.message
      if (isEmpty(flexible) || flexible.min === versions.min) continue
      const value = { ...withDefaults(root, {}), unknownTaggedFields: [{ tag: 900, data: new Uint8Array(1) }] }
      expect(() => encode(codec, versions.min, value), codec.name).toThrow(ProtocolError)
    }
  })
})

describe("a version that a message does not have", () => {
  it("is refused by decoder and encoder", () => {
    for (const codec of codecs.values()) {
      const { min, max } = codec.message.versions
      for (const version of [min - 1, max + 1]) {
        const unsupported = expect.objectContaining({ _tag: "ProtocolError", kind: "UnsupportedVersion" })
        expect(() => codec.decode(new ByteReader(new Uint8Array(64)), version), codec.name).toThrow(unsupported)
        expect(() => encode(codec, version, withDefaults(codec.message.root, {})), codec.name).toThrow(unsupported)
      }
    }
  })
})
