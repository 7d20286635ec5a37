/**
 * How one partition's log is kept: Kafka's topic configurations in camelCase, already parsed. int64's maximum, which
 * means "never" or "no limit", is Number.MAX_SAFE_INTEGER here; -1 is "no limit" for the two retentions.
 */
export interface LogConfig {
  /** A segment never grows past this. */
  readonly segmentBytes: number
  /** A segment is closed when its first record is older than this. */
  readonly segmentMs: number
  /** Largest random part taken off `segmentMs`, so that many partitions do not roll at once. */
  readonly segmentJitterMs: number
  readonly segmentIndexBytes: number
  /** At most one index entry for each so many bytes of the log. */
  readonly indexIntervalBytes: number
  /** -1: for ever. */
  readonly retentionMs: number
  /** -1: no limit. */
  readonly retentionBytes: number
  readonly maxMessageBytes: number
  readonly minCleanableDirtyRatio: number
  readonly minCompactionLagMs: number
  readonly maxCompactionLagMs: number
  readonly deleteRetentionMs: number
  readonly fileDeleteDelayMs: number
  readonly cleanupPolicy: { readonly compact: boolean; readonly delete: boolean }
  readonly compressionType: "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd"
  readonly compressionGzipLevel: number
  readonly compressionLz4Level: number
  readonly compressionZstdLevel: number
  /** An fsync is due after so many records, or after so long. */
  readonly flushMessages: number
  readonly flushMs: number
  readonly messageTimestampType: "CreateTime" | "LogAppendTime"
  readonly messageTimestampBeforeMaxMs: number
  readonly messageTimestampAfterMaxMs: number
  readonly preallocate: boolean
}

const NEVER = Number.MAX_SAFE_INTEGER

/** Kafka 4.3's defaults. */
export const defaultLogConfig: LogConfig = {
  segmentBytes: 1024 * 1024 * 1024,
  segmentMs: 7 * 24 * 60 * 60 * 1000,
  segmentJitterMs: 0,
  segmentIndexBytes: 10 * 1024 * 1024,
  indexIntervalBytes: 4096,
  retentionMs: 7 * 24 * 60 * 60 * 1000,
  retentionBytes: -1,
  maxMessageBytes: 1024 * 1024 + 12,
  minCleanableDirtyRatio: 0.5,
  minCompactionLagMs: 0,
  maxCompactionLagMs: NEVER,
  deleteRetentionMs: 24 * 60 * 60 * 1000,
  fileDeleteDelayMs: 60 * 1000,
  cleanupPolicy: { compact: false, delete: true },
  compressionType: "producer",
  compressionGzipLevel: -1,
  compressionLz4Level: 9,
  compressionZstdLevel: 3,
  flushMessages: NEVER,
  flushMs: NEVER,
  messageTimestampType: "CreateTime",
  messageTimestampBeforeMaxMs: NEVER,
  messageTimestampAfterMaxMs: 60 * 60 * 1000,
  preallocate: false
}
