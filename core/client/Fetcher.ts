/**
 * Fetches the assigned partitions ahead of the application: one long poll at a time for each broker, on a lane of its
 * own, in a session (KIP-227). What comes is kept as bytes and decoded when it is taken.
 *
 * Bounds: `fetch.buffer.bytes` over all partitions; no request is sent that may bring more than is left of it, but for
 * the one batch that a broker always sends whole. A partition is fetched again while less than
 * `max.partition.fetch.bytes` of it wait, so that one that is not read holds back no other. Paused partitions keep
 * what they have; when it is what fills the buffer, it is dropped and fetched again after they are resumed.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { ErrorCode, errorName, isStaleMetadata } from "../protocol/ErrorCode.ts"
import { type FetchRequestInput, type FetchResponse, type FetchResponsePartitionData, fetchApi } from "../protocol/generated/Fetch.ts"
import { ZERO_UUID } from "../protocol/Uuid.ts"
import type { RpcApi } from "../rpc/RpcApi.ts"
import { type ClientError, errorOfCode, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { ConsumerRecord, PartitionRecords } from "./Consumer.ts"
import { type AbortedTransaction, type DecodeOptions, endOfBatches, FetchedRecords, isCorrupt } from "./FetcherRecords.ts"
import { FetchSessionState, type FetchTarget } from "./FetchSessionState.ts"
import { type AssignedPartition, partitionKey, type SubscriptionState } from "./SubscriptionState.ts"

/** Topics that have no id are fetched by name. */
const LAST_VERSION_WITH_NAMES = 12
const fetchByNameApi: RpcApi<FetchRequestInput, FetchResponse> = { ...fetchApi, maxVersion: LAST_VERSION_WITH_NAMES }

export interface FetcherOptions {
  readonly minBytes: number
  readonly maxBytes: number
  readonly maxWaitMs: number
  readonly maxPartitionBytes: number
  readonly bufferBytes: number
  readonly readCommitted: boolean
  readonly rack: string
  readonly retryBackoffMs: number
  /** How long a follower that the leader has named is fetched from before the leader is asked again. */
  readonly metadataMaxAgeMs: number
  readonly crypto: Crypto | undefined
  readonly compression: Compression
}

/** What the consumer does for its fetcher. Plain functions. */
export interface FetcherHost {
  readonly now: () => number
  /** Runs an effect until it ends or the consumer does. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /** Something changed that a waiting poll should look at. */
  readonly wake: () => void
  /** Call `fetch` again at that time. */
  readonly wakeAt: (atMs: number) => void
  /** For the next poll to fail with. */
  readonly fail: (error: ClientError) => void
  /** The broker has no such offset: reset by policy, or fail. */
  readonly outOfRange: (partition: AssignedPartition) => void
}

interface Buffered {
  readonly state: AssignedPartition
  readonly fetches: Array<FetchedRecords>
  bytes: number
  /** It stands in the line of those that poll takes from. */
  inLine: boolean
}

interface Asked {
  readonly state: AssignedPartition
  readonly version: number
}

class NodeFetches {
  readonly id: number
  readonly session: FetchSessionState = new FetchSessionState()
  inFlight = false
  /** Bytes of the buffer that the answer under way may take. */
  reservedBytes = 0
  retryAtMs = 0
  constructor(id: number) {
    this.id = id
  }
}

export class Fetcher {
  readonly #cluster: Cluster
  readonly #subscription: SubscriptionState
  readonly #options: FetcherOptions
  readonly #decode: DecodeOptions
  readonly #host: FetcherHost
  readonly #nodes: Map<number, NodeFetches> = new Map()
  readonly #buffered: Map<AssignedPartition, Buffered> = new Map()
  /** Those with records, in the order in which they are read. */
  #line: Array<Buffered> = []
  #bytes = 0
  #reservedBytes = 0
  #isClosed = false

