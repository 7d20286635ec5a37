/**
 * Leaders, ISR and ELR of partitions, decided on an image: pure. KIP-497 (ISR through the controller), KIP-841 and
 * KIP-903 (who may join the ISR), KIP-966 (eligible leader replicas).
 *
 * Every change raises the partition epoch; every new leadership, of the same broker after a restart too, raises the
 * leader epoch, so that what was appended before a crash that lost unsynced pages cannot be taken for what is
 * appended after it. A broker's epoch is a revision of the store: it is above a partition's own revision exactly when
 * the broker registered after the partition last changed.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { AlterPartition, AlterPartitionResult } from "./Commands.ts"
import { changeOf, put } from "./Decision.ts"
import type { Decided } from "./Decision.ts"
import { brokerKey, partitionKey, partitionValue } from "./Keys.ts"
import type { MetadataImage, PartitionImage, TopicImage } from "./MetadataImage.ts"

export interface PartitionDecisionContext {
  /** `min.insync.replicas` and `unclean.leader.election.enable` as they hold for a topic. */
  readonly minInSyncReplicas: (topic: string) => number
  readonly uncleanLeaderElection: (topic: string) => boolean
}

type Replicas = ReadonlyArray<number>

const without = (replicas: Replicas, left: Replicas): Replicas => replicas.filter((id) => !left.includes(id))
const union = (...lists: ReadonlyArray<Replicas>): Replicas => [...new Set(lists.flat())]

/**
 * ELR after the ISR becomes `isr`: who leaves an ISR below min.insync.replicas stays eligible, since the high
 * watermark stood still from then on; `unclean` are those whose log may have lost its tail.
 */
const withIsr = (partition: PartitionImage, isr: Replicas, minIsr: number, unclean: Replicas): PartitionImage => {
  if (isr.length >= Math.min(minIsr, partition.replicas.length)) return { ...partition, isr, elr: [], lastKnownElr: [] }
  const candidates = union(partition.elr, partition.isr)
  const elr = without(without(candidates, isr), unclean)
  const lastKnownElr = without(without(union(candidates, partition.lastKnownElr), isr), elr)
  return { ...partition, isr, elr, lastKnownElr }
}

/**
 * Nobody is left who surely has every committed record. As in Kafka the last leader is the one that is known, else who
 * left the ISR last: when only processes died, and no machine, it has them all.
 */
const withLastKnown = (before: PartitionImage, next: PartitionImage): PartitionImage => {
  if (next.isr.length > 0 || next.elr.length > 0) return next
  const known = before.isr.includes(before.leader)
    ? before.leader
    : before.isr[0] ?? before.lastKnownElr[0] ?? before.elr[0]
  return known === undefined ? next : { ...next, lastKnownElr: [known] }
}

/**
 * The partition with a leader, when it may have one. In this order: the live members of the ISR, of the ELR, the
 * one that was last known when both are empty (its loss is bounded by what it had not synced), any live replica when
 * unclean elections are allowed.
 */
const elect = (partition: PartitionImage, isLive: (id: number) => boolean, unclean: boolean): PartitionImage => {
  const first = (eligible: (id: number) => boolean): number | undefined =>
    partition.replicas.find((id) => eligible(id) && isLive(id))
  const inIsr = first((id) => partition.isr.includes(id))
  if (inIsr !== undefined) return { ...partition, leader: inIsr }
  const inElr = first((id) => partition.elr.includes(id))
  if (inElr !== undefined) {
    return { ...partition, leader: inElr, isr: [inElr], elr: without(partition.elr, [inElr]) }
  }
  const none = partition.isr.length === 0 && partition.elr.length === 0
  const lastKnown = none && partition.lastKnownElr.length === 1 ? partition.lastKnownElr[0] : undefined
  const last = lastKnown !== undefined && isLive(lastKnown) ? lastKnown : unclean ? first(() => true) : undefined
  if (last !== undefined) return { ...partition, leader: last, isr: [last], elr: [], lastKnownElr: [] }
  return { ...partition, leader: -1 }
}

