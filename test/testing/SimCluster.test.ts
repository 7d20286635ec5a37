/** A whole cluster under one seed: it serves, it survives what is done to it, and it does the same again. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { BrokerStartError } from "../../core/broker/Broker.ts"
import { CompressionError } from "../../core/ports/Compression.ts"
import { DiskError } from "../../core/ports/Disk.ts"
import { type NotReached, simulate, type SimCluster, type SimClusterOptions, type SimResult } from "../../core/testing/SimCluster.ts"
import { simCompression } from "../../core/testing/SimPorts.ts"
import { ProcessKilled } from "../../core/testing/SimProcess.ts"
import { consume, createTopic, isWhole, produce, story, STORY_CONFIGS } from "./SimStory.ts"

const run = <A, E>(
  seed: number,
  program: (cluster: SimCluster) => Effect.Effect<A, E>,
  options: SimClusterOptions = {}
): Promise<SimResult<A>> => simulate({ seed, maxSteps: 500_000, configs: STORY_CONFIGS!, ...options }, program)

/** Runs it under a few seeds: no example hangs on one interleaving. */
const forSeeds = (
  name: string,
  program: (cluster: SimCluster) => Effect.Effect<void, unknown>,
  options: SimClusterOptions = {}
): void =>
  it(name, async () => {
    for (let seed = 1; seed <= 5; seed++) await run(seed, program, options)
  })

const values = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => String(i))

/** A cluster that serves, with a topic of one partition on all three. */
const withTopic = (cluster: SimCluster): Effect.Effect<void, unknown> =>
  cluster.startAll.pipe(
    Effect.andThen(createTopic(cluster, "t")),
    Effect.andThen(cluster.until("the topic is there", () => isWhole(cluster, "t")))
  )

const leaderOf = (cluster: SimCluster) => cluster.broker(cluster.image().topicsByName.get("t")!.partitions[0]!.leader)

/** Started again, and in the ISR. */
const backInIsr = (cluster: SimCluster, id: number): Effect.Effect<void, BrokerStartError | ProcessKilled | NotReached> =>
  Effect.andThen(cluster.broker(id).start(), cluster.until("every replica is in the ISR", () => isWhole(cluster, "t")))

const readAll = (cluster: SimCluster, count: number): Effect.Effect<ReadonlyArray<string>, unknown> =>
  Effect.map(consume(cluster, "t", count), (seen) => seen.map(({ value }) => value))

describe("A simulated cluster", () => {
  it("of three brokers serves a producer and a group", async () => {
    const { value } = await run(1, (cluster) =>
      Effect.andThen(withTopic(cluster), Effect.andThen(produce(cluster, "t", 20), readAll(cluster, 20))))
    expect(value).toEqual(values(20))
  })

  it("may have one broker, or five", async () => {
    for (const brokers of [1, 5]) {
      const configs = brokers === 1 ? { "min.insync.replicas": "1", "offsets.topic.replication.factor": "1" } : {}
      const { value } = await run(1, (cluster) => Effect.map(cluster.startAll, () => cluster.running().length), { brokers, configs })
      expect(value).toBe(brokers)
    }
  })

  it("does the same again with the same seed, through every kind of fault, and something else with another", async () => {
    const hashes = new Set<string>()
    for (let seed = 1; seed <= 8; seed++) {
      const [first, second] = [await run(seed, story), await run(seed, story)]
      expect(second).toEqual(first)
      expect(first.value.map((record) => record.split(" ")[1]).sort()).toEqual([...values(30)].sort())
      hashes.add(first.hash)
    }
    expect(hashes.size).toBe(8)
  })

  it("has another trace when a record has another byte", async () => {
    const withValue = (value: string) => run(3, (cluster) => Effect.andThen(cluster.startAll, createTopic(cluster, value)))
    const [a, b, again] = [await withValue("a"), await withValue("b"), await withValue("a")]
    expect(again.hash).toBe(a.hash)
    expect(b.hash).not.toBe(a.hash)
  })
})