  constructor(cluster: Cluster, subscription: SubscriptionState, options: FetcherOptions, host: FetcherHost) {
    this.#cluster = cluster
    this.#subscription = subscription
    this.#options = options
    this.#decode = { crypto: options.crypto, compression: options.compression }
    this.#host = host
  }

  /** Whether `take` may give records. */
  get hasRecords(): boolean {
    return this.#line.length > 0
  }

  get bufferedBytes(): number {
    return this.#bytes
  }

  /** Sends what fetches there are to send. */
  fetch(): void {
    if (this.#isClosed) return
    const now = this.#host.now()
    let byNode: Map<number, Array<AssignedPartition>> | undefined
    let nextAtMs = Infinity
    let isStarved = false
    for (const state of this.#subscription.partitions.values()) {
      if (state.phase !== "Fetching" || state.paused || state.held) continue
      const buffered = this.#buffered.get(state)
      if (buffered !== undefined && buffered.bytes >= this.#options.maxPartitionBytes) continue
      if (state.retryAtMs > now) {
        nextAtMs = Math.min(nextAtMs, state.retryAtMs)
        continue
      }
      const nodeId = this.#nodeOf(state, now)
      if (nodeId < 0) continue
      const node = this.#nodes.get(nodeId)
      if (node !== undefined && node.inFlight) continue
      if (node !== undefined && node.retryAtMs > now) {
        nextAtMs = Math.min(nextAtMs, node.retryAtMs)
        continue
      }
      byNode ??= new Map()
      const states = byNode.get(nodeId)
      if (states === undefined) byNode.set(nodeId, [state])
      else states.push(state)
    }
    if (byNode !== undefined) {
      for (const [nodeId, states] of byNode) {
        if (this.#room() <= 0 && !this.#makeRoom()) {
          isStarved = true
          break
        }
        this.#send(nodeId, states)
      }
    }
    if (!isStarved && nextAtMs !== Infinity) this.#host.wakeAt(nextAtMs)
  }

  #room(): number {
    return this.#options.bufferBytes - this.#bytes - this.#reservedBytes
  }

  /** Drops what waits for partitions that nobody reads now, when nothing else waits that could make room by being read. */
  #makeRoom(): boolean {
    if (this.#line.length > 0 || this.#reservedBytes > 0) return false
    for (const buffered of [...this.#buffered.values()]) this.#drop(buffered)
    return this.#room() > 0
  }

  #nodeOf(state: AssignedPartition, now: number): number {
    if (state.preferredReplica >= 0) {
      const known = this.#cluster.view().nodes.has(state.preferredReplica)
      if (known && now < state.preferredUntilMs) return state.preferredReplica
      state.preferredReplica = -1
    }
    const leader = this.#leaderOf(state)
    // Asked for at most every retry.backoff.ms; the new view calls here again.
    if (leader === -1) this.#cluster.invalidate()
    return leader ?? -1
  }

  /** -1: nobody leads; undefined: not known. */
  #leaderOf({ partition, topic }: AssignedPartition): number | undefined {
    return this.#cluster.topic(topic)?.partitions[partition]?.leader
  }

  #send(nodeId: number, states: ReadonlyArray<AssignedPartition>): void {
    let node = this.#nodes.get(nodeId)
    if (node === undefined) this.#nodes.set(nodeId, node = new NodeFetches(nodeId))
    const options = this.#options
    const asked = new Map<string, Asked>()
    const targets: Array<FetchTarget> = []
    let usesIds = true
    for (const state of states) {
      const topicId = this.#cluster.topic(state.topic)?.id ?? ZERO_UUID
      if (topicId === ZERO_UUID) usesIds = false
      asked.set(state.key, { state, version: state.version })
      targets.push({
        key: state.key,
        topic: state.topic,
        topicId,
        partition: state.partition,
        fetchOffset: state.fetchOffset,
        leaderEpoch: state.leaderEpoch,
        maxBytes: options.maxPartitionBytes
      })
    }
    const here = node
    here.inFlight = true
    here.reservedBytes = Math.max(1, Math.min(options.maxBytes, this.#room(), targets.length * options.maxPartitionBytes))
    this.#reservedBytes += here.reservedBytes
    const maxBytes = Math.min(options.maxBytes, Math.max(1, here.reservedBytes))
    const request = (version: number): FetchRequestInput => ({
      maxWaitMs: options.maxWaitMs,
      minBytes: options.minBytes,
      maxBytes,
      isolationLevel: options.readCommitted ? 1 : 0,
      rackId: options.rack,
      ...here.session.next(targets, version > LAST_VERSION_WITH_NAMES)
    })
    const release = (): void => {
      here.inFlight = false
      this.#reservedBytes -= here.reservedBytes
      here.reservedBytes = 0
    }
    const onEnd = (result: FetchResponse | ClientError): void => {
      release()
      if (this.#isClosed) return
      if (result instanceof Error) this.#failed(here, states, result)
      else this.#answered(here, asked, result)
      this.fetch()
    }
    const api = usesIds ? fetchApi : fetchByNameApi
    // What is buffered are views on the answer.
    if (this.#cluster.ask(nodeId, "fetch", api, request, { isTransient: false }, onEnd)) return
    this.#host.fork(
      this.#cluster.call(nodeId, "fetch", api, request).pipe(
        Effect.result,
        Effect.flatMap((result) => Effect.sync(() => onEnd(Result.isFailure(result) ? result.failure : result.success)))
      )
    )
  }

  #failed(node: NodeFetches, states: ReadonlyArray<AssignedPartition>, error: ClientError): void {
    node.session.failed()
    node.retryAtMs = this.#host.now() + this.#options.retryBackoffMs
    for (const state of states) state.preferredReplica = -1
    if (error._tag === "FatalError" && error.reason !== "CLOSED") this.#host.fail(error)
    this.#cluster.invalidate()
  }

  #answered(node: NodeFetches, asked: ReadonlyMap<string, Asked>, response: FetchResponse): void {
    const now = this.#host.now()
    if (!node.session.answered(response.errorCode, response.sessionId)) {
      if (response.errorCode === ErrorCode.UNKNOWN_TOPIC_ID || response.errorCode === ErrorCode.INCONSISTENT_TOPIC_ID) {
        this.#cluster.invalidate()
      }
      // A lost session is asked for anew at once; anything else after a pause.
      const isSession = response.errorCode === ErrorCode.FETCH_SESSION_ID_NOT_FOUND ||
        response.errorCode === ErrorCode.INVALID_FETCH_SESSION_EPOCH
      if (!isSession) node.retryAtMs = now + this.#options.retryBackoffMs
      return
    }
    if (response.throttleTimeMs > 0) node.retryAtMs = now + response.throttleTimeMs
    for (const { partitions, topic, topicId } of response.responses) {
      const name = topic !== "" ? topic : node.session.topicName(topicId)
      if (name === undefined) continue
      for (const data of partitions) {
        const one = asked.get(partitionKey(name, data.partitionIndex))
        // Sought, reset or revoked meanwhile: the answer is to a question that nobody has any more.
        if (one === undefined || one.version !== one.state.version || one.state.phase !== "Fetching") continue
        if (data.errorCode !== ErrorCode.NONE) this.#partitionFailed(node, one.state, data, now)
        else this.#partitionAnswered(one.state, data, now)
      }
    }
  }

