/** `kafka-console-producer`: what its command line asks for; done in ConsoleProducer.ts. */
import type { ProducerConfig } from "../../core/client/Producer.ts"
import { clientConfig, readProperties } from "./Command.ts"
import { lineReaderConfig, type LineReaderConfig } from "./LineReader.ts"
import { type Flags, keyValues, needs, type ParsedFlags, UsageError } from "./Options.ts"

const LINE_READER = "org.apache.kafka.tools.LineMessageReader"

export const flags: Flags = {
  topic: { takes: "text", value: "name", help: "Required. The topic that the records go to." },
  "bootstrap-server": { takes: "text", value: "host:port,…", help: "Required. Brokers to connect to." },
  "broker-list": { takes: "text", value: "host:port,…", nowNamed: "bootstrap-server", help: "" },
  sync: { takes: "nothing", help: "Send one record at a time, each when the one before it is acknowledged." },
  "compression-codec": {
    takes: "optional",
    value: "codec",
    help: "none, gzip, snappy, lz4 or zstd; gzip when no codec is named. Without the flag: none."
  },
  "batch-size": { takes: "integer", value: "bytes", default: "16384", help: "The size of a batch (batch.size)." },
  "max-partition-memory-bytes": { takes: "integer", value: "bytes", nowNamed: "batch-size", help: "" },
  "message-send-max-retries": { takes: "integer", value: "count", default: "3", help: "How often sending is tried again (retries)." },
  "retry-backoff-ms": { takes: "long", value: "ms", default: "100", help: "The pause before it is tried again (retry.backoff.ms)." },
  timeout: { takes: "long", value: "ms", default: "1000", help: "How long a batch waits for more records (linger.ms)." },
  "request-required-acks": { takes: "text", value: "acks", default: "-1", help: "Which acknowledgement is awaited (acks)." },
  "request-timeout-ms": { takes: "integer", value: "ms", default: "1500", help: "How long an answer may take (request.timeout.ms)." },
  "metadata-expiry-ms": { takes: "long", value: "ms", default: "300000", help: "How old metadata may be (metadata.max.age.ms)." },
  "max-block-ms": { takes: "long", value: "ms", default: "60000", help: "How long a record may wait for memory or metadata (max.block.ms)." },
  "max-memory-bytes": { takes: "long", value: "bytes", default: "33554432", help: "Bytes of records on their way (buffer.memory)." },
  "socket-buffer-size": { takes: "integer", value: "bytes", default: "102400", help: "Read for Kafka's sake; changes nothing here." },
  "line-reader": { takes: "text", value: "class", default: LINE_READER, help: "Only Kafka's own is here: a line is a record." },
  "reader-property": {
    takes: "text",
    value: "name=value",
    help: "How a line is read; may be repeated. parse.key=false, parse.headers=false, ignore.error=false, key.separator=\\t, " +
      "headers.delimiter=\\t, headers.separator=, (a regular expression), headers.key.separator=:, null.marker (stands for null). " +
      "A whole line: h1:v1,h2:v2\\tkey\\tvalue"
  },
  property: { takes: "text", value: "name=value", nowNamed: "reader-property", help: "" },
  "reader-config": { takes: "text", value: "file", help: "A file of reader properties; --reader-property is stronger." },
  "command-property": { takes: "text", value: "name=value", help: "A configuration of the producer; may be repeated." },
  "producer-property": { takes: "text", value: "name=value", nowNamed: "command-property", help: "" },
  "command-config": { takes: "text", value: "file", help: "A properties file with the producer's configuration; --command-property is stronger." },
  "producer.config": { takes: "text", value: "file", nowNamed: "command-config", help: "" }
}

/** Flags that set a configuration: given, they are stronger than properties; their defaults are weaker. */
const configOfFlag: Readonly<Record<string, keyof ProducerConfig>> = {
  timeout: "linger.ms",
  "request-required-acks": "acks",
  "request-timeout-ms": "request.timeout.ms",
  "message-send-max-retries": "retries",
  "retry-backoff-ms": "retry.backoff.ms",
  "max-memory-bytes": "buffer.memory",
  "batch-size": "batch.size",
  "metadata-expiry-ms": "metadata.max.age.ms",
  "max-block-ms": "max.block.ms"
}

export interface ProducerRequest {
  readonly topic: string
  readonly sync: boolean
  readonly reader: LineReaderConfig
  readonly config: ProducerConfig
  readonly warnings: ReadonlyArray<string>
}

/** Reads the files that the flags name. @throws UsageError */
export const parseProducerCommand = (parsed: ParsedFlags): ProducerRequest => {
  needs(parsed, "topic", "bootstrap-server")
  const reader = parsed.value("line-reader")
  if (reader !== LINE_READER) throw new UsageError(`there is no line reader ${reader}; only ${LINE_READER}`)

  const properties = new Map([
    ...readProperties(parsed.value("command-config")),
    ...keyValues(parsed.values("command-property"))
  ])
  properties.set("bootstrap.servers", parsed.value("bootstrap-server")!)
  const codec = parsed.value("compression-codec")
  if (parsed.has("compression-codec")) properties.set("compression.type", codec ?? "gzip")
  else if (!properties.has("compression.type")) properties.set("compression.type", "none")
  if (!properties.has("client.id")) properties.set("client.id", "console-producer")
  for (const [flag, name] of Object.entries(configOfFlag)) {
    const value = parsed.value(flag)
    if (value !== undefined && (parsed.has(flag) || !properties.has(name))) properties.set(name, value)
  }
  const { config, warnings } = clientConfig("producer", properties)
  return {
    topic: parsed.value("topic")!,
    sync: parsed.has("sync"),
    reader: lineReaderConfig(new Map([...readProperties(parsed.value("reader-config")), ...keyValues(parsed.values("reader-property"))])),
    config,
    warnings
  }
}
