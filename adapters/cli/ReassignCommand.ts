/**
 * `kafka-reassign-partitions`: what its command line and its files ask for, and the lines it prints; decided here, done in
 * ReassignPartitions.ts. Left out: moves between the log directories of one broker.
 */
import type { OngoingReassignment } from "../../core/client/Admin.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import { type Flags, needs, type ParsedFlags, UsageError } from "./Options.ts"

export const flags: Flags = {
  "bootstrap-server": { takes: "text", value: "host:port,…", help: "Required. Brokers to connect to." },
  "command-config": { takes: "text", value: "file", help: "A properties file with the configuration of the client." },
  generate: { takes: "nothing", help: "Print where partitions could go, and where they are. Changes nothing." },
  execute: { takes: "nothing", help: "Begin to move partitions as the file says." },
  verify: { takes: "nothing", help: "Print whether partitions are where the file says; take throttles away when all are." },
  cancel: { takes: "nothing", help: "Take back the moves of the file's partitions that are under way." },
  list: { takes: "nothing", help: "Print all moves that are under way." },
  "reassignment-json-file": {
    takes: "text",
    value: "file",
    help: "{\"version\": 1, \"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \"replicas\": [1,2,3]}]}"
  },
  "topics-to-move-json-file": { takes: "text", value: "file", help: "With --generate: {\"topics\": [{\"topic\": \"foo\"}], \"version\": 1}" },
  "broker-list": { takes: "text", value: "1,2,3", help: "With --generate: the brokers that partitions may go to." },
  "disable-rack-aware": { takes: "nothing", help: "With --generate: without regard to racks." },
  throttle: { takes: "long", value: "bytes/s", help: "With --execute: limit what brokers copy; --verify takes the limit away." },
  additional: { takes: "nothing", help: "With --execute: although moves are under way." },
  "disallow-replication-factor-change": { takes: "nothing", help: "With --execute: refuse what would give a partition more or fewer replicas." },
  timeout: { takes: "long", value: "ms", help: "With --execute or --cancel: for moves between log directories, which are not there. Changes nothing." },
  "replica-alter-log-dirs-throttle": { takes: "long", value: "bytes/s", help: "Refused: it is for moves between the log directories of a broker, which are not there." },
  "bootstrap-controller": {
    takes: "text",
    value: "host:port,…",
    help: "Refused: no controller here listens apart from the brokers. Kafka's own kafka-reassign-partitions asks those of its clusters."
  },
  "preserve-throttles": { takes: "nothing", help: "With --verify or --cancel: leave throttles as they are." }
}

const actions = ["generate", "execute", "verify", "cancel", "list"] as const
type Action = (typeof actions)[number]

const permitted: Readonly<Record<Action, ReadonlyArray<string>>> = {
  generate: ["topics-to-move-json-file", "broker-list", "disable-rack-aware"],
  execute: ["reassignment-json-file", "throttle", "additional", "disallow-replication-factor-change", "timeout"],
  verify: ["reassignment-json-file", "preserve-throttles"],
  cancel: ["reassignment-json-file", "preserve-throttles", "timeout"],
  list: []
}
const required: Readonly<Record<Action, ReadonlyArray<string>>> = {
  generate: ["topics-to-move-json-file", "broker-list"],
  execute: ["reassignment-json-file"],
  verify: ["reassignment-json-file"],
  cancel: ["reassignment-json-file"],
  list: []
}

export interface ReassignRequest {
  readonly bootstrapServer: string
  readonly commandConfig: string | undefined
  readonly action: Action
  /** With partitions or, to generate, topics. */
  readonly file: string | undefined
  readonly brokers: ReadonlyArray<number>
  readonly isRackAware: boolean
  readonly throttle: number | undefined
  readonly isAdditional: boolean
  readonly allowReplicationFactorChange: boolean
  readonly preservesThrottles: boolean
}

