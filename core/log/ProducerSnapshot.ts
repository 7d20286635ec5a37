/**
 * `<offset>.snapshot`: the producers of a log as they were before that offset, so that a start does not read all of it.
 *
 * | offset | size | field   | meaning                                                                        |
 * |-------:|-----:|---------|--------------------------------------------------------------------------------|
 * |      0 |    2 | version | 1                                                                              |
 * |      2 |    4 | crc     | CRC-32C of byte 6 to the end                                                   |
 * |      6 |    4 | count   | entries that follow                                                            |
 * |     10 |   46 | entry   | int64 producerId, int16 epoch, int32 lastSequence, int64 lastOffset,           |
 * |        |      |         | int32 offsetDelta, int64 timestamp, int32 coordinatorEpoch,                    |
 * |        |      |         | int64 currentTxnFirstOffset                                                    |
 *
 * Only a producer's last batch is kept, so what was sent again before it is not recognised after a restart.
 */
import type { Crypto } from "../ports/Crypto.ts"
import { getInt32, getInt64, setInt16, setInt32, setInt64 } from "../records/RecordBatch.ts"
import type { ProducerEntry } from "./ProducerState.ts"

const VERSION = 1
const CRC_AT = 2
const CRC_FROM = 6
const ENTRIES_AT = 10
const ENTRY_BYTES = 46

export const encodeProducerSnapshot = (entries: ReadonlyArray<ProducerEntry>, crypto: Crypto): Uint8Array => {
  const bytes = new Uint8Array(ENTRIES_AT + entries.length * ENTRY_BYTES)
  setInt16(bytes, 0, VERSION)
  setInt32(bytes, CRC_FROM, entries.length)
  let at = ENTRIES_AT
  for (const entry of entries) {
    const last = entry.batches.at(-1)
    setInt64(bytes, at, entry.producerId)
    setInt16(bytes, at + 8, entry.producerEpoch)
    setInt32(bytes, at + 10, last?.lastSequence ?? -1)
    setInt64(bytes, at + 14, last?.lastOffset ?? -1)
    setInt32(bytes, at + 22, last?.offsetDelta ?? 0)
    setInt64(bytes, at + 26, entry.lastTimestamp)
    setInt32(bytes, at + 34, entry.coordinatorEpoch)
    setInt64(bytes, at + 38, entry.currentTxnFirstOffset)
    at += ENTRY_BYTES
  }
  setInt32(bytes, CRC_AT, crypto.crc32c(bytes.subarray(CRC_FROM)))
  return bytes
}

/** Undefined for bytes that are no whole snapshot: the caller takes an older one. */
export const decodeProducerSnapshot = (bytes: Uint8Array, crypto: Crypto): ReadonlyArray<ProducerEntry> | undefined => {
  if (bytes.length < ENTRIES_AT || ((bytes[0]! << 8) | bytes[1]!) !== VERSION) return undefined
  if (getInt32(bytes, CRC_AT) >>> 0 !== crypto.crc32c(bytes.subarray(CRC_FROM))) return undefined
  const count = getInt32(bytes, CRC_FROM)
  if (count < 0 || bytes.length < ENTRIES_AT + count * ENTRY_BYTES) return undefined
  const entries: Array<ProducerEntry> = []
  for (let at = ENTRIES_AT; entries.length < count; at += ENTRY_BYTES) {
    const lastSequence = getInt32(bytes, at + 10)
    const timestamp = getInt64(bytes, at + 26)
    entries.push({
      producerId: getInt64(bytes, at),
      producerEpoch: (bytes[at + 8]! << 24 >> 16) | bytes[at + 9]!,
      batches: lastSequence < 0
        ? []
        : [{ lastSequence, lastOffset: getInt64(bytes, at + 14), offsetDelta: getInt32(bytes, at + 22), timestamp }],
      coordinatorEpoch: getInt32(bytes, at + 34),
      lastTimestamp: timestamp,
      currentTxnFirstOffset: getInt64(bytes, at + 38)
    })
  }
  return entries
}
