/**
 * One metadata store, as each machine of a simulation sees it: over a network that delays and fails. A machine can be cut
 * off from it, its watch can lag, its session can be lost while it lives, and its commits can be refused or fail with
 * nobody knowing whether they happened.
 *
 * A session lives as long as its process can be heard; not heard for its ttl (killed, paused or cut off), it is lost.
 * The owner of a lost session learns of it when it can be told.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import { ImageState } from "../cluster/ImageApply.ts"
import type { MetadataImage } from "../cluster/MetadataImage.ts"
import { MetadataStoreState } from "../memory/MetadataStoreState.ts"
import {
  type CommitResult,
  type Comparison,
  type MetadataStore,
  MetadataStoreError,
  type Operation,
  type Revision,
  type Session
} from "../ports/MetadataStore.ts"
import type { Sim } from "./Sim.ts"
import type { SimHost } from "./SimHost.ts"
import type { SimProcess } from "./SimProcess.ts"
import type { SimRandom } from "./SimRandom.ts"

/** Operations and comparisons that one commit takes: etcd's. */
const MAX_OPERATIONS = 128
/** How long a call waits for a store that cannot be reached, in milliseconds, until it fails. */
const UNREACHABLE_MS = 1000

/** How the store looks from one machine. */
export interface StoreFaults {
  /** Nothing reaches it and nothing comes from it: calls fail after a while, watches stand still, sessions run out. */
  readonly isUnreachable: boolean
  /** Of each call's two ways, in virtual milliseconds. */
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** What a watch brings is so much older than that, in milliseconds. */
  readonly watchLagMs: number
  /** Of commits that fail without having happened. 0 to 1. */
  readonly refuses: number
  /** Of commits whose answer is lost: they failed, or happened, and who asked does not know. 0 to 1. */
  readonly losesAnswers: number
}

export const NO_STORE_FAULTS: StoreFaults = {
  isUnreachable: false,
  minDelayMs: 0,
  maxDelayMs: 2,
  watchLagMs: 0,
  refuses: 0,
  losesAnswers: 0
}

interface SessionState {
  readonly id: string
  readonly host: SimHost
  readonly process: SimProcess
  readonly ttlMs: number
  /** Heard of last, when it cannot be heard now. */
  silentSinceMs: number | undefined
  isLost: boolean
  /** Told by `lost`. */
  readonly listeners: Set<() => void>
}

const unavailable = (what: string): MetadataStoreError =>
  new MetadataStoreError("Unavailable", `${what}: the metadata store did not answer`)

export class SimMetadataStore {
  /** What is in it. */
  readonly state: MetadataStoreState = new MetadataStoreState()
  /** Commits that changed something. */
  commits = 0
  /** Told after each of them what a broker would have then. It must change nothing. */
  onCommit: ((image: MetadataImage) => void) | undefined = undefined
  /** Commits that were refused because a comparison did not hold. */
  conflicts = 0
  readonly #sim: Sim
  readonly #dice: SimRandom
  readonly #image: ImageState = new ImageState()
  readonly #faults: Map<SimHost, StoreFaults> = new Map()
  readonly #sessions: Map<string, SessionState> = new Map()
  /** Whom to wake when a machine can reach the store again. */
  readonly #waiting: Map<SimHost, Array<() => void>> = new Map()
  #nextSession = 1

  constructor(sim: Sim) {
    this.#sim = sim
    this.#dice = sim.dice.fork("metadata store")
  }

  /** What a broker would have that had seen every commit. */
  get image(): MetadataImage {
    return this.#image.image
  }

  // -- faults --------------------------------------------------------------------------------------------------

  faults(host: SimHost): StoreFaults {
    return this.#faults.get(host) ?? NO_STORE_FAULTS
  }

