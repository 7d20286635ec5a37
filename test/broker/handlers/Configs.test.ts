/** DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: the answers are Apache Kafka 4.3.1's unless a line says otherwise. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { describe, expect, it } from "vitest"
import { BrokerConfig } from "../../../core/broker/config/BrokerConfig.ts"
import type { BrokerServices } from "../../../core/broker/BrokerServices.ts"
import { isEffectReply, type Handler, type ResponseBody } from "../../../core/broker/Handler.ts"
import { makeAlterConfigs } from "../../../core/broker/handlers/AlterConfigs.ts"
import { makeDescribeConfigs } from "../../../core/broker/handlers/DescribeConfigs.ts"
import { makeIncrementalAlterConfigs } from "../../../core/broker/handlers/IncrementalAlterConfigs.ts"
import { makeListConfigResources } from "../../../core/broker/handlers/ListConfigResources.ts"
import { validateTopicConfigs } from "../../../core/cluster/configs/TopicConfigs.ts"
import { brokerConfigOf, topicConfigOf } from "../../../core/cluster/MetadataImage.ts"
import * as MemoryMetadataStore from "../../../core/memory/MemoryMetadataStore.ts"
import { toBytes } from "../../../core/model/Payload.ts"
import { apis } from "../../../core/protocol/Apis.ts"
import { ByteReader } from "../../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../../core/protocol/ByteWriter.ts"
import { makeController, registration } from "../../cluster/support.ts"

const [TOPIC, BROKER, LOGGER, METRICS, GROUP] = [2, 4, 8, 16, 32] as const
const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3] as const

type Change = readonly [name: string, operation: number, value: string | null]
type Outcome = readonly [error: number, message: string | null]

const ask = (handler: Handler, apiVersion: number, request: object): Effect.Effect<any> =>
  Effect.gen(function*() {
    const codec = apis.get(handler.apiKey)
    if (codec === undefined) throw new Error(`no api ${handler.apiKey}`)
    const writer = new ByteWriter()
    codec.encodeRequest(writer, apiVersion, request)
    const connection = { id: "test", listenerName: "PLAINTEXT", securityProtocol: "PLAINTEXT", clientAddress: "127.0.0.1", principal: "User:ANONYMOUS" }
    const reply = handler.handle(
      { connection, apiKey: handler.apiKey, apiVersion, correlationId: 1, clientId: null, monotonicMs: 0 },
      new ByteReader(toBytes(writer.finish()))
    )
    const answer = new ByteWriter()
    ;((isEffectReply(reply) ? yield* reply : reply) as ResponseBody)(answer)
    const reader = new ByteReader(toBytes(answer.finish()))
    const response = codec.decodeResponse(reader, apiVersion)
    expect(reader.remaining).toBe(0)
    return response
  })

interface Node {
  readonly config: BrokerConfig
  readonly services: BrokerServices
  readonly change: (
    resources: ReadonlyArray<readonly [type: number, name: string, changes: ReadonlyArray<Change>]>,
    options?: { readonly validateOnly?: boolean; readonly version?: number }
  ) => Effect.Effect<ReadonlyArray<Outcome>>
  readonly replace: (
    resources: ReadonlyArray<readonly [type: number, name: string, configs: ReadonlyArray<readonly [string, string | null]>]>,
    options?: { readonly validateOnly?: boolean; readonly version?: number }
  ) => Effect.Effect<ReadonlyArray<Outcome>>
  readonly describe: (type: number, name: string, keys?: ReadonlyArray<string>, version?: number) => Effect.Effect<any>
  readonly topic: (name: string) => Record<string, string>
}

const outcomes = ({ responses }: { responses: ReadonlyArray<any> }): ReadonlyArray<Outcome> =>
  responses.map((r) => [r.errorCode, r.errorMessage])
/** 3000 entries of a list of throttled replicas, from partition `from` on. */
const throttled = (from: number): string => Array.from({ length: 3000 }, (_, i) => `${from + i}:1`).join(",")
const entry = (configs: ReadonlyArray<any>, name: string): any => configs.find((c) => c.name === name)
const named = (response: any): ReadonlyArray<string> =>
  response.configResources.map((r: { resourceType: number; resourceName: string }) => `${r.resourceType}:${r.resourceName}`).sort()

