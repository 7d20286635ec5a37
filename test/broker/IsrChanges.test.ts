/** ISR changes on their way to the controller. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { IsrChanges } from "../../core/broker/IsrChanges.ts"
import { MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { IDS, startCluster, until, withTime } from "../replication/TestCluster.ts"

const PARTITIONS = 60

describe("ISR changes", () => {
  it.effect("of a broker that comes back share commits", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "replica.lag.time.max.ms": "5000" })
      const client = yield* cluster.running.get(1)!.connect
      expect((yield* withTime(client.createTopic("t", PARTITIONS, {}, 3))).errorCode).toBe(ErrorCode.NONE)
      const partitions = () => cluster.image().topicsByName.get("t")!.partitions
      const far = IDS.find((id) => id !== cluster.image().controllerId)!
      yield* cluster.crash(far)
      yield* until("it is in no ISR", () => partitions().every(({ isr }) => !isr.includes(far)))
      const before = cluster.image().revision
      yield* cluster.start(far)
      yield* until("it is in all ISRs", () => partitions().every(({ isr }) => isr.includes(far)))
      expect(cluster.image().revision - before).toBeLessThan(PARTITIONS / 2)
    }))

  it.effect("are asked for again while the store cannot take them, with the epoch of the present registration", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "replica.lag.time.max.ms": "5000" })
      const client = yield* cluster.running.get(1)!.connect
      yield* withTime(client.createTopic("t", 1, {}, 3))
      const partition = cluster.leading("t")
      const { leaderEpoch, partitionEpoch } = partition.state
      const change = { isr: [1], leaderEpoch, partitionEpoch }
      partition.state.isrInFlight = change
      const asked: Array<{ readonly epoch: number; readonly count: number }> = []
      let epoch = 7
      let isReachable = false
      const fibers = yield* Effect.context<never>()
      const changes = new IsrChanges({
        brokerId: partition.state.brokerId,
        brokerEpoch: () => epoch,
        alterPartitions: (requests) =>
          Effect.suspend(() => {
            asked.push({ epoch: requests[0]!.brokerEpoch, count: requests.length })
            if (asked.length === 1) return Effect.die(new TypeError("a bug"))
            return isReachable
              ? Effect.succeed(requests.map(() => ({ error: ErrorCode.INVALID_UPDATE_VERSION, message: null, topic: undefined })))
              : Effect.fail(new MetadataStoreError("Unavailable", "gone"))
          })
      }, (effect) => void Effect.runForkWith(fibers)(effect))
      changes.want(partition)
      changes.want(partition)
      yield* TestClock.adjust(1120)
      epoch = 8
      isReachable = true
      yield* TestClock.adjust(60)
      expect(asked).toEqual([...asked.slice(0, -1).map(() => ({ epoch: 7, count: 1 })), { epoch: 8, count: 1 }])
      expect(asked.length).toBeGreaterThan(2)
      // Refused: it is wanted no more.
      expect(partition.state.isrInFlight).toBeUndefined()
      const { length } = asked
      yield* TestClock.adjust(1000)
      expect(asked.length).toBe(length)
    }))
})
