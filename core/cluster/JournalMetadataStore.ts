/**
 * A MetadataStore for one process, kept in an append-only journal (JournalFormat.ts). A commit is written at once
 * and answered, and seen, when an fsync that began after its write is done; commits that wait meanwhile share the
 * next one. When the journal is large a snapshot takes its place.
 *
 * Opening cuts a torn end, which nobody was promised, and refuses (`Corrupt`, with path and position) what was harmed
 * after it had been promised. Sessions die with their process: their keys are deleted in the first commit.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { MetadataStoreState } from "../memory/MetadataStoreState.ts"
import { Crypto } from "../ports/Crypto.ts"
import { Disk, DiskError } from "../ports/Disk.ts"
import type { File } from "../ports/Disk.ts"
import { MetadataStoreError } from "../ports/MetadataStore.ts"
import type { CommitResult, Comparison, MetadataStore, Operation, Revision, Session } from "../ports/MetadataStore.ts"
import * as Format from "./JournalFormat.ts"

/** The directory in the first of `log.dirs`. */
export const METADATA_DIRECTORY = "__ottla_metadata"

export interface JournalOptions {
  /** Holds the journal and nothing else; made when missing. */
  readonly directory: string
  /** From this size on, and from twice the snapshot's, a snapshot replaces the journal, in bytes. Default 4 MiB. */
  readonly snapshotAfterBytes?: number
  /** Operations that one commit takes. Default 4096. */
  readonly maxOperations?: number
}

const DEFAULT_SNAPSHOT_AFTER_BYTES = 4 * 1024 * 1024
const DEFAULT_MAX_OPERATIONS = 4096

const corrupt = (path: string, position: number, what: string): MetadataStoreError =>
  new MetadataStoreError("Corrupt", `${path}: ${what} at position ${position}`)

const unavailable = (error: unknown): MetadataStoreError =>
  new MetadataStoreError("Unavailable", error instanceof Error ? error.message : String(error))

/** A disk's refusal is the store's; anything else is a bug. */
const attempt = <A>(run: () => A): Effect.Effect<A, MetadataStoreError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (error) {
      if (error instanceof DiskError) return Effect.fail(unavailable(error))
      if (error instanceof MetadataStoreError) return Effect.fail(error)
      throw error
    }
  })

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("/"), 0))

/** Makes a directory and its parents, and their names durable: a journal is no good under a name that is lost. */
const makeDurableDirectory = (disk: Disk, directory: string): Effect.Effect<void, MetadataStoreError> =>
  Effect.gen(function*() {
    const made: Array<string> = []
    yield* attempt(() => {
      let path = disk.absolute(directory)
      for (; path !== "" && disk.stat(path) === undefined; path = parentOf(path)) made.push(path)
      disk.makeDirectory(directory)
    })
    for (const path of made.reverse()) yield* Effect.mapError(disk.syncDirectory(parentOf(path) || "/"), unavailable)
  })

const readAll = (disk: Disk, path: string): Uint8Array => {
  const file = disk.open(path, "read")
  try {
    const bytes = new Uint8Array(file.size())
    return bytes.subarray(0, file.read(bytes, 0))
  } finally {
    file.close()
  }
}

interface Loaded {
  readonly state: MetadataStoreState
  /** The snapshot that the journal goes on from; its revision is in the journal's name. */
  readonly base: Revision
  readonly snapshotBytes: number
  /** Valid bytes of the journal; 0 when it must be made. */
  readonly journalBytes: number
}

