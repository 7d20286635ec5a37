/**
 * OffsetFetch, versions 1-10. What a group has committed; -1 where nothing was. What is told is committed to the log: a
 * commit that is on its way is waited for, with and without requireStable (KIP-447, version 7).
 *  - Version 2: null topics are all that the group has, and an error of the group as a whole.
 *  - KIP-320 (5): leader epochs. KIP-709 (8): many groups. KIP-848 (9): a member epoch, which the groups of the classic
 *    protocol do not look at. KIP-848 (10): topics by id.
 * Left out: authorisation; offsets of open transactions (UNSTABLE_OFFSET_COMMIT), which come with transactions.
 */
import { ZERO_TOPIC_ID } from "../../model/Ids.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeOffsetFetchRequest,
  encodeOffsetFetchResponse,
  type OffsetFetchRequestOffsetFetchRequestTopics
} from "../../protocol/generated/OffsetFetch.ts"
import type { FetchedOffsets, OffsetFetch } from "../../groups/Offsets.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later, type Response } from "../Handler.ts"

const ERROR_OF_GROUP_SINCE = 2
const LEADER_EPOCHS_SINCE = 5
const MANY_GROUPS_SINCE = 8
const TOPIC_IDS_FROM = 10

interface GroupAnswer {
  readonly groupId: string
  readonly errorCode: number
  readonly topics: ReadonlyArray<FetchedOffsets>
}

interface GroupAsked {
  readonly groupId: string
  readonly topics: OffsetFetch["topics"]
  /** Topics whose ids are not known. */
  readonly unknown: ReadonlyArray<FetchedOffsets>
}

const failedTopic = (
  { name, partitionIndexes, topicId }: OffsetFetchRequestOffsetFetchRequestTopics,
  errorCode: number
): FetchedOffsets => ({
  name,
  topicId,
  partitions: partitionIndexes.map((partitionIndex) => ({
    partitionIndex,
    committedOffset: -1,
    committedLeaderEpoch: -1,
    metadata: "",
    errorCode
  }))
})

/** Old consumers know neither a timeout nor a coordinator that is not available here: they look for it anew. */
const fetchError = (errorCode: number): number =>
  errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE ? ErrorCode.NOT_COORDINATOR : errorCode

export const makeOffsetFetch = (broker: BrokerServices): Handler => {
  const asked = (
    groupId: string,
    topics: ReadonlyArray<OffsetFetchRequestOffsetFetchRequestTopics> | null,
    byId: boolean
  ): GroupAsked => {
    if (topics === null || !byId) return { groupId, topics, unknown: [] }
    const image = broker.image()
    const known: Array<OffsetFetchRequestOffsetFetchRequestTopics> = []
    const unknown: Array<FetchedOffsets> = []
    for (const topic of topics) {
      const name = image.topicsById.get(topic.topicId)?.name
      if (name === undefined) unknown.push(failedTopic(topic, ErrorCode.UNKNOWN_TOPIC_ID))
      else known.push({ ...topic, name })
    }
    return { groupId, topics: known, unknown }
  }

  /** Of all that a group has, what can be named by id. */
  const withIds = (topics: ReadonlyArray<FetchedOffsets>): ReadonlyArray<FetchedOffsets> =>
    topics.flatMap((topic) => {
      const topicId = topic.topicId === ZERO_TOPIC_ID ? broker.image().topicsByName.get(topic.name)?.id : topic.topicId
      return topicId === undefined ? [] : [{ ...topic, topicId }]
    })

  const fetchGroup = (group: GroupAsked, byId: boolean, answer: (group: GroupAnswer) => void): void => {
    const { groupId, topics, unknown } = group
    const fail = (errorCode: number): void => answer({ groupId, errorCode: fetchError(errorCode), topics: [] })
    broker.groups.run(
      groupId,
      (state) =>
        state.fetchOffsets({ groupId, topics }, (fetched) => {
          if (typeof fetched === "number") return fail(fetched)
          answer({ groupId, errorCode: ErrorCode.NONE, topics: [...(byId ? withIds(fetched) : fetched), ...unknown] })
        }),
      fail
    )
  }

  return {
    apiKey: ApiKey.OffsetFetch,
    minVersion: 1,
    maxVersion: TOPIC_IDS_FROM,
    handle: ({ apiVersion }, reader) => {
      const request = decodeOffsetFetchRequest(reader, apiVersion)
      const byId = apiVersion >= TOPIC_IDS_FROM
      const groups = apiVersion >= MANY_GROUPS_SINCE
        ? request.groups.map(({ groupId, topics }) => asked(groupId, topics, byId))
        : [asked(request.groupId, request.topics?.map((topic) => ({ ...topic, topicId: ZERO_TOPIC_ID })) ?? null, false)]
      const later = new Later()
      const answers: Array<GroupAnswer | undefined> = groups.map(() => undefined)
      let missing = groups.length
      const complete = (): void => {
        if (missing === 0) later.complete(encode(apiVersion, answers as ReadonlyArray<GroupAnswer>, groups))
      }
      complete()
      groups.forEach((group, index) =>
        fetchGroup(group, byId, (answer) => {
          answers[index] = answer
          missing--
          complete()
        })
      )
      return later
    }
  }
}

const encode = (
  apiVersion: number,
  answers: ReadonlyArray<GroupAnswer>,
  asked: ReadonlyArray<GroupAsked>
): Response => {
  if (apiVersion >= MANY_GROUPS_SINCE) {
    const groups = answers.map(({ errorCode, groupId, topics }) => ({
      groupId,
      errorCode,
      topics: topics.map(({ name, partitions, topicId }) =>
        apiVersion >= TOPIC_IDS_FROM ? { topicId, partitions } : { name, partitions }
      )
    }))
    return (writer) => encodeOffsetFetchResponse(writer, apiVersion, { groups })
  }
  const { errorCode, topics } = answers[0]!
  // Version 1 has no error of the group: each partition has it.
  const told = errorCode === ErrorCode.NONE || apiVersion >= ERROR_OF_GROUP_SINCE
    ? topics
    : (asked[0]!.topics ?? []).map((topic) => failedTopic(topic, errorCode))
  const body = {
    topics: told.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ committedLeaderEpoch, ...partition }) =>
        apiVersion >= LEADER_EPOCHS_SINCE ? { ...partition, committedLeaderEpoch } : partition
      )
    })),
    ...(apiVersion >= ERROR_OF_GROUP_SINCE ? { errorCode } : {})
  }
  return (writer) => encodeOffsetFetchResponse(writer, apiVersion, body)
}
