/**
 * Fetch, versions 4-18. Record batches from an offset on, as slices of the log's files.
 *
 * Answered at once when minBytes are there, when maxWaitMs is 0, when any partition has an error, a diverging epoch or
 * another replica to read from,
 * or when nothing is asked for; else it waits in the purgatory for bytes or its time. The first partition with records
 * gives at least one batch, however large; then partitions share what is left of the response's bytes.
 *  - KIP-98: read_committed stops at the last stable offset and gets the aborted transactions in offset order
 *  - KIP-227 (7): incremental sessions (FetchSessions.ts)
 *  - KIP-320 (9): leader epochs are checked; KIP-595 (12): last fetched epoch, answered with where histories part
 *  - KIP-392 (11): followers serve consumers too, up to the high watermark that they know; a leader sends a consumer
 *    that names its rack to a replica there, if replica.selector.class says so (ReplicaSelector.ts)
 *  - KIP-516 (13): topics by id; KIP-951 (16): where the leader is, when it is another
 *  - By replicas: reads to the log end, and tells the leader what the replica has. KIP-903 (15): a fetch of a broker's
 *    earlier life is refused. Answered at once too when the replica was not told the present high watermark yet.
 *  - Replicas outside the ISR are held to leader.replication.throttled.rate where the topic says so (ReplicationQuota.ts):
 *    above it they are given no records, but everything else
 * Left out: KRaft's snapshot id.
 */
import { isActive } from "../../cluster/MetadataImage.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeFetchRequest, type FetchRequest } from "../../protocol/generated/Fetch.ts"
import { toSafe } from "../../protocol/Int64.ts"
import type { FetchIsolation, Partition } from "../../replication/Partition.ts"
import { DelayedOperation, type Watchers } from "../../replication/Purgatory.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type FetchPartition, type FetchSession, FINAL_EPOCH, INITIAL_EPOCH, nextEpoch, partitionKey } from "../FetchSessions.ts"
import { NO_PREFERENCE, selectByRack } from "../ReplicaSelector.ts"
import { type Handler, Later, type Reply, type RequestContext, type Response } from "../Handler.ts"
import { encodeFetch, encodeFetchError, encodeFetchFailure, type FetchedPartition } from "./FetchAnswer.ts"
import { absentError } from "./Leaders.ts"

/** From this version consumers say where they are, and may read from followers. */
const FOLLOWER_READS_FROM = 11
/** From this version topics are named by id. */
const TOPIC_IDS_FROM = 13

/** One request's partitions, and the session that they are part of. */
interface FetchContext {
  readonly partitions: ReadonlyArray<FetchPartition>
  /** Of an incremental request. */
  readonly session: FetchSession | undefined
  /** A full request that asks for a session: made with the response. */
  readonly wantsSession: boolean
}

/** What a request asks for, in its order. */
const requestedPartitions = (request: FetchRequest, byId: boolean): Array<FetchPartition> => {
  const partitions: Array<FetchPartition> = []
  for (const topic of request.topics) {
    for (const p of topic.partitions) {
      partitions.push({
        topic: byId ? null : topic.topic,
        topicId: topic.topicId,
        partition: p.partition,
        // An offset past 2^53 is out of every log's range.
        fetchOffset: toSafe(p.fetchOffset) ?? (p.fetchOffset > 0 ? Number.MAX_SAFE_INTEGER : -1),
        maxBytes: p.partitionMaxBytes,
        // Any negative epoch is none, in this API alone.
        currentLeaderEpoch: Math.max(-1, p.currentLeaderEpoch),
        lastFetchedEpoch: Math.max(-1, p.lastFetchedEpoch),
        logStartOffset: toSafe(p.logStartOffset) ?? -1,
        sentHighWatermark: -1,
        sentLogStartOffset: -1
      })
    }
  }
  return partitions
}

