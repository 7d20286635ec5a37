/**
 * A broker's registration and what it says of itself later, decided on an image: pure. KIP-631's registration, KIP-841's controlled
 * shutdown, KIP-966's clean-shutdown check.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { ItemResult, RegisterBroker } from "./Commands.ts"
import { changeOf, put } from "./Decision.ts"
import type { Decided } from "./Decision.ts"
import type { StoredLife } from "./ImageApply.ts"
import { brokerKey, liveKey } from "./Keys.ts"
import type { MetadataImage } from "./MetadataImage.ts"

/**
 * Nothing to do where this session has registered it already: the answer got lost. Refused with DUPLICATE_BROKER_REGISTRATION while another session holds this broker's life: two processes with one
 * node id, or one that was restarted before its old session timed out.
 */
export const decideRegisterBroker = (
  image: MetadataImage,
  request: RegisterBroker,
  session: string
): Decided<ItemResult> => {
  const known = image.brokers.get(request.id)
  if (known !== undefined && !known.fenced && known.session === session) {
    return { result: { error: ErrorCode.NONE, message: null } }
  }
  if (image.revisions.has(liveKey(request.id))) {
    return {
      result: {
        error: ErrorCode.DUPLICATE_BROKER_REGISTRATION,
        message: `Another broker is registered with that broker id: ${request.id}`
      }
    }
  }
  const { rack, listeners, logDirs, previousBrokerEpoch } = request
  const cleanStart = known === undefined || known.epoch === previousBrokerEpoch
  // The controller may not have taken it out of ISRs and ELRs yet: this registration must not hide that it has to.
  const earlier = cleanStart && known !== undefined && known.uncleanEpoch !== -1 ? { uncleanEpoch: known.uncleanEpoch } : {}
  return {
    result: { error: ErrorCode.NONE, message: null },
    change: changeOf(
      [{ key: brokerKey(request.id), modRevision: known?.epoch ?? 0 }, { key: liveKey(request.id), modRevision: 0 }],
      [
        put(brokerKey(request.id), JSON.stringify({ rack, listeners, logDirs, cleanStart, ...earlier })),
        put(liveKey(request.id), JSON.stringify({ session }), session)
      ]
    )
  }
}

/**
 * What a broker says of itself: that it is about to stop, which replicas are offline. Nothing where it is fenced, or where
 * another process has its id by now: what is said of that one is that one's to say.
 */
export const decideLife = (image: MetadataImage, brokerId: number, session: string, life: Omit<StoredLife, "session">): Decided<void> => {
  const known = image.brokers.get(brokerId)
  if (known === undefined || known.fenced || known.session !== session) return { result: undefined }
  const key = liveKey(brokerId)
  return {
    result: undefined,
    change: changeOf(
      [{ key, modRevision: image.revisions.get(key) ?? 0 }],
      [put(key, JSON.stringify({ session, ...life }), session)]
    )
  }
}
