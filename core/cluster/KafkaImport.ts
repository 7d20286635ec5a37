/**
 * The first start on a data directory of Kafka: takes over the topics (with their ids, partitions, leader epochs and
 * configurations), the brokers' dynamic configurations, the producer ids and the cluster id that its metadata log
 * holds. The partitions' own files are Kafka's already, and stay.
 *
 * For a broker that was alone (process.roles=broker,controller) and stopped cleanly. Done once: a store with a cluster
 * id is never imported into. Kafka's metadata log is read and left as it is; there is no way back once topics change.
 * Left out, and named in a warning: ACLs, SCRAM credentials, quotas, delegation tokens, configurations of groups and
 * client metrics. Feature levels and broker registrations mean nothing here.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto } from "../ports/Crypto.ts"
import { Disk, DiskError } from "../ports/Disk.ts"
import { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
import type { Operation } from "../ports/MetadataStore.ts"
import { decodeClearElrRecord } from "../protocol/generated/records/ClearElrRecord.ts"
import { decodeConfigRecord } from "../protocol/generated/records/ConfigRecord.ts"
import { decodePartitionChangeRecord } from "../protocol/generated/records/PartitionChangeRecord.ts"
import { decodePartitionRecord } from "../protocol/generated/records/PartitionRecord.ts"
import { decodeProducerIdsRecord } from "../protocol/generated/records/ProducerIdsRecord.ts"
import { decodeRemoveTopicRecord } from "../protocol/generated/records/RemoveTopicRecord.ts"
import { decodeTopicRecord } from "../protocol/generated/records/TopicRecord.ts"
import { toSafe } from "../protocol/Int64.ts"
import { ConfigResourceType } from "./ConfigDecisions.ts"
import { put } from "./Decision.ts"
import { make as makeJournal } from "./JournalMetadataStore.ts"
import type { JournalOptions } from "./JournalMetadataStore.ts"
import { METADATA_LOG_DIRECTORY, readMetadataLog } from "./KafkaMetadataLog.ts"
import type { MetadataRecord } from "./KafkaMetadataLog.ts"
import {
  brokerConfigKey,
  CLUSTER_KEY,
  configValue,
  partitionKey,
  partitionValue,
  PREFIX,
  PRODUCER_IDS_KEY,
  topicConfigKey,
  topicKey,
  topicValue
} from "./Keys.ts"
import type { PartitionImage } from "./MetadataImage.ts"

export interface KafkaImportOptions {
  /** `log.dirs`; the metadata log is in one of them. */
  readonly logDirs: ReadonlyArray<string>
  /** This broker's `node.id`: the one that all replicas must be on. */
  readonly nodeId: number
}

/** What was imported, for the operator. */
export interface KafkaImportSummary {
  readonly directory: string
  readonly clusterId: string
  readonly topics: number
  readonly partitions: number
}

type ImportedPartition = Omit<PartitionImage, "modRevision">

/** Kafka's metadata as its records build it up. */
export class KafkaMetadata {
  readonly topics: Map<string, { readonly name: string; readonly partitions: Map<number, ImportedPartition> }> = new Map()
  /** By `type/name` of the resource. */
  readonly configs: Map<string, Map<string, string>> = new Map()
  nextProducerId = 0
  /** Names of record types that mean something in Kafka and are lost here, with their number. */
  readonly passedOver: Map<string, number> = new Map()

  private topic(id: string, where: string): { readonly name: string; readonly partitions: Map<number, ImportedPartition> } {
    const topic = this.topics.get(id)
    if (topic === undefined) throw new MetadataStoreError("Corrupt", `${where}: no topic has the id ${id}`)
    return topic
  }