describe("A broker of a simulated cluster", () => {
  forSeeds("that is killed loses nothing it wrote, is followed by another leader, and comes back by what its disk has", (cluster) =>
    Effect.gen(function*() {
      yield* withTopic(cluster)
      yield* produce(cluster, "t", 10)
      const leader = leaderOf(cluster)
      const written = leader.disk.usedBytes
      leader.kill()
      expect([leader.state, leader.broker, leader.disk.usedBytes]).toEqual(["down", undefined, written])
      yield* cluster.until("another leads", () => leaderOf(cluster) !== leader)
      yield* produce(cluster, "t", 10)
      yield* backInIsr(cluster, leader.id)
      expect([leader.starts, leader.uncleanStarts]).toEqual([2, 1])
      expect(yield* readAll(cluster, 20)).toEqual([...values(10), ...values(10)])
    }))

  forSeeds("that loses its power loses what was not synced, and gets it back from the others", (cluster) =>
    Effect.gen(function*() {
      yield* withTopic(cluster)
      yield* produce(cluster, "t", 10)
      const leader = leaderOf(cluster)
      const endOf = (): number => leader.broker!.services.partitions.get("t", 0)!.logEndOffset
      expect(endOf()).toBe(10)
      const written = leader.disk.usedBytes
      leader.powerOff("none")
      expect(leader.disk.usedBytes).toBeLessThan(written)
      yield* cluster.until("another leads", () => leaderOf(cluster) !== leader)
      yield* backInIsr(cluster, leader.id)
      expect(endOf()).toBe(10)
      expect(yield* readAll(cluster, 10)).toEqual(values(10))
    }))

  forSeeds("that is stopped ends its session and its process at once, and starts cleanly", (cluster) =>
    Effect.gen(function*() {
      yield* withTopic(cluster)
      yield* produce(cluster, "t", 10)
      const leader = leaderOf(cluster)
      yield* leader.stop
      expect([leader.state, leader.process]).toEqual(["down", undefined])
      expect(cluster.image().brokers.get(leader.id)!.fenced).toBe(true)
      expect(leaderOf(cluster)).not.toBe(leader)
      yield* backInIsr(cluster, leader.id)
      expect([leader.starts, leader.uncleanStarts]).toEqual([2, 0])
      expect(yield* readAll(cluster, 10)).toEqual(values(10))
    }))

  forSeeds("that is killed while it starts fails its start, and can be started again", (cluster) =>
    Effect.gen(function*() {
      const broker = cluster.broker(1)
      const starting = yield* Effect.forkChild(Effect.flip(broker.start()))
      yield* Effect.sleep(1)
      broker.kill()
      expect(yield* Fiber.join(starting)).toBeInstanceOf(ProcessKilled)
      expect(broker.state).toBe("down")
      yield* Effect.sleep(5000)
      yield* broker.start()
    }))

  forSeeds("that cannot start is down again, with the reason", (cluster) =>
    Effect.gen(function*() {
      const broker = cluster.broker(1)
      broker.disk.limitBytes = 10
      expect(yield* Effect.flip(broker.start())).toBeInstanceOf(DiskError)
      expect([broker.state, broker.process]).toEqual(["down", undefined])
      cluster.heal()
      yield* broker.start()
    }))

  forSeeds("whose syncs fail gives itself up, is followed by another, and comes back with a disk that works", (cluster) =>
    Effect.gen(function*() {
      yield* withTopic(cluster)
      yield* produce(cluster, "t", 10)
      const leader = leaderOf(cluster)
      leader.disk.failWhen((operation) => operation === "sync" ? "Io" : undefined)
      yield* produce(cluster, "t", 10)
      expect([leader.state, leader.halts]).toEqual(["down", 1])
      expect(leaderOf(cluster)).not.toBe(leader)
      cluster.heal()
      yield* backInIsr(cluster, leader.id)
      expect(yield* readAll(cluster, 20)).toEqual([...values(10), ...values(10)])
    }), { configs: { ...STORY_CONFIGS, "log.flush.interval.messages": "1" } })

  forSeeds("that stands still for longer than its session is followed by another, and follows it later", (cluster) =>
    Effect.gen(function*() {
      yield* withTopic(cluster)
      yield* produce(cluster, "t", 10)
      const leader = leaderOf(cluster)
      leader.pause()
      yield* cluster.until("another leads", () => leaderOf(cluster) !== leader)
      yield* produce(cluster, "t", 10)
      leader.resume()
      yield* cluster.until("every replica is in the ISR", () => isWhole(cluster, "t"))
      expect(leaderOf(cluster)).not.toBe(leader)
      expect(yield* readAll(cluster, 20)).toEqual([...values(10), ...values(10)])
    }))

  forSeeds("whose disk is full refuses what it leads, and takes it when there is room", (cluster) =>
    Effect.gen(function*() {
      yield* withTopic(cluster)
      yield* produce(cluster, "t", 10)
      const leader = leaderOf(cluster)
      leader.disk.limitBytes = leader.disk.usedBytes
      const producing = yield* Effect.forkChild(produce(cluster, "t", 10))
      yield* Effect.sleep(1000)
      expect(producing.pollUnsafe()).toBeUndefined()
      cluster.heal()
      yield* Fiber.join(producing)
      expect(yield* readAll(cluster, 20)).toEqual([...values(10), ...values(10)])
    }))

  it("whose syncs are slow takes longer to stop, by the seed's dice", async () => {
    const stopMs = async (seed: number, syncMs: number): Promise<number> => {
      const { value } = await run(seed, (cluster) =>
        Effect.gen(function*() {
          yield* withTopic(cluster)
          yield* produce(cluster, "t", 10)
          const leader = leaderOf(cluster)
          leader.syncMs = syncMs
          const beginMs = cluster.sim.nowMs
          yield* leader.stop
          return cluster.sim.nowMs - beginMs
        }))
      return value
    }
    const took = new Set<number>()
    for (let seed = 1; seed <= 5; seed++) {
      const slow = await stopMs(seed, 400)
      expect(slow).toBeGreaterThan(await stopMs(seed, 0) + 20)
      took.add(Math.round(slow))
    }
    expect(took.size).toBeGreaterThan(1)
  })

  forSeeds("whose clock is 50 minutes wrong, either way, serves and follows as the others", (cluster) =>
    Effect.gen(function*() {
      cluster.broker(1).skewMs = -3_000_000
      cluster.broker(2).skewMs = 3_000_000
      yield* withTopic(cluster)
      for (let round = 1; round <= 3; round++) {
        yield* produce(cluster, "t", 5)
        const leader = leaderOf(cluster)
        leader.kill()
        yield* cluster.until("another leads", () => leaderOf(cluster) !== leader)
        yield* backInIsr(cluster, leader.id)
        expect(leader.broker!.services.nowMs() - leader.skewMs).toBe(Math.floor(cluster.sim.nowMs))
      }
      yield* produce(cluster, "t", 5)
      expect(yield* readAll(cluster, 20)).toEqual([0, 1, 2, 3].flatMap(() => values(5)))
    }))

  it("says that a promise is no program", async () => {
    // As JavaScript may have it.
    const program = (async () => {}) as unknown as () => Effect.Effect<void>
    await expect(simulate({ seed: 1 }, program)).rejects.toThrow("a program that gives an Effect")
  })

  it("is started and named as a program means it", async () => {
    await run(1, (cluster) =>
      Effect.gen(function*() {
        yield* cluster.startAll
        expect(() => cluster.broker(4)).toThrow("no broker 4")
        expect((yield* Effect.exit(cluster.broker(1).start()))._tag).toBe("Failure")
        expect(cluster.client("c")).toBe(cluster.client("c"))
        expect(cluster.client("c").host.address).not.toBe(cluster.client("d").host.address)
      }))
  })
})