const updateSession = (session: FetchSession, request: FetchRequest, byId: boolean): void => {
  for (const asked of requestedPartitions(request, byId)) {
    const key = partitionKey(asked.topic, asked.topicId, asked.partition)
    const known = session.partitions.get(key)
    if (known === undefined) {
      session.partitions.set(key, asked)
      continue
    }
    known.fetchOffset = asked.fetchOffset
    known.maxBytes = asked.maxBytes
    // A follower drops what comes of an epoch that it has left: it is told again.
    if (session.isPrivileged && known.currentLeaderEpoch !== asked.currentLeaderEpoch) {
      known.sentHighWatermark = -1
      known.sentLogStartOffset = -1
    }
    known.currentLeaderEpoch = asked.currentLeaderEpoch
    known.lastFetchedEpoch = asked.lastFetchedEpoch
    known.logStartOffset = asked.logStartOffset
  }
  for (const { partitions, topic, topicId } of request.forgottenTopicsData) {
    for (const partition of partitions) session.partitions.delete(partitionKey(byId ? null : topic, topicId, partition))
  }
}

/** KIP-227: what a request means, given the sessions; a number is an error for the whole response. */
const contextOf = (
  broker: BrokerServices,
  request: FetchRequest,
  byId: boolean,
  nowMs: number
): FetchContext | number => {
  const { sessionEpoch, sessionId } = request
  const sessions = broker.fetchSessions
  if (sessionEpoch === INITIAL_EPOCH || sessionEpoch === FINAL_EPOCH) {
    if (sessionId !== 0) sessions.remove(sessionId)
    return {
      partitions: requestedPartitions(request, byId),
      session: undefined,
      wantsSession: sessionEpoch === INITIAL_EPOCH
    }
  }
  const session = sessions.get(sessionId)
  if (session === undefined) return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
  if (session.epoch !== sessionEpoch) return ErrorCode.INVALID_FETCH_SESSION_EPOCH
  if (session.usesTopicIds !== byId) return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
  updateSession(session, request, byId)
  if (session.partitions.size === 0) {
    // Everything was forgotten: the session ends, and what the request itself names is answered without one.
    sessions.remove(sessionId)
    return { partitions: requestedPartitions(request, byId), session: undefined, wantsSession: false }
  }
  session.epoch = nextEpoch(session.epoch)
  sessions.touch(session, nowMs)
  return { partitions: [...session.partitions.values()], session, wantsSession: false }
}

/** One partition of a request, resolved against what this broker holds when it is looked at. */
interface Target {
  readonly asked: FetchPartition
  topicName: string
  partition: Partition | undefined
  /** Bytes it would give, as last looked. */
  availableBytes: number
  /** Asked for by an earlier life of its broker. */
  isStaleReplica: boolean
}

class Fetch extends DelayedOperation {
  readonly later: Later = new Later()
  readonly #broker: BrokerServices
  readonly #context: RequestContext
  readonly #fetch: FetchContext
  readonly #isolation: FetchIsolation
  /** -1 for consumers. */
  readonly #replicaId: number
  /** Of the replica's registration, as it says; -1 in versions that don't. */
  readonly #replicaEpoch: number
  /** Of a consumer that may be sent to another replica; "": it is not. */
  readonly #rack: string
  readonly #minBytes: number
  readonly #maxBytes: number
  readonly #targets: Array<Target>
  #availableBytes = 0

