/**
 * Our client against kafkajs and @platformatic/kafka: CPU time per record of each client's own process, on the same
 * broker, ours and Apache Kafka, in turn.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { startKafka } from "../../scripts/peers/Kafka.ts"
import { ottlaCommand, type Runtime, startOttla } from "../../scripts/peers/Ottla.ts"
import { type Peer, PeerError } from "../../scripts/peers/Processes.ts"
import type { BenchOptions } from "./Benches.ts"
import { blastAt, createTopic, deleteTopic, type Metrics, medians } from "./Measure.ts"
import type { Bench, Row } from "./Report.ts"

interface Client {
  readonly name: string
  readonly client: "ottla" | "kafkajs" | "platformatic"
  readonly runtime: Runtime
}

/** The first is what the others are compared with. */
const clients: ReadonlyArray<Client> = [
  { name: "kafkajs", client: "kafkajs", runtime: "node" },
  { name: "@platformatic/kafka", client: "platformatic", runtime: "node" },
  { name: "ottla", client: "ottla", runtime: "node" },
  { name: "ottla on Bun", client: "ottla", runtime: "bun" },
  { name: "ottla on Deno", client: "ottla", runtime: "deno" }
]

interface Case {
  readonly what: "produce" | "consume"
  readonly mode: "batched" | "single"
  readonly recordBytes: number
}

const sizes = (quick: boolean): ReadonlyArray<number> => quick ? [100] : [100, 1024]

const cases = (recordBytes: number): ReadonlyArray<Case> =>
  (["produce", "consume"] as const).flatMap((what) => (["batched", "single"] as const).map((mode) => ({ what, mode, recordBytes })))

/** Records of a topic that is read: more than most read in a round, which ends with them at the latest. */
const recordsToRead = (recordBytes: number, quick: boolean): number => (recordBytes === 100 ? 4_000_000 : 1_000_000) / (quick ? 4 : 1)
/** A consumer's first records are not counted, so that many less can be. */
const UNCOUNTED = 50_000

interface Report {
  readonly records: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly userSeconds: number
}

interface Limits {
  readonly seconds: number
  readonly records?: number
}

const ROUND: Limits = { seconds: 0.8 }
const QUICK_ROUND: Limits = { seconds: 0.4 }
/**
 * The round that is not counted. Where each record is awaited there are a hundred times fewer calls in a second than
 * with batches: before some ten thousand a client's code is half compiled, and its compiler is most of what would be
 * measured.
 */
const WARM_UP: Readonly<Record<Case["mode"], Limits>> = { batched: ROUND, single: { seconds: 6, records: 30_000 } }

const program = new URL("./ClientProgram.ts", import.meta.url).pathname

/** A client's process; it ends with its standard input, so also with this one. */
class Contestant {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor({ client, name, runtime }: Client, { mode, recordBytes, what }: Case, peer: Peer, quick: boolean) {
    const [command] = ottlaCommand(runtime)
    const records = recordsToRead(recordBytes, quick) - UNCOUNTED
    this.#name = name
    this.#child = spawn(command, [
      ...runtime === "deno" ? ["run", "--allow-all"] : [],
      program, client, what, mode, peer.bootstrap, `${recordBytes}`, `${what === "produce" ? 1e9 : records}`
    ], { stdio: ["pipe", "pipe", "ignore"], env: { ...process.env, NODE_ENV: "production" } })
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  async round(topic: string, limits: Limits): Promise<Metrics> {
    this.#child.stdin!.write(`${topic} ${limits.seconds}${limits.records === undefined ? "" : ` ${limits.records}`}\n`)
    const line = await this.#lines.next()
    if (line.done === true) throw new PeerError(`${this.#name}: its process ended without an answer`)
    const report = JSON.parse(line.value) as Report
    const { cpuSeconds, records, userSeconds } = report
    return {
      "records/CPU s": records / cpuSeconds,
      "records/s": records / report.seconds,
      "CPU us/record": cpuSeconds * 1e6 / records,
      "user CPU us/record": userSeconds * 1e6 / records
    }
  }

  end(): void {
    this.#child.kill("SIGKILL")
  }
}

let topics = 0

/** Fills a topic with at least so many records. */
const filled = async (peer: Peer, recordBytes: number, records: number): Promise<string> => {
  const topic = `client-${topics++}`
  await createTopic(peer, topic, 1)
  const megabytes = Math.ceil(records * (recordBytes + 12) * 1.02 / 1e6)
  await blastAt(peer, "produce", topic, ["--record-bytes", `${recordBytes}`, "--batch-bytes", "65536", "--megabytes", `${megabytes}`])
  return topic
}

