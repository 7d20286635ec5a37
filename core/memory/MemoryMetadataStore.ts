/**
 * A MetadataStore that forgets with its process: for tests, simulations and brokers that keep nothing. Deterministic:
 * the same calls in the same order give the same revisions and session ids.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
import type { CommitResult, Comparison, Operation, Revision, Session } from "../ports/MetadataStore.ts"
import { MAX_HISTORY_COMMITS, MetadataStoreState } from "./MetadataStoreState.ts"

export interface MemoryMetadataStoreOptions {
  /** Default 128, etcd's: what splits there splits here. */
  readonly maxOperations?: number
  /** Commits that watches can go back. */
  readonly maxHistory?: number
}

export interface MemoryMetadataStore extends MetadataStore {
  /** Ends a session as if its owner had not been heard of: its keys go in one commit. */
  readonly loseSession: (id: string) => void
  /** The session that a key dies with. */
  readonly sessionOf: (key: string) => string | undefined
  /** Ids of the sessions that have not ended, oldest first. */
  readonly openSessions: () => ReadonlyArray<string>
}

const tooMany = (max: number): MetadataStoreError =>
  new MetadataStoreError("TooManyOperations", `a commit takes at most ${max} operations and ${max} comparisons`)

export const make = (options: MemoryMetadataStoreOptions = {}): MemoryMetadataStore => {
  const maxOperations = options.maxOperations ?? 128
  const state = new MetadataStoreState(0, [], options.maxHistory ?? MAX_HISTORY_COMMITS)
  const sessions = new Map<string, Deferred.Deferred<void>>()
  let nextSession = 1

  /** Gives the commit's revision. Who watches it may commit before `publish` returns. */
  const apply = (operations: ReadonlyArray<Operation>): Revision => {
    const effective = state.effective(operations)
    if (effective.length === 0) return state.revision
    const revision = state.apply(effective)
    state.publish(revision)
    return revision
  }

  const commit = (
    comparisons: ReadonlyArray<Comparison>,
    operations: ReadonlyArray<Operation>
  ): Effect.Effect<CommitResult, MetadataStoreError> =>
    Effect.suspend(() => {
      if (operations.length > maxOperations || comparisons.length > maxOperations) return Effect.fail(tooMany(maxOperations))
      for (const operation of operations) {
        if (operation._tag === "Put" && operation.session !== undefined && !sessions.has(operation.session)) {
          return Effect.fail(new MetadataStoreError("SessionLost", `session ${operation.session} is gone`))
        }
      }
      if (!state.holds(comparisons)) return Effect.succeed<CommitResult>({ _tag: "Conflict" })
      return Effect.succeed<CommitResult>({ _tag: "Committed", revision: apply(operations) })
    })

  const loseSession = (id: string): void => {
    const lost = sessions.get(id)
    if (lost === undefined) return
    sessions.delete(id)
    apply(state.sessionDeletes(id))
    Deferred.doneUnsafe(lost, Effect.void)
  }

  const session: Effect.Effect<Session, never, Scope> = Effect.acquireRelease(
    Effect.sync(() => {
      const id = `session-${nextSession++}`
      const lost = Deferred.makeUnsafe<void>()
      sessions.set(id, lost)
      return { id, lost: Deferred.await(lost) }
    }),
    ({ id }) => Effect.sync(() => loseSession(id))
  )

  return {
    maxOperations,
    list: (prefix) =>
      Effect.sync(() => ({
        revision: state.revision,
        entries: state.list(prefix).map(({ createRevision, key, modRevision, value }) => ({ key, value, createRevision, modRevision }))
      })),
    commit,
    watch: (prefix, after) => state.watch(prefix, after),
    session: () => session,
    loseSession,
    sessionOf: (key) => state.sessionOf(key),
    openSessions: () => [...sessions.keys()]
  }
}

export const layer = (options: MemoryMetadataStoreOptions = {}): Layer.Layer<MetadataStore> =>
  Layer.sync(MetadataStore, () => make(options))
