/**
 * OffsetCommit, versions 2-10. Keeps how far a group has come; answered when the offsets are committed to the log.
 *  - Topics and partitions that are not there are UNKNOWN_TOPIC_OR_PARTITION one by one, the others are committed.
 *  - Generation -1 without a member id: for a group that nobody is in, or that never had members.
 *  - KIP-211 (5): no retention of its own any more; versions 2 to 4 may still give one.
 *  - KIP-320 (6): leader epochs. KIP-345 (7): static members.
 *  - KIP-848 (9): GROUP_ID_NOT_FOUND. KIP-848 (10): topics by id.
 *  - An offset above 2^53-1, which no log can have here, is INVALID_COMMIT_OFFSET_SIZE.
 * Left out: authorisation.
 */
import { ZERO_TOPIC_ID } from "../../model/Ids.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeOffsetCommitRequest,
  encodeOffsetCommitResponse,
  type OffsetCommitRequestOffsetCommitRequestTopic
} from "../../protocol/generated/OffsetCommit.ts"
import type { OffsetCommit, PartitionResults } from "../../groups/Offsets.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later } from "../Handler.ts"

const TOPIC_IDS_FROM = 10

interface Sorted {
  readonly known: OffsetCommit["topics"]
  readonly refused: ReadonlyArray<PartitionResults>
}

const failed = (
  name: string,
  topicId: string,
  partitions: ReadonlyArray<{ readonly partitionIndex: number }>,
  errorCode: number
): PartitionResults => ({
  name,
  topicId,
  partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
})

/** What there is, and answers for what there is not. */
const sortOut = (
  broker: BrokerServices,
  topics: ReadonlyArray<OffsetCommitRequestOffsetCommitRequestTopic>,
  byId: boolean
): Sorted => {
  const image = broker.image()
  const known: Array<OffsetCommit["topics"][number]> = []
  const refused: Array<PartitionResults> = []
  for (const { name, partitions, topicId } of topics) {
    const topic = byId ? image.topicsById.get(topicId) : image.topicsByName.get(name)
    if (topic === undefined) {
      const error = byId ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
      refused.push(failed(name, byId ? topicId : ZERO_TOPIC_ID, partitions, error))
      continue
    }
    const isThere = ({ partitionIndex }: { readonly partitionIndex: number }): boolean =>
      topic.partitions[partitionIndex] !== undefined
    const missing = partitions.filter((partition) => !isThere(partition))
    if (missing.length > 0) {
      refused.push(failed(topic.name, topic.id, missing, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
    }
    const there = missing.length === 0 ? partitions : partitions.filter(isThere)
    if (there.length > 0) known.push({ name: topic.name, topicId: topic.id, partitions: there })
  }
  return { known, refused }
}

/** A topic that was refused in part is answered once. */
const merge = (
  refused: ReadonlyArray<PartitionResults>,
  results: ReadonlyArray<PartitionResults>
): ReadonlyArray<PartitionResults> => {
  if (refused.length === 0) return results
  const merged = [...refused]
  for (const result of results) {
    const at = merged.findIndex(({ name, topicId }) => name === result.name && topicId === result.topicId)
    if (at === -1) merged.push(result)
    else merged[at] = { ...result, partitions: [...merged[at]!.partitions, ...result.partitions] }
  }
  return merged
}

export const makeOffsetCommit = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.OffsetCommit,
  minVersion: 2,
  maxVersion: TOPIC_IDS_FROM,
  handle: ({ apiVersion }, reader) => {
    const request = decodeOffsetCommitRequest(reader, apiVersion)
    const byId = apiVersion >= TOPIC_IDS_FROM
    const { known, refused } = sortOut(broker, request.topics, byId)
    const later = new Later()
    const answer = (results: ReadonlyArray<PartitionResults>): void => {
      const topics = merge(refused, results).map(({ name, partitions, topicId }) =>
        byId ? { topicId, partitions } : { name, partitions }
      )
      later.complete((writer) => encodeOffsetCommitResponse(writer, apiVersion, { topics }))
    }
    const fail = (errorCode: number): void =>
      answer(known.map(({ name, partitions, topicId }) => failed(name, topicId, partitions, errorCode)))
    if (known.length === 0) {
      answer([])
      return later
    }
    const commit: OffsetCommit = {
      apiVersion,
      groupId: request.groupId,
      generationId: request.generationIdOrMemberEpoch,
      memberId: request.memberId,
      groupInstanceId: request.groupInstanceId,
      retentionTimeMs: request.retentionTimeMs,
      topics: known
    }
    broker.groups.run(
      request.groupId,
      (state, now) =>
        state.commitOffsets(commit, (results) => typeof results === "number" ? fail(results) : answer(results), now),
      fail
    )
    return later
  }
})
