/**
 * Coordination: revisioned keys, compare-and-commit, watches, sessions whose keys die with them. One broker keeps
 * them in a journal file, a cluster in etcd. Safety rests on revisions and epochs, never on clocks.
 *
 * Laws (metadataStoreLaws of `ottla/testing`): commits are atomic and totally ordered by revision; a watch from revision
 * R sees every commit after R exactly once and in order; a commit whose comparison fails changes nothing; a lost
 * session's keys are deleted in one commit.
 */
import * as Context from "effect/Context"
import type { Effect } from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Stream } from "effect/Stream"

/** Grows by one with each commit; 0 is the empty store. */
export type Revision = number

export interface Entry {
  readonly key: string
  /** JSON by convention, so that an operator can read it. */
  readonly value: string
  /** Of the commit that made the key, of the one that last changed it. */
  readonly createRevision: Revision
  readonly modRevision: Revision
}

/** Holds when the key's `modRevision` is `modRevision`; 0: when there is no such key. */
export interface Comparison {
  readonly key: string
  readonly modRevision: Revision
}

export type Operation =
  | { readonly _tag: "Put"; readonly key: string; readonly value: string; readonly session?: string }
  | { readonly _tag: "Delete"; readonly key: string }

/** The revision is the commit's own, or the store's present one where it changed nothing. */
export type CommitResult =
  | { readonly _tag: "Committed"; readonly revision: Revision }
  | { readonly _tag: "Conflict" }

export type WatchEvent =
  | { readonly _tag: "Put"; readonly entry: Entry }
  | { readonly _tag: "Delete"; readonly key: string }

/** All that one commit changed under a prefix. */
export interface WatchBatch {
  readonly revision: Revision
  readonly events: ReadonlyArray<WatchEvent>
}

export type MetadataStoreErrorKind = "Unavailable" | "Compacted" | "SessionLost" | "Corrupt" | "TooManyOperations"

export class MetadataStoreError extends Error {
  readonly _tag = "MetadataStoreError"
  readonly kind: MetadataStoreErrorKind
  constructor(kind: MetadataStoreErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export interface Session {
  readonly id: string
  /** Completes when the session is lost; its keys are gone by then or soon after. */
  readonly lost: Effect<void>
}

export interface MetadataStore {
  /** Operations that one commit takes at most (etcd: 128). */
  readonly maxOperations: number
  /** Everything under a prefix, and the revision it was read at: watch from there. */
  readonly list: (
    prefix: string
  ) => Effect<{ readonly revision: Revision; readonly entries: ReadonlyArray<Entry> }, MetadataStoreError>
  /** Applies all `operations` when all comparisons hold, else none. Durable when it returns. */
  readonly commit: (
    comparisons: ReadonlyArray<Comparison>,
    operations: ReadonlyArray<Operation>
  ) => Effect<CommitResult, MetadataStoreError>
  /** Every commit after `after` that touches the prefix; `Compacted` when the store no longer has it. */
  readonly watch: (prefix: string, after: Revision) => Stream<WatchBatch, MetadataStoreError>
  /** Ends with the scope, or when the store does not hear from us for `ttlMs`. */
  readonly session: (ttlMs: number) => Effect<Session, MetadataStoreError, Scope>
}
export const MetadataStore: Context.Service<MetadataStore, MetadataStore> = Context.Service("ottla/MetadataStore")
