/**
 * A cluster of brokers that the test plays, on a memory network: many nodes, moving leaders and coordinators, old
 * versions, silence, nonsense. It knows ApiVersions, Metadata and FindCoordinator by itself; `on` replaces or adds.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { NetworkError } from "../../core/ports/Network.ts"
import * as MemoryNetwork from "../../core/memory/MemoryNetwork.ts"
import { type Connection, Network } from "../../core/ports/Network.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { apis } from "../../core/protocol/Apis.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { FrameReader } from "../../core/protocol/Framing.ts"
import type { FindCoordinatorRequest } from "../../core/protocol/generated/FindCoordinator.ts"
import type { MetadataRequest } from "../../core/protocol/generated/Metadata.ts"
import { decodeRequestHeader, responseFrame } from "../../core/protocol/Headers.ts"
import { TestNetwork } from "./TestBrokers.ts"

export interface FakeRequest {
  readonly nodeId: number
  readonly apiKey: number
  readonly version: number
  readonly body: object
  /** To answer later, or with bytes of one's own. */
  readonly connection: Connection
  readonly answer: (response: object) => void
}

/** Undefined: no answer by itself. */
export type FakeHandler = (request: FakeRequest) => object | undefined

export interface FakeTopic {
  readonly id?: string
  /** By partition. */
  readonly leaders: Array<number>
  readonly epochs: Array<number>
}

export class FakeBrokers {
  readonly nodeIds: ReadonlyArray<number>
  readonly topics: Map<string, FakeTopic> = new Map()
  /** "group:g" to its node. */
  readonly coordinators: Map<string, number> = new Map()
  /** Highest versions of old brokers, by api key. */
  readonly maxVersions: Map<number, number> = new Map()
  /** What came, in order. */
  readonly requests: Array<FakeRequest> = []
  controllerId: number
  /** Error codes instead of topics. */
  readonly topicErrors: Map<string, number> = new Map()
  readonly network: TestNetwork
  /** What clients need. */
  readonly context: Context.Context<Network>
  readonly #inner: Network
  readonly #handlers: Map<number, FakeHandler> = new Map()
  readonly #scopes: Map<number, Scope.Closeable> = new Map()
  readonly #accepted: Map<number, Set<Connection>> = new Map()
  readonly #muted: WeakSet<Connection> = new WeakSet()
  readonly #outer: Scope.Scope
  readonly #ports: Map<number, number>

  constructor(inner: Network, outer: Scope.Scope, nodeIds: ReadonlyArray<number>) {
    this.#inner = inner
    this.#outer = outer
    this.nodeIds = nodeIds
    this.controllerId = nodeIds[0]!
    this.network = new TestNetwork(inner)
    this.context = Context.make(Network, this.network.network)
    this.#ports = new Map(nodeIds.map((nodeId) => [nodeId, 9000 + nodeId]))
  }

