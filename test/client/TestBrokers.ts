/**
 * Brokers that the client's tests run against.
 *
 * `overBroker` is for whatever must hold with every broker: its tests run against ours in memory, and when
 * OTTLA_TEST_BOOTSTRAP names a running broker (`npm run test:client` starts Apache Kafka), against that one over real
 * sockets. The clock is the real one, so such a test waits for conditions and never for time.
 *
 * `startOwnBroker` is for tests of ours alone, under TestClock or the real clock: with faults in its network, restarts.
 */
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import { layer as cryptoLayer } from "../../adapters/shared/Crypto.ts"
import type { BrokerStartError } from "../../core/broker/Broker.ts"
import type { Compression } from "../../core/ports/Compression.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { type Address, type Connection, Network, NetworkError } from "../../core/ports/Network.ts"
import { ErrorCode, errorName } from "../../core/protocol/ErrorCode.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import { adapters } from "../adapters/Runtime.ts"
import { createTopicsApi, metadataApi } from "../broker/Apis.ts"
import { makeWorld, type Overrides, type RunningBroker, startBroker, type World } from "../broker/TestBroker.ts"
import { OVER_BROKER } from "./Marks.ts"

/** What everything in core/client asks of its host. */
export type Ports = Network | Compression | Crypto

export interface NewTestTopic {
  readonly partitions?: number
  readonly configs?: Readonly<Record<string, string>>
}

/** Some broker: ours or Apache Kafka. */
export interface TestBroker {
  readonly kind: "own" | "external"
  /** For `bootstrap.servers`. */
  readonly bootstrap: string
  /** A topic or group name that no other test and no earlier run has. */
  readonly name: (prefix: string) => string
  /** A new topic of its own name; done when it has its leaders. */
  readonly createTopic: (prefix: string, options?: NewTestTopic) => Effect.Effect<string>
}

/** A network with faults, in front of another. */
export class TestNetwork {
  /** Client ends that are not over. */
  readonly connections: Set<Connection> = new Set()
  /** Attempts to connect, in order. */
  readonly attempts: Array<Address> = []
  /** Whether an attempt is refused; default: none. */
  refuses: (address: Address) => boolean = () => false
  readonly network: Network

  constructor(inner: Network) {
    this.network = {
      ...inner,
      connect: (address, handle) =>
        Effect.suspend(() => {
          this.attempts.push(address)
          if (this.refuses(address)) {
            return Effect.fail(new NetworkError("Refused", `connect to ${address.host}:${address.port}: refused by the test`))
          }
          return inner.connect(address, (connection) => {
            this.connections.add(connection)
            const handler = handle(connection)
            return {
              onData: (bytes) => handler.onData(bytes),
              onDrained: () => handler.onDrained(),
              onClosed: (error) => {
                this.connections.delete(connection)
                handler.onClosed(error)
              }
            }
          })
        })
    }
  }

  /** Ends every connection at once, as a broken network does. */
  drop(): void {
    for (const connection of this.connections) connection.destroy()
  }
}

/** Our broker in memory, its world, and the ports for its clients. */
export interface OwnBroker extends TestBroker {
  readonly world: World
  /** The broker that runs now; `restart` replaces it. */
  readonly running: () => RunningBroker
  /** The network between it and its clients. */
  readonly network: TestNetwork
  readonly ports: Context.Context<Ports>
  /** Stops it and starts it again on the same port and disk. */
  readonly restart: Effect.Effect<void, BrokerStartError>
  readonly stop: Effect.Effect<void>
  readonly start: Effect.Effect<void, BrokerStartError>
}

/** Its own, far from those that MemoryNetwork gives out. */
const OWN_PORT = 9092

const runId = Math.floor(Math.random() * 36 ** 6).toString(36)
let names = 0
const uniqueName = (prefix: string): string => `${prefix}-${runId}-${names++}`

/** By a connection of its own, so that it needs nothing of what is tested. */
const createTopicAt = (address: Address) => (prefix: string, options: NewTestTopic = {}): Effect.Effect<string, never, Network> =>
  Effect.gen(function*() {
    const name = uniqueName(prefix)
    const rpc = yield* RpcConnection.connect(address, { clientId: "test-setup" })
    const { topics } = yield* rpc.call(createTopicsApi, {
      topics: [{
        name,
        numPartitions: options.partitions ?? 1,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(options.configs ?? {}).map(([name, value]) => ({ name, value }))
      }],
      timeoutMs: 30_000,
      validateOnly: false
    })
    const { errorCode, errorMessage } = topics[0]!
    if (errorCode !== ErrorCode.NONE) return yield* Effect.die(new Error(`create ${name}: ${errorName(errorCode)} ${errorMessage}`))
    // Apache Kafka tells of a topic a moment after it has created it.
    const isKnown = Effect.map(rpc.call(metadataApi, { topics: [{ name }], allowAutoTopicCreation: false }), ({ topics }) =>
      topics[0]!.errorCode === ErrorCode.NONE && topics[0]!.partitions.every(({ leaderId }) => leaderId >= 0))
    yield* eventually(isKnown, (known) => known)
    return name
  }).pipe(Effect.scoped, Effect.orDie)

