/**
 * What Kafka looks at in a Produce request before any log does: the heads of the batches, one behind the other.
 *
 * | offset | size | field                                                                     |
 * |--------|------|---------------------------------------------------------------------------|
 * | 8      | 4    | int32 length of what follows; a message of magic 0, the shortest, has 14  |
 * | 16     | 1    | int8 magic                                                                |
 * | 21     | 2    | int16 attributes (magic 2): codec in bits 0 to 2, transactional in bit 4  |
 */
import { ErrorCode } from "../../protocol/ErrorCode.ts"

const LENGTH_AT = 8
const MAGIC_AT = 16
const ATTRIBUTES_LOW_AT = 22
/** Base offset and length, which the length does not count. */
const OVERHEAD_BYTES = 12
const MIN_LENGTH = 14
const HEADER_TO_MAGIC_BYTES = 17
/** As in a batch's attributes: the last codec there is. */
export const ZSTD = 4
/** zstd may be sent from this version on (KIP-110). */
export const ZSTD_FROM = 7

export interface ScannedRecords {
  /** 0, 1, or 2 for more; a cut one at the end is passed over, as Kafka does. */
  readonly batches: number
  /** Of the first batch, as is all that follows. */
  readonly magic: number
  readonly codec: number
  readonly isTransactional: boolean
  /** What follows the first batch begins like no batch: why, in Kafka's words. */
  readonly corruptRest: string | undefined
}

const int32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

const NOTHING: ScannedRecords = { batches: 0, magic: -1, codec: 0, isTransactional: false, corruptRest: undefined }
/** One batch, as nearly always: by codec. */
const ORDINARY: ReadonlyArray<ScannedRecords> = Array.from(
  { length: 8 },
  (_, codec) => ({ ...NOTHING, batches: 1, magic: 2, codec })
)

/** Size of the batch at a position; 0: no whole one is there; a string: no batch begins like that. */
const batchSize = (records: Uint8Array, at: number): number | string => {
  const remaining = records.length - at
  if (remaining < OVERHEAD_BYTES) return 0
  const length = int32(records, at + LENGTH_AT)
  if (length < MIN_LENGTH) return `Record size ${length} is less than the minimum record overhead (${MIN_LENGTH})`
  if (remaining < HEADER_TO_MAGIC_BYTES) return 0
  const magic = records[at + MAGIC_AT]!
  if (magic > 2) return `Invalid magic found in record: ${(magic << 24) >> 24}`
  const size = OVERHEAD_BYTES + length
  return remaining < size ? 0 : size
}

/** A string: the first batch is none, which makes the whole request CORRUPT_MESSAGE. */
export const scanRecords = (records: Uint8Array | null): ScannedRecords | string => {
  if (records === null) return NOTHING
  const size = batchSize(records, 0)
  if (typeof size === "string") return size
  if (size === 0) return NOTHING
  const magic = records[MAGIC_AT]!
  const attributes = magic === 2 && size > ATTRIBUTES_LOW_AT ? records[ATTRIBUTES_LOW_AT]! : 0
  const codec = attributes & 7
  const isTransactional = (attributes & 0x10) !== 0
  const rest = size === records.length ? 0 : batchSize(records, size)
  if (rest === 0 && magic === 2 && !isTransactional) return ORDINARY[codec]!
  const corruptRest = typeof rest === "string" ? rest : undefined
  return { batches: rest === 0 || corruptRest !== undefined ? 1 : 2, magic, codec, isTransactional, corruptRest }
}

/** NONE, or why a partition's records are not even offered to its log. */
export const scanError = (scanned: ScannedRecords, version: number): number => {
  if (scanned.batches === 0 || scanned.magic !== 2) return ErrorCode.INVALID_RECORD
  if (version < ZSTD_FROM && scanned.codec === ZSTD) return ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
  if (scanned.corruptRest !== undefined) return ErrorCode.CORRUPT_MESSAGE
  return scanned.batches > 1 ? ErrorCode.INVALID_RECORD : ErrorCode.NONE
}
