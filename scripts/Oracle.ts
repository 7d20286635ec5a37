/**
 * The oracle: seeded sequences of requests go to Apache Kafka and to ottla, and the answers must agree.
 *
 *   npm run oracle -- --seeds 20 [--first 1] [--requests 60] [--runtime node] [--against ottla|kafka]
 *                     [--kafka HOST:PORT] [--ottla HOST:PORT] [--trace] [--all] [--keep] [--focus groups|others|both]
 *                     [--brokers 3]
 *
 * Each difference is printed with what replays it; even seeds are about groups, or all with `--focus groups`. What is accepted stands in docs/compatibility.md, with reasons.
 * `--against kafka` compares Kafka with itself: there must be no difference, and none means that the oracle is sound.
 * `--brokers 3` asks clusters of three brokers about replicas, reassignments and elections, also while one is dead.
 * `--all` prints every difference, not one of each kind; `--keep` leaves the topics of brokers given by address. Exit code 1 when anything differed.
 */
import { readFileSync } from "node:fs"
import { errorName } from "../core/protocol/ErrorCode.ts"
import { Broker } from "../test/oracle/Broker.ts"
import { clusterProperties, runClusterOracle } from "../test/oracle/ClusterSequence.ts"
import { parseAccepted } from "../test/oracle/Differences.ts"
import { groupApis } from "../test/oracle/Groups.ts"
import { emptyReport, type Found, type Report, runSequence } from "../test/oracle/Sequence.ts"
import { startKafkaCluster, startOttlaCluster } from "./peers/Clusters.ts"
import { startKafka } from "./peers/Kafka.ts"
import { parseRuntimes, startOttla } from "./peers/Ottla.ts"
import { type Peer, PeerError, repository, waitFor } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

/** The same on both sides: nothing in the background may change a log between two answers. */
const properties: ReadonlyArray<string> = [
  "log.retention.ms=-1",
  "log.retention.check.interval.ms=36000000",
  "log.cleaner.backoff.ms=36000000",
  "offsets.topic.replication.factor=1",
  "transaction.state.log.replication.factor=1",
  "transaction.state.log.min.isr=1",
  "share.coordinator.state.topic.replication.factor=1",
  "share.coordinator.state.topic.min.isr=1",
  // a group's first rebalance waits for nobody, and a member may be given up soon
  "group.initial.rebalance.delay.ms=0",
  "group.min.session.timeout.ms=100",
  "node.id=1"
]

const options = scriptOptions(import.meta.url, {
  options: {
    seeds: { type: "string", default: "10" },
    first: { type: "string", default: "1" },
    requests: { type: "string", default: "80" },
    runtime: { type: "string", default: "node" },
    against: { type: "string", default: "ottla" },
    kafka: { type: "string" },
    ottla: { type: "string" },
    trace: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    brokers: { type: "string", default: "1" },
    focus: { type: "string", default: "both" }
  }
}).values

const peers: Array<Peer> = []

const brokerAt = async (name: string, address: string | undefined, start: () => Promise<Peer>): Promise<Broker> => {
  if (address !== undefined) {
    const [host = "127.0.0.1", port = "9092"] = address.split(":")
    return new Broker(name, host, Number(port))
  }
  const peer = await start()
  peers.push(peer)
  return new Broker(name, peer.host, peer.port)
}

const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** An error's name, or what else became of a request. */
const outcomeName = (outcome: string): string => Number.isNaN(Number(outcome)) ? outcome : errorName(Number(outcome))

const show = (found: Found): void => {
  print(`seed ${found.seed} request ${found.request}: ${found.api} ${found.version} ${found.path}`)
  print(`  kafka  ${found.kafka.slice(0, 600)}`)
  print(`  ottla  ${found.ottla.slice(0, 600)}`)
  print(`  asked  ${found.asked.slice(0, 900)}`)
  print(`  replay npm run oracle -- --seeds 1 --first ${found.seed} ${options.brokers === "1" ? `--requests ${found.request + 1} --focus ${options.focus}` : `--requests ${options.requests} --brokers ${options.brokers}`}`)
}

