import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import {
  type ConfigEntry,
  type ConfigLayers,
  describeBroker,
  describeBrokerDefault,
  describeTopic
} from "../../../core/cluster/configs/DescribeEntries.ts"

type Row = readonly [name: string, value: string | null, readOnly: 0 | 1, source: number, sensitive: 0 | 1, type: number, synonyms: ReadonlyArray<unknown>]
/** What Apache Kafka 4.3.1 answered for a topic without overrides and for a broker whose file is `staticBroker`. */
const golden = JSON.parse(readFileSync(new URL("described-by-kafka-4.3.1.json", import.meta.url), "utf8")) as {
  readonly topic: ReadonlyArray<Row>
  readonly broker: ReadonlyArray<Row>
}
const map = (values: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(values))

const layers: ConfigLayers = {
  dynamicBroker: map({}),
  // Kafka sets this one by itself where eligible leader replicas are on
  dynamicDefault: map({ "min.insync.replicas": "1" }),
  staticBroker: map({
    "process.roles": "broker,controller",
    "node.id": "1",
    "broker.id": "1",
    "controller.quorum.voters": "1@127.0.0.1:22092",
    listeners: "PLAINTEXT://127.0.0.1:21092,CONTROLLER://127.0.0.1:22092",
    "advertised.listeners": "PLAINTEXT://127.0.0.1:21092",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": "/data",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1"
  })
}
const all = { keys: null, synonyms: true, documentation: false }
const rows = (entries: ReadonlyArray<ConfigEntry>): ReadonlyArray<Row> =>
  entries
    .map((e): Row => [e.name, e.value, e.readOnly ? 1 : 0, e.configSource, e.isSensitive ? 1 : 0, e.configType, e.synonyms.map((s) => [s.name, s.value, s.source])])
    .sort((a, b) => (a[0] < b[0] ? -1 : 1))
const synonymsOf = (entries: ReadonlyArray<ConfigEntry>, name: string): ReadonlyArray<string> =>
  entries.filter((e) => e.name === name).flatMap((e) => e.synonyms).map((s) => `${s.name}=${s.value}:${s.source}`)

const names = (keys: ReadonlyArray<string>): ReadonlyArray<string> =>
  describeTopic(map({}), layers, { ...all, keys }).map((e) => e.name)

describe("what is told of configurations", () => {
  it("of a topic is what Kafka tells, key by key", () => {
    expect(rows(describeTopic(map({}), layers, all))).toEqual(golden.topic)
  })

  it("of a broker is what Kafka tells, key by key", () => {
    expect(rows(describeBroker(layers, all))).toEqual(golden.broker)
  })

  it("names the sources from the topic's override down to the default", () => {
    const dynamic: ConfigLayers = {
      ...layers,
      dynamicBroker: map({ "log.retention.ms": "2000" }),
      dynamicDefault: map({ "log.retention.ms": "1000", "message.max.bytes": "500000" })
    }
    const entries = describeTopic(map({ "retention.ms": "3000", "segment.bytes": " 1048576 " }), dynamic, all)
    expect(synonymsOf(entries, "retention.ms")).toEqual([
      "retention.ms=3000:1",
      "log.retention.ms=2000:2",
      "log.retention.ms=1000:3",
      "log.retention.hours=168:5"
    ])
    expect(synonymsOf(entries, "max.message.bytes")).toEqual(["message.max.bytes=500000:3", "message.max.bytes=1048588:5"])
    expect(entries.find((e) => e.name === "segment.bytes")).toMatchObject({ value: "1048576", configSource: 1 })
    const broker = describeBroker(dynamic, all)
    expect(broker.find((e) => e.name === "log.retention.ms")).toMatchObject({ value: "2000", configSource: 2 })
    expect(broker.find((e) => e.name === "log.retention.hours")).toMatchObject({ value: "168", configSource: 5, readOnly: true })
    expect(synonymsOf(broker, "log.retention.ms")).toEqual(["log.retention.ms=2000:2", "log.retention.ms=1000:3", "log.retention.hours=168:5"])
  })

  it("converts hours to the topic's milliseconds", () => {
    const hours = { ...layers, staticBroker: map({ "log.retention.hours": "2" }) }
    expect(describeTopic(map({}), hours, all).find((e) => e.name === "retention.ms")?.value).toBe("7200000")
  })

  it("keeps every digit of a long", () => {
    const entries = describeTopic(map({ "flush.messages": "9223372036854775806" }), layers, all)
    expect(entries.find((e) => e.name === "flush.messages")?.value).toBe("9223372036854775806")
  })

  it("of the cluster's default is only what is set; of unknown keys not the value", () => {
    const set = { ...layers, dynamicDefault: map({ "message.max.bytes": "1", "own.key": "secret" }) }
    expect(describeBrokerDefault(set, all)).toMatchObject([
      { name: "message.max.bytes", value: "1", configSource: 3, synonyms: [{ name: "message.max.bytes", value: "1", source: 3 }] },
      { name: "own.key", value: null, isSensitive: true, readOnly: true, configType: 0 }
    ])
  })

  it("of a broker has what only dynamic configurations have: quotas, and unknown keys without their values", () => {
    const rate = "follower.replication.throttled.rate"
    const set = { ...layers, dynamicBroker: map({ [rate]: "7", "own.key": "x" }), dynamicDefault: map({ [rate]: "6", "other.key": "y" }) }
    const only = (name: string) => describeBroker(set, { ...all, keys: [name] })
    // As Kafka answers: the default is not told of.
    expect(only(rate)).toEqual([{
      name: rate,
      value: "7",
      readOnly: false,
      configSource: 2,
      isSensitive: false,
      synonyms: [{ name: rate, value: "7", source: 2 }, { name: rate, value: "6", source: 3 }],
      configType: 5,
      documentation: null
    }])
    expect(only("other.key")).toEqual([{
      name: "other.key",
      value: null,
      readOnly: true,
      configSource: 3,
      isSensitive: true,
      synonyms: [{ name: "other.key", value: null, source: 3 }],
      configType: 0,
      documentation: null
    }])
    expect(only("own.key")).toMatchObject([{ value: null, configSource: 2 }])
    expect(only("leader.replication.throttled.rate")).toEqual([])
  })

  it("is cut down to the keys that are asked for; none means all", () => {
    expect(names(["retention.ms", "nope", "cleanup.policy"])).toEqual(["cleanup.policy", "retention.ms"])
    expect(names([]).length).toBe(33)
  })

  it("hides passwords wherever they are set, and leaves synonyms and documentation out unless asked", () => {
    const secret = { ...layers, staticBroker: map({ "ssl.key.password": "hunter2" }) }
    expect(JSON.stringify(describeBroker(secret, { ...all, documentation: true }))).not.toContain("hunter2")
    const plain = describeBroker(secret, { keys: ["log.dirs"], synonyms: false, documentation: false })
    expect(plain).toMatchObject([{ synonyms: [], documentation: null }])
    expect(describeBroker(secret, { keys: ["log.dirs"], synonyms: false, documentation: true })[0]?.documentation).not.toBe("")
  })
})
