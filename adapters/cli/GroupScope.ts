/** Which groups and partitions a command line of `kafka-consumer-groups` means. */
import * as Effect from "effect/Effect"
import type { Admin, GroupListing } from "../../core/client/Admin.ts"
import type { ClientError } from "../../core/client/ClientError.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import type { GroupIds, TopicScope } from "./GroupCommand.ts"
import type { ResetError } from "./GroupResets.ts"
import { isError } from "./KafkaErrors.ts"
import type { UsageError } from "./Options.ts"

export type GroupFailure = UsageError | ResetError | ClientError

/** Other protocols' groups (Connect's workers, shares) are not listed. */
export const consumerGroups = (
  admin: Admin,
  options: Parameters<Admin["listGroups"]>[0] = {}
): Effect.Effect<ReadonlyArray<GroupListing>, ClientError> =>
  Effect.map(admin.listGroups(options), (groups) =>
    groups.filter(({ protocolType, type }) =>
      (protocolType === "" || protocolType === "consumer") && ["", "classic", "consumer"].includes(type.toLowerCase())
    ))

export const groupIds = (admin: Admin, ids: GroupIds): Effect.Effect<ReadonlyArray<string>, ClientError> =>
  ids === undefined ? Effect.map(consumerGroups(admin), (groups) => groups.map((group) => group.groupId)) : Effect.succeed([...new Set(ids)])

/** The partitions of a scope, and the topics that could not be looked at. */
export const partitionsOf = (
  admin: Admin,
  scope: TopicScope
): Effect.Effect<{ readonly partitions: ReadonlyArray<TopicPartition>; readonly errors: ReadonlyMap<string, ClientError> }, ClientError> =>
  Effect.gen(function*() {
    const errors = new Map<string, ClientError>()
    const partitions = [...scope.partitions]
    if (scope.topics.length > 0) {
      for (const [topic, view] of yield* admin.describeTopics(scope.topics)) {
        if (isError(view)) errors.set(topic, view)
        else partitions.push(...view.partitions.map(({ partition }) => ({ topic, partition })))
      }
    }
    return { partitions: [...new Map(partitions.map((one) => [`${one.topic}-${one.partition}`, one])).values()], errors }
  })
