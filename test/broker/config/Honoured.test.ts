/** A configuration by a configuration: what a whole broker does otherwise when it is set. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { LogConfig } from "../../../core/log/LogConfig.ts"
import { Network } from "../../../core/ports/Network.ts"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { describeTopicPartitionsApi } from "../../../core/protocol/generated/DescribeTopicPartitions.ts"
import { buildBatch, readBatches } from "../../oracle/Batches.ts"
import * as Apis from "../Apis.ts"
import { makeWorld, type Overrides, startBroker, type World } from "../TestBroker.ts"

const [TOPIC, BROKER] = [2, 4] as const
const utf8 = new TextEncoder()

const start = (overrides: Overrides = {}, given?: World) =>
  Effect.gen(function*() {
    const world = given ?? (yield* makeWorld())
    // nobody sends anything while hours pass
    const running = yield* startBroker(world, { "connections.max.idle.ms": "-1", ...overrides })
    const client = yield* running.connect
    const alter = (resourceType: number, resourceName: string, configs: Readonly<Record<string, string | null>>) =>
      Effect.map(
        client.rpc.call(Apis.incrementalAlterConfigsApi, {
          validateOnly: false,
          resources: [{
            resourceType,
            resourceName,
            configs: Object.entries(configs).map(([name, value]) => ({ name, configOperation: value === null ? 1 : 0, value }))
          }]
        }),
        ({ responses }) => responses[0]!.errorCode
      )
    const metadata = (...names: ReadonlyArray<string>) =>
      client.rpc.call(Apis.metadataApi, {
        topics: names.map((name) => ({ name, topicId: "AAAAAAAAAAAAAAAAAAAAAA" })),
        allowAutoTopicCreation: true
      })
    const files = (topic: string): ReadonlyArray<string> => [...world.disk.disk.list(`/data/${topic}-0`)].sort()
    const sizeOf = (topic: string, file: string): number => world.disk.disk.stat(`/data/${topic}-0/${file}`)?.size ?? -1
    const logConfig = (topic: string): LogConfig => running.broker.services.partitions.get(topic, 0)!.log.config
    return { ...running, world, client, alter, metadata, files, sizeOf, logConfig }
  })

/** `count` records of about `bytes` bytes, in one batch. */
const batch = (options: { readonly count?: number; readonly bytes?: number; readonly key?: string; readonly timestamp?: number } = {}) =>
  buildBatch({
    records: Array.from({ length: options.count ?? 1 }, (_, i) => ({
      key: options.key === undefined ? null : utf8.encode(options.key),
      value: utf8.encode(String(i).padEnd(options.bytes ?? 10, "x")),
      timestamp: options.timestamp ?? 0
    }))
  })

const segments = (files: ReadonlyArray<string>): ReadonlyArray<string> => files.filter((file) => file.endsWith(".log"))
/** Long enough for every background round, short of every default age. */
const HOUR = 3_600_000
const MINUTE = 60_000

