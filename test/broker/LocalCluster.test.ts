/** Several brokers on one journal: what outlives one of them, and all of them. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import * as Broker from "../../core/broker/Broker.ts"
import { BrokerConfigError } from "../../core/broker/config/BrokerConfig.ts"
import { loadCluster } from "../../core/broker/config/ClusterConfig.ts"
import { type ClusterStartError, type LocalCluster, make } from "../../core/broker/LocalCluster.ts"
import { journalLayer } from "../../core/broker/Standalone.ts"
import { Disk } from "../../core/ports/Disk.ts"
import { Network } from "../../core/ports/Network.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import { until, withTime } from "../replication/TestCluster.ts"
import { makeWorld, testConfig, TestClient, type World } from "./TestBroker.ts"

const config = (size: number, overrides: Readonly<Record<string, string>> = {}) => {
  const loaded = loadCluster({ overrides: Object.entries({ listeners: "PLAINTEXT://127.0.0.1:0", "log.dirs": "/data", ...overrides }) }, size)
  if (loaded instanceof BrokerConfigError) throw loaded
  return loaded
}

interface Running {
  readonly cluster: LocalCluster
  readonly stop: Effect.Effect<void>
}

const hostOf = (world: World) => Layer.mergeAll(Layer.succeedContext(world.context), Layer.succeed(Disk, world.disk.disk), compressionLayer)

/** In a scope of its own, which ends with the test's at the latest. */
const start = (world: World, size = 3, overrides: Readonly<Record<string, string>> = {}): Effect.Effect<Running, ClusterStartError, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const cluster = yield* withTime(make(config(size, overrides)).pipe(
      Scope.provide(scope),
      Effect.provide(hostOf(world)),
      Effect.provideService(References.MinimumLogLevel, "None")
    ))
    return { cluster, stop: withTime(Scope.close(scope, Exit.void)) }
  })

const client = (world: World, cluster: LocalCluster, id: number) =>
  Effect.gen(function*() {
    const { host, port } = cluster.describe().brokers[id - 1]!.advertised[0]!
    const rpc = yield* RpcConnection.connect({ host, port }, { clientId: "test" }).pipe(
      Effect.provideService(Network, Context.get(world.context, Network))
    )
    return new TestClient(rpc)
  })

const partition = (cluster: LocalCluster) => cluster.running()[0]!.services.image().topicsByName.get("t")!.partitions[0]!
const isrIs = (cluster: LocalCluster, ...isr: ReadonlyArray<number>) =>
  until(`the ISR is ${isr}`, () => [...partition(cluster).isr].sort().join() === isr.join())
const broker = (cluster: LocalCluster, id: number) => cluster.describe().brokers[id - 1]!

const createTopic = (world: World, cluster: LocalCluster) =>
  Effect.gen(function*() {
    const { errorCode } = yield* withTime((yield* client(world, cluster, 1)).createTopic("t", 1, {}, 3))
    expect(errorCode).toBe(ErrorCode.NONE)
    yield* until("replicas", () => cluster.running().every(({ services }) => services.partitions.get("t", 0) !== undefined))
  })

const produce = (world: World, cluster: LocalCluster, value: string) =>
  Effect.gen(function*() {
    const { errorCode } = yield* withTime((yield* client(world, cluster, partition(cluster).leader)).produce("t", [value]))
    expect(errorCode).toBe(ErrorCode.NONE)
  })

const readAll = (world: World, cluster: LocalCluster) =>
  Effect.gen(function*() {
    const { services } = cluster.running().find(({ brokerId }) => brokerId === partition(cluster).leader)!
    const leading = services.partitions.get("t", 0)!
    yield* until("all is committed", () => leading.highWatermark === leading.logEndOffset)
    return yield* withTime((yield* client(world, cluster, partition(cluster).leader)).readAll("t"))
  })

const refusal = (effect: Effect.Effect<unknown, { readonly message: string }>): Effect.Effect<string> =>
  Effect.map(Effect.flip(Effect.asVoid(effect)).pipe(Effect.orDie), ({ message }) => message)

