/**
 * Produce, versions 3-13 (advertised from 0: an old librdkafka looks there). Appends one batch per partition.
 *
 * acks=1 is answered after the write, acks=-1 when the high watermark passed the batch, each after the fsync when the
 * flush policy asks for one. acks=0 is not answered; an error then closes the connection. Batches of one turn share
 * one write per partition (AppendTurn.ts). A deadline that passes is REQUEST_TIMED_OUT: the batch stays appended.
 *  - KIP-98: idempotent producers; the log remembers 5 batches per producer
 *  - KIP-467 (8): the records that were refused, by index
 *  - An internal topic is INVALID_TOPIC_EXCEPTION for all clients but one called `__admin_client`.
 *  - KIP-951 (10): the leader, when it is another
 *  - KIP-516 (13): topics by id
 * Left out: transactions. A batch with the transactional bit is refused as by a Kafka whose coordinator is not available
 * (NOT_ENOUGH_REPLICAS), or, when the request has no transactional id, as by any (TRANSACTIONAL_ID_AUTHORIZATION_FAILED).
 */
import type { TopicImage } from "../../cluster/MetadataImage.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import type { ByteWriter } from "../../protocol/ByteWriter.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeProduceRequest,
  encodeProduceResponse,
  type ProduceRequest,
  type ProduceResponsePartitionProduceResponseInput
} from "../../protocol/generated/Produce.ts"
import type { ProduceRefusal } from "../../records/ProduceRefusal.ts"
import type { Partition, StagedAppend } from "../../replication/Partition.ts"
import { DelayedOperation, type Watchers } from "../../replication/Purgatory.ts"
import type { HostedTopic } from "../../replication/Partitions.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { CloseConnection, type Handler, Later, NoResponse, type RequestContext, type Response } from "../Handler.ts"
import { absentError, endpointsOf, leaderOf } from "./Leaders.ts"
import { isInternalTopic } from "./MetadataAnswer.ts"
import { scanError, scanRecords, ZSTD, ZSTD_FROM } from "./ProduceScan.ts"

/** From this version topics are named by id. */
const TOPIC_IDS_FROM = 13

interface Item {
  readonly topic: string
  readonly index: number
  /** Where the records were offered. */
  readonly partition: Partition | undefined
  readonly staged: StagedAppend | ProduceRefusal
  /** Of the staged append, once known. */
  outcome: number | undefined
}

interface ProduceTopic {
  readonly name: string
  readonly topicId: string
  readonly items: ReadonlyArray<Item>
}

const refusal = (error: number, message: string | null = null): ProduceRefusal => ({
  _tag: "Refusal",
  error,
  message: message ?? "",
  recordErrors: []
})

/** Refusals that Kafka sends without the log start offset. */
const WITHOUT_LOG_START: ReadonlySet<number> = new Set([
  ErrorCode.CORRUPT_MESSAGE,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.MESSAGE_TOO_LARGE,
  ErrorCode.RECORD_LIST_TOO_LARGE,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.UNKNOWN_TOPIC_ID,
  ErrorCode.INVALID_TOPIC_EXCEPTION
])

/** Internal topics are their coordinators' to write, and those of a client of this name, as in Kafka. */
const ADMIN_CLIENT_ID = "__admin_client"

const NO_COORDINATOR =
  "Unable to verify the partition has been added to the transaction. Underlying error: COORDINATOR_NOT_AVAILABLE"

class Produce extends DelayedOperation {
  readonly #broker: BrokerServices
  readonly #context: RequestContext
  readonly #topics: ReadonlyArray<ProduceTopic>
  readonly #acks: number
  readonly later: Later = new Later()

  constructor(
    broker: BrokerServices,
    context: RequestContext,
    topics: ReadonlyArray<ProduceTopic>,
    acks: number,
    timeoutMs: number
  ) {
    super(timeoutMs)
    this.#broker = broker
    this.#context = context
    this.#topics = topics
    this.#acks = acks
  }

