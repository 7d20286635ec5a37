/**
 * Three brokers that replicate: produce with acks=all to three replicas, processor time of the whole cluster, and how long
 * nobody can write after a leader's death or stop. Kafka's brokers are a process each, ours are one process together.
 */
import { blast } from "../../scripts/peers/Blast.ts"
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import type { ClusterBroker, ClusterPeer } from "../../scripts/peers/Clusters.ts"
import { PeerError, runOrThrow, sleep, waitFor } from "../../scripts/peers/Processes.ts"
import { buildBatch } from "../oracle/Batches.ts"
import { median, medians, type Metrics, processorSeconds } from "./Measure.ts"
import type { Bench, Row } from "./Report.ts"

export interface ReplicationContestant {
  readonly name: string
  readonly cluster: ClusterPeer
}

export interface ReplicationOptions {
  readonly quick: boolean
  readonly rounds: number
  readonly print: (line: string) => void
}

/** What both clusters are told. */
export const REPLICATION_SETTINGS: ReadonlyArray<string> = [
  "min.insync.replicas=2",
  "log.segment.delete.delay.ms=500",
  "log.retention.check.interval.ms=36000000",
  "auto.leader.rebalance.enable=false"
]
/** Kafka's default, which both have. */
const SESSION_TIMEOUT_MS = 9000

const IDS = [1, 2, 3]
/** The leader first. */
const replicasOf = (leader: number): ReadonlyArray<number> => [leader, ...IDS.filter((id) => id !== leader)]

const withCaller = async <A>({ host, port }: ClusterBroker, use: (caller: Caller) => Promise<A>): Promise<A> => {
  const caller = await Caller.connect(host, port)
  try {
    return await use(caller)
  } finally {
    caller.close()
  }
}

/** The first partition of a topic, as a broker has it; undefined: it has none yet. */
const partitionOf = async (broker: ClusterBroker, topic: string): Promise<Fields | undefined> => {
  const answer = await withCaller(broker, (caller) =>
    caller.ask("Metadata", 12, { topics: [{ name: topic, topicId: "AAAAAAAAAAAAAAAAAAAAAA" }], allowAutoTopicCreation: false, includeTopicAuthorizedOperations: false }, 5000))
  return (answer["topics"] as ReadonlyArray<Fields>)[0]?.["partitions"]?.[0] as Fields | undefined
}

/** All its replicas are there and in sync. */
const whole = (cluster: ClusterPeer, topic: string): Promise<unknown> =>
  waitFor(`${cluster.name}: ${topic} in sync`, 60_000, async () => {
    const seen = await Promise.all(cluster.brokers.map((broker) => partitionOf(broker, topic).catch(() => undefined)))
    return seen.every((one) => one !== undefined && one["leaderId"] >= 0 && one["isrNodes"].length === IDS.length) ? true : undefined
  })

/** A topic of one partition with three replicas, led by this broker. */
const createTopic = async (cluster: ClusterPeer, topic: string, leader: number): Promise<void> => {
  const answer = await withCaller(cluster.brokers[0]!, (caller) =>
    caller.ask("CreateTopics", 7, {
      topics: [{ name: topic, numPartitions: -1, replicationFactor: -1, assignments: [{ partitionIndex: 0, brokerIds: replicasOf(leader) }], configs: [] }],
      timeoutMs: 30_000,
      validateOnly: false
    }))
  const [created] = answer["topics"] as ReadonlyArray<Fields>
  if (created?.["errorCode"] !== 0) throw new PeerError(`${cluster.name}: creating ${topic}: error ${created?.["errorCode"]} ${created?.["errorMessage"]}`)
  await whole(cluster, topic)
}

const deleteTopic = async (cluster: ClusterPeer, topic: string): Promise<void> =>
  void await withCaller(cluster.brokers[0]!, (caller) => caller.ask("DeleteTopics", 5, { topicNames: [topic], timeoutMs: 30_000 }))

// -- produce ---------------------------------------------------------------------------------------------------------

