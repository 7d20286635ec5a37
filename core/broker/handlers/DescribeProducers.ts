/**
 * DescribeProducers, version 0. The producers whose sequences the log of a partition remembers (KIP-664).
 * Any replica answers for its own log: `kafka-transactions describe-producers --broker-id` asks a follower.
 * Who has no replica is NOT_LEADER_OR_FOLLOWER: the client looks for the leader then.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { topicNameError } from "../../model/Ids.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeDescribeProducersRequest,
  encodeDescribeProducersResponse
} from "../../protocol/generated/DescribeProducers.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { absentError } from "./Leaders.ts"

export const makeDescribeProducers = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DescribeProducers,
  minVersion: 0,
  maxVersion: 0,
  handle: ({ apiVersion }, reader) => {
    const request = decodeDescribeProducersRequest(reader, apiVersion)
    const topics = request.topics.map(({ name, partitionIndexes }) => {
      const nameError = topicNameError(name)
      const topic = broker.partitions.topic(name)
      const image = broker.image().topicsByName.get(name)
      const partitions = partitionIndexes.map((partitionIndex) => {
        const partition = topic?.partitions[partitionIndex]
        const errorCode = nameError !== undefined
          ? ErrorCode.INVALID_TOPIC_EXCEPTION
          : partition === undefined
          ? absentError(broker, image, partitionIndex)
          : partition.check(-1, true)
        return {
          partitionIndex,
          errorCode,
          errorMessage: nameError ?? (image === undefined ? "This server does not host this topic-partition." : null),
          activeProducers: partition === undefined || errorCode !== ErrorCode.NONE ? [] : partition.log.activeProducers()
        }
      })
      return { name, partitions }
    })
    return (writer) => encodeDescribeProducersResponse(writer, apiVersion, { throttleTimeMs: 0, topics })
  }
})
