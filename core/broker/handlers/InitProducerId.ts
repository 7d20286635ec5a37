/**
 * InitProducerId, versions 0-5. Gives an idempotent producer its id (KIP-98); ids come from blocks that the controller
 * hands out, so none is ever given twice, and a block that a crash loses is just not used.
 *  - KIP-360 (3): a producer may name its id and epoch; without a transactional id Kafka gives it a new id all the same
 * Left out: transactional ids (COORDINATOR_NOT_AVAILABLE: there is no transaction coordinator yet), version 6 (KIP-939's
 * two-phase commit), which Kafka does not call stable yet.
 */
import * as Effect from "effect/Effect"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeInitProducerIdRequest, encodeInitProducerIdResponse } from "../../protocol/generated/InitProducerId.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler, Response } from "../Handler.ts"

export const makeInitProducerId = (broker: BrokerServices): Handler => {
  let next = 0
  let end = 0

  /** Takes ids from the block at hand, else asks for one. Two requests that find it empty take two blocks. */
  const nextId: Effect.Effect<number, { readonly message: string }> = Effect.suspend(() => {
    if (next < end) return Effect.succeed(next++)
    return Effect.map(broker.controller.allocateProducerIds, (block) => {
      // The block that another request fetched meanwhile is used up first: ids may be skipped, never given twice.
      if (next < end) return next++
      next = block.first
      end = block.first + block.count
      return next++
    })
  })

  return {
    apiKey: ApiKey.InitProducerId,
    minVersion: 0,
    maxVersion: 5,
    handle: ({ apiVersion }, reader) => {
      const request = decodeInitProducerIdRequest(reader, apiVersion)
      const answer = (errorCode: number, producerId: number, producerEpoch: number): Response => (writer) =>
        encodeInitProducerIdResponse(writer, apiVersion, { throttleTimeMs: 0, errorCode, producerId, producerEpoch })
      if (request.transactionalId !== null) {
        return answer(
          request.transactionalId === "" ? ErrorCode.INVALID_REQUEST : ErrorCode.COORDINATOR_NOT_AVAILABLE, -1, -1
        )
      }
      // Both, or neither: a producer that names one of them has lost the other.
      if ((request.producerId === -1) !== (request.producerEpoch === -1)) {
        return answer(ErrorCode.INVALID_REQUEST, -1, -1)
      }
      if (next < end) return answer(ErrorCode.NONE, next++, 0)
      return Effect.match(nextId, {
        onFailure: () => answer(ErrorCode.COORDINATOR_NOT_AVAILABLE, -1, -1),
        onSuccess: (id) => answer(ErrorCode.NONE, id, 0)
      })
    }
  }
}