  /** After the turn's write: answers, or waits for what is missing. */
  written(): void {
    // Its connection went while the turn was written, so nobody waits.
    if (this.later.cancelled || this.tryComplete()) return
    const watching: Array<Watchers> = []
    for (const { items } of this.#topics) {
      for (const { staged, outcome } of items) {
        if (outcome === undefined && staged._tag === "Staged") watching.push(staged.partition.produceWatchers)
      }
    }
    const { purgatory } = this.#broker.partitions
    this.later.onCancel = () => purgatory.remove(this)
    if (!purgatory.watch(this, watching)) this.expire()
  }

  override tryComplete(): boolean {
    if (this.later.isDone) return true
    let isDone = true
    for (const { items } of this.#topics) {
      for (const item of items) {
        if (item.outcome !== undefined || item.staged._tag !== "Staged") continue
        item.outcome = item.staged.partition.appendOutcome(item.staged, this.#acks === 0 ? 1 : this.#acks)
        if (item.outcome === undefined) isDone = false
      }
    }
    if (isDone) this.#answer()
    return isDone
  }

  override expire(): void {
    for (const { items } of this.#topics) {
      for (const item of items) item.outcome ??= ErrorCode.REQUEST_TIMED_OUT
    }
    this.#answer()
  }

  #answer(): void {
    this.later.complete(respond(this.#broker, this.#context, this.#topics, this.#acks))
  }
}

/** acks=0: nothing is told, but an error must not pass unnoticed. */
const respondToNothing = (topics: ReadonlyArray<ProduceTopic>): Response => {
  for (const { items } of topics) {
    for (const { index, outcome, staged, topic } of items) {
      const error = staged._tag === "Refusal" ? staged.error : outcome ?? ErrorCode.NONE
      if (error !== ErrorCode.NONE) return new CloseConnection(`error ${error} for ${topic}-${index} with acks=0`)
    }
  }
  return NoResponse
}

const respond = (
  broker: BrokerServices,
  context: RequestContext,
  topics: ReadonlyArray<ProduceTopic>,
  acks: number
): Response => {
  if (acks === 0) return respondToNothing(topics)
  const version = context.apiVersion
  return (writer: ByteWriter) => {
    const leaders: Array<number> = []
    const responses = topics.map(({ items, name, topicId }) => ({
      name,
      topicId,
      partitionResponses: items.map((item) => partitionResponse(broker, version, item, leaders))
    }))
    encodeProduceResponse(writer, version, {
      responses,
      nodeEndpoints: leaders.length === 0 ? undefined : endpointsOf(broker, context.connection.listenerName, new Set(leaders))
    })
  }
}

const partitionResponse = (
  broker: BrokerServices,
  version: number,
  { index, outcome, partition, staged, topic }: Item,
  leaders: Array<number>
): ProduceResponsePartitionProduceResponseInput => {
  const errorCode = staged._tag === "Refusal" ? staged.error : outcome ?? ErrorCode.NONE
  const response: { -readonly [K in keyof ProduceResponsePartitionProduceResponseInput]: ProduceResponsePartitionProduceResponseInput[K] } = {
    index,
    errorCode,
    baseOffset: -1,
    logAppendTimeMs: -1
  }
  if (staged._tag === "Staged") {
    // What timed out, or lost its replicas afterwards, is appended all the same: Kafka tells where.
    if (staged.error === ErrorCode.NONE) {
      response.baseOffset = staged.appended.baseOffset
      response.logAppendTimeMs = staged.appended.logAppendTimeMs
      if (version >= 5) response.logStartOffset = staged.appended.logStartOffset
    }
    if (errorCode === ErrorCode.NONE) return response
  } else {
    if (version >= 5 && partition !== undefined && !WITHOUT_LOG_START.has(errorCode)) {
      response.logStartOffset = partition.logStartOffset
    }
    if (version >= 8) {
      response.errorMessage = staged.message === "" ? null : staged.message
      response.recordErrors = staged.recordErrors.map(({ index, message }) => ({
        batchIndex: index,
        batchIndexErrorMessage: message
      }))
    }
  }
  if (version >= 10 && errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER) {
    const leader = leaderOf(broker, topic, index)
    response.currentLeader = leader
    if (leader.leaderId >= 0) leaders.push(leader.leaderId)
  }
  return response
}

/** What makes all of a request's partitions fail alike. */
const errorOfAll = (
  { partitions }: BrokerServices,
  request: ProduceRequest,
  version: number
): ProduceRefusal | undefined => {
  let hasUnknownCodec = false
  for (const { name, partitionData } of request.topicData) {
    for (const { index, records } of partitionData) {
      const scanned = scanRecords(records)
      if (typeof scanned === "string") return refusal(ErrorCode.CORRUPT_MESSAGE, scanned)
      // Kafka looks no further once it knows that the request is transactional.
      if (scanned.isTransactional) {
        return request.transactionalId === null ? refusal(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED) : undefined
      }
      if (scanned.codec > ZSTD && partitions.get(name, index) !== undefined) hasUnknownCodec = true
    }
  }
  // Kafka fails on the number while it looks for zstd, which only these versions may not use.
  return hasUnknownCodec && version < ZSTD_FROM ? refusal(ErrorCode.UNKNOWN_SERVER_ERROR) : undefined
}

export const makeProduce = (broker: BrokerServices): Handler => {
  const { appendTurn, partitions } = broker

  const item = (
    context: RequestContext,
    nowMs: number,
    request: ProduceRequest,
    topic: HostedTopic | undefined,
    image: TopicImage | undefined,
    name: string,
    { index, records }: ProduceRequest["topicData"][number]["partitionData"][number],
    requestError: ProduceRefusal | undefined
  ): Item => {
    const refusedWith = (staged: ProduceRefusal): Item => ({
      topic: image?.name ?? name,
      index,
      partition: undefined,
      staged,
      outcome: undefined
    })
    const refused = (error: number, message: string | null = null): Item => refusedWith(refusal(error, message))
    if (requestError !== undefined) return refusedWith(requestError)
    // A known topic without that partition is unknown by name in every version.
    const partition = topic?.partitions[index]
    if (partition === undefined) {
      const isUnknownId = image === undefined && context.apiVersion >= TOPIC_IDS_FROM
      const unknown = isUnknownId ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
      return refused(absentError(broker, image, index, unknown))
    }
    const scanned = scanRecords(records)
    // Behind a transactional batch the request was not looked through.
    if (typeof scanned === "string") return refused(ErrorCode.CORRUPT_MESSAGE, scanned)
    const error = scanError(scanned, context.apiVersion)
    if (error !== ErrorCode.NONE) return refused(error)
    if (request.acks < -1 || request.acks > 1) return refused(ErrorCode.INVALID_REQUIRED_ACKS)
    if (isInternalTopic(partition.topic) && context.clientId !== ADMIN_CLIENT_ID) {
      return refused(ErrorCode.INVALID_TOPIC_EXCEPTION)
    }
    if (scanned.isTransactional) return refused(ErrorCode.NOT_ENOUGH_REPLICAS, NO_COORDINATOR)
    const staged = partition.appendAsLeader(records!, request.acks, {
      nowMs,
      apiVersion: context.apiVersion
    })
    if (staged._tag === "Staged") appendTurn.touch(partition)
    return { topic: partition.topic, index, partition, staged, outcome: undefined }
  }

  return {
    apiKey: ApiKey.Produce,
    minVersion: 3,
    maxVersion: 13,
    advertisedMin: 0,
    handle: (context, reader) => {
      const request = decodeProduceRequest(reader, context.apiVersion)
      const byId = context.apiVersion >= TOPIC_IDS_FROM
      const requestError = errorOfAll(broker, request, context.apiVersion)
      const nowMs = broker.nowMs()
      const topics = request.topicData.map(({ name, partitionData, topicId }): ProduceTopic => {
        const topic = byId ? partitions.topicById(topicId) : partitions.topic(name)
        const image = byId ? broker.image().topicsById.get(topicId) : broker.image().topicsByName.get(name)
        return {
          name,
          topicId,
          items: partitionData.map((data) => item(context, nowMs, request, topic, image, name, data, requestError))
        }
      })
      const produce = new Produce(broker, context, topics, request.acks, request.timeoutMs)
      appendTurn.await(produce)
      return produce.later
    }
  }
}