  change(host: SimHost, faults: Partial<StoreFaults>): void {
    const before = this.faults(host)
    this.#faults.set(host, { ...before, ...faults })
    if (before.isUnreachable && !this.faults(host).isUnreachable) {
      const waiting = this.#waiting.get(host) ?? []
      this.#waiting.delete(host)
      for (const wake of waiting) wake()
    }
    for (const session of this.#sessions.values()) if (session.host === host) this.#listen(session)
  }

  /** Every machine sees it well again. */
  heal(): void {
    for (const host of [...this.#faults.keys()]) this.change(host, NO_STORE_FAULTS)
  }

  /** Ends the sessions of a machine as if their processes had not been heard of for long enough. Gives how many. */
  loseSessions(host: SimHost): number {
    const sessions = [...this.#sessions.values()].filter((session) => session.host === host)
    for (const session of sessions) this.#expire(session)
    return sessions.length
  }

  // -- sessions ------------------------------------------------------------------------------------------------

  /** For the cluster: a process was paused or goes on. */
  heard(owner: SimProcess): void {
    for (const session of this.#sessions.values()) if (session.process === owner) this.#listen(session)
  }

  #isHeard({ host, process: owner }: SessionState): boolean {
    return owner.state === "running" && !this.faults(host).isUnreachable
  }

  /** Starts or stops the countdown of a session. */
  #listen(session: SessionState): void {
    if (session.isLost) return
    if (this.#isHeard(session)) {
      session.silentSinceMs = undefined
      return
    }
    if (session.silentSinceMs !== undefined) return
    const sinceMs = session.silentSinceMs = this.#sim.nowMs
    // Its last sign of life was a little earlier than it fell silent.
    this.#sim.after(this.#dice.int(Math.ceil(session.ttlMs * 2 / 3), session.ttlMs), () => {
      if (session.silentSinceMs === sinceMs) this.#expire(session)
    })
  }

  #expire(session: SessionState): void {
    if (session.isLost) return
    session.isLost = true
    this.#sessions.delete(session.id)
    this.#sim.say(`store: ${session.id} of ${session.host.name} is over`)
    this.#apply(this.state.sessionDeletes(session.id))
    this.#whenReachable(session.host, () => {
      for (const tell of session.listeners) session.process.scheduleTask(tell)
    })
  }

  #session(host: SimHost, owner: SimProcess, ttlMs: number): Effect.Effect<Session, MetadataStoreError, Scope> {
    const begin = this.#call(host, owner, "session", () => {
      const id = `session-${this.#nextSession++}`
      const session: SessionState = { id, host, process: owner, ttlMs, silentSinceMs: undefined, isLost: false, listeners: new Set() }
      this.#sessions.set(id, session)
      owner.onDeath(() => this.#listen(session))
      this.#listen(session)
      return session
    })
    // Its end is told, and not waited for: who cannot tell leaves it to the ttl.
    const end = (session: SessionState): Effect.Effect<void> =>
      Effect.sync(() => {
        if (!this.faults(host).isUnreachable) this.#expire(session)
      })
    return Effect.map(Effect.acquireRelease(begin, end), (session) => ({
      id: session.id,
      lost: Effect.callback<void>((resume) => {
        const tell = (): void => resume(Effect.void)
        if (session.isLost) return tell()
        session.listeners.add(tell)
        return Effect.sync(() => void session.listeners.delete(tell))
      })
    }))
  }

  // -- calls ---------------------------------------------------------------------------------------------------

  #whenReachable(host: SimHost, wake: () => void): void {
    if (!this.faults(host).isUnreachable) return wake()
    const waiting = this.#waiting.get(host)
    if (waiting === undefined) this.#waiting.set(host, [wake])
    else waiting.push(wake)
  }

  #delay(host: SimHost): number {
    const { maxDelayMs, minDelayMs } = this.faults(host)
    return this.#dice.int(minDelayMs, maxDelayMs)
  }

  /** Asks the store: the question travels, is answered there, and the answer travels back if it can. */
  #call<A>(host: SimHost, owner: SimProcess, what: string, answer: () => A): Effect.Effect<A, MetadataStoreError> {
    return Effect.callback((resume) => {
      const done = (effect: Effect.Effect<A, MetadataStoreError>): void => owner.scheduleTask(() => resume(effect))
      const fail = (): void => void this.#sim.after(UNREACHABLE_MS, () => done(Effect.fail(unavailable(what))))
      if (this.faults(host).isUnreachable) return fail()
      this.#sim.after(this.#delay(host), () => {
        if (this.faults(host).isUnreachable) return fail()
        // Here it happens, whoever lives to hear of it.
        let result: Effect.Effect<A, MetadataStoreError>
        try {
          result = Effect.succeed(answer())
        } catch (error) {
          if (!(error instanceof MetadataStoreError)) throw error
          result = Effect.fail(error)
        }
        this.#sim.after(this.#delay(host), () => this.faults(host).isUnreachable ? fail() : done(result))
      })
    })
  }

  #apply(operations: ReadonlyArray<Operation>): Revision {
    const effective = this.state.effective(operations)
    if (effective.length === 0) return this.state.revision
    this.commits++
    for (const operation of effective) {
      this.#sim.trace.text(operation._tag === "Put" ? `${operation.key}=${operation.value}` : `-${operation.key}`)
    }
    const revision = this.state.apply(effective)
    this.#image.apply({
      revision,
      events: effective.map(({ _tag, key }) => _tag === "Put" ? { _tag, entry: this.state.get(key)! } : { _tag, key })
    })
    this.onCommit?.(this.image)
    this.state.publish(revision)
    return revision
  }

  #commit(comparisons: ReadonlyArray<Comparison>, operations: ReadonlyArray<Operation>): CommitResult {
    if (operations.length > MAX_OPERATIONS || comparisons.length > MAX_OPERATIONS) {
      throw new MetadataStoreError("TooManyOperations", `a commit takes at most ${MAX_OPERATIONS} operations and ${MAX_OPERATIONS} comparisons`)
    }
    for (const operation of operations) {
      if (operation._tag === "Put" && operation.session !== undefined && !this.#sessions.has(operation.session)) {
        throw new MetadataStoreError("SessionLost", `session ${operation.session} is gone`)
      }
    }
    if (!this.state.holds(comparisons)) {
      this.conflicts++
      return { _tag: "Conflict" }
    }
    return { _tag: "Committed", revision: this.#apply(operations) }
  }

  // -- the port ------------------------------------------------------------------------------------------------

  /** The store as a process on a machine sees it. */
  view(host: SimHost, owner: SimProcess): MetadataStore {
    const commit: MetadataStore["commit"] = (comparisons, operations) =>
      Effect.suspend(() => {
        const { losesAnswers, refuses } = this.faults(host)
        const isRefused = refuses > 0 && this.#dice.chance(refuses)
        const isLost = !isRefused && losesAnswers > 0 && this.#dice.chance(losesAnswers)
        return this.#call(host, owner, "commit", () => {
          if (isRefused) throw new MetadataStoreError("Unavailable", "commit: the metadata store takes none now")
          const happens = !isLost || this.#dice.chance(0.7)
          const result = happens ? this.#commit(comparisons, operations) : undefined
          if (isLost || result === undefined) throw unavailable("commit")
          return result
        })
      })
    /** What a watch brings comes later, and not at all while the store is out of reach. */
    const arrival: Effect.Effect<void> = Effect.callback((resume) => {
      const ready = (): void => owner.scheduleTask(() => resume(Effect.void))
      const arrive = (): void =>
        this.faults(host).isUnreachable
          ? this.#whenReachable(host, () => void this.#sim.after(this.#delay(host), arrive))
          : ready()
      this.#sim.after(this.#delay(host) + this.faults(host).watchLagMs, arrive)
    })
    return {
      maxOperations: MAX_OPERATIONS,
      list: (prefix) =>
        this.#call(host, owner, "list", () => ({
          revision: this.state.revision,
          entries: this.state.list(prefix).map(({ createRevision, key, modRevision, value }) => ({ key, value, createRevision, modRevision }))
        })),
      commit,
      watch: (prefix, after) => Stream.mapArrayEffect(this.state.watch(prefix, after), (batches) => Effect.as(arrival, batches)),
      session: (ttlMs) => this.#session(host, owner, ttlMs)
    }
  }
}
