/**
 * A broker's life in the cluster: its session with the metadata store, its registration, and its wish to stop.
 *
 * | key `live/ID` | the broker is |
 * |---|---|
 * | there | active: leads, is in ISRs |
 * | there, `shuttingDown` | in controlled shutdown: its leaders are moved, it leaves the ISRs and joins none (KIP-841) |
 * | there, `offline` | without these replicas: they lie in a log directory that failed, others lead (KIP-112) |
 * | gone | fenced |
 *
 * A session can be lost while its broker lives: the store did not hear of it for broker.session.timeout.ms. The broker
 * is fenced then and its leaders move, which it learns late or never as long as it does not see the store; until then
 * it goes on serving, held by epochs alone: its followers follow someone else, so it commits nothing that the whole ISR
 * does not have. As soon as the store gives it another session it registers again, with a new broker epoch, as one that
 * stopped cleanly: its log has all that it had. A session that is lost while its first registration is under way is made
 * good by who registers, as soon as it hears what became of that.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { MetadataStore, MetadataStoreError, Session } from "../ports/MetadataStore.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { RegisterBroker } from "./Commands.ts"
import type { Decided } from "./Decision.ts"
import type { ImageFollower } from "./ImageFollower.ts"
import type { MetadataImage } from "./MetadataImage.ts"
import { decideLife, decideRegisterBroker } from "./Registration.ts"
import type { Submitter } from "./Submit.ts"

/** How long a registration waits for the session that takes the place of a lost one. */
const SESSION_RETRY_MS = 100

export interface BrokerSession {
  /** Of the present session: what keys are put with that are to die with this broker. */
  readonly id: () => string
  /** Of the last registration that this process made; -1 before the first. */
  readonly brokerEpoch: () => number
  /** Done when the broker is registered, which may have to wait for the end of an older session of its id. */
  readonly register: (request: RegisterBroker) => Effect.Effect<void, MetadataStoreError>
  /** Done when this broker leads nothing any more, or is fenced: nobody waits for a broker whose session is over. */
  readonly controlledShutdown: Effect.Effect<void, MetadataStoreError>
  /** These replicas lie in a log directory that failed: others are to lead, and no ISR is to wait for them. */
  readonly replicasOffline: (names: Iterable<string>) => Effect.Effect<void, MetadataStoreError>
  /** Ends the session now and for good: the broker cannot go on, others are to take over what it has. */
  readonly abandon: Effect.Effect<void>
  /** One loss of a session, waited for and made good; to be run again and again, after a failure too. */
  readonly keep: Effect.Effect<void, MetadataStoreError, Scope.Scope>
}

/** What came of asking for a registration: of whose session, and with which broker epoch. */
interface Asked {
  readonly error: number
  readonly holder: string
  readonly epoch: number
}

/** Does the broker lead any partition? */
const leads = (image: MetadataImage, brokerId: number): boolean => {
  for (const { partitions } of image.topicsById.values()) {
    if (partitions.some(({ leader }) => leader === brokerId)) return true
  }
  return false
}

