/** The whole broker on memory layers, spoken to with our codecs. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type * as Broker from "../../core/broker/Broker.ts"
import { DiskError } from "../../core/ports/Disk.ts"
import { apiFacts } from "../../core/protocol/ApiFacts.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { ControlRecordType, endTransactionBatch } from "../../core/records/ControlRecord.ts"
import { buildBatch } from "../oracle/Batches.ts"
import * as Apis from "./Apis.ts"
import {
  batchOf,
  fetchRequest,
  makeWorld,
  type Overrides,
  produceRequest,
  recordsIn,
  startBroker,
  valuesOf
} from "./TestBroker.ts"

/** A broker, its disk and a client. */
const start = (overrides: Overrides = {}, options: Broker.BrokerOptions = {}) =>
  Effect.gen(function*() {
    const world = yield* makeWorld()
    const running = yield* startBroker(world, overrides, options)
    const client = yield* running.connect
    return { world, disk: world.disk, client, ...running }
  })

/** Lets everything that can happen without time passing happen. */
const settle = TestClock.adjust(0).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 50 }))

const partition = (broker: Broker.Broker, topic: string, index = 0) => broker.services.partitions.get(topic, index)!

describe("Produce and Fetch", () => {
  for (const version of [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) {
    it.effect(`answers Produce version ${version} with the offset of the first record`, () =>
      Effect.gen(function*() {
        const { client } = yield* start()
        yield* client.createTopic("t")
        expect(yield* client.produce("t", ["a", "b"], { version })).toMatchObject({ errorCode: 0, baseOffset: 0 })
        expect(yield* client.produce("t", ["c"], { version, acks: 1 })).toMatchObject({ errorCode: 0, baseOffset: 2 })
        expect(yield* client.readAll("t")).toEqual(["a", "b", "c"])
      }))
  }

  for (const version of [4, 5, 6, 7, 8, 9, 10, 11, 12]) {
    it.effect(`answers Fetch version ${version} with the batches from an offset on`, () =>
      Effect.gen(function*() {
        const { client } = yield* start()
        yield* client.createTopic("t")
        yield* client.produce("t", ["a", "b"])
        yield* client.produce("t", ["c"])
        const one = yield* client.fetchOne("t", { version, offset: 2 })
        expect(one).toMatchObject({ errorCode: 0, highWatermark: 3, lastStableOffset: 3 })
        expect(valuesOf(one.records)).toEqual(["c"])
        // A fetch inside a batch gives the whole batch.
        expect(valuesOf((yield* client.fetchOne("t", { version, offset: 1 })).records)).toEqual(["a", "b", "c"])
      }))
  }

  it.effect("names topics by id from Produce 13 and Fetch 13 on", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      const { topicId } = yield* client.createTopic("t")
      const produce = (id: string, index = 0) =>
        Effect.map(
          client.rpc.call(Apis.produceApi, {
            transactionalId: null,
            acks: -1,
            timeoutMs: 1000,
            topicData: [{ topicId: id, partitionData: [{ index, records: batchOf(["a"]) }] }]
          }, { version: 13 }),
          ({ responses }) => responses[0]!.partitionResponses[0]!.errorCode
        )
      expect(yield* produce(topicId)).toBe(ErrorCode.NONE)
      expect(yield* produce(topicId, 5)).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      expect(yield* produce("BBBBBBBBBBBBBBBBBBBBBA")).toBe(ErrorCode.UNKNOWN_TOPIC_ID)
      for (const version of [13, 14, 15, 16, 17, 18]) {
        const fetch = (id: string) => {
          const request = fetchRequest("")
          const { partitions } = request.topics[0]!
          return Effect.map(
            client.rpc.call(Apis.fetchApi, { ...request, topics: [{ topicId: id, partitions }] }, { version }),
            ({ responses }) => responses[0]!
          )
        }
        const topic = yield* fetch(topicId)
        expect(topic.topicId).toBe(topicId)
        expect(valuesOf(topic.partitions[0]!.records)).toEqual(["a"])
        expect((yield* fetch("BBBBBBBBBBBBBBBBBBBBBA")).partitions[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_ID)
      }
    }))

  it.effect("refuses what it does not know or allow, item by item", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t")
      expect((yield* client.produce("nope", ["a"])).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      expect((yield* client.produce("t", ["a"], { partition: 1 })).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      expect((yield* client.produce("t", ["a"], { acks: 2 })).errorCode).toBe(ErrorCode.INVALID_REQUIRED_ACKS)
      expect((yield* client.produceBytes("t", new Uint8Array(0))).errorCode).toBe(ErrorCode.INVALID_RECORD)
      const wrong = buildBatch({ records: [{ key: null, value: null, timestamp: 0 }], crcXor: 1 })
      expect((yield* client.produceBytes("t", wrong)).errorCode).toBe(ErrorCode.CORRUPT_MESSAGE)
      const transactional = buildBatch({
        records: [{ key: null, value: null, timestamp: 0 }],
        producerId: 1,
        producerEpoch: 0,
        baseSequence: 0,
        extraAttributes: 16
      })
      expect((yield* client.produceBytes("t", transactional)).errorCode)
        .toBe(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
      expect(yield* client.listOffset("t", -1)).toEqual({ errorCode: 0, offset: 0 })
      expect((yield* client.fetchOne("nope")).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      expect((yield* client.fetchOne("t", { offset: 1 })).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE)
      expect((yield* client.fetchOne("t", { offset: -1 })).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE)
      expect((yield* client.fetchOne("t", { currentLeaderEpoch: 9 })).errorCode).toBe(ErrorCode.UNKNOWN_LEADER_EPOCH)
    }))

  it.effect("keeps the order of answers on one connection, whichever is ready first", () =>
    Effect.gen(function*() {
      const { client, connect } = yield* start()
      yield* client.createTopic("t")
      const poll = yield* Effect.forkChild(client.fetchOne("t", { maxWaitMs: 1000 }), { startImmediately: true })
      const after = yield* Effect.forkChild(client.listOffset("t", -1), { startImmediately: true })
      yield* settle
      expect(after.pollUnsafe()).toBeUndefined()
      const other = yield* connect
      yield* other.produce("t", ["a"])
      expect(valuesOf((yield* Fiber.join(poll)).records)).toEqual(["a"])
      // It was looked at when it came in, before the record.
      expect((yield* Fiber.join(after)).offset).toBe(0)
    }))

  it.effect("shares one write among the requests that arrive together, and shows them to a fetch behind them", () =>
    Effect.gen(function*() {
      const { client, disk } = yield* start()
      yield* client.createTopic("t")
      yield* client.produce("t", ["first"])
      const before = disk.operations
      const produced = yield* Effect.forkChild(
        Effect.all(["a", "b", "c", "d"].map((value) => client.produce("t", [value])), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      const fetched = yield* Effect.forkChild(client.fetchOne("t", { offset: 1 }), { startImmediately: true })
      expect((yield* Fiber.join(produced)).map(({ baseOffset }) => baseOffset)).toEqual([1, 2, 3, 4])
      expect(disk.operations - before).toBe(1)
      expect(valuesOf((yield* Fiber.join(fetched)).records)).toEqual(["a", "b", "c", "d"])
    }))

  it.effect("answers nothing to acks=0, and closes the connection on an error", () =>
    Effect.gen(function*() {
      const { client, connect } = yield* start()
      yield* client.createTopic("t")
      yield* client.rpc.tell(Apis.produceApi, produceRequest("t", batchOf(["a"]), { acks: 0 }), { version: 12 })
      expect(yield* client.readAll("t")).toEqual(["a"])
      yield* client.rpc.tell(Apis.produceApi, produceRequest("nope", batchOf(["a"]), { acks: 0 }), { version: 12 })
      yield* client.rpc.closed
      const other = yield* connect
      expect(yield* other.readAll("t")).toEqual(["a"])
    }))

  it.effect("gives at least one batch and then keeps to the sizes that were asked for", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t", 2)
      for (const index of [0, 1]) for (const value of ["a", "b", "c"]) yield* client.produce("t", [value], { partition: index })
      const size = batchOf(["a"]).length
      expect(valuesOf((yield* client.fetchOne("t", { partitionMaxBytes: 1 })).records)).toEqual(["a"])
      expect(valuesOf((yield* client.fetchOne("t", { partitionMaxBytes: 2 * size })).records)).toEqual(["a", "b"])
      const both = yield* client.rpc.call(Apis.fetchApi, {
        ...fetchRequest("t"),
        maxBytes: 1,
        topics: [{ topic: "t", partitions: [0, 1].map((partition) => ({ partition, fetchOffset: 0, partitionMaxBytes: 1000 })) }]
      }, { version: 12 })
      expect(both.responses[0]!.partitions.map(({ records }) => valuesOf(records))).toEqual([["a"], []])
    }))

  it.effect("answers from several segments while there is room", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t", 1, { "segment.bytes": "1048576", "segment.ms": "1000" })
      for (const value of ["a", "b", "c"]) {
        yield* client.produce("t", [value])
        yield* TestClock.adjust(10_000)
      }
      expect(valuesOf((yield* client.fetchOne("t")).records)).toEqual(["a", "b", "c"])
    }))
})

