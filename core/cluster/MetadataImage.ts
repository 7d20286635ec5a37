/**
 * All metadata of the cluster at one revision of the store: immutable, so a handler that took an image keeps a
 * consistent view for as long as it likes. Built by ImageApply.ts from the store's entries and nothing else.
 */
import type { TopicId, TopicName } from "../model/Ids.ts"
import type { Revision } from "../ports/MetadataStore.ts"

export interface BrokerListener {
  /** As in `listeners`: a connection's listener name picks the endpoint that it is told. */
  readonly name: string
  readonly host: string
  readonly port: number
  /** PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. */
  readonly securityProtocol: string
}

export interface BrokerRegistration {
  readonly id: number
  /** Grows with each registration: the revision of the commit that registered it. Fences what an older process sends. */
  readonly epoch: number
  readonly rack: string | null
  /** The addresses advertised to clients, in the order of `advertised.listeners`. */
  readonly listeners: ReadonlyArray<BrokerListener>
  /** Directory ids (meta.properties `directory.id`), Kafka's 22 characters. */
  readonly logDirs: ReadonlyArray<string>
  /**
   * With which epoch it last registered after an unclean stop (no clean-shutdown marker of its registration before that); -1: never.
   * It may lack what it had before, in every partition that did not change since: later registrations change nothing
   * of that, so they carry it on.
   */
  readonly uncleanEpoch: number
  /** A fenced broker is registered, leads nothing and is not told to clients: its session is gone. */
  readonly fenced: boolean
  /** The session that it lives by; "" when it is fenced. */
  readonly session: string
  /** It is about to stop: it leads nothing and joins no ISR any more, and still answers. */
  readonly inControlledShutdown: boolean
  /** Its replicas (`replicaName`) that lie in a log directory that failed: they lead nothing and are in no ISR. */
  readonly offlineReplicas: ReadonlySet<string>
}

export const NO_REPLICAS: ReadonlySet<string> = new Set()

/** A partition, as brokers name those of their replicas that are offline. */
export const replicaName = (topicId: string, partition: number): string => `${topicId}/${partition}`

/** It stopped uncleanly since the partition last changed: if it counts for that partition, it must not any more. */
export const restartedUnclean = ({ brokers }: MetadataImage, id: number, { modRevision }: PartitionImage): boolean =>
  (brokers.get(id)?.uncleanEpoch ?? -1) > modRevision

/** May lead, be in an ISR and be given replicas: its session lives, and it does not want to stop. */
export const isActive = (broker: Pick<BrokerRegistration, "fenced" | "inControlledShutdown"> | undefined): boolean =>
  broker !== undefined && !broker.fenced && !broker.inControlledShutdown

export interface PartitionImage {
  readonly partition: number
  /** -1: none. */
  readonly leader: number
  readonly leaderEpoch: number
  readonly partitionEpoch: number
  /** In the order of preference; the first is the preferred leader. */
  readonly replicas: ReadonlyArray<number>
  readonly isr: ReadonlyArray<number>
  /** Eligible leader replicas, and who was last known when both ISR and ELR ran empty (KIP-966). */
  readonly elr: ReadonlyArray<number>
  readonly lastKnownElr: ReadonlyArray<number>
  readonly addingReplicas: ReadonlyArray<number>
  readonly removingReplicas: ReadonlyArray<number>
  /** Of the partition's key: what a leader's commit compares. */
  readonly modRevision: Revision
}

export interface TopicImage {
  readonly name: TopicName
  readonly id: TopicId
  /** By partition index, without gaps. */
  readonly partitions: ReadonlyArray<PartitionImage>
  /** Of the topic's key. */
  readonly modRevision: Revision
}

export type ConfigMap = ReadonlyMap<string, string>

export interface MetadataImage {
  readonly revision: Revision
  /** "" until the cluster has an id. */
  readonly clusterId: string
  /** -1: nobody holds the controller key. */
  readonly controllerId: number
  readonly brokers: ReadonlyMap<number, BrokerRegistration>
  readonly topicsByName: ReadonlyMap<string, TopicImage>
  readonly topicsById: ReadonlyMap<string, TopicImage>
  /** Overrides by topic name; a topic without any has no entry. */
  readonly topicConfigs: ReadonlyMap<string, ConfigMap>
  /** Dynamic broker configuration by node id in decimal; "" is the cluster-wide default. */
  readonly brokerConfigs: ReadonlyMap<string, ConfigMap>
  /** First producer id that no block has. */
  readonly nextProducerId: number
  /** modRevision by key, of the keys that carry no revision above: controller, cluster, configs, producer ids. */
  readonly revisions: ReadonlyMap<string, Revision>
}

export const EMPTY_CONFIG: ConfigMap = new Map()

export const emptyImage: MetadataImage = {
  revision: 0,
  clusterId: "",
  controllerId: -1,
  brokers: new Map(),
  topicsByName: new Map(),
  topicsById: new Map(),
  topicConfigs: new Map(),
  brokerConfigs: new Map(),
  nextProducerId: 0,
  revisions: new Map()
}

/** A partition of an image, by topic name. */
export const partitionOf = (image: MetadataImage, topic: string, partition: number): PartitionImage | undefined =>
  image.topicsByName.get(topic)?.partitions[partition]

export const topicConfigOf = (image: MetadataImage, topic: string): ConfigMap =>
  image.topicConfigs.get(topic) ?? EMPTY_CONFIG

/** `broker` undefined: the cluster-wide default. */
export const brokerConfigOf = (image: MetadataImage, broker: number | undefined): ConfigMap =>
  image.brokerConfigs.get(broker === undefined ? "" : String(broker)) ?? EMPTY_CONFIG
