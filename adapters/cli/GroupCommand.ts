/** `kafka-consumer-groups`: what its command line asks for; done in ConsumerGroups.ts. */
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import { type Flags, needs, type ParsedFlags, refuse, shown, UsageError } from "./Options.ts"

export const flags: Flags = {
  "bootstrap-server": { takes: "text", value: "host:port,…", help: "Required. Brokers to connect to." },
  "broker-list": { takes: "text", value: "host:port,…", nowNamed: "bootstrap-server", help: "" },
  "command-config": { takes: "text", value: "file", help: "A properties file with the configuration of the client." },
  timeout: { takes: "long", value: "ms", default: "5000", help: "How long each question may take, with what is tried again." },
  group: { takes: "text", value: "id", help: "The group; may be repeated." },
  "all-groups": { takes: "nothing", help: "All consumer groups." },
  topic: { takes: "text", value: "topic[:0,1,…]", help: "A topic whose offsets are reset or deleted, or some of its partitions; may be repeated." },
  "all-topics": { takes: "nothing", help: "Reset the offsets of all topics that the group has offsets of." },
  list: { takes: "nothing", help: "Print the ids of consumer groups." },
  describe: { takes: "nothing", help: "Print a group's offsets and lag, or its members or state." },
  delete: { takes: "nothing", help: "Delete groups that have no members." },
  "reset-offsets": {
    takes: "nothing",
    help: "Set the offsets of a group without members, by one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, " +
      "--to-datetime, --by-duration, --from-file; for --topic or --all-topics. Only shows them without --execute."
  },
  "delete-offsets": { takes: "nothing", help: "Delete the group's offsets of topics." },
  offsets: { takes: "nothing", beside: ["describe"], help: "Describe the offsets and lag of each partition; this is what --describe does." },
  members: { takes: "nothing", beside: ["describe"], help: "Describe the members." },
  state: {
    takes: "optional",
    value: "states",
    beside: ["describe", "list"],
    help: "Describe the group's state, or list groups with their states, or those in some: --list --state stable,empty"
  },
  type: { takes: "optional", value: "types", beside: ["list"], help: "List groups with their types, or those of some: --list --type classic,consumer" },
  verbose: { takes: "nothing", beside: ["describe"], help: "Describe more: leader epochs, assignments, epochs." },
  "dry-run": { takes: "nothing", help: "Show what --reset-offsets would do." },
  execute: { takes: "nothing", help: "Do what --reset-offsets shows." },
  export: { takes: "nothing", help: "Print new offsets as CSV, as --from-file reads them." },
  "to-offset": { takes: "long", value: "offset", help: "Reset to that offset." },
  "to-earliest": { takes: "nothing", help: "Reset to the first offset." },
  "to-latest": { takes: "nothing", help: "Reset to the end." },
  "to-current": { takes: "nothing", help: "Reset to the committed offset, or the end where there is none." },
  "to-datetime": { takes: "text", value: "YYYY-MM-DDTHH:mm:SS.sss", help: "Reset to the first record at that time or later; UTC unless an offset like +01:00 follows." },
  "by-duration": { takes: "text", value: "PnDTnHnMnS", help: "Reset to the first record that is no older." },
  "shift-by": { takes: "long", value: "count", help: "Move the committed offsets that far, back when negative." },
  "from-file": { takes: "text", value: "file", help: "Reset to the offsets of a CSV file: topic,partition,offset, with group, before it for several groups." },
  "validate-regex": { takes: "text", value: "regex", help: "Say whether a regular expression is one." }
}

export type ResetScenario =
  | { readonly _tag: "ToOffset"; readonly offset: number }
  | { readonly _tag: "ToEarliest" }
  | { readonly _tag: "ToLatest" }
  | { readonly _tag: "ToCurrent" }
  | { readonly _tag: "ShiftBy"; readonly count: number }
  | { readonly _tag: "ToDatetime"; readonly text: string }
  | { readonly _tag: "ByDuration"; readonly text: string }
  | { readonly _tag: "FromFile"; readonly path: string }

/** Undefined ids: all groups. */
export type GroupIds = ReadonlyArray<string> | undefined

