/**
 * What each configuration key takes, and properties as strings turned into a configuration: for commands, files and
 * whoever configures from outside of the program. Bounds are Kafka 4.3's (CommonClientConfigs, ProducerConfig,
 * ConsumerConfig).
 */
import type { ClientConfig } from "./ClientConfig.ts"
import { FatalError } from "./ClientError.ts"
import type { ConsumerConfig } from "./Consumer.ts"
import { OFFSET_RESETS, parseOffsetReset } from "./OffsetReset.ts"
import type { ProducerConfig } from "./Producer.ts"

export type ConfigKey =
  | { readonly type: "string" }
  | { readonly type: "boolean" }
  | { readonly type: "integer"; readonly min: number; readonly max: number }
  | { readonly type: "choice"; readonly values: ReadonlyArray<string> }
  | { readonly type: "offset reset" }

export type ConfigKeys = Readonly<Record<string, ConfigKey>>

/** What each kind of client is configured with. */
export interface ConfigOf {
  readonly client: ClientConfig
  readonly admin: ClientConfig
  readonly producer: ProducerConfig
  readonly consumer: ConsumerConfig
}

const INT_MAX = 0x7fffffff
const text: ConfigKey = { type: "string" }
const flag: ConfigKey = { type: "boolean" }
const int = (min: number, max: number = INT_MAX): ConfigKey => ({ type: "integer", min, max })
const long = (min: number): ConfigKey => ({ type: "integer", min, max: Number.MAX_SAFE_INTEGER })
const choice = (...values: ReadonlyArray<string>): ConfigKey => ({ type: "choice", values })

const clientKeys: Record<keyof ClientConfig, ConfigKey> = {
  "bootstrap.servers": text,
  "client.id": text,
  "client.rack": text,
  "request.timeout.ms": int(0),
  "default.api.timeout.ms": int(0),
  "metadata.max.age.ms": long(0),
  "retry.backoff.ms": long(0),
  "retry.backoff.max.ms": long(0),
  "reconnect.backoff.ms": long(0),
  "reconnect.backoff.max.ms": long(0),
  "socket.connection.setup.timeout.ms": long(0),
  "connections.max.idle.ms": long(-1)
}

const producerKeys: Record<keyof ProducerConfig, ConfigKey> = {
  ...clientKeys,
  "acks": choice("all", "-1", "0", "1"),
  "enable.idempotence": flag,
  "linger.ms": long(0),
  "batch.size": int(0),
  "batch.records": int(1),
  "buffer.memory": long(0),
  "max.block.ms": long(0),
  "delivery.timeout.ms": int(0),
  "retries": int(0),
  "max.in.flight.requests.per.connection": int(1),
  "max.request.size": int(0),
  "compression.type": choice("none", "gzip", "snappy", "lz4", "zstd"),
  "compression.gzip.level": int(-1, 9),
  "compression.lz4.level": int(1, 17),
  "compression.zstd.level": int(-131072, 22),
  "partitioner.adaptive.partitioning.enable": flag,
  "partitioner.availability.timeout.ms": long(0),
  "partitioner.ignore.keys": flag
}

const consumerKeys: Record<keyof ConsumerConfig, ConfigKey> = {
  ...clientKeys,
  "group.id": text,
  "group.instance.id": text,
  "auto.offset.reset": { type: "offset reset" },
  "enable.auto.commit": flag,
  "auto.commit.interval.ms": int(0),
  "partition.assignment.strategy": text,
  "session.timeout.ms": int(1),
  "heartbeat.interval.ms": int(1),
  "max.poll.interval.ms": int(1),
  "max.poll.records": int(1),
  "fetch.min.bytes": int(0),
  "fetch.max.bytes": int(0),
  "fetch.max.wait.ms": int(0),
  "max.partition.fetch.bytes": int(0),
  "fetch.buffer.bytes": long(1),
  "isolation.level": choice("read_uncommitted", "read_committed"),
  "check.crcs": flag,
  "allow.auto.create.topics": flag,
  "exclude.internal.topics": flag
}

/** What each kind of client takes. */
export const configKeys: Readonly<Record<keyof ConfigOf, ConfigKeys>> = {
  client: clientKeys,
  admin: clientKeys,
  producer: producerKeys,
  consumer: consumerKeys
}

/**
 * Kafka's keys that mean nothing here, so that properties written for Kafka's tools serve. With values: only these are
 * what this client does anyway.
 */
const tolerated: Readonly<Record<string, ReadonlyArray<string> | undefined>> = {
  "security.protocol": ["PLAINTEXT"],
  "group.protocol": ["classic", "CLASSIC"],
  "metadata.recovery.strategy": ["rebootstrap", "REBOOTSTRAP"],
  "metadata.recovery.rebootstrap.trigger.ms": undefined,
  "metadata.max.idle.ms": undefined,
  "client.dns.lookup": undefined,
  "socket.connection.setup.timeout.max.ms": undefined,
  "send.buffer.bytes": undefined,
  "receive.buffer.bytes": undefined,
  "key.serializer": undefined,
  "value.serializer": undefined,
  "key.deserializer": undefined,
  "value.deserializer": undefined,
  "interceptor.classes": undefined,
  "metric.reporters": undefined,
  "metrics.num.samples": undefined,
  "metrics.recording.level": undefined,
  "metrics.sample.window.ms": undefined,
  "enable.metrics.push": undefined,
  "auto.include.jmx.reporter": undefined,
  "group.remote.assignor": undefined,
  "internal.leave.group.on.close": undefined
}

