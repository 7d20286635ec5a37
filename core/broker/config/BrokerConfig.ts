/**
 * What a broker is told: server.properties, the environment and command-line overrides, later ones stronger, and on
 * top of them the dynamic configurations that clients alter while it runs.
 *
 * Values are read by key and always current: `config.number("message.max.bytes")`. What is fixed at start (listeners,
 * directories, ids) has properties of its own.
 */
import { brokerConfigDefs, type ConfigDef, dynamicQuotaDefs, topicConfigDefs } from "../../cluster/configs/ConfigDefs.ts"
import { canonicalText, ConfigError, type ConfigValue, parseConfig, splitList, tooLongError } from "../../cluster/configs/ConfigParse.ts"
import type { ConfigLayers } from "../../cluster/configs/DescribeEntries.ts"
import { FIXED_AT_START, nearestKey, supportOf } from "../../cluster/configs/Support.ts"
import type { ConfigTexts } from "../../cluster/configs/TopicConfigs.ts"
import { invariant } from "../../model/Invariant.ts"
import { type BrokerValues, brokerValuesError, staticErrors, threadCountError } from "./BrokerRules.ts"
import { environmentKey, ignoredEnvironment } from "./Environment.ts"
import { DEFAULT_PROTOCOL_MAP, type Endpoint, isMetaAddress, parseEndpoints, parseProtocolMap, showEndpoint } from "./Listeners.ts"
import { parseProperties, PropertiesError } from "./Properties.ts"

/** Where data goes when neither log.dirs nor log.dir is set: Kafka's own /tmp/kafka-logs does not survive a reboot. */
export const DEFAULT_LOG_DIRS = "./data"
/** When neither node.id nor broker.id is set. Kafka has no default; its stock file says 1. */
export const DEFAULT_NODE_ID = 1
/** What clients are told to connect to when a listener has no host and nothing else is known, as in Kafka's stock file. */
export const DEFAULT_ADVERTISED_HOST = "localhost"

/** Kafka's defaults for its internal topics: replicas, and how many of them must have a record. */
const INTERNAL_REPLICAS = 3
const INTERNAL_MIN_ISR = 2

/**
 * Of brokers that are started together, one or several. Internal topics have no more replicas than there are brokers,
 * where Kafka's defaults are for three and more; its stock file sets the same for one. A group's first rebalance waits
 * for nobody, where Kafka's waits 3 seconds for more members.
 */
const defaultsFor = (clusterSize: number): ReadonlyArray<readonly [string, string]> => {
  const replicas = String(Math.min(clusterSize, INTERNAL_REPLICAS))
  const minIsr = String(clusterSize < INTERNAL_REPLICAS ? 1 : INTERNAL_MIN_ISR)
  return [
    ["group.initial.rebalance.delay.ms", "0"],
    ["offsets.topic.replication.factor", replicas],
    ["share.coordinator.state.topic.min.isr", minIsr],
    ["share.coordinator.state.topic.replication.factor", replicas],
    ["transaction.state.log.min.isr", minIsr],
    ["transaction.state.log.replication.factor", replicas]
  ]
}
const STANDALONE_DEFAULTS: ReadonlyArray<readonly [string, string]> = defaultsFor(1)

/** Where a configuration comes from, the later the stronger; nothing at all gives the defaults. */
export interface ConfigSource {
  /** The text of a server.properties file. */
  readonly properties?: string
  /** Variables of the environment: those that start with KAFKA_ count. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** `key=value` of the command line, or of a program that embeds the broker. */
  readonly overrides?: ReadonlyArray<readonly [key: string, value: string]>
  /** This host's name: advertised for listeners without a host when `listeners` is set and `advertised.listeners` is not. */
  readonly hostName?: string
  /** Brokers that are started together (ClusterConfig.ts): what the defaults of internal topics go by. Default 1. */
  readonly clusterSize?: number
}

/** The configuration cannot be started with: every problem that was found, by key. */
export class BrokerConfigError extends Error {
  readonly _tag = "BrokerConfigError"
  readonly problems: ReadonlyArray<string>
  constructor(problems: ReadonlyArray<string>) {
    super(`configuration: ${problems.join("; ")}`)
    this.problems = problems
  }
}