/** Reads the newest snapshot and the journal after it. Changes nothing on the disk. @throws DiskError, MetadataStoreError */
const load = (disk: Disk, crc: (bytes: Uint8Array) => number, directory: string): Loaded => {
  const files = disk.list(directory).flatMap((name) => Format.parseFileName(name) ?? [])
  const newest = (kind: Format.FileKind): Revision =>
    files.reduce((max, file) => file.kind === kind ? Math.max(max, file.revision) : max, -1)
  const base = Math.max(newest("snapshot"), 0)
  let state = new MetadataStoreState()
  let snapshotBytes = 0
  if (newest("snapshot") >= 0) {
    const path = `${directory}/${Format.fileName("snapshot", base)}`
    const bytes = readAll(disk, path)
    const entries = Format.decodeSnapshot(bytes, base, crc)
    if ("brokenAt" in entries) throw corrupt(path, entries.brokenAt, "broken snapshot")
    state = new MetadataStoreState(base, entries)
    snapshotBytes = bytes.length
  }
  // A journal without its snapshot: the snapshot, which is older than the journal, has been removed.
  if (newest("journal") > base) {
    throw corrupt(`${directory}/${Format.fileName("journal", newest("journal"))}`, 0, "the snapshot before it is missing, broken journal")
  }
  const path = `${directory}/${Format.fileName("journal", base)}`
  if (!files.some((file) => file.kind === "journal" && file.revision === base)) {
    return { state, base, snapshotBytes, journalBytes: 0 }
  }
  const bytes = readAll(disk, path)
  // The header is on the device before the first commit, so a journal that is no longer than it has none.
  if (bytes.length <= Format.HEADER_BYTES) return { state, base, snapshotBytes, journalBytes: 0 }
  if (!Format.headerIsValid(bytes, "journal", base, crc)) throw corrupt(path, 0, "broken header")
  let position = Format.HEADER_BYTES
  while (position < bytes.length) {
    const frame = Format.readFrame(bytes, position, crc)
    if (frame === undefined || frame.number !== state.revision + 1) {
      if (frame !== undefined || Format.wasSyncedAt(bytes, position, state.revision, crc)) {
        throw corrupt(path, position, `broken commit after revision ${state.revision}`)
      }
      break
    }
    state.publish(state.apply(Format.operationsOf(frame.body)))
    position = frame.end
  }
  return { state, base, snapshotBytes, journalBytes: position }
}

