/** Copies that LZ4 and Snappy decoders make inside their own output. */

/** Up to here a call of the runtime's costs more than copying byte by byte; in bytes. */
const CALL_FROM = 20
/** The same for ranges that overlap, which take several calls. */
const CALLS_FROM = 100

/**
 * Writes `length` bytes at `to`, each the byte `offset` before it; the two ranges may overlap, which repeats what lies
 * between them. The caller has checked both ends.
 * @returns the position after them
 */
export const copyMatch = (target: Uint8Array, to: number, offset: number, length: number): number => {
  const stop = to + length
  let source = to - offset
  if (length < (offset < length ? CALLS_FROM : CALL_FROM)) {
    for (let out = to; out < stop;) target[out++] = target[source++]!
    return stop
  }
  // An overlapping match: what is there is copied, doubling, until it is done.
  let ready = Math.min(offset, length)
  target.copyWithin(to, source, source + ready)
  while (ready < length) {
    const next = Math.min(ready, length - ready)
    target.copyWithin(to + ready, to, to + next)
    ready += next
  }
  return stop
}
