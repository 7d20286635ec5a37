import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { describe, expect, test } from "vitest"
import { defaultLogConfig, type LogConfig } from "../../core/log/LogConfig.ts"
import { InconsistentLogDirectory, type LogManager, type LogManagerOptions, make } from "../../core/log/LogManager.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import { Compression } from "../../core/ports/Compression.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { Disk, DiskError } from "../../core/ports/Disk.ts"
import { append, compression, crypto, seeded, TOPIC_ID, values } from "./TestLog.ts"

const DEFAULTS: Readonly<Record<string, number>> = {
  "num.recovery.threads.per.data.dir": 2,
  "producer.id.expiration.ms": 86_400_000,
  "producer.id.expiration.check.interval.ms": 600_000,
  "log.initial.task.delay.ms": 30_000,
  "log.retention.check.interval.ms": 300_000,
  "log.flush.offset.checkpoint.interval.ms": 60_000,
  "log.flush.start.offset.checkpoint.interval.ms": 60_000,
  "replica.high.watermark.checkpoint.interval.ms": 5000,
  "log.cleaner.backoff.ms": 15_000,
  "log.cleaner.dedupe.buffer.size": 1_000_000,
  "log.cleaner.io.buffer.load.factor": 0.9,
  "log.cleaner.io.buffer.size": 524_288,
  "log.cleaner.io.max.bytes.per.second": Infinity
}

const CLUSTER = "F5-_0JNCRnKftvn6fDeMVw"

const options = (config: Partial<LogConfig> = {}, changes: Partial<LogManagerOptions> = {}): LogManagerOptions => ({
  logDirs: ["/data"],
  brokerId: 1,
  clusterId: CLUSTER,
  config: { number: (key) => DEFAULTS[key] ?? Number.MAX_SAFE_INTEGER },
  configFor: () => ({ ...defaultLogConfig, ...config }),
  ...changes
})

/** Random bytes of a simulation: the same in each run. */
const seededCrypto = (): Crypto => {
  const random = seeded(1)
  return { ...crypto, randomBytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256)) }
}

const start = (memory: MemoryDisk, given: LogManagerOptions) =>
  make(given).pipe(
    Effect.provideService(Disk, memory.disk),
    Effect.provideService(Crypto, seededCrypto()),
    Effect.provideService(Compression, compression)
  )

/** Runs with a broker's logs on a clock that only the test moves; stops them at the end. */
const withLogs = <A>(
  memory: MemoryDisk,
  given: LogManagerOptions,
  use: (manager: LogManager) => Effect.Effect<A, unknown>
): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.flatMap(start(memory, given), use)).pipe(Effect.provide(TestClock.layer())))

/** Syncs of the memory disk let others run in between. */
const settle = Effect.repeat(Effect.yieldNow, { times: 50 })

const textOf = (memory: MemoryDisk, path: string): string => {
  const bytes = new Uint8Array(memory.disk.stat(path)?.size ?? 0)
  memory.disk.open(path, "read").read(bytes, 0)
  return new TextDecoder().decode(bytes)
}

const create = (manager: LogManager, topic: string, partition: number, config: Partial<LogConfig> = {}) =>
  manager.create(topic, partition, TOPIC_ID, { ...defaultLogConfig, ...config })

