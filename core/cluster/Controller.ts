/**
 * Submits commands to the MetadataStore and keeps this node's image up to date. Every operation returns after the
 * image has its commit, so a client that was answered finds what it made on this node.
 */
import * as Context from "effect/Context"
import type { Effect } from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Stream } from "effect/Stream"
import type { Crypto } from "../ports/Crypto.ts"
import type { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
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
  ProducerIdBlock,
  RegisterBroker
} from "./Commands.ts"
import type { BrokerRegistration, MetadataImage } from "./MetadataImage.ts"

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
  ) => Effect<ReadonlyArray<CreateTopicResult>, MetadataStoreError>
  readonly deleteTopics: (
    targets: ReadonlyArray<DeleteTopicTarget>
  ) => Effect<ReadonlyArray<DeleteTopicResult>, MetadataStoreError>
  readonly createPartitions: (
    topics: ReadonlyArray<NewPartitions>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect<ReadonlyArray<CreatePartitionsResult>, MetadataStoreError>
  readonly incrementalAlterConfigs: (
    resources: ReadonlyArray<ConfigResourceChange>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect<ReadonlyArray<ConfigResult>, MetadataStoreError>
  readonly alterConfigs: (
    resources: ReadonlyArray<ConfigResourceReplacement>,
    options?: { readonly validateOnly?: boolean }
  ) => Effect<ReadonlyArray<ConfigResult>, MetadataStoreError>
  /** The next block of 1000 producer ids: no other call, of any broker, ever gets one of them. */
  readonly allocateProducerIds: Effect<ProducerIdBlock, MetadataStoreError>
  /** Registers this broker, live until the controller's scope ends, and elects leaders where it can lead. */
  readonly registerBroker: (registration: RegisterBroker) => Effect<BrokerRegistration, MetadataStoreError>
  readonly alterPartition: (change: AlterPartition) => Effect<AlterPartitionResult, MetadataStoreError>
}
export const Controller: Context.Service<Controller, Controller> = Context.Service("ottla/Controller")

export interface ControllerOptions {
  readonly brokerId: number
  /** Of meta.properties; the store's own cluster id wins, and one is made up when neither is there. */
  readonly clusterId?: string
  /** `num.partitions` and `default.replication.factor`, asked at each use: they may be changed while running. */
  readonly numPartitions: () => number
  readonly replicationFactor: () => number
  /** `delete.topic.enable`. Default true. */
  readonly deleteTopicEnable?: () => boolean
  /** What is wrong with all the overrides of a topic together; undefined when nothing is. */
  readonly topicConfigError: (configs: ReadonlyMap<string, string>) => string | undefined
  /** The same for a broker's dynamic configuration. `broker` "": the cluster-wide default. */
  readonly brokerConfigError: (configs: ReadonlyMap<string, string>, broker: string) => string | undefined
  /** After which an unheard-of session is lost. Default 9000 (`broker.session.timeout.ms`). */
  readonly sessionTimeoutMs?: number
}

/** The type of `make`; its scope ends the session: the broker is fenced and the controller key is free. */
export type MakeController = (
  options: ControllerOptions
) => Effect<Controller, MetadataStoreError, MetadataStore | Crypto | Scope>
