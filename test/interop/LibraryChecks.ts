/** Client libraries: kafkajs and @platformatic/kafka in this process, confluent-kafka in Python. */
import { Admin, ProduceAcks, Producer, stringSerializers } from "@platformatic/kafka"
import kafkaJs from "kafkajs"
import { kcat } from "../../scripts/peers/Kcat.ts"
import type { Peer } from "../../scripts/peers/Processes.ts"
import { python } from "../../scripts/peers/Python.ts"
import { type Check, expect, expectEqual, expectSays } from "./Check.ts"

// a CommonJS module whose exports Node does not all find by name
const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkaJs

/** All records of a topic as `partition offset key value`, sorted, read by kcat. */
const recordsOf = async (peer: Peer, topic: string): Promise<ReadonlyArray<string>> => {
  const result = await kcat(["-C", "-b", peer.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k=%s\\n"])
  expectSays(result, /^/, `kcat reads ${topic}`)
  return result.stdout.split("\n").filter((line) => line !== "").sort()
}

const pairs = (count: number): ReadonlyArray<{ key: string; value: string }> =>
  Array.from({ length: count }, (_, i) => ({ key: `key-${i}`, value: `value ${i} ${"x".repeat(i % 50)}` }))

const expectPairs = async (peer: Peer, topic: string, sent: ReadonlyArray<{ key: string; value: string }>): Promise<void> =>
  expectEqual(await recordsOf(peer, topic), sent.map(({ key, value }) => `${key}=${value}`).sort(), `records of ${topic}`)

const kafkajs: Check = {
  name: "kafkajs produces and administers",
  run: async ({ peer, short }) => {
    const kafka = new Kafka({ clientId: "interop", brokers: [peer.bootstrap], logLevel: logLevel.NOTHING })
    const admin = kafka.admin()
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    const gzip = kafka.producer()
    await Promise.all([admin.connect(), producer.connect(), gzip.connect()])
    try {
      expectEqual(await admin.createTopics({ topics: [{ topic: "js", numPartitions: 2 }, { topic: "js-gone" }], waitForLeaders: true }), true, "created")
      await admin.createPartitions({ topicPartitions: [{ topic: "js", count: 3 }] })
      const sent = pairs(short ? 1000 : 20_000)
      const half = sent.length / 2
      await producer.send({ topic: "js", acks: -1, messages: sent.slice(0, half) })
      await gzip.send({ topic: "js", compression: CompressionTypes.GZIP, messages: sent.slice(half) })
      await expectPairs(peer, "js", sent)
      const offsets = await admin.fetchTopicOffsets("js")
      expectEqual(offsets.reduce((sum, { high }) => sum + Number(high), 0), sent.length, "sum of the high watermarks")
      const byTime = await admin.fetchTopicOffsetsByTimestamp("js", 0)
      expect(byTime.every(({ offset }) => offset === "0"), `offsets by time: ${JSON.stringify(byTime)}`)
      const metadata = await admin.fetchTopicMetadata({ topics: ["js"] })
      expectEqual(metadata.topics[0]?.partitions.length, 3, "partitions")
      await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: "js", configEntries: [{ name: "retention.ms", value: "7200000" }] }] })
      const configs = await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: ConfigResourceTypes.TOPIC, name: "js", configNames: ["retention.ms"] }] })
      expectEqual(configs.resources[0]?.configEntries[0]?.configValue, "7200000", "retention.ms")
      await admin.deleteTopicRecords({ topic: "js", partitions: [{ partition: 0, offset: "1" }] })
      expectEqual((await admin.fetchTopicOffsets("js")).find(({ partition }) => partition === 0)?.low, "1", "low watermark")
      await admin.deleteTopics({ topics: ["js-gone"] })
      expect(!(await admin.listTopics()).includes("js-gone"), "js-gone is still listed")
      expect((await admin.describeCluster()).brokers.length === 1, "one broker")
    } finally {
      await Promise.allSettled([admin.disconnect(), producer.disconnect(), gzip.disconnect()])
    }
  }
}

