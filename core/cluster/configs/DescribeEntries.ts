/**
 * What DescribeConfigs tells of a topic's and a broker's configurations: the effective value, where it comes from, and
 * its synonyms from the strongest to the default. Ways of Kafka that look odd and are kept: a synonym list begins with
 * the first entry of the key's own name (of a topic key: its strongest broker key), so `retention.ms` that comes from `log.retention.hours` has none;
 * internal keys are left out; a default that is null is no synonym.
 */
import { brokerConfigDefs, type ConfigDef, type ConfigType, dynamicQuotaDefs, topicConfigDefs } from "./ConfigDefs.ts"
import { canonicalText, ConfigError, parseConfig } from "./ConfigParse.ts"
import { descriptionOf } from "./Descriptions.ts"
import type { ConfigTexts } from "./TopicConfigs.ts"

/** Kafka's numbers of sources. */
export const ConfigSource: {
  readonly DYNAMIC_TOPIC: 1
  readonly DYNAMIC_BROKER: 2
  readonly DYNAMIC_DEFAULT_BROKER: 3
  readonly STATIC_BROKER: 4
  readonly DEFAULT: 5
  readonly DYNAMIC_BROKER_LOGGER: 6
} = { DYNAMIC_TOPIC: 1, DYNAMIC_BROKER: 2, DYNAMIC_DEFAULT_BROKER: 3, STATIC_BROKER: 4, DEFAULT: 5, DYNAMIC_BROKER_LOGGER: 6 }

/** Kafka's numbers of types; 0 is unknown. */
const typeNumbers: Readonly<Record<ConfigType, number>> = {
  boolean: 1,
  string: 2,
  int: 3,
  short: 4,
  long: 5,
  double: 6,
  list: 7,
  class: 8,
  password: 9
}

/** The texts of a broker by source, the strongest first. */
export interface ConfigLayers {
  readonly dynamicBroker: ConfigTexts
  readonly dynamicDefault: ConfigTexts
  readonly staticBroker: ConfigTexts
}

export interface ConfigSynonym {
  readonly name: string
  readonly value: string | null
  readonly source: number
}

/** An entry of the response, in its field names. */
export interface ConfigEntry {
  readonly name: string
  readonly value: string | null
  readonly readOnly: boolean
  readonly configSource: number
  readonly isSensitive: boolean
  readonly synonyms: ReadonlyArray<ConfigSynonym>
  readonly configType: number
  readonly documentation: string | null
}

export interface DescribeOptions {
  /** Null or empty: all. */
  readonly keys: ReadonlyArray<string> | null
  readonly synonyms: boolean
  readonly documentation: boolean
}

const wanted = (options: DescribeOptions): ((name: string) => boolean) => {
  if (options.keys === null || options.keys.length === 0) return () => true
  const keys = new Set(options.keys)
  return (name) => keys.has(name)
}

const brokerDef = (name: string): ConfigDef | undefined => brokerConfigDefs.get(name) ?? dynamicQuotaDefs.get(name)

/** Everything that is set for `names`, the strongest first, from the first entry of `from` on. */
const synonymsOf = (
  names: ReadonlyArray<string>,
  from: string | undefined,
  layers: ConfigLayers,
  hidden: boolean
): ReadonlyArray<ConfigSynonym> => {
  const all: Array<ConfigSynonym> = []
  const add = (source: number, textOf: (name: string) => string | null | undefined): void => {
    for (const name of names) {
      const text = textOf(name)
      if (text !== undefined && text !== null) all.push({ name, value: hidden ? null : text, source })
    }
  }
  add(ConfigSource.DYNAMIC_BROKER, (name) => layers.dynamicBroker.get(name))
  add(ConfigSource.DYNAMIC_DEFAULT_BROKER, (name) => layers.dynamicDefault.get(name))
  add(ConfigSource.STATIC_BROKER, (name) => layers.staticBroker.get(name))
  add(ConfigSource.DEFAULT, (name) => brokerDef(name)?.default)
  const first = all.findIndex((s) => s.name === from)
  return first < 0 ? [] : all.slice(first)
}

const entryOf = (
  def: ConfigDef,
  value: string | null,
  synonyms: ReadonlyArray<ConfigSynonym>,
  readOnly: boolean,
  options: DescribeOptions
): ConfigEntry => ({
  name: def.name,
  value: def.sensitive ? null : value,
  readOnly,
  configSource: synonyms[0]?.source ?? ConfigSource.DEFAULT,
  isSensitive: def.sensitive,
  synonyms: options.synonyms ? synonyms : [],
  configType: typeNumbers[def.type],
  documentation: options.documentation ? descriptionOf(def.name) : null
})

const usableText = (def: ConfigDef | undefined, text: string | undefined): string | undefined =>
  def === undefined || text === undefined || parseConfig(def, text) instanceof ConfigError ? undefined : canonicalText(def, text)

