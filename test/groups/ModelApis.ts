/** The group APIs that the model's members call, each at any of its versions. */
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import * as DeleteGroups from "../../core/protocol/generated/DeleteGroups.ts"
import * as DescribeGroups from "../../core/protocol/generated/DescribeGroups.ts"
import * as FindCoordinator from "../../core/protocol/generated/FindCoordinator.ts"
import * as Heartbeat from "../../core/protocol/generated/Heartbeat.ts"
import * as JoinGroup from "../../core/protocol/generated/JoinGroup.ts"
import * as LeaveGroup from "../../core/protocol/generated/LeaveGroup.ts"
import * as OffsetCommit from "../../core/protocol/generated/OffsetCommit.ts"
import * as OffsetFetch from "../../core/protocol/generated/OffsetFetch.ts"
import * as SyncGroup from "../../core/protocol/generated/SyncGroup.ts"
import { type RpcApi, rpcApi } from "../../core/rpc/RpcApi.ts"

export const findCoordinatorApi: RpcApi<FindCoordinator.FindCoordinatorRequestInput, FindCoordinator.FindCoordinatorResponse> = rpcApi(
  ApiKey.FindCoordinator,
  FindCoordinator.encodeFindCoordinatorRequest,
  FindCoordinator.decodeFindCoordinatorResponse
)
export const joinGroupApi: RpcApi<JoinGroup.JoinGroupRequestInput, JoinGroup.JoinGroupResponse> = rpcApi(
  ApiKey.JoinGroup,
  JoinGroup.encodeJoinGroupRequest,
  JoinGroup.decodeJoinGroupResponse
)
export const syncGroupApi: RpcApi<SyncGroup.SyncGroupRequestInput, SyncGroup.SyncGroupResponse> = rpcApi(
  ApiKey.SyncGroup,
  SyncGroup.encodeSyncGroupRequest,
  SyncGroup.decodeSyncGroupResponse
)
export const heartbeatApi: RpcApi<Heartbeat.HeartbeatRequestInput, Heartbeat.HeartbeatResponse> = rpcApi(
  ApiKey.Heartbeat,
  Heartbeat.encodeHeartbeatRequest,
  Heartbeat.decodeHeartbeatResponse
)
export const leaveGroupApi: RpcApi<LeaveGroup.LeaveGroupRequestInput, LeaveGroup.LeaveGroupResponse> = rpcApi(
  ApiKey.LeaveGroup,
  LeaveGroup.encodeLeaveGroupRequest,
  LeaveGroup.decodeLeaveGroupResponse
)
export const offsetCommitApi: RpcApi<OffsetCommit.OffsetCommitRequestInput, OffsetCommit.OffsetCommitResponse> = rpcApi(
  ApiKey.OffsetCommit,
  OffsetCommit.encodeOffsetCommitRequest,
  OffsetCommit.decodeOffsetCommitResponse
)
export const offsetFetchApi: RpcApi<OffsetFetch.OffsetFetchRequestInput, OffsetFetch.OffsetFetchResponse> = rpcApi(
  ApiKey.OffsetFetch,
  OffsetFetch.encodeOffsetFetchRequest,
  OffsetFetch.decodeOffsetFetchResponse
)
export const describeGroupsApi: RpcApi<DescribeGroups.DescribeGroupsRequestInput, DescribeGroups.DescribeGroupsResponse> = rpcApi(
  ApiKey.DescribeGroups,
  DescribeGroups.encodeDescribeGroupsRequest,
  DescribeGroups.decodeDescribeGroupsResponse
)
export const deleteGroupsApi: RpcApi<DeleteGroups.DeleteGroupsRequestInput, DeleteGroups.DeleteGroupsResponse> = rpcApi(
  ApiKey.DeleteGroups,
  DeleteGroups.encodeDeleteGroupsRequest,
  DeleteGroups.decodeDeleteGroupsResponse
)
