import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { makeCleaner } from "../../core/log/Cleaner.ts"
import { cleanLog, type LogCleaningOptions } from "../../core/log/LogCleaning.ts"
import type { LogConfig } from "../../core/log/LogConfig.ts"
import { CLEANER_CHECKPOINT, LogDirectory } from "../../core/log/LogDirectory.ts"
import { OffsetMap } from "../../core/log/OffsetMap.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import type { RecordInput } from "../../core/records/BatchBuilder.ts"
import { ControlRecordType, endTransactionBatch } from "../../core/records/ControlRecord.ts"
import { append, bytesOf, contextOn, crypto, DIRECTORY, newLog, readAll, reload, seeded, type TestLog, text } from "./TestLog.ts"

const COMPACT: Partial<LogConfig> = {
  cleanupPolicy: { compact: true, delete: false },
  segmentBytes: 600,
  indexIntervalBytes: 100,
  minCleanableDirtyRatio: 0
}

const SETTINGS: Readonly<Record<string, number>> = {
  "log.cleaner.dedupe.buffer.size": 1 << 20,
  "log.cleaner.io.buffer.load.factor": 0.9,
  "log.cleaner.io.buffer.size": 256,
  "log.cleaner.io.max.bytes.per.second": Number.MAX_VALUE
}

const kv = (key: string, value: string | null): RecordInput => ({
  timestamp: 1000,
  key: text(key),
  value: value === null ? null : text(value)
})

const show = (bytes: Uint8Array | null): string | null => bytes === null ? null : new TextDecoder().decode(bytes)

const recordsOf = (log: PartitionLog): ReadonlyArray<string> =>
  readAll(log, log.logStartOffset).map(({ key, offset, value }) => `${offset}:${show(key)}=${show(value)}`)

/** What a table of the log's records says. */
const tableOf = (log: PartitionLog): ReadonlyMap<string, string> => {
  const table = new Map<string, string>()
  for (const { key, offset, value } of readAll(log, log.logStartOffset)) {
    if (value === null) table.delete(show(key)!)
    else table.set(show(key)!, `${offset}:${show(value)}`)
  }
  return table
}

/** Appends `count` batches with keys and values drawn from a seed. */
const fill = (log: PartitionLog, count: number, seed: number): void => {
  const random = seeded(seed)
  for (let i = 0; i < count; i++) {
    append(log, Array.from({ length: 1 + Math.floor(random() * 3) }, (_, r) => {
      const key = `k${Math.floor(random() * 8)}`
      return kv(key, random() < 0.1 ? null : `v${seed}-${i}-${r}-${"x".repeat(Math.floor(random() * 40))}`)
    }), { codec: i % 5 === 4 ? 1 : 0 })
  }
}

const range = (log: PartitionLog): LogCleaningOptions["range"] => ({
  firstDirtyOffset: log.logStartOffset,
  firstUncleanableOffset: log.segments.active.baseOffset
})

const optionsFor = (test: Pick<TestLog, "context" | "log">, options: Partial<LogCleaningOptions> = {}): LogCleaningOptions => ({
  context: test.context,
  log: test.log,
  range: range(test.log),
  map: new OffsetMap({ memoryBytes: 1 << 20, loadFactor: 1, seed: new Uint8Array(8) }),
  bufferBytes: 256,
  nowMs: 5000,
  isOpen: () => true,
  turn: () => Effect.yieldNow,
  ...options
})

const clean = (test: TestLog, options: Partial<LogCleaningOptions> = {}): Promise<number> =>
  Effect.runPromise(cleanLog(optionsFor(test, options)))

const names = (memory: MemoryDisk): ReadonlyArray<string> => [...memory.disk.list(DIRECTORY)].sort()

