/**
 * Several brokers in one process that are one cluster: each has its own listeners and directories, they share the
 * journal of the metadata. One of them can be killed and started again while the others serve.
 *
 *   LOG_DIR/__ottla_metadata   the journal, in the first of `log.dirs`; its lock keeps other processes out
 *   LOG_DIR/broker1 …          a broker's own directory, laid out as Kafka's
 *
 * With the process all brokers end: this is a cluster to learn, develop and test with, not one that outlives a machine.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Journal from "../cluster/JournalMetadataStore.ts"
import type { MetadataImage } from "../cluster/MetadataImage.ts"
import { InconsistentLogDirectory } from "../log/LogManager.ts"
import { attempt } from "../log/TextFile.ts"
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { Disk, type DiskError } from "../ports/Disk.ts"
import { MetadataStore, type MetadataStoreError } from "../ports/MetadataStore.ts"
import type { Network } from "../ports/Network.ts"
import type { Broker, BrokerStartError } from "./Broker.ts"
import * as BrokerProcess from "./BrokerProcess.ts"
import { type ClusterConfig, idOfBrokerDirectory } from "./config/ClusterConfig.ts"
import type { Endpoint } from "./config/Listeners.ts"

/** `failed`: its last start did not succeed, or it gave itself up (`Broker.halted`). */
export type BrokerStatus = "starting" | "running" | "stopping" | "stopped" | "killed" | "failed"

export interface BrokerDescription {
  readonly id: number
  readonly status: BrokerStatus
  /** What clients are told; of its last run while it does not run. */
  readonly advertised: ReadonlyArray<Endpoint>
  /** Of its registration; -1 before the first. */
  readonly epoch: number
  /** Whether the cluster waits for it no longer: its session is over. A killed broker is not fenced at once. */
  readonly fenced: boolean
  /** Partitions that it leads, that it has a replica of, and those among them whose ISR it is not in. */
  readonly leads: number
  readonly replicas: number
  readonly outOfSync: number
}

export interface ClusterDescription {
  readonly clusterId: string
  /** -1: there is none at the moment. */
  readonly controllerId: number
  readonly brokers: ReadonlyArray<BrokerDescription>
  readonly partitions: number
  readonly withoutLeader: number
}

/** What was asked for does not fit what the broker is doing; the message says what would. */
export class ClusterRefusal extends Error {
  readonly _tag = "ClusterRefusal"
}

export type ClusterStartError = BrokerStartError | MetadataStoreError | DiskError | InconsistentLogDirectory

/** Brokers of one process that are one cluster: they share a journal of metadata, and each can end and start by itself. */
export interface LocalCluster {
  readonly ids: ReadonlyArray<number>
  /** Brokers that run, by id. */
  readonly running: () => ReadonlyArray<Broker>
  /** As the broker with the newest metadata sees it; the last that was seen when none runs. */
  readonly describe: () => ClusterDescription
  /** Starts a broker that was killed or stopped, on the ports that it had. */
  readonly start: (id: number) => Effect.Effect<Broker, ClusterRefusal | ClusterStartError>
  /** A clean stop, as by SIGTERM. */
  readonly stop: (id: number) => Effect.Effect<void, ClusterRefusal>
  /** The end of a broker in the middle of whatever it does, as by SIGKILL. Its session ends at once unless the options leave it to expire. */
  readonly kill: (id: number, options?: BrokerProcess.KillOptions) => Effect.Effect<void, ClusterRefusal>
}
export const LocalCluster: Context.Service<LocalCluster, LocalCluster> = Context.Service("ottla/LocalCluster")

/** One broker over its runs. */
interface Member {
  readonly id: number
  status: BrokerStatus
  live: BrokerProcess.BrokerProcess | undefined
  /** By listener, as first taken. */
  ports: ReadonlyMap<string, number>
  advertised: ReadonlyArray<Endpoint>
}

/** Ids of the brokers that have a directory in this one. @throws DiskError */
export const brokersIn = (disk: Disk, logDir: string): ReadonlyArray<number> =>
  disk.stat(logDir)?.kind !== "directory" ? [] : disk.list(logDir).flatMap((name) => {
    const id = idOfBrokerDirectory(name)
    return id !== undefined && disk.stat(`${logDir}/${name}`)?.kind === "directory" ? [id] : []
  })

/** Directories that are not this cluster's are refused before anything is changed in them. */
const refuseForeign = (disk: Disk, { ids, logDirs }: ClusterConfig): Effect.Effect<void, DiskError | InconsistentLogDirectory> =>
  Effect.flatMap(
    attempt(() => {
      for (const logDir of logDirs) {
        if (disk.stat(`${logDir}/meta.properties`) !== undefined) {
          return new InconsistentLogDirectory(logDir, "it holds the data of a single broker, several brokers take a directory of their own")
        }
        const highest = Math.max(0, ...brokersIn(disk, logDir))
        if (highest > ids.length) {
          return new InconsistentLogDirectory(logDir, `it holds a cluster of ${highest} brokers, start all of them with --brokers ${highest} (they can be stopped or killed one by one)`)
        }
      }
      return undefined
    }),
    (refusal) => refusal === undefined ? Effect.void : Effect.fail(refusal)
  )

/** A broker ends itself when its last log directory fails. */
const statusOf = ({ live, status }: Member): BrokerStatus => status === "running" && live?.isRunning() !== true ? "failed" : status

