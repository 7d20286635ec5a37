/**
 * KIP-794's adaptive choice: a partition in whose queue fewer batches wait is drawn more often, so that a slow broker
 * gets less. With queues of 0, 3 and 1 batches the chances are 4 : 1 : 3 (the longest queue plus one, less one's own).
 */
export class LoadWeights {
  /** Running sums of the weights. Reused from one round to the next; only the first `#length` count. */
  readonly #ends: Array<number> = []
  readonly #partitions: Array<number> = []
  #length = 0

  /** Whether there is anything to weigh; if not, every partition is as good as another. */
  get active(): boolean {
    return this.#length > 0
  }

  /** @param total all partitions of the topic; that some are left out makes the others' weights count, equal or not */
  update(queueSizes: ReadonlyArray<number>, partitions: ReadonlyArray<number>, total: number): void {
    const length = Math.min(queueSizes.length, partitions.length)
    this.#length = 0
    if (length === 0 || total < 2) return
    let longest = queueSizes[0]!
    let equal = true
    for (let i = 1; i < length; i++) {
      const size = queueSizes[i]!
      if (size !== queueSizes[0]) equal = false
      if (size > longest) longest = size
    }
    if (equal && length >= total) return
    let end = 0
    for (let i = 0; i < length; i++) {
      end += longest + 1 - queueSizes[i]!
      this.#ends[i] = end
      this.#partitions[i] = partitions[i]!
    }
    this.#length = length
  }

  /** A partition by its weight. @param random uniform in [0, 1) */
  choose(random: () => number): number {
    const drawn = Math.floor(random() * this.#ends[this.#length - 1]!)
    // the first whose sum is beyond what was drawn
    let low = 0
    let high = this.#length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ends[middle]! > drawn) high = middle
      else low = middle + 1
    }
    return this.#partitions[low]!
  }
}
