/** FNV-1a with 32 bits, taken as a signed integer and made positive by its absolute value: as Sarama and librdkafka do. */

/** @returns 0 to 2^31 */
export const fnv1a = (bytes: Uint8Array): number => {
  let hash = 0x811c9dc5 | 0
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash < 0 ? -hash : hash
}
