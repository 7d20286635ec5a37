/** The group APIs as a test calls them, and members that play the consumer protocol by hand. */
import * as Effect from "effect/Effect"
import { ByteWriter } from "../../../core/protocol/ByteWriter.ts"
import * as DeleteGroups from "../../../core/protocol/generated/DeleteGroups.ts"
import * as DescribeGroups from "../../../core/protocol/generated/DescribeGroups.ts"
import * as FindCoordinator from "../../../core/protocol/generated/FindCoordinator.ts"
import * as Heartbeat from "../../../core/protocol/generated/Heartbeat.ts"
import * as JoinGroup from "../../../core/protocol/generated/JoinGroup.ts"
import * as LeaveGroup from "../../../core/protocol/generated/LeaveGroup.ts"
import * as ListGroups from "../../../core/protocol/generated/ListGroups.ts"
import * as OffsetCommit from "../../../core/protocol/generated/OffsetCommit.ts"
import * as OffsetFetch from "../../../core/protocol/generated/OffsetFetch.ts"
import { encodeConsumerProtocolSubscription } from "../../../core/protocol/generated/records/ConsumerProtocolSubscription.ts"
import * as SyncGroup from "../../../core/protocol/generated/SyncGroup.ts"
import type { RpcConnection, RpcError } from "../../../core/rpc/RpcConnection.ts"

export { deleteGroupsApi } from "../../../core/protocol/generated/DeleteGroups.ts"
export { describeGroupsApi } from "../../../core/protocol/generated/DescribeGroups.ts"
export { findCoordinatorApi } from "../../../core/protocol/generated/FindCoordinator.ts"
export { heartbeatApi } from "../../../core/protocol/generated/Heartbeat.ts"
export { joinGroupApi } from "../../../core/protocol/generated/JoinGroup.ts"
export { leaveGroupApi } from "../../../core/protocol/generated/LeaveGroup.ts"
export { listGroupsApi } from "../../../core/protocol/generated/ListGroups.ts"
export { offsetCommitApi } from "../../../core/protocol/generated/OffsetCommit.ts"
export { offsetDeleteApi } from "../../../core/protocol/generated/OffsetDelete.ts"
export { offsetFetchApi } from "../../../core/protocol/generated/OffsetFetch.ts"
export { syncGroupApi } from "../../../core/protocol/generated/SyncGroup.ts"

/** What a consumer says of the topics it reads. */
export const subscription = (...topics: ReadonlyArray<string>): Uint8Array => {
  const writer = new ByteWriter()
  writer.int16(0)
  encodeConsumerProtocolSubscription(writer, 0, { topics })
  return writer.toBytes()
}

const utf8 = new TextEncoder()
export const bytesOf = (text: string): Uint8Array => utf8.encode(text)
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

export interface JoinOptions {
  readonly memberId?: string
  readonly groupInstanceId?: string
  readonly sessionTimeoutMs?: number
  readonly rebalanceTimeoutMs?: number
  readonly protocolType?: string
  readonly protocols?: JoinGroup.JoinGroupRequestInput["protocols"]
  readonly version?: number
}

export const joinRequest = (groupId: string, options: JoinOptions = {}): JoinGroup.JoinGroupRequestInput => {
  const version = options.version ?? 9
  return {
    groupId,
    memberId: options.memberId ?? "",
    sessionTimeoutMs: options.sessionTimeoutMs ?? 10_000,
    ...(version >= 1 ? { rebalanceTimeoutMs: options.rebalanceTimeoutMs ?? 30_000 } : {}),
    ...(options.groupInstanceId === undefined ? {} : { groupInstanceId: options.groupInstanceId }),
    protocolType: options.protocolType ?? "consumer",
    protocols: options.protocols ?? [{ name: "range", metadata: subscription("t") }]
  }
}

/** The group APIs on one connection. */
export class GroupClient {
  readonly rpc: RpcConnection
  constructor(rpc: RpcConnection) {
    this.rpc = rpc
  }

  /** The partition's coordinator is made with its topic. */
  find(groupId: string): Effect.Effect<FindCoordinator.FindCoordinatorResponse, RpcError> {
    return this.rpc.call(FindCoordinator.findCoordinatorApi, { keyType: 0, coordinatorKeys: [groupId] })
  }

  /** One JoinGroup. */
  join(groupId: string, options: JoinOptions = {}): Effect.Effect<JoinGroup.JoinGroupResponse, RpcError> {
    return this.rpc.call(JoinGroup.joinGroupApi, joinRequest(groupId, options), { version: options.version ?? 9 })
  }

