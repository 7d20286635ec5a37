/**
 * CreatePartitions, versions 0-3. Adds partitions to topics, each topic whole or refused with an error of its own.
 *  - `count` is what the topic shall have in all; assignments name the replicas of the added ones only.
 *  - A name that comes twice is INVALID_REQUEST, and comes first.
 *  - validateOnly decides and commits nothing. After `timeoutMs` all are REQUEST_TIMED_OUT and may yet be added.
 * Left out: authorisation, KIP-599's controller mutation quota.
 */
import * as Effect from "effect/Effect"
import type { CreatePartitionsResult } from "../../cluster/Commands.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeCreatePartitionsRequest, encodeCreatePartitionsResponse } from "../../protocol/generated/CreatePartitions.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { splitDuplicates, withinTimeout } from "./Submission.ts"

export const makeCreatePartitions = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.CreatePartitions,
  minVersion: 0,
  maxVersion: 3,
  handle: ({ apiVersion }, reader) => {
    const request = decodeCreatePartitionsRequest(reader, apiVersion)
    const { once, repeated } = splitDuplicates(request.topics.map(({ name }) => name))
    const topics = request.topics.filter(({ name }) => once.has(name)).map(({ assignments, count, name }) => ({
      name,
      count,
      assignments: assignments?.map(({ brokerIds }) => brokerIds) ?? null
    }))
    const duplicates: ReadonlyArray<CreatePartitionsResult> = [...repeated].map((name) => ({
      name,
      error: ErrorCode.INVALID_REQUEST,
      message: "Duplicate topic name."
    }))
    return Effect.map(
      withinTimeout(
        request.timeoutMs,
        Effect.map(
          broker.controller.createPartitions(topics, { validateOnly: request.validateOnly }),
          (results) => [...duplicates, ...results]
        ),
        ({ error, message }) => request.topics.map(({ name }) => ({ name, error, message }))
      ),
      (answers) => {
        const results = answers.map(({ error, message, name }) => ({ name, errorCode: error, errorMessage: message }))
        return (writer) => encodeCreatePartitionsResponse(writer, apiVersion, { throttleTimeMs: 0, results })
      }
    )
  }
})
