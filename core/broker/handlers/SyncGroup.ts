/**
 * SyncGroup, versions 0-5. Members are told what they were assigned; the answer comes when the leader's assignment is in
 * the log.
 *  - KIP-345 (3): static members.
 *  - KIP-559 (5): protocol type and name must be there and be the group's, else INCONSISTENT_GROUP_PROTOCOL.
 * Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeSyncGroupRequest,
  encodeSyncGroupResponse,
  type SyncGroupResponseInput
} from "../../protocol/generated/SyncGroup.ts"
import { failedSync } from "../../groups/Rebalance.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later } from "../Handler.ts"

const PROTOCOL_NEEDED_SINCE = 5

export const makeSyncGroup = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.SyncGroup,
  minVersion: 0,
  maxVersion: 5,
  handle: ({ apiVersion }, reader) => {
    const request = decodeSyncGroupRequest(reader, apiVersion)
    const later = new Later()
    const answer = (response: SyncGroupResponseInput): void => {
      const { assignment, errorCode } = response
      const body = apiVersion >= PROTOCOL_NEEDED_SINCE ? response : { errorCode, assignment }
      later.complete((writer) => encodeSyncGroupResponse(writer, apiVersion, body))
    }
    const isIncomplete = request.protocolType === null || request.protocolName === null
    if (apiVersion >= PROTOCOL_NEEDED_SINCE && isIncomplete) {
      answer(failedSync(ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
    } else {
      broker.groups.run(
        request.groupId,
        (state) => state.syncGroup(request, answer),
        (errorCode) => answer(failedSync(errorCode))
      )
    }
    return later
  }
})
