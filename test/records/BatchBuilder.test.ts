import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { BatchBuilder, buildBatch } from "../../core/records/BatchBuilder.ts"
import { scanBatches } from "../../core/records/BatchScan.ts"
import { type Record, records } from "../../core/records/Record.ts"
import { incrementSequence, RecordBatch } from "../../core/records/RecordBatch.ts"
import { recordInputs } from "./Arbitraries.ts"
import { compression, crypto } from "./Ports.ts"

const codecs = fc.constantFrom<0 | 1 | 2 | 3 | 4>(0, 0, 1, 2, 3, 4)
const plain = (bytes: Uint8Array | null): ReadonlyArray<number> | null => bytes === null ? null : Array.from(bytes)
const shown = (record: Omit<Record, "sequence" | "offset">) => ({
  timestamp: record.timestamp,
  key: plain(record.key),
  value: plain(record.value),
  headers: record.headers.map(({ key, value }) => [key, plain(value)])
})

describe("BatchBuilder", () => {
  it("what is built is what is viewed", () => {
    fc.assert(
      fc.property(
        fc.array(recordInputs, { maxLength: 30 }),
        codecs,
        fc.record({
          baseOffset: fc.maxSafeNat().map((n) => Math.floor(n / 2)),
          leaderEpoch: fc.integer(),
          producerId: fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER }),
          producerEpoch: fc.integer({ min: -1, max: 32767 }),
          baseSequence: fc.integer({ min: -1, max: 0x7fff_ffff }),
          isTransactional: fc.boolean(),
          isControl: fc.boolean()
        }),
        (inputs, codec, header) => {
          const builder = new BatchBuilder({ crypto, compression, codec, ...header })
          for (const input of inputs) {
            const sizeWith = builder.sizeWith(input)
            builder.append(input)
            expect(builder.sizeInBytes).toBe(sizeWith)
          }
          const uncompressed = builder.sizeInBytes
          const bytes = builder.build()
          const batch = new RecordBatch(bytes)
          const { leaderEpoch, ...same } = header
          expect(batch.partitionLeaderEpoch).toBe(leaderEpoch)
          expect(batch).toMatchObject(same)
          expect(batch.sizeInBytes).toBe(bytes.length)
          if (codec === 0) expect(bytes.length).toBe(uncompressed)
          expect(batch.recordCount).toBe(inputs.length)
          expect(batch.lastOffset).toBe(header.baseOffset + inputs.length - 1)
          expect(batch.maxTimestamp).toBe(Math.max(-1, ...inputs.map(({ timestamp }) => timestamp)))
          expect(batch.compressionCodec).toBe(inputs.length === 0 ? 0 : codec)
          const found = [...records(batch, compression)]
          expect(found.map(shown)).toEqual(inputs.map(shown))
          expect(found.map(({ offset }) => offset)).toEqual(inputs.map((_, index) => header.baseOffset + index))
          expect(found.map(({ sequence }) => sequence)).toEqual(
            inputs.map((_, index) => header.baseSequence < 0 ? -1 : incrementSequence(header.baseSequence, index))
          )
        }
      ),
      { seed: 11, numRuns: 200 }
    )
  })

  it("stamping changes offset and epoch and leaves the CRC right; a new max timestamp brings its own", () => {
    fc.assert(
      fc.property(
        fc.array(recordInputs, { minLength: 1, maxLength: 5 }),
        fc.maxSafeNat(),
        fc.nat(0x7fff_ffff),
        fc.integer({ min: -1, max: 2 ** 52 }),
        fc.boolean(),
        (inputs, offset, epoch, time, logAppendTime) => {
          const batch = new RecordBatch(buildBatch(inputs, { crypto, isTransactional: true }))
          batch.stamp(offset, epoch)
          expect([batch.baseOffset, batch.partitionLeaderEpoch, batch.isIntact(crypto)]).toEqual([offset, epoch, true])
          batch.setMaxTimestamp(logAppendTime, time, crypto)
          expect([batch.maxTimestamp, batch.usesLogAppendTime, batch.isTransactional, batch.isIntact(crypto)])
            .toEqual([time, logAppendTime, true, true])
          if (logAppendTime) for (const { timestamp } of records(batch, compression)) expect(timestamp).toBe(time)
        }
      ),
      { seed: 12, numRuns: 200 }
    )
  })

  it("a flip of any bit from the CRC on is noticed", () => {
    const bytes = buildBatch([{ timestamp: 5, key: null, value: new Uint8Array(30).fill(7) }], { crypto })
    for (let bit = 17 * 8; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >>> 3]! ^= 1 << (bit & 7)
      expect(new RecordBatch(flipped).isIntact(crypto), `bit ${bit}`).toBe(false)
      expect(scanBatches(flipped, { crypto }).stop, `bit ${bit}`).toBe("Corrupt")
    }
  })

  it("refuses offsets that do not rise", () => {
    const builder = new BatchBuilder({ crypto, baseOffset: 5 })
    builder.appendAt(7, {})
    expect(() => builder.appendAt(7, {})).toThrow(RangeError)
    expect(() => builder.appendAt(6, {})).toThrow(RangeError)
  })

  it("keeps lone surrogates as the replacement character that an encoder makes of them", () => {
    const bytes = buildBatch([{ headers: [{ key: "a\ud800b", value: null }, { key: "\ud83d\ude00", value: null }] }], { crypto })
    const [record] = [...records(new RecordBatch(bytes), compression)]
    expect(record!.headers.map(({ key }) => key)).toEqual(["a\ufffdb", "\ud83d\ude00"])
  })
})