/** @throws UsageError */
export const parseReassign = (parsed: ParsedFlags): ReassignRequest => {
  const given = actions.filter((action) => parsed.has(action))
  const [action] = given
  if (action === undefined || given.length > 1) {
    throw new UsageError(`Command must include exactly one action: ${["generate", "execute", "verify", "cancel", "list"].map((one) => `--${one}`).join(", ")}`)
  }
  if (parsed.has("bootstrap-controller")) {
    throw new UsageError("--bootstrap-controller is for controllers with addresses of their own, which this command does not ask: use --bootstrap-server")
  }
  if (parsed.has("replica-alter-log-dirs-throttle")) {
    throw new UsageError("--replica-alter-log-dirs-throttle is for moves between the log directories of a broker, which are not there: leave it out")
  }
  if (!parsed.has("bootstrap-server")) throw new UsageError("--bootstrap-server must be specified")
  needs(parsed, ...required[action])
  for (const option of Object.keys(flags)) {
    const isFree = ["bootstrap-server", "command-config", action, ...permitted[action]].includes(option)
    if (parsed.has(option) && !isFree) throw new UsageError(`Option "[${option}]" can't be used with action "[${action}]"`)
  }
  return {
    bootstrapServer: parsed.value("bootstrap-server")!,
    commandConfig: parsed.value("command-config"),
    action,
    file: parsed.value("reassignment-json-file") ?? parsed.value("topics-to-move-json-file"),
    brokers: parseBrokers(parsed.value("broker-list") ?? ""),
    isRackAware: !parsed.has("disable-rack-aware"),
    throttle: parsed.number("throttle"),
    isAdditional: parsed.has("additional"),
    allowReplicationFactorChange: !parsed.has("disallow-replication-factor-change"),
    preservesThrottles: parsed.has("preserve-throttles")
  }
}

const parseBrokers = (text: string): ReadonlyArray<number> => {
  if (text === "") return []
  const ids = text.split(",").map((id) => {
    if (!/^[+-]?\d+$/.test(id)) throw new UsageError(`For input string: "${id}"`)
    return Number(id)
  })
  const twice = [...new Set(ids.filter((id, at) => ids.indexOf(id) < at))]
  if (twice.length > 0) throw new UsageError(`Broker list contains duplicate entries: [${twice.join(", ")}]`)
  return ids
}

// -- files -----------------------------------------------------------------------------------------------------------

export interface Placed extends TopicPartition {
  readonly replicas: ReadonlyArray<number>
  /** Of each replica, in their order; "any" where it is not known or all the same. Undefined: any for all. */
  readonly logDirs?: ReadonlyArray<string>
}

/** A log directory that nobody chooses. */
export const ANY_DIR = "any"