/** "an integer from 0 to 2147483647". */
export const whatItTakes = (key: ConfigKey): string => {
  switch (key.type) {
    case "string":
      return "a string"
    case "boolean":
      return "true or false"
    case "choice":
      return `one of ${key.values.join(", ")}`
    case "offset reset":
      return OFFSET_RESETS
    case "integer":
      return key.max === Number.MAX_SAFE_INTEGER
        ? `an integer of at least ${key.min}`
        : `an integer from ${key.min} to ${key.max}`
  }
}

const parseValue = (key: ConfigKey, value: string): string | number | boolean | undefined => {
  switch (key.type) {
    case "string":
    case "offset reset":
      return value
    case "boolean": {
      const lower = value.toLowerCase()
      return lower === "true" ? true : lower === "false" ? false : undefined
    }
    case "choice":
      return value
    case "integer":
      return /^[+-]?\d+$/.test(value) ? Number(value) : undefined
  }
}

const isTaken = (key: ConfigKey, value: unknown): boolean => {
  switch (key.type) {
    case "string":
      return typeof value === "string"
    case "boolean":
      return typeof value === "boolean"
    case "choice":
      return key.values.includes(value as string)
    case "offset reset":
      return parseOffsetReset(value) !== undefined
    case "integer":
      return typeof value === "number" && Number.isInteger(value) && value >= key.min && value <= key.max
  }
}

const wrong = (message: string): FatalError => new FatalError("INVALID_ARGUMENT", message)

const wrongValue = (name: string, value: unknown, takes: string): FatalError =>
  wrong(`${name} is ${JSON.stringify(value)}; it takes ${takes}`)

/** At most this many differences make a key one that was meant. */
const CLOSE_ENOUGH = 3

const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

const unknownKey = (kind: keyof ConfigOf, name: string): FatalError => {
  const known = Object.keys(configKeys[kind])
  const near = known.filter((key) => distance(key, name) <= CLOSE_ENOUGH)
  const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `it takes ${known.toSorted().join(", ")}`
  return wrong(`${name} is no configuration of ${kind === "admin" ? "an admin" : `a ${kind}`}: ${hint}`)
}

export interface ParsedConfig<Config> {
  readonly config: Config
  /** Keys that Kafka knows and that change nothing here: worth a warning. */
  readonly ignored: ReadonlyArray<string>
}

/**
 * Kafka's properties as a configuration; a later entry of a key replaces an earlier one. An unknown key, or a value of
 * the wrong kind, names itself and what would be right.
 */
export const parseConfig = <Kind extends keyof ConfigOf>(
  kind: Kind,
  properties: Iterable<readonly [key: string, value: string]>
): ParsedConfig<ConfigOf[Kind]> | FatalError => {
  const config: Record<string, unknown> = {}
  const ignored = new Set<string>()
  for (const [name, raw] of properties) {
    const key = Object.hasOwn(configKeys[kind], name) ? configKeys[kind][name] : undefined
    const value = raw.trim()
    if (key !== undefined) {
      const parsed = parseValue(key, value)
      if (parsed === undefined || !isTaken(key, parsed)) return wrongValue(name, raw, whatItTakes(key))
      config[name] = parsed
    } else if (Object.hasOwn(tolerated, name)) {
      const values = tolerated[name]
      if (values !== undefined && !values.includes(value)) return wrongValue(name, raw, `only ${values[0]!} here`)
      ignored.add(name)
    } else return unknownKey(kind, name)
  }
  const error = checkConfig(kind, config)
  return error ?? { config: config as unknown as ConfigOf[Kind], ignored: [...ignored] }
}

/** What is wrong with a configuration; undefined: nothing. */
export const checkConfig = (kind: keyof ConfigOf, config: object): FatalError | undefined => {
  for (const [name, value] of Object.entries(config)) {
    const key = Object.hasOwn(configKeys[kind], name) ? configKeys[kind][name] : undefined
    if (key === undefined) return unknownKey(kind, name)
    if (value !== undefined && !isTaken(key, value)) return wrongValue(name, value, whatItTakes(key))
  }
  const servers = (config as Partial<ClientConfig>)["bootstrap.servers"]
  if (servers === undefined) return wrong("bootstrap.servers is missing; it takes host:port of some brokers, separated by commas")
  const addresses = parseServers(servers)
  return addresses instanceof FatalError ? addresses : undefined
}

/** `host:port`, `[::1]:9092`, `PLAINTEXT://host:port`, as Kafka takes them. */
export const parseServers = (
  servers: string
): ReadonlyArray<{ readonly host: string; readonly port: number }> | FatalError => {
  const takes = "host:port of some brokers, separated by commas"
  const addresses: Array<{ readonly host: string; readonly port: number }> = []
  for (const server of servers.split(",").map((server) => server.trim()).filter((server) => server !== "")) {
    const match = /^(?:[a-zA-Z][a-zA-Z\d+\-.]*:\/\/)?(?:\[([0-9a-zA-Z\-%._:]+)\]|([0-9a-zA-Z\-%._]+)):(\d{1,5})$/.exec(server)
    const port = Number(match?.[3])
    if (match === null || port > 65535) return wrongValue("bootstrap.servers", server, takes)
    addresses.push({ host: match[1] ?? match[2]!, port })
  }
  return addresses.length === 0 ? wrongValue("bootstrap.servers", servers, takes) : addresses
}
