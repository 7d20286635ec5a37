/**
 * `kafka-cluster`: its words, and the lines it prints; decided here, done in Endpoints.ts. The brokers that one process
 * runs together are the other half of `ottla cluster` (ClusterCommand.ts).
 */
import type { EndpointWord } from "./Names.ts"
import { type Flags, type ParsedFlags, UsageError } from "./Options.ts"

const connection: Flags = {
  "bootstrap-server": { takes: "text", short: "b", value: "host:port,…", help: "Required. Brokers to connect to." },
  "bootstrap-controller": {
    takes: "text",
    short: "C",
    value: "host:port,…",
    help: "Refused: no controller here listens apart from the brokers. Kafka's own kafka-cluster asks those of its clusters."
  },
  "command-config": { takes: "text", short: "c", value: "file", help: "A properties file with the configuration of the client." },
  config: { takes: "text", nowNamed: "command-config", help: "" }
}

export const flagsOf: Readonly<Record<EndpointWord, Flags>> = {
  "cluster-id": connection,
  "list-endpoints": { ...connection, "include-fenced-brokers": { takes: "nothing", help: "Also the brokers that are fenced." } },
  unregister: { ...connection, id: { takes: "integer", short: "i", value: "broker", help: "Required. The broker to unregister." } }
}

export interface EndpointsRequest {
  readonly bootstrapServer: string
  readonly commandConfig: string | undefined
  readonly includeFenced: boolean
  /** Of `unregister`. */
  readonly id: number
}

/** @throws UsageError */
export const parseEndpoints = (word: EndpointWord, parsed: ParsedFlags): EndpointsRequest => {
  const bootstrapServer = parsed.value("bootstrap-server")
  if (parsed.has("bootstrap-controller")) {
    throw new UsageError(
      bootstrapServer === undefined
        ? "--bootstrap-controller is for controllers with addresses of their own, which this command does not ask: use --bootstrap-server"
        : "argument --bootstrap-controller/-C: not allowed with argument --bootstrap-server/-b"
    )
  }
  if (word === "unregister" && !parsed.has("id")) throw new UsageError("argument --id/-i is required")
  if (bootstrapServer === undefined) throw new UsageError("the argument --bootstrap-server/-b is required")
  return {
    bootstrapServer,
    commandConfig: parsed.value("command-config"),
    includeFenced: parsed.has("include-fenced-brokers"),
    id: parsed.number("id") ?? -1
  }
}

export const clusterIdLine = (clusterId: string | null): string =>
  clusterId === null ? "No cluster ID found. The Kafka version is probably too old." : `Cluster ID: ${clusterId}`

export const unregisteredLine = (id: number): string => `Broker ${id} is no longer registered.`
export const NO_UNREGISTERING = "The target cluster does not support the broker unregistration API."

export interface Endpoint {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
  readonly isFenced: boolean
}

const COLUMN = 10
const TYPE_COLUMN = 15

/** Columns as wide as Kafka's: hosts and racks as the longest of them, whatever their heading takes. */
export const endpointLines = (endpoints: ReadonlyArray<Endpoint>): ReadonlyArray<string> => {
  const host = Math.max(0, ...endpoints.map(({ host }) => host.length))
  const racks = endpoints.flatMap(({ rack }) => rack === null ? [] : [rack.length])
  const rack = racks.length === 0 ? COLUMN : Math.max(...racks)
  const widths = [COLUMN, host, COLUMN, rack, COLUMN, TYPE_COLUMN]
  const line = (...cells: ReadonlyArray<string>): string => cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" ")
  return [
    line("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"),
    ...endpoints.map(({ host, id, isFenced, port, rack }) =>
      line(`${id}`, host, `${port}`, rack ?? "null", isFenced ? "fenced" : "unfenced", "broker"))
  ]
}
