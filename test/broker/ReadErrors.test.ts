/** A disk that takes everything and gives some of it back no more. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { until } from "../replication/TestCluster.ts"
import { makeWorld, type Overrides, startBroker, type TestClient } from "./TestBroker.ts"

const TOPICS = ["t1", "t2", "t3", "t4"]

/** A broker after a restart, which knows no batch's position from when it was appended. */
const startWithRecords = (overrides: Overrides = {}) =>
  Effect.gen(function*() {
    const world = yield* makeWorld()
    const before = yield* startBroker(world, overrides)
    const client = yield* before.connect
    for (const topic of TOPICS) {
      yield* client.createTopic(topic)
      for (const value of ["a", "b"]) yield* client.produce(topic, [value])
    }
    yield* before.stop
    const running = yield* startBroker(world, overrides)
    return { ...running, client: yield* running.connect, disk: world.disk }
  })

/** What reads a log, by its name, and the error that it is answered with. */
const reads: ReadonlyArray<readonly [string, (client: TestClient, topic: string) => Effect.Effect<number, unknown>]> = [
  ["Fetch", (client, topic) => Effect.map(client.fetchOne(topic, { offset: 1 }), ({ errorCode }) => errorCode)],
  ["ListOffsets by time", (client, topic) => Effect.map(client.listOffset(topic, 1), ({ errorCode }) => errorCode)],
  ["ListOffsets by the largest time", (client, topic) => Effect.map(client.listOffset(topic, -3), ({ errorCode }) => errorCode)]
]

describe("A disk that fails a read", () => {
  for (const [name, read] of reads) {
    it.effect(`takes its log directory offline, as one that fails a write does: ${name}`, () =>
      Effect.gen(function*() {
        const { broker, client, disk } = yield* startWithRecords({ "log.dirs": "/a,/b" })
        const of = (directory: string) => TOPICS.filter((topic) => disk.disk.stat(`${directory}/${topic}-0`) !== undefined)
        const [lost, kept] = [of("/a"), of("/b")]
        expect([lost.length, kept.length]).toEqual([2, 2])
        const [first, second] = lost
        disk.failReadsWhen((path) => path.startsWith(`/a/${first}-0/`) && path.endsWith(".log") ? "Io" : undefined)
        expect(yield* read(client, first!)).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
        expect(broker.services.logManager.directories().map(({ isOnline }) => isOnline)).toEqual([false, true])
        // Whoever else is there is not believed either.
        expect((yield* client.fetchOne(second!)).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
        const leaderOf = (topic: string) => broker.services.image().topicsByName.get(topic)!.partitions[0]!.leader
        yield* until("the controller knows", () => lost.every((topic) => leaderOf(topic) === -1))
        for (const topic of kept) expect(yield* client.readAll(topic)).toEqual(["a", "b"])
      }))
  }

  it.effect("ends the broker where it was the last directory", () =>
    Effect.gen(function*() {
      const { broker, client, disk } = yield* startWithRecords()
      disk.failReadsWhen((path) => path.endsWith(".log") ? "Io" : undefined)
      yield* Effect.exit(client.fetchOne("t1", { offset: 1 }))
      expect(yield* broker.halted).toContain("no log directory is left: read /data/t1-0/")
    }))
})