const platformatic: Check = {
  name: "@platformatic/kafka produces and administers",
  run: async ({ peer, short }) => {
    const base = { clientId: "interop", bootstrapBrokers: [peer.bootstrap] }
    const admin = new Admin(base)
    const producer = new Producer({ ...base, serializers: stringSerializers })
    try {
      const [created] = await admin.createTopics({ topics: ["platformatic", "platformatic-gone"], partitions: 2, replicas: 1 })
      expectEqual(created?.name, "platformatic", "created")
      const sent = pairs(short ? 1000 : 20_000)
      const quarter = sent.length / 4
      const codecs = ["none", "gzip", "snappy", "zstd"] as const
      for (const [index, compression] of codecs.entries()) {
        await producer.send({
          acks: ProduceAcks.ALL,
          compression,
          messages: sent.slice(index * quarter, (index + 1) * quarter).map((pair) => ({ topic: "platformatic", ...pair }))
        })
      }
      await expectPairs(peer, "platformatic", sent)
      const listed = await admin.listOffsets({ topics: [{ name: "platformatic", partitions: [{ partitionIndex: 0, timestamp: -1n }, { partitionIndex: 1, timestamp: -1n }] }] })
      expectEqual(listed[0]?.partitions.reduce((sum, { offset }) => sum + Number(offset), 0), sent.length, "sum of the end offsets")
      const described = await admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: "platformatic", configurationKeys: ["cleanup.policy"] }] })
      expectEqual(described[0]?.configs[0]?.value, "delete", "cleanup.policy")
      await admin.deleteTopics({ topics: ["platformatic-gone"] })
      expect(!(await admin.listTopics()).includes("platformatic-gone"), "platformatic-gone is still listed")
    } finally {
      await Promise.allSettled([producer.close(), admin.close()])
    }
  }
}

const program = `
import sys
from confluent_kafka import Producer, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, ConfigResource, OffsetSpec
server, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
admin = AdminClient({"bootstrap.servers": server})
for future in admin.create_topics([NewTopic(topic, 3, 1, config={"retention.ms": "3600000"})]).values():
    future.result(20)
failed = []
for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    producer = Producer({"bootstrap.servers": server, "compression.type": codec, "enable.idempotence": True, "linger.ms": 5})
    for i in range(count):
        producer.produce(topic, key=f"{codec}-{i}", value=f"value {i}" * (i % 7), headers={"codec": codec}, partition=i % 3,
                         on_delivery=lambda error, record: failed.append(str(error)) if error else None)
        if i % 1000 == 0:
            producer.poll(0)
    if producer.flush(60) > 0:
        raise SystemExit("not delivered")
if failed:
    raise SystemExit(failed[0])
consumer = Consumer({"bootstrap.servers": server, "group.id": "unused", "enable.auto.commit": False,
                     "enable.partition.eof": True, "auto.offset.reset": "error"})
consumer.assign([TopicPartition(topic, p, 0) for p in range(3)])
seen, ends, last = {}, set(), {}
while len(ends) < 3:
    record = consumer.poll(30)
    if record is None:
        raise SystemExit("nothing for 30 s")
    if record.error():
        if record.error().name() != "_PARTITION_EOF":
            raise SystemExit(str(record.error()))
        ends.add(record.partition())
        continue
    if record.offset() != last.get(record.partition(), -1) + 1:
        raise SystemExit(f"offset {record.offset()} after {last.get(record.partition())}")
    last[record.partition()] = record.offset()
    codec, i = record.key().decode().split("-")
    if (record.value() or b"").decode() != f"value {i}" * (int(i) % 7) or record.headers() != [("codec", codec.encode())]:
        raise SystemExit(f"wrong record {record.key()}")
    seen[record.key()] = seen.get(record.key(), 0) + 1
low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
consumer.close()
resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
retention = list(admin.describe_configs([resource]).values())[0].result(20)["retention.ms"].value
offsets = list(admin.list_offsets({TopicPartition(topic, 1): OffsetSpec.latest()}).values())[0].result(20).offset
print(len(seen), sum(seen.values()), low, high, retention, offsets)
`

const confluent: Check = {
  name: "confluent-kafka produces with every codec and reads assigned partitions",
  run: async ({ peer, short }) => {
    const count = short ? 3000 : 60_000
    const result = await python(program, [peer.bootstrap, "confluent", `${count}`], { timeoutMs: 300_000 })
    expectSays(result, /^/, "the Python program")
    const perPartition = 5 * count / 3
    expectEqual(result.stdout.trim(), `${5 * count} ${5 * count} 0 ${perPartition} 3600000 ${perPartition}`, "what it counted")
  }
}

export const libraryChecks: ReadonlyArray<Check> = [kafkajs, platformatic, confluent]
