/**
 * Kafka's kafka-reassign-partitions, kafka-leader-election and kafka-cluster, and our commands of those names, each
 * against Apache Kafka's cluster of three brokers and against ours: all four must print the same.
 *
 *   npm run cluster-tools -- [--runtime node] [--verbose]
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Caller } from "./peers/Calls.ts"
import { type ClusterPeer, startKafkaCluster, startOttlaCluster } from "./peers/Clusters.ts"
import { kafkaTool } from "./peers/Kafka.ts"
import { ottlaCommand, parseRuntimes, type Runtime } from "./peers/Ottla.ts"
import { PeerError, run, sleep, temporaryDirectory, waitFor } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: { runtime: { type: "string", default: "node" }, verbose: { type: "boolean", default: false } }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

const settings = ["broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500", "auto.leader.rebalance.enable=false"]
const home = temporaryDirectory("cluster-tools")

interface Said {
  readonly code: number
  readonly text: string
}

type ToolName = "kafka-reassign-partitions" | "kafka-leader-election" | "kafka-cluster"
type Tool = (cluster: ClusterPeer, name: ToolName, args: ReadonlyArray<string>) => Promise<Said>

const classes: Readonly<Record<ToolName, string>> = {
  "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
  "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
  "kafka-cluster": "org.apache.kafka.tools.ClusterTool"
}

/** A row of list-endpoints. */
const ENDPOINT = /^\d {10}127\.0\.0\.1 /

/** What a person reads: without Java's stack traces, and the exception's name before a message that follows it alone. */
const readable = (text: string): string =>
  text.split("\n")
    // what ours tell while a broker is away
    .filter((line) => !line.startsWith("No connection to "))
    .filter((line) => !/^(\tat |\t\.\.\. |Caused by: |\tSuppressed: |\t*org\.apache\.kafka\.\S+Exception: |java\.\S+Exception: )/.test(line))
    .map((line) => line.replace(/^(Error: )(org\.apache\.kafka\.\S+Exception: )/, "$1"))
    // each cluster's own: its id, its ports, and the order in which it knows its brokers
    .map((line) => line.replace(/^(Cluster ID: ).{22}$/, "$1(an id)").replace(/^(\d {10}127\.0\.0\.1 )\d{5}/, "$1(one)"))
    .sort((a, b) => ENDPOINT.test(a) && ENDPOINT.test(b) ? a.localeCompare(b) : 0)
    // where each keeps its data, and where Kafka's dice would put it
    .map((line) => line.replace(/"\/[^"]*"/g, "\"(a directory)\""))
    .join("\n").replace(/(Proposed partition reassignment configuration\n).*/, "$1").trimEnd()

const said = ({ code, stderr, stdout }: { readonly code: number; readonly stderr: string; readonly stdout: string }): Said => ({
  code,
  // what is printed last need not end a line
  text: readable(`${stdout.trimEnd()}\n${stderr}`)
})

const kafkas: Tool = async (cluster, name, args) =>
  said(await kafkaTool(classes[name], [...args, "--bootstrap-server", cluster.bootstrap]))

const ours = (runtime: Runtime): Tool => async (cluster, name, args) => {
  const [program, ...words] = ottlaCommand(runtime)
  return said(await run(program, [...words, name, ...args, "--bootstrap-server", cluster.bootstrap]))
}

const file = (name: string, content: unknown): string => {
  const path = join(home, `${name}.json`)
  writeFileSync(path, JSON.stringify(content))
  return path
}
const places = (name: string, ...replicas: ReadonlyArray<ReadonlyArray<number>>): string =>
  file(name, { version: 1, partitions: replicas.map((replicas, partition) => ({ topic: "moved", partition, replicas })) })

const asked = async <A>(cluster: ClusterPeer, ask: (caller: Caller) => Promise<A>): Promise<A> => {
  const [first] = cluster.brokers
  const caller = await Caller.connect(first!.host, first!.port)
  try {
    return await ask(caller)
  } finally {
    caller.close()
  }
}

const create = (cluster: ClusterPeer): Promise<void> =>
  asked(cluster, async (caller) => {
    const assignments = [[1, 2], [2, 3]].map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds }))
    const topics = [{ name: "moved", numPartitions: -1, replicationFactor: -1, assignments, configs: [] }]
    await caller.ask("CreateTopics", 7, { topics, timeoutMs: 30_000, validateOnly: false })
    await waitFor("the topic", 10_000, async () => {
      const answer = await caller.ask("Metadata", 7, { topics: [{ name: "moved" }], allowAutoTopicCreation: false })
      return answer["topics"][0]["partitions"].length === 2 ? true : undefined
    })
  })

const remove = (cluster: ClusterPeer): Promise<unknown> =>
  asked(cluster, (caller) => caller.ask("DeleteTopics", 5, { topicNames: ["moved"], timeoutMs: 30_000 })).then(() => sleep(500))

/** A move to a broker that is dead, which no tool begins. */
const moveTo = (cluster: ClusterPeer, replicas: ReadonlyArray<number>): Promise<unknown> =>
  asked(cluster, (caller) => caller.ask("AlterPartitionReassignments", 0, {
    timeoutMs: 30_000,
    topics: [{ name: "moved", partitions: [{ partitionIndex: 0, replicas }] }]
  }))

const reassign = (...args: ReadonlyArray<string>) => ["kafka-reassign-partitions", args] as const
const elect = (...args: ReadonlyArray<string>) => ["kafka-leader-election", args] as const
const cluster = (...args: ReadonlyArray<string>) => ["kafka-cluster", args] as const

