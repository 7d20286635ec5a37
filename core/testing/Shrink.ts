/**
 * A shorter schedule that fails in the same way: delta debugging (Zeller and Hildebrandt, 2002) over the items of a list.
 * The run itself is the caller's; it must give the same answer for the same items.
 */
import * as Effect from "effect/Effect"

export interface Shrunk<A> {
  readonly items: ReadonlyArray<A>
  /** Runs that it took. */
  readonly runs: number
  /** False: `maxRuns` ended it, and more could go. */
  readonly isMinimal: boolean
}

/**
 * Removes items as long as what is left still fails, in halves, quarters and so on down to single ones.
 * @param fails whether a run with only these items fails in the same way
 * @param maxRuns after so many runs what was found so far is given
 */
export const shrink = <A, E, R>(
  items: ReadonlyArray<A>,
  fails: (items: ReadonlyArray<A>) => Effect.Effect<boolean, E, R>,
  maxRuns: number
): Effect.Effect<Shrunk<A>, E, R> =>
  Effect.gen(function*() {
    let left = items
    let runs = 0
    let parts = 2
    while (left.length > 0) {
      const size = Math.ceil(left.length / parts)
      let isShorter = false
      for (let from = 0; from < left.length; from += size) {
        if (runs === maxRuns) return { items: left, runs, isMinimal: false }
        const without = [...left.slice(0, from), ...left.slice(from + size)]
        runs++
        if (yield* fails(without)) {
          left = without
          isShorter = true
          // What followed the removed part has moved to its place.
          from -= size
        }
      }
      if (size === 1 && !isShorter) break
      parts = isShorter ? Math.max(2, Math.min(parts, left.length)) : Math.min(left.length, parts * 2)
    }
    return { items: left, runs, isMinimal: true }
  })
