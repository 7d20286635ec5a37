/** Bytes that codecs are tried with. */

/** Around the block sizes of Kafka's codecs. */
export const BLOCK_SIZES: ReadonlyArray<number> =
  [0, 1, 3, 4, 5, 12, 13, 60, 61, 64, 255, 256, 300, 32767, 32768, 32769, 65535, 65536, 65537, 131072, 300_000]

export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Not compressible, the same in every run (xorshift). */
export const noise = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state = 0x2545_f491
  for (let at = 0; at < length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state
  }
  return bytes
}
