/** `ottla cluster`: what its words ask for, and what its answers look like. */
import { parseArgs } from "node:util"
import type { ClusterDescription } from "../../core/broker/LocalCluster.ts"
import { type Endpoint, showEndpoint } from "../../core/broker/config/Listeners.ts"
import type { ControlRequest } from "./ClusterControl.ts"
import { parseArgsProblem, UsageError } from "./Options.ts"

export const help = `usage: ottla cluster describe
       ottla cluster kill|stop|start ID
       ottla cluster cluster-id|list-endpoints|unregister --bootstrap-server HOST:PORT

cluster-id, list-endpoints and unregister are Kafka's kafka-cluster and ask any cluster; each has a --help of its own. The
rest reaches the brokers that one process runs (ottla start --brokers N), so that a failover can be watched while clients go on.

  describe     the brokers: what they do, where they listen, what they lead
  kill ID      ends a broker in the middle of whatever it does, as kill -9
  stop ID      stops a broker cleanly, as SIGTERM
  start ID     starts it again, on its ports and directories

options:
  --log-dirs PATH     the log.dirs that the cluster was started with, or the first of them (default: KAFKA_LOG_DIRS, else ./data)
  --session HOW       with kill: "expires" (default) leaves its session to time out after broker.session.timeout.ms, as
                      when a machine is gone; "ends" ends it at once
  --json              prints the answer as JSON
  --help

The channel is a Unix socket in that directory: who may open it is the file system's to say.
`

export interface ClusterCommand {
  readonly request: ControlRequest
  /** Undefined: as the environment says. */
  readonly logDirs: string | undefined
  readonly json: boolean
}

const options = {
  "log-dirs": { type: "string" },
  session: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" }
} as const

const brokerOf = (command: string, word: string | undefined): number => {
  if (word === undefined) throw new UsageError(`${command} takes the id of a broker: ottla cluster ${command} 2`)
  if (!/^\d+$/.test(word)) throw new UsageError(`${command} takes the id of a broker, a number; "${word}" is none`)
  return Number(word)
}

/** "Help": it was asked for. @throws UsageError */
export const parseCluster = (args: ReadonlyArray<string>): ClusterCommand | "Help" => {
  let parsed
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(parseArgsProblem(error))
  }
  const { positionals, values } = parsed
  if (values.help === true) return "Help"
  const [command, ...words] = positionals
  const known = "describe, kill, stop, start, cluster-id, list-endpoints or unregister"
  if (command === undefined) throw new UsageError(`cluster takes one of the words ${known}`)
  if (command !== "describe" && command !== "kill" && command !== "stop" && command !== "start") {
    throw new UsageError(`cluster takes ${known}, not "${command}"`)
  }
  const { json = false, "log-dirs": logDirs, session } = values
  if (session !== undefined && command !== "kill") throw new UsageError("--session goes with kill")
  if (session !== undefined && session !== "ends" && session !== "expires") {
    throw new UsageError(`--session takes ends or expires, not "${session}"`)
  }
  const taken = command === "describe" ? 0 : 1
  if (words.length > taken) throw new UsageError(`"${words[taken]}" is one word too many`)
  if (command === "describe") return { request: { command }, logDirs, json }
  const broker = brokerOf(command, words[0])
  const request: ControlRequest = command === "kill" ? { command, broker, session: session ?? "expires" } : { command, broker }
  return { request, logDirs, json }
}

const addresses = (advertised: ReadonlyArray<Endpoint>): string => advertised.map(showEndpoint).join(",") || "-"

/** Rows with their columns under each other. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()}\n`).join("")
}

/**
 * Running and not: a broker that was killed is waited for until its session is over (`fenced`), and one that runs is
 * fenced while it has lost its session.
 */
const statusOf = ({ fenced, status }: ClusterDescription["brokers"][number]): string =>
  status === "running" ? (fenced ? "running, fenced" : "running") : fenced ? status : `${status}, not fenced yet`

/** What `ottla cluster describe` prints. */
export const showCluster = ({ brokers, clusterId, controllerId, partitions, withoutLeader }: ClusterDescription): string => {
  const controller = controllerId === -1 ? "none" : String(controllerId)
  const heading = `Cluster ID: ${clusterId}\tController: ${controller}\tPartitions: ${partitions}\tWithout leader: ${withoutLeader}\n`
  return heading + table([
    ["BROKER", "STATUS", "ADVERTISED", "EPOCH", "LEADS", "REPLICAS", "OUT-OF-SYNC"],
    ...brokers.map((broker) => [
      String(broker.id),
      statusOf(broker),
      addresses(broker.advertised),
      broker.epoch === -1 ? "-" : String(broker.epoch),
      String(broker.leads),
      String(broker.replicas),
      String(broker.outOfSync)
    ])
  ])
}

/** What the others print when they have done it. */
export const showDone = (request: Exclude<ControlRequest, { readonly command: "describe" }>): string => {
  const done = { kill: "killed", stop: "stopped", start: "started" }[request.command]
  return `Broker ${request.broker} is ${done}.\n`
}
