/**
 * LeaveGroup, versions 0-5. Members go at once instead of being missed after their session timeout.
 *  - KIP-345 (3): many members, and by instance alone, as an administrator removes static ones.
 *  - KIP-800 (5): a reason.
 * Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeLeaveGroupRequest,
  encodeLeaveGroupResponse,
  type LeaveGroupResponseMemberResponseInput
} from "../../protocol/generated/LeaveGroup.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later } from "../Handler.ts"

/** From this version on a request names many members, and each has an answer of its own. */
const MANY_MEMBERS_SINCE = 3

export const makeLeaveGroup = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.LeaveGroup,
  minVersion: 0,
  maxVersion: 5,
  handle: ({ apiVersion }, reader) => {
    const request = decodeLeaveGroupRequest(reader, apiVersion)
    const later = new Later()
    const hasMany = apiVersion >= MANY_MEMBERS_SINCE
    const answer = (left: ReadonlyArray<LeaveGroupResponseMemberResponseInput> | number): void => {
      const members = typeof left === "number" ? [] : left
      const ofAll = typeof left === "number" ? left : ErrorCode.NONE
      const body = hasMany ? { errorCode: ofAll, members } : { errorCode: members[0]?.errorCode ?? ofAll }
      later.complete((writer) => encodeLeaveGroupResponse(writer, apiVersion, body))
    }
    const members = hasMany ? request.members : [{ memberId: request.memberId, groupInstanceId: null }]
    broker.groups.run(
      request.groupId,
      (state, now) => state.leaveGroup(request.groupId, members, answer, now),
      answer
    )
    return later
  }
})
