/**
 * The questions about offsets that a consumer asks brokers: by time (ListOffsets), by leader epoch
 * (OffsetForLeaderEpoch), and of the group (OffsetFetch, OffsetCommit). One attempt each; who asks tries again.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { ErrorCode, isStaleMetadata } from "../protocol/ErrorCode.ts"
import { type ListOffsetsRequestInput, listOffsetsApi } from "../protocol/generated/ListOffsets.ts"
import { type OffsetCommitRequestInput, offsetCommitApi } from "../protocol/generated/OffsetCommit.ts"
import { type OffsetFetchRequestInput, offsetFetchApi } from "../protocol/generated/OffsetFetch.ts"
import { type OffsetForLeaderEpochRequestInput, offsetForLeaderEpochApi } from "../protocol/generated/OffsetForLeaderEpoch.ts"
import { ZERO_UUID } from "../protocol/Uuid.ts"
import type { RpcApi } from "../rpc/RpcApi.ts"
import { type ClientError, errorOfCode, RetriableError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import type { GroupMetadata, PartitionOffset } from "./Consumer.ts"
import { partitionKey } from "./SubscriptionState.ts"

/** From version 10 on both name topics by id (KIP-848). */
const LAST_VERSION_WITH_NAMES = 9
const FIRST_VERSION_WITH_GROUPS = 8

export interface ListedOffset {
  readonly offset: number
  readonly timestamp: number
  readonly leaderEpoch: number
}

/** What was asked of each partition has an answer or an error. */
export type ByPartition<A> = Map<string, A | ClientError>

export const isClientError = (value: unknown): value is ClientError =>
  value instanceof Error && "_tag" in value && (value._tag === "RetriableError" || value._tag === "FatalError")

interface LeaderQuestion<Q extends TopicPartition> {
  readonly leader: number
  readonly leaderEpoch: number
  readonly question: Q
}

/** Groups questions by the leader that answers them. Without a leader the answer is an error, and metadata is asked for. */
const byLeader = <Q extends TopicPartition, A>(
  cluster: Cluster,
  questions: ReadonlyArray<Q>,
  answers: ByPartition<A>
): Map<number, Array<LeaderQuestion<Q>>> => {
  const leaders = new Map<number, Array<LeaderQuestion<Q>>>()
  for (const question of questions) {
    const view = cluster.topic(question.topic)?.partitions[question.partition]
    if (view === undefined || view.leader < 0) {
      // A topic that is not known is asked for by whoever reads it, with its own pauses.
      if (view !== undefined) cluster.invalidate()
      const name = view === undefined ? "UNKNOWN_TOPIC_OR_PARTITION" : "LEADER_NOT_AVAILABLE"
      answers.set(
        partitionKey(question.topic, question.partition),
        new RetriableError(name, `${partitionKey(question.topic, question.partition)} has no leader that is known`, ErrorCode[name])
      )
      continue
    }
    const one = { leader: view.leader, leaderEpoch: view.leaderEpoch, question }
    const list = leaders.get(view.leader)
    if (list === undefined) leaders.set(view.leader, [one])
    else list.push(one)
  }
  return leaders
}

const topicsOf = <Q extends TopicPartition, P>(
  questions: Iterable<Q>,
  partition: (question: Q) => P
): ReadonlyArray<{ readonly name: string; readonly partitions: ReadonlyArray<P> }> => {
  const topics = new Map<string, Array<P>>()
  for (const question of questions) {
    const list = topics.get(question.topic)
    if (list === undefined) topics.set(question.topic, [partition(question)])
    else list.push(partition(question))
  }
  return [...topics].map(([name, partitions]) => ({ name, partitions }))
}

export type Isolation = "read_uncommitted" | "read_committed"

