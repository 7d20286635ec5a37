import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as CompressionLayer from "../../adapters/shared/Compression.ts"
import { CleanedTransactions } from "../../core/log/CleanedTransactions.ts"
import { compactBatch, type CompactionContext, indexBatch, type LastRecord } from "../../core/log/Compaction.ts"
import { OffsetMap } from "../../core/log/OffsetMap.ts"
import type { AbortedEntry } from "../../core/log/TransactionIndex.ts"
import { Compression, type CompressionCodec } from "../../core/ports/Compression.ts"
import type { Crypto } from "../../core/ports/Crypto.ts"
import { BatchBuilder, type BatchOptions, type RecordInput } from "../../core/records/BatchBuilder.ts"
import { ControlRecordType, endTransactionBatch } from "../../core/records/ControlRecord.ts"
import { crc32c } from "../../core/records/Crc32c.ts"
import { records } from "../../core/records/Record.ts"
import { RecordBatch } from "../../core/records/RecordBatch.ts"

const crypto: Crypto = { crc32c, randomBytes: (count) => new Uint8Array(count) }
const compression = Effect.runSync(
  Effect.scoped(Effect.map(Layer.build(CompressionLayer.layer), (context) => Context.get(context, Compression)))
)
const DELETE_RETENTION_MS = 1000
const NOW = 1_000_000

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (bytes: Uint8Array | null): string | null => bytes === null ? null : new TextDecoder().decode(bytes)

/** A log in memory, with what its indexes and producers would say. */
class TestLog {
  batches: Array<Uint8Array> = []
  endOffset = 0
  aborted: Array<AbortedEntry> = []
  readonly lastRecords = new Map<number, LastRecord>()
  private readonly open = new Map<number, number>()

  append(inputs: ReadonlyArray<RecordInput>, options: Partial<BatchOptions> = {}): RecordBatch {
    const builder = new BatchBuilder({ crypto, compression, leaderEpoch: 3, ...options, baseOffset: this.endOffset })
    for (const input of inputs) builder.append(input)
    const batch = new RecordBatch(builder.build())
    const { producerId } = batch
    if (batch.isTransactional && !this.open.has(producerId)) this.open.set(producerId, this.endOffset)
    if (producerId >= 0) {
      this.lastRecords.set(producerId, { lastDataOffset: batch.lastOffset, producerEpoch: batch.producerEpoch })
    }
    return this.add(batch)
  }

  end(producerId: number, isAbort: boolean, producerEpoch = 0): void {
    const type = isAbort ? ControlRecordType.ABORT : ControlRecordType.COMMIT
    const firstOffset = this.open.get(producerId)
    if (isAbort && firstOffset !== undefined) {
      this.aborted.push({ producerId, firstOffset, lastOffset: this.endOffset, lastStableOffset: 0 })
    }
    this.open.delete(producerId)
    this.add(new RecordBatch(endTransactionBatch(
      { type, coordinatorEpoch: 1 },
      { crypto, producerId, producerEpoch, timestamp: 50, baseOffset: this.endOffset }
    )))
    const last = this.lastRecords.get(producerId)
    this.lastRecords.set(producerId, { lastDataOffset: last?.lastDataOffset ?? -1, producerEpoch })
  }

  private add(batch: RecordBatch): RecordBatch {
    this.batches.push(batch.toBytes())
    this.endOffset = batch.nextOffset
    return batch
  }

  get lastStableOffset(): number {
    return Math.min(this.endOffset, ...this.open.values())
  }

  /** Batches below the last stable offset. */
  get stable(): ReadonlyArray<RecordBatch> {
    const { lastStableOffset } = this
    return views(this.batches).filter((batch) => batch.lastOffset < lastStableOffset)
  }
}

const views = (batches: ReadonlyArray<Uint8Array>): ReadonlyArray<RecordBatch> => batches.map((bytes) => new RecordBatch(bytes))

interface CompactOptions {
  readonly nowMs?: number
  readonly startOffset?: number
  readonly memoryBytes?: number
  readonly lastRecords?: ReadonlyMap<number, LastRecord>
}

