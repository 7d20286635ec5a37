/**
 * The records of `__consumer_offsets` as JSON, as Kafka's OffsetsMessageFormatter and GroupMetadataMessageFormatter
 * print them: one object behind the other, without line ends; records of another kind are passed over.
 */
import { Buffer } from "node:buffer"
import type { ConsumerRecord } from "../../core/client/Consumer.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { decodeGroupMetadataKey } from "../../core/protocol/generated/records/GroupMetadataKey.ts"
import { decodeGroupMetadataValue } from "../../core/protocol/generated/records/GroupMetadataValue.ts"
import { decodeOffsetCommitKey } from "../../core/protocol/generated/records/OffsetCommitKey.ts"
import { decodeOffsetCommitValue } from "../../core/protocol/generated/records/OffsetCommitValue.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { DeserializationError } from "./Deserializers.ts"
import type { Page } from "./Formatter.ts"

/** Appends a record. @throws DeserializationError */
export type RecordFormat = (record: ConsumerRecord, page: Page) => void

/** The types of keys: their first two bytes. */
const OFFSET_COMMIT_TYPES = [0, 1]
const GROUP_METADATA_TYPE = 2

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64")

/** Only the fields that the version has; the topic's id is a tagged field of version 4. */
const offsetCommit = (reader: ByteReader, version: number): object => {
  const { commitTimestamp, expireTimestamp, leaderEpoch, metadata, offset, topicId } = decodeOffsetCommitValue(reader, version)
  return {
    offset: Number(offset),
    ...(version >= 3 ? { leaderEpoch } : {}),
    metadata,
    commitTimestamp: Number(commitTimestamp),
    ...(version === 1 ? { expireTimestamp: Number(expireTimestamp) } : {}),
    ...(version >= 4 && topicId !== "A".repeat(22) ? { topicId } : {})
  }
}

const groupMetadata = (reader: ByteReader, version: number): object => {
  const { currentStateTimestamp, generation, leader, members, protocol, protocolType } = decodeGroupMetadataValue(reader, version)
  return {
    protocolType,
    generation,
    protocol,
    leader,
    ...(version >= 2 ? { currentStateTimestamp: Number(currentStateTimestamp) } : {}),
    members: members.map((member) => ({
      memberId: member.memberId,
      ...(version >= 3 ? { groupInstanceId: member.groupInstanceId } : {}),
      clientId: member.clientId,
      clientHost: member.clientHost,
      ...(version >= 1 ? { rebalanceTimeout: member.rebalanceTimeout } : {}),
      sessionTimeout: member.sessionTimeout,
      subscription: base64(member.subscription),
      assignment: base64(member.assignment)
    }))
  }
}

const formatOf = (
  types: ReadonlyArray<number>,
  keyOf: (reader: ByteReader) => object,
  valueOf: (reader: ByteReader, version: number) => object
): RecordFormat =>
(record, page) => {
  if (record.key === null) return
  try {
    const key = new ByteReader(record.key)
    const type = key.int16()
    if (!types.includes(type)) return
    const data = keyOf(key)
    let value: object | null = null
    if (record.value !== null) {
      const reader = new ByteReader(record.value)
      const version = reader.int16()
      value = { version, data: valueOf(reader, version) }
    }
    page.text(JSON.stringify({ key: { type, data }, value }))
  } catch (error) {
    if (error instanceof ProtocolError) throw new DeserializationError(`offset ${record.offset} of ${record.topic}-${record.partition}: ${error.message}`)
    throw error
  }
}

export const formatOffsets: RecordFormat = formatOf(
  OFFSET_COMMIT_TYPES,
  (reader) => {
    const { group, partition, topic } = decodeOffsetCommitKey(reader, 0)
    return { group, topic, partition }
  },
  offsetCommit
)

export const formatGroups: RecordFormat = formatOf([GROUP_METADATA_TYPE], (reader) => ({ group: decodeGroupMetadataKey(reader, 0).group }), groupMetadata)
