/** The Admin, against ours and Apache Kafka. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Admin from "../../core/client/Admin.ts"
import { errorOfCode } from "../../core/client/ClientError.ts"
import * as Cluster from "../../core/client/Cluster.ts"
import { produceApi } from "../../core/protocol/generated/Produce.ts"
import { batchOf, produceRequest } from "../broker/TestBroker.ts"
import { eventually, overBroker, type TestBroker } from "./TestBrokers.ts"

/** Produce by the names of topics. */
const byNameApi = { ...produceApi, maxVersion: 12 }

const start = (broker: TestBroker) =>
  Effect.gen(function*() {
    const cluster = yield* Cluster.make({ "bootstrap.servers": broker.bootstrap })
    const admin = yield* Admin.makeWith(cluster)
    const produce = (topic: string, values: ReadonlyArray<string>, timestamp: number, partition = 0) =>
      // A leader that has just been made may not know it yet.
      cluster.retry(Effect.gen(function*() {
        const leader = (yield* cluster.topics([topic])).get(topic)!.partitions[partition]!.leader
        const answer = yield* cluster.call(leader, "data", byNameApi, produceRequest(topic, batchOf(values, { timestamp }), { partition }))
        const { errorCode } = answer.responses[0]!.partitionResponses[0]!
        if (errorCode !== 0) return yield* Effect.fail(errorOfCode(errorCode, `produce to ${topic}`))
      }))
    return { cluster, admin, produce }
  })

overBroker("Admin: topics", (test) => {
  test("creates, lists, describes and deletes topics, with an end for each", (broker) =>
    Effect.gen(function*() {
      const { admin } = yield* start(broker)
      const [a, b] = [broker.name("a"), broker.name("b")]
      const created = yield* admin.createTopics([
        { name: a, partitions: 3, replicationFactor: 1, configs: { "retention.ms": "1000" } },
        { name: b },
        { name: "not a topic", partitions: 1 }
      ])
      expect([...created.keys()]).toEqual([a, b, "not a topic"])
      expect(created.get(a)).toMatchObject({ partitions: 3, replicationFactor: 1, id: expect.stringMatching(/^[\w-]{22}$/) })
      expect(created.get(b)).toMatchObject({ partitions: 1, replicationFactor: 1 })
      expect(created.get("not a topic")).toMatchObject({ reason: "INVALID_TOPIC_EXCEPTION" })
      expect((yield* admin.createTopics([{ name: a, partitions: 1 }])).get(a))
        .toMatchObject({ _tag: "FatalError", reason: "TOPIC_ALREADY_EXISTS", detail: `Topic '${a}' already exists.` })

      const names = Effect.map(admin.listTopics(), (topics) => topics.map(({ name }) => name))
      yield* eventually(names, (names) => names.includes(a) && names.includes(b))
      const described = yield* admin.describeTopics([a, broker.name("none")])
      expect([...described.values()]).toMatchObject([
        { name: a, partitions: [{ partition: 0 }, { partition: 1 }, { partition: 2 }] },
        { reason: "UNKNOWN_TOPIC_OR_PARTITION" }
      ])

      const deleted = yield* admin.deleteTopics([a, b, broker.name("none")])
      expect([...deleted.values()]).toMatchObject([undefined, undefined, { reason: "UNKNOWN_TOPIC_OR_PARTITION" }])
      yield* eventually(names, (names) => !names.includes(a) && !names.includes(b))
    }))

  test("changes nothing with validateOnly", (broker) =>
    Effect.gen(function*() {
      const { admin } = yield* start(broker)
      const name = broker.name("dry")
      expect((yield* admin.createTopics([{ name, partitions: 2 }], { validateOnly: true })).get(name)).toMatchObject({ partitions: 2 })
      expect((yield* admin.describeTopics([name])).get(name)).toMatchObject({ reason: "UNKNOWN_TOPIC_OR_PARTITION" })
    }))

  test("places replicas as it is told", (broker) =>
    Effect.gen(function*() {
      const { admin } = yield* start(broker)
      const node = [...(yield* admin.describeCluster).nodes.keys()][0]!
      const name = broker.name("placed")
      expect((yield* admin.createTopics([{ name, replicaAssignment: [[node], [node]] }])).get(name)).toMatchObject({ partitions: 2 })
      const wrong = broker.name("misplaced")
      expect((yield* admin.createTopics([{ name: wrong, replicaAssignment: [[node + 77]] }])).get(wrong))
        .toMatchObject({ reason: "INVALID_REPLICA_ASSIGNMENT" })
    }))

  test("adds partitions", (broker) =>
    Effect.gen(function*() {
      const { admin } = yield* start(broker)
      const name = yield* broker.createTopic("grow")
      expect((yield* admin.createPartitions([{ name, totalCount: 4 }])).get(name)).toBeUndefined()
      yield* eventually(admin.describeTopics([name]), (topics) => {
        const topic = topics.get(name)!
        return "partitions" in topic && topic.partitions.length === 4
      })
      expect((yield* admin.createPartitions([{ name, totalCount: 2 }])).get(name)).toMatchObject({ reason: "INVALID_PARTITIONS" })
    }))
})

