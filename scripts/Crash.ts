/**
 * kill -9 in the middle of a producer's run, again and again in the same directory: what was acknowledged is there
 * once and in order, nothing else is.
 *
 *   npm run crash -- [--rounds 10] [--runtime node|bun|deno|all] [--seed 1] [--against kafka]
 *
 * A round: start (killed at times while it recovers), read back what the last one left, send what had no answer again,
 * write on, kill -9 at a seeded moment. One topic has the default configuration, one flush.messages=1. Topics that are
 * created meanwhile must be there after the kill. The long form is 200 rounds.
 */
import { cpSync } from "node:fs"
import { NumberedProducer } from "../test/crash/NumberedProducer.ts"
import { verifyLane } from "../test/crash/Verify.ts"
import { Random } from "../test/oracle/Random.ts"
import { Caller, type Fields } from "./peers/Calls.ts"
import { startKafka } from "./peers/Kafka.ts"
import { parseRuntimes, type Runtime, startOttla } from "./peers/Ottla.ts"
import { type Peer, PeerError, removeDirectory, sleep, temporaryDirectory } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    rounds: { type: "string", default: "10" },
    runtime: { type: "string", default: "node" },
    seed: { type: "string", default: "1" },
    against: { type: "string", default: "ottla" }
  }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const properties = ["node.id=1", "log.retention.check.interval.ms=2000", "log.retention.ms=-1"]
const topics = ["crash-default", "crash-flush"]
const PARTITIONS = 2
/** Rounds between two readings of everything, and between two cuts of the log's start. */
const FULL_EVERY = 10

interface Marker {
  readonly name: string
  readonly id: string
}

const createTopic = async (caller: Caller, name: string, partitions: number, configs: ReadonlyArray<readonly [string, string]>): Promise<string> => {
  const answer = await caller.ask("CreateTopics", 7, {
    topics: [{ name, numPartitions: partitions, replicationFactor: 1, assignments: [], configs: configs.map(([key, value]) => ({ name: key, value })) }],
    timeoutMs: 30_000,
    validateOnly: false
  })
  const [topic] = answer["topics"] as ReadonlyArray<Fields>
  if (topic?.["errorCode"] !== 0) throw new PeerError(`creating ${name}: error ${topic?.["errorCode"]} ${topic?.["errorMessage"]}`)
  return topic["topicId"] as string
}

const checkMarkers = async (caller: Caller, markers: ReadonlyArray<Marker>): Promise<void> => {
  const answer = await caller.ask("Metadata", 12, { topics: null, allowAutoTopicCreation: false, includeTopicAuthorizedOperations: false })
  const ids = new Map((answer["topics"] as ReadonlyArray<Fields>).map((topic) => [topic["name"], topic["topicId"]]))
  for (const { id, name } of markers) if (ids.get(name) !== id) throw new PeerError(`topic ${name} had id ${id}, has ${ids.get(name)}`)
}

/** Waits until every partition has its leader: a broker may answer before all logs are open. */
const awaitLeaders = async (caller: Caller): Promise<void> => {
  for (const deadline = performance.now() + 60_000;;) {
    const answer = await caller.ask("ListOffsets", 6, {
      replicaId: -1,
      isolationLevel: 0,
      topics: topics.map((name) => ({ name, partitions: Array.from({ length: PARTITIONS }, (_, partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp: -1 })) }))
    })
    const errors = (answer["topics"] as ReadonlyArray<Fields>).flatMap((topic) => (topic["partitions"] as ReadonlyArray<Fields>).map((one) => one["errorCode"] as number))
    if (errors.every((error) => error === 0)) return
    if (performance.now() > deadline) throw new PeerError(`partitions answer ${errors} a minute after the start`)
    await sleep(20)
  }
}

const cutStart = async (caller: Caller, producer: NumberedProducer): Promise<void> => {
  await caller.ask("DeleteRecords", 2, {
    topics: topics.map((name) => ({
      name,
      partitions: producer.lanes.filter(({ topic }) => topic === name).map((lane) => ({ partitionIndex: lane.partition, offset: Math.max(0, lane.acked - 500) }))
    })),
    timeoutMs: 30_000
  })
}

