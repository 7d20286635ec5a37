/**
 * What this broker does with each configuration key of Kafka: honoured (and the test that shows it), warned (accepted,
 * without effect, named at start when set) or refused (a value other than the default stops the start or the change).
 * docs/config.md is generated from this; a test holds that every key is in it and that the named tests mention them.
 */
import { brokerConfigDefs, topicConfigDefs } from "./ConfigDefs.ts"

export type Scope = "topic" | "broker"

export type Support =
  | { readonly status: "honoured"; readonly test: string }
  | { readonly status: "warned" | "refused"; readonly reason: string }

/** Honoured keys by test file. */
const honouredTopic: Readonly<Record<string, ReadonlyArray<string>>> = {
  "test/broker/config/Honoured.test.ts": [
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "index.interval.bytes",
    "internal.segment.bytes",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.ms"
  ],
  "test/cluster/configs/TopicConfigs.test.ts": ["segment.jitter.ms"],
  "test/replication/Cluster.test.ts": ["unclean.leader.election.enable"],
  "test/replication/PartitionState.test.ts": ["min.insync.replicas"],
  "test/replication/ReplicationQuota.test.ts": ["follower.replication.throttled.replicas", "leader.replication.throttled.replicas"]
}

const honouredBroker: Readonly<Record<string, ReadonlyArray<string>>> = {
  "test/cluster/ClusterReassignment.test.ts": ["auto.leader.rebalance.enable", "leader.imbalance.check.interval.seconds"],
  "test/replication/Cluster.test.ts": ["replica.lag.time.max.ms", "unclean.leader.election.enable"],
  "test/replication/ReplicaFetcher.test.ts": [
    "inter.broker.listener.name",
    "replica.fetch.backoff.ms",
    "replica.fetch.max.bytes",
    "replica.fetch.min.bytes",
    "replica.fetch.response.max.bytes",
    "replica.fetch.wait.max.ms",
    "replica.socket.timeout.ms"
  ],
  "test/replication/ReplicationQuota.test.ts": ["replication.quota.window.num", "replication.quota.window.size.seconds"],
  "test/replication/Lifecycle.test.ts": ["broker.session.timeout.ms", "controlled.shutdown.enable"],
  "test/broker/handlers/FollowerReads.test.ts": ["replica.selector.class"],
  "test/broker/handlers/GroupConfigs.test.ts": [
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.max.size",
    "group.min.session.timeout.ms",
    "offset.metadata.max.bytes",
    "offsets.commit.timeout.ms",
    "offsets.retention.check.interval.ms",
    "offsets.retention.minutes",
    "offsets.topic.compression.codec"
  ],
  "test/broker/config/BrokerConfig.test.ts": [
    "advertised.listeners",
    "broker.id",
    "controller.listener.names",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "node.id",
    "process.roles"
  ],
  "test/broker/config/Honoured.test.ts": [
    "auto.create.topics.enable",
    "broker.rack",
    "connections.max.idle.ms",
    "default.replication.factor",
    "delete.topic.enable",
    "fetch.max.bytes",
    "log.cleaner.backoff.ms",
    "log.cleaner.enable",
    "log.flush.offset.checkpoint.interval.ms",
    "log.flush.start.offset.checkpoint.interval.ms",
    "log.initial.task.delay.ms",
    "log.retention.check.interval.ms",
    "log.retention.ms",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "max.incremental.fetch.session.cache.slots",
    "max.request.partition.size.limit",
    "message.max.bytes",
    "num.partitions",
    "offsets.topic.num.partitions",
    "offsets.topic.replication.factor",
    "offsets.topic.segment.bytes",
    "producer.id.expiration.check.interval.ms",
    "producer.id.expiration.ms",
    "replica.high.watermark.checkpoint.interval.ms",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.num.partitions",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.segment.bytes",
    "socket.listen.backlog.size",
    "socket.request.max.bytes",
    "transaction.state.log.min.isr",
    "transaction.state.log.num.partitions",
    "transaction.state.log.replication.factor",
    "transaction.state.log.segment.bytes"
  ],
  "test/cluster/configs/TopicConfigs.test.ts": [
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleanup.policy",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.flush.scheduler.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.hours",
    "log.retention.minutes",
    "log.roll.hours",
    "log.roll.jitter.hours",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "log.segment.delete.delay.ms",
    "min.insync.replicas"
  ],
  "test/log/Cleaner.test.ts": [
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second"
  ]
}

/** Keys (or all that start so: `prefix.*`) by the reason. */
type Reasons = ReadonlyArray<readonly [reason: string, keys: ReadonlyArray<string>]>

const warnedTopic: Reasons = [
  ["a segment's file grows as it is written", ["preallocate"]],
  ["there is no tiered storage", ["local.retention.bytes", "local.retention.ms", "remote.log.copy.disable", "remote.log.delete.on.disable"]]
]

const refusedTopic: Reasons = [["there is no tiered storage", ["remote.storage.enable"]]]

