/**
 * ListPartitionReassignments, version 0. What is being moved (KIP-455): of the partitions named, or of all when topics
 * are null. Partitions that stand still or are not there are left out, and so are topics without any.
 *
 * Answered from this broker's image: what a client changed through this broker is in it.
 * Left out: authorisation.
 */
import type { OngoingReassignment } from "../../cluster/Commands.ts"
import { listReassignments } from "../../cluster/Reassignments.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeListPartitionReassignmentsRequest,
  encodeListPartitionReassignmentsResponse
} from "../../protocol/generated/ListPartitionReassignments.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"

export const makeListPartitionReassignments = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.ListPartitionReassignments,
  minVersion: 0,
  maxVersion: 0,
  handle: ({ apiVersion }, reader) => {
    const { topics: asked } = decodeListPartitionReassignmentsRequest(reader, apiVersion)
    const wanted = asked?.map(({ name, partitionIndexes }) => ({ name, partitions: partitionIndexes })) ?? null
    const byTopic = new Map<string, Array<OngoingReassignment>>()
    for (const one of listReassignments(broker.image(), wanted)) {
      const list = byTopic.get(one.topic)
      if (list === undefined) byTopic.set(one.topic, [one])
      else list.push(one)
    }
    const topics = [...byTopic].map(([name, partitions]) => ({
      name,
      partitions: partitions.map(({ addingReplicas, partition, removingReplicas, replicas }) => ({
        partitionIndex: partition,
        replicas,
        addingReplicas,
        removingReplicas
      }))
    }))
    return (writer) =>
      encodeListPartitionReassignmentsResponse(writer, apiVersion, {
        throttleTimeMs: 0,
        errorCode: ErrorCode.NONE,
        errorMessage: null,
        topics
      })
  }
})
