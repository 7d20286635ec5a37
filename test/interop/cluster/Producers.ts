/**
 * Producers of numbered records, idempotent and with acks=all, of four libraries: values `PREFIX.NUMBER` from 0 on, each
 * sent once. They tell what was acknowledged where, and what was given up.
 */
import kafkaJs from "kafkajs"
import { type ChildProcess, spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { installKafka } from "../../../scripts/peers/Kafka.ts"
import { sleep, temporaryDirectory } from "../../../scripts/peers/Processes.ts"
import { pythonPath } from "../../../scripts/peers/Python.ts"
import { connect } from "./Connect.ts"

const { Kafka, logLevel } = kafkaJs

/** A record is given up after so long without an acknowledgement: longer than any failover. In milliseconds. */
const DELIVERY_TIMEOUT_MS = 300_000
/** What is in flight when a producer stops is waited for as long. */
const STOP_TIMEOUT_MS = 120_000

export interface ProducerOptions {
  readonly bootstrap: string
  readonly topic: string
  readonly partitions: number
  /** Aimed at; fewer when the cluster is not there. */
  readonly perSecond: number
}

/** What was told of the records of one producer. */
export class Told {
  readonly name: string
  readonly prefix: number
  /** By number: `partition offset`; the offset is -1 when a duplicate was acknowledged without one. */
  readonly acknowledged: Map<number, string> = new Map()
  /** Records that were given up, with the reason. */
  readonly failed: Array<string> = []
  /** What must not be: told twice, or a program that ended. */
  readonly complaints: Array<string> = []
  /** The highest number that was acknowledged; -1 before the first. */
  newest = -1
  #settled = 0

  constructor(name: string, prefix: number) {
    this.name = name
    this.prefix = prefix
  }

  acknowledge(number: number, partition: number, offset: number): void {
    if (this.acknowledged.has(number)) this.complaints.push(`${this.name}: ${number} was acknowledged twice`)
    this.acknowledged.set(number, `${partition} ${offset}`)
    this.newest = Math.max(this.newest, number)
  }

  /** The oldest record that is not acknowledged: all before it are. */
  get oldestOpen(): number {
    while (this.acknowledged.has(this.#settled)) this.#settled++
    return this.#settled
  }
}

export interface RunningProducer {
  readonly told: Told
  /** Sends no more; done when all that was sent has its fate. */
  readonly stop: () => Promise<void>
}

type Start = (options: ProducerOptions) => Promise<RunningProducer>

const exited = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => child.exitCode !== null || child.signalCode !== null ? resolve(child.exitCode) : child.once("close", (code) => resolve(code)))

/** Ended by what the program itself takes for its end; killed when it does not end. */
const ending = (child: ChildProcess, told: Told, ask: () => void, stderr: () => string) => async (): Promise<void> => {
  if (child.exitCode !== null) told.complaints.push(`${told.name} ended by itself with ${child.exitCode}: ${stderr()}`)
  ask()
  const late = sleep(STOP_TIMEOUT_MS).then(() => "late" as const)
  if (await Promise.race([exited(child), late]) === "late") {
    child.kill("SIGKILL")
    told.complaints.push(`${told.name} did not end within ${STOP_TIMEOUT_MS / 1000} s: ${stderr()}`)
  }
}

const wordsOf = (child: ChildProcess): () => string => {
  let words = ""
  child.stderr?.on("data", (bytes: Buffer) => {
    words = (words + bytes.toString()).slice(-1500)
  })
  return () => words
}

/** Kafka's own tool for system tests. It has no retries of its own: the configuration gives it the client's defaults. */
const java: Start = async ({ bootstrap, perSecond, topic }) => {
  const told = new Told("Java", 1)
  const jars = await installKafka()
  const config = join(temporaryDirectory("java-producer"), "producer.properties")
  writeFileSync(config, [
    "enable.idempotence=true",
    "retries=2147483647",
    `delivery.timeout.ms=${DELIVERY_TIMEOUT_MS}`,
    "linger.ms=5",
    "reconnect.backoff.max.ms=500",
    ""
  ].join("\n"))
  const child = spawn("java", [
    "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", `${jars}/*`, "org.apache.kafka.tools.VerifiableProducer",
    "--bootstrap-server", bootstrap, "--topic", topic, "--acks", "-1", "--throughput", `${perSecond}`,
    "--value-prefix", `${told.prefix}`, "--command-config", config
  ], { stdio: ["ignore", "pipe", "pipe"] })
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) return
    const said = JSON.parse(line) as { readonly name: string; readonly value: string; readonly partition: number; readonly offset: number; readonly message?: string }
    if (said.name === "producer_send_success") told.acknowledge(Number(said.value.split(".")[1]), said.partition, said.offset)
    if (said.name === "producer_send_error") told.failed.push(`${said.value}: ${said.message}`)
  })
  const stderr = wordsOf(child)
  return { told, stop: ending(child, told, () => child.kill("SIGTERM"), stderr) }
}

