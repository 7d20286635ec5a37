import { describe, expect, it } from "vitest"
import { buildBatch, type Codec, readBatches, readRecords } from "./Batches.ts"
import { Random } from "./Random.ts"

describe("the oracle's own batches", () => {
  it("read back as they were built, with every codec", () => {
    const random = new Random(3)
    for (const codec of [0, 1, 2, 3, 4] as ReadonlyArray<Codec>) {
      const records = Array.from({ length: random.int(1, 60) }, (_, i) => ({
        key: i % 3 === 0 ? null : random.text(5),
        value: i % 7 === 0 ? null : random.text(random.int(0, 2000)),
        timestamp: 1_700_000_000_000 + random.int(-50, 50),
        headers: i % 5 === 0 ? [["a", random.bytes(3)] as const, ["", null] as const] : []
      }))
      const bytes = buildBatch({ records, codec, baseOffset: 40, producerId: 7, producerEpoch: 1, baseSequence: 12 })
      const { batches, partialBytes } = readBatches(Buffer.concat([bytes, bytes.subarray(0, 70)]))
      expect(partialBytes).toBe(70)
      expect(batches).toHaveLength(1)
      const [batch] = batches
      expect(batch).toMatchObject({ baseOffset: 40, crcIsRight: true, codec, producerId: 7, producerEpoch: 1, baseSequence: 12, count: records.length })
      const read = batch === undefined ? [] : readRecords(batch)
      expect(read.map((r) => [r.offset, r.timestamp])).toEqual(records.map((r, i) => [40 + i, r.timestamp]))
      expect(read.map((r) => [r.key === null ? null : [...r.key], r.value === null ? null : [...r.value]])).toEqual(
        records.map((r) => [r.key === null ? null : [...r.key], r.value === null ? null : [...r.value]])
      )
      expect(read.map((r) => r.headers.map(([key]) => key))).toEqual(records.map((r) => r.headers.map(([key]) => key)))
    }
  })

  it("tell a wrong checksum and a wrong count", () => {
    const records = [{ key: null, value: Uint8Array.of(1), timestamp: 5 }]
    expect(readBatches(buildBatch({ records, crcXor: 1 })).batches[0]?.crcIsRight).toBe(false)
    const [batch] = readBatches(buildBatch({ records, count: 2 })).batches
    expect(() => batch && readRecords(batch)).toThrow(RangeError)
  })
})
