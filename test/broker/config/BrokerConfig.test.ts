import { describe, expect, it } from "vitest"
import {
  BrokerConfig,
  BrokerConfigError,
  type ConfigSource,
  DEFAULT_LOG_DIRS
} from "../../../core/broker/config/BrokerConfig.ts"

const load = (source: ConfigSource): BrokerConfig => {
  const config = BrokerConfig.load(source)
  if (config instanceof BrokerConfigError) throw config
  return config
}
const problems = (source: ConfigSource): ReadonlyArray<string> => {
  const config = BrokerConfig.load(source)
  return config instanceof BrokerConfigError ? config.problems : []
}
const text = (lines: Record<string, string>): ConfigSource => ({
  properties: Object.entries(lines).map(([k, v]) => `${k}=${v}`).join("\n")
})

/** The keys and values of the config/server.properties that Kafka 4.3 is shipped with. */
const stock: Record<string, string> = {
  "process.roles": "broker,controller",
  "node.id": "1",
  "controller.quorum.bootstrap.servers": "localhost:9093",
  listeners: "PLAINTEXT://:9092,CONTROLLER://:9093",
  "inter.broker.listener.name": "PLAINTEXT",
  "advertised.listeners": "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
  "controller.listener.names": "CONTROLLER",
  "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
  "num.network.threads": "3",
  "num.io.threads": "8",
  "socket.send.buffer.bytes": "102400",
  "socket.receive.buffer.bytes": "102400",
  "socket.request.max.bytes": "104857600",
  "log.dirs": "/tmp/kraft-combined-logs",
  "num.partitions": "1",
  "num.recovery.threads.per.data.dir": "1",
  "offsets.topic.replication.factor": "1",
  "share.coordinator.state.topic.replication.factor": "1",
  "share.coordinator.state.topic.min.isr": "1",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
  "log.retention.hours": "168",
  "log.segment.bytes": "1073741824",
  "log.retention.check.interval.ms": "300000"
}

describe("a broker's configuration", () => {
  it("needs nothing: localhost:9092, node.id 1, ./data", () => {
    const config = load({})
    expect(config.listeners).toEqual([{ name: "PLAINTEXT", host: "", port: 9092, securityProtocol: "PLAINTEXT" }])
    expect(config.advertisedListeners).toEqual([{ name: "PLAINTEXT", host: "localhost", port: 9092, securityProtocol: "PLAINTEXT" }])
    expect(config.nodeId).toBe(1)
    expect(config.logDirs).toEqual([DEFAULT_LOG_DIRS])
    expect(config.rack).toBeNull()
    expect(config.warnings).toEqual([])
    expect(config.number("message.max.bytes")).toBe(1_048_588)
    expect(config.number("offsets.topic.replication.factor")).toBe(1)
    expect(config.value("log.retention.ms")).toBeNull()
  })

  it("loads the server.properties that Kafka 4.3 is shipped with, without its controller listener", () => {
    const config = load(text(stock))
    expect(config.listeners.map((l) => l.name)).toEqual(["PLAINTEXT"])
    expect(config.advertisedListeners).toEqual([{ name: "PLAINTEXT", host: "localhost", port: 9092, securityProtocol: "PLAINTEXT" }])
    expect(config.notes.join()).toContain("CONTROLLER://:9093 is left out")
    expect(config.logDirs).toEqual(["/tmp/kraft-combined-logs"])
  })

  it("prefers an override to the environment, and the environment to the file", () => {
    const source = { properties: "num.partitions=2\nbroker.rack=a\nlog.dir=/x", environment: { KAFKA_NUM_PARTITIONS: "3", KAFKA_BROKER_RACK: "b", PATH: "/bin" } }
    expect(load(source).number("num.partitions")).toBe(3)
    const config = load({ ...source, overrides: [["num.partitions", "4"]] })
    expect(config.number("num.partitions")).toBe(4)
    expect(config.rack).toBe("b")
    expect(config.logDirs).toEqual(["/x"])
  })

  it("prefers log.dirs to log.dir and drops duplicates", () => {
    expect(load({ properties: "log.dir=/x\nlog.dirs=/a, /b,/a" }).logDirs).toEqual(["/a", "/b"])
  })

  it("takes broker.id for node.id, not two that differ", () => {
    expect(load({ properties: "broker.id=7" }).nodeId).toBe(7)
    expect(load({ properties: "broker.id=7\nnode.id=7" }).nodeId).toBe(7)
    expect(problems({ properties: "broker.id=7\nnode.id=8" })[0]).toContain("node.id and broker.id")
    expect(problems({ properties: "node.id=-1" })).toEqual(["Invalid value -1 for configuration node.id: Value must be at least 0"])
  })

  it("names every bad value at once, in Kafka's words", () => {
    expect(problems({ properties: "num.partitions=0\nmessage.max.bytes=abc\nlog.preallocate=yes" })).toEqual([
      "Invalid value 0 for configuration num.partitions: Value must be at least 1",
      "Invalid value abc for configuration message.max.bytes: Not a number of type INT",
      "Invalid value yes for configuration log.preallocate: Expected value to be either true or false"
    ])
  })

  it("warns about unknown keys and names the nearest known one", () => {
    expect(load({ properties: "num.partition=3" }).warnings).toEqual([
      "num.partition is not a broker configuration of Kafka 4.3; did you mean num.partitions?"
    ])
    expect(load({ environment: { KAFKA_NUM_PARTITION: "3", KAFKA_HEAP_OPTS: "-Xmx1G" } }).warnings).toEqual([
      "environment variable KAFKA_NUM_PARTITION is ignored: num.partition is not a broker configuration of Kafka 4.3; did you mean num.partitions?"
    ])
  })

  it("warns once about keys that are set and have no effect, and not when they are at their default", () => {
    expect(load({ properties: "num.io.threads=16\nreplica.fetch.min.bytes=1\nsasl.enabled.mechanisms=PLAIN" }).warnings).toEqual([
      "set but without effect here (docs/config.md says why): num.io.threads, sasl.enabled.mechanisms"
    ])
  })

  it("refuses what must not be ignored, with the reason", () => {
    expect(problems({ properties: "authorizer.class.name=a.B" })[0]).toContain("let everyone in")
    expect(problems({ properties: "remote.log.storage.system.enable=true" })[0]).toContain("no tiered storage")
    expect(problems({ properties: "process.roles=controller" })[0]).toContain("process.roles")
    expect(problems({ properties: "security.inter.broker.protocol=SSL" })[0]).toContain("only PLAINTEXT")
    expect(problems({ properties: "log.roll.ms=0" })).toEqual(["log.roll.ms must be greater than or equal to 1"])
    expect(problems({ properties: "log.cleaner.threads=200" })[0]).toContain("at least 1MB per cleaner thread")
  })
})

