/**
 * Connections to brokers: one per node and lane, made when it is first needed and again after it ended, with Kafka's
 * reconnect backoff; closed when idle for `connections.max.idle.ms`. Many callers share one attempt to connect.
 *
 * Nodes below 0 are the bootstrap servers, which have no other id before one of them has told the cluster's metadata.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { monotonicMs } from "../../model/Time.ts"
import type { Address, Network } from "../../ports/Network.ts"
import type { ReadTurn } from "../../rpc/ReadTurn.ts"
import { connect, type RpcConnection, RpcError } from "../../rpc/RpcConnection.ts"
import { backoffMs } from "../Backoff.ts"
import type { ResolvedClientConfig } from "../ClientConfig.ts"
import { type ClientError, FatalError, RetriableError } from "../ClientError.ts"

/**
 * Brokers answer a connection's requests in order, so what may wait long has a connection of its own: `data` for produce
 * and short questions, `fetch` for long polls, `coordinator` for groups.
 */
export type Lane = "data" | "fetch" | "coordinator"

/** What callers of a broker act on. The message says which broker. */
export const clientErrorOf = (error: RpcError): ClientError => {
  switch (error.kind) {
    case "Unreachable":
    case "Disconnected":
      return new RetriableError("DISCONNECTED", error.message)
    case "TimedOut":
      return new RetriableError("TIMED_OUT", error.message)
    case "UnsupportedVersion":
      return new FatalError("UNSUPPORTED", error.message)
    case "InvalidRequest":
      return new FatalError("INVALID_ARGUMENT", error.message)
    case "Malformed":
      return new FatalError("CORRUPT", error.message)
  }
}

export const closedError = (): FatalError => new FatalError("CLOSED", "this client is closed")

export interface LinksOptions {
  readonly config: ResolvedClientConfig
  readonly turn: ReadTurn
  readonly addressOf: (nodeId: number) => Address | undefined
  /** A broker could not be reached, or a connection to it ended while it was open. */
  readonly onLost: (nodeId: number) => void
}

/** How often is looked whether a connection's last answer has come, in ms; nothing idle is closed more exactly. */
const SWEEP_MS = 1000

type Attempt = Deferred.Deferred<RpcConnection, ClientError>

/** The way to one node in one lane. */
class Link {
  nodeId: number
  rpc: RpcConnection | undefined
  attempt: Attempt | undefined
  /** Attempts that failed and connections that ended since one was made. */
  failures = 0
  /** No attempt before. */
  retryAtMs = 0
  /** The last attempt failed. */
  isDown = false

  constructor(nodeId: number) {
    this.nodeId = nodeId
  }
}

export interface Links {
  /** An open connection, if there is one now. */
  readonly open: (nodeId: number, lane: Lane) => RpcConnection | undefined
  /** An open connection; connects, waiting for the backoff's end first. */
  readonly connected: (nodeId: number, lane: Lane) => Effect.Effect<RpcConnection, ClientError>
  /** The candidates in the order in which to try them: open and least busy first, those in backoff last. */
  readonly order: (nodeIds: ReadonlyArray<number>, lane: Lane) => Effect.Effect<ReadonlyArray<number>>
  /** Whether the last attempt failed and nothing is open since. */
  readonly isDown: (nodeId: number, lane: Lane) => boolean
  /** Nothing uses these connections any more, their addresses have changed: they end as soon as they are idle. */
  readonly retire: (nodeId: number) => void
  /** The connection to a bootstrap server is one to this broker, for it has the same address. */
  readonly adopt: (bootstrapId: number, nodeId: number) => void
  /** Ends all; who waits for a connection fails. */
  readonly close: Effect.Effect<void>
}

const lanes: ReadonlyArray<Lane> = ["data", "fetch", "coordinator"]

