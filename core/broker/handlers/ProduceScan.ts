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
  /** Whole batches; a cut one at the end is passed over, as Kafka does. */
  readonly batches: number
  /** Of the first batch. */
  readonly magic: number
  readonly codec: number
  /** Any of them. */
  readonly isTransactional: boolean
}

const int32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

const NOTHING: ScannedRecords = { batches: 0, magic: -1, codec: 0, isTransactional: false }
/** One batch, as nearly always: by codec. */
const ORDINARY: ReadonlyArray<ScannedRecords> = Array.from(
  { length: 8 },
  (_, codec) => ({ batches: 1, magic: 2, codec, isTransactional: false })
)

/** A string: a length or magic that no batch has, in Kafka's words. It makes the whole request CORRUPT_MESSAGE. */
export const scanRecords = (records: Uint8Array | null): ScannedRecords | string => {
  if (records === null) return NOTHING
  let batches = 0
  let magic = -1
  let codec = 0
  let isTransactional = false
  let at = 0
  while (records.length - at >= OVERHEAD_BYTES) {
    const length = int32(records, at + LENGTH_AT)
    if (length < MIN_LENGTH) return `Record size ${length} is less than the minimum record overhead (${MIN_LENGTH})`
    if (records.length - at < HEADER_TO_MAGIC_BYTES) break
    const batchMagic = records[at + MAGIC_AT]!
    if (batchMagic > 2) return `Invalid magic found in record: ${(batchMagic << 24) >> 24}`
    const size = OVERHEAD_BYTES + length
    if (records.length - at < size) break
    const attributes = batchMagic === 2 && size > ATTRIBUTES_LOW_AT ? records[at + ATTRIBUTES_LOW_AT]! : 0
    if (batches === 0) {
      magic = batchMagic
      codec = attributes & 7
    }
    if ((attributes & 0x10) !== 0) isTransactional = true
    batches++
    at += size
  }
  if (batches === 1 && magic === 2 && !isTransactional) return ORDINARY[codec]!
  return batches === 0 ? NOTHING : { batches, magic, codec, isTransactional }
}

/** NONE, or why a partition's records are not even offered to its log. */
export const scanError = (scanned: ScannedRecords, version: number): number => {
  if (scanned.batches === 0 || scanned.magic !== 2) return ErrorCode.INVALID_RECORD
  if (version < ZSTD_FROM && scanned.codec === ZSTD) return ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
  return scanned.batches > 1 ? ErrorCode.INVALID_RECORD : ErrorCode.NONE
}
