/**
 * Moving partitions to other replicas, decided on an image: pure. KIP-455, KIP-860; error codes and words as in Kafka's
 * ReplicationControlManager.
 *
 * A reassignment begins with all replicas, those to come and those to go, and ends when the ISR allows it, with the
 * ISR change that does (PartitionChange.ts). One that adds nobody or whose new replicas are in the ISR ends at once.
 * To take it back is to go on without those that were being added.
 *
 * Another target replaces the one under way, where Kafka 4.3 keeps what that added or removed when the new one has
 * nothing in its place: it takes away a replica that the new target names, or waits for ever for one that goes.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { ItemResult, OngoingReassignment, PartitionReassignment } from "./Commands.ts"
import type { Decided } from "./Decision.ts"
import type { MetadataImage, PartitionImage, TopicImage } from "./MetadataImage.ts"
import { changePartition, isReassigning, liveIn, quorumOf, without } from "./PartitionChange.ts"
import type { ChangeContext, ChangeTarget } from "./PartitionChange.ts"
import { dueElection, partitionChange } from "./PartitionDecisions.ts"
import type { PartitionDecisionContext, RequestedChange } from "./PartitionDecisions.ts"
import { assignmentError } from "./TopicDecisions.ts"

const refuse = (error: number, message: string): ItemResult => ({ error, message })

const ascending = (ids: ReadonlyArray<number>): ReadonlyArray<number> => [...ids].sort((a, b) => a - b)

/** The target, or why not. */
const changeTo = (
  image: MetadataImage,
  partition: PartitionImage,
  target: ReadonlyArray<number>,
  allowReplicationFactorChange: boolean
): ChangeTarget | ItemResult => {
  const wrong = assignmentError(image, target, undefined)
  if (wrong !== undefined) return refuse(ErrorCode.INVALID_REPLICA_ASSIGNMENT, wrong)
  const current = without(partition.replicas, partition.removingReplicas).length
  if (!allowReplicationFactorChange && current !== target.length) {
    return refuse(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      `The replication factor is changed from ${current} to ${target.length}`
    )
  }
  const removingReplicas = ascending(without(partition.replicas, target))
  return {
    replicas: [...target, ...removingReplicas],
    removingReplicas,
    // Also who is being added already and stays in the target: going back goes to what was there before all that.
    addingReplicas: ascending(without(target, without(partition.replicas, partition.addingReplicas)))
  }
}

/** Back to the replicas that were there before; an ISR of new ones only leaves the first of the others. */
const changeBack = (partition: PartitionImage): ChangeTarget => {
  const replicas = without(partition.replicas, partition.addingReplicas)
  const isr = without(partition.isr, partition.addingReplicas)
  return { replicas, isr: isr.length === 0 ? replicas.slice(0, 1) : isr, addingReplicas: [], removingReplicas: [] }
}

const decideReassignment = (
  image: MetadataImage,
  { partition: index, replicas, topic: name }: PartitionReassignment,
  allowReplicationFactorChange: boolean,
  context: PartitionDecisionContext
): Decided<RequestedChange> => {
  const answer = ({ error, message }: ItemResult): Decided<RequestedChange> => ({
    result: { topic: name, partition: index, error, message, election: undefined }
  })
  const topic = image.topicsByName.get(name)
  if (topic === undefined) {
    return answer(refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Unable to find a topic named ${name}.`))
  }
  const before = topic.partitions[index]
  if (before === undefined) {
    return answer(refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Unable to find partition ${name}:${index}.`))
  }
  const due = dueElection(image, topic, before, context)
  const partition = due?.after ?? before
  const allowsUnclean = context.uncleanLeaderElection(name)
  const change: ChangeContext = {
    minInSyncReplicas: context.minInSyncReplicas(name),
    isLive: liveIn(image, topic.id, index),
    election: replicas === null && allowsUnclean ? "Unclean" : "Online"
  }

  let target: ChangeTarget | ItemResult
  if (replicas !== null) target = changeTo(image, partition, replicas, allowReplicationFactorChange)
  else if (!isReassigning(before)) {
    target = { error: ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, message: null }
  } else target = changeBack(partition)
  if ("error" in target) return answer(target)

  const changed = changePartition(partition, target, change)
  const next = changed?.after ?? due?.after
  const after = next && { ...next, partitionEpoch: before.partitionEpoch + 1 }
  if (replicas === null && !allowsUnclean && after !== undefined) {
    const refused = revertError(name, partition, after, change.minInSyncReplicas)
    if (refused !== undefined) return answer(refuse(ErrorCode.INVALID_REPLICA_ASSIGNMENT, refused))
  }
  const unclean = (changed?.unclean ?? false) || (due?.unclean === true && after?.leader === due.after.leader)
  const { result } = answer({ error: ErrorCode.NONE, message: null })
  if (after === undefined) return { result }
  return {
    result: { ...result, election: { topic, before, after, unclean } },
    change: partitionChange(image, topic, before, after)
  }
}

/** What speaks against going back, unless unclean elections are allowed: acknowledged records could be lost. */
const revertError = (
  topic: string,
  partition: PartitionImage,
  after: PartitionImage,
  minIsr: number
): string | undefined => {
  const unable = `Unable to revert partition assignment for ${topic}:${partition.partition} because`
  if (without(partition.isr, partition.addingReplicas).length === 0) return `${unable} it would require an unclean leader election.`
  // Beyond Kafka's rule: what the replicas to come have acknowledged with one of the others is not left to that one.
  const wanted = Math.min(quorumOf(partition, minIsr), after.replicas.length)
  const left = quorumOf(after, minIsr)
  return left >= wanted ? undefined : `${unable} only ${left} of the replicas that would stay have all committed records ` +
    `and min.insync.replicas asks for ${wanted}: let the others catch up first.`
}

export const decideAlterPartitionReassignments = (
  image: MetadataImage,
  reassignments: ReadonlyArray<PartitionReassignment>,
  allowReplicationFactorChange: boolean,
  context: PartitionDecisionContext
): ReadonlyArray<Decided<RequestedChange>> =>
  reassignments.map((one) => decideReassignment(image, one, allowReplicationFactorChange, context))

const ongoing = (topic: TopicImage, partition: PartitionImage): OngoingReassignment => {
  const { addingReplicas, removingReplicas, replicas } = partition
  return { topic: topic.name, partition: partition.partition, replicas, addingReplicas, removingReplicas }
}

/** Partitions that are being moved; of these only, or of all topics. Who is not there is left out, as in Kafka. */
export const listReassignments = (
  image: MetadataImage,
  topics: ReadonlyArray<{ readonly name: string; readonly partitions: ReadonlyArray<number> }> | null
): ReadonlyArray<OngoingReassignment> => {
  const found: Array<OngoingReassignment> = []
  const add = (topic: TopicImage, partition: PartitionImage | undefined): void => {
    if (partition !== undefined && isReassigning(partition)) found.push(ongoing(topic, partition))
  }
  if (topics === null) {
    for (const topic of image.topicsByName.values()) for (const partition of topic.partitions) add(topic, partition)
    return found
  }
  for (const { name, partitions } of topics) {
    const topic = image.topicsByName.get(name)
    if (topic !== undefined) for (const index of partitions) add(topic, topic.partitions[index])
  }
  return found
}
