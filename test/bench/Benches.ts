/** What is measured. Contestants alternate in every round; topics go after each, so that the disk stays small. */
import { startKafka } from "../../scripts/peers/Kafka.ts"
import { type Runtime, startOttla } from "../../scripts/peers/Ottla.ts"
import { type Peer, sleep } from "../../scripts/peers/Processes.ts"
import { client } from "./ClientBench.ts"
import { groupsBench } from "./GroupsBench.ts"
import { endToEnd, randomFetch } from "./Latency.ts"
import { replication } from "./ReplicationPeers.ts"
import { blastAt, createTopic, deleteTopic, type Metrics, medians, withCaller } from "./Measure.ts"
import type { Bench, Row } from "./Report.ts"
import { startup } from "./StartupBench.ts"

export interface BenchOptions {
  readonly quick: boolean
  readonly rounds: number
  readonly runtime: Runtime
  /** `kafka`: Kafka in ottla's place, to see what the measurements themselves vary by. */
  readonly against: "ottla" | "kafka"
  readonly print: (line: string) => void
  /** Brokers that one bench leaves to the next: the quick form's, which is to see that all benches run. */
  readonly kept: Map<string, Contestant>
  readonly warmed: WeakSet<Peer>
}

interface Contestant {
  readonly name: string
  readonly peer: Peer
}

/** Of deleted files, in ms. */
const deleteDelayMs = ({ quick }: BenchOptions): number => quick ? 100 : 500
/**
 * Deleted topics free their disk soon; nothing else works in the background. Groups do not wait for their first
 * members, as ours do not by default.
 */
const propertiesOf = (options: BenchOptions): ReadonlyArray<string> => [
  "node.id=1", `log.segment.delete.delay.ms=${deleteDelayMs(options)}`, "log.retention.check.interval.ms=36000000", "group.initial.rebalance.delay.ms=0"
]

/** A new one, or in the quick form what an earlier bench has kept under the same name. */
const obtain = async (options: BenchOptions, name: string, start: () => Promise<Peer>): Promise<Contestant> => {
  const kept = options.kept.get(name)
  if (kept?.peer.alive() === true) return kept
  const contestant = { name, peer: await start() }
  if (options.quick) options.kept.set(name, contestant)
  return contestant
}
const kafka = (options: BenchOptions, name = "Kafka"): Promise<Contestant> =>
  obtain(options, name, () => startKafka({ properties: propertiesOf(options), heap: process.env["KAFKA_HEAP"] ?? "1g" }))
const ottla = (options: BenchOptions, runtime: Runtime, name = "ottla", env: Readonly<Record<string, string>> = {}): Promise<Contestant> =>
  obtain(options, name, () => startOttla({ runtime, overrides: propertiesOf(options), env }))
/** Ours, or another Kafka in its place. */
const subject = (options: BenchOptions): Promise<Contestant> =>
  options.against === "kafka" ? kafka(options, "Kafka again") : ottla(options, options.runtime)

/** After a bench: the quick form keeps its brokers. */
const release = async (contestants: ReadonlyArray<Contestant>, options: BenchOptions): Promise<void> => {
  const kept = new Set(options.kept.values())
  for (const contestant of contestants) if (!kept.has(contestant)) await contestant.peer.kill()
}

/** Ends the brokers that the quick form kept. */
export const releaseAll = async (options: BenchOptions): Promise<void> => {
  for (const { peer } of options.kept.values()) await peer.kill()
  options.kept.clear()
}

interface Case {
  readonly name: string
  readonly partitions: number
  /** Fills the topic before the clock runs. */
  readonly prepare?: (peer: Peer, topic: string) => Promise<unknown>
  readonly measure: (peer: Peer, topic: string) => Promise<Metrics>
}

let topics = 0

const once = async (contestant: Contestant, one: Case, options: BenchOptions): Promise<Metrics> => {
  const topic = `bench-${topics++}`
  await createTopic(contestant.peer, topic, one.partitions)
  try {
    await one.prepare?.(contestant.peer, topic)
    return await one.measure(contestant.peer, topic)
  } finally {
    await deleteTopic(contestant.peer, topic)
    await sleep(deleteDelayMs(options) + 200) // past the delay of deleted files
  }
}

/** Compilers of both kinds need more than one case's warm-up: small requests and large ones, for some seconds. */
const warmUp = async (contestant: Contestant, options: BenchOptions): Promise<void> => {
  await once(contestant, {
    name: "warm-up",
    partitions: 1,
    measure: async (peer, topic) => {
      await blastAt(peer, "produce", topic, ["--record-bytes", "100", "--batch-bytes", "1", "--seconds", options.quick ? "1" : "10"])
      await blastAt(peer, "produce", topic, ["--batch-bytes", "65536", "--megabytes", options.quick ? "200" : "600"])
      return blastAt(peer, "fetch", topic, ["--megabytes", options.quick ? "200" : "500"])
    }
  }, options)
}

