/**
 * A broker: wires the rooms below it and starts them in order, each in the layer's scope, so that the end of the scope
 * stops them in the opposite order. No module has state: several brokers live in one process.
 *
 * Start: metadata image (the store comes with the layer), log directories locked and loaded, registration with the
 * controller, partitions as the image has them, listeners last.
 * Stop: in a cluster the partitions that it leads get other leaders first (controlled.shutdown.enable), within
 * CONTROLLED_SHUTDOWN_TIMEOUT_MS; then listeners close, requests in flight are answered (long polls at once) within
 * STOP_TIMEOUT_MS, connections end, logs are flushed and marked as cleanly stopped, the session with the controller ends.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Fiber } from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { logConfigFor, replicationConfigFor, validateTopicConfigs } from "../cluster/configs/TopicConfigs.ts"
import { type Controller, make as makeController } from "../cluster/Controller.ts"
import { brokerConfigOf, isActive, type MetadataImage, topicConfigOf } from "../cluster/MetadataImage.ts"
import { Coordinator } from "../coordinator/Coordinator.ts"
import { type GroupRecord, groupRecordCodec } from "../groups/GroupRecords.ts"
import { GroupsState } from "../groups/GroupsState.ts"
import { type InconsistentLogDirectory, type LogManager, make as makeLogManager } from "../log/LogManager.ts"
import { monotonicMs as monotonicMsOf, nowOf } from "../model/Time.ts"
import { Compression } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import type { Disk, DiskError } from "../ports/Disk.ts"
import type { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
import { Network, type NetworkError } from "../ports/Network.ts"
import { FrameBuffers } from "../protocol/FrameBuffers.ts"
import { Partitions } from "../replication/Partitions.ts"
import { Purgatory } from "../replication/Purgatory.ts"
import { ReplicaFetchers } from "../replication/ReplicaFetcher.ts"
import { ReplicationQuota, type ReplicationQuotas } from "../replication/ReplicationQuota.ts"
import { AppendTurn } from "./AppendTurn.ts"
import type { BrokerServices } from "./BrokerServices.ts"
import type { BrokerConfig } from "./config/BrokerConfig.ts"
import type { Endpoint } from "./config/Listeners.ts"
import { MAX_IN_FLIGHT_REQUESTS, MAX_QUEUED_RESPONSE_BYTES } from "./Connection.ts"
import { Connections } from "./Connections.ts"
import { Dispatcher } from "./Dispatcher.ts"
import { FetchSessions } from "./FetchSessions.ts"
import { GroupCoordinators, groupConfigOf, OFFSETS_TOPIC, offsetsCodecOf } from "./GroupCoordinators.ts"
import { makeHandlers } from "./Handlers.ts"
import { IsrChanges } from "./IsrChanges.ts"
import { unsupportedApiVersions } from "./handlers/ApiVersions.ts"
import { RACK_AWARE_SELECTOR } from "./ReplicaSelector.ts"

/** After which the replicas are told again that are offline, when the metadata store could not take it, in milliseconds. */
const STORE_RETRY_MS = 50

/** After which logs are tried again that a full disk refused, in milliseconds. */
const REFUSED_LOGS_RETRY_MS = 1000

/** Requests in flight are given this long when the broker stops, in milliseconds. */
export const STOP_TIMEOUT_MS = 5000

/** A controlled shutdown that takes longer, for want of a metadata store, is given up; as in Kafka, in milliseconds. */
export const CONTROLLED_SHUTDOWN_TIMEOUT_MS: number = 5 * 60_000

/** A broker that runs: it serves from when the service is there until the scope of its layer ends. */
export interface Broker {
  readonly brokerId: number
  readonly clusterId: string
  /** Where it listens, with the ports that were taken, in the order of `listeners`. */
  readonly listeners: ReadonlyArray<Endpoint>
  /** What clients are told, in the order of `advertised.listeners`. */
  readonly advertised: ReadonlyArray<Endpoint>
  /** Of its present registration: another one after a session that was lost. */
  readonly brokerEpoch: number
  /**
   * Done, with the reason, when the broker has given itself up: its last log directory failed. It serves nobody then and
   * its session is over, so that others lead; its host should end it, as Kafka ends its process.
   */
  readonly halted: Effect.Effect<string>
  /** How file slices are sent, for the operator. */
  readonly transfer: string
  /** Everything that handlers work with: for programs that embed a broker, and for tests. */
  readonly services: BrokerServices
  readonly connectionCount: () => number
}
export const Broker: Context.Service<Broker, Broker> = Context.Service("ottla/Broker")

