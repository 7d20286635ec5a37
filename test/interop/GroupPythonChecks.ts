/** Groups with confluent-kafka (librdkafka) and kafka-python. */
import { python } from "../../scripts/peers/Python.ts"
import { type Check, expectEqual, expectSays } from "./Check.ts"

/** Cooperative members with instance ids, a pattern subscription, offsets altered and a group deleted by the admin client. */
const confluentProgram = `
import sys, time
from confluent_kafka import Producer, Consumer, TopicPartition, ConsumerGroupTopicPartitions, ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
server, strategy, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
topic, group = f"grp-confluent-{strategy}", f"confluent-{strategy}"
admin = AdminClient({"bootstrap.servers": server})
for future in admin.create_topics([NewTopic(topic, 4, 1)]).values():
    future.result(20)
producer = Producer({"bootstrap.servers": server})
for i in range(count):
    producer.produce(topic, value=str(i), partition=i % 4)
    producer.poll(0)
producer.flush(30)
def member(name):
    consumer = Consumer({"bootstrap.servers": server, "group.id": group, "partition.assignment.strategy": strategy,
        "group.instance.id": name, "session.timeout.ms": 10000, "heartbeat.interval.ms": 300,
        "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    consumer.subscribe([f"^{topic}.*"])
    return consumer
seen = {}
def poll(consumers, until, seconds=60):
    deadline = time.time() + seconds
    while not until():
        if time.time() > deadline:
            raise SystemExit(f"not within {seconds} s: {len(seen)} seen, {[len(c.assignment()) for c in consumers]}")
        for consumer in consumers:
            record = consumer.poll(0.05)
            if record is None:
                continue
            if record.error():
                raise SystemExit(str(record.error()))
            key = (record.partition(), record.offset())
            seen[key] = seen.get(key, 0) + 1
            if len(seen) % 100 == 0 or len(seen) >= count:
                try:
                    consumer.commit(record, asynchronous=False)
                except KafkaException as error:
                    if error.args[0].name() not in ("REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION"):
                        raise
a = member("a")
poll([a], lambda: len(a.assignment()) == 4)
b = member("b")
poll([a, b], lambda: len(a.assignment()) == 2 and len(b.assignment()) == 2)
poll([a, b], lambda: len(seen) == count)
described = list(admin.describe_consumer_groups([group]).values())[0].result(20)
assert described.state == ConsumerGroupState.STABLE, described.state
assert described.partition_assignor == strategy, described.partition_assignor
assert sorted(m.group_instance_id for m in described.members) == ["a", "b"], described.members
owned = sorted(t.partition for m in described.members for t in m.assignment.topic_partitions)
assert owned == [0, 1, 2, 3], owned
# a static member that comes back within its session has its partitions again, and nobody else notices
before = sorted(t.partition for t in b.assignment())
b.close()
b = member("b")
poll([a, b], lambda: len(b.assignment()) == 2)
assert sorted(t.partition for t in b.assignment()) == before, (before, b.assignment())
for consumer in (a, b):
    consumer.commit(offsets=[TopicPartition(p.topic, p.partition, count // 4) for p in consumer.assignment()], asynchronous=False)
committed = a.committed([TopicPartition(topic, p) for p in range(4)], timeout=20)
assert sum(p.offset for p in committed) == count, committed
names = [g.group_id for g in admin.list_consumer_groups().result(20).valid]
assert group in names, names
a.close()
b.close()
# static members do not leave: an admin removes them, or their session ends
deadline = time.time() + 40
while list(admin.describe_consumer_groups([group]).values())[0].result(20).state != ConsumerGroupState.EMPTY:
    if time.time() > deadline:
        raise SystemExit("static members never expire")
    time.sleep(0.3)
list(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 1, 5)])]).values())[0].result(20)
offsets = list(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values())[0].result(20).topic_partitions
assert {p.partition: p.offset for p in offsets}[1] == 5, offsets
list(admin.delete_consumer_groups([group]).values())[0].result(20)
assert group not in [g.group_id for g in admin.list_consumer_groups().result(20).valid]
print("seen", len(seen))
`

