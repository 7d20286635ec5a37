/**
 * A client's way to a cluster: it knows who leads what, keeps one connection per broker and lane, makes them again
 * when they end, and fails over between bootstrap servers. Producer, Consumer and Admin share one or have their own.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { Scope } from "effect/Scope"
import type { Network } from "../ports/Network.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { metadataApi, type MetadataResponse } from "../protocol/generated/Metadata.ts"
import { type AskOptions, type CallOptions, type RpcConnection, RpcError } from "../rpc/RpcConnection.ts"
import { ReadTurn } from "../rpc/ReadTurn.ts"
import type { RpcApi } from "../rpc/RpcApi.ts"
import { backoffMs } from "./Backoff.ts"
import { type ClientConfig, type ResolvedClientConfig, resolveClientConfig } from "./ClientConfig.ts"
import { type ClientError, errorOfCode, FatalError, RetriableError } from "./ClientError.ts"
import type { ClusterView, Node, TopicView } from "./ClusterView.ts"
import { checkConfig, parseServers } from "./ConfigKeys.ts"
import { type CoordinatorKey, makeCoordinators } from "./Coordinators.ts"
import { clientErrorOf, closedError, type Lane, makeLinks } from "./internal/Links.ts"
import { makeMetadata } from "./internal/Metadata.ts"
import { metadataRequest } from "./internal/MetadataApi.ts"
import type { LeaderHint, MetadataQuestion } from "./internal/MetadataState.ts"

export type { CoordinatorKey } from "./Coordinators.ts"
export type { Lane } from "./internal/Links.ts"
export type { LeaderHint } from "./internal/MetadataState.ts"

export interface Cluster {
  readonly config: ResolvedClientConfig
  /** What is known now. */
  readonly view: () => ClusterView
  /**
   * Topics by name: at once what is known (it is renewed every `metadata.max.age.ms`), else asked for and retried until
   * `timeoutMs` (default `default.api.timeout.ms`). A topic that does not exist fails with UNKNOWN_TOPIC_OR_PARTITION
   * at the end of that time (it may be being created), an illegal name at once. `allowAutoCreate` (default true, as for
   * Kafka's producer and consumer): the broker may create them.
   */
  readonly topics: (
    names: ReadonlyArray<string>,
    options?: { readonly timeoutMs?: number; readonly allowAutoCreate?: boolean }
  ) => Effect.Effect<ReadonlyMap<string, TopicView>, ClientError>
  /** One topic now, without waiting; undefined when it is not known. For hot paths. */
  readonly topic: (name: string) => TopicView | undefined
  /** All topics of the cluster, asked for now. */
  readonly allTopics: Effect.Effect<ReadonlyMap<string, TopicView>, ClientError>
  /**
   * What is known may be wrong (NOT_LEADER_OR_FOLLOWER and its kin, a lost connection): asks again soon, not more often
   * than `retry.backoff.ms`. With a hint of the new leader (KIP-951) the view is changed at once.
   */
  readonly invalidate: (hint?: LeaderHint) => void
  /** Completes with the first view whose version is greater; fails with CLOSED only. */
  readonly viewAfter: (version: number) => Effect.Effect<ClusterView, ClientError>
  /** Calls `listener` with every new view, until what is returned is called. Synchronous; must not throw. */
  readonly onView: (listener: (view: ClusterView) => void) => () => void
  /**
   * Sends to one broker and awaits its answer; connects first when there is no connection. Not retried: who calls
   * knows whether twice is harmless. Fails with DISCONNECTED, TIMED_OUT, UNSUPPORTED, INVALID_ARGUMENT (the request
   * cannot be written), CORRUPT or CLOSED only: error codes in the answer are the caller's. Interrupted, it leaves the
   * request to its fate.
   */
  readonly call: <Request, Response>(
    nodeId: number,
    lane: Lane,
    api: RpcApi<Request, Response>,
    request: Request | ((version: number) => Request),
    options?: CallOptions
  ) => Effect.Effect<Response, ClientError>
  /**
   * As `call` on a connection that is open, without an effect, for hot paths. `settle` is called once, perhaps
   * before this returns.
   * @returns false: there is no such connection or version, and nothing was done; `call` says more
   */
  readonly ask: <Request, Response>(
    nodeId: number,
    lane: Lane,
    api: RpcApi<Request, Response>,
    request: Request | ((version: number) => Request),
    options: AskOptions,
    settle: (result: Response | ClientError) => void
  ) => boolean
  /** Runs `task` when all is handled that the read being handled has brought. @returns false: none is; not taken */
  readonly afterRead: (task: () => void) => boolean
  /** Sends what has no answer (Produce with acks=0). */
  readonly tell: <Request>(
    nodeId: number,
    lane: Lane,
    api: RpcApi<Request, unknown>,
    request: Request | ((version: number) => Request)
  ) => Effect.Effect<void, ClientError>
  /** The version that `call` would use with this broker; connects first. Fails with UNSUPPORTED when there is none. */
  readonly versionOf: (nodeId: number, lane: Lane, api: RpcApi<never, unknown>) => Effect.Effect<number, ClientError>
  /**
   * Some broker that is up, least busy first. Below 0: a bootstrap server, when no broker is known or none that is can be
   * reached. Not retried.
   */
  readonly anyNode: Effect.Effect<number, ClientError>
  /** The controller, from metadata. */
  readonly controller: Effect.Effect<number, ClientError>
  /** The node that coordinates a group or a transactional id, remembered until `forgetCoordinator`. Retried. */
  readonly coordinator: (key: CoordinatorKey) => Effect.Effect<number, ClientError>
  readonly forgetCoordinator: (key: CoordinatorKey) => void
  /**
   * Runs an attempt again while it fails with a RetriableError, with backoff and jitter, within `timeoutMs`
   * (default `default.api.timeout.ms`); then fails with the last error.
   */
  readonly retry: <A, R>(
    attempt: Effect.Effect<A, ClientError, R>,
    options?: { readonly timeoutMs?: number }
  ) => Effect.Effect<A, ClientError, R>
  /** Ends every connection; all who wait fail with CLOSED. Also done by the scope it was made in. */
  readonly close: Effect.Effect<void>
}
export const Cluster: Context.Service<Cluster, Cluster> = Context.Service("ottla/client/Cluster")