  /** Applies a record. @throws ProtocolError, MetadataStoreError */
  apply({ reader, type, version, where }: MetadataRecord): void {
    const known = RECORD_TYPES.get(type)
    if (known === undefined) throw new MetadataStoreError("Corrupt", `${where}: unknown record type ${type}`)
    const [name, treatment] = known
    if (treatment === "lost") this.passedOver.set(name, (this.passedOver.get(name) ?? 0) + 1)
    if (typeof treatment === "string") return
    if (version > treatment) {
      throw new MetadataStoreError("Corrupt", `${where}: version ${version} of ${name}, of a newer Kafka than 4.3`)
    }
    switch (name) {
      case "TopicRecord": {
        const record = decodeTopicRecord(reader, version)
        this.topics.set(record.topicId, { name: record.name, partitions: new Map() })
        break
      }
      case "PartitionRecord": {
        const record = decodePartitionRecord(reader, version)
        this.topic(record.topicId, where).partitions.set(record.partitionId, {
          partition: record.partitionId,
          leader: record.leader,
          leaderEpoch: record.leaderEpoch,
          partitionEpoch: record.partitionEpoch,
          replicas: record.replicas,
          isr: record.isr,
          elr: record.eligibleLeaderReplicas ?? [],
          lastKnownElr: record.lastKnownElr ?? [],
          addingReplicas: record.addingReplicas,
          removingReplicas: record.removingReplicas
        })
        break
      }
      case "PartitionChangeRecord": {
        const record = decodePartitionChangeRecord(reader, version)
        const { partitions } = this.topic(record.topicId, where)
        const old = partitions.get(record.partitionId)
        if (old === undefined) {
          throw new MetadataStoreError("Corrupt", `${where}: topic ${record.topicId} has no partition ${record.partitionId}`)
        }
        const NO_LEADER_CHANGE = -2
        const led = record.leader !== NO_LEADER_CHANGE
        partitions.set(record.partitionId, {
          ...old,
          leader: led ? record.leader : old.leader,
          leaderEpoch: led ? old.leaderEpoch + 1 : old.leaderEpoch,
          partitionEpoch: old.partitionEpoch + 1,
          replicas: record.replicas ?? old.replicas,
          isr: record.isr ?? old.isr,
          elr: record.eligibleLeaderReplicas ?? old.elr,
          lastKnownElr: record.lastKnownElr ?? old.lastKnownElr,
          addingReplicas: record.addingReplicas ?? old.addingReplicas,
          removingReplicas: record.removingReplicas ?? old.removingReplicas
        })
        break
      }
      case "RemoveTopicRecord": {
        const { topicId } = decodeRemoveTopicRecord(reader, version)
        this.configs.delete(`${ConfigResourceType.TOPIC}/${this.topic(topicId, where).name}`)
        this.topics.delete(topicId)
        break
      }
      case "ConfigRecord": {
        const { name, resourceName, resourceType, value } = decodeConfigRecord(reader, version)
        const resource = `${resourceType}/${resourceName}`
        const configs = this.configs.get(resource) ?? new Map<string, string>()
        if (value === null) configs.delete(name)
        else configs.set(name, value)
        if (configs.size === 0) this.configs.delete(resource)
        else this.configs.set(resource, configs)
        break
      }
      case "ProducerIdsRecord": {
        const next = toSafe(decodeProducerIdsRecord(reader, version).nextProducerId)
        if (next === undefined) throw new MetadataStoreError("Corrupt", `${where}: a producer id beyond 2^53`)
        this.nextProducerId = next
        break
      }
      case "ClearElrRecord": {
        const { topicName } = decodeClearElrRecord(reader, version)
        for (const topic of this.topics.values()) {
          if (topicName !== "" && topicName !== topic.name) continue
          for (const [id, one] of topic.partitions) topic.partitions.set(id, { ...one, elr: [], lastKnownElr: [] })
        }
        break
      }
    }
  }

  /**
   * The same as keys of the store. @throws MetadataStoreError where replicas are on other brokers, whose data is not here
   */
  operations(nodeId: number, clusterId: string): ReadonlyArray<Operation> {
    const operations: Array<Operation> = []
    for (const [id, { name, partitions }] of this.topics) {
      for (let index = 0; index < partitions.size; index++) {
        const partition = partitions.get(index)
        if (partition === undefined) throw new MetadataStoreError("Corrupt", `topic ${name} has no partition ${index}`)
        const elsewhere = partition.replicas.filter((replica) => replica !== nodeId)
        if (elsewhere.length > 0) {
          throw new MetadataStoreError(
            "Corrupt",
            `${name}-${index} has replicas on broker(s) ${elsewhere.join(", ")}: only the data of a Kafka broker that ` +
              `was alone, with node.id=${nodeId} as configured here, can be taken over`
          )
        }
        operations.push(put(partitionKey(id, index), partitionValue(partition)))
      }
      operations.push(put(topicKey(name), topicValue(id, partitions.size)))
    }
    for (const [resource, configs] of this.configs) {
      const slash = resource.indexOf("/")
      const type = Number(resource.slice(0, slash))
      const name = resource.slice(slash + 1)
      if (type === ConfigResourceType.TOPIC) operations.push(put(topicConfigKey(name), configValue(configs)))
      else if (type === ConfigResourceType.BROKER) operations.push(put(brokerConfigKey(name), configValue(configs)))
      else this.passedOver.set(`configurations of resource type ${type}`, 1)
    }
    operations.push(put(PRODUCER_IDS_KEY, JSON.stringify({ next: this.nextProducerId })))
    // Last: the key that says that the import is done.
    operations.push(put(CLUSTER_KEY, JSON.stringify({ clusterId })))
    return operations
  }
}

/** A number: applied, up to that version. `ignored`: means nothing here. `lost`: is named in the warning. */
type Treatment = number | "ignored" | "lost"

