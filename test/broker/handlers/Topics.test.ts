/** Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeCluster, DescribeTopicPartitions. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { describe, expect, it } from "vitest"
import { makeCreatePartitions } from "../../../core/broker/handlers/CreatePartitions.ts"
import { makeCreateTopics } from "../../../core/broker/handlers/CreateTopics.ts"
import { makeDeleteTopics } from "../../../core/broker/handlers/DeleteTopics.ts"
import { makeDescribeCluster } from "../../../core/broker/handlers/DescribeCluster.ts"
import { makeDescribeTopicPartitions } from "../../../core/broker/handlers/DescribeTopicPartitions.ts"
import { makeMetadata } from "../../../core/broker/handlers/Metadata.ts"
import { ZERO_TOPIC_ID } from "../../../core/model/Ids.ts"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { makeBroker } from "./support.ts"
import type { TestBroker } from "./support.ts"

const run = (body: (broker: TestBroker) => Effect.Effect<unknown, unknown, Scope>, overrides: ReadonlyArray<readonly [string, string]> = []) =>
  Effect.runPromise(Effect.scoped(Effect.flatMap(makeBroker(overrides), body)) as Effect.Effect<unknown>)

const topic = (name: string, over: object = {}) => ({
  name,
  numPartitions: 1,
  replicationFactor: 1,
  assignments: [],
  configs: [],
  ...over
})

const create = (broker: TestBroker, topics: ReadonlyArray<object>, version = 7, over: object = {}) =>
  broker.ask(makeCreateTopics(broker.services), version, { topics, timeoutMs: 5000, validateOnly: false, ...over })
const grow = (broker: TestBroker, topics: ReadonlyArray<object>, version = 3, over: object = {}) =>
  broker.ask(makeCreatePartitions(broker.services), version, { topics, timeoutMs: 5000, validateOnly: false, ...over })
const remove = (broker: TestBroker, version: number, request: object) =>
  broker.ask(makeDeleteTopics(broker.services), version, { timeoutMs: 5000, ...request })
const metadata = (broker: TestBroker, version: number, request: object, listenerName?: string) =>
  broker.ask(makeMetadata(broker.services), version, request, listenerName)
const named = (...names: ReadonlyArray<string>) => names.map((name) => ({ name, topicId: ZERO_TOPIC_ID }))
const byId = (topicId: string) => ({ name: null, topicId })

/** Assignments as `[partition, ...brokers]`. */
const manual = (...assignments: ReadonlyArray<ReadonlyArray<number>>) => ({
  numPartitions: -1,
  replicationFactor: -1,
  assignments: assignments.map(([partitionIndex, ...brokerIds]) => ({ partitionIndex, brokerIds }))
})

interface Outcome {
  readonly name: string | null
  readonly errorCode: number
  readonly errorMessage?: string | null
}
const errors = (items: ReadonlyArray<Outcome>) => items.map(({ errorCode, name }) => [name, errorCode])
const NOT_ASKED = -2147483648

