/** Java's hash of a string, which places groups in partitions and orders its hash maps. */
export const javaHash = (text: string): number => {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return hash
}

/** The partition of the offsets topic, or of any other, that a key belongs to. */
export const partitionFor = (key: string, partitions: number): number => {
  const hash = javaHash(key)
  // Kafka's Utils.abs: the smallest int has no absolute value.
  return (hash === -2147483648 ? 0 : Math.abs(hash)) % partitions
}

/** The bucket of a string in a HashMap of up to 12 entries: the order in which Java walks them. */
export const javaBucket = (text: string): number => {
  const hash = javaHash(text)
  return (hash ^ (hash >>> 16)) & 15
}
