/**
 * Creating, growing and deleting topics, decided on an image: pure. Error codes as in Kafka's
 * ReplicationControlManager; an item's outcome never depends on another item of the request, but for duplicates,
 * which the handlers refuse before (each API has words of its own for them).
 */
import { topicNameError } from "../model/Ids.ts"
import type { TopicId } from "../model/Ids.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type {
  CreatePartitionsResult,
  CreateTopicResult,
  DeleteTopicResult,
  DeleteTopicTarget,
  ItemResult,
  NewPartitions,
  NewTopic
} from "./Commands.ts"
import { changeOf, put, remove } from "./Decision.ts"
import type { Decided } from "./Decision.ts"
import { clearedElrKey, configValue, partitionKey, partitionValue, topicConfigKey, topicKey, topicValue } from "./Keys.ts"
import { EMPTY_CONFIG, isActive } from "./MetadataImage.ts"
import type { MetadataImage } from "./MetadataImage.ts"
import { PlacementRefusal, placeReplicas } from "./Placement.ts"

/** What a decision needs beside the image; drawn before, so that deciding stays a function. */
export interface TopicDecisionContext {
  readonly numPartitions: number
  readonly replicationFactor: number
  readonly deleteTopicEnable: boolean
  /** One unused id for each topic to create. */
  readonly topicIds: ReadonlyArray<TopicId>
  /** Where placement begins; any number from 0. */
  readonly placementSeed: number
  readonly topicConfigError: (configs: ReadonlyMap<string, string>) => string | undefined
}

/** Partitions that one request may ask for in all; more is POLICY_VIOLATION, as in Kafka. */
export const MAX_PARTITIONS_PER_REQUEST = 10_000

const TOO_MANY_PARTITIONS: ItemResult = {
  error: ErrorCode.POLICY_VIOLATION,
  message: "Excessively large number of partitions per request."
}

const refuse = (error: number, message: string): ItemResult => ({ error, message })
const DONE: ItemResult = { error: ErrorCode.NONE, message: null }

/** '.' and '_' are one character in metric names: two topics must not differ in them alone. */
const collisionKey = (name: string): string => name.replaceAll(".", "_")

/** Topics that share their metric name with another spelling, by that name. Only built when a name needs it. */
const collidingTopic = (image: MetadataImage, name: string): string | undefined => {
  if (!/[._]/.test(name)) return undefined
  const key = collisionKey(name)
  const found: Array<string> = []
  for (const existing of image.topicsByName.keys()) {
    if (existing !== name && existing.length === name.length && collisionKey(existing) === key) found.push(existing)
  }
  return found.length === 0 ? undefined : found.sort()[0]
}

// -- replicas -----------------------------------------------------------------------------------------------------

interface Placed {
  readonly replicas: ReadonlyArray<number>
  readonly isr: ReadonlyArray<number>
}

const isLive = (image: MetadataImage, id: number): boolean => isActive(image.brokers.get(id))

/** @returns what is wrong with replicas that a client chose, or undefined */
export const assignmentError = (
  image: MetadataImage,
  brokerIds: ReadonlyArray<number>,
  replicationFactor: number | undefined
): string | undefined => {
  if (brokerIds.length === 0) return "The manual partition assignment includes an empty replica list."
  const sorted = [...brokerIds].sort((a, b) => a - b)
  for (const [index, id] of sorted.entries()) {
    if (!image.brokers.has(id)) {
      return `The manual partition assignment includes broker ${id}, but no such broker is registered.`
    }
    if (index > 0 && sorted[index - 1] === id) {
      return `The manual partition assignment includes the broker ${id} more than once.`
    }
  }
  if (replicationFactor !== undefined && brokerIds.length !== replicationFactor) {
    return `The manual partition assignment includes a partition with ${brokerIds.length} replica(s), but this is not ` +
      `consistent with previous partitions, which have ${replicationFactor} replica(s).`
  }
  return undefined
}

const placedManually = (
  image: MetadataImage,
  partition: number,
  brokerIds: ReadonlyArray<number>,
  replicationFactor: number | undefined
): Placed | ItemResult => {
  const wrong = assignmentError(image, brokerIds, replicationFactor)
  if (wrong !== undefined) return refuse(ErrorCode.INVALID_REPLICA_ASSIGNMENT, wrong)
  const isr = brokerIds.filter((id) => isLive(image, id))
  return isr.length > 0 ? { replicas: brokerIds, isr } : refuse(
    ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    `All brokers specified in the manual partition assignment for partition ${partition} are fenced or in controlled shutdown.`
  )
}

const placedByUs = (
  image: MetadataImage,
  count: number,
  replicationFactor: number,
  seed: number
): ReadonlyArray<Placed> | PlacementRefusal => {
  const placed = placeReplicas(image.brokers.values(), { count, replicationFactor, seed })
  if (placed instanceof PlacementRefusal) return placed
  return placed.map((replicas) => ({ replicas, isr: replicas.filter((id) => isLive(image, id)) }))
}

const unplaceable = (replicationFactor: number, refusal: PlacementRefusal): ItemResult =>
  refuse(
    ErrorCode.INVALID_REPLICATION_FACTOR,
    `Unable to replicate the partition ${replicationFactor} time(s): ${refusal.message}`
  )

