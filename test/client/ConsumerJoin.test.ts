/** A member that waits in JoinGroup while its coordinator's machine loses its power: nobody tells it, its connection just is silent. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Consumer from "../../core/client/Consumer.ts"
import { type SimCluster, simulate } from "../../core/testing/SimCluster.ts"
import { createTopics } from "../../core/testing/SimulationClients.ts"

const SESSION_TIMEOUT_MS = 6000
/** A first member waits so long for others. */
const JOIN_MS = 4000
const BROKER_SESSION_MS = 2000
const COORDINATED = "__consumer_offsets"

const coordinatorOf = (cluster: SimCluster): number | undefined => {
  const leader = cluster.image().topicsByName.get(COORDINATED)?.partitions[0]?.leader
  return leader === undefined || leader < 0 ? undefined : leader
}

/** The coordinator of a member that joins loses its power. @returns virtual ms from then until the member has its partition */
const joinThroughPowerLoss = async (seed: number, brokers: number, downMs: number, groupInstanceId?: string): Promise<number> => {
  const { value } = await simulate({
    seed,
    brokers,
    maxSteps: 500_000,
    configs: {
      "broker.session.timeout.ms": String(BROKER_SESSION_MS),
      "group.initial.rebalance.delay.ms": String(JOIN_MS),
      "offsets.topic.num.partitions": "1",
      ...(brokers < 3 ? { "min.insync.replicas": "1", "offsets.topic.replication.factor": String(brokers) } : {})
    }
  }, (cluster) =>
    Effect.gen(function*() {
      yield* cluster.startAll
      yield* createTopics(cluster, cluster.client("admin"), [{ name: "t", partitions: 1, replicationFactor: brokers }])
      return yield* cluster.client("member").run(Effect.gen(function*() {
        const consumer = yield* Consumer.make({
          "bootstrap.servers": cluster.bootstrap,
          "group.id": "g",
          "session.timeout.ms": SESSION_TIMEOUT_MS,
          "request.timeout.ms": 2000,
          ...(groupInstanceId === undefined ? {} : { "group.instance.id": groupInstanceId })
        })
        yield* consumer.subscribe({ topics: ["t"] })
        while (coordinatorOf(cluster) === undefined) yield* consumer.poll({ timeoutMs: 10 })
        yield* consumer.poll({ timeoutMs: JOIN_MS / 2 })
        // It joins and has no generation yet; a static member has not even an id.
        expect(consumer.groupMetadata()).toMatchObject({ generationId: -1 })
        if (groupInstanceId === undefined) expect(consumer.groupMetadata()!.memberId).not.toBe("")

        const coordinator = cluster.broker(coordinatorOf(cluster)!)
        const lostMs = cluster.sim.elapsedMs
        coordinator.powerOff()
        yield* Effect.forkChild(Effect.andThen(Effect.sleep(downMs), Effect.orDie(coordinator.start())))
        while (consumer.assignment().length === 0 && cluster.sim.elapsedMs < lostMs + 300_000) yield* consumer.poll({ timeoutMs: 100 })
        expect(consumer.assignment()).toEqual([{ topic: "t", partition: 0 }])
        return cluster.sim.elapsedMs - lostMs
      }))
    }))
  return value
}

describe("A member whose coordinator loses its power while it joins", () => {
  /** It looks once per session, and then joins; what is left is for elections, and for a broker that starts. */
  const LIMIT_MS = 2 * SESSION_TIMEOUT_MS + JOIN_MS + BROKER_SESSION_MS + 2000

  it("joins at the one that coordinates its group then", async () => {
    for (let seed = 1; seed <= 5; seed++) expect(await joinThroughPowerLoss(seed, 3, 60_000)).toBeLessThan(LIMIT_MS)
  })

  it("joins at the same one when it is back", async () => {
    for (let seed = 1; seed <= 5; seed++) expect(await joinThroughPowerLoss(seed, 1, 500)).toBeLessThan(LIMIT_MS)
  })

  it("joins as a static member, which waits without an id", async () => {
    for (const brokers of [1, 3]) expect(await joinThroughPowerLoss(6, brokers, 500, "here")).toBeLessThan(LIMIT_MS)
  })
})
