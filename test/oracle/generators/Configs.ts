/** DescribeConfigs, AlterConfigs, IncrementalAlterConfigs on topics and on the broker. */
import type { Random } from "../Random.ts"
import { type Fields, type Generator, someTopic, someVersion, topicState, type World } from "../World.ts"

/** Each topic key with values: good ones, and ones that Kafka refuses. */
const topicValues: ReadonlyArray<readonly [string, ReadonlyArray<string>, ReadonlyArray<string>]> = [
  ["cleanup.policy", ["delete", "compact", "compact,delete", " delete , compact "], ["none", "delete,other", ""]],
  ["compression.type", ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"], ["none", "GZIP", "brotli"]],
  ["compression.gzip.level", ["1", "9", "-1"], ["0", "10"]],
  ["compression.lz4.level", ["1", "17"], ["0", "18"]],
  ["compression.zstd.level", ["1", "-131072", "22"], ["23", "x"]],
  ["delete.retention.ms", ["0", "86400000"], ["-1"]],
  ["file.delete.delay.ms", ["0", "60000"], ["-1"]],
  ["flush.messages", ["1", "9223372036854775807"], ["0"]],
  ["flush.ms", ["0", "1000"], ["-1"]],
  ["index.interval.bytes", ["0", "4096"], ["-1"]],
  ["max.compaction.lag.ms", ["1", "9223372036854775807"], ["0"]],
  ["max.message.bytes", ["100", "2000", "1048588"], ["-1", "1.5"]],
  ["message.timestamp.after.max.ms", ["3600000", "9223372036854775807"], ["-1"]],
  ["message.timestamp.before.max.ms", ["9223372036854775807", "1000"], ["-5"]],
  ["message.timestamp.type", ["CreateTime", "LogAppendTime"], ["createtime", "Other"]],
  ["min.cleanable.dirty.ratio", ["0", "0.5", "1"], ["1.1", "-0.1", "NaN"]],
  ["min.compaction.lag.ms", ["0", "1000"], ["-1"]],
  ["min.insync.replicas", ["1"], ["0"]],
  ["preallocate", ["false", "TRUE"], ["yes", "1"]],
  ["retention.bytes", ["-1", "1000000"], ["a", "99999999999999999999"]],
  ["retention.ms", ["-1", "604800000"], ["-2"]],
  ["segment.bytes", ["1048576", "1073741824", "10485760"], ["1048575", "2147483648", ""]],
  ["segment.index.bytes", ["1024", "10485760"], ["3"]],
  ["segment.jitter.ms", ["0", "10"], ["-1"]],
  ["segment.ms", ["604800000"], ["0"]],
  ["unclean.leader.election.enable", ["true", "false"], ["maybe"]],
  ["remote.storage.enable", ["false"], ["true"]],
  ["local.retention.ms", ["-2"], ["-3"]],
  ["leader.replication.throttled.replicas", ["", "*", "0:1"], ["0", "a:b"]],
  ["no.such.config", [], ["1"]],
  ["", [], ["1"]]
]

/** A key with a value, refused one time in five. */
export const topicConfig = (random: Random): readonly [string, string | null] => {
  const [name, good, bad] = random.pick(topicValues)
  if (random.chance(3)) return [name, null]
  const values = good.length === 0 || random.chance(20) ? bad : good
  return [name, random.pick(values)]
}

const brokerValues: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
  ["log.cleaner.threads", ["1", "0"]],
  ["message.max.bytes", ["1048588", "-1", "900000"]],
  ["log.retention.bytes", ["-1", "x"]],
  ["log.flush.interval.messages", ["9223372036854775807", "0"]],
  ["log.segment.bytes", ["1073741824", "1"]],
  ["num.io.threads", ["8", "0", "1000"]],
  ["log.dirs", ["/nowhere"]],
  ["node.id", ["2"]],
  ["no.such.broker.config", ["1"]],
  ["compression.type", ["producer", "bad"]],
  ["log.message.timestamp.type", ["CreateTime", "Never"]]
]

const RESOURCES = { topic: 2, broker: 4, brokerLogger: 8, clientMetrics: 16, group: 32 } as const

