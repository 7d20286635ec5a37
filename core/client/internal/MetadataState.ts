/**
 * What a client knows of a cluster and which topics it cares for, without I/O or clock. `plan` says what to ask for,
 * `apply` makes the next view of an answer.
 *
 * Bound: a topic that nobody asked for or looked at within TOPIC_IDLE_MS is forgotten with the next full refresh.
 */
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import type { MetadataResponse, MetadataResponseMetadataResponseTopic } from "../../protocol/generated/Metadata.ts"
import type { ClusterView, Node, PartitionView, TopicView } from "../ClusterView.ts"

/** A topic whose answer names a partition beyond is not believed. */
const MAX_PARTITIONS = 1_000_000

/** Kafka's `metadata.max.idle.ms`. */
const TOPIC_IDLE_MS: number = 5 * 60 * 1000

export interface LeaderHint {
  readonly topic: string
  readonly partition: number
  readonly leader: number
  readonly leaderEpoch: number
  /** Where the leader is, when the hint tells (KIP-951). */
  readonly node?: Node
}

interface Interest {
  autoCreate: boolean
  isTouched: boolean
  lastUsedMs: number
}

/** Names to ask for with one request. */
export interface MetadataQuestion {
  /** Null: all topics of the cluster. */
  readonly names: ReadonlyArray<string> | null
  readonly autoCreate: boolean
}

export const emptyView: ClusterView = {
  version: 0,
  clusterId: null,
  controllerId: -1,
  nodes: new Map(),
  topics: new Map()
}

/**
 * A topic of an answer; partitions of `known` that are newer stay.
 * @returns undefined when no sane broker answers so
 */
export const topicView = (
  answer: MetadataResponseMetadataResponseTopic,
  name: string,
  known: TopicView | undefined
): TopicView | undefined => {
  const before = known !== undefined && known.id === answer.topicId ? known.partitions : []
  const partitions: Array<PartitionView> = []
  for (const { isrNodes, leaderEpoch, leaderId, offlineReplicas, partitionIndex, replicaNodes } of answer.partitions) {
    if (partitionIndex < 0 || partitionIndex > MAX_PARTITIONS) return undefined
    const old = before[partitionIndex]
    // A broker that lags behind tells of an older leader: what is known is newer (KIP-320).
    partitions[partitionIndex] = old !== undefined && leaderEpoch >= 0 && old.leaderEpoch > leaderEpoch ? old : {
      partition: partitionIndex,
      leader: leaderId,
      leaderEpoch,
      replicas: replicaNodes,
      isr: isrNodes,
      offlineReplicas
    }
  }
  for (let partition = 0; partition < partitions.length; partition++) {
    // Left out of an answer: it exists and nothing is known of it.
    partitions[partition] ??= { partition, leader: -1, leaderEpoch: -1, replicas: [], isr: [], offlineReplicas: [] }
  }
  return { name, id: answer.topicId, isInternal: answer.isInternal, partitions }
}

export class MetadataState {
  #view: ClusterView = emptyView
  #interests: Map<string, Interest> = new Map()
  /** When all topics of interest were last answered; undefined: never. */
  #fullMs: number | undefined

  get view(): ClusterView {
    return this.#view
  }

  get fullMs(): number | undefined {
    return this.#fullMs
  }

  want(names: ReadonlyArray<string>, autoCreate: boolean, nowMs: number): void {
    for (const name of names) {
      const interest = this.#interests.get(name)
      if (interest === undefined) this.#interests.set(name, { autoCreate, isTouched: false, lastUsedMs: nowMs })
      else {
        interest.lastUsedMs = nowMs
        interest.autoCreate = autoCreate
      }
    }
  }

  /** A topic that is known; the look counts as use. */
  topic(name: string): TopicView | undefined {
    const topic = this.#view.topics.get(name)
    if (topic === undefined) return undefined
    const interest = this.#interests.get(name)
    if (interest !== undefined) interest.isTouched = true
    return topic
  }

  /** Questions about these names; about every topic of interest with `isFull`. There is always one: it tells the nodes. */
  plan(names: Iterable<string>, isFull: boolean, nowMs: number): ReadonlyArray<MetadataQuestion> {
    if (isFull) this.#forgetIdle(nowMs)
    const asked = new Set(names)
    if (isFull) for (const name of this.#interests.keys()) asked.add(name)
    const create: Array<string> = []
    const leave: Array<string> = []
    for (const name of asked) (this.#interests.get(name)?.autoCreate === true ? create : leave).push(name)
    const questions: Array<MetadataQuestion> = []
    if (create.length > 0) questions.push({ names: create, autoCreate: true })
    if (leave.length > 0 || create.length === 0) questions.push({ names: leave, autoCreate: false })
    return questions
  }

  #forgetIdle(nowMs: number): void {
    for (const [name, interest] of this.#interests) {
      if (interest.isTouched) {
        interest.isTouched = false
        interest.lastUsedMs = nowMs
      } else if (nowMs - interest.lastUsedMs > TOPIC_IDLE_MS) this.#interests.delete(name)
    }
  }

  /** @returns topics that have an error instead of a view, by name */
  apply(
    question: MetadataQuestion,
    answer: MetadataResponse
  ): { readonly errors: ReadonlyMap<string, number>; readonly topics: ReadonlyMap<string, TopicView> } {
    const nodes = new Map(answer.brokers.map(({ host, nodeId, port, rack }) => [nodeId, { id: nodeId, host, port, rack }]))
    const errors = new Map<string, number>()
    const topics = new Map<string, TopicView>()
    const kept = new Map(question.names === null ? [] : this.#view.topics)
    for (const name of question.names ?? []) kept.delete(name)
    for (const topic of answer.topics) {
      const name = topic.name
      if (name === null) continue
      // LEADER_NOT_AVAILABLE comes with a topic that is being created.
      if (topic.errorCode !== ErrorCode.NONE) errors.set(name, topic.errorCode)
      else if (topic.partitions.length === 0) errors.set(name, ErrorCode.LEADER_NOT_AVAILABLE)
      else {
        const view = topicView(topic, name, this.#view.topics.get(name))
        if (view === undefined) {
          errors.set(name, ErrorCode.UNKNOWN_SERVER_ERROR)
          continue
        }
        topics.set(name, view)
        if (this.#interests.has(name)) kept.set(name, view)
      }
    }
    for (const name of kept.keys()) if (!this.#interests.has(name)) kept.delete(name)
    this.#view = {
      version: this.#view.version + 1,
      clusterId: answer.clusterId,
      controllerId: answer.controllerId,
      nodes,
      topics: kept
    }
    return { errors, topics }
  }

  /** Every topic of interest was answered. */
  markFull(nowMs: number): void {
    this.#fullMs = nowMs
  }

  /** @returns whether the view changed: the hint is newer than what is known, and its leader has an address */
  hint({ leader, leaderEpoch, node, partition, topic }: LeaderHint): boolean {
    const known = this.#view.topics.get(topic)
    const old = known?.partitions[partition]
    if (known === undefined || old === undefined || leader < 0 || leaderEpoch <= old.leaderEpoch) return false
    if (node === undefined && !this.#view.nodes.has(leader)) return false
    const nodes = node === undefined ? this.#view.nodes : new Map(this.#view.nodes).set(leader, node)
    const partitions = known.partitions.with(partition, { ...old, leader, leaderEpoch })
    const topics = new Map(this.#view.topics).set(topic, { ...known, partitions })
    this.#view = { ...this.#view, version: this.#view.version + 1, nodes, topics }
    return true
  }
}
