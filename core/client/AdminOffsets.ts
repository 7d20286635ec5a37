/** What the Admin asks of partitions' leaders: offsets by time, deleting records. */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import * as DeleteRecords from "../protocol/generated/DeleteRecords.ts"
import * as ListOffsets from "../protocol/generated/ListOffsets.ts"
import type { Admin, ListedOffset, OffsetSpec } from "./Admin.ts"
import { describeNow } from "./AdminTopics.ts"
import { type ClientError, errorOfCode, FatalError, RetriableError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { isError, isPassing, settleEach } from "./internal/Settle.ts"

/** From this version on a broker finds the record with the largest timestamp (KIP-734). */
const MAX_TIMESTAMP_VERSION = 7

const timestampOf = (spec: OffsetSpec): number =>
  spec === "latest" ? -1 : spec === "earliest" ? -2 : spec === "max-timestamp" ? -3 : spec

const keyOf = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`

/** A topic that is being created is there soon, as for Kafka's own Admin. */
const isAwaited = (error: ClientError): boolean =>
  isPassing(error) || error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

const byTopic = <T extends TopicPartition>(partitions: ReadonlyArray<T>): ReadonlyMap<string, ReadonlyArray<T>> => {
  const topics = new Map<string, Array<T>>()
  for (const one of partitions) {
    const list = topics.get(one.topic)
    if (list === undefined) topics.set(one.topic, [one])
    else list.push(one)
  }
  return topics
}

/** Asks each partition's leader, which is looked up with every attempt. */
const settlePartitions = <T extends TopicPartition, A>(
  cluster: Cluster,
  partitions: ReadonlyArray<T>,
  ask: (nodeId: number, partitions: ReadonlyArray<T>) => Effect.Effect<ReadonlyMap<string, A | ClientError>, ClientError>
): Effect.Effect<ReadonlyMap<string, A | ClientError>, ClientError> => {
  const byKey = new Map(partitions.map((one) => [keyOf(one), one]))
  return settleEach(cluster, [...byKey.keys()], (keys) =>
    Effect.gen(function*() {
      const ends = new Map<string, A | ClientError>()
      const byLeader = new Map<number, Array<T>>()
      const topics = yield* describeNow(cluster, [...new Set(keys.map((key) => byKey.get(key)!.topic))])
      for (const key of keys) {
        const one = byKey.get(key)!
        const topic = topics.get(one.topic)
        if (topic === undefined || isError(topic)) {
          ends.set(key, topic ?? errorOfCode(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, key))
          continue
        }
        const leader = topic.partitions[one.partition]?.leader
        if (leader === undefined) ends.set(key, errorOfCode(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, key))
        else if (leader < 0) ends.set(key, errorOfCode(ErrorCode.LEADER_NOT_AVAILABLE, key))
        else byLeader.set(leader, [...byLeader.get(leader) ?? [], one])
      }
      // The leader may be a broker that the view does not have yet.
      if ([...byLeader.keys()].some((leader) => !cluster.view().nodes.has(leader))) {
        cluster.invalidate()
        yield* cluster.controller
      }
      const answers = yield* Effect.forEach(byLeader, ([leader, asked]) =>
        Effect.catch(ask(leader, asked), (error) =>
          Effect.succeed<ReadonlyMap<string, A | ClientError>>(new Map(asked.map((one) => [keyOf(one), error])))), {
        concurrency: "unbounded"
      })
      for (const answer of answers) for (const [key, end] of answer) ends.set(key, end)
      return ends
    }), isAwaited)
}

export const offsetsAdmin = (cluster: Cluster): Pick<Admin, "listOffsets" | "deleteRecords"> => {
  const listOffsets: Admin["listOffsets"] = (partitions, options = {}) =>
    Effect.map(
      settlePartitions<typeof partitions[number], ListedOffset>(cluster, partitions, (nodeId, asked) =>
        Effect.gen(function*() {
          const version = yield* cluster.versionOf(nodeId, "data", ListOffsets.listOffsetsApi)
          if (version < MAX_TIMESTAMP_VERSION && asked.some(({ spec }) => spec === "max-timestamp")) {
            return yield* Effect.fail(new FatalError("UNSUPPORTED", "this broker does not find the largest timestamp (KIP-734)"))
          }
          const isCommitted = options.isolation === "read_committed"
          if (isCommitted && version < 2) {
            return yield* Effect.fail(new FatalError("UNSUPPORTED", "this broker knows no transactions: read_committed"))
          }
          const answer = yield* cluster.call(nodeId, "data", ListOffsets.listOffsetsApi, {
            replicaId: -1,
            ...version >= 2 ? { isolationLevel: isCommitted ? 1 : 0 } : {},
            topics: [...byTopic(asked)].map(([name, list]) => ({
              name,
              partitions: list.map(({ partition, spec }) => ({ partitionIndex: partition, timestamp: timestampOf(spec) }))
            })),
            ...version >= 10 ? { timeoutMs: cluster.config["request.timeout.ms"] } : {}
          }, { version })
          return new Map(answer.topics.flatMap(({ name: topic, partitions }) =>
            partitions.map(({ errorCode, leaderEpoch, offset, partitionIndex, timestamp }): [string, ListedOffset | ClientError] => {
              const key = keyOf({ topic, partition: partitionIndex })
              if (errorCode !== ErrorCode.NONE) return [key, errorOfCode(errorCode, `offsets of ${key}`)]
              return [key, {
                topic,
                partition: partitionIndex,
                offset: Number(offset),
                timestamp: Number(timestamp),
                leaderEpoch
              }]
            })
          ))
        })),
      (ends) =>
        partitions.map(({ partition, topic }) => {
          const end = ends.get(keyOf({ topic, partition }))!
          return isError(end) ? { topic, partition, error: end } : end
        })
    )

  const deleteRecords: Admin["deleteRecords"] = (partitions) =>
    Effect.map(
      settlePartitions<typeof partitions[number], number>(cluster, partitions, (nodeId, asked) =>
        Effect.map(
          cluster.call(nodeId, "data", DeleteRecords.deleteRecordsApi, {
            topics: [...byTopic(asked)].map(([name, list]) => ({
              name,
              partitions: list.map(({ offset, partition }) => ({ partitionIndex: partition, offset }))
            })),
            timeoutMs: cluster.config["request.timeout.ms"]
          }),
          ({ topics }) =>
            new Map(topics.flatMap(({ name: topic, partitions }) =>
              partitions.map(({ errorCode, lowWatermark, partitionIndex }): [string, number | ClientError] => {
                const key = keyOf({ topic, partition: partitionIndex })
                return [key, errorCode === ErrorCode.NONE ? Number(lowWatermark) : errorOfCode(errorCode, `delete records of ${key}`)]
              })
            ))
        )),
      (ends) =>
        partitions.map(({ partition, topic }) => {
          const end = ends.get(keyOf({ topic, partition })) ?? new RetriableError("TIMED_OUT", `no answer of ${topic}-${partition}`)
          return { topic, partition, lowWatermark: isError(end) ? -1 : end, error: isError(end) ? end : undefined }
        })
    )

  return { listOffsets, deleteRecords }
}
