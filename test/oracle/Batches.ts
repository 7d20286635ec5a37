/**
 * Record batches as bytes, right and wrong, built and read without the core's own code: the oracle and the crash test
 * must not share a mistake with what they judge.
 *
 * | offset | size | field of batch v2      | | offset | size | field                      |
 * |--------|------|------------------------|-|--------|------|----------------------------|
 * | 0      | 8    | base offset            | | 27     | 8    | base timestamp             |
 * | 8      | 4    | batch length (from 12) | | 35     | 8    | max timestamp              |
 * | 12     | 4    | partition leader epoch | | 43     | 8    | producer id                |
 * | 16     | 1    | magic (2)              | | 51     | 2    | producer epoch             |
 * | 17     | 4    | CRC-32C from 21 on     | | 53     | 4    | base sequence              |
 * | 21     | 2    | attributes             | | 57     | 4    | record count               |
 * | 23     | 4    | last offset delta      | | 61     |      | records, or compressed ones|
 */
import { crc32, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { crc32c } from "@node-rs/crc32"
import { compressFrameSync, decompressFrameSync } from "lz4-napi"
import { compressSync, uncompressSync } from "snappy"

export const BATCH_HEADER_BYTES = 61

/** As in attributes: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
export type Codec = 0 | 1 | 2 | 3 | 4

export interface RecordInput {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly headers?: ReadonlyArray<readonly [string, Uint8Array | null]>
}

/** What a batch may claim against its records. Everything left out is right. */
export interface BatchInput {
  readonly records: ReadonlyArray<RecordInput>
  readonly codec?: Codec
  /** Snappy as raw block instead of xerial's frame. */
  readonly rawSnappy?: boolean
  readonly baseOffset?: number
  readonly leaderEpoch?: number
  readonly magic?: number
  readonly crcXor?: number
  readonly extraAttributes?: number
  readonly lastOffsetDelta?: number
  readonly baseTimestamp?: number
  readonly maxTimestamp?: number
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly count?: number
  readonly lengthPlus?: number
  /** Offset deltas instead of 0, 1, 2, … */
  readonly offsetDeltas?: ReadonlyArray<number>
  /** Replaces the section of records (after compression). */
  readonly section?: Uint8Array
}

const utf8 = new TextEncoder()

/** Zigzag of any safe integer: BigInt, because timestamps' deltas pass 32 bits. */
const varint = (out: Array<number>, value: number): void => {
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  out.push(Number(rest))
}

const varBytes = (out: Array<number>, bytes: Uint8Array | null): void => {
  varint(out, bytes === null ? -1 : bytes.length)
  if (bytes !== null) for (const byte of bytes) out.push(byte)
}

const recordSection = (input: BatchInput, baseTimestamp: number): Uint8Array => {
  const parts: Array<Uint8Array> = []
  input.records.forEach((record, index) => {
    const body: Array<number> = [0]
    varint(body, record.timestamp - baseTimestamp)
    varint(body, input.offsetDeltas?.[index] ?? index)
    varBytes(body, record.key)
    varBytes(body, record.value)
    varint(body, record.headers?.length ?? 0)
    for (const [key, value] of record.headers ?? []) {
      varBytes(body, utf8.encode(key))
      varBytes(body, value)
    }
    const head: Array<number> = []
    varint(head, body.length)
    parts.push(Uint8Array.from(head), Uint8Array.from(body))
  })
  return new Uint8Array(Buffer.concat(parts))
}

/** xerial's frame: magic, version, compatible version, then blocks of (size, raw snappy). */
const xerialMagic = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0)
const xerial = (bytes: Uint8Array): Uint8Array => {
  const parts: Array<Uint8Array> = [xerialMagic, Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1)]
  for (let at = 0; at < bytes.length; at += 32 * 1024) {
    const block = compressSync(Buffer.from(bytes.subarray(at, at + 32 * 1024)))
    const size = Buffer.alloc(4)
    size.writeInt32BE(block.length)
    parts.push(size, block)
  }
  return Buffer.concat(parts)
}

