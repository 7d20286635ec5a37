/** `kafka-leader-election`: what its command line asks for, and the lines it prints; decided here, done in LeaderElection.ts. */
import type { ElectionType, PartitionResult } from "../../core/client/Admin.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import { inMapOrder, partitionHash } from "./GroupTables.ts"
import { kafkaException } from "./KafkaErrors.ts"
import { type Flags, type ParsedFlags, UsageError } from "./Options.ts"

export const flags: Flags = {
  "bootstrap-server": { takes: "text", value: "host:port,…", help: "Required. Brokers to connect to." },
  "command-config": { takes: "text", value: "file", help: "A properties file with the configuration of the client." },
  "admin.config": { takes: "text", nowNamed: "command-config", help: "" },
  "election-type": {
    takes: "text",
    value: "preferred|unclean",
    help: "Required. preferred: the first replica shall lead, if it is in sync. unclean: any live replica shall lead where a " +
      "partition has no leader; acknowledged records may be lost."
  },
  topic: { takes: "text", value: "name", help: "The topic of the partition." },
  partition: { takes: "integer", value: "number", help: "Required with --topic." },
  "all-topic-partitions": { takes: "nothing", help: "All partitions that need an election." },
  "path-to-json-file": {
    takes: "text",
    value: "file",
    help: "Partitions as {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1}]}."
  }
}

export interface LeaderElectionRequest {
  readonly bootstrapServer: string
  readonly commandConfig: string | undefined
  readonly type: ElectionType
  /** A file with partitions; read by who has files. */
  readonly file: string | undefined
  /** Undefined without a file: all. */
  readonly partitions: ReadonlyArray<TopicPartition> | undefined
}

const SCOPES = ["topic", "all-topic-partitions", "path-to-json-file"] as const

/** @throws UsageError */
export const parseLeaderElection = (parsed: ParsedFlags): LeaderElectionRequest => {
  const missing = ["bootstrap-server", "election-type"].filter((name) => !parsed.has(name))
  if (missing.length > 0) throw new UsageError(`Missing required option(s): ${missing.join(", ")}`)
  const type = parsed.value("election-type")!.toLowerCase()
  if (type !== "preferred" && type !== "unclean") {
    throw new UsageError(`Cannot parse argument '${parsed.value("election-type")}' of option election-type: it takes preferred or unclean`)
  }
  if (SCOPES.filter((name) => parsed.has(name)).length !== 1) {
    throw new UsageError(`One and only one of the following options is required: ${SCOPES.join(", ")}`)
  }
  const [topic, partition] = [parsed.value("topic"), parsed.number("partition")]
  if (topic !== undefined && partition === undefined) throw new UsageError("Missing required option(s): partition")
  if (topic === undefined && partition !== undefined) throw new UsageError("Option partition is only allowed if topic is used")
  return {
    bootstrapServer: parsed.value("bootstrap-server")!,
    commandConfig: parsed.value("command-config"),
    type,
    file: parsed.value("path-to-json-file"),
    partitions: topic === undefined ? undefined : [{ topic, partition: partition! }]
  }
}

export const nameOf = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`

/** The partitions that a file names. @throws UsageError */
export const parsePartitions = (text: string): ReadonlyArray<TopicPartition> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new UsageError("Replica election data is empty")
  }
  const listed = (json as { readonly partitions?: unknown } | null)?.partitions
  if (!Array.isArray(listed)) throw new UsageError("Replica election data is missing \"partitions\" field")
  const partitions = listed.map((one: unknown): TopicPartition => {
    const { partition, topic } = (one ?? {}) as { readonly partition?: unknown; readonly topic?: unknown }
    if (typeof topic !== "string" || !Number.isInteger(partition)) {
      throw new UsageError(`A partition takes a topic and a number, not ${JSON.stringify(one)}`)
    }
    return { topic, partition: partition as number }
  })
  const names = partitions.map(nameOf)
  const twice = [...new Set(names.filter((name, at) => names.indexOf(name) < at))]
  if (twice.length > 0) throw new UsageError(`Replica election data contains duplicate partitions: [${twice.join(", ")}]`)
  return partitions
}

export interface ElectionOutcome {
  readonly lines: ReadonlyArray<string>
  /** How the command failed, if it did. */
  readonly failure: string | undefined
}

export const electionOutcome = (type: ElectionType, results: ReadonlyArray<PartitionResult>): ElectionOutcome => {
  const shown = type.toUpperCase()
  const ordered = inMapOrder(results, partitionHash)
  const isNoop = ({ error }: PartitionResult): boolean => error?.reason === "ELECTION_NOT_NEEDED"
  const done = ordered.filter(({ error }) => error === undefined)
  const noop = ordered.filter(isNoop)
  const failed = ordered.filter((one) => one.error !== undefined && !isNoop(one))
  const lines: Array<string> = []
  if (done.length > 0) lines.push(`Successfully completed leader election (${shown}) for partitions ${done.map(nameOf).join(", ")}`)
  if (noop.length > 0) lines.push(`Valid replica already elected for partitions ${noop.map(nameOf).join(", ")}`)
  for (const one of failed) {
    lines.push(`Error completing leader election (${shown}) for partition: ${nameOf(one)}: ${kafkaException(one.error!)}`)
  }
  return { lines, failure: failed.length === 0 ? undefined : `${failed.length} replica(s) could not be elected` }
}