/** One round to warm up, which the quick form does without, then rounds in which the contestants take turns. */
const compare = async (contestants: ReadonlyArray<Contestant>, cases: ReadonlyArray<Case>, options: BenchOptions): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const one of cases) {
    const rounds = contestants.map((): Array<Metrics> => [])
    for (let round = options.quick ? 0 : -1; round < options.rounds; round++) {
      for (const [index, contestant] of contestants.entries()) {
        const metrics = await once(contestant, one, options)
        if (round >= 0) rounds[index]?.push(metrics)
      }
    }
    const row = { name: one.name, results: contestants.map(({ name }, i) => ({ contestant: name, metrics: medians(rounds[i] ?? []) })) }
    options.print(`${one.name}: ${row.results.map(({ contestant, metrics }) => `${contestant} ${Object.entries(metrics).slice(0, 4).map(([k, v]) => `${k} ${v.toFixed(2)}`).join(" ")}`).join(" | ")}`)
    rows.push(row)
  }
  return rows
}

const size = (bytes: number): string => bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`

const produceCase = (recordBytes: number, batchBytes: number, partitions: number, megabytes: number): Case => ({
  name: `${size(recordBytes)} records, ${size(batchBytes)} batches, ${partitions} partition${partitions > 1 ? "s" : ""}`,
  partitions,
  measure: (peer, topic) => blastAt(peer, "produce", topic, [
    "--record-bytes", `${recordBytes}`, "--batch-bytes", `${batchBytes}`, "--partitions", `${partitions}`,
    "--connections", partitions > 1 ? "4" : "1", "--megabytes", `${megabytes}`
  ])
})

const against = async (options: BenchOptions, cases: ReadonlyArray<Case>, more: ReadonlyArray<Contestant> = []): Promise<ReadonlyArray<Row>> => {
  const contestants = [await kafka(options), await subject(options), ...more]
  try {
    for (const contestant of contestants) {
      if (options.warmed.has(contestant.peer)) continue
      await warmUp(contestant, options)
      options.warmed.add(contestant.peer)
    }
    return await compare(contestants, cases, options)
  } finally {
    await release(contestants, options)
  }
}

const produce = async (options: BenchOptions): Promise<Bench> => {
  const megabytes = (batch: number): number => (batch >= 1_000_000 ? 1000 : batch > 20_000 ? 600 : 300) / (options.quick ? 4 : 1)
  const cases = [1, 6].flatMap((partitions) =>
    [16_384, 65_536, 1_048_576].flatMap((batch) => [100, 1024, 16_384].map((record) => produceCase(record, batch, partitions, megabytes(batch))))
  )
  const chosen = options.quick ? cases.filter(({ name }) => name.startsWith("1 KiB")) : cases
  return {
    what: "produce",
    title: "Produce",
    about: "Ready-made batches, acks=1, 5 requests in flight per connection; one connection for one partition, four for six.",
    metrics: ["MB/s", "CPU s/GB", "user CPU s/GB", "p99 us"],
    rows: await against(options, chosen),
    rounds: options.rounds
  }
}

const single = async (options: BenchOptions): Promise<Bench> => {
  const seconds = options.quick ? "2" : "6"
  const cases = ([[1, 5], [1, 50], [8, 5]] as const).map(([connections, inFlight]): Case => ({
    name: `${connections} connection${connections > 1 ? "s" : ""}, ${inFlight} in flight`,
    partitions: 1,
    measure: (peer, topic) => blastAt(peer, "produce", topic, [
      "--record-bytes", "100", "--batch-bytes", "1", "--connections", `${connections}`, "--in-flight", `${inFlight}`, "--seconds", seconds
    ])
  }))
  return {
    what: "single",
    title: "Requests with a single record",
    about: "100 B records, one per batch, one batch per request, acks=1, one partition.",
    metrics: ["requests/s", "CPU us/request", "p50 us", "p99 us"],
    rows: await against(options, cases),
    rounds: options.rounds
  }
}

const consume = async (options: BenchOptions): Promise<Bench> => {
  const megabytes = options.quick ? 300 : 1000
  const cases = [65_536, 1_048_576].map((maxBytes): Case => ({
    name: `fetches of ${size(maxBytes)}`,
    partitions: 1,
    prepare: (peer, topic) => blastAt(peer, "produce", topic, ["--record-bytes", "1024", "--batch-bytes", "16384", "--megabytes", `${megabytes}`]),
    measure: (peer, topic) => blastAt(peer, "fetch", topic, ["--max-bytes", `${maxBytes}`, "--megabytes", `${megabytes * 3}`])
  }))
  return {
    what: "consume",
    title: "Consume from the page cache",
    about: "1 KiB records in 16 KiB batches, read again and again; ottla with sendfile, and with it turned off (`OTTLA_SENDFILE=off`).",
    metrics: ["MB/s", "CPU s/GB", "user CPU s/GB", "p99 us"],
    rows: await against(options, cases, options.against === "kafka" ? [] : [await ottla(options, options.runtime, "ottla by copy", { OTTLA_SENDFILE: "off" })]),
    rounds: options.rounds
  }
}

const latency = async (options: BenchOptions): Promise<Bench> => ({
  what: "latency",
  title: "End to end, one record at a time",
  about: "100 B records, acks=1: from sending one until a waiting fetch on another connection has it. The client is the same for both and has its share.",
  metrics: ["mean us", "p99 us", "p50 us"],
  rows: await against(options, [{
    name: "one partition, idle broker",
    partitions: 1,
    measure: (peer, topic) => endToEnd(peer, topic, options.quick ? 2000 : 10_000)
  }]),
  rounds: options.rounds
})

const randomFetches = async (options: BenchOptions): Promise<Bench> => {
  const cases = (options.quick ? [10, 500] : [10, 5000]).map((megabytes): Case => {
    const batches = Math.floor(megabytes * 1e6 / 16_500)
    return {
      name: `partition of ${megabytes >= 1000 ? `${megabytes / 1000} GB` : `${megabytes} MB`}`,
      partitions: 1,
      prepare: (peer, topic) => blastAt(peer, "produce", topic, ["--record-bytes", "1024", "--batch-bytes", "16384", "--requests", `${batches}`]),
      measure: async (peer, topic) => {
        const end = await withCaller(peer, (caller) => caller.ask("ListOffsets", 5, {
          replicaId: -1, isolationLevel: 0, topics: [{ name: topic, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1 }] }]
        }))
        return randomFetch(peer, topic, Number(end["topics"][0]["partitions"][0]["offset"]), options.quick ? 2000 : 5000)
      }
    }
  })
  return {
    what: "random-fetch",
    title: "Fetch at a random offset",
    about: "One 16 KiB batch per fetch at offsets over the whole partition: the cost must not depend on its size.",
    metrics: ["mean us", "p99 us", "p50 us"],
    rows: await against({ ...options, rounds: options.quick ? options.rounds : Math.min(options.rounds, 3) }, cases),
    rounds: options.rounds
  }
}

const partitions = async (options: BenchOptions): Promise<Bench> => ({
  what: "partitions",
  title: "1,000 partitions against 1",
  about: "1 KiB records in 16 KiB batches over one connection with 50 requests in flight, to one partition or to a thousand in turn; each has had two before the clock runs, for a first append makes files.",
  metrics: ["requests/s", "CPU us/request", "MB/s", "p99 us"],
  rows: await against(options, [1, 1000].map((count): Case => ({
    name: `${count} partition${count > 1 ? "s" : ""}`,
    partitions: count,
    prepare: (peer, topic) => blastAt(peer, "produce", topic, [
      "--record-bytes", "1024", "--batch-bytes", "16384", "--partitions", `${count}`, "--in-flight", "50", "--requests", `${2 * count}`
    ]),
    measure: (peer, topic) => blastAt(peer, "produce", topic, [
      "--record-bytes", "1024", "--batch-bytes", "16384", "--partitions", `${count}`, "--in-flight", "50", "--seconds", options.quick ? "3" : "6"
    ])
  }))),
  rounds: options.rounds
})

const runtimes = async (options: BenchOptions): Promise<Bench> => {
  const contestants: Array<Contestant> = []
  for (const [runtime, name] of [["node", "Node"], ["bun", "Bun"], ["deno", "Deno"]] as const) {
    contestants.push(await ottla(options, runtime, name))
  }
  const megabytes = options.quick ? 100 : 400
  const cases: ReadonlyArray<Case> = [
    produceCase(1024, 16_384, 1, megabytes),
    produceCase(1024, 65_536, 1, megabytes),
    {
      name: "single records, 50 in flight",
      partitions: 1,
      measure: (peer, topic) => blastAt(peer, "produce", topic, ["--record-bytes", "100", "--batch-bytes", "1", "--in-flight", "50", "--seconds", "3"])
    },
    {
      name: "fetches of 1 MiB",
      partitions: 1,
      prepare: (peer, topic) => blastAt(peer, "produce", topic, ["--record-bytes", "1024", "--batch-bytes", "16384", "--megabytes", `${megabytes}`]),
      measure: (peer, topic) => blastAt(peer, "fetch", topic, ["--max-bytes", "1048576", "--megabytes", `${megabytes * 3}`])
    }
  ]
  try {
    return {
      what: "runtimes",
      title: "Node, Bun and Deno",
      about: "The same broker on the three runtimes.",
      metrics: ["MB/s", "CPU s/GB", "user CPU s/GB", "CPU us/request"],
      rows: await compare(contestants, cases, options),
      rounds: options.rounds
    }
  } finally {
    await release(contestants, options)
  }
}

const groups = async (options: BenchOptions): Promise<Bench> => {
  const contestants = [await kafka(options), await subject(options)]
  try {
    return await groupsBench(contestants, options)
  } finally {
    await release(contestants, options)
  }
}

export const benches: Readonly<Record<string, (options: BenchOptions) => Promise<Bench>>> = {
  produce,
  single,
  consume,
  latency,
  "random-fetch": randomFetches,
  partitions,
  startup: (options) => startup(options, propertiesOf(options)),
  runtimes,
  client,
  groups,
  replication
}
