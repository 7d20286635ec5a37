import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { CompressionError } from "../../core/ports/Compression.ts"
import { scanBatches } from "../../core/records/BatchScan.ts"
import { BatchBuilder, emptyBatch } from "../../core/records/BatchBuilder.ts"
import { ControlRecordType, controlRecordType, endTransactionBatch, endTransactionMarker } from "../../core/records/ControlRecord.ts"
import { type Record, records } from "../../core/records/Record.ts"
import { RecordBatch } from "../../core/records/RecordBatch.ts"
import { RecordError } from "../../core/records/RecordError.ts"
import { batchVectors, type ExpectedBatch, type ExpectedRecord, toHex } from "./Fixtures.ts"
import { compression, crypto } from "./Ports.ts"

const vectors = batchVectors()
const codecNames = ["none", "gzip", "snappy", "lz4", "zstd"]
const hexOf = (bytes: Uint8Array | null): string | null => bytes === null ? null : toHex(bytes)

const shownBatch = (batch: RecordBatch) => ({
  magic: batch.magic,
  baseOffset: batch.baseOffset,
  lastOffset: batch.lastOffset,
  sizeInBytes: batch.sizeInBytes,
  compression: codecNames[batch.compressionCodec],
  timestampType: batch.usesLogAppendTime ? "LogAppendTime" : "CreateTime",
  partitionLeaderEpoch: batch.partitionLeaderEpoch,
  crc32c: batch.crc,
  attributes: batch.attributes,
  isTransactional: batch.isTransactional,
  isControl: batch.isControl,
  lastOffsetDelta: batch.lastOffsetDelta,
  baseTimestamp: batch.baseTimestamp,
  maxTimestamp: batch.maxTimestamp,
  producerId: batch.producerId,
  producerEpoch: batch.producerEpoch,
  baseSequence: batch.baseSequence,
  deleteHorizonMs: batch.deleteHorizonMs
})

const expectedBatch = (batch: ExpectedBatch) => ({
  ...batch,
  records: undefined,
  baseOffset: Number(batch.baseOffset),
  lastOffset: Number(batch.lastOffset),
  baseTimestamp: Number(batch.baseTimestamp),
  maxTimestamp: Number(batch.maxTimestamp),
  producerId: Number(batch.producerId),
  deleteHorizonMs: batch.deleteHorizonMs === undefined ? undefined : Number(batch.deleteHorizonMs)
})

const shownRecord = (record: Record) => ({
  offset: record.offset,
  timestamp: record.timestamp,
  sequence: record.sequence,
  key: hexOf(record.key),
  value: hexOf(record.value),
  headers: record.headers.map(({ key, value }) => [key, hexOf(value)])
})

/** Sequences are stated where there is a producer id; kafkajs has them without one. */
const expectedRecord = (record: ExpectedRecord) => ({
  offset: Number(record.offset),
  timestamp: Number(record.timestamp),
  sequence: record.sequence ?? expect.any(Number),
  key: record.key,
  value: record.value,
  headers: record.headers
})

const withHash = (record: Record, expected: ExpectedRecord) => {
  const shown = shownRecord(record)
  if (expected.value === null || typeof expected.value === "string") return shown
  const value = record.value!
  return { ...shown, value: { length: value.length, sha256: createHash("sha256").update(value).digest("hex") } }
}

const scan = (bytes: Uint8Array): { readonly batches: Array<RecordBatch>; readonly stop: string; readonly detail: string } => {
  const batches: Array<RecordBatch> = []
  const { stop, detail } = scanBatches(bytes, { crypto }, (batch) => {
    batches.push(new RecordBatch(bytes, batch.position))
  })
  return { batches, stop, detail }
}

/** Whatever a reader meets first. */
const errorOf = (bytes: Uint8Array): unknown => {
  try {
    const { batches, stop, detail } = scan(bytes)
    if (stop === "Corrupt") return detail
    for (const batch of batches) for (const _ of records(batch, compression)) void _
    return undefined
  } catch (error) {
    return error
  }
}