/** `overrides` are the broker's properties. Everything ends with the scope. */
export const startOwnBroker = (overrides: Overrides = {}): Effect.Effect<OwnBroker, BrokerStartError, Scope.Scope> =>
  Effect.gen(function*() {
    const outer = yield* Effect.scope
    const world = yield* makeWorld()
    const network = new TestNetwork(Context.get(world.context, Network))
    const address: Address = { host: "127.0.0.1", port: OWN_PORT }
    const listeners = `PLAINTEXT://${address.host}:${address.port}`
    let running: RunningBroker | undefined
    const start = Effect.gen(function*() {
      const scope = yield* Scope.fork(outer)
      running = yield* Scope.provide(startBroker(world, { listeners, ...overrides }), scope)
      const stop = running.stop
      running = { ...running, stop: Effect.andThen(stop, Scope.close(scope, Exit.void)) }
    })
    const stop = Effect.suspend(() => running!.stop)
    yield* start
    const compression = yield* Layer.build(compressionLayer)
    const ports = Context.merge(compression, Context.make(Network, network.network)).pipe(
      Context.add(Crypto, Context.get(world.context, Crypto))
    )
    return {
      kind: "own",
      bootstrap: `${address.host}:${address.port}`,
      name: uniqueName,
      createTopic: (prefix, options) =>
        createTopicAt(address)(prefix, options).pipe(Effect.provideService(Network, Context.get(world.context, Network))),
      world,
      running: () => running!,
      network,
      ports,
      start,
      stop,
      restart: Effect.andThen(stop, start)
    }
  })

/** A test of ours alone, under TestClock. */
export const testOwnBroker = (title: string, body: (broker: OwnBroker) => Effect.Effect<void, unknown, Ports | Scope.Scope>): void =>
  void it.effect(title, () =>
    Effect.gen(function*() {
      const broker = yield* startOwnBroker()
      yield* Effect.provide(body(broker), broker.ports)
    }).pipe(Effect.scoped))

const external = process.env["OTTLA_TEST_BOOTSTRAP"]

/** The broker that OTTLA_TEST_BOOTSTRAP names, over this runtime's sockets. */
const externalBroker = (bootstrap: string): Effect.Effect<{ readonly broker: TestBroker; readonly ports: Context.Context<Ports> }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const ports = yield* Layer.build(Layer.mergeAll(adapters.networkLayer, compressionLayer, cryptoLayer))
    const [host, port] = [bootstrap.slice(0, bootstrap.lastIndexOf(":")), Number(bootstrap.slice(bootstrap.lastIndexOf(":") + 1))]
    const broker: TestBroker = {
      kind: "external",
      bootstrap,
      name: uniqueName,
      createTopic: (prefix, options) => Effect.provideContext(createTopicAt({ host, port })(prefix, options), ports)
    }
    return { broker, ports }
  })

export interface BrokerTest {
  /** A test with a broker; its client's ports are in the environment, its scope ends with it. */
  (title: string, body: (broker: TestBroker) => Effect.Effect<void, unknown, Ports | Scope.Scope>, timeoutMs?: number): void
}

/** Of one test, in ms; much more than any needs. */
const TEST_TIMEOUT_MS = 60_000

/** Tests that must hold with our broker and with Apache Kafka alike. `overrides` are properties of ours. */
export const overBroker = (name: string, tests: (test: BrokerTest) => void, overrides: Overrides = {}): void => {
  describe(`${name} ${OVER_BROKER}`, () => {
    tests((title, body, timeoutMs = TEST_TIMEOUT_MS) =>
      it.live(title, () =>
        Effect.gen(function*() {
          if (external !== undefined) {
            const { broker, ports } = yield* externalBroker(external)
            yield* Effect.provideContext(body(broker), Context.merge(ports, Context.make(Scope.Scope, yield* Effect.scope)))
            return
          }
          const own = yield* startOwnBroker(overrides)
          yield* Effect.provideContext(body(own), Context.merge(own.ports, Context.make(Scope.Scope, yield* Effect.scope)))
        }).pipe(Effect.scoped), timeoutMs)
    )
  })
}

/** Asks again, every few milliseconds of the real clock, until `condition` holds; the test's own timeout is its limit. */
export const eventually = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  condition: (answer: A) => boolean
): Effect.Effect<A, E, R> => Effect.repeat(ask, { until: condition, schedule: Schedule.spaced(5) })