/** Differences that did not come again. */
let flukes = 0

/**
 * Timeouts of groups are real time, and a machine that stands still for a second makes them fire on one side only: what
 * differs in a group is asked again, and counts when it differs again.
 */
const confirmed = async (found: ReadonlyArray<Found>, run: (report: Report) => Promise<void>): Promise<ReadonlyArray<Found>> => {
  if (!found.some(({ api }) => groupApis.has(api))) return found
  const again = emptyReport()
  await run(again)
  const kept = found.filter((one) => !groupApis.has(one.api) || again.found.some((other) => other.request === one.request && other.fields === one.fields))
  flukes += found.length - kept.length
  for (const one of found) if (!kept.includes(one)) print(`seed ${one.seed} request ${one.request}: ${one.api} ${one.path} differed once, and not when asked again`)
  return kept
}

const main = async (): Promise<number> => {
  const [runtime = "node"] = parseRuntimes(options.runtime)
  const [judge, subject] = await Promise.all([
    brokerAt("kafka", options.kafka, () => startKafka({ properties })),
    brokerAt(options.against, options.ottla, () =>
      options.against === "kafka" ? startKafka({ properties }) : startOttla({ runtime, overrides: properties }))
  ])
  const [theirs, ours] = [await judge.versions(), await subject.versions()]
  const versions = (api: string): readonly [number, number] | undefined => {
    const [a, b] = [theirs.get(api), ours.get(api)]
    if (a === undefined || b === undefined) return undefined
    // Produce is advertised from 0, and no version below 3 exists
    return [Math.max(a[0], b[0], api === "Produce" ? 3 : 0), Math.min(a[1], b[1])]
  }
  // Kafka answers the first of these with COORDINATOR_LOAD_IN_PROGRESS: it has to ask for a block of ids
  const noProducer = { transactionalId: null, transactionTimeoutMs: 60_000, producerId: -1, producerEpoch: -1 }
  for (const broker of [judge, subject]) {
    await waitFor("a producer id", 10_000, async () => (await broker.ask("InitProducerId", 4, noProducer))["errorCode"] === 0 ? true : undefined)
  }
  // the first question for a coordinator creates the topic of the groups
  const group = { groups: ["o-first"], includeAuthorizedOperations: false }
  for (const broker of versions("DescribeGroups") === undefined ? [] : [judge, subject]) {
    await waitFor("the group coordinator", 30_000, async () => {
      await broker.ask("FindCoordinator", 4, { keyType: 0, coordinatorKeys: ["o-first"] })
      const described = (await broker.ask("DescribeGroups", 5, group))["groups"] as ReadonlyArray<{ readonly errorCode: number }>
      return described[0]?.errorCode === 0 ? true : undefined
    })
  }
  const accepted = parseAccepted(readFileSync(`${repository}/docs/compatibility.md`, "utf8"))
  const report = emptyReport()
  const [first, seeds] = [Number(options.first), Number(options.seeds)]
  const begin = performance.now()
  let broken = 0
  const focus = options.focus === "groups" || options.focus === "others" ? options.focus : "both"
  const nowMs = Date.now() - 2000
  for (let seed = first; seed < first + seeds; seed++) {
    const before = report.found.length
    try {
      await runSequence({
        seed, requests: Number(options.requests), judge, subject, nowMs, versions, accepted, report, keep: options.keep, focus,
        ...(options.trace ? { trace: print } : {})
      })
    } catch (error) {
      broken++
      print(`seed ${seed}: ${error instanceof PeerError ? error.message : error instanceof Error ? error.stack : String(error)}`)
      judge.close()
      subject.close()
    }
    for (const peer of peers) if (!peer.alive()) throw new PeerError(`${peer.name} died at seed ${seed}:\n${peer.log().slice(-4000)}`)
    const fresh = await confirmed(report.found.splice(before), (again) =>
      runSequence({ seed, requests: Number(options.requests), judge, subject, nowMs, versions, accepted, report: again, focus }))
    report.found.push(...fresh)
    const kinds = new Set<string>()
    for (const found of fresh) {
      const kind = `${found.api} ${found.fields} ${found.kafka} ${found.ottla}`
      if (!options.all && (kinds.has(kind) || report.found.slice(0, before).some((f) => `${f.api} ${f.fields} ${f.kafka} ${f.ottla}` === kind))) continue
      kinds.add(kind)
      show(found)
    }
  }
  return summarize(report, seeds, broken, begin)
}