describe("start and stop", () => {
  test("a start that is given up before anybody replicates keeps the high watermarks that there were", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        manager.setHighWatermarks((topic) => topic === "a" ? 1 : undefined)
        append(create(manager, "a", 0), ["x", "y"])
        append(create(manager, "b", 0), ["z"])
      }))
    const given = "0\n2\na 0 1\nb 0 0\n"
    expect(textOf(memory, "/data/replication-offset-checkpoint")).toBe(given)
    await withLogs(memory, options(), (manager) => Effect.sync(() => expect(manager.checkpointedHighWatermark("a", 0)).toBe(1)))
    expect(textOf(memory, "/data/replication-offset-checkpoint")).toBe(given)
  })

  test("a clean stop leaves Kafka's files, and a start that scans nothing", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        expect(manager.previousBrokerEpoch).toBe(-1)
        manager.setBrokerEpoch(7)
        manager.setHighWatermarks(() => 1)
        append(create(manager, "a", 0), ["x", "y"])
        append(create(manager, "b", 3), ["z"])
      }))
    expect([...memory.disk.list("/data")].sort()).toEqual([
      ".kafka_cleanshutdown",
      ".lock",
      "a-0",
      "b-3",
      "log-start-offset-checkpoint",
      "meta.properties",
      "recovery-point-offset-checkpoint",
      "replication-offset-checkpoint"
    ])
    expect([...memory.disk.list("/data/a-0")].sort()).toEqual([
      "00000000000000000000.index",
      "00000000000000000000.log",
      "00000000000000000000.timeindex",
      "00000000000000000002.snapshot",
      "leader-epoch-checkpoint",
      "partition.metadata"
    ])
    expect(textOf(memory, "/data/.kafka_cleanshutdown")).toBe(`{"version":0,"brokerEpoch":7}`)
    expect(textOf(memory, "/data/recovery-point-offset-checkpoint")).toBe("0\n2\na 0 2\nb 3 1\n")
    expect(textOf(memory, "/data/meta.properties")).toMatch(/^node.id=1\ndirectory.id=[\w-]{22}\nversion=1\ncluster.id=F5-_0JNCRnKftvn6fDeMVw\n$/)
    // The power goes after the stop: all of it was durable.
    memory.crash({ _tag: "machine" })
    // A scan would find this.
    memory.rot("/data/a-0/00000000000000000000.log", 65)
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        expect(manager.previousBrokerEpoch).toBe(7)
        expect(memory.disk.stat("/data/.kafka_cleanshutdown")).toBeUndefined()
        expect([...manager.all()].map((log) => [log.topic, log.partition, log.topicId, log.logEndOffset])).toEqual([
          ["a", 0, TOPIC_ID, 2],
          ["b", 3, TOPIC_ID, 1]
        ])
        expect(manager.checkpointedHighWatermark("a", 0)).toBe(1)
      }))
  })

  test("a full disk that refuses to stop one log keeps the marker of a clean stop back, and its other logs need no scan", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        append(create(manager, "a", 0), ["x"])
        const log = create(manager, "b", 0, { segmentBytes: 100 })
        for (let i = 0; i < 6; i++) append(log, [`value ${i}`])
        memory.failWhen((operation, path) => operation === "write" && /a-0.*snapshot/.test(path) ? "NoSpace" : undefined)
      }))
    memory.failWhen(undefined)
    expect(memory.disk.stat("/data/.kafka_cleanshutdown")).toBeUndefined()
    memory.crash({ _tag: "machine" })
    // A scan would find this.
    memory.rot("/data/b-0/00000000000000000000.log", 65)
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        expect(manager.previousBrokerEpoch).toBe(-1)
        expect(values(manager.get("a", 0)!, 0)).toEqual(["0:x"])
        expect(manager.get("b", 0)!.logEndOffset).toBe(6)
      }))
  })

  test("after a crash every log is recovered", async () => {
    const memory = new MemoryDisk()
    const scope = Scope.makeUnsafe()
    const manager = await Effect.runPromise(Scope.provide(start(memory, options()), scope))
    const log = create(manager, "a", 0)
    append(log, ["x"])
    append(log, ["y"])
    memory.crash({ _tag: "process" })
    memory.rot("/data/a-0/00000000000000000000.log", log.sizeInBytes - 1)
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        expect(manager.previousBrokerEpoch).toBe(-1)
        expect(values(manager.get("a", 0)!, 0)).toEqual(["0:x"])
      }))
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  test("a directory of another cluster, of another node, or in use is refused by name", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), () => Effect.void)
    const failure = (changes: Partial<LogManagerOptions>) =>
      withLogs(memory, options({}, changes), () => Effect.void).then(() => undefined, (error: unknown) => error)
    const otherCluster = await failure({ clusterId: "AAAAAAAAAAAAAAAAAAAAAA" })
    expect(otherCluster).toBeInstanceOf(InconsistentLogDirectory)
    expect(String(otherCluster)).toContain(`belongs to cluster.id ${CLUSTER}, this broker's is AAAAAAAAAAAAAAAAAAAAAA`)
    expect(String(await failure({ brokerId: 2 }))).toContain("belongs to node.id 1, this broker's is 2")
    const inUse = await withLogs(memory, options(), () => Effect.flip(Effect.scoped(start(memory, options()))))
    expect(inUse).toMatchObject({ _tag: "DiskError", kind: "Busy" })
  })

  test("Kafka's meta.properties is taken as it is", async () => {
    const memory = new MemoryDisk()
    memory.disk.makeDirectory("/data")
    const text = `#\n#Sat Nov 21 10:39:58 UTC 2026\nnode.id=1\ndirectory.id=FOcaCNENacckcJ94Un4sNw\nversion=1\ncluster.id=${CLUSTER}\n`
    memory.disk.open("/data/meta.properties", "create").write([new TextEncoder().encode(text)], 0)
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => expect(manager.directories()[0]!.id).toBe("FOcaCNENacckcJ94Un4sNw")))
    expect(textOf(memory, "/data/meta.properties")).toBe(text)
  })
})

