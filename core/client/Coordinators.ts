/**
 * Which node coordinates which group or transactional id (FindCoordinator, versions 0 to 6). What was found is
 * remembered until it is forgotten; keys that are asked for in one turn go out in one request where the broker takes
 * many (KIP-699, version 4).
 *
 * Bound: MAX_REMEMBERED coordinators; the one found first is forgotten then, and found again when needed.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { type FindCoordinatorRequestInput, findCoordinatorApi } from "../protocol/generated/FindCoordinator.ts"
import { type ClientError, errorOfCode, FatalError, RetriableError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { Node } from "./ClusterView.ts"
import { closedError } from "./internal/Links.ts"

export interface CoordinatorKey {
  readonly kind: "group" | "transaction"
  readonly key: string
}

export interface Coordinators {
  readonly find: (key: CoordinatorKey) => Effect.Effect<number, ClientError>
  readonly forget: (key: CoordinatorKey) => void
  readonly forgetNode: (nodeId: number) => void
  /** A coordinator's, which may be newer than the cluster's metadata. */
  readonly addressOf: (nodeId: number) => Node | undefined
  readonly close: () => void
}

const MAX_REMEMBERED = 10_000
/** Keys of one request: more are asked for in several. */
const MAX_KEYS_PER_REQUEST = 500
/** The first version that takes many keys. */
const MANY_KEYS_VERSION = 4

const keyTypes = { group: 0, transaction: 1 } as const
type Kind = CoordinatorKey["kind"]

interface Found {
  readonly key: string
  readonly nodeId: number
  readonly host: string
  readonly port: number
  readonly errorCode: number
  readonly errorMessage: string | null
}

type Waiting = Deferred.Deferred<number, ClientError>

export const makeCoordinators = (
  { anyNode, call, retry, versionOf }: Pick<Cluster, "anyNode" | "call" | "retry" | "versionOf">
): Coordinators => {
  const known: Readonly<Record<Kind, Map<string, number>>> = { group: new Map(), transaction: new Map() }
  const nodes = new Map<number, Node>()
  /** Asked for with the next request. */
  const waiting: Readonly<Record<Kind, Map<string, Waiting>>> = { group: new Map(), transaction: new Map() }
  /** Asked for now. */
  const asked: Readonly<Record<Kind, Map<string, Waiting>>> = { group: new Map(), transaction: new Map() }
  let isClosed = false

  const request = (kind: Kind, keys: ReadonlyArray<string>) => (version: number): FindCoordinatorRequestInput =>
    version >= MANY_KEYS_VERSION
      ? { keyType: keyTypes[kind], coordinatorKeys: keys }
      : { key: keys[0]!, ...version >= 1 ? { keyType: keyTypes[kind] } : {} }

  const ask = (kind: Kind, keys: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Found>, ClientError> =>
    Effect.gen(function*() {
      const nodeId = yield* anyNode
      const version = yield* versionOf(nodeId, "data", findCoordinatorApi)
      if (version >= MANY_KEYS_VERSION) {
        return (yield* call(nodeId, "data", findCoordinatorApi, request(kind, keys), { version })).coordinators
      }
      if (version === 0 && kind === "transaction") {
        return yield* Effect.fail(new FatalError("UNSUPPORTED", "the broker knows no transactions (FindCoordinator 0)"))
      }
      return yield* Effect.forEach(
        keys,
        (key) =>
          Effect.map(
            call(nodeId, "data", findCoordinatorApi, request(kind, [key]), { version }),
            (answer): Found => ({ ...answer, key })
          ),
        { concurrency: "unbounded" }
      )
    })

  const remember = (kind: Kind, { host, key, nodeId, port }: Found): void => {
    known[kind].delete(key)
    known[kind].set(key, nodeId)
    nodes.set(nodeId, { id: nodeId, host, port, rack: null })
    if (known[kind].size > MAX_REMEMBERED) known[kind].delete(known[kind].keys().next().value!)
  }

  const settle = (kind: Kind, found: Found): void => {
    const done = asked[kind].get(found.key)
    if (done === undefined) return
    asked[kind].delete(found.key)
    if (found.errorCode === ErrorCode.NONE) {
      remember(kind, found)
      Deferred.doneUnsafe(done, Effect.succeed(found.nodeId))
    } else {
      const what = `coordinator of ${kind} ${JSON.stringify(found.key)}`
      Deferred.doneUnsafe(done, Effect.fail(errorOfCode(found.errorCode, what, found.errorMessage)))
    }
  }

  /** Asks for what waits. Whoever of the waiting is first runs it for all. */
  const askWaiting = (kind: Kind): Effect.Effect<void> =>
    Effect.gen(function*() {
      yield* Effect.yieldNow // others of this turn come along
      const keys = [...waiting[kind].keys()].slice(0, MAX_KEYS_PER_REQUEST)
      for (const key of keys) {
        asked[kind].set(key, waiting[kind].get(key)!)
        waiting[kind].delete(key)
      }
      if (keys.length === 0) return
      const exit = yield* Effect.exit(ask(kind, keys))
      if (Exit.isSuccess(exit)) for (const found of exit.value) settle(kind, found)
      const missing = Exit.isSuccess(exit)
        ? Effect.fail(new RetriableError("COORDINATOR_NOT_AVAILABLE", `the broker left out a coordinator of a ${kind}`))
        : Effect.failCause(exit.cause)
      for (const key of keys) {
        const done = asked[kind].get(key)
        asked[kind].delete(key)
        if (done !== undefined) Deferred.doneUnsafe(done, missing)
      }
    })

  const findOnce = ({ key, kind }: CoordinatorKey): Effect.Effect<number, ClientError> =>
    Effect.suspend(() => {
      if (isClosed) return Effect.fail(closedError())
      const nodeId = known[kind].get(key)
      if (nodeId !== undefined) return Effect.succeed(nodeId)
      const before = asked[kind].get(key) ?? waiting[kind].get(key)
      if (before !== undefined) return Deferred.await(before)
      const done: Waiting = Deferred.makeUnsafe()
      waiting[kind].set(key, done)
      // In a fiber of its own: the one who asks first may be interrupted, the others still wait.
      return Effect.andThen(Effect.forkDetach(askWaiting(kind)), Deferred.await(done))
    })

  return {
    find: (key) =>
      Effect.suspend(() => {
        const nodeId = known[key.kind].get(key.key)
        return nodeId !== undefined && !isClosed ? Effect.succeed(nodeId) : retry(findOnce(key))
      }),
    forget: ({ key, kind }) => void known[kind].delete(key),
    forgetNode: (nodeId) => {
      nodes.delete(nodeId)
      for (const kind of ["group", "transaction"] as const) {
        for (const [key, node] of known[kind]) if (node === nodeId) known[kind].delete(key)
      }
    },
    addressOf: (nodeId) => nodes.get(nodeId),
    close: () => {
      isClosed = true
      for (const kind of ["group", "transaction"] as const) {
        for (const done of [...waiting[kind].values(), ...asked[kind].values()]) {
          Deferred.doneUnsafe(done, Effect.fail(closedError()))
        }
        waiting[kind].clear()
        asked[kind].clear()
      }
    }
  }
}
