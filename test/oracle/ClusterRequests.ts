/** Requests about the replicas of a cluster of three brokers, right ones and wrong ones, drawn for what the judge has. */
import type { Fields } from "../../scripts/peers/Calls.ts"
import { buildBatch } from "./Batches.ts"
import type { PartitionSeen, Seen, TopicSeen } from "./ClusterState.ts"
import type { Random } from "./Random.ts"

export interface ClusterRequest {
  readonly api: string
  readonly version: number
  readonly fields: Fields
  /** A topic that it makes, when it is granted. */
  readonly makes?: string
  /** Asks about all topics: of the answer those with this sequence's prefix count. */
  readonly isAboutAll?: boolean
}

interface Draw {
  readonly random: Random
  readonly prefix: string
  readonly seen: Seen
  /** That was killed, and is not back. */
  readonly dead: number | undefined
  readonly versions: (api: string) => readonly [min: number, max: number]
}

const BROKERS: ReadonlyArray<number> = [1, 2, 3]
const MAX_TOPICS = 5

const shuffled = (random: Random, ids: ReadonlyArray<number>): ReadonlyArray<number> => {
  const left = [...ids]
  const taken: Array<number> = []
  while (left.length > 0) taken.push(...left.splice(random.int(0, left.length - 1), 1))
  return taken
}

/**
 * Topics with this in their name have min.insync.replicas=2, and never fewer replicas: Kafka takes the first partition's
 * for all, keeps brokers that are no replicas any more in the ELR of one that has fewer, and then elects nobody there.
 */
const TWO_IN_SYNC = "two"
const leastOf = (topic: string): number => topic.includes(TWO_IN_SYNC) ? 2 : 1

/** Up to three brokers, in some order. */
const someReplicas = (random: Random, topic: string): ReadonlyArray<number> =>
  shuffled(random, BROKERS).slice(0, random.int(leastOf(topic), 3))

const wrongReplicas = (random: Random): ReadonlyArray<number> => random.pick([[], [9], [1, 9], [2, 2], [-1], [1, 2, 3, 4]])

const someTopic = ({ prefix, random, seen }: Draw): TopicSeen => {
  const unknown: TopicSeen = { name: random.pick([`${prefix}-none`, "", "a/b"]), error: 3, partitions: [] }
  return seen.topics.length === 0 || random.chance(8) ? unknown : random.pick(seen.topics)
}

const somePartition = (draw: Draw): { readonly topic: string; readonly index: number; readonly partition: PartitionSeen | undefined } => {
  const topic = someTopic(draw)
  const partition = topic.partitions.length === 0 || draw.random.chance(6) ? undefined : draw.random.pick(topic.partitions)
  return { topic: topic.name, index: partition?.partition ?? draw.random.pick([-1, 7]), partition }
}

/** Partitions of a request by topic, none twice. */
const byTopic = <T extends { readonly topic: string; readonly index: number }>(
  count: number,
  make: () => T
): ReadonlyMap<string, ReadonlyArray<T>> => {
  const topics = new Map<string, Array<T>>()
  for (let i = 0; i < count; i++) {
    const one = make()
    const list = topics.get(one.topic) ?? []
    if (!list.some(({ index }) => index === one.index)) topics.set(one.topic, [...list, one])
  }
  return topics
}

const versionOf = ({ random, versions }: Draw, api: string): number => {
  const [min, max] = versions(api)
  return random.int(min, max)
}

/** A topic with these replicas, by partition. */
export const createTopicRequest = (
  name: string,
  replicas: ReadonlyArray<ReadonlyArray<number>>,
  configs: Readonly<Record<string, string>> = {}
): ClusterRequest => ({
  api: "CreateTopics",
  version: 7,
  fields: {
    topics: [{
      name,
      numPartitions: -1,
      replicationFactor: -1,
      assignments: replicas.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds })),
      configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
    }],
    timeoutMs: 30_000,
    validateOnly: false
  },
  makes: name
})

const createTopic = (draw: Draw): ClusterRequest => {
  const { prefix, random, seen } = draw
  const isTwo = random.chance(50)
  const name = `${prefix}-${isTwo ? `${TWO_IN_SYNC}-` : ""}${"abcdefghij"[seen.topics.length] ?? "k"}`
  const sizes = random.int(1, 3)
  const factor = random.int(leastOf(name), 3)
  const replicas = Array.from({ length: sizes }, () =>
    random.chance(4) ? wrongReplicas(random) : shuffled(random, BROKERS).slice(0, factor))
  return createTopicRequest(name, replicas, isTwo ? { "min.insync.replicas": "2" } : {})
}

