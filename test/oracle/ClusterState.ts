/** What a cluster of several brokers says of its topics: where their replicas are, who leads, what is being moved. */
import type { Caller, Fields } from "../../scripts/peers/Calls.ts"
import type { Tree } from "./Canonical.ts"

type Ids = ReadonlyArray<number>

export interface PartitionSeen {
  readonly partition: number
  readonly error: number
  readonly leader: number
  readonly leaderEpoch: number
  /** In the order of preference; the others are sets, in ascending order. */
  readonly replicas: ReadonlyArray<number>
  readonly isr: ReadonlyArray<number>
  readonly elr: ReadonlyArray<number>
  readonly lastKnownElr: ReadonlyArray<number>
  readonly offline: ReadonlyArray<number>
  /** Undefined: it is not being moved. */
  readonly moving: { readonly adding: ReadonlyArray<number>; readonly removing: ReadonlyArray<number> } | undefined
}

export interface TopicSeen {
  readonly name: string
  readonly error: number
  readonly partitions: ReadonlyArray<PartitionSeen>
}

export interface Seen {
  /** That are told to clients. */
  readonly brokers: ReadonlyArray<number>
  readonly topics: ReadonlyArray<TopicSeen>
}

const ascending = (ids: Ids | null): Ids => [...ids ?? []].sort((a, b) => a - b)

/** Asks one broker about these topics. */
export const look = async (caller: Caller, names: ReadonlyArray<string>): Promise<Seen> => {
  const cluster = await caller.ask("DescribeCluster", 1, { includeClusterAuthorizedOperations: false, endpointType: 1 })
  const brokers = ascending((cluster["brokers"] as ReadonlyArray<Fields>).map((broker) => broker["brokerId"] as number))
  if (names.length === 0) return { brokers, topics: [] }
  const described = await caller.ask("DescribeTopicPartitions", 0, {
    topics: names.map((name) => ({ name })),
    responsePartitionLimit: 2000,
    cursor: null
  })
  const moved = await caller.ask("ListPartitionReassignments", 0, { timeoutMs: 30_000, topics: null })
  const moving = new Map((moved["topics"] as ReadonlyArray<Fields>).flatMap((topic) =>
    (topic["partitions"] as ReadonlyArray<Fields>).map((partition) => [
      `${topic["name"]}-${partition["partitionIndex"]}`,
      { adding: ascending(partition["addingReplicas"]), removing: ascending(partition["removingReplicas"]) }
    ] as const)))
  const topics = (described["topics"] as ReadonlyArray<Fields>).map((topic): TopicSeen => ({
    name: topic["name"],
    error: topic["errorCode"],
    partitions: (topic["partitions"] as ReadonlyArray<Fields>).map((partition): PartitionSeen => ({
      partition: partition["partitionIndex"],
      error: partition["errorCode"],
      leader: partition["leaderId"],
      leaderEpoch: partition["leaderEpoch"],
      replicas: partition["replicaNodes"],
      isr: ascending(partition["isrNodes"]),
      // Kafka leaves in it who was a replica before, and cannot be elected.
      elr: ascending(partition["eligibleLeaderReplicas"]).filter((id) => (partition["replicaNodes"] as Ids).includes(id)),
      lastKnownElr: ascending(partition["lastKnownElr"]),
      offline: ascending(partition["offlineReplicas"]),
      moving: moving.get(`${topic["name"]}-${partition["partitionIndex"]}`)
    })).sort((a, b) => a.partition - b.partition)
  }))
  return { brokers, topics: topics.sort((a, b) => (a.name < b.name ? -1 : 1)) }
}

/** By name, so that what differs is named. */
export const treeOf = ({ brokers, topics }: Seen): Tree => ({
  brokers: brokers.join(),
  topics: Object.fromEntries(topics.map(({ error, name, partitions }) => [`[${name}]`, {
    error,
    ...Object.fromEntries(partitions.map(({ error, leader, leaderEpoch, moving, partition, ...sets }) => [`[${partition}]`, {
      error,
      leader,
      leaderEpoch,
      ...Object.fromEntries(Object.entries(sets).map(([name, ids]) => [name, (ids as Ids).join()])),
      moving: moving === undefined ? "" : `+${moving.adding.join()} -${moving.removing.join()}`
    }]))
  }]))
})

export const isMoving = ({ topics }: Seen): boolean =>
  topics.some(({ partitions }) => partitions.some(({ moving }) => moving !== undefined))
