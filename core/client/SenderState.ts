/**
 * What a producer does next. Pure: what happened comes in by `on…`, time as a number; `poll` says what is to be sent,
 * connected to and asked for, and when to look again; `takeEnded` gives the batches whose listeners are to be told.
 *
 * - A batch is ready when it is full, `linger.ms` old, flushed, or when others wait for its memory.
 * - A request has the ready batches of one broker's partitions, one of each, up to `max.request.size`.
 * - A partition whose batch is to be sent again sends nothing else until that is done: its order stays.
 * - What is older than `delivery.timeout.ms` fails, wherever it is.
 */
import { ErrorCode, isStaleMetadata } from "../protocol/ErrorCode.ts"
import type { ProduceResponse, ProduceResponsePartitionProduceResponse } from "../protocol/generated/Produce.ts"
import { Accumulator, type PartitionQueue } from "./Accumulator.ts"
import { backoffMs } from "./Backoff.ts"
import { BatchEnds, type Ended } from "./BatchEnds.ts"
import { type ClientError, errorOfCode, FatalError, RetriableError } from "./ClientError.ts"
import type { ClusterView } from "./ClusterView.ts"
import { judge, mayHaveAppended, ProducerIdentities, type ProducerIdentity } from "./Idempotence.ts"
import type { ProducerBatch } from "./ProducerBatch.ts"
import { ProduceAnswers } from "./ProducerRequests.ts"
import type { ProducerSettings } from "./ProducerSettings.ts"
import { SenderNode } from "./SenderNode.ts"

/** A Produce request to one broker. */
export interface ProduceCall {
  readonly nodeId: number
  readonly batches: ReadonlyArray<ProducerBatch>
  readonly queues: ReadonlyArray<PartitionQueue>
}

/** A better leader than the one that was asked (KIP-951). */
export interface LeaderHint {
  readonly topic: string
  readonly partition: number
  readonly leader: number
  readonly leaderEpoch: number
}

export interface Todo {
  readonly calls: Array<ProduceCall>
  /** Brokers to connect to before anything is sent to them. */
  readonly connect: Array<number>
  readonly askProducerId: boolean
  /** Metadata is stale. */
  readonly refresh: boolean
  readonly hints: ReadonlyArray<LeaderHint>
  /** When to poll again if nothing happens before; Infinity: never. */
  readonly wakeAtMs: number
}

/** What waits for memory makes every batch ready; the service tells. */
export interface Pressure {
  readonly isExhausted: boolean
  readonly isFlushing: boolean
}

export class SenderState {
  readonly accumulator: Accumulator
  readonly #settings: ProducerSettings
  readonly #ends: BatchEnds
  readonly #random: () => number
  readonly #nodes: Map<number, SenderNode> = new Map()
  readonly #identities: ProducerIdentities = new ProducerIdentities()
  /** Since when every send fails; undefined: it does not. */
  #fatal: ClientError | undefined
  #refresh = false
  #hints: Array<LeaderHint> = []
  #wakeAtMs = Infinity
  #loadToldMs = -1

  constructor(settings: ProducerSettings, accumulator: Accumulator, random: () => number) {
    this.#settings = settings
    this.accumulator = accumulator
    this.#ends = new BatchEnds(settings, accumulator)
    this.#random = random
  }

  get fatal(): ClientError | undefined {
    return this.#fatal
  }
  /** Of batches that are sent the first time from now on. */
  get identity(): ProducerIdentity | undefined {
    return this.#identities.current
  }

  /** What ended since it was last asked. Listeners are told after the state has changed: they may send more. */
  takeEnded(): ReadonlyArray<Ended> {
    return this.#ends.take()
  }

  // -- what happened

