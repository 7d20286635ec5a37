/** Rules that several broker keys make together, or that Kafka states outside its definitions. */
import type { ConfigValue } from "../../cluster/configs/ConfigParse.ts"
import { LEADER_SELECTOR, RACK_AWARE_SELECTOR } from "../ReplicaSelector.ts"

/** A broker key's value; null when it has none. */
export type BrokerValues = (key: string) => ConfigValue | null

const LOG_CLEANER_MIN_BYTES_PER_THREAD = 1024 * 1024

/** Java classes cannot run here; these are done in TypeScript. */
const REPLICA_SELECTORS: ReadonlyArray<string> = [LEADER_SELECTOR, RACK_AWARE_SELECTOR]

/** Thread pools that Kafka sizes anew while it runs. */
const THREAD_COUNTS: ReadonlyArray<string> = [
  "num.io.threads",
  "num.network.threads",
  "num.replica.fetchers",
  "num.recovery.threads.per.data.dir",
  "background.threads"
]
const CLEANER_THREADS = "log.cleaner.threads"

const rule = (holds: boolean, message: string): string | undefined => (holds ? undefined : `requirement failed: ${message}`)

/** The first broken rule, in Kafka's words; it holds for static and dynamic values alike. */
export const brokerValuesError = (value: BrokerValues): string | undefined => {
  const number = (key: string): number => value(key) as number
  const rollMs = value("log.roll.ms") ?? number("log.roll.hours") * 3_600_000
  const jitterMs = value("log.roll.jitter.ms") ?? number("log.roll.jitter.hours") * 3_600_000
  const retention = value("log.retention.ms") ?? value("log.retention.minutes") ?? value("log.retention.hours")
  return (
    rule((rollMs as number) >= 1, "log.roll.ms must be greater than or equal to 1") ??
    rule((jitterMs as number) >= 0, "log.roll.jitter.ms must be greater than or equal to 0") ??
    rule(
      (retention as number) >= 1 || (retention as number) < 0,
      "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"
    ) ??
    rule(number(CLEANER_THREADS) >= 1, "log.cleaner.threads must be at least 1") ??
    rule(
      number("log.cleaner.dedupe.buffer.size") / number(CLEANER_THREADS) >= LOG_CLEANER_MIN_BYTES_PER_THREAD,
      "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
    ) ??
    connectionOverridesError(value("max.connections.per.ip.overrides") as string | null)
  )
}

/**
 * A running broker's thread counts may at most double or halve at a time, in Kafka's words. There are no threads here
 * to protect, but a tool that works in such steps, or is tested for an error, sees what it expects.
 */
export const threadCountError = (now: BrokerValues, next: BrokerValues): string | undefined => {
  const refuse = (why: string): string =>
    `Invalid value org.apache.kafka.common.config.ConfigException: ${why} for configuration Invalid dynamic configuration`
  for (const key of THREAD_COUNTS) {
    const [current, count] = [now(key) as number, next(key) as number]
    const failed = `Dynamic thread count update validation failed for ${key}=${count}, value should`
    if (count < Math.floor(current / 2)) return refuse(`${failed} be at least half the current value ${current}`)
    if (count > current * 2) return refuse(`${failed} not be greater than double the current value ${current}`)
  }
  const [current, count] = [now(CLEANER_THREADS) as number, next(CLEANER_THREADS) as number]
  const cleaners = "Log cleaner threads cannot be"
  if (count < Math.floor(current / 2)) return refuse(`${cleaners} reduced to less than half the current value ${current}`)
  if (count > current * 2) return refuse(`${cleaners} increased to more than double the current value ${current}`)
  return undefined
}

/** `host:count,…` (`[v6]:count` too). */
export const parseConnectionOverrides = (text: string): ReadonlyMap<string, number> | string => {
  const counts = new Map<string, number>()
  for (const entry of text.split(",").map((e) => e.trim()).filter((e) => e !== "")) {
    const colon = entry.lastIndexOf(":")
    const count = Number(entry.slice(colon + 1))
    if (colon <= 0 || !Number.isInteger(count) || count < 0) {
      return `Error parsing configuration property 'max.connections.per.ip.overrides': ${entry} is not host:count`
    }
    counts.set(entry.slice(0, colon).trim().replace(/^\[(.*)\]$/, "$1"), count)
  }
  return counts
}

const connectionOverridesError = (text: string | null): string | undefined => {
  const counts = parseConnectionOverrides(text ?? "")
  return typeof counts === "string" ? counts : undefined
}

/** Rules for what is fixed at start, in our words. */
export const staticErrors = (value: BrokerValues, set: ReadonlySet<string>): ReadonlyArray<string> => {
  const errors: Array<string> = []
  const roles = value("process.roles") as ReadonlyArray<string> | null
  if (roles !== null && !roles.includes("broker")) {
    errors.push("process.roles: there is no controller without a broker here; say broker,controller or leave it out")
  }
  const interBroker = value("security.inter.broker.protocol")
  if (set.has("inter.broker.listener.name") && set.has("security.inter.broker.protocol")) {
    errors.push("inter.broker.listener.name and security.inter.broker.protocol are both set; only one can be")
  }
  if (interBroker !== "PLAINTEXT") {
    errors.push(`security.inter.broker.protocol: ${String(interBroker)} cannot be used; only PLAINTEXT is there yet`)
  }
  const selector = value("replica.selector.class")
  if (selector !== null && !REPLICA_SELECTORS.includes(selector as string)) {
    errors.push(`replica.selector.class: ${String(selector)} cannot be used; Kafka's own are there: ${REPLICA_SELECTORS.join(", ")}`)
  }
  if ((value("default.replication.factor") as number) < 1) errors.push("default.replication.factor must be at least 1")
  return errors
}
