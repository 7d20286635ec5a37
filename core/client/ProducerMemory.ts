/**
 * The memory of a producer's batches. Every batch claims the larger of `batch.size` and its first record; what all
 * of them claim stays within `buffer.memory`. Buffers of `batch.size` are used again and again: a warm one costs less
 * than a new one that has to be zeroed and collected.
 *
 * Bounds: `limitBytes` are claimed at most, except for the growth of a batch that turned out larger than its claim
 * (compressible records, KIP-126), which counts but waits for nothing. Free buffers are part of the limit.
 */
export class ProducerMemory {
  readonly limitBytes: number
  readonly batchBytes: number
  readonly #free: Array<Uint8Array> = []
  #claimedBytes = 0

  constructor(limitBytes: number, batchBytes: number) {
    this.limitBytes = limitBytes
    this.batchBytes = batchBytes
  }

  get claimedBytes(): number {
    return this.#claimedBytes
  }
  get freeBytes(): number {
    return this.#free.length * this.batchBytes
  }

  /** Whether a batch of so many bytes may be begun now. A limit below `batch.size` still lets one batch in. */
  hasRoom(bytes: number): boolean {
    return this.#claimedBytes + bytes <= this.limitBytes || this.#claimedBytes === 0
  }

  /** A buffer of at least `bytes`, with whatever was in it. The caller has asked `hasRoom`. */
  claim(bytes: number): Uint8Array {
    this.#claimedBytes += bytes
    if (bytes <= this.batchBytes) return this.#free.pop() ?? new Uint8Array(this.batchBytes)
    while (this.#free.length > 0 && this.freeBytes + this.#claimedBytes > this.limitBytes) this.#free.pop()
    return new Uint8Array(bytes)
  }

  /** A batch grew. */
  addClaim(bytes: number): void {
    this.#claimedBytes += bytes
  }

  /** A batch has ended. */
  release(bytes: number): void {
    this.#claimedBytes -= bytes
  }

  /** Takes back a buffer that nobody reads any more: not the network either. */
  giveBack(buffer: Uint8Array): void {
    if (buffer.length !== this.batchBytes) return
    if (this.freeBytes + this.#claimedBytes + this.batchBytes > this.limitBytes) return
    this.#free.push(buffer)
  }
}
