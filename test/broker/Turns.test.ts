/** Turns within turns: an answer makes room on another connection, whose requests are handled in the middle of the first. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { AppendTurn } from "../../core/broker/AppendTurn.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { DiskError } from "../../core/ports/Disk.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { Partition } from "../../core/replication/Partition.ts"
import * as Apis from "./Apis.ts"
import { batchOf, makeWorld, startBroker, valuesOf } from "./TestBroker.ts"

/** Lets everything that can happen without time passing happen. */
const settle = TestClock.adjust(0).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 50 }))

/** A broker that handles one request of a connection at a time, and two clients. */
const start = Effect.gen(function*() {
  const { broker, connect } = yield* startBroker(yield* makeWorld(), {}, { maxInFlightRequests: 1 })
  const [client, other] = [yield* connect, yield* connect]
  yield* client.createTopic("t", 2)
  const partition = (index: number): Partition => broker.services.partitions.get("t", index)!
  return { broker, client, other, partition }
})

/** Leases of a log that nobody has ended. */
const countLeases = (log: PartitionLog): () => number => {
  let count = 0
  const read = log.read.bind(log)
  log.read = (offset, options) => {
    const result = read(offset, options)
    if (result._tag !== "Read" || result.slice === undefined) return result
    const { file, length, position } = result.slice
    const release = result.slice.release.bind(result.slice)
    count++
    return { ...result, slice: { file, length, position, release: () => (count--, release()) } }
  }
  return () => count
}

describe("A turn within a turn", () => {
  it.effect("answers a long poll once when its answer lets a produce to the same partition in", () =>
    Effect.gen(function*() {
      const { broker, client, other, partition } = yield* start
      const leases = countLeases(partition(0).log)
      const poll = yield* Effect.forkChild(
        other.fetchOne("t", { maxWaitMs: 10_000, sessionId: 0, sessionEpoch: 0 }),
        { startImmediately: true }
      )
      yield* settle
      // Behind the long poll: handled when that is answered.
      const behind = yield* Effect.forkChild(other.produce("t", ["b"]), { startImmediately: true })
      yield* settle
      expect(yield* client.produce("t", ["a"])).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 0 })
      expect(valuesOf((yield* Fiber.join(poll)).records)).toEqual(["a"])
      expect(yield* Fiber.join(behind)).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 1 })
      yield* settle
      expect(leases()).toBe(0)
      expect(broker.services.fetchSessions.size).toBe(1)
      expect(broker.services.partitions.purgatory.size).toBe(0)
    }))

  it.effect("answers after its own write, also where the turn around it has staged before it", () =>
    Effect.gen(function*() {
      const { client, other } = yield* start
      const poll = yield* Effect.forkChild(other.fetchOne("t", { maxWaitMs: 10_000 }), { startImmediately: true })
      yield* settle
      const behind = yield* Effect.forkChild(
        other.produce("t", ["b"], { partition: 1, timeoutMs: 0 }),
        { startImmediately: true }
      )
      yield* settle
      yield* client.rpc.call(Apis.produceApi, {
        transactionalId: null,
        acks: -1,
        timeoutMs: 1000,
        topicData: [{ name: "t", partitionData: [0, 1].map((index) => ({ index, records: batchOf(["a"]) })) }]
      }, { version: 12 })
      expect(valuesOf((yield* Fiber.join(poll)).records)).toEqual(["a"])
      expect(yield* Fiber.join(behind)).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 1 })
      expect(yield* client.readAll("t", 1)).toEqual(["a", "b"])
    }))

  it("writes every partition and tells everyone, whatever one of them throws", () => {
    const turn = new AppendTurn()
    const seen: Array<string> = []
    const fake = (name: string, commit: () => void): Partition =>
      ({ stagedCount: 1, commitStaged: () => (seen.push(name), commit()) }) as unknown as Partition
    turn.touch(fake("first", () => {
      throw new Error("broken")
    }))
    turn.touch(fake("second", () => {}))
    turn.await({ written: () => void seen.push("written") })
    expect(() => turn.commit()).toThrow("broken")
    expect(seen).toEqual(["first", "second", "written"])
    expect(turn.isEmpty).toBe(true)
  })
})

describe("A disk that fails to give the aborted transactions", () => {
  it.effect("is the reader's error, not the connection's, and no lease stays", () =>
    Effect.gen(function*() {
      const { client, other, partition } = yield* start
      const { log } = partition(0)
      const leases = countLeases(log)
      log.abortedTransactions = () => {
        throw new DiskError("Io", "read", "/data/t-0/0.txnindex", "broken")
      }
      const poll = yield* Effect.forkChild(
        other.fetchOne("t", { maxWaitMs: 10_000, isolationLevel: 1 }),
        { startImmediately: true }
      )
      yield* settle
      expect((yield* client.produce("t", ["a"])).errorCode).toBe(ErrorCode.NONE)
      expect((yield* Fiber.join(poll)).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      expect((yield* client.fetchOne("t", { isolationLevel: 1 })).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      yield* settle
      expect(leases()).toBe(0)
    }))
})
