/** Who leads a partition by the metadata image: told to a client that asked the wrong broker (KIP-951). */
import type { BrokerServices } from "../BrokerServices.ts"
import { partitionOf, type TopicImage } from "../../cluster/MetadataImage.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"

export interface NodeEndpoint {
  readonly nodeId: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
}

export const leaderOf = (
  broker: BrokerServices,
  topic: string,
  partition: number
): { readonly leaderId: number; readonly leaderEpoch: number } => {
  const image = partitionOf(broker.image(), topic, partition)
  return image === undefined ? { leaderId: -1, leaderEpoch: -1 } : { leaderId: image.leader, leaderEpoch: image.leaderEpoch }
}

/**
 * What is answered for a partition that is not here: NOT_LEADER_OR_FOLLOWER where only others have it, as in Kafka, so
 * that a client looks for its leader instead of taking the topic for deleted; KAFKA_STORAGE_ERROR where it lies in a log
 * directory that failed; else what the caller has for unknown.
 * @param topic by the image
 */
export const absentError = (
  broker: BrokerServices,
  topic: TopicImage | undefined,
  partition: number,
  unknown: number = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
): number => {
  const image = topic?.partitions[partition]
  if (topic === undefined || image === undefined) return unknown
  if (broker.partitions.isOffline(topic.id, partition)) return ErrorCode.KAFKA_STORAGE_ERROR
  return image.replicas.includes(broker.brokerId) ? unknown : ErrorCode.NOT_LEADER_OR_FOLLOWER
}

/** Where the leaders named in a response are reached by a client of that listener. */
export const endpointsOf = (
  broker: BrokerServices,
  listenerName: string,
  leaders: ReadonlySet<number>
): ReadonlyArray<NodeEndpoint> => {
  const endpoints: Array<NodeEndpoint> = []
  for (const nodeId of leaders) {
    const registration = broker.image().brokers.get(nodeId)
    const listener = registration?.listeners.find(({ name }) => name === listenerName)
    if (registration === undefined || listener === undefined) continue
    endpoints.push({ nodeId, host: listener.host, port: listener.port, rack: registration.rack })
  }
  return endpoints
}
