/**
 * A run of a cluster as plain data, drawn from a seed: who is there, what clients do, what goes wrong. The same scenario
 * and seed give the same run; a schedule with fewer faults is a scenario too.
 */
import type { Fault, FaultModel } from "./Faults.ts"
import { drawFaults, drawLossyLinks, drawThrottles } from "./FaultsDrawn.ts"
import { SimRandom } from "./SimRandom.ts"

export interface TopicPlan {
  readonly name: string
  readonly partitions: number
  readonly replicationFactor: number
  readonly minIsr: number
  readonly configs: Readonly<Record<string, string>>
}
export interface ProducerPlan {
  readonly name: string
  readonly topic: string
  /** Between two sends, on average. */
  readonly everyMs: number
}
export interface GroupPlan {
  readonly name: string
  readonly topics: ReadonlyArray<string>
  readonly members: number
  /** Names as in partition.assignment.strategy. */
  readonly assignors: string
  /** Members read from a replica in their rack when there is one (KIP-392). */
  readonly readsFollowers: boolean
}

export interface Scenario {
  readonly seed: number
  readonly model: FaultModel
  /** Ids 1 to this. */
  readonly brokers: number
  readonly topics: ReadonlyArray<TopicPlan>
  /** acks=all and idempotent. */
  readonly producers: ReadonlyArray<ProducerPlan>
  readonly groups: ReadonlyArray<GroupPlan>
  /** Of every broker, beside what a simulation always sets. */
  readonly configs: Readonly<Record<string, string>>
  /** `broker.rack` of each broker, by id - 1; empty: brokers have none. */
  readonly racks: ReadonlyArray<string>
  /** Of every link, in virtual milliseconds. */
  readonly maxDelayMs: number
  /** How wrong the wall clock of each broker is, by id - 1. Timers are right. */
  readonly skewsMs: ReadonlyArray<number>
  /** While faults begin and clients work; then everything heals. */
  readonly durationMs: number
  readonly faults: ReadonlyArray<Fault>
}

export interface ScenarioOptions {
  /** Default: drawn. */
  readonly model?: FaultModel
  readonly brokers?: number
  /** Default 20,000. */
  readonly durationMs?: number
  /** Single faults and patterns of faults. Default: 3 to 8. */
  readonly faults?: number
}

export const DEFAULT_DURATION_MS = 20_000
const MAX_SKEW_MS = 600_000
const RACKS = 3
const RACK_AWARE = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
export const MIN_ISR = 2
export const REPLICATION_FACTOR = 3

export const scenarioOf = (seed: number, options: ScenarioOptions = {}): Scenario => {
  const dice = new SimRandom(seed).fork("scenario")
  const durationMs = options.durationMs ?? DEFAULT_DURATION_MS
  const model = options.model ?? (dice.chance(0.5) ? "machines" : "processes")
  const brokers = options.brokers ?? dice.pick([3, 3, 4, 4, 5])
  const topics = Array.from({ length: dice.int(1, 2) }, (_, at): TopicPlan => ({
    name: `t${at}`,
    partitions: dice.int(1, 2),
    replicationFactor: REPLICATION_FACTOR,
    minIsr: MIN_ISR,
    // Some logs have several segments, so that truncations across segments happen.
    configs: { "min.insync.replicas": String(MIN_ISR), ...(dice.chance(0.5) ? { "segment.ms": "2000" } : {}) }
  }))
  const producers = Array.from({ length: dice.int(1, 2) + topics.length - 1 }, (_, at): ProducerPlan => ({
    name: `p${at}`,
    topic: topics[at % topics.length]!.name,
    everyMs: dice.int(60, 250)
  }))
  const racks = dice.fork("racks").chance(0.3) ? Array.from({ length: brokers }, (_, at) => `r${at % RACKS}`) : []
  const groups: ReadonlyArray<GroupPlan> = [{
    name: "g0",
    topics: topics.map(({ name }) => name),
    members: dice.int(1, 2),
    assignors: dice.pick(["range", "cooperative-sticky", "range,cooperative-sticky", "roundrobin"]),
    readsFollowers: racks.length > 0
  }]
  const sessionTimeoutMs = dice.pick([2000, 3000, 6000])
  const replicaLagTimeMaxMs = dice.pick([1000, 2000, 4000])
  const configs: Record<string, string> = {
    "broker.session.timeout.ms": String(sessionTimeoutMs),
    "replica.lag.time.max.ms": String(replicaLagTimeMaxMs),
    "replica.fetch.wait.max.ms": String(dice.pick([100, 500])),
    "replica.fetch.backoff.ms": String(dice.pick([100, 500, 1000])),
    "replica.socket.timeout.ms": String(dice.pick([2000, 5000])),
    "log.segment.bytes": "1048576",
    "auto.leader.rebalance.enable": String(dice.chance(0.5)),
    "leader.imbalance.check.interval.seconds": "5"
  }
  // Now and then the brokers sync on their own: what a power loss leaves is different then.
  if (dice.chance(0.2)) configs["log.flush.interval.messages"] = String(dice.pick([1, 3, 10]))
  const ground = { model, brokers, topics, groups, durationMs, sessionTimeoutMs, replicaLagTimeMaxMs }
  const count = options.faults ?? dice.int(3, 8)
  const faults = [
    ...drawFaults(dice.fork("faults"), ground, count),
    // With dice of their own: what a seed drew before these were thought of stays as it was.
    ...(count === 0 ? [] : [...drawLossyLinks(dice.fork("lossy links"), ground), ...drawThrottles(dice.fork("throttles"), ground)])
  ]
  const created = dice.chance(0.3) ? [
    { kind: "create topic", topic: "extra", partitions: 1, atMs: dice.int(500, durationMs / 2), forMs: 0 } as const,
    { kind: "delete topic", topic: "extra", atMs: dice.int(durationMs / 2, durationMs), forMs: 0 } as const
  ] : []
  const clocks = dice.fork("clocks")
  const areWrong = clocks.chance(0.3)
  return {
    seed,
    model,
    brokers,
    topics,
    producers,
    groups,
    configs: racks.length === 0 ? configs : { ...configs, "replica.selector.class": RACK_AWARE },
    racks,
    maxDelayMs: dice.pick([1, 2, 5, 20]),
    skewsMs: Array.from({ length: brokers }, () => areWrong ? clocks.int(-MAX_SKEW_MS, MAX_SKEW_MS) : 0),
    durationMs,
    faults: [...faults, ...created].sort((a, b) => a.atMs - b.atMs)
  }
}