  constructor(
    broker: BrokerServices,
    context: RequestContext,
    fetch: FetchContext,
    request: FetchRequest
  ) {
    const { replicaEpoch, replicaId } = context.apiVersion >= 15
      ? request.replicaState
      : { replicaId: request.replicaId, replicaEpoch: -1 }
    super(request.maxWaitMs)
    this.#broker = broker
    this.#context = context
    this.#fetch = fetch
    this.#replicaId = replicaId
    this.#replicaEpoch = toSafe(replicaEpoch) ?? -1
    this.#rack = replicaId < 0 && context.apiVersion >= FOLLOWER_READS_FROM && broker.selectsByRack ? request.rackId : ""
    this.#isolation = replicaId >= 0 ? "LogEnd" : request.isolationLevel === 1 ? "LastStable" : "HighWatermark"
    this.#maxBytes = Math.min(request.maxBytes, broker.fetchMaxBytes())
    this.#minBytes = Math.min(request.minBytes, this.#maxBytes)
    this.#targets = fetch.partitions.map((asked) => {
      const topic = asked.topic === null
        ? broker.partitions.topicById(asked.topicId)
        : broker.partitions.topic(asked.topic)
      return {
        asked,
        topicName: topic?.name ?? asked.topic ?? "",
        partition: topic?.partitions[asked.partition],
        availableBytes: 0,
        isStaleReplica: false
      }
    })
  }

  /** A response now, or later. */
  start(maxWaitMs: number): Reply {
    if (this.#replicaId >= 0) this.#replicaFetched()
    if (this.#targets.length === 0 || maxWaitMs <= 0) return this.#respond(this.#readAll())
    const fetched = this.#readAll()
    let sizeBytes = 0
    let isUrgent = this.#isBehindHighWatermark()
    for (let i = 0; i < fetched.length; i++) {
      const { errorCode, preferredReplica, sizeBytes: bytes, diverging } = fetched[i]!
      sizeBytes += bytes
      this.#targets[i]!.availableBytes = bytes
      if (errorCode !== ErrorCode.NONE || diverging !== undefined || preferredReplica >= 0) isUrgent = true
    }
    if (isUrgent || sizeBytes >= this.#minBytes) return this.#respond(fetched)
    const { purgatory } = this.#broker.partitions
    const watching: Array<Watchers> = []
    for (const { partition } of this.#targets) if (partition !== undefined) watching.push(this.#watchersOf(partition))
    if (!purgatory.watch(this, watching)) return this.#respond(fetched)
    for (const { slices } of fetched) for (const slice of slices) slice.release()
    this.#availableBytes = sizeBytes
    this.later.onCancel = () => purgatory.remove(this)
    return this.later
  }

  /** Looks at the partition that changed alone: the cost does not grow with the partitions of the request. */
  override tryComplete(source: Watchers | undefined): boolean {
    // Its answer let in a request that woke it again: it is leaving.
    if (this.later.isDone) return true
    const target = this.#targets.find(({ partition }) => partition !== undefined && this.#watchersOf(partition) === source)
    if (target !== undefined && !this.#isBehindHighWatermark(target)) {
      const read = this.#readOne(target, target.asked.maxBytes, true)
      for (const slice of read.slices) slice.release()
      this.#availableBytes += read.sizeBytes - target.availableBytes
      target.availableBytes = read.sizeBytes
      if (
        read.errorCode === ErrorCode.NONE && read.diverging === undefined && read.preferredReplica < 0 &&
        this.#availableBytes < this.#minBytes
      ) return false
    }
    this.later.complete(this.#respond(this.#readAll()))
    return true
  }

  override expire(): void {
    this.later.complete(this.#respond(this.#readAll()))
  }

  #watchersOf(partition: Partition): Watchers {
    return this.#replicaId >= 0 ? partition.replicaWatchers : partition.fetchWatchers
  }

  /** A replica has all below where it goes on: the leaders here learn of it, once per request. */
  #replicaFetched(): void {
    const broker = this.#broker.image().brokers.get(this.#replicaId)
    // An earlier life of that broker may have had what this one has lost.
    const isStale = this.#replicaEpoch >= 0 && broker !== undefined && this.#replicaEpoch < broker.epoch
    for (const target of this.#targets) {
      const { asked, partition } = target
      if (partition === undefined || !partition.state.followers.has(this.#replicaId)) continue
      target.isStaleReplica = isStale
      if (isStale || partition.check(asked.currentLeaderEpoch) !== ErrorCode.NONE) continue
      partition.followerFetched({
        replica: this.#replicaId,
        brokerEpoch: this.#replicaEpoch,
        fetchOffset: asked.fetchOffset,
        lastFetchedEpoch: asked.lastFetchedEpoch,
        logStartOffset: asked.logStartOffset,
        eligible: isActive(broker) && (this.#replicaEpoch === -1 || this.#replicaEpoch === broker?.epoch)
      })
    }
  }

  /** A replica that learns late what is committed would be a leader that knows it late. */
  #isBehindHighWatermark(one?: Target): boolean {
    if (this.#replicaId < 0) return false
    return (one === undefined ? this.#targets : [one]).some(({ partition }) => {
      const follower = partition?.state.followers.get(this.#replicaId)
      return follower !== undefined && follower.toldHighWatermark < partition!.highWatermark
    })
  }

  #readAll(): Array<FetchedPartition> {
    const fetched: Array<FetchedPartition> = []
    let leftBytes = this.#maxBytes
    let minOneBatch = true
    for (const target of this.#targets) {
      const read = this.#readOne(target, Math.min(leftBytes, target.asked.maxBytes), minOneBatch)
      if (read.sizeBytes > 0) minOneBatch = false
      leftBytes = Math.max(0, leftBytes - read.sizeBytes)
      fetched.push(read)
    }
    return fetched
  }

  #readOne({ asked, isStaleReplica, partition, topicName }: Target, maxBytes: number, minOneBatch: boolean): FetchedPartition {
    if (partition === undefined) return this.#readNothing(asked)
    const base = { asked, topicName, partition }
    const anyReplica = this.#replicaId < 0 && this.#context.apiVersion >= FOLLOWER_READS_FROM
    const checked = partition.check(asked.currentLeaderEpoch, anyReplica)
    const follower = partition.state.followers.get(this.#replicaId)
    const error = checked === ErrorCode.NONE && this.#replicaId >= 0 && (follower === undefined || isStaleReplica)
      ? ErrorCode.NOT_LEADER_OR_FOLLOWER
      : checked
    if (error !== ErrorCode.NONE) {
      // The id is unknown, not the partition, once its topic is deleted.
      return failed(
        base,
        error === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION && asked.topic === null ? ErrorCode.UNKNOWN_TOPIC_ID : error
      )
    }
    const preferredReplica = this.#preferredReplica(partition, asked.fetchOffset)
    if (preferredReplica >= 0) return { ...offsetsOf(base, partition), preferredReplica }
    // Who is held back is given no records; that its history is another, or that it is out of range, it learns at once.
    const isGiven = !this.#isHeldBack(partition)
    const read = partition.read(asked.fetchOffset, isGiven ? maxBytes : 0, isGiven && minOneBatch, this.#isolation, asked.lastFetchedEpoch)
    if (read.error !== ErrorCode.NONE) return failed(base, read.error)
    const aborted = this.#isolation !== "LastStable"
      ? null
      : read.sizeBytes === 0
      ? []
      : partition.abortedTransactions(asked.fetchOffset, read.endOffset)
    if (typeof aborted === "number") {
      for (const slice of read.slices) slice.release()
      return failed(base, aborted)
    }
    return {
      ...offsetsOf(base, partition),
      slices: read.slices,
      sizeBytes: read.sizeBytes,
      diverging: read.diverging,
      abortedTransactions: aborted
    }
  }

  /** A replica that is no member of the ISR, of a partition that is throttled, above the rate: it is given nothing now. */
  #isHeldBack({ isLeaderThrottled, state }: Partition): boolean {
    return isLeaderThrottled && this.#replicaId >= 0 && !state.isr.includes(this.#replicaId) &&
      this.#broker.replicationQuotas.leader.isExceeded(this.#broker.monotonicMs())
  }

  #readNothing(asked: FetchPartition): FetchedPartition {
    const { topicsById, topicsByName } = this.#broker.image()
    const topic = asked.topic === null ? topicsById.get(asked.topicId) : topicsByName.get(asked.topic)
    const unknown = asked.topic === null && topic === undefined
      ? ErrorCode.UNKNOWN_TOPIC_ID
      : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    const base = { asked, topicName: topic?.name ?? asked.topic ?? "", partition: undefined }
    // As Kafka: an empty list where the partition was not found, null where reading it failed.
    return { ...failed(base, absentError(this.#broker, topic, asked.partition, unknown)), abortedTransactions: [] }
  }

  /** Where a consumer should go on reading instead; -1: here. */
  #preferredReplica({ isLeader, state }: Partition, fetchOffset: number): number {
    if (this.#rack === "" || !isLeader) return NO_PREFERENCE
    const { listenerName } = this.#context.connection
    return selectByRack(this.#broker.image(), state, fetchOffset, { rack: this.#rack, listenerName })
  }

  #respond(fetched: ReadonlyArray<FetchedPartition>): Response {
    if (this.#replicaId >= 0) for (const { highWatermark, partition, sizeBytes } of fetched) {
      if (partition?.isLeaderThrottled === true) {
        this.#broker.replicationQuotas.leader.record(sizeBytes, this.#broker.monotonicMs())
      }
      const follower = partition?.state.followers.get(this.#replicaId)
      if (follower !== undefined && highWatermark >= 0) follower.toldHighWatermark = highWatermark
    }
    const { session, wantsSession } = this.#fetch
    const sessions = this.#broker.fetchSessions
    if (session !== undefined) {
      const changed = fetched.filter((partition) => mustTell(session, partition))
      return encodeFetch(this.#broker, this.#context, session.id, changed, this.#replicaId >= 0)
    }
    let sessionId = 0
    if (wantsSession) {
      for (const partition of fetched) remember(partition)
      const made = sessions.create(
        this.#fetch.partitions,
        this.#context.apiVersion >= TOPIC_IDS_FROM,
        this.#context.monotonicMs,
        this.#replicaId >= 0
      )
      sessionId = made?.id ?? 0
    }
    return encodeFetch(this.#broker, this.#context, sessionId, fetched, this.#replicaId >= 0)
  }
}

type FetchedBase = Pick<FetchedPartition, "asked" | "topicName" | "partition">

/** Without records. */
const offsetsOf = (
  base: FetchedBase,
  { highWatermark, lastStableOffset, logStartOffset }: Partition
): FetchedPartition => ({
  ...failed(base, ErrorCode.NONE),
  highWatermark,
  lastStableOffset,
  logStartOffset
})

const failed = (base: FetchedBase, errorCode: number): FetchedPartition => ({
  ...base,
  errorCode,
  highWatermark: -1,
  lastStableOffset: -1,
  logStartOffset: -1,
  slices: [],
  sizeBytes: 0,
  diverging: undefined,
  preferredReplica: NO_PREFERENCE,
  abortedTransactions: null
})

const remember = ({ asked, errorCode, highWatermark, logStartOffset }: FetchedPartition): void => {
  // After an error the partition is told again, whatever its high watermark.
  asked.sentHighWatermark = errorCode === ErrorCode.NONE ? highWatermark : -1
  asked.sentLogStartOffset = logStartOffset
}

/** Has the partition anything new for its session? Who was given records goes to the end of the order. */
const mustTell = (session: FetchSession, fetched: FetchedPartition): boolean => {
  const { asked } = fetched
  const isNew = fetched.sizeBytes > 0 || fetched.errorCode !== ErrorCode.NONE || fetched.diverging !== undefined ||
    fetched.preferredReplica >= 0 || fetched.highWatermark !== asked.sentHighWatermark || fetched.logStartOffset !== asked.sentLogStartOffset
  if (!isNew) return false
  remember(fetched)
  if (fetched.sizeBytes > 0) {
    const key = partitionKey(asked.topic, asked.topicId, asked.partition)
    if (session.partitions.delete(key)) session.partitions.set(key, asked)
  }
  return true
}

const isHeld = ({ partitions }: BrokerServices, { partition, topic, topicId }: FetchPartition): boolean => {
  const hosted = topic === null ? partitions.topicById(topicId) : partitions.topic(topic)
  return hosted?.partitions[partition] !== undefined
}

export const makeFetch = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.Fetch,
  minVersion: 4,
  maxVersion: 18,
  handle: (context, reader) => {
    const request = decodeFetchRequest(reader, context.apiVersion)
    const byId = context.apiVersion >= TOPIC_IDS_FROM
    const fetch = contextOf(broker, request, byId, context.monotonicMs)
    if (typeof fetch === "number") return encodeFetchError(context, fetch)
    // No Kafka error fits an isolation level that there is not: it answers UNKNOWN_SERVER_ERROR when it comes to reading.
    const isLevel = request.isolationLevel === 0 || request.isolationLevel === 1
    if (!isLevel && fetch.partitions.some((asked) => isHeld(broker, asked))) {
      return encodeFetchFailure(context, ErrorCode.UNKNOWN_SERVER_ERROR, request)
    }
    return new Fetch(broker, context, fetch, request).start(request.maxWaitMs)
  }
})
