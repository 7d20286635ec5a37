import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { buildBatch, type RecordInput } from "../../core/records/BatchBuilder.ts"
import { validateProduced, type ValidationContext } from "../../core/records/BatchValidation.ts"
import { ControlRecordType, endTransactionBatch } from "../../core/records/ControlRecord.ts"
import { MAX_DECOMPRESSED_BYTES, RecordReader, records, withTimestampDeltas } from "../../core/records/Record.ts"
import { RecordBatch, writeBatchHeader } from "../../core/records/RecordBatch.ts"
import { RecordError } from "../../core/records/RecordError.ts"
import { makeWalkResult, walkRecords } from "../../core/records/RecordWalk.ts"
import { recordInputs } from "./Arbitraries.ts"
import { batchVectors } from "./Fixtures.ts"
import { compression, crypto } from "./Ports.ts"

const NOW = 1_700_000_000_000
const ONE_HOUR = 3_600_000

const context = (given: Partial<ValidationContext> = {}): ValidationContext => ({
  topicPartition: "topic-0",
  compacted: false,
  maxMessageBytes: 10_000_000,
  timestampType: "CreateTime",
  timestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  timestampAfterMaxMs: ONE_HOUR,
  compressionType: "producer",
  compressionLevel: undefined,
  nowMs: NOW,
  apiVersion: 12,
  crypto,
  compression,
  isCoordinator: false,
  ...given
})

const numeric = (bytes: Uint8Array | null) => bytes === null ? null : Array.from(bytes)
const shown = (bytes: Uint8Array) =>
  [...records(new RecordBatch(bytes), compression)].map(({ key, value, headers, ...rest }) => ({
    ...rest,
    key: numeric(key),
    value: numeric(value),
    headers: headers.map((header) => [header.key, numeric(header.value)])
  }))