describe("Metadata", () => {
  it("answers in every version, with the addresses of the connection's listener", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("t", { numPartitions: 2 })])
        for (let version = 0; version <= 13; version++) {
          const answer = yield* metadata(broker, version, { topics: named("t") }, "OUTSIDE")
          expect(answer.brokers).toEqual([{ nodeId: 1, host: "outside", port: 19092, rack: version === 0 ? null : "a" }])
          expect(answer.topics).toHaveLength(1)
          expect(answer.topics[0]).toMatchObject({ name: "t", errorCode: 0, topicAuthorizedOperations: NOT_ASKED })
          expect(answer.topics[0].partitions.map((one: { leaderId: number }) => one.leaderId)).toEqual([1, 1])
          if (version >= 2) expect(answer.clusterId).toBe(broker.services.clusterId)
        }
        const elsewhere = yield* metadata(broker, 12, { topics: named("t") }, "NOWHERE")
        expect(elsewhere.brokers).toEqual([])
        expect(elsewhere.topics[0].partitions[0]).toMatchObject({
          errorCode: ErrorCode.LISTENER_NOT_FOUND,
          leaderId: -1,
          offlineReplicas: [1]
        })
      })))

  it("takes null, and nothing in version 0, for all topics", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("a"), topic("b")])
        for (const [version, topics, count] of [[0, [], 2], [1, [], 0], [1, null, 2], [12, null, 2]] as const) {
          expect((yield* metadata(broker, version, { topics })).topics).toHaveLength(count)
        }
      })))

  it("tells authorised operations only when asked", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("t")])
        const asked = { includeClusterAuthorizedOperations: true, includeTopicAuthorizedOperations: true }
        const answer = yield* metadata(broker, 8, { topics: named("t"), ...asked })
        expect([answer.clusterAuthorizedOperations, answer.topics[0].topicAuthorizedOperations]).toEqual([8096, 3576])
        const plain = yield* metadata(broker, 8, { topics: named("t") })
        expect([plain.clusterAuthorizedOperations, plain.topics[0].topicAuthorizedOperations]).toEqual([NOT_ASKED, NOT_ASKED])
        // Kafka tells them of names that are no topic, and not of unknown ids
        const missing = yield* metadata(broker, 9, { topics: named("", "missing", "bad name"), allowAutoTopicCreation: false, ...asked })
        expect(missing.topics.map((one: { topicAuthorizedOperations: number }) => one.topicAuthorizedOperations)).toEqual([3576, 3576, 3576])
        const unknown = yield* metadata(broker, 12, { topics: [byId("abcdefghijklmnopqrstuA")], includeTopicAuthorizedOperations: true })
        expect(unknown.topics[0].topicAuthorizedOperations).toBe(NOT_ASKED)
      })))

  it("finds topics by id from version 12 on, and refuses ids before", () =>
    run((broker) =>
      Effect.gen(function*() {
        const [{ topicId }] = (yield* create(broker, [topic("t")])).topics
        const unknown = "abcdefghijklmnopqrstuA"
        const answer = yield* metadata(broker, 12, { topics: [byId(topicId), byId(unknown), byId(ZERO_TOPIC_ID)] })
        expect(answer.topics.map((one: { name: string; topicId: string; errorCode: number }) => [one.name, one.topicId, one.errorCode]))
          .toEqual([[null, unknown, ErrorCode.UNKNOWN_TOPIC_ID], ["t", topicId, 0]])
        const refused = yield* metadata(broker, 10, { topics: [{ name: "t", topicId }] })
        expect(errors(refused.topics)).toEqual([["t", ErrorCode.INVALID_REQUEST]])
      })))

  it("creates unknown topics when client and broker allow it, and no illegal or colliding ones", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("a.b")])
        const topics = named("new", "bad name", "", "a_b", "new", "__consumer_offsets")
        const silent = yield* metadata(broker, 12, { topics, allowAutoTopicCreation: false })
        expect(errors(silent.topics)).toEqual([
          ["new", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
          ["bad name", ErrorCode.INVALID_TOPIC_EXCEPTION],
          ["", ErrorCode.INVALID_TOPIC_EXCEPTION],
          ["a_b", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
          ["__consumer_offsets", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        ])
        const answer = yield* metadata(broker, 12, { topics, allowAutoTopicCreation: true })
        expect(errors(answer.topics)).toEqual([
          ["new", 0],
          ["__consumer_offsets", 0],
          ["bad name", ErrorCode.INVALID_TOPIC_EXCEPTION],
          ["", ErrorCode.INVALID_TOPIC_EXCEPTION],
          ["a_b", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        ])
        expect(answer.topics[0].partitions).toHaveLength(3)
        expect(answer.topics[1].partitions).toHaveLength(50)
        expect(answer.topics[1].isInternal).toBe(true)
        expect(broker.controller.image().topicConfigs.get("__consumer_offsets")?.get("cleanup.policy")).toBe("compact")
        // Versions before the flag always allow it.
        expect(errors((yield* metadata(broker, 3, { topics: [{ name: "old" }] })).topics)).toEqual([["old", 0]])
      }), [["num.partitions", "3"]]))

  it("creates nothing under auto.create.topics.enable=false", () =>
    run((broker) =>
      Effect.gen(function*() {
        const answer = yield* metadata(broker, 12, { topics: named("new"), allowAutoTopicCreation: true })
        expect(errors(answer.topics)).toEqual([["new", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]])
        expect(broker.controller.image().topicsByName.size).toBe(0)
      }), [["auto.create.topics.enable", "false"]]))
})