const EMPTY: ConfigTexts = new Map()
/** Kafka's number of the resource type. */
const TOPIC_RESOURCE = 2

const brokerDef = (key: string): ConfigDef | undefined => brokerConfigDefs.get(key) ?? dynamicQuotaDefs.get(key)

/** A configuration that was checked, of one broker: {@link BrokerConfig.load} makes it. */
export class BrokerConfig {
  readonly _tag = "BrokerConfig"
  readonly nodeId: number
  /** `broker.rack`. */
  readonly rack: string | null
  /** At least one, in the order of `log.dirs`. */
  readonly logDirs: ReadonlyArray<string>
  /** Client listeners; those of a KRaft controller are dropped. */
  readonly listeners: ReadonlyArray<Endpoint>
  /** What clients are told, by listener. Port 0: the one its listener took (`advertised`). */
  readonly advertisedListeners: ReadonlyArray<Endpoint>
  /** For the operator, at start: keys that are not known or not used. */
  readonly warnings: ReadonlyArray<string>
  readonly notes: ReadonlyArray<string>

  #layers: ConfigLayers
  /** Texts of every key that is set, statically or dynamically. */
  #texts: Map<string, string> = new Map()
  /** Parsed values of keys that were asked for, until something changes. */
  readonly #values: Map<string, ConfigValue | null> = new Map()
  readonly #listeners: Set<(changed: ReadonlySet<string>) => void> = new Set()

  private constructor(fixed: Fixed, staticBroker: ConfigTexts) {
    this.nodeId = fixed.nodeId
    this.rack = fixed.rack
    this.logDirs = fixed.logDirs
    this.listeners = fixed.listeners
    this.advertisedListeners = fixed.advertisedListeners
    this.warnings = fixed.warnings
    this.notes = fixed.notes
    this.#layers = { dynamicBroker: EMPTY, dynamicDefault: EMPTY, staticBroker }
    this.#texts = new Map(staticBroker)
  }

  /** Reads a configuration; the error names everything that is wrong with it. */
  static load(source: ConfigSource): BrokerConfig | BrokerConfigError {
    const given = gather(source)
    if (given instanceof BrokerConfigError) return given
    const fixed = resolve(given, source)
    return fixed instanceof BrokerConfigError ? fixed : new BrokerConfig(fixed, given.texts)
  }

  get layers(): ConfigLayers {
    return this.#layers
  }

  /** Every key that is set, statically or dynamically: what topics take their defaults from. */
  get texts(): ConfigTexts {
    return this.#texts
  }

  /** The current value; null when the key has none. */
  value(key: string): ConfigValue | null {
    const known = this.#values.get(key)
    if (known !== undefined) return known
    const def = brokerDef(key)
    invariant(def !== undefined, `not a broker configuration: ${key}`)
    const text = this.#texts.get(key) ?? def.default
    const value = text === null ? null : parseConfig(def, text)
    invariant(!(value instanceof ConfigError), `an unchecked value of ${key}: ${text}`)
    this.#values.set(key, value)
    return value
  }

  number(key: string): number {
    return this.value(key) as number
  }
  boolean(key: string): boolean {
    return this.value(key) as boolean
  }
  string(key: string): string {
    return this.value(key) as string
  }
  list(key: string): ReadonlyArray<string> {
    const value = this.value(key)
    // a few keys that hold lists are of type string in Kafka: max.connections.per.ip.overrides
    return typeof value === "string" ? splitList(value) : ((value ?? []) as ReadonlyArray<string>)
  }

  /**
   * The static or default text of a key that holds a list, of topics (resource type 2) or brokers: what APPEND and
   * SUBTRACT start from. Undefined for a key that is no list.
   */
  listDefault(resourceType: number, key: string): string | undefined {
    const def = resourceType === TOPIC_RESOURCE ? topicConfigDefs.get(key) : brokerDef(key)
    if (def?.type !== "list") return undefined
    const { staticBroker } = this.#layers
    if (resourceType !== TOPIC_RESOURCE) return staticBroker.get(key) ?? def.default ?? ""
    for (const { name } of def.synonyms) {
      const text = staticBroker.get(name)
      if (text !== undefined) return text
    }
    return def.default ?? ""
  }