describe("validateProduced", () => {
  it("refuses a batch that the codec fails on, to read and to pack, whatever it throws", () => {
    const batch = (codec: 0 | 1): Uint8Array => buildBatch([{ timestamp: 1, key: null, value: new Uint8Array(9), headers: [] }], { crypto, compression, codec })
    for (const thrown of [new TypeError("no memory"), "no memory"]) {
      const fails = (): never => {
        throw thrown
      }
      for (const [codec, compressionType, what] of [[1, "producer", "decompress"], [1, "zstd", "compress with zstd"], [0, "gzip", "compress with gzip"]] as const) {
        const failing = what === "decompress" ? { ...compression, decompress: fails } : { ...compression, compress: fails }
        expect(validateProduced(batch(codec), context({ compressionType, compression: failing }))).toMatchObject({
          _tag: "Refusal",
          error: ErrorCode.UNKNOWN_SERVER_ERROR,
          detail: `the records don't ${what}: the codec failed: no memory`
        })
      }
    }
  })

  it("takes what the builder builds, keeps its records under every compression.type, and says what is in it", () => {
    const types = ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] as const
    fc.assert(
      fc.property(
        fc.array(recordInputs, { minLength: 1, maxLength: 20 }),
        fc.constantFrom<0 | 1 | 2 | 3 | 4>(0, 1, 2, 3, 4),
        fc.constantFrom(...types),
        fc.boolean(),
        (inputs, codec, compressionType, logAppendTime) => {
          const bytes = buildBatch(inputs, { crypto, compression, codec, producerId: 9, producerEpoch: 1, baseSequence: 4 })
          const before = shown(bytes)
          const result = validateProduced(bytes, context({
            compressionType,
            timestampType: logAppendTime ? "LogAppendTime" : "CreateTime",
            timestampAfterMaxMs: Number.MAX_SAFE_INTEGER
          }))
          if (result._tag === "Refusal") throw new Error(result.detail)
          const largest = Math.max(-1, ...inputs.map(({ timestamp }) => timestamp))
          expect(result).toMatchObject({
            count: inputs.length,
            lastOffsetDelta: inputs.length - 1,
            maxTimestamp: logAppendTime ? NOW : largest,
            offsetOfMaxTimestampDelta: !logAppendTime && largest === -1 ? -1 : inputs.length - 1,
            producerId: 9,
            producerEpoch: 1,
            baseSequence: 4,
            codec: compressionType === "producer" ? codec : types.indexOf(compressionType) - 1
          })
          const stored = new RecordBatch(result.bytes)
          expect(stored.isIntact(crypto)).toBe(true)
          expect(stored.sizeInBytes).toBe(result.bytes.length)
          expect(stored.compressionCodec).toBe(result.codec)
          const after = logAppendTime ? before.map((record) => ({ ...record, timestamp: NOW })) : before
          expect(shown(result.bytes)).toEqual(after)
        }
      ),
      { seed: 31, numRuns: 200 }
    )
  })

  it("counts timestamps from the first record's when it compresses anew, as Kafka does, and leaves them else", () => {
    fc.assert(
      fc.property(
        fc.array(recordInputs, { minLength: 1, maxLength: 20 }),
        fc.integer({ min: -1_000_000, max: 1_000_000 }),
        fc.constantFrom<0 | 1 | 4>(0, 1, 4),
        fc.boolean(),
        (given, shift, codec, anew) => {
          const inputs = given.map((input) => ({ ...input, timestamp: Math.abs(input.timestamp % NOW) }))
          const base = inputs[0]!.timestamp + shift
          const stamps = inputs.map(({ timestamp }) => timestamp)
          const plain = buildBatch(inputs, { crypto })
          const moved = withTimestampDeltas(plain.subarray(61), inputs.length, (delta) => delta - shift)
          const packed = codec === 0 ? moved : compression.compress(codec, moved, undefined)
          const bytes = new Uint8Array(61 + packed.length)
          bytes.set(packed, 61)
          const max = Math.max(...stamps)
          writeBatchHeader(bytes, 0, bytes.length, {
            baseOffset: 0,
            lastOffsetDelta: inputs.length - 1,
            leaderEpoch: -1,
            attributes: codec | 0x40,
            baseTimestamp: base,
            maxTimestamp: max,
            producerId: -1,
            producerEpoch: -1,
            baseSequence: -1,
            recordCount: inputs.length
          }, crypto)
          const before = shown(bytes)
          expect(before.map(({ timestamp }) => timestamp)).toEqual(stamps)
          const compressionType = anew ? "lz4" : "producer"
          const result = validateProduced(bytes, context({ compressionType, timestampAfterMaxMs: Number.MAX_SAFE_INTEGER }))
          if (result._tag === "Refusal") throw new Error(result.detail)
          const stored = new RecordBatch(result.bytes)
          expect(shown(result.bytes)).toEqual(before)
          expect([stored.isIntact(crypto), stored.baseTimestamp, stored.maxTimestamp, stored.attributes]).toEqual(
            [true, anew ? stamps[0] : base, max, anew ? 3 : codec | 0x40]
          )
          // to the byte what building it from its records gives
          if (anew) expect(result.bytes).toEqual(buildBatch(inputs, { crypto, compression, codec: 3 }))
        }
      ),
      { seed: 37, numRuns: 200 }
    )
  })

  it("lets a coordinator write control batches at any offset, and leaves them uncompressed", () => {
    const marker = endTransactionBatch({ type: ControlRecordType.ABORT, coordinatorEpoch: 3 }, {
      crypto,
      producerId: 7,
      producerEpoch: 0,
      timestamp: NOW,
      baseOffset: 55
    })
    expect(validateProduced(marker.slice(), context({ isCoordinator: true, compressionType: "lz4" })))
      .toMatchObject({ _tag: "Batch", isControl: true, codec: 0, bytes: marker })
    expect(validateProduced(marker.slice(), context())).toMatchObject({ error: ErrorCode.INVALID_RECORD })
  })

  it("bounds what a batch decompresses to", () => {
    const zeros = compression.compress(4, new Uint8Array(MAX_DECOMPRESSED_BYTES + 1))
    const bytes = new Uint8Array(61 + zeros.length)
    bytes.set(buildBatch([{}], { crypto, compression, codec: 4 }).subarray(0, 61))
    bytes.set(zeros, 61)
    new DataView(bytes.buffer).setInt32(8, bytes.length - 12)
    new RecordBatch(bytes).refreshCrc(crypto)
    expect(validateProduced(bytes, context())).toMatchObject({ error: ErrorCode.MESSAGE_TOO_LARGE })
  })

  it("shows three record errors in its message and gives all", () => {
    const inputs: Array<RecordInput> = Array.from({ length: 5 }, () => ({ timestamp: NOW }))
    const result = validateProduced(buildBatch(inputs, { crypto }), context({ compacted: true }))
    if (result._tag !== "Refusal") throw new Error("taken")
    expect(result.recordErrors.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4])
    expect(result.message.match(/RecordError/g)?.length).toBe(3)
  })
})

/** Every way to look at a partition's bytes; each gives an answer or one of the two typed errors. */
const contexts: ReadonlyArray<ValidationContext> = [
  context({ timestampAfterMaxMs: Number.MAX_SAFE_INTEGER }),
  context({ compacted: true, compressionType: "uncompressed" }),
  context({ timestampType: "LogAppendTime", compressionType: "lz4", maxMessageBytes: 2000 }),
  context({ isCoordinator: true, apiVersion: 3 })
]