describe("logs", () => {
  test("a removed log is gone at once, its files after file.delete.delay.ms, and its name is free", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        append(create(manager, "a", 0, { fileDeleteDelayMs: 1000 }), ["old"])
        manager.remove("a", 0)
        expect(manager.get("a", 0)).toBeUndefined()
        append(create(manager, "a", 0), ["new"])
        const names = () => memory.disk.list("/data").filter((name) => name.startsWith("a-0"))
        expect(names()).toHaveLength(2)
        yield* TestClock.adjust(999)
        expect(names()).toHaveLength(2)
        yield* TestClock.adjust(1)
        expect(names()).toEqual(["a-0"])
        expect(values(manager.get("a", 0)!, 0)).toEqual(["0:new"])
      }))
  })

  test("what a stop left of a removed log goes at the next start; strays stay", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        create(manager, "a", 0)
        create(manager, "b", 0)
        manager.remove("a", 0)
        manager.removeStray("b", 0)
      }))
    await withLogs(memory, options({ fileDeleteDelayMs: 10 }), (manager) =>
      Effect.gen(function*() {
        expect([...manager.all()]).toEqual([])
        yield* TestClock.adjust(10)
        expect(memory.disk.list("/data").filter((name) => /^[ab]-0/.test(name))).toEqual([
          expect.stringMatching(/^b-0\.[0-9a-f]{32}-stray$/)
        ])
      }))
  })

  test.each(["NoSpace", "Busy"] as const)("a log that cannot be removed (%s) keeps its name, and no other gets its records", async (kind) => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        const log = create(manager, "a", 0, { segmentBytes: 100 })
        for (let i = 0; i < 6; i++) append(log, [`old ${i}`])
        memory.failWhen((operation, path) => operation === "rename" && path === "/data/a-0" ? kind : undefined)
        expect(() => manager.remove("a", 0)).toThrow("fault")
        expect(manager.get("a", 0)).toBe(log)
        memory.failWhen(undefined)
        manager.remove("a", 0)
        append(create(manager, "a", 0), ["new"])
      }))
    await withLogs(memory, options(), (manager) => Effect.sync(() => expect(values(manager.get("a", 0)!, 0)).toEqual(["0:new"])))
  })

  test.each(["in the same run", "after a start without it"])("a topic made anew inherits nothing from the checkpoints, should the process die: %s", async (when) => {
    const memory = new MemoryDisk()
    const old = Effect.fn(function*(manager: LogManager) {
      const log = create(manager, "a", 0)
      manager.setHighWatermarks((topic) => topic === "a" ? log.logEndOffset : 0)
      for (let i = 0; i < 6; i++) append(log, [`old ${i}`])
      log.incrementLogStartOffset(5)
      yield* log.flush
      yield* TestClock.adjust(90_000)
      yield* settle
      expect(textOf(memory, "/data/log-start-offset-checkpoint")).toBe("0\n1\na 0 5\n")
    })
    const anew = (manager: LogManager): void => {
      manager.setHighWatermarks(() => 0)
      const log = create(manager, "a", 0)
      append(log, ["new 0"])
      append(log, ["new 1"])
    }
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        yield* old(manager)
        if (when !== "in the same run") return
        manager.remove("a", 0)
        anew(manager)
        memory.crash({ _tag: "process" })
      }))
    if (when !== "in the same run") {
      memory.disk.remove("/data/a-0")
      await withLogs(memory, options(), (manager) =>
        Effect.sync(() => {
          anew(manager)
          memory.crash({ _tag: "process" })
        }))
    }
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        const log = manager.get("a", 0)!
        expect([log.logStartOffset, log.logEndOffset]).toEqual([0, 2])
        expect(values(log, 0)).toEqual(["0:new 0", "1:new 1"])
        expect(manager.checkpointedHighWatermark("a", 0)).toBe(0)
      }))
  })

  test("a directory comes back with a log of a topic that was made anew meanwhile: it is put aside", async () => {
    const memory = new MemoryDisk()
    const next = "AAAAAAAAAAAAAAAAAAAAAg"
    const two = options({}, { logDirs: ["/one", "/two"], topicIdOf: () => next })
    let highWatermark = 1
    await withLogs(memory, two, (manager) =>
      Effect.gen(function*() {
        manager.setHighWatermarks(() => highWatermark)
        const old = create(manager, "a", 0)
        append(old, ["old"])
        yield* TestClock.adjust(5000)
        memory.failWhen((_, path) => path.startsWith("/one") ? "Io" : undefined)
        expect(() => append(old, ["more"])).toThrow("fault")
        manager.remove("a", 0)
        append(manager.create("a", 0, next, defaultLogConfig), ["new"])
        highWatermark = 0
      }))
    memory.failWhen(undefined)
    const namesInOne = () => memory.disk.list("/one").filter((name) => name.startsWith("a-0"))
    const startIn = (...logDirs: ReadonlyArray<string>) =>
      withLogs(memory, { ...two, logDirs }, (manager) =>
        Effect.sync(() => {
          expect(values(manager.get("a", 0)!, 0)).toEqual(["0:new"])
          expect(manager.checkpointedHighWatermark("a", 0)).toBe(0)
        }))
    await startIn("/two", "/one")
    const [stray] = namesInOne()
    expect(stray).toMatch(/-stray$/)
    memory.disk.rename(`/one/${stray}`, "/one/a-0")
    await startIn("/one", "/two")
    expect(namesInOne()).toEqual([expect.stringMatching(/-stray$/)])
  })

  test("who asks when all directories are offline already hears of it at once", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        memory.failWhen((operation) => operation === "write" ? "Io" : undefined)
        expect(() => create(manager, "a", 0)).toThrow("no log directory is online")
        const heard: Array<string> = []
        manager.onAllOffline(({ message }) => heard.push(message))
        expect(heard).toEqual(["write /data/a-0/partition.metadata.tmp: fault"])
      }))
  })

  test("a disk that fails when a log is removed takes its directory offline", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options({}, { logDirs: ["/one", "/two"] }), (manager) =>
      Effect.sync(() => {
        create(manager, "a", 0)
        memory.failWhen((operation) => operation === "rename" ? "Io" : undefined)
        expect(() => manager.remove("a", 0)).toThrow("fault")
        expect(manager.directories().map(({ isOnline }) => isOnline)).toEqual([false, true])
        memory.failWhen(undefined)
      }))
  })

  test("logs spread over the directories; one whose disk fails goes offline alone", async () => {
    const memory = new MemoryDisk()
    const two = { logDirs: ["/one", "/two"] }
    await withLogs(memory, options({}, two), (manager) =>
      Effect.sync(() => {
        const logs = [0, 1, 2, 3].map((partition) => create(manager, "a", partition))
        for (const log of logs) append(log, ["x"])
        expect(logs.map((log) => manager.directoryOf(log))).toEqual(["/one", "/two", "/one", "/two"])
        const offline: Array<number> = []
        manager.onOffline((log) => offline.push(log.partition))
        memory.failWhen((_, path) => path.startsWith("/two") ? "Io" : undefined)
        expect(() => append(logs[1]!, ["y"])).toThrow(DiskError)
        expect(offline).toEqual([1, 3])
        expect(manager.isOffline(logs[3]!)).toBe(true)
        expect(manager.isOffline(logs[0]!)).toBe(false)
        append(logs[0]!, ["y"])
        expect(manager.directories().map(({ isOnline }) => isOnline)).toEqual([true, false])
        expect(manager.directoryOf(create(manager, "b", 0))).toBe("/one")
      }))
    memory.failWhen(undefined)
    await withLogs(memory, options({}, two), (manager) =>
      Effect.sync(() => {
        expect(manager.previousBrokerEpoch).toBe(-1)
        expect(values(manager.get("a", 0)!, 0)).toEqual(["0:x", "1:y"])
        expect(values(manager.get("a", 1)!, 0)).toEqual(["0:x"])
      }))
  })

  test("a new log goes to another directory where its own fails, which is offline then; a full disk refuses it", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options({}, { logDirs: ["/one", "/two"] }), (manager) =>
      Effect.sync(() => {
        let all = 0
        manager.onAllOffline(() => all++)
        memory.limitBytes = memory.usedBytes
        expect(() => create(manager, "a", 0)).toThrow("no space")
        memory.limitBytes = Infinity
        memory.failWhen((operation, path) => operation === "write" && path.startsWith("/one") ? "Io" : undefined)
        expect(manager.directoryOf(create(manager, "a", 0))).toBe("/two")
        expect(manager.directories().map(({ isOnline }) => isOnline)).toEqual([false, true])
        memory.failWhen((operation) => operation === "write" ? "Io" : undefined)
        expect(() => create(manager, "a", 1)).toThrow("no log directory is online")
        expect(all).toBe(1)
      }))
  })

  test("a log that a full disk refused may be made in another directory, and the next start finds it once", async () => {
    const memory = new MemoryDisk()
    const two = options({}, { logDirs: ["/one", "/two"] })
    await withLogs(memory, two, (manager) =>
      Effect.sync(() => {
        memory.limitBytes = memory.usedBytes
        expect(() => create(manager, "a", 0)).toThrow("no space")
        memory.limitBytes = Infinity
        expect(manager.directoryOf(create(manager, "b", 0))).toBe("/one")
        expect(manager.directoryOf(create(manager, "a", 0))).toBe("/two")
      }))
    await withLogs(memory, two, (manager) =>
      Effect.sync(() => expect([...manager.all()].map((log) => manager.directoryOf(log)).sort()).toEqual(["/one", "/two"])))
  })

  test("a full disk is no failure", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        const log = create(manager, "a", 0)
        append(log, ["x"])
        memory.limitBytes = memory.usedBytes
        expect(() => append(log, ["y"])).toThrow("no space")
        expect(manager.isOffline(log)).toBe(false)
        memory.limitBytes = Infinity
        append(log, ["y"])
        expect(values(log, 0)).toEqual(["0:x", "1:y"])
      }))
  })
})

