/**
 * What a partition is due when brokers come and go, and ISR changes by leaders, decided on an image: pure. KIP-497 (ISR through the controller), KIP-841 and
 * KIP-903 (who may join the ISR), KIP-966 (eligible leader replicas).
 *
 * Every change raises the partition epoch; every new leadership, of the same broker after a restart too, raises the
 * leader epoch, so that what was appended before a crash that lost unsynced pages cannot be taken for what is
 * appended after it. A broker's epoch is a revision of the store: it is above a partition's own revision exactly when
 * the broker registered after the partition last changed.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { AlterPartition, AlterPartitionResult, PartitionResult } from "./Commands.ts"
import { changeOf, put } from "./Decision.ts"
import type { Change, Decided } from "./Decision.ts"
import { brokerKey, clearedElrKey, liveKey, partitionKey, partitionValue } from "./Keys.ts"
import { isActive, restartedUnclean } from "./MetadataImage.ts"
import type { MetadataImage, PartitionImage, TopicImage } from "./MetadataImage.ts"
import type { ChangedPartition } from "./PartitionChange.ts"
import {
  changePartition,
  completed,
  electedIn,
  isReassigning,
  liveIn,
  same,
  samePartition,
  union,
  withIsr,
  withLastLeader,
  without
} from "./PartitionChange.ts"

export interface PartitionDecisionContext {
  /** `min.insync.replicas` and `unclean.leader.election.enable` as they hold for a topic. */
  readonly minInSyncReplicas: (topic: string) => number
  readonly uncleanLeaderElection: (topic: string) => boolean
}

export interface ElectionResult extends ChangedPartition {
  readonly topic: TopicImage
}

/** The answer to who asked for a change of a partition. */
export interface RequestedChange extends PartitionResult {
  /** What was decided; undefined: nothing changes. */
  readonly election: ElectionResult | undefined
}

/**
 * What the controller owes a partition before anything else may change it; undefined: nothing. Another change would
 * hide that a broker registered again since the partition last changed.
 */
export const dueElection = (
  image: MetadataImage,
  topic: TopicImage,
  before: PartitionImage,
  context: PartitionDecisionContext
): ElectionResult | undefined => {
  const isLive = liveIn(image, topic.id, before.partition)
  const minIsr = context.minInSyncReplicas(topic.name)
  /** Registered again since the partition's last change: what it led and held it led and held in an earlier life. */
  const restarted = (id: number): boolean => (image.brokers.get(id)?.epoch ?? -1) > before.modRevision

  const wasLed = before.leader !== -1
  const lost = wasLed && (!isLive(before.leader) || restarted(before.leader))
  const drop = union(before.isr, before.elr).filter((id) => restartedUnclean(image, id, before))
  const ends = isReassigning(before) && completed(before, before.isr, minIsr) !== undefined
  if (wasLed && !lost && drop.length === 0 && before.isr.every(isLive) && !ends) return undefined

  let next = before
  if (drop.length > 0) next = withIsr(before, without(before.isr, drop), minIsr, drop)
  // The dead leave the ISR; when it is empty then they are all eligible.
  const live = next.isr.filter(isLive)
  if (live.length < next.isr.length) next = withIsr(next, live, minIsr, [])
  next = withLastLeader(before, next)
  next = completed(next, next.isr, minIsr) ?? next
  if (!wasLed || lost || !next.replicas.includes(before.leader)) {
    const unclean = context.uncleanLeaderElection(topic.name)
    next = electedIn(next, isLive, unclean, minIsr)
    // The leader came out of the ELR, and was what a reassignment waited for.
    const ended = completed(next, next.isr, minIsr)
    if (ended !== undefined) next = ended.isr.includes(ended.leader) ? ended : electedIn(ended, isLive, unclean, minIsr)
  }

  const led = next.leader !== -1 && (lost || next.leader !== before.leader)
  const unclean = led && !before.isr.includes(next.leader) && !before.elr.includes(next.leader) ||
    led && drop.includes(next.leader)
  if (!lost && samePartition(next, before)) return undefined
  const rises = lost || next.leader !== before.leader || next.replicas.length < before.replicas.length
  const leaderEpoch = rises ? before.leaderEpoch + 1 : before.leaderEpoch
  return { topic, before, after: { ...next, leaderEpoch, partitionEpoch: before.partitionEpoch + 1 }, unclean }
}

/**
 * A partition's change: on condition that it is as the decision saw it, and everyone who counts for it too. A member
 * that registers again between image and commit must be looked at again: it may have lost its tail, and after this
 * commit it would look as if it had been there all the time. One in the ISR must live on as it did: when the controller
 * has taken a broker that went out of all ISRs, nobody would look at one that it is put in after that. And
 * min.insync.replicas must be what the decision took it for where somebody is in the ELR by it, or leads out of it, or
 * is the last leader known: a change of it voids all that.
 */
