/**
 * DeleteRecords, versions 0-2. Moves the log start of partitions (KIP-107); whole segments below it go later.
 * Offset -1: to the high watermark. Answers the low watermark. A topic that is only compacted is POLICY_VIOLATION.
 * Left out: waiting for followers to move theirs (one replica has none).
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeDeleteRecordsRequest, encodeDeleteRecordsResponse } from "../../protocol/generated/DeleteRecords.ts"
import { toSafe } from "../../protocol/Int64.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"

export const makeDeleteRecords = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DeleteRecords,
  minVersion: 0,
  maxVersion: 2,
  handle: ({ apiVersion }, reader) => {
    const request = decodeDeleteRecordsRequest(reader, apiVersion)
    const topics = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ offset, partitionIndex }) => {
        // An offset past 2^53 is past every high watermark, one below -2^53 is as wrong as -2.
        const target = toSafe(offset) ?? (offset > 0 ? Number.MAX_SAFE_INTEGER : -2)
        const done = broker.partitions.topic(name)?.partitions[partitionIndex]?.deleteRecords(target)
        return {
          partitionIndex,
          lowWatermark: done?.lowWatermark ?? -1,
          errorCode: done?.error ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        }
      })
    }))
    return (writer) => encodeDeleteRecordsResponse(writer, apiVersion, { throttleTimeMs: 0, topics })
  }
})
