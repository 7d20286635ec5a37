/** The Admin's groups: list, describe, delete, remove members. Each is asked of its coordinator. */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import * as ConsumerGroupDescribe from "../protocol/generated/ConsumerGroupDescribe.ts"
import * as DeleteGroups from "../protocol/generated/DeleteGroups.ts"
import * as DescribeGroups from "../protocol/generated/DescribeGroups.ts"
import * as LeaveGroup from "../protocol/generated/LeaveGroup.ts"
import * as ListGroups from "../protocol/generated/ListGroups.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import type { Admin, GroupDescription, GroupListing } from "./Admin.ts"
import { type ClientError, errorOfCode, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { CONSUMER_PROTOCOL_TYPE, decodeAssignment } from "./ConsumerProtocol.ts"
import { isError, settleGroups, withCoordinator } from "./internal/Settle.ts"

/** The state of a group that is not there, from brokers that do not say so by GROUP_ID_NOT_FOUND (KIP-1043). */
const DEAD = "Dead"

/** What no consumer can have written is shown as nothing: other protocols keep what they like there. */
const assignmentOf = (protocolType: string, bytes: Uint8Array): ReadonlyArray<TopicPartition> => {
  if (protocolType !== CONSUMER_PROTOCOL_TYPE || bytes.length === 0) return []
  try {
    return decodeAssignment(bytes)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return []
  }
}

const notFound = (groupId: string): FatalError =>
  errorOfCode(ErrorCode.GROUP_ID_NOT_FOUND, `group ${JSON.stringify(groupId)}`) as FatalError

export const groupsAdmin = (
  cluster: Cluster
): Pick<Admin, "listGroups" | "describeGroups" | "deleteGroups" | "removeMembers"> => {
  const listOf = (nodeId: number, options: Parameters<Admin["listGroups"]>[0] = {}) =>
    cluster.retry(Effect.gen(function*() {
      const version = yield* cluster.versionOf(nodeId, "coordinator", ListGroups.listGroupsApi)
      if ((options.states !== undefined && version < 4) || (options.types !== undefined && version < 5)) {
        return yield* Effect.fail(new FatalError("UNSUPPORTED", "this broker does not list groups by state or type (KIP-518, KIP-848)"))
      }
      const answer = yield* cluster.call(nodeId, "coordinator", ListGroups.listGroupsApi, {
        ...version >= 4 ? { statesFilter: options.states ?? [] } : {},
        ...version >= 5 ? { typesFilter: options.types ?? [] } : {}
      }, { version })
      if (answer.errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(answer.errorCode, `groups of broker ${nodeId}`))
      return answer.groups.map(({ groupId, groupState, groupType, protocolType }): GroupListing => ({
        groupId,
        protocolType,
        state: groupState,
        type: groupType
      }))
    }))

  const listGroups: Admin["listGroups"] = (options) =>
    Effect.gen(function*() {
      // Every broker coordinates some: all have to be known.
      yield* cluster.controller
      const lists = yield* Effect.forEach(cluster.view().nodes.keys(), (nodeId) => listOf(nodeId, options), {
        concurrency: "unbounded"
      })
      return [...new Map(lists.flat().map((group) => [group.groupId, group])).values()]
    })

  const describeClassic = (nodeId: number, groupIds: ReadonlyArray<string>) =>
    Effect.map(cluster.call(nodeId, "coordinator", DescribeGroups.describeGroupsApi, { groups: groupIds }), ({ groups }) =>
      new Map(groups.map((group): [string, GroupDescription | ClientError] => {
        const { errorCode, errorMessage, groupId, groupState, members, protocolData, protocolType } = group
        if (errorCode !== ErrorCode.NONE) return [groupId, errorOfCode(errorCode, `describe group ${JSON.stringify(groupId)}`, errorMessage)]
        if (groupState === DEAD) return [groupId, notFound(groupId)]
        return [groupId, {
          groupId,
          state: groupState,
          protocolType,
          protocol: protocolData,
          coordinator: nodeId,
          members: members.map(({ clientHost, clientId, groupInstanceId, memberAssignment, memberId }) => ({
            memberId,
            groupInstanceId,
            clientId,
            clientHost,
            assignment: assignmentOf(protocolType, memberAssignment)
          }))
        }]
      })))

  const describeConsumer = (nodeId: number, groupIds: ReadonlyArray<string>) =>
    Effect.map(
      cluster.call(nodeId, "coordinator", ConsumerGroupDescribe.consumerGroupDescribeApi, { groupIds, includeAuthorizedOperations: false }),
      ({ groups }) =>
        new Map(groups.map((group): [string, GroupDescription | ClientError] => {
          const { assignorName, errorCode, errorMessage, groupId, groupState, members } = group
          if (errorCode !== ErrorCode.NONE) return [groupId, errorOfCode(errorCode, `describe group ${JSON.stringify(groupId)}`, errorMessage)]
          return [groupId, {
            groupId,
            state: groupState,
            protocolType: CONSUMER_PROTOCOL_TYPE,
            protocol: assignorName,
            coordinator: nodeId,
            members: members.map(({ assignment, clientHost, clientId, instanceId, memberId }) => ({
              memberId,
              groupInstanceId: instanceId,
              clientId,
              clientHost,
              assignment: assignment.topicPartitions.flatMap(({ partitions, topicName: topic }) =>
                partitions.map((partition) => ({ topic, partition })))
            }))
          }]
        }))
    )

  /** Classic groups first; what is none may be a group of the consumer protocol (KIP-848), which has an API of its own. */
  const describeGroups: Admin["describeGroups"] = (groupIds) =>
    settleGroups<GroupDescription>(cluster, groupIds, (nodeId, asked) =>
      Effect.gen(function*() {
        const ends = new Map(yield* describeClassic(nodeId, asked))
        const others = asked.filter((groupId) => {
          const end = ends.get(groupId)
          return isError(end) && end.code === ErrorCode.GROUP_ID_NOT_FOUND
        })
        if (others.length === 0) return ends
        const version = yield* Effect.option(cluster.versionOf(nodeId, "coordinator", ConsumerGroupDescribe.consumerGroupDescribeApi))
        if (version._tag === "None") return ends
        for (const [groupId, end] of yield* describeConsumer(nodeId, others)) {
          // A broker may know the API and have the protocol switched off, as Kafka 3.9 by default.
          if (!isError(end) || end.code !== ErrorCode.UNSUPPORTED_VERSION) ends.set(groupId, end)
        }
        return ends
      }))

  const deleteGroups: Admin["deleteGroups"] = (groupIds) =>
    settleGroups<void>(cluster, groupIds, (nodeId, asked) =>
      Effect.map(cluster.call(nodeId, "coordinator", DeleteGroups.deleteGroupsApi, { groupsNames: asked }), ({ results }) =>
        new Map(results.map(({ errorCode, groupId }) => [
          groupId,
          errorCode === ErrorCode.NONE ? undefined : errorOfCode(errorCode, `delete group ${JSON.stringify(groupId)}`)
        ])) as ReadonlyMap<string, void | ClientError>))

  const removeMembers: Admin["removeMembers"] = (groupId, members, reason) =>
    withCoordinator(cluster, groupId, (nodeId) =>
      Effect.gen(function*() {
        if (members.length === 0) return
        const version = yield* cluster.versionOf(nodeId, "coordinator", LeaveGroup.leaveGroupApi)
        const context = (member: string): string => `remove member ${member} of group ${JSON.stringify(groupId)}`
        if (version < 3) {
          // One member at a time, and no static ones.
          for (const { groupInstanceId, memberId } of members) {
            if (memberId === undefined) {
              return yield* Effect.fail(new FatalError("UNSUPPORTED", `this broker knows no static members (KIP-345): ${groupInstanceId}`))
            }
            const { errorCode } = yield* cluster.call(nodeId, "coordinator", LeaveGroup.leaveGroupApi, { groupId, memberId }, { version })
            if (errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(errorCode, context(memberId)))
          }
          return
        }
        const answer = yield* cluster.call(nodeId, "coordinator", LeaveGroup.leaveGroupApi, {
          groupId,
          members: members.map(({ groupInstanceId, memberId }) => ({
            memberId: memberId ?? "",
            groupInstanceId: groupInstanceId ?? null,
            ...version >= 5 && reason !== undefined ? { reason } : {}
          }))
        }, { version })
        if (answer.errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(answer.errorCode, `remove members of group ${JSON.stringify(groupId)}`))
        for (const { errorCode, groupInstanceId, memberId } of answer.members) {
          if (errorCode !== ErrorCode.NONE) return yield* Effect.fail(errorOfCode(errorCode, context(groupInstanceId ?? memberId)))
        }
      }))

  return { listGroups, describeGroups, deleteGroups, removeMembers }
}