describe("topic configurations", () => {
  it.effect("max.message.bytes, and message.max.bytes for all topics, bound a batch; changes count at once", () =>
    Effect.gen(function*() {
      const { alter, client } = yield* start()
      yield* client.createTopic("t", 1, { "max.message.bytes": "200" })
      yield* client.createTopic("u")
      const produce = (topic: string) => Effect.map(client.produceBytes(topic, batch({ bytes: 300 })), (r) => r.errorCode)
      expect(yield* produce("t")).toBe(ErrorCode.MESSAGE_TOO_LARGE)
      expect(yield* produce("u")).toBe(0)
      expect(yield* alter(TOPIC, "t", { "max.message.bytes": "1000" })).toBe(0)
      expect(yield* produce("t")).toBe(0)
      expect(yield* alter(BROKER, "", { "message.max.bytes": "200" })).toBe(0)
      expect([yield* produce("t"), yield* produce("u")]).toEqual([0, ErrorCode.MESSAGE_TOO_LARGE])
      expect(yield* alter(BROKER, "1", { "message.max.bytes": "1000" })).toBe(0)
      expect(yield* produce("u")).toBe(0)
      expect(yield* alter(BROKER, "1", { "message.max.bytes": null })).toBe(0)
      expect(yield* produce("u")).toBe(ErrorCode.MESSAGE_TOO_LARGE)
    }))

  it.effect("message.timestamp.type and the bounds message.timestamp.before.max.ms, message.timestamp.after.max.ms", () =>
    Effect.gen(function*() {
      const { client } = yield* start()
      yield* TestClock.adjust(10_000_000)
      yield* client.createTopic("append", 1, { "message.timestamp.type": "LogAppendTime" })
      yield* client.createTopic("bounded", 1, { "message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "2000" })
      expect(yield* client.produceBytes("append", batch({ timestamp: 5 }))).toMatchObject({ errorCode: 0, logAppendTimeMs: 10_000_000 })
      const at = (timestamp: number) => Effect.map(client.produceBytes("bounded", batch({ timestamp })), (r) => r.errorCode)
      expect(yield* at(10_000_000 - 1000)).toBe(0)
      expect(yield* at(10_000_000 - 1001)).toBe(ErrorCode.INVALID_TIMESTAMP)
      expect(yield* at(10_000_000 + 2000)).toBe(0)
      expect(yield* at(10_000_000 + 2001)).toBe(ErrorCode.INVALID_TIMESTAMP)
    }))

  it.effect("compression.type with compression.gzip.level, compression.lz4.level, compression.zstd.level", () =>
    Effect.gen(function*() {
      const { client, sizeOf } = yield* start()
      const codecs = { gzip: 1, snappy: 2, lz4: 3, zstd: 4, uncompressed: 0, producer: 0 }
      for (const [type, codec] of Object.entries(codecs)) {
        yield* client.createTopic(type, 1, { "compression.type": type })
        expect((yield* client.produceBytes(type, batch({ count: 50 }))).errorCode).toBe(0)
        const { records } = yield* client.fetchOne(type)
        expect(records![22]! & 7).toBe(codec)
        expect(readBatches(records!).batches.length).toBe(1)
      }
      for (const [type, levels] of [["gzip", ["1", "9"]], ["lz4", ["1", "17"]], ["zstd", ["1", "22"]]] as const) {
        const sizes: Array<number> = []
        for (const level of levels) {
          const topic = `${type}-${level}`
          yield* client.createTopic(topic, 1, { "compression.type": type, [`compression.${type}.level`]: level })
          const mixed = buildBatch({
            records: Array.from({ length: 2000 }, (_, i) => ({ key: null, value: utf8.encode(`${(i * 7919) % 1009} ${(i * 31) % 127}`), timestamp: 0 }))
          })
          expect((yield* client.produceBytes(topic, mixed)).errorCode).toBe(0)
          sizes.push(sizeOf(topic, "00000000000000000000.log"))
        }
        // a higher level never packs worse, whatever an implementation makes of its levels
        expect(sizes[1]).toBeLessThanOrEqual(sizes[0]!)
      }
    }))

  it.effect("segment.bytes and internal.segment.bytes, segment.ms, segment.index.bytes close segments", () =>
    Effect.gen(function*() {
      const { client, files } = yield* start()
      yield* client.createTopic("small", 1, { "internal.segment.bytes": "500" })
      yield* client.createTopic("bytes", 1, { "segment.bytes": "1048576" })
      yield* client.createTopic("old", 1, { "segment.ms": "1000" })
      yield* client.createTopic("indexed", 1, { "segment.index.bytes": "24", "index.interval.bytes": "1" })
      for (let i = 0; i < 6; i++) {
        const timestamp = i * 1000
        yield* client.produceBytes("small", batch({ bytes: 200, timestamp }))
        yield* client.produceBytes("bytes", batch({ bytes: 400_000, timestamp }))
        yield* client.produceBytes("old", batch({ timestamp }))
        yield* client.produceBytes("indexed", batch({ timestamp }))
        yield* TestClock.adjust(1001)
      }
      expect(segments(files("small")).length).toBe(6)
      expect(segments(files("bytes")).length).toBe(6 / 2)
      expect(segments(files("old")).length).toBeGreaterThan(2)
      expect(segments(files("indexed")).length).toBeGreaterThan(1)
    }))

  it.effect("index.interval.bytes spaces the entries of an index", () =>
    Effect.gen(function*() {
      const { client, sizeOf, stop } = yield* start()
      yield* client.createTopic("dense", 1, { "index.interval.bytes": "10" })
      yield* client.createTopic("sparse", 1, { "index.interval.bytes": "100000" })
      for (let i = 0; i < 20; i++) {
        for (const topic of ["dense", "sparse"]) yield* client.produceBytes(topic, batch())
      }
      yield* stop
      expect(sizeOf("dense", "00000000000000000000.index")).toBeGreaterThan(8 * 10)
      expect(sizeOf("sparse", "00000000000000000000.index")).toBeLessThanOrEqual(8)
    }))

  it.effect("retention.bytes, retention.ms and file.delete.delay.ms delete segments; so does log.retention.ms, at once", () =>
    Effect.gen(function*() {
      const { alter, client, files } = yield* start({ "log.retention.check.interval.ms": "60000", "log.initial.task.delay.ms": "0" })
      const kept = { "internal.segment.bytes": "500", "file.delete.delay.ms": "1000" }
      yield* client.createTopic("bytes", 1, { ...kept, "retention.bytes": "600" })
      yield* client.createTopic("time", 1, { ...kept, "retention.ms": "1000" })
      yield* client.createTopic("all", 1, kept)
      for (let i = 0; i < 6; i++) {
        for (const topic of ["bytes", "time", "all"]) yield* client.produceBytes(topic, batch({ bytes: 300 }))
      }
      expect(segments(files("bytes")).length).toBe(6)
      yield* TestClock.adjust(HOUR)
      expect(segments(files("bytes")).length).toBe(2)
      expect((yield* client.listOffset("time", -2)).offset).toBe(6)
      expect(segments(files("all")).length).toBe(6)
      yield* alter(BROKER, "", { "log.retention.ms": "1000" })
      yield* TestClock.adjust(HOUR)
      expect((yield* client.listOffset("all", -2)).offset).toBe(6)
      expect(files("all").some((file) => file.endsWith(".deleted"))).toBe(false)
    }))

  it.effect("cleanup.policy, min.cleanable.dirty.ratio, min.compaction.lag.ms and max.compaction.lag.ms decide when a log is compacted", () =>
    Effect.gen(function*() {
      const { client } = yield* start({ "log.cleaner.backoff.ms": "10000", "log.initial.task.delay.ms": "0" })
      yield* TestClock.adjust(1000)
      const compact = { "cleanup.policy": "compact", "internal.segment.bytes": "300" }
      yield* client.createTopic("now", 1, { ...compact, "min.cleanable.dirty.ratio": "0.01" })
      yield* client.createTopic("later", 1, { ...compact, "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": String(30 * MINUTE) })
      yield* client.createTopic("clean", 1, { ...compact, "min.cleanable.dirty.ratio": "1" })
      yield* client.createTopic("due", 1, { ...compact, "min.cleanable.dirty.ratio": "1", "max.compaction.lag.ms": String(20 * MINUTE) })
      const topics = ["now", "later", "clean", "due"]
      for (let i = 0; i < 8; i++) {
        for (const topic of topics) {
          expect((yield* client.produceBytes(topic, batch({ bytes: 150, key: "k", timestamp: 1000 }))).errorCode).toBe(0)
        }
      }
      const counts = Effect.forEach(topics, (topic) => Effect.map(client.readAll(topic), (values) => values.length))
      expect(yield* counts).toEqual([8, 8, 8, 8])
      // one of the closed segments and the active one are left
      yield* TestClock.adjust(10 * MINUTE)
      expect(yield* counts).toEqual([2, 8, 8, 8])
      yield* TestClock.adjust(15 * MINUTE)
      expect(yield* counts).toEqual([2, 8, 8, 2])
      yield* TestClock.adjust(10 * MINUTE)
      expect(yield* counts).toEqual([2, 2, 8, 2])
      expect(yield* client.produceBytes("now", batch())).toMatchObject({ errorCode: ErrorCode.INVALID_RECORD })
    }))

  it.effect("log.cleaner.enable=false stops compaction", () =>
    Effect.gen(function*() {
      const { client } = yield* start({ "log.cleaner.backoff.ms": "10000", "log.cleaner.enable": "false" })
      yield* client.createTopic("t", 1, { "cleanup.policy": "compact", "internal.segment.bytes": "300", "min.cleanable.dirty.ratio": "0.01" })
      for (let i = 0; i < 8; i++) yield* client.produceBytes("t", batch({ bytes: 150, key: "k", timestamp: 1000 }))
      yield* TestClock.adjust(10 * MINUTE)
      expect((yield* client.readAll("t")).length).toBe(8)
    }))

  it.effect("delete.retention.ms keeps a tombstone for readers that are late", () =>
    Effect.gen(function*() {
      const { client } = yield* start({ "log.cleaner.backoff.ms": "10000", "log.initial.task.delay.ms": "0" })
      yield* TestClock.adjust(1000)
      yield* client.createTopic("t", 1, {
        "cleanup.policy": "compact",
        "internal.segment.bytes": "300",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": String(20 * MINUTE)
      })
      const tombstone = buildBatch({ records: [{ key: utf8.encode("gone"), value: null, timestamp: 1000 }] })
      yield* client.produceBytes("t", tombstone)
      const more = Effect.gen(function*() {
        for (let i = 0; i < 4; i++) yield* client.produceBytes("t", batch({ bytes: 150, key: "k", timestamp: 1000 }))
        yield* TestClock.adjust(10 * MINUTE)
      })
      const tombstones = Effect.map(client.readAll("t"), (values) => values.filter((value) => value === "").length)
      yield* more
      expect(yield* tombstones).toBe(1)
      yield* more
      yield* more
      yield* more
      expect(yield* tombstones).toBe(0)
    }))

  it.effect("flush.messages and flush.ms bring records to the device, and so do their broker keys", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* start({ "log.flush.scheduler.interval.ms": "100" })
      yield* client.createTopic("count", 1, { "flush.messages": "2", "flush.ms": "9223372036854775807" })
      yield* client.createTopic("time", 1, { "flush.ms": "1000" })
      const flushed = (topic: string): number => broker.services.partitions.get(topic, 0)!.log.flushedOffset
      yield* client.produceBytes("count", batch())
      expect(flushed("count")).toBe(0)
      yield* client.produceBytes("count", batch())
      yield* TestClock.adjust(0)
      expect(flushed("count")).toBe(2)
      yield* client.produceBytes("time", batch())
      yield* TestClock.adjust(500)
      expect(flushed("time")).toBe(0)
      yield* TestClock.adjust(2000)
      expect(flushed("time")).toBe(1)
    }))
})