const describeBroker = (member: Member, image: MetadataImage | undefined): BrokerDescription => {
  const registration = image?.brokers.get(member.id)
  const counts = { leads: 0, replicas: 0, outOfSync: 0 }
  for (const { partitions } of image?.topicsById.values() ?? []) {
    for (const { isr, leader, replicas } of partitions) {
      if (!replicas.includes(member.id)) continue
      counts.replicas++
      if (leader === member.id) counts.leads++
      if (!isr.includes(member.id)) counts.outOfSync++
    }
  }
  return {
    id: member.id,
    status: statusOf(member),
    advertised: member.advertised,
    epoch: registration?.epoch ?? -1,
    fenced: registration?.fenced ?? true,
    ...counts
  }
}

const describe = (members: Iterable<Member>, image: MetadataImage | undefined): ClusterDescription => {
  const partitions = [...image?.topicsById.values() ?? []].flatMap((topic) => topic.partitions)
  return {
    clusterId: image?.clusterId ?? "",
    controllerId: image?.controllerId ?? -1,
    brokers: Array.from(members, (member) => describeBroker(member, image)),
    partitions: partitions.length,
    withoutLeader: partitions.filter(({ leader }) => leader === -1).length
  }
}

const portsOf = (broker: Broker): ReadonlyMap<string, number> => new Map(broker.listeners.map(({ name, port }) => [name, port]))

type Requirements = Disk | Network | Compression | Crypto

/** Starts the journal and all brokers; the scope's end stops them cleanly, all at the same time. */
export const make = (
  config: ClusterConfig
): Effect.Effect<LocalCluster, ClusterStartError, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const disk = yield* Disk
    yield* refuseForeign(disk, config)
    const store = yield* Journal.make({ directory: `${config.logDirs[0]}/${Journal.METADATA_DIRECTORY}` })
    const context = Context.add(yield* Effect.context<Requirements>(), MetadataStore, store)

    const members = new Map<number, Member>(
      config.ids.map((id) => [id, { id, status: "stopped", live: undefined, ports: new Map(), advertised: [] }])
    )
    const memberOf = (id: number): Effect.Effect<Member, ClusterRefusal> => {
      const member = members.get(id)
      return member === undefined
        ? Effect.fail(new ClusterRefusal(`there is no broker ${id}; there are ${config.ids.join(", ")}`))
        : Effect.succeed(member)
    }
    const runningProcess = (member: Member, todo: string): Effect.Effect<BrokerProcess.BrokerProcess, ClusterRefusal> =>
      statusOf(member) === "running" && member.live !== undefined
        ? Effect.succeed(member.live)
        : Effect.fail(new ClusterRefusal(`broker ${member.id} is ${statusOf(member)}, only one that is running can be ${todo}`))

    // What killed brokers leave (a session that is to time out) ends after all have been stopped.
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    yield* Effect.addFinalizer(() =>
      Effect.forEach(members.values(), ({ live }) => live?.stop ?? Effect.void, { concurrency: "unbounded", discard: true })
    )

    let lastImage: MetadataImage | undefined
    const image = (): MetadataImage | undefined => {
      for (const member of members.values()) {
        const seen = statusOf(member) === "running" ? member.live?.broker.services.image() : undefined
        if (seen !== undefined && seen.revision >= (lastImage?.revision ?? -1)) lastImage = seen
      }
      return lastImage
    }

    const run = (member: Member): Effect.Effect<Broker, BrokerStartError> =>
      Effect.suspend(() => {
        member.status = "starting"
        return BrokerProcess.start(config.broker(member.id, member.ports)).pipe(
          Effect.annotateLogs({ broker: member.id }),
          Effect.provideContext(context),
          Scope.provide(scope)
        )
      }).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            member.status = Exit.isSuccess(exit) ? "running" : "failed"
          })
        ),
        Effect.map((started) => {
          const { broker } = started
          member.live = started
          member.ports = portsOf(broker)
          member.advertised = broker.advertised
          return broker
        })
      )

    // At once, so that a replica is not missed only because its broker is the last to start.
    yield* Effect.forEach(members.values(), run, { concurrency: "unbounded", discard: true })

    return {
      ids: config.ids,
      running: () =>
        [...members.values()].flatMap((member) => statusOf(member) === "running" && member.live !== undefined ? [member.live.broker] : []),
      describe: () => describe(members.values(), image()),
      start: (id) =>
        Effect.gen(function*() {
          const member = yield* memberOf(id)
          const status = statusOf(member)
          if (status === "killed" || status === "stopped" || status === "failed") return yield* run(member)
          return yield* Effect.fail(new ClusterRefusal(`broker ${id} is ${status} already`))
        }),
      stop: (id) =>
        Effect.gen(function*() {
          const member = yield* memberOf(id)
          const its = yield* runningProcess(member, "stopped")
          image()
          member.status = "stopping"
          yield* its.stop
          member.status = "stopped"
        }),
      kill: (id, options) =>
        Effect.gen(function*() {
          const member = yield* memberOf(id)
          const its = yield* runningProcess(member, "killed")
          image()
          member.status = "stopping"
          yield* its.kill(options)
          member.status = "killed"
        })
    }
  })

/** Starts all brokers, and stops those that run, in order, when the scope of the layer ends. */
export const layer = (config: ClusterConfig): Layer.Layer<LocalCluster, ClusterStartError, Requirements> =>
  Layer.effect(LocalCluster, make(config))
