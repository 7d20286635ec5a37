/**
 * Jump consistent hash (Lamping and Veach, 2014): spreads keys over n buckets so that a bucket more takes its fair share
 * of keys from the others and moves no other key. About ln(n) steps, no memory.
 */

// 2862933555777941757, the multiplier of the paper's linear congruential generator, in halves
const M_HIGH = 0x27bb2ee6
const M_LOW = 0x87b0b0fd

/**
 * @param high upper half of the 64-bit key
 * @param low lower half
 * @param buckets 1 to 2^31 - 1
 * @returns 0 to buckets - 1
 */
export const jumpHash = (high: number, low: number, buckets: number): number => {
  let hi = high | 0
  let lo = low >>> 0
  let bucket = 0
  let next = 0
  while (next < buckets) {
    bucket = next
    // key = key * multiplier + 1 modulo 2^64; the products of 16 by 32 bits are exact
    const lower = (lo & 0xffff) * M_LOW + 1
    const upper = (lo >>> 16) * M_LOW
    const carried = Math.floor(upper / 0x10000)
    const sum = lower + (upper - carried * 0x10000) * 0x10000
    const carry = Math.floor(sum / 0x100000000) + carried
    hi = (Math.imul(hi, M_LOW) + Math.imul(lo, M_HIGH) + carry) | 0
    lo = sum >>> 0
    // the upper 31 bits say how far to jump
    next = Math.floor((bucket + 1) * (0x80000000 / ((hi >>> 1) + 1)))
  }
  return bucket
}
