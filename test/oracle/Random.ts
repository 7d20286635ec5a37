/** Seeded choices: the same seed makes the same requests on every machine (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0
    for (let i = 0; i < 8; i++) this.next()
  }

  /** From 0 up to, not with, 2^32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** From `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + this.next() % (high - low + 1)
  }

  chance(percent: number): boolean {
    return this.next() % 100 < percent
  }

  pick<A>(items: ReadonlyArray<A>): A {
    const item = items[this.next() % items.length]
    if (items.length === 0) throw new RangeError("nothing to pick from")
    return item as A
  }

  /** One of `[weight, value]`. */
  weighted<A>(items: ReadonlyArray<readonly [number, A]>): A {
    let rest = this.next() % items.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, value] of items) {
      if (rest < weight) return value
      rest -= weight
    }
    throw new RangeError("weights must not be empty")
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.next() & 0xff
    return bytes
  }

  /** Words of lower-case letters: compressible, like text. */
  text(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const letters = "etaoin shrdlu "
    for (let i = 0; i < length; i++) bytes[i] = letters.charCodeAt(this.next() % letters.length)
    return bytes
  }
}
