import { describe, expect, it } from "vitest"
import { logConfigFor, replicationConfigFor } from "../../../core/cluster/configs/TopicConfigs.ts"
import { defaultLogConfig, type LogConfig } from "../../../core/log/LogConfig.ts"

const map = (values: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(values))
const HOUR = 3_600_000

describe("a log's configuration", () => {
  it("is Kafka's default when nothing is set", () => {
    expect(logConfigFor(map({}))).toEqual(defaultLogConfig)
  })

  // topic key, text, field, value; then the broker key that gives the topic's default, and its text
  const keys: ReadonlyArray<readonly [string, string, keyof LogConfig, unknown, string, string]> = [
    ["cleanup.policy", "compact,delete", "cleanupPolicy", { compact: true, delete: true }, "log.cleanup.policy", "compact,delete"],
    ["compression.gzip.level", "5", "compressionGzipLevel", 5, "compression.gzip.level", "5"],
    ["compression.lz4.level", "5", "compressionLz4Level", 5, "compression.lz4.level", "5"],
    ["compression.type", "lz4", "compressionType", "lz4", "compression.type", "lz4"],
    ["compression.zstd.level", "5", "compressionZstdLevel", 5, "compression.zstd.level", "5"],
    ["delete.retention.ms", "5", "deleteRetentionMs", 5, "log.cleaner.delete.retention.ms", "5"],
    ["file.delete.delay.ms", "5", "fileDeleteDelayMs", 5, "log.segment.delete.delay.ms", "5"],
    ["flush.messages", "5", "flushMessages", 5, "log.flush.interval.messages", "5"],
    ["flush.ms", "5", "flushMs", 5, "log.flush.interval.ms", "5"],
    ["index.interval.bytes", "5", "indexIntervalBytes", 5, "log.index.interval.bytes", "5"],
    ["max.compaction.lag.ms", "5", "maxCompactionLagMs", 5, "log.cleaner.max.compaction.lag.ms", "5"],
    ["max.message.bytes", "5", "maxMessageBytes", 5, "message.max.bytes", "5"],
    ["message.timestamp.after.max.ms", "5", "messageTimestampAfterMaxMs", 5, "log.message.timestamp.after.max.ms", "5"],
    ["message.timestamp.before.max.ms", "5", "messageTimestampBeforeMaxMs", 5, "log.message.timestamp.before.max.ms", "5"],
    ["message.timestamp.type", "LogAppendTime", "messageTimestampType", "LogAppendTime", "log.message.timestamp.type", "LogAppendTime"],
    ["min.cleanable.dirty.ratio", "0.25", "minCleanableDirtyRatio", 0.25, "log.cleaner.min.cleanable.ratio", "0.25"],
    ["min.compaction.lag.ms", "5", "minCompactionLagMs", 5, "log.cleaner.min.compaction.lag.ms", "5"],
    ["preallocate", "true", "preallocate", true, "log.preallocate", "true"],
    ["retention.bytes", "5", "retentionBytes", 5, "log.retention.bytes", "5"],
    ["retention.ms", "5", "retentionMs", 5, "log.retention.ms", "5"],
    ["segment.bytes", "1048576", "segmentBytes", 1_048_576, "log.segment.bytes", "1048576"],
    ["segment.index.bytes", "80", "segmentIndexBytes", 80, "log.index.size.max.bytes", "80"],
    ["segment.jitter.ms", "5", "segmentJitterMs", 5, "log.roll.jitter.ms", "5"],
    ["segment.ms", "5", "segmentMs", 5, "log.roll.ms", "5"]
  ]

  it.each(keys)("takes %s=%s from the topic, else from the broker", (key, text, field, value, brokerKey, brokerText) => {
    expect(logConfigFor(map({ [key]: text }))).toEqual({ ...defaultLogConfig, [field]: value })
    expect(logConfigFor(map({}), map({ [brokerKey]: brokerText }))).toEqual({ ...defaultLogConfig, [field]: value })
    const shadowed = logConfigFor(map({ [key]: text }), map({ [brokerKey]: "not legal, and not looked at" }))
    expect(shadowed).toEqual({ ...defaultLogConfig, [field]: value })
  })

  it("takes time from the strongest broker key, in its unit", () => {
    const retention = (broker: Record<string, string>): number => logConfigFor(map({}), map(broker)).retentionMs
    expect(retention({ "log.retention.hours": "2" })).toBe(2 * HOUR)
    expect(retention({ "log.retention.hours": "2", "log.retention.minutes": "3" })).toBe(180_000)
    expect(retention({ "log.retention.hours": "2", "log.retention.minutes": "3", "log.retention.ms": "7" })).toBe(7)
    expect(retention({ "log.retention.hours": "-1" })).toBe(-1)
    expect(logConfigFor(map({}), map({ "log.roll.hours": "2", "log.roll.jitter.hours": "1" }))).toMatchObject({
      segmentMs: 2 * HOUR,
      segmentJitterMs: HOUR
    })
    expect(logConfigFor(map({}), map({ "log.roll.hours": "2", "log.roll.ms": "9" })).segmentMs).toBe(9)
    expect(logConfigFor(map({}), map({ "log.flush.scheduler.interval.ms": "9" })).flushMs).toBe(9)
  })

  it("lets tests have segments smaller than clients may ask for, by internal.segment.bytes", () => {
    expect(logConfigFor(map({ "internal.segment.bytes": "100", "segment.bytes": "1048576" })).segmentBytes).toBe(100)
  })

  it("has no policy at all when cleanup.policy is empty", () => {
    expect(logConfigFor(map({ "cleanup.policy": "" })).cleanupPolicy).toEqual({ compact: false, delete: false })
  })
})

describe("what replication asks", () => {
  it("is min.insync.replicas and unclean.leader.election.enable, of the topic or the broker", () => {
    expect(replicationConfigFor(map({}))).toMatchObject({ minInsyncReplicas: 1, uncleanLeaderElection: false })
    expect(replicationConfigFor(map({ "min.insync.replicas": "2" }), map({ "min.insync.replicas": "3", "unclean.leader.election.enable": "true" }))).toMatchObject({
      minInsyncReplicas: 2,
      uncleanLeaderElection: true
    })
  })
})