  /** The advertised endpoints once the listeners have their ports. */
  advertised(boundPorts: ReadonlyMap<string, number>): ReadonlyArray<Endpoint> {
    return this.advertisedListeners.map((e) => (e.port === 0 ? { ...e, port: boundPorts.get(e.name) ?? 0 } : e))
  }

  /**
   * Takes the dynamic configurations of an image: effective for whoever reads next, and told to `onChange`. Texts that
   * this broker cannot use (imported ones, say) are passed over and named in the answer.
   */
  applyDynamic(dynamicDefault: ConfigTexts, dynamicBroker: ConfigTexts): ReadonlyArray<string> {
    if (dynamicDefault === this.#layers.dynamicDefault && dynamicBroker === this.#layers.dynamicBroker) return []
    const passedOver: Array<string> = []
    this.#layers = { dynamicBroker, dynamicDefault, staticBroker: this.#layers.staticBroker }
    const texts = new Map(this.#layers.staticBroker)
    for (const [layer, name] of [[dynamicDefault, "the cluster default"], [dynamicBroker, "this broker"]] as const) {
      for (const [key, text] of layer) {
        const def = brokerDef(key)
        const usable = def === undefined || (def.updateMode !== "read-only" && !(parseConfig(def, text) instanceof ConfigError))
        if (usable && !FIXED_AT_START.has(key)) texts.set(key, text)
        else passedOver.push(`${key} of ${name} is passed over: ${FIXED_AT_START.has(key) ? "it cannot change while running" : text}`)
      }
    }
    const changed = new Set<string>()
    for (const [key, text] of texts) if (this.#texts.get(key) !== text) changed.add(key)
    for (const key of this.#texts.keys()) if (!texts.has(key)) changed.add(key)
    this.#texts = texts
    for (const key of changed) this.#values.delete(key)
    if (changed.size > 0) for (const listener of this.#listeners) listener(changed)
    return passedOver
  }

  /** Calls back, synchronously, with the keys whose texts changed. Returns what ends it. */
  onChange(listener: (changed: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * What is wrong with all dynamic configurations that a broker is to have, in Kafka's words; undefined when nothing
   * is. It is an INVALID_REQUEST.
   *
   * @param broker a node id, or "" for the cluster-wide default
   */
  dynamicError(configs: ConfigTexts, broker: string): string | undefined {
    const keys = [...configs.keys()]
    const readOnly = named(
      "Cannot update these configs dynamically",
      keys.filter((key) => brokerConfigDefs.get(key)?.updateMode === "read-only" || this.#movesWhatIsFixed(key, configs))
    )
    if (readOnly !== undefined) return readOnly
    for (const [key, text] of configs) {
      const def = brokerDef(key)
      const value = tooLongError(key, text) ?? (def === undefined ? undefined : parseConfig(def, text))
      if (value instanceof ConfigError) return value.message
      if (def?.sensitive === true) return `Passwords are not kept as dynamic configurations here: ${key}`
    }
    if (broker === "") {
      const perBroker = named(
        "Cannot update these configs at default cluster level, broker id must be specified",
        keys.filter((key) => brokerConfigDefs.get(key)?.updateMode === "per-broker")
      )
      if (perBroker !== undefined) return perBroker
    }
    const texts = new Map(this.#layers.staticBroker)
    if (broker !== "") for (const [key, text] of this.#layers.dynamicDefault) texts.set(key, text)
    for (const [key, text] of configs) texts.set(key, text)
    const wrong = brokerValuesError(valuesOf(texts))
    if (wrong !== undefined) return wrong
    // What this broker has of its own stays above a new default.
    if (broker === "") for (const [key, text] of this.#layers.dynamicBroker) texts.set(key, text)
    return threadCountError(valuesOf(this.#texts), valuesOf(texts))
  }

  #movesWhatIsFixed(key: string, configs: ConfigTexts): boolean {
    if (!FIXED_AT_START.has(key)) return false
    const now = this.#layers.staticBroker.get(key) ?? brokerConfigDefs.get(key)?.default ?? ""
    return splitList(configs.get(key) ?? "").join(",") !== splitList(now).join(",")
  }
}

/** The title with the keys, when there are any. */
const named = (title: string, keys: ReadonlyArray<string>): string | undefined =>
  keys.length === 0 ? undefined : `${title}: [${keys.join(", ")}]`

/** Reads values from texts over Kafka's defaults; the texts parse. */
const valuesOf = (texts: ConfigTexts): BrokerValues => (key) => {
  const def = brokerDef(key)
  invariant(def !== undefined, `not a broker configuration: ${key}`)
  const text = texts.get(key) ?? def.default
  const value = text === null ? null : parseConfig(def, text)
  return value instanceof ConfigError ? null : value
}

interface Given {
  /** Checked texts by key, in Kafka's canonical spelling where the key is known. */
  readonly texts: Map<string, string>
  /** Keys that the operator set. */
  readonly set: ReadonlySet<string>
  readonly warnings: Array<string>
}

/** Puts the sources together, the weakest first, and checks each value by itself. */
const gather = (source: ConfigSource): Given | BrokerConfigError => {
  const errors: Array<string> = []
  const warnings: Array<string> = []
  const raw = new Map<string, string>()
  const file = source.properties === undefined ? EMPTY : parseProperties(source.properties)
  if (file instanceof PropertiesError) return new BrokerConfigError([`server.properties: ${file.message}`])
  for (const [key, value] of file) raw.set(key, value)
  for (const [variable, value] of Object.entries(source.environment ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const key = environmentKey(variable)
    if (key === undefined || value === undefined) continue
    if (brokerConfigDefs.has(key)) raw.set(key, value)
    else if (!ignoredEnvironment.has(variable)) warnings.push(`environment variable ${variable} is ignored: ${unknownKey(key)}`)
  }
  for (const [key, value] of source.overrides ?? []) raw.set(key.trim(), value)

  const texts = new Map<string, string>()
  const unused: Array<string> = []
  for (const [key, text] of raw) {
    const def = brokerConfigDefs.get(key)
    if (def === undefined) {
      if (isPluginKey(key)) unused.push(key)
      else warnings.push(unknownKey(key))
      texts.set(key, text)
      continue
    }
    const value = parseConfig(def, text)
    if (value instanceof ConfigError) {
      errors.push(value.message)
      continue
    }
    const canonical = canonicalText(def, text)
    texts.set(key, canonical)
    const support = supportOf("broker", key)
    if (canonical === def.default || STANDALONE_DEFAULTS.some(([k, v]) => k === key && v === canonical)) continue
    if (support?.status === "refused") errors.push(`${key}=${def.sensitive ? "(hidden)" : canonical} cannot be used: ${support.reason}`)
    else if (support?.status === "warned") unused.push(key)
  }
  if (unused.length > 0) warnings.push(`set but without effect here (docs/config.md says why): ${unused.sort().join(", ")}`)
  if (errors.length > 0) return new BrokerConfigError(errors)
  return { texts, set: new Set(raw.keys()), warnings }
}

/** Keys of listeners and of pluggable classes, which Kafka takes without knowing them. */
const isPluginKey = (key: string): boolean => /^(listener\.name\.|rsm\.config\.|rlmm\.config\.|config\.providers\.)/.test(key)

const unknownKey = (key: string): string => {
  const nearest = nearestKey("broker", key)
  return `${key} is not a broker configuration of Kafka 4.3${nearest === undefined ? "" : `; did you mean ${nearest}?`}`
}

interface Fixed {
  readonly nodeId: number
  readonly rack: string | null
  readonly logDirs: ReadonlyArray<string>
  readonly listeners: ReadonlyArray<Endpoint>
  readonly advertisedListeners: ReadonlyArray<Endpoint>
  readonly warnings: ReadonlyArray<string>
  readonly notes: ReadonlyArray<string>
}

/** What is fixed at start, and the rules that several keys make together. */
const resolve = ({ set, texts, warnings }: Given, { clusterSize = 1, hostName }: ConfigSource): Fixed | BrokerConfigError => {
  const errors: Array<string> = []
  const notes: Array<string> = []
  const has = (key: string): boolean => texts.has(key)
  const values = valuesOf(texts)

  const nodeId = Number(texts.get("node.id") ?? texts.get("broker.id") ?? DEFAULT_NODE_ID)
  if (has("node.id") && has("broker.id") && texts.get("broker.id") !== texts.get("node.id")) {
    errors.push("node.id and broker.id are both set and differ; broker.id is the old name, leave it out")
  }
  if (nodeId < 0) errors.push(`node.id must be at least 0, it is ${nodeId}`)
  texts.set("node.id", String(nodeId))
  texts.set("broker.id", String(nodeId))
  if (!has("log.dirs")) texts.set("log.dirs", texts.get("log.dir") ?? DEFAULT_LOG_DIRS)
  for (const [key, text] of defaultsFor(clusterSize)) if (!has(key)) texts.set(key, text)

  errors.push(...staticErrors(values, set))
  const endpoints = resolveListeners(texts, hostName, errors, notes)
  const wrong = brokerValuesError(values)
  if (wrong !== undefined) errors.push(wrong.replace(/^requirement failed: /, ""))
  if (errors.length > 0) return new BrokerConfigError(errors)
  return {
    nodeId,
    rack: texts.get("broker.rack") ?? null,
    logDirs: splitList(texts.get("log.dirs") ?? ""),
    ...endpoints,
    warnings,
    notes
  }
}

const resolveListeners = (
  texts: ConfigTexts,
  hostName: string | undefined,
  errors: Array<string>,
  notes: Array<string>
): { readonly listeners: ReadonlyArray<Endpoint>; readonly advertisedListeners: ReadonlyArray<Endpoint> } => {
  const controllers = new Set(splitList(texts.get("controller.listener.names") ?? "").map((name) => name.toUpperCase()))
  const mapText = texts.get("listener.security.protocol.map")
  const protocols = new Map(mapText === undefined ? DEFAULT_PROTOCOL_MAP : parseProtocolMap(splitList(mapText), errors))
  if (mapText === undefined) for (const name of controllers) if (!protocols.has(name)) protocols.set(name, "PLAINTEXT")

  const all = parseEndpoints(
    splitList(texts.get("listeners") ?? brokerConfigDefs.get("listeners")?.default ?? ""),
    { key: "listeners", protocols, samePortAllowed: false },
    errors
  )
  const listeners = all.filter((e) => !controllers.has(e.name))
  for (const e of all) {
    if (controllers.has(e.name)) notes.push(`listener ${showEndpoint(e)} is left out: the controller is part of the broker here`)
  }
  if (listeners.length === 0 && errors.length === 0) errors.push("listeners: there is none for clients")
  for (const e of listeners) {
    if (e.securityProtocol !== "PLAINTEXT") {
      errors.push(`listeners: ${showEndpoint(e)} has the security protocol ${e.securityProtocol}; only PLAINTEXT is there yet`)
    }
  }

  const advertisedText = texts.get("advertised.listeners")
  const advertised =
    advertisedText === undefined
      ? listeners.map((e) => (e.host === "" ? { ...e, host: canonicalHost(texts, hostName) } : e))
      : parseEndpoints(
          splitList(advertisedText),
          { key: "advertised.listeners", protocols, samePortAllowed: true },
          errors
        )
          .filter((e) => !controllers.has(e.name))
          .map((e) => (e.host === "" ? { ...e, host: canonicalHost(texts, hostName) } : e))
  for (const e of advertised) {
    if (!all.some((l) => l.name === e.name)) {
      errors.push(`advertised.listeners: there is no listener ${e.name} among the listeners ${all.map((l) => l.name).join(", ")}`)
    }
    if (isMetaAddress(e.host)) {
      errors.push(`advertised.listeners: clients cannot connect to ${e.host}; advertise a name or address of this host`)
    }
  }
  return { listeners, advertisedListeners: advertised }
}

/** Kafka advertises the host's canonical name; its stock file, which a bare start follows, says localhost. */
const canonicalHost = (texts: ConfigTexts, hostName: string | undefined): string =>
  texts.has("listeners") ? (hostName ?? DEFAULT_ADVERTISED_HOST) : DEFAULT_ADVERTISED_HOST
