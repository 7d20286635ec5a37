/**
 * Our client against kafkajs and @platformatic/kafka: CPU time per record of each client's own process, on the same
 * broker, ours and Apache Kafka, in turn.
 */
import { startKafka } from "../../scripts/peers/Kafka.ts"
import { ottlaCommand, type Runtime, startOttla } from "../../scripts/peers/Ottla.ts"
import { type Peer, runOrThrow, sleep } from "../../scripts/peers/Processes.ts"
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
  readonly records: number
}

const cases = (quick: boolean): ReadonlyArray<Case> => {
  const scale = quick ? 0.2 : 1
  return [100, 1024].flatMap((recordBytes): ReadonlyArray<Case> => {
    const many = Math.round((recordBytes === 100 ? 1_500_000 : 600_000) * scale)
    return [
      { what: "produce", mode: "batched", recordBytes, records: many },
      { what: "produce", mode: "single", recordBytes, records: Math.round(15_000 * scale) },
      { what: "consume", mode: "batched", recordBytes, records: many },
      { what: "consume", mode: "single", recordBytes, records: many }
    ]
  })
}

interface Report {
  readonly records: number
  readonly seconds: number
  readonly cpuSeconds: number
}

const program = new URL("./ClientProgram.ts", import.meta.url).pathname

const programOf = (runtime: Runtime): readonly [string, ...ReadonlyArray<string>] => {
  const [command] = ottlaCommand(runtime)
  return [command, ...runtime === "deno" ? ["run", "--allow-all"] : []]
}

const measure = async ({ client, runtime }: Client, peer: Peer, topic: string, one: Case): Promise<Metrics> => {
  const [command, ...args] = programOf(runtime)
  const { stdout } = await runOrThrow(command, [
    ...args, program, client, one.what, one.mode, peer.bootstrap, topic, `${one.recordBytes}`, `${one.records}`
  ], { timeoutMs: 300_000 })
  const { cpuSeconds, records, seconds } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Report
  return { "records/CPU s": records / cpuSeconds, "records/s": records / seconds, "CPU us/record": cpuSeconds * 1e6 / records }
}

let topics = 0

/** Fills a topic with at least so many records. */
const filled = async (peer: Peer, { recordBytes, records }: Case): Promise<string> => {
  const topic = `client-${topics++}`
  await createTopic(peer, topic, 1)
  const megabytes = Math.ceil(records * (recordBytes + 12) * 1.1 / 1e6)
  await blastAt(peer, "produce", topic, ["--record-bytes", `${recordBytes}`, "--batch-bytes", "65536", "--megabytes", `${megabytes}`])
  return topic
}

/** One round of a case: each client in turn; those that produce have a topic of their own. */
const round = async (peer: Peer, one: Case): Promise<ReadonlyArray<Metrics>> => {
  const shared = one.what === "consume" ? await filled(peer, one) : undefined
  const results: Array<Metrics> = []
  for (const client of clients) {
    const topic = shared ?? `client-${topics++}`
    if (shared === undefined) await createTopic(peer, topic, 1)
    results.push(await measure(client, peer, topic, one))
    if (shared === undefined) await deleteTopic(peer, topic)
  }
  if (shared !== undefined) await deleteTopic(peer, shared)
  await sleep(700) // past the delay of deleted files
  return results
}

export const client = async (options: BenchOptions): Promise<Bench> => {
  const properties = ["node.id=1", "log.segment.delete.delay.ms=500"]
  const brokers: ReadonlyArray<readonly [string, () => Promise<Peer>]> = [
    ["ottla", () => startOttla({ runtime: options.runtime, overrides: properties })],
    ["Kafka", () => startKafka({ properties: [...properties, "group.initial.rebalance.delay.ms=0"], heap: "1g" })]
  ]
  const rows: Array<Row> = []
  for (const [broker, start] of brokers) {
    const peer = await start()
    try {
      for (const one of cases(options.quick)) {
        const rounds: Array<ReadonlyArray<Metrics>> = []
        for (let n = 0; n < options.rounds; n++) rounds.push(await round(peer, one))
        const size = one.recordBytes === 1024 ? "1 KiB" : `${one.recordBytes} B`
        const name = `${one.what} ${size} ${one.mode === "single" ? "one at a time" : "batched"}, broker ${broker}`
        const row = { name, results: clients.map((contestant, i) => ({ contestant: contestant.name, metrics: medians(rounds.map((results) => results[i] ?? {})) })) }
        options.print(`${name}: ${row.results.map(({ contestant, metrics }) => `${contestant} ${Math.round(metrics["records/CPU s"] ?? 0)}/CPU s`).join(" | ")}`)
        rows.push(row)
      }
    } finally {
      await peer.kill()
    }
  }
  return {
    what: "client",
    title: "Clients",
    about: "CPU time of the client's process. produce: acks=all, one partition; batched: batches of 100 KB, five requests in flight; " +
      "one at a time: each record's acknowledgement is awaited before the next. consume: in a group, from the beginning; batched: what a " +
      "fetch brought, one at a time: each record by itself (eachMessage, a stream). kafkajs and @platformatic/kafka run on Node and are not idempotent by default, ottla is.",
    metrics: ["records/CPU s", "records/s"],
    rows,
    rounds: options.rounds
  }
}
