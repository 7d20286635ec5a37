/**
 * OffsetDelete, version 0 (KIP-496). Forgets what a group has committed of some partitions: of any, when nobody is in
 * the group; of topics that no member reads, when its members are consumers; else NON_EMPTY_GROUP.
 * Topics and partitions that are not there are UNKNOWN_TOPIC_OR_PARTITION one by one. Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeOffsetDeleteRequest,
  encodeOffsetDeleteResponse,
  type OffsetDeleteResponseOffsetDeleteResponseTopicInput
} from "../../protocol/generated/OffsetDelete.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later } from "../Handler.ts"

type TopicAnswer = OffsetDeleteResponseOffsetDeleteResponseTopicInput

export const makeOffsetDelete = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.OffsetDelete,
  minVersion: 0,
  maxVersion: 0,
  handle: ({ apiVersion }, reader) => {
    const { groupId, topics } = decodeOffsetDeleteRequest(reader, apiVersion)
    const image = broker.image()
    // A topic or partition that is named twice counts once.
    const asked = new Map<string, Set<number>>()
    for (const { name, partitions } of topics) {
      const indexes = asked.get(name) ?? new Set()
      for (const { partitionIndex } of partitions) indexes.add(partitionIndex)
      asked.set(name, indexes)
    }
    const known: Array<{ readonly name: string; readonly partitions: ReadonlyArray<number> }> = []
    const refused = new Map<string, TopicAnswer>()
    for (const [name, indexes] of asked) {
      const topic = image.topicsByName.get(name)
      const missing = [...indexes].filter((index) => topic?.partitions[index] === undefined)
      const there = [...indexes].filter((index) => topic?.partitions[index] !== undefined)
      if (missing.length > 0) {
        refused.set(name, {
          name,
          partitions: missing.map((partitionIndex) => ({
            partitionIndex,
            errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
          }))
        })
      }
      if (there.length > 0) known.push({ name, partitions: there })
    }
    const later = new Later()
    const answer = (errorCode: number, results: ReadonlyArray<TopicAnswer>): void => {
      const merged = new Map(errorCode === ErrorCode.NONE ? refused : [])
      for (const { name, partitions } of results) {
        merged.set(name, { name, partitions: [...merged.get(name)?.partitions ?? [], ...partitions] })
      }
      later.complete((writer) =>
        encodeOffsetDeleteResponse(writer, apiVersion, { errorCode, throttleTimeMs: 0, topics: [...merged.values()] })
      )
    }
    const fail = (errorCode: number): void => answer(errorCode, [])
    broker.groups.run(
      groupId,
      (state) =>
        state.deleteOffsets({ groupId, topics: known }, (results) =>
          typeof results === "number" ? fail(results) : answer(ErrorCode.NONE, results)
        ),
      fail
    )
    return later
  }
})