/** A round to warm up, then rounds in which the clients take turns; those that produce have a topic of their own each. */
const compare = async (peer: Peer, one: Case, full: string, options: BenchOptions): Promise<Row["results"]> => {
  const contestants = clients.map((client) => new Contestant(client, one, peer, options.quick))
  const rounds = clients.map((): Array<Metrics> => [])
  // Reading goes by batches either way.
  const warmUp = one.what === "consume" ? "batched" : one.mode
  try {
    for (let n = -1; n < (options.quick ? 1 : options.rounds); n++) {
      for (const [index, contestant] of contestants.entries()) {
        const topic = one.what === "consume" ? full : `client-${topics++}`
        if (topic !== full) await createTopic(peer, topic, 1)
        const metrics = await contestant.round(topic, options.quick ? QUICK_ROUND : n < 0 ? WARM_UP[warmUp] : ROUND)
        if (n >= 0) rounds[index]!.push(metrics)
        if (topic !== full) await deleteTopic(peer, topic)
      }
    }
  } finally {
    for (const contestant of contestants) contestant.end()
  }
  return clients.map(({ name }, i) => ({ contestant: name, metrics: medians(rounds[i]!) }))
}

const AIMS: ReadonlyArray<readonly [client: string, aim: number]> = [["kafkajs", 3], ["@platformatic/kafka", 1.2]]

/** How often ottla on Node does what each of the others does with the same CPU time. */
const aims = (rows: ReadonlyArray<Row>): string => {
  const lines = rows.map(({ name, results }) => {
    const of = (contestant: string): number => results.find((one) => one.contestant === contestant)?.metrics["records/CPU s"] ?? 0
    const cells = AIMS.map(([other, aim]) => {
      const ratio = of("ottla") / of(other)
      return `${ratio >= aim ? "" : "missed: "}**${ratio.toFixed(2)}**`
    })
    return `| ${name} | ${cells.join(" | ")} |`
  })
  return [
    "## ottla on Node against each, records per CPU second",
    "",
    `| | ${AIMS.map(([other, aim]) => `${other} (aim ${aim})`).join(" | ")} |`,
    `|---|${AIMS.map(() => "---:").join("|")}|`,
    ...lines
  ].join("\n")
}

/** The quick form has one round of small records on our broker only. */
export const client = async (options: BenchOptions): Promise<Bench> => {
  const properties = ["node.id=1", "log.segment.delete.delay.ms=500"]
  const brokers: ReadonlyArray<readonly [string, () => Promise<Peer>]> = [
    ["ottla", () => startOttla({ runtime: options.runtime, overrides: properties })],
    ["Kafka", () => startKafka({ properties: [...properties, "group.initial.rebalance.delay.ms=0"], heap: "1g" })]
  ]
  const rows: Array<Row> = []
  for (const [broker, start] of options.quick ? brokers.slice(0, 1) : brokers) {
    const peer = await start()
    try {
      for (const recordBytes of sizes(options.quick)) {
        const full = await filled(peer, recordBytes, recordsToRead(recordBytes, options.quick))
        for (const one of cases(recordBytes)) {
          const results = await compare(peer, one, full, options)
          const size = recordBytes === 1024 ? "1 KiB" : `${recordBytes} B`
          const name = `${one.what} ${size} ${one.mode === "single" ? "one at a time" : "batched"}, broker ${broker}`
          options.print(`${name}: ${results.map(({ contestant, metrics }) => `${contestant} ${Math.round(metrics["records/CPU s"] ?? 0)}/CPU s`).join(" | ")}`)
          rows.push({ name, results })
        }
        await deleteTopic(peer, full)
      }
    } finally {
      await peer.kill()
    }
  }
  options.print(aims(rows))
  return {
    what: "client",
    title: "Clients",
    about: "Records per second of the client process's own CPU time (all its threads), and per second. Each client in a process of its own, " +
      "one topic of one partition, no keys, no compression. Produce: acks=all. Batched: 100 KB of records in a batch and five requests in flight, for " +
      "kafkajs and @platformatic/kafka by `send` with the batch's messages, five at a time (neither waits for more: no linger), for ottla by `offer` " +
      "with batch.size for as many records and linger.ms=5; what each sends is acknowledged before the clock stops. One at a time: each record's " +
      "acknowledgement is awaited before the next is sent (ottla: linger.ms=0). Consume: in a group, from the beginning, batches of 64 KiB " +
      "in the log, 1 MiB from a partition at a time, saving positions by itself every 5 s where the library lets one say so. Batched: kafkajs' `eachBatch`, " +
      "@platformatic/kafka's `data` events, ottla's `poll` of up to 10,000 records; one at a time: `eachMessage`, `for await`, a Stream. " +
      "Each has run before it counts, for 30,000 records (6 s at most) where it awaits each: until its code is compiled. " +
      "What each library does by default is left so: ottla is idempotent and checks the CRC of what it reads, kafkajs does neither. " +
      "kafkajs and @platformatic/kafka run on Node.",
    metrics: ["records/CPU s", "records/s"],
    rows,
    rounds: options.rounds,
    notes: aims(rows)
  }
}
