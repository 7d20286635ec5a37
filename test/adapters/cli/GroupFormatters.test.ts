/** The expected JSON is what Kafka 4.3.1's formatters printed of such records. */
import { expect, it } from "vitest"
import { Page } from "../../../adapters/cli/Formatter.ts"
import { formatGroups, formatOffsets } from "../../../adapters/cli/GroupFormatters.ts"
import type { ConsumerRecord } from "../../../core/client/Consumer.ts"
import { ByteWriter } from "../../../core/protocol/ByteWriter.ts"
import { encodeGroupMetadataKey } from "../../../core/protocol/generated/records/GroupMetadataKey.ts"
import { encodeGroupMetadataValue } from "../../../core/protocol/generated/records/GroupMetadataValue.ts"
import { encodeOffsetCommitKey } from "../../../core/protocol/generated/records/OffsetCommitKey.ts"
import { encodeOffsetCommitValue } from "../../../core/protocol/generated/records/OffsetCommitValue.ts"

const encoded = (version: number, encode: (writer: ByteWriter) => void): Uint8Array => {
  const writer = new ByteWriter()
  writer.int16(version)
  encode(writer)
  return writer.toBytes()
}

const record = (key: Uint8Array | null, value: Uint8Array | null): ConsumerRecord => ({
  topic: "__consumer_offsets",
  partition: 3,
  offset: 7,
  timestamp: 0,
  timestampType: "CreateTime",
  leaderEpoch: 0,
  key,
  value,
  headers: []
})

const offsetKey = encoded(1, (writer) => encodeOffsetCommitKey(writer, 0, { group: "g1", topic: "orders", partition: 2 }))
const groupKey = encoded(2, (writer) => encodeGroupMetadataKey(writer, 0, { group: "g1" }))

const printed = (format: typeof formatOffsets, ...records: ReadonlyArray<ConsumerRecord>): string => {
  const page = new Page()
  for (const one of records) format(one, page)
  return new TextDecoder().decode(page.take())
}

it("offsets have the fields of their version, and a tombstone none", () => {
  const fields = { offset: 50, leaderEpoch: 0, metadata: "", commitTimestamp: 1795266025427, topicId: "nM1mWA5IRJuz29T8bKogwg" }
  const of = (version: number): ConsumerRecord => record(offsetKey, encoded(version, (writer) => encodeOffsetCommitValue(writer, version, fields)))
  const key = `"key":{"type":1,"data":{"group":"g1","topic":"orders","partition":2}}`
  expect(printed(formatOffsets, of(4), record(offsetKey, null), of(3), of(1))).toBe(
    `{${key},"value":{"version":4,"data":{"offset":50,"leaderEpoch":0,"metadata":"","commitTimestamp":1795266025427,"topicId":"nM1mWA5IRJuz29T8bKogwg"}}}` +
      `{${key},"value":null}` +
      `{${key},"value":{"version":3,"data":{"offset":50,"leaderEpoch":0,"metadata":"","commitTimestamp":1795266025427}}}` +
      `{${key},"value":{"version":1,"data":{"offset":50,"metadata":"","commitTimestamp":1795266025427,"expireTimestamp":-1}}}`
  )
})

it("groups have their members, with bytes as base64", () => {
  const value = encoded(3, (writer) =>
    encodeGroupMetadataValue(writer, 3, {
      protocolType: "consumer",
      generation: 2,
      protocol: "range",
      leader: "m",
      currentStateTimestamp: 1795266000339,
      members: [{
        memberId: "m",
        groupInstanceId: null,
        clientId: "c",
        clientHost: "/127.0.0.1",
        rebalanceTimeout: 300000,
        sessionTimeout: 45000,
        subscription: new Uint8Array([0, 255]),
        assignment: new Uint8Array([1])
      }]
    }))
  expect(printed(formatGroups, record(groupKey, value))).toBe(
    `{"key":{"type":2,"data":{"group":"g1"}},"value":{"version":3,"data":{"protocolType":"consumer","generation":2,"protocol":"range",` +
      `"leader":"m","currentStateTimestamp":1795266000339,"members":[{"memberId":"m","groupInstanceId":null,"clientId":"c",` +
      `"clientHost":"/127.0.0.1","rebalanceTimeout":300000,"sessionTimeout":45000,"subscription":"AP8=","assignment":"AQ=="}]}}}`
  )
})

it("records of another kind are passed over, broken ones are named", () => {
  expect(printed(formatOffsets, record(groupKey, null), record(null, null))).toBe("")
  expect(printed(formatGroups, record(offsetKey, null))).toBe("")
  expect(() => printed(formatOffsets, record(offsetKey.subarray(0, 5), null))).toThrow("offset 7 of __consumer_offsets-3")
})