/** A listener asks for what this broker cannot do. */
export class UnsupportedListener extends Error {
  readonly _tag = "UnsupportedListener"
}

/** Why a broker does not start; nothing of it runs then, and its directories are free again. */
export type BrokerStartError =
  | DiskError
  | NetworkError
  | MetadataStoreError
  | InconsistentLogDirectory
  | UnsupportedListener

/** The ports that a broker stands on: `layer` of `ottla/node` has all but the MetadataStore, which `journalLayer` is on disk. */
export type BrokerRequirements = Disk | Network | Compression | Crypto | MetadataStore

export interface BrokerOptions {
  /** Default MAX_IN_FLIGHT_REQUESTS. */
  readonly maxInFlightRequests?: number
  /** Default MAX_QUEUED_RESPONSE_BYTES. */
  readonly maxQueuedResponseBytes?: number
}

type Fork = <A, E>(effect: Effect.Effect<A, E>) => Fiber<A, E>

const startController = (config: BrokerConfig): Effect.Effect<Controller, MetadataStoreError, MetadataStore | Crypto | Scope.Scope> =>
  makeController({
    brokerId: config.nodeId,
    numPartitions: () => config.number("num.partitions"),
    replicationFactor: () => config.number("default.replication.factor"),
    deleteTopicEnable: () => config.boolean("delete.topic.enable"),
    minInSyncReplicas: () => config.number("min.insync.replicas"),
    uncleanLeaderElection: () => config.boolean("unclean.leader.election.enable"),
    autoLeaderRebalance: () => config.boolean("auto.leader.rebalance.enable"),
    leaderImbalanceCheckIntervalMs: () => config.number("leader.imbalance.check.interval.seconds") * 1000,
    topicConfigError: (configs) => validateTopicConfigs(configs, config.texts)[0]?.message,
    brokerConfigError: (configs, broker) => config.dynamicError(configs, broker),
    configListDefault: (type, name) => config.listDefault(type, name),
    sessionTimeoutMs: config.number("broker.session.timeout.ms")
  })

const startPartitions = (
  config: BrokerConfig,
  controller: Controller,
  logManager: LogManager,
  purgatory: Purgatory,
  crypto: Crypto,
  nowMs: () => number,
  monotonicMs: () => number,
  logsRefused: () => void,
  fork: Fork
): Partitions => {
  const isrChanges = new IsrChanges(controller, fork)
  const offline = new Set<string>()
  /** A report that will say all of them is under way or about to begin. */
  let isReporting = false
  /** One line for an outage of the store, however long it lasts. */
  let hasWarned = false
  /** Until the metadata store has it; each later one says them all. */
  const reportOffline: Effect.Effect<void> = Effect.suspend(() => {
    isReporting = false
    return controller.replicasOffline(offline)
  }).pipe(
    Effect.andThen(Effect.sync(() => void (hasWarned = false))),
    Effect.catch((error) => {
      const warning = hasWarned ? Effect.void : Effect.logWarning(`offline replicas wait for the metadata store: ${error.message}`)
      hasWarned = true
      // One that went offline meanwhile has a report of its own.
      if (isReporting) return warning
      isReporting = true
      return Effect.andThen(warning, Effect.andThen(Effect.sleep(STORE_RETRY_MS), Effect.suspend(() => reportOffline)))
    })
  )
  return new Partitions({
    replicaOffline: (name) => {
      offline.add(name)
      // Those of one directory go offline in one turn: one fiber tells them all.
      if (!isReporting) {
        isReporting = true
        fork(Effect.andThen(Effect.yieldNow, Effect.suspend(() => reportOffline)))
      }
    },
    logsRefused,
    brokerId: config.nodeId,
    logManager,
    purgatory,
    crypto,
    nowMs,
    monotonicMs,
    fork: (effect) => void fork(effect),
    configFor: (topic, image) => logConfigFor(topicConfigOf(image, topic), config.texts),
    replicationConfigFor: (topic, image) => replicationConfigFor(topicConfigOf(image, topic), config.texts),
    isrChangeWanted: (partition) => isrChanges.want(partition)
  })
}