  host(nodeId: number): string {
    return `node${nodeId}`
  }
  port(nodeId: number): number {
    return this.#ports.get(nodeId)!
  }
  /** "node1:9001,node2:9002". */
  get bootstrap(): string {
    return this.nodeIds.map((nodeId) => `${this.host(nodeId)}:${this.port(nodeId)}`).join(",")
  }
  on(apiKey: number, handler: FakeHandler): void {
    this.#handlers.set(apiKey, handler)
  }
  /** Bodies of the requests of an API so far. */
  asked(apiKey: number, nodeId?: number): ReadonlyArray<FakeRequest> {
    return this.requests.filter((request) => request.apiKey === apiKey && (nodeId === undefined || request.nodeId === nodeId))
  }
  /** Connections that a node has accepted and that are not over. */
  accepted(nodeId: number): number {
    return this.#accepted.get(nodeId)?.size ?? 0
  }
  dropConnections(nodeId: number): void {
    for (const connection of this.#accepted.get(nodeId) ?? []) connection.destroy()
  }
  /** Nothing that comes on the node's present connections is answered any more. */
  mute(nodeId: number): void {
    for (const connection of this.#accepted.get(nodeId) ?? []) this.#muted.add(connection)
  }
  addTopic(name: string, leaders: ReadonlyArray<number>): void {
    this.topics.set(name, { leaders: [...leaders], epochs: leaders.map(() => 0) })
  }
  moveLeader(name: string, partition: number, leader: number): void {
    const topic = this.topics.get(name)!
    topic.leaders[partition] = leader
    topic.epochs[partition]! += 1
  }

  start(nodeId: number, port: number = this.port(nodeId)): Effect.Effect<void, NetworkError> {
    return Effect.gen({ self: this }, function*() {
      this.#ports.set(nodeId, port)
      const scope = yield* Scope.fork(this.#outer)
      this.#scopes.set(nodeId, scope)
      const connections = new Set<Connection>()
      this.#accepted.set(nodeId, connections)
      yield* Scope.provide(
        this.#inner.listen({ host: this.host(nodeId), port }, (connection) => {
          connections.add(connection)
          const frames = new FrameReader({
            maxBytes: 10_000_000,
            onFrame: (frame) => this.#onFrame(nodeId, connection, frame.slice())
          })
          return {
            onData: (bytes) => frames.push(bytes),
            onDrained: () => {},
            onClosed: () => void connections.delete(connection)
          }
        }),
        scope
      )
    })
  }

  /** Ends its connections and listens no more. */
  stop(nodeId: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const scope = this.#scopes.get(nodeId)
      this.#scopes.delete(nodeId)
      return Effect.andThen(
        scope === undefined ? Effect.void : Scope.close(scope, Exit.void),
        Effect.sync(() => this.dropConnections(nodeId))
      )
    })
  }

  #onFrame(nodeId: number, connection: Connection, frame: Uint8Array): void {
    const reader = new ByteReader(frame)
    const { apiKey, apiVersion, correlationId } = decodeRequestHeader(reader)
    const codec = apis.get(apiKey)!
    const send = (version: number, response: object): void =>
      connection.send(responseFrame(apiKey, version, correlationId, (writer) => codec.encodeResponse(writer, version, response)))
    const maxVersion = this.maxVersions.get(apiKey) ?? codec.maxVersion
    if (apiKey === ApiKey.ApiVersions && apiVersion > maxVersion) {
      return send(0, { errorCode: ErrorCode.UNSUPPORTED_VERSION, apiKeys: this.#versions() })
    }
    const request: FakeRequest = {
      nodeId,
      apiKey,
      version: apiVersion,
      body: codec.decodeRequest(reader, apiVersion),
      connection,
      answer: (response) => send(apiVersion, response)
    }
    this.requests.push(request)
    if (this.#muted.has(connection)) return
    const response = (this.#handlers.get(apiKey) ?? this.#byItself)(request)
    if (response !== undefined) request.answer(response)
  }

  #versions(): ReadonlyArray<object> {
    return [...apis.values()].map(({ key, maxVersion, minVersion }) => ({
      apiKey: key,
      minVersion,
      maxVersion: this.maxVersions.get(key) ?? maxVersion
    }))
  }

  /** The answer that the cluster's state gives, whatever `on` says. */
  readonly #byItself: FakeHandler = (request) => {
    switch (request.apiKey) {
      case ApiKey.ApiVersions:
        return { errorCode: 0, apiKeys: this.#versions() }
      case ApiKey.Metadata:
        return this.metadata(request)
      case ApiKey.FindCoordinator:
        return this.#findCoordinator(request)
      default:
        throw new Error(`the test answers no request of the API ${request.apiKey}`)
    }
  }

  metadata({ body, version }: FakeRequest): object {
    const { topics } = body as MetadataRequest
    const names = topics === null || (version === 0 && topics.length === 0)
      ? [...this.topics.keys()]
      : topics.map(({ name }) => name!)
    return {
      brokers: [...this.#scopes.keys()].map((nodeId) => ({ nodeId, host: this.host(nodeId), port: this.port(nodeId) })),
      ...version >= 2 ? { clusterId: "fake" } : {},
      ...version >= 1 ? { controllerId: this.controllerId } : {},
      topics: names.map((name) => {
        const topic = this.topics.get(name)
        const errorCode = this.topicErrors.get(name) ?? (topic === undefined ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.NONE)
        return {
          name,
          errorCode,
          partitions: errorCode !== ErrorCode.NONE ? [] : topic!.leaders.map((leaderId, partitionIndex) => ({
            errorCode: 0,
            partitionIndex,
            leaderId,
            ...version >= 7 ? { leaderEpoch: topic!.epochs[partitionIndex]! } : {},
            replicaNodes: [leaderId],
            isrNodes: [leaderId]
          }))
        }
      })
    }
  }

  #findCoordinator({ body, version }: FakeRequest): object {
    const { coordinatorKeys, key, keyType } = body as FindCoordinatorRequest
    const find = (key: string): object => {
      const nodeId = this.coordinators.get(`${keyType === 0 ? "group" : "transaction"}:${key}`)
      return nodeId === undefined
        ? { nodeId: -1, host: "", port: -1, errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE }
        : { nodeId, host: this.host(nodeId), port: this.port(nodeId), errorCode: 0 }
    }
    return version >= 4
      ? { coordinators: coordinatorKeys.map((key) => ({ key, errorMessage: null, ...find(key) })) }
      : find(key)
  }
}

/** Brokers of these ids, all started; they end with the scope. */
export const fakeBrokers = (...nodeIds: ReadonlyArray<number>): Effect.Effect<FakeBrokers, NetworkError, Scope.Scope> =>
  Effect.gen(function*() {
    const brokers = new FakeBrokers(yield* MemoryNetwork.make(), yield* Effect.scope, nodeIds)
    for (const nodeId of nodeIds) yield* brokers.start(nodeId)
    return brokers
  })

/** Lets everything that can happen without time passing happen. */
export const settle: Effect.Effect<void> = TestClock.adjust(0).pipe(
  Effect.andThen(Effect.yieldNow),
  Effect.repeat({ times: 100 }),
  Effect.asVoid
)

/**
 * Lets time pass as it does with brokers: in steps, between which everything happens that can. A jump would let a
 * deadline pass before the first byte is sent.
 */
export const advance = (ms: number, stepMs = 10): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      for (let i = 0; i < 20; i++) yield* Effect.yieldNow
      yield* TestClock.adjust(Math.min(stepMs, ms - passedMs))
    }
    yield* settle
  })