export const makeLinks = (options: LinksOptions): Effect.Effect<Links, never, Network | Scope.Scope> =>
  Effect.gen(function*() {
    const { addressOf, config, onLost, turn } = options
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const context = yield* Effect.context<Network>()
    const clock = yield* Clock.Clock
    const links: Readonly<Record<Lane, Map<number, Link>>> = { data: new Map(), fetch: new Map(), coordinator: new Map() }
    /** Open connections, those of retired links too. */
    const connections = new Set<RpcConnection>()
    /** Ended, or to be ended, by this side. */
    const given = new WeakSet<RpcConnection>()
    const maxIdleMs = config["connections.max.idle.ms"]
    const reconnect = { initialMs: config["reconnect.backoff.ms"], maxMs: config["reconnect.backoff.max.ms"] }
    let isClosed = false
    let isSweeping = false

    const linkOf = (nodeId: number, lane: Lane): Link => {
      const known = links[lane].get(nodeId)
      if (known !== undefined) return known
      const link = new Link(nodeId)
      links[lane].set(nodeId, link)
      return link
    }

    const lost = (link: Link, jitter: number): void => {
      link.failures += 1
      link.retryAtMs = monotonicMs(clock) + backoffMs(reconnect, link.failures, jitter)
      if (!isClosed) onLost(link.nodeId)
    }

    const forkHere = (effect: Effect.Effect<void>): void => {
      Effect.runForkWith(context)(Effect.forkIn(effect, scope))
    }

    /** Closes what was idle for too long; ends when nothing is open. */
    const sweep: Effect.Effect<void> = Effect.suspend(() => {
      const nowMs = monotonicMs(clock)
      let nextMs = Infinity
      for (const rpc of [...connections]) {
        const idleAtMs = rpc.lastUsedMs + maxIdleMs
        if (rpc.inFlight === 0 && idleAtMs <= nowMs) end(rpc)
        else nextMs = Math.min(nextMs, Math.max(idleAtMs, nowMs + SWEEP_MS))
      }
      isSweeping = nextMs < Infinity
      return isSweeping ? Effect.andThen(Effect.sleep(nextMs - nowMs), sweep) : Effect.void
    })

    /** Ends a connection on purpose: that says nothing about its broker. */
    const end = (rpc: RpcConnection): void => {
      given.add(rpc)
      rpc.close()
    }

    const opened = (link: Link, rpc: RpcConnection, connectionScope: Scope.Closeable, jitter: number): void => {
      connections.add(rpc)
      link.failures = 0
      link.isDown = false
      link.rpc = rpc
      rpc.onEnd(() => {
        connections.delete(rpc)
        if (link.rpc === rpc) link.rpc = undefined
        if (!given.has(rpc)) lost(link, jitter)
        Effect.runForkWith(context)(Scope.close(connectionScope, Exit.void))
      })
      if (maxIdleMs < 0 || isSweeping) return
      isSweeping = true
      forkHere(sweep)
    }

    const attempt = (link: Link, done: Attempt): Effect.Effect<void> =>
      Effect.gen(function*() {
        const jitter = yield* Random.next
        const pauseMs = link.retryAtMs - monotonicMs(clock)
        if (pauseMs > 0) yield* Effect.sleep(pauseMs)
        const address = addressOf(link.nodeId)
        if (address === undefined) {
          link.attempt = undefined
          onLost(link.nodeId)
          yield* Deferred.fail(done, new RetriableError("DISCONNECTED", `broker ${link.nodeId} is not in the cluster's metadata`))
          return
        }
        const connectionScope = yield* Scope.fork(scope)
        const exit = yield* Effect.exit(
          connect(address, {
            clientId: config["client.id"],
            turn,
            requestTimeoutMs: config["request.timeout.ms"],
            connectTimeoutMs: config["socket.connection.setup.timeout.ms"]
          }).pipe(Scope.provide(connectionScope), Effect.provideContext(context))
        )
        link.attempt = undefined
        if (Exit.isSuccess(exit)) {
          opened(link, exit.value, connectionScope, jitter)
          yield* Deferred.succeed(done, exit.value)
          return
        }
        yield* Scope.close(connectionScope, Exit.void)
        link.isDown = true
        lost(link, jitter)
        yield* Effect.logDebug(`broker ${link.nodeId} at ${address.host}:${address.port} cannot be reached`, exit.cause)
        yield* Deferred.done(done, Exit.mapError(exit, clientErrorOf))
      })

    const connected = (nodeId: number, lane: Lane): Effect.Effect<RpcConnection, ClientError> =>
      Effect.suspend(() => {
        if (isClosed) return Effect.fail(closedError())
        const link = linkOf(nodeId, lane)
        if (link.rpc !== undefined) return Effect.succeed(link.rpc)
        if (link.attempt !== undefined) return Deferred.await(link.attempt)
        const done: Attempt = link.attempt = Deferred.makeUnsafe()
        return Effect.andThen(Effect.forkIn(attempt(link, done), scope), Deferred.await(done))
      })

    const order = (nodeIds: ReadonlyArray<number>, lane: Lane): Effect.Effect<ReadonlyArray<number>> =>
      Effect.gen(function*() {
        const nowMs = monotonicMs(clock)
        const ranked: Array<{ readonly nodeId: number; readonly rank: number; readonly cost: number }> = []
        for (const nodeId of nodeIds) {
          const link = links[lane].get(nodeId)
          const random = yield* Random.next
          if (link?.rpc !== undefined) ranked.push({ nodeId, rank: 0, cost: link.rpc.inFlight + random })
          else if (link === undefined || link.retryAtMs <= nowMs) {
            ranked.push({ nodeId, rank: link?.attempt === undefined ? 2 : 1, cost: random })
          } else ranked.push({ nodeId, rank: 3, cost: link.retryAtMs })
        }
        return ranked.sort((a, b) => a.rank - b.rank || a.cost - b.cost).map(({ nodeId }) => nodeId)
      })

    const retire = (nodeId: number): void => {
      for (const lane of lanes) {
        const link = links[lane].get(nodeId)
        if (link === undefined) continue
        link.retryAtMs = 0
        link.failures = 0
        link.isDown = false
        const rpc = link.rpc
        if (rpc === undefined) continue
        link.rpc = undefined
        given.add(rpc)
        const drain: Effect.Effect<void> = Effect.suspend(() =>
          rpc.isOpen && rpc.inFlight > 0 ? Effect.andThen(Effect.sleep(SWEEP_MS), drain) : Effect.sync(() => rpc.close())
        )
        forkHere(drain)
      }
    }

    const adopt = (bootstrapId: number, nodeId: number): void => {
      for (const lane of lanes) {
        const link = links[lane].get(bootstrapId)
        const own = links[lane].get(nodeId)
        if (link?.rpc === undefined || own?.rpc !== undefined || own?.attempt !== undefined) continue
        links[lane].delete(bootstrapId)
        link.nodeId = nodeId
        links[lane].set(nodeId, link)
      }
    }

    const close = Effect.suspend(() => {
      isClosed = true
      for (const lane of lanes) {
        for (const link of links[lane].values()) {
          if (link.attempt !== undefined) Deferred.doneUnsafe(link.attempt, Effect.fail(closedError()))
        }
      }
      return Scope.close(scope, Exit.void)
    })
    yield* Effect.addFinalizer(() => close)

    return {
      open: (nodeId, lane) => links[lane].get(nodeId)?.rpc,
      connected,
      order,
      isDown: (nodeId, lane) => links[lane].get(nodeId)?.isDown ?? false,
      retire,
      adopt,
      close
    }
  })
