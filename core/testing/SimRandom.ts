/** Dice of a simulation: seeded, integer arithmetic only, so that every runtime throws the same. */

/** Numbers from 0 (inclusive) to 1 (exclusive). */
export const mulberry32 = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A seed for something of its own (a process, a disk) below another seed: FNV-1a over both. */
export const seedOf = (seed: number, name: string): number => {
  let hash = Math.imul(0x811c9dc5 ^ seed, 0x01000193)
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  // FNV's low bits of short names are close to each other, and mulberry32 begins near its seed.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 12)
}

export class SimRandom {
  /** From 0 (inclusive) to 1 (exclusive). */
  readonly next: () => number
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed
    this.next = mulberry32(seed)
  }

  /** Dice of their own: what is thrown with them does not change what is thrown here. */
  fork(name: string): SimRandom {
    return new SimRandom(seedOf(this.#seed, name))
  }
  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1))
  }
  chance(probability: number): boolean {
    return this.next() < probability
  }
  /** One of at least one. */
  pick<A>(from: ReadonlyArray<A>): A {
    return from[Math.floor(this.next() * from.length)]!
  }
}