/** The text of a topic key that has no override, times its synonym's unit. */
const inheritedText = (def: ConfigDef, layers: ConfigLayers): string | null => {
  for (const layer of [layers.dynamicBroker, layers.dynamicDefault, layers.staticBroker]) {
    for (const { factor, name } of def.synonyms) {
      const text = usableText(brokerDef(name), layer.get(name))
      if (text === undefined) continue
      if (factor === 1) return text
      return BigInt(text) < 0n ? "-1" : (BigInt(text) * BigInt(factor)).toString()
    }
  }
  return def.default === null ? null : canonicalText(def, def.default)
}

export const describeTopic = (
  overrides: ConfigTexts,
  layers: ConfigLayers,
  options: DescribeOptions
): ReadonlyArray<ConfigEntry> => {
  const isWanted = wanted(options)
  const entries: Array<ConfigEntry> = []
  for (const def of topicConfigDefs.values()) {
    if (def.internal || !isWanted(def.name)) continue
    const inherited = synonymsOf(def.synonyms.map((s) => s.name), def.synonyms[0]?.name, layers, def.sensitive)
    const override = usableText(def, overrides.get(def.name))
    entries.push(
      override === undefined
        ? entryOf(def, inheritedText(def, layers), inherited, false, options)
        : entryOf(
            def,
            override,
            [{ name: def.name, value: override, source: ConfigSource.DYNAMIC_TOPIC }, ...inherited],
            false,
            options
          )
    )
  }
  return entries
}

const brokerEntry = (def: ConfigDef, layers: ConfigLayers, options: DescribeOptions): ConfigEntry => {
  const names = def.synonyms.length === 0 ? [def.name] : def.synonyms.map((s) => s.name)
  const synonyms = synonymsOf(names, def.name, layers, def.sensitive)
  const text =
    usableText(def, layers.dynamicBroker.get(def.name)) ??
    usableText(def, layers.dynamicDefault.get(def.name)) ??
    usableText(def, layers.staticBroker.get(def.name)) ??
    (def.default === null ? null : canonicalText(def, def.default))
  return entryOf(def, text, synonyms, def.updateMode === "read-only", options)
}

/**
 * A key that only a dynamic configuration has: a quota, which has no default to tell of, or one that nobody knows. That
 * may hold anything: it is kept to itself, as in Kafka.
 */
const dynamicEntry = (name: string, layers: ConfigLayers, options: DescribeOptions): ConfigEntry => {
  const def = dynamicQuotaDefs.get(name)
  const isHidden = def === undefined
  const synonyms = synonymsOf([name], name, layers, isHidden).filter(({ source }) => source !== ConfigSource.DEFAULT)
  const [strongest] = synonyms
  return {
    name,
    value: strongest?.value ?? null,
    readOnly: isHidden,
    configSource: strongest?.source ?? ConfigSource.DEFAULT,
    isSensitive: isHidden,
    synonyms: options.synonyms ? synonyms : [],
    configType: isHidden ? 0 : typeNumbers[def.type],
    documentation: options.documentation ? descriptionOf(name) : null
  }
}

/** All keys of a broker but internal ones, and what else is set while it runs. */
export const describeBroker = (layers: ConfigLayers, options: DescribeOptions): ReadonlyArray<ConfigEntry> => {
  const isWanted = wanted(options)
  const entries: Array<ConfigEntry> = []
  for (const def of brokerConfigDefs.values()) {
    if (!def.internal && isWanted(def.name)) entries.push(brokerEntry(def, layers, options))
  }
  for (const name of new Set([...layers.dynamicBroker.keys(), ...layers.dynamicDefault.keys()])) {
    if (!brokerConfigDefs.has(name) && isWanted(name)) entries.push(dynamicEntry(name, layers, options))
  }
  return entries
}

/** The cluster-wide default of brokers: only what is set. */
export const describeBrokerDefault = (layers: ConfigLayers, options: DescribeOptions): ReadonlyArray<ConfigEntry> => {
  const isWanted = wanted(options)
  const entries: Array<ConfigEntry> = []
  for (const [name, value] of layers.dynamicDefault) {
    if (!isWanted(name)) continue
    const def = brokerDef(name)
    // a key that Kafka does not know may hold anything: it is kept to itself, as in Kafka
    const sensitive = def === undefined || def.sensitive
    const shown = sensitive ? null : (usableText(def, value) ?? value)
    const source = ConfigSource.DYNAMIC_DEFAULT_BROKER
    entries.push({
      name,
      value: shown,
      readOnly: def === undefined || def.updateMode === "read-only",
      configSource: source,
      isSensitive: sensitive,
      synonyms: options.synonyms ? [{ name, value: shown, source }] : [],
      configType: def === undefined ? 0 : typeNumbers[def.type],
      documentation: options.documentation ? descriptionOf(name) : null
    })
  }
  return entries
}
