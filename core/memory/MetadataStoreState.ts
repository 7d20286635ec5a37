/**
 * Revisioned keys in memory: what every MetadataStore of one process keeps. Synchronous and without I/O; a layer
 * around it decides when a commit is durable and only then lets it be seen (`publish`).
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { invariant } from "../model/Invariant.ts"
import { MetadataStoreError } from "../ports/MetadataStore.ts"
import type { Comparison, Entry, Operation, Revision, WatchBatch, WatchEvent } from "../ports/MetadataStore.ts"

/** Commits that are kept for watches; one that starts further back is told `Compacted` and lists again. */
export const MAX_HISTORY_COMMITS = 4096

export interface StoredEntry extends Entry {
  /** The session that the key dies with. */
  readonly session: string | undefined
}

export class MetadataStoreState {
  /** Of the newest commit. */
  revision: Revision
  /** Of the newest commit that may be seen: durable. */
  published: Revision
  /** The newest commits, oldest first; commits before it cannot be watched any more. */
  private readonly history: Array<WatchBatch> = []
  /** Watches can start here: every commit after it is in `history`. */
  private historyStart: Revision
  private readonly entries = new Map<string, StoredEntry>()
  private readonly sessionKeys = new Map<string, Set<string>>()
  private waiting: Array<Deferred.Deferred<void, MetadataStoreError>> = []
  private failure: MetadataStoreError | undefined = undefined
  private readonly maxHistory: number

  constructor(revision: Revision = 0, entries: Iterable<StoredEntry> = [], maxHistory: number = MAX_HISTORY_COMMITS) {
    this.revision = revision
    this.published = revision
    this.historyStart = revision
    this.maxHistory = maxHistory
    for (const entry of entries) this.set(entry)
  }

  private set(entry: StoredEntry): void {
    this.unset(entry.key)
    this.entries.set(entry.key, entry)
    if (entry.session !== undefined) {
      const keys = this.sessionKeys.get(entry.session)
      if (keys === undefined) this.sessionKeys.set(entry.session, new Set([entry.key]))
      else keys.add(entry.key)
    }
  }

  private unset(key: string): boolean {
    const old = this.entries.get(key)
    if (old === undefined) return false
    this.entries.delete(key)
    if (old.session !== undefined) {
      const keys = this.sessionKeys.get(old.session)
      keys?.delete(key)
      if (keys?.size === 0) this.sessionKeys.delete(old.session)
    }
    return true
  }

  holds(comparisons: ReadonlyArray<Comparison>): boolean {
    return comparisons.every(({ key, modRevision }) => (this.entries.get(key)?.modRevision ?? 0) === modRevision)
  }

  /** Operations that would change something: the others make no revision. */
  effective(operations: ReadonlyArray<Operation>): ReadonlyArray<Operation> {
    return operations.filter((operation) => operation._tag === "Put" || this.entries.has(operation.key))
  }

  /** Applies a commit as the next revision; not seen before `publish`. */
  apply(operations: ReadonlyArray<Operation>): Revision {
    const revision = ++this.revision
    const events: Array<WatchEvent> = []
    const seen = new Set<string>()
    for (const operation of operations) {
      invariant(!seen.has(operation.key), `a commit names the key ${operation.key} twice`)
      seen.add(operation.key)
      if (operation._tag === "Delete") {
        if (this.unset(operation.key)) events.push(operation)
      } else {
        const createRevision = this.entries.get(operation.key)?.createRevision ?? revision
        const entry: Entry = { key: operation.key, value: operation.value, createRevision, modRevision: revision }
        this.set({ ...entry, session: operation.session })
        events.push({ _tag: "Put", entry })
      }
    }
    this.history.push({ revision, events })
    return revision
  }

  /** Lets the commits up to `revision` be seen. */
  publish(revision: Revision): void {
    if (revision <= this.published) return
    this.published = revision
    const excess = this.history.length - this.maxHistory
    // What is not published yet is never dropped: it lies at the end.
    if (excess > 0) {
      const dropped = this.history.splice(0, excess)
      this.historyStart = (dropped[dropped.length - 1] as WatchBatch).revision
    }
    this.wake()
  }

  /** Ends every watch, present and future: the store is gone. */
  fail(error: MetadataStoreError): void {
    this.failure ??= error
    this.wake()
  }

  private wake(): void {
    const waiting = this.waiting
    this.waiting = []
    for (const deferred of waiting) Deferred.doneUnsafe(deferred, Effect.void)
  }

  /** What a key holds, as of the newest commit. */
  get(key: string): StoredEntry | undefined {
    return this.entries.get(key)
  }

  /** Keys under a prefix in their order, as of the newest commit. */
  list(prefix: string): ReadonlyArray<StoredEntry> {
    const found: Array<StoredEntry> = []
    for (const entry of this.entries.values()) if (entry.key.startsWith(prefix)) found.push(entry)
    return found.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  /** The session that a key dies with. */
  sessionOf(key: string): string | undefined {
    return this.entries.get(key)?.session
  }

  /** What ends a session: the deletion of its keys. */
  sessionDeletes(session: string): ReadonlyArray<Operation> {
    return [...(this.sessionKeys.get(session) ?? [])].sort().map((key) => ({ _tag: "Delete" as const, key }))
  }

  /** Sessions that have keys. */
  sessions(): Iterable<string> {
    return this.sessionKeys.keys()
  }

  /** A watcher is a position in the history and no queue: a slow one costs nothing until it is told `Compacted`. */
  watch(prefix: string, after: Revision): Stream.Stream<WatchBatch, MetadataStoreError> {
    const next = (position: Revision): Effect.Effect<readonly [ReadonlyArray<WatchBatch>, Revision], MetadataStoreError> =>
      Effect.suspend(() => {
        if (this.failure !== undefined) return Effect.fail(this.failure)
        if (position < this.historyStart) {
          return Effect.fail(
            new MetadataStoreError("Compacted", `commits up to ${this.historyStart} are gone, the watch is at ${position}`)
          )
        }
        if (position < this.published) {
          const batches: Array<WatchBatch> = []
          // Revisions are consecutive, so the first one after the position is found by its distance.
          for (let index = position - this.historyStart; index < this.history.length; index++) {
            const batch = this.history[index] as WatchBatch
            if (batch.revision > this.published) break
            const events = batch.events.filter((event) =>
              (event._tag === "Put" ? event.entry.key : event.key).startsWith(prefix)
            )
            if (events.length > 0) batches.push({ revision: batch.revision, events })
          }
          return Effect.succeed([batches, this.published] as const)
        }
        const deferred = Deferred.makeUnsafe<void, MetadataStoreError>()
        this.waiting.push(deferred)
        return Effect.onInterrupt(Effect.flatMap(Deferred.await(deferred), () => next(position)), () =>
          Effect.sync(() => {
            this.waiting = this.waiting.filter((one) => one !== deferred)
          }))
      })
    return Stream.flattenIterable(Stream.unfold(after, next))
  }
}