/** The first offset at or after each timestamp (offset -1: none); -1 the end, -2 the start. Asks every leader at once. */
export const listOffsets = (
  cluster: Cluster,
  questions: ReadonlyArray<TopicPartition & { readonly timestamp: number }>,
  isolation: Isolation
): Effect.Effect<ByPartition<ListedOffset>> =>
  Effect.suspend(() => {
    const answers: ByPartition<ListedOffset> = new Map()
    const asks = [...byLeader(cluster, questions, answers)].map(([leader, asked]) => {
      const epochs = new Map(asked.map(({ leaderEpoch, question }) => [partitionKey(question.topic, question.partition), leaderEpoch]))
      const request: ListOffsetsRequestInput = {
        replicaId: -1,
        isolationLevel: isolation === "read_committed" ? 1 : 0,
        timeoutMs: cluster.config["request.timeout.ms"] ?? 30_000,
        topics: topicsOf(asked.map(({ question }) => question), (question) => ({
          partitionIndex: question.partition,
          currentLeaderEpoch: epochs.get(partitionKey(question.topic, question.partition)) ?? -1,
          timestamp: question.timestamp
        }))
      }
      return cluster.call(leader, "data", listOffsetsApi, request).pipe(
        Effect.result,
        Effect.map((result) => {
          if (Result.isFailure(result)) {
            cluster.invalidate()
            for (const { question } of asked) answers.set(partitionKey(question.topic, question.partition), result.failure)
            return
          }
          for (const { name, partitions } of result.success.topics) {
            for (const { errorCode, leaderEpoch, offset, partitionIndex, timestamp } of partitions) {
              if (isStaleMetadata(errorCode)) cluster.invalidate()
              const key = partitionKey(name, partitionIndex)
              answers.set(
                key,
                errorCode === ErrorCode.NONE
                  ? { offset: Number(offset), timestamp: Number(timestamp), leaderEpoch }
                  : errorOfCode(errorCode, `offset of ${key}`)
              )
            }
          }
        })
      )
    })
    return Effect.as(Effect.all(asks, { concurrency: "unbounded", discard: true }), answers)
  })

export interface EpochEnd {
  readonly leaderEpoch: number
  readonly endOffset: number
  /** The epoch of the leader that was asked. */
  readonly askedEpoch: number
}

/** Where the log of each leader has the end of an epoch (KIP-320). */
export const endOfEpochs = (
  cluster: Cluster,
  questions: ReadonlyArray<TopicPartition & { readonly leaderEpoch: number }>
): Effect.Effect<ByPartition<EpochEnd>> =>
  Effect.suspend(() => {
    const answers: ByPartition<EpochEnd> = new Map()
    const asks = [...byLeader(cluster, questions, answers)].map(([leader, asked]) => {
      const epochs = new Map(asked.map(({ leaderEpoch, question }) => [partitionKey(question.topic, question.partition), leaderEpoch]))
      const request: OffsetForLeaderEpochRequestInput = {
        replicaId: -1,
        topics: topicsOf(asked.map(({ question }) => question), (question) => ({
          partition: question.partition,
          currentLeaderEpoch: epochs.get(partitionKey(question.topic, question.partition)) ?? -1,
          leaderEpoch: question.leaderEpoch
        })).map(({ name, partitions }) => ({ topic: name, partitions }))
      }
      return cluster.call(leader, "data", offsetForLeaderEpochApi, (version) =>
        version >= 3 ? request : { topics: request.topics }).pipe(
        Effect.result,
        Effect.map((result) => {
          if (Result.isFailure(result)) {
            cluster.invalidate()
            for (const { question } of asked) answers.set(partitionKey(question.topic, question.partition), result.failure)
            return
          }
          for (const { partitions, topic } of result.success.topics) {
            for (const { endOffset, errorCode, leaderEpoch, partition } of partitions) {
              if (isStaleMetadata(errorCode)) cluster.invalidate()
              const key = partitionKey(topic, partition)
              answers.set(
                key,
                errorCode === ErrorCode.NONE
                  ? { leaderEpoch, endOffset: Number(endOffset), askedEpoch: epochs.get(key) ?? -1 }
                  : errorOfCode(errorCode, `end of an epoch of ${key}`)
              )
            }
          }
        })
      )
    })
    return Effect.as(Effect.all(asks, { concurrency: "unbounded", discard: true }), answers)
  })

const topicIds = (cluster: Cluster, names: Iterable<string>): Map<string, string> | undefined => {
  const ids = new Map<string, string>()
  for (const name of names) {
    const id = cluster.topic(name)?.id ?? ZERO_UUID
    if (id === ZERO_UUID) return undefined
    ids.set(name, id)
  }
  return ids
}

const failedCoordinator = (cluster: Cluster, groupId: string, errorCode: number): void => {
  if (errorCode === ErrorCode.NOT_COORDINATOR || errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE) {
    cluster.forgetCoordinator({ kind: "group", key: groupId })
  }
}

/** The connection to a coordinator ended, or it did not answer: it may be another one now. */
export const callCoordinator = <Request, Response>(
  cluster: Cluster,
  groupId: string,
  api: RpcApi<Request, Response>,
  request: Request | ((version: number) => Request),
  /** `asks` is told whom, before it is asked. */
  options?: { readonly timeoutMs?: number; readonly asks?: (nodeId: number) => void }
): Effect.Effect<Response, ClientError> =>
  cluster.coordinator({ kind: "group", key: groupId }).pipe(
    Effect.flatMap((node) => {
      options?.asks?.(node)
      return cluster.call(node, "coordinator", api, request, options)
    }),
    Effect.tapError(() => Effect.sync(() => cluster.forgetCoordinator({ kind: "group", key: groupId })))
  )