describe("A cluster in one process", () => {
  it.effect("goes on when a broker is killed, fences it when its session is over, and takes it back on its port", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const { cluster } = yield* start(world)
      expect(cluster.running().map(({ brokerId }) => brokerId)).toEqual([1, 2, 3])
      yield* createTopic(world, cluster)
      yield* produce(world, cluster, "a")
      const victim = partition(cluster).leader
      const { port } = broker(cluster, victim).advertised[0]!
      expect(broker(cluster, victim)).toMatchObject({ status: "running", fenced: false, leads: 1, replicas: 1, outOfSync: 0 })

      yield* withTime(cluster.kill(victim, { session: "expires" }))
      expect(broker(cluster, victim)).toMatchObject({ status: "killed", fenced: false, leads: 1 })
      expect(cluster.running()).toHaveLength(2)
      yield* until("fenced", () => broker(cluster, victim).fenced)
      yield* until("another leader", () => partition(cluster).leader !== victim && partition(cluster).leader !== -1)
      yield* produce(world, cluster, "b")
      expect(broker(cluster, victim)).toMatchObject({ leads: 0, replicas: 1, outOfSync: 1 })

      yield* withTime(cluster.start(victim))
      expect(broker(cluster, victim)).toMatchObject({ status: "running", fenced: false })
      expect(broker(cluster, victim).advertised[0]!.port).toBe(port)
      yield* isrIs(cluster, 1, 2, 3)
      expect(yield* readAll(world, cluster)).toEqual(["a", "b"])
    }))

  it.effect("starts again from its directories: after a clean stop of all, and after all were killed at once", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const first = yield* start(world)
      yield* createTopic(world, first.cluster)
      yield* produce(world, first.cluster, "a")
      const { clusterId } = first.cluster.describe()
      yield* first.stop

      const second = yield* start(world)
      expect(second.cluster.describe().clusterId).toBe(clusterId)
      yield* isrIs(second.cluster, 1, 2, 3)
      // what a kill of the process is for its brokers; the journal's own end is the finalizer's, which writes nothing more
      yield* produce(world, second.cluster, "b")
      for (const id of second.cluster.ids) yield* withTime(second.cluster.kill(id, { session: "expires" }))
      expect(second.cluster.describe().brokers.map(({ status }) => status)).toEqual(["killed", "killed", "killed"])
      expect(second.cluster.describe()).toMatchObject({ clusterId, partitions: 1 })
      yield* second.stop

      const third = yield* start(world)
      yield* isrIs(third.cluster, 1, 2, 3)
      expect(yield* readAll(world, third.cluster)).toEqual(["a", "b"])
    }))

  it.effect("can be made larger, not smaller, and is no single broker's, nor the other way round", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      yield* (yield* start(world, 2)).stop
      const grown = yield* start(world, 3)
      yield* createTopic(world, grown.cluster)
      yield* isrIs(grown.cluster, 1, 2, 3)
      yield* grown.stop

      expect(yield* refusal(Effect.scoped(start(world, 2)))).toBe(
        "log directory /data: it holds a cluster of 3 brokers, start all of them with --brokers 3 (they can be stopped or killed one by one)"
      )
      const alone = (logDirs: string) => {
        const one = testConfig({ "log.dirs": logDirs })
        return Effect.scoped(withTime(Layer.build(Broker.layer(one).pipe(Layer.provide(journalLayer(one)), Layer.provide(hostOf(world)))))).pipe(
          Effect.provideService(References.MinimumLogLevel, "None")
        )
      }
      expect(yield* refusal(alone("/data"))).toBe("log directory /data: it holds a cluster of 3 brokers, start it with --brokers 3")
      expect(yield* refusal(alone("/data/broker2"))).toBe("log directory /data/broker2: it is a broker's of the cluster in /data, which starts as a whole")
      yield* alone("/single")
      expect(yield* refusal(Effect.scoped(start(world, 3, { "log.dirs": "/single" })))).toContain(
        "log directory /single: it holds the data of a single broker"
      )
    }))

  it.effect("shows a broker as failed that gave itself up with its disk, and can start it again", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const { cluster } = yield* start(world, 3, { "log.flush.interval.messages": "1" })
      yield* createTopic(world, cluster)
      const victim = partition(cluster).leader
      world.disk.failWhen((operation, path) => operation === "sync" && path.startsWith(`/data/broker${victim}/`) ? "Io" : undefined)
      const refused = yield* withTime((yield* client(world, cluster, victim)).produce("t", ["a"]))
      expect(refused.errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      yield* until("failed", () => broker(cluster, victim).status === "failed")
      expect(cluster.running()).toHaveLength(2)
      expect(yield* refusal(cluster.kill(victim))).toBe(`broker ${victim} is failed, only one that is running can be killed`)
      yield* until("another leader", () => ![-1, victim].includes(partition(cluster).leader))
      yield* produce(world, cluster, "b")
      world.disk.failWhen(undefined)
      yield* withTime(cluster.start(victim))
      yield* isrIs(cluster, 1, 2, 3)
      // what was refused may have reached a follower that leads now
      expect((yield* readAll(world, cluster)).at(-1)).toBe("b")
    }))

  it.effect("refuses what does not fit what a broker is doing", () =>
    Effect.gen(function*() {
      const { cluster } = yield* start(yield* makeWorld(), 2)
      expect(yield* refusal(cluster.kill(3))).toBe("there is no broker 3; there are 1, 2")
      expect(yield* refusal(cluster.start(1))).toBe("broker 1 is running already")
      yield* withTime(cluster.stop(1))
      expect(yield* refusal(cluster.stop(1))).toBe("broker 1 is stopped, only one that is running can be stopped")
      expect(yield* refusal(cluster.kill(1))).toBe("broker 1 is stopped, only one that is running can be killed")
      yield* withTime(cluster.kill(2))
      expect(yield* refusal(cluster.kill(2))).toBe("broker 2 is killed, only one that is running can be killed")
      yield* withTime(cluster.start(2))
      yield* withTime(cluster.start(1))
      expect(cluster.describe().brokers.map(({ status }) => status)).toEqual(["running", "running"])
    }))
})
