/**
 * Which replica a consumer should read from (KIP-392), decided by the leader that it asked: pure. Candidates are the
 * leader and the members of the ISR that have the offset asked for, as far as the consumer can reach them: one that lags
 * would be chosen again and again and hold its reader back.
 */
import type { MetadataImage } from "../cluster/MetadataImage.ts"
import type { PartitionState } from "../replication/PartitionState.ts"
import { endpointOf } from "./handlers/MetadataAnswer.ts"

/** Values of replica.selector.class; without one everybody reads from the leader, and is not told so. */
export const RACK_AWARE_SELECTOR = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
export const LEADER_SELECTOR = "org.apache.kafka.common.replica.LeaderSelector"

/** The leader: no other replica is named. */
export const NO_PREFERENCE: number = -1

/**
 * A replica in the client's rack: the leader itself if it is there, else the one that has most, and of equal ones the
 * one that was caught up last, then the one of the largest id, as Kafka's RackAwareReplicaSelector. Without any the leader.
 *
 * @param listenerName where the consumer came by: a replica without that listener is out of its reach
 */
export const selectByRack = (
  image: MetadataImage,
  state: PartitionState,
  fetchOffset: number,
  client: { readonly rack: string; readonly listenerName: string }
): number => {
  if (client.rack === "" || image.brokers.get(state.brokerId)?.rack === client.rack) return NO_PREFERENCE
  let best = NO_PREFERENCE
  let bestEnd = -1
  let bestCaughtUpMs = -1
  for (const [id, { lastCaughtUpMs, logEndOffset, logStartOffset }] of state.followers) {
    if (image.brokers.get(id)?.rack !== client.rack || !state.isr.includes(id)) continue
    if (logEndOffset < fetchOffset || logStartOffset > fetchOffset) continue
    if (endpointOf(image, id, client.listenerName) === undefined) continue
    const isBetter = logEndOffset !== bestEnd
      ? logEndOffset > bestEnd
      : lastCaughtUpMs !== bestCaughtUpMs ? lastCaughtUpMs > bestCaughtUpMs : id > best
    if (!isBetter) continue
    best = id
    bestEnd = logEndOffset
    bestCaughtUpMs = lastCaughtUpMs
  }
  return best
}