const someResource = (world: World): readonly [type: number, name: string] =>
  world.random.weighted([
    [12, [RESOURCES.topic, someTopic(world)]],
    [2, [RESOURCES.broker, "1"]],
    [1, [RESOURCES.broker, ""]],
    [1, [RESOURCES.broker, "5"]],
    [1, [RESOURCES.broker, "x"]],
    [1, [0, "unknown"]],
    [1, [99, "none"]]
  ])

const topicKeys = topicValues.map(([name]) => name)

export const describeConfigs: Generator = {
  api: "DescribeConfigs",
  weight: 3,
  make: (world) => {
    const { random } = world
    const [resourceType, resourceName] = someResource(world)
    // of a broker's hundreds of keys, those that are altered here; all of them are compared by the configs' own tests
    const keys = resourceType === RESOURCES.broker
      ? random.weighted([[3, brokerValues.map(([name]) => name).filter((name) => name !== "log.dirs")], [1, ["no.such"]], [1, []]])
      : random.weighted<ReadonlyArray<string> | null>([[3, null], [2, [random.pick(topicKeys), random.pick(topicKeys)]], [1, []]])
    return {
      api: "DescribeConfigs",
      version: someVersion(world, "DescribeConfigs"),
      fields: () => ({
        resources: [{ resourceType, resourceName, configurationKeys: keys }],
        includeSynonyms: resourceName.length % 2 === 0,
        includeDocumentation: false
      })
    }
  }
}

const remember = (world: World, resourceType: number, resourceName: string, change: (configs: Map<string, string>) => void) =>
(answer: Fields, _side: unknown, isJudge: boolean): void => {
  const topic = topicState(world, resourceName)
  const errorCode = (answer["responses"] as ReadonlyArray<Fields>)[0]?.["errorCode"]
  if (isJudge && errorCode === 0 && resourceType === RESOURCES.topic && topic !== undefined) change(topic.configs)
}

export const alterConfigs: Generator = {
  api: "AlterConfigs",
  weight: 1,
  make: (world) => {
    const { random } = world
    const [resourceType, resourceName] = random.weighted([[9, [RESOURCES.topic, someTopic(world)] as const], [1, someResource(world)]])
    const configs = resourceType === RESOURCES.broker ? [] : Array.from({ length: random.int(0, 2) }, () => topicConfig(random))
    const validateOnly = resourceType === RESOURCES.broker || random.chance(20)
    const resource = { resourceType, resourceName, configs: configs.map(([name, value]) => ({ name, value })) }
    return {
      api: "AlterConfigs",
      version: someVersion(world, "AlterConfigs"),
      fields: () => ({ resources: [resource], validateOnly }),
      settle: true,
      learn: remember(world, resourceType, resourceName, (known) => {
        if (validateOnly) return
        known.clear()
        for (const [name, value] of configs) known.set(name, value ?? "")
      })
    }
  }
}

export const incrementalAlterConfigs: Generator = {
  api: "IncrementalAlterConfigs",
  weight: 4,
  make: (world) => {
    const { random } = world
    const [resourceType, resourceName] = someResource(world)
    const onBroker = resourceType === RESOURCES.broker
    const changes = Array.from({ length: random.weighted([[6, 1], [2, 2], [1, 0]]) }, (): Fields => {
      const [name, value] = onBroker
        ? ((key): readonly [string, string | null] => [key[0], random.pick(key[1])])(random.pick(brokerValues))
        : topicConfig(random)
      return { name, value, configOperation: random.weighted([[20, 0], [4, 1], [2, 2], [2, 3]]) }
    })
    // an unknown operation fails in Kafka before or after others, as it happens to look: it comes alone
    if (random.chance(2)) changes.splice(0, Infinity, { name: "retention.ms", value: "1", configOperation: 9 })
    // a broker's configuration is everyone's: it is validated and never changed
    const validateOnly = onBroker || random.chance(15)
    const resource = { resourceType, resourceName, configs: changes }
    const resources = random.weighted([[12, [resource]], [1, [resource, resource]], [1, []]])
    return {
      api: "IncrementalAlterConfigs",
      version: someVersion(world, "IncrementalAlterConfigs"),
      fields: () => ({ resources, validateOnly }),
      settle: true,
      learn: remember(world, resourceType, resourceName, (known) => {
        if (validateOnly) return
        for (const change of changes) {
          if (change["configOperation"] === 0) known.set(change["name"], change["value"] ?? "")
          else if (change["configOperation"] === 1) known.delete(change["name"])
        }
      })
    }
  }
}
