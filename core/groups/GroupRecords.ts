/**
 * What a coordinator of groups writes into __consumer_offsets, in Kafka's own schemas.
 *
 * | part  | bytes                                                                                             |
 * |-------|---------------------------------------------------------------------------------------------------|
 * | key   | int16 type (1 offset commit, 0 its old form, 2 group metadata), then OffsetCommitKey or GroupMetadataKey |
 * | value | int16 version, then OffsetCommitValue (4; 1 with an expiry of its own) or GroupMetadataValue (3); null: gone |
 *
 * Other types belong to other kinds of groups and are skipped.
 */
import type { EncodedRecord, RecordCodec } from "../coordinator/CoordinatorState.ts"
import { ByteReader } from "../protocol/ByteReader.ts"
import { ByteWriter } from "../protocol/ByteWriter.ts"
import { GroupRecordType } from "../protocol/generated/RecordTypes.ts"
import { decodeGroupMetadataKey, encodeGroupMetadataKey } from "../protocol/generated/records/GroupMetadataKey.ts"
import {
  decodeGroupMetadataValue,
  encodeGroupMetadataValue,
  type GroupMetadataValue
} from "../protocol/generated/records/GroupMetadataValue.ts"
import { decodeOffsetCommitKey, encodeOffsetCommitKey } from "../protocol/generated/records/OffsetCommitKey.ts"
import { decodeOffsetCommitValue, encodeOffsetCommitValue } from "../protocol/generated/records/OffsetCommitValue.ts"
import { toSafe } from "../protocol/Int64.ts"
import type { ClassicGroup } from "./ClassicGroup.ts"

/** A committed offset, as it is remembered. */
export interface CommittedOffset {
  readonly offset: number
  /** Of the last record that was read; -1 unknown. */
  readonly leaderEpoch: number
  /** The client's own words; "" none. */
  readonly metadata: string
  /** In ms. */
  readonly commitTimestampMs: number
  /** When it goes, as old clients could ask; -1: by offsets.retention.minutes. In ms. */
  readonly expireTimestampMs: number
  /** ZERO_TOPIC_ID: the client named the topic by name. */
  readonly topicId: string
}

export interface GroupMetadataRecord {
  readonly _tag: "GroupMetadata"
  readonly groupId: string
  readonly value: GroupMetadataValue | null
}

export interface OffsetCommitRecord {
  readonly _tag: "OffsetCommit"
  readonly groupId: string
  readonly topic: string
  readonly partition: number
  readonly value: CommittedOffset | null
}

export type GroupRecord = GroupMetadataRecord | OffsetCommitRecord

const GROUP_METADATA_VERSION = 3
const OFFSET_COMMIT_VERSION = 4
/** The one version that has an expiry. */
const OFFSET_COMMIT_WITH_EXPIRY_VERSION = 1

/** What is written of a group at the end of a rebalance: `assignmentOf` each of its members. */
export const groupMetadataRecord = (
  group: ClassicGroup,
  assignmentOf: (memberId: string) => Uint8Array
): GroupMetadataRecord => ({
  _tag: "GroupMetadata",
  groupId: group.groupId,
  value: {
    protocolType: group.protocolType ?? "",
    generation: group.generationId,
    protocol: group.protocolName,
    leader: group.leaderId,
    currentStateTimestamp: group.stateTimestampMs,
    members: [...group.members.values()].map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rebalanceTimeout: member.rebalanceTimeoutMs,
      sessionTimeout: member.sessionTimeoutMs,
      subscription: member.metadata(group.protocolName) ?? new Uint8Array(0),
      assignment: assignmentOf(member.memberId)
    }))
  }
})

/** Of a group that was just made and has no generation yet. */
export const newGroupRecord = (group: ClassicGroup): GroupMetadataRecord => ({
  _tag: "GroupMetadata",
  groupId: group.groupId,
  value: {
    protocolType: "",
    generation: 0,
    protocol: null,
    leader: null,
    currentStateTimestamp: group.stateTimestampMs,
    members: []
  }
})

export const groupTombstone = (groupId: string): GroupMetadataRecord => ({ _tag: "GroupMetadata", groupId, value: null })

export const offsetTombstone = (groupId: string, topic: string, partition: number): OffsetCommitRecord => ({
  _tag: "OffsetCommit",
  groupId,
  topic,
  partition,
  value: null
})

const encodeOffset = (writer: ByteWriter, offset: CommittedOffset): void => {
  const version = offset.expireTimestampMs === -1 ? OFFSET_COMMIT_VERSION : OFFSET_COMMIT_WITH_EXPIRY_VERSION
  writer.int16(version)
  encodeOffsetCommitValue(writer, version, {
    offset: offset.offset,
    leaderEpoch: offset.leaderEpoch,
    metadata: offset.metadata,
    commitTimestamp: offset.commitTimestampMs,
    expireTimestamp: offset.expireTimestampMs,
    topicId: offset.topicId
  })
}

const encode = (record: GroupRecord): EncodedRecord => {
  const key = new ByteWriter(64)
  const value = record.value === null ? undefined : new ByteWriter(128)
  if (record._tag === "OffsetCommit") {
    key.int16(GroupRecordType.OffsetCommit)
    encodeOffsetCommitKey(key, 0, { group: record.groupId, topic: record.topic, partition: record.partition })
    if (value !== undefined) encodeOffset(value, record.value!)
  } else {
    key.int16(GroupRecordType.GroupMetadata)
    encodeGroupMetadataKey(key, 0, { group: record.groupId })
    if (value !== undefined) {
      value.int16(GROUP_METADATA_VERSION)
      encodeGroupMetadataValue(value, GROUP_METADATA_VERSION, record.value!)
    }
  }
  return { key: key.toBytes(), value: value === undefined ? null : value.toBytes() }
}

/** Times and offsets that are no safe number can't have come from a client; what is nearest to them stays in order. */
const safe = (value: number | bigint): number => toSafe(value) ?? (value > 0 ? Number.MAX_SAFE_INTEGER : -1)

const decodeOffset = (bytes: Uint8Array): CommittedOffset => {
  const reader = new ByteReader(bytes)
  const value = decodeOffsetCommitValue(reader, reader.int16())
  return {
    offset: safe(value.offset),
    leaderEpoch: value.leaderEpoch,
    metadata: value.metadata,
    commitTimestampMs: safe(value.commitTimestamp),
    expireTimestampMs: safe(value.expireTimestamp),
    topicId: value.topicId
  }
}

const decodeGroup = (bytes: Uint8Array): GroupMetadataValue => {
  const reader = new ByteReader(bytes)
  const value = decodeGroupMetadataValue(reader, reader.int16())
  return {
    ...value,
    members: value.members.map((member) => ({
      ...member,
      subscription: member.subscription.slice(),
      assignment: member.assignment.slice()
    }))
  }
}

const decode = (key: Uint8Array, value: Uint8Array | null): GroupRecord | undefined => {
  const reader = new ByteReader(key)
  switch (reader.int16()) {
    case GroupRecordType.LegacyOffsetCommit:
    case GroupRecordType.OffsetCommit: {
      const { group, partition, topic } = decodeOffsetCommitKey(reader, 0)
      return { _tag: "OffsetCommit", groupId: group, topic, partition, value: value === null ? null : decodeOffset(value) }
    }
    case GroupRecordType.GroupMetadata: {
      const { group } = decodeGroupMetadataKey(reader, 0)
      return { _tag: "GroupMetadata", groupId: group, value: value === null ? null : decodeGroup(value) }
    }
    default:
      return undefined
  }
}

export const groupRecordCodec: RecordCodec<GroupRecord> = { encode, decode }
