/** Copies that LZ4 and Snappy decoders make inside their own output. */

/** Shorter ones are copied byte by byte: a call of the runtime's costs more. In bytes. */
const BYTEWISE_BYTES = 48

/**
 * Writes `length` bytes at `to`, each the byte `offset` before it; the two ranges may overlap, which repeats what lies
 * between them. The caller has checked both ends.
 * @returns the position after them
 */
export const copyMatch = (target: Uint8Array, to: number, offset: number, length: number): number => {
  const stop = to + length
  let source = to - offset
  if (length <= BYTEWISE_BYTES) {
    for (let out = to; out < stop;) target[out++] = target[source++]!
    return stop
  }
  let ready = Math.min(offset, length)
  target.copyWithin(to, source, source + ready)
  while (ready < length) {
    const next = Math.min(ready, length - ready)
    target.copyWithin(to + ready, to, to + next)
    ready += next
  }
  return stop
}