const createPartitions = (draw: Draw): ClusterRequest => {
  const { random } = draw
  const topic = someTopic(draw)
  const factor = topic.partitions[0]?.replicas.length ?? 1
  // With different numbers of replicas, Kafka holds the new one to that of any partition.
  if (topic.partitions.some(({ replicas }) => replicas.length !== factor)) return metadata(draw)
  return {
    api: "CreatePartitions",
    version: versionOf(draw, "CreatePartitions"),
    fields: {
      topics: [{
        name: topic.name,
        count: topic.partitions.length + 1,
        assignments: [{ brokerIds: random.chance(20) ? someReplicas(random, topic.name) : shuffled(random, BROKERS).slice(0, factor) }]
      }],
      timeoutMs: 30_000,
      validateOnly: topic.partitions.length >= 4
    }
  }
}

/**
 * A target for a partition. One that is being moved is left alone or taken back: what another target makes of it is
 * told in docs/compatibility.md.
 */
const targetOf = ({ random }: Draw, topic: string, partition: PartitionSeen | undefined): ReadonlyArray<number> | null => {
  if (random.chance(10)) return wrongReplicas(random)
  if (partition?.moving !== undefined) {
    return random.chance(40) ? null : partition.replicas.filter((id) => !partition.moving!.removing.includes(id))
  }
  return random.weighted<ReadonlyArray<number> | null>([
    [10, someReplicas(random, topic)],
    [3, shuffled(random, partition?.replicas ?? [1])],
    [1, partition?.replicas ?? [1]],
    [2, null]
  ])
}

const reassign = (draw: Draw): ClusterRequest => {
  const { random } = draw
  const asked = byTopic(random.weighted([[5, 1], [3, 2], [2, 3], [1, 0]]), () => {
    const one = somePartition(draw)
    return { ...one, replicas: targetOf(draw, one.topic, one.partition) }
  })
  return {
    api: "AlterPartitionReassignments",
    version: versionOf(draw, "AlterPartitionReassignments"),
    fields: {
      timeoutMs: 30_000,
      allowReplicationFactorChange: !random.chance(30),
      topics: [...asked].map(([name, list]) => ({
        name,
        partitions: list.map(({ index, replicas }) => ({ partitionIndex: index, replicas }))
      }))
    }
  }
}

const list = (draw: Draw): ClusterRequest => {
  const isAboutAll = draw.random.chance(30)
  const asked = byTopic(draw.random.int(0, 3), () => somePartition(draw))
  return {
    api: "ListPartitionReassignments",
    version: 0,
    fields: {
      timeoutMs: 30_000,
      topics: isAboutAll ? null : [...asked].map(([name, list]) => ({ name, partitionIndexes: list.map(({ index }) => index) }))
    },
    isAboutAll
  }
}

const elect = (draw: Draw): ClusterRequest => {
  const { random } = draw
  const version = versionOf(draw, "ElectLeaders")
  const isAboutAll = random.chance(10)
  const asked = byTopic(random.weighted([[6, 1], [3, 3], [1, 0]]), () => somePartition(draw))
  return {
    api: "ElectLeaders",
    version,
    fields: {
      electionType: version === 0 ? 0 : random.weighted([[6, 0], [3, 1], [1, random.pick([2, -1])]]),
      topicPartitions: isAboutAll ? null : [...asked].map(([topic, list]) => ({ topic, partitions: list.map(({ index }) => index) })),
      timeoutMs: 30_000
    },
    isAboutAll
  }
}

const metadata = (draw: Draw): ClusterRequest => ({
  api: "Metadata",
  version: Math.max(versionOf(draw, "Metadata"), 7),
  fields: {
    topics: [{ topicId: "AAAAAAAAAAAAAAAAAAAAAA", name: someTopic(draw).name }],
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false
  }
})

const describeCluster = (draw: Draw): ClusterRequest => ({
  api: "DescribeCluster",
  version: versionOf(draw, "DescribeCluster"),
  fields: { includeClusterAuthorizedOperations: false, endpointType: 1, includeFencedBrokers: draw.random.chance(50) }
})

