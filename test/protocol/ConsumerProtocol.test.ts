import { describe, expect, it } from "vitest"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import {
  decodeConsumerProtocolAssignment,
  encodeConsumerProtocolAssignment
} from "../../core/protocol/generated/records/ConsumerProtocolAssignment.ts"
import {
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolSubscription
} from "../../core/protocol/generated/records/ConsumerProtocolSubscription.ts"
import { readJson } from "./Fixtures.ts"
import { fromHex, toHex } from "./Schemas.ts"

type Pair = readonly [topic: string, partition: number]

interface Vector {
  readonly type: "subscription" | "assignment"
  readonly version: number
  readonly topics?: ReadonlyArray<string>
  readonly ownedPartitions?: ReadonlyArray<Pair>
  readonly partitions?: ReadonlyArray<Pair>
  readonly generationId?: number
  readonly rackId?: string | null
  readonly userData: string | null
  readonly hex: string
}

interface TopicPartitions {
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
}
const pairs = (topics: ReadonlyArray<TopicPartitions>): Array<string> =>
  topics.flatMap(({ topic, partitions }) => partitions.map((partition) => `${topic}-${partition}`)).sort()
const spelled = (given: ReadonlyArray<Pair>): Array<string> =>
  given.map(([topic, partition]) => `${topic}-${partition}`).sort()

describe("the consumers' own protocol", () => {
  const { vectors } = readJson("consumer-protocol.json") as { readonly vectors: ReadonlyArray<Vector> }

  it("reads and writes what Kafka's consumer puts into JoinGroup and SyncGroup", () => {
    expect(vectors.length).toBe(28)
    for (const vector of vectors) {
      // An int16 version, then the message; the version is not part of the schema.
      const reader = new ByteReader(fromHex(vector.hex))
      const version = reader.int16()
      expect(version).toBe(vector.version)
      const writer = new ByteWriter()
      writer.int16(version)
      if (vector.type === "subscription") {
        const value = decodeConsumerProtocolSubscription(reader, version)
        // Kafka writes the topics sorted.
        expect([...value.topics]).toEqual([...vector.topics!].sort())
        expect(value.userData === null ? null : toHex(value.userData)).toBe(vector.userData)
        expect(pairs(value.ownedPartitions)).toEqual(version >= 1 ? spelled(vector.ownedPartitions!) : [])
        expect(value.generationId).toBe(version >= 2 ? vector.generationId : -1)
        expect(value.rackId).toBe(version >= 3 ? vector.rackId : null)
        encodeConsumerProtocolSubscription(writer, version, value)
      } else {
        const value = decodeConsumerProtocolAssignment(reader, version)
        expect(pairs(value.assignedPartitions)).toEqual(spelled(vector.partitions!))
        expect(value.userData === null ? null : toHex(value.userData)).toBe(vector.userData)
        encodeConsumerProtocolAssignment(writer, version, value)
      }
      expect(reader.remaining).toBe(0)
      expect(toHex(writer.toBytes())).toBe(vector.hex)
    }
  })
})
