/**
 * A law: something that every implementation of an interface keeps, as a name and a function. No test runner is named:
 *
 * ```ts
 * for (const law of diskLaws(makeMine)) it(law.name, law.run)        // vitest
 * for (const law of diskLaws(makeMine)) test(law.name, law.run)      // bun:test, node:test
 * for (const law of diskLaws(makeMine)) Deno.test(law.name, law.run)
 * ```
 *
 * Laws are independent of each other, wait for conditions and not for time, and draw from seeds: one that failed fails
 * again.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"

export interface Law {
  /** A sentence about behaviour, different from those of the other laws of its list. */
  readonly name: string
  /** Rejects with a {@link LawViolation} when the law does not hold, and with what the implementation itself threw. */
  readonly run: () => Promise<void>
}

/** A law does not hold; `trace` is what happened, in order, where the law keeps one. */
export class LawViolation extends Error {
  readonly _tag = "LawViolation"
  readonly trace: ReadonlyArray<string>
  constructor(reason: string, trace: ReadonlyArray<string> = []) {
    super(trace.length === 0 ? reason : `${reason}\n  ${trace.join("\n  ")}`)
    this.trace = trace
  }
}

/** A law of plain calls; what it throws breaks it. */
export const law = (name: string, check: () => void | Promise<void>): Law => ({ name, run: async () => check() })

/** In ms of the real clock: an implementation that never answers breaks a law after this time. */
export const LAW_PATIENCE_MS = 60_000

/** A law of effects, in a scope of its own. What an effect fails with breaks it. */
export const lawOf = (
  name: string,
  check: () => Effect.Effect<unknown, unknown, Scope>,
  patienceMs: number = LAW_PATIENCE_MS
): Law => ({
  name,
  run: async () => {
    const bounded = Effect.timeoutOrElse(Effect.suspend(check), {
      duration: patienceMs,
      orElse: () => Effect.fail(new LawViolation(`what the law waits for did not come within ${patienceMs} ms`))
    })
    const exit = await Effect.runPromiseExit(Effect.scoped(bounded))
    if (Exit.isSuccess(exit)) return
    const error = Cause.squash(exit.cause)
    throw error instanceof Error ? error : new LawViolation(show(error))
  }
})

// -- what laws check with -----------------------------------------------------------------------------------------

/** A value as text, for the message of a violation. */
export const show = (value: unknown): string => {
  if (value instanceof Uint8Array) return value.length > 40 ? `${value.length} bytes` : `bytes [${value.join()}]`
  if (value instanceof Error) return String(value)
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`
  if (typeof value === "object" && value !== null) {
    return `{ ${Object.entries(value).map(([key, each]) => `${key}: ${show(each)}`).join(", ")} }`
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value)
}

/** Plain data: the same keys with the same values, arrays and bytes element by element. */
const isSame = (a: unknown, b: unknown): boolean => {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && firstDifference(a, b) === undefined
  }
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length &&
    keys.every((key) => key in b && isSame(a[key as keyof typeof a], b[key as keyof typeof b]))
}

/** Position of the first byte that is not the same; undefined when all are. */
const firstDifference = (a: Uint8Array, b: Uint8Array): number | undefined => {
  const end = Math.min(a.length, b.length)
  for (let at = 0; at < end; at++) if (a[at] !== b[at]) return at
  return a.length === b.length ? undefined : end
}

export const ensure: (holds: boolean, message: string | (() => string)) => asserts holds = (holds, message) => {
  if (!holds) throw new LawViolation(typeof message === "string" ? message : message())
}

export const ensureSame = (actual: unknown, expected: unknown, what: string): void =>
  ensure(isSame(actual, expected), () => `${what}: ${show(actual)}, expected ${show(expected)}`)

export const ensureSameBytes = (actual: Uint8Array, expected: Uint8Array, what: string): void => {
  const at = firstDifference(actual, expected)
  ensure(
    at === undefined,
    () => `${what}: ${actual.length} bytes where ${expected.length} are expected, the first that differs at ${at}`
  )
}

// -- sequences from a seed ----------------------------------------------------------------------------------------

/** Draws from a seed (Mulberry32): the same draws for the same seed on every runtime. */
export class Dice {
  #state: number
  constructor(seed: number) {
    this.#state = seed | 0
  }
  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000
  }
  /** An integer from 0 to `end`, exclusive. */
  below(end: number): number {
    return Math.floor(this.next() * end)
  }
  /** An integer from `first` to `last`, inclusive. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1)
  }
  isOneIn(count: number): boolean {
    return this.below(count) === 0
  }
  pick<A>(from: ReadonlyArray<A>): A {
    return from[this.below(from.length)]!
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256))
  }
  list<A>(maxLength: number, make: () => A): ReadonlyArray<A> {
    return Array.from({ length: this.below(maxLength + 1) }, make)
  }
}

/**
 * Checks that something holds for every one of `runs` sequences. One that fails is made shorter, step by step, as long
 * as it fails: the violation names its seed and the steps that are left.
 */
export const forSequences = async <A>(
  options: { readonly seed: number; readonly runs: number; readonly make: (dice: Dice) => ReadonlyArray<A> },
  check: (steps: ReadonlyArray<A>) => void | Promise<void>
): Promise<void> => {
  const failureOf = async (steps: ReadonlyArray<A>): Promise<Error | undefined> => {
    try {
      await check(steps)
      return undefined
    } catch (error) {
      return error instanceof Error ? error : new Error(show(error))
    }
  }
  for (let run = 0; run < options.runs; run++) {
    const seed = options.seed + run
    let steps = options.make(new Dice(seed))
    let failure = await failureOf(steps)
    if (failure === undefined) continue
    for (let at = steps.length - 1; at >= 0; at--) {
      const shorter = steps.filter((_, index) => index !== at)
      const again = await failureOf(shorter)
      if (again !== undefined) {
        steps = shorter
        failure = again
      }
    }
    throw new LawViolation(`${failure.message} (seed ${seed})`, steps.map(show))
  }
}
