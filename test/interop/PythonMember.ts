/** A member of a group, a process of confluent-kafka (librdkafka) that can be killed: it tells what it is given, then commits it. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { pythonPath } from "../../scripts/peers/Python.ts"

export interface PythonMemberOptions {
  readonly bootstrap: string
  readonly topic: string
  readonly group: string
  /** Of the consumer, by librdkafka's names. */
  readonly settings: Readonly<Record<string, string | number>>
}

/**
 * Prints `= p p p` when its partitions change, `p offset value` for each record and then commits, `! words` for an error in
 * place of a record and `# NAME` for a commit that failed. Leaves its group when its standard input ends.
 */
const program = `
import json, sys, threading
from confluent_kafka import Consumer, KafkaException
server, topic, group, settings = sys.argv[1:5]
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
consumer = Consumer({"bootstrap.servers": server, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
    "heartbeat.interval.ms": 500, "fetch.wait.max.ms": 100, **json.loads(settings)})
def changed(consumer, partitions):
    print("=", *[p.partition for p in partitions], flush=True)
consumer.subscribe([topic], on_assign=changed, on_revoke=changed, on_lost=changed)
while not stop.is_set():
    records = consumer.consume(500, 0.2)
    lines = []
    for record in records:
        if record.error():
            print("!", record.error(), flush=True)
            continue
        lines.append(f"{record.partition()} {record.offset()} {record.value().decode()}")
    if lines:
        print("\\n".join(lines), flush=True)
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            print("#", error.args[0].name(), flush=True)
consumer.close()
`

export const startPythonMember = async (
  { bootstrap, group, settings, topic }: PythonMemberOptions
): Promise<ChildProcessWithoutNullStreams> =>
  spawn(await pythonPath(), ["-c", program, bootstrap, topic, group, JSON.stringify(settings)])
