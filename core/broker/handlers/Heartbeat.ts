/**
 * Heartbeat, versions 0-4. A member is alive, and is told whether it must join again (REBALANCE_IN_PROGRESS).
 *  - KIP-345 (3): static members.
 * While the group is being loaded every member counts as alive, as in Kafka. Left out: authorisation.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeHeartbeatRequest, encodeHeartbeatResponse } from "../../protocol/generated/Heartbeat.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import { type Handler, Later } from "../Handler.ts"

export const makeHeartbeat = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.Heartbeat,
  minVersion: 0,
  maxVersion: 4,
  handle: ({ apiVersion }, reader) => {
    const request = decodeHeartbeatRequest(reader, apiVersion)
    const later = new Later()
    const answer = (errorCode: number): void =>
      later.complete((writer) => encodeHeartbeatResponse(writer, apiVersion, { errorCode }))
    broker.groups.run(
      request.groupId,
      (state, now) => state.heartbeat(request, answer, now),
      (errorCode) => answer(errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS ? ErrorCode.NONE : errorCode)
    )
    return later
  }
})
