/** `kafka-topics`: what its command line asks for, and the lines it prints; decided here, done in Topics.ts. */
import { grownCapacity, javaHash, slotOf } from "../../core/assignors/HashOrder.ts"
import type { ConfigEntry } from "../../core/client/Admin.ts"
import { type Flags, type ParsedFlags, parseFlags, needs, refuse, shown, UsageError } from "./Options.ts"

const ALTER_CONFIGS = "(To alter topic configurations, the kafka-configs tool can be used.)"

export const flags: Flags = {
  "bootstrap-server": { takes: "text", value: "host:port,…", help: "Required. Brokers to connect to." },
  "broker-list": { takes: "text", value: "host:port,…", nowNamed: "bootstrap-server", help: "" },
  "command-config": { takes: "text", value: "file", help: "A properties file with the configuration of the client." },
  list: { takes: "nothing", help: "Print the names of topics." },
  create: { takes: "nothing", help: "Create a topic." },
  delete: { takes: "nothing", help: "Delete topics." },
  alter: { takes: "nothing", help: `Give topics more partitions. ${ALTER_CONFIGS}` },
  describe: { takes: "nothing", help: "Print topics with their partitions." },
  topic: {
    takes: "text",
    value: "name",
    help: "The topic to create, or a regular expression for those to list, alter, describe or delete."
  },
  "topic-id": { takes: "text", value: "id", help: "The id of the topic to describe." },
  config: { takes: "text", value: "name=value", help: "A configuration of the topic to create; may be repeated." },
  "delete-config": { takes: "text", value: "name", help: "No longer supported." },
  partitions: {
    takes: "integer",
    value: "count",
    help: "Partitions of the topic to create or alter; by default the cluster's. More of them change where records with keys go."
  },
  "replication-factor": { takes: "integer", value: "count", help: "Replicas of each partition to create; by default the cluster's." },
  "replica-assignment": {
    takes: "text",
    value: "1:2,2:3,…",
    help: "Broker ids of each partition's replicas, instead of counts."
  },
  "under-replicated-partitions": { takes: "nothing", help: "Describe only partitions that lack replicas in sync." },
  "unavailable-partitions": { takes: "nothing", help: "Describe only partitions without a leader that lives." },
  "under-min-isr-partitions": { takes: "nothing", help: "Describe only partitions with fewer replicas in sync than configured." },
  "at-min-isr-partitions": { takes: "nothing", help: "Describe only partitions with as few replicas in sync as configured." },
  "topics-with-overrides": { takes: "nothing", help: "Describe only topics with configurations of their own." },
  "if-exists": { takes: "nothing", help: "Alter, describe or delete without a complaint when there is no such topic." },
  "if-not-exists": { takes: "nothing", help: "Create without a complaint when the topic is there already." },
  "exclude-internal": { takes: "nothing", help: "List or describe without internal topics." },
  "partition-size-limit-per-response": { takes: "integer", value: "count", default: "2000", help: "Partitions asked for at a time." }
}

const actions = ["list", "describe", "create", "alter", "delete"] as const
const reports = ["under-replicated-partitions", "under-min-isr-partitions", "at-min-isr-partitions", "unavailable-partitions"] as const

export type Report = (typeof reports)[number]

export interface CreateTopic {
  readonly _tag: "Create"
  readonly topic: string
  readonly partitions: number | undefined
  readonly replicationFactor: number | undefined
  readonly assignment: ReadonlyArray<ReadonlyArray<number>> | undefined
  readonly configs: Readonly<Record<string, string>>
  readonly ifNotExists: boolean
}
export interface AlterTopics {
  readonly _tag: "Alter"
  readonly topic: string
  readonly partitions: number
  readonly assignment: ReadonlyArray<ReadonlyArray<number>> | undefined
  readonly ifExists: boolean
}
export interface DeleteTopics {
  readonly _tag: "Delete"
  readonly topic: string
  readonly ifExists: boolean
}
export interface ListTopics {
  readonly _tag: "List"
  readonly topic: string | undefined
  readonly excludeInternal: boolean
}
export interface DescribeTopics {
  readonly _tag: "Describe"
  readonly topic: string | undefined
  readonly topicId: string | undefined
  readonly excludeInternal: boolean
  readonly ifExists: boolean
  readonly reports: ReadonlySet<Report>
  readonly overriddenOnly: boolean
  readonly partitionLimit: number
}
export type TopicAction = CreateTopic | AlterTopics | DeleteTopics | ListTopics | DescribeTopics

