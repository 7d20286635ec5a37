/**
 * Groups that read while brokers die: Java's and librdkafka's consumers share one, kafkajs and our own client have one
 * each. Every record that a member is given is noted.
 */
import kafkaJs from "kafkajs"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { text } from "../../../core/client/facade/Client.ts"
import { installKafka } from "../../../scripts/peers/Kafka.ts"
import { startPythonMember } from "../PythonMember.ts"
import { connect } from "./Connect.ts"

const { Kafka, logLevel } = kafkaJs

/** What one group has seen. */
export class Seen {
  readonly group: string
  /** Values by `partition offset`. */
  readonly records: Map<string, string> = new Map()
  /** Records that were given again, as after a member lost its partitions before it committed. */
  again = 0
  /** What must not be: another value at a known offset, or an offset that is not the one after. */
  readonly complaints: Array<string> = []

  constructor(group: string) {
    this.group = group
  }

  /** Notes what one member is given; within a stay of a partition offsets only grow. */
  member(name: string): { readonly record: (partition: number, offset: number, value: string) => void; readonly assigned: () => void } {
    const last = new Map<number, number>()
    return {
      assigned: () => last.clear(),
      record: (partition, offset, value) => {
        const where = `${partition} ${offset}`
        const known = this.records.get(where)
        if (known === undefined) this.records.set(where, value)
        else if (known === value) this.again++
        else this.complaints.push(`${name}: ${value} at ${where}, where ${known} was before`)
        const before = last.get(partition)
        if (before !== undefined && offset <= before) this.complaints.push(`${name}: ${where} after offset ${before} without losing the partition`)
        last.set(partition, offset)
      }
    }
  }
}

export interface RunningReader {
  readonly stop: () => Promise<void>
}

export interface ReaderOptions {
  readonly bootstrap: string
  readonly topic: string
}

type Start = (options: ReaderOptions, seen: Seen) => Promise<RunningReader>

const librdkafka: Start = async ({ bootstrap, topic }, seen) => {
  const settings = { "partition.assignment.strategy": "range", "session.timeout.ms": 10_000, "reconnect.backoff.max.ms": 500, "log_level": 0 }
  const child = await startPythonMember({ bootstrap, topic, group: seen.group, settings })
  child.stderr.pipe(process.stderr)
  const member = seen.member("librdkafka")
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.startsWith("=")) return member.assigned()
    if (line.startsWith("#") || line.startsWith("!")) return
    const [partition = "", offset = "", value = ""] = line.split(" ")
    member.record(Number(partition), Number(offset), value)
  })
  return {
    stop: async () => {
      const closed = new Promise((resolve) => child.once("close", resolve))
      child.stdin.end()
      await closed
    }
  }
}

const java: Start = async ({ bootstrap, topic }, seen) => {
  const jars = await installKafka()
  const child = spawn("java", [
    "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", `${jars}/*`, "org.apache.kafka.tools.VerifiableConsumer",
    "--bootstrap-server", bootstrap, "--topic", topic, "--group-id", seen.group, "--reset-policy", "earliest", "--verbose",
    "--assignment-strategy", "org.apache.kafka.clients.consumer.RangeAssignor", "--group-protocol", "classic"
  ], { stdio: ["ignore", "pipe", "ignore"] })
  const member = seen.member("Java")
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) return
    const said = JSON.parse(line) as { readonly name: string; readonly partition: number; readonly offset: number; readonly value: string }
    if (said.name === "partitions_assigned" || said.name === "partitions_revoked") member.assigned()
    if (said.name === "record_data") member.record(said.partition, said.offset, said.value)
  })
  return {
    stop: async () => {
      const closed = new Promise((resolve) => child.once("close", resolve))
      child.kill("SIGTERM")
      await closed
    }
  }
}

const kafkajs: Start = async ({ bootstrap, topic }, seen) => {
  const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 10_000 }
  const kafka = new Kafka({ clientId: "cluster-crash-reader", brokers: bootstrap.split(","), logLevel: logLevel.NOTHING, retry })
  const consumer = kafka.consumer({ groupId: seen.group, sessionTimeout: 10_000, heartbeatInterval: 500, maxWaitTimeInMs: 100, retry })
  const member = seen.member("kafkajs")
  // It begins again from what is committed whenever it joins, and when a fetch failed in the middle of its batches.
  for (const event of [consumer.events.GROUP_JOIN, consumer.events.REBALANCING, consumer.events.CRASH, consumer.events.DISCONNECT]) {
    consumer.on(event, () => member.assigned())
  }
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message, partition }) => member.record(partition, Number(message.offset), message.value?.toString() ?? "")
  })
  return { stop: () => consumer.disconnect() }
}

const ottla: Start = async ({ bootstrap, topic }, seen) => {
  const client = await connect({ "bootstrap.servers": bootstrap })
  const consumer = client.consumer({ "group.id": seen.group, "auto.offset.reset": "earliest", "auto.commit.interval.ms": 500, "session.timeout.ms": 10_000, "heartbeat.interval.ms": 500 })
  const member = seen.member("ottla")
  const records = consumer.subscribe([topic], { onAssigned: member.assigned, onRevoked: member.assigned })
  const reading = (async () => {
    for await (const { offset, partition, value } of records) member.record(partition, offset, text(value) ?? "")
  })().catch((error: unknown) => void seen.complaints.push(`ottla ended: ${String(error)}`))
  return {
    stop: async () => {
      await consumer.close()
      await reading
      await client.close()
    }
  }
}

/** Members by group. */
export const groups: Readonly<Record<string, ReadonlyArray<Start>>> = {
  "java-and-librdkafka": [java, librdkafka],
  kafkajs: [kafkajs],
  ottla: [ottla]
}
