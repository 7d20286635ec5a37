/** OffsetCommit, OffsetFetch, OffsetDelete and expiry: what each decides about a group's offsets. */
import { ZERO_TOPIC_ID } from "../model/Ids.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { type Int64, toSafe } from "../protocol/Int64.ts"
import type { ClassicGroup } from "./ClassicGroup.ts"
import { type CommittedOffset, type OffsetCommitRecord, offsetTombstone } from "./GroupRecords.ts"
import type { GroupOffsets, OffsetStore } from "./OffsetStore.ts"

export interface CommitPartition {
  readonly partitionIndex: number
  readonly committedOffset: Int64
  readonly committedLeaderEpoch: number
  /** Null counts as "". */
  readonly committedMetadata: string | null
}

/** Topics and partitions that exist: the broker has sorted out the others. */
export interface OffsetCommit {
  readonly apiVersion: number
  readonly groupId: string
  /** -1 of someone who only commits, without being a member. */
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
  /** Versions 2 to 4: how long the offsets are to be kept, in ms; -1 as the broker says. */
  readonly retentionTimeMs: Int64
  readonly topics: ReadonlyArray<{
    readonly name: string
    /** ZERO_TOPIC_ID when it is not known. */
    readonly topicId: string
    readonly partitions: ReadonlyArray<CommitPartition>
  }>
}

/** An answer for each partition that was asked for. */
export interface PartitionResults {
  readonly name: string
  readonly topicId: string
  readonly partitions: ReadonlyArray<{ readonly partitionIndex: number; readonly errorCode: number }>
}

export interface OffsetFetch {
  readonly groupId: string
  /** Null: all that the group has. */
  readonly topics: ReadonlyArray<{
    readonly name: string
    /** ZERO_TOPIC_ID: any. */
    readonly topicId: string
    readonly partitionIndexes: ReadonlyArray<number>
  }> | null
}

export interface FetchedOffsets {
  readonly name: string
  readonly topicId: string
  readonly partitions: ReadonlyArray<{
    readonly partitionIndex: number
    /** -1: none was committed. */
    readonly committedOffset: number
    readonly committedLeaderEpoch: number
    readonly metadata: string
    readonly errorCode: number
  }>
}

export interface OffsetDelete {
  readonly groupId: string
  readonly topics: ReadonlyArray<{ readonly name: string; readonly partitions: ReadonlyArray<number> }>
}

/** From this version on a group that is not there is called that. */
const GROUP_ID_NOT_FOUND_SINCE = 9