/** What the cleaner does, with the log's stable part as one segment. */
const compact = (log: TestLog, options: CompactOptions = {}): { readonly nextDirtyOffset: number; readonly map: OffsetMap } => {
  const startOffset = options.startOffset ?? 0
  const map = new OffsetMap({ memoryBytes: options.memoryBytes ?? 100_000, loadFactor: 1, seed: new Uint8Array(8) })
  const stable = log.stable
  const rest = log.batches.slice(stable.length)
  const endOffset = log.lastStableOffset
  const first = new CleanedTransactions()
  first.addAborted(log.aborted.filter((entry) => entry.lastOffset >= startOffset && entry.firstOffset < endOffset))
  const isWhole = stable.every((batch) =>
    batch.lastOffset < startOffset || indexBatch(batch, { map, startOffset, transactions: first, crypto, compression })
  )
  if (isWhole) map.updateLatestOffset(endOffset - 1)
  const transactions = new CleanedTransactions()
  transactions.addAborted(log.aborted.filter((entry) => entry.firstOffset < endOffset))
  const context: CompactionContext = {
    map,
    transactions,
    lastRecords: options.lastRecords ?? log.lastRecords,
    endOffset,
    nowMs: options.nowMs ?? NOW,
    deleteRetentionMs: DELETE_RETENTION_MS,
    crypto,
    compression
  }
  const kept: Array<Uint8Array> = []
  for (const batch of stable) {
    const result = compactBatch(batch, context)
    if (result !== "Drop") kept.push(result)
  }
  log.batches = [...kept, ...rest]
  log.aborted = [...transactions.takeRetained(), ...log.aborted.filter((entry) => entry.lastOffset >= endOffset)]
  return { nextDirtyOffset: map.latestOffset + 1, map }
}

interface Plain {
  readonly offset: number
  readonly timestamp: number
  readonly sequence: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: string
}

const recordsOf = (batch: RecordBatch): ReadonlyArray<Plain> =>
  batch.isControl ? [] : [...records(batch, compression)].map((record) => ({
    ...record,
    key: text(record.key),
    value: text(record.value),
    headers: record.headers.map((header) => `${header.key}=${text(header.value)}`).join()
  }))

const dataOf = (batches: ReadonlyArray<RecordBatch>): ReadonlyArray<Plain> => batches.flatMap(recordsOf)

const pairs = (log: TestLog): ReadonlyArray<string> =>
  dataOf(views(log.batches)).map(({ key, offset, value }) => `${offset}:${key}=${value}`)

const kv = (...specs: ReadonlyArray<string>): ReadonlyArray<RecordInput> =>
  specs.map((spec, i) => {
    const [key, value] = spec.split("=")
    return { timestamp: 100 + i, key: utf8(key!), value: value === undefined ? null : utf8(value) }
  })

