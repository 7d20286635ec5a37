/**
 * AlterPartitionReassignments, versions 0-1. Moves partitions to other replicas, each by itself (KIP-455): the answer
 * says that it has begun; ListPartitionReassignments says what is still under way.
 *  - Replicas null take back what is under way; NO_REASSIGNMENT_IN_PROGRESS when nothing is.
 *  - Version 1 may forbid another number of replicas (KIP-860): INVALID_REPLICATION_FACTOR.
 *  - After `timeoutMs` all are REQUEST_TIMED_OUT and may yet be begun.
 * Left out: authorisation.
 */
import * as Effect from "effect/Effect"
import type { PartitionResult } from "../../cluster/Commands.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeAlterPartitionReassignmentsRequest,
  encodeAlterPartitionReassignmentsResponse
} from "../../protocol/generated/AlterPartitionReassignments.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { partitionsOf, regroup, submitPartitions } from "./PartitionAnswers.ts"

export const makeAlterPartitionReassignments = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.AlterPartitionReassignments,
  minVersion: 0,
  maxVersion: 1,
  handle: ({ apiVersion }, reader) => {
    const { allowReplicationFactorChange, timeoutMs, topics } = decodeAlterPartitionReassignmentsRequest(reader, apiVersion)
    const wanted = partitionsOf(topics, ({ partitions }) => partitions).map(({ of: { partitionIndex, replicas }, topic }) => ({
      topic: topic.name,
      partition: partitionIndex,
      replicas
    }))
    return Effect.map(
      submitPartitions(timeoutMs, wanted, broker.controller.alterPartitionReassignments(wanted, { allowReplicationFactorChange })),
      ({ failure, results }) => {
        const responses = regroup(topics, ({ partitions }) => partitions.length, results).map(({ results, topic }) => ({
          name: topic.name,
          partitions: results.map(({ error, message, partition }: PartitionResult) => ({
            partitionIndex: partition,
            errorCode: error,
            errorMessage: message
          }))
        }))
        return (writer) =>
          encodeAlterPartitionReassignmentsResponse(writer, apiVersion, {
            throttleTimeMs: 0,
            // As in Kafka, what names no topic is answered with the fields as they are when nobody sets them.
            allowReplicationFactorChange: topics.length === 0 || allowReplicationFactorChange,
            errorCode: failure?.error ?? ErrorCode.NONE,
            errorMessage: topics.length === 0 ? "" : failure?.message ?? null,
            responses
          })
      }
    )
  }
})