const RECORD_TYPES: ReadonlyMap<number, readonly [name: string, Treatment]> = new Map([
  [0, ["RegisterBrokerRecord", "ignored"]],
  [1, ["UnregisterBrokerRecord", "ignored"]],
  [2, ["TopicRecord", 0]],
  [3, ["PartitionRecord", 2]],
  [4, ["ConfigRecord", 0]],
  [5, ["PartitionChangeRecord", 2]],
  [7, ["FenceBrokerRecord", "ignored"]],
  [8, ["UnfenceBrokerRecord", "ignored"]],
  [9, ["RemoveTopicRecord", 0]],
  [10, ["DelegationTokenRecord", "lost"]],
  [11, ["UserScramCredentialRecord", "lost"]],
  [12, ["FeatureLevelRecord", "ignored"]],
  [14, ["ClientQuotaRecord", "lost"]],
  [15, ["ProducerIdsRecord", 0]],
  [17, ["BrokerRegistrationChangeRecord", "ignored"]],
  [18, ["AccessControlEntryRecord", "lost"]],
  [19, ["RemoveAccessControlEntryRecord", "ignored"]],
  [20, ["NoOpRecord", "ignored"]],
  [21, ["ZkMigrationStateRecord", "ignored"]],
  [22, ["RemoveUserScramCredentialRecord", "ignored"]],
  [26, ["RemoveDelegationTokenRecord", "ignored"]],
  [27, ["RegisterControllerRecord", "ignored"]],
  [28, ["ClearElrRecord", 0]]
])

/** A key of a `meta.properties`; undefined when there is none. @throws DiskError */
const metaProperty = (disk: Disk, logDir: string, key: string): string | undefined => {
  const path = `${logDir}/meta.properties`
  if (disk.stat(path) === undefined) return undefined
  const file = disk.open(path, "read")
  try {
    const bytes = new Uint8Array(file.size())
    const text = new TextDecoder("utf-8").decode(bytes.subarray(0, file.read(bytes, 0)))
    const line = text.split(/\r?\n/).find((line) => line.startsWith(`${key}=`))
    return line?.slice(key.length + 1).trim()
  } finally {
    file.close()
  }
}

/** The clusterId of the directories' meta.properties. @throws DiskError */
const clusterIdOf = (disk: Disk, logDirs: ReadonlyArray<string>): string | undefined => {
  for (const logDir of logDirs) {
    const id = metaProperty(disk, logDir, "cluster.id")
    if (id !== undefined) return id
  }
  return undefined
}

const read = (disk: Disk, crypto: Crypto, options: KafkaImportOptions): Plan | undefined => {
  const clusterId = clusterIdOf(disk, options.logDirs)
  if (clusterId === undefined) return undefined
  const logDir = options.logDirs.find((logDir) => disk.stat(`${logDir}/${METADATA_LOG_DIRECTORY}`) !== undefined)
  if (logDir === undefined) {
    const operations = [put(CLUSTER_KEY, JSON.stringify({ clusterId }))]
    return { operations, passedOver: [], summary: undefined }
  }
  const directory = `${logDir}/${METADATA_LOG_DIRECTORY}`
  const metadata = new KafkaMetadata()
  readMetadataLog(disk, crypto, directory, (record) => metadata.apply(record))
  const operations = metadata.operations(options.nodeId, clusterId)
  let partitions = 0
  for (const topic of metadata.topics.values()) partitions += topic.partitions.size
  return {
    operations,
    passedOver: [...metadata.passedOver].map(([name, count]) => `${name} (${count})`),
    summary: { directory, clusterId, topics: metadata.topics.size, partitions }
  }
}

interface Plan {
  readonly operations: ReadonlyArray<Operation>
  readonly passedOver: ReadonlyArray<string>
  readonly summary: KafkaImportSummary | undefined
}

/**
 * Imports what there is into a store that has no cluster yet; nothing otherwise. A crash in between leaves a store
 * without a cluster id: the next start imports the same again. A directory without a metadata log (formatted, or
 * whose journal was lost) still gives its cluster id.
 */
export const importKafka: (
  store: MetadataStore,
  options: KafkaImportOptions
) => Effect.Effect<KafkaImportSummary | undefined, MetadataStoreError, Disk | Crypto> = Effect.fnUntraced(
  function*(store, options) {
    const disk = yield* Disk
    const crypto = yield* Crypto
    const { entries } = yield* store.list(PREFIX)
    if (entries.some(({ key }) => key === CLUSTER_KEY)) return undefined
    const plan = yield* Effect.suspend(() => {
      try {
        return Effect.succeed(read(disk, crypto, options))
      } catch (error) {
        if (error instanceof MetadataStoreError) return Effect.fail(error)
        if (error instanceof DiskError) return Effect.fail(new MetadataStoreError("Unavailable", error.message))
        throw error
      }
    })
    if (plan === undefined) return undefined
    for (let at = 0; at < plan.operations.length; at += store.maxOperations) {
      yield* store.commit([], plan.operations.slice(at, at + store.maxOperations))
    }
    if (plan.summary !== undefined) {
      const { directory, partitions, topics } = plan.summary
      yield* Effect.logInfo(`took over ${topics} topic(s) with ${partitions} partition(s) from Kafka's ${directory}`)
    }
    if (plan.passedOver.length > 0) {
      yield* Effect.logWarning(`of Kafka's metadata these are not taken over: ${plan.passedOver.join(", ")}`)
    }
    return plan.summary
  }
)

/** The journal of a broker, which on a first start takes over what Kafka left in its log directories. */
export const layer = (
  options: JournalOptions & KafkaImportOptions
): Layer.Layer<MetadataStore, MetadataStoreError | DiskError, Disk | Crypto> =>
  Layer.effect(MetadataStore, Effect.tap(makeJournal(options), (store) => importKafka(store, options)))
