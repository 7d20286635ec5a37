/**
 * The topic and broker configurations of Kafka 4.3: names, types, defaults, valid values, and which broker keys give
 * a topic key its default. The data is generated (generated/ConfigData.ts); this file gives it its shape.
 */
import { brokerConfigRows, dynamicQuotaRows, topicConfigRows } from "./generated/ConfigData.ts"

export type ConfigType = "boolean" | "string" | "short" | "int" | "long" | "double" | "list" | "class" | "password"
export type Importance = "high" | "medium" | "low"
/** What a dynamic change may do: nothing, only for the whole cluster or one broker alike, only for one broker. */
export type UpdateMode = "read-only" | "cluster-wide" | "per-broker"

export type Validation =
  | readonly ["range", number | null, number | null]
  | readonly ["oneOf" | "oneOfIgnoreCase", ReadonlyArray<string>]
  /** Allowed values or null for any; whether empty and whether null is allowed. */
  | readonly ["list", ReadonlyArray<string> | null, boolean, boolean]
  | readonly ["nonEmptyString"]
  /** A rule of its own, by its description; ConfigParse.ts knows those that matter. */
  | readonly ["custom", string]

/** A key whose value stands in for another's; its number times `factor` is in the unit of the other. */
export interface Synonym {
  readonly name: string
  readonly factor: number
}

export interface ConfigDef {
  readonly name: string
  readonly type: ConfigType
  /** As text; null when there is none. */
  readonly default: string | null
  readonly valid: Validation | undefined
  readonly importance: Importance
  /** Of broker keys; topic keys are always dynamic. */
  readonly updateMode: UpdateMode | undefined
  /** Broker keys that supply the value, the strongest first. Of a topic key: not the key itself. */
  readonly synonyms: ReadonlyArray<Synonym>
  /** Never shown to clients. */
  readonly sensitive: boolean
  /** Kafka hides it from DescribeConfigs. */
  readonly internal: boolean
  readonly required: boolean
}

/** name, type, default, importance, updateMode, validation (0: none), flags (i internal, r required), synonyms. */
export type ConfigRow = readonly [
  name: string,
  type: ConfigType,
  defaultText: string | null,
  importance: Importance,
  updateMode: UpdateMode | "",
  valid?: Validation | 0,
  flags?: string,
  synonyms?: ReadonlyArray<string | readonly [string, number]>
]

const defOf = (row: ConfigRow): ConfigDef => {
  const [name, type, defaultText, importance, updateMode, valid, flags = "", synonyms = []] = row
  return {
    name,
    type,
    default: defaultText,
    valid: valid === undefined || valid === 0 ? undefined : valid,
    importance,
    updateMode: updateMode === "" ? undefined : updateMode,
    synonyms: synonyms.map((s) => (typeof s === "string" ? { name: s, factor: 1 } : { name: s[0], factor: s[1] })),
    sensitive: type === "password",
    internal: flags.includes("i"),
    required: flags.includes("r")
  }
}

const tableOf = (rows: ReadonlyArray<ConfigRow>): ReadonlyMap<string, ConfigDef> =>
  new Map(rows.map((row) => [row[0], defOf(row)]))

/** The 34 topic keys. */
export const topicConfigDefs: ReadonlyMap<string, ConfigDef> = tableOf(topicConfigRows)
/** The 360 broker keys. */
export const brokerConfigDefs: ReadonlyMap<string, ConfigDef> = tableOf(brokerConfigRows)
/** The 3 broker keys that can be set as dynamic configurations only. */
export const dynamicQuotaDefs: ReadonlyMap<string, ConfigDef> = tableOf(dynamicQuotaRows)
