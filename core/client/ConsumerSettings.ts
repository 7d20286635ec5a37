/** A consumer's configuration with Kafka 4.3's defaults, checked. */
import type { Assignor } from "../assignors/Assignor.ts"
import { FatalError } from "./ClientError.ts"
import type { ConsumerConfig } from "./Consumer.ts"
import { OFFSET_RESETS, type OffsetReset, parseOffsetReset } from "./OffsetReset.ts"

export interface ConsumerSettings {
  readonly groupId: string | undefined
  readonly groupInstanceId: string | undefined
  readonly reset: OffsetReset
  readonly autoCommitIntervalMs: number | undefined
  readonly assignors: ReadonlyArray<Assignor>
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly maxPollIntervalMs: number
  readonly maxPollRecords: number
  readonly fetchMinBytes: number
  readonly fetchMaxBytes: number
  readonly fetchMaxWaitMs: number
  readonly maxPartitionFetchBytes: number
  readonly fetchBufferBytes: number
  readonly isolation: "read_uncommitted" | "read_committed"
  readonly checkCrcs: boolean
  readonly allowAutoCreate: boolean
  readonly excludeInternal: boolean
  readonly rack: string
  readonly retryBackoffMs: number
  readonly retryBackoffMaxMs: number
  readonly requestTimeoutMs: number
  readonly apiTimeoutMs: number
  readonly metadataMaxAgeMs: number
}

const MAX_INT32 = 0x7fff_ffff

const invalid = (key: string, value: unknown, must: string): FatalError =>
  new FatalError("INVALID_ARGUMENT", `Invalid value ${String(value)} for configuration ${key}: it must be ${must}`)

/** @returns the first thing that is wrong with it */
export const consumerSettings = (
  config: ConsumerConfig,
  assignors: ReadonlyMap<string, Assignor>
): ConsumerSettings | FatalError => {
  let problem: FatalError | undefined
  const integer = (key: keyof ConsumerConfig & string, byDefault: number, min: number, max: number = MAX_INT32): number => {
    const value = config[key] ?? byDefault
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value
    problem ??= invalid(key, value, `an integer from ${min} to ${max}`)
    return byDefault
  }
  const oneOf = <A extends string>(key: keyof ConsumerConfig & string, byDefault: A, values: ReadonlyArray<A>): A => {
    const value = config[key] ?? byDefault
    const found = values.find((one) => one === value)
    if (found === undefined) problem ??= invalid(key, value, `one of ${values.join(", ")}`)
    return found ?? byDefault
  }
  const names = (config["partition.assignment.strategy"] ?? "range,cooperative-sticky").split(",").map((name) => name.trim())
  const chosen: Array<Assignor> = []
  for (const name of new Set(names)) {
    const assignor = assignors.get(name)
    if (assignor !== undefined) chosen.push(assignor)
    else problem ??= invalid("partition.assignment.strategy", name, `made of ${[...assignors.keys()].join(", ")}`)
  }
  if (
    chosen.length > 0 &&
    !chosen[0]!.supportedProtocols.some((protocol) => chosen.every((one) => one.supportedProtocols.includes(protocol)))
  ) {
    problem ??= invalid("partition.assignment.strategy", names.join(","), "assignors that share a rebalance protocol")
  }
  const autoCommit = config["enable.auto.commit"] ?? true
  const groupId = config["group.id"]
  if (groupId === "") problem ??= invalid("group.id", "\"\"", "left out or not empty")
  if (config["group.instance.id"] === "") problem ??= invalid("group.instance.id", "\"\"", "left out or not empty")
  const reset = parseOffsetReset(config["auto.offset.reset"] ?? "latest")
  if (reset === undefined) problem ??= invalid("auto.offset.reset", config["auto.offset.reset"], OFFSET_RESETS)
  const settings: ConsumerSettings = {
    groupId,
    groupInstanceId: config["group.instance.id"],
    reset: reset ?? { _tag: "None" },
    // Without a group there is nothing to commit to.
    autoCommitIntervalMs: autoCommit && groupId !== undefined ? integer("auto.commit.interval.ms", 5000, 0) : undefined,
    assignors: chosen,
    sessionTimeoutMs: integer("session.timeout.ms", 45_000, 1),
    heartbeatIntervalMs: integer("heartbeat.interval.ms", 3000, 1),
    maxPollIntervalMs: integer("max.poll.interval.ms", 300_000, 1),
    maxPollRecords: integer("max.poll.records", 500, 1),
    fetchMinBytes: integer("fetch.min.bytes", 1, 0),
    fetchMaxBytes: integer("fetch.max.bytes", 52_428_800, 0),
    fetchMaxWaitMs: integer("fetch.max.wait.ms", 500, 0),
    maxPartitionFetchBytes: integer("max.partition.fetch.bytes", 1_048_576, 0),
    fetchBufferBytes: integer("fetch.buffer.bytes", 67_108_864, 1, Number.MAX_SAFE_INTEGER),
    isolation: oneOf("isolation.level", "read_uncommitted", ["read_uncommitted", "read_committed"]),
    checkCrcs: config["check.crcs"] ?? true,
    allowAutoCreate: config["allow.auto.create.topics"] ?? true,
    excludeInternal: config["exclude.internal.topics"] ?? true,
    rack: config["client.rack"] ?? "",
    retryBackoffMs: integer("retry.backoff.ms", 100, 0),
    retryBackoffMaxMs: integer("retry.backoff.max.ms", 1000, 0),
    requestTimeoutMs: integer("request.timeout.ms", 30_000, 1),
    apiTimeoutMs: integer("default.api.timeout.ms", 60_000, 0),
    metadataMaxAgeMs: integer("metadata.max.age.ms", 300_000, 0)
  }
  if (groupId !== undefined && settings.heartbeatIntervalMs >= settings.sessionTimeoutMs) {
    problem ??= invalid("heartbeat.interval.ms", settings.heartbeatIntervalMs, "lower than session.timeout.ms")
  }
  return problem ?? settings
}
