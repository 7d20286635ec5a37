/**
 * KIP-219: an answer says at once that a quota was exceeded, and for how long its client shall send nothing more on that
 * connection; the broker stops reading for as long. In earlier versions of an API the broker kept the answer back, and
 * there is nothing left to wait for. The versions are those of Kafka 4.3.1's client (`shouldClientThrottle`).
 */
import { ApiKey } from "../protocol/ApiKey.ts"

/** The first version of each API whose `throttleTimeMs` is for the client to keep; APIs left out: none is. */
const sinceVersion: ReadonlyMap<number, number> = new Map([
  [ApiKey.Produce, 6],
  [ApiKey.Fetch, 8],
  [ApiKey.ListOffsets, 3],
  [ApiKey.Metadata, 6],
  [ApiKey.OffsetCommit, 4],
  [ApiKey.OffsetFetch, 4],
  [ApiKey.FindCoordinator, 2],
  [ApiKey.JoinGroup, 3],
  [ApiKey.Heartbeat, 2],
  [ApiKey.LeaveGroup, 2],
  [ApiKey.SyncGroup, 2],
  [ApiKey.DescribeGroups, 2],
  [ApiKey.ListGroups, 2],
  [ApiKey.ApiVersions, 2],
  [ApiKey.CreateTopics, 3],
  [ApiKey.DeleteTopics, 2],
  [ApiKey.DeleteRecords, 1],
  [ApiKey.InitProducerId, 1],
  [ApiKey.AddPartitionsToTxn, 1],
  [ApiKey.AddOffsetsToTxn, 1],
  [ApiKey.EndTxn, 1],
  [ApiKey.TxnOffsetCommit, 1],
  [ApiKey.DescribeAcls, 1],
  [ApiKey.CreateAcls, 1],
  [ApiKey.DeleteAcls, 1],
  [ApiKey.DescribeConfigs, 2],
  [ApiKey.AlterConfigs, 1],
  [ApiKey.AlterReplicaLogDirs, 1],
  [ApiKey.DescribeLogDirs, 1],
  [ApiKey.CreatePartitions, 1],
  [ApiKey.CreateDelegationToken, 1],
  [ApiKey.RenewDelegationToken, 1],
  [ApiKey.ExpireDelegationToken, 1],
  [ApiKey.DescribeDelegationToken, 1],
  [ApiKey.DeleteGroups, 1],
  [ApiKey.ElectLeaders, 0],
  [ApiKey.IncrementalAlterConfigs, 0],
  [ApiKey.AlterPartitionReassignments, 0],
  [ApiKey.ListPartitionReassignments, 0],
  [ApiKey.OffsetDelete, 0],
  [ApiKey.DescribeUserScramCredentials, 0],
  [ApiKey.AlterUserScramCredentials, 0],
  [ApiKey.UnregisterBroker, 0],
  [ApiKey.DescribeTopicPartitions, 0]
])

/** How long nothing more may be sent where this answer came from, in ms. */
export const throttleMsOf = (apiKey: number, version: number, answer: unknown): number => {
  if (typeof answer !== "object" || answer === null) return 0
  const { throttleTimeMs } = answer as { readonly throttleTimeMs?: unknown }
  if (typeof throttleTimeMs !== "number" || throttleTimeMs <= 0) return 0
  const since = sinceVersion.get(apiKey)
  return since !== undefined && version >= since ? throttleTimeMs : 0
}
