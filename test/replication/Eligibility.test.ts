/** Whom a leader asks the controller to let into the ISR. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { Controller } from "../../core/cluster/Controller.ts"
import { liveKey } from "../../core/cluster/Keys.ts"
import { MetadataStore } from "../../core/ports/MetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { settle, startCluster, until, withTime } from "./TestCluster.ts"

describe("A follower that is about to stop", () => {
  it.effect("fetches on, and is not asked into the ISR that it left (KIP-841)", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const [running] = cluster.running.values()
      const { errorCode } = yield* withTime((yield* running!.connect).createTopic("t", 1, {}, 3))
      expect(errorCode).toBe(ErrorCode.NONE)
      yield* cluster.isrIs("t", [1, 2, 3])
      const [stopping, stays] = cluster.followers("t") as [number, number]
      const { leader } = cluster.partitionImage("t")
      const image = cluster.running.get(leader)!.broker.services.image
      // What a broker says of itself first of all when it is told to stop.
      const { session } = image().brokers.get(stopping)!
      const store = Context.get(cluster.link(stopping).world.context, MetadataStore)
      yield* store.commit([], [
        { _tag: "Put", key: liveKey(stopping), value: JSON.stringify({ session, shuttingDown: true }), session }
      ])
      yield* cluster.isrIs("t", [leader, stays].sort())
      yield* settle

      const controller = cluster.running.get(leader)!.broker.services.controller as { alterPartitions: Controller["alterPartitions"] }
      const { alterPartitions } = controller
      let asked = 0
      controller.alterPartitions = (changes) => Effect.suspend(() => {
        asked++
        return alterPartitions(changes)
      })
      const before = cluster.link(stopping).fetches.length
      yield* until("it fetched on", () => cluster.link(stopping).fetches.length > before + 3)
      yield* TestClock.adjust(1)
      expect(asked).toBe(0)
    }))
})