  /** Joins as a new dynamic member does: twice. */
  joinNew(groupId: string, options: JoinOptions = {}): Effect.Effect<JoinGroup.JoinGroupResponse, RpcError> {
    return Effect.flatMap(this.join(groupId, options), ({ memberId }) => this.join(groupId, { ...options, memberId }))
  }

  sync(
    groupId: string,
    member: { readonly memberId: string; readonly generationId: number; readonly groupInstanceId?: string },
    assignments: Readonly<Record<string, string>> = {},
    protocolName = "range"
  ): Effect.Effect<SyncGroup.SyncGroupResponse, RpcError> {
    return this.rpc.call(SyncGroup.syncGroupApi, {
      groupId,
      memberId: member.memberId,
      generationId: member.generationId,
      ...(member.groupInstanceId === undefined ? {} : { groupInstanceId: member.groupInstanceId }),
      protocolType: "consumer",
      protocolName,
      assignments: Object.entries(assignments).map(([memberId, assignment]) => ({ memberId, assignment: bytesOf(assignment) }))
    })
  }

  heartbeat(
    groupId: string,
    member: { readonly memberId: string; readonly generationId: number; readonly groupInstanceId?: string }
  ): Effect.Effect<number, RpcError> {
    return Effect.map(
      this.rpc.call(Heartbeat.heartbeatApi, {
        groupId,
        memberId: member.memberId,
        generationId: member.generationId,
        ...(member.groupInstanceId === undefined ? {} : { groupInstanceId: member.groupInstanceId })
      }),
      ({ errorCode }) => errorCode
    )
  }

  leave(groupId: string, ...memberIds: ReadonlyArray<string>): Effect.Effect<LeaveGroup.LeaveGroupResponse, RpcError> {
    return this.rpc.call(LeaveGroup.leaveGroupApi, { groupId, members: memberIds.map((memberId) => ({ memberId })) })
  }

  /** @returns the error code of the one partition */
  commit(
    groupId: string,
    topic: string,
    partition: number,
    offset: number,
    options: {
      readonly memberId?: string
      readonly generationId?: number
      readonly metadata?: string
      readonly version?: number
    } = {}
  ): Effect.Effect<number, RpcError> {
    const request = {
      groupId,
      memberId: options.memberId ?? "",
      generationIdOrMemberEpoch: options.generationId ?? -1,
      topics: [{
        name: topic,
        partitions: [{ partitionIndex: partition, committedOffset: offset, committedMetadata: options.metadata ?? "" }]
      }]
    }
    return Effect.map(
      this.rpc.call(OffsetCommit.offsetCommitApi, request, { version: options.version ?? 9 }),
      ({ topics }) => topics[0]!.partitions[0]!.errorCode
    )
  }

  /** All that the group has committed, as `topic-partition` to offset. */
  committed(groupId: string): Effect.Effect<Readonly<Record<string, number>>, RpcError> {
    return Effect.map(
      this.rpc.call(OffsetFetch.offsetFetchApi, { groups: [{ groupId, topics: null }], requireStable: true }, { version: 9 }),
      ({ groups }) => {
        const found: Record<string, number> = {}
        for (const { name, partitions } of groups[0]!.topics) {
          for (const { committedOffset, partitionIndex } of partitions) found[`${name}-${partitionIndex}`] = Number(committedOffset)
        }
        return found
      }
    )
  }

  describe(groupId: string, version = 6): Effect.Effect<DescribeGroups.DescribeGroupsResponseDescribedGroup, RpcError> {
    return Effect.map(
      this.rpc.call(DescribeGroups.describeGroupsApi, { groups: [groupId] }, { version }),
      ({ groups }) => groups[0]!
    )
  }

  list(options: { readonly states?: ReadonlyArray<string>; readonly types?: ReadonlyArray<string> } = {}): Effect.Effect<ListGroups.ListGroupsResponse, RpcError> {
    return this.rpc.call(ListGroups.listGroupsApi, { statesFilter: options.states ?? [], typesFilter: options.types ?? [] })
  }

  delete(...groupIds: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<readonly [string, number]>, RpcError> {
    return Effect.map(
      this.rpc.call(DeleteGroups.deleteGroupsApi, { groupsNames: groupIds }),
      ({ results }) => results.map(({ errorCode, groupId }) => [groupId, errorCode] as const)
    )
  }
}
