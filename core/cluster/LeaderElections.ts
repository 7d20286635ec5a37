/**
 * Elections that somebody asks for, and preferred leaders, decided on an image: pure. KIP-460 (ElectLeaders), KIP-183
 * (preferred leaders); error codes and words as in Kafka's ReplicationControlManager.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { ElectionType } from "./Commands.ts"
import type { Decided } from "./Decision.ts"
import type { MetadataImage, PartitionImage, TopicImage } from "./MetadataImage.ts"
import { changePartition, liveIn } from "./PartitionChange.ts"
import type { ChangeContext } from "./PartitionChange.ts"
import { dueElection, partitionChange } from "./PartitionDecisions.ts"
import type { ElectionResult, PartitionDecisionContext, RequestedChange } from "./PartitionDecisions.ts"

const electIn = (
  image: MetadataImage,
  topic: TopicImage,
  before: PartitionImage,
  election: ChangeContext["election"],
  context: PartitionDecisionContext
): ElectionResult | undefined => {
  const due = dueElection(image, topic, before, context)
  const changed = changePartition(due?.after ?? before, {}, {
    minInSyncReplicas: context.minInSyncReplicas(topic.name),
    isLive: liveIn(image, topic.id, before.partition),
    election
  })
  // Asked for before the controller came to it.
  if (changed === undefined) return due?.after.leader === before.leader ? undefined : due
  const after = { ...changed.after, partitionEpoch: before.partitionEpoch + 1 }
  return { topic, before, after, unclean: changed.unclean || (due?.unclean === true && after.leader === due.after.leader) }
}

const decideElection = (
  image: MetadataImage,
  name: string,
  index: number,
  electionType: number,
  context: PartitionDecisionContext
): Decided<RequestedChange> => {
  const answer = (error: number, message: string | null): Decided<RequestedChange> => ({
    result: { topic: name, partition: index, error, message, election: undefined }
  })
  const topic = image.topicsByName.get(name)
  if (topic === undefined) return answer(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `No such topic as ${name}`)
  const partition = topic.partitions[index]
  if (partition === undefined) {
    return answer(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `No such partition as ${name}-${index}`)
  }
  const isPreferred = electionType === ElectionType.PREFERRED
  if (isPreferred ? partition.leader === partition.replicas[0] : partition.leader !== -1) {
    return answer(ErrorCode.ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.")
  }
  const election = electIn(image, topic, partition, isPreferred ? "Preferred" : "Unclean", context)
  if (election === undefined) {
    return isPreferred
      ? answer(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, "The preferred leader was not available.")
      : answer(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, "Eligible topic partition leaders are not available.")
  }
  return {
    result: { ...answer(ErrorCode.NONE, null).result, election },
    change: partitionChange(image, topic, partition, election.after)
  }
}

export const decideElectLeaders = (
  image: MetadataImage,
  partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
  electionType: number,
  context: PartitionDecisionContext
): ReadonlyArray<Decided<RequestedChange>> =>
  partitions.map(({ partition, topic }) => decideElection(image, topic, partition, electionType, context))

/** Elections of one round of balancing: so many leaders at once move at most, as in Kafka. */
export const MAX_ELECTIONS_PER_IMBALANCE = 1000

/** Partitions that are led by another than their first replica although that may lead: to be led by it. */
export const decidePreferredLeaders = (
  image: MetadataImage,
  context: PartitionDecisionContext
): ReadonlyArray<Decided<ElectionResult>> => {
  const decided: Array<Decided<ElectionResult>> = []
  for (const topic of image.topicsByName.values()) {
    for (const partition of topic.partitions) {
      const preferred = partition.replicas[0]
      if (preferred === undefined || partition.leader === preferred || !liveIn(image, topic.id, partition.partition)(preferred)) continue
      const election = electIn(image, topic, partition, "Preferred", context)
      if (election?.after.leader !== preferred) continue
      decided.push({ result: election, change: partitionChange(image, topic, partition, election.after) })
      if (decided.length === MAX_ELECTIONS_PER_IMBALANCE) return decided
    }
  }
  return decided
}
