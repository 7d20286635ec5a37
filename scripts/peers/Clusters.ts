/**
 * Clusters as peers: ottla's brokers in one process (`ottla start --brokers N`), Apache Kafka's in one each. A broker of
 * either can be killed and started again while the others serve.
 */
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { askControl, type ControlRequest } from "../../adapters/cli/ClusterControl.ts"
import { installKafka, KAFKA_VERSION } from "./Kafka.ts"
import { ottlaCommand, type Runtime } from "./Ottla.ts"
import { freePort, PeerError, runOrThrow, type Server, serve, sleep, temporaryDirectory, waitFor } from "./Processes.ts"
import { answers } from "./Wire.ts"

export interface ClusterBroker {
  readonly id: number
  readonly host: string
  readonly port: number
  /** Holds its partitions. */
  readonly dataDirectory: string
}

export interface ClusterPeer {
  readonly name: string
  readonly brokers: ReadonlyArray<ClusterBroker>
  /** All brokers, `host:port,…`. */
  readonly bootstrap: string
  /** Of all its processes that run. */
  readonly pids: () => ReadonlyArray<number>
  /** A broker's end in the middle of whatever it does; done when it is over. */
  readonly killBroker: (id: number) => Promise<void>
  /** A broker's clean stop, as by SIGTERM; done when it is over. */
  readonly stopBroker: (id: number) => Promise<void>
  /** Done when it has registered (ottla) or answers (Kafka). */
  readonly startBroker: (id: number) => Promise<void>
  readonly stop: () => Promise<void>
  readonly kill: () => Promise<void>
  readonly log: () => string
}

const bootstrapOf = (brokers: ReadonlyArray<ClusterBroker>): string => brokers.map(({ host, port }) => `${host}:${port}`).join(",")

export interface OttlaClusterOptions {
  readonly runtime?: Runtime
  /** Default 3. */
  readonly size?: number
  /** `key=value` each. */
  readonly overrides?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Kept from an earlier cluster; a new one when missing. */
  readonly dataDirectory?: string
}

export interface OttlaCluster extends ClusterPeer {
  /** Of the whole cluster: `LOG_DIR` of the control channel. */
  readonly dataDirectory: string
  /** A kill whose session ends at once, too. */
  readonly killBroker: (id: number, session?: "ends" | "expires") => Promise<void>
  /** kill -9 of the process with all brokers in it, and its start on the same ports and directories. */
  readonly crash: () => Promise<void>
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.on("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

/** The first of so many ports one after the other that were free a moment ago. */
const freePorts = async (count: number): Promise<number> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = await freePort()
    const others = await Promise.all(Array.from({ length: count - 1 }, (_, i) => isFree(first + 1 + i)))
    if (others.every((free) => free)) return first
  }
  throw new PeerError(`no ${count} free ports one after the other`)
}

export const startOttlaCluster = async (options: OttlaClusterOptions = {}): Promise<OttlaCluster> => {
  const runtime = options.runtime ?? "node"
  const size = options.size ?? 3
  const home = temporaryDirectory(`cluster-${runtime}`)
  const dataDirectory = options.dataDirectory ?? join(home, "data")
  const first = await freePorts(size)
  const overrides = [`listeners=PLAINTEXT://127.0.0.1:${first}`, `log.dirs=${dataDirectory}`, ...options.overrides ?? []]
  const [program, ...words] = ottlaCommand(runtime)
  const args = [...words, "start", "--brokers", `${size}`, ...overrides.flatMap((one) => ["--override", one])]
  let starts = 0
  const start = async (): Promise<Server> => {
    const server = serve(program, args, join(home, `brokers-${++starts}.log`), options.env)
    await waitFor(`${size} brokers on ${runtime}`, 60_000, () => {
      const log = server.log()
      if (!server.alive()) throw new PeerError(`the brokers on ${runtime} ended while they started:\n${log.slice(-3000)}`)
      return log.includes("brokers are one cluster") ? true : undefined
    })
    return server
  }
  let server = await start()
  const ask = async (request: ControlRequest): Promise<void> => {
    const answer = await Effect.runPromise(askControl(dataDirectory, request))
    if (!answer.ok) throw new PeerError(`${JSON.stringify(request)}: ${answer.error}`)
  }
  const brokers = Array.from({ length: size }, (_, index) => ({
    id: index + 1,
    host: "127.0.0.1",
    port: first + index,
    dataDirectory: join(dataDirectory, `broker${index + 1}`)
  }))
  return {
    name: `ottla on ${runtime}`,
    brokers,
    bootstrap: bootstrapOf(brokers),
    dataDirectory,
    pids: () => server.alive() ? [server.pid] : [],
    killBroker: (broker, session = "expires") => ask({ command: "kill", broker, session }),
    stopBroker: (broker) => ask({ command: "stop", broker }),
    startBroker: (broker) => ask({ command: "start", broker }),
    crash: async () => {
      await server.kill()
      server = await start()
    },
    stop: async () => void await server.stop(),
    kill: () => server.kill(),
    log: () => server.log()
  }
}