describe("broker configurations", () => {
  it.effect("broker.rack is told to clients", () =>
    Effect.gen(function*() {
      const { metadata } = yield* start({ "broker.rack": "rack-a" })
      expect((yield* metadata()).brokers[0]?.rack).toBe("rack-a")
    }))

  it.effect("num.partitions, default.replication.factor and auto.create.topics.enable shape topics that nobody describes", () =>
    Effect.gen(function*() {
      const { metadata } = yield* start({ "num.partitions": "3" })
      yield* metadata("t")
      expect((yield* metadata("t")).topics[0]!.partitions.length).toBe(3)
      const off = yield* start({ "auto.create.topics.enable": "false" })
      expect((yield* off.metadata("t")).topics[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      const many = yield* start({ "default.replication.factor": "2" })
      const { topics } = yield* many.client.rpc.call(Apis.createTopicsApi, {
        topics: [{ name: "t", numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }],
        timeoutMs: 1000,
        validateOnly: true
      })
      expect(topics[0]!.errorCode).toBe(ErrorCode.INVALID_REPLICATION_FACTOR)
    }))

  it.effect("delete.topic.enable", () =>
    Effect.gen(function*() {
      const { client } = yield* start({ "delete.topic.enable": "false" })
      yield* client.createTopic("t")
      expect(yield* client.deleteTopic("t")).toBe(ErrorCode.TOPIC_DELETION_DISABLED)
    }))

  it.effect("offsets.topic.*, transaction.state.log.* and share.coordinator.state.topic.* shape internal topics", () =>
    Effect.gen(function*() {
      const { logConfig, metadata } = yield* start({
        "offsets.topic.num.partitions": "3",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.segment.bytes": "2000000",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.segment.bytes": "3000000",
        "share.coordinator.state.topic.num.partitions": "5",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.segment.bytes": "4000000"
      })
      for (const [name, partitions, segmentBytes] of [["__consumer_offsets", 3, 2_000_000], ["__transaction_state", 4, 3_000_000], ["__share_group_state", 5, 4_000_000]] as const) {
        yield* metadata(name)
        expect((yield* metadata(name)).topics[0]!.partitions.length).toBe(partitions)
        expect(logConfig(name).segmentBytes).toBe(segmentBytes)
      }
    }))

  it.effect("max.request.partition.size.limit bounds what one DescribeTopicPartitions answers", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* start({ "max.request.partition.size.limit": "2" })
      yield* client.createTopic("t", 5)
      const { topics } = yield* client.rpc.call(describeTopicPartitionsApi, { topics: [{ name: "t" }], responsePartitionLimit: 2000, cursor: null })
      expect(topics[0]!.partitions.length).toBe(2)
      expect(broker.services.config.number("max.request.partition.size.limit")).toBe(2)
    }))

  it.effect("checkpoints are written at their intervals: log.flush.offset.checkpoint.interval.ms and others", () =>
    Effect.gen(function*() {
      const never = "2000000000"
      const keys = [
        ["log.flush.offset.checkpoint.interval.ms", "recovery-point-offset-checkpoint"],
        ["log.flush.start.offset.checkpoint.interval.ms", "log-start-offset-checkpoint"],
        ["replica.high.watermark.checkpoint.interval.ms", "replication-offset-checkpoint"]
      ] as const
      for (const [key] of keys) {
        const intervals = { ...Object.fromEntries(keys.map(([each]) => [each, never])), [key]: "1000", "log.initial.task.delay.ms": "0" }
        const { broker, client, world } = yield* start(intervals)
        yield* client.createTopic("t", 1, { "flush.messages": "1" })
        for (const value of ["a", "b", "c"]) yield* client.produce("t", [value])
        broker.services.partitions.get("t", 0)!.log.incrementLogStartOffset(2)
        yield* TestClock.adjust(5000)
        const written = keys.filter(([, file]) => {
          const stat = world.disk.disk.stat(`/data/${file}`)
          if (stat === undefined || stat.kind !== "file") return false
          const bytes = new Uint8Array(stat.size)
          const opened = world.disk.disk.open(`/data/${file}`, "read")
          opened.read(bytes, 0)
          opened.close()
          return new TextDecoder().decode(bytes).includes("t 0 ")
        })
        expect(written.map(([each]) => each)).toEqual([key])
      }
    }))

  it.effect("fetch.max.bytes bounds a response", () =>
    Effect.gen(function*() {
      const { client } = yield* start({ "fetch.max.bytes": "2000" })
      yield* client.createTopic("t")
      for (let i = 0; i < 10; i++) yield* client.produceBytes("t", batch({ bytes: 500 }))
      const { records } = yield* client.fetchOne("t")
      expect(readBatches(records!).batches.length).toBeLessThan(5)
    }))

  it.effect("max.incremental.fetch.session.cache.slots bounds fetch sessions", () =>
    Effect.gen(function*() {
      const { client } = yield* start({ "max.incremental.fetch.session.cache.slots": "1" })
      yield* client.createTopic("t")
      const open = { sessionId: 0, sessionEpoch: 0 }
      expect((yield* client.fetch("t", open)).sessionId).not.toBe(0)
      expect((yield* client.fetch("t", open)).sessionId).toBe(0)
    }))

  it.effect("max.connections.per.ip and max.connections.per.ip.overrides close a connection too many", () =>
    Effect.gen(function*() {
      const { alter, broker, connect } = yield* start({ "max.connections.per.ip": "2" })
      const host = "127.0.0.1"
      yield* connect
      expect(broker.connectionCount()).toBe(2)
      yield* Effect.flip(connect)
      expect(yield* alter(BROKER, "1", { "max.connections.per.ip.overrides": `10.0.0.1:9,${host}:3` })).toBe(0)
      yield* connect
      expect(broker.connectionCount()).toBe(3)
      yield* Effect.flip(connect)
    }))

  it.effect("max.connections lets the next connection wait", () =>
    Effect.gen(function*() {
      const { broker, connect } = yield* start({ "max.connections": "1" })
      const fiber = yield* Effect.forkScoped(connect)
      yield* TestClock.adjust(0)
      expect(broker.connectionCount()).toBe(1)
      expect(fiber.pollUnsafe()).toBeUndefined()
    }))

  it.effect("connections.max.idle.ms closes a silent connection", () =>
    Effect.gen(function*() {
      const { broker } = yield* start({ "connections.max.idle.ms": "5000" })
      expect(broker.connectionCount()).toBe(1)
      yield* TestClock.adjust(20_000)
      expect(broker.connectionCount()).toBe(0)
    }))

  it.effect("socket.request.max.bytes closes the connection of a larger request", () =>
    Effect.gen(function*() {
      const { broker, client } = yield* start({ "socket.request.max.bytes": "1000" })
      yield* client.createTopic("t")
      yield* Effect.flip(client.produceBytes("t", batch({ bytes: 2000 })))
      expect(broker.connectionCount()).toBe(0)
    }))

  it.effect("socket.listen.backlog.size is how many connections may wait for their acceptance", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const network = Context.get(world.context, Network)
      const seen: Array<number | undefined> = []
      const watched: Network = {
        ...network,
        listen: (options, accept) => {
          seen.push(options.backlog)
          return network.listen(options, accept)
        }
      }
      yield* start({ "socket.listen.backlog.size": "7" }, { ...world, context: Context.add(world.context, Network, watched) })
      expect(seen).toEqual([7])
    }))

  it.effect("producer.id.expiration.ms forgets producers that are silent", () =>
    Effect.gen(function*() {
      const { client } = yield* start({ "producer.id.expiration.ms": "10000", "producer.id.expiration.check.interval.ms": "1000", "log.initial.task.delay.ms": "0" })
      yield* client.createTopic("t")
      yield* client.produce("t", ["a"], { producerId: 5, producerEpoch: 0, baseSequence: 0 })
      const active = Effect.map(
        client.rpc.call(Apis.describeProducersApi, { topics: [{ name: "t", partitionIndexes: [0] }] }),
        ({ topics }) => topics[0]!.partitions[0]!.activeProducers.length
      )
      expect(yield* active).toBe(1)
      yield* TestClock.adjust(HOUR)
      expect(yield* active).toBe(0)
    }))
})