/** Fails only on a wrong configuration: connecting waits for the first question. */
export const make = (config: ClientConfig): Effect.Effect<Cluster, ClientError, Network | Scope> =>
  Effect.gen(function*() {
    const resolved = resolveClientConfig(config)
    const wrong = checkConfig("client", resolved)
    if (wrong !== undefined) return yield* Effect.fail(wrong)
    const servers = parseServers(resolved["bootstrap.servers"])
    if (servers instanceof FatalError) return yield* Effect.fail(servers)

    const bootstrap = new Map(servers.map((address, index) => [-1 - index, address]))
    const bootstrapIds = [...bootstrap.keys()]
    const retryPolicy = { initialMs: resolved["retry.backoff.ms"], maxMs: resolved["retry.backoff.max.ms"] }
    const defaultTimeoutMs = resolved["default.api.timeout.ms"]
    let isClosed = false
    /** A broker said that what is known of the cluster is of no use (KIP-1102). */
    let mustBootstrap = false

    const turn = new ReadTurn()
    const links = yield* makeLinks({
      config: resolved,
      turn,
      addressOf: (nodeId) => bootstrap.get(nodeId) ?? metadata.view().nodes.get(nodeId) ?? coordinators.addressOf(nodeId),
      onLost: (nodeId) => {
        coordinators.forgetNode(nodeId)
        if (nodeId >= 0) metadata.invalidate()
      }
    })

    const failed = (error: RpcError): ClientError => isClosed ? closedError() : clientErrorOf(error)

    const withConnection = <A>(
      nodeId: number,
      lane: Lane,
      use: (rpc: RpcConnection) => Effect.Effect<A, ClientError>
    ): Effect.Effect<A, ClientError> =>
      Effect.suspend(() => {
        const rpc = links.open(nodeId, lane)
        return rpc === undefined ? Effect.flatMap(links.connected(nodeId, lane), use) : use(rpc)
      })

    const versionOn = (rpc: RpcConnection, api: RpcApi<never, unknown>): number | FatalError =>
      rpc.versionOf(api) ?? unsupported(rpc, api)

    const call: Cluster["call"] = (nodeId, lane, api, request, options) =>
      withConnection(nodeId, lane, (rpc) => {
        const version = options?.version ?? versionOn(rpc, api)
        if (typeof version !== "number") return Effect.fail(version)
        const body = bodyOf(request, version)
        const timeoutMs = options?.timeoutMs
        const callOptions = timeoutMs === undefined ? { version } : { version, timeoutMs }
        return Effect.mapError(rpc.call(api, body, callOptions), failed)
      })

    const askOpen: Cluster["ask"] = (nodeId, lane, api, request, options, settle) => {
      const rpc = links.open(nodeId, lane)
      const version = rpc?.versionOf(api)
      if (rpc === undefined || version === undefined) return false
      rpc.ask(api, version, bodyOf(request, version), options, (result) => settle(result instanceof RpcError ? failed(result) : result))
      return true
    }

    const tell: Cluster["tell"] = (nodeId, lane, api, request) =>
      withConnection(nodeId, lane, (rpc) => {
        const version = versionOn(rpc, api)
        return typeof version !== "number"
          ? Effect.fail(version)
          : Effect.mapError(rpc.tell(api, bodyOf(request, version), { version }), failed)
      })

    const versionOf: Cluster["versionOf"] = (nodeId, lane, api) =>
      withConnection(nodeId, lane, (rpc) => {
        const version = versionOn(rpc, api)
        return typeof version === "number" ? Effect.succeed(version) : Effect.fail(version)
      })

    const anyNode: Cluster["anyNode"] = Effect.gen(function*() {
      const known = mustBootstrap ? [] : [...metadata.view().nodes.keys()]
      const isLost = known.every((nodeId) => links.isDown(nodeId, "data"))
      let last: ClientError | undefined
      for (const nodeId of yield* links.order(isLost ? [...known, ...bootstrapIds] : known, "data")) {
        const result = yield* Effect.result(links.connected(nodeId, "data"))
        if (Result.isSuccess(result)) return nodeId
        last = result.failure
      }
      return yield* Effect.fail(last!)
    })

    const ask = (question: MetadataQuestion): Effect.Effect<MetadataResponse, ClientError> =>
      Effect.gen(function*() {
        const nodeId = yield* anyNode
        const answer = yield* call(nodeId, "data", metadataApi, metadataRequest(question))
        mustBootstrap = answer.errorCode === ErrorCode.REBOOTSTRAP_REQUIRED
        if (mustBootstrap) return yield* Effect.fail(new RetriableError("REBOOTSTRAP_REQUIRED", "metadata: the brokers known are of another cluster"))
        if (answer.errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(answer.errorCode, "metadata"))
        // A broker that has only just started knows of none, not even of itself.
        if (answer.brokers.length === 0) {
          return yield* Effect.fail(new RetriableError("BROKER_NOT_AVAILABLE", "metadata: the broker knows of no broker yet"))
        }
        return answer
      })

    const metadata = yield* makeMetadata({ config: resolved, ask })

    const retry: Cluster["retry"] = (attempt, options) =>
      Effect.suspend(() => {
        const timeoutMs = options?.timeoutMs ?? defaultTimeoutMs
        let last: ClientError | undefined
        let failures = 0
        const again: typeof attempt = Effect.catch(attempt, (error) => {
          if (error._tag === "FatalError") return Effect.fail(error)
          last = error
          failures += 1
          return Effect.flatMap(Random.next, (jitter) => Effect.delay(again, backoffMs(retryPolicy, failures, jitter)))
        })
        return Effect.timeoutOrElse(again, { duration: timeoutMs, orElse: () => Effect.fail(last ?? new RetriableError("TIMED_OUT", `no answer within ${timeoutMs} ms`)) })
      })

    const coordinators = makeCoordinators({ anyNode, call, versionOf, retry })

    const controller = retry(Effect.suspend(() => {
      const known = (): Effect.Effect<number, ClientError> => {
        const { controllerId, nodes } = metadata.view()
        return nodes.has(controllerId)
          ? Effect.succeed(controllerId)
          : Effect.fail(new RetriableError("BROKER_NOT_AVAILABLE", "no controller is known"))
      }
      const isKnown = metadata.view().version > 0 && !metadata.isStale() && metadata.view().controllerId >= 0
      return isKnown ? known() : Effect.flatMap(metadata.refresh, known)
    }))

    let nodesBefore: ReadonlyMap<number, Node> = new Map()
    metadata.onView(({ nodes }) => {
      // What was opened to a bootstrap server goes on as the way to that broker, or has done its duty.
      for (const [bootstrapId, { host, port }] of bootstrap) {
        for (const node of nodes.values()) if (node.host === host && node.port === port) links.adopt(bootstrapId, node.id)
        links.retire(bootstrapId)
      }
      for (const [nodeId, { host, port }] of nodesBefore) {
        const now = nodes.get(nodeId)
        if (now !== undefined && (now.host !== host || now.port !== port)) links.retire(nodeId)
      }
      nodesBefore = nodes
    })

    const close = Effect.suspend(() => {
      isClosed = true
      metadata.close()
      coordinators.close()
      return links.close
    })
    yield* Effect.addFinalizer(() => close)

    return {
      config: resolved,
      view: metadata.view,
      topic: metadata.topic,
      topics: (names, options = {}) =>
        metadata.topics(names, {
          timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
          autoCreate: options.allowAutoCreate ?? true
        }),
      allTopics: retry(metadata.allTopics),
      invalidate: metadata.invalidate,
      viewAfter: metadata.viewAfter,
      onView: metadata.onView,
      call,
      ask: askOpen,
      afterRead: (task) => turn.after(task),
      tell,
      versionOf,
      anyNode,
      controller,
      coordinator: coordinators.find,
      forgetCoordinator: coordinators.forget,
      retry,
      close
    }
  })

const bodyOf = <Request>(request: Request | ((version: number) => Request), version: number): Request =>
  typeof request === "function" ? (request as (version: number) => Request)(version) : request

const unsupported = ({ address: { host, port } }: RpcConnection, { name }: RpcApi<never, unknown>): FatalError =>
  new FatalError("UNSUPPORTED", `${host}:${port} and this client have no common version of ${name}`)

/** One for everybody in the program; ends with the layer. */
export const layer = (config: ClientConfig): Layer.Layer<Cluster, ClientError, Network> => Layer.effect(Cluster, make(config))