const isRefusal = (value: object): value is ItemResult => "error" in value

/** A new partition: led by its first live replica, in leader epoch 0. */
const newPartition = ({ replicas, isr }: Placed): string =>
  partitionValue({
    leader: isr[0] ?? -1,
    leaderEpoch: 0,
    partitionEpoch: 0,
    replicas,
    isr,
    elr: [],
    lastKnownElr: [],
    addingReplicas: [],
    removingReplicas: []
  })

// -- create -------------------------------------------------------------------------------------------------------

const placeNewTopic = (
  image: MetadataImage,
  topic: NewTopic,
  context: TopicDecisionContext
): ReadonlyArray<Placed> | ItemResult => {
  if (topic.assignments.length > 0) {
    if (topic.replicationFactor !== -1) {
      return refuse(
        ErrorCode.INVALID_REQUEST,
        "A manual partition assignment was specified, but replication factor was not set to -1."
      )
    }
    if (topic.numPartitions !== -1) {
      return refuse(
        ErrorCode.INVALID_REQUEST,
        "A manual partition assignment was specified, but numPartitions was not set to -1."
      )
    }
    const byIndex = new Map<number, Placed>()
    let replicationFactor: number | undefined
    for (const { partitionIndex, brokerIds } of topic.assignments) {
      if (byIndex.has(partitionIndex)) {
        return refuse(
          ErrorCode.INVALID_REPLICA_ASSIGNMENT,
          `Found multiple manual partition assignments for partition ${partitionIndex}`
        )
      }
      const placed = placedManually(image, partitionIndex, brokerIds, replicationFactor)
      if (isRefusal(placed)) return placed
      replicationFactor = brokerIds.length
      byIndex.set(partitionIndex, placed)
    }
    const partitions: Array<Placed> = []
    for (let index = 0; index < byIndex.size; index++) {
      const placed = byIndex.get(index)
      if (placed === undefined) {
        return refuse(
          ErrorCode.INVALID_REPLICA_ASSIGNMENT,
          "partitions should be a consecutive 0-based integer sequence"
        )
      }
      partitions.push(placed)
    }
    return partitions
  }
  if (topic.replicationFactor < -1 || topic.replicationFactor === 0) {
    return refuse(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      "Replication factor must be larger than 0, or -1 to use the default value."
    )
  }
  if (topic.numPartitions < -1 || topic.numPartitions === 0) {
    return refuse(ErrorCode.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
  }
  const count = topic.numPartitions === -1 ? context.numPartitions : topic.numPartitions
  const replicationFactor = topic.replicationFactor === -1 ? context.replicationFactor : topic.replicationFactor
  const placed = placedByUs(image, count, replicationFactor, context.placementSeed)
  return placed instanceof PlacementRefusal ? unplaceable(replicationFactor, placed) : placed
}

const createTopicRefused = (topic: NewTopic, item: ItemResult): Decided<CreateTopicResult> => ({
  result: { ...item, name: topic.name, topicId: null, numPartitions: -1, replicationFactor: -1, configs: EMPTY_CONFIG }
})

const decideCreateTopic = (
  image: MetadataImage,
  topic: NewTopic,
  id: TopicId,
  context: TopicDecisionContext
): Decided<CreateTopicResult> => {
  const answer = (item: ItemResult): Decided<CreateTopicResult> => createTopicRefused(topic, item)
  const nameError = topicNameError(topic.name)
  if (nameError !== undefined) return answer(refuse(ErrorCode.INVALID_TOPIC_EXCEPTION, nameError))
  const colliding = collidingTopic(image, topic.name)
  if (image.topicsByName.has(topic.name)) {
    return answer(refuse(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${topic.name}' already exists.`))
  }
  if (colliding !== undefined) {
    return answer(refuse(
      ErrorCode.INVALID_TOPIC_EXCEPTION,
      `Topic '${topic.name}' collides with existing topic: ${colliding}`
    ))
  }
  const configs = new Map<string, string>()
  const nulls = topic.configs.filter(({ value }) => value === null).map(({ name }) => name)
  if (nulls.length > 0) {
    return answer(refuse(ErrorCode.INVALID_CONFIG, `Null value not supported for topic configs: ${nulls.join(",")}`))
  }
  for (const { name, value } of topic.configs) if (value !== null) configs.set(name, value)
  const configError = context.topicConfigError(configs)
  if (configError !== undefined) return answer(refuse(ErrorCode.INVALID_CONFIG, configError))

  const placed = placeNewTopic(image, topic, context)
  if (isRefusal(placed)) return answer(placed)

  const operations = [put(topicKey(topic.name), topicValue(id, placed.length))]
  if (configs.size > 0) operations.push(put(topicConfigKey(topic.name), configValue(configs)))
  return {
    result: {
      ...DONE,
      name: topic.name,
      topicId: id,
      numPartitions: placed.length,
      replicationFactor: placed[0]?.replicas.length ?? 0,
      configs
    },
    change: changeOf([{ key: topicKey(topic.name), modRevision: 0 }], operations, {
      prepare: placed.map((partition, index) => put(partitionKey(id, index), newPartition(partition)))
    })
  }
}

export const decideCreateTopics = (
  image: MetadataImage,
  topics: ReadonlyArray<NewTopic>,
  context: TopicDecisionContext
): ReadonlyArray<Decided<CreateTopicResult>> => {
  let partitions = 0
  for (const topic of topics) {
    partitions += topic.assignments.length > 0
      ? topic.assignments.length
      : topic.numPartitions === -1 ? context.numPartitions : Math.max(topic.numPartitions, 0)
  }
  if (partitions > MAX_PARTITIONS_PER_REQUEST) return topics.map((topic) => createTopicRefused(topic, TOO_MANY_PARTITIONS))
  return topics.map((topic, index) => decideCreateTopic(image, topic, context.topicIds[index] as TopicId, context))
}

// -- grow ---------------------------------------------------------------------------------------------------------

const decideNewPartitions = (
  image: MetadataImage,
  request: NewPartitions,
  context: TopicDecisionContext
): Decided<CreatePartitionsResult> => {
  const answer = (item: ItemResult): Decided<CreatePartitionsResult> => ({ result: { ...item, name: request.name } })
  const topic = image.topicsByName.get(request.name)
  if (topic === undefined) {
    return answer({ error: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, message: null })
  }
  const current = topic.partitions.length
  if (request.count === current) {
    return answer(refuse(ErrorCode.INVALID_PARTITIONS, `Topic already has ${current} partition(s).`))
  }
  if (request.count < current) {
    return answer(refuse(
      ErrorCode.INVALID_PARTITIONS,
      `The topic ${request.name} currently has ${current} partition(s); ${request.count} would not be an increase.`
    ))
  }
  const added = request.count - current
  const replicationFactor = topic.partitions[0]?.replicas.length ?? context.replicationFactor
  let placed: ReadonlyArray<Placed>
  if (request.assignments !== null) {
    if (request.assignments.length !== added) {
      return answer(refuse(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        `Attempted to add ${added} additional partition(s), but only ${request.assignments.length} assignment(s) were specified.`
      ))
    }
    const manual: Array<Placed> = []
    for (const [index, brokerIds] of request.assignments.entries()) {
      const one = placedManually(image, current + index, brokerIds, replicationFactor)
      if (isRefusal(one)) return answer(one)
      manual.push(one)
    }
    placed = manual
  } else {
    const ours = placedByUs(image, added, replicationFactor, context.placementSeed + current)
    if (ours instanceof PlacementRefusal) return answer(unplaceable(replicationFactor, ours))
    placed = ours
  }
  return {
    result: { ...DONE, name: request.name },
    change: changeOf(
      [{ key: topicKey(topic.name), modRevision: topic.modRevision }],
      [put(topicKey(topic.name), topicValue(topic.id, request.count))],
      { prepare: placed.map((one, index) => put(partitionKey(topic.id, current + index), newPartition(one))) }
    )
  }
}

export const decideCreatePartitions = (
  image: MetadataImage,
  requests: ReadonlyArray<NewPartitions>,
  context: TopicDecisionContext
): ReadonlyArray<Decided<CreatePartitionsResult>> => {
  let left = MAX_PARTITIONS_PER_REQUEST
  return requests.map((request) => {
    const added = request.count - (image.topicsByName.get(request.name)?.partitions.length ?? request.count)
    if (added > left) return { result: { ...TOO_MANY_PARTITIONS, name: request.name } }
    left -= Math.max(added, 0)
    return decideNewPartitions(image, request, context)
  })
}

// -- delete -------------------------------------------------------------------------------------------------------

export const decideDeleteTopics = (
  image: MetadataImage,
  targets: ReadonlyArray<DeleteTopicTarget>,
  context: TopicDecisionContext
): ReadonlyArray<Decided<DeleteTopicResult>> =>
  targets.map(({ name, topicId }) => {
    if (!context.deleteTopicEnable) {
      return { result: { ...refuse(ErrorCode.TOPIC_DELETION_DISABLED, "Topic deletion is disabled."), name, topicId } }
    }
    const topic = name !== null ? image.topicsByName.get(name) : image.topicsById.get(topicId)
    if (topic === undefined) {
      const item = name !== null
        ? refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.")
        : refuse(ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
      return { result: { ...item, name, topicId } }
    }
    const operations = [remove(topicKey(topic.name))]
    const comparisons = [{ key: topicKey(topic.name), modRevision: topic.modRevision }]
    const configRevision = image.revisions.get(topicConfigKey(topic.name))
    if (configRevision !== undefined) {
      operations.push(remove(topicConfigKey(topic.name)))
      comparisons.push({ key: topicConfigKey(topic.name), modRevision: configRevision })
    }
    if (image.revisions.has(clearedElrKey(topic.name))) operations.push(remove(clearedElrKey(topic.name)))
    return {
      result: { ...DONE, name: topic.name, topicId: topic.id },
      change: changeOf(comparisons, operations, {
        cleanup: topic.partitions.map(({ partition }) => remove(partitionKey(topic.id, partition)))
      })
    }
  })
