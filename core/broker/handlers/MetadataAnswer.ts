/** What Metadata, DescribeCluster and DescribeTopicPartitions say alike of brokers, topics and partitions. */
import { type BrokerListener, type MetadataImage, type PartitionImage, replicaName } from "../../cluster/MetadataImage.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"

/** Authorised operations when they were not asked for: INT32_MIN. */
export const OPERATIONS_NOT_ASKED = -2147483648

/** Bit n stands for the ACL operation of code n. Without an authorizer everyone may do everything that the resource has. */
const operations = (...codes: ReadonlyArray<number>): number => codes.reduce((bits, code) => bits | (1 << code), 0)
/** Read, write, create, delete, alter, describe, describe configs, alter configs. */
export const TOPIC_OPERATIONS: number = operations(3, 4, 5, 6, 7, 8, 10, 11)
/** Read, delete, describe, describe configs, alter configs. */
export const GROUP_OPERATIONS: number = operations(3, 6, 8, 10, 11)
/** Create, alter, describe, cluster action, describe configs, alter configs, idempotent write. */
export const CLUSTER_OPERATIONS: number = operations(5, 7, 8, 9, 10, 11, 12)

const INTERNAL_TOPICS: ReadonlySet<string> = new Set(["__consumer_offsets", "__transaction_state", "__share_group_state"])
export const isInternalTopic = (name: string): boolean => INTERNAL_TOPICS.has(name)

/** A broker's address for clients that came by a listener; undefined when it is fenced or has no such listener. */
export const endpointOf = (image: MetadataImage, brokerId: number, listenerName: string): BrokerListener | undefined => {
  const broker = image.brokers.get(brokerId)
  return broker === undefined || broker.fenced ? undefined : broker.listeners.find(({ name }) => name === listenerName)
}

/** Brokers that a client of this listener can reach, by id. */
export const brokersFor = (
  image: MetadataImage,
  listenerName: string
): ReadonlyArray<{ readonly nodeId: number; readonly host: string; readonly port: number; readonly rack: string | null }> =>
  [...image.brokers.values()].sort((a, b) => a.id - b.id).flatMap(({ id, rack }) => {
    const endpoint = endpointOf(image, id, listenerName)
    return endpoint === undefined ? [] : [{ nodeId: id, host: endpoint.host, port: endpoint.port, rack }]
  })

/** Any broker takes commands, so a client without a reachable controller is sent to us. */
export const controllerFor = (image: MetadataImage, listenerName: string, brokerId: number): number =>
  endpointOf(image, image.controllerId, listenerName) === undefined ? brokerId : image.controllerId

export interface PartitionAnswer {
  readonly errorCode: number
  readonly partitionIndex: number
  readonly leaderId: number
  readonly leaderEpoch: number
  readonly replicaNodes: ReadonlyArray<number>
  readonly isrNodes: ReadonlyArray<number>
  readonly offlineReplicas: ReadonlyArray<number>
}

/**
 * @param onlyReachable Metadata version 0 has no offline replicas: it leaves them out and answers REPLICA_NOT_AVAILABLE
 * @param tellListener versions that tell a leader without this listener (LISTENER_NOT_FOUND) from no leader
 */
export const partitionAnswer = (
  image: MetadataImage,
  topicId: string,
  partition: PartitionImage,
  listenerName: string,
  { onlyReachable = false, tellListener = true }: { readonly onlyReachable?: boolean; readonly tellListener?: boolean } = {}
): PartitionAnswer => {
  const reachable = (id: number): boolean => endpointOf(image, id, listenerName) !== undefined
  const name = replicaName(topicId, partition.partition)
  const isOffline = (id: number): boolean => !reachable(id) || image.brokers.get(id)?.offlineReplicas.has(name) === true
  const offlineReplicas = partition.replicas.filter(isOffline)
  const replicaNodes = onlyReachable ? partition.replicas.filter(reachable) : partition.replicas
  const isrNodes = onlyReachable ? partition.isr.filter(reachable) : partition.isr
  const hasLeader = reachable(partition.leader)
  const missing = replicaNodes.length < partition.replicas.length || isrNodes.length < partition.isr.length
  const errorCode = hasLeader
    ? (missing ? ErrorCode.REPLICA_NOT_AVAILABLE : ErrorCode.NONE)
    : tellListener && image.brokers.has(partition.leader)
    ? ErrorCode.LISTENER_NOT_FOUND
    : ErrorCode.LEADER_NOT_AVAILABLE
  return {
    errorCode,
    partitionIndex: partition.partition,
    leaderId: hasLeader ? partition.leader : -1,
    leaderEpoch: partition.leaderEpoch,
    replicaNodes,
    isrNodes,
    offlineReplicas
  }
}