interface BlastReport {
  readonly mb_per_s: number
  readonly megabytes?: number
  readonly latency_us: { readonly p50: number; readonly p99: number }
}

interface Produce {
  readonly name: string
  /** Leaders that are written to at the same time, a topic and a load each. */
  readonly leaders: number
  readonly args: ReadonlyArray<string>
  /** Of record batches, over all leaders; 0: the latency is what counts. */
  readonly megabytes: number
}

let topics = 0

const produceOnce = async ({ cluster }: ReplicationContestant, one: Produce): Promise<Metrics> => {
  const leaders = IDS.slice(0, one.leaders)
  const names = leaders.map(() => `bench-${topics++}`)
  for (const [i, leader] of leaders.entries()) await createTopic(cluster, names[i]!, leader)
  try {
    const program = await blast()
    const before = cluster.pids().map(processorSeconds)
    const begin = performance.now()
    const reports = await Promise.all(leaders.map(async (leader, i) => {
      const { host, port } = cluster.brokers[leader - 1]!
      const { stdout } = await runOrThrow(program, [
        "produce", "--broker", `${host}:${port}`, "--topic", names[i]!, "--acks", "-1", "--json", ...one.args,
        ...one.megabytes === 0 ? [] : ["--megabytes", `${Math.round(one.megabytes / leaders.length)}`]
      ], { timeoutMs: 600_000 })
      return JSON.parse(stdout) as BlastReport
    }))
    const seconds = (performance.now() - begin) / 1000
    const after = cluster.pids().map(processorSeconds)
    const used = (kind: "user" | "system"): number => after.reduce((sum, now, i) => sum + now[kind] - before[i]![kind], 0)
    const latency = { "p50 us": median(reports.map(({ latency_us }) => latency_us.p50)), "p99 us": median(reports.map(({ latency_us }) => latency_us.p99)) }
    if (one.megabytes === 0) return latency
    return {
      "MB/s": one.megabytes / seconds,
      "CPU s/GB": (used("user") + used("system")) / (one.megabytes / 1000),
      "user CPU s/GB": used("user") / (one.megabytes / 1000),
      ...latency
    }
  } finally {
    for (const name of names) await deleteTopic(cluster, name)
    await sleep(1000) // past the delay of deleted files
  }
}

// -- failover --------------------------------------------------------------------------------------------------------

const produceRequest = (topic: string): Fields => ({
  transactionalId: null,
  acks: -1,
  timeoutMs: 5000,
  topicData: [{ name: topic, partitionData: [{ index: 0, records: buildBatch({ records: [{ key: null, value: new Uint8Array(1024), timestamp: Date.now() }] }) }] }]
})

/** One record with acks=all, sent to whom some broker calls the leader. Whether it was acknowledged. */
const tryOnce = async (brokers: ReadonlyArray<ClusterBroker>, topic: string): Promise<boolean> => {
  for (const broker of brokers) {
    try {
      const leader = (await partitionOf(broker, topic))?.["leaderId"]
      const leading = brokers.find(({ id }) => id === leader)
      if (leading === undefined) continue
      const answer = await withCaller(leading, (caller) => caller.ask("Produce", 11, produceRequest(topic), 6000))
      if (answer["responses"][0]["partitionResponses"][0]["errorCode"] === 0) return true
    } catch {
      // not there: the next one
    }
  }
  return false
}

/** Milliseconds from the leader's end until a record is acknowledged again. Clients' own pauses are left out: this one asks all the time. */
const failover = async ({ cluster }: ReplicationContestant, how: "killed" | "stopped"): Promise<number> => {
  const topic = `failover-${topics++}`
  // Not the first, which in Kafka's cluster may be the active controller, too.
  const victim = 2
  await createTopic(cluster, topic, victim)
  if (!await tryOnce(cluster.brokers, topic)) throw new PeerError(`${cluster.name}: ${topic} takes no record`)
  const others = cluster.brokers.filter(({ id }) => id !== victim)
  const begin = performance.now()
  // A stopping broker goes on until its leadership has moved: what counts is the longest time between two records.
  let ended = false
  const end = (how === "killed" ? cluster.killBroker(victim) : cluster.stopBroker(victim)).then(() => {
    ended = true
  })
  let last = begin
  let longest = 0
  for (;;) {
    const isOver = ended
    if (await tryOnce(how === "killed" ? others : cluster.brokers, topic)) {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
      if (isOver) break
    } else if (performance.now() - last > 60_000) throw new PeerError(`${cluster.name}: ${topic} takes no record a minute after its leader was ${how}`)
    await sleep(2)
  }
  await end
  await cluster.startBroker(victim)
  await whole(cluster, topic)
  await deleteTopic(cluster, topic)
  return longest
}