/** NONE, or why nothing is committed. `group` undefined: there is none of that id. */
export const commitError = (group: ClassicGroup | undefined, commit: OffsetCommit): number => {
  const { generationId, groupInstanceId, memberId } = commit
  if (group === undefined) {
    if (generationId < 0) return ErrorCode.NONE
    return commit.apiVersion >= GROUP_ID_NOT_FOUND_SINCE ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.ILLEGAL_GENERATION
  }
  if (group.state === "Dead") return ErrorCode.COORDINATOR_NOT_AVAILABLE
  // A tool sets offsets of a group that nobody is in, or someone keeps them who never was.
  if (generationId < 0 && group.state === "Empty") return ErrorCode.NONE
  if (generationId >= 0 || memberId !== "" || groupInstanceId !== null) {
    const error = group.memberError(memberId, groupInstanceId)
    if (error !== ErrorCode.NONE) return error
    if (generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION
  } else if (group.state !== "Empty") return ErrorCode.UNKNOWN_MEMBER_ID
  // The member does not know yet what it was assigned.
  return group.state === "CompletingRebalance" ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE
}

const DEFAULT_RETENTION = -1

/** Records for what can be committed, and an answer for all. */
export const commitOffsets = (
  commit: OffsetCommit,
  metadataMaxBytes: number,
  wallMs: number
): { readonly records: ReadonlyArray<OffsetCommitRecord>; readonly results: ReadonlyArray<PartitionResults> } => {
  const records: Array<OffsetCommitRecord> = []
  const retentionMs = toSafe(commit.retentionTimeMs) ?? Number.MAX_SAFE_INTEGER
  const expireTimestampMs = retentionMs === DEFAULT_RETENTION ? -1 : Math.min(wallMs + retentionMs, Number.MAX_SAFE_INTEGER)
  const results = commit.topics.map(({ name, partitions, topicId }) => ({
    name,
    topicId,
    partitions: partitions.map(({ committedLeaderEpoch, committedMetadata, committedOffset, partitionIndex }) => {
      const metadata = committedMetadata ?? ""
      const offset = toSafe(committedOffset)
      if (metadata.length > metadataMaxBytes) return { partitionIndex, errorCode: ErrorCode.OFFSET_METADATA_TOO_LARGE }
      // No log has such an offset, and it could not be given back as it is.
      if (offset === undefined) return { partitionIndex, errorCode: ErrorCode.INVALID_COMMIT_OFFSET_SIZE }
      records.push({
        _tag: "OffsetCommit",
        groupId: commit.groupId,
        topic: name,
        partition: partitionIndex,
        value: {
          offset,
          leaderEpoch: committedLeaderEpoch < 0 ? -1 : committedLeaderEpoch,
          metadata,
          commitTimestampMs: wallMs,
          expireTimestampMs,
          topicId
        }
      })
      return { partitionIndex, errorCode: ErrorCode.NONE }
    })
  }))
  return { records, results }
}

const NO_OFFSET = { committedOffset: -1, committedLeaderEpoch: -1, metadata: "", errorCode: ErrorCode.NONE } as const

/** A topic that was made anew under its name has none of the old one's offsets. */
const isOfOther = (offset: CommittedOffset, topicId: string): boolean =>
  offset.topicId !== ZERO_TOPIC_ID && topicId !== ZERO_TOPIC_ID && offset.topicId !== topicId

const told = (partitionIndex: number, offset: CommittedOffset): FetchedOffsets["partitions"][number] => ({
  partitionIndex,
  committedOffset: offset.offset,
  committedLeaderEpoch: offset.leaderEpoch,
  metadata: offset.metadata,
  errorCode: ErrorCode.NONE
})

export const fetchOffsets = (offsets: GroupOffsets, topics: OffsetFetch["topics"]): ReadonlyArray<FetchedOffsets> => {
  if (topics === null) {
    return [...offsets].map(([name, partitions]) => ({
      name,
      topicId: ZERO_TOPIC_ID,
      partitions: [...partitions].map(([partition, offset]) => told(partition, offset))
    }))
  }
  return topics.map(({ name, partitionIndexes, topicId }) => {
    const byPartition = offsets.get(name)
    return {
      name,
      topicId,
      partitions: partitionIndexes.map((partitionIndex) => {
        const offset = byPartition?.get(partitionIndex)
        return offset === undefined || isOfOther(offset, topicId)
          ? { partitionIndex, ...NO_OFFSET }
          : told(partitionIndex, offset)
      })
    }
  })
}

/** NONE, or why nothing of the group's offsets may be deleted. */
export const deleteError = (group: ClassicGroup | undefined): number => {
  if (group === undefined || group.state === "Dead") return ErrorCode.GROUP_ID_NOT_FOUND
  // Of consumers it is known which topics they read; the others may still be deleted.
  return group.state === "Empty" || group.usesConsumerProtocol ? ErrorCode.NONE : ErrorCode.NON_EMPTY_GROUP
}

export const deleteOffsets = (
  group: ClassicGroup,
  store: OffsetStore,
  { groupId, topics }: OffsetDelete
): { readonly records: ReadonlyArray<OffsetCommitRecord>; readonly results: ReadonlyArray<PartitionResults> } => {
  const records: Array<OffsetCommitRecord> = []
  const results = topics.map(({ name, partitions }) => {
    const errorCode = group.isSubscribedTo(name) ? ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC : ErrorCode.NONE
    for (const partition of partitions) {
      if (errorCode === ErrorCode.NONE && store.get(groupId, name, partition) !== undefined) {
        records.push(offsetTombstone(groupId, name, partition))
      }
    }
    return {
      name,
      topicId: ZERO_TOPIC_ID,
      partitions: partitions.map((partitionIndex) => ({ partitionIndex, errorCode }))
    }
  })
  return { records, results }
}

/**
 * Offsets of the group that have expired, and whether that is all of them.
 * A group with members keeps the offsets of the topics it reads; one without members keeps all until it was without
 * members for `retentionMs` (KIP-211); one that never had members keeps each for that long after its commit.
 */
export const expiredOffsets = (
  group: ClassicGroup,
  offsets: GroupOffsets,
  wallMs: number,
  retentionMs: number
): { readonly records: ReadonlyArray<OffsetCommitRecord>; readonly areAll: boolean } => {
  if (offsets.size === 0) return { records: [], areAll: true }
  const hadMembers = group.protocolType !== null
  const isEmpty = group.state === "Empty"
  const mayExpire = !hadMembers || isEmpty ||
    (group.usesConsumerProtocol && group.knowsSubscribedTopics && group.state === "Stable")
  if (!mayExpire) return { records: [], areAll: false }
  const emptySinceMs = hadMembers && isEmpty && group.stateTimestampMs !== -1 ? group.stateTimestampMs : undefined
  const records: Array<OffsetCommitRecord> = []
  let areAll = true
  for (const [topic, partitions] of offsets) {
    const isSubscribed = group.isSubscribedTo(topic)
    for (const [partition, offset] of partitions) {
      const isExpired = offset.expireTimestampMs !== -1
        ? wallMs >= offset.expireTimestampMs
        : wallMs - (emptySinceMs ?? offset.commitTimestampMs) >= retentionMs
      if (!isSubscribed && isExpired) records.push(offsetTombstone(group.groupId, topic, partition))
      else areAll = false
    }
  }
  return { records, areAll }
}