export interface ElectionResult {
  readonly topic: TopicImage
  readonly before: PartitionImage
  readonly after: PartitionImage
  /** The new leader was in neither ISR nor ELR: acknowledged records may be gone, and whoever commits this says so. */
  readonly unclean: boolean
}

const electionOf = (
  image: MetadataImage,
  topic: TopicImage,
  before: PartitionImage,
  context: PartitionDecisionContext
): ElectionResult | undefined => {
  const isLive = (id: number): boolean => image.brokers.get(id)?.fenced === false
  /** Registered again since the partition's last change: what it led and held it led and held in an earlier life. */
  const restarted = (id: number): boolean => (image.brokers.get(id)?.epoch ?? -1) > before.modRevision
  const restartedUnclean = (id: number): boolean => restarted(id) && image.brokers.get(id)?.cleanStart === false

  const wasLed = before.leader !== -1
  const lost = wasLed && (!isLive(before.leader) || restarted(before.leader))
  const drop = union(before.isr, before.elr).filter(restartedUnclean)
  if (wasLed && !lost && drop.length === 0 && before.isr.every(isLive)) return undefined

  let next = before
  const minIsr = context.minInSyncReplicas(topic.name)
  if (drop.length > 0) next = withLastKnown(before, withIsr(before, without(before.isr, drop), minIsr, drop))
  // The dead leave the ISR, but never its last member: it is the one that has every committed record.
  const live = next.isr.filter(isLive)
  if (live.length < next.isr.length && live.length > 0) next = withIsr(next, live, minIsr, [])
  if (!wasLed || lost) {
    next = elect(next, isLive, context.uncleanLeaderElection(topic.name))
    // A leader out of the ELR may make the ISR large enough again.
    next = withIsr({ ...next, elr: without(next.elr, next.isr) }, next.isr, minIsr, [])
  }

  const led = next.leader !== -1 && (lost || next.leader !== before.leader)
  const unclean = led && !before.isr.includes(next.leader) && !before.elr.includes(next.leader) ||
    led && drop.includes(next.leader)
  const changed = lost || next.leader !== before.leader || !same(next.isr, before.isr) || !same(next.elr, before.elr) ||
    !same(next.lastKnownElr, before.lastKnownElr)
  if (!changed) return undefined
  const leaderEpoch = lost || next.leader !== before.leader ? before.leaderEpoch + 1 : before.leaderEpoch
  return { topic, before, after: { ...next, leaderEpoch, partitionEpoch: before.partitionEpoch + 1 }, unclean }
}

const same = (a: Replicas, b: Replicas): boolean => a.length === b.length && a.every((id, index) => id === b[index])

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
      const result = electionOf(image, topic, partition, context)
      if (result === undefined) continue
      const key = partitionKey(topic.id, partition.partition)
      decided.push({
        result,
        change: changeOf([{ key, modRevision: partition.modRevision }], [put(key, partitionValue(result.after))])
      })
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
  for (const { brokerId, brokerEpoch } of request.newIsr) {
    const broker = image.brokers.get(brokerId)
    if (broker === undefined || broker.fenced || (brokerEpoch !== -1 && brokerEpoch !== broker.epoch)) {
      return answer(ErrorCode.INELIGIBLE_REPLICA, `broker ${brokerId} may not join the ISR now`)
    }
    // This change would make it look as if the broker had been there all the time: the controller takes it out first.
    if (partition.isr.includes(brokerId) && broker.epoch > partition.modRevision && !broker.cleanStart) {
      return answer(ErrorCode.INELIGIBLE_REPLICA, `broker ${brokerId} came back after an unclean stop`)
    }
  }
  const next = withIsr(partition, isr, context.minInSyncReplicas(topic.name), [])
  // A member that registers again between this image and the commit must be looked at again: it may have lost its tail.
  const members = isr.map((id) => ({ key: brokerKey(id), modRevision: image.brokers.get(id)?.epoch ?? 0 }))
  const key = partitionKey(topic.id, partition.partition)
  return {
    result: { error: ErrorCode.NONE, message: null, topic },
    change: changeOf(
      [{ key, modRevision: partition.modRevision }, ...members],
      [put(key, partitionValue({ ...next, partitionEpoch: partition.partitionEpoch + 1 }))]
    )
  }
}