/** Prints `number partition offset`, or `! number error`; ends when its standard input does. */
const confluentProgram = `
import sys, threading, time
from confluent_kafka import Producer
server, topic, prefix, per_second, timeout = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
producer = Producer({"bootstrap.servers": server, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
    "message.timeout.ms": timeout, "reconnect.backoff.max.ms": 500, "log_level": 0})
def fate(number):
    def tell(error, record):
        print(f"! {number} {error}" if error else f"{number} {record.partition()} {record.offset()}")
    return tell
number, begin = 0, time.time()
while not stop.is_set():
    try:
        producer.produce(topic, value=f"{prefix}.{number}", on_delivery=fate(number))
        number += 1
    except BufferError:
        producer.poll(0.1)
    producer.poll(0)
    if number % 10 == 0:
        sys.stdout.flush()
        ahead = number / per_second - (time.time() - begin)
        if ahead > 0:
            time.sleep(ahead)
if producer.flush(timeout / 1000) > 0:
    print("! -1 not all were delivered")
`

const librdkafka: Start = async ({ bootstrap, perSecond, topic }) => {
  const told = new Told("librdkafka", 2)
  const child = spawn(await pythonPath(), ["-c", confluentProgram, bootstrap, topic, `${told.prefix}`, `${perSecond}`, `${DELIVERY_TIMEOUT_MS}`], { stdio: ["pipe", "pipe", "pipe"] })
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.startsWith("!")) return void told.failed.push(line)
    const [number = -1, partition = -1, offset = -1] = line.split(" ").map(Number)
    told.acknowledge(number, partition, offset)
  })
  const stderr = wordsOf(child)
  return { told, stop: ending(child, told, () => child.stdin.end(), stderr) }
}

/** Calls `send` so often a second until `stop`, each call after the one before. */
const paced = (told: Told, perSecond: number, send: (round: number) => Promise<void>): RunningProducer => {
  let stopping = false
  const begin = performance.now()
  const run = (async () => {
    for (let round = 0; !stopping; round++) {
      await send(round).catch((error: unknown) => void told.failed.push(`round ${round}: ${error instanceof Error ? error.message : String(error)}`))
      const ahead = round / perSecond * 1000 - (performance.now() - begin)
      if (ahead > 0) await sleep(ahead)
    }
  })()
  return {
    told,
    stop: async () => {
      stopping = true
      await run
    }
  }
}

/** Records in one request of kafkajs, which sends one request at a time. */
const KAFKAJS_BATCH = 10

const kafkajs: Start = async ({ bootstrap, partitions, perSecond, topic }) => {
  const told = new Told("kafkajs", 3)
  const kafka = new Kafka({ clientId: "cluster-crash", brokers: bootstrap.split(","), logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 10_000 } })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 10_000 } })
  await producer.connect()
  const running = paced(told, perSecond / KAFKAJS_BATCH, async (round) => {
    const first = round * KAFKAJS_BATCH
    const partition = round % partitions
    const messages = Array.from({ length: KAFKAJS_BATCH }, (_, i) => ({ value: `${told.prefix}.${first + i}`, partition }))
    const [answer] = await producer.send({ topic, acks: -1, messages })
    const base = Number(answer?.baseOffset ?? -1)
    for (const [i] of messages.entries()) told.acknowledge(first + i, partition, base < 0 ? -1 : base + i)
  })
  return {
    told,
    stop: async () => {
      await running.stop()
      await producer.disconnect()
    }
  }
}

const ottla: Start = async ({ bootstrap, perSecond, topic }) => {
  const told = new Told("ottla", 4)
  const client = await connect({ "bootstrap.servers": bootstrap })
  const producer = client.producer({ "delivery.timeout.ms": DELIVERY_TIMEOUT_MS, "max.block.ms": DELIVERY_TIMEOUT_MS })
  const open = new Set<Promise<void>>()
  const running = paced(told, perSecond, async (number) => {
    const fate = producer.send({ topic, value: `${told.prefix}.${number}` }).then(
      ({ offset, partition }) => told.acknowledge(number, partition, offset),
      (error: unknown) => void told.failed.push(`${number}: ${String(error)}`)
    )
    open.add(fate)
    void fate.finally(() => open.delete(fate))
    // Its place in the order is taken when it is called; the buffer of the client bounds what waits.
    if (open.size > 5000) await Promise.race(open)
  })
  return {
    told,
    stop: async () => {
      await running.stop()
      await Promise.all(open)
      await client.close()
    }
  }
}

export const producers: Readonly<Record<string, Start>> = { java, librdkafka, kafkajs, ottla }