overBroker("Admin: configurations", (test) => {
  test("changes a topic's configuration and shows it", (broker) =>
    Effect.gen(function*() {
      const { admin } = yield* start(broker)
      const resource = { type: "topic", name: yield* broker.createTopic("configured") } as const
      const value = (name: string) =>
        Effect.map(admin.describeConfigs([resource], { synonyms: true, documentation: true }), ([described]) => {
          if (!Array.isArray(described!.result)) throw new Error(String(described!.result))
          return (described!.result as ReadonlyArray<Admin.ConfigEntry>).find((entry) => entry.name === name)!
        })
      expect(yield* value("cleanup.policy")).toMatchObject({ value: "delete", isDefault: true, isReadOnly: false })
      expect((yield* value("cleanup.policy")).documentation).toMatch(/compact/)
      const alter = (alterations: ReadonlyArray<Admin.ConfigAlteration>) =>
        Effect.map(admin.alterConfigs([{ resource, alterations }]), ([altered]) => altered!.error)
      expect(yield* alter([
        { name: "cleanup.policy", operation: "APPEND", value: "compact" },
        { name: "retention.ms", operation: "SET", value: "5000" }
      ])).toBeUndefined()
      yield* eventually(value("cleanup.policy"), (entry) => entry.value === "delete,compact" && !entry.isDefault)
      expect(yield* alter([{ name: "retention.ms", operation: "DELETE" }])).toBeUndefined()
      yield* eventually(value("retention.ms"), (entry) => entry.value === "604800000" && entry.isDefault)
      expect(yield* alter([{ name: "retention.ms", operation: "SET", value: "soon" }])).toMatchObject({ reason: "INVALID_CONFIG" })
    }))

  test("asks a broker for its own", (broker) =>
    Effect.gen(function*() {
      const { admin } = yield* start(broker)
      const node = [...(yield* admin.describeCluster).nodes.keys()][0]!
      const [own, unknown, wrong] = yield* admin.describeConfigs([
        { type: "broker", name: String(node) },
        { type: "topic", name: broker.name("none") },
        { type: "broker", name: "x" }
      ])
      expect(own!.result).toContainEqual(expect.objectContaining({ name: "num.partitions", value: "1" }))
      expect(unknown!.result).toMatchObject({ reason: "UNKNOWN_TOPIC_OR_PARTITION" })
      expect(wrong!.result).toMatchObject({ reason: "INVALID_ARGUMENT" })
    }))
})

overBroker("Admin: offsets", (test) => {
  test("lists offsets by place and time, and deletes records", (broker) =>
    Effect.gen(function*() {
      const { admin, produce } = yield* start(broker)
      const topic = yield* broker.createTopic("offsets", { partitions: 2 })
      yield* produce(topic, ["a", "b"], Date.now() - 1000)
      const between = Date.now() - 500
      yield* produce(topic, ["c"], Date.now())
      const offsets = (specs: ReadonlyArray<Admin.OffsetSpec>, partition = 0) =>
        Effect.forEach(specs, (spec) => Effect.map(admin.listOffsets([{ topic, partition, spec }]), ([listed]) => (listed as Admin.ListedOffset).offset))
      expect(yield* offsets(["earliest", between, "max-timestamp", "latest", Date.now() + 10_000])).toEqual([0, 2, 2, 3, -1])
      expect(yield* offsets(["earliest", "latest"], 1)).toEqual([0, 0])

      const [deleted, beyond] = yield* admin.deleteRecords([
        { topic, partition: 0, offset: 2 },
        { topic, partition: 1, offset: 7 }
      ])
      expect(deleted).toEqual({ topic, partition: 0, lowWatermark: 2, error: undefined })
      expect(beyond).toMatchObject({ partition: 1, error: { reason: "OFFSET_OUT_OF_RANGE" } })
      expect(yield* offsets(["earliest"])).toEqual([2])
    }))

  test("waits for a topic that is not there as long as it may", (broker) =>
    Effect.gen(function*() {
      const cluster = yield* Cluster.make({ "bootstrap.servers": broker.bootstrap, "default.api.timeout.ms": 300 })
      const admin = yield* Admin.makeWith(cluster)
      const [listed] = yield* admin.listOffsets([{ topic: broker.name("none"), partition: 0, spec: "latest" }])
      expect(listed).toMatchObject({ error: { reason: "UNKNOWN_TOPIC_OR_PARTITION" } })
    }))
})

overBroker("Admin: cluster", (test) => {
  test("describes nodes and log directories", (broker) =>
    Effect.gen(function*() {
      const { admin, produce } = yield* start(broker)
      const { clusterId, controllerId, nodes } = yield* admin.describeCluster
      expect(clusterId).toMatch(/^[\w-]{22}$/)
      expect(nodes.has(controllerId)).toBe(true)
      const topic = yield* broker.createTopic("sized")
      yield* produce(topic, ["a"], 0)
      const [dir] = yield* admin.describeLogDirs()
      expect(dir).toMatchObject({ error: undefined, nodeId: [...nodes.keys()][0] })
      expect(dir!.replicas.find((replica) => replica.topic === topic)!.sizeBytes).toBeGreaterThan(60)
    }))
})