describe("Long polls", () => {
  it.effect("answer as soon as bytes are there", () =>
    Effect.gen(function*() {
      const { client, connect } = yield* start()
      const other = yield* connect
      yield* client.createTopic("t")
      const poll = yield* Effect.forkChild(client.fetchOne("t", { maxWaitMs: 500 }), { startImmediately: true })
      yield* settle
      expect(poll.pollUnsafe()).toBeUndefined()
      yield* other.produce("t", ["a"])
      expect(valuesOf((yield* Fiber.join(poll)).records)).toEqual(["a"])
    }))

  it.effect("answer with what there is when their time is up", () =>
    Effect.gen(function*() {
      const { broker, client, connect } = yield* start()
      const other = yield* connect
      yield* client.createTopic("t")
      const poll = yield* Effect.forkChild(
        client.fetchOne("t", { maxWaitMs: 500, minBytes: 10_000 }),
        { startImmediately: true }
      )
      yield* settle
      yield* other.produce("t", ["a"])
      yield* TestClock.adjust(499)
      yield* settle
      expect(poll.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      expect(valuesOf((yield* Fiber.join(poll)).records)).toEqual(["a"])
      expect(broker.services.partitions.purgatory.size).toBe(0)
    }))

  it.effect("add up the bytes of their partitions", () =>
    Effect.gen(function*() {
      const { client, connect } = yield* start()
      const other = yield* connect
      yield* client.createTopic("t", 3)
      const size = batchOf(["a"]).length
      const poll = yield* Effect.forkChild(
        client.rpc.call(Apis.fetchApi, {
          ...fetchRequest("t"),
          maxWaitMs: 1000,
          minBytes: 3 * size,
          topics: [{ topic: "t", partitions: [0, 1, 2].map((partition) => ({ partition, fetchOffset: 0, partitionMaxBytes: 1000 })) }]
        }, { version: 12 }),
        { startImmediately: true }
      )
      yield* settle
      yield* other.produce("t", ["a"], { partition: 0 })
      yield* other.produce("t", ["b"], { partition: 2 })
      yield* settle
      expect(poll.pollUnsafe()).toBeUndefined()
      yield* other.produce("t", ["c"], { partition: 0 })
      const { responses } = yield* Fiber.join(poll)
      expect(responses[0]!.partitions.map(({ records }) => valuesOf(records))).toEqual([["a", "c"], [], ["b"]])
    }))

  it.effect("leave the purgatory when their connection goes", () =>
    Effect.gen(function*() {
      const { broker, client, connect } = yield* start()
      yield* client.createTopic("t")
      const other = yield* connect
      yield* Effect.forkChild(Effect.ignore(other.fetchOne("t", { maxWaitMs: 10_000 })), { startImmediately: true })
      yield* settle
      expect(broker.services.partitions.purgatory.size).toBe(1)
      other.rpc.close()
      yield* settle
      expect(broker.services.partitions.purgatory.size).toBe(0)
      expect(partition(broker, "t").fetchWatchers.operations.size).toBe(0)
    }))

  it.effect("are answered at once when the broker stops", () =>
    Effect.gen(function*() {
      const { client, stop } = yield* start()
      yield* client.createTopic("t")
      const poll = yield* Effect.forkChild(client.fetchOne("t", { maxWaitMs: 10_000 }), { startImmediately: true })
      yield* settle
      yield* stop
      expect((yield* Fiber.join(poll)).errorCode).toBe(0)
      yield* client.rpc.closed
    }))
})

describe("Topics deleted while they are used", () => {
  it.effect("answer those who wait and those who come, and harm no other topic", () =>
    Effect.gen(function*() {
      const { client, connect } = yield* start()
      const [other, third] = [yield* connect, yield* connect]
      yield* client.createTopic("gone")
      yield* client.createTopic("stays")
      yield* client.produce("gone", ["a"])
      const poll = yield* Effect.forkChild(client.fetchOne("gone", { offset: 1, maxWaitMs: 10_000 }), { startImmediately: true })
      const kept = yield* Effect.forkChild(third.fetchOne("stays", { maxWaitMs: 10_000 }), { startImmediately: true })
      yield* settle
      expect(yield* other.deleteTopic("gone")).toBe(0)
      expect((yield* Fiber.join(poll)).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      expect((yield* other.produce("gone", ["b"])).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      expect(kept.pollUnsafe()).toBeUndefined()
      yield* other.produce("stays", ["c"])
      expect(valuesOf((yield* Fiber.join(kept)).records)).toEqual(["c"])
    }))

  it.effect("leave nothing to a topic of the same name", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      const first = yield* client.createTopic("t")
      yield* client.produce("t", ["a", "b"])
      yield* client.deleteTopic("t")
      const second = yield* client.createTopic("t")
      expect(second.topicId).not.toBe(first.topicId)
      expect(yield* client.listOffset("t", -1)).toEqual({ errorCode: 0, offset: 0 })
      yield* client.produce("t", ["c"])
      expect(yield* client.readAll("t")).toEqual(["c"])
    }))
})

describe("Fetch sessions", () => {
  const session = (partitions: ReadonlyArray<{ partition: number; fetchOffset: number }>, sessionId: number, sessionEpoch: number, forget: ReadonlyArray<number> = []) => ({
    ...fetchRequest("t"),
    sessionId,
    sessionEpoch,
    topics: partitions.length === 0 ? [] : [{ topic: "t", partitions: partitions.map((p) => ({ ...p, partitionMaxBytes: 1000 })) }],
    forgottenTopicsData: forget.length === 0 ? [] : [{ topic: "t", partitions: forget }]
  })
  const told = (responses: ReadonlyArray<{ partitions: ReadonlyArray<{ partitionIndex: number }> }>) =>
    responses.flatMap(({ partitions }) => partitions.map(({ partitionIndex }) => partitionIndex))

  it.effect("tell only what is new", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t", 3)
      const call = (...args: Parameters<typeof session>) => client.rpc.call(Apis.fetchApi, session(...args), { version: 12 })
      const full = yield* call([0, 1, 2].map((partition) => ({ partition, fetchOffset: 0 })), 0, 0)
      expect(full.sessionId).not.toBe(0)
      expect(told(full.responses)).toEqual([0, 1, 2])
      expect(told((yield* call([], full.sessionId, 1)).responses)).toEqual([])
      yield* client.produce("t", ["a"], { partition: 1 })
      const second = yield* call([], full.sessionId, 2)
      expect(told(second.responses)).toEqual([1])
      expect(valuesOf(second.responses[0]!.partitions[0]!.records)).toEqual(["a"])
      expect(told((yield* call([{ partition: 1, fetchOffset: 1 }], full.sessionId, 3)).responses)).toEqual([])
      // Asked beyond the end: told again until it is right.
      expect(told((yield* call([{ partition: 2, fetchOffset: 9 }], full.sessionId, 4)).responses)).toEqual([2])
      expect(told((yield* call([], full.sessionId, 5)).responses)).toEqual([2])
      expect(told((yield* call([{ partition: 2, fetchOffset: 0 }], full.sessionId, 6)).responses)).toEqual([2])
      expect(told((yield* call([], full.sessionId, 7)).responses)).toEqual([])
      yield* client.produce("t", ["b"], { partition: 0 })
      expect(told((yield* call([], full.sessionId, 8, [0])).responses)).toEqual([])
    }))

  it.effect("refuse unknown ids and wrong epochs, and end when nothing is left or asked to", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* start()
      yield* client.createTopic("t")
      const call = (...args: Parameters<typeof session>) => client.rpc.call(Apis.fetchApi, session(...args), { version: 12 })
      const { sessionId } = yield* call([{ partition: 0, fetchOffset: 0 }], 0, 0)
      expect((yield* call([], sessionId + 1, 1)).errorCode).toBe(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
      expect((yield* call([], sessionId, 2)).errorCode).toBe(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
      expect((yield* client.rpc.call(Apis.fetchApi, session([], sessionId, 1), { version: 13 })).errorCode)
        .toBe(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
      const ended = yield* call([], sessionId, 1, [0])
      expect([ended.errorCode, ended.sessionId]).toEqual([0, 0])
      expect((yield* call([], sessionId, 2)).errorCode).toBe(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
      const again = yield* call([{ partition: 0, fetchOffset: 0 }], 0, 0)
      expect((yield* call([{ partition: 0, fetchOffset: 0 }], again.sessionId, -1)).sessionId).toBe(0)
      expect(broker.services.fetchSessions.size).toBe(0)
    }))
})

describe("Idempotent producers", () => {
  it.effect("get ids that no other gets", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      const ids = new Set<unknown>()
      for (let n = 0; n < 2500; n++) {
        const { errorCode, producerEpoch, producerId } = yield* client.rpc.call(Apis.initProducerIdApi, {
          transactionalId: null,
          transactionTimeoutMs: 0
        })
        expect([errorCode, producerEpoch]).toEqual([0, 0])
        ids.add(producerId)
      }
      expect(ids.size).toBe(2500)
    }))

  it.effect("are answered a duplicate with its first offset, and a gap with OUT_OF_ORDER_SEQUENCE_NUMBER", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t")
      const produce = (values: ReadonlyArray<string>, baseSequence: number, producerEpoch = 0) =>
        client.produce("t", values, { producerId: 9, producerEpoch, baseSequence })
      expect(yield* produce(["a", "b"], 0)).toMatchObject({ errorCode: 0, baseOffset: 0 })
      expect(yield* produce(["c"], 2)).toMatchObject({ errorCode: 0, baseOffset: 2 })
      expect(yield* produce(["a", "b"], 0)).toMatchObject({ errorCode: 0, baseOffset: 0 })
      expect((yield* produce(["x"], 5)).errorCode).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
      expect(yield* produce(["d"], 0, 1)).toMatchObject({ errorCode: 0, baseOffset: 3 })
      expect((yield* produce(["e"], 3, 0)).errorCode).toBe(ErrorCode.INVALID_PRODUCER_EPOCH)
      expect(yield* client.readAll("t")).toEqual(["a", "b", "c", "d"])
    }))

  it.effect("are described", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t")
      yield* client.produce("t", ["a", "b"], { producerId: 9, baseSequence: 0, timestamp: 77 })
      const { topics } = yield* client.rpc.call(Apis.describeProducersApi, {
        topics: [{ name: "t", partitionIndexes: [0, 1] }, { name: "nope", partitionIndexes: [0] }]
      })
      expect(topics[0]!.partitions[0]!.activeProducers).toMatchObject([
        { producerId: 9, producerEpoch: 0, lastSequence: 1, lastTimestamp: 77, currentTxnStartOffset: -1 }
      ])
      expect(topics[0]!.partitions[1]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      expect(topics[1]!.partitions[0]!.errorMessage).toBe("This server does not host this topic-partition.")
    }))
})

