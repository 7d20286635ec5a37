/**
 * The order in which Java walks a `HashMap`. Kafka's assignors walk hash maps, and which member keeps the odd partition
 * depends on it. By following that order a group gets the same assignment whichever client leads it, so that nothing
 * moves because the leader changed from one client to another.
 *
 * A map of n keys has a table of 16 slots, doubled until n is at most three quarters of it; a key's slot is its hash,
 * with the upper half folded in, modulo the table. Keys of one slot stay in the order they came in. (From 8 keys in one
 * slot on Java makes a tree of them and may move one to the front: that is not followed.)
 */

/** Java's `String.hashCode`. */
export const javaHash = (text: string): number => {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return hash
}

/** @param capacity of the table, a power of two */
export const slotOf = (hash: number, capacity: number): number => (hash ^ (hash >>> 16)) & (capacity - 1)

export const INITIAL_CAPACITY = 16

/** The capacity that a table of at least `capacity` slots has grown to when it holds `size` keys. */
export const grownCapacity = (capacity: number, size: number): number => {
  let grown = capacity
  while (size > grown * 0.75) grown *= 2
  return grown
}

const inSlots = (keys: ReadonlyArray<string>, capacity: number): Array<string> =>
  keys
    .map((key) => ({ key, slot: slotOf(javaHash(key), capacity) }))
    .sort((a, b) => a.slot - b.slot)
    .map(({ key }) => key)

/** The distinct keys in the order in which a `HashMap` (or `HashSet`) that they were put into gives them back. */
export const hashOrder = (keys: Iterable<string>): Array<string> => {
  const distinct = [...new Set(keys)]
  return inSlots(distinct, grownCapacity(INITIAL_CAPACITY, distinct.length))
}

/**
 * The same for a map that was asked for each of `keys` with `computeIfAbsent`, which is not alike: it puts a new key
 * before the others of its slot, and a table that is too small grows at the next question, new key or not.
 */
export const computedHashOrder = (keys: Iterable<string>): Array<string> => {
  const distinct = new Set<string>()
  let capacity = INITIAL_CAPACITY
  for (const key of keys) {
    capacity = grownCapacity(capacity, distinct.size)
    distinct.add(key)
  }
  return inSlots([...distinct].reverse(), capacity)
}

/** Java's `String.compareTo` for sorting: by UTF-16 code units, as JavaScript's own comparison. */
export const compareStrings = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