/** What the group has committed; partitions that have nothing are absent. */
export const fetchCommitted = (
  cluster: Cluster,
  groupId: string,
  partitions: ReadonlyArray<TopicPartition>
): Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError> =>
  Effect.suspend(() => {
    const ids = topicIds(cluster, partitions.map(({ topic }) => topic))
    const api = ids === undefined ? { ...offsetFetchApi, maxVersion: LAST_VERSION_WITH_NAMES } : offsetFetchApi
    const topics = topicsOf(partitions, ({ partition }) => partition)
    return callCoordinator(cluster, groupId, api, (version): OffsetFetchRequestInput =>
      version < FIRST_VERSION_WITH_GROUPS
        ? {
          groupId,
          topics: topics.map(({ name, partitions }) => ({ name, partitionIndexes: partitions })),
          ...(version >= 7 ? { requireStable: true } : {})
        }
        : {
          groups: [{
            groupId,
            topics: topics.map(({ name, partitions }) => ({
              ...(version > LAST_VERSION_WITH_NAMES ? { topicId: ids!.get(name)! } : { name }),
              partitionIndexes: partitions
            }))
          }],
          requireStable: true
        }).pipe(Effect.flatMap((response) => {
        const names = new Map([...ids ?? []].map(([name, id]) => [id, name]))
        const group = response.groups[0] ?? response
        const context = `committed offsets of group ${groupId}`
        if (group.errorCode !== ErrorCode.NONE) {
          failedCoordinator(cluster, groupId, group.errorCode)
          return Effect.fail(errorOfCode(group.errorCode, context))
        }
        const offsets: Array<PartitionOffset> = []
        for (const answer of group.topics) {
          const topic = answer.name !== "" ? answer.name : "topicId" in answer ? names.get(answer.topicId) : undefined
          if (topic === undefined) continue
          for (const { committedLeaderEpoch, committedOffset, errorCode, metadata, partitionIndex } of answer.partitions) {
            if (errorCode !== ErrorCode.NONE) {
              failedCoordinator(cluster, groupId, errorCode)
              if (isStaleMetadata(errorCode)) cluster.invalidate()
              return Effect.fail(errorOfCode(errorCode, `${context}: ${partitionKey(topic, partitionIndex)}`))
            }
            const offset = Number(committedOffset)
            if (offset < 0) continue
            offsets.push({ topic, partition: partitionIndex, offset, metadata: metadata ?? "", leaderEpoch: committedLeaderEpoch })
          }
        }
        return Effect.succeed(offsets)
      }))
  })

/** Commits for a member (or for nobody, with generation -1). Fails with the first partition's error. */
export const commitOffsets = (
  cluster: Cluster,
  group: GroupMetadata,
  offsets: ReadonlyArray<PartitionOffset>,
  timeoutMs?: number
): Effect.Effect<void, ClientError> =>
  Effect.suspend(() => {
    if (offsets.length === 0) return Effect.void
    const { generationId, groupId, groupInstanceId, memberId } = group
    const ids = topicIds(cluster, offsets.map(({ topic }) => topic))
    const api = ids === undefined ? { ...offsetCommitApi, maxVersion: LAST_VERSION_WITH_NAMES } : offsetCommitApi
    const topics = topicsOf(offsets, (one) => one)
    return callCoordinator(cluster, groupId, api, (version): OffsetCommitRequestInput => ({
      groupId,
      generationIdOrMemberEpoch: generationId,
      memberId,
      ...(version >= 7 ? { groupInstanceId: groupInstanceId ?? null } : {}),
      topics: topics.map(({ name, partitions }) => ({
        ...(version > LAST_VERSION_WITH_NAMES ? { topicId: ids!.get(name)! } : { name }),
        partitions: partitions.map(({ leaderEpoch, metadata, offset, partition }) => ({
          partitionIndex: partition,
          committedOffset: offset,
          ...(version >= 6 ? { committedLeaderEpoch: leaderEpoch ?? -1 } : {}),
          committedMetadata: metadata ?? ""
        }))
      }))
    }), timeoutMs === undefined ? undefined : { timeoutMs }).pipe(Effect.flatMap((response) => {
      for (const { partitions } of response.topics) {
        for (const { errorCode, partitionIndex } of partitions) {
          if (errorCode === ErrorCode.NONE) continue
          failedCoordinator(cluster, groupId, errorCode)
          if (isStaleMetadata(errorCode)) cluster.invalidate()
          return Effect.fail(errorOfCode(errorCode, `commit of group ${groupId}, partition ${partitionIndex}`))
        }
      }
      return Effect.void
    }))
  })