describe("background, by the clock alone", () => {
  test("retention removes what is too old, up to the high watermark", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        const log = create(manager, "a", 0, { segmentBytes: 100, retentionMs: 600_000, fileDeleteDelayMs: 1000 })
        let highWatermark = 2
        manager.setHighWatermarks(() => highWatermark)
        for (let i = 0; i < 4; i++) append(log, ["x".repeat(30)])
        yield* TestClock.adjust(600_000)
        expect(log.logStartOffset).toBe(0)
        yield* TestClock.adjust(400_000)
        expect(log.logStartOffset).toBe(2)
        highWatermark = 4
        yield* TestClock.adjust(300_000)
        expect(log.logStartOffset).toBe(4)
        yield* TestClock.adjust(1000)
        expect(memory.disk.list("/data/a-0").filter((name) => name.includes(".log"))).toHaveLength(1)
      }))
  })

  test("a truncation while the recovery points wait for their sync: what it writes down stays, and nothing goes offline", async () => {
    let isDeviceBusy = false
    const memory = new MemoryDisk({ device: Effect.suspend(() => isDeviceBusy ? Effect.sleep(1000) : Effect.yieldNow) })
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        const log = create(manager, "a", 0)
        append(log, ["x"])
        append(log, ["y"])
        yield* log.flush
        isDeviceBusy = true
        yield* TestClock.adjust(90_000)
        log.truncateTo(1)
        isDeviceBusy = false
        yield* TestClock.adjust(1000)
        yield* settle
        expect(manager.isOffline(log)).toBe(false)
        expect(textOf(memory, "/data/recovery-point-offset-checkpoint")).toBe("0\n1\na 0 1\n")
      }))
  })

  test.each([5, 0])("a log that is truncated to %i, before its start, keeps what comes in the place of what was deleted", async (offset) => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        const log = create(manager, "a", 0)
        for (let i = 0; i < 10; i++) append(log, ["x"])
        log.incrementLogStartOffset(8)
        yield* TestClock.adjust(90_000)
        yield* settle
        expect(textOf(memory, "/data/log-start-offset-checkpoint")).toBe("0\n1\na 0 8\n")
        log.truncateTo(offset)
        for (let i = offset; i < 10; i++) append(log, ["y"], { leaderEpoch: 1 })
        memory.crash({ _tag: "process" })
      }))
    await withLogs(memory, options(), (manager) =>
      Effect.sync(() => {
        const log = manager.get("a", 0)!
        expect([log.logStartOffset, log.logEndOffset]).toEqual([offset, 10])
      }))
  })

  test("the recovery point of a truncated log survives a loss of power soon after: it may trust nothing that comes later", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        const log = create(manager, "a", 0)
        append(log, ["x"])
        append(log, ["y"])
        yield* log.flush
        yield* TestClock.adjust(90_000)
        yield* settle
        log.truncateTo(1)
        yield* settle
        memory.crash({ _tag: "machine" })
        expect(textOf(memory, "/data/recovery-point-offset-checkpoint")).toBe("0\n1\na 0 1\n")
      }))
  })

  test("flush.ms flushes, rolled segments are flushed, checkpoints follow", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        const timed = create(manager, "timed", 0, { flushMs: 2500 })
        const rolled = create(manager, "rolled", 0, { segmentBytes: 100 })
        manager.setHighWatermarks(() => 1)
        append(timed, ["x"], { nowMs: 0 })
        append(rolled, ["x".repeat(20)])
        append(rolled, ["x".repeat(20)])
        yield* TestClock.adjust(2000)
        yield* settle
        expect(timed.flushedOffset).toBe(0)
        expect(rolled.flushedOffset).toBe(2)
        yield* TestClock.adjust(1000)
        expect(timed.flushedOffset).toBe(1)
        yield* TestClock.adjust(2000)
        expect(textOf(memory, "/data/replication-offset-checkpoint")).toBe("0\n2\ntimed 0 1\nrolled 0 1\n")
        yield* TestClock.adjust(90_000)
        expect(textOf(memory, "/data/recovery-point-offset-checkpoint")).toBe("0\n2\ntimed 0 1\nrolled 0 2\n")
      }))
  })

  const compacted = (manager: LogManager, records: number) => {
    const encode = (text: string) => new TextEncoder().encode(text)
    const log = create(manager, "a", 0, {
      segmentBytes: 300,
      cleanupPolicy: { compact: true, delete: false },
      minCleanableDirtyRatio: 0.01
    })
    manager.setHighWatermarks(() => log.logEndOffset)
    for (let i = 0; i < records; i++) append(log, [{ timestamp: 0, key: encode(`k${i % 3}`), value: encode(`v${i}`) }])
    return log
  }

  test("compaction keeps the last value of each key", async () => {
    const memory = new MemoryDisk()
    await withLogs(memory, options(), (manager) =>
      Effect.gen(function*() {
        const log = compacted(manager, 20)
        yield* TestClock.adjust(15_000)
        const left = values(log, 0)
        expect(left.length).toBeLessThan(10)
        expect(left.slice(-3)).toEqual(["17:v17", "18:v18", "19:v19"])
        expect(textOf(memory, "/data/cleaner-offset-checkpoint")).toMatch(/^0\n1\na 0 \d+\n$/)
      }))
  })

  test.each(["in the same run", "after the process died"])("a compacted topic that is made anew is compacted from its beginning: %s", async (when) => {
    const memory = new MemoryDisk()
    const configured = options({ segmentBytes: 300, cleanupPolicy: { compact: true, delete: false }, minCleanableDirtyRatio: 0.01 })
    const isSameRun = when === "in the same run"
    const check = Effect.fn(function*(log: PartitionLog) {
      yield* TestClock.adjust(15_000)
      expect(values(log, 0).length).toBeLessThan(10)
    })
    await withLogs(memory, configured, (manager) =>
      Effect.gen(function*() {
        yield* check(compacted(manager, 20))
        manager.remove("a", 0)
        const log = compacted(manager, 20)
        if (isSameRun) yield* check(log)
        else memory.crash({ _tag: "process" })
      }))
    if (isSameRun) return
    await withLogs(memory, configured, (manager) => {
      const log = manager.get("a", 0)!
      manager.setHighWatermarks(() => log.logEndOffset)
      return check(log)
    })
  })
})