export const partitionChange = (image: MetadataImage, topic: TopicImage, before: PartitionImage, after: PartitionImage): Change => {
  const key = partitionKey(topic.id, before.partition)
  const members = union(after.isr, after.elr).map((id) => ({ key: brokerKey(id), modRevision: image.brokers.get(id)?.epoch ?? 0 }))
  const standsOnElr = before.elr.length + after.elr.length + before.lastKnownElr.length + after.lastKnownElr.length > 0
  const cleared = standsOnElr ? [clearedElrKey(topic.name), clearedElrKey("")] : []
  const seen = [...after.isr.map(liveKey), ...cleared].map((one) => ({ key: one, modRevision: image.revisions.get(one) ?? 0 }))
  return changeOf([{ key, modRevision: before.modRevision }, ...members, ...seen], [put(key, partitionValue(after))])
}

/**
 * Partitions that need another leader, or can have one that they could not have before, or whose ISR has members that
 * are gone. Empty when nothing is due.
 */
export const decideElections = (
  image: MetadataImage,
  context: PartitionDecisionContext
): ReadonlyArray<Decided<ElectionResult>> => {
  const decided: Array<Decided<ElectionResult>> = []
  for (const topic of image.topicsByName.values()) {
    for (const partition of topic.partitions) {
      const result = dueElection(image, topic, partition, context)
      if (result === undefined) continue
      decided.push({ result, change: partitionChange(image, topic, partition, result.after) })
    }
  }
  return decided
}

export const decideAlterPartition = (
  image: MetadataImage,
  request: AlterPartition,
  context: PartitionDecisionContext
): Decided<AlterPartitionResult> => {
  const topic = image.topicsById.get(request.topicId)
  const answer = (error: number, message: string | null = null): Decided<AlterPartitionResult> => ({
    result: { error, message, topic }
  })
  if (image.brokers.get(request.leader)?.epoch !== request.brokerEpoch) return answer(ErrorCode.STALE_BROKER_EPOCH)
  if (topic === undefined) return answer(ErrorCode.UNKNOWN_TOPIC_ID)
  const partition = topic.partitions[request.partition]
  if (partition === undefined) return answer(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  // A leader that knows more than we do: our image is behind.
  if (request.leaderEpoch > partition.leaderEpoch || request.partitionEpoch > partition.partitionEpoch) {
    return answer(ErrorCode.NOT_CONTROLLER)
  }
  if (request.leaderEpoch < partition.leaderEpoch) return answer(ErrorCode.FENCED_LEADER_EPOCH)
  if (request.leader !== partition.leader) return answer(ErrorCode.INVALID_REQUEST, "not the leader")
  const isr = request.newIsr.map(({ brokerId }) => brokerId)
  // A repeat of what was committed: the answer got lost.
  if (same([...isr].sort(), [...partition.isr].sort())) return answer(ErrorCode.NONE)
  if (request.partitionEpoch < partition.partitionEpoch) return answer(ErrorCode.INVALID_UPDATE_VERSION)
  if (isr.length === 0 || new Set(isr).size < isr.length || isr.some((id) => !partition.replicas.includes(id))) {
    return answer(ErrorCode.INVALID_REQUEST, "the ISR must be replicas of the partition, each once")
  }
  if (!isr.includes(request.leader)) return answer(ErrorCode.INVALID_REQUEST, "a leader cannot leave its ISR")
  const isLive = liveIn(image, topic.id, partition.partition)
  const cameBackUnclean = (id: number): boolean => restartedUnclean(image, id, partition)
  for (const { brokerId, brokerEpoch } of request.newIsr) {
    const broker = image.brokers.get(brokerId)
    if (broker === undefined || !isActive(broker) || (brokerEpoch !== -1 && brokerEpoch !== broker.epoch)) {
      return answer(ErrorCode.INELIGIBLE_REPLICA, `broker ${brokerId} may not join the ISR now`)
    }
    if (!isLive(brokerId)) return answer(ErrorCode.INELIGIBLE_REPLICA, `the replica of broker ${brokerId} is offline`)
    // This change would make it look as if the broker had been there all the time: the controller takes it out first.
    if (partition.isr.includes(brokerId) && cameBackUnclean(brokerId)) {
      return answer(ErrorCode.INELIGIBLE_REPLICA, `broker ${brokerId} came back after an unclean stop`)
    }
  }
  const changed = changePartition(partition, { isr, unclean: union(partition.isr, partition.elr).filter(cameBackUnclean) }, {
    minInSyncReplicas: context.minInSyncReplicas(topic.name),
    isLive,
    election: context.uncleanLeaderElection(topic.name) ? "Unclean" : "Online"
  })
  if (changed === undefined) return answer(ErrorCode.NONE)
  const { after } = changed
  // The ISR ended a reassignment that takes the leader away: it hears so, and that is committed all the same.
  const error = after.leader === request.leader ? ErrorCode.NONE : ErrorCode.NEW_LEADER_ELECTED
  return { result: { error, message: null, topic }, change: partitionChange(image, topic, partition, after) }
}
