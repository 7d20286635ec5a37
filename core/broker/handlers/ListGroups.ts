/**
 * ListGroups, versions 0-5. The groups that this broker coordinates.
 *  - KIP-518 (4): states, and a filter by them. KIP-848 (5): types, and a filter by them; classic is the only one.
 *  - While a partition is being loaded the answer is COORDINATOR_LOAD_IN_PROGRESS: some groups would be missing.
 * Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeListGroupsRequest,
  encodeListGroupsResponse,
  type ListGroupsResponseListedGroupInput
} from "../../protocol/generated/ListGroups.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later, type Response } from "../Handler.ts"

type Listed = ListGroupsResponseListedGroupInput

const STATES_SINCE = 4
const TYPES_SINCE = 5

const encode = (apiVersion: number, errorCode: number, listed: ReadonlyArray<Listed>): Response => {
  const groups = listed.map(({ groupId, groupState, groupType, protocolType }): Listed => ({
    groupId,
    protocolType,
    ...(apiVersion >= STATES_SINCE ? { groupState } : {}),
    ...(apiVersion >= TYPES_SINCE ? { groupType } : {})
  }))
  return (writer) => encodeListGroupsResponse(writer, apiVersion, { errorCode, groups })
}

export const makeListGroups = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.ListGroups,
  minVersion: 0,
  maxVersion: 5,
  handle: ({ apiVersion }, reader) => {
    const { statesFilter, typesFilter } = decodeListGroupsRequest(reader, apiVersion)
    const later = new Later()
    const partitions = broker.groups.partitions()
    const listed: Array<Listed> = []
    let missing = partitions.length
    let error: number = ErrorCode.NONE
    const complete = (): void => {
      if (missing === 0) later.complete(encode(apiVersion, error, error === ErrorCode.NONE ? listed : []))
    }
    const answer = (groups: ReadonlyArray<Listed> | number): void => {
      if (typeof groups !== "number") for (const group of groups) listed.push(group)
      // Another broker coordinates it by now: it lists these groups.
      else if (groups !== ErrorCode.NOT_COORDINATOR) error = groups
      missing--
      complete()
    }
    complete()
    for (const partition of partitions) {
      broker.groups.runPartition(partition, (state) => state.listGroups(statesFilter, typesFilter, answer), answer)
    }
    return later
  }
})
