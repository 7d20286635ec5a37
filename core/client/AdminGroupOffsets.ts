/** The Admin's committed offsets of groups: read, change, delete. */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import * as OffsetCommit from "../protocol/generated/OffsetCommit.ts"
import * as OffsetDelete from "../protocol/generated/OffsetDelete.ts"
import * as OffsetFetch from "../protocol/generated/OffsetFetch.ts"
import type { RpcApi } from "../rpc/RpcApi.ts"
import type { Admin } from "./Admin.ts"
import { type ClientError, errorOfCode, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import type { PartitionOffset } from "./Consumer.ts"
import { groupByTopic } from "./ConsumerProtocol.ts"
import { withCoordinator } from "./internal/Settle.ts"

/** The last version that names topics: offsets of a topic that is gone have a name and no id any more. */
const NAMES_VERSION = 9

/** From this version on OffsetFetch takes null for all partitions. */
const ALL_PARTITIONS_VERSION = 2

const offsetFetchApi: RpcApi<OffsetFetch.OffsetFetchRequestInput, OffsetFetch.OffsetFetchResponse> = {
  ...OffsetFetch.offsetFetchApi,
  maxVersion: NAMES_VERSION
}
const offsetCommitApi: RpcApi<OffsetCommit.OffsetCommitRequestInput, OffsetCommit.OffsetCommitResponse> = {
  ...OffsetCommit.offsetCommitApi,
  maxVersion: NAMES_VERSION
}

const keyOf = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`

type Outcome = TopicPartition & { readonly error: ClientError | undefined }

/** In the order asked for. */
const outcomes = (
  partitions: ReadonlyArray<TopicPartition>,
  answers: ReadonlyMap<string, number>,
  context: string
): ReadonlyArray<Outcome> =>
  partitions.map(({ partition, topic }) => {
    const key = keyOf({ topic, partition })
    const code = answers.get(key) ?? ErrorCode.UNKNOWN_SERVER_ERROR
    return { topic, partition, error: code === ErrorCode.NONE ? undefined : errorOfCode(code, `${context} of ${key}`) }
  })

/** Codes that speak of the coordinator and stand at every partition. */
const coordinatorCodes: ReadonlySet<number> = new Set([
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
])

export const groupOffsetsAdmin = (
  cluster: Cluster
): Pick<Admin, "listGroupOffsets" | "alterGroupOffsets" | "deleteGroupOffsets"> => {
  const listGroupOffsets: Admin["listGroupOffsets"] = (groupId, partitions) =>
    withCoordinator(cluster, groupId, (nodeId) =>
      Effect.gen(function*() {
        const topics = partitions === undefined
          ? null
          : groupByTopic(partitions).map(({ partitions, topic }) => ({ name: topic, partitionIndexes: partitions }))
        const version = yield* cluster.versionOf(nodeId, "coordinator", offsetFetchApi)
        if (topics === null && version < ALL_PARTITIONS_VERSION) {
          return yield* Effect.fail(new FatalError("UNSUPPORTED", "this broker tells offsets only of partitions that are named"))
        }
        const request = version >= 8 ? { groups: [{ groupId, topics }] } : { groupId, topics }
        const answer = yield* cluster.call(nodeId, "coordinator", offsetFetchApi, request, { version })
        const group = answer.groups.find((group) => group.groupId === groupId) ?? answer
        const context = `offsets of group ${JSON.stringify(groupId)}`
        if (group.errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(group.errorCode, context))
        const offsets: Array<PartitionOffset> = []
        for (const { name: topic, partitions } of group.topics) {
          for (const { committedLeaderEpoch, committedOffset, errorCode, metadata, partitionIndex } of partitions) {
            if (errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(errorCode, context))
            // -1: none is committed.
            if (Number(committedOffset) < 0) continue
            offsets.push({
              topic,
              partition: partitionIndex,
              offset: Number(committedOffset),
              metadata: metadata ?? "",
              leaderEpoch: committedLeaderEpoch
            })
          }
        }
        return offsets
      }))

  const alterGroupOffsets: Admin["alterGroupOffsets"] = (groupId, offsets) =>
    withCoordinator(cluster, groupId, (nodeId) =>
      Effect.gen(function*() {
        const byKey = new Map(offsets.map((offset) => [keyOf(offset), offset]))
        const answer = yield* cluster.call(nodeId, "coordinator", offsetCommitApi, (version) => ({
          groupId,
          memberId: "",
          topics: groupByTopic(byKey.values()).map(({ partitions, topic }) => ({
            name: topic,
            partitions: partitions.map((partition) => {
              const { leaderEpoch, metadata, offset } = byKey.get(keyOf({ topic, partition }))!
              return {
                partitionIndex: partition,
                committedOffset: offset,
                committedMetadata: metadata ?? "",
                ...version >= 6 ? { committedLeaderEpoch: leaderEpoch ?? -1 } : {}
              }
            })
          }))
        }))
        const context = `alter offset of group ${JSON.stringify(groupId)}`
        const codes = new Map<string, number>()
        for (const { name: topic, partitions } of answer.topics) {
          for (const { errorCode, partitionIndex } of partitions) {
            if (coordinatorCodes.has(errorCode)) return yield* Effect.fail(errorOfCode(errorCode, context))
            codes.set(keyOf({ topic, partition: partitionIndex }), errorCode)
          }
        }
        return outcomes(offsets, codes, context)
      }))

  const deleteGroupOffsets: Admin["deleteGroupOffsets"] = (groupId, partitions) =>
    withCoordinator(cluster, groupId, (nodeId) =>
      Effect.gen(function*() {
        const answer = yield* cluster.call(nodeId, "coordinator", OffsetDelete.offsetDeleteApi, {
          groupId,
          topics: groupByTopic(partitions).map(({ partitions, topic }) => ({
            name: topic,
            partitions: partitions.map((partitionIndex) => ({ partitionIndex }))
          }))
        })
        const context = `delete offset of group ${JSON.stringify(groupId)}`
        if (answer.errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(answer.errorCode, context))
        const codes = new Map<string, number>()
        for (const { name: topic, partitions } of answer.topics) {
          for (const { errorCode, partitionIndex } of partitions) codes.set(keyOf({ topic, partition: partitionIndex }), errorCode)
        }
        return outcomes(partitions, codes, context)
      }))

  return { listGroupOffsets, alterGroupOffsets, deleteGroupOffsets }
}
