/** What a consumer does when leaders move, logs are cut, followers are nearer and nobody reads: against played brokers. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Consumer from "../../core/client/Consumer.ts"
import type { ConsumerConfig, ConsumerRecord } from "../../core/client/Consumer.ts"
import { Compression } from "../../core/ports/Compression.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { FetchRequest } from "../../core/protocol/generated/Fetch.ts"
import type { ListOffsetsRequest } from "../../core/protocol/generated/ListOffsets.ts"
import type { OffsetForLeaderEpochRequest } from "../../core/protocol/generated/OffsetForLeaderEpoch.ts"
import { buildBatch } from "../../core/records/BatchBuilder.ts"
import { compression, crypto } from "../records/Ports.ts"
import { advance, type FakeBrokers, fakeBrokers, type FakeRequest } from "./FakeBrokers.ts"

const text = new TextDecoder()
const valuesOf = (records: ReadonlyArray<ConsumerRecord>): ReadonlyArray<string> => records.map(({ value }) => text.decode(value!))

interface Entry {
  readonly value: string
  readonly epoch: number
}

/** A log that every node has a copy of; a test may cut or hide what a node has. */
class FakeLog {
  readonly copies: Map<number, Array<Entry>> = new Map()
  start = 0
  /** Named to who fetches from the leader with a rack. */
  preferred = -1
  /** Long polls that found nothing. */
  #parked: Array<FakeRequest> = []
  readonly #brokers: FakeBrokers
  readonly #topic: string

  constructor(brokers: FakeBrokers, topic: string) {
    this.#brokers = brokers
    this.#topic = topic
    for (const nodeId of brokers.nodeIds) this.copies.set(nodeId, [])
    brokers.on(ApiKey.Fetch, (request) => {
      const answer = this.#fetch(request.body as FetchRequest, request.nodeId)
      if (answer === undefined) this.#parked.push(request)
      return answer
    })
    brokers.on(ApiKey.ListOffsets, ({ body, version }) => this.#listOffsets(body as ListOffsetsRequest, version))
    brokers.on(ApiKey.OffsetForLeaderEpoch, ({ body, nodeId }) => this.#endOfEpoch(body as OffsetForLeaderEpochRequest, nodeId))
  }

  get #leader(): number {
    return this.#brokers.topics.get(this.#topic)!.leaders[0]!
  }
  get #epoch(): number {
    return this.#brokers.topics.get(this.#topic)!.epochs[0]!
  }

