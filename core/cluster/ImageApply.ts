/**
 * Store entries and watch batches to images. Deterministic: the same entries give the same image, whether they
 * were listed, watched one by one, or replayed after a restart.
 */
import type { TopicId, TopicName } from "../model/Ids.ts"
import { invariant } from "../model/Invariant.ts"
import type { Entry, Revision, WatchBatch } from "../ports/MetadataStore.ts"
import { CONTROLLER_KEY, parseKey, partitionKey } from "./Keys.ts"
import type { StoredPartition } from "./Keys.ts"
import { emptyImage, NO_REPLICAS } from "./MetadataImage.ts"
import type { BrokerListener, BrokerRegistration, ConfigMap, MetadataImage, PartitionImage, TopicImage } from "./MetadataImage.ts"

interface TopicKey {
  readonly id: TopicId
  readonly partitions: number
  readonly modRevision: Revision
}

interface StoredBroker {
  readonly rack: string | null
  readonly listeners: ReadonlyArray<BrokerListener>
  readonly logDirs: ReadonlyArray<string>
  /** False: `uncleanEpoch` is the epoch of this registration. */
  readonly cleanStart: boolean
  /** Left out: never. */
  readonly uncleanEpoch?: number
}

const decodeBroker = ({ modRevision, value }: Entry): Omit<StoredBroker, "cleanStart"> & { readonly epoch: number; readonly uncleanEpoch: number } => {
  const { cleanStart, uncleanEpoch = -1, ...stored } = JSON.parse(value) as StoredBroker
  return { ...stored, epoch: modRevision, uncleanEpoch: cleanStart ? uncleanEpoch : modRevision }
}

/** Left out: false, none. */
export interface StoredLife {
  /** Whose it is: a broker whose commit's answer got lost finds that it is registered. */
  readonly session?: string
  readonly shuttingDown?: true
  readonly offline?: ReadonlyArray<string>
}

type Life = Pick<BrokerRegistration, "session" | "inControlledShutdown" | "offlineReplicas">
const NO_LIFE: Life = { session: "", inControlledShutdown: false, offlineReplicas: NO_REPLICAS }

const decodeLife = (value: string): Life => {
  const { offline, session = "", shuttingDown = false } = JSON.parse(value) as StoredLife
  return { session, inControlledShutdown: shuttingDown, offlineReplicas: offline === undefined ? NO_REPLICAS : new Set(offline) }
}

const NONE: ReadonlyArray<number> = []

const decodePartition = (partition: number, entry: Entry): PartitionImage => {
  const stored = JSON.parse(entry.value) as StoredPartition
  return {
    partition,
    leader: stored.leader,
    leaderEpoch: stored.leaderEpoch,
    partitionEpoch: stored.partitionEpoch,
    replicas: stored.replicas,
    isr: stored.isr,
    elr: stored.elr ?? NONE,
    lastKnownElr: stored.lastKnownElr ?? NONE,
    addingReplicas: stored.addingReplicas ?? NONE,
    removingReplicas: stored.removingReplicas ?? NONE,
    modRevision: entry.modRevision
  }
}

const decodeConfigs = (value: string): ConfigMap => new Map(Object.entries(JSON.parse(value) as Record<string, string>))

/** A copy of a map made at its first change, so that a batch copies only what it touches. */
class Draft<K, V> {
  private readonly before: ReadonlyMap<K, V>
  private copy: Map<K, V> | undefined
  constructor(before: ReadonlyMap<K, V>) {
    this.before = before
  }
  get current(): ReadonlyMap<K, V> {
    return this.copy ?? this.before
  }
  /** Undefined removes. */
  set(key: K, value: V | undefined): void {
    if (value === undefined && !this.current.has(key)) return
    this.copy ??= new Map(this.before)
    if (value === undefined) this.copy.delete(key)
    else this.copy.set(key, value)
  }
}

/** Owns what an image cannot show: partition keys that no topic counts (yet, or any more). */
export class ImageState {
  image: MetadataImage = emptyImage
  /** Every partition key, by topic id, then index. */
  private partitions = new Map<string, Map<number, PartitionImage>>()
  private topics = new Map<string, TopicKey>()
  /** When ELRs were cleared, by topic name, "" for all of them. */
  private clearedElr = new Map<string, Revision>()
  /** Brokers with a session, and what they say of themselves. */
  private live = new Map<number, Life>()

  /** Starts over from a listing. */
  reset(revision: Revision, entries: ReadonlyArray<Entry>): MetadataImage {
    this.image = emptyImage
    this.partitions = new Map()
    this.topics = new Map()
    this.clearedElr = new Map()
    this.live = new Map()
    return this.apply({ revision, events: entries.map((entry) => ({ _tag: "Put" as const, entry })) })
  }