  #partitionAnswered(state: AssignedPartition, data: FetchResponsePartitionData, now: number): void {
    const { readCommitted } = this.#options
    const endOffset = Number(readCommitted ? data.lastStableOffset : data.highWatermark)
    if (endOffset >= 0) state.endOffset = endOffset
    if (data.preferredReadReplica >= 0 && data.preferredReadReplica !== state.preferredReplica) {
      state.preferredReplica = data.preferredReadReplica
      state.preferredUntilMs = now + this.#options.metadataMaxAgeMs
    }
    const bytes = data.records
    if (bytes === null || bytes.length === 0) return
    const end = endOfBatches(bytes)
    if (end === undefined) {
      // KIP-74: a broker sends the first batch whole, so these bytes are none.
      this.#host.fail(
        new FatalError("CORRUPT", `${bytes.length} bytes at offset ${state.fetchOffset} of ${state.key} hold no record batch; seek past them to go on`)
      )
      state.retryAtMs = now + this.#options.retryBackoffMs
      return
    }
    const aborted = readCommitted ? abortedOf(data) : undefined
    const fetched = new FetchedRecords(state, bytes, state.fetchOffset, aborted, this.#decode)
    state.fetchOffset = Math.max(state.fetchOffset, end.nextOffset)
    let buffered = this.#buffered.get(state)
    if (buffered === undefined) this.#buffered.set(state, buffered = { state, fetches: [], bytes: 0, inLine: false })
    buffered.fetches.push(fetched)
    buffered.bytes += bytes.length
    this.#bytes += bytes.length
    if (state.isReadable) this.#enter(buffered)
  }

  #partitionFailed(node: NodeFetches, state: AssignedPartition, data: FetchResponsePartitionData, now: number): void {
    const code = data.errorCode
    state.retryAtMs = now + this.#options.retryBackoffMs
    if (code === ErrorCode.OFFSET_OUT_OF_RANGE) {
      // A follower may not have it yet, or any more, and is perhaps no longer the one that the leader names: the leader knows.
      if (node.id === state.preferredReplica) {
        state.preferredReplica = -1
        state.retryAtMs = 0
      } else if (node.id === this.#leaderOf(state)) this.#host.outOfRange(state)
      return
    }
    state.preferredReplica = -1
    if (
      isStaleMetadata(code) || code === ErrorCode.OFFSET_NOT_AVAILABLE || code === ErrorCode.INCONSISTENT_TOPIC_ID ||
      code === ErrorCode.UNKNOWN_TOPIC_ID
    ) {
      const { leaderEpoch, leaderId } = data.currentLeader
      if (leaderId >= 0 && leaderEpoch >= 0) {
        this.#cluster.invalidate({ topic: state.topic, partition: state.partition, leader: leaderId, leaderEpoch })
      } else this.#cluster.invalidate()
      return
    }
    // These pass by themselves.
    if (code === ErrorCode.UNKNOWN_LEADER_EPOCH || code === ErrorCode.UNKNOWN_SERVER_ERROR) return
    if (code === ErrorCode.CORRUPT_MESSAGE) {
      this.#host.fail(new FatalError("CORRUPT_MESSAGE", `fetch of ${state.key} at offset ${state.fetchOffset}: the broker's log is corrupt there`, code))
      return
    }
    this.#host.fail(errorOfCode(code, `fetch of ${state.key} at offset ${state.fetchOffset} (${errorName(code)})`))
  }

  #enter(buffered: Buffered): void {
    if (buffered.inLine) return
    buffered.inLine = true
    this.#line.push(buffered)
    this.#host.wake()
  }

  #leave(buffered: Buffered): void {
    if (!buffered.inLine) return
    buffered.inLine = false
    this.#line = this.#line.filter((one) => one !== buffered)
  }

  #drop(buffered: Buffered): void {
    this.#leave(buffered)
    this.#bytes -= buffered.bytes
    this.#buffered.delete(buffered.state)
    if (buffered.state.phase === "Fetching") buffered.state.fetchOffset = buffered.state.position
  }

  /** The partition was sought, reset, validated or revoked: what is buffered of it is void. */
  discard(state: AssignedPartition): void {
    const buffered = this.#buffered.get(state)
    if (buffered !== undefined) this.#drop(buffered)
  }

  /** The partition may have become readable, or no longer be: paused, resumed, validated. */
  refresh(state: AssignedPartition): void {
    const buffered = this.#buffered.get(state)
    if (buffered === undefined) return
    if (state.isReadable) this.#enter(buffered)
    else this.#leave(buffered)
  }

  /**
   * Up to `max` records, those of a partition together, and moves its position past them.
   */
  take(max: number): ReadonlyArray<PartitionRecords> {
    const taken: Array<PartitionRecords & { records: Array<ConsumerRecord>; nextOffset: number }> = []
    let left = max
    let hasDrained = false
    while (left > 0 && this.#line.length > 0) {
      const buffered = this.#line[0]!
      const { state } = buffered
      const fetched = buffered.fetches[0]!
      let one = taken.find((other) => other.topic === state.topic && other.partition === state.partition)
      const records = one?.records ?? []
      const before = records.length
      let hasMore: boolean
      try {
        hasMore = fetched.take(left, records)
      } catch (error) {
        if (!isCorrupt(error)) throw error
        state.advance(Math.max(state.position, fetched.nextOffset), fetched.leaderEpoch)
        this.#drop(buffered)
        state.refetch()
        this.#host.fail(
          new FatalError("CORRUPT", `records of ${state.key} from offset ${fetched.nextOffset} on: ${error.message}; seek past them to go on`)
        )
        if (one === undefined && records.length > 0) taken.push(partitionRecords(state, records))
        else if (one !== undefined) one.nextOffset = state.position
        break
      }
      left -= records.length - before
      state.advance(fetched.nextOffset, fetched.leaderEpoch)
      if (one !== undefined) one.nextOffset = state.position
      else if (records.length > 0) taken.push(one = partitionRecords(state, records))
      if (hasMore) continue
      hasDrained = true
      buffered.fetches.shift()
      buffered.bytes -= fetched.sizeInBytes
      this.#bytes -= fetched.sizeInBytes
      // The next partition is next, so that one with much to read does not keep the others waiting.
      this.#line.shift()
      if (buffered.fetches.length > 0) this.#line.push(buffered)
      else {
        buffered.inLine = false
        this.#buffered.delete(state)
      }
    }
    if (hasDrained) this.fetch()
    return taken
  }

  /** Ends sessions, so that brokers forget them at once; those of brokers that are away are left to the brokers' own limit. */
  close(timeoutMs: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isClosed = true
      this.#line = []
      this.#buffered.clear()
      this.#bytes = 0
      const closing: Array<Effect.Effect<unknown>> = []
      for (const node of this.#nodes.values()) {
        // Behind a long poll that is under way it would wait for it; the broker's own limit forgets that session.
        const fields = node.inFlight ? undefined : node.session.close()
        if (fields === undefined) continue
        const request = { maxWaitMs: 0, minBytes: 0, isolationLevel: this.#options.readCommitted ? 1 : 0, ...fields }
        closing.push(Effect.result(this.#cluster.call(node.id, "fetch", fetchApi, request, { timeoutMs })))
      }
      return Effect.all(closing, { concurrency: "unbounded", discard: true }).pipe(Effect.timeoutOption(timeoutMs), Effect.asVoid)
    })
  }
}

const partitionRecords = (
  state: AssignedPartition,
  records: Array<ConsumerRecord>
): PartitionRecords & { records: Array<ConsumerRecord>; nextOffset: number } => ({
  topic: state.topic,
  partition: state.partition,
  records,
  nextOffset: state.position,
  endOffset: state.endOffset
})

const abortedOf = (data: FetchResponsePartitionData): ReadonlyArray<AbortedTransaction> =>
  (data.abortedTransactions ?? [])
    .map(({ firstOffset, producerId }) => ({ firstOffset: Number(firstOffset), producerId: Number(producerId) }))
    .sort((a, b) => a.firstOffset - b.firstOffset)