/** What is done, and with `until` again until that is said. */
interface Step {
  readonly call: readonly [ToolName, ReadonlyArray<string>]
  readonly until?: string
  readonly before?: (cluster: ClusterPeer) => Promise<unknown>
}

const swapped = places("swapped", [2, 1], [3, 2])
const turned = places("turned", [3, 1], [1, 2])
const first = places("first", [1, 2], [2, 3])
const preferred = ["--election-type", "preferred"]

const steps: ReadonlyArray<Step> = [
  { call: cluster("cluster-id") },
  { call: cluster("list-endpoints") },
  { call: reassign("--list") },
  { call: reassign("--execute", "--reassignment-json-file", swapped) },
  { call: reassign("--verify", "--reassignment-json-file", swapped), until: "Clearing" },
  { call: elect(...preferred, "--topic", "moved", "--partition", "0") },
  { call: elect(...preferred, "--topic", "moved", "--partition", "0") },
  { call: elect(...preferred, "--path-to-json-file", file("elected", { partitions: [0, 1, 5].map((partition) => ({ topic: "moved", partition })) })) },
  { call: elect("--election-type", "unclean", "--topic", "moved", "--partition", "1") },
  { call: reassign("--verify", "--reassignment-json-file", first, "--preserve-throttles") },
  { call: reassign("--cancel", "--reassignment-json-file", first) },
  { call: reassign("--execute", "--throttle", "50000000", "--reassignment-json-file", turned) },
  { call: reassign("--verify", "--reassignment-json-file", turned), until: "Clearing" },
  { call: reassign("--execute", "--reassignment-json-file", places("unknown", [1, 9])) },
  { call: reassign("--execute", "--reassignment-json-file", places("missing", [1], [2], [3])) },
  { call: reassign("--execute", "--reassignment-json-file", places("twice", [1, 1])) },
  { call: reassign("--execute", "--reassignment-json-file", file("empty", { version: 1, partitions: [] })) },
  { call: reassign("--generate", "--broker-list", "1,2", "--topics-to-move-json-file", file("some", { version: 1, topics: [{ topic: "moved" }] })) },
  { call: reassign("--generate", "--broker-list", "2", "--topics-to-move-json-file", file("none", { version: 1, topics: [{ topic: "none" }] })) },
  { before: (cluster) => moveTo(cluster, [1, 3, 2]), call: reassign("--list"), until: "No partition" },
  // From here on broker 3 is dead.
  { before: (cluster) => moveTo(cluster, [1, 2]).then(() => sleep(1000)).then(() => cluster.killBroker(3)).then(() => sleep(5000)).then(() => moveTo(cluster, [3, 1])), call: reassign("--list") },
  { call: cluster("list-endpoints") },
  { call: cluster("list-endpoints", "--include-fenced-brokers") },
  { call: reassign("--verify", "--reassignment-json-file", turned) },
  { call: reassign("--execute", "--reassignment-json-file", places("more", [2, 1])) },
  { call: reassign("--cancel", "--preserve-throttles", "--reassignment-json-file", places("cancelled", [3, 1])) },
  { call: reassign("--list") }
]

const shown = ([name, args]: Step["call"]): string => [name, ...args.map((arg) => arg.replace(`${home}/`, ""))].join(" ")

/** Everything with one tool on one cluster, from a topic of its own to the broker's return. */
const perform = async (tool: Tool, cluster: ClusterPeer): Promise<ReadonlyArray<Said>> => {
  await create(cluster)
  const all: Array<Said> = []
  for (const { before, call: [name, args], until } of steps) {
    await before?.(cluster)
    all.push(until === undefined ? await tool(cluster, name, args) : await waitFor(`${name} that says "${until}"`, 60_000, async () => {
      const one = await tool(cluster, name, args)
      return one.text.includes(until) ? one : undefined
    }))
  }
  await cluster.startBroker(3)
  await sleep(3000)
  await remove(cluster)
  return all
}

const main = async (): Promise<number> => {
  const [runtime = "node"] = parseRuntimes(values.runtime)
  const [kafka, ottla] = await Promise.all([
    startKafkaCluster({ properties: settings, heap: "256m", controllers: 1 }),
    startOttlaCluster({ runtime, overrides: settings })
  ])
  try {
    const [expected, toOurs] = await Promise.all([perform(kafkas, kafka), perform(kafkas, ottla)])
    const [fromOurs, alone] = await Promise.all([perform(ours(runtime), kafka), perform(ours(runtime), ottla)])
    const others = [["Kafka's tool, our brokers", toOurs], ["our command, Kafka's brokers", fromOurs], ["our command, our brokers", alone]] as const
    let wrong = 0
    for (const [at, step] of steps.entries()) {
      const theirs = expected[at]!
      const different = others.filter(([, all]) => all[at]!.text !== theirs.text || all[at]!.code !== theirs.code)
      print(`${different.length === 0 ? "ok   " : "FAIL "} ${shown(step.call)}`)
      if (different.length > 0 || values.verbose) print(`--- Apache Kafka, exit code ${theirs.code}\n${theirs.text}`)
      for (const [who, all] of different) print(`--- ${who}, exit code ${all[at]!.code}\n${all[at]!.text}`)
      if (different.length > 0) wrong++
    }
    print(`${steps.length} calls of each tool on each cluster, ${wrong} said otherwise`)
    return wrong === 0 ? 0 : 1
  } finally {
    await Promise.all([kafka.kill(), ottla.kill()])
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  print(error instanceof PeerError ? error.message : error instanceof Error ? error.stack ?? error.message : String(error))
  process.exitCode = 1
}
process.exit()