/** What was asked, what differed, what was accepted. @returns the exit code */
const summarize = (report: Report, seeds: number, broken: number, begin: number): number => {
  print("")
  const kindCounts = new Map<string, { count: number; example: Found }>()
  for (const found of report.found) {
    const kind = `${found.api} ${found.fields}`
    kindCounts.set(kind, { count: (kindCounts.get(kind)?.count ?? 0) + 1, example: kindCounts.get(kind)?.example ?? found })
  }
  for (const [kind, { count, example }] of kindCounts) print(`differs ${count} times: ${kind}: kafka ${example.kafka.slice(0, 80)} ottla ${example.ottla.slice(0, 80)} (seed ${example.seed} request ${example.request})`)
  for (const [key, message] of report.messages) print(`words: ${key.split(" ").slice(0, 2).join(" ")}\n  kafka  ${message.kafka.slice(0, 300)}\n  ottla  ${message.ottla.slice(0, 300)}`)
  for (const [row, count] of report.accepted) print(`accepted ${count} times: ${row.api} ${row.versions} ${row.fields}: ${row.why}`)
  for (const [api, n] of Array.from(report.requests).sort()) {
    const codes = Array.from(report.errors).filter(([key]) => key.startsWith(`${api} `)).map(([key, count]) => `${outcomeName(key.slice(api.length + 1))} ${count}`)
    print(`${api}: ${n} requests: ${codes.join(", ")}`)
  }
  const total = Array.from(report.requests.values()).reduce((sum, n) => sum + n, 0)
  print(`${seeds} seeds, ${total} requests, ${report.found.length} differences, ${broken} sequences broken off, ${report.messages.size} explanations in other words, ${report.elections} elections by chance, ${flukes} differences that did not come again, ${((performance.now() - begin) / 1000).toFixed(0)} s`)
  return report.found.length + broken > 0 ? 1 : 0
}

/** Replicas on three brokers. */
const mainOfClusters = async (): Promise<number> => {
  const [runtime = "node"] = parseRuntimes(options.runtime)
  const kafkaOf = () => startKafkaCluster({ properties: clusterProperties, heap: "256m", controllers: 1 })
  const [judge, subject] = await Promise.all([
    kafkaOf(),
    options.against === "kafka" ? kafkaOf() : startOttlaCluster({ runtime, overrides: clusterProperties })
  ])
  const [first, seeds] = [Number(options.first), Number(options.seeds)]
  const report = emptyReport()
  const begin = performance.now()
  let broken = 0
  try {
    await runClusterOracle({
      judge,
      subject,
      seeds: Array.from({ length: seeds }, (_, index) => first + index),
      requests: Number(options.requests),
      accepted: parseAccepted(readFileSync(`${repository}/docs/compatibility.md`, "utf8")),
      report,
      print,
      ...(options.trace ? { trace: print } : {})
    })
  } catch (error) {
    broken++
    print(`${error instanceof Error ? error.stack : String(error)}\n${subject.log().slice(-2000)}`)
  }
  const kinds = new Set<string>()
  for (const found of report.found) {
    const kind = `${found.api} ${found.fields} ${found.kafka} ${found.ottla}`
    if (options.all || !kinds.has(kind)) show(found)
    kinds.add(kind)
  }
  await Promise.all([judge.kill(), subject.kill()])
  return summarize(report, seeds, broken, begin)
}

try {
  process.exitCode = await (options.brokers === "1" ? main() : mainOfClusters())
} catch (error) {
  print(error instanceof PeerError ? error.message : error instanceof Error ? error.stack ?? error.message : String(error))
  process.exitCode = 1
}
process.exit()