describe("CreateTopics", () => {
  it("creates in every version, and tells what it made from version 5 on", () =>
    run((broker) =>
      Effect.gen(function*() {
        for (let version = 2; version <= 7; version++) {
          const configs = [{ name: "retention.ms", value: "77" }]
          const answer = yield* create(broker, [topic(`t${version}`, { numPartitions: -1, replicationFactor: -1, configs })], version)
          expect(answer.topics[0]).toMatchObject({ name: `t${version}`, errorCode: 0, errorMessage: null })
          if (version < 5) continue
          expect(answer.topics[0]).toMatchObject({ numPartitions: 1, replicationFactor: 1 })
          const told = new Map<string, { value: string; configSource: number }>(
            answer.topics[0].configs.map((one: { name: string }) => [one.name, one])
          )
          expect(told.size).toBe(33)
          expect(told.get("retention.ms")).toMatchObject({ value: "77", configSource: 1, readOnly: false, isSensitive: false })
          expect(told.get("segment.bytes")).toMatchObject({ value: "1048576", configSource: 4 })
          expect(told.get("segment.ms")).toMatchObject({ value: "7200000", configSource: 4 })
          expect(told.get("flush.ms")).toMatchObject({ value: "9223372036854775807", configSource: 5 })
        }
      }), [["log.segment.bytes", "1048576"], ["log.roll.hours", "2"]]))

  it("refuses by the topic, with Kafka's errors and words", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("one.two")])
        const cases: ReadonlyArray<readonly [object, number, string]> = [
          [topic("one.two"), 36, "Topic 'one.two' already exists."],
          [topic("one_two"), 17, "Topic 'one_two' collides with existing topic: one.two"],
          [topic("."), 17, "Topic name is invalid: '.' is not allowed"],
          [topic("z1", { numPartitions: 0 }), 37, "Number of partitions was set to an invalid non-positive value."],
          [topic("z3", { numPartitions: 0, replicationFactor: 0 }), 38, "Replication factor must be larger than 0, or -1 to use the default value."],
          [topic("z4", { replicationFactor: 3 }), 38, "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."],
          [topic("a1", { ...manual([0, 1]), replicationFactor: 1 }), 42, "A manual partition assignment was specified, but replication factor was not set to -1."],
          [topic("a8", { ...manual([0, 1]), numPartitions: 1 }), 42, "A manual partition assignment was specified, but numPartitions was not set to -1."],
          [topic("a3", manual([0, 1], [2, 1])), 39, "partitions should be a consecutive 0-based integer sequence"],
          [topic("a4", manual([0, 7])), 39, "The manual partition assignment includes broker 7, but no such broker is registered."],
          [topic("a5", manual([0])), 39, "The manual partition assignment includes an empty replica list."],
          [topic("a6", manual([0, 1, 1])), 39, "The manual partition assignment includes the broker 1 more than once."],
          [topic("a7", manual([0, 1], [0, 1])), 39, "Found multiple manual partition assignments for partition 0"],
          [topic("c1", { configs: [{ name: "nope", value: "1" }] }), 40, "Unknown topic config name: nope"],
          [topic("c2", { configs: [{ name: "retention.ms", value: "x" }] }), 40, "Invalid value x for configuration retention.ms: Not a number of type LONG"],
          [topic("c3", { configs: [{ name: "retention.ms", value: null }] }), 40, "Null value not supported for topic configs: retention.ms"]
        ]
        const answer = yield* create(broker, cases.map(([one]) => one))
        expect(answer.topics.map((one: Outcome) => [one.errorCode, one.errorMessage])).toEqual(cases.map(([, ...rest]) => rest))
        expect([...broker.controller.image().topicsByName.keys()]).toEqual(["one.two"])
        const many = yield* create(broker, [topic("m1", { numPartitions: 9000 }), topic("m2", { numPartitions: 1001 })])
        expect(errors(many.topics)).toEqual([["m1", ErrorCode.POLICY_VIOLATION], ["m2", ErrorCode.POLICY_VIOLATION]])
      })))

  it("answers names that come twice, and __cluster_metadata, after the others", () =>
    run((broker) =>
      Effect.gen(function*() {
        const answer = yield* create(broker, [topic("dup"), topic("__cluster_metadata"), topic("dup"), topic("a"), topic("dup")])
        expect(answer.topics.map((one: Outcome) => [one.name, one.errorCode, one.errorMessage])).toEqual([
          ["a", 0, null],
          ["dup", 42, "Duplicate topic name."],
          ["__cluster_metadata", 42, "Creation of internal topic __cluster_metadata is prohibited."]
        ])
      })))

  it("creates nothing under validateOnly or when its time is over", () =>
    run((broker) =>
      Effect.gen(function*() {
        const valid = yield* create(broker, [topic("v", { numPartitions: 3 })], 7, { validateOnly: true })
        expect(valid.topics[0]).toMatchObject({ errorCode: 0, numPartitions: 3 })
        const late = yield* create(broker, [topic("l")], 7, { timeoutMs: 0 })
        expect(late.topics[0]).toMatchObject({ errorCode: ErrorCode.REQUEST_TIMED_OUT, errorMessage: null })
        expect(broker.controller.image().topicsByName.size).toBe(0)
      })))
})