export const nameOf = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`

const byName = (a: TopicPartition, b: TopicPartition): number =>
  a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1

const repeated = <A>(items: ReadonlyArray<A>): ReadonlyArray<A> => [...new Set(items.filter((item, at) => items.indexOf(item) < at))]

const parseJson = (text: string): Readonly<Record<string, unknown>> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new UsageError("The input string is not a valid JSON")
  }
  const object = (json ?? {}) as Readonly<Record<string, unknown>>
  const version = object["version"] ?? 1
  if (version !== 1) throw new UsageError(`Not supported version field value ${String(version)}`)
  return object
}

/** @throws UsageError */
export const parsePlaces = (text: string): ReadonlyArray<Placed> => {
  const listed = parseJson(text)["partitions"]
  const places = (Array.isArray(listed) ? listed : []).map((one: unknown): Placed => {
    const { log_dirs: logDirs, partition, replicas, topic } = (one ?? {}) as Readonly<Record<string, unknown>>
    const isRight = typeof topic === "string" && Number.isInteger(partition) && Array.isArray(replicas) && replicas.every(Number.isInteger)
    if (!isRight) throw new UsageError(`A partition takes a topic, a number and replicas, not ${JSON.stringify(one)}`)
    if (Array.isArray(logDirs) && logDirs.length !== replicas.length) {
      throw new UsageError(
        `Size of replicas list [${replicas.join(", ")}] is different from size of log dirs list [${logDirs.join(", ")}] ` +
          `for partition ${topic}-${String(partition)}`
      )
    }
    return {
      topic,
      partition: partition as number,
      replicas: replicas as ReadonlyArray<number>,
      ...(Array.isArray(logDirs) ? { logDirs: logDirs.map(String) } : {})
    }
  })
  return places
}

/** Places to move to. @throws UsageError */
export const parseTargets = (text: string): ReadonlyArray<Placed> => {
  const places = parsePlaces(text)
  if (places.length === 0) throw new UsageError("Partition reassignment list cannot be empty")
  if (places.some(({ replicas }) => replicas.length === 0)) throw new UsageError("Partition replica list cannot be empty")
  const twice = repeated(places.map(nameOf))
  if (twice.length > 0) throw new UsageError(`Partition reassignment contains duplicate topic partitions: ${twice.join(",")}`)
  const multiple = places.filter(({ replicas }) => repeated(replicas).length > 0)
    .map((one) => `${nameOf(one)} contains multiple entries for ${repeated(one.replicas).join(",")}`)
  if (multiple.length > 0) throw new UsageError(`Partition replica lists may not contain duplicate entries: ${multiple.join(". ")}`)
  return places
}

/** Topics to move. @throws UsageError */
export const parseTopics = (text: string): ReadonlyArray<string> => {
  const listed = parseJson(text)["topics"]
  const topics = (Array.isArray(listed) ? listed : []).map((one: unknown) => {
    const topic = (one as { readonly topic?: unknown } | null)?.topic
    if (typeof topic !== "string") throw new UsageError(`A topic takes a name, not ${JSON.stringify(one)}`)
    return topic
  })
  const twice = repeated(topics)
  if (twice.length > 0) throw new UsageError(`List of topics to reassign contains duplicate entries: [${twice.join(", ")}]`)
  return topics
}

/** As `--reassignment-json-file` takes it. */
export const placesJson = (places: ReadonlyArray<Placed>): string =>
  JSON.stringify({
    version: 1,
    partitions: [...places].sort(byName).map(({ logDirs, partition, replicas, topic }) => ({
      topic,
      partition,
      replicas,
      log_dirs: logDirs ?? replicas.map(() => ANY_DIR)
    }))
  })

// -- lines -----------------------------------------------------------------------------------------------------------

export const EXISTING: string = "Cannot execute because there is an existing partition assignment.  Use --additional to override this and " +
  "create a new partition assignment in addition to the existing one. The --additional flag can also be used to change the " +
  "throttle by resubmitting the current reassignment."
export const MUST_VERIFY = "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is removed."

const plural = (count: number): string => (count === 1 ? "" : "s")
const names = (partitions: ReadonlyArray<TopicPartition>): string => [...partitions].sort(byName).map(nameOf).join(",")

export const generatedLines = (current: ReadonlyArray<Placed>, proposed: ReadonlyArray<Placed>): ReadonlyArray<string> => [
  "Current partition replica assignment",
  placesJson(current),
  "",
  "Proposed partition reassignment configuration",
  placesJson(proposed)
]

export const currentLines = (current: ReadonlyArray<Placed>): ReadonlyArray<string> => [
  "Current partition replica assignment",
  "",
  placesJson(current),
  "",
  "Save this to use as the --reassignment-json-file option during rollback"
]

export const startedLine = (targets: ReadonlyArray<Placed>): string =>
  `Successfully started partition reassignment${plural(targets.length)} for ${names(targets)}`

export const cancelledLine = (partitions: ReadonlyArray<TopicPartition>): string =>
  partitions.length === 0
    ? "None of the specified partition reassignments are active."
    : `Successfully cancelled partition reassignment${plural(partitions.length)} for: ${names(partitions)}`

export const failedLines = (
  head: string,
  failed: ReadonlyArray<TopicPartition & { readonly message: string }>
): ReadonlyArray<string> => [head, ...[...failed].sort(byName).map((one) => `${nameOf(one)}: ${one.message}`)]

export const ongoingLines = (ongoing: ReadonlyArray<OngoingReassignment>): ReadonlyArray<string> => {
  if (ongoing.length === 0) return ["No partition reassignments found."]
  const part = (name: string, ids: ReadonlyArray<number>): string => (ids.length === 0 ? "" : ` ${name}: ${ids.join(",")}.`)
  return [
    "Current partition reassignments:",
    ...[...ongoing].sort(byName).map((one) =>
      `${nameOf(one)}: replicas: ${one.replicas.join(",")}.${part("adding", one.addingReplicas)}${part("removing", one.removingReplicas)}`)
  ]
}

/** A target, and where its partition is; undefined: it is still on its way. */
export interface Verified {
  readonly target: Placed
  readonly now: ReadonlyArray<number> | undefined
}

export const verifiedLines = (verified: ReadonlyArray<Verified>): ReadonlyArray<string> => [
  "Status of partition reassignment:",
  ...[...verified].sort((a, b) => byName(a.target, b.target)).map(({ now, target }) => {
    if (now === undefined) return `Reassignment of partition ${nameOf(target)} is still in progress.`
    return now.join() === target.replicas.join()
      ? `Reassignment of partition ${nameOf(target)} is completed.`
      : `There is no active reassignment of partition ${nameOf(target)}, but replica set is ${now.join(",")} rather than ${target.replicas.join(",")}.`
  })
]

// -- log directories -------------------------------------------------------------------------------------------------

/** By broker, the path of each of its log directories and what lies in it. */
export type BrokerDirs = ReadonlyMap<number, ReadonlyArray<{ readonly path: string; readonly replicas: ReadonlySet<string> }>>

/** Places with the directories that their replicas lie in, as far as their brokers tell. */
export const withDirs = (places: ReadonlyArray<Placed>, dirs: BrokerDirs): ReadonlyArray<Placed> =>
  places.map((one) => ({
    ...one,
    logDirs: one.replicas.map((id) => dirs.get(id)?.find(({ replicas }) => replicas.has(nameOf(one)))?.path ?? ANY_DIR)
  }))

/** What speaks against the directories of targets: a broker's only one may be named, as the file for the way back does. */
export const dirError = (targets: ReadonlyArray<Placed>, dirs: BrokerDirs): string | undefined => {
  for (const target of targets) {
    for (const [at, path] of (target.logDirs ?? []).entries()) {
      const own = dirs.get(target.replicas[at]!) ?? []
      if (path === ANY_DIR || (own.length === 1 && own[0]!.path === path)) continue
      return `${nameOf(target)}: the log directory on broker ${target.replicas[at]} cannot be chosen ("${path}"): say "${ANY_DIR}"`
    }
  }
  return undefined
}

// -- throttles -------------------------------------------------------------------------------------------------------

export const BROKER_THROTTLES: ReadonlyArray<string> = [
  "leader.replication.throttled.rate",
  "follower.replication.throttled.rate",
  "replica.alter.log.dirs.io.max.bytes.per.second"
]
export const TOPIC_THROTTLES: ReadonlyArray<string> = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"]

export interface Throttles {
  /** By topic, which replicas of which partitions: `0:1,0:2`. */
  readonly leaders: ReadonlyMap<string, string>
  readonly followers: ReadonlyMap<string, string>
  readonly brokers: ReadonlyArray<number>
}

/** Who copies from whom: the replicas that are there are throttled as leaders, those that come as followers. */
export const throttlesOf = (
  targets: ReadonlyArray<Placed>,
  current: ReadonlyArray<Placed>,
  ongoing: ReadonlyArray<OngoingReassignment>
): Throttles => {
  const sources = new Map(current.map((one) => [nameOf(one), one.replicas]))
  const moves = new Map<string, { readonly topic: string; readonly partition: number; readonly from: ReadonlyArray<number>; readonly to: ReadonlyArray<number> }>()
  for (const { addingReplicas, partition, replicas, topic } of ongoing) {
    const from = replicas.filter((id) => !addingReplicas.includes(id))
    moves.set(nameOf({ topic, partition }), { topic, partition, from, to: addingReplicas })
  }
  for (const { partition, replicas, topic } of targets) {
    const name = nameOf({ topic, partition })
    const from = moves.get(name)?.from ?? sources.get(name) ?? []
    moves.set(name, { topic, partition, from, to: replicas.filter((id) => !from.includes(id)) })
  }
  const collect = (side: "from" | "to"): ReadonlyMap<string, string> => {
    const byTopic = new Map<string, Array<string>>()
    for (const move of moves.values()) {
      const list = byTopic.get(move.topic) ?? []
      list.push(...move[side].map((id) => `${move.partition}:${id}`))
      byTopic.set(move.topic, list)
    }
    return new Map([...byTopic].map(([topic, list]) => [topic, [...new Set(list)].sort().join(",")]))
  }
  const brokers = [...new Set([...moves.values()].flatMap(({ from, to }) => [...from, ...to]))].sort((a, b) => a - b)
  return { leaders: collect("from"), followers: collect("to"), brokers }
}

export const clearedLines = (brokers: ReadonlyArray<number>, topics: ReadonlyArray<string>): ReadonlyArray<string> => [
  `Clearing broker-level throttles on broker${plural(brokers.length)} ${brokers.join(",")}`,
  `Clearing topic-level throttles on topic${plural(topics.length)} ${topics.join(",")}`
]