  onView(view: ClusterView): void {
    for (const topic of this.accumulator.topics.values()) {
      const next = view.topics.get(topic.name)
      if (next === undefined) topic.lose()
      else if (next !== topic.view) topic.update(next)
    }
    for (const id of this.#nodes.keys()) {
      if (!view.nodes.has(id) && this.#nodes.get(id)!.inFlight === 0) this.#nodes.delete(id)
    }
  }

  onConnected(nodeId: number): void {
    const node = this.#node(nodeId)
    node.status = "Ready"
    node.failures = 0
  }

  /** The connection failed or ended. */
  onDisconnected(nodeId: number, nowMs: number): void {
    const node = this.#node(nodeId)
    if (node.status === "Away") return
    node.status = "Away"
    node.notBeforeMs = Math.max(node.notBeforeMs, nowMs + this.#backoffMs(++node.failures))
    this.#refresh = true
  }

  onProducerId(identity: ProducerIdentity): void {
    this.#identities.answered(identity)
  }

  onProducerIdFailed(error: ClientError, nowMs: number): void {
    this.#identities.failed(nowMs, (failures) => this.#backoffMs(failures))
    if (isHopeless(error)) this.failAll(error)
  }

  /** Every batch fails, and every send from now on. */
  failAll(error: ClientError): void {
    this.#fatal ??= error
    this.#ends.failAll(error)
  }

  /** acks=0: what was sent counts as acknowledged. */
  onTold(call: ProduceCall): void {
    this.#node(call.nodeId).inFlight--
    for (const [index, batch] of call.batches.entries()) {
      if (batch.state !== "InTransit") continue
      // The socket may still hold a view of its bytes.
      this.#ends.acknowledge(call.queues[index]!, batch, -1, -1, false)
    }
  }

  /** No answer: whether the broker has appended the batches is not known. */
  onLost(call: ProduceCall, error: ClientError, nowMs: number): void {
    const node = this.#node(call.nodeId)
    node.inFlight--
    for (const [index, batch] of call.batches.entries()) {
      if (batch.state !== "InTransit") continue
      const queue = call.queues[index]!
      // Nothing was sent.
      if (error.reason === "UNSUPPORTED" || error.reason === "INVALID_ARGUMENT") this.#ends.fail(queue, batch, error, true)
      // Who closed the cluster under us sends nothing again.
      else if (error.reason === "CLOSED") this.#ends.fail(queue, batch, error, false)
      else {
        batch.maybeAppended = true
        this.#retryOrFail(queue, batch, nowMs, () => error)
      }
    }
    this.onDisconnected(call.nodeId, nowMs)
  }

  onAnswer(call: ProduceCall, response: ProduceResponse, nowMs: number): void {
    const node = this.#node(call.nodeId)
    node.inFlight--
    if (response.throttleTimeMs > 0) node.notBeforeMs = Math.max(node.notBeforeMs, nowMs + response.throttleTimeMs)
    const answers = new ProduceAnswers(response)
    for (let index = 0; index < call.batches.length; index++) {
      const batch = call.batches[index]!
      const queue = call.queues[index]!
      const answer = answers.to(queue)
      if (batch.state !== "InTransit") continue
      if (answer === undefined) {
        batch.maybeAppended = true
        this.#retryOrFail(queue, batch, nowMs, () =>
          new RetriableError("CORRUPT", `produce to ${queue.name}: the broker's answer leaves the partition out`))
      } else this.#onPartitionAnswer(queue, batch, answer, nowMs)
    }
  }

  #onPartitionAnswer(
    queue: PartitionQueue,
    batch: ProducerBatch,
    answer: ProduceResponsePartitionProduceResponse,
    nowMs: number
  ): void {
    const { errorCode } = answer
    if (errorCode === ErrorCode.NONE) {
      return this.#ends.acknowledge(queue, batch, Number(answer.baseOffset), Number(answer.logAppendTimeMs), true)
    }
    const { isIdempotent } = this.#settings
    if (isStaleMetadata(errorCode)) {
      const { leaderEpoch, leaderId } = answer.currentLeader
      if (leaderId >= 0 && leaderEpoch > queue.leaderEpoch) {
        this.#hints.push({ topic: queue.topic.name, partition: queue.partition, leader: leaderId, leaderEpoch })
        // At once, so that the retry goes there.
        queue.leader = leaderId
        queue.leaderEpoch = leaderEpoch
      } else this.#refresh = true
    }
    const isTooLarge = errorCode === ErrorCode.MESSAGE_TOO_LARGE || errorCode === ErrorCode.RECORD_LIST_TOO_LARGE
    if (isTooLarge && batch.count > 1 && !batch.maybeAppended) {
      this.accumulator.split(queue, batch)
      this.#ends.failUncompressed()
      return
    }
    const error = (): ClientError => errorOfCode(errorCode, `produce to ${queue.name}`, answer.errorMessage)
    switch (judge(errorCode, isIdempotent, batch)) {
      case "Duplicate":
        return this.#ends.acknowledge(queue, batch, Number(answer.baseOffset), Number(answer.logAppendTimeMs), true)
      case "OutOfOrder":
        batch.isOutOfOrder = true
        // Nothing that is on its way will bring what is missing.
        if (queue.inFlight[0] === batch) queue.sequences.needsBump = true
        return this.#retryOrFail(queue, batch, nowMs, error)
      case "Retry":
        batch.maybeAppended ||= mayHaveAppended(errorCode)
        return this.#retryOrFail(queue, batch, nowMs, error)
      case "Fail": {
        const reasons = new Map(answer.recordErrors.map((one) => [one.batchIndex, one.batchIndexErrorMessage]))
        if (reasons.size === 0) return this.#ends.fail(queue, batch, error(), true)
        // KIP-467: the others were good, but a batch is appended whole or not at all.
        const others = new RetriableError(
          "INVALID_RECORD",
          `produce to ${queue.name}: not appended, since its batch had a record that the broker refused; send it again`,
          errorCode
        )
        return this.#ends.fail(queue, batch, (index) =>
          reasons.has(index)
            ? errorOfCode(errorCode, `produce to ${queue.name}`, reasons.get(index) ?? answer.errorMessage)
            : others, true)
      }
    }
  }

  #retryOrFail(queue: PartitionQueue, batch: ProducerBatch, nowMs: number, error: () => ClientError): void {
    if (batch.attempts > this.#settings.retries) return this.#ends.fail(queue, batch, error(), true)
    if (this.#ends.isDue(batch, nowMs)) return this.#ends.expire(queue, batch, true)
    batch.state = "Retry"
    batch.retryAtMs = nowMs + this.#backoffMs(batch.attempts)
  }

  // -- what to do

  poll(nowMs: number, pressure: Pressure): Todo {
    this.#ends.failUncompressed()
    this.#wakeAtMs = this.#ends.expireOld(nowMs)
    const calls: Array<ProduceCall> = []
    const connect: Array<number> = []
    const askProducerId = this.#shouldAskProducerId(nowMs)
    const nodes: Array<SenderNode> = []
    for (const queue of this.accumulator.active) {
      if (this.#settings.isIdempotent && !this.#settle(queue, nowMs)) continue
      const ready = this.#isReady(queue, nowMs, pressure)
      if (!ready) continue
      if (queue.leader < 0) {
        this.#refresh = true
        continue
      }
      const node = this.#node(queue.leader)
      if (node.candidates.length === 0) nodes.push(node)
      node.candidates.push(queue)
    }
    for (const node of nodes) {
      node.hasWork(nowMs)
      if (node.notBeforeMs > nowMs) this.#wakeAtMs = Math.min(this.#wakeAtMs, node.notBeforeMs)
      else if (node.status === "Away") {
        node.status = "Connecting"
        connect.push(node.id)
      } else if (node.status === "Ready") this.#drain(node, nowMs, pressure, calls)
      node.candidates = []
    }
    this.#tellLoad(nowMs)
    const refresh = this.#refresh
    const hints = this.#hints
    this.#refresh = false
    if (hints.length > 0) this.#hints = []
    return { calls, connect, askProducerId, refresh, hints, wakeAtMs: this.#wakeAtMs }
  }

  #shouldAskProducerId(nowMs: number): boolean {
    if (!this.#settings.isIdempotent || this.accumulator.active.size === 0) return false
    const { askAtMs } = this.#identities
    if (askAtMs > nowMs) {
      this.#wakeAtMs = Math.min(this.#wakeAtMs, askAtMs)
      return false
    }
    this.#identities.asked()
    return true
  }

  /** Brings a partition's sequences in order. @returns whether it may send at all */
  #settle(queue: PartitionQueue, nowMs: number): boolean {
    const { inFlight, sequences } = queue
    if (sequences.needsBump) {
      // Asking again would be refused; nobody knows their offsets any more.
      for (const batch of inFlight.filter(({ isAppended, state }) => isAppended && state === "Retry")) {
        this.#ends.acknowledge(queue, batch, -1, -1, true)
      }
    }
    // Nothing was lost after all: what was given up without an answer had been appended.
    if (sequences.needsBump && inFlight.length === 0 && sequences.hasNoGap) sequences.needsBump = false
    if (sequences.needsBump) {
      if (inFlight.some(({ state }) => state === "InTransit")) return false
      if (inFlight.some(isUncertain)) return true
      for (const batch of inFlight.filter(({ lostItsWitness, maybeAppended }) => lostItsWitness && maybeAppended)) {
        const detail = "they may be in the log: the broker has forgotten"
        this.#ends.fail(queue, batch, errorOfCode(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, `produce to ${queue.name}`, detail), true)
      }
      // A partition that is behind the producer's epoch only has to catch up.
      const before = this.#identities.current
      if (before !== undefined && sequences.isOf(before)) this.#identities.bump()
      const identity = this.#identities.current
      if (identity === undefined) {
        this.#wakeAtMs = Math.min(this.#wakeAtMs, Math.max(nowMs, this.#identities.askAtMs))
        return false
      }
      sequences.restart(identity, inFlight)
      for (const batch of inFlight) batch.retryAtMs = 0
      return true
    }
    const identity = this.#identities.current
    if (identity === undefined) return inFlight.length > 0
    if (!sequences.isOf(identity) && inFlight.length === 0) sequences.restart(identity, inFlight)
    return true
  }

  /** The batch that a partition sends next, now; it stays where it is. */
  #isReady(queue: PartitionQueue, nowMs: number, pressure: Pressure): boolean {
    const { inFlight } = queue
    if (inFlight.length > 0) {
      const retry = this.#retryOf(queue)
      if (retry === "Blocked") return false
      if (retry !== undefined) {
        const newLeader = queue.leaderEpoch > retry.sentLeaderEpoch
        if (retry.retryAtMs <= nowMs || newLeader) return true
        this.#wakeAtMs = Math.min(this.#wakeAtMs, retry.retryAtMs)
        return false
      }
      if (!this.#hasPlace(queue)) return false
      // A partition goes over to the producer's new epoch when nothing of the old one is left.
      if (this.#settings.isIdempotent && !queue.sequences.isOf(this.#identities.current)) return false
    }
    const head = queue.queue[0]
    if (head === undefined) return false
    if (head !== queue.open || pressure.isExhausted || pressure.isFlushing) return true
    const atMs = head.createdMs + this.#settings.lingerMs
    if (atMs <= nowMs) return true
    this.#wakeAtMs = Math.min(this.#wakeAtMs, atMs)
    return false
  }

  /** Whether a partition may have one more batch in flight. */
  #hasPlace({ inFlight, sequences }: PartitionQueue): boolean {
    const { isIdempotent, maxInFlight } = this.#settings
    if (!isIdempotent) return maxInFlight > 1 || inFlight.length === 0
    return sequences.isEstablished ? sequences.spanOf(inFlight) < maxInFlight : inFlight.length === 0
  }

  #retryOf(queue: PartitionQueue): ProducerBatch | "Blocked" | undefined {
    const { inFlight, sequences } = queue
    if (sequences.needsBump) {
      if (inFlight.some(({ state }) => state === "InTransit")) return "Blocked"
      return inFlight.find(isUncertain) ?? "Blocked"
    }
    const retry = inFlight.find(({ state }) => state === "Retry")
    return retry !== undefined && this.#settings.isIdempotent && retry !== inFlight[0] ? "Blocked" : retry
  }

  /** As many requests as the connection takes. */
  #drain(node: SenderNode, nowMs: number, pressure: Pressure, calls: Array<ProduceCall>): void {
    let candidates = node.candidates
    while (candidates.length > 0 && node.inFlight < this.#settings.maxInFlight) {
      const batches: Array<ProducerBatch> = []
      const queues: Array<PartitionQueue> = []
      const later: Array<PartitionQueue> = []
      let bytes = 0
      for (const queue of candidates) {
        const retry = this.#retryOf(queue)
        const next = retry === "Blocked" ? undefined : retry ?? queue.queue[0]
        if (next === undefined) continue
        if (batches.length > 0 && bytes + next.sizeInBytes > this.#settings.maxRequestBytes) {
          later.unshift(queue)
          continue
        }
        if (next === queue.open) this.accumulator.close(queue)
        if (next.failure !== undefined) {
          this.#ends.failUncompressed()
          if (this.#isReady(queue, nowMs, pressure)) later.push(queue)
          continue
        }
        const batch = this.#take(queue, next)
        bytes += batch.sizeInBytes
        batches.push(batch)
        queues.push(queue)
        // Whoever was served goes behind the others, in the next poll too.
        if (this.accumulator.active.size > 1) {
          this.accumulator.active.delete(queue)
          this.accumulator.active.add(queue)
        }
        if (this.#isReady(queue, nowMs, pressure)) later.push(queue)
      }
      candidates = later
      // None but what could not be compressed.
      if (batches.length === 0) continue
      node.inFlight++
      node.lastDrainMs = nowMs
      calls.push({ nodeId: node.id, batches, queues })
    }
  }

  #take(queue: PartitionQueue, next: ProducerBatch): ProducerBatch {
    if (next.state !== "Retry") {
      this.accumulator.shift(queue)
      if (this.#settings.isIdempotent) queue.sequences.assign(next)
    }
    next.state = "InTransit"
    next.isOutOfOrder = false
    next.attempts++
    next.sentLeaderEpoch = queue.leaderEpoch
    return next
  }

  /** KIP-794: how much waits where, for partitioners that go by it. */
  #tellLoad(nowMs: number): void {
    // Once in a millisecond: a topic may have thousands of partitions.
    if (!this.#settings.adaptive || this.#loadToldMs === nowMs) return
    this.#loadToldMs = nowMs
    for (const topic of this.accumulator.topics.values()) {
      const { partitioner } = topic
      if (partitioner.onLoad === undefined || topic.usedCount < topic.described.available.length) continue
      const sizes: Array<number> = []
      const partitions: Array<number> = []
      for (const partition of topic.described.available) {
        const queue = topic.partitions[partition]!
        const node = this.#nodes.get(queue.leader)
        if (node?.isStuck(this.#settings.availabilityTimeoutMs) === true) continue
        sizes.push(queue.queue.length)
        partitions.push(partition)
      }
      partitioner.onLoad(sizes, partitions, topic.described)
    }
  }

  #node(id: number): SenderNode {
    let node = this.#nodes.get(id)
    if (node === undefined) this.#nodes.set(id, node = new SenderNode(id))
    return node
  }

  /** @param failures in a row, 1 or more */
  #backoffMs(failures: number): number {
    return backoffMs(this.#settings.retryBackoff, failures, this.#random())
  }
}

/** Whether it may be in the log, and the broker has not been asked since. */
const isUncertain = ({ isOutOfOrder, maybeAppended }: ProducerBatch): boolean => maybeAppended && !isOutOfOrder

/** Whether asking again changes nothing. A broken answer may be whole the next time. */
export const isHopeless = (error: ClientError): boolean => error._tag === "FatalError" && error.reason !== "CORRUPT"

/** What a producer that was closed says. */
export const closedError = (): FatalError => new FatalError("CLOSED", "the producer is closed")
