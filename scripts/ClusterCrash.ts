/**
 * Three brokers on real disks and sockets serve real clients while each in turn is killed and returns: nothing that was
 * acknowledged is lost, nothing is there twice, order is kept.
 *
 *   npm run cluster-crash -- [--short] [--runtime node,bun,deno] [--kills 100] [--seed 1]
 *                            [--producers java,librdkafka,kafkajs,ottla] [--against kafka]
 *                            [--groups java-and-librdkafka,kafkajs,ottla]
 *
 * Producers are idempotent with acks=all: Kafka's kafka-verifiable-producer, confluent-kafka (librdkafka), kafkajs and
 * our own. Three groups read meanwhile (Java's and librdkafka's consumers in one, kafkajs, our own). A round kills a
 * broker, at times two (their sessions end at once, or are left to time out), or first kill -9s the process with all of
 * them in it; it starts them again after a while and waits until every replica is in sync again and every producer has
 * got rid of what it had. At the end kcat reads the whole topic, which is held against what producers were told and groups
 * saw and committed, and the replicas' files are compared. `--short`: each broker once, within a minute.
 */
import { checkCommitted, checkLog, checkReplicas, checkSeen, committedBy, readLog } from "../test/interop/cluster/Verify.ts"
import { producers, type RunningProducer } from "../test/interop/cluster/Producers.ts"
import { groups, type RunningReader, Seen } from "../test/interop/cluster/Readers.ts"
import { Random } from "../test/oracle/Random.ts"
import { Caller, type Fields } from "./peers/Calls.ts"
import { type ClusterPeer, startKafkaCluster, startOttlaCluster } from "./peers/Clusters.ts"
import { parseRuntimes } from "./peers/Ottla.ts"
import { PeerError, sleep, waitFor } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    short: { type: "boolean", default: false },
    runtime: { type: "string", default: "node" },
    kills: { type: "string" },
    seed: { type: "string", default: "1" },
    producers: { type: "string", default: Object.keys(producers).join() },
    groups: { type: "string", default: Object.keys(groups).join() },
    against: { type: "string", default: "ottla" }
  }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

const TOPIC = "cluster-crash"
const OFFSETS_TOPIC = "__consumer_offsets"
const PARTITIONS = 6
const SIZE = 3
const RECORDS_PER_SECOND = 200
const SESSION_TIMEOUT_MS = 1500
/** All replicas are in sync again within this, or the round has failed. */
const HEAL_TIMEOUT_MS = 60_000
/** No producer may be stuck for so long once the cluster is whole again. */
const STALL_TIMEOUT_MS = 45_000
/** Records of each producer between two kills, at least. */
const MIN_RECORDS = 20
/** Rounds, in a hundred, that begin with a kill -9 of the process with all brokers in it, and that kill two brokers; not in the short form. Kafka's own quorum would not outlive it. */
const CRASHES = 10
const DOUBLE_KILLS = values.against === "kafka" ? 0 : 15
const settings = [
  `broker.session.timeout.ms=${SESSION_TIMEOUT_MS}`,
  "broker.heartbeat.interval.ms=500",
  "min.insync.replicas=2",
  "offsets.topic.num.partitions=6",
  "group.initial.rebalance.delay.ms=0"
]

/** Metadata of both topics as some broker that answers has it. */
const metadata = async (cluster: ClusterPeer): Promise<ReadonlyArray<Fields>> => {
  for (const { host, port } of cluster.brokers) {
    try {
      const caller = await Caller.connect(host, port)
      try {
        const answer = await caller.ask("Metadata", 12, {
          topics: [TOPIC, OFFSETS_TOPIC].map((name) => ({ name, topicId: "AAAAAAAAAAAAAAAAAAAAAA" })), allowAutoTopicCreation: false, includeTopicAuthorizedOperations: false
        }, 5000)
        return answer["topics"] as ReadonlyArray<Fields>
      } finally {
        caller.close()
      }
    } catch {
      // killed: the next one
    }
  }
  throw new PeerError("no broker answers")
}

const partitionsOf = (topics: ReadonlyArray<Fields>): ReadonlyArray<Fields> => topics.flatMap((topic) => topic["partitions"] as ReadonlyArray<Fields>)