export interface TopicRequest {
  readonly bootstrapServer: string
  readonly commandConfig: string | undefined
  readonly warnings: ReadonlyArray<string>
  /** What makes no sense although each flag does: told as the command's failure, like what the broker refuses. */
  readonly action: TopicAction | UsageError
}

const without = (...removed: ReadonlyArray<string>): ReadonlyArray<string> => actions.filter((action) => !removed.includes(action))

const checkCombinations = (parsed: ParsedFlags): void => {
  refuse(parsed, "config", ...without("alter", "create"))
  refuse(parsed, "partitions", ...without("alter", "create"))
  refuse(parsed, "replication-factor", ...without("create"))
  refuse(parsed, "replica-assignment", ...without("alter", "create"))
  if (parsed.has("create")) refuse(parsed, "replica-assignment", "partitions", "replication-factor")
  for (const report of reports) refuse(parsed, report, ...without("describe"), "topics-with-overrides")
  refuse(parsed, "topics-with-overrides", ...without("describe"), ...reports)
  refuse(parsed, "if-exists", ...without("alter", "delete", "describe"))
  refuse(parsed, "if-not-exists", ...without("create"))
  refuse(parsed, "exclude-internal", ...without("list", "describe"))
}

/** "1:2,2:3": the first partition on brokers 1 and 2, and so on. @throws UsageError */
export const parseAssignment = (text: string): ReadonlyArray<ReadonlyArray<number>> => {
  const assignment = text.split(",").map((partition) =>
    partition.split(":").map((id) => {
      if (!/^\s*[+-]?\d+\s*$/.test(id)) throw new UsageError(`For input string: "${id.trim()}"`)
      return Number(id)
    })
  )
  for (const [partition, brokers] of assignment.entries()) {
    const twice = brokers.filter((id, at) => brokers.indexOf(id) < at)
    if (twice.length > 0) throw new UsageError(`Partition replica lists may not contain duplicate entries: ${[...new Set(twice)].join(",")}`)
    if (brokers.length !== assignment[0]!.length) {
      throw new UsageError(`Partition ${partition} has different replication factor: [${brokers.join(", ")}]`)
    }
  }
  return assignment
}