const unXerial = (bytes: Uint8Array): Uint8Array => {
  if (bytes.length < 16 || !xerialMagic.every((byte, index) => bytes[index] === byte)) return uncompressSync(Buffer.from(bytes)) as Buffer
  const view = Buffer.from(bytes)
  const parts: Array<Uint8Array> = []
  for (let at = 16; at + 4 <= view.length;) {
    const size = view.readInt32BE(at)
    parts.push(uncompressSync(view.subarray(at + 4, at + 4 + size)) as Buffer)
    at += 4 + size
  }
  return Buffer.concat(parts)
}

export const compress = (codec: Codec, bytes: Uint8Array, rawSnappy = false): Uint8Array => {
  switch (codec) {
    case 0: return bytes
    case 1: return gzipSync(bytes)
    case 2: return rawSnappy ? compressSync(Buffer.from(bytes)) : xerial(bytes)
    case 3: return compressFrameSync(Buffer.from(bytes))
    case 4: return zstdCompressSync(bytes)
  }
}

export const decompress = (codec: Codec, bytes: Uint8Array): Uint8Array => {
  switch (codec) {
    case 0: return bytes
    case 1: return gunzipSync(bytes)
    case 2: return unXerial(bytes)
    case 3: return decompressFrameSync(Buffer.from(bytes))
    case 4: return zstdDecompressSync(bytes)
  }
}

/** A batch of magic 2, with the wrongs that `input` asks for. */
export const buildBatch = (input: BatchInput): Uint8Array => {
  const count = input.records.length
  const baseTimestamp = input.baseTimestamp ?? input.records[0]?.timestamp ?? 0
  const codec = input.codec ?? 0
  const section = input.section ?? compress(codec, recordSection(input, baseTimestamp), input.rawSnappy)
  const bytes = Buffer.alloc(BATCH_HEADER_BYTES + section.length)
  bytes.writeBigInt64BE(BigInt(input.baseOffset ?? 0), 0)
  bytes.writeInt32BE(bytes.length - 12 + (input.lengthPlus ?? 0), 8)
  bytes.writeInt32BE(input.leaderEpoch ?? -1, 12)
  bytes.writeInt8(input.magic ?? 2, 16)
  bytes.writeInt16BE(codec | (input.extraAttributes ?? 0), 21)
  bytes.writeInt32BE(input.lastOffsetDelta ?? Math.max(0, count - 1), 23)
  bytes.writeBigInt64BE(BigInt(baseTimestamp), 27)
  bytes.writeBigInt64BE(BigInt(input.maxTimestamp ?? Math.max(-1, ...input.records.map((r) => r.timestamp))), 35)
  bytes.writeBigInt64BE(BigInt(input.producerId ?? -1), 43)
  bytes.writeInt16BE(input.producerEpoch ?? -1, 51)
  bytes.writeInt32BE(input.baseSequence ?? -1, 53)
  bytes.writeInt32BE(input.count ?? count, 57)
  bytes.set(section, BATCH_HEADER_BYTES)
  bytes.writeUInt32BE((crc32c(bytes.subarray(21)) ^ (input.crcXor ?? 0)) >>> 0, 17)
  return bytes
}

/**
 * A message set of magic 0 or 1: per message offset (8), size (4), CRC-32 (4), magic (1), attributes (1),
 * [timestamp (8) in magic 1], key and value with 4-byte lengths.
 */
export const buildMessageSet = (magic: 0 | 1, records: ReadonlyArray<RecordInput>, crcXor = 0): Uint8Array =>
  Buffer.concat(records.map((record, index) => {
    const body = Buffer.alloc(2 + (magic === 1 ? 8 : 0) + 8 + (record.key?.length ?? 0) + (record.value?.length ?? 0))
    let at = body.writeInt8(magic, 0)
    at = body.writeInt8(0, at)
    if (magic === 1) at = body.writeBigInt64BE(BigInt(record.timestamp), at)
    for (const field of [record.key, record.value]) {
      at = body.writeInt32BE(field?.length ?? -1, at)
      if (field !== null) at += Buffer.from(field).copy(body, at)
    }
    const head = Buffer.alloc(16)
    head.writeBigInt64BE(BigInt(index), 0)
    head.writeInt32BE(body.length + 4, 8)
    head.writeUInt32BE((crc32(body) ^ crcXor) >>> 0, 12)
    return Buffer.concat([head, body])
  }))

