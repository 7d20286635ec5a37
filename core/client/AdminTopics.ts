/** The Admin's topics: create, delete, grow, list, describe. */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import * as CreatePartitions from "../protocol/generated/CreatePartitions.ts"
import * as CreateTopics from "../protocol/generated/CreateTopics.ts"
import * as DeleteTopics from "../protocol/generated/DeleteTopics.ts"
import { ZERO_UUID } from "../protocol/Uuid.ts"
import { metadataApi } from "../protocol/generated/Metadata.ts"
import type { Admin, NewTopic } from "./Admin.ts"
import { type ClientError, errorOfCode, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicView } from "./ClusterView.ts"
import { metadataRequest } from "./internal/MetadataApi.ts"
import { topicView } from "./internal/MetadataState.ts"
import { settleEach } from "./internal/Settle.ts"

/** From this version on -1 partitions and replicas are the broker's defaults (KIP-464). */
const DEFAULTS_VERSION = 4

const creatable = (topic: NewTopic): CreateTopics.CreateTopicsRequestCreatableTopicInput => ({
  name: topic.name,
  numPartitions: topic.replicaAssignment === undefined ? topic.partitions ?? -1 : -1,
  replicationFactor: topic.replicaAssignment === undefined ? topic.replicationFactor ?? -1 : -1,
  assignments: (topic.replicaAssignment ?? []).map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds })),
  configs: Object.entries(topic.configs ?? {}).map(([name, value]) => ({ name, value }))
})

/** Topics as a broker knows them now, each by name or with its error. */
export const describeNow = (
  cluster: Cluster,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, TopicView | ClientError>, ClientError> =>
  Effect.gen(function*() {
    const nodeId = yield* cluster.anyNode
    const answer = yield* cluster.call(nodeId, "data", metadataApi, metadataRequest({ names, autoCreate: false }))
    return new Map(answer.topics.map((topic): [string, TopicView | ClientError] => {
      const name = topic.name ?? ""
      const code = topic.errorCode
      if (code !== ErrorCode.NONE) return [name, errorOfCode(code, `topic ${JSON.stringify(name)}`)]
      return [name, topicView(topic, name, undefined) ?? new FatalError("CORRUPT", `topic ${name}: no such answer makes sense`)]
    }))
  })

export const topicsAdmin = (
  cluster: Cluster
): Pick<Admin, "createTopics" | "deleteTopics" | "createPartitions" | "listTopics" | "describeTopics"> => {
  const timeoutMs = cluster.config["request.timeout.ms"]

  const createTopics: Admin["createTopics"] = (topics, options = {}) => {
    const byName = new Map(topics.map((topic) => [topic.name, topic]))
    return settleEach(cluster, [...byName.keys()], (names) =>
      Effect.gen(function*() {
        const nodeId = yield* cluster.controller
        const version = yield* cluster.versionOf(nodeId, "data", CreateTopics.createTopicsApi)
        const creatables = names.map((name) => creatable(byName.get(name)!))
        const needsDefaults = creatables.some(({ assignments, numPartitions, replicationFactor }) =>
          assignments.length === 0 && (numPartitions === -1 || replicationFactor === -1))
        if (needsDefaults && version < DEFAULTS_VERSION) {
          const message = "this broker has no default for partitions and replicationFactor: name both"
          return yield* Effect.fail(new FatalError("UNSUPPORTED", message))
        }
        const answer = yield* cluster.call(nodeId, "data", CreateTopics.createTopicsApi, {
          topics: creatables,
          timeoutMs,
          validateOnly: options.validateOnly ?? false
        }, { version })
        return new Map(answer.topics.map(({ errorCode, errorMessage, name, numPartitions, replicationFactor, topicId }) => [
          name,
          errorCode === ErrorCode.NONE
            ? { id: topicId, partitions: numPartitions, replicationFactor }
            : errorOfCode(errorCode, `create topic ${JSON.stringify(name)}`, errorMessage)
        ]))
      }))
  }

  const deleteTopics: Admin["deleteTopics"] = (names) =>
    settleEach(cluster, [...new Set(names)], (open) =>
      Effect.gen(function*() {
        const nodeId = yield* cluster.controller
        const answer = yield* cluster.call(nodeId, "data", DeleteTopics.deleteTopicsApi, (version) =>
          version >= 6
            ? { topics: open.map((name) => ({ name, topicId: ZERO_UUID })), timeoutMs }
            : { topicNames: open, timeoutMs })
        return new Map(answer.responses.map(({ errorCode, errorMessage, name }) => [
          name ?? "",
          errorCode === ErrorCode.NONE
            ? undefined
            : errorOfCode(errorCode, `delete topic ${JSON.stringify(name)}`, errorMessage)
        ])) as ReadonlyMap<string, void | ClientError>
      }))

  const createPartitions: Admin["createPartitions"] = (topics, options = {}) => {
    const byName = new Map(topics.map((topic) => [topic.name, topic]))
    return settleEach(cluster, [...byName.keys()], (names) =>
      Effect.gen(function*() {
        const nodeId = yield* cluster.controller
        const answer = yield* cluster.call(nodeId, "data", CreatePartitions.createPartitionsApi, {
          topics: names.map((name) => {
            const { assignments, totalCount } = byName.get(name)!
            return { name, count: totalCount, assignments: assignments?.map((brokerIds) => ({ brokerIds })) ?? null }
          }),
          timeoutMs,
          validateOnly: options.validateOnly ?? false
        })
        return new Map(answer.results.map(({ errorCode, errorMessage, name }) => [
          name,
          errorCode === ErrorCode.NONE
            ? undefined
            : errorOfCode(errorCode, `create partitions of ${JSON.stringify(name)}`, errorMessage)
        ])) as ReadonlyMap<string, void | ClientError>
      }))
  }

  const listTopics: Admin["listTopics"] = (options = {}) =>
    Effect.map(cluster.allTopics, (topics) =>
      [...topics.values()].filter(({ isInternal }) => !isInternal || options.includeInternal === true))

  const describeTopics: Admin["describeTopics"] = (names) =>
    settleEach(cluster, [...new Set(names)], (open) => describeNow(cluster, open))

  return { createTopics, deleteTopics, createPartitions, listTopics, describeTopics }
}
