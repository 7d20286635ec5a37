/**
 * DeleteGroups, versions 0-2. Groups without members go, with their offsets; others are NON_EMPTY_GROUP or
 * GROUP_ID_NOT_FOUND. A group that is named twice is answered once. Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import {
  decodeDeleteGroupsRequest,
  type DeleteGroupsResponseDeletableGroupResultInput,
  encodeDeleteGroupsResponse
} from "../../protocol/generated/DeleteGroups.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later } from "../Handler.ts"
import { byCoordinator } from "./GroupRequests.ts"

type Deleted = DeleteGroupsResponseDeletableGroupResultInput

export const makeDeleteGroups = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DeleteGroups,
  minVersion: 0,
  maxVersion: 2,
  handle: ({ apiVersion }, reader) => {
    const { groupsNames } = decodeDeleteGroupsRequest(reader, apiVersion)
    const later = new Later()
    byCoordinator<Deleted>(
      broker.groups,
      [...new Set(groupsNames)],
      (state, groupIds, answer) =>
        state.deleteGroups(groupIds, (codes) =>
          answer(typeof codes === "number" ? codes : groupIds.map((groupId, i) => ({ groupId, errorCode: codes[i]! })))
        ),
      (groupId, errorCode) => ({ groupId, errorCode }),
      (results) => later.complete((writer) => encodeDeleteGroupsResponse(writer, apiVersion, { throttleTimeMs: 0, results }))
    )
    return later
  }
})
