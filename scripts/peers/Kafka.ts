/**
 * Apache Kafka as a peer: its jars come once from Maven (`pom.xml` beside this file), its brokers run on free ports in
 * temporary directories, its tools run by their usual names.
 *
 * Needs Java 17 or newer; Maven for the first fetch. `KAFKA_HEAP` sets a broker's heap (512m).
 */
import { createHash } from "node:crypto"
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  cacheDirectory,
  freePort,
  isInstalled,
  type Peer,
  PeerError,
  run,
  runOrThrow,
  type RunOptions,
  type RunResult,
  serve,
  temporaryDirectory,
  waitFor
} from "./Processes.ts"
import { answers } from "./Wire.ts"

export const KAFKA_VERSION = "4.3.1"
/** The last of the line before: the client must get on with it, too. */
export const OLDER_KAFKA_VERSION = "3.9.2"

const installed = new Map<string, Promise<string>>()

/** The directory of Kafka's jars, fetched on the first call ever. */
export const installKafka = (version: string = KAFKA_VERSION): Promise<string> => {
  const known = installed.get(version) ?? fetchJars(version)
  installed.set(version, known)
  return known
}

const fetchJars = async (version: string): Promise<string> => {
  if (!isInstalled("java")) throw new PeerError("Java is missing: install a JRE of version 17 or newer (Debian: default-jre-headless)")
  const jars = cacheDirectory(`kafka-${version}`)
  const complete = join(jars, ".complete")
  if (existsSync(complete)) return jars
  if (!isInstalled("mvn")) throw new PeerError("Maven is missing: it fetches Apache Kafka's jars (Debian: maven)")
  const pom = new URL("pom.xml", import.meta.url).pathname
  await runOrThrow("mvn", [
    "-q", "-B", "-f", pom, `-Dkafka.version=${version}`, "dependency:copy-dependencies",
    `-DoutputDirectory=${jars}`, "-DincludeScope=runtime"
  ], { timeoutMs: 600_000 })
  if (!readdirSync(jars).some((name) => name.startsWith("kafka_"))) throw new PeerError(`Maven left no Kafka in ${jars}`)
  writeFileSync(complete, "")
  return jars
}

const tools = "org.apache.kafka.tools"
/** Classes behind the `kafka-*` scripts. */
const classes: Readonly<Record<string, string>> = {
  "kafka-topics": `${tools}.TopicCommand`,
  "kafka-console-producer": `${tools}.ConsoleProducer`,
  "kafka-console-consumer": `${tools}.consumer.ConsoleConsumer`,
  "kafka-producer-perf-test": `${tools}.ProducerPerformance`,
  "kafka-consumer-perf-test": `${tools}.ConsumerPerformance`,
  "kafka-e2e-latency": `${tools}.EndToEndLatency`,
  "kafka-get-offsets": `${tools}.GetOffsetShell`,
  "kafka-configs": "kafka.admin.ConfigCommand",
  "kafka-delete-records": `${tools}.DeleteRecordsCommand`,
  "kafka-log-dirs": `${tools}.LogDirsCommand`,
  "kafka-dump-log": `${tools}.DumpLogSegments`,
  "kafka-broker-api-versions": `${tools}.BrokerApiVersionsCommand`,
  "kafka-transactions": `${tools}.TransactionsCommand`,
  "kafka-consumer-groups": `${tools}.consumer.group.ConsumerGroupCommand`,
  "kafka-cluster": `${tools}.ClusterTool`,
  "kafka-storage": "kafka.tools.StorageTool"
}

let javaRelease: Promise<string> | undefined
const releaseOfJava = async (): Promise<string> =>
  createHash("sha256").update((await runOrThrow("java", ["-version"])).stderr).digest("hex").slice(0, 12)

/** Counts archives in the making: each has a name of its own until it is whole. */
let archives = 0

/**
 * Runs a class of Kafka's that ends soon. Loading classes is two thirds of what a tool does: the first run of each leaves
 * an archive of them beside the jars (`-XX:ArchiveClassesAtExit`), which later runs map. An archive that does not fit,
 * or is not there, changes nothing but the time; what the virtual machine has to say of it goes nowhere.
 */
