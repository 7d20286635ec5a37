/**
 * DeleteTopics, versions 1-6. Topics by name or, from version 6 on, by id; the answer comes when this broker serves
 * them no more. Internal topics can be deleted too.
 *  - delete.topic.enable=false: TOPIC_DELETION_DISABLED for all; below version 3 INVALID_REQUEST.
 *  - A name or id that comes twice is INVALID_REQUEST, and so is an id together with the name that it belongs to:
 *    then one answer stands for both, as in Kafka.
 *  - KIP-599 (5): messages. KIP-516 (6): ids; UNKNOWN_TOPIC_ID.
 * Left out: authorisation, KIP-599's controller mutation quota.
 */
import * as Effect from "effect/Effect"
import type { DeleteTopicResult, DeleteTopicTarget } from "../../cluster/Commands.ts"
import { ZERO_TOPIC_ID } from "../../model/Ids.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeDeleteTopicsRequest, encodeDeleteTopicsResponse } from "../../protocol/generated/DeleteTopics.ts"
import type { DeleteTopicsRequest } from "../../protocol/generated/DeleteTopics.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { splitDuplicates, withinTimeout } from "./Submission.ts"

/** From which version on topics are entries with a name or an id. */
const ENTRIES_SINCE = 6
const DISABLED_ERROR_SINCE = 3

interface Sorted {
  readonly targets: ReadonlyArray<DeleteTopicTarget>
  readonly refused: ReadonlyArray<DeleteTopicResult>
}

const sortOut = (broker: BrokerServices, request: DeleteTopicsRequest): Sorted => {
  const refused: Array<DeleteTopicResult> = []
  const refuse = (name: string | null, topicId: string, message: string): void => {
    refused.push({ name, topicId, error: ErrorCode.INVALID_REQUEST, message })
  }
  const names: Array<string> = [...request.topicNames]
  const ids: Array<string> = []
  for (const { name, topicId } of request.topics) {
    const hasId = topicId !== ZERO_TOPIC_ID
    if (name !== null && hasId) refuse(name, topicId, "You may not specify both topic name and topic id.")
    else if (name !== null) names.push(name)
    else if (hasId) ids.push(topicId)
    else refuse(null, ZERO_TOPIC_ID, "Neither topic name nor id were specified.")
  }
  const byName = splitDuplicates(names)
  for (const name of byName.repeated) refuse(name, ZERO_TOPIC_ID, "Duplicate topic name.")
  const byId = splitDuplicates(ids)
  for (const id of byId.repeated) refuse(null, id, "Duplicate topic id.")

  const idsLeft = new Set(byId.once)
  const targets: Array<DeleteTopicTarget> = []
  for (const name of byName.once) {
    const id = broker.image().topicsByName.get(name)?.id
    if (id !== undefined && (idsLeft.delete(id) || byId.repeated.has(id))) {
      refuse(name, id, "The provided topic name maps to an ID that was already supplied.")
    } else targets.push({ name, topicId: ZERO_TOPIC_ID })
  }
  for (const topicId of idsLeft) targets.push({ name: null, topicId })
  return { targets, refused }
}

export const makeDeleteTopics = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DeleteTopics,
  minVersion: 1,
  maxVersion: 6,
  handle: ({ apiVersion }, reader) => {
    const request = decodeDeleteTopicsRequest(reader, apiVersion)
    const all = (error: number, message: string | null): ReadonlyArray<DeleteTopicResult> => [
      ...request.topicNames.map((name) => ({ name, topicId: ZERO_TOPIC_ID, error, message })),
      ...request.topics.map(({ name, topicId }) => ({ name, topicId, error, message }))
    ]
    const bodyOf = (results: ReadonlyArray<DeleteTopicResult>) => {
      const responses = results.map(({ error, message, name, topicId }) => ({
        name: name ?? (apiVersion < ENTRIES_SINCE ? "" : null),
        topicId,
        errorCode: error,
        errorMessage: message
      }))
      return (writer: Parameters<typeof encodeDeleteTopicsResponse>[0]) =>
        encodeDeleteTopicsResponse(writer, apiVersion, { throttleTimeMs: 0, responses })
    }
    if (!broker.config.boolean("delete.topic.enable")) {
      const error = apiVersion < DISABLED_ERROR_SINCE ? ErrorCode.INVALID_REQUEST : ErrorCode.TOPIC_DELETION_DISABLED
      return bodyOf(all(error, "Topic deletion is disabled."))
    }
    const { refused, targets } = sortOut(broker, request)
    return Effect.map(
      withinTimeout(
        request.timeoutMs,
        Effect.map(broker.controller.deleteTopics(targets), (results) => [...refused, ...results]),
        ({ error, message }) => all(error, message)
      ),
      bodyOf
    )
  }
})