export const make: (
  options: JournalOptions
) => Effect.Effect<MetadataStore, MetadataStoreError | DiskError, Disk | Crypto | Scope> = Effect.fnUntraced(
  function*(options) {
    const disk = yield* Disk
    const { crc32c } = yield* Crypto
    const crc = (bytes: Uint8Array): number => crc32c(bytes)
    const directory = options.directory
    const maxOperations = options.maxOperations ?? DEFAULT_MAX_OPERATIONS
    const snapshotAfterBytes = options.snapshotAfterBytes ?? DEFAULT_SNAPSHOT_AFTER_BYTES
    const pathOf = (kind: Format.FileKind, revision: Revision): string => `${directory}/${Format.fileName(kind, revision)}`

    yield* makeDurableDirectory(disk, directory)
    // Held by another broker: a disk's error, `Busy`, that the operator is told how to solve.
    yield* disk.lock(`${directory}/.lock`)
    const loaded = yield* attempt(() => load(disk, crc, directory))
    const state = loaded.state
    let { base, snapshotBytes } = loaded
    let journal: File
    /** Bytes of the journal that are written, and that are on the device. */
    let writtenBytes: number
    let syncedBytes: number
    /** Set for good when the device failed: what it has is no longer known. */
    let failure: MetadataStoreError | undefined
    let closed = false
    const fail = (error: MetadataStoreError): MetadataStoreError => {
      failure ??= error
      state.fail(failure)
      return failure
    }

    /** A journal with a header and nothing else, on the device under its name. */
    const createJournal = Effect.fnUntraced(function*(revision: Revision) {
      const file = yield* attempt(() => {
        const file = disk.open(pathOf("journal", revision), "create")
        file.truncate(0)
        file.write([Format.encodeHeader("journal", revision, crc)], 0)
        return file
      })
      yield* Effect.mapError(Effect.andThen(file.sync, disk.syncDirectory(directory)), unavailable)
      return file
    })

    if (loaded.journalBytes === 0) {
      journal = yield* createJournal(base)
      writtenBytes = Format.HEADER_BYTES
    } else {
      journal = yield* attempt(() => {
        const file = disk.open(pathOf("journal", base), "readWrite")
        if (file.size() > loaded.journalBytes) file.truncate(loaded.journalBytes)
        return file
      })
      writtenBytes = loaded.journalBytes
      // What was read may never have been synced: it is a promise from now on, since it has been seen.
      yield* Effect.mapError(journal.sync, unavailable)
    }
    syncedBytes = writtenBytes
    let syncing: Deferred.Deferred<void, MetadataStoreError> | undefined
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closed = true
        return syncing === undefined ? Effect.void : Effect.ignore(Deferred.await(syncing))
      }).pipe(Effect.andThen(Effect.sync(() => {
        state.fail(new MetadataStoreError("Unavailable", "the store is closed"))
        journal.close()
      })))
    )

    // What an interrupted snapshot left.
    yield* attempt(() => {
      for (const name of disk.list(directory)) {
        const file = Format.parseFileName(name)
        if (name.endsWith(".tmp") || (file !== undefined && file.revision < base)) disk.remove(`${directory}/${name}`)
      }
    })

    // -- writing ------------------------------------------------------------------------------------------------------

    /** Writes a commit to the page cache and applies it; all or nothing. */
    const write = (operations: ReadonlyArray<Operation>): Effect.Effect<Revision, MetadataStoreError> =>
      Effect.suspend(() => {
        const frame = Format.encodeFrame(state.revision + 1, syncedBytes, Format.commitBody(operations), crc)
        if (frame.length - Format.FRAME_BYTES > Format.MAX_BODY_BYTES) {
          return Effect.fail(new MetadataStoreError("TooManyOperations", `a commit of ${frame.length} bytes is too long`))
        }
        try {
          journal.write([frame], writtenBytes)
        } catch (error) {
          if (!(error instanceof DiskError)) throw error
          // Nothing of it may stay: a later start would take a whole frame for a commit.
          try {
            journal.truncate(writtenBytes)
          } catch {
            return Effect.fail(fail(unavailable(error)))
          }
          return Effect.fail(unavailable(error))
        }
        writtenBytes += frame.length
        return Effect.succeed(state.apply(operations))
      })

    const lock = yield* Semaphore.make(1)

    const sync: Effect.Effect<void, MetadataStoreError> = Effect.gen(function*() {
      const bytes = writtenBytes
      const revision = state.revision
      yield* Effect.mapError(journal.sync, (error) => fail(unavailable(error)))
      syncedBytes = bytes
      state.publish(revision)
    })

    /** Done when the commit is on the device. The fsync goes on when its caller is interrupted. */
    const durable = (revision: Revision): Effect.Effect<void, MetadataStoreError> =>
      Effect.suspend(() => {
        if (state.published >= revision) return Effect.void
        if (failure !== undefined) return Effect.fail(failure)
        if (syncing === undefined) {
          const done = syncing = Deferred.makeUnsafe<void, MetadataStoreError>()
          return sync.pipe(
            Effect.onExit((exit) =>
              Effect.sync(() => {
                syncing = undefined
                Deferred.doneUnsafe(done, exit)
              })
            ),
            Effect.forkDetach({ startImmediately: true }),
            Effect.andThen(Deferred.await(done)),
            Effect.andThen(durable(revision))
          )
        }
        return Effect.andThen(Deferred.await(syncing), durable(revision))
      })

    /** Replaces the journal by a snapshot; under the lock, with every commit durable. */
    const snapshot = Effect.gen(function*() {
      const revision = state.revision
      const parts = Format.encodeSnapshot(revision, state.list(""), crc)
      const temporary = `${pathOf("snapshot", revision)}.tmp`
      const file = yield* attempt(() => disk.open(temporary, "create"))
      yield* attempt(() => {
        file.truncate(0)
        file.write(parts, 0)
      }).pipe(
        Effect.andThen(Effect.mapError(file.sync, unavailable)),
        Effect.ensuring(Effect.sync(() => file.close()))
      )
      // From here on the snapshot is what the next start goes on from, with or without the journal after it.
      yield* attempt(() => disk.rename(temporary, pathOf("snapshot", revision)))
      const next = yield* Effect.andThen(
        Effect.mapError(disk.syncDirectory(directory), unavailable),
        createJournal(revision)
      ).pipe(Effect.mapError(fail))
      const old = { journal, base }
      journal = next
      base = revision
      writtenBytes = syncedBytes = Format.HEADER_BYTES
      snapshotBytes = parts.reduce((sum, part) => sum + part.length, 0)
      yield* attempt(() => {
        old.journal.close()
        disk.remove(pathOf("journal", old.base))
        disk.remove(pathOf("snapshot", old.base))
      })
    })

    const snapshotIfDue = Effect.suspend(() =>
      writtenBytes < Math.max(snapshotAfterBytes, 2 * snapshotBytes)
        ? Effect.void
        : durable(state.revision).pipe(
          Effect.andThen(snapshot),
          // A full disk, say: the journal goes on, and the next commit tries again.
          Effect.catch((error) => Effect.logWarning(`metadata snapshot: ${error.message}`)),
          Effect.uninterruptible
        )
    )

    // -- the store ----------------------------------------------------------------------------------------------------

    const sessions = new Map<string, Deferred.Deferred<void>>()
    let nextSession = 1

    const commit = (
      comparisons: ReadonlyArray<Comparison>,
      operations: ReadonlyArray<Operation>
    ): Effect.Effect<CommitResult, MetadataStoreError> =>
      lock.withPermits(1)(Effect.suspend((): Effect.Effect<CommitResult, MetadataStoreError> => {
        if (failure !== undefined) return Effect.fail(failure)
        if (closed) return Effect.fail(new MetadataStoreError("Unavailable", "the store is closed"))
        if (operations.length > maxOperations || comparisons.length > maxOperations) {
          return Effect.fail(
            new MetadataStoreError("TooManyOperations", `a commit takes at most ${maxOperations} operations and comparisons`)
          )
        }
        for (const operation of operations) {
          if (operation._tag === "Put" && operation.session !== undefined && !sessions.has(operation.session)) {
            return Effect.fail(new MetadataStoreError("SessionLost", `session ${operation.session} is gone`))
          }
        }
        if (!state.holds(comparisons)) return Effect.succeed<CommitResult>({ _tag: "Conflict" })
        const effective = state.effective(operations)
        if (effective.length === 0) return Effect.succeed<CommitResult>({ _tag: "Committed", revision: state.revision })
        return Effect.map(
          Effect.tap(write(effective), () => snapshotIfDue),
          (revision): CommitResult => ({ _tag: "Committed", revision })
        )
      })).pipe(
        // The lock is free again: those who commit meanwhile share the next fsync.
        Effect.tap((result) => result._tag === "Committed" ? durable(result.revision) : Effect.void)
      )

    const endSession = (id: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        const lost = sessions.get(id)
        if (lost === undefined) return Effect.void
        sessions.delete(id)
        return commit([], state.sessionDeletes(id)).pipe(
          Effect.catch((error) => Effect.logWarning(`metadata: ending a session: ${error.message}`)),
          Effect.andThen(Effect.sync(() => Deferred.doneUnsafe(lost, Effect.void)))
        )
      })

    const session: Effect.Effect<Session, never, Scope> = Effect.acquireRelease(
      Effect.sync(() => {
        const id = `session-${state.revision}-${nextSession++}`
        const lost = Deferred.makeUnsafe<void>()
        sessions.set(id, lost)
        return { id, lost: Deferred.await(lost) }
      }),
      ({ id }) => endSession(id)
    )

    const dead = [...state.sessions()].flatMap((id) => state.sessionDeletes(id))
    for (let at = 0; at < dead.length; at += maxOperations) yield* commit([], dead.slice(at, at + maxOperations))

    return {
      maxOperations,
      list: (prefix) =>
        Effect.suspend(() => {
          const revision = state.revision
          const entries = state.list(prefix).map(({ createRevision, key, modRevision, value }) => ({
            key,
            value,
            createRevision,
            modRevision
          }))
          return Effect.as(durable(revision), { revision, entries })
        }),
      commit,
      watch: (prefix, after) => state.watch(prefix, after),
      session: () => session
    }
  }
)
