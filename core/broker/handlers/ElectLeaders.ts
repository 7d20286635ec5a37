/**
 * ElectLeaders, versions 0-2. Leadership to the first replica (type 0, the only one of version 0: KIP-183), or to any
 * live replica where a partition has no leader (type 1: KIP-460); the latter may lose acknowledged records.
 *  - Partitions null: all of them; those that need no election are left out of the answer.
 *  - An unknown type is INVALID_REQUEST for all. After `timeoutMs` all are REQUEST_TIMED_OUT and may yet be elected.
 * Left out: authorisation.
 */
import * as Effect from "effect/Effect"
import { ElectionType, type ItemResult, type PartitionResult } from "../../cluster/Commands.ts"
import type { MetadataImage } from "../../cluster/MetadataImage.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeElectLeadersRequest, encodeElectLeadersResponse } from "../../protocol/generated/ElectLeaders.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler, ResponseBody } from "../Handler.ts"
import { partitionsOf, regroup, submitPartitions } from "./PartitionAnswers.ts"

interface AskedTopic {
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
}

const everyPartition = (image: MetadataImage): ReadonlyArray<AskedTopic> =>
  [...image.topicsByName.values()].map(({ name, partitions }) => ({ topic: name, partitions: partitions.map((one) => one.partition) }))

const answer = (
  version: number,
  failure: ItemResult | undefined,
  topics: ReadonlyArray<{ readonly topic: AskedTopic; readonly results: ReadonlyArray<PartitionResult> }>
): ResponseBody =>
(writer) =>
  encodeElectLeadersResponse(writer, version, {
    throttleTimeMs: 0,
    errorCode: failure?.error ?? ErrorCode.NONE,
    replicaElectionResults: topics.map(({ results, topic: { topic } }) => ({
      topic,
      partitionResult: results.map(({ error, message, partition }) => ({
        partitionId: partition,
        errorCode: error,
        errorMessage: message
      }))
    }))
  })

export const makeElectLeaders = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.ElectLeaders,
  minVersion: 0,
  maxVersion: 2,
  handle: ({ apiVersion }, reader) => {
    const { electionType, timeoutMs, topicPartitions } = decodeElectLeadersRequest(reader, apiVersion)
    const isAll = topicPartitions === null
    const topics: ReadonlyArray<AskedTopic> = topicPartitions ?? everyPartition(broker.image())
    const wanted = partitionsOf(topics, ({ partitions }) => partitions).map(({ of, topic }) => ({ topic: topic.topic, partition: of }))
    const count = ({ partitions }: AskedTopic): number => partitions.length
    // Nothing asked for is answered before its type is looked at.
    if ((isAll || topics.length > 0) && electionType !== ElectionType.PREFERRED && electionType !== ElectionType.UNCLEAN) {
      const failure = { error: ErrorCode.INVALID_REQUEST, message: `Unknown election type ${electionType}` }
      const all = wanted.map((one): PartitionResult => ({ ...one, ...failure }))
      return answer(apiVersion, failure, isAll ? [] : regroup(topics, count, all))
    }
    return Effect.map(
      submitPartitions(timeoutMs, wanted, broker.controller.electLeaders(wanted, electionType)),
      ({ failure, results }) => {
        if (!isAll) return answer(apiVersion, failure, regroup(topics, count, results))
        if (failure !== undefined) return answer(apiVersion, failure, [])
        const grouped = regroup(topics, count, results)
        const told = grouped.map(({ results, topic }) => ({
          topic,
          results: results.filter(({ error }) => error !== ErrorCode.ELECTION_NOT_NEEDED)
        }))
        return answer(apiVersion, undefined, told)
      }
    )
  }
})
