/**
 * CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) in plain JavaScript, 16 bytes a step: 1.5 to 2 GB/s. For
 * simulations, and for small batches, where it beats a call out of the runtime.
 */
const POLYNOMIAL = 0x82f6_3b78
const SLICES = 16

/** SLICES tables of 256: entry n of table k is the CRC of byte n followed by k zero bytes. */
const makeTables = (): Int32Array => {
  const tables = new Int32Array(SLICES * 256)
  for (let n = 0; n < 256; n++) {
    let crc = n
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[n] = crc
  }
  for (let n = 256; n < tables.length; n++) {
    const previous = tables[n - 256]!
    tables[n] = (previous >>> 8) ^ tables[previous & 0xff]!
  }
  return tables
}

const T: Int32Array = makeTables()

/** As an unsigned 32-bit number; `seed` continues an earlier one. */
export const crc32c = (bytes: Uint8Array, seed: number = 0): number => crc32cOf(bytes, 0, bytes.length, seed)

/** Of bytes `from` to `end`. */
export const crc32cOf = (bytes: Uint8Array, from: number, end: number, seed: number = 0): number => {
  let crc = ~seed
  let at = from
  for (const last = end - SLICES; at <= last; at += SLICES) {
    crc = T[3840 + ((crc & 0xff) ^ bytes[at]!)]! ^
      T[3584 + (((crc >>> 8) & 0xff) ^ bytes[at + 1]!)]! ^
      T[3328 + (((crc >>> 16) & 0xff) ^ bytes[at + 2]!)]! ^
      T[3072 + ((crc >>> 24) ^ bytes[at + 3]!)]! ^
      T[2816 + bytes[at + 4]!]! ^
      T[2560 + bytes[at + 5]!]! ^
      T[2304 + bytes[at + 6]!]! ^
      T[2048 + bytes[at + 7]!]! ^
      T[1792 + bytes[at + 8]!]! ^
      T[1536 + bytes[at + 9]!]! ^
      T[1280 + bytes[at + 10]!]! ^
      T[1024 + bytes[at + 11]!]! ^
      T[768 + bytes[at + 12]!]! ^
      T[512 + bytes[at + 13]!]! ^
      T[256 + bytes[at + 14]!]! ^
      T[bytes[at + 15]!]!
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ T[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}
