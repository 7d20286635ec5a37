/**
 * JoinGroup, versions 0-9. A member takes part in its group's next generation; the answer comes when all have joined or
 * the rebalance timeout is over.
 *  - KIP-62 (1): a rebalance timeout of its own. KIP-345 (5): static members.
 *  - KIP-394 (4): a new member is given its id with MEMBER_ID_REQUIRED and joins with it.
 *  - KIP-559 (7): protocol type and name in the answer. KIP-800 (8): a reason. KIP-814 (9): skipAssignment.
 * A request of a member that already waits in one ends the earlier with REBALANCE_IN_PROGRESS, where Kafka never answers
 * it. Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import {
  decodeJoinGroupRequest,
  encodeJoinGroupResponse,
  type JoinGroupResponseInput
} from "../../protocol/generated/JoinGroup.ts"
import { failedJoin } from "../../groups/Rebalance.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later, type RequestContext, type Response } from "../Handler.ts"

/** Below, a protocol name can't be null on the wire. */
const NULL_PROTOCOL_SINCE = 7

/** A random uuid (version 4) as Java prints it. */
const uuidOf = (bytes: Uint8Array): string => {
  let text = ""
  for (let i = 0; i < 16; i++) {
    const byte = i === 6 ? (bytes[i]! & 0x0f) | 0x40 : i === 8 ? (bytes[i]! & 0x3f) | 0x80 : bytes[i]!
    text += (i === 4 || i === 6 || i === 8 || i === 10 ? "-" : "") + byte.toString(16).padStart(2, "0")
  }
  return text
}

const encode = ({ apiVersion }: RequestContext, response: JoinGroupResponseInput): Response => {
  const { protocolType: _, skipAssignment: __, ...old } = response
  const body = apiVersion >= 9
    ? response
    : apiVersion >= NULL_PROTOCOL_SINCE
    ? { ...old, protocolType: response.protocolType }
    : { ...old, protocolName: old.protocolName ?? "" }
  const members = apiVersion >= 5
    ? response.members
    : response.members.map(({ memberId, metadata }) => ({ memberId, metadata }))
  return (writer) => encodeJoinGroupResponse(writer, apiVersion, { ...body, members })
}

export const makeJoinGroup = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.JoinGroup,
  minVersion: 0,
  maxVersion: 9,
  handle: (context, reader) => {
    const request = decodeJoinGroupRequest(reader, context.apiVersion)
    const later = new Later()
    const answer = (response: JoinGroupResponseInput): void => later.complete(encode(context, response))
    const join = {
      request,
      apiVersion: context.apiVersion,
      clientId: context.clientId ?? "",
      clientHost: `/${context.connection.clientAddress}`,
      uuid: uuidOf(broker.crypto.randomBytes(16))
    }
    broker.groups.run(
      request.groupId,
      (state, now) => state.joinGroup(join, answer, now),
      (errorCode) => answer(failedJoin(request.memberId, errorCode))
    )
    return later
  }
})