export type GroupAction =
  | {
      readonly _tag: "List"
      /** Undefined: not asked for; empty: shown, of all. */
      readonly states: ReadonlyArray<string> | undefined
      readonly types: ReadonlyArray<string> | undefined
    }
  | { readonly _tag: "Describe"; readonly ids: GroupIds; readonly what: "offsets" | "members" | "state"; readonly verbose: boolean }
  | { readonly _tag: "Delete"; readonly ids: GroupIds }
  | { readonly _tag: "DeleteOffsets"; readonly id: string; readonly topics: TopicScope }
  | {
      readonly _tag: "Reset"
      readonly ids: GroupIds
      /** Undefined: all topics with offsets; with "FromFile" the file says. */
      readonly topics: TopicScope | undefined
      readonly scenario: ResetScenario
      readonly execute: boolean
      readonly csv: boolean
    }
  | { readonly _tag: "ValidateRegex"; readonly regex: string }

/** Partitions that were named, and topics of which all are meant. */
export interface TopicScope {
  readonly partitions: ReadonlyArray<TopicPartition>
  readonly topics: ReadonlyArray<string>
}

export interface GroupRequest {
  readonly bootstrapServer: string
  readonly commandConfig: string | undefined
  readonly timeoutMs: number
  readonly warnings: ReadonlyArray<string>
  readonly action: GroupAction
}

const actions = ["list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex"] as const

const scenarioFlags: Readonly<Record<string, (parsed: ParsedFlags, name: string) => ResetScenario>> = {
  "to-offset": (parsed, name) => ({ _tag: "ToOffset", offset: parsed.number(name)! }),
  "to-earliest": () => ({ _tag: "ToEarliest" }),
  "to-latest": () => ({ _tag: "ToLatest" }),
  "shift-by": (parsed, name) => ({ _tag: "ShiftBy", count: parsed.number(name)! }),
  "to-datetime": (parsed, name) => ({ _tag: "ToDatetime", text: parsed.value(name)! }),
  "by-duration": (parsed, name) => ({ _tag: "ByDuration", text: parsed.value(name)! }),
  "from-file": (parsed, name) => ({ _tag: "FromFile", path: parsed.value(name)! }),
  "to-current": () => ({ _tag: "ToCurrent" })
}

const names = (list: ReadonlyArray<string>): string => list.map(shown).join(", ")

const needsGroups = (parsed: ParsedFlags, action: string): GroupIds => {
  if (!parsed.has("group") && !parsed.has("all-groups")) {
    throw new UsageError(`Option ${shown(action)} takes one of these options: ${names(["group", "all-groups"])}`)
  }
  return parsed.has("all-groups") ? undefined : parsed.values("group")
}

/** `orders:0,1` names partitions, `orders` all of them. @throws UsageError */
export const parseTopics = (args: ReadonlyArray<string>): TopicScope => {
  const partitions = args.filter((arg) => arg.includes(":")).flatMap((arg) => {
    const parts = arg.split(":")
    while (parts.at(-1) === "") parts.pop()
    const [topic, ids, ...more] = parts
    if (topic === undefined || ids === undefined || more.length > 0) {
      throw new UsageError(`Invalid topic arg '${arg}', expected topic name and partitions`)
    }
    return ids.split(",").map((id) => {
      if (!/^[+-]?\d+$/.test(id)) throw new UsageError(`Invalid partition '${id}' specified in topic arg '${arg}'`)
      return { topic, partition: Number(id) }
    })
  })
  return { partitions, topics: args.filter((arg) => !arg.includes(":")) }
}

const states = ["Reconciling", "PreparingRebalance", "CompletingRebalance", "Assigning", "Stable", "Empty", "Dead"]
const types = ["Consumer", "Classic"]

/** Words in any case as Kafka spells them. */
const parseWords = (parsed: ParsedFlags, flag: string, what: string, valid: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  if (!parsed.has(flag)) return undefined
  const input = parsed.value(flag)
  if (input === undefined) return []
  const words = input.split(",").map((word) => valid.find((one) => one.toLowerCase() === word.trim().toLowerCase()))
  if (words.includes(undefined)) throw new UsageError(`Invalid ${what} list '${input}'. Valid ${what === "state" ? "states" : what} are: ${valid.join(", ")}`)
  return [...new Set(words as ReadonlyArray<string>)]
}

