/**
 * min.insync.replicas of a cluster, of a broker and of a topic, and what a change of it does to eligible leader replicas:
 * the same requests in the same order, as what they are about belongs to the whole cluster. What a change does to a
 * partition that nobody leads is left out (docs/compatibility.md).
 */
import { type ClusterRequest, createTopicRequest } from "./ClusterRequests.ts"

const MIN_ISR = "min.insync.replicas"
const [TOPIC, BROKER] = [2, 4]
const [SET, DELETE] = [0, 1]

/** On a broker that lives and on the one that is killed, and in sync by two. */
const STRICT = "o0-strict"
/** On a broker that lives and on the one that is killed. */
const MOVED = "o0-moved"

const alter = (
  resourceType: number,
  resourceName: string,
  configOperation: number,
  value: string | null,
  validateOnly = false
): ClusterRequest => ({
  api: "IncrementalAlterConfigs",
  version: 1,
  fields: { resources: [{ resourceType, resourceName, configs: [{ name: MIN_ISR, configOperation, value }] }], validateOnly }
})

/** All of a resource's configurations. */
const replace = (resourceName: string, configs: Readonly<Record<string, string>>): ClusterRequest => ({
  api: "AlterConfigs",
  version: 2,
  fields: {
    resources: [{ resourceType: BROKER, resourceName, configs: Object.entries(configs).map(([name, value]) => ({ name, value })) }],
    validateOnly: false
  }
})

const describe = (resourceType: number, resourceName: string): ClusterRequest => ({
  api: "DescribeConfigs",
  version: 4,
  fields: {
    resources: [{ resourceType, resourceName, configurationKeys: [MIN_ISR] }],
    includeSynonyms: true,
    includeDocumentation: false
  }
})

const describeAll: ReadonlyArray<ClusterRequest> = [describe(BROKER, "1"), describe(BROKER, ""), describe(TOPIC, MOVED)]

export const whileAllLive: ReadonlyArray<ClusterRequest> = [
  createTopicRequest(STRICT, [[1, 3]], { [MIN_ISR]: "2" }),
  createTopicRequest(MOVED, [[1, 3]]),
  ...describeAll,
  alter(BROKER, "1", SET, "1"),
  alter(BROKER, "1", SET, "2", true),
  alter(BROKER, "1", SET, "0"),
  alter(BROKER, "1", DELETE, null),
  replace("1", { [MIN_ISR]: "1" }),
  replace("1", { "log.retention.ms": "3600000" }),
  replace("1", {}),
  alter(BROKER, "", SET, "0"),
  alter(BROKER, "", SET, "2"),
  ...describeAll,
  alter(BROKER, "", DELETE, null),
  replace("", {}),
  replace("", { "log.retention.ms": "3600000" }),
  replace("", { "log.retention.ms": "3600000", [MIN_ISR]: "3" }),
  ...describeAll,
  replace("", { [MIN_ISR]: "1" }),
  ...describeAll,
  alter(TOPIC, MOVED, SET, "2"),
  describe(TOPIC, MOVED),
  alter(TOPIC, MOVED, DELETE, null),
  describe(TOPIC, MOVED)
]

export const whileOneIsDead: ReadonlyArray<ClusterRequest> = [
  // The leader may commit alone from now on: who is dead is eligible no more.
  alter(TOPIC, STRICT, SET, "1"),
  alter(TOPIC, STRICT, SET, "2"),
  // It is done although one that stays is not in the ISR.
  {
    api: "AlterPartitionReassignments",
    version: 0,
    fields: { timeoutMs: 30_000, topics: [{ name: MOVED, partitions: [{ partitionIndex: 0, replicas: [2, 3] }] }] }
  }
]
