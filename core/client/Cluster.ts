/**
 * A client's way to a cluster: it knows who leads what, keeps one connection per broker and lane, makes them again
 * when they end, and fails over between bootstrap servers. Producer, Consumer and Admin share one or have their own.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { CallOptions } from "../rpc/RpcConnection.ts"
import type { RpcApi } from "../rpc/RpcApi.ts"
import type { ClientConfig } from "./ClientConfig.ts"
import type { ClientError } from "./ClientError.ts"
import type { ClusterView, TopicView } from "./ClusterView.ts"

/**
 * Brokers answer a connection's requests in order, so what may wait long has a connection of its own:
 * `data` for produce and short questions, `fetch` for long polls, `coordinator` for groups.
 */
export type Lane = "data" | "fetch" | "coordinator"

export interface CoordinatorKey {
  readonly kind: "group" | "transaction"
  readonly key: string
}

export interface Cluster {
  readonly config: ClientConfig
  /** What is known now. */
  readonly view: () => ClusterView
  /**
   * Topics by name, asked for when they are not known or older than `metadata.max.age.ms`; retried until
   * `timeoutMs` (default `default.api.timeout.ms`). A topic that does not exist fails with UNKNOWN_TOPIC_OR_PARTITION
   * at the end of that time (it may be being created), an illegal name at once.
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
  readonly invalidate: (hint?: {
    readonly topic: string
    readonly partition: number
    readonly leader: number
    readonly leaderEpoch: number
  }) => void
  /** Completes with the first view whose version is greater. */
  readonly viewAfter: (version: number) => Effect.Effect<ClusterView>
  /** Calls `listener` with every new view, until what is returned is called. Synchronous; must not throw. */
  readonly onView: (listener: (view: ClusterView) => void) => () => void
  /**
   * Sends to one broker and awaits its answer; connects first when there is no connection. Not retried: who calls
   * knows whether twice is harmless. Fails with DISCONNECTED, TIMED_OUT, UNSUPPORTED or CORRUPT only: error codes in
   * the answer are the caller's.
   */
  readonly call: <Request, Response>(
    nodeId: number,
    lane: Lane,
    api: RpcApi<Request, Response>,
    request: Request | ((version: number) => Request),
    options?: CallOptions
  ) => Effect.Effect<Response, ClientError>
  /** Sends what has no answer (Produce with acks=0). */
  readonly tell: <Request>(
    nodeId: number,
    lane: Lane,
    api: RpcApi<Request, unknown>,
    request: Request | ((version: number) => Request)
  ) => Effect.Effect<void, ClientError>
  /** The version that `call` would use with this broker; connects first. Fails with UNSUPPORTED when there is none. */
  readonly versionOf: (nodeId: number, lane: Lane, api: RpcApi<never, unknown>) => Effect.Effect<number, ClientError>
  /** Some broker that is up, least busy first; connects to a bootstrap server when none is known. */
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

// CLUSTER adds: export const make = (config: ClientConfig): Effect<Cluster, ClientError, Network | Scope>
// (fails only on a wrong configuration; connecting is lazy) and export const layer = (config) => Layer.