describe("Offsets", () => {
  it.effect("are listed by every special timestamp and by time", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t")
      for (const [value, timestamp] of [["a", 100], ["b", 300], ["c", 200]] as const) {
        yield* client.produce("t", [value], { timestamp })
      }
      const at = (timestamp: number, version = 11) => Effect.map(client.listOffset("t", timestamp, { version }), (o) => [o.errorCode, o.offset])
      expect(yield* at(-1)).toEqual([0, 3])
      expect(yield* at(-2)).toEqual([0, 0])
      expect(yield* at(-3)).toEqual([0, 1])
      expect(yield* at(-4)).toEqual([0, 0])
      expect(yield* at(-5)).toEqual([0, -1])
      expect(yield* at(-6)).toEqual([0, -1])
      expect(yield* at(-7)).toEqual([ErrorCode.UNSUPPORTED_VERSION, -1])
      expect(yield* at(-3, 6)).toEqual([ErrorCode.UNSUPPORTED_VERSION, -1])
      expect(yield* at(0)).toEqual([0, 0])
      expect(yield* at(101)).toEqual([0, 1])
      expect(yield* at(301)).toEqual([0, -1])
      for (const version of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) expect(yield* at(-1, version)).toEqual([0, 3])
    }))

  it.effect("end where an epoch of a leader ended", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* start()
      yield* client.createTopic("t")
      yield* client.produce("t", ["a", "b"])
      const epoch = partition(broker, "t").leaderEpoch
      for (const version of [2, 3, 4]) {
        const ask = (leaderEpoch: number, currentLeaderEpoch = -1) =>
          Effect.map(
            client.rpc.call(Apis.offsetForLeaderEpochApi, {
              topics: [{ topic: "t", partitions: [{ partition: 0, leaderEpoch, currentLeaderEpoch }] }]
            }, { version }),
            ({ topics }) => topics[0]!.partitions[0]!
          )
        expect(yield* ask(epoch)).toMatchObject({ errorCode: 0, leaderEpoch: epoch, endOffset: 2 })
        expect(yield* ask(epoch + 1)).toMatchObject({ errorCode: 0, leaderEpoch: -1, endOffset: -1 })
        expect(yield* ask(epoch, epoch + 1)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_LEADER_EPOCH })
      }
      // The same question of a fetch: an epoch that we never had (KIP-595).
      expect((yield* client.fetchOne("t", { offset: 1, lastFetchedEpoch: epoch + 1 })).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE)
    }))

  it.effect("begin where DeleteRecords says", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t")
      yield* client.createTopic("compacted", 1, { "cleanup.policy": "compact" })
      for (const value of ["a", "b", "c"]) yield* client.produce("t", [value])
      const remove = (offset: number, name = "t") =>
        Effect.map(
          client.rpc.call(Apis.deleteRecordsApi, { topics: [{ name, partitions: [{ partitionIndex: 0, offset }] }], timeoutMs: 1000 }),
          ({ topics }) => [topics[0]!.partitions[0]!.errorCode, topics[0]!.partitions[0]!.lowWatermark]
        )
      expect(yield* remove(1)).toEqual([0, 1])
      expect(yield* remove(0)).toEqual([0, 1])
      expect(yield* remove(4)).toEqual([ErrorCode.OFFSET_OUT_OF_RANGE, -1])
      expect(yield* remove(-2)).toEqual([ErrorCode.OFFSET_OUT_OF_RANGE, -1])
      expect(yield* remove(0, "compacted")).toEqual([ErrorCode.POLICY_VIOLATION, -1])
      expect(yield* client.listOffset("t", -2)).toEqual({ errorCode: 0, offset: 1 })
      expect((yield* client.fetchOne("t", { offset: 0 })).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE)
      expect(yield* client.readAll("t", 0, 1)).toEqual(["b", "c"])
      expect(yield* remove(-1)).toEqual([0, 3])
    }))
})

