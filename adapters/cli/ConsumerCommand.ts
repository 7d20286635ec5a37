/** `kafka-console-consumer`: what its command line asks for; done in ConsoleConsumer.ts. */
import type { ConsumerConfig } from "../../core/client/Consumer.ts"
import { clientConfig, readProperties } from "./Command.ts"
import { formatterConfig, type FormatterConfig } from "./Formatter.ts"
import { formatGroups, formatOffsets, type RecordFormat } from "./GroupFormatters.ts"
import { type Flags, keyValues, needs, type ParsedFlags, shown, UsageError } from "./Options.ts"

const FORMATTERS = "org.apache.kafka.tools.consumer."
const DEFAULT_FORMATTER = `${FORMATTERS}DefaultMessageFormatter`

export const flags: Flags = {
  topic: { takes: "text", value: "name", help: "The topic to read." },
  include: { takes: "text", value: "regex", help: "A regular expression for the topics to read, instead of one topic." },
  partition: { takes: "integer", value: "partition", help: "One partition to read, without a group; from its end unless --offset says where." },
  offset: { takes: "text", value: "offset", default: "latest", help: "Where in the partition to begin: an offset, earliest or latest." },
  "bootstrap-server": { takes: "text", value: "host:port,…", help: "Required. Brokers to connect to." },
  "broker-list": { takes: "text", value: "host:port,…", nowNamed: "bootstrap-server", help: "" },
  group: { takes: "text", value: "id", help: "The group to join; positions are committed to it. By default one of its own." },
  "from-beginning": { takes: "nothing", help: "Where the group has no position yet, begin at the first record and not at the end." },
  "max-messages": { takes: "integer", value: "count", help: "End after that many records." },
  messages: { takes: "integer", value: "count", nowNamed: "max-messages", help: "" },
  "timeout-ms": { takes: "long", value: "ms", help: "End when no record has come for so long." },
  "isolation-level": { takes: "text", value: "level", default: "read_uncommitted", help: "read_committed leaves out records of transactions that are open or aborted." },
  "skip-message-on-error": { takes: "nothing", help: "Pass over a record that cannot be printed instead of ending." },
  "enable-systest-events": { takes: "nothing", help: "Print shutdown_complete at the end." },
  "key-deserializer": { takes: "text", value: "class", help: "How keys are read, by the name of Kafka's class." },
  "value-deserializer": { takes: "text", value: "class", help: "How values are read, by the name of Kafka's class." },
  formatter: { takes: "text", value: "class", default: DEFAULT_FORMATTER, help: "Or NoOpMessageFormatter, which prints nothing, or OffsetsMessageFormatter and GroupMetadataMessageFormatter of the same package, for __consumer_offsets." },
  "formatter-property": {
    takes: "text",
    value: "name=value",
    help: "What is printed of a record; may be repeated. print.timestamp, print.partition, print.offset, print.headers, print.key " +
      "(false), print.value (true); key.separator (a tab), line.separator (a line feed), headers.separator (,), null.literal (null); " +
      "key.deserializer, value.deserializer, headers.deserializer"
  },
  property: { takes: "text", value: "name=value", nowNamed: "formatter-property", help: "" },
  "formatter-config": { takes: "text", value: "file", help: "A file of formatter properties; --formatter-property is stronger." },
  "command-property": { takes: "text", value: "name=value", help: "A configuration of the consumer; may be repeated." },
  "consumer-property": { takes: "text", value: "name=value", nowNamed: "command-property", help: "" },
  "command-config": { takes: "text", value: "file", help: "A properties file with the consumer's configuration; --command-property is stronger." },
  "consumer.config": { takes: "text", value: "file", nowNamed: "command-config", help: "" }
}

/** What to read: topics by their group's assignment, or one partition from somewhere on. */
export type Source =
  | { readonly _tag: "Topic"; readonly topic: string }
  | { readonly _tag: "Include"; readonly pattern: RegExp }
  | { readonly _tag: "Partition"; readonly topic: string; readonly partition: number; readonly offset: number | "earliest" | "latest" }

export interface ConsumerRequest {
  readonly source: Source
  readonly config: ConsumerConfig
  /** Undefined: nothing is printed. */
  readonly formatter: FormatterConfig | RecordFormat | undefined
  readonly maxMessages: number | undefined
  /** Undefined: no limit. */
  readonly timeoutMs: number | undefined
  readonly skipOnError: boolean
  readonly tellShutdown: boolean
  readonly warnings: ReadonlyArray<string>
}

const parseOffset = (parsed: ParsedFlags): number | "earliest" | "latest" => {
  if (!parsed.has("offset")) return parsed.has("from-beginning") ? "earliest" : "latest"
  const text = parsed.value("offset")!
  const word = text.toLowerCase()
  if (word === "earliest" || word === "latest") return word
  const offset = Number(text)
  if (!/^\+?\d+$/.test(text) || !Number.isSafeInteger(offset)) {
    throw new UsageError(`The provided offset value '${text}' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.`)
  }
  return offset
}