describe("compaction", () => {
  it("keeps the last value of each key, where it is", () => {
    const log = new TestLog()
    log.append(kv("a=1", "b=1", "a=2"))
    log.append(kv("b=2", "c=1"))
    log.append(kv("d=1"))
    compact(log)
    expect(pairs(log)).toEqual(["2:a=2", "3:b=2", "4:c=1", "5:d=1"])
    expect(views(log.batches).map((b) => [b.baseOffset, b.lastOffset, b.recordCount])).toEqual([[0, 2, 1], [3, 4, 2], [5, 5, 1]])
  })

  it("gives a batch of which all stays as a view on the same bytes", () => {
    const log = new TestLog()
    log.append(kv("a=1"))
    const [before] = log.batches
    compact(log)
    expect(log.batches[0]!.buffer).toBe(before!.buffer)
  })

  it("keeps everything about a record but its place in the batch's bytes", () => {
    for (const codec of [0, 1, 2, 3, 4] as const) {
      const log = new TestLog()
      const headers = [{ key: "h\u00e9", value: utf8("v") }, { key: "", value: null }]
      log.append(
        [
          { timestamp: 10, key: utf8("a"), value: utf8("old") },
          { timestamp: 40, key: utf8("b"), value: utf8("x".repeat(300)), headers },
          { timestamp: 30, key: utf8(""), value: utf8("") },
          { timestamp: 90, key: utf8("a"), value: utf8("old") }
        ],
        { codec, producerId: 7, producerEpoch: 2, baseSequence: 0x7fff_fffe }
      )
      log.append(kv("a=new"))
      const before = dataOf(views(log.batches)).filter(({ value }) => value !== "old")
      compact(log)
      expect(dataOf(views(log.batches))).toEqual(before)
      const [batch] = views(log.batches)
      expect({ ...batchFacts(batch!) }).toEqual({
        codec,
        baseOffset: 0,
        lastOffset: 3,
        baseTimestamp: 40,
        maxTimestamp: 40,
        producerId: 7,
        producerEpoch: 2,
        baseSequence: 0x7fff_fffe,
        leaderEpoch: 3,
        count: 2
      })
    }
  })

  it("keeps log-append time", () => {
    const log = new TestLog()
    log.append(kv("a=1", "b=1"), { logAppendTimeMs: 777 })
    log.append(kv("b=2"))
    compact(log)
    const [batch] = views(log.batches)
    expect([batch!.usesLogAppendTime, batch!.maxTimestamp, recordsOf(batch!)[0]!.timestamp]).toEqual([true, 777, 777])
  })

  it("drops records without a key, as Kafka, up to where the map reaches", () => {
    const log = new TestLog()
    log.append([{ key: null, value: utf8("x") }, { key: utf8("a"), value: utf8("1") }])
    compact(log)
    expect(pairs(log)).toEqual(["1:a=1"])
  })

  it("drops an emptied batch, but not the last below the end", () => {
    const log = new TestLog()
    log.append(kv("a=1"))
    log.append(kv("a=2"))
    log.append([{ key: null, value: utf8("x") }])
    compact(log)
    expect(views(log.batches).map((b) => [b.baseOffset, b.lastOffset, b.recordCount])).toEqual([[1, 1, 1], [2, 2, 0]])
  })

  it("keeps an emptied batch that has the last sequence of a producer that is still known", () => {
    const log = new TestLog()
    const producer = { producerId: 9, producerEpoch: 1 }
    log.append(kv("a=1"), { ...producer, baseSequence: 0 })
    log.append(kv("a=2", "b=1"), { ...producer, baseSequence: 1, codec: 1 })
    log.append(kv("a=3", "b=2"))
    compact(log)
    const [kept] = views(log.batches)
    expect({ ...batchFacts(kept!), last: kept!.lastSequence }).toEqual({
      codec: 0,
      baseOffset: 1,
      lastOffset: 2,
      baseTimestamp: -1,
      maxTimestamp: 101,
      producerId: 9,
      producerEpoch: 1,
      baseSequence: 1,
      leaderEpoch: 3,
      count: 0,
      last: 2
    })
    expect([kept!.sizeInBytes, kept!.isIntact(crypto)]).toEqual([61, true])
    // Once more changes nothing; once the producer is forgotten, the batch goes.
    const once = log.batches
    compact(log)
    expect(log.batches).toEqual(once)
    compact(log, { lastRecords: new Map() })
    expect(views(log.batches).map((b) => b.baseOffset)).toEqual([3])
  })

  it("gives tombstones a delete horizon, keeps them and their times till then, and then drops them (KIP-534)", () => {
    const log = new TestLog()
    log.append(kv("a=1", "b"), { codec: 3 })
    log.append(kv("a", "c=1"))
    log.append(kv("end=1"))
    const times = dataOf(views(log.batches)).map(({ offset, timestamp }) => [offset, timestamp])
    compact(log)
    expect(pairs(log)).toEqual(["1:b=null", "2:a=null", "3:c=1", "4:end=1"])
    expect(views(log.batches).map((b) => b.deleteHorizonMs)).toEqual([NOW + 1000, NOW + 1000, undefined])
    expect(dataOf(views(log.batches)).map(({ offset, timestamp }) => [offset, timestamp])).toEqual(times.slice(1))
    expect(views(log.batches).map((b) => b.maxTimestamp)).toEqual([101, 101, 100])
    // The horizon stands, whatever later compactions find.
    const once = log.batches
    compact(log, { nowMs: NOW + 999 })
    expect(log.batches).toEqual(once)
    compact(log, { nowMs: NOW + 1000 })
    expect(pairs(log)).toEqual(["3:c=1", "4:end=1"])
    expect(views(log.batches)[0]!.deleteHorizonMs).toBe(NOW + 1000)
    expect(recordsOf(views(log.batches)[0]!)[0]!.timestamp).toBe(101)
  })

  it("drops aborted data at once; a marker when its data is gone and its own horizon has passed", () => {
    const log = new TestLog()
    const transactional = { producerId: 4, producerEpoch: 0, isTransactional: true }
    log.append(kv("a=good"))
    log.append(kv("a=bad"), { ...transactional, baseSequence: 0 })
    log.end(4, true)
    log.append(kv("b=1"), { ...transactional, baseSequence: 1 })
    log.end(4, false)
    log.append(kv("z=1"))
    compact(log)
    expect(pairs(log)).toEqual(["0:a=good", "3:b=1", "5:z=1"])
    const markers = (): ReadonlyArray<unknown> =>
      views(log.batches).filter((b) => b.isControl).map((b) => [b.baseOffset, b.deleteHorizonMs])
    // The abort marker had data when this compaction began: no horizon yet, and its index entry stays.
    expect([markers(), log.aborted.length]).toEqual([[[2, undefined], [4, undefined]], 1])
    compact(log)
    expect([markers(), log.aborted.length]).toEqual([[[2, NOW + 1000], [4, undefined]], 0])
    compact(log, { nowMs: NOW + 1000 })
    expect(markers()).toEqual([[4, undefined]])
    expect(pairs(log)).toEqual(["0:a=good", "3:b=1", "5:z=1"])
  })

  it("keeps the marker of a producer of which nothing else is known: it has the last epoch", () => {
    const log = new TestLog()
    log.end(4, true, 6)
    log.append(kv("z=1"))
    const passes = [NOW, NOW + 1000, NOW + 5000]
    for (const nowMs of passes) compact(log, { nowMs })
    const [marker] = views(log.batches)
    expect([marker!.isControl, marker!.producerEpoch, marker!.baseOffset]).toEqual([true, 6, 0])
    log.lastRecords.delete(4)
    compact(log, { nowMs: NOW + 9000 })
    expect(views(log.batches).map((b) => b.baseOffset)).toEqual([1])
  })

  it("does not take a producer's next transaction for the aborted one, whose index entry comes twice", () => {
    const transactions = new CleanedTransactions()
    const entry = { producerId: 4, firstOffset: 0, lastOffset: 1, lastStableOffset: 2 }
    const log = new TestLog()
    const options = { producerId: 4, producerEpoch: 0, isTransactional: true }
    const aborted = log.append(kv("a=1"), { ...options, baseSequence: 0 })
    log.end(4, true)
    const next = log.append(kv("a=2"), { ...options, baseSequence: 1 })
    transactions.addAborted([entry])
    expect(transactions.onBatch(aborted)).toBe(true)
    expect(transactions.onControlBatch(new RecordBatch(log.batches[1]!), compression)).toBe(false)
    transactions.addAborted([entry])
    expect(transactions.onBatch(next)).toBe(false)
    expect(transactions.takeRetained()).toEqual([entry])
  })

  it("leaves what the full map did not reach, and goes on from there", () => {
    const log = new TestLog()
    log.append(kv("a=1", "b=1", "c=1", "a=2", "c=2"))
    log.append(kv("b=2", "a=3"))
    // Room for two keys of one byte.
    const { nextDirtyOffset } = compact(log, { memoryBytes: 50 })
    expect(nextDirtyOffset).toBe(2)
    expect(pairs(log)).toEqual(["0:a=1", "1:b=1", "2:c=1", "3:a=2", "4:c=2", "5:b=2", "6:a=3"])
    let startOffset = nextDirtyOffset
    for (let i = 0; i < 10 && startOffset < log.endOffset; i++) {
      startOffset = compact(log, { memoryBytes: 50, startOffset }).nextDirtyOffset
    }
    expect(startOffset).toBe(7)
    expect(pairs(log)).toEqual(["4:c=2", "5:b=2", "6:a=3"])
  })

  it("refuses a batch whose bits have rotted instead of giving it a good CRC", () => {
    const log = new TestLog()
    log.append(kv("a=1", "a=2"))
    const bytes = log.batches[0]!
    bytes[bytes.length - 2]! ^= 1
    expect(() => compact(log)).toThrow(/CRC/)
  })
})

