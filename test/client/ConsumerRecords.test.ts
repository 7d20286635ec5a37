import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import type { ConsumerRecord } from "../../core/client/Consumer.ts"
import { type AbortedTransaction, endOfBatches, FetchedRecords } from "../../core/client/FetcherRecords.ts"
import { buildBatch, type RecordInput } from "../../core/records/BatchBuilder.ts"
import { ControlRecordType, endTransactionBatch } from "../../core/records/ControlRecord.ts"
import { records } from "../../core/records/Record.ts"
import { RecordBatch } from "../../core/records/RecordBatch.ts"
import { recordInputs } from "../records/Arbitraries.ts"
import { compression, crypto } from "../records/Ports.ts"

const here = { topic: "t", partition: 3 }
const options = { crypto, compression }

const join = (batches: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(batches.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const batch of batches) {
    bytes.set(batch, at)
    at += batch.length
  }
  return bytes
}

/** The runtime's own kind of bytes, such as a Buffer that a codec gives, is no difference. */
const plain = (bytes: Uint8Array | null): ReadonlyArray<number> | null => bytes === null ? null : [...bytes]
const shown = (record: ConsumerRecord) => ({
  ...record,
  key: plain(record.key),
  value: plain(record.value),
  headers: record.headers.map(({ key, value }) => [key, plain(value)])
})

/** In takes of the sizes given, again and again. */
const takeAll = (fetched: FetchedRecords, sizes: ReadonlyArray<number>): ReadonlyArray<ConsumerRecord> => {
  const all: Array<ConsumerRecord> = []
  for (let round = 0;; round++) {
    const before = all.length
    const max = sizes[round % sizes.length]!
    const hasMore = fetched.take(max, all)
    expect(all.length - before).toBeLessThanOrEqual(max)
    if (!hasMore) return all
  }
}

interface BatchPlan {
  readonly inputs: ReadonlyArray<RecordInput>
  readonly codec: 0 | 1 | 2 | 3 | 4
}

const batchPlans: fc.Arbitrary<ReadonlyArray<BatchPlan>> = fc.array(
  fc.record({
    inputs: fc.array(recordInputs, { minLength: 1, maxLength: 12 }),
    codec: fc.constantFrom<0 | 1 | 2 | 3 | 4>(0, 0, 1, 2, 3, 4)
  }),
  { minLength: 1, maxLength: 6 }
)

const log = (plans: ReadonlyArray<BatchPlan>): ReadonlyArray<Uint8Array> => {
  let baseOffset = 0
  return plans.map(({ codec, inputs }, index) => {
    const batch = buildBatch(inputs, { crypto, compression, codec, baseOffset, leaderEpoch: index })
    baseOffset += inputs.length
    return batch
  })
}