describe("batches of four libraries", () => {
  it("are 125", () => {
    expect(vectors.length).toBe(125)
  })

  for (const vector of vectors) {
    const isOld = vector.batches.some((batch) => batch.magic < 2)
    it(`${vector.library}: ${vector.name}${isOld ? " is refused" : ""}`, () => {
      if (isOld) {
        // Kafka 4 neither takes nor stores magic 0 and 1
        expect(errorOf(vector.bytes)).toBe(`magic ${vector.batches[0]!.magic}`)
        return
      }
      if (vector.error !== undefined) {
        const error = errorOf(vector.bytes)
        if (vector.error === "CorruptRecordException") expect(error).toBeTypeOf("string")
        else expect(error).toBeInstanceOf(RecordError)
        return
      }
      const { batches, stop } = scan(vector.bytes)
      expect(stop).toBe(vector.name === "truncated-tail" ? "Partial" : "End")
      expect(batches.map(shownBatch)).toEqual(vector.batches.map(expectedBatch))
      batches.forEach((batch, index) => {
        const expected = vector.batches[index]!
        const found = [...records(batch, compression)]
        expect(found.length).toBe(expected.records.length)
        expect(found.map((record, at) => withHash(record, expected.records[at]!))).toEqual(expected.records.map(expectedRecord))
      })
    })
  }

  it("says of Java's bad batches what Java says", () => {
    const details = new Map(vectors.map((vector) => [vector.name, errorOf(vector.bytes)]))
    expect(details.get("bad-crc-field")).toBe("stored CRC 3577026328, computed 3560249112")
    expect(details.get("bad-magic-3")).toBe("Invalid magic found in record: 3")
    expect(details.get("bad-length-too-small")).toBe("Record size 10 is less than the minimum record overhead (14)")
    expect(String(details.get("bad-record-count-less"))).toContain("records still remaining")
    expect(String(details.get("bad-record-count-more"))).toContain("premature EOF")
    expect(String(details.get("bad-compression-codec-5"))).toContain("unknown compression codec 5")
  })

  it("come out byte for byte when built again from their records, where there is no compressor between", () => {
    let built = 0
    for (const vector of vectors) {
      if (vector.error !== undefined || vector.batches.some((batch) => batch.magic < 2)) continue
      for (const batch of scan(vector.bytes).batches) {
        const hasHorizon = batch.deleteHorizonMs !== undefined
        const codec = batch.compressionCodec as 0 | 1 | 2 | 3 | 4
        const isEmpty = batch.recordCount === 0
        const builder = new BatchBuilder({
          crypto,
          compression,
          codec,
          baseOffset: batch.baseOffset,
          lastOffset: batch.lastOffset,
          leaderEpoch: batch.partitionLeaderEpoch,
          producerId: batch.producerId,
          producerEpoch: batch.producerEpoch,
          baseSequence: batch.baseSequence,
          isTransactional: batch.isTransactional,
          isControl: batch.isControl,
          ...(batch.usesLogAppendTime ? { logAppendTimeMs: batch.maxTimestamp } : {}),
          ...(hasHorizon ? { deleteHorizonMs: batch.baseTimestamp } : {})
        })
        for (const record of records(batch, compression)) builder.appendAt(record.offset, record)
        const bytes = isEmpty ? emptyBatch(keptOf(batch), crypto) : builder.build()
        const again = new RecordBatch(bytes)
        // with log-append time the records' own timestamps are gone
        if (codec === 0 && !batch.usesLogAppendTime) expect(toHex(bytes), vector.name).toBe(toHex(batch.toBytes()))
        expect([...records(again, compression)].map(shownRecord)).toEqual([...records(batch, compression)].map(shownRecord))
        built++
      }
    }
    expect(built).toBeGreaterThan(90)
  })

  it("hold the control records that Java reads in them", () => {
    const types: { readonly [name: string]: number } = ControlRecordType
    let seen = 0
    for (const vector of vectors) {
      const batches = vector.batches.some(({ isControl }) => isControl) ? scan(vector.bytes).batches : []
      batches.forEach((batch, at) => {
        const expected = vector.batches[at]!.records
        if (!batch.isControl) return
        for (const [index, record] of [...records(batch, compression)].entries()) {
          const { controlType, coordinatorEpoch } = expected[index]!
          expect(controlRecordType(record.key)).toBe(types[controlType!])
          expect(endTransactionMarker(record)?.coordinatorEpoch).toBe(coordinatorEpoch)
          seen++
        }
      })
    }
    expect(seen).toBe(4)
    const commit = vectors.find(({ name }) => name === "v2-control-end-txn-commit")!
    const ours = endTransactionBatch({ type: ControlRecordType.COMMIT, coordinatorEpoch: 21 }, {
      crypto,
      producerId: 4242,
      producerEpoch: 3,
      timestamp: 1_700_000_000_000,
      baseOffset: 777,
      leaderEpoch: 4
    })
    expect(toHex(ours)).toBe(toHex(commit.bytes))
  })

  it("refuse what is no control record", () => {
    for (const key of [null, new Uint8Array(3), Uint8Array.of(255, 255, 0, 0)]) {
      expect(() => controlRecordType(key)).toThrow(RecordError)
    }
    const key = Uint8Array.of(0, 0, 0, 1)
    for (const value of [null, new Uint8Array(5), Uint8Array.of(255, 255, 0, 0, 0, 0)]) {
      expect(() => endTransactionMarker({ key, value })).toThrow(RecordError)
    }
  })

  it("say when a payload does not decompress", () => {
    const gzip = vectors.find(({ name }) => name === "v2-gzip-basic")!.bytes.slice()
    gzip.fill(0, 70)
    new RecordBatch(gzip).refreshCrc(crypto)
    expect(errorOf(gzip)).toBeInstanceOf(CompressionError)
  })
})

const keptOf = (batch: RecordBatch) => ({
  baseOffset: batch.baseOffset,
  lastOffset: batch.lastOffset,
  leaderEpoch: batch.partitionLeaderEpoch,
  maxTimestamp: batch.maxTimestamp,
  usesLogAppendTime: batch.usesLogAppendTime,
  producerId: batch.producerId,
  producerEpoch: batch.producerEpoch,
  baseSequence: batch.baseSequence,
  isTransactional: batch.isTransactional,
  isControl: batch.isControl
})