describe("CreatePartitions", () => {
  it("adds partitions in every version, or says why not", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("t"), topic("u")])
        for (let version = 0; version <= 3; version++) {
          const answer = yield* grow(broker, [{ name: "t", count: version + 2, assignments: null }], version)
          expect(answer.results).toMatchObject([{ name: "t", errorCode: 0, errorMessage: null }])
        }
        expect(broker.controller.image().topicsByName.get("t")?.partitions).toHaveLength(5)
        const answer = yield* grow(broker, [
          { name: "u", count: 1, assignments: null },
          { name: "t", count: 2, assignments: null },
          { name: "nope", count: 2, assignments: null },
          { name: "d", count: 2, assignments: null },
          { name: "d", count: 3, assignments: null }
        ])
        expect(answer.results.map((one: Outcome) => [one.name, one.errorCode, one.errorMessage])).toEqual([
          ["d", 42, "Duplicate topic name."],
          ["u", 37, "Topic already has 1 partition(s)."],
          ["t", 37, "The topic t currently has 5 partition(s); 2 would not be an increase."],
          ["nope", 3, null]
        ])
        const manual = yield* grow(broker, [{ name: "u", count: 4, assignments: [{ brokerIds: [1] }] }])
        expect(manual.results[0].errorMessage)
          .toBe("Attempted to add 3 additional partition(s), but only 1 assignment(s) were specified.")
        yield* grow(broker, [{ name: "u", count: 2, assignments: [{ brokerIds: [1] }] }], 3, { validateOnly: true })
        expect(broker.controller.image().topicsByName.get("u")?.partitions).toHaveLength(1)
        yield* grow(broker, [{ name: "u", count: 2, assignments: [{ brokerIds: [1] }] }])
        expect(broker.controller.image().topicsByName.get("u")?.partitions).toHaveLength(2)
      })))
})

describe("DeleteTopics", () => {
  it("deletes by name in every version and by id in the last", () =>
    run((broker) =>
      Effect.gen(function*() {
        for (let version = 1; version <= 5; version++) {
          yield* create(broker, [topic("t")])
          const answer = yield* remove(broker, version, { topicNames: ["t", "nope"] })
          expect(errors(answer.responses)).toEqual([["t", 0], ["nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]])
        }
        const created = (yield* create(broker, [topic("a"), topic("b")])).topics
        const answer = yield* remove(broker, 6, { topics: [{ name: "a", topicId: ZERO_TOPIC_ID }, byId(created[1].topicId)] })
        expect(answer.responses).toEqual(["a", "b"].map((name, i) => ({
          name,
          topicId: created[i].topicId,
          errorCode: 0,
          errorMessage: null
        })))
        expect(broker.controller.image().topicsByName.size).toBe(0)
      })))

  it("refuses what is ambiguous, in Kafka's words", () =>
    run((broker) =>
      Effect.gen(function*() {
        const [{ topicId }] = (yield* create(broker, [topic("t"), topic("u")])).topics
        const unknown = "abcdefghijklmnopqrstuA"
        const answer = yield* remove(broker, 6, {
          topics: [...named("u", "u", "t"), byId(topicId), { name: "t", topicId }, byId(ZERO_TOPIC_ID), byId(unknown)]
        })
        expect(answer.responses.map((one: Outcome) => [one.name, one.errorCode, one.errorMessage])).toEqual([
          ["t", 42, "You may not specify both topic name and topic id."],
          [null, 42, "Neither topic name nor id were specified."],
          ["u", 42, "Duplicate topic name."],
          ["t", 42, "The provided topic name maps to an ID that was already supplied."],
          [null, 100, "This server does not host this topic ID."]
        ])
        expect(broker.controller.image().topicsByName.size).toBe(2)
      })))

  it("deletes nothing under delete.topic.enable=false", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("t")])
        expect(errors((yield* remove(broker, 2, { topicNames: ["t"] })).responses)).toEqual([["t", ErrorCode.INVALID_REQUEST]])
        expect(errors((yield* remove(broker, 6, { topics: named("t") })).responses))
          .toEqual([["t", ErrorCode.TOPIC_DELETION_DISABLED]])
        expect(broker.controller.image().topicsByName.size).toBe(1)
      }), [["delete.topic.enable", "false"]]))
})

