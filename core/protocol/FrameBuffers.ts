/**
 * Memory for frames that span reads, shared by the connections of a broker. A connection holds a buffer only while a
 * frame of its is incomplete, so idle ones cost nothing; and a busy one finds the buffer of the frame before, still
 * warm, instead of a new one that has to be zeroed first and collected later.
 *
 * Bound: `maxFreeBytes` of buffers wait to be used again; what is given back beyond that is let go.
 */

/** The smallest buffer, in bytes; the others are its multiples by powers of two. */
const SMALLEST_BYTES = 4096

/** A larger buffer is made for its frame and let go with it: 32 MiB. */
const LARGEST_CLASS = 13

/** Of all free buffers together, in bytes. */
export const MAX_FREE_BYTES: number = 16 * 1024 * 1024

/** The smallest class of at least `bytes`; LARGEST_CLASS + 1 and more for none. */
const classOf = (bytes: number): number =>
  bytes <= SMALLEST_BYTES ? 0 : 32 - Math.clz32((bytes - 1) / SMALLEST_BYTES)

export class FrameBuffers {
  readonly #maxFreeBytes: number
  readonly #free: Array<Array<Uint8Array>> = Array.from({ length: LARGEST_CLASS + 1 }, () => [])
  #freeBytes = 0

  constructor(maxFreeBytes: number = MAX_FREE_BYTES) {
    this.#maxFreeBytes = maxFreeBytes
  }

  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A buffer of at least `bytes`, with whatever was in it. */
  take(bytes: number): Uint8Array {
    const index = classOf(bytes)
    if (index > LARGEST_CLASS) return new Uint8Array(bytes)
    const buffer = this.#free[index]!.pop()
    if (buffer === undefined) return new Uint8Array(SMALLEST_BYTES << index)
    this.#freeBytes -= buffer.length
    return buffer
  }

  /** Takes back a buffer that nobody looks at any more. */
  give(buffer: Uint8Array): void {
    const index = classOf(buffer.length)
    if (index > LARGEST_CLASS || buffer.length !== SMALLEST_BYTES << index) return
    if (this.#freeBytes + buffer.length > this.#maxFreeBytes) return
    this.#free[index]!.push(buffer)
    this.#freeBytes += buffer.length
  }
}
