/**
 * How soon there is a broker, and what it keeps of memory: as a process, ours on each runtime and Apache Kafka, and in
 * the process of a test, where every test has a new one (`TestBroker`).
 */
import { blast } from "../../scripts/peers/Blast.ts"
import { startKafka } from "../../scripts/peers/Kafka.ts"
import { ottlaCommand, type Runtime, runtimes, startOttla } from "../../scripts/peers/Ottla.ts"
import { freePort, type Peer, PeerError, runOrThrow, sleep } from "../../scripts/peers/Processes.ts"
import type { BenchOptions } from "./Benches.ts"
import { blastAt, createTopic, median, memoryMb, type Metrics, medians } from "./Measure.ts"
import type { Bench } from "./Report.ts"

/** Milliseconds from the start of the process to its first answer, then its memory at rest and after some load. */
const startOnce = async (start: (port: number) => Promise<Peer>, restMs: number): Promise<Metrics> => {
  const port = await freePort()
  const program = await blast()
  const starting = start(port)
  const waited = await runOrThrow(program, ["wait", "--broker", `127.0.0.1:${port}`, "--timeout", "60"])
  const peer = await starting
  try {
    await sleep(restMs)
    const idle = memoryMb(peer.pid)
    // Kafka keeps its directory from round to round
    const topic = `load-${peer.pid}`
    await createTopic(peer, topic, 1)
    await blastAt(peer, "produce", topic, ["--record-bytes", "1024", "--batch-bytes", "16384", "--megabytes", "200"])
    await blastAt(peer, "fetch", topic, ["--megabytes", "400"])
    return { "first answer ms": Number(waited.stdout), "idle MB": idle, "loaded MB": memoryMb(peer.pid) }
  } finally {
    await peer.kill()
  }
}

/** What a test waits for its broker at most, by the median of those after the process's first one. */
const TEST_BROKER_AIM_MS = 5
/** After the first. */
const TEST_BROKERS = 20
/** Of a metric that only TestBroker has. */
const READY = "ready ms"
const FIRST_READY = "first ready ms"
const ANSWER = "first answer ms"

/** Brokers of one test process, one after the other. */
const testBrokers = async (runtime: Runtime): Promise<Metrics> => {
  const [command] = ottlaCommand(runtime)
  const program = new URL("./TestBrokerProgram.ts", import.meta.url).pathname
  const { stdout } = await runOrThrow(command, [
    ...runtime === "deno" ? ["run", "--allow-all"] : [], program, runtime, `${1 + TEST_BROKERS}`
  ])
  const { answeredMs, readyMs } = JSON.parse(stdout) as Readonly<Record<"readyMs" | "answeredMs", ReadonlyArray<number>>>
  const [first] = readyMs
  if (first === undefined || readyMs.length !== 1 + TEST_BROKERS) throw new PeerError(`TestBroker on ${runtime}: ${stdout}`)
  return { [READY]: median(readyMs.slice(1)), [ANSWER]: median(answeredMs.slice(1)), [FIRST_READY]: first }
}

/** A line for each runtime: TestBroker beside the same broker as a process, and whether the aim is met. */
const testBrokerTable = (ofProcess: ReadonlyMap<Runtime, Metrics>, ofTest: ReadonlyMap<Runtime, Metrics>): string => {
  const ms = (value = NaN): string => value.toFixed(value < 100 ? 2 : 0)
  const rows = runtimes.map((runtime) => {
    const test = ofTest.get(runtime)!
    const [ready, answer, process] = [test[READY]!, test[ANSWER]!, ofProcess.get(runtime)![ANSWER]!]
    const aim = ready < TEST_BROKER_AIM_MS ? "met" : "**missed**"
    return `| ${runtime} | ${ms(ready)} | ${aim} | ${ms(answer)} | ${ms(process)} | **${(answer / process).toFixed(3)}** | ${ms(test[FIRST_READY])} |`
  })
  return [
    "## In a test's process",
    `\`TestBroker.start({ host })\` of the built package: ${TEST_BROKERS} brokers one after the other in one process after its first one, each on a free port; ` +
      "a process in every round, taking turns with those above. Ready is when the test has its broker; the first answer comes over a connection of its own, as with the process.",
    "",
    `| | ready ms | under ${TEST_BROKER_AIM_MS} ms | first answer ms | as a process | ratio | ready ms, the first of its process |`,
    "|---|---:|---|---:|---:|---:|---:|",
    ...rows
  ].join("\n")
}

/** @param properties of every broker that is a process */
export const startup = async (options: BenchOptions, properties: ReadonlyArray<string>): Promise<Bench> => {
  await runOrThrow("node", ["scripts/Build.ts"])
  // a Kafka that was formatted before: formatting is no part of its start
  const formatted = await startKafka({ properties })
  await formatted.stop()
  const restMs = options.quick ? 500 : 3000
  const rounds = { kafka: [] as Array<Metrics>, processes: new Map<Runtime, Array<Metrics>>(), tests: new Map<Runtime, Array<Metrics>>() }
  for (const runtime of runtimes) {
    rounds.processes.set(runtime, [])
    rounds.tests.set(runtime, [])
  }
  const note = (name: string, into: Array<Metrics>, metrics: Metrics): void => {
    options.print(`${name}: ${JSON.stringify(metrics)}`)
    into.push(metrics)
  }
  for (let round = 0; round < options.rounds; round++) {
    const kafka = (port: number): Promise<Peer> =>
      startKafka({ properties, port, dataDirectory: formatted.dataDirectory, format: false, heap: "1g" })
    note("Kafka", rounds.kafka, await startOnce(kafka, restMs))
    await sleep(500)
    for (const runtime of runtimes) {
      const ottla = (port: number): Promise<Peer> => startOttla({ runtime, overrides: properties, port, packaged: true })
      note(`ottla on ${runtime}`, rounds.processes.get(runtime)!, await startOnce(ottla, restMs))
      note(`TestBroker on ${runtime}`, rounds.tests.get(runtime)!, await testBrokers(runtime))
    }
  }
  const processes = new Map(runtimes.map((runtime) => [runtime, medians(rounds.processes.get(runtime)!)]))
  const tests = new Map(runtimes.map((runtime) => [runtime, medians(rounds.tests.get(runtime)!)]))
  const notes = testBrokerTable(processes, tests)
  options.print(notes)
  const of = (each: ReadonlyMap<Runtime, Metrics>) => runtimes.map((runtime) => ({ contestant: `ottla on ${runtime}`, metrics: each.get(runtime)! }))
  return {
    what: "startup",
    title: "Start and memory",
    about: "From the start of the process to its first answer; resident memory three seconds later, and after 200 MB produced and 400 MB read. Kafka with a heap of 1 GB, ottla as its package is installed. Every start but the first follows a kill -9, after which Kafka waits for its old session to end: its first start answered after 3.6 s.",
    metrics: [ANSWER, "idle MB", "loaded MB"],
    rows: [
      { name: "one broker", results: [{ contestant: "Kafka", metrics: medians(rounds.kafka) }, ...of(processes)] },
      { name: "TestBroker, after the first", results: [{ contestant: "Kafka", metrics: {} }, ...of(tests)] }
    ],
    rounds: options.rounds,
    notes
  }
}