describe("DescribeCluster", () => {
  it("tells brokers of the connection's listener, and refuses controllers", () =>
    run((broker) =>
      Effect.gen(function*() {
        const handler = makeDescribeCluster(broker.services)
        for (let version = 0; version <= 2; version++) {
          const answer = yield* broker.ask(handler, version, { includeClusterAuthorizedOperations: version === 2 }, "OUTSIDE")
          expect(answer).toMatchObject({
            errorCode: 0,
            controllerId: 1,
            clusterId: broker.services.clusterId,
            clusterAuthorizedOperations: version === 2 ? 8096 : NOT_ASKED
          })
          expect(answer.brokers).toMatchObject([{ brokerId: 1, host: "outside", port: 19092, rack: "a" }])
        }
        const refused = yield* broker.ask(handler, 1, { includeClusterAuthorizedOperations: false, endpointType: 2 })
        expect(refused.errorCode).toBe(ErrorCode.MISMATCHED_ENDPOINT_TYPE)
        const unknown = yield* broker.ask(handler, 1, { includeClusterAuthorizedOperations: false, endpointType: 3 })
        expect(unknown).toMatchObject({ errorCode: ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, errorMessage: "Unsupported endpoint type 3" })
      })))
})

const page = (broker: TestBroker, names: ReadonlyArray<string>, responsePartitionLimit: number, cursor: object | null = null) =>
  broker.ask(makeDescribeTopicPartitions(broker.services), 0, {
    topics: names.map((name) => ({ name })),
    responsePartitionLimit,
    cursor
  })
const shape = (answer: { topics: ReadonlyArray<{ name: string; errorCode: number; partitions: ReadonlyArray<{ partitionIndex: number }> }> }) =>
  answer.topics.map(({ errorCode, name, partitions }) => [name, errorCode, partitions.map((one) => one.partitionIndex)])

describe("DescribeTopicPartitions", () => {
  it("turns pages by partitions in the order of names", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("qa", { numPartitions: 3 }), topic("qb")])
        const first = yield* page(broker, ["qb", "qa", "nope", "qa"], 2)
        expect(shape(first)).toEqual([["nope", 3, []], ["qa", 0, [0, 1]]])
        expect(first.nextCursor).toMatchObject({ topicName: "qa", partitionIndex: 2 })
        const second = yield* page(broker, ["qb", "qa"], 2, first.nextCursor)
        expect(shape(second)).toEqual([["qa", 0, [2]], ["qb", 0, [0]]])
        expect(second.nextCursor).toBe(null)
        const exact = yield* page(broker, ["qa", "qb"], 3)
        expect(exact.nextCursor).toMatchObject({ topicName: "qb", partitionIndex: 0 })
        expect((yield* page(broker, ["qa", "qb"], 4)).nextCursor).toBe(null)
        expect(shape(yield* page(broker, ["qa"], 0))).toEqual([["qa", 0, [0]]])
        expect(shape(yield* page(broker, [], 2))).toEqual([["qa", 0, [0, 1]]])
        expect(shape(yield* page(broker, ["qb", "qa"], 2, { topicName: "qa", partitionIndex: 7 })))
          .toEqual([["qa", 0, []], ["qb", 0, [0]]])
        for (const cursor of [{ topicName: "qa", partitionIndex: -1 }, { topicName: "other", partitionIndex: 0 }]) {
          expect(shape(yield* page(broker, ["qb", "qa"], 2, cursor))).toEqual([["qb", 42, []], ["qa", 42, []]])
        }
      })))

  it("says that a partition has no leader in reach by its leader alone, and not by an error, as Kafka does", () =>
    run((broker) =>
      Effect.gen(function*() {
        yield* create(broker, [topic("qa")])
        const ask = (listenerName: string) =>
          Effect.map(
            broker.ask(makeDescribeTopicPartitions(broker.services), 0, { topics: [{ name: "qa" }], responsePartitionLimit: 9, cursor: null }, listenerName),
            ({ topics }) => topics[0].partitions
          )
        expect(yield* ask("PLAINTEXT")).toMatchObject([{ errorCode: ErrorCode.NONE, leaderId: 1 }])
        expect(yield* ask("ELSEWHERE")).toMatchObject([{ errorCode: ErrorCode.NONE, leaderId: -1 }])
      })))
})
