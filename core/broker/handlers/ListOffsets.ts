/**
 * ListOffsets, versions 1-11. Offsets by time.
 *
 * Timestamp -1: latest (high watermark; last stable offset under read_committed; log end for a replica and for a debugger, whom followers answer, too), -2 earliest,
 * -3 the record with the largest timestamp (7, KIP-734), -4 local log start (8, KIP-405), -5 last tiered offset
 * (9, KIP-1005), -6 earliest not tiered yet (11, KIP-1023); from 0: the first record at or after it.
 * A special timestamp in a version before its own is UNSUPPORTED_VERSION for that partition.
 *  - KIP-320 (4): leader epochs, fencing
 * Left out: tiered storage, so -5 and -6 find nothing.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeListOffsetsRequest,
  encodeListOffsetsResponse,
  type ListOffsetsRequestListOffsetsPartition,
  type ListOffsetsResponseListOffsetsPartitionResponseInput
} from "../../protocol/generated/ListOffsets.ts"
import { toSafe } from "../../protocol/Int64.ts"
import type { FetchIsolation } from "../../replication/Partition.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { absentError } from "./Leaders.ts"

/** The first version of each special timestamp. */
const SPECIAL_SINCE: ReadonlyMap<number, number> = new Map([[-1, 0], [-2, 0], [-3, 7], [-4, 8], [-5, 9], [-6, 11]])

type Answer = ListOffsetsResponseListOffsetsPartitionResponseInput

const CONSUMER = -1
/** Of who looks at one replica whether it leads or not, and past the high watermark. */
const DEBUGGING_REPLICA = -2

const failed = (partitionIndex: number, errorCode: number): Answer => ({
  partitionIndex,
  errorCode,
  timestamp: -1,
  offset: -1
})

export const makeListOffsets = (broker: BrokerServices): Handler => {
  const answerOne = (
    topic: string,
    { currentLeaderEpoch, partitionIndex, timestamp: asked }: ListOffsetsRequestListOffsetsPartition,
    isolation: FetchIsolation,
    anyReplica: boolean,
    version: number
  ): Answer => {
    const timestamp = toSafe(asked) ?? (asked > 0 ? Number.MAX_SAFE_INTEGER : -7)
    if (timestamp < 0 && version < (SPECIAL_SINCE.get(timestamp) ?? Infinity)) {
      return failed(partitionIndex, ErrorCode.UNSUPPORTED_VERSION)
    }
    const partition = broker.partitions.topic(topic)?.partitions[partitionIndex]
    if (partition === undefined) {
      return failed(partitionIndex, absentError(broker, broker.image().topicsByName.get(topic), partitionIndex))
    }
    const error = partition.check(currentLeaderEpoch, anyReplica)
    if (error !== ErrorCode.NONE) return failed(partitionIndex, error)
    const found = partition.listOffset(timestamp, isolation)
    if (found.error !== ErrorCode.NONE) {
      const code = found.error === ErrorCode.OFFSET_NOT_AVAILABLE && version < 5
        ? ErrorCode.LEADER_NOT_AVAILABLE
        : found.error
      return failed(partitionIndex, code)
    }
    const answer = { partitionIndex, errorCode: ErrorCode.NONE, timestamp: found.timestamp, offset: found.offset }
    return version >= 4 ? { ...answer, leaderEpoch: found.leaderEpoch } : answer
  }

  return {
    apiKey: ApiKey.ListOffsets,
    minVersion: 1,
    maxVersion: 11,
    handle: ({ apiVersion }, reader) => {
      const request = decodeListOffsetsRequest(reader, apiVersion)
      const isolation: FetchIsolation = request.replicaId !== CONSUMER
        ? "LogEnd"
        : request.isolationLevel === 1
        ? "LastStable"
        : "HighWatermark"
      // No Kafka error fits an isolation level that there is not: it answers UNKNOWN_SERVER_ERROR.
      const isWrong = request.isolationLevel !== 0 && request.isolationLevel !== 1
      const topics = request.topics.map(({ name, partitions }) => {
        // A partition that is asked for twice is refused, once.
        const once = new Map<number, ListOffsetsRequestListOffsetsPartition | undefined>()
        for (const asked of partitions) {
          once.set(asked.partitionIndex, once.has(asked.partitionIndex) ? undefined : asked)
        }
        return {
          name,
          partitions: [...once].map(([partitionIndex, asked]) =>
            isWrong
              ? failed(partitionIndex, ErrorCode.UNKNOWN_SERVER_ERROR)
              : asked === undefined
              ? failed(partitionIndex, ErrorCode.INVALID_REQUEST)
              : answerOne(name, asked, isolation, request.replicaId === DEBUGGING_REPLICA, apiVersion)
          )
        }
      })
      return (writer) => encodeListOffsetsResponse(writer, apiVersion, { throttleTimeMs: 0, topics })
    }
  }
}
