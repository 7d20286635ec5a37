/** xxHash32 with seed 0, the checksum inside LZ4 frames. */
const P1 = 0x9e37_79b1 | 0
const P2 = 0x85eb_ca77 | 0
const P3 = 0xc2b2_ae3d | 0
const P4 = 0x27d4_eb2f | 0
const P5 = 0x1656_67b1 | 0

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by))
const int32 = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

/** Of bytes `from` to `end`, unsigned. */
export const xxHash32 = (bytes: Uint8Array, from: number, end: number): number => {
  const length = end - from
  let at = from
  let hash = P5
  if (length >= 16) {
    let a = (P1 + P2) | 0
    let b = P2
    let c = 0
    let d = -P1 | 0
    for (const last = end - 16; at <= last; at += 16) {
      a = Math.imul(rotate((a + Math.imul(int32(bytes, at), P2)) | 0, 13), P1)
      b = Math.imul(rotate((b + Math.imul(int32(bytes, at + 4), P2)) | 0, 13), P1)
      c = Math.imul(rotate((c + Math.imul(int32(bytes, at + 8), P2)) | 0, 13), P1)
      d = Math.imul(rotate((d + Math.imul(int32(bytes, at + 12), P2)) | 0, 13), P1)
    }
    hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0
  }
  hash = (hash + length) | 0
  for (; at + 4 <= end; at += 4) hash = Math.imul(rotate((hash + Math.imul(int32(bytes, at), P3)) | 0, 17), P4)
  for (; at < end; at++) hash = Math.imul(rotate((hash + Math.imul(bytes[at]!, P5)) | 0, 11), P1)
  hash = Math.imul(hash ^ (hash >>> 15), P2)
  hash = Math.imul(hash ^ (hash >>> 13), P3)
  return (hash ^ (hash >>> 16)) >>> 0
}
