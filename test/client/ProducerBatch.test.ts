import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ProducerBatch } from "../../core/client/ProducerBatch.ts"
import { ProducerMemory } from "../../core/client/ProducerMemory.ts"
import type { Compression } from "../../core/ports/Compression.ts"
import { buildBatch } from "../../core/records/BatchBuilder.ts"
import { crc32c } from "../../core/records/Crc32c.ts"
import { recordInputs } from "../records/Arbitraries.ts"
import { readBatches, readRecords } from "../oracle/Batches.ts"

const crypto = { crc32c, randomBytes: (count: number) => new Uint8Array(count) }
const noCompression: Compression = { compress: (_, bytes) => bytes, decompress: (_, bytes) => bytes }
const SIZE = 1000

const batchOf = (memory: ProducerMemory, limitBytes: number): ProducerBatch =>
  new ProducerBatch("t", 0, 0, memory.claim(SIZE), SIZE, limitBytes)

describe("A producer's batch", () => {
  it("has the bytes of the builder that has no pool and no listeners", () => {
    const memory = new ProducerMemory(1e9, SIZE)
    fc.assert(fc.property(fc.array(recordInputs, { minLength: 1, maxLength: 20 }), fc.nat(), fc.nat(30_000), (records, id, epoch) => {
      const batch = batchOf(memory, Infinity)
      for (const { headers, key, timestamp, value } of records) {
        expect(batch.append(timestamp, key, value, headers, undefined, memory)).toBeGreaterThan(0)
      }
      batch.close(0, undefined, noCompression)
      batch.identify(id, epoch, 7)
      expect(batch.toBytes(crypto)).toEqual(buildBatch(records, { crypto, producerId: id, producerEpoch: epoch, baseSequence: 7 }))
      // Under another epoch it is written again.
      batch.identify(id, epoch + 1, 0)
      expect(batch.toBytes(crypto)).toEqual(buildBatch(records, { crypto, producerId: id, producerEpoch: epoch + 1, baseSequence: 0 }))
      batch.release(memory, true)
      expect(memory.claimedBytes).toBe(0)
    }))
  })

  it("takes what fits, whatever the first record's size", () => {
    const memory = new ProducerMemory(1e9, SIZE)
    fc.assert(fc.property(fc.array(recordInputs, { minLength: 1, maxLength: 60 }), (records) => {
      const batch = batchOf(memory, SIZE)
      for (const { headers, key, timestamp, value } of records) batch.append(timestamp, key, value, headers, undefined, memory)
      expect(batch.count).toBeGreaterThan(0)
      if (batch.count > 1) expect(batch.sizeInBytes).toBeLessThanOrEqual(SIZE)
    }))
  })

  it("keeps every record, its order and its listener when it is split", () => {
    const memory = new ProducerMemory(1e9, SIZE)
    fc.assert(fc.property(fc.array(recordInputs, { minLength: 2, maxLength: 30 }), fc.integer({ min: 70, max: 2000 }), (records, target) => {
      const batch = batchOf(memory, Infinity)
      const told: Array<number> = []
      records.forEach(({ headers, key, timestamp, value }, index) =>
        batch.append(timestamp, key, value, headers, () => told.push(index), memory))
      batch.close(0, undefined, noCompression)
      batch.identify(5, 0, 100)
      const parts = batch.split(target, noCompression, memory)
      const read = parts.flatMap((part) => {
        part.close(0, undefined, noCompression)
        return readBatches(part.toBytes(crypto)).batches.flatMap(readRecords)
      })
      expect(read.map(({ key, value }) => [key, value].map((one) => one === null ? null : Array.from(one))))
        .toEqual(records.map(({ key, value }) => [key, value].map((one) => one === null ? null : Array.from(one))))
      let sequence = 100
      for (const part of parts) {
        expect(part.baseSequence).toBe(sequence)
        sequence += part.count
        part.tell({ _tag: "Acknowledged", baseOffset: 0, logAppendTimeMs: -1 }, (error) => { throw error })
        part.release(memory, true)
      }
      batch.release(memory, true)
      expect(told).toEqual(records.map((_, index) => index))
      expect(memory.claimedBytes).toBe(0)
    }))
  })
})
