import { describe, expect, it } from "vitest"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { messageVectors, type MessageVector } from "./Fixtures.ts"
import { type Codec, fromHex, fromVector, loadCodecs, toHex, withDefaults } from "./Schemas.ts"

const codecs = await loadCodecs()
const vectors = messageVectors()

const valueOf = (codec: Codec, vector: MessageVector): Record<string, unknown> => {
  const value = fromVector(codec.message.root, vector.value)
  const unknown = vector.unknownTaggedFields ?? []
  if (unknown.length > 0) value["unknownTaggedFields"] = unknown.map(({ tag, hex }) => ({ tag, data: fromHex(hex) }))
  return value
}

describe("the vectors of Apache Kafka 4.3.1", () => {
  it("are 2614, over every message that has a version", () => {
    expect(vectors.length).toBe(2614)
    const names = new Set(vectors.map((vector) => vector.m))
    expect([...names].filter((name) => !codecs.has(name))).toEqual([])
    // The one without vectors belongs to the assignor of Kafka Streams, whose module made none.
    expect([...codecs.keys()].filter((name) => !names.has(name))).toEqual(["SubscriptionInfoData"])
    for (const codec of codecs.values()) {
      if (!names.has(codec.name)) continue
      const { min, max } = codec.message.versions
      const versions = new Set(vectors.filter((vector) => vector.m === codec.name).map((vector) => vector.v))
      expect(versions.size, codec.name).toBe(max - min + 1)
    }
  })

  for (const codec of codecs.values()) {
    it(`${codec.name} decodes to their values and encodes to their bytes`, () => {
      for (const vector of vectors) {
        if (vector.m !== codec.name) continue
        const where = `${vector.m} v${vector.v} ${vector.variant}`
        const value = valueOf(codec, vector)
        const reader = new ByteReader(fromHex(vector.hex))
        const decoded = codec.decode(reader, vector.v)
        expect(decoded, where).toEqual(withDefaults(codec.message.root, value))
        expect(reader.remaining, where).toBe(0)

        const again = new ByteWriter()
        codec.encode(again, vector.v, decoded)
        expect(toHex(again.toBytes()), where).toBe(vector.hex)
        const fromValue = new ByteWriter(0)
        codec.encode(fromValue, vector.v, value)
        expect(toHex(fromValue.toBytes()), where).toBe(vector.hex)
      }
    })
  }
})
