/** Requests that ask the controller about partitions by topic: flat for the controller, by topic again for the answer. */
import * as Effect from "effect/Effect"
import type { ItemResult, PartitionResult } from "../../cluster/Commands.ts"
import type { MetadataStoreError } from "../../ports/MetadataStore.ts"
import { withinTimeout } from "./Submission.ts"

/** Each partition that is asked for, with its topic. */
export const partitionsOf = <Topic, Partition>(
  topics: ReadonlyArray<Topic>,
  partitions: (topic: Topic) => ReadonlyArray<Partition>
): ReadonlyArray<{ readonly topic: Topic; readonly of: Partition }> =>
  topics.flatMap((topic) => partitions(topic).map((of) => ({ topic, of })))

/** Results in the order of the request, under the topics that asked for so many of them. */
export const regroup = <Topic, Result>(
  topics: ReadonlyArray<Topic>,
  count: (topic: Topic) => number,
  results: ReadonlyArray<Result>
): ReadonlyArray<{ readonly topic: Topic; readonly results: ReadonlyArray<Result> }> => {
  let at = 0
  return topics.map((topic) => ({ topic, results: results.slice(at, at += count(topic)) }))
}

/** The controller's results; `failure` when the time was over or the metadata store failed: then it is every result, too. */
export const submitPartitions = (
  timeoutMs: number,
  wanted: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
  submitted: Effect.Effect<ReadonlyArray<PartitionResult>, MetadataStoreError>
): Effect.Effect<{ readonly failure: ItemResult | undefined; readonly results: ReadonlyArray<PartitionResult> }> =>
  Effect.suspend(() => {
    // As in Kafka nothing asked for is answered at once, whatever the timeout.
    if (wanted.length === 0) return Effect.succeed({ failure: undefined, results: [] })
    let failure: ItemResult | undefined
    return Effect.map(
      withinTimeout(timeoutMs, submitted, (item) => {
        failure = item
        return wanted.map(({ partition, topic }) => ({ topic, partition, ...item }))
      }),
      (results) => ({ failure, results })
    )
  })
