/**
 * What Kafka's own kafka-topics says of a cluster of three brokers while they come and go, of Apache Kafka's and of ours:
 * replicas, leaders, ISR, ELR and the lists of partitions that are short of something must be the same.
 *
 *   npm run cluster-describe -- [--runtime node] [--verbose]
 */
import { kafkaTool } from "./peers/Kafka.ts"
import { type ClusterPeer, startKafkaCluster, startOttlaCluster } from "./peers/Clusters.ts"
import { parseRuntimes } from "./peers/Ottla.ts"
import { PeerError, sleep } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: { runtime: { type: "string", default: "node" }, verbose: { type: "boolean", default: false } }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** A broker is missed after this, in both. */
const SESSION_TIMEOUT_MS = 3000
const SETTLE_TIMEOUT_MS = 40_000
const settings = [`broker.session.timeout.ms=${SESSION_TIMEOUT_MS}`, "broker.heartbeat.interval.ms=500", "default.replication.factor=3", "auto.leader.rebalance.enable=false"]

const topics = (cluster: ClusterPeer, ...args: ReadonlyArray<string>): Promise<string> =>
  kafkaTool("kafka-topics", ["--bootstrap-server", cluster.bootstrap, ...args]).then(({ code, stderr, stdout }) => {
    if (code !== 0) throw new PeerError(`kafka-topics ${args.join(" ")} of ${cluster.name}: ${stdout}${stderr}`)
    return stdout
  })

/** What differs from cluster to cluster without meaning. */
const comparable = (text: string): string => text.replace(/TopicId: \S+/g, "TopicId: (id)")

const describeAll = async (cluster: ClusterPeer): Promise<string> => {
  const lists = ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions", "--at-min-isr-partitions"]
  const parts = [await topics(cluster, "--describe")]
  for (const list of lists) parts.push(`${list}\n${await topics(cluster, "--describe", list)}`)
  return comparable(parts.join("\n"))
}

/** Done when both say the same, or when they had time enough to. */
const compare = async (what: string, kafka: ClusterPeer, ottla: ClusterPeer): Promise<boolean> => {
  for (const deadline = performance.now() + SETTLE_TIMEOUT_MS;;) {
    const [theirs, ours] = await Promise.all([describeAll(kafka), describeAll(ottla)])
    if (theirs === ours) {
      print(`ok    ${what}`)
      if (values.verbose) print(theirs)
      return true
    }
    if (performance.now() > deadline) {
      print(`FAIL  ${what}\n--- Apache Kafka\n${theirs}\n--- ottla\n${ours}`)
      return false
    }
    await sleep(500)
  }
}

const both = (clusters: ReadonlyArray<ClusterPeer>, act: (cluster: ClusterPeer) => Promise<unknown>): Promise<unknown> => Promise.all(clusters.map(act))

const [runtime = "node"] = parseRuntimes(values.runtime)
const kafka = await startKafkaCluster({ properties: settings, heap: "256m", controllers: 1 })
const ottla = await startOttlaCluster({ runtime, overrides: settings })
const clusters = [kafka, ottla]
let passed = 0
let failed = 0
const step = async (what: string, act: (cluster: ClusterPeer) => Promise<unknown>): Promise<void> => {
  await both(clusters, act)
  if (await compare(what, kafka, ottla)) passed++
  else failed++
}
const create = (cluster: ClusterPeer, ...args: ReadonlyArray<string>): Promise<string> => topics(cluster, "--create", ...args)
try {
  // Where replicas go by themselves is each cluster's own dice; here everybody is told.
  await step("topics with replicas as told", async (cluster) => {
    await create(cluster, "--topic", "three", "--replica-assignment", "1:2:3,2:3:1,3:1:2", "--config", "min.insync.replicas=2")
    await create(cluster, "--topic", "two", "--replica-assignment", "2:1,3:2", "--config", "min.insync.replicas=2", "--config", "retention.ms=100000")
    await create(cluster, "--topic", "one", "--replica-assignment", "2,3")
  })
  await step("broker 2 was killed", (cluster) => cluster.killBroker(2))
  await step("broker 3 was killed too", (cluster) => cluster.killBroker(3))
  await step("broker 3 is back", (cluster) => cluster.startBroker(3))
  await step("broker 2 is back", (cluster) => cluster.startBroker(2))
  await step("partitions were added", (cluster) => topics(cluster, "--alter", "--topic", "three", "--partitions", "4", "--replica-assignment", "1:2:3,2:3:1,3:1:2,2:1:3"))
} finally {
  await both(clusters, (cluster) => cluster.kill())
}
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
