/**
 * OffsetForLeaderEpoch, versions 2-4. Where a leader epoch ends in this broker's log: how a follower or a consumer
 * that saw an older leader finds where its history left ours (KIP-101, KIP-279, KIP-320).
 * An epoch that is not known is answered with epoch -1 and offset -1, without error.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import {
  decodeOffsetForLeaderEpochRequest,
  encodeOffsetForLeaderEpochResponse
} from "../../protocol/generated/OffsetForLeaderEpoch.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { absentError } from "./Leaders.ts"

export const makeOffsetForLeaderEpoch = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.OffsetForLeaderEpoch,
  minVersion: 2,
  maxVersion: 4,
  handle: ({ apiVersion }, reader) => {
    const request = decodeOffsetForLeaderEpochRequest(reader, apiVersion)
    const topics = request.topics.map(({ partitions, topic }) => ({
      topic,
      partitions: partitions.map(({ currentLeaderEpoch, leaderEpoch, partition }) => {
        const found = broker.partitions.topic(topic)?.partitions[partition]
          ?.lastOffsetForLeaderEpoch(currentLeaderEpoch, leaderEpoch)
        return found === undefined
          ? { partition, errorCode: absentError(broker, broker.image().topicsByName.get(topic), partition), leaderEpoch: -1, endOffset: -1 }
          : { partition, errorCode: found.error, leaderEpoch: found.leaderEpoch, endOffset: found.endOffset }
      })
    }))
    return (writer) => encodeOffsetForLeaderEpochResponse(writer, apiVersion, { throttleTimeMs: 0, topics })
  }
})