  append(...values: ReadonlyArray<string>): void {
    for (const copy of this.copies.values()) for (const value of values) copy.push({ value, epoch: this.#epoch })
  }

  /** The time of the long polls is over. */
  release(): void {
    for (const request of this.#parked.splice(0)) {
      request.answer(this.#fetch(request.body as FetchRequest, request.nodeId) ?? {
        throttleTimeMs: 0,
        responses: []
      })
    }
  }

  /** Undefined: there is nothing yet. */
  #fetch({ maxBytes, topics }: FetchRequest, nodeId: number): object | undefined {
    const asked = topics[0]?.partitions[0]
    const answer = (errorCode: number, more: object = {}): object => ({
      throttleTimeMs: 0,
      responses: asked === undefined ? [] : [{
        topic: this.#topic,
        partitions: [{ partitionIndex: 0, errorCode, highWatermark: -1, abortedTransactions: null, records: null, ...more }]
      }]
    })
    if (asked === undefined) return answer(0)
    const copy = this.copies.get(nodeId)!
    const offset = Number(asked.fetchOffset)
    if (nodeId !== this.#leader && this.preferred !== nodeId) return answer(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    if (asked.currentLeaderEpoch >= 0 && asked.currentLeaderEpoch < this.#epoch) return answer(ErrorCode.FENCED_LEADER_EPOCH)
    if (offset < this.start || offset > copy.length) return answer(ErrorCode.OFFSET_OUT_OF_RANGE)
    if (nodeId === this.#leader && this.preferred >= 0) return answer(0, { highWatermark: copy.length, preferredReadReplica: this.preferred, records: new Uint8Array(0) })
    if (offset === copy.length) return undefined
    const batches: Array<Uint8Array> = []
    let size = 0
    for (let at = offset; at < copy.length; at++) {
      const { epoch, value } = copy[at]!
      const batch = buildBatch([{ timestamp: 1, key: null, value: new TextEncoder().encode(value) }], { crypto, baseOffset: at, leaderEpoch: epoch })
      if (batches.length > 0 && size + batch.length > Math.min(maxBytes, asked.partitionMaxBytes)) break
      batches.push(batch)
      size += batch.length
    }
    return answer(0, { highWatermark: copy.length, records: new Uint8Array(batches.flatMap((batch) => [...batch])) })
  }

  #listOffsets({ topics }: ListOffsetsRequest, version: number): object {
    const { timestamp } = topics[0]!.partitions[0]!
    const offset = Number(timestamp) === -2 ? this.start : this.copies.get(this.#leader)!.length
    const epoch = version >= 4 ? { leaderEpoch: this.#epoch } : {}
    return { throttleTimeMs: 0, topics: [{ name: this.#topic, partitions: [{ partitionIndex: 0, errorCode: 0, timestamp: -1, offset, ...epoch }] }] }
  }

  #endOfEpoch({ topics }: OffsetForLeaderEpochRequest, nodeId: number): object {
    const { leaderEpoch } = topics[0]!.partitions[0]!
    const copy = this.copies.get(nodeId)!
    // The largest epoch that is not larger, and where it ends.
    const known = copy.filter(({ epoch }) => epoch <= leaderEpoch)
    return {
      throttleTimeMs: 0,
      topics: [{
        topic: this.#topic,
        partitions: [{ partition: 0, errorCode: 0, leaderEpoch: known.at(-1)?.epoch ?? -1, endOffset: known.length === 0 ? -1 : known.length }]
      }]
    }
  }
}

const here = { topic: "t", partition: 0 }

/** Time goes on while the effect runs; so do long polls. */
const whileTimePasses = <A, E, R>(log: FakeLog, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    for (let round = 0; fiber.pollUnsafe() === undefined; round++) {
      if (round > 500) throw new Error("nothing comes of it within 10 s")
      yield* advance(20, 5)
      log.release()
    }
    return yield* Fiber.join(fiber)
  })

const take = (log: FakeLog, consumer: Consumer.Consumer, count: number) =>
  whileTimePasses(log, Effect.gen(function*() {
    const records: Array<ConsumerRecord> = []
    while (records.length < count) for (const one of yield* consumer.poll({ timeoutMs: 50 })) records.push(...one.records)
    return records
  }))

const start = (brokers: FakeBrokers, config: Partial<ConsumerConfig> = {}) =>
  Consumer.make({ "bootstrap.servers": brokers.bootstrap, "auto.offset.reset": "earliest", ...config }).pipe(
    Effect.provideContext(Context.add(Context.add(brokers.context, Compression, compression), Crypto, crypto))
  )

const world = (...nodeIds: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const brokers = yield* fakeBrokers(...nodeIds)
    brokers.addTopic("t", [nodeIds[0]!])
    return { brokers, log: new FakeLog(brokers, "t") }
  })

describe("Consumer and its brokers", () => {
  it.effect("follows a leader that moves, tells its epoch and asks where the old one ended", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1, 2)
      log.append("a", "b", "c")
      const consumer = yield* start(brokers)
      yield* consumer.assign([here])
      expect(valuesOf(yield* take(log, consumer, 3))).toEqual(["a", "b", "c"])
      brokers.moveLeader("t", 0, 2)
      log.append("d", "e")
      expect(valuesOf(yield* take(log, consumer, 2))).toEqual(["d", "e"])
      expect(brokers.asked(ApiKey.OffsetForLeaderEpoch, 2).map(({ body }) => (body as OffsetForLeaderEpochRequest).topics[0]!.partitions[0]))
        .toMatchObject([{ leaderEpoch: 0, currentLeaderEpoch: 1 }])
      const last = brokers.asked(ApiKey.Fetch, 2).at(-1)!.body as FetchRequest
      expect(last.topics[0]!.partitions[0]).toMatchObject({ currentLeaderEpoch: 1 })
    }).pipe(Effect.scoped))

  it.effect("goes back to where the logs part when the new leader has less", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1, 2)
      log.append("a", "b", "c")
      const consumer = yield* start(brokers)
      yield* consumer.assign([here])
      yield* take(log, consumer, 3)
      // Unclean: node 2 never got the last one.
      log.copies.get(2)!.pop()
      brokers.moveLeader("t", 0, 2)
      log.append("other", "next")
      expect(valuesOf(yield* take(log, consumer, 2))).toEqual(["other", "next"])
      expect(yield* consumer.position(here)).toBe(4)
    }).pipe(Effect.scoped))

  it.effect("without a reset policy says that the log was truncated, and from where", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1, 2)
      log.append("a", "b", "c")
      const consumer = yield* start(brokers, { "auto.offset.reset": "none" })
      yield* consumer.assign([{ ...here, offset: 0 }])
      yield* take(log, consumer, 3)
      log.copies.get(2)!.pop()
      brokers.moveLeader("t", 0, 2)
      const error = yield* Effect.flip(take(log, consumer, 1))
      expect(error).toMatchObject({ _tag: "FatalError", reason: "LOG_TRUNCATION" })
      expect(error.message).toContain("the logs part at offset 2")
      yield* consumer.seek(here, 2)
      log.append("other")
      expect(valuesOf(yield* take(log, consumer, 1))).toEqual(["other"])
    }).pipe(Effect.scoped))

  it.effect("reads from the follower that the leader names for its rack, and from the leader where that has too little", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1, 2)
      log.append("a", "b")
      log.preferred = 2
      const consumer = yield* start(brokers, { "client.rack": "here" })
      yield* consumer.assign([here])
      expect(valuesOf(yield* take(log, consumer, 2))).toEqual(["a", "b"])
      expect((brokers.asked(ApiKey.Fetch, 1)[0]!.body as FetchRequest).rackId).toBe("here")
      expect(brokers.asked(ApiKey.Fetch, 2).length).toBeGreaterThan(0)
      // The follower lost its log: not for the consumer to decide what that means.
      log.copies.get(2)!.length = 0
      log.preferred = -1
      log.copies.get(1)!.push({ value: "c", epoch: 0 })
      expect(valuesOf(yield* take(log, consumer, 1))).toEqual(["c"])
    }).pipe(Effect.scoped))

  it.effect("does not begin again because a follower has lost its log that is no longer the one to read from", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1, 2)
      log.append("a", "b")
      log.preferred = 2
      const consumer = yield* start(brokers, { "client.rack": "here", "metadata.max.age.ms": 1000 })
      yield* consumer.assign([here])
      expect(valuesOf(yield* take(log, consumer, 2))).toEqual(["a", "b"])
      // The follower does not answer; after a while the leader is asked again, and names nobody.
      const asked = (nodeId: number) => brokers.asked(ApiKey.Fetch, nodeId).length
      const before = [asked(1), asked(2)]
      const polled = yield* Effect.forkChild(consumer.poll({ timeoutMs: 60_000 }))
      while (asked(2) === before[1]) yield* advance(100, 5)
      log.preferred = -1
      while (asked(1) === before[0]) yield* advance(100, 5)
      log.copies.get(2)!.length = 0
      log.preferred = 2
      log.release()
      log.preferred = -1
      log.copies.get(1)!.push({ value: "c", epoch: 0 })
      expect((yield* whileTimePasses(log, Fiber.join(polled))).flatMap(({ records }) => valuesOf(records))).toEqual(["c"])
    }).pipe(Effect.scoped))

  it.effect("begins again by policy where the log no longer is", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1)
      log.append("a", "b", "c", "d")
      log.start = 2
      const consumer = yield* start(brokers)
      yield* consumer.assign([{ ...here, offset: 0 }])
      expect(valuesOf(yield* take(log, consumer, 2))).toEqual(["c", "d"])
    }).pipe(Effect.scoped))

  it.effect("fetches no more than its buffer holds while nobody polls, and all when somebody does", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1)
      const value = "x".repeat(1000)
      log.append(...Array.from({ length: 100 }, () => value))
      const consumer = yield* start(brokers, { "fetch.buffer.bytes": 10_000, "max.partition.fetch.bytes": 4000, "max.poll.records": 7 })
      yield* consumer.assign([here])
      yield* advance(2000)
      const before = brokers.asked(ApiKey.Fetch).length
      expect(before).toBeLessThan(6)
      yield* advance(2000)
      expect(brokers.asked(ApiKey.Fetch).length).toBe(before)
      expect(consumer.lag(here)).toBe(100)
      const records = yield* take(log, consumer, 100)
      expect(records.map(({ offset }) => offset)).toEqual(Array.from({ length: 100 }, (_, offset) => offset))
    }).pipe(Effect.scoped))

  it.effect("a partition that is resumed goes on with what was fetched before", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1)
      log.append(...Array.from({ length: 10 }, (_, index) => `${index}`))
      const consumer = yield* start(brokers, { "max.poll.records": 1, "max.partition.fetch.bytes": 300 })
      yield* consumer.assign([here])
      expect(valuesOf(yield* take(log, consumer, 1))).toEqual(["0"])
      yield* consumer.pause([here])
      yield* advance(500)
      const before = brokers.asked(ApiKey.Fetch).length
      expect(yield* whileTimePasses(log, consumer.poll({ timeoutMs: 100 }))).toEqual([])
      expect(brokers.asked(ApiKey.Fetch).length).toBe(before)
      yield* consumer.resume([here])
      // What is there needs no time to pass.
      expect((yield* consumer.poll({ timeoutMs: 0 })).flatMap(({ records }) => valuesOf(records))).toEqual(["1"])
    }).pipe(Effect.scoped))

  it.effect("speaks the oldest versions that Kafka 3.9 and 4 serve", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1)
      brokers.maxVersions.set(ApiKey.Fetch, 4)
      brokers.maxVersions.set(ApiKey.ListOffsets, 1)
      log.append("a", "b")
      const consumer = yield* start(brokers)
      yield* consumer.assign([here])
      expect(valuesOf(yield* take(log, consumer, 2))).toEqual(["a", "b"])
      expect(brokers.asked(ApiKey.Fetch)[0]!.version).toBe(4)
    }).pipe(Effect.scoped))

  it.effect("a broker that goes away and comes back is fetched from again", () =>
    Effect.gen(function*() {
      const { brokers, log } = yield* world(1)
      log.append("a")
      const consumer = yield* start(brokers)
      yield* consumer.assign([here])
      yield* take(log, consumer, 1)
      yield* brokers.stop(1)
      yield* advance(3000, 50)
      log.append("b")
      yield* brokers.start(1)
      expect(valuesOf(yield* take(log, consumer, 1))).toEqual(["b"])
    }).pipe(Effect.scoped))
})
