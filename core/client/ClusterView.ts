/** What a client knows of a cluster: immutable, replaced whole with each Metadata answer. */

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface Node {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
}

export interface PartitionView {
  readonly partition: number
  /** -1: none. */
  readonly leader: number
  /** Counts the partition's leaders. -1: not told. */
  readonly leaderEpoch: number
  /** Ids of the brokers that have it, or shall; the first leads when it can. */
  readonly replicas: ReadonlyArray<number>
  /** Of the replicas those that are in sync: each has all that is acknowledged to `acks=all`. */
  readonly isr: ReadonlyArray<number>
  /** Of the replicas those whose broker, or its log directory, is away. */
  readonly offlineReplicas: ReadonlyArray<number>
}

export interface TopicView {
  readonly name: string
  /** Base64url without padding, as Kafka prints it; `AAAAAAAAAAAAAAAAAAAAAA` before topics had ids. */
  readonly id: string
  /** The brokers' own, like `__consumer_offsets`. */
  readonly isInternal: boolean
  /** By partition: index = partition. */
  readonly partitions: ReadonlyArray<PartitionView>
}

export interface ClusterView {
  /** Counts the Metadata answers this client has applied. 0: none yet. */
  readonly version: number
  readonly clusterId: string | null
  /** -1: none. */
  readonly controllerId: number
  readonly nodes: ReadonlyMap<number, Node>
  readonly topics: ReadonlyMap<string, TopicView>
}
