/** What a topic's overrides mean together: whether they are legal, and the LogConfig that they give. */
import type { LogConfig } from "../../log/LogConfig.ts"
import { brokerConfigDefs, type ConfigDef, topicConfigDefs } from "./ConfigDefs.ts"
import { ConfigError, type ConfigValue, parseConfig, tooLongError } from "./ConfigParse.ts"

/** Configurations by key, as text. */
export type ConfigTexts = ReadonlyMap<string, string>

const topicDef = (name: string): ConfigDef => {
  const def = topicConfigDefs.get(name)
  if (def === undefined) throw new RangeError(`not a topic configuration: ${name}`)
  return def
}

/**
 * A topic key's value: its override, else the strongest broker key that is set, else Kafka's default. Texts that do
 * not parse are passed over: what is stored was checked before.
 *
 * @param brokerValues broker keys that are set, statically or dynamically; defaults need not be in it
 */
export const topicValue = (def: ConfigDef, overrides: ConfigTexts, brokerValues: ConfigTexts): ConfigValue | undefined => {
  const override = overrides.get(def.name)
  if (override !== undefined) {
    const value = parseConfig(def, override)
    if (!(value instanceof ConfigError)) return value
  }
  for (const { factor, name } of def.synonyms) {
    const text = brokerValues.get(name)
    const brokerDef = text === undefined ? undefined : brokerConfigDefs.get(name)
    if (text === undefined || brokerDef === undefined) continue
    const value = parseConfig(brokerDef, text)
    if (value instanceof ConfigError) continue
    // -1 hours is "never" and not -3600000 ms
    if (typeof value !== "number" || factor === 1) return value
    return value < 0 ? -1 : Math.min(value * factor, Number.MAX_SAFE_INTEGER)
  }
  if (def.default === null) return undefined
  const value = parseConfig(def, def.default)
  return value instanceof ConfigError ? undefined : value
}

/**
 * What is wrong with a topic's overrides, in Kafka's order: unknown names, then each value, then values that
 * contradict each other. Empty when nothing is.
 */
export const validateTopicConfigs = (
  overrides: ConfigTexts,
  brokerValues: ConfigTexts = new Map()
): ReadonlyArray<ConfigError> => {
  const errors: Array<ConfigError> = []
  for (const name of overrides.keys()) {
    if (!topicConfigDefs.has(name)) errors.push(new ConfigError(name, `Unknown topic config name: ${name}`))
  }
  for (const [name, text] of overrides) {
    const def = topicConfigDefs.get(name)
    if (def === undefined) continue
    const value = tooLongError(name, text) ?? parseConfig(def, text)
    if (value instanceof ConfigError) errors.push(value)
  }
  if (errors.length > 0) return errors

  const numberOf = (name: string): number => topicValue(topicDef(name), overrides, brokerValues) as number
  const minLag = numberOf("min.compaction.lag.ms")
  const maxLag = numberOf("max.compaction.lag.ms")
  if (minLag > maxLag) {
    errors.push(
      new ConfigError(
        "min.compaction.lag.ms",
        `conflict topic config setting min.compaction.lag.ms (${minLag}) > max.compaction.lag.ms (${maxLag})`
      )
    )
  }
  if (topicValue(topicDef("remote.storage.enable"), overrides, brokerValues) === true) {
    errors.push(
      new ConfigError(
        "remote.storage.enable",
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
      )
    )
  }
  return errors
}

/** How a topic's log is kept: its overrides, else the broker's values, else Kafka's defaults. */
export const logConfigFor = (overrides: ConfigTexts, brokerValues: ConfigTexts = new Map()): LogConfig => {
  const get = (name: string): ConfigValue | undefined => topicValue(topicDef(name), overrides, brokerValues)
  const number = (name: string): number => get(name) as number
  const policies = get("cleanup.policy") as ReadonlyArray<string>
  return {
    // for tests: smaller segments than clients may ask for
    segmentBytes: (get("internal.segment.bytes") as number | undefined) ?? number("segment.bytes"),
    segmentMs: number("segment.ms"),
    segmentJitterMs: number("segment.jitter.ms"),
    segmentIndexBytes: number("segment.index.bytes"),
    indexIntervalBytes: number("index.interval.bytes"),
    retentionMs: number("retention.ms"),
    retentionBytes: number("retention.bytes"),
    maxMessageBytes: number("max.message.bytes"),
    minCleanableDirtyRatio: number("min.cleanable.dirty.ratio"),
    minCompactionLagMs: number("min.compaction.lag.ms"),
    maxCompactionLagMs: number("max.compaction.lag.ms"),
    deleteRetentionMs: number("delete.retention.ms"),
    fileDeleteDelayMs: number("file.delete.delay.ms"),
    cleanupPolicy: { compact: policies.includes("compact"), delete: policies.includes("delete") },
    compressionType: get("compression.type") as LogConfig["compressionType"],
    compressionGzipLevel: number("compression.gzip.level"),
    compressionLz4Level: number("compression.lz4.level"),
    compressionZstdLevel: number("compression.zstd.level"),
    flushMessages: number("flush.messages"),
    flushMs: number("flush.ms"),
    messageTimestampType: get("message.timestamp.type") as LogConfig["messageTimestampType"],
    messageTimestampBeforeMaxMs: number("message.timestamp.before.max.ms"),
    messageTimestampAfterMaxMs: number("message.timestamp.after.max.ms"),
    preallocate: get("preallocate") === true
  }
}

/** What replication asks of a topic. */
export interface ReplicationConfig {
  /** `min.insync.replicas` */
  readonly minInsyncReplicas: number
  /** `unclean.leader.election.enable` */
  readonly uncleanLeaderElection: boolean
  /** `leader.replication.throttled.replicas` and `follower…`: each `partition:broker`, or `*` alone. */
  readonly leaderThrottledReplicas: ReadonlyArray<string>
  readonly followerThrottledReplicas: ReadonlyArray<string>
}

export const replicationConfigFor = (
  overrides: ConfigTexts,
  brokerValues: ConfigTexts = new Map()
): ReplicationConfig => ({
  leaderThrottledReplicas: topicValue(topicDef("leader.replication.throttled.replicas"), overrides, brokerValues) as ReadonlyArray<string>,
  followerThrottledReplicas: topicValue(topicDef("follower.replication.throttled.replicas"), overrides, brokerValues) as ReadonlyArray<string>,
  minInsyncReplicas: topicValue(topicDef("min.insync.replicas"), overrides, brokerValues) as number,
  uncleanLeaderElection: topicValue(topicDef("unclean.leader.election.enable"), overrides, brokerValues) === true
})