/** Broker 1 with topic t1. */
const withNode = (body: (node: Node) => Effect.Effect<unknown, unknown, Scope>): Promise<void> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function*() {
        const config = BrokerConfig.load({ properties: "log.retention.hours=2" })
        if (!(config instanceof BrokerConfig)) throw config
        const controller = yield* makeController(MemoryMetadataStore.make(), {
          numPartitions: () => 1,
          replicationFactor: () => 1,
          topicConfigError: (configs) => validateTopicConfigs(configs, config.texts)[0]?.message,
          brokerConfigError: (configs, broker) => config.dynamicError(configs, broker),
          configListDefault: (type, key) => config.listDefault(type, key)
        })
        yield* controller.registerBroker(registration(1))
        yield* controller.createTopics([{ name: "t1", numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }])
        const follow = (): void => {
          config.applyDynamic(brokerConfigOf(controller.image(), undefined), brokerConfigOf(controller.image(), 1))
        }
        controller.onChange(follow)
        const services = { brokerId: 1, clusterId: "", config, controller, image: controller.image } as unknown as BrokerServices
        yield* body({
          config,
          services,
          topic: (name) => Object.fromEntries(topicConfigOf(controller.image(), name)),
          change: (resources, { validateOnly = false, version = 1 } = {}) =>
            Effect.map(
              ask(makeIncrementalAlterConfigs(services), version, {
                validateOnly,
                resources: resources.map(([resourceType, resourceName, changes]) => ({
                  resourceType,
                  resourceName,
                  configs: changes.map(([name, configOperation, value]) => ({ name, configOperation, value }))
                }))
              }),
              outcomes
            ),
          replace: (resources, { validateOnly = false, version = 2 } = {}) =>
            Effect.map(
              ask(makeAlterConfigs(services), version, {
                validateOnly,
                resources: resources.map(([resourceType, resourceName, configs]) => ({
                  resourceType,
                  resourceName,
                  configs: configs.map(([name, value]) => ({ name, value }))
                }))
              }),
              outcomes
            ),
          describe: (resourceType, resourceName, keys, version = 4) =>
            Effect.map(
              ask(makeDescribeConfigs(services), version, {
                resources: [{ resourceType, resourceName, configurationKeys: keys ?? null }],
                includeSynonyms: true,
                includeDocumentation: version >= 3
              }),
              ({ results }) => results[0]
            )
        })
      })
    ) as Effect.Effect<void>
  )

const OK: Outcome = [0, null]