describe("produced bytes that nobody vouches for", () => {
  const seeds = batchVectors().map(({ bytes }) => bytes).filter(({ length }) => length < 20_000)

  it("are taken or refused: 12,000 seeded mutations of the vectors, most with a right CRC", () => {
    const answers = new Map<number, number>()
    fc.assert(
      fc.property(
        fc.nat(seeds.length - 1),
        fc.array(
          fc.oneof(
            fc.record({ kind: fc.constant("set" as const), at: fc.nat(), value: fc.nat(255) }),
            fc.record({ kind: fc.constant("header" as const), at: fc.nat(60), value: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff) }),
            fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), value: fc.nat(40) }),
            fc.record({ kind: fc.constant("repeat" as const), at: fc.nat(), value: fc.nat(40) })
          ),
          { maxLength: 5 }
        ),
        fc.integer({ min: 0, max: 9 }),
        fc.nat(contexts.length - 1),
        (seed, changes, repair, which) => {
          let bytes: Uint8Array = seeds[seed]!.slice()
          for (const { kind, at, value } of changes) {
            if (bytes.length === 0) break
            const place = at % bytes.length
            if (kind === "set") bytes[place] = value
            else if (kind === "header") bytes[Math.min(at, bytes.length - 1)] = value
            else if (kind === "cut") bytes = Uint8Array.from([...bytes.subarray(0, place), ...bytes.subarray(place + value)])
            else bytes = Uint8Array.from([...bytes.subarray(0, place), ...bytes.subarray(Math.max(0, place - value))])
          }
          // with right sizes and CRC the mutation reaches what lies behind them
          if (repair > 1 && bytes.length >= 61) {
            const view = new DataView(bytes.buffer)
            view.setInt32(8, bytes.length - 12)
            bytes[16] = 2
            if (repair > 4) bytes.fill(0, 0, 8)
            new RecordBatch(bytes).refreshCrc(crypto)
          }
          const result = validateProduced(bytes, contexts[which]!)
          const error = result._tag === "Refusal" ? result.error : ErrorCode.NONE
          answers.set(error, (answers.get(error) ?? 0) + 1)
          if (result._tag === "Batch") {
            const batch = new RecordBatch(result.bytes)
            expect(batch.isIntact(crypto)).toBe(true)
            // what was taken can be read
            expect([...records(batch, compression)].length).toBe(result.count)
          }
        }
      ),
      { seed: 32, numRuns: 12_000 }
    )
    for (const error of [ErrorCode.NONE, ErrorCode.INVALID_RECORD, ErrorCode.CORRUPT_MESSAGE, ErrorCode.UNKNOWN_SERVER_ERROR]) {
      expect(answers.get(error) ?? 0, `error ${error}`).toBeGreaterThan(100)
    }
  })

  it("get the same word from the fast walk as from the careful one", () => {
    const result = makeWalkResult()
    let taken = 0
    fc.assert(
      fc.property(
        fc.array(recordInputs, { maxLength: 8 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
        fc.integer({ min: -1, max: 1 }),
        fc.boolean(),
        (inputs, changes, more, needKeys) => {
          const bytes = buildBatch(inputs, { crypto }).slice(61)
          if (bytes.length > 0) for (const [at, value] of changes) bytes[at % Math.min(bytes.length, 200)] = value
          const count = Math.max(0, inputs.length + more * changes.length)
          const fast = walkRecords(bytes, 0, bytes.length, count, needKeys, result)
          let careful = true
          let wide = false
          let least = Infinity
          let most = -Infinity
          try {
            const reader = new RecordReader(bytes, count)
            while (reader.next()) {
              if (reader.offsetDelta !== reader.index || (needKeys && reader.keyLength < 0)) careful = false
              least = Math.min(least, reader.timestampDelta)
              most = Math.max(most, reader.timestampDelta)
              if (Math.abs(reader.timestampDelta) >= 2 ** 47) wide = true
            }
          } catch (error) {
            expect(error).toBeInstanceOf(RecordError)
            careful = false
          }
          if (fast) {
            taken++
            expect(careful).toBe(true)
            expect([result.minTimestampDelta, result.maxTimestampDelta]).toEqual([least, most])
          } else expect(!careful || wide).toBe(true)
        }
      ),
      { seed: 33, numRuns: 4000 }
    )
    expect(taken).toBeGreaterThan(1000)
  })
})
