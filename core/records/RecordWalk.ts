/**
 * The check that every record of every produced batch goes through, so it is written for speed: one pass, no
 * allocation, plain numbers. It answers only "all is well"; when it does not, RecordReader walks the same bytes again
 * and says what is wrong where. Keep the two in step.
 *
 * Reads past the end of the array give undefined, which counts as 0 here: whatever a broken length leads to, a record's
 * parts then don't end where it does, and nothing is read into memory that isn't ours.
 */

/** What a walk found; its owner keeps one and reuses it. */
export interface WalkResult {
  /** Of all records, in ms after the batch's base timestamp. */
  minTimestampDelta: number
  maxTimestampDelta: number
}

export const makeWalkResult = (): WalkResult => ({ minTimestampDelta: 0, maxTimestampDelta: 0 })

/**
 * Whether `bytes` from `from` to `end` hold exactly `count` records with offset deltas 0 to count - 1.
 * False for some that are right too: timestamp deltas of more than 7 bytes.
 *
 * @param needKeys false for a record without a key as well
 */
export const walkRecords = (
  bytes: Uint8Array,
  from: number,
  end: number,
  count: number,
  needKeys: boolean,
  result: WalkResult
): boolean => {
  let at = from
  let minDelta = Infinity
  let maxDelta = -Infinity
  for (let index = 0; index < count; index++) {
    if (at >= end) return false
    // length
    let byte = bytes[at++]!
    let raw = byte
    if (byte >= 0x80) {
      raw = byte & 0x7f
      byte = bytes[at++]!
      if (byte < 0x80) raw |= byte << 7
      else {
        raw |= (byte & 0x7f) << 7
        let shift = 14
        do {
          if (shift > 28) return false
          byte = bytes[at++]!
          raw |= (byte & 0x7f) << shift
          shift += 7
        } while (byte >= 0x80)
      }
    }
    if ((raw & 1) !== 0) return false
    const recordEnd = at + (raw >>> 1)
    if (recordEnd > end) return false
    at++ // attributes

    // timestamp delta
    byte = bytes[at++]!
    let delta: number
    if (byte < 0x80) delta = (byte >>> 1) ^ -(byte & 1)
    else {
      raw = byte & 0x7f
      byte = bytes[at++]!
      raw |= (byte & 0x7f) << 7
      if (byte >= 0x80) {
        byte = bytes[at++]!
        raw |= (byte & 0x7f) << 14
      }
      if (byte < 0x80) delta = (raw >>> 1) ^ -(raw & 1)
      else {
        let wide = raw
        let scale = 0x20_0000 // 2^21
        do {
          if (scale > 0x400_0000_0000) return false // 2^42: 7 bytes
          byte = bytes[at++]!
          wide += (byte & 0x7f) * scale
          scale *= 128
        } while (byte >= 0x80)
        delta = wide % 2 === 0 ? wide / 2 : -(wide + 1) / 2
      }
    }
    if (delta < minDelta) minDelta = delta
    if (delta > maxDelta) maxDelta = delta

    // offset delta: must be the index
    byte = bytes[at++]!
    raw = byte
    if (byte >= 0x80) {
      raw = byte & 0x7f
      byte = bytes[at++]!
      if (byte < 0x80) raw |= byte << 7
      else {
        raw |= (byte & 0x7f) << 7
        let shift = 14
        do {
          if (shift > 28) return false
          byte = bytes[at++]!
          raw |= (byte & 0x7f) << shift
          shift += 7
        } while (byte >= 0x80)
      }
    }
    if (((raw >>> 1) ^ -(raw & 1)) !== index) return false

    // key
    byte = bytes[at++]!
    raw = byte
    if (byte >= 0x80) {
      raw = byte & 0x7f
      let shift = 7
      do {
        if (shift > 28) return false
        byte = bytes[at++]!
        raw |= (byte & 0x7f) << shift
        shift += 7
      } while (byte >= 0x80)
    }
    if ((raw & 1) === 0) at += raw >>> 1
    else if (needKeys) return false

    // value; the key may have led past the record
    if (at >= recordEnd) return false
    byte = bytes[at++]!
    raw = byte
    if (byte >= 0x80) {
      raw = byte & 0x7f
      byte = bytes[at++]!
      if (byte < 0x80) raw |= byte << 7
      else {
        raw |= (byte & 0x7f) << 7
        let shift = 14
        do {
          if (shift > 28) return false
          byte = bytes[at++]!
          raw |= (byte & 0x7f) << shift
          shift += 7
        } while (byte >= 0x80)
      }
    }
    if ((raw & 1) === 0) at += raw >>> 1

    // headers: nearly always none
    if (at >= recordEnd) return false
    if (bytes[at] === 0) at++
    else {
      at = walkHeaders(bytes, at, recordEnd)
      if (at < 0) return false
    }
    if (at !== recordEnd) return false
  }
  result.minTimestampDelta = minDelta
  result.maxTimestampDelta = maxDelta
  return at === end
}

/** @returns the position after the headers, -1 when they are not right */
const walkHeaders = (bytes: Uint8Array, from: number, end: number): number => {
  let at = from
  let left = -1
  // Count first, then a key and a value per header: all varints, so one loop reads them.
  for (let parts = 0; left !== 0; parts++) {
    if (at >= end) return -1
    let raw = 0
    let shift = 0
    let byte: number
    do {
      if (shift > 28) return -1
      byte = bytes[at++]!
      raw |= (byte & 0x7f) << shift
      shift += 7
    } while (byte >= 0x80)
    const isNull = (raw & 1) !== 0
    if (parts === 0) {
      if (isNull || raw >>> 1 > end - at) return -1
      left = (raw >>> 1) * 2
      continue
    }
    if (isNull && (left & 1) === 0) return -1 // a header's key
    if (!isNull) at += raw >>> 1
    left--
  }
  return at
}
