/** The Admin's replicas: moving partitions to other brokers (KIP-455), electing their leaders (KIP-460). */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import * as AlterPartitionReassignments from "../protocol/generated/AlterPartitionReassignments.ts"
import * as ElectLeaders from "../protocol/generated/ElectLeaders.ts"
import * as ListPartitionReassignments from "../protocol/generated/ListPartitionReassignments.ts"
import type { Admin, OngoingReassignment, PartitionResult } from "./Admin.ts"
import { type ClientError, errorOfCode, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { isError, settleEach } from "./internal/Settle.ts"

/** From this version on a request says whether the number of replicas may change (KIP-860). */
const REPLICATION_FACTOR_VERSION = 1
/** From this version on a request has a type of election (KIP-460). */
const ELECTION_TYPE_VERSION = 1
const electionTypes = { "preferred": 0, "unclean": 1 } as const

const keyOf = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`

/** Partitions by topic, in the order in which topics first come. */
const byTopic = <T extends TopicPartition>(partitions: ReadonlyArray<T>): ReadonlyMap<string, ReadonlyArray<T>> => {
  const topics = new Map<string, Array<T>>()
  for (const one of partitions) {
    const list = topics.get(one.topic)
    if (list === undefined) topics.set(one.topic, [one])
    else list.push(one)
  }
  return topics
}

/** Each partition's end, asked of the controller; the last word counts for one that is named twice. */
const settlePartitions = <T extends TopicPartition>(
  cluster: Cluster,
  partitions: ReadonlyArray<T>,
  ask: (nodeId: number, partitions: ReadonlyArray<T>) => Effect.Effect<ReadonlyMap<string, void | ClientError>, ClientError>
): Effect.Effect<ReadonlyArray<PartitionResult>, ClientError> => {
  const wanted = new Map(partitions.map((one) => [keyOf(one), one]))
  return Effect.map(
    settleEach(cluster, [...wanted.keys()], (keys) =>
      Effect.flatMap(cluster.controller, (nodeId) => ask(nodeId, keys.map((key) => wanted.get(key)!)))),
    (ends) =>
      [...wanted].map(([key, { partition, topic }]) => {
        const end = ends.get(key)
        return { topic, partition, error: isError(end) ? end : undefined }
      })
  )
}

export const replicasAdmin = (
  cluster: Cluster
): Pick<Admin, "alterPartitionReassignments" | "listPartitionReassignments" | "electLeaders"> => {
  const timeoutMs = cluster.config["request.timeout.ms"]

  const alterPartitionReassignments: Admin["alterPartitionReassignments"] = (reassignments, options = {}) =>
    settlePartitions(cluster, reassignments, (nodeId, asked) =>
      Effect.gen(function*() {
        const allowReplicationFactorChange = options.allowReplicationFactorChange ?? true
        const version = yield* cluster.versionOf(nodeId, "data", AlterPartitionReassignments.alterPartitionReassignmentsApi)
        if (!allowReplicationFactorChange && version < REPLICATION_FACTOR_VERSION) {
          return yield* Effect.fail(new FatalError("UNSUPPORTED", "this broker cannot hold a reassignment to the number of replicas (KIP-860)"))
        }
        const answer = yield* cluster.call(nodeId, "data", AlterPartitionReassignments.alterPartitionReassignmentsApi, {
          timeoutMs,
          ...version >= REPLICATION_FACTOR_VERSION ? { allowReplicationFactorChange } : {},
          topics: [...byTopic(asked)].map(([name, list]) => ({
            name,
            partitions: list.map(({ partition, replicas }) => ({ partitionIndex: partition, replicas }))
          }))
        }, { version })
        if (answer.errorCode !== ErrorCode.NONE) {
          return yield* Effect.fail(errorOfCode(answer.errorCode, "reassign partitions", answer.errorMessage))
        }
        return new Map(answer.responses.flatMap(({ name: topic, partitions }) =>
          partitions.map(({ errorCode, errorMessage, partitionIndex }): [string, void | ClientError] => {
            const key = keyOf({ topic, partition: partitionIndex })
            return [key, errorCode === ErrorCode.NONE ? undefined : errorOfCode(errorCode, `reassign ${key}`, errorMessage)]
          })
        ))
      }))

  const listPartitionReassignments: Admin["listPartitionReassignments"] = (partitions) =>
    cluster.retry(Effect.gen(function*() {
      const nodeId = yield* cluster.controller
      const topics = partitions === undefined
        ? null
        : [...byTopic(partitions)].map(([name, list]) => ({ name, partitionIndexes: list.map(({ partition }) => partition) }))
      const answer = yield* cluster.call(nodeId, "data", ListPartitionReassignments.listPartitionReassignmentsApi, { timeoutMs, topics })
      if (answer.errorCode !== ErrorCode.NONE) {
        if (answer.errorCode === ErrorCode.NOT_CONTROLLER) cluster.invalidate()
        return yield* Effect.fail(errorOfCode(answer.errorCode, "list reassignments", answer.errorMessage))
      }
      return answer.topics.flatMap(({ name: topic, partitions }) =>
        partitions.map(({ addingReplicas, partitionIndex, removingReplicas, replicas }): OngoingReassignment => ({
          topic,
          partition: partitionIndex,
          replicas,
          addingReplicas,
          removingReplicas
        })))
    }))

  const electLeaders: Admin["electLeaders"] = (type, partitions) => {
    const ask = (nodeId: number, asked: ReadonlyArray<TopicPartition> | null) =>
      Effect.gen(function*() {
        const version = yield* cluster.versionOf(nodeId, "data", ElectLeaders.electLeadersApi)
        if (type !== "preferred" && version < ELECTION_TYPE_VERSION) {
          return yield* Effect.fail(new FatalError("UNSUPPORTED", "this broker elects preferred leaders only (KIP-460)"))
        }
        const answer = yield* cluster.call(nodeId, "data", ElectLeaders.electLeadersApi, {
          ...version >= ELECTION_TYPE_VERSION ? { electionType: electionTypes[type] } : {},
          topicPartitions: asked === null ? null : [...byTopic(asked)].map(([topic, list]) => ({
            topic,
            partitions: list.map(({ partition }) => partition)
          })),
          timeoutMs
        }, { version })
        if (version >= ELECTION_TYPE_VERSION && answer.errorCode !== ErrorCode.NONE) {
          if (answer.errorCode === ErrorCode.NOT_CONTROLLER) cluster.invalidate()
          return yield* Effect.fail(errorOfCode(answer.errorCode, "elect leaders"))
        }
        return answer.replicaElectionResults.flatMap(({ partitionResult, topic }) =>
          partitionResult.map(({ errorCode, errorMessage, partitionId: partition }): PartitionResult => ({
            topic,
            partition,
            error: errorCode === ErrorCode.NONE ? undefined : errorOfCode(errorCode, `elect a leader of ${topic}-${partition}`, errorMessage)
          })))
      })
    if (partitions === undefined) {
      return cluster.retry(Effect.flatMap(cluster.controller, (nodeId) => ask(nodeId, null)))
    }
    return settlePartitions(cluster, partitions, (nodeId, asked) =>
      Effect.map(ask(nodeId, asked), (results) => new Map(results.map((one) => [keyOf(one), one.error]))))
  }

  return { alterPartitionReassignments, listPartitionReassignments, electLeaders }
}
