/** Every request generator. A new API joins by a line here. */
import { apiVersions, describeCluster, describeLogDirs } from "./generators/Cluster.ts"
import { alterConfigs, describeConfigs, incrementalAlterConfigs } from "./generators/Configs.ts"
import { fetch } from "./generators/Fetch.ts"
import { deleteRecords, listOffsets, offsetForLeaderEpoch } from "./generators/Offsets.ts"
import { describeProducers, initProducerId, produce } from "./generators/Produce.ts"
import { raw } from "./generators/Raw.ts"
import { createPartitions, createTopics, deleteTopics, describeTopicPartitions, metadata } from "./generators/Topics.ts"
import type { Generator } from "./World.ts"

export const generators: ReadonlyArray<Generator> = [
  alterConfigs,
  apiVersions,
  createPartitions,
  createTopics,
  deleteRecords,
  deleteTopics,
  describeCluster,
  describeConfigs,
  describeLogDirs,
  describeProducers,
  describeTopicPartitions,
  fetch,
  incrementalAlterConfigs,
  initProducerId,
  listOffsets,
  metadata,
  offsetForLeaderEpoch,
  produce,
  raw
]
