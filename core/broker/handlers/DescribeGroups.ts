/**
 * DescribeGroups, versions 0-6. Groups with their members; a stable group's with metadata and assignments that only its
 * clients understand.
 *  - A group that is not there is Dead; from version 6 on it is GROUP_ID_NOT_FOUND too (KIP-1043).
 *  - KIP-430 (3): authorised operations, all of them without an authorizer. KIP-345 (4): static members.
 * Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeDescribeGroupsRequest,
  type DescribeGroupsResponseDescribedGroupInput,
  encodeDescribeGroupsResponse
} from "../../protocol/generated/DescribeGroups.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later, type Response } from "../Handler.ts"
import { byCoordinator } from "./GroupRequests.ts"
import { GROUP_OPERATIONS, OPERATIONS_NOT_ASKED } from "./MetadataAnswer.ts"

type Described = DescribeGroupsResponseDescribedGroupInput

const OPERATIONS_SINCE = 3
const INSTANCES_SINCE = 4
const MESSAGE_SINCE = 6

const failed = (groupId: string, errorCode: number): Described => ({
  errorCode,
  groupId,
  groupState: "",
  protocolType: "",
  protocolData: "",
  members: []
})

const encode = (apiVersion: number, groups: ReadonlyArray<Described>, tellOperations: boolean): Response => {
  const told = groups.map(({ errorMessage, members, ...group }): Described => ({
    ...group,
    ...(apiVersion >= MESSAGE_SINCE ? { errorMessage } : {}),
    members: apiVersion >= INSTANCES_SINCE ? members : members.map((member) => ({ ...member, groupInstanceId: null })),
    ...(apiVersion >= OPERATIONS_SINCE
      ? { authorizedOperations: tellOperations && group.errorCode === ErrorCode.NONE ? GROUP_OPERATIONS : OPERATIONS_NOT_ASKED }
      : {})
  }))
  return (writer) => encodeDescribeGroupsResponse(writer, apiVersion, { groups: told })
}

export const makeDescribeGroups = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DescribeGroups,
  minVersion: 0,
  maxVersion: 6,
  handle: ({ apiVersion }, reader) => {
    const { groups, includeAuthorizedOperations } = decodeDescribeGroupsRequest(reader, apiVersion)
    const later = new Later()
    byCoordinator<Described>(
      broker.groups,
      groups,
      (state, groupIds, answer) => state.describeGroups(groupIds, apiVersion, answer),
      failed,
      (described) => later.complete(encode(apiVersion, described, includeAuthorizedOperations))
    )
    return later
  }
})
