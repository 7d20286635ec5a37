/** Writes Fetch responses: what was read of each partition, grouped by topic in the order it was read. */
import type { FileSlice } from "../../model/Payload.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { encodeFetchResponse, type FetchRequest, type FetchResponsePartitionDataInput } from "../../protocol/generated/Fetch.ts"
import type { Partition } from "../../replication/Partition.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { FetchPartition } from "../FetchSessions.ts"
import type { RequestContext, ResponseBody } from "../Handler.ts"
import { endpointsOf, leaderOf } from "./Leaders.ts"

export interface FetchedPartition {
  readonly asked: FetchPartition
  /** "" when the id is not known. */
  readonly topicName: string
  readonly partition: Partition | undefined
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly slices: ReadonlyArray<FileSlice>
  readonly sizeBytes: number
  readonly diverging: { readonly epoch: number; readonly endOffset: number } | undefined
  /** KIP-392: where a consumer should go on reading; -1: here. */
  readonly preferredReplica: number
  /** Null unless read_committed. */
  readonly abortedTransactions: ReadonlyArray<{ readonly producerId: number; readonly firstOffset: number }> | null
}

/** An error of the session: no partition is answered. */
export const encodeFetchError = ({ apiVersion }: RequestContext, errorCode: number): ResponseBody => (writer) =>
  encodeFetchResponse(writer, apiVersion, { throttleTimeMs: 0, errorCode, sessionId: 0, responses: [] })

/** The request itself is wrong: every partition is told so, in versions that name topics. */
export const encodeFetchFailure = (
  { apiVersion }: RequestContext,
  errorCode: number,
  request: FetchRequest
): ResponseBody =>
(writer) => {
  const responses = apiVersion >= 13 ? [] : request.topics.map(({ partitions, topic }) => ({
    topic,
    partitions: partitions.map(({ partition }) => ({
      partitionIndex: partition,
      errorCode,
      highWatermark: -1,
      abortedTransactions: [],
      records: []
    }))
  }))
  const session = apiVersion >= 7 ? { errorCode, sessionId: request.sessionId } : {}
  encodeFetchResponse(writer, apiVersion, { throttleTimeMs: 0, ...session, responses })
}

/**
 * Takes over the leases of `fetched`: they are the writer's once the body is written.
 * @param isReplica a follower asked: it knows where brokers are
 */
export const encodeFetch = (
  broker: BrokerServices,
  context: RequestContext,
  sessionId: number,
  fetched: ReadonlyArray<FetchedPartition>,
  isReplica: boolean
): ResponseBody =>
(writer) => {
  const version = context.apiVersion
  const leaders: Set<number> = new Set()
  const responses: Array<{ topic: string; topicId: string; partitions: Array<FetchResponsePartitionDataInput> }> = []
  for (const one of fetched) {
    const { topic, topicId } = one.asked
    let last = responses.at(-1)
    if (last === undefined || last.topicId !== topicId || last.topic !== (topic ?? "")) {
      last = { topic: topic ?? "", topicId, partitions: [] }
      responses.push(last)
    }
    last.partitions.push(partitionAnswer(broker, version, one, leaders))
  }
  const session = version >= 7 ? { errorCode: ErrorCode.NONE, sessionId } : {}
  const endpoints = isReplica || leaders.size === 0
    ? {}
    : { nodeEndpoints: endpointsOf(broker, context.connection.listenerName, leaders) }
  encodeFetchResponse(writer, version, { throttleTimeMs: 0, ...session, responses, ...endpoints })
}

const partitionAnswer = (
  broker: BrokerServices,
  version: number,
  one: FetchedPartition,
  leaders: Set<number>
): FetchResponsePartitionDataInput => {
  const answer: { -readonly [K in keyof FetchResponsePartitionDataInput]: FetchResponsePartitionDataInput[K] } = {
    partitionIndex: one.asked.partition,
    errorCode: one.errorCode,
    highWatermark: one.highWatermark,
    lastStableOffset: one.lastStableOffset,
    abortedTransactions: one.abortedTransactions,
    records: one.slices
  }
  if (version >= 5) answer.logStartOffset = one.logStartOffset
  if (version >= 11) answer.preferredReadReplica = one.preferredReplica
  if (version >= 12 && one.diverging !== undefined) answer.divergingEpoch = one.diverging
  const isElsewhere = one.errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER ||
    one.errorCode === ErrorCode.FENCED_LEADER_EPOCH
  if (version >= 16 && isElsewhere) {
    const leader = leaderOf(broker, one.topicName, one.asked.partition)
    answer.currentLeader = leader
    if (leader.leaderId >= 0) leaders.add(leader.leaderId)
  }
  return answer
}
