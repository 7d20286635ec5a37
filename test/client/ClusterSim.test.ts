/**
 * The Cluster while everything goes wrong: brokers stop and start, fall silent, leaders and coordinators move, connections end, under
 * a scheduler and a clock of one seed. Whatever happens, every operation ends; once it is over, the client finds
 * everything where it is; and it leaves nothing behind.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { type ClientError, errorOfCode } from "../../core/client/ClientError.ts"
import * as Cluster from "../../core/client/Cluster.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { listOffsetsApi } from "../../core/protocol/generated/ListOffsets.ts"
import { hashOf, Sim } from "../../core/testing/Sim.ts"
import { type FakeBrokers, fakeBrokers } from "./FakeBrokers.ts"

const SEEDS = 40
const TOPICS = ["a", "b", "c"]
const NODES = [1, 2, 3]

/** Asks the leader of a topic's only partition; a node that is none says so, as a broker does. */
const askLeader = (cluster: Cluster.Cluster, topic: string): Effect.Effect<number, ClientError> =>
  cluster.retry(Effect.gen(function*() {
    const { leader } = (yield* cluster.topics([topic])).get(topic)!.partitions[0]!
    const answer = yield* cluster.call(leader, "data", listOffsetsApi, {
      replicaId: -1,
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: -1 }] }]
    })
    const { errorCode, offset } = answer.topics[0]!.partitions[0]!
    if (errorCode === ErrorCode.NONE) return Number(offset)
    cluster.invalidate()
    return yield* Effect.fail(errorOfCode(errorCode, `ask ${topic}`))
  }), { timeoutMs: 30_000 })

const answerAsLeader = (brokers: FakeBrokers): void =>
  brokers.on(ApiKey.ListOffsets, ({ body, nodeId }) => {
    const { topics } = body as { readonly topics: ReadonlyArray<{ readonly name: string }> }
    const isLeader = brokers.topics.get(topics[0]!.name)!.leaders[0] === nodeId
    const errorCode = isLeader ? ErrorCode.NONE : ErrorCode.NOT_LEADER_OR_FOLLOWER
    return { topics: [{ name: topics[0]!.name, partitions: [{ partitionIndex: 0, errorCode, offset: isLeader ? nodeId : -1 }] }] }
  })

/** One thing goes wrong, or right again. One broker always runs. */
const fault = (brokers: FakeBrokers, up: Set<number>): Effect.Effect<string, unknown> =>
  Effect.gen(function*() {
    const pick = <A>(from: ReadonlyArray<A>) => Effect.map(Random.nextIntBetween(0, from.length), (index) => from[Math.min(index, from.length - 1)]!)
    const nodeId = yield* pick(NODES)
    const topic = yield* pick(TOPICS)
    switch (yield* pick(["stop", "start", "drop", "mute", "lead", "coordinate", "control"] as const)) {
      case "stop":
        if (up.size === 1 || !up.delete(nodeId)) return "nothing"
        yield* brokers.stop(nodeId)
        return `stop ${nodeId}`
      case "start":
        if (up.has(nodeId)) return "nothing"
        up.add(nodeId)
        // Every other time on another port.
        yield* brokers.start(nodeId, (yield* Random.nextBoolean) ? brokers.port(nodeId) : brokers.port(nodeId) + 10)
        return `start ${nodeId}`
      case "drop":
        brokers.dropConnections(nodeId)
        return `drop ${nodeId}`
      case "mute":
        brokers.mute(nodeId)
        return `mute ${nodeId}`
      case "lead":
        brokers.moveLeader(topic, 0, nodeId)
        return `lead ${topic} ${nodeId}`
      case "coordinate":
        brokers.coordinators.set("group:g", nodeId)
        return `coordinate ${nodeId}`
      case "control":
        brokers.controllerId = nodeId
        return `control ${nodeId}`
    }
  })

const story = (sim: Sim) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const say = (line: string): void => void lines.push(`${sim.nowMs} ${line}`)
    const brokers = yield* fakeBrokers(...NODES)
    answerAsLeader(brokers)
    for (const [index, topic] of TOPICS.entries()) brokers.addTopic(topic, [NODES[index]!])
    brokers.coordinators.set("group:g", 1)
    const up = new Set(NODES)
    const key = { kind: "group", key: "g" } as const

    yield* Effect.scoped(Effect.gen(function*() {
      const cluster = yield* Cluster.make({ "bootstrap.servers": brokers.bootstrap, "request.timeout.ms": 3000 }).pipe(
        Effect.provideContext(brokers.context)
      )
      const asking = yield* Effect.forEach(TOPICS, (topic) =>
        Effect.forkChild(Effect.gen(function*() {
          for (let i = 0; i < 12; i++) {
            const result = yield* Effect.result(askLeader(cluster, topic))
            // What a leader said was true when it said it; what failed failed for a reason that passes.
            if (result._tag === "Failure") expect(result.failure._tag).toBe("RetriableError")
            say(`${topic} ${result._tag === "Success" ? result.success : result.failure.reason}`)
            yield* Effect.sleep((yield* Random.next) * 2000)
          }
        })))
      const finding = yield* Effect.forkChild(Effect.gen(function*() {
        for (let i = 0; i < 12; i++) {
          const result = yield* Effect.result(Effect.timeout(cluster.coordinator(key), 5000))
          say(`coordinator ${result._tag}`)
          cluster.forgetCoordinator(key)
          yield* Effect.sleep((yield* Random.next) * 2000)
        }
      }))
      for (let i = 0; i < 40; i++) {
        say(yield* Effect.orDie(fault(brokers, up)))
        yield* Effect.sleep((yield* Random.next) * 800)
      }

      // All is well again: everything is found where it is, in the time that the backoffs allow.
      for (const nodeId of NODES) if (!up.has(nodeId)) yield* Effect.orDie(brokers.start(nodeId))
      yield* Fiber.awaitAll([...asking, finding])
      const healedMs = yield* Clock.currentTimeMillis
      cluster.forgetCoordinator(key)
      for (const topic of TOPICS) expect(yield* askLeader(cluster, topic)).toBe(brokers.topics.get(topic)!.leaders[0])
      expect(yield* cluster.coordinator(key)).toBe(brokers.coordinators.get("group:g"))
      cluster.invalidate()
      expect(yield* cluster.controller).toBe(brokers.controllerId)
      expect((yield* Clock.currentTimeMillis) - healedMs).toBeLessThan(10_000)
      say("healed")
    }))
    yield* Effect.sleep(1000)
    expect(brokers.network.connections.size).toBe(0)
    return lines
  }).pipe(Effect.scoped, Effect.orDie)

const run = (seed: number) => {
  const sim = new Sim(seed)
  return sim.run(story(sim))
}

describe("Cluster in a storm", () => {
  it("ends every operation, finds everything afterwards and leaves nothing behind, in every interleaving", async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        expect((await run(seed)).at(-1)).toMatch(/healed$/)
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
      }
    }
  })

  it("does the same again with the same seed", async () => {
    for (const seed of [3, 14, 159]) expect(hashOf(await run(seed))).toBe(hashOf(await run(seed)))
  })
})