const parseSource = (parsed: ParsedFlags): Source => {
  if (parsed.has("topic") === parsed.has("include")) {
    throw new UsageError(`Exactly one of the following arguments is required: ${shown("topic")}, ${shown("include")}`)
  }
  const topic = parsed.value("topic")
  const partition = parsed.number("partition")
  if (partition === undefined) {
    if (parsed.has("offset")) throw new UsageError("The partition is required when offset is specified.")
    if (topic !== undefined) return { _tag: "Topic", topic }
    const include = parsed.value("include")!
    try {
      // as in Java, the whole name has to match
      return { _tag: "Include", pattern: new RegExp(`^(?:${include})$`) }
    } catch {
      throw new UsageError(`--include is no regular expression: ${include}`)
    }
  }
  if (topic === undefined) throw new UsageError("The topic is required when partition is specified.")
  if (parsed.has("from-beginning") && parsed.has("offset")) {
    throw new UsageError("Options from-beginning and offset cannot be specified together.")
  }
  return { _tag: "Partition", topic, partition, offset: parseOffset(parsed) }
}

/** The group that flag, file and properties name; they must agree. */
const groupOf = (parsed: ParsedFlags, ...properties: ReadonlyArray<ReadonlyMap<string, string>>): string | undefined => {
  const ids = new Set([parsed.value("group"), ...properties.map((one) => one.get("group.id"))].filter((id) => id !== undefined))
  if (ids.size > 1) {
    throw new UsageError("The group ids provided in different places (directly using '--group', via '--command-property', or via " +
      `'--command-config') do not match. Detected group ids: ${[...ids].map((id) => `'${id}'`).join(", ")}`)
  }
  const [id] = ids
  if (id !== undefined && parsed.has("partition")) throw new UsageError("Options group and partition cannot be specified together.")
  return id
}

/** How many groups of their own there may be. */
const OWN_GROUPS = 100_000

/** Formatters beside the default one. */
const otherFormatters: Readonly<Record<string, RecordFormat | undefined>> = {
  NoOpMessageFormatter: undefined,
  OffsetsMessageFormatter: formatOffsets,
  GroupMetadataMessageFormatter: formatGroups
}

const parseFormatter = (parsed: ParsedFlags): ConsumerRequest["formatter"] => {
  const name = parsed.value("formatter")!
  const short = name.startsWith(FORMATTERS) ? name.slice(FORMATTERS.length) : ""
  if (Object.hasOwn(otherFormatters, short)) return otherFormatters[short]
  // what the logging one adds goes to a log that nobody sees
  if (name !== DEFAULT_FORMATTER && short !== "LoggingMessageFormatter") {
    const others = Object.keys(otherFormatters).map((one) => `${FORMATTERS}${one}`)
    throw new UsageError(`there is no formatter ${name}; there are ${[DEFAULT_FORMATTER, ...others].join(", ")}`)
  }
  const properties = new Map(readProperties(parsed.value("formatter-config")))
  for (const side of ["key", "value"] as const) {
    const deserializer = parsed.value(`${side}-deserializer`)
    if (deserializer !== undefined && deserializer !== "") properties.set(`${side}.deserializer`, deserializer)
  }
  return formatterConfig(new Map([...properties, ...keyValues(parsed.values("formatter-property"))]))
}

/**
 * Reads the files that the flags name.
 * @param random uniform in [0, 1), for the name of a group of its own
 * @throws UsageError
 */
export const parseConsumerCommand = (parsed: ParsedFlags, random: number): ConsumerRequest => {
  const source = parseSource(parsed)
  needs(parsed, "bootstrap-server")
  const fromFile = readProperties(parsed.value("command-config"))
  const given = keyValues(parsed.values("command-property"))
  const group = groupOf(parsed, fromFile, given)
  const properties = new Map([...fromFile, ...given])
  const reset = properties.get("auto.offset.reset")
  if (reset !== undefined && reset !== "earliest" && parsed.has("from-beginning")) {
    throw new UsageError(`Can't simultaneously specify --from-beginning and 'auto.offset.reset=${reset}', please remove one option`)
  }
  if (reset === undefined) properties.set("auto.offset.reset", parsed.has("from-beginning") ? "earliest" : "latest")
  properties.set("bootstrap.servers", parsed.value("bootstrap-server")!)
  if (!properties.has("client.id")) properties.set("client.id", "console-consumer")
  if (parsed.has("isolation-level") || !properties.has("isolation.level")) properties.set("isolation.level", parsed.value("isolation-level")!)
  properties.set("group.id", group ?? `console-consumer-${Math.floor(random * OWN_GROUPS)}`)
  // nobody comes back to a group of its own
  if (group === undefined && !properties.has("enable.auto.commit")) properties.set("enable.auto.commit", "false")
  const { config, warnings } = clientConfig("consumer", properties)
  const timeoutMs = parsed.number("timeout-ms")
  const maxMessages = parsed.number("max-messages")
  return {
    source,
    config,
    formatter: parseFormatter(parsed),
    maxMessages: maxMessages === -1 ? undefined : maxMessages,
    timeoutMs: timeoutMs !== undefined && timeoutMs >= 0 ? timeoutMs : undefined,
    skipOnError: parsed.has("skip-message-on-error"),
    tellShutdown: parsed.has("enable-systest-events"),
    warnings
  }
}
