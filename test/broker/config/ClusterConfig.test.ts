import { describe, expect, it } from "vitest"
import { BrokerConfigError } from "../../../core/broker/config/BrokerConfig.ts"
import { brokerDirectory, type ClusterConfig, clusterOfBrokerDirectory, idOfBrokerDirectory, loadCluster, MAX_CLUSTER_SIZE } from "../../../core/broker/config/ClusterConfig.ts"
import { showEndpoint } from "../../../core/broker/config/Listeners.ts"

type Overrides = Readonly<Record<string, string>>

const load = (size: number, overrides: Overrides = {}, properties = ""): ClusterConfig => {
  const config = loadCluster({ properties, overrides: Object.entries(overrides), hostName: "box" }, size)
  if (config instanceof BrokerConfigError) throw config
  return config
}

const problems = (size: number, overrides: Overrides = {}): string => {
  const config = loadCluster({ overrides: Object.entries(overrides) }, size)
  return config instanceof BrokerConfigError ? config.problems.join("\n") : "nothing is wrong"
}

describe("the configurations of several brokers", () => {
  it("have ids from 1 on, ports one after the other and directories of their own", () => {
    const config = load(3, { "log.dirs": "/a,/b" })
    expect(config.ids).toEqual([1, 2, 3])
    expect(config.logDirs).toEqual(["/a", "/b"])
    const brokers = config.ids.map((id) => config.broker(id))
    expect(brokers.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3])
    expect(brokers.map(({ listeners }) => listeners.map(showEndpoint).join())).toEqual(["PLAINTEXT://:9092", "PLAINTEXT://:9093", "PLAINTEXT://:9094"])
    expect(brokers.map(({ advertisedListeners: [one] }) => showEndpoint(one!))).toEqual([
      "PLAINTEXT://localhost:9092", "PLAINTEXT://localhost:9093", "PLAINTEXT://localhost:9094"
    ])
    expect(brokers.map(({ logDirs }) => logDirs)).toEqual([1, 2, 3].map((id) => [`/a/broker${id}`, `/b/broker${id}`]))
  })

  it("advertise what the base would, on ports of their own", () => {
    const advertisedBy = (overrides: Overrides): ReadonlyArray<string> => {
      const config = load(2, overrides)
      return config.ids.map((id) => config.broker(id).advertised(new Map([["PLAINTEXT", 7000 + id]])).map(showEndpoint).join())
    }
    expect(advertisedBy({ listeners: "PLAINTEXT://:29092" })).toEqual(["PLAINTEXT://box:29092", "PLAINTEXT://box:29093"])
    expect(advertisedBy({ listeners: "PLAINTEXT://:29092", "advertised.listeners": "PLAINTEXT://proxy:443" })).toEqual([
      "PLAINTEXT://proxy:443", "PLAINTEXT://proxy:444"
    ])
    expect(advertisedBy({ listeners: "PLAINTEXT://127.0.0.1:0" })).toEqual(["PLAINTEXT://127.0.0.1:7001", "PLAINTEXT://127.0.0.1:7002"])
  })

  it("keep the ports that were taken for port 0", () => {
    const config = load(2, { listeners: "PLAINTEXT://127.0.0.1:0" })
    expect(config.broker(2).listeners[0]!.port).toBe(0)
    expect(config.broker(2, new Map([["PLAINTEXT", 31_234]])).listeners[0]!.port).toBe(31_234)
    // a port that was configured is not moved by what was taken
    expect(load(2).broker(2, new Map([["PLAINTEXT", 31_234]])).listeners[0]!.port).toBe(9093)
  })

  it("give internal topics as many replicas as there are brokers, three at most, unless told otherwise", () => {
    const internal = (size: number, overrides: Overrides = {}): ReadonlyArray<number> => {
      const broker = load(size, overrides).broker(1)
      return [broker.number("offsets.topic.replication.factor"), broker.number("transaction.state.log.replication.factor"), broker.number("transaction.state.log.min.isr")]
    }
    expect([1, 2, 3, 5].map((size) => internal(size))).toEqual([[1, 1, 1], [2, 2, 1], [3, 3, 2], [3, 3, 2]])
    expect(internal(3, { "offsets.topic.replication.factor": "2" })).toEqual([2, 3, 2])
    // as in Kafka: what topics have that nobody said anything of
    expect(load(3).broker(1).number("default.replication.factor")).toBe(1)
  })

  it("share the rest, and hold what is altered while one runs by themselves", () => {
    const config = load(2, { "num.partitions": "4" }, "broker.rack=r1\n")
    expect(config.ids.map((id) => [config.broker(id).number("num.partitions"), config.broker(id).rack])).toEqual([[4, "r1"], [4, "r1"]])
    const one = config.broker(1)
    one.applyDynamic(new Map(), new Map([["log.retention.ms", "5"]]))
    expect(one.number("log.retention.ms")).toBe(5)
    expect(config.broker(1).value("log.retention.ms")).toBeNull()
  })

  it("say what several brokers cannot share", () => {
    expect(problems(3, { "node.id": "2" })).toBe("node.id=2 cannot be used for several brokers: their ids are 1 to 3; leave it out")
    expect(problems(3, { "broker.id": "0" })).toContain("node.id=0 cannot be used")
    expect(problems(3, { "node.id": "1" })).toBe("nothing is wrong")
    const two = { "listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT", "inter.broker.listener.name": "A" }
    expect(problems(3, { ...two, listeners: "A://:9092,B://:9094" })).toBe(
      "listeners: A://:9092 and B://:9094 are too close: each takes 3 ports one after the other, one for each broker"
    )
    expect(problems(3, { ...two, listeners: "A://:9095,B://:9092" })).toBe("nothing is wrong")
    expect(problems(3, { listeners: "PLAINTEXT://:65534" })).toContain("do not fit below 65536")
    expect(problems(2, { listeners: "PLAINTEXT://:65534" })).toBe("nothing is wrong")
    for (const size of [0, MAX_CLUSTER_SIZE + 1, 1.5]) expect(problems(size)).toBe(`one process takes 1 to ${MAX_CLUSTER_SIZE} brokers, not ${size}`)
    expect(problems(3, { "num.partitions": "many" })).toContain("num.partitions")
  })

  it("name directories that no partition can have", () => {
    expect(idOfBrokerDirectory(brokerDirectory("/a", 12).slice(3))).toBe(12)
    for (const name of ["broker-1", "broker0", "broker01", "broker", "xbroker1", "broker1.5"]) expect(idOfBrokerDirectory(name), name).toBeUndefined()
    expect(clusterOfBrokerDirectory(brokerDirectory("/a/b", 3))).toBe("/a/b")
    expect(clusterOfBrokerDirectory("/a/broker-3")).toBeUndefined()
  })
})