describe("A client of a simulated cluster", () => {
  forSeeds("that is killed leaves its group, and another goes on", (cluster) =>
    Effect.gen(function*() {
      yield* withTopic(cluster)
      yield* produce(cluster, "t", 10)
      const waiting = yield* Effect.forkChild(Effect.flip(consume(cluster, "t", 11)))
      yield* Effect.sleep(3000)
      cluster.client("consumer").kill()
      expect(yield* Fiber.join(waiting)).toBeInstanceOf(ProcessKilled)
      yield* produce(cluster, "t", 1)
      // Of the killed one's positions nothing, or what its auto-commit had saved, was kept.
      expect((yield* readAll(cluster, 1)).at(-1)).toBe("0")
    }))
})

describe("The simulation's compression", () => {
  it("gives back what it was given, and refuses what is not its own or too long", () => {
    const bytes = new Uint8Array([1, 2, 3])
    const packed = simCompression.compress(2, bytes)
    expect(simCompression.decompress(2, packed, 3)).toEqual(bytes)
    expect(() => simCompression.decompress(2, packed, 2)).toThrow(CompressionError)
    expect(() => simCompression.decompress(3, packed, 3)).toThrow(CompressionError)
    expect(() => simCompression.decompress(2, packed.subarray(0, 7), 3)).toThrow(CompressionError)
    expect(() => simCompression.decompress(2, new Uint8Array(0), 3)).toThrow(CompressionError)
  })
})
