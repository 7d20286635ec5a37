/**
 * The configurations of several brokers that are started together from one: ids from 1 on, ports one after the other,
 * a directory for each in every one of `log.dirs`. The rest they share.
 */
import { showEndpoint, type Endpoint } from "./Listeners.ts"
import { BrokerConfig, BrokerConfigError, type ConfigSource } from "./BrokerConfig.ts"
import { invariant } from "../../model/Invariant.ts"

/** Brokers that one process takes: each has its own listeners, logs and fetchers on the process's one loop. */
export const MAX_CLUSTER_SIZE = 32

const FIRST_ID = 1

/**
 * The directory of a broker in a directory of `log.dirs`. No partition has such a name (they end with a dash and
 * a number), so it shows that the directory is a cluster's.
 */
export const brokerDirectory = (logDir: string, id: number): string => `${logDir}/broker${id}`

/** The id of a broker whose directory has this name; undefined: it is no broker's. */
export const idOfBrokerDirectory = (name: string): number | undefined => {
  const match = /^broker([1-9][0-9]*)$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** The directory that the cluster of a broker's directory is in; undefined: it is none by its name. */
export const clusterOfBrokerDirectory = (path: string): string | undefined => {
  const slash = path.lastIndexOf("/")
  return slash >= 0 && idOfBrokerDirectory(path.slice(slash + 1)) !== undefined ? path.slice(0, slash) : undefined
}

/** Configurations of brokers that one process runs as a cluster: `loadCluster` makes it. */
export interface ClusterConfig {
  readonly _tag: "ClusterConfig"
  readonly ids: ReadonlyArray<number>
  /** As configured; each has a directory for each broker. The first has the journal of the metadata too. */
  readonly logDirs: ReadonlyArray<string>
  /** For the operator, once for all brokers. */
  readonly warnings: ReadonlyArray<string>
  readonly notes: ReadonlyArray<string>
  /**
   * A broker's configuration, new at each call: it holds what was altered dynamically while its broker runs.
   *
   * @param ports by listener, in place of port 0: the ones that the broker had when it last ran
   */
  readonly broker: (id: number, ports?: ReadonlyMap<string, number>) => BrokerConfig
}

const MAX_PORT = 65_535

const isBetween = (port: number, first: number, size: number): boolean => port >= first && port < first + size

/** What several brokers cannot share, of listeners that are a broker's own. */
const portProblems = (listeners: ReadonlyArray<Endpoint>, size: number): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const fixed = listeners.filter(({ port }) => port !== 0)
  for (const [index, one] of fixed.entries()) {
    if (one.port + size - 1 > MAX_PORT) {
      problems.push(`listeners: ${showEndpoint(one)} and the ${size - 1} ports after it do not fit below ${MAX_PORT + 1}; choose a lower port`)
    }
    for (const other of fixed.slice(index + 1)) {
      if (isBetween(other.port, one.port, size) || isBetween(one.port, other.port, size)) {
        problems.push(
          `listeners: ${showEndpoint(one)} and ${showEndpoint(other)} are too close: each takes ${size} ports one after the other, one for each broker`
        )
      }
    }
  }
  return problems
}

const shifted = (endpoints: ReadonlyArray<Endpoint>, by: number, ports: ReadonlyMap<string, number>): string =>
  endpoints.map((one) => showEndpoint({ ...one, port: one.port === 0 ? ports.get(one.name) ?? 0 : one.port + by })).join(",")

const NO_PORTS: ReadonlyMap<string, number> = new Map()

/** The configurations of `size` brokers; the error names everything that is wrong. */
export const loadCluster = (source: ConfigSource, size: number): ClusterConfig | BrokerConfigError => {
  if (!Number.isInteger(size) || size < 1 || size > MAX_CLUSTER_SIZE) {
    return new BrokerConfigError([`one process takes 1 to ${MAX_CLUSTER_SIZE} brokers, not ${size}`])
  }
  const shared: ConfigSource = { ...source, clusterSize: size }
  const base = BrokerConfig.load(shared)
  if (base instanceof BrokerConfigError) return base
  const problems = [...portProblems(base.listeners, size)]
  if (base.nodeId !== FIRST_ID) {
    problems.push(`node.id=${base.nodeId} cannot be used for several brokers: their ids are ${FIRST_ID} to ${size}; leave it out`)
  }
  if (problems.length > 0) return new BrokerConfigError(problems)

  const load = (id: number, ports: ReadonlyMap<string, number>): BrokerConfig | BrokerConfigError => {
    const by = id - FIRST_ID
    return BrokerConfig.load({
      ...shared,
      overrides: [
        ...shared.overrides ?? [],
        ["node.id", String(id)],
        ["broker.id", String(id)],
        ["listeners", shifted(base.listeners, by, ports)],
        // Resolved by the base: what is advertised for a listener without a host depends on whether it was configured.
        ["advertised.listeners", shifted(base.advertisedListeners, by, NO_PORTS)],
        ["log.dirs", base.logDirs.map((logDir) => brokerDirectory(logDir, id)).join(",")]
      ]
    })
  }
  const ids = Array.from({ length: size }, (_, index) => FIRST_ID + index)
  for (const id of ids) {
    const config = load(id, NO_PORTS)
    if (config instanceof BrokerConfigError) return config
  }
  return {
    _tag: "ClusterConfig",
    ids,
    logDirs: base.logDirs,
    warnings: base.warnings,
    notes: base.notes,
    broker: (id, ports = NO_PORTS) => {
      invariant(ids.includes(id), `there is no broker ${id}`)
      const config = load(id, ports)
      // All were loaded once, and a port that was taken is a port.
      invariant(config instanceof BrokerConfig, `the configuration of broker ${id} was right before`)
      return config
    }
  }
}
