/**
 * The record of a control batch (KIP-98, KIP-595). Brokers write them, readers skip them.
 *
 * | key       | type  | meaning                                                                          |
 * |-----------|-------|----------------------------------------------------------------------------------|
 * | version   | int16 | 0                                                                                |
 * | type      | int16 | 0 abort, 1 commit, 2 leader change, 3 snapshot header, 4 snapshot footer,        |
 * |           |       | 5 KRaft version, 6 KRaft voters                                                  |
 *
 * | value of abort and commit | type  | meaning                                                          |
 * |---------------------------|-------|------------------------------------------------------------------|
 * | version                   | int16 | 0; a newer one begins alike                                      |
 * | coordinatorEpoch          | int32 | of the transaction coordinator that decided                      |
 */
import type { Crypto } from "../ports/Crypto.ts"
import { buildBatch } from "./BatchBuilder.ts"
import type { Record } from "./Record.ts"
import { getInt32, setInt16, setInt32 } from "./RecordBatch.ts"
import { RecordError } from "./RecordError.ts"

export const ControlRecordType = {
  ABORT: 0,
  COMMIT: 1,
  LEADER_CHANGE: 2,
  SNAPSHOT_HEADER: 3,
  SNAPSHOT_FOOTER: 4,
  KRAFT_VERSION: 5,
  KRAFT_VOTERS: 6
} as const
/** One of ControlRecordType, or one that only a newer Kafka knows. */
export type ControlRecordType = number

const CURRENT_VERSION = 0
const KEY_BYTES = 4
const MARKER_BYTES = 6

const getInt16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 24 >> 16) | bytes[at + 1]!

/** @throws RecordError for a key that is no control record's */
export const controlRecordType = (key: Uint8Array | null): ControlRecordType => {
  if (key === null || key.length < KEY_BYTES) {
    throw new RecordError(`a control record's key of ${key?.length ?? "no"} bytes`, 0)
  }
  const version = getInt16(key, 0)
  if (version < 0) throw new RecordError(`a control record's key of version ${version}`, 0)
  return getInt16(key, 2)
}

export interface EndTransactionMarker {
  readonly type: typeof ControlRecordType.ABORT | typeof ControlRecordType.COMMIT
  readonly coordinatorEpoch: number
}

/** Undefined for other control records. @throws RecordError for a marker that is not one */
export const endTransactionMarker = (record: Pick<Record, "key" | "value">): EndTransactionMarker | undefined => {
  const type = controlRecordType(record.key)
  if (type !== ControlRecordType.ABORT && type !== ControlRecordType.COMMIT) return undefined
  const value = record.value
  if (value === null || value.length < MARKER_BYTES) {
    throw new RecordError(`an end-transaction marker of ${value?.length ?? "no"} bytes`, 0)
  }
  const version = getInt16(value, 0)
  if (version < 0) throw new RecordError(`an end-transaction marker of version ${version}`, 0)
  return { type, coordinatorEpoch: getInt32(value, 2) }
}

export interface MarkerOptions {
  readonly crypto: Crypto
  readonly producerId: number
  readonly producerEpoch: number
  readonly timestamp: number
  readonly baseOffset?: number
  readonly leaderEpoch?: number
}

/** A batch that ends a producer's transaction in one partition. */
export const endTransactionBatch = (marker: EndTransactionMarker, options: MarkerOptions): Uint8Array => {
  const key = new Uint8Array(KEY_BYTES)
  setInt16(key, 0, CURRENT_VERSION)
  setInt16(key, 2, marker.type)
  const value = new Uint8Array(MARKER_BYTES)
  setInt16(value, 0, CURRENT_VERSION)
  setInt32(value, 2, marker.coordinatorEpoch)
  return buildBatch([{ timestamp: options.timestamp, key, value }], {
    crypto: options.crypto,
    producerId: options.producerId,
    producerEpoch: options.producerEpoch,
    isTransactional: true,
    isControl: true,
    ...(options.baseOffset === undefined ? {} : { baseOffset: options.baseOffset }),
    ...(options.leaderEpoch === undefined ? {} : { leaderEpoch: options.leaderEpoch })
  })
}
