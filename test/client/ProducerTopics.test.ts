/** A topic stays in a producer's metadata as long as something is sent to it, and comes back when something is. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Admin from "../../core/client/Admin.ts"
import * as Producer from "../../core/client/Producer.ts"
import { simulate } from "../../core/testing/SimCluster.ts"

const value = new Uint8Array([1])

/** Sends with these pauses before each record, in virtual ms; gives how long each took. */
const sendAfter = (seed: number, pausesMs: ReadonlyArray<number>) =>
  simulate({ seed, brokers: 1, configs: { "min.insync.replicas": "1", "offsets.topic.replication.factor": "1" } }, (cluster) =>
    Effect.gen(function*() {
      yield* cluster.startAll
      return yield* cluster.client("producer").run(Effect.gen(function*() {
        const servers = { "bootstrap.servers": cluster.bootstrap }
        yield* Effect.scoped(Effect.flatMap(Admin.make(servers), (admin) =>
          admin.createTopics([{ name: "t", partitions: 1, replicationFactor: 1 }])))
        const producer = yield* Producer.make({ ...servers, "metadata.max.age.ms": 60_000 })
        const tookMs: Array<number> = []
        for (const pauseMs of pausesMs) {
          yield* Effect.sleep(pauseMs)
          const beginMs = cluster.sim.nowMs
          const { offset } = yield* producer.send({ topic: "t", value })
          expect(offset).toBe(tookMs.length)
          tookMs.push(cluster.sim.nowMs - beginMs)
        }
        return tookMs
      }))
    }))

describe("A producer's topic", () => {
  it("is not forgotten while records are sent to it, for however long", async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const { value: tookMs } = await sendAfter(seed, Array.from({ length: 90 }, () => 10_000))
      expect(Math.max(...tookMs)).toBeLessThan(1000)
    }
  })

  it("that was forgotten while nothing was sent is asked for again", async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const { value: tookMs } = await sendAfter(seed, [0, 900_000, 290_000, 900_000])
      expect(Math.max(...tookMs)).toBeLessThan(1000)
    }
  })
})
