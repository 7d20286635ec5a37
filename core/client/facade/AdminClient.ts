/** {@link AdminClient} over an Admin: what failed is thrown, the first of several. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import type { Admin, Results } from "../Admin.ts"
import type { ClientError } from "../ClientError.ts"
import type { AdminClient } from "./Client.ts"
import { Part, type Ports, type Runtime } from "./Host.ts"

const throwFirst = <K, A>(results: Results<K, A>): ReadonlyMap<K, A> => {
  const done = new Map<K, A>()
  for (const [key, result] of results) {
    if (result instanceof Error) throw result
    done.set(key, result)
  }
  return done
}

const throwErrors = (results: ReadonlyArray<{ readonly error: ClientError | undefined }>): void => {
  for (const { error } of results) if (error !== undefined) throw error
}

export const makeAdminClient = (runtime: Runtime, make: Effect.Effect<Admin, ClientError, Ports | Scope>): AdminClient => {
  const part = new Part(runtime, make)
  const { use } = part
  return {
    createTopics: async (topics, options) => throwFirst(await use((admin) => admin.createTopics(topics, options))),
    deleteTopics: async (names) => void throwFirst(await use((admin) => admin.deleteTopics(names))),
    createPartitions: async (topics, options) => void throwFirst(await use((admin) => admin.createPartitions(topics, options))),
    listTopics: (options) => use((admin) => admin.listTopics(options)),
    describeTopics: async (names) => throwFirst(await use((admin) => admin.describeTopics(names))),
    describeConfigs: async (resources, options) =>
      (await use((admin) => admin.describeConfigs(resources, options))).map(({ resource, result }) => {
        if (result instanceof Error) throw result
        return { resource, entries: result }
      }),
    alterConfigs: async (changes, options) => throwErrors(await use((admin) => admin.alterConfigs(changes, options))),
    deleteRecords: async (partitions) => {
      const results = await use((admin) => admin.deleteRecords(partitions))
      throwErrors(results)
      return results.map(({ lowWatermark, partition, topic }) => ({ topic, partition, lowWatermark }))
    },
    listOffsets: async (partitions, options) =>
      (await use((admin) => admin.listOffsets(partitions, options))).map((listed) => {
        if ("error" in listed) throw listed.error
        return listed
      }),
    listGroups: (options) => use((admin) => admin.listGroups(options)),
    describeGroups: async (groupIds) => throwFirst(await use((admin) => admin.describeGroups(groupIds))),
    deleteGroups: async (groupIds) => void throwFirst(await use((admin) => admin.deleteGroups(groupIds))),
    listGroupOffsets: (groupId, partitions) => use((admin) => admin.listGroupOffsets(groupId, partitions)),
    alterGroupOffsets: async (groupId, offsets) => throwErrors(await use((admin) => admin.alterGroupOffsets(groupId, offsets))),
    deleteGroupOffsets: async (groupId, partitions) =>
      throwErrors(await use((admin) => admin.deleteGroupOffsets(groupId, partitions))),
    removeMembers: (groupId, members, reason) => use((admin) => admin.removeMembers(groupId, members, reason)),
    alterPartitionReassignments: async (reassignments, options) =>
      throwErrors(await use((admin) => admin.alterPartitionReassignments(reassignments, options))),
    listPartitionReassignments: (partitions) => use((admin) => admin.listPartitionReassignments(partitions)),
    electLeaders: async (type, partitions) => {
      const results = await use((admin) => admin.electLeaders(type, partitions))
      // Who is led as asked for already is no failure.
      throwErrors(results.filter(({ error }) => error?.code !== ErrorCode.ELECTION_NOT_NEEDED))
    },
    describeCluster: () => use((admin) => admin.describeCluster),
    describeLogDirs: (nodeIds) => use((admin) => admin.describeLogDirs(nodeIds)),
    close: part.close,
    [Symbol.asyncDispose]: part.close
  }
}