  /** Applies one commit; one that the image has already is nothing. */
  apply(batch: WatchBatch): MetadataImage {
    const before = this.image
    if (batch.revision <= before.revision) return before
    const brokers = new Draft<number, BrokerRegistration>(before.brokers)
    const topicConfigs = new Draft<string, ConfigMap>(before.topicConfigs)
    const brokerConfigs = new Draft<string, ConfigMap>(before.brokerConfigs)
    const revisions = new Draft<string, Revision>(before.revisions)
    /** Topics to build again, by name and by id. */
    const dirtyNames = new Set<string>()
    const dirtyIds = new Set<string>()
    let { clusterId, controllerId, nextProducerId } = before

    for (const event of batch.events) {
      const entry = event._tag === "Put" ? event.entry : undefined
      const key = event._tag === "Put" ? event.entry.key : event.key
      const parsed = parseKey(key)
      switch (parsed?._tag) {
        case "Partition": {
          let ofTopic = this.partitions.get(parsed.topicId)
          if (entry !== undefined) {
            if (ofTopic === undefined) this.partitions.set(parsed.topicId, ofTopic = new Map())
            ofTopic.set(parsed.partition, decodePartition(parsed.partition, entry))
          } else if (ofTopic !== undefined) {
            ofTopic.delete(parsed.partition)
            if (ofTopic.size === 0) this.partitions.delete(parsed.topicId)
          }
          dirtyIds.add(parsed.topicId)
          break
        }
        case "Topic": {
          if (entry === undefined) this.topics.delete(parsed.name)
          else {
            const value = JSON.parse(entry.value) as { readonly id: TopicId; readonly partitions: number }
            this.topics.set(parsed.name, { id: value.id, partitions: value.partitions, modRevision: entry.modRevision })
          }
          dirtyNames.add(parsed.name)
          break
        }
        case "TopicConfig":
          topicConfigs.set(parsed.name, entry && decodeConfigs(entry.value))
          revisions.set(key, entry?.modRevision)
          break
        case "ClearedElr":
          if (entry === undefined) this.clearedElr.delete(parsed.name)
          else this.clearedElr.set(parsed.name, entry.modRevision)
          revisions.set(key, entry?.modRevision)
          if (parsed.name !== "") dirtyNames.add(parsed.name)
          else for (const name of this.topics.keys()) dirtyNames.add(name)
          break
        case "BrokerConfig":
          brokerConfigs.set(parsed.name, entry && decodeConfigs(entry.value))
          revisions.set(key, entry?.modRevision)
          break
        case "Broker":
          brokers.set(
            parsed.id,
            entry && {
              id: parsed.id,
              ...decodeBroker(entry),
              fenced: !this.live.has(parsed.id),
              ...(this.live.get(parsed.id) ?? NO_LIFE)
            }
          )
          break
        case "Live":
          if (entry === undefined) this.live.delete(parsed.id)
          else this.live.set(parsed.id, decodeLife(entry.value))
          revisions.set(key, entry?.modRevision)
          break
        case "Cluster":
          clusterId = entry === undefined ? "" : (JSON.parse(entry.value) as { readonly clusterId: string }).clusterId
          revisions.set(key, entry?.modRevision)
          break
        case "Controller":
          controllerId = entry === undefined ? -1 : (JSON.parse(entry.value) as { readonly brokerId: number }).brokerId
          revisions.set(key, entry?.modRevision)
          break
        case "ProducerIds":
          nextProducerId = entry === undefined ? 0 : (JSON.parse(entry.value) as { readonly next: number }).next
          revisions.set(key, entry?.modRevision)
          break
        case undefined:
          break
      }
    }

    // A registration and its session's key may come in either order within a commit.
    for (const [id, broker] of brokers.current) {
      const fenced = !this.live.has(id)
      const life = this.live.get(id) ?? NO_LIFE
      if (
        broker.fenced !== fenced || broker.session !== life.session || broker.inControlledShutdown !== life.inControlledShutdown ||
        broker.offlineReplicas !== life.offlineReplicas
      ) brokers.set(id, { ...broker, fenced, ...life })
    }

    const topicsByName = new Draft<string, TopicImage>(before.topicsByName)
    const topicsById = new Draft<string, TopicImage>(before.topicsById)
    for (const id of dirtyIds) {
      const topic = topicsById.current.get(id)
      if (topic !== undefined) dirtyNames.add(topic.name)
    }
    for (const name of dirtyNames) {
      const old = before.topicsByName.get(name)
      const topic = this.buildTopic(name)
      if (old !== undefined && old.id !== topic?.id) topicsById.set(old.id, undefined)
      topicsByName.set(name, topic)
      if (topic !== undefined) topicsById.set(topic.id, topic)
    }

    this.image = {
      revision: batch.revision,
      clusterId,
      controllerId,
      brokers: brokers.current,
      topicsByName: topicsByName.current,
      topicsById: topicsById.current,
      topicConfigs: topicConfigs.current,
      brokerConfigs: brokerConfigs.current,
      nextProducerId,
      revisions: revisions.current
    }
    return this.image
  }

  private buildTopic(name: string): TopicImage | undefined {
    const key = this.topics.get(name)
    if (key === undefined) return undefined
    const ofTopic = this.partitions.get(key.id)
    const cleared = Math.max(this.clearedElr.get(name) ?? 0, this.clearedElr.get("") ?? 0)
    const partitions: Array<PartitionImage> = []
    for (let index = 0; index < key.partitions; index++) {
      const partition = ofTopic?.get(index)
      invariant(partition !== undefined, `topic ${name} (${key.id}) counts ${key.partitions} partitions but ${index} has no key`)
      // Without anybody in the ISR nothing is committed under the new min ISR: who was eligible has all of it still.
      const isVoid = partition.modRevision < cleared && partition.isr.length > 0 && partition.elr.length + partition.lastKnownElr.length > 0
      partitions.push(isVoid ? { ...partition, elr: NONE, lastKnownElr: NONE } : partition)
    }
    return { name: name as TopicName, id: key.id, partitions, modRevision: key.modRevision }
  }

  /**
   * Partition keys that no topic counts and never will: what a creation or deletion left that was interrupted before
   * the present controller took over. Newer ones may belong to a creation that is under way; older ones cannot,
   * since a commit that counts them compares the controller key.
   */
  orphans(): ReadonlyArray<string> {
    const keys: Array<string> = []
    const since = this.image.revisions.get(CONTROLLER_KEY) ?? 0
    for (const [topicId, ofTopic] of this.partitions) {
      const counted = this.image.topicsById.get(topicId)?.partitions.length ?? 0
      for (const [index, { modRevision }] of ofTopic) {
        if (index >= counted && modRevision < since) keys.push(partitionKey(topicId, index))
      }
    }
    return keys
  }
}