export const make = (
  store: MetadataStore,
  follower: ImageFollower,
  submitter: Submitter,
  options: { readonly brokerId: number; readonly ttlMs: number }
): Effect.Effect<BrokerSession, MetadataStoreError, Scope.Scope> =>
  Effect.gen(function*() {
    const { brokerId, ttlMs } = options
    const image = (): MetadataImage => follower.state.image
    const outer = yield* Effect.scope
    let own: Scope.Closeable = yield* Scope.fork(outer)
    let session: Session = yield* Scope.provide(store.session(ttlMs), own)
    let brokerEpoch = -1
    let registered: RegisterBroker | undefined
    let isStopping = false
    let isAbandoned = false
    const offline = new Set<string>()
    /**
     * Held from a registration's decision until the image has it. The interleaving behind it: A's registration is
     * committed and not seen yet, A is to stop and finds in its image nobody of whom it could say so, A leads again.
     */
    const registering = yield* Semaphore.make(1)
    /** What the loss of a session still asks for. */
    let missing: "nothing" | "session" | "registration" | "life" = "nothing"

    /** Gives the session that holds the registration: it may be over by the time that this broker knows of it. */
    const registerOnce = (request: RegisterBroker): Effect.Effect<string, MetadataStoreError> =>
      Effect.gen(function*() {
        const decide = (now: MetadataImage): ReadonlyArray<Decided<Asked>> => {
          const holder = session.id
          const { change, result: { error } } = decideRegisterBroker(now, request, holder)
          const asked = { error, holder, epoch: now.brokers.get(brokerId)?.epoch ?? -1 }
          if (change === undefined) return [{ result: asked }]
          return [{ result: asked, change, committedAt: (epoch) => ({ ...asked, epoch }) }]
        }
        for (;;) {
          const [asked] = yield* registering.withPermits(1)(
            Effect.suspend(() => isStopping ? Effect.succeed([]) : submitter.submit([request], decide))
          )
          // What stops needs no other life.
          if (asked === undefined) return yield* Effect.never
          const { epoch, error, holder } = asked
          if (error !== ErrorCode.DUPLICATE_BROKER_REGISTRATION) {
            // Not the image's, which may have another process's registration by now: its log is not this one's.
            brokerEpoch = epoch
            return holder
          }
          yield* Effect.logInfo(`broker ${brokerId} is still registered by another session, waiting for its end`)
          const seen = image().brokers.get(brokerId)
          yield* follower.awaitImage((now) => now.brokers.get(brokerId)?.fenced === true || now.brokers.get(brokerId) !== seen)
        }
      })

    const register = (first: RegisterBroker): Effect.Effect<void, MetadataStoreError> =>
      Effect.gen(function*() {
        for (let request = first;;) {
          const holder = yield* registerOnce(request).pipe(
            // The session was lost before it had a registration; `keep` has another soon.
            Effect.catchIf(({ kind }) => kind === "SessionLost", () => Effect.as(Effect.sleep(SESSION_RETRY_MS), undefined))
          )
          if (holder === session.id) {
            // In one turn with the comparison: a session that is lost later finds that it has a registration to make good.
            registered = request
            return
          }
          // Lost before its registration was known here: `keep` has another session by now, and had nothing to register.
          if (holder !== undefined) request = { ...first, previousBrokerEpoch: brokerEpoch }
        }
      })

    /** What the new registration would not say by itself. */
    const sayLife: Effect.Effect<void, MetadataStoreError> = Effect.asVoid(
      submitter.submit([undefined], (now) => [
        decideLife(now, brokerId, session.id, {
          ...(isStopping ? { shuttingDown: true } : {}),
          ...(offline.size > 0 ? { offline: [...offline] } : {})
        })
      ])
    )

    const keep = Effect.gen(function*() {
      if (missing === "nothing") {
        yield* session.lost
        if (isAbandoned) return yield* Effect.never
        missing = "session"
        yield* Effect.logWarning("metadata: the session was lost, beginning another")
      }
      if (missing === "session") {
        yield* Scope.close(own, Exit.void)
        own = yield* Scope.fork(outer)
        session = yield* Scope.provide(store.session(ttlMs), own)
        missing = "registration"
      }
      // What never was registered does that itself.
      if (missing === "registration" && registered !== undefined) {
        yield* submitter.refresh
        yield* registerOnce({ ...registered, previousBrokerEpoch: brokerEpoch }).pipe(
          Effect.tapError((error) => {
            if (error.kind === "SessionLost") missing = "session"
            return Effect.void
          })
        )
        yield* Effect.logInfo(`broker ${brokerId} is registered again, with broker epoch ${brokerEpoch}`)
      }
      missing = "life"
      if (offline.size > 0) yield* sayLife
      missing = "nothing"
    })

    const replicasOffline = (names: Iterable<string>): Effect.Effect<void, MetadataStoreError> =>
      Effect.suspend(() => {
        for (const name of names) offline.add(name)
        // The end of its session has said more than that, and there is none left to say it with.
        return isAbandoned ? Effect.void : sayLife
      })

    const controlledShutdown = Effect.gen(function*() {
      isStopping = true
      yield* registering.withPermits(1)(Effect.gen(function*() {
        // A registration may be committed whose answer got lost.
        if (missing !== "nothing") yield* submitter.refresh
        yield* sayLife
      }))
      yield* follower.awaitImage((now) => now.brokers.get(brokerId)?.session !== session.id || !leads(now, brokerId))
    })

    const abandon = Effect.suspend(() => {
      isStopping = true
      isAbandoned = true
      return Scope.close(own, Exit.void)
    })

    return { abandon, replicasOffline, id: () => session.id, brokerEpoch: () => brokerEpoch, register, controlledShutdown, keep }
  })
