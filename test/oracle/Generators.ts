/** Every request generator. A new API joins by a line here. Half of the sequences are about groups. */
import { apiVersions, describeCluster, describeLogDirs } from "./generators/Cluster.ts"
import { alterConfigs, describeConfigs, incrementalAlterConfigs } from "./generators/Configs.ts"
import { fetch } from "./generators/Fetch.ts"
import { deleteGroups, describeGroups, findCoordinator, listGroups } from "./generators/GroupAdmin.ts"
import { membership } from "./generators/Groups.ts"
import { offsetCommit, offsetDelete, offsetFetch } from "./generators/GroupOffsets.ts"
import { deleteRecords, listOffsets, offsetForLeaderEpoch } from "./generators/Offsets.ts"
import { describeProducers, initProducerId, produce } from "./generators/Produce.ts"
import { raw } from "./generators/Raw.ts"
import { createPartitions, createTopics, deleteTopics, describeTopicPartitions, metadata } from "./generators/Topics.ts"
import { groupApis } from "./Groups.ts"
import type { Generator } from "./World.ts"

export const generators: ReadonlyArray<Generator> = [
  alterConfigs,
  apiVersions,
  createPartitions,
  createTopics,
  deleteGroups,
  deleteRecords,
  deleteTopics,
  describeCluster,
  describeConfigs,
  describeGroups,
  describeLogDirs,
  describeProducers,
  describeTopicPartitions,
  fetch,
  findCoordinator,
  incrementalAlterConfigs,
  initProducerId,
  listGroups,
  listOffsets,
  membership,
  metadata,
  offsetCommit,
  offsetDelete,
  offsetFetch,
  offsetForLeaderEpoch,
  produce,
  raw
]

/** In a sequence about groups, what may happen beside them. */
const besideGroups: ReadonlySet<string> = new Set(["CreateTopics", "DeleteTopics", "CreatePartitions", "Metadata"])

export type Focus = "groups" | "others" | "both"

/** How the weight of an API changes in the sequence of a seed: with `both`, even seeds are about groups. */
export const focusOf = (seed: number, focus: Focus): (api: string) => number =>
  focus === "others" || focus === "both" && seed % 2 === 1
    ? (api) => groupApis.has(api) ? 0 : 1
    : (api) => groupApis.has(api) ? 10 : besideGroups.has(api) ? 1 : 0