const batchFacts = (batch: RecordBatch): object => ({
  codec: batch.compressionCodec,
  baseOffset: batch.baseOffset,
  lastOffset: batch.lastOffset,
  baseTimestamp: batch.baseTimestamp,
  maxTimestamp: batch.maxTimestamp,
  producerId: batch.producerId,
  producerEpoch: batch.producerEpoch,
  baseSequence: batch.baseSequence,
  leaderEpoch: batch.partitionLeaderEpoch,
  count: batch.recordCount
})

// -- against a model ---------------------------------------------------------------------------------------------

type Step =
  | {
    readonly _tag: "Data"
    readonly producer: number
    readonly codec: 0 | CompressionCodec
    readonly appendTime: boolean
    readonly keys: ReadonlyArray<number>
  }
  | { readonly _tag: "End"; readonly producer: number; readonly isAbort: boolean }
  | { readonly _tag: "Compact"; readonly laterMs: number; readonly memoryBytes: number; readonly forget: boolean }

/** Producers 0 none, 1 and 2 idempotent, 3 and 4 transactional. A key below 0 is a tombstone, -9 no key. */
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      _tag: fc.constant("Data" as const),
      producer: fc.nat(4),
      codec: fc.constantFrom(0 as const, 0 as const, 1 as const, 2 as const, 3 as const, 4 as const),
      appendTime: fc.boolean(),
      keys: fc.array(
        fc.oneof({ weight: 12, arbitrary: fc.integer({ min: -5, max: 5 }) }, { weight: 1, arbitrary: fc.constant(-9) }),
        { minLength: 1, maxLength: 5 }
      )
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({ _tag: fc.constant("End" as const), producer: fc.constantFrom(3, 4), isAbort: fc.boolean() })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("Compact" as const),
      laterMs: fc.constantFrom(0, 1, DELETE_RETENTION_MS, 5 * DELETE_RETENTION_MS),
      memoryBytes: fc.constantFrom(30, 60, 100_000),
      forget: fc.boolean()
    })
  }
)

