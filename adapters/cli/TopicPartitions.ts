/**
 * What describing topics needs beyond metadata: eligible leader replicas (KIP-966) by DescribeTopicPartitions, page by
 * page, and reassignments in progress (KIP-455). Brokers that speak neither tell nothing.
 */
import * as Effect from "effect/Effect"
import type { ClientError } from "../../core/client/ClientError.ts"
import { errorOfCode } from "../../core/client/ClientError.ts"
import type { Cluster } from "../../core/client/Cluster.ts"
import type { TopicView } from "../../core/client/ClusterView.ts"
import {
  type DescribeTopicPartitionsRequestInput,
  type DescribeTopicPartitionsResponse,
  describeTopicPartitionsApi
} from "../../core/protocol/generated/DescribeTopicPartitions.ts"
import {
  type ListPartitionReassignmentsRequestInput,
  listPartitionReassignmentsApi
} from "../../core/protocol/generated/ListPartitionReassignments.ts"
import type { DescribedPartition } from "./TopicCommand.ts"

type Details = Pick<DescribedPartition, "eligibleLeaderReplicas" | "lastKnownElr" | "reassignment">

const keyOf = (topic: string, partition: number): string => `${topic}-${partition}`

const unsupportedIs = <A>(value: A) => (error: ClientError): Effect.Effect<A, ClientError> =>
  error.reason === "UNSUPPORTED" ? Effect.succeed(value) : Effect.fail(error)

const eligible = (cluster: Cluster, topics: ReadonlyArray<TopicView>, limit: number) =>
  Effect.gen(function*() {
    const found = new Map<string, Details>()
    let cursor: DescribeTopicPartitionsRequestInput["cursor"] = null
    do {
      const request: DescribeTopicPartitionsRequestInput = {
        topics: topics.map(({ name }) => ({ name })).sort((a, b) => (a.name < b.name ? -1 : 1)),
        responsePartitionLimit: limit,
        cursor
      }
      const answer: DescribeTopicPartitionsResponse = yield* cluster.retry(
        Effect.flatMap(cluster.anyNode, (node) => cluster.call(node, "data", describeTopicPartitionsApi, request))
      )
      for (const topic of answer.topics) {
        for (const partition of topic.partitions) {
          found.set(keyOf(topic.name ?? "", partition.partitionIndex), {
            eligibleLeaderReplicas: partition.eligibleLeaderReplicas ?? [],
            lastKnownElr: partition.lastKnownElr ?? [],
            reassignment: undefined
          })
        }
      }
      cursor = answer.nextCursor
    } while (cursor !== null)
    return found
  }).pipe(Effect.catch(unsupportedIs<Map<string, Details>>(new Map())))

const REASSIGNMENTS_TIMEOUT_MS = 30_000

const reassignments = (cluster: Cluster, topics: ReadonlyArray<TopicView>) =>
  Effect.gen(function*() {
    const request: ListPartitionReassignmentsRequestInput = {
      timeoutMs: REASSIGNMENTS_TIMEOUT_MS,
      topics: topics.map(({ name, partitions }) => ({ name, partitionIndexes: partitions.map(({ partition }) => partition) }))
    }
    const answer = yield* cluster.retry(
      Effect.flatMap(cluster.controller, (node) => cluster.call(node, "data", listPartitionReassignmentsApi, request))
    )
    if (answer.errorCode !== 0) return yield* Effect.fail(errorOfCode(answer.errorCode, "list partition reassignments", answer.errorMessage))
    return new Map(answer.topics.flatMap((topic) =>
      topic.partitions.map((partition) =>
        [keyOf(topic.name, partition.partitionIndex), { adding: partition.addingReplicas, removing: partition.removingReplicas }] as const
      )
    ))
  }).pipe(Effect.catch(unsupportedIs(new Map<string, NonNullable<Details["reassignment"]>>())))

/** @returns what is known of one partition of these topics */
export const partitionDetails = (
  cluster: Cluster,
  topics: ReadonlyArray<TopicView>,
  limit: number
): Effect.Effect<(topic: string, partition: number) => Details, ClientError> =>
  Effect.gen(function*() {
    const [replicas, moving] = [yield* eligible(cluster, topics, limit), yield* reassignments(cluster, topics)]
    return (topic, partition) => {
      const key = keyOf(topic, partition)
      const { eligibleLeaderReplicas, lastKnownElr } = replicas.get(key) ?? { eligibleLeaderReplicas: undefined, lastKnownElr: undefined }
      return { eligibleLeaderReplicas, lastKnownElr, reassignment: moving.get(key) }
    }
  })