const parseDescribe = (parsed: ParsedFlags): GroupAction => {
  const ids = needsGroups(parsed, "describe")
  const kinds = ["members", "offsets", "state"] as const
  const chosen = kinds.filter((kind) => parsed.has(kind))
  if (chosen.length > 1) throw new UsageError(`Option ${shown("describe")} takes at most one of these options: ${names(kinds)}`)
  if (parsed.value("state") !== undefined) throw new UsageError(`Option ${shown("describe")} does not take a value for ${shown("state")}`)
  return { _tag: "Describe", ids, what: chosen[0] ?? "offsets", verbose: parsed.has("verbose") }
}

const parseReset = (parsed: ParsedFlags): GroupAction => {
  if (parsed.has("dry-run") && parsed.has("execute")) {
    throw new UsageError(`Option ${shown("reset-offsets")} only accepts one of ${shown("execute")} and ${shown("dry-run")}`)
  }
  const ids = needsGroups(parsed, "reset-offsets")
  const known = Object.keys(scenarioFlags)
  for (const name of known) refuse(parsed, name, ...known.filter((other) => other !== name))
  const allTopics = parsed.has("all-topics")
  if (!allTopics && !parsed.has("topic") && !parsed.has("from-file")) {
    throw new UsageError("One of the reset scopes should be defined: --all-topics, --topic.")
  }
  const name = known.find((one) => parsed.has(one))
  if (name === undefined) {
    throw new UsageError(`Option '${shown("reset-offsets")}' requires one of the following scenarios: [${names(known)}]`)
  }
  return {
    _tag: "Reset",
    ids,
    topics: allTopics ? undefined : parseTopics(parsed.values("topic")),
    scenario: scenarioFlags[name]!(parsed, name),
    execute: parsed.has("execute"),
    csv: parsed.has("export")
  }
}

const parseAction = (parsed: ParsedFlags): GroupAction => {
  if (parsed.has("validate-regex")) return { _tag: "ValidateRegex", regex: parsed.value("validate-regex")! }
  if (parsed.has("list")) return { _tag: "List", states: parseWords(parsed, "state", "state", states), types: parseWords(parsed, "type", "types", types) }
  if (parsed.has("describe")) return parseDescribe(parsed)
  if (parsed.has("reset-offsets")) return parseReset(parsed)
  if (parsed.has("delete")) {
    const ids = needsGroups(parsed, "delete")
    if (parsed.has("topic")) throw new UsageError("The consumer does not support topic-specific offset deletion from a consumer group.")
    return { _tag: "Delete", ids }
  }
  if (!parsed.has("group") || !parsed.has("topic")) {
    throw new UsageError(`Option ${shown("delete-offsets")} takes the following options: ${names(["group", "topic"])}`)
  }
  return { _tag: "DeleteOffsets", id: parsed.value("group")!, topics: parseTopics(parsed.values("topic")) }
}

const NO_EXECUTE = "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will require " +
  "either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if you are scripting this command " +
  "and want to keep the current default behavior without prompting."

/** @throws UsageError */
export const parseGroupCommand = (parsed: ParsedFlags): GroupRequest => {
  if (!parsed.has("validate-regex")) needs(parsed, "bootstrap-server")
  if (actions.filter((action) => parsed.has(action)).length !== 1) {
    throw new UsageError(`Command must include exactly one action: ${actions.map((action) => `--${action}`).join(", ")}`)
  }
  refuse(parsed, "group", "all-groups", "list")
  refuse(parsed, "topic", "list", "describe")
  const action = parseAction(parsed)
  return {
    bootstrapServer: parsed.value("bootstrap-server") ?? "",
    commandConfig: parsed.value("command-config"),
    timeoutMs: parsed.number("timeout")!,
    warnings: action._tag === "Reset" && !parsed.has("dry-run") && !parsed.has("execute") ? [NO_EXECUTE] : [],
    action
  }
}
