/**
 * DeleteRecords, versions 0-2. Moves the log start of partitions (KIP-107); whole segments below it go later.
 * Offset -1: to the high watermark. Answered when every replica that lives has moved its log start, with the smallest
 * as the low watermark; followers learn of theirs with their fetches. When the time is up before that: REQUEST_TIMED_OUT,
 * and it comes about all the same. A topic that is only compacted is POLICY_VIOLATION, an internal one
 * INVALID_TOPIC_EXCEPTION.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeDeleteRecordsRequest, encodeDeleteRecordsResponse } from "../../protocol/generated/DeleteRecords.ts"
import { toSafe } from "../../protocol/Int64.ts"
import type { Partition } from "../../replication/Partition.ts"
import { DelayedOperation, type Watchers } from "../../replication/Purgatory.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later, type Reply, type RequestContext } from "../Handler.ts"
import { absentError } from "./Leaders.ts"
import { isInternalTopic } from "./MetadataAnswer.ts"

interface Item {
  readonly partitionIndex: number
  errorCode: number
  lowWatermark: number
  /** Where replicas are waited for, to which log start. */
  waitsFor: { readonly partition: Partition; readonly target: number } | undefined
}

interface DeletedTopic {
  readonly name: string
  readonly partitions: ReadonlyArray<Item>
}

class DeleteRecords extends DelayedOperation {
  readonly later: Later = new Later()
  readonly #broker: BrokerServices
  readonly #context: RequestContext
  readonly #topics: ReadonlyArray<DeletedTopic>

  constructor(broker: BrokerServices, context: RequestContext, topics: ReadonlyArray<DeletedTopic>, timeoutMs: number) {
    super(timeoutMs)
    this.#broker = broker
    this.#context = context
    this.#topics = topics
  }

  start(): Reply {
    if (this.tryComplete()) return this.later
    const { purgatory } = this.#broker.partitions
    const watching: Array<Watchers> = []
    for (const { waitsFor } of this.#items()) if (waitsFor !== undefined) watching.push(waitsFor.partition.logStartWatchers)
    this.later.onCancel = () => purgatory.remove(this)
    if (!purgatory.watch(this, watching)) this.expire()
    return this.later
  }

  *#items(): Iterable<Item> {
    for (const { partitions } of this.#topics) yield* partitions
  }

  override tryComplete(): boolean {
    if (this.later.isDone) return true
    const { brokers } = this.#broker.image()
    const isAlive = (id: number): boolean => brokers.get(id)?.fenced === false
    let isDone = true
    for (const item of this.#items()) {
      if (item.waitsFor === undefined) continue
      const { partition, target } = item.waitsFor
      const error = partition.check(-1)
      item.lowWatermark = error === ErrorCode.NONE ? partition.lowWatermark(isAlive) : -1
      if (error === ErrorCode.NONE && item.lowWatermark < target) isDone = false
      else {
        item.errorCode = error
        item.waitsFor = undefined
      }
    }
    if (isDone) this.#answer()
    return isDone
  }

  override expire(): void {
    for (const item of this.#items()) if (item.waitsFor !== undefined) item.errorCode = ErrorCode.REQUEST_TIMED_OUT
    this.#answer()
  }

  #answer(): void {
    const { apiVersion } = this.#context
    this.later.complete((writer) =>
      encodeDeleteRecordsResponse(writer, apiVersion, { throttleTimeMs: 0, topics: this.#topics })
    )
  }
}

export const makeDeleteRecords = (broker: BrokerServices): Handler => {
  const deleteRecords = (name: string, partitionIndex: number, offset: number): Item => {
    const refused = (errorCode: number): Item => ({ partitionIndex, errorCode, lowWatermark: -1, waitsFor: undefined })
    const image = broker.image().topicsByName.get(name)
    const partition = broker.partitions.topic(name)?.partitions[partitionIndex]
    if (image?.partitions[partitionIndex] !== undefined && isInternalTopic(name)) {
      return refused(ErrorCode.INVALID_TOPIC_EXCEPTION)
    }
    if (partition === undefined) return refused(absentError(broker, image, partitionIndex))
    const { error, target } = partition.deleteRecords(offset)
    if (error !== ErrorCode.NONE) return refused(error)
    return { partitionIndex, errorCode: ErrorCode.NONE, lowWatermark: -1, waitsFor: { partition, target } }
  }

  return {
    apiKey: ApiKey.DeleteRecords,
    minVersion: 0,
    maxVersion: 2,
    handle: (context, reader) => {
      const request = decodeDeleteRecordsRequest(reader, context.apiVersion)
      const topics = request.topics.map(({ name, partitions }): DeletedTopic => ({
        name,
        // An offset past 2^53 is past every high watermark, one below -2^53 is as wrong as -2.
        partitions: partitions.map(({ offset, partitionIndex }) =>
          deleteRecords(name, partitionIndex, toSafe(offset) ?? (offset > 0 ? Number.MAX_SAFE_INTEGER : -2))
        )
      }))
      return new DeleteRecords(broker, context, topics, request.timeoutMs).start()
    }
  }
}