describe("Readers of committed records", () => {
  it.effect("stop at the last stable offset, and are told of aborted transactions in the order of their offsets", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* start()
      yield* client.createTopic("t")
      const held = partition(broker, "t")
      // There is no transaction coordinator yet: what it would have written is appended to the log itself.
      const append = (records: Uint8Array): void => {
        const appended = held.appendAsLeader(records, -1, { nowMs: 0, apiVersion: 13, isCoordinator: true })
        expect(appended).toMatchObject({ _tag: "Staged" })
        held.commitStaged()
      }
      const write = (producerId: number, value: string, baseSequence = 0): void =>
        append(buildBatch({
          records: [{ key: null, value: new TextEncoder().encode(value), timestamp: 0 }],
          producerId,
          producerEpoch: 0,
          baseSequence,
          extraAttributes: 16
        }))
      const end = (producerId: number, isCommit: boolean): void =>
        append(endTransactionBatch({ type: isCommit ? ControlRecordType.COMMIT : ControlRecordType.ABORT, coordinatorEpoch: 0 }, {
          crypto: broker.services.crypto,
          producerId,
          producerEpoch: 0,
          timestamp: 0
        }))
      const read = Effect.map(client.fetchOne("t", { isolationLevel: 1 }), (one) => ({
        lastStableOffset: one.lastStableOffset,
        aborted: one.abortedTransactions?.map(({ firstOffset, producerId }) => [producerId, firstOffset]),
        count: recordsIn(one.records).length
      }))
      write(7, "a")
      write(8, "b")
      write(9, "c")
      expect(yield* read).toEqual({ lastStableOffset: 0, aborted: [], count: 0 })
      expect((yield* client.fetchOne("t")).abortedTransactions).toBeNull()
      expect(yield* client.listOffset("t", -1, { isolationLevel: 1 })).toEqual({ errorCode: 0, offset: 0 })
      end(9, false)
      end(7, true)
      expect(yield* read).toEqual({ lastStableOffset: 1, aborted: [], count: 1 })
      end(8, false)
      expect(yield* read).toEqual({ lastStableOffset: 6, aborted: [[8, 1], [9, 2]], count: 6 })
    }))
})