/** A record for the whole ISR: what is refused, and where the leader is, when this broker is not it. */
const produce = (draw: Draw): ClusterRequest => {
  const { index, topic } = somePartition(draw)
  const records = buildBatch({ records: [{ key: null, value: new Uint8Array(1), timestamp: 1 }] })
  return {
    api: "Produce",
    // Up to the last version with names.
    version: Math.min(Math.max(versionOf(draw, "Produce"), 3), 12),
    fields: { transactionalId: null, acks: -1, timeoutMs: 20_000, topicData: [{ name: topic, partitionData: [{ index, records }] }] }
  }
}

const someEpoch = ({ random }: Draw, partition: PartitionSeen | undefined): number =>
  random.weighted([[5, -1], [3, partition?.leaderEpoch ?? 0], [1, (partition?.leaderEpoch ?? 0) + 1], [1, Math.max(0, (partition?.leaderEpoch ?? 0) - 1)]])

/** Of a consumer, of a debugger (-2), whom followers answer, too, and of replicas, right and wrong. */
const someReplica = ({ random }: Draw): number => random.weighted([[5, -1], [3, -2], [1, 2], [1, 9]])

const listOffsets = (draw: Draw): ClusterRequest => {
  const { random } = draw
  const { index, partition, topic } = somePartition(draw)
  const asked = { partitionIndex: index, currentLeaderEpoch: someEpoch(draw, partition), timestamp: random.pick([-1, -2, -3, -4, 0]) }
  return {
    api: "ListOffsets",
    version: Math.max(versionOf(draw, "ListOffsets"), 8),
    // Followers may know the high watermark, and have the records, a moment later.
    fields: { replicaId: asked.timestamp === -2 || asked.timestamp === -4 ? someReplica(draw) : -1, isolationLevel: 0, timeoutMs: 20_000, topics: [{ name: topic, partitions: [asked] }] }
  }
}

const offsetForLeaderEpoch = (draw: Draw): ClusterRequest => {
  const { index, partition, topic } = somePartition(draw)
  const asked = { partition: index, currentLeaderEpoch: someEpoch(draw, partition), leaderEpoch: draw.random.int(0, 3) }
  return {
    api: "OffsetForLeaderEpoch",
    version: Math.max(versionOf(draw, "OffsetForLeaderEpoch"), 3),
    fields: { replicaId: someReplica(draw), topics: [{ topic, partitions: [asked] }] }
  }
}

const describeProducers = (draw: Draw): ClusterRequest => {
  const { index, topic } = somePartition(draw)
  return { api: "DescribeProducers", version: 0, fields: { topics: [{ name: topic, partitionIndexes: [index] }] } }
}

const deleteRecords = (draw: Draw): ClusterRequest => {
  const { index, topic } = somePartition(draw)
  return {
    api: "DeleteRecords",
    version: versionOf(draw, "DeleteRecords"),
    fields: { timeoutMs: 20_000, topics: [{ name: topic, partitions: [{ partitionIndex: index, offset: draw.random.pick([0, -1, 1, 99, -2]) }] }] }
  }
}

/** As consumers did before there were follower reads, so that none depends on what a follower has got yet. */
const fetch = (draw: Draw): ClusterRequest => {
  const { index, partition, topic } = somePartition(draw)
  const asked = {
    partition: index,
    currentLeaderEpoch: someEpoch(draw, partition),
    fetchOffset: 0,
    lastFetchedEpoch: -1,
    logStartOffset: -1,
    partitionMaxBytes: 100_000
  }
  return {
    api: "Fetch",
    version: Math.min(Math.max(versionOf(draw, "Fetch"), 9), 10),
    fields: {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 100_000,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [{ topic, partitions: [asked] }],
      forgottenTopicsData: [],
      rackId: ""
    }
  }
}

export const drawRequest = (draw: Draw): ClusterRequest => {
  const { random, seen } = draw
  if (seen.topics.length < 2) return createTopic(draw)
  return random.weighted<(draw: Draw) => ClusterRequest>([
    [seen.topics.length < MAX_TOPICS ? 2 : 0, createTopic],
    [1, createPartitions],
    [10, reassign],
    [2, list],
    [5, elect],
    [2, metadata],
    [3, produce],
    [1, fetch],
    [1, listOffsets],
    [1, offsetForLeaderEpoch],
    [1, describeProducers],
    [1, deleteRecords],
    [1, describeCluster]
  ])(draw)
}