const replicationQuota = (config: BrokerConfig, rateKey: string): ReplicationQuota =>
  new ReplicationQuota({
    rate: () => config.number(rateKey),
    windows: config.number("replication.quota.window.num"),
    windowMs: config.number("replication.quota.window.size.seconds") * 1000
  })

/** What replicas are fetched with, and where from: the listener of `inter.broker.listener.name`, else the first in the clear. */
const startFetchers = (
  config: BrokerConfig,
  controller: Controller,
  partitions: Partitions,
  network: Network,
  quota: ReplicationQuota,
  nowMs: () => number,
  fork: Fork
): ReplicaFetchers => {
  const named = config.value("inter.broker.listener.name")
  const listenerName = typeof named === "string" ? named.toUpperCase() : undefined
  return new ReplicaFetchers({
    brokerId: config.nodeId,
    brokerEpoch: controller.brokerEpoch,
    partitions,
    addressOf: (brokerId) => {
      const broker = controller.image().brokers.get(brokerId)
      if (broker === undefined || broker.fenced) return undefined
      return broker.listeners.find(({ name, securityProtocol }) =>
        listenerName === undefined ? securityProtocol === "PLAINTEXT" : name === listenerName
      )
    },
    network,
    quota,
    settings: {
      partitionMaxBytes: config.number("replica.fetch.max.bytes"),
      backoffMs: config.number("replica.fetch.backoff.ms"),
      maxWaitMs: config.number("replica.fetch.wait.max.ms"),
      minBytes: config.number("replica.fetch.min.bytes"),
      maxBytes: config.number("replica.fetch.response.max.bytes"),
      socketTimeoutMs: config.number("replica.socket.timeout.ms")
    },
    nowMs,
    fork
  })
}

/** Other brokers take over what this one leads. Nothing where there are none: then it stops as a broker alone does. */
const controlledShutdown = (config: BrokerConfig, controller: Controller): Effect.Effect<void> =>
  Effect.suspend(() => {
    const others = [...controller.image().brokers.values()].filter((one) => one.id !== config.nodeId && isActive(one))
    if (others.length === 0 || !config.boolean("controlled.shutdown.enable")) return Effect.void
    return controller.controlledShutdown.pipe(
      Effect.timeoutOrElse({
        duration: CONTROLLED_SHUTDOWN_TIMEOUT_MS,
        orElse: () => Effect.logError("controlled shutdown took too long, stopping without: leaders move when the session ends")
      }),
      Effect.catch((error) => Effect.logWarning(`stopping without controlled shutdown: ${error.message}`))
    )
  })

/** `host:count` of max.connections.per.ip.overrides. */
const perIpLimit = (config: BrokerConfig, address: string): number => {
  for (const entry of config.list("max.connections.per.ip.overrides")) {
    const colon = entry.lastIndexOf(":")
    if (entry.slice(0, colon) === address) return Number(entry.slice(colon + 1))
  }
  return config.number("max.connections.per.ip")
}