const runClass = async (
  version: string,
  main: string,
  args: ReadonlyArray<string>,
  java: ReadonlyArray<string>,
  options: RunOptions = {}
): Promise<RunResult> => {
  const jars = await installKafka(version)
  const archive = join(cacheDirectory(`kafka-${version}`, "classes"), `${main}-${await (javaRelease ??= releaseOfJava())}.jsa`)
  const made = existsSync(archive) ? undefined : `${archive}.${process.pid}.${archives++}`
  const sharing = made === undefined ? `-XX:SharedArchiveFile=${archive}` : `-XX:ArchiveClassesAtExit=${made}`
  const result = await run("java", [...java, "-XX:+UseSerialGC", "-Xlog:disable", sharing, "-cp", `${jars}/*`, main, ...args], options)
  if (made !== undefined && existsSync(made)) renameSync(made, archive)
  return result
}

/** A tool starts fastest in the first compiler tier and with the serial collector; work that counts takes `longRunning`. */
export interface ToolOptions extends RunOptions {
  readonly heap?: string
  readonly longRunning?: boolean
}

/** Runs one of Kafka's tools, `kafka-topics` and so on, to its end. */
export const kafkaTool = async (name: string, args: ReadonlyArray<string>, options: ToolOptions = {}): Promise<RunResult> => {
  const tier = options.longRunning === true ? [] : ["-XX:TieredStopAtLevel=1"]
  return runClass(KAFKA_VERSION, classes[name] ?? name, args, [`-Xmx${options.heap ?? "128m"}`, ...tier], options)
}

export interface KafkaOptions {
  /** Default KAFKA_VERSION. */
  readonly version?: string
  /** Lines `key=value` behind the defaults. */
  readonly properties?: ReadonlyArray<string>
  readonly heap?: string
  /** A data directory that an earlier Kafka left; a new one when missing. */
  readonly dataDirectory?: string
  /** A port instead of a free one. */
  readonly port?: number
  /** Whether the data directory is to be formatted: true for a new one. */
  readonly format?: boolean
}

/** Starts a broker that is its own controller; resolves when it answers with itself as a broker. */
export const startKafka = async (options: KafkaOptions = {}): Promise<Peer> => {
  const jars = await installKafka(options.version)
  const home = temporaryDirectory("kafka")
  const dataDirectory = options.dataDirectory ?? join(home, "data")
  const [port, controller] = [options.port ?? await freePort(), await freePort()]
  const file = join(home, "server.properties")
  writeFileSync(file, [
    "process.roles=broker,controller",
    "node.id=1",
    `controller.quorum.voters=1@127.0.0.1:${controller}`,
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port}`,
    "controller.listener.names=CONTROLLER",
    `log.dirs=${dataDirectory}`,
    "offsets.topic.replication.factor=1",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "share.coordinator.state.topic.replication.factor=1",
    "share.coordinator.state.topic.min.isr=1",
    ...options.properties ?? []
  ].join("\n") + "\n")
  if (options.format ?? options.dataDirectory === undefined) {
    const { code, stderr, stdout } = await runClass(options.version ?? KAFKA_VERSION, "kafka.tools.StorageTool", [
      "format", "-t", "F5-_0JNCRnKftvn6fDeMVw", "-c", file
    ], ["-Xmx128m", "-XX:TieredStopAtLevel=1"])
    if (code !== 0) throw new PeerError(`kafka-storage format: exit code ${code}\n${stdout}${stderr}`)
  }
  const heap = options.heap ?? process.env["KAFKA_HEAP"] ?? "512m"
  const begin = performance.now()
  const server = serve("java", [
    `-Xms${heap}`, `-Xmx${heap}`, "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
    "-cp", `${jars}/*`, "kafka.Kafka", file
  ], join(home, "kafka.log"))
  let readyMs = 0
  await waitFor("Kafka's first answer", 180_000, async () => {
    if (!server.alive()) throw new PeerError(`Kafka ended while it started:\n${server.log().slice(-3000)}`)
    if (!await answers("127.0.0.1", port)) return undefined
    readyMs = performance.now() - begin
    return true
  })
  return {
    name: "kafka",
    host: "127.0.0.1",
    port,
    bootstrap: `127.0.0.1:${port}`,
    pid: server.pid,
    dataDirectory,
    readyMs,
    stop: server.stop,
    kill: server.kill,
    alive: server.alive,
    log: server.log
  }
}