describe("FetchedRecords", () => {
  it("gives what the batches hold, from the offset asked for, in takes of any size", () => {
    fc.assert(
      fc.property(batchPlans, fc.nat(20), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }), fc.nat(60), (plans, from, sizes, cut) => {
        const batches = log(plans)
        const bytes = join(batches)
        // A fetch may end in a part of a batch.
        const partial = join([...batches, batches[0]!.subarray(0, Math.min(cut, batches[0]!.length - 1))])
        const expected = batches.flatMap((batch, index) =>
          [...records(new RecordBatch(batch), compression)].map(({ headers, key, offset, timestamp, value }) => ({
            ...here, offset, timestamp, timestampType: "CreateTime" as const, leaderEpoch: index, key, value, headers
          }))
        ).filter(({ offset }) => offset >= from)
        const fetched = new FetchedRecords(here, partial, from, undefined, options)
        expect(takeAll(fetched, sizes).map(shown)).toEqual(expected.map(shown))
        const end = endOfBatches(bytes)!
        expect(fetched.nextOffset).toBe(Math.max(from, end.nextOffset))
        expect(endOfBatches(partial)).toEqual(end)
      })
    )
  })

  it("a record's place in compaction's gaps and the end of its batch are kept", () => {
    const batch = buildBatch([{ timestamp: 1, key: null, value: new Uint8Array(1) }], { crypto, baseOffset: 10 })
    const bytes = new RecordBatch(batch)
    // The last two records of the batch were compacted away: its last offset stays.
    new DataView(batch.buffer, batch.byteOffset).setInt32(23, 2)
    bytes.refreshCrc(crypto)
    const fetched = new FetchedRecords(here, batch, 10, undefined, options)
    expect(takeAll(fetched, [5]).map(({ offset }) => offset)).toEqual([10])
    expect(fetched.nextOffset).toBe(13)
  })

  it("bytes that changed on the way are refused, and everything before them is given", () => {
    fc.assert(
      fc.property(batchPlans, fc.nat(), fc.integer({ min: 1, max: 255 }), (plans, where, flip) => {
        const batches = log(plans)
        const bytes = join(batches)
        const broken = where % batches.length
        const start = batches.slice(0, broken).reduce((sum, { length }) => sum + length, 0)
        const { length } = batches[broken]!
        // After the part that the CRC leaves out.
        const at = start + length - 1 - where % (length - 21)
        bytes[at] = bytes[at]! ^ flip
        const out: Array<ConsumerRecord> = []
        const fetched = new FetchedRecords(here, bytes, 0, undefined, options)
        expect(() => fetched.take(1000, out)).toThrow(/stored crc/)
        const before = plans.slice(0, broken).reduce((sum, { inputs }) => sum + inputs.length, 0)
        expect(out.map(({ offset }) => offset)).toEqual(Array.from({ length: before }, (_, offset) => offset))
        expect(fetched.nextOffset).toBe(before)
      })
    )
  })

  it("without CRCs nothing but a RecordError or a CompressionError comes of changed bytes", () => {
    fc.assert(
      fc.property(batchPlans, fc.nat(), fc.integer({ min: 1, max: 255 }), (plans, where, flip) => {
        const batches = log(plans)
        const bytes = join(batches)
        const at = 61 + where % (bytes.length - 61)
        bytes[at] = bytes[at]! ^ flip
        const out: Array<ConsumerRecord> = []
        try {
          new FetchedRecords(here, bytes, 0, undefined, { crypto: undefined, compression }).take(1000, out)
        } catch (error) {
          expect((error as { _tag?: string })._tag).toMatch(/^(RecordError|CompressionError)$/)
        }
      }),
      { numRuns: 300 }
    )
  })

  it("read_committed leaves out the records of aborted transactions and no others", () => {
    // By producer, what it does next: write, commit, abort.
    const moves = fc.array(fc.record({ producer: fc.nat(2), move: fc.constantFrom("write", "write", "write", "commit", "abort", "plain") }), { maxLength: 40 })
    fc.assert(
      fc.property(moves, fc.nat(10), (script, skipped) => {
        const batches: Array<Uint8Array> = []
        const open = new Map<number, Array<number>>()
        const committed = new Set<number>()
        const aborted: Array<AbortedTransaction & { readonly last: number }> = []
        let offset = 0
        const write = (producerId: number, isTransactional: boolean): void => {
          batches.push(buildBatch([{ timestamp: 1, key: null, value: new Uint8Array([offset]) }], {
            crypto, baseOffset: offset, isTransactional, ...(isTransactional ? { producerId, producerEpoch: 0, baseSequence: 0 } : {})
          }))
        }
        for (const { move, producer } of script) {
          if (move === "plain") {
            write(producer, false)
            committed.add(offset)
          } else if (move === "write") {
            write(producer, true)
            open.set(producer, [...open.get(producer) ?? [], offset])
          } else {
            const offsets = open.get(producer)
            if (offsets === undefined) continue
            open.delete(producer)
            batches.push(endTransactionBatch(
              { type: move === "commit" ? ControlRecordType.COMMIT : ControlRecordType.ABORT, coordinatorEpoch: 0 },
              { crypto, producerId: producer, producerEpoch: 0, timestamp: 1, baseOffset: offset }
            ))
            if (move === "commit") for (const one of offsets) committed.add(one)
            else aborted.push({ producerId: producer, firstOffset: offsets[0]!, last: offset })
          }
          offset++
        }
        // Up to the last stable offset, as a broker sends it; from a batch in the middle on.
        const stable = Math.min(offset, ...[...open.values()].map(([first]) => first!))
        const from = Math.min(skipped, stable)
        const bytes = join(batches.slice(from, stable))
        const list = aborted.filter(({ firstOffset, last }) => firstOffset < stable && last >= from).sort((a, b) => a.firstOffset - b.firstOffset)
        const fetched = new FetchedRecords(here, bytes, from, list, options)
        expect(takeAll(fetched, [3]).map((record) => record.offset)).toEqual(
          [...committed].filter((one) => one >= from && one < stable).sort((a, b) => a - b)
        )
        expect(fetched.nextOffset).toBe(stable)
      })
    )
  })
})
