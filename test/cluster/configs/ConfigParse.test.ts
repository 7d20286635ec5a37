import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { brokerConfigDefs, dynamicQuotaDefs, topicConfigDefs } from "../../../core/cluster/configs/ConfigDefs.ts"
import { canonicalText, ConfigError, parseConfig } from "../../../core/cluster/configs/ConfigParse.ts"
import { validateTopicConfigs } from "../../../core/cluster/configs/TopicConfigs.ts"

const topic = (name: string, text: string): unknown => {
  const def = topicConfigDefs.get(name)
  if (def === undefined) throw new Error(name)
  const value = parseConfig(def, text)
  return value instanceof ConfigError ? value.message : value
}

const show = (name: string, text: string): string => canonicalText(topicConfigDefs.get(name) as never, text)
const wrong = (overrides: Record<string, string>): ReadonlyArray<string> =>
  validateTopicConfigs(new Map(Object.entries(overrides))).map((e) => e.message)

describe("the definitions", () => {
  it("are Kafka 4.3's 34 topic keys and 360 broker keys", () => {
    expect(topicConfigDefs.size).toBe(34)
    expect(brokerConfigDefs.size).toBe(360)
    expect(dynamicQuotaDefs.size).toBe(3)
  })

  it("have defaults that are legal, and synonyms that exist", () => {
    for (const def of [...topicConfigDefs.values(), ...brokerConfigDefs.values()]) {
      if (def.default !== null) expect([def.name, parseConfig(def, def.default)]).not.toContainEqual(expect.any(ConfigError))
      for (const { name } of def.synonyms) expect(brokerConfigDefs.has(name)).toBe(true)
    }
  })

  it("hide passwords", () => {
    expect([...brokerConfigDefs.values()].filter((def) => def.sensitive).length).toBe(10)
  })
})

describe("a value", () => {
  // left to right: key, text, and what Kafka 4.3.1 answered to it
  it.each([
    ["cleanup.policy", "bogus", "Invalid value bogus for configuration cleanup.policy: String must be one of: compact, delete"],
    ["cleanup.policy", "", []],
    ["cleanup.policy", "delete,delete", ["delete"]],
    ["cleanup.policy", "compact,,delete", "Configuration 'cleanup.policy' values must not be empty."],
    ["cleanup.policy", " compact , delete ", ["compact", "delete"]],
    ["compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"],
    ["compression.gzip.level", "10", "Invalid value 10 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"],
    ["compression.gzip.level", "-1", -1],
    ["compression.lz4.level", "18", "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"],
    ["compression.type", "GZIP", "Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"],
    ["delete.retention.ms", "-1", "Invalid value -1 for configuration delete.retention.ms: Value must be at least 0"],
    ["flush.ms", "9223372036854775808", "Invalid value 9223372036854775808 for configuration flush.ms: Not a number of type LONG"],
    ["flush.ms", "9223372036854775807", Number.MAX_SAFE_INTEGER],
    ["follower.replication.throttled.replicas", "foo", "Invalid value [foo] for configuration follower.replication.throttled.replicas: follower.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."],
    ["follower.replication.throttled.replicas", "*", ["*"]],
    ["follower.replication.throttled.replicas", "0:1,1:2", ["0:1", "1:2"]],
    ["follower.replication.throttled.replicas", "0:1,,1:2,", ["0:1", "", "1:2"]],
    ["follower.replication.throttled.replicas", ",*", ["", "*"]],
    ["follower.replication.throttled.replicas", "*,*", "Invalid value [*, *] for configuration follower.replication.throttled.replicas: follower.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."],
    ["index.interval.bytes", "abc", "Invalid value abc for configuration index.interval.bytes: Not a number of type INT"],
    ["index.interval.bytes", " 5 ", 5],
    ["index.interval.bytes", "+5", 5],
    ["index.interval.bytes", "1e3", "Invalid value 1e3 for configuration index.interval.bytes: Not a number of type INT"],
    ["index.interval.bytes", "", "Invalid value  for configuration index.interval.bytes: Not a number of type INT"],
    ["max.message.bytes", "2147483648", "Invalid value 2147483648 for configuration max.message.bytes: Not a number of type INT"],
    ["min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"],
    ["min.cleanable.dirty.ratio", "NaN", Number.NaN],
    ["min.cleanable.dirty.ratio", "x", "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"],
    ["min.cleanable.dirty.ratio", "1e-1", 0.1],
    ["preallocate", "yes", "Invalid value yes for configuration preallocate: Expected value to be either true or false"],
    ["preallocate", "TRUE", true],
    ["retention.bytes", "-5", -5],
    ["segment.bytes", "1000", "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576"]
  ])("of %s %j is %j, as for Kafka", (name, text, value) => {
    expect(topic(name, text)).toEqual(value)
  })

  it("of a long is shown with all its digits, whatever it is computed with", () => {
    const def = topicConfigDefs.get("flush.ms")
    if (def === undefined) throw new Error()
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 9_223_372_036_854_775_807n }), (n) => {
        expect(canonicalText(def, ` ${n}`)).toBe(n.toString())
        expect(parseConfig(def, n.toString())).toBe(n > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(n))
      }),
      { seed: 3, numRuns: 300 }
    )
  })

  it("is shown in Kafka's spelling", () => {
    expect(show("segment.bytes", " +1048576 ")).toBe("1048576")
    expect(show("preallocate", "TRUE")).toBe("true")
    expect(show("min.cleanable.dirty.ratio", "1e-1")).toBe("0.1")
    expect(show("min.cleanable.dirty.ratio", "1")).toBe("1.0")
    expect(show("cleanup.policy", "compact , delete")).toBe("compact,delete")
  })

  it("parses or is refused with a message, whatever the text, and its spelling reads back as itself", () => {
    const defs = [...topicConfigDefs.values(), ...brokerConfigDefs.values()]
    fc.assert(
      fc.property(fc.constantFrom(...defs), fc.oneof(fc.string(), fc.integer().map(String), fc.double().map(String)), (def, text) => {
        const value = parseConfig(def, text)
        if (value instanceof ConfigError) expect(value.message).not.toBe("")
        else expect(parseConfig(def, canonicalText(def, text))).toEqual(value)
      }),
      { seed: 4, numRuns: 2000 }
    )
  })
})

describe("a topic's overrides", () => {
  it("must have known names, which is said before wrong values are", () => {
    expect(wrong({ "min.insync.replicas": "0", bogus: "1" })[0]).toBe("Unknown topic config name: bogus")
    expect(wrong({ "": "1" })).toEqual(["Unknown topic config name: "])
  })

  it("must not contradict each other", () => {
    expect(wrong({ "min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5" })).toEqual([
      "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"
    ])
    expect(wrong({ "remote.storage.enable": "true" })).toEqual([
      "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    ])
  })

  it("may be anything that Kafka takes", () => {
    expect(wrong({ "retention.ms": "-1", "segment.bytes": "1048576", "internal.segment.bytes": "1", "cleanup.policy": "compact,delete" })).toEqual([])
    expect(wrong({ "local.retention.bytes": "5", "remote.log.copy.disable": "true", "remote.storage.enable": "false" })).toEqual([])
  })
})
