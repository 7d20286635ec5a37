/** Offsets of any partitions by time, for whoever asks a consumer: all of them or the first error, retried as a whole. */
import * as Effect from "effect/Effect"
import { type ClientError, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import type { PartitionOffset } from "./Consumer.ts"
import { isClientError, type Isolation, type ListedOffset, listOffsets } from "./ConsumerOffsets.ts"
import { partitionKey } from "./SubscriptionState.ts"

/** `timestamp` as in ListOffsets: ms since 1970, or one that has a meaning of its own. */
type Question = TopicPartition & { readonly timestamp: number }

export class OffsetLookup {
  readonly #cluster: Cluster
  readonly #isolation: Isolation

  constructor(cluster: Cluster, isolation: Isolation) {
    this.#cluster = cluster
    this.#isolation = isolation
  }

  /** By partition. What was answered is not asked again when another has to be. */
  #find(questions: ReadonlyArray<Question>): Effect.Effect<ReadonlyMap<string, ListedOffset>, ClientError> {
    return Effect.suspend(() => {
      const found = new Map<string, ListedOffset>()
      const names = [...new Set(questions.map(({ topic }) => topic))]
      if (names.length === 0) return Effect.succeed(found)
      const attempt = Effect.suspend(() => {
        const open = questions.filter(({ partition, topic }) => !found.has(partitionKey(topic, partition)))
        return Effect.flatMap(listOffsets(this.#cluster, open, this.#isolation), (answers): Effect.Effect<typeof found, ClientError> => {
          let error: ClientError | undefined
          for (const [key, answer] of answers) {
            if (isClientError(answer)) error ??= answer
            else found.set(key, answer)
          }
          return error === undefined ? Effect.succeed(found) : Effect.fail(error)
        })
      })
      return Effect.andThen(this.#cluster.topics(names, { allowAutoCreate: false }), this.#cluster.retry(attempt))
    })
  }

  /** Where each log begins or ends. @param timestamp EARLIEST_TIMESTAMP or LATEST_TIMESTAMP */
  edges(timestamp: number, partitions: ReadonlyArray<TopicPartition>): Effect.Effect<ReadonlyArray<PartitionOffset>, ClientError> {
    return Effect.map(this.#find(partitions.map(({ partition, topic }) => ({ topic, partition, timestamp }))), (found) =>
      partitions.map(({ partition, topic }): PartitionOffset => ({
        topic,
        partition,
        offset: found.get(partitionKey(topic, partition))?.offset ?? -1
      })))
  }

  /** The first record at or after each time; left out where there is none. */
  byTime(
    questions: ReadonlyArray<Question>
  ): Effect.Effect<ReadonlyArray<PartitionOffset & { readonly timestamp: number }>, ClientError> {
    return Effect.suspend(() => {
      const wrong = questions.find(({ timestamp }) => !Number.isSafeInteger(timestamp) || timestamp < 0)
      if (wrong !== undefined) {
        return Effect.fail(new FatalError("INVALID_ARGUMENT", `the time ${wrong.timestamp}: ms since 1970, from 0 on`))
      }
      return Effect.map(this.#find(questions), (found) =>
        questions.flatMap(({ partition, topic }) => {
          const one = found.get(partitionKey(topic, partition))
          return one === undefined || one.offset < 0 ? [] : [{ topic, partition, ...one }]
        }))
    })
  }
}