const confluent = (strategy: string): Check => ({
  name: `confluent-kafka: a group with static members and ${strategy}`,
  run: async ({ peer, short }) => {
    const count = short ? 400 : 20_000
    const result = await python(confluentProgram, [peer.bootstrap, strategy, `${count}`], { timeoutMs: 240_000 })
    expectSays(result, /seen/, "the Python program")
    expectEqual(result.stdout.trim(), `seen ${count}`, "what it counted")
  }
})

const kafkaPythonProgram = `
import collections, logging, sys, time
# What the client did first and last, for when a check fails.
first, last = [], collections.deque(maxlen=300)
class Keep(logging.Handler):
    def emit(self, record):
        if "metrics" in record.name or "need_rejoin" in str(record.msg):
            return
        (first if len(first) < 300 else last).append(self.format(record))
keep = Keep()
keep.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
logging.getLogger("kafka").setLevel(logging.DEBUG)
logging.getLogger("kafka").addHandler(keep)
def fail(message):
    print("\\n".join([*first, "…", *last]), file=sys.stderr)
    raise SystemExit(message)
from kafka import KafkaProducer, KafkaConsumer, KafkaAdminClient, TopicPartition, OffsetAndMetadata
from kafka.admin import NewTopic
server, count = sys.argv[1], int(sys.argv[2])
topic, group = "grp-kafka-python", "kafka-python-group"
admin = KafkaAdminClient(bootstrap_servers=server)
admin.create_topics([NewTopic(topic, 3, 1)])
producer = KafkaProducer(bootstrap_servers=server)
for i in range(count):
    producer.send(topic, value=str(i).encode(), partition=i % 3)
producer.flush(30)
def member():
    return KafkaConsumer(topic, bootstrap_servers=server, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
        session_timeout_ms=10000, heartbeat_interval_ms=300, max_poll_interval_ms=20000)
seen = set()
def poll(consumer, until, seconds=60):
    deadline = time.time() + seconds
    while not until():
        left = deadline - time.time()
        if left <= 0:
            fail(f"not within {seconds} s: {len(seen)} seen, {consumer.assignment()}")
        # Short polls are not for a leader that joins again because its metadata grew: JoinGroup's answer makes need_rejoin()
        # False, the poll ends, SyncGroup's answer comes, and no later poll takes the assignment or sends a heartbeat.
        for partition, records in consumer.poll(timeout_ms=int(left * 1000)).items():
            for record in records:
                seen.add((record.partition, record.offset))
a = member()
poll(a, lambda: len(a.assignment()) == 3 and len(seen) == count)
a.commit()
committed = sum(a.committed(TopicPartition(topic, p)) for p in range(3))
assert committed == count, committed
a.commit({TopicPartition(topic, 0): OffsetAndMetadata(3, "a note", -1)})
assert a.committed(TopicPartition(topic, 0), metadata=True).metadata == "a note"
a.commit()
import threading
b = member()
results = []
def run(consumer):
    deadline = time.time() + 60
    while time.time() < deadline and not stop.is_set():
        consumer.poll(timeout_ms=100)
stop = threading.Event()
threads = [threading.Thread(target=run, args=(c,)) for c in (a, b)]
for thread in threads:
    thread.start()
deadline = time.time() + 60
while not (len(a.assignment()) >= 1 and len(b.assignment()) >= 1 and len(a.assignment()) + len(b.assignment()) == 3):
    if time.time() > deadline:
        stop.set()
        fail(f"never shared: {a.assignment()} {b.assignment()}")
    time.sleep(0.1)
stop.set()
for thread in threads:
    thread.join()
a.close()
b.close()
print("seen", len(seen), "committed", committed)
`

const kafkaPython: Check = {
  name: "kafka-python: a group reads, commits with metadata, and shares with a second member",
  run: async ({ peer, short }) => {
    const count = short ? 300 : 9000
    const result = await python(kafkaPythonProgram, [peer.bootstrap, `${count}`], { timeoutMs: 240_000 })
    expectSays(result, /seen/, "the Python program")
    expectEqual(result.stdout.trim(), `seen ${count} committed ${count}`, "what it counted")
  }
}

export const groupPythonChecks: ReadonlyArray<Check> = [confluent("range"), confluent("cooperative-sticky"), kafkaPython]
