/** A short life of a cluster, with clients and every kind of fault: what tests of determinism compare. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { BrokerStartError } from "../../core/broker/Broker.ts"
import * as Admin from "../../core/client/Admin.ts"
import type { ClientError } from "../../core/client/ClientError.ts"
import * as Consumer from "../../core/client/Consumer.ts"
import * as Producer from "../../core/client/Producer.ts"
import type { NotReached, SimCluster, SimClusterOptions } from "../../core/testing/SimCluster.ts"
import type { ProcessKilled } from "../../core/testing/SimProcess.ts"

const utf8 = new TextEncoder()
const text = new TextDecoder()

/** Times that are short for a cluster, so that a death is noticed soon. */
export const STORY_CONFIGS: SimClusterOptions["configs"] = {
  "replica.lag.time.max.ms": "3000",
  "broker.session.timeout.ms": "2000",
  "replica.socket.timeout.ms": "2000",
  "group.min.session.timeout.ms": "1000"
}

const CLIENT_TIMES = { "request.timeout.ms": 2000, "metadata.max.age.ms": 5000 }

export const createTopic = (cluster: SimCluster, name: string, partitions = 1): Effect.Effect<void, ClientError | ProcessKilled> =>
  cluster.client("admin").run(Effect.gen(function*() {
    const admin = yield* Admin.make({ "bootstrap.servers": cluster.bootstrap, ...CLIENT_TIMES })
    yield* admin.createTopics([{ name, partitions, replicationFactor: 3 }])
  }))

/** Sends the values 0 to count - 1, each when the one before is acknowledged. */
export const produce = (
  cluster: SimCluster,
  topic: string,
  count: number,
  compression: "none" | "gzip" = "none"
): Effect.Effect<void, ClientError | ProcessKilled> =>
  cluster.client("producer").run(Effect.gen(function*() {
    const producer = yield* Producer.make({
      "bootstrap.servers": cluster.bootstrap,
      acks: "all",
      "compression.type": compression,
      ...CLIENT_TIMES
    })
    for (let i = 0; i < count; i++) yield* producer.send({ topic, value: utf8.encode(String(i)) })
  }))

export interface Seen {
  readonly partition: number
  readonly offset: number
  readonly value: string
}

/** The first `count` values that a group gets, in the order of partitions and offsets. */
export const consume = (
  cluster: SimCluster,
  topic: string,
  count: number
): Effect.Effect<ReadonlyArray<Seen>, ClientError | ProcessKilled> =>
  cluster.client("consumer").run(Effect.gen(function*() {
    const consumer = yield* Consumer.make({
      "bootstrap.servers": cluster.bootstrap,
      "group.id": "g",
      "auto.offset.reset": "earliest",
      ...CLIENT_TIMES
    })
    yield* consumer.subscribe({ topics: [topic] })
    const seen: Array<Seen> = []
    while (seen.length < count) {
      for (const { partition, records } of yield* consumer.poll({ timeoutMs: 1000 })) {
        for (const { offset, value } of records) seen.push({ partition, offset, value: text.decode(value!) })
      }
    }
    return seen.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  }))

/** Every replica of a topic is in the ISR. */
export const isWhole = (cluster: SimCluster, topic: string): boolean =>
  cluster.image().topicsByName.get(topic)?.partitions.every(({ isr, replicas }) => isr.length === replicas.length) ?? false

/** Something goes wrong, as the seed has it. */
const harm = (cluster: SimCluster) =>
  Effect.gen(function*() {
    const { dice } = cluster.sim
    const broker = cluster.broker(dice.int(1, 3))
    const other = cluster.broker(dice.int(1, 3))
    const { network, store } = cluster
    switch (dice.pick(["kill", "power", "stop", "pause", "cut", "one way", "slow", "reset", "lose", "store", "stale", "session", "answers", "syncs", "clock"] as const)) {
      case "kill":
        return broker.kill()
      case "power":
        return broker.powerOff()
      case "stop":
        return yield* broker.stop
      case "pause":
        return broker.pause()
      case "cut":
        return network.isolate([broker.host])
      case "one way":
        return network.blockOneWay([broker.host], [other.host])
      case "slow":
        return network.change(broker.host, other.host, { minDelayMs: 50, maxDelayMs: 500, loss: 0.1, bytesPerMs: 50 })
      case "reset":
        return void network.reset(broker.host, other.host)
      case "lose":
        return void network.lose(broker.host, other.host)
      case "store":
        return store.change(broker.host, { isUnreachable: true })
      case "stale":
        return store.change(broker.host, { watchLagMs: dice.int(1, 3000) })
      case "session":
        return void store.loseSessions(broker.host)
      case "answers":
        return store.change(broker.host, { refuses: 0.2, losesAnswers: 0.2 })
      case "syncs":
        broker.syncMs = 100
        return
      case "clock":
        broker.skewMs = dice.int(-3_000_000, 3_000_000)
    }
  })

/** Ends well: all that was produced was read, whatever happened between. Its value are the records. */
export const story = (
  cluster: SimCluster
): Effect.Effect<ReadonlyArray<string>, ClientError | BrokerStartError | ProcessKilled | NotReached> =>
  Effect.gen(function*() {
    yield* cluster.startAll
    yield* createTopic(cluster, "t", 2)
    const producing = yield* Effect.forkChild(produce(cluster, "t", 30, "gzip"))
    for (let i = 0; i < 6; i++) {
      yield* Effect.sleep(cluster.sim.dice.int(0, 1500))
      yield* harm(cluster)
      yield* Effect.sleep(cluster.sim.dice.int(0, 1500))
      cluster.heal()
      for (const broker of cluster.brokers.values()) {
        if (broker.state === "down") yield* Effect.forkChild(Effect.ignore(broker.start()))
      }
    }
    yield* cluster.until("all serve", () => cluster.running().length === 3)
    yield* Fiber.join(producing)
    const seen = yield* consume(cluster, "t", 30)
    yield* cluster.until("every replica is in the ISR", () => isWhole(cluster, "t"))
    return seen.map(({ offset, partition, value }) => `${partition}/${offset} ${value}`)
  })