describe("A broker", () => {
  it.effect("advertises what it serves, Produce from 0", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      expect(client.rpc.versions.get(0)).toEqual({ minVersion: 0, maxVersion: 13 })
      expect(client.rpc.versions.get(1)).toEqual({ minVersion: 4, maxVersion: 18 })
      for (const [, { maxVersion, minVersion }] of client.rpc.versions) expect(minVersion).toBeLessThanOrEqual(maxVersion)
      // ConsumerGroupHeartbeat has no handler yet.
      expect(client.rpc.versions.has(68)).toBe(false)
      for (const version of [0, 1, 2, 3, 4]) {
        const answer = yield* client.rpc.call(
          Apis.apiVersionsApi,
          version < 3 ? {} : { clientSoftwareName: "a", clientSoftwareVersion: "1" },
          { version }
        )
        expect(answer.errorCode).toBe(0)
        expect(answer.apiKeys.length).toBe(client.rpc.versions.size)
      }
      const bad = yield* client.rpc.call(Apis.apiVersionsApi, { clientSoftwareName: "a b", clientSoftwareVersion: "" })
      expect(bad.errorCode).toBe(ErrorCode.INVALID_REQUEST)
    }))

  it.effect("describes its directories", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* client.createTopic("t", 2)
      yield* client.produce("t", ["a"], { partition: 1 })
      const { results } = yield* client.rpc.call(Apis.describeLogDirsApi, { topics: [{ topic: "t", partitions: [1, 7] }] })
      expect(results).toHaveLength(1)
      expect(results[0]).toMatchObject({
        errorCode: 0,
        logDir: "/data",
        topics: [{ name: "t", partitions: [{ partitionIndex: 1, partitionSize: batchOf(["a"]).length, offsetLag: 0 }] }]
      })
    }))

  it.effect("keeps topics and records when it is stopped and started, with a higher leader epoch", () =>
    Effect.gen(function*() {
      const { broker, client, stop, world } = yield* start()
      yield* client.createTopic("t")
      yield* client.produce("t", ["a", "b"])
      const epoch = partition(broker, "t").leaderEpoch
      yield* stop
      const next = yield* startBroker(world)
      const again = yield* next.connect
      expect(yield* again.readAll("t")).toEqual(["a", "b"])
      expect(partition(next.broker, "t").leaderEpoch).toBeGreaterThan(epoch)
      expect((yield* again.fetchOne("t", { currentLeaderEpoch: epoch })).errorCode).toBe(ErrorCode.FENCED_LEADER_EPOCH)
      expect(yield* again.produce("t", ["c"])).toMatchObject({ errorCode: 0, baseOffset: 2 })
    }))

  it.effect("answers after the fsync when flush.messages is 1, acks=1 and acks=all alike", () =>
    Effect.gen(function*() {
      const { broker, client, disk } = yield* start()
      yield* client.createTopic("t", 1, { "flush.messages": "1" })
      for (const acks of [1, -1]) {
        yield* client.produce("t", ["a"], { acks })
        expect(partition(broker, "t").log.flushedOffset).toBe(partition(broker, "t").logEndOffset)
      }
      disk.failWhen((operation) => operation === "sync" ? "Io" : undefined)
      expect((yield* client.produce("t", ["b"])).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
    }))

  it.effect("refuses records when the disk is full, loses none that it took, and goes on when there is room", () =>
    Effect.gen(function*() {
      const { client, disk } = yield* start()
      yield* client.createTopic("t")
      yield* client.produce("t", ["a"])
      disk.failWhen((operation) => operation === "write" ? "NoSpace" : undefined)
      expect((yield* client.produce("t", ["b"])).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      expect((yield* client.produce("t", ["c"], { acks: 1 })).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      expect(yield* client.readAll("t")).toEqual(["a"])
      disk.failWhen(undefined)
      expect(yield* client.produce("t", ["d"])).toMatchObject({ errorCode: 0, baseOffset: 1 })
      expect(yield* client.readAll("t")).toEqual(["a", "d"])
    }))

  it.effect("starts on several listeners and tells each client the address of its own", () =>
    Effect.gen(function*() {
      const { broker } = yield* start({
        listeners: "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0",
        "advertised.listeners": "INSIDE://inside.example:0,OUTSIDE://outside.example:19092",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE"
      })
      expect(broker.listeners.map(({ name }) => name)).toEqual(["INSIDE", "OUTSIDE"])
      expect(broker.advertised.map(({ host, port }) => `${host}:${port}`)).toEqual([
        `inside.example:${broker.listeners[0]!.port}`,
        "outside.example:19092"
      ])
    }))

  it.effect("refuses to start twice on one directory", () =>
    Effect.gen(function*() {
      const { world } = yield* start()
      const error = yield* Effect.flip(startBroker(world, { "node.id": "2" }))
      expect(error).toBeInstanceOf(DiskError)
      expect((error as DiskError).kind).toBe("Busy")
    }))
})

describe("Handlers", () => {
  it.effect("serve the latest stable version of their API, and the oldest that is known", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      for (const [apiKey, { maxVersion, minVersion }] of client.rpc.versions) {
        const facts = apiFacts.get(apiKey)!
        expect([facts.name, minVersion, maxVersion]).toEqual([facts.name, facts.advertisedMin, facts.maxVersion])
      }
    }))
})