describe("listeners", () => {
  it("have names, protocols and advertised addresses", () => {
    const config = load({
      properties: [
        "listeners=PLAINTEXT://127.0.0.1:9092,EXTERNAL://[::1]:19092",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,EXTERNAL:PLAINTEXT",
        "advertised.listeners=PLAINTEXT://inside:9092,external://outside:29092"
      ].join("\n")
    })
    expect(config.listeners[1]).toEqual({ name: "EXTERNAL", host: "::1", port: 19_092, securityProtocol: "PLAINTEXT" })
    expect(config.advertisedListeners[1]).toEqual({ name: "EXTERNAL", host: "outside", port: 29_092, securityProtocol: "PLAINTEXT" })
  })

  it("advertise the port that was taken for port 0", () => {
    const config = load({ overrides: [["listeners", "PLAINTEXT://127.0.0.1:0"]] })
    expect(config.advertised(new Map([["PLAINTEXT", 43_210]]))).toEqual([
      { name: "PLAINTEXT", host: "127.0.0.1", port: 43_210, securityProtocol: "PLAINTEXT" }
    ])
  })

  it("without a host are advertised by the host's name", () => {
    const source = { overrides: [["listeners", "PLAINTEXT://:9092"]] as const }
    expect(load({ ...source, hostName: "me.example" }).advertisedListeners[0]?.host).toBe("me.example")
    expect(load(source).advertisedListeners[0]?.host).toBe("localhost")
    expect(load({ hostName: "me.example" }).advertisedListeners[0]?.host).toBe("localhost")
  })

  it.each([
    ["listeners=PLAINTEXT://:9092,PLAINTEXT://:9093", "listener PLAINTEXT is there twice"],
    ["listeners=PLAINTEXT://:9092,SSL://:9092", "PLAINTEXT://:9092 and SSL://:9092 have the same port"],
    ["listeners=EXTERNAL://:9092", "no security protocol is defined for listener EXTERNAL"],
    ["listeners=PLAINTEXT:9092", '"PLAINTEXT:9092" is not NAME://host:port'],
    ["listeners=PLAINTEXT://:70000", "the port must be 0 to 65535"],
    ["listeners=", "Configuration 'listeners' must not be empty"],
    ["listeners=SSL://:9092", "SSL://:9092 has the security protocol SSL"],
    ["listeners=SASL_PLAINTEXT://:9092", "has the security protocol SASL_PLAINTEXT"],
    ["listeners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER", "there is none for clients"],
    ["listeners=PLAINTEXT://0.0.0.0:9092", "clients cannot connect to 0.0.0.0"],
    ["advertised.listeners=OTHER://a:1\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT", "there is no listener OTHER"],
    ["listener.security.protocol.map=PLAINTEXT:TLS", "there is no security protocol TLS"],
    ["listener.security.protocol.map=PLAINTEXT", "is not NAME:PROTOCOL"]
  ])("refuses %s", (properties, problem) => {
    expect(problems({ properties }).join("\n")).toContain(problem)
  })

  it("may share a port when one is IPv4 and the other IPv6", () => {
    const config = load({
      properties: "listeners=PLAINTEXT://127.0.0.1:9092,SIX://[::1]:9092\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,SIX:PLAINTEXT"
    })
    expect(config.listeners.length).toBe(2)
  })
})

