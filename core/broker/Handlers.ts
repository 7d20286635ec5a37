/** Every API that this broker serves. What is not in this list is not advertised. */
import type { BrokerServices } from "./BrokerServices.ts"
import type { Handler } from "./Handler.ts"
import { makeAlterConfigs } from "./handlers/AlterConfigs.ts"
import { makeAlterPartitionReassignments } from "./handlers/AlterPartitionReassignments.ts"
import { makeApiVersions } from "./handlers/ApiVersions.ts"
import { makeCreatePartitions } from "./handlers/CreatePartitions.ts"
import { makeCreateTopics } from "./handlers/CreateTopics.ts"
import { makeDeleteGroups } from "./handlers/DeleteGroups.ts"
import { makeDeleteRecords } from "./handlers/DeleteRecords.ts"
import { makeDeleteTopics } from "./handlers/DeleteTopics.ts"
import { makeDescribeCluster } from "./handlers/DescribeCluster.ts"
import { makeDescribeConfigs } from "./handlers/DescribeConfigs.ts"
import { makeDescribeGroups } from "./handlers/DescribeGroups.ts"
import { makeDescribeLogDirs } from "./handlers/DescribeLogDirs.ts"
import { makeDescribeProducers } from "./handlers/DescribeProducers.ts"
import { makeDescribeTopicPartitions } from "./handlers/DescribeTopicPartitions.ts"
import { makeElectLeaders } from "./handlers/ElectLeaders.ts"
import { makeFetch } from "./handlers/Fetch.ts"
import { makeFindCoordinator } from "./handlers/FindCoordinator.ts"
import { makeHeartbeat } from "./handlers/Heartbeat.ts"
import { makeIncrementalAlterConfigs } from "./handlers/IncrementalAlterConfigs.ts"
import { makeInitProducerId } from "./handlers/InitProducerId.ts"
import { makeJoinGroup } from "./handlers/JoinGroup.ts"
import { makeLeaveGroup } from "./handlers/LeaveGroup.ts"
import { makeListConfigResources } from "./handlers/ListConfigResources.ts"
import { makeListGroups } from "./handlers/ListGroups.ts"
import { makeListOffsets } from "./handlers/ListOffsets.ts"
import { makeListPartitionReassignments } from "./handlers/ListPartitionReassignments.ts"
import { makeMetadata } from "./handlers/Metadata.ts"
import { makeOffsetCommit } from "./handlers/OffsetCommit.ts"
import { makeOffsetDelete } from "./handlers/OffsetDelete.ts"
import { makeOffsetFetch } from "./handlers/OffsetFetch.ts"
import { makeOffsetForLeaderEpoch } from "./handlers/OffsetForLeaderEpoch.ts"
import { makeProduce } from "./handlers/Produce.ts"
import { makeSyncGroup } from "./handlers/SyncGroup.ts"

export const makeHandlers = (broker: BrokerServices): ReadonlyArray<Handler> => [
  makeAlterConfigs(broker),
  makeAlterPartitionReassignments(broker),
  makeApiVersions(broker),
  makeCreatePartitions(broker),
  makeCreateTopics(broker),
  makeDeleteGroups(broker),
  makeDeleteRecords(broker),
  makeDeleteTopics(broker),
  makeDescribeCluster(broker),
  makeDescribeConfigs(broker),
  makeDescribeGroups(broker),
  makeDescribeLogDirs(broker),
  makeDescribeProducers(broker),
  makeDescribeTopicPartitions(broker),
  makeElectLeaders(broker),
  makeFetch(broker),
  makeFindCoordinator(broker),
  makeHeartbeat(broker),
  makeIncrementalAlterConfigs(broker),
  makeInitProducerId(broker),
  makeJoinGroup(broker),
  makeLeaveGroup(broker),
  makeListConfigResources(broker),
  makeListGroups(broker),
  makeListOffsets(broker),
  makeListPartitionReassignments(broker),
  makeMetadata(broker),
  makeOffsetCommit(broker),
  makeOffsetDelete(broker),
  makeOffsetFetch(broker),
  makeOffsetForLeaderEpoch(broker),
  makeProduce(broker),
  makeSyncGroup(broker)
]