describe("cleanLog", () => {
  it("leaves the last value of each key, joins segments, and never touches the active one", async () => {
    const test = newLog(COMPACT)
    fill(test.log, 60, 1)
    const { log } = test
    const before = { table: tableOf(log), segments: log.segments.all, records: recordsOf(log) }
    const active = log.segments.active
    const inActive = before.records.filter((each) => Number(each.split(":")[0]) >= active.baseOffset)
    const next = await clean(test)
    expect(next).toBe(active.baseOffset)
    expect(tableOf(log)).toEqual(before.table)
    expect(log.segments.active).toBe(active)
    expect(log.segments.all.length).toBeLessThanOrEqual(before.segments.length)
    const after = recordsOf(log)
    // What has become small is joined by the next compaction.
    await clean(test)
    expect(log.segments.all.length).toBeLessThan(before.segments.length)
    expect(recordsOf(log)).toEqual(after)
    expect(after.length).toBeLessThan(before.records.length)
    expect(before.records).toEqual(expect.arrayContaining([...after]))
    expect(after.slice(-inActive.length)).toEqual(inActive)
    for (const segment of log.segments.all) expect(segment.size).toBeLessThanOrEqual(COMPACT.segmentBytes!)
    // Every offset is still found, by index or by scan: a gap leads to the next record.
    const offsets = after.map((each) => Number(each.split(":")[0]))
    for (let offset = 0; offset < log.logEndOffset; offset++) {
      expect(readAll(log, offset)[0]!.offset).toBe(offsets.find((each) => each >= offset))
    }
    // The files that were replaced wait to be deleted; no others are left over.
    expect(names(test.memory).some((name) => name.endsWith(".deleted"))).toBe(true)
    expect(names(test.memory).some((name) => /cleaned|swap/.test(name))).toBe(false)
    for (const run of test.scheduled) run()
    expect(names(test.memory).some((name) => name.endsWith(".deleted"))).toBe(false)
    expect(recordsOf(log)).toEqual(after)
    // A start finds the same.
    for (const isClean of [true, false]) {
      if (isClean) log.finish()
      const again = await reload(test.memory, { isClean, recoveryPoint: isClean ? log.logEndOffset : 0 })
      expect(recordsOf(again)).toEqual(after)
      again.close()
    }
  })

  it("goes on where the map was full, until all is compacted", async () => {
    const test = newLog(COMPACT)
    fill(test.log, 60, 2)
    const whole = newLog(COMPACT)
    fill(whole.log, 60, 2)
    await clean(whole)
    let firstDirtyOffset = 0
    const { firstUncleanableOffset } = range(test.log)
    let rounds = 0
    while (firstDirtyOffset < firstUncleanableOffset) {
      const map = new OffsetMap({ memoryBytes: 3 * 26, loadFactor: 1, seed: new Uint8Array(8) })
      const next = await clean(test, { map, range: { firstDirtyOffset, firstUncleanableOffset } })
      expect(next).toBeGreaterThan(firstDirtyOffset)
      firstDirtyOffset = next
      rounds++
    }
    expect(rounds).toBeGreaterThan(2)
    expect(recordsOf(test.log)).toEqual(recordsOf(whole.log))
  })

  it("does not change the bytes that a stalled reader has leased", async () => {
    const test = newLog(COMPACT)
    fill(test.log, 40, 3)
    const read = test.log.read(0, { maxBytes: 1 << 20, minOneBatch: true, endOffset: test.log.logEndOffset })
    if (read._tag !== "Read" || read.slice === undefined) throw new Error("nothing to read")
    const before = bytesOf(read.slice)
    await clean(test)
    for (const run of test.scheduled) run()
    expect(bytesOf(read.slice)).toEqual(before)
    read.slice.release()
  })

  it("gives others their turn after no more than a buffer, or one batch that is larger", async () => {
    const test = newLog({ ...COMPACT, segmentBytes: 100_000 })
    append(test.log, [kv("big", "x".repeat(3000))])
    fill(test.log, 30, 4)
    test.log.roll(2000)
    const turns: Array<number> = []
    await clean(test, { turn: (bytes) => Effect.sync(() => void turns.push(bytes)) })
    expect(Math.max(...turns)).toBeLessThan(2 * 3200)
    // The large batch is read and compacted once each.
    expect(turns.filter((bytes) => bytes > 1000).length).toBe(2)
    expect(turns.length).toBeGreaterThan(10)
  })

  it("keeps what is appended, rolled and read between its turns", async () => {
    const test = newLog(COMPACT)
    fill(test.log, 40, 5)
    let count = 0
    await clean(test, {
      turn: () =>
        Effect.sync(() => {
          append(test.log, [kv(`k${count % 8}`, `late${count++}`)])
          if (count % 7 === 0) test.log.roll(2000)
          readAll(test.log, 0)
        })
    })
    expect(count).toBeGreaterThan(10)
    const late = recordsOf(test.log).filter((each) => each.includes("late"))
    expect(late.length).toBe(count)
    const values = new Map([...tableOf(test.log)].map(([key, value]) => [key, value.split(":")[1]]))
    for (let key = 0; key < 8; key++) expect(values.get(`k${key}`)).toMatch(/^late/)
  })

  it("gives up, and loses nothing, when the log is truncated, cut at its start, or taken away under it", async () => {
    const changes: ReadonlyArray<(log: PartitionLog) => void> = [
      (log) => log.truncateTo(log.segments.at(1)!.baseOffset + 1),
      (log) => log.truncateTo(log.segments.at(log.segments.all.length - 2)!.baseOffset + 1),
      (log) => log.truncateFullyAndStartAt(1000),
      (log) => {
        log.incrementLogStartOffset(log.segments.at(2)!.baseOffset)
        log.retain(2000, log.logEndOffset)
      }
    ]
    for (const [which, change] of changes.entries()) {
      for (let at = 1; at < 80; at += 3) {
        const test = newLog(COMPACT)
        fill(test.log, 24, 6)
        let turns = 0
        let expected: ReadonlyMap<string, string> | undefined
        await Effect.runPromise(Effect.exit(cleanLog(optionsFor(test, {
          turn: () =>
            Effect.sync(() => {
              if (++turns !== at) return
              // Without the change, and what is compacted by now, the table would be this.
              const other = newLog(COMPACT)
              fill(other.log, 24, 6)
              const offset = which < 2 ? (which === 0 ? test.log.segments.at(1)! : test.log.segments.at(test.log.segments.all.length - 2)!).baseOffset + 1 : 0
              change(test.log)
              if (which < 2) {
                other.log.truncateTo(Math.min(offset, test.log.logEndOffset))
                expected = tableOf(other.log)
              }
              append(test.log, [kv("after", "1")])
            })
        }))))
        if (turns < at) break
        if (expected !== undefined) {
          const table = new Map(tableOf(test.log))
          table.delete("after")
          // What the truncation took may have been the reason for what was compacted before it: only before the swap.
          if (!names(test.memory).some((name) => name.endsWith(".deleted") && name.startsWith("00000000000000000000"))) {
            expect(table).toEqual(expected)
          }
        }
        expect(names(test.memory).filter((name) => /cleaned|swap/.test(name))).toEqual([])
        expect(tableOf(test.log).has("after")).toBe(true)
        const again = await reload(test.memory, { config: test.log.config, logStartOffset: test.log.logStartOffset })
        expect(recordsOf(again)).toEqual(recordsOf(test.log))
      }
    }
  })

  it("keeps aborted transactions invisible, before and after a start", async () => {
    const test = newLog(COMPACT)
    const { log } = test
    const transactional = { producerId: 5, producerEpoch: 0, isTransactional: true }
    const end = (isAbort: boolean): void => {
      const type = isAbort ? ControlRecordType.ABORT : ControlRecordType.COMMIT
      const marker = endTransactionBatch({ type, coordinatorEpoch: 1 }, { crypto, producerId: 5, producerEpoch: 0, timestamp: 1 })
      const appended = log.appendAsLeader(marker, { leaderEpoch: 0, nowMs: 1, apiVersion: 13, isCoordinator: true })
      expect(appended._tag).toBe("Appended")
      log.write()
    }
    let sequence = 0
    const visible = (): Map<string, string> => {
      const aborted = log.abortedTransactions(0, log.logEndOffset)
      const table = new Map<string, string>()
      const markers = new Set<number>()
      for (const { key, offset, value } of readAll(log, 0)) {
        const name = show(key)!
        if (!/^[a-z]/.test(name)) markers.add(offset)
        else if (!show(value)!.startsWith("bad")) table.set(name, show(value)!)
        else expect(aborted.some((each) => each.firstOffset <= offset)).toBe(true)
      }
      return table
    }
    for (let i = 0; i < 30; i++) {
      const isAbort = i % 3 === 0
      append(log, [kv(`k${i % 4}`, `${isAbort ? "bad" : "good"}${i}`)], { ...transactional, baseSequence: sequence++ })
      end(isAbort)
    }
    log.onHighWatermark(log.logEndOffset)
    const before = visible()
    await clean(test)
    expect(visible()).toEqual(before)
    const firstBad = recordsOf(log).find((each) => each.includes("bad"))
    const active = log.segments.active.baseOffset
    if (firstBad !== undefined) expect(Number(firstBad.split(":")[0])).toBeGreaterThanOrEqual(active)
    await clean(test, { nowMs: 9_000_000_000 })
    await clean(test, { nowMs: 99_000_000_000 })
    expect(visible()).toEqual(before)
    expect(log.abortedTransactions(0, active)).toEqual([])
  })

  it("loses nothing when the machine or the process stops at any operation", { timeout: 60_000 }, async () => {
    const crashes = [
      { _tag: "process" } as const,
      { _tag: "machine" } as const,
      ...[1, 2].map((seed) => ({ _tag: "machine", random: seeded(seed) } as const))
    ]
    let reached = 0
    for (const mode of crashes) {
      for (let at = 1;; at++) {
        const memory = new MemoryDisk()
        const test = newLog(COMPACT, memory)
        const { log } = test
        fill(log, 16, 7)
        await Effect.runPromise(log.flush)
        await Effect.runPromise(memory.disk.syncDirectory("/"))
        await Effect.runPromise(memory.disk.syncDirectory("/logs"))
        const before = { table: tableOf(log), records: recordsOf(log), end: log.logEndOffset }
        memory.stopAtOperation(memory.operations + at, seeded(at))
        const exit = await Effect.runPromise(Effect.exit(cleanLog(optionsFor(test))))
        const isDone = exit._tag === "Success"
        if (isDone) memory.stopAtOperation(Infinity)
        memory.crash(mode)
        const again = await reload(memory, { config: log.config, recoveryPoint: before.end })
        expect(again.logEndOffset, `stopped at ${at}`).toBe(before.end)
        expect(tableOf(again), `stopped at ${at}`).toEqual(before.table)
        expect(before.records).toEqual(expect.arrayContaining([...recordsOf(again)]))
        expect(names(memory).filter((name) => /cleaned|swap|deleted/.test(name))).toEqual([])
        // And it can be compacted.
        const twice: TestLog = { memory, context: contextOn(memory), log: again, scheduled: [] }
        await clean(twice)
        expect(tableOf(again)).toEqual(before.table)
        if (isDone) break
        reached++
      }
    }
    expect(reached).toBeGreaterThan(80)
  })

  it("leaves segments as they are when the disk is full, and nothing half done behind", async () => {
    const test = newLog(COMPACT)
    fill(test.log, 40, 8)
    const before = { records: recordsOf(test.log), table: tableOf(test.log) }
    let refused = 0
    for (let room = 0; room < 1200; room += 150) {
      test.memory.limitBytes = test.memory.usedBytes + room
      const kind = await Effect.runPromise(cleanLog(optionsFor(test)).pipe(
        Effect.as("Cleaned"),
        Effect.catchTag("DiskError", (error) => Effect.succeed(error.kind))
      ))
      if (kind === "NoSpace") refused++
      else expect(kind).toBe("Cleaned")
      expect(tableOf(test.log)).toEqual(before.table)
      expect(names(test.memory).filter((name) => /cleaned|swap/.test(name))).toEqual([])
    }
    expect(refused).toBeGreaterThan(1)
    test.memory.limitBytes = Infinity
    await clean(test)
    expect(tableOf(test.log)).toEqual(before.table)
    expect(recordsOf(test.log).length).toBeLessThan(before.records.length)
  })
})