const allInSync = (cluster: ClusterPeer, what: string): Promise<ReadonlyArray<Fields>> =>
  waitFor(`${what}: every replica in sync`, HEAL_TIMEOUT_MS, async () => {
    const topics = await metadata(cluster)
    const partitions = partitionsOf(topics)
    const whole = partitions.length >= PARTITIONS && partitions.every((one) => one["leaderId"] >= 0 && one["isrNodes"].length === SIZE)
    return whole ? topics : undefined
  })

/** Elections so far of a topic: a partition's first leader has the epoch 0. */
const electionsOf = (topics: ReadonlyArray<Fields>, name: string): number =>
  partitionsOf(topics.filter((topic) => topic["name"] === name)).reduce((sum, one) => sum + Math.max(0, one["leaderEpoch"]), 0)

const createTopic = async (cluster: ClusterPeer): Promise<void> => {
  const [{ host, port }] = cluster.brokers as readonly [ClusterPeer["brokers"][number]]
  const caller = await Caller.connect(host, port)
  const answer = await caller.ask("CreateTopics", 7, {
    topics: [{ name: TOPIC, numPartitions: PARTITIONS, replicationFactor: SIZE, assignments: [], configs: [] }], timeoutMs: 30_000, validateOnly: false
  })
  caller.close()
  const [topic] = answer["topics"] as ReadonlyArray<Fields>
  if (topic?.["errorCode"] !== 0) throw new PeerError(`creating ${TOPIC}: error ${topic?.["errorCode"]} ${topic?.["errorMessage"]}`)
}

interface Result {
  readonly problems: ReadonlyArray<string>
  readonly summary: string
}

const acknowledged = (running: ReadonlyArray<RunningProducer>): number => running.reduce((sum, { told }) => sum + told.acknowledged.size, 0)

interface Harm {
  readonly kill: (id: number, expires: boolean) => Promise<void>
  /** Of all brokers at once; undefined: there is no such thing. */
  readonly crash: (() => Promise<void>) | undefined
}