const runRounds = async (name: string, rounds: number, seed: number, start: (directory: string, first: boolean) => Promise<Peer>): Promise<number> => {
  const random = new Random(seed)
  const home = temporaryDirectory("crash")
  const directory = `${home}/data`
  const producer = new NumberedProducer(topics, PARTITIONS, random)
  const markers: Array<Marker> = []
  const verified = producer.lanes.map(() => 0)
  let peer: Peer | undefined
  let unanswered = 0
  let survived = 0
  for (let round = 0; round < rounds; round++) {
    try {
      // one in six is killed while it starts, with the log to recover still before it
      if (round > 0 && random.chance(16)) {
        const starting = start(directory, false).then((one) => one, () => undefined)
        await sleep(random.int(20, 400))
        await (await starting)?.kill()
      }
      peer = await start(directory, round === 0)
      const caller = await Caller.connect(peer.host, peer.port)
      if (round === 0) {
        const small = [["segment.bytes", "1048576"], ["index.interval.bytes", "1024"], ["file.delete.delay.ms", "500"]] as const
        await createTopic(caller, topics[0] ?? "", PARTITIONS, small)
        await createTopic(caller, topics[1] ?? "", PARTITIONS, [...small, ["flush.messages", "1"]])
      }
      await awaitLeaders(caller)
      await checkMarkers(caller, markers)
      const full = round % FULL_EVERY === FULL_EVERY - 1 || round === rounds - 1
      for (const [index, lane] of producer.lanes.entries()) {
        const end = await verifyLane(caller, lane, full ? 0 : verified[index] ?? 0)
        survived += end - lane.acked
        verified[index] = lane.acked
      }
      if (full) await cutStart(caller, producer)
      unanswered += producer.lanes.reduce((sum, lane) => sum + lane.open.length, 0)
      let stopping = false
      const before = producer.lanes.reduce((sum, lane) => sum + lane.acked, 0)
      const run = producer.run(peer.host, peer.port, () => stopping)
      const failure = run.then(() => undefined, (error: unknown) => error)
      await sleep(random.int(10, 500))
      const created = random.chance(40)
        ? createTopic(caller, `marker-${round}`, random.int(1, 3), []).then((id) => void markers.push({ name: `marker-${round}`, id }), () => undefined)
        : Promise.resolve()
      await sleep(random.int(0, 60))
      await peer.kill()
      stopping = true
      const error = await failure
      await created
      caller.close()
      if (error !== undefined) throw error
      const acked = producer.lanes.reduce((sum, lane) => sum + lane.acked, 0)
      if (round % 10 === 0 || round === rounds - 1) print(`${name}: round ${round + 1} of ${rounds}: ${acked - before} records acknowledged in it, ${acked} in all`)
    } catch (error) {
      await peer?.kill()
      const kept = `${process.env["TMPDIR"] ?? "/tmp"}/ottla-crash-${name}-${seed}-${round}`
      cpSync(directory, kept, { recursive: true })
      print(`FAIL  ${name}: seed ${seed} round ${round}: ${error instanceof Error ? error.message : String(error)}`)
      print(`  the directory is kept in ${kept}; replay: npm run crash -- --runtime ${name} --seed ${seed} --rounds ${round + 1}`)
      print(peer?.log().slice(-1500) ?? "")
      removeDirectory(home)
      return round
    }
  }
  const acked = producer.lanes.reduce((sum, lane) => sum + lane.acked, 0)
  print(`${name}: ${rounds} kills, ${acked} records acknowledged and found once; ${unanswered} batches without an answer were sent again, ${survived} of their records had survived; ${markers.length} topics`)
  removeDirectory(home)
  return rounds
}

const starterOf = (runtime: Runtime) => (dataDirectory: string) => startOttla({ runtime, dataDirectory, overrides: properties })

const rounds = Number(values.rounds)
const names: ReadonlyArray<Runtime> = values.against === "kafka" ? ["node"] : parseRuntimes(values.runtime)
let passed = 0
for (const runtime of names) {
  passed += values.against === "kafka"
    ? await runRounds("kafka", rounds, Number(values.seed), (dataDirectory, first) => startKafka({ dataDirectory, format: first, properties }))
    : await runRounds(runtime, rounds, Number(values.seed), starterOf(runtime))
}
const failed = rounds * names.length - passed
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
