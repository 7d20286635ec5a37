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
  /** -1: not told. */
  readonly leaderEpoch: number
  readonly replicas: ReadonlyArray<number>
  readonly isr: ReadonlyArray<number>
  readonly offlineReplicas: ReadonlyArray<number>
}

export interface TopicView {
  readonly name: string
  /** Base64url without padding, as Kafka prints it; `AAAAAAAAAAAAAAAAAAAAAA` before topics had ids. */
  readonly id: string
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
