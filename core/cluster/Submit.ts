/**
 * Commits what was decided. Changes share commits as far as `maxOperations` goes; a change that alone is larger is
 * prepared in commits of its own first (see Decision.ts), so that each becomes visible at once.
 */
import * as Effect from "effect/Effect"
import type { Comparison, MetadataStore, MetadataStoreError, Operation, Revision } from "../ports/MetadataStore.ts"
import { MetadataStoreError as StoreError } from "../ports/MetadataStore.ts"
import type { Change, Decided } from "./Decision.ts"
import type { ImageFollower } from "./ImageFollower.ts"
import { CONTROLLER_KEY } from "./Keys.ts"
import type { MetadataImage } from "./MetadataImage.ts"

/** Conflicts in a row, each on a fresh image, after which a command gives up: someone else changes the same keys all the time. */
export const MAX_ATTEMPTS = 100

/** One commit in the making. */
interface Pack {
  /** By key: changes of one image compare a key with one revision. */
  readonly comparisons: Map<string, Comparison>
  readonly operations: Array<Operation>
  readonly keys: Set<string>
  /** Items, by index, whose change it has, and what is removed after it. */
  readonly items: Array<number>
  readonly cleanup: Array<Operation>
}

const emptyPack = (): Pack => ({ comparisons: new Map(), operations: [], keys: new Set(), items: [], cleanup: [] })

type Decide<Item, Result> = (image: MetadataImage, items: ReadonlyArray<Item>) => ReadonlyArray<Decided<Result>>

export interface Submitter {
  /**
   * Decides and commits; the results are in the order of the items, and the image has every commit. `decide` sees
   * the items that are not settled yet and answers each in its place.
   */
  readonly submit: <Item, Result>(
    items: ReadonlyArray<Item>,
    decide: Decide<Item, Result>,
    validateOnly?: boolean
  ) => Effect.Effect<ReadonlyArray<Result>, MetadataStoreError>
  /** The same where the image says what there is to do, until there is nothing: results of what was committed. */
  readonly submitAll: <Result>(
    decide: (image: MetadataImage) => ReadonlyArray<Decided<Result>>
  ) => Effect.Effect<ReadonlyArray<Result>, MetadataStoreError>
  readonly refresh: Effect.Effect<void, MetadataStoreError>
}

export const make = (store: MetadataStore, follower: ImageFollower): Submitter => {
  /** One commit on condition of the controller that the decision saw. Undefined: conflict. */
  const commit = Effect.fnUntraced(
    function*(image: MetadataImage, comparisons: ReadonlyArray<Comparison>, operations: ReadonlyArray<Operation>) {
      const controller: Comparison = { key: CONTROLLER_KEY, modRevision: image.revisions.get(CONTROLLER_KEY) ?? 0 }
      const result = yield* store.commit([controller, ...comparisons], operations)
      if (result._tag === "Conflict") return undefined
      yield* follower.awaitImage((now) => now.revision >= result.revision)
      return result.revision
    }
  )

  const commitEach = Effect.fnUntraced(function*(image: MetadataImage, operations: ReadonlyArray<Operation>) {
    for (let at = 0; at < operations.length; at += store.maxOperations) {
      if ((yield* commit(image, [], operations.slice(at, at + store.maxOperations))) === undefined) return false
    }
    return true
  })

  /** Commits all changes it can. Returns the items whose changes are committed, and with which revision. */
  const commitChanges = Effect.fnUntraced(
    function*(image: MetadataImage, changes: ReadonlyArray<readonly [item: number, change: Change]>) {
      const committed = new Map<number, Revision>()
      let pack = emptyPack()
      const flush = Effect.fnUntraced(function*() {
        const full = pack
        pack = emptyPack()
        if (full.operations.length === 0) return
        const revision = yield* commit(image, [...full.comparisons.values()], full.operations)
        if (revision === undefined) return
        for (const item of full.items) committed.set(item, revision)
        // Not a condition of success: what is left is an orphan, and orphans are removed by the next controller.
        yield* commitEach(image, full.cleanup)
      })
      for (const [item, change] of changes) {
        const whole = change.prepare.length + change.operations.length + change.cleanup.length <= store.maxOperations
        const operations = whole ? [...change.prepare, ...change.operations, ...change.cleanup] : change.operations
        if (!whole && change.prepare.length > 0 && !(yield* commitEach(image, change.prepare))) continue
        const added = change.comparisons.filter(({ key }) => !pack.comparisons.has(key)).length
        const fits = pack.operations.length + operations.length <= store.maxOperations &&
          pack.comparisons.size + 1 + added <= store.maxOperations &&
          !operations.some(({ key }) => pack.keys.has(key))
        if (!fits) yield* flush()
        pack.items.push(item)
        pack.operations.push(...operations)
        for (const { key } of operations) pack.keys.add(key)
        for (const comparison of change.comparisons) pack.comparisons.set(comparison.key, comparison)
        if (!whole) pack.cleanup.push(...change.cleanup)
      }
      yield* flush()
      return committed
    }
  )

  const gaveUp = new StoreError("Unavailable", `${MAX_ATTEMPTS} conflicts in a row`)

  const submit = Effect.fnUntraced(
    function*<Item, Result>(items: ReadonlyArray<Item>, decide: Decide<Item, Result>, validateOnly = false) {
      const results: Array<Result> = []
      let pending = items.map((_, index) => index)
      for (let attempt = 0; pending.length > 0; attempt++) {
        if (attempt === MAX_ATTEMPTS) return yield* Effect.fail(gaveUp)
        const image = follower.state.image
        const decided = decide(image, pending.map((index) => items[index] as Item))
        const changes: Array<readonly [number, Change]> = []
        for (const [at, one] of decided.entries()) {
          const index = pending[at] as number
          results[index] = one.result
          if (one.change !== undefined && !validateOnly) changes.push([index, one.change])
        }
        const committed = yield* commitChanges(image, changes)
        for (const [at, { committedAt }] of decided.entries()) {
          const index = pending[at] as number
          const revision = committed.get(index)
          if (committedAt !== undefined && revision !== undefined) results[index] = committedAt(revision)
        }
        pending = changes.map(([index]) => index).filter((index) => !committed.has(index))
        if (pending.length > 0) yield* follower.refresh
      }
      return results as ReadonlyArray<Result>
    }
  )

  const submitAll = Effect.fnUntraced(
    function*<Result>(decide: (image: MetadataImage) => ReadonlyArray<Decided<Result>>) {
      const results: Array<Result> = []
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const image = follower.state.image
        const decided = decide(image)
        const changes = decided.flatMap(({ change }, index) => change === undefined ? [] : [[index, change] as const])
        if (changes.length === 0) return results as ReadonlyArray<Result>
        for (const index of (yield* commitChanges(image, changes)).keys()) results.push((decided[index] as Decided<Result>).result)
        yield* follower.refresh
      }
      return yield* Effect.fail(gaveUp)
    }
  )

  return { submit, submitAll, refresh: follower.refresh }
}