describe("the cleaner", () => {
  interface Setup extends TestLog {
    readonly run: Effect.Effect<number>
    readonly checkpoint: () => ReadonlyMap<string, number>
    readonly failures: ReadonlyArray<string>
  }
  const withCleaner = (
    test: TestLog,
    body: (setup: Setup) => Effect.Effect<void>,
    options: { readonly enabled?: boolean; readonly highWatermark?: () => number } = {}
  ): Promise<void> =>
    Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const directory = yield* LogDirectory.open(test.memory.disk, crypto, "/logs", { brokerId: 1, clusterId: "c" })
      const failures: Array<string> = []
      const run = makeCleaner({
        context: { ...test.context, failed: (_, error) => void failures.push(error.message) },
        logs: () => [test.log],
        directoryOf: () => directory,
        highWatermark: options.highWatermark ?? ((log) => log.logEndOffset),
        nowMs: () => 5000,
        config: { number: (key) => SETTINGS[key] ?? NaN, boolean: () => options.enabled ?? true }
      })
      yield* body({ ...test, run, failures, checkpoint: () => directory.readOffsets(CLEANER_CHECKPOINT) })
    })))

  it("compacts a log that is due, once, and writes how far in cleaner-offset-checkpoint", async () => {
    const test = newLog(COMPACT)
    fill(test.log, 40, 9)
    const before = tableOf(test.log)
    await withCleaner(test, ({ checkpoint, log, run }) =>
      Effect.gen(function*() {
        const { baseOffset } = log.segments.active
        expect(yield* run).toBe(1)
        expect(tableOf(log)).toEqual(before)
        expect([...checkpoint()]).toEqual([["t-0", baseOffset]])
        expect(yield* run).toBe(0)
        fill(log, 20, 10)
        const more = tableOf(log)
        expect(yield* run).toBe(1)
        expect(tableOf(log)).toEqual(more)
        expect([...checkpoint()]).toEqual([["t-0", log.segments.active.baseOffset]])
      }))
  })

  it("leaves alone logs that are not compacted, are clean enough, or not replicated yet", async () => {
    for (const config of [{ cleanupPolicy: { compact: false, delete: true } }, { minCleanableDirtyRatio: 1 }]) {
      const test = newLog({ ...COMPACT })
      fill(test.log, 30, 11)
      test.log.setConfig({ ...test.log.config, ...config })
      await withCleaner(test, ({ run }) => Effect.map(run, (count) => expect(count).toBe(0)))
    }
    const test = newLog(COMPACT)
    fill(test.log, 30, 11)
    await withCleaner(test, ({ run }) => Effect.map(run, (count) => expect(count).toBe(0)), { highWatermark: () => 1 })
    await withCleaner(test, ({ run }) => Effect.map(run, (count) => expect(count).toBe(0)), { enabled: false })
  })

  it("leaves a log with a rotten batch as it is", async () => {
    const test = newLog(COMPACT)
    fill(test.log, 40, 12)
    test.memory.rot(test.log.segments.at(1)!.path, 75)
    const { all } = test.log.segments
    await withCleaner(test, ({ failures, log, memory, run }) =>
      Effect.gen(function*() {
        expect(yield* run).toBe(0)
        expect(yield* run).toBe(0)
        expect(log.segments.all.every((segment, i) => segment === all[i])).toBe(true)
        expect(names(memory).filter((name) => /cleaned|swap|deleted/.test(name))).toEqual([])
        expect(failures).toEqual([])
      }))
  })

  it("says that a disk failed, not that it is full", async () => {
    for (const kind of ["Io", "NoSpace"] as const) {
      const test = newLog(COMPACT)
      fill(test.log, 40, 13)
      const before = tableOf(test.log)
      await withCleaner(test, ({ failures, log, memory, run }) =>
        Effect.gen(function*() {
          memory.failWhen((operation, path) => operation === "write" && path.includes("cleaned") ? kind : undefined)
          expect(yield* run).toBe(0)
          expect(failures.length).toBe(kind === "Io" ? 1 : 0)
          expect(tableOf(log)).toEqual(before)
        }))
    }
  })
})
