/**
 * Submits commands to the MetadataStore and keeps this node's image up to date. Every operation returns after the
 * image has its commit, so a client that was answered finds what it made on this node.
 *
 * A command is decided on an image and committed on condition that the keys it read, and the controller key, have
 * not changed since; otherwise it is decided again on a newer image. An item that was committed is never decided
 * again, so a request that takes several commits answers each item once.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Stream } from "effect/Stream"
import type { TopicId } from "../model/Ids.ts"
import { Crypto } from "../ports/Crypto.ts"
import { MetadataStore } from "../ports/MetadataStore.ts"
import type { MetadataStoreError } from "../ports/MetadataStore.ts"
import { readUuid } from "../protocol/Uuid.ts"
import * as BrokerSession from "./BrokerSession.ts"
import type {
  AlterPartition,
  AlterPartitionResult,
  ConfigResourceChange,
  ConfigResourceReplacement,
  ConfigResult,
  CreatePartitionsResult,
  CreateTopicResult,
  DeleteTopicResult,
  DeleteTopicTarget,
  NewPartitions,
  NewTopic,
  PartitionReassignment,
  PartitionResult,
  ProducerIdBlock,
  RegisterBroker
} from "./Commands.ts"
import { ConfigResourceType, decideAlterConfigs, decideClusterMinIsr, decideIncrementalAlterConfigs } from "./ConfigDecisions.ts"
import type { ConfigDecisionContext } from "./ConfigDecisions.ts"
import { brokerConfigDefs, topicConfigDefs } from "./configs/ConfigDefs.ts"
import { changeOf, put, remove } from "./Decision.ts"
import type { Decided } from "./Decision.ts"
import * as ImageFollower from "./ImageFollower.ts"
import { CLUSTER_KEY, CONTROLLER_KEY, PRODUCER_IDS_KEY } from "./Keys.ts"
import { decideElectLeaders, decidePreferredLeaders } from "./LeaderElections.ts"
import { brokerConfigOf, topicConfigOf } from "./MetadataImage.ts"
import type { BrokerRegistration, MetadataImage } from "./MetadataImage.ts"
import { decideAlterPartition, decideElections } from "./PartitionDecisions.ts"
import type { ElectionResult, PartitionDecisionContext, RequestedChange } from "./PartitionDecisions.ts"
import { decideAlterPartitionReassignments } from "./Reassignments.ts"
import * as Submit from "./Submit.ts"
import { decideCreatePartitions, decideCreateTopics, decideDeleteTopics } from "./TopicDecisions.ts"
import type { TopicDecisionContext } from "./TopicDecisions.ts"

export interface Controller {
  readonly brokerId: number
  /** The current image of this node. */
  readonly image: () => MetadataImage
  /** Calls back, synchronously and in order, after each applied commit. Returns what ends it. */
  readonly onChange: (listener: (image: MetadataImage, previous: MetadataImage) => void) => () => void
  /** The current image and then each new one; a slow reader skips images, never the newest. */
  readonly changes: Stream<MetadataImage>
  readonly createTopics: (
    topics: ReadonlyArray<NewTopic>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect.Effect<ReadonlyArray<CreateTopicResult>, MetadataStoreError>
  readonly deleteTopics: (
    targets: ReadonlyArray<DeleteTopicTarget>
  ) => Effect.Effect<ReadonlyArray<DeleteTopicResult>, MetadataStoreError>
  readonly createPartitions: (
    topics: ReadonlyArray<NewPartitions>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect.Effect<ReadonlyArray<CreatePartitionsResult>, MetadataStoreError>
  readonly incrementalAlterConfigs: (
    resources: ReadonlyArray<ConfigResourceChange>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect.Effect<ReadonlyArray<ConfigResult>, MetadataStoreError>
  readonly alterConfigs: (
    resources: ReadonlyArray<ConfigResourceReplacement>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect.Effect<ReadonlyArray<ConfigResult>, MetadataStoreError>
  /** The next block of 1000 producer ids: no other call, of any broker, ever gets one of them. */
  readonly allocateProducerIds: Effect.Effect<ProducerIdBlock, MetadataStoreError>
  /** Registers this broker, live until the controller's scope ends, and elects leaders where it can lead. */
  readonly registerBroker: (registration: RegisterBroker) => Effect.Effect<BrokerRegistration, MetadataStoreError>
  /** Of the last registration of this process; -1 before. What an older one did is refused by it. */
  readonly brokerEpoch: () => number
  /**
   * Says that this broker is about to stop, and waits until it leads nothing any more: at once where it is fenced. A
   * partition that nobody else can lead has no leader then (KIP-841).
   */
  readonly controlledShutdown: Effect.Effect<void, MetadataStoreError>
  /** These replicas (`replicaName`) of this broker lie in a log directory that failed: others lead. */
  readonly replicasOffline: (names: Iterable<string>) => Effect.Effect<void, MetadataStoreError>
  /** Ends the session at once and for good, for a broker that cannot go on. */
  readonly abandon: Effect.Effect<void>
  /** ISR changes of leaders, each answered in its place; they share commits. */
  readonly alterPartitions: (
    changes: ReadonlyArray<AlterPartition>
  ) => Effect.Effect<ReadonlyArray<AlterPartitionResult>, MetadataStoreError>
  /**
   * Begins, changes or takes back reassignments (KIP-455), each by itself; they go on until the new replicas are in the
   * ISR. `allowReplicationFactorChange` (KIP-860) default true.
   */
  readonly alterPartitionReassignments: (
    reassignments: ReadonlyArray<PartitionReassignment>,
    options?: { readonly allowReplicationFactorChange?: boolean }
  ) => Effect.Effect<ReadonlyArray<PartitionResult>, MetadataStoreError>
  /** Elects leaders, by Kafka's number of the election type (KIP-460). */
  readonly electLeaders: (
    partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
    electionType: number
  ) => Effect.Effect<ReadonlyArray<PartitionResult>, MetadataStoreError>
}
export const Controller: Context.Service<Controller, Controller> = Context.Service("ottla/Controller")

export interface ControllerOptions {
  readonly brokerId: number
  /** Of meta.properties; the store's own cluster id wins, and one is made up when neither is there. */
  readonly clusterId?: string | undefined
  /** `num.partitions` and `default.replication.factor`, asked at each use: they may be changed while running. */
  readonly numPartitions: () => number
  readonly replicationFactor: () => number
  /** `delete.topic.enable`. Default true. */
  readonly deleteTopicEnable?: (() => boolean) | undefined
  /** `min.insync.replicas` of a cluster that starts for the first time; what it has from then on counts. Default 1. */
  readonly minInSyncReplicas?: (() => number) | undefined
  /** `unclean.leader.election.enable` of a topic without an override. Default false. */
  readonly uncleanLeaderElection?: (() => boolean) | undefined
  /** `auto.leader.rebalance.enable` and `leader.imbalance.check.interval.seconds`, here in ms. Default false, 300 s. */
  readonly autoLeaderRebalance?: (() => boolean) | undefined
  readonly leaderImbalanceCheckIntervalMs?: (() => number) | undefined
  /** What is wrong with all the overrides of a topic together; undefined when nothing is. */
  readonly topicConfigError: (configs: ReadonlyMap<string, string>) => string | undefined
  /** The same for a broker's dynamic configuration. `broker` "": the cluster-wide default. */
  readonly brokerConfigError: (configs: ReadonlyMap<string, string>, broker: string) => string | undefined
  /** What a list key has without an override, for APPEND and SUBTRACT; undefined: no list. Default: Kafka's own default. */
  readonly configListDefault?: ((resourceType: number, name: string) => string | undefined) | undefined
  /** After which an unheard-of session is lost. Default 9000 (`broker.session.timeout.ms`). */
  readonly sessionTimeoutMs?: number | undefined
}

/** Producer ids in a block, as in Kafka. */
export const PRODUCER_ID_BLOCK_SIZE = 1000
const DEFAULT_SESSION_TIMEOUT_MS = 9000
const DEFAULT_IMBALANCE_CHECK_MS = 300_000
/** How long what the store refused waits before it is tried again. */
const RETRY_MS = 100

/** 16 random bytes in Kafka's spelling; none begins with '-', which command lines would take for an option. */
export const randomUuid = (crypto: Crypto): string => {
  for (;;) {
    const uuid = readUuid(crypto.randomBytes(16), 0)
    // All but the last bits zero: Kafka keeps these ids for itself.
    if (!uuid.startsWith("-") && !uuid.startsWith("AAAAAAAAAAAAAAAAAAAA")) return uuid
  }
}

/** Does its work for ever; what the store refuses is tried again. */
const persist = (
  what: string,
  effect: Effect.Effect<unknown, MetadataStoreError, Scope.Scope>
): Effect.Effect<never, never, Scope.Scope> =>
  effect.pipe(
    Effect.catch((error) =>
      Effect.andThen(Effect.logWarning(`metadata: ${what}: ${error.message}`), Effect.sleep(RETRY_MS))
    ),
    Effect.forever,
    Effect.tapCause((cause) => Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logFatal(`metadata: ${what}`, cause))
  )

/** Kafka's default of a list; `configListDefault` knows what the brokers' static configuration makes of it. */
const listDefault = (resourceType: number, name: string): string | undefined => {
  const def = (resourceType === ConfigResourceType.TOPIC ? topicConfigDefs : brokerConfigDefs).get(name)
  return def?.type === "list" ? def.default ?? "" : undefined
}

/** The scope ends the session: the broker is fenced and the controller key is free. */
export const make: (
  options: ControllerOptions
) => Effect.Effect<Controller, MetadataStoreError, MetadataStore | Crypto | Scope.Scope> = Effect.fnUntraced(
  function*(options) {
    const store = yield* MetadataStore
    const crypto = yield* Crypto
    const scope = yield* Effect.scope
    const follower = yield* ImageFollower.make(store)
    const image = (): MetadataImage => follower.state.image
    const submitter = Submit.make(store, follower)
    const lock = yield* Semaphore.make(1)

    /** Runs on when its caller is interrupted (a client's timeout): what was begun is finished and known to be. */
    const exclusively = <A>(effect: Effect.Effect<A, MetadataStoreError>): Effect.Effect<A, MetadataStoreError> =>
      Effect.flatMap(Effect.forkIn(lock.withPermits(1)(effect), scope), Fiber.join)

    const configContext: ConfigDecisionContext = {
      topicConfigError: options.topicConfigError,
      brokerConfigError: options.brokerConfigError,
      listDefault: options.configListDefault ?? listDefault
    }
    const partitionContext: PartitionDecisionContext = {
      // Of the image, which decisions are made on, and not of the configuration, which follows it.
      minInSyncReplicas: (topic) =>
        Number(
          topicConfigOf(image(), topic).get("min.insync.replicas") ??
            brokerConfigOf(image(), undefined).get("min.insync.replicas") ?? 1
        ),
      uncleanLeaderElection: (topic) => {
        const own = topicConfigOf(image(), topic).get("unclean.leader.election.enable")
        return own === undefined ? options.uncleanLeaderElection?.() ?? false : own === "true"
      }
    }
    const topicContext = (topicIds: ReadonlyArray<TopicId>): TopicDecisionContext => {
      const seed = crypto.randomBytes(2)
      return {
        numPartitions: options.numPartitions(),
        replicationFactor: options.replicationFactor(),
        deleteTopicEnable: options.deleteTopicEnable?.() ?? true,
        topicIds,
        placementSeed: ((seed[0] ?? 0) << 8) | (seed[1] ?? 0),
        topicConfigError: options.topicConfigError
      }
    }

    // -- the session: who is controller, who is live --------------------------------------------------------------

    const session = yield* BrokerSession.make(store, follower, submitter, {
      brokerId: options.brokerId,
      ttlMs: options.sessionTimeoutMs ?? DEFAULT_SESSION_TIMEOUT_MS
    })

    const isController = (now: MetadataImage): boolean => now.controllerId === options.brokerId

    const campaign = Effect.suspend(() =>
      store.commit(
        [{ key: CONTROLLER_KEY, modRevision: 0 }],
        [put(CONTROLLER_KEY, JSON.stringify({ brokerId: options.brokerId }), session.id())]
      )
    )

    const tellUnclean = (elections: ReadonlyArray<ElectionResult>): Effect.Effect<void> => {
      const unclean = elections.filter((one) => one.unclean)
      if (unclean.length === 0) return Effect.void
      const names = unclean.slice(0, 5).map(({ topic, after }) => `${topic.name}-${after.partition}`).join(", ")
      return Effect.logWarning(
        `${unclean.length} partition(s) are led by a replica that was not stopped cleanly: records that it had not ` +
          `flushed are lost if its machine failed, not if only its process did (${names}${unclean.length > 5 ? ", …" : ""})`
      )
    }

    const tellRequested = (results: ReadonlyArray<RequestedChange>): Effect.Effect<void> =>
      tellUnclean(results.flatMap(({ election }) => election === undefined ? [] : [election]))

    /** What a controller owes the image: leaders where they are due, no keys that nothing counts. */
    const reconcile = Effect.gen(function*() {
      const orphans = follower.state.orphans()
      if (orphans.length > 0) {
        yield* submitter.submit(orphans, (_, keys) =>
          keys.map((key) => ({ result: key, change: changeOf([], [remove(key)]) })))
      }
      // Whoever took over meanwhile does it: what the old one saw is no reason to act any more.
      const elected = yield* submitter.submitAll((now) => isController(now) ? decideElections(now, partitionContext) : [])
      yield* tellUnclean(elected)
    })

    const electionsDue = (now: MetadataImage): boolean => decideElections(now, partitionContext).length > 0

    /** Brokers came or went, or a configuration may allow an unclean election now. */
    const mayElect = (now: MetadataImage, done: MetadataImage | undefined): boolean =>
      now.brokers !== done?.brokers || now.topicConfigs !== done.topicConfigs || now.brokerConfigs !== done.brokerConfigs

    /** Reacts to who is there: campaigns when there is no controller, elects when that may have become possible. */
    const govern = Effect.gen(function*() {
      let done: MetadataImage | undefined
      for (;;) {
        const now = yield* follower.awaitImage((now) =>
          now.controllerId === -1 || (isController(now) && mayElect(now, done))
        )
        if (now.controllerId === -1) {
          const result = yield* campaign
          if (result._tag === "Conflict") yield* submitter.refresh
          else yield* follower.awaitImage((later) => later.revision >= result.revision)
        } else {
          yield* lock.withPermits(1)(reconcile)
          done = now
        }
      }
    })

    /** Gives leadership back to the first replicas, as long as this is the controller; the rest of the time it waits. */
    const balance = Effect.gen(function*() {
      yield* Effect.sleep(options.leaderImbalanceCheckIntervalMs?.() ?? DEFAULT_IMBALANCE_CHECK_MS)
      if (options.autoLeaderRebalance?.() !== true || !isController(image())) return
      const elected = yield* lock.withPermits(1)(
        submitter.submitAll((now) => isController(now) ? decidePreferredLeaders(now, partitionContext) : [])
      )
      if (elected.length > 0) yield* Effect.logInfo(`${elected.length} partition(s) are led by their preferred leader again`)
    })

    const newClusterId = image().clusterId === "" ? options.clusterId ?? randomUuid(crypto) : ""
    const withClusterId = (now: MetadataImage): Decided<undefined> => ({
      result: undefined,
      ...(now.clusterId === "" && {
        change: changeOf(
          [{ key: CLUSTER_KEY, modRevision: 0 }],
          [put(CLUSTER_KEY, JSON.stringify({ clusterId: newClusterId }))]
        )
      })
    })
    const withMinIsr = (now: MetadataImage): Decided<undefined> => decideClusterMinIsr(now, options.minInSyncReplicas?.() ?? 1)
    // What a cluster has from its first start, in one commit.
    yield* submitter.submit([withClusterId, withMinIsr], (now, decisions) => decisions.map((decide) => decide(now)))
    yield* Effect.forkScoped(persist("the session", session.keep))
    yield* Effect.forkScoped(persist("the controller", govern))
    yield* Effect.forkScoped(persist("preferred leaders", balance))
    yield* follower.awaitImage((now) => now.controllerId !== -1)

    const controller: Controller = {
      brokerId: options.brokerId,
      image,
      onChange: follower.onChange,
      changes: follower.changes,
      createTopics: (topics, { validateOnly = false } = {}) =>
        exclusively(Effect.suspend(() => {
          const withIds = topics.map((topic) => ({ topic, id: randomUuid(crypto) as TopicId }))
          return submitter.submit(
            withIds,
            (now, items) =>
              decideCreateTopics(now, items.map(({ topic }) => topic), topicContext(items.map(({ id }) => id))),
            validateOnly
          )
        })),
      deleteTopics: (targets) =>
        exclusively(submitter.submit(targets, (now, items) => decideDeleteTopics(now, items, topicContext([])))),
      createPartitions: (topics, { validateOnly = false } = {}) =>
        exclusively(submitter.submit(
          topics,
          (now, items) => decideCreatePartitions(now, items, topicContext([])),
          validateOnly
        )),
      incrementalAlterConfigs: (resources, { validateOnly = false } = {}) =>
        exclusively(submitter.submit(
          resources,
          (now, items) => decideIncrementalAlterConfigs(now, items, configContext),
          validateOnly
        )),
      alterConfigs: (resources, { validateOnly = false } = {}) =>
        exclusively(submitter.submit(
          resources,
          (now, items) => decideAlterConfigs(now, items, configContext),
          validateOnly
        )),
      allocateProducerIds: exclusively(Effect.map(
        submitter.submit([undefined], (now): ReadonlyArray<Decided<ProducerIdBlock>> => {
          const first = now.nextProducerId
          const value = JSON.stringify({ next: first + PRODUCER_ID_BLOCK_SIZE })
          return [{
            result: { first, count: PRODUCER_ID_BLOCK_SIZE },
            change: changeOf(
              [{ key: PRODUCER_IDS_KEY, modRevision: now.revisions.get(PRODUCER_IDS_KEY) ?? 0 }],
              [put(PRODUCER_IDS_KEY, value)]
            )
          }]
        }),
        ([block]) => block as ProducerIdBlock
      )),
      registerBroker: (request) =>
        Effect.gen(function*() {
          // Not under the lock: it may wait for another session's end, which must be able to elect meanwhile.
          yield* session.register(request)
          const now = yield* follower.awaitImage((now) => now.brokers.get(request.id)?.fenced === false && !electionsDue(now))
          return now.brokers.get(request.id) as BrokerRegistration
        }),
      brokerEpoch: session.brokerEpoch,
      controlledShutdown: session.controlledShutdown,
      replicasOffline: session.replicasOffline,
      abandon: session.abandon,
      alterPartitions: (changes) =>
        exclusively(Effect.map(
          submitter.submit(changes, (now, items) => items.map((change) => decideAlterPartition(now, change, partitionContext))),
          (results) =>
            results.map((result, index) => ({ ...result, topic: image().topicsById.get((changes[index] as AlterPartition).topicId) }))
        )),
      alterPartitionReassignments: (reassignments, { allowReplicationFactorChange = true } = {}) =>
        exclusively(Effect.tap(
          submitter.submit(
            reassignments,
            (now, items) => decideAlterPartitionReassignments(now, items, allowReplicationFactorChange, partitionContext)
          ),
          tellRequested
        )),
      electLeaders: (partitions, electionType) =>
        exclusively(Effect.tap(
          submitter.submit(partitions, (now, items) => decideElectLeaders(now, items, electionType, partitionContext)),
          tellRequested
        ))
    }
    return controller
  }
)