describe("IncrementalAlterConfigs", () => {
  const refusals: ReadonlyArray<readonly [number, string, ReadonlyArray<Change>, Outcome]> = [
    [BROKER, "2", [["message.max.bytes", SET, "1000"]], [42, "Unexpected broker id, expected 1, but received 2"]],
    [BROKER, "abc", [["message.max.bytes", SET, "1000"]], [42, "Node id must be an integer, but it is: abc"]],
    [BROKER, "-1", [["message.max.bytes", SET, "1000"]], [42, "Unexpected broker id, expected 1, but received -1"]],
    [BROKER, "", [["message.max.bytes", SET, "1000"]], OK],
    [TOPIC, "t1", [["retention.ms", SET, null]], [42, "Null value not supported for : retention.ms"]],
    [BROKER, "1", [["message.max.bytes", SET, null]], [42, "Null value not supported for : message.max.bytes"]],
    [TOPIC, "t1", [["cleanup.policy", APPEND, null]], [42, "Null value not supported for : cleanup.policy"]],
    [TOPIC, "t1", [["retention.ms", DELETE, null]], OK],
    [9, "t1", [["retention.ms", SET, "1"]], [42, "Unknown resource type 9"]],
    [0, "t1", [["retention.ms", SET, "1"]], [42, "Unknown resource type 0"]],
    [LOGGER, "2", [["root", SET, "INFO"]], [42, "Unexpected node id. Expected 1, but received 2"]],
    [LOGGER, "", [["root", SET, "INFO"]], [42, "Node id must be an integer, but it is: "]],
    [LOGGER, "1", [["root", SET, "LOUD"]], [40, "Cannot set the log level of root to LOUD as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"]],
    [LOGGER, "1", [["kafka", SET, "LOUD"]], [40, "Logger kafka does not exist!"]],
    [LOGGER, "1", [["kafka", APPEND, "DEBUG"]], [42, "APPEND operation is not allowed for the BROKER_LOGGER resource"]],
    [LOGGER, "1", [["root", DELETE, null]], [42, "Removing the log level of the root logger is not allowed"]],
    // Kafka sets it
    [LOGGER, "1", [["root", SET, "INFO"]], [42, "The log level is fixed at start: --log-level"]],
    // Kafka has these resources
    [GROUP, "g", [["consumer.session.timeout.ms", SET, "46000"]], [42, "Configurations of groups are not there yet"]],
    [METRICS, "m", [["interval.ms", SET, "100"]], [42, "Configurations of client metrics are not there yet"]],
    [TOPIC, "missing", [["retention.ms", SET, "1"]], [3, "The topic 'missing' does not exist."]],
    [TOPIC, "missing", [["segment.jitter.ms", SET, "-1"]], [40, "Invalid value -1 for configuration segment.jitter.ms: Value must be at least 0"]],
    [TOPIC, "missing", [["retention.ms", APPEND, "1"]], [40, "Can't APPEND to key retention.ms because its type is not LIST."]],
    [TOPIC, "missing", [["cleanup.policy", APPEND, "compact"]], [3, "The topic 'missing' does not exist."]],
    [TOPIC, "t1", [["retention.ms", 9, "1"]], [-1, null]],
    [TOPIC, "missing", [["retention.ms", 9, "1"]], [-1, null]],
    [TOPIC, "t1", [["retention.ms", APPEND, "1"], ["segment.ms", 9, "1"]], [-1, null]],
    [BROKER, "", [["message.max.bytes", 9, "1000"]], [42, "Unknown operations type 9"]],
    [BROKER, "1", [["num.io.threads", APPEND, "1"], ["message.max.bytes", 9, "1000"]], [42, "Unknown operations type 9"]],
    [BROKER, "1", [["num.io.threads", APPEND, "1"]], [40, "Config value append is not allowed for config key: num.io.threads"]],
    [BROKER, "", [["node.id", SUBTRACT, "1"]], [40, "Config value subtract is not allowed for config key: node.id"]],
    [BROKER, "", [["nope", SUBTRACT, "1"]], [40, "Unknown config name: nope"]],
    [TOPIC, "", [["retention.ms", SET, "1"]], [42, "Default topic resources are not allowed."]],
    [TOPIC, "bad name!", [["retention.ms", SET, "1"]], [17, "Topic name is invalid: 'bad name!' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"]],
    [TOPIC, "t1", [["cleanup.policy", APPEND, ""]], [40, "Configuration 'cleanup.policy' values must not be empty."]],
    [TOPIC, "t1", [["cleanup.policy", APPEND, ",compact"]], [40, "Configuration 'cleanup.policy' values must not be empty."]],
    [TOPIC, "t1", [["cleanup.policy", APPEND, "delete,"]], OK],
    [TOPIC, "t1", [["cleanup.policy", APPEND, ","]], OK],
    [TOPIC, "t1", [["leader.replication.throttled.replicas", APPEND, ""]], OK],
    [TOPIC, "t1", [["leader.replication.throttled.replicas", APPEND, ",0:1"]], OK],
    [TOPIC, "t1", [["cleanup.policy", APPEND, "bogus"]], [40, "Invalid value bogus for configuration cleanup.policy: String must be one of: compact, delete"]],
    [TOPIC, "t1", [["cleanup.policy", APPEND, "delete"]], OK],
    [TOPIC, "t1", [["cleanup.policy", APPEND, "compact"], ["cleanup.policy", SUBTRACT, "delete"]], [42, "Error due to duplicate config keys"]],
    [TOPIC, "t1", [["", SET, "x"]], [40, "Unknown topic config name: "]],
    [TOPIC, "t1", [["retention.ms", SET, "x"], ["bogus", SET, "1"]], [40, "Unknown topic config name: bogus"]],
    [TOPIC, "t1", [["retention.ms", APPEND, "1"]], [40, "Can't APPEND to key retention.ms because its type is not LIST."]],
    [TOPIC, "t1", [["nope", APPEND, "1"]], [40, "Can't APPEND to key nope because its type is not LIST."]],
    [TOPIC, "t1", [["nope", DELETE, null]], OK],
    [TOPIC, "t1", [], OK],
    [TOPIC, "t1", [["min.compaction.lag.ms", SET, "10"], ["max.compaction.lag.ms", SET, "5"]], [40, "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"]],
    [TOPIC, "t1", [["remote.storage.enable", SET, "true"]], [40, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."]],
    [BROKER, "1", [["num.partitions", SET, "3"]], [42, "Cannot update these configs dynamically: [num.partitions]"]],
    [BROKER, "", [["log.retention.ms", SET, "0"]], [42, "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"]],
    [BROKER, "", [["log.retention.ms", SET, "-2"]], OK],
    [BROKER, "", [["log.cleaner.dedupe.buffer.size", SET, "1000"]], [42, "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."]],
    [BROKER, "", [["log.cleanup.policy", SET, ""]], OK],
    [BROKER, "", [["log.cleanup.policy", APPEND, "compact"]], OK],
    [BROKER, "", [["num.partitions", DELETE, null]], OK],
    [BROKER, "", [["sasl.jaas.config", SET, "x"]], [42, "Passwords are not kept as dynamic configurations here: sasl.jaas.config"]]
  ]

  it.each(refusals)("%i %j %j is answered %j", (type, name, changes, outcome) =>
    withNode((node) =>
      Effect.gen(function*() {
        for (const version of [0, 1]) {
          expect(yield* node.change([[type, name, changes]], { version, validateOnly: true })).toEqual([outcome])
        }
        expect(node.topic("t1")).toEqual({})
        expect(node.config.layers.dynamicDefault.size).toBe(0)
      })
    ))

  it("refuses a list that grows past what a response can hold", () =>
    withNode((node) =>
      Effect.gen(function*() {
        const append = (from: number) => node.change([[TOPIC, "t1", [["leader.replication.throttled.replicas", APPEND, throttled(from)]]]])
        expect(yield* append(10_000)).toEqual([OK])
        expect(yield* append(20_000)).toEqual([
          [40, "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes."]
        ])
        expect((yield* node.describe(TOPIC, "t1", undefined, 1)).configs.length).toBe(33)
      })
    ))

  it("answers in the order of the request, and refuses a resource that comes twice each time", () =>
    withNode((node) =>
      Effect.gen(function*() {
        const twice = "Each resource must appear at most once."
        expect(
          yield* node.change([
            [TOPIC, "t1", [["retention.ms", SET, "1"]]],
            [BROKER, "", [["message.max.bytes", SET, "1000"]]],
            [TOPIC, "t1", [["retention.ms", SET, "1000"]]],
            [TOPIC, "missing", []]
          ])
        ).toEqual([[42, twice], OK, [42, twice], [3, "The topic 'missing' does not exist."]])
        expect(node.topic("t1")).toEqual({})
        expect(node.config.number("message.max.bytes")).toBe(1000)
        expect(yield* node.change([])).toEqual([])
        // an operation that no one knows fails what goes to Kafka's controller together
        expect(
          yield* node.change([
            [TOPIC, "t1", [["retention.ms", 9, "1"]]],
            [TOPIC, "missing", []],
            [BROKER, "2", []],
            [BROKER, "", [["message.max.bytes", SET, "2000"]]]
          ])
        ).toEqual([[-1, null], [-1, null], [42, "Unexpected broker id, expected 1, but received 2"], [-1, null]])
        expect(node.config.number("message.max.bytes")).toBe(1000)
      })
    ))

  it("changes a topic: set, append to the effective list, subtract, delete", () =>
    withNode((node) =>
      Effect.gen(function*() {
        yield* node.change([[TOPIC, "t1", [["retention.ms", SET, "3000"], ["cleanup.policy", APPEND, "compact"]]]])
        expect(node.topic("t1")).toEqual({ "retention.ms": "3000", "cleanup.policy": "delete,compact" })
        yield* node.change([[TOPIC, "t1", [["cleanup.policy", APPEND, "compact,delete"]]]])
        expect(node.topic("t1")["cleanup.policy"]).toBe("delete,compact")
        yield* node.change([[TOPIC, "t1", [["cleanup.policy", SUBTRACT, "delete,foo"], ["retention.ms", DELETE, ""]]]])
        expect(node.topic("t1")).toEqual({ "cleanup.policy": "compact" })
      })
    ))

  it("changes nothing when one of several changes is wrong, or when it shall only validate", () =>
    withNode((node) =>
      Effect.gen(function*() {
        yield* node.change([[TOPIC, "t1", [["retention.ms", SET, "3000"], ["segment.ms", SET, "0"]]]])
        yield* node.change([[TOPIC, "t1", [["retention.ms", SET, "3000"]]]], { validateOnly: true })
        expect(node.topic("t1")).toEqual({})
      })
    ))

  it("changes this broker over the cluster's default, at once, and back", () =>
    withNode((node) =>
      Effect.gen(function*() {
        const bytes = (): number => node.config.number("message.max.bytes")
        yield* node.change([[BROKER, "", [["message.max.bytes", SET, "1000"]]]])
        expect(bytes()).toBe(1000)
        yield* node.change([[BROKER, "1", [["message.max.bytes", SET, "2000"]]]])
        expect(bytes()).toBe(2000)
        yield* node.change([[BROKER, "1", [["message.max.bytes", DELETE, null]]], [BROKER, "", [["message.max.bytes", DELETE, null]]]])
        expect(bytes()).toBe(1_048_588)
      })
    ))
})

describe("AlterConfigs", () => {
  it.each([
    [TOPIC, "t1", [["retention.ms", "1"]], OK],
    [TOPIC, "t1", [["retention.ms", null]], [42, "Null value not supported for : retention.ms"]],
    [TOPIC, "t1", [["retention.ms", "x"]], [40, "Invalid value x for configuration retention.ms: Not a number of type LONG"]],
    [TOPIC, "missing", [["retention.ms", "1"]], [3, "The topic 'missing' does not exist."]],
    [TOPIC, "missing", [["retention.ms", "x"]], [40, "Invalid value x for configuration retention.ms: Not a number of type LONG"]],
    [TOPIC, "t1", [["retention.ms", "1"], ["retention.ms", "2"]], [42, "Error due to duplicate config keys"]],
    [BROKER, "2", [["message.max.bytes", "1000"]], [42, "Unexpected broker id, expected 1, but received 2"]],
    [BROKER, "1", [["num.partitions", "1000"]], [42, "Cannot update these configs dynamically: [num.partitions]"]],
    [LOGGER, "1", [["root", "INFO"]], [42, "Unknown resource type 8"]],
    [9, "1", [["root", "INFO"]], [42, "Unknown resource type 9"]],
    [TOPIC, "t1", [["bogus", "INFO"]], [40, "Unknown topic config name: bogus"]]
  ] as ReadonlyArray<readonly [number, string, ReadonlyArray<readonly [string, string | null]>, Outcome]>)(
    "%i %j %j is answered %j",
    (type, name, configs, outcome) =>
      withNode((node) =>
        Effect.gen(function*() {
          for (const version of [0, 1, 2]) {
            expect(yield* node.replace([[type, name, configs]], { version, validateOnly: true })).toEqual([outcome])
          }
          expect(node.topic("t1")).toEqual({})
        })
      )
  )

  it("replaces what there was: keys that are left out go back to their defaults", () =>
    withNode((node) =>
      Effect.gen(function*() {
        yield* node.replace([[TOPIC, "t1", [["retention.ms", "1"], ["segment.ms", "2"]]]])
        expect(node.topic("t1")).toEqual({ "retention.ms": "1", "segment.ms": "2" })
        yield* node.replace([[TOPIC, "t1", [["segment.ms", "3"]]]])
        expect(node.topic("t1")).toEqual({ "segment.ms": "3" })
        yield* node.replace([[TOPIC, "t1", []]])
        expect(node.topic("t1")).toEqual({})
        expect(yield* node.replace([])).toEqual([])
      })
    ))
})

describe("DescribeConfigs", () => {
  it.each([
    [TOPIC, "missing", 3, ""],
    [TOPIC, "", 17, "Topic name is invalid: the empty string is not allowed"],
    [BROKER, "2", 42, "Unexpected broker id, expected 1 or empty string, but received 2"],
    [BROKER, "abc", 42, "Broker id must be an integer, but it is: abc"],
    [LOGGER, "2", 42, "Unexpected broker id, expected 1 but received 2"],
    [LOGGER, "", 42, "Broker id must not be empty"],
    [LOGGER, "abc", 42, "Broker id must be an integer, but it is: abc"],
    [LOGGER, "1", 0, ""],
    [BROKER, "", 0, ""],
    // Kafka blames the client at more length
    [9, "x", 42, "Unknown resource type 9"]
  ])("%i %j is answered %i %j, without entries", (type, name, errorCode, errorMessage) =>
    withNode((node) =>
      Effect.gen(function*() {
        for (const version of [1, 2, 3, 4]) {
          expect(yield* node.describe(type, name, undefined, version)).toMatchObject({ errorCode, errorMessage, configs: [] })
        }
      })
    ))

  it("tells a topic's values and where they come from, in all versions", () =>
    withNode((node) =>
      Effect.gen(function*() {
        yield* node.change([
          [TOPIC, "t1", [["segment.bytes", SET, "1048576"], ["flush.ms", SET, "9223372036854775807"]]],
          [BROKER, "", [["message.max.bytes", SET, "1000"]]]
        ])
        for (const version of [1, 2, 3, 4]) {
          const { configs } = yield* node.describe(TOPIC, "t1", undefined, version)
          expect(configs.length).toBe(33)
          expect(entry(configs, "segment.bytes")).toMatchObject({ value: "1048576", configSource: 1, readOnly: false, isSensitive: false })
          expect(entry(configs, "flush.ms").value).toBe("9223372036854775807")
          expect(entry(configs, "max.message.bytes")).toMatchObject({ value: "1000", configSource: 3 })
          expect(entry(configs, "retention.ms").value).toBe("7200000")
          expect(entry(configs, "max.message.bytes").synonyms).toMatchObject([
            { name: "message.max.bytes", value: "1000", source: 3 },
            { name: "message.max.bytes", value: "1048588", source: 5 }
          ])
          if (version >= 3) expect(entry(configs, "segment.bytes")).toMatchObject({ configType: 3, documentation: expect.stringMatching(/./) })
        }
        const some = yield* node.describe(TOPIC, "t1", ["segment.bytes", "nope"])
        expect(some.configs.map((c: { name: string }) => c.name)).toEqual(["segment.bytes"])
      })
    ))

  it("tells a broker's own, and what is set for all brokers", () =>
    withNode((node) =>
      Effect.gen(function*() {
        yield* node.change([[BROKER, "", [["message.max.bytes", SET, "1000"]]], [BROKER, "1", [["log.retention.ms", SET, "5"]]]])
        const { configs } = yield* node.describe(BROKER, "1")
        expect(configs.length).toBe(340)
        expect(configs.find((c: { name: string }) => c.name === "log.retention.ms")).toMatchObject({ value: "5", configSource: 2 })
        expect(configs.find((c: { name: string }) => c.name === "log.retention.hours")).toMatchObject({ value: "2", configSource: 4, readOnly: true })
        expect((yield* node.describe(BROKER, "")).configs).toMatchObject([
          { name: "message.max.bytes", value: "1000", configSource: 3 },
          // Since the cluster's first start.
          { name: "min.insync.replicas", value: "1", configSource: 3 }
        ])
        expect(configs.find((c: { name: string }) => c.name === "min.insync.replicas")).toMatchObject({ value: "1", configSource: 3 })
      })
    ))
})

describe("ListConfigResources", () => {
  it("names topics, brokers and loggers, of the types that are asked for", () =>
    withNode((node) =>
      Effect.gen(function*() {
        const list = (resourceTypes: ReadonlyArray<number>) => ask(makeListConfigResources(node.services), 1, { resourceTypes })
        expect(named(yield* list([]))).toEqual(["2:t1", "4:1", "8:1"])
        expect(named(yield* list([TOPIC]))).toEqual(["2:t1"])
        expect(named(yield* list([BROKER, TOPIC, TOPIC]))).toEqual(["2:t1", "4:1"])
        expect(named(yield* list([METRICS, GROUP]))).toEqual([])
        expect(yield* list([TOPIC, 9])).toMatchObject({ errorCode: 35, configResources: [] })
        expect(yield* ask(makeListConfigResources(node.services), 0, {})).toMatchObject({ errorCode: 0, configResources: [] })
      })
    ))
})