const run = async (cluster: ClusterPeer, { crash, kill }: Harm, kills: number, random: Random): Promise<Result> => {
  await createTopic(cluster)
  const options = { bootstrap: cluster.bootstrap, topic: TOPIC, partitions: PARTITIONS, perSecond: RECORDS_PER_SECOND }
  const writing: Array<RunningProducer> = await Promise.all(values.producers.split(",").map((name) => {
    const start = producers[name]
    if (start === undefined) throw new PeerError(`${name}: not a producer; ${Object.keys(producers).join(", ")}`)
    return start(options)
  }))
  const seen = values.groups.split(",").filter((group) => group in groups).map((group) => new Seen(group))
  const reading: Array<RunningReader> = await Promise.all(seen.flatMap((one) => groups[one.group]!.map((start) => start(options, one))))
  await waitFor("records of every producer", 60_000, () => writing.every(({ told }) => told.acknowledged.size > 50) ? true : undefined)
  await waitFor("records in every group", 60_000, () => seen.every(({ records }) => records.size > 50) ? true : undefined)
  await allInSync(cluster, "at first")

  const begin = performance.now()
  let elections = 0
  let coordinators = 0
  let killed = 0
  let crashes = 0
  for (let round = 0; round < kills; round++) {
    const victim = round % SIZE + 1
    if (crash !== undefined && kills > SIZE && random.chance(CRASHES)) {
      await crash()
      crashes++
    }
    const victims = [victim]
    // Two of three: nobody may write until one is back.
    if (kills > SIZE && random.chance(DOUBLE_KILLS)) victims.push(victim % SIZE + 1)
    for (const id of victims) {
      await kill(id, random.chance(50))
      killed++
      await sleep(random.int(0, 300))
    }
    // Sometimes before its old session is over, sometimes long after.
    await sleep(random.int(50, 2 * SESSION_TIMEOUT_MS))
    if (random.chance(50)) victims.reverse()
    for (const id of victims) await cluster.startBroker(id)
    const healed = await allInSync(cluster, `kill ${round + 1} of ${kills}, broker ${victim}`)
    elections = electionsOf(healed, TOPIC)
    coordinators = electionsOf(healed, OFFSETS_TOPIC)
    const newest = writing.map(({ told }) => told.newest)
    await Promise.all(writing.map(({ told }, index) =>
      waitFor(`kill ${round + 1} of ${kills}, broker ${victim}: ${told.name}'s records from before the cluster was whole, and new ones`, STALL_TIMEOUT_MS, () => {
        if (told.complaints.length > 0) throw new PeerError(told.complaints[0]!)
        return told.oldestOpen > newest[index]! && told.newest > newest[index]! + MIN_RECORDS ? true : undefined
      })
    ))
    if ((round + 1) % 10 === 0) print(`${cluster.name}: ${killed} kills, ${elections} elections, ${acknowledged(writing)} records acknowledged`)
  }
  const seconds = (performance.now() - begin) / 1000

  await Promise.all(writing.map((one) => one.stop()))
  const log = await readLog(cluster.bootstrap, TOPIC)
  await waitFor("groups at the end of the log", 60_000, () => seen.every(({ records }) => records.size >= log.length) ? true : undefined).catch(() => undefined)
  await Promise.all(reading.map((one) => one.stop()))
  await allInSync(cluster, "at the end")
  const committed = await Promise.all(seen.map(({ group }) => committedBy(cluster, group, TOPIC, PARTITIONS)))
  await cluster.stop()

  const told = writing.map((one) => one.told)
  const problems = [
    ...checkLog(log, told),
    ...seen.flatMap((one, index) => [...checkSeen(log, one), ...checkCommitted(log, one.group, committed[index]!)]),
    ...checkReplicas(cluster, TOPIC, PARTITIONS)
  ]
  if (elections === 0 || (coordinators === 0 && seen.length > 0)) problems.push(`${elections} leaders were elected and ${coordinators} coordinators: the kills did nothing`)
  const failed = told.reduce((sum, one) => sum + one.failed.length, 0)
  const shares = told.map(({ acknowledged: { size }, name }) => `${name} ${size}`).join(", ")
  const again = seen.map((one) => `${one.group} ${one.again}`).join(", ")
  return {
    problems: [...problems, ...told.flatMap((one) => one.failed.slice(0, 3).map((what) => `${one.name} gave up: ${what}`))],
    summary: `${killed} kills of brokers and ${crashes} of all of them at once, ${elections} elections of leaders and ${coordinators} of group coordinators in ${seconds.toFixed(0)} s; ${acknowledged(writing)} records acknowledged (${shares}), ${log.length} in the log, each once and in order; ` +
      `${failed} given up; every group saw every record and has committed that (again after a kill: ${again}); all replicas are the same bytes`
  }
}

const kills = Number(values.kills ?? (values.short ? SIZE : 100))
const seed = Number(values.seed)

interface Contestant {
  readonly name: string
  readonly start: () => Promise<Harm & { readonly cluster: ClusterPeer }>
}

const contestants: ReadonlyArray<Contestant> = values.against === "kafka"
  ? [{
    name: "kafka",
    start: async () => {
      const cluster = await startKafkaCluster({ properties: settings, heap: "256m" })
      return { cluster, kill: (id) => cluster.killBroker(id), crash: undefined }
    }
  }]
  : parseRuntimes(values.runtime).map((runtime) => ({
    name: runtime,
    start: async () => {
      const cluster = await startOttlaCluster({ runtime, size: SIZE, overrides: settings })
      return { cluster, kill: (id, expires) => cluster.killBroker(id, expires ? "expires" : "ends"), crash: cluster.crash }
    }
  }))

let passed = 0
for (const { name, start } of contestants) {
  const { cluster, ...harm } = await start()
  try {
    const { problems, summary } = await run(cluster, harm, kills, new Random(seed))
    if (problems.length === 0) {
      print(`${cluster.name}: ${summary}`)
      passed++
    } else {
      print(`FAIL  ${cluster.name}: seed ${seed}, ${kills} kills\n  ${problems.join("\n  ")}`)
    }
  } catch (error) {
    print(`FAIL  ${name}: seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n${cluster.log().slice(-3000)}`)
  } finally {
    await cluster.kill()
  }
}
const failed = contestants.length - passed
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