export interface KafkaClusterOptions {
  /** Default KAFKA_VERSION. */
  readonly version?: string
  /** Default 3. */
  readonly size?: number
  /** Lines `key=value` behind the defaults. */
  readonly properties?: ReadonlyArray<string>
  /** Of each broker; default `KAFKA_HEAP`, else 512m. */
  readonly heap?: string
  /** Brokers, the first ones, that are controllers too. Default all: then a majority of them must run. */
  readonly controllers?: number
}

const CLUSTER_ID = "F5-_0JNCRnKftvn6fDeMVw"

/** Brokers of which all, or the first ones, are controllers too. */
export const startKafkaCluster = async (options: KafkaClusterOptions = {}): Promise<ClusterPeer> => {
  const version = options.version ?? KAFKA_VERSION
  const jars = await installKafka(version)
  const size = options.size ?? 3
  const home = temporaryDirectory("kafka-cluster")
  const members: Array<ClusterBroker & { readonly controllerPort: number }> = []
  for (let id = 1; id <= size; id++) {
    members.push({ id, host: "127.0.0.1", port: await freePort(), controllerPort: await freePort(), dataDirectory: join(home, `data-${id}`) })
  }
  const replicas = Math.min(size, 3)
  const controllers = options.controllers ?? size
  const heap = options.heap ?? process.env["KAFKA_HEAP"] ?? "512m"
  const fileOf = (id: number): string => join(home, `${id}.properties`)
  for (const { controllerPort, dataDirectory, host, id, port } of members) {
    writeFileSync(fileOf(id), [
      `process.roles=${id <= controllers ? "broker,controller" : "broker"}`,
      `node.id=${id}`,
      `controller.quorum.voters=${members.slice(0, controllers).map((one) => `${one.id}@${one.host}:${one.controllerPort}`).join(",")}`,
      `listeners=PLAINTEXT://${host}:${port}${id <= controllers ? `,CONTROLLER://${host}:${controllerPort}` : ""}`,
      `advertised.listeners=PLAINTEXT://${host}:${port}`,
      "controller.listener.names=CONTROLLER",
      `log.dirs=${dataDirectory}`,
      `offsets.topic.replication.factor=${replicas}`,
      `transaction.state.log.replication.factor=${replicas}`,
      `transaction.state.log.min.isr=${replicas > 2 ? 2 : 1}`,
      `share.coordinator.state.topic.replication.factor=${replicas}`,
      "share.coordinator.state.topic.min.isr=1",
      ...options.properties ?? []
    ].join("\n") + "\n")
  }
  await Promise.all(members.map(({ id }) =>
    runOrThrow("java", ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", `${jars}/*`, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", fileOf(id)])
  ))
  const servers = new Map<number, Server>()
  const startProcess = (id: number): void => {
    servers.set(id, serve("java", [
      `-Xms${heap}`, `-Xmx${heap}`, "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
      "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
      "-cp", `${jars}/*`, "kafka.Kafka", fileOf(id)
    ], join(home, `${id}.log`)))
  }
  const ready = ({ id, port }: ClusterBroker): Promise<true> =>
    waitFor(`the first answer of Kafka's broker ${id}`, 90_000, async () => {
      const server = servers.get(id)
      if (server?.alive() !== true) throw new PeerError(`Kafka's broker ${id} ended while it started:\n${server?.log().slice(-3000)}`)
      return await answers("127.0.0.1", port) ? true : undefined
    })
  for (const { id } of members) startProcess(id)
  await Promise.all(members.map(ready))
  return {
    name: "kafka",
    brokers: members,
    bootstrap: bootstrapOf(members),
    pids: () => [...servers.values()].flatMap((server) => server.alive() ? [server.pid] : []),
    killBroker: async (id) => servers.get(id)?.kill(),
    stopBroker: async (id) => void await servers.get(id)?.stop(),
    startBroker: async (id) => {
      startProcess(id)
      await ready(members[id - 1]!)
    },
    stop: async () => {
      // A quorum is needed for a controlled shutdown: who stops last waits for nobody.
      for (const server of servers.values()) await Promise.race([server.stop(), sleep(10_000).then(() => server.kill())])
    },
    kill: async () => void await Promise.all([...servers.values()].map((server) => server.kill())),
    log: () => [...servers].map(([id, server]) => `broker ${id}: ${server.log().slice(-3000)}`).join("\n")
  }
}