describe("dynamic broker configurations", () => {
  it("are effective at once: this broker's before the cluster's before the file", () => {
    const config = load({ properties: "message.max.bytes=1000\nlog.retention.hours=2" })
    const seen: Array<ReadonlyArray<string>> = []
    const end = config.onChange((changed) => seen.push([...changed].sort()))
    expect(config.number("message.max.bytes")).toBe(1000)
    config.applyDynamic(new Map([["message.max.bytes", "2000"], ["log.retention.ms", "5"]]), new Map())
    expect(config.number("message.max.bytes")).toBe(2000)
    expect(config.number("log.retention.ms")).toBe(5)
    config.applyDynamic(new Map([["message.max.bytes", "2000"]]), new Map([["message.max.bytes", "3000"]]))
    expect(config.number("message.max.bytes")).toBe(3000)
    expect(config.value("log.retention.ms")).toBeNull()
    config.applyDynamic(new Map(), new Map())
    expect(config.number("message.max.bytes")).toBe(1000)
    expect(seen).toEqual([["log.retention.ms", "message.max.bytes"], ["log.retention.ms", "message.max.bytes"], ["message.max.bytes"]])
    end()
    config.applyDynamic(new Map([["message.max.bytes", "2000"]]), new Map())
    expect(seen.length).toBe(3)
  })

  it("that cannot be used are passed over and named", () => {
    const config = load({})
    expect(config.applyDynamic(new Map([["message.max.bytes", "x"], ["num.partitions", "3"], ["own.key", "1"]]), new Map()).length).toBe(2)
    expect(config.number("message.max.bytes")).toBe(1_048_588)
    expect(config.number("num.partitions")).toBe(1)
  })

  it.each([
    ["", { "num.partitions": "3" }, "Cannot update these configs dynamically: [num.partitions]"],
    ["1", { "log.retention.hours": "3" }, "Cannot update these configs dynamically: [log.retention.hours]"],
    ["1", { "message.max.bytes": "abc" }, "Invalid value abc for configuration message.max.bytes: Not a number of type INT"],
    ["1", { "message.max.bytes": "-1" }, "Invalid value -1 for configuration message.max.bytes: Value must be at least 0"],
    ["", { "log.segment.bytes": "100" }, "Invalid value 100 for configuration log.segment.bytes: Value must be at least 1048576"],
    ["", { "log.roll.ms": "0" }, "requirement failed: log.roll.ms must be greater than or equal to 1"],
    ["1", { "leader.replication.throttled.rate": "-5" }, "Invalid value -5 for configuration leader.replication.throttled.rate: Value must be at least 0"],
    ["", { "cordoned.log.dirs": "/a" }, "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]"],
    ["1", { "listeners": "PLAINTEXT://:1" }, "Cannot update these configs dynamically: [listeners]"],
    ["", { "unknown.key": "1" }, undefined],
    ["", { "leader.replication.throttled.rate": "5" }, undefined],
    ["1", { "listeners": "PLAINTEXT://:9092" }, undefined],
    ["", { "max.connections.per.ip.overrides": "127.0.0.1:5" }, undefined]
  ])("of %j: %j is answered as by Kafka", (broker, configs, message) => {
    expect(load({}).dynamicError(new Map(Object.entries(configs) as Array<[string, string]>), broker)).toBe(message)
  })

  it("change thread counts by no more than half or double at a time, as Kafka's", () => {
    const config = load({})
    const error = (key: string, value: string, broker = "1") => config.dynamicError(new Map([[key, value]]), broker)
    const invalid = (why: string) =>
      `Invalid value org.apache.kafka.common.config.ConfigException: ${why} for configuration Invalid dynamic configuration`
    const failed = "Dynamic thread count update validation failed for"
    expect(error("num.io.threads", "4")).toBeUndefined()
    expect(error("num.io.threads", "16")).toBeUndefined()
    expect(error("num.network.threads", "1")).toBeUndefined()
    expect(error("num.io.threads", "3")).toBe(invalid(`${failed} num.io.threads=3, value should be at least half the current value 8`))
    expect(error("num.io.threads", "17", "")).toBe(
      invalid(`${failed} num.io.threads=17, value should not be greater than double the current value 8`)
    )
    expect(error("log.cleaner.threads", "3")).toBe(
      invalid("Log cleaner threads cannot be increased to more than double the current value 1")
    )
    // Kafka divides by it
    expect(error("log.cleaner.threads", "0")).toBe("requirement failed: log.cleaner.threads must be at least 1")
    config.applyDynamic(new Map(), new Map([["num.io.threads", "16"]]))
    expect(error("num.io.threads", "32")).toBeUndefined()
    expect(error("num.io.threads", "2", "")).toBeUndefined()
    expect(error("message.max.bytes", "5", "")).toBeUndefined()
  })
})
