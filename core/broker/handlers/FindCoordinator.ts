/**
 * FindCoordinator, versions 0-6. Which broker coordinates a group: the leader of its partition of __consumer_offsets.
 *  - The topic is made when the first coordinator is looked for. Kafka answers COORDINATOR_NOT_AVAILABLE then and lets
 *    the client ask again; here the answer waits for the topic.
 *  - KIP-98 (1): transactional ids. KIP-699 (4): many keys. KIP-890 (5). KIP-932 (6): share groups' keys.
 * Left out: authorisation; coordinators of transactions and of share groups, which are not there yet:
 * COORDINATOR_NOT_AVAILABLE.
 */
import * as Effect from "effect/Effect"
import { partitionOf } from "../../cluster/MetadataImage.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeFindCoordinatorRequest,
  encodeFindCoordinatorResponse,
  type FindCoordinatorResponseCoordinatorInput
} from "../../protocol/generated/FindCoordinator.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { OFFSETS_TOPIC } from "../GroupCoordinators.ts"
import type { Handler, RequestContext, ResponseBody } from "../Handler.ts"
import { internalTopic } from "./InternalTopics.ts"
import { endpointOf } from "./MetadataAnswer.ts"

const GROUP = 0
const TRANSACTION = 1
const SHARE = 2
const SHARE_SINCE = 6
/** From this version on many keys are asked for, and each has an answer of its own. */
const MANY_KEYS_SINCE = 4

/** Kafka's words for what is answered here. */
const MESSAGES: ReadonlyMap<number, string> = new Map([
  [ErrorCode.NONE, "NONE"],
  [ErrorCode.COORDINATOR_NOT_AVAILABLE, "The coordinator is not available."],
  [
    ErrorCode.INVALID_REQUEST,
    "This most likely occurs because of a request being malformed by the client library or the message was sent to " +
    "an incompatible broker. See the broker logs for more details."
  ]
])

/** `group:topic id:partition`, as share coordinators are looked for. */
const SHARE_KEY: RegExp = /^.+:[\w-]{22}:\d+$/

/** NONE, or why no coordinator of this kind is told. */
const kindError = (keyType: number, key: string, apiVersion: number): number => {
  if (keyType === GROUP) return ErrorCode.NONE
  if (keyType === TRANSACTION) return ErrorCode.COORDINATOR_NOT_AVAILABLE
  return keyType === SHARE && apiVersion >= SHARE_SINCE && SHARE_KEY.test(key)
    ? ErrorCode.COORDINATOR_NOT_AVAILABLE
    : ErrorCode.INVALID_REQUEST
}

type Found = Omit<FindCoordinatorResponseCoordinatorInput, "key" | "errorMessage">

const notFound = (errorCode: number): Found => ({ errorCode, nodeId: -1, host: "", port: -1 })

export const makeFindCoordinator = (broker: BrokerServices): Handler => {
  const findGroup = (groupId: string, listenerName: string): Found => {
    const image = broker.image()
    const leader = partitionOf(image, OFFSETS_TOPIC, broker.groups.partitionFor(groupId))?.leader ?? -1
    const endpoint = endpointOf(image, leader, listenerName)
    return endpoint === undefined
      ? notFound(ErrorCode.COORDINATOR_NOT_AVAILABLE)
      : { errorCode: ErrorCode.NONE, nodeId: leader, host: endpoint.host, port: endpoint.port }
  }

  const answer = (
    { apiVersion, connection }: RequestContext,
    keyType: number,
    keys: ReadonlyArray<string>
  ): ResponseBody => {
    const isKnown = keyType === GROUP || keyType === TRANSACTION || keyType === SHARE
    const coordinators = keys.map((key) => {
      const error = kindError(keyType, key, apiVersion)
      const found = error === ErrorCode.NONE ? findGroup(key, connection.listenerName) : notFound(error)
      const message = MESSAGES.get(found.errorCode) ?? null
      // With many keys only a request that is refused as a whole says why.
      return { key, ...found, errorMessage: apiVersion < MANY_KEYS_SINCE || !isKnown ? message : "" }
    })
    if (apiVersion >= MANY_KEYS_SINCE) {
      return (writer) => encodeFindCoordinatorResponse(writer, apiVersion, { throttleTimeMs: 0, coordinators })
    }
    const { key: _, errorMessage, ...only } = coordinators[0]!
    return (writer) =>
      encodeFindCoordinatorResponse(writer, apiVersion, apiVersion === 0 ? only : { throttleTimeMs: 0, errorMessage, ...only })
  }

  return {
    apiKey: ApiKey.FindCoordinator,
    minVersion: 0,
    maxVersion: 6,
    handle: (context, reader) => {
      const request = decodeFindCoordinatorRequest(reader, context.apiVersion)
      const { keyType } = request
      const keys = context.apiVersion >= MANY_KEYS_SINCE ? request.coordinatorKeys : [request.key]
      const topic = internalTopic(broker.config, OFFSETS_TOPIC)
      if (keyType !== GROUP || topic === undefined || broker.image().topicsByName.has(OFFSETS_TOPIC)) {
        return answer(context, keyType, keys)
      }
      return broker.controller.createTopics([topic]).pipe(
        Effect.tap((results) =>
          Effect.forEach(
            results.filter(({ error }) => error !== ErrorCode.NONE && error !== ErrorCode.TOPIC_ALREADY_EXISTS),
            ({ message }) => Effect.logWarning(`${OFFSETS_TOPIC} could not be created: ${message}`)
          )
        ),
        // The client finds no coordinator and asks again.
        Effect.catch((error) => Effect.logWarning(`${OFFSETS_TOPIC} could not be created: ${error.message}`)),
        Effect.map(() => answer(context, keyType, keys))
      )
    }
  }
}