/** Starts a broker in the scope. */
export const make = (
  config: BrokerConfig,
  options: BrokerOptions = {}
): Effect.Effect<Broker, BrokerStartError, BrokerRequirements | Scope.Scope> =>
  Effect.gen(function*() {
    for (const { name, securityProtocol } of config.listeners) {
      if (securityProtocol !== "PLAINTEXT") {
        return yield* Effect.fail(
          new UnsupportedListener(`listener ${name}: ${securityProtocol} is not served yet, PLAINTEXT is`)
        )
      }
    }
    const network = yield* Network
    const crypto = yield* Crypto
    const compression = yield* Compression
    const clock = yield* Clock.Clock
    const nowMs = (): number => clock.currentTimeMillisUnsafe()
    // A clock that is set must hold up nobody: what waits here waits for time that passes.
    const monotonicMs = (): number => monotonicMsOf(clock)
    const fork: Fork = yield* FiberSet.makeRuntime<never>()

    const controller = yield* startController(config)
    const applyConfigs = (image: MetadataImage): void => {
      for (const line of config.applyDynamic(brokerConfigOf(image, undefined), brokerConfigOf(image, config.nodeId))) {
        fork(Effect.logWarning(line))
      }
    }
    const startedWith = controller.image()
    applyConfigs(startedWith)
    const logManager = yield* makeLogManager({
      logDirs: config.logDirs,
      brokerId: config.nodeId,
      clusterId: controller.image().clusterId,
      config,
      configFor: (topic: string) => logConfigFor(topicConfigOf(controller.image(), topic), config.texts),
      topicIdOf: (topic) => controller.image().topicsByName.get(topic)?.id
    })

    // Before the logs close, which name the registration that the next start goes on from; a start that did not come so
    // far as to register leaves the one before.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (controller.brokerEpoch() >= 0) logManager.setBrokerEpoch(controller.brokerEpoch())
      })
    )

    const purgatory = new Purgatory({ monotonicMs, fork })
    /** Until it stops: no log is made after the clean-shutdown marker. */
    let isFollowing = false
    const retryLogs = Effect.andThen(
      Effect.sleep(REFUSED_LOGS_RETRY_MS),
      Effect.sync(() => {
        if (!isFollowing) return
        partitions.retryRefused()
        followImage(controller.image())
      })
    )
    const logsRefused = (): void => void fork(retryLogs)
    const partitions: Partitions = startPartitions(
      config,
      controller,
      logManager,
      purgatory,
      crypto,
      nowMs,
      monotonicMs,
      logsRefused,
      fork
    )
    const groupConfig = groupConfigOf(config)
    const groups = new GroupCoordinators(
      new Coordinator<GroupsState, GroupRecord>({
        topic: OFFSETS_TOPIC,
        partitions,
        makeState: () => new GroupsState(groupConfig),
        codec: groupRecordCodec,
        crypto,
        compression,
        compressionCodec: offsetsCodecOf(config),
        now: () => nowOf(clock),
        fork,
        commitTimeoutMs: () => config.number("offsets.commit.timeout.ms")
      }),
      config.number("offsets.topic.num.partitions")
    )
    const replicationQuotas: ReplicationQuotas = {
      leader: replicationQuota(config, "leader.replication.throttled.rate"),
      follower: replicationQuota(config, "follower.replication.throttled.rate")
    }
    const fetchers = startFetchers(config, controller, partitions, network, replicationQuotas.follower, monotonicMs, fork)
    const followImage = (image: MetadataImage): void => {
      partitions.applyImage(image)
      fetchers.refresh()
      groups.applyImage(image)
    }
    const applyImage = (image: MetadataImage): void => {
      applyConfigs(image)
      followImage(image)
    }

    const randomInt31 = (): number => {
      const [a = 0, b = 0, c = 0, d = 0] = crypto.randomBytes(4)
      return ((a & 0x7f) << 24) | (b << 16) | (c << 8) | d
    }
    const appendTurn = new AppendTurn()
    const services: BrokerServices = {
      brokerId: config.nodeId,
      clusterId: controller.image().clusterId,
      config,
      controller,
      image: controller.image,
      logManager,
      partitions,
      crypto,
      compression,
      nowMs,
      monotonicMs,
      randomInt31,
      appendTurn,
      fetchSessions: new FetchSessions(() => config.number("max.incremental.fetch.session.cache.slots"), randomInt31),
      groups,
      fetchMaxBytes: () => config.number("fetch.max.bytes"),
      replicationQuotas,
      selectsByRack: config.value("replica.selector.class") === RACK_AWARE_SELECTOR,
      advertisedApis: () => dispatcher.advertised,
      fork: (effect) => void fork(effect)
    }
    const dispatcher: Dispatcher = new Dispatcher(makeHandlers(services), unsupportedApiVersions(services))
    const connections = new Connections({
      host: {
        dispatcher,
        appendTurn,
        limits: {
          maxInFlightRequests: options.maxInFlightRequests ?? MAX_IN_FLIGHT_REQUESTS,
          maxQueuedResponseBytes: options.maxQueuedResponseBytes ?? MAX_QUEUED_RESPONSE_BYTES,
          maxRequestBytes: config.number("socket.request.max.bytes")
        },
        frameBuffers: new FrameBuffers(),
        monotonicMs,
        runFork: fork
      },
      maxConnections: () => config.number("max.connections"),
      maxConnectionsPerIp: (address) => perIpLimit(config, address),
      maxIdleMs: () => config.number("connections.max.idle.ms")
    })

    /** Who waits is answered, nobody else is. */
    const endService = Effect.suspend(() => {
      connections.stop()
      fetchers.close()
      groups.close()
      purgatory.close()
      return connections.awaitEmpty.pipe(
        Effect.timeoutOrElse({ duration: STOP_TIMEOUT_MS, orElse: () => Effect.sync(() => connections.destroyAll()) })
      )
    })
    // Runs after the listeners have closed (finalizers run backwards) and before the logs do.
    yield* Effect.addFinalizer(() => endService)

    // Ports are taken before the registration, which names them; who connects early waits until `open`.
    const bound: Array<Endpoint> = []
    const listening = yield* Scope.fork(yield* Effect.scope)
    for (const endpoint of config.listeners) {
      const { address } = yield* network.listen(
        { host: endpoint.host, port: endpoint.port, backlog: config.number("socket.listen.backlog.size") },
        (connection) => connections.accept(connection, endpoint)
      ).pipe(Scope.provide(listening))
      bound.push({ ...endpoint, port: address.port })
    }
    const advertised = config.advertised(new Map(bound.map(({ name, port }) => [name, port])))
    yield* controller.registerBroker({
      id: config.nodeId,
      rack: config.rack,
      listeners: advertised,
      logDirs: logManager.directories().map(({ id }) => id),
      previousBrokerEpoch: logManager.previousBrokerEpoch
    })
    yield* Effect.acquireRelease(
      // In one turn: an image that came in between would never be followed.
      Effect.sync(() => {
        isFollowing = true
        const image = controller.image()
        if (image.brokerConfigs !== startedWith.brokerConfigs) applyConfigs(image)
        followImage(image)
        return controller.onChange(applyImage)
      }),
      (stop) =>
        Effect.sync(() => {
          isFollowing = false
          stop()
        })
    )
    connections.open()

    yield* Effect.forkScoped(
      Effect.forever(Effect.suspend(() => Effect.sleep(connections.closeIdle())))
    )
    yield* Effect.forkScoped(
      Effect.forever(Effect.andThen(
        Effect.suspend(() => Effect.sleep(config.number("replica.lag.time.max.ms") / 2)),
        Effect.sync(() => {
          const replicaLagTimeMaxMs = config.number("replica.lag.time.max.ms")
          for (const partition of partitions.all()) partition.apply({ _tag: "LagCheck", replicaLagTimeMaxMs })
        })
      ))
    )
    const halted = Deferred.makeUnsafe<string>()
    logManager.onAllOffline((error) => {
      const reason = `no log directory is left: ${error.message}`
      // Nobody is to wait for its leaderships; what waits here is told that the storage failed.
      fork(Effect.logFatal(`broker ${config.nodeId} gives up: ${reason}`).pipe(
        Effect.andThen(controller.abandon),
        Effect.andThen(Scope.close(listening, Exit.void)),
        Effect.andThen(endService),
        Effect.andThen(Deferred.succeed(halted, reason))
      ))
    })
    // The first of what a stop does: everything still works.
    yield* Effect.addFinalizer(() => controlledShutdown(config, controller))
    return {
      brokerId: config.nodeId,
      clusterId: services.clusterId,
      listeners: bound,
      advertised,
      get brokerEpoch() {
        return controller.brokerEpoch()
      },
      halted: Deferred.await(halted),
      transfer: network.transfer,
      services,
      connectionCount: () => connections.count
    }
  })

/**
 * A broker alone, for as long as the layer's scope: recovers its logs, then listens. The end of the scope is an orderly
 * stop: requests under way are answered, files are flushed, the next start needs no recovery.
 */
export const layer = (
  config: BrokerConfig,
  options: BrokerOptions = {}
): Layer.Layer<Broker, BrokerStartError, BrokerRequirements> => Layer.effect(Broker, make(config, options))
