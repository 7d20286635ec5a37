/**
 * fsync of a log in groups: one runs at a time, and all who ask meanwhile share the next.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { DiskError } from "../ports/Disk.ts"

/** What is to be synced, and what to note when it is. */
export interface FlushWork {
  readonly syncs: ReadonlyArray<Effect.Effect<void, DiskError>>
  readonly done: () => void
}

/**
 * A file closes while its sync waits when retention, truncation or compaction takes its segment away in between: its
 * bytes are in no log any more, so nothing that could be lost was left unsynced.
 */
const ignoreClosed = (sync: Effect.Effect<void, DiskError>): Effect.Effect<void, DiskError> =>
  Effect.catchIf(sync, (error) => error.kind === "Closed", () => Effect.void)

export class Flusher {
  private readonly begin: () => FlushWork
  private readonly failed: (error: DiskError) => void
  private running: Deferred.Deferred<void, DiskError> | undefined
  private next: Deferred.Deferred<void, DiskError> | undefined

  /** `begin` is called when a flush begins, and covers all that was written by then. */
  constructor(begin: () => FlushWork, failed: (error: DiskError) => void) {
    this.begin = begin
    this.failed = failed
  }

  readonly flush: Effect.Effect<void, DiskError> = Effect.suspend(() => {
    // What was written after the running flush began needs one more.
    if (this.running !== undefined) return Deferred.await(this.next ??= Deferred.makeUnsafe())
    return this.run(Deferred.makeUnsafe())
  })

  private run(done: Deferred.Deferred<void, DiskError>): Effect.Effect<void, DiskError> {
    this.running = done
    const work = Effect.suspend(() => {
      let work: FlushWork
      try {
        work = this.begin()
      } catch (error) {
        return Effect.fail(error as DiskError)
      }
      return Effect.map(Effect.forEach(work.syncs, ignoreClosed, { discard: true }), work.done)
    })
    return Effect.uninterruptible(Effect.onExit(work, (exit) =>
      Effect.suspend(() => {
        this.running = undefined
        Deferred.doneUnsafe(done, exit)
        if (exit._tag === "Failure") {
          for (const reason of exit.cause.reasons) if (reason._tag === "Fail") this.failed(reason.error)
        }
        const next = this.next
        this.next = undefined
        // Whoever waits for the next one is served by this fiber: its own caller is not kept waiting.
        return next === undefined ? Effect.void : Effect.forkDetach(Effect.ignore(this.run(next)))
      })))
  }
}
