/**
 * Reads the metadata log of a KRaft broker: `__cluster_metadata-0` in a log directory.
 *
 * | file | content |
 * |---|---|
 * | `OFFSET(20 digits)-EPOCH(10 digits).checkpoint` | record batches: all state before OFFSET |
 * | `OFFSET.log` | record batches from OFFSET on |
 *
 * Control batches belong to the quorum. The value of every other record is framed:
 *
 * | part | encoding | meaning |
 * |---|---|---|
 * | frame version | unsigned varint | 1 |
 * | type | unsigned varint | api key of the record |
 * | version | unsigned varint | of the record |
 * | body | | generated codec |
 *
 * One node's own log holds committed records only, whole transactions (KIP-868) and at most a torn end.
 */
import type { Compression } from "../ports/Compression.ts"
import { CompressionError } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Disk, File } from "../ports/Disk.ts"
import { MetadataStoreError } from "../ports/MetadataStore.ts"
import { ByteReader } from "../protocol/ByteReader.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import { scanBatches } from "../records/BatchScan.ts"
import { records } from "../records/Record.ts"
import { RecordBatch } from "../records/RecordBatch.ts"
import { RecordError } from "../records/RecordError.ts"

export const METADATA_LOG_DIRECTORY = "__cluster_metadata-0"

export interface MetadataRecord {
  readonly type: number
  readonly version: number
  readonly reader: ByteReader
  /** For messages: file and offset. */
  readonly where: string
}

/** Bytes that a file is read by; grows to the largest batch. */
const WINDOW_BYTES = 1024 * 1024
const FRAME_VERSION = 1
const BEGIN_TRANSACTION = 23
const END_TRANSACTION = 24
const ABORT_TRANSACTION = 25

const corrupt = (path: string, position: number, what: string): MetadataStoreError =>
  new MetadataStoreError("Corrupt", `${path}: ${what} at position ${position}`)

const refuseCodec = (): never => {
  throw new CompressionError("Malformed", "metadata records are never compressed")
}
const uncompressed: Compression = { compress: refuseCodec, decompress: refuseCodec }

/** Visits every batch; a torn end is passed over when `mayBeTorn`. @throws DiskError, MetadataStoreError */
const eachBatch = (
  file: File,
  crypto: Crypto,
  nextOffset: number,
  mayBeTorn: boolean,
  visit: (batch: RecordBatch) => void
): void => {
  const size = file.size()
  let position = 0
  let expected = nextOffset
  let window = new Uint8Array(Math.min(WINDOW_BYTES, size))
  while (position < size) {
    const filled = window.subarray(0, file.read(window, position))
    const scan = scanBatches(filled, { crypto, nextOffset: expected }, visit)
    const atEnd = position + filled.length >= size
    position += scan.validEnd
    expected = scan.nextOffset
    if (scan.stop === "Corrupt" || (scan.stop === "Partial" && atEnd)) {
      if (mayBeTorn && scan.stop === "Partial") return
      throw corrupt(file.path, position, `broken record batch (${scan.detail})`)
    }
    if (scan.neededBytes > window.length) window = new Uint8Array(Math.min(scan.neededBytes, size - position))
  }
}

/** @throws DiskError, MetadataStoreError */
export const readMetadataLog = (
  disk: Disk,
  crypto: Crypto,
  directory: string,
  visit: (record: MetadataRecord) => void
): void => {
  const names = disk.list(directory)
  const snapshots = names.flatMap((name) => {
    const match = /^(\d{20})-(\d{10})\.checkpoint$/.exec(name)
    return match === null ? [] : [{ name, endOffset: Number(match[1]), epoch: Number(match[2]) }]
  }).sort((a, b) => a.endOffset - b.endOffset || a.epoch - b.epoch)
  const snapshot = snapshots[snapshots.length - 1]
  const segments = names.flatMap((name) => {
    const match = /^(\d{20})\.log$/.exec(name)
    return match === null ? [] : [{ name, baseOffset: Number(match[1]) }]
  }).sort((a, b) => a.baseOffset - b.baseOffset)

  /** Records of a transaction that has begun; undefined outside of one. */
  let pending: Array<MetadataRecord> | undefined
  const take = (record: MetadataRecord): void => {
    switch (record.type) {
      case BEGIN_TRANSACTION:
        pending = []
        break
      case END_TRANSACTION:
        for (const one of pending ?? []) visit(one)
        pending = undefined
        break
      case ABORT_TRANSACTION:
        pending = undefined
        break
      default:
        if (pending === undefined) visit(record)
        else pending.push(record)
    }
  }
  const read = (name: string, nextOffset: number, fromOffset: number, mayBeTorn: boolean): void => {
    const path = `${directory}/${name}`
    const file = disk.open(path, "read")
    try {
      eachBatch(file, crypto, nextOffset, mayBeTorn, (batch) => {
        if (batch.isControl || batch.lastOffset < fromOffset) return
        // The window is read into again, and what a transaction keeps must outlive that.
        for (const { offset, value } of records(new RecordBatch(batch.toBytes().slice()), uncompressed)) {
          if (value === null || offset < fromOffset) continue
          const where = `${path}, offset ${offset}`
          const reader = new ByteReader(value)
          const frame = reader.uvarint()
          if (frame !== FRAME_VERSION) throw new MetadataStoreError("Corrupt", `${where}: frame version ${frame}`)
          take({ type: reader.uvarint(), version: reader.uvarint(), reader, where })
        }
      })
    } catch (error) {
      if (error instanceof RecordError || error instanceof CompressionError || error instanceof ProtocolError) {
        throw new MetadataStoreError("Corrupt", `${path}: ${error.message}`)
      }
      throw error
    } finally {
      file.close()
    }
  }

  if (snapshot !== undefined) read(snapshot.name, 0, 0, false)
  const from = snapshot?.endOffset ?? 0
  const first = segments[0]
  if (first !== undefined && first.baseOffset > from) {
    throw new MetadataStoreError("Corrupt", `${directory}: records ${from} to ${first.baseOffset - 1} are missing`)
  }
  for (const [index, segment] of segments.entries()) {
    const next = segments[index + 1]
    if (next !== undefined && next.baseOffset <= from) continue
    read(segment.name, segment.baseOffset, from, next === undefined)
  }
}