const identityOf = (b: RecordBatch): ReadonlyArray<unknown> => [
  b.lastOffset,
  b.producerId,
  b.producerEpoch,
  b.baseSequence,
  b.lastSequence,
  b.isTransactional,
  b.isControl,
  b.partitionLeaderEpoch,
  b.usesLogAppendTime
]

/** What a table built from the committed records says; tombstones remove. */
const tableOf = (data: ReadonlyArray<Plain>): ReadonlyMap<string, string> => {
  const table = new Map<string, string>()
  for (const { key, offset, timestamp, value } of data) {
    if (key === null) continue
    if (value === null) table.delete(key)
    else table.set(key, `${offset}:${timestamp}:${value}`)
  }
  return table
}

describe("compaction, whatever the log", () => {
  it("gives every committed reader the same table, and leaves what the model leaves", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const log = new TestLog()
        const sequences = new Map<number, number>()
        const inTransaction = new Map<number, Array<number>>()
        /** Every record ever appended, and those whose transaction was aborted. */
        const all: Array<Plain> = []
        const aborted = new Set<number>()
        let dirty = 0
        let nowMs = NOW
        let count = 0
        for (const each of steps) {
          if (each._tag === "Data") {
            const { producer } = each
            const isTransactional = producer >= 3
            const baseSequence = sequences.get(producer) ?? 0
            const inputs = each.keys.map((key): RecordInput => ({
              timestamp: 100 + (count * 7) % 50,
              key: key === -9 ? null : utf8(`k${Math.abs(key)}`),
              value: key < 0 && key !== -9 ? null : utf8(`v${count++}`)
            }))
            const batch = log.append(inputs, {
              codec: each.codec,
              isTransactional,
              ...(each.appendTime ? { logAppendTimeMs: 500 } : {}),
              ...(producer === 0 ? {} : { producerId: producer, producerEpoch: 0, baseSequence })
            })
            sequences.set(producer, baseSequence + inputs.length)
            all.push(...recordsOf(batch))
            if (isTransactional) {
              const offsets = inTransaction.get(producer) ?? []
              offsets.push(...recordsOf(batch).map(({ offset }) => offset))
              inTransaction.set(producer, offsets)
            }
          } else if (each._tag === "End") {
            log.end(each.producer, each.isAbort)
            if (each.isAbort) for (const offset of inTransaction.get(each.producer) ?? []) aborted.add(offset)
            inTransaction.delete(each.producer)
          } else {
            nowMs += each.laterMs
            const end = log.lastStableOffset
            const committed = all.filter(({ offset }) => offset < end && !aborted.has(offset))
            const beforeBytes = log.batches
            const before = views(beforeBytes)
            const present = new Map(dataOf(before).map((record) => [record.offset, record]))
            const horizons = new Map(before.flatMap((b) => recordsOf(b).map(({ offset }) => [offset, b.deleteHorizonMs] as const)))
            if (each.forget) log.lastRecords.clear() // as producer.id.expiration.ms does
            const startOffset = dirty
            const { map, nextDirtyOffset } = compact(log, { nowMs, startOffset, memoryBytes: each.memoryBytes })
            const after = views(log.batches)
            const data = dataOf(after)

            // Nothing is made up, moved or changed.
            let previous = -1
            for (const record of data) {
              expect(record).toEqual(present.get(record.offset))
              expect(record.offset).toBeGreaterThan(previous)
              previous = record.offset
            }
            // Batches keep their ranges, producers and order; each one is whole.
            const ranges = new Map(before.map((b) => [b.baseOffset, b]))
            let nextOffset = 0
            for (const b of after) {
              const was = ranges.get(b.baseOffset)!
              expect(b.isIntact(crypto)).toBe(true)
              expect(b.baseOffset).toBeGreaterThanOrEqual(nextOffset)
              expect(identityOf(b)).toEqual(identityOf(was))
              const times = recordsOf(b).map(({ timestamp }) => timestamp)
              if (times.length > 0) expect(b.maxTimestamp).toBe(Math.max(...times))
              nextOffset = b.nextOffset
            }
            // What is not stable yet is not touched.
            const unstable = (list: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> =>
              list.filter((bytes) => new RecordBatch(bytes).lastOffset >= end)
            expect(unstable(log.batches)).toEqual(unstable(beforeBytes))
            // The table is the same.
            expect(tableOf(data.filter(({ offset }) => offset < end))).toEqual(tableOf(committed))
            // Just that is left which has to be: by the model.
            const { latestOffset } = map
            const last = new Map<string, number>()
            for (const { key, offset } of committed) {
              if (key !== null && offset >= startOffset && offset <= latestOffset && present.has(offset)) last.set(key, offset)
            }
            const expected = [...present.values()].filter(({ key, offset, value }) => {
              if (offset >= end) return true
              if (aborted.has(offset)) return false
              if (offset > latestOffset) return true
              if (key === null || offset < (last.get(key) ?? -1)) return false
              return value !== null || nowMs < (horizons.get(offset) ?? Infinity)
            })
            expect(data.map(({ offset }) => offset)).toEqual(expected.map(({ offset }) => offset))
            // Tombstones that stay have a horizon.
            for (const b of after) {
              if (b.lastOffset < end && recordsOf(b).some(({ value }) => value === null)) expect(b.deleteHorizonMs).toBeDefined()
            }
            // Last sequences are there for recovery to find.
            for (const [producerId, { lastDataOffset }] of log.lastRecords) {
              if (lastDataOffset < 0 || lastDataOffset >= end) continue
              expect(after.some((b) => b.producerId === producerId && b.lastOffset === lastDataOffset)).toBe(true)
            }
            // Each compaction gets on.
            expect(nextDirtyOffset > startOffset || startOffset >= end).toBe(true)
            dirty = Math.max(startOffset, nextDirtyOffset)
            // The same again finds nothing to do but to begin the horizons of markers that have lost their data.
            const once = dataOf(views(log.batches)).map(({ offset }) => offset)
            compact(log, { nowMs, startOffset, memoryBytes: each.memoryBytes })
            if (each.memoryBytes > 60) expect(dataOf(views(log.batches)).map(({ offset }) => offset)).toEqual(once)
          }
        }
      }),
      { seed: 3104, numRuns: 300 }
    )
  })
})