// -- reading ----------------------------------------------------------------------------------------------------

export interface ReadRecord {
  readonly offset: number
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<readonly [string, Uint8Array | null]>
}

export interface ReadBatch {
  readonly baseOffset: number
  /** Of the whole batch, in bytes. */
  readonly sizeInBytes: number
  readonly leaderEpoch: number
  readonly magic: number
  readonly crcIsRight: boolean
  readonly crc: number
  readonly attributes: number
  readonly codec: Codec
  readonly lastOffsetDelta: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly count: number
  /** The section of records as it lies in the batch. */
  readonly section: Uint8Array
}

/** Whole batches of magic 2 at the start of `bytes`, and how many bytes of a last, cut one follow. */
export const readBatches = (bytes: Uint8Array): { readonly batches: ReadonlyArray<ReadBatch>; readonly partialBytes: number } => {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const batches: Array<ReadBatch> = []
  let at = 0
  while (view.length - at >= BATCH_HEADER_BYTES) {
    const sizeInBytes = 12 + view.readInt32BE(at + 8)
    if (sizeInBytes < BATCH_HEADER_BYTES || sizeInBytes > view.length - at) break
    const crc = view.readUInt32BE(at + 17)
    const attributes = view.readInt16BE(at + 21)
    batches.push({
      baseOffset: Number(view.readBigInt64BE(at)),
      sizeInBytes,
      leaderEpoch: view.readInt32BE(at + 12),
      magic: view.readInt8(at + 16),
      crc,
      crcIsRight: crc32c(view.subarray(at + 21, at + sizeInBytes)) === crc,
      attributes,
      codec: (attributes & 7) as Codec,
      lastOffsetDelta: view.readInt32BE(at + 23),
      baseTimestamp: Number(view.readBigInt64BE(at + 27)),
      maxTimestamp: Number(view.readBigInt64BE(at + 35)),
      producerId: Number(view.readBigInt64BE(at + 43)),
      producerEpoch: view.readInt16BE(at + 51),
      baseSequence: view.readInt32BE(at + 53),
      count: view.readInt32BE(at + 57),
      section: view.subarray(at + BATCH_HEADER_BYTES, at + sizeInBytes)
    })
    at += sizeInBytes
  }
  return { batches, partialBytes: view.length - at }
}

/** The records of a batch, decompressed. @throws RangeError when they do not fill the section exactly */
export const readRecords = (batch: ReadBatch): ReadonlyArray<ReadRecord> => {
  const bytes = decompress(batch.codec, batch.section)
  let at = 0
  const integer = (): number => {
    let value = 0n
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new RangeError("a record is cut off")
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    return Number(BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n)))
  }
  const field = (): Uint8Array | null => {
    const length = integer()
    if (length < 0) return null
    if (at + length > bytes.length) throw new RangeError("a record is cut off")
    at += length
    return bytes.subarray(at - length, at)
  }
  const records: Array<ReadRecord> = []
  for (let i = 0; i < batch.count; i++) {
    const end = integer() + at
    at++ // attributes, unused
    const timestamp = batch.baseTimestamp + integer()
    const offset = batch.baseOffset + integer()
    const key = field()
    const value = field()
    const headers: Array<readonly [string, Uint8Array | null]> = []
    for (let n = integer(); n > 0; n--) headers.push([new TextDecoder().decode(field() ?? new Uint8Array()), field()])
    if (at !== end) throw new RangeError(`a record ends at ${at} instead of ${end}`)
    records.push({ offset, timestamp: (batch.attributes & 8) !== 0 ? batch.maxTimestamp : timestamp, key, value, headers })
  }
  if (at !== bytes.length) throw new RangeError(`${bytes.length - at} bytes follow the last record`)
  return records
}