const warnedBroker: Reasons = [
  ["a segment's file grows as it is written", ["log.preallocate"]],
  [
    "a replica stays in its directory, and there is no tiered storage",
    [
      "alter.log.dirs.replication.quota.window.num",
      "alter.log.dirs.replication.quota.window.size.seconds",
      "follower.fetch.last.tiered.offset.enable",
      "num.replica.alter.log.dirs.threads"
    ]
  ],
  ["a leader is elected as soon as its replica or its configuration allows it", ["unclean.leader.election.interval.ms"]],
  ["one connection to each leader's broker fetches all that it leads", ["num.replica.fetchers"]],
  [
    "there is no KRaft quorum: the controller is part of the broker and keeps a journal of its own",
    [
      "broker.heartbeat.interval.ms",
      "controller.performance.*",
      "controller.quorum.*",
      "controller.quota.*",
      "controller.socket.timeout.ms",
      "early.start.listeners",
      "initial.broker.registration.timeout.ms",
      "internal.metadata.*",
      "metadata.*",
      "server.max.startup.time.ms"
    ]
  ],
  [
    "one event loop does the work: there are no threads to size",
    ["background.threads", "num.io.threads", "num.network.threads", "num.recovery.threads.per.data.dir", "log.cleaner.threads"]
  ],
  ["there are no groups of the new consumer protocol yet (KIP-848); the classic one is served", ["group.consumer.*", "group.coordinator.rebalance.protocols"]],
  [
    "one event loop does the work: a coordinator's records share a batch when they are decided in one turn of it",
    ["group.coordinator.*"]
  ],
  ["logs of coordinators are read in pieces of 1 MiB", ["offsets.load.buffer.size"]],
  ["there are no share groups yet", ["group.share.*", "share.*"]],
  ["there are no streams groups yet", ["group.streams.*"]],
  [
    "there are no transactions yet",
    ["add.partitions.to.txn.retry.backoff.max.ms", "add.partitions.to.txn.retry.backoff.ms", "transaction.*", "transactional.id.expiration.ms"]
  ],
  ["there is no tiered storage", ["log.local.retention.bytes", "log.local.retention.ms", "remote.*"]],
  [
    "there is no TLS, SASL or authorisation yet; listeners that need them are refused",
    ["connection.failed.authentication.delay.ms", "connections.max.reauth.ms", "delegation.token.*", "sasl.*", "security.providers", "ssl.*"]
  ],
  ["there are no client quotas yet", ["quota.window.num", "quota.window.size.seconds"]],
  ["there are no plug-in metrics reporters", ["kafka.metrics.*", "metric.reporters", "metrics.*", "telemetry.max.bytes"]],
  ["values are taken as they are: there are no configuration providers", ["config.providers"]],
  [
    "the host's own choice is kept",
    ["replica.socket.receive.buffer.bytes", "socket.receive.buffer.bytes", "socket.send.buffer.bytes", "socket.connection.setup.timeout.max.ms", "socket.connection.setup.timeout.ms"]
  ],
  [
    "waiting requests leave their queue when they are done: nothing is purged",
    [
      "delete.records.purgatory.purge.interval.requests",
      "fetch.purgatory.purge.interval.requests",
      "producer.purgatory.purge.interval.requests"
    ]
  ],
  ["not bounded by this yet", ["max.connection.creation.rate", "queued.max.request.bytes", "queued.max.requests", "request.timeout.ms"]],
  ["a failed directory goes offline at once", ["log.dir.failure.timeout.ms"]],
  ["new partitions go to every directory", ["cordoned.log.dirs"]],
  ["only released versions are there", ["unstable.api.versions.enable", "unstable.feature.versions.enable"]]
]

const refusedBroker: Reasons = [
  ["Java classes cannot run here", ["alter.config.policy.class.name", "client.quota.callback.class", "create.topic.policy.class.name", "principal.builder.class"]],
  ["there is no authorisation yet, and a broker without it would let everyone in", ["authorizer.class.name"]],
  ["there is no tiered storage", ["remote.log.storage.system.enable"]],
  ["only PLAINTEXT is there yet", ["security.inter.broker.protocol"]]
]

const build = (
  names: Iterable<string>,
  honoured: Readonly<Record<string, ReadonlyArray<string>>>,
  refused: Reasons,
  warned: Reasons
): ReadonlyMap<string, Support> => {
  const table = new Map<string, Support>()
  for (const [test, keys] of Object.entries(honoured)) for (const key of keys) table.set(key, { status: "honoured", test })
  const all = [...names]
  for (const [status, reasons] of [["refused", refused], ["warned", warned]] as const) {
    for (const [reason, patterns] of reasons) {
      for (const pattern of patterns) {
        const prefix = pattern.endsWith("*") ? pattern.slice(0, -1) : undefined
        const keys = prefix === undefined ? [pattern] : all.filter((name) => name.startsWith(prefix))
        for (const key of keys) if (!table.has(key)) table.set(key, { status, reason })
      }
    }
  }
  return table
}

const topicSupport = build(topicConfigDefs.keys(), honouredTopic, refusedTopic, warnedTopic)
const brokerSupport = build(brokerConfigDefs.keys(), honouredBroker, refusedBroker, warnedBroker)

/** Keys that Kafka changes in a running broker and this one does not: its listeners are fixed at start. */
export const FIXED_AT_START: ReadonlySet<string> = new Set(["listeners", "listener.security.protocol.map"])

/** Undefined for a key that Kafka does not have. */
export const supportOf = (scope: Scope, key: string): Support | undefined =>
  (scope === "topic" ? topicSupport : brokerSupport).get(key)

/** Every key that is classified: for the test that holds them to Kafka's. */
export const classifiedKeys = (scope: Scope): ReadonlyArray<string> => [
  ...(scope === "topic" ? topicSupport : brokerSupport).keys()
]

/** Edits from one word to the other: insertions, deletions, replacements. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}

/** The key that someone who wrote `key` may have meant: within a third of its length in edits. */
export const nearestKey = (scope: Scope, key: string): string | undefined => {
  let best: string | undefined
  let least = Math.floor(key.length / 3) + 1
  for (const name of (scope === "topic" ? topicConfigDefs : brokerConfigDefs).keys()) {
    if (Math.abs(name.length - key.length) >= least) continue
    const edits = distance(key, name)
    if (edits < least) {
      least = edits
      best = name
    }
  }
  return best
}