/** @throws UsageError */
const parseConfigs = (pairs: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(pairs.map((pair) => {
    const parts = pair.split(/\s*=\s*/)
    while (parts.length > 0 && parts.at(-1) === "") parts.pop()
    if (parts.length !== 2) {
      throw new UsageError("requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".")
    }
    return [parts[0]!.trim(), parts[1]!.trim()]
  }))

const MAX_SHORT = 32_767

const parseAction = (parsed: ParsedFlags): TopicAction => {
  const topic = parsed.value("topic")
  const assignmentText = parsed.value("replica-assignment") ?? ""
  const assignment = assignmentText === "" ? undefined : parseAssignment(assignmentText)
  const ifExists = parsed.has("if-exists")
  const excludeInternal = parsed.has("exclude-internal")
  if (parsed.has("create")) {
    const [partitions, replicationFactor] = [parsed.number("partitions"), parsed.number("replication-factor")]
    const configs = parseConfigs(parsed.values("config"))
    if (replicationFactor !== undefined && (replicationFactor > MAX_SHORT || replicationFactor < 1)) {
      throw new UsageError(`The replication factor must be between 1 and ${MAX_SHORT} inclusive`)
    }
    if (partitions !== undefined && partitions < 1) throw new UsageError("The partitions must be greater than 0")
    return { _tag: "Create", topic: topic!, partitions, replicationFactor, assignment, configs, ifNotExists: parsed.has("if-not-exists") }
  }
  if (parsed.has("alter")) return { _tag: "Alter", topic: topic!, partitions: parsed.number("partitions")!, assignment, ifExists }
  if (parsed.has("delete")) return { _tag: "Delete", topic: topic!, ifExists }
  if (parsed.has("list")) return { _tag: "List", topic, excludeInternal }
  const topicId = parsed.value("topic-id")
  if (topicId !== undefined) checkId(topicId)
  return {
    _tag: "Describe",
    topic,
    topicId: topicId === NO_ID ? undefined : topicId,
    excludeInternal,
    ifExists,
    reports: new Set(reports.filter((report) => parsed.has(report))),
    overriddenOnly: parsed.has("topics-with-overrides"),
    partitionLimit: parsed.number("partition-size-limit-per-response")!
  }
}

/** The id of topics from before there were ids. */
export const NO_ID: string = "A".repeat(22)

const checkId = (id: string): void => {
  if (id.length > 24) throw new UsageError(`Input string with prefix \`${id.slice(0, 24)}\` is too long to be decoded as a base64 UUID`)
  const bytes = Math.floor(id.replace(/=+$/, "").length * 3 / 4)
  if (bytes !== 16) {
    throw new UsageError(`Input string \`${id}\` decoded as ${bytes} bytes, which is not equal to the expected 16 bytes of a base64-encoded UUID`)
  }
}

/** @throws UsageError */
export const parseTopicCommand = (parsed: ParsedFlags): TopicRequest => {
  if (actions.filter((action) => parsed.has(action)).length !== 1) {
    throw new UsageError("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
  }
  const warnings = [...parsed.warnings]
  if (parsed.has("delete-config")) {
    warnings.push("delete-config option is no longer supported and deprecated since version 4.0. The config will be fully removed in future releases.")
  }
  const bootstrapServer = parsed.value("bootstrap-server")
  if (bootstrapServer === undefined) throw new UsageError("--bootstrap-server must be specified")
  if (parsed.has("describe") && parsed.has("if-exists") && !parsed.has("topic") && !parsed.has("topic-id")) {
    throw new UsageError("--topic or --topic-id is required to describe a topic")
  }
  if (!parsed.has("list") && !parsed.has("describe")) needs(parsed, "topic")
  if (parsed.has("alter")) {
    if (parsed.has("config")) {
      throw new UsageError(`Option combination "[${shown("bootstrap-server")}, ${shown("config")}]" can't be used with option "${shown("alter")}" ${ALTER_CONFIGS}`)
    }
    needs(parsed, "partitions")
  }
  checkCombinations(parsed)
  let action: TopicAction | UsageError
  try {
    action = parseAction(parsed)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    action = error
  }
  return { bootstrapServer, commandConfig: parsed.value("command-config"), warnings, action }
}

/** @throws UsageError */
export const parseTopicArguments = (args: ReadonlyArray<string>): TopicRequest => parseTopicCommand(parseFlags(flags, args))

// -- which topics ----------------------------------------------------------------------------------------------------

const internalTopics: ReadonlySet<string> = new Set(["__consumer_offsets", "__transaction_state", "__share_group_state"])

/**
 * Names that an expression matches whole, sorted. As Kafka reads it: commas are alternatives, blanks and quotes around
 * it are dropped. Undefined: all names.
 * @throws UsageError when it is no regular expression
 */
export const matching = (names: ReadonlyArray<string>, expression: string | undefined, excludeInternal: boolean): ReadonlyArray<string> => {
  const sorted = names.filter((name) => !(excludeInternal && internalTopics.has(name))).sort((a, b) => (a < b ? -1 : 1))
  if (expression === undefined) return sorted
  const text = expression.trim().replaceAll(",", "|").replaceAll(" ", "").replace(/^["']+/, "").replace(/["']+$/, "")
  let pattern: RegExp
  try {
    pattern = new RegExp(`^(?:${text})$`)
  } catch {
    throw new UsageError(`${text} is an invalid regex.`)
  }
  return sorted.filter((name) => pattern.test(name))
}

/** Metric names have "_" where topics have ".". */
export const mayCollide = (topic: string): boolean => /[._]/.test(topic)

export const COLLISION_WARNING: string = "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could " +
  "collide. To avoid issues it is best to use either, but not both."

/** In the order of a Java `HashMap` that was made for that many keys: Kafka's own order of topics and configurations. */
export const inHashOrder = <A>(items: ReadonlyArray<A>, nameOf: (item: A) => string): ReadonlyArray<A> => {
  let capacity = 1
  while (capacity < items.length) capacity *= 2
  const grown = grownCapacity(capacity, items.length)
  const slot = (item: A): number => slotOf(javaHash(nameOf(item)), grown)
  return [...items].sort((a, b) => slot(a) - slot(b))
}

// -- descriptions ----------------------------------------------------------------------------------------------------

export interface DescribedPartition {
  readonly partition: number
  /** -1: none. */
  readonly leader: number
  readonly replicas: ReadonlyArray<number>
  readonly isr: ReadonlyArray<number>
  /** Undefined: the broker does not tell (before KIP-966). */
  readonly eligibleLeaderReplicas: ReadonlyArray<number> | undefined
  readonly lastKnownElr: ReadonlyArray<number> | undefined
  /** Replicas that a reassignment in progress adds and removes (KIP-455). */
  readonly reassignment: { readonly adding: ReadonlyArray<number>; readonly removing: ReadonlyArray<number> } | undefined
}

export interface DescribedTopic {
  readonly name: string
  readonly id: string
  /** By partition. */
  readonly partitions: ReadonlyArray<DescribedPartition>
  readonly configs: ReadonlyArray<ConfigEntry>
}

/** While a reassignment runs, replicas that are being added do not count. */
const replicationFactor = ({ reassignment, replicas }: DescribedPartition): number => {
  if (reassignment === undefined) return replicas.length
  const changing = [...reassignment.adding, ...reassignment.removing]
  return replicas.some((id) => changing.includes(id)) ? replicas.length - reassignment.adding.length : replicas.length
}

const topicLine = (topic: DescribedTopic): string => {
  const configs = inHashOrder(topic.configs, (entry) => entry.name)
    .filter((entry) => !entry.isDefault).map(({ name, value }) => `${name}=${value}`).join(",")
  const id = topic.id === NO_ID ? "" : `\tTopicId: ${topic.id}`
  return `Topic: ${topic.name}${id}\tPartitionCount: ${topic.partitions.length}` +
    `\tReplicationFactor: ${replicationFactor(topic.partitions[0]!)}\tConfigs: ${configs}`
}

const partitionLine = (topic: string, partition: DescribedPartition): string => {
  const { reassignment } = partition
  const moving = reassignment === undefined
    ? ""
    : `\tAdding Replicas: ${reassignment.adding.join(",")}\tRemoving Replicas: ${reassignment.removing.join(",")}`
  return `\tTopic: ${topic}\tPartition: ${partition.partition}\tLeader: ${partition.leader < 0 ? "none" : partition.leader}` +
    `\tReplicas: ${partition.replicas.join(",")}\tIsr: ${partition.isr.join(",")}${moving}` +
    `\tElr: ${partition.eligibleLeaderReplicas?.join(",") ?? "N/A"}\tLastKnownElr: ${partition.lastKnownElr?.join(",") ?? "N/A"}`
}

/** Whether one of the reports that were asked for is about this partition. */
const reported = (asked: ReadonlySet<Report>, partition: DescribedPartition, minIsr: number, live: ReadonlySet<number>): boolean => {
  const hasLeader = partition.leader >= 0
  return (asked.has("under-replicated-partitions") && replicationFactor(partition) > partition.isr.length) ||
    (asked.has("unavailable-partitions") && !(hasLeader && live.has(partition.leader))) ||
    (asked.has("under-min-isr-partitions") && (!hasLeader || partition.isr.length < minIsr)) ||
    (asked.has("at-min-isr-partitions") && partition.isr.length === minIsr)
}

/** @param live ids of the brokers that are up */
export const describeLines = (
  request: Pick<DescribeTopics, "reports" | "overriddenOnly">,
  topics: ReadonlyArray<DescribedTopic>,
  live: ReadonlySet<number>
): ReadonlyArray<string> =>
  inHashOrder(topics, (topic) => topic.name).flatMap((topic) => {
    const lines: Array<string> = []
    const all = request.reports.size === 0
    const overridden = topic.configs.some((entry) => !entry.isDefault)
    if (all && (!request.overriddenOnly || overridden)) lines.push(topicLine(topic))
    if (request.overriddenOnly) return lines
    const minIsr = Number(topic.configs.find((entry) => entry.name === "min.insync.replicas")?.value)
    for (const partition of topic.partitions) {
      if (all || reported(request.reports, partition, minIsr, live)) lines.push(partitionLine(topic.name, partition))
    }
    return lines
  })
