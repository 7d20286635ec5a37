/** Brokers whose disks are full when their part changes: they lead, follow and get logs as soon as there is room. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { bytesOf, IDS, settle, startCluster, type TestCluster, until, withTime } from "./TestCluster.ts"

const create = (cluster: TestCluster, topic: string, partitions = 1, replicas = 3) =>
  Effect.gen(function*() {
    const client = yield* [...cluster.running.values()][0]!.connect
    const { errorCode } = yield* withTime(client.createTopic(topic, partitions, { "min.insync.replicas": "1" }, replicas))
    expect(errorCode).toBe(ErrorCode.NONE)
    yield* until("all see it", () => [...cluster.running.values()].every(({ broker }) => broker.services.image().topicsByName.has(topic)))
  })

const produce = (cluster: TestCluster, topic: string, value: string, partition = 0) =>
  Effect.gen(function*() {
    const { leader } = cluster.image().topicsByName.get(topic)!.partitions[partition]!
    const client = yield* cluster.running.get(leader)!.connect
    return (yield* withTime(client.produce(topic, [value], { partition }))).errorCode
  })

const setFull = (cluster: TestCluster, id: number, isFull: boolean): void => {
  const { disk } = cluster.link(id).world
  disk.limitBytes = isFull ? disk.usedBytes : Infinity
}

describe("A broker whose disk is full", () => {
  it.effect("leads when it is elected, serves what it has, and takes records once there is room", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      yield* create(cluster, "t")
      expect(yield* produce(cluster, "t", "a")).toBe(ErrorCode.NONE)
      yield* cluster.isrIs("t", IDS)
      const [next, other] = cluster.followers("t")
      const first = cluster.partitionImage("t").leader
      yield* cluster.crash(other!)
      yield* cluster.isrIs("t", [first, next!].sort())
      setFull(cluster, next!, true)
      yield* cluster.crash(first)
      yield* until("it is elected", () => cluster.partitionImage("t").leader === next)
      yield* settle
      expect(cluster.partition(next!, "t")).toMatchObject({ isLeader: true, isOffline: false })
      expect(yield* produce(cluster, "t", "refused")).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      expect(yield* withTime((yield* cluster.leaderClient("t")).readAll("t", 0))).toEqual(["a"])

      setFull(cluster, next!, false)
      expect(yield* produce(cluster, "t", "b")).toBe(ErrorCode.NONE)
      // The epoch's start reached the disk before its first record.
      const epoch = cluster.partition(next!, "t")!.leaderEpoch
      yield* cluster.crash(next!)
      yield* cluster.start(next!)
      expect(cluster.partition(next!, "t")!.log.epochEntries).toContainEqual({ epoch, startOffset: 1 })
      yield* until("it leads again", () => cluster.partitionImage("t").leader === next)
      yield* cluster.start(first)
      yield* cluster.start(other!)
      yield* cluster.isrIs("t", IDS)
      expect(yield* withTime((yield* cluster.leaderClient("t")).readAll("t", 0))).toEqual(["a", "b"])
    }))

  it.effect("makes the logs of new partitions once there is room, where nothing else changes either", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const full = 2
      setFull(cluster, full, true)
      for (const [topic, replicas] of [["alone", 1], ["t", 3]] as const) yield* create(cluster, topic, 3, replicas)
      const partitions = (topic: string) => cluster.image().topicsByName.get(topic)!.partitions
      const led = (topic: string): number => partitions(topic).find(({ leader }) => leader === full)!.partition
      for (const topic of ["alone", "t"]) expect(yield* produce(cluster, topic, "refused", led(topic))).not.toBe(ErrorCode.NONE)
      yield* TestClock.adjust("1 minute")
      setFull(cluster, full, false)
      const { partitions: here } = cluster.running.get(full)!.broker.services
      yield* until("it has the log", () => here.get("alone", led("alone")) !== undefined)
      yield* until("it has the logs", () => partitions("t").every(({ partition }) => here.get("t", partition) !== undefined))
      for (const { partition } of partitions("t")) expect(yield* produce(cluster, "t", "a", partition)).toBe(ErrorCode.NONE)
      expect(yield* produce(cluster, "alone", "a", led("alone"))).toBe(ErrorCode.NONE)
      yield* until("all are in the ISR", () => partitions("t").every(({ isr }) => isr.length === 3))
    }))

  it.effect("removes the log of a deleted topic once it has room for the name, or for a topic of that name", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      for (const topic of ["t", "again"]) {
        yield* create(cluster, topic)
        expect(yield* produce(cluster, topic, "old")).toBe(ErrorCode.NONE)
        yield* cluster.isrIs(topic, IDS)
      }
      const full = 2
      const { disk } = cluster.link(full).world
      const [directory] = cluster.running.get(full)!.broker.services.logManager.directories()
      const names = () => disk.disk.list(directory!.path).filter((name) => /^(t|again)-0/.test(name)).sort()
      disk.failWhen((operation, path) => operation === "rename" && /\/(t|again)-0$/.test(path) ? "NoSpace" : undefined)
      for (const topic of ["t", "again"]) {
        const client = yield* [...cluster.running.values()][0]!.connect
        expect(yield* withTime(client.deleteTopic(topic))).toBe(ErrorCode.NONE)
      }
      yield* until("it is gone", () => cluster.partition(full, "again") === undefined)
      expect(names()).toEqual(["again-0", "t-0"])
      disk.failWhen(undefined)
      yield* create(cluster, "again")
      yield* until("it is there again", () => cluster.partition(full, "again") !== undefined)
      expect(cluster.partition(full, "again")!.logEndOffset).toBe(0)
      const isDeleted = (topic: string) => names().some((name) => name.startsWith(`${topic}-0.`) && name.endsWith("-delete"))
      yield* until("it has another name", () => isDeleted("t") && !names().includes("t-0"))
      expect(isDeleted("again")).toBe(true)
      yield* TestClock.adjust("2 minutes")
      yield* until("its files are gone", () => names().join() === "again-0")
    }))

  it.effect("goes back where its history parts from its leader's, and follows on once there is room", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      yield* create(cluster, "t")
      expect(yield* produce(cluster, "t", "a")).toBe(ErrorCode.NONE)
      yield* cluster.isrIs("t", IDS)
      // The epoch of what is lost goes with it, which the disk is to note.
      const before = cluster.partitionImage("t").leader
      yield* cluster.crash(before)
      yield* until("another leads", () => ![-1, before].includes(cluster.partitionImage("t").leader))
      yield* cluster.start(before)
      yield* cluster.isrIs("t", IDS)
      const first = cluster.partitionImage("t").leader
      const others = cluster.followers("t")
      // What only the first has, and nobody else will.
      cluster.cut(others)
      const client = yield* cluster.leaderClient("t")
      for (const value of ["lost", "lost too", "and lost"]) yield* withTime(client.produce("t", [value], { acks: 1 }))
      expect(cluster.partition(first, "t")!.logEndOffset).toBe(4)
      yield* cluster.crash(first)
      yield* until("another leads", () => ![-1, first].includes(cluster.partitionImage("t").leader))
      cluster.heal(others)
      expect(yield* produce(cluster, "t", "b")).toBe(ErrorCode.NONE)
      expect(yield* produce(cluster, "t", "c")).toBe(ErrorCode.NONE)
      const { disk } = cluster.link(first).world
      cluster.cut([first])
      yield* cluster.start(first)
      disk.failWhen((operation, path) => operation === "write" && path.includes("/t-0/") ? "NoSpace" : undefined)
      cluster.heal([first])
      yield* until("it has gone back", () => cluster.partition(first, "t")?.logEndOffset === 1)
      const { log, state } = cluster.partition(first, "t")!
      expect(state).toMatchObject({ logEndOffset: 1, durableEndOffset: 1 })
      expect(log.failed).toBeUndefined()
      disk.failWhen(undefined)
      yield* cluster.isrIs("t", IDS)
      yield* until("equal logs", () => new Set(IDS.map((id) => bytesOf(cluster.partition(id, "t")!))).size === 1)
      expect(cluster.partition(first, "t")!.log.epochEntries).toEqual(cluster.leading("t").log.epochEntries)
    }))
})