// -- the bench -------------------------------------------------------------------------------------------------------

const warmUp = async (contestant: ReplicationContestant, options: ReplicationOptions): Promise<void> => {
  for (const batch of ["16384", "65536"]) {
    await produceOnce(contestant, { name: "warm-up", leaders: 3, args: ["--record-bytes", "1024", "--batch-bytes", batch], megabytes: options.quick ? 60 : 300 })
  }
}

export const replicationBench = async (contestants: ReadonlyArray<ReplicationContestant>, options: ReplicationOptions): Promise<Bench> => {
  const scale = options.quick ? 0.25 : 1
  const produce = (leaders: number, batch: number, megabytes: number): Produce => ({
    name: `1 KiB records, ${batch / 1024} KiB batches, ${leaders} leader${leaders > 1 ? "s" : ""}`,
    leaders,
    args: ["--record-bytes", "1024", "--batch-bytes", `${batch}`],
    megabytes: megabytes * scale
  })
  const cases: ReadonlyArray<Produce> = [
    produce(1, 16_384, 150),
    produce(1, 65_536, 300),
    produce(3, 16_384, 150),
    produce(3, 65_536, 300),
    { name: "one 1 KiB record at a time, 1 leader", leaders: 1, args: ["--record-bytes", "1024", "--batch-bytes", "1", "--in-flight", "1", "--seconds", options.quick ? "1" : "4"], megabytes: 0 }
  ]
  for (const contestant of contestants) await warmUp(contestant, options)
  const rows: Array<Row> = []
  const add = async (name: string, measure: (contestant: ReplicationContestant) => Promise<Metrics>, count: number): Promise<void> => {
    const rounds = contestants.map((): Array<Metrics> => [])
    for (let round = 0; round < count; round++) {
      for (const [index, contestant] of contestants.entries()) rounds[index]!.push(await measure(contestant))
    }
    const row: Row = { name, results: contestants.map((contestant, i) => ({ contestant: contestant.name, metrics: medians(rounds[i]!) })) }
    options.print(`${name}: ${row.results.map(({ contestant, metrics }) => `${contestant} ${Object.entries(metrics).map(([k, v]) => `${k} ${v.toFixed(2)}`).join(" ")}`).join(" | ")}`)
    rows.push(row)
  }
  for (const one of cases) await add(one.name, (contestant) => produceOnce(contestant, one), options.rounds)
  const failovers = options.quick ? 1 : options.rounds
  for (const how of ["killed", "stopped"] as const) {
    await add(`no service after the leader was ${how}`, async (contestant) => ({ "without service ms": await failover(contestant, how) }), failovers)
  }
  return {
    what: "replication",
    title: "Replication",
    about: "Three brokers, three replicas, acks=all, min.insync.replicas=2; ready-made batches, 5 requests in flight for each leader. " +
      "Processor time is that of the whole cluster: Kafka's brokers are three processes (512 MB heap each), ours are one process on Node (`ottla start --brokers 3`), with one loop for all three. " +
      `Without service: from the leader's end to the next record that is acknowledged, asked for all the time by a client that does not wait; both have Kafka's default session timeout of ${SESSION_TIMEOUT_MS / 1000} s, after which a killed broker is missed.`,
    metrics: ["MB/s", "CPU s/GB", "user CPU s/GB", "p50 us", "p99 us", "without service ms"],
    rows,
    rounds: options.rounds
  }
}
