import * as Effect from "effect/Effect"
import { describe, expect, test } from "vitest"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import { DiskError } from "../../core/ports/Disk.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { append, batchesIn, batchOf, bytesOf, newLog, readAll, reload, seeded, text, values } from "./TestLog.ts"

describe("append and read", () => {
  test("offsets are given in order and every offset reads from its batch on", () => {
    const { log } = newLog()
    expect(append(log, ["a", "b"])).toBe(0)
    expect(append(log, ["c"])).toBe(2)
    expect(append(log, ["d", "e", "f"])).toBe(3)
    expect(log.logEndOffset).toBe(6)
    expect(values(log, 0)).toEqual(["0:a", "1:b", "2:c", "3:d", "4:e", "5:f"])
    expect(values(log, 4)).toEqual(["4:e", "5:f"])
    const inside = log.read(4, { maxBytes: 1, minOneBatch: true, endOffset: 6 })
    expect(inside._tag === "Read" && batchesIn(bytesOf(inside.slice!))[0]!.baseOffset).toBe(3)
    expect(log.read(6, { maxBytes: 1, minOneBatch: true, endOffset: 6 })).toEqual({ _tag: "Read", slice: undefined })
    expect(log.read(7, { maxBytes: 1, minOneBatch: true, endOffset: 6 })._tag).toBe("OffsetOutOfRange")
    expect(log.read(-1, { maxBytes: 1, minOneBatch: true, endOffset: 6 })._tag).toBe("OffsetOutOfRange")
  })

  test("nothing staged is read before the write", () => {
    const { log } = newLog()
    append(log, ["a"])
    log.appendAsLeader(batchOf(["b"]), { leaderEpoch: 0, nowMs: 1, apiVersion: 13 })
    log.appendAsLeader(batchOf(["c"]), { leaderEpoch: 0, nowMs: 1, apiVersion: 13 })
    expect(log.logEndOffset).toBe(1)
    expect(values(log, 0)).toEqual(["0:a"])
    log.write()
    expect(values(log, 0)).toEqual(["0:a", "1:b", "2:c"])
  })

  test("a read gives whole batches within its bytes, the first even when larger if asked to", () => {
    const { log } = newLog()
    const size = batchOf(["x".repeat(100)]).length
    for (let i = 0; i < 10; i++) append(log, ["x".repeat(100)])
    const read = (maxBytes: number, minOneBatch: boolean, endOffset = 10) => {
      const result = log.read(2, { maxBytes, minOneBatch, endOffset })
      return result._tag === "Read" ? [result.slice?.length, result.nextOffset] : result._tag
    }
    expect(read(size - 1, false)).toEqual([undefined, undefined])
    expect(read(size - 1, true)).toEqual([size, 3])
    expect(read(size, false)).toEqual([size, 3])
    expect(read(3 * size + 5, false)).toEqual([3 * size, 5])
    expect(read(100 * size, false)).toEqual([8 * size, 10])
    expect(read(100 * size, false, 4)).toEqual([2 * size, 4])
    expect(read(100 * size, true, 2)).toEqual([undefined, undefined])
  })

  test("segments roll by size, and a read goes on from one to the next", () => {
    const { log, memory } = newLog({ segmentBytes: 1000 })
    for (let i = 0; i < 30; i++) append(log, [`value ${i}`])
    expect(log.segments.all.length).toBeGreaterThan(2)
    expect(log.segments.all.every((segment) => segment.size <= 1000)).toBe(true)
    expect(values(log, 0, 100)).toHaveLength(30)
    expect(values(log, 17)[0]).toBe("17:value 17")
    const second = log.segments.at(1)!.baseOffset
    const name = String(second).padStart(20, "0")
    expect(memory.disk.list("/logs/t-0")).toEqual(
      expect.arrayContaining([`${name}.log`, `${name}.index`, `${name}.timeindex`, `${name}.snapshot`])
    )
  })

  test("a batch larger than a segment is refused", () => {
    const { log } = newLog({ segmentBytes: 100 })
    const result = log.appendAsLeader(batchOf(["x".repeat(100)]), { leaderEpoch: 0, nowMs: 0, apiVersion: 13 })
    expect(result).toMatchObject({ _tag: "Refusal", error: ErrorCode.RECORD_LIST_TOO_LARGE })
  })

  test("segments roll by the records' time, by an index that is full, and by offsets that do not fit", () => {
    const byTime = newLog({ segmentMs: 1000 }).log
    append(byTime, [{ timestamp: 5000, value: text("a") }])
    append(byTime, [{ timestamp: 6000, value: text("b") }])
    expect(byTime.segments.all).toHaveLength(1)
    append(byTime, [{ timestamp: 6001, value: text("c") }])
    expect(byTime.segments.all.map(({ baseOffset }) => baseOffset)).toEqual([0, 2])
    byTime.rollIfDue(7000)
    expect(byTime.segments.all).toHaveLength(2)
    byTime.rollIfDue(7002)
    expect(byTime.segments.all.map(({ baseOffset }) => baseOffset)).toEqual([0, 2, 3])

    const byIndex = newLog({ segmentIndexBytes: 24, indexIntervalBytes: 10 }).log
    for (let i = 0; i < 10; i++) append(byIndex, [{ timestamp: i, value: text("a") }])
    expect(byIndex.segments.all.length).toBeGreaterThan(2)

    const byOffset = newLog().log
    append(byOffset, ["a"])
    const far = batchOf(["b"], { baseOffset: 2 ** 31 + 5 })
    byOffset.appendAsFollower(far, { nowMs: 0 })
    byOffset.write()
    expect(byOffset.segments.all).toHaveLength(2)
    expect(values(byOffset, 1)).toEqual([`${2 ** 31 + 5}:b`])
  })
})

describe("a disk that refuses", () => {
  test("a full disk takes back all that was staged, and takes more when there is room", async () => {
    const memory = new MemoryDisk()
    const { log } = newLog({}, memory)
    append(log, ["kept"], { producerId: 7, producerEpoch: 0, baseSequence: 0 })
    memory.limitBytes = memory.usedBytes + 150
    const options = { leaderEpoch: 3, nowMs: 1, apiVersion: 13 }
    const next = () => batchOf(["refused".repeat(8)], { producerId: 7, producerEpoch: 0, baseSequence: 1 })
    const third = () => batchOf(["refused".repeat(8)], { producerId: 7, producerEpoch: 0, baseSequence: 2 })
    expect(log.appendAsLeader(next(), options)).toMatchObject({ baseOffset: 1 })
    expect(log.appendAsLeader(third(), options)).toMatchObject({ baseOffset: 2 })
    expect(() => log.write()).toThrow("no space")
    expect(log.failed).toBeUndefined()
    expect(log.logEndOffset).toBe(1)
    expect(log.latestEpoch).toBe(0)
    expect(values(log, 0)).toEqual(["0:kept"])
    expect(log.activeProducers()[0]!.lastSequence).toBe(0)
    memory.limitBytes = Infinity
    expect(log.appendAsLeader(next(), options)).toMatchObject({ _tag: "Appended", baseOffset: 1, duplicate: false })
    log.write()
    memory.crash({ _tag: "process" })
    expect(values(await reload(memory), 0)).toEqual(["0:kept", `1:${"refused".repeat(8)}`])
  })

  test("a roll in the middle of what is staged is taken back too", async () => {
    for (let room = 0; room < 1500; room += 37) {
      const memory = new MemoryDisk()
      const { log } = newLog({ segmentBytes: 400, indexIntervalBytes: 50 }, memory)
      append(log, ["a".repeat(50)])
      append(log, ["b".repeat(50)])
      memory.limitBytes = memory.usedBytes + room
      for (let i = 0; i < 8; i++) log.appendAsLeader(batchOf(["c".repeat(50)]), { leaderEpoch: 1, nowMs: 1, apiVersion: 13 })
      let refused = false
      try {
        log.write()
      } catch {
        refused = true
      }
      memory.limitBytes = Infinity
      expect(log.logEndOffset).toBe(refused ? 2 : 10)
      expect(readAll(log, 0)).toHaveLength(refused ? 2 : 10)
      expect(append(log, ["d"])).toBe(refused ? 2 : 10)
      memory.crash({ _tag: "process" })
      const again = await reload(memory)
      expect(readAll(again, 0)).toHaveLength(refused ? 3 : 11)
      expect(again.latestEpoch).toBe(refused ? 0 : 1)
    }
  })

  test("retention makes room on a disk that is full", () => {
    const { log, memory, scheduled } = newLog({ segmentBytes: 300, retentionBytes: 300 })
    for (let i = 0; i < 12; i++) append(log, [`value ${i}`], { leaderEpoch: i })
    const used = memory.usedBytes
    memory.limitBytes = used
    expect(() => append(log, ["refused"])).toThrow("no space")
    expect(() => log.retain(0, log.logEndOffset)).toThrow("no space")
    for (const run of scheduled) run()
    expect(memory.usedBytes).toBeLessThan(used - 300)
    expect(log.failed).toBeUndefined()
    expect(append(log, ["taken"])).toBe(12)
    log.retain(1e15, log.logEndOffset)
    expect(log.logStartOffset).toBe(13)
    memory.limitBytes = memory.usedBytes
    expect(values(log, 13)).toEqual([])
  })

  test("a full disk does not refuse that an epoch begins or that records are truncated: what it cannot note comes first later", async () => {
    const memory = new MemoryDisk()
    const truncated: Array<number> = []
    const { context, log } = newLog({}, memory)
    const refuses = (): boolean => memory.limitBytes !== Infinity
    Object.assign(context, {
      truncated: () => {
        if (refuses()) throw new DiskError("NoSpace", "write", "recovery-point-offset-checkpoint", "full")
        truncated.push(log.logEndOffset)
      }
    })
    for (let epoch = 0; epoch < 4; epoch++) append(log, [`value ${epoch}`], { leaderEpoch: epoch })
    memory.limitBytes = 0
    log.truncateTo(2)
    expect(() => log.assignEpoch(7, 2)).toThrow("no space")
    expect([log.logEndOffset, log.latestEpoch, log.failed, truncated]).toEqual([2, 7, undefined, []])
    expect(() => append(log, ["refused"], { leaderEpoch: 7 })).toThrow("no space")
    expect([log.logEndOffset, log.latestEpoch, truncated]).toEqual([2, 7, []])
    memory.limitBytes = Infinity
    expect(append(log, ["taken"], { leaderEpoch: 7 })).toBe(2)
    // The recovery point was lowered before the log grew.
    expect(truncated).toEqual([2])
    memory.crash({ _tag: "process" })
    const again = await reload(memory)
    expect(values(again, 0)).toEqual(["0:value 0", "1:value 1", "2:taken"])
    expect(again.epochEntries).toEqual([{ epoch: 0, startOffset: 0 }, { epoch: 1, startOffset: 1 }, { epoch: 7, startOffset: 2 }])
  })

  test("a full disk lets go of what a reader still has, in several segments, and no restart brings it back", async () => {
    const memory = new MemoryDisk()
    const { log, scheduled } = newLog({ segmentBytes: 250, indexIntervalBytes: 0 }, memory)
    for (let i = 0; i < 9; i++) append(log, [`value ${i}`.padEnd(40)])
    expect(log.segments.all.length).toBeGreaterThan(2)
    const leased = log.read(0, { maxBytes: 1e6, minOneBatch: true, endOffset: log.logEndOffset })
    if (leased._tag !== "Read" || leased.slice === undefined) throw new Error("nothing was read")
    const bytes = bytesOf(leased.slice)
    memory.limitBytes = 0
    log.truncateTo(1)
    expect([log.logEndOffset, log.failed]).toEqual([1, undefined])
    expect(() => append(log, ["refused"])).toThrow("no space")
    expect(bytesOf(leased.slice)).toEqual(bytes)
    memory.limitBytes = Infinity
    for (let i = 1; i < 5; i++) expect(append(log, [`other ${i}`.padEnd(40)])).toBe(i)
    leased.slice.release()
    for (const run of scheduled) run()
    memory.crash({ _tag: "process" })
    expect(values(await reload(memory), 0).map((value) => value.trim()))
      .toEqual(["0:value 0", "1:other 1", "2:other 2", "3:other 3", "4:other 4"])
  })

  test("a write that begins several segments takes the names of those that a full disk had to keep", async () => {
    const memory = new MemoryDisk()
    const { log, scheduled } = newLog({ segmentBytes: 250, indexIntervalBytes: 0 }, memory)
    for (let i = 0; i < 9; i++) append(log, [`value ${i}`.padEnd(40)])
    expect(log.segments.all.map(({ baseOffset }) => baseOffset)).toEqual([0, 2, 4, 6, 8])
    const leased = log.read(0, { maxBytes: 1e6, minOneBatch: true, endOffset: log.logEndOffset })
    if (leased._tag !== "Read" || leased.slice === undefined) throw new Error("nothing was read")
    memory.limitBytes = 0
    // The segment at 2 says until when that at 0 counts.
    log.truncateTo(1)
    const stage = (i: number) => log.appendAsLeader(batchOf([`other ${i}`.padEnd(170)]), { leaderEpoch: 0, nowMs: 1000, apiVersion: 13 })
    for (let i = 1; i < 5; i++) stage(i)
    memory.limitBytes = memory.usedBytes + 600
    expect(() => log.write()).toThrow("no space")
    expect(log.logEndOffset).toBe(1)
    memory.limitBytes = Infinity
    for (let i = 1; i < 5; i++) stage(i)
    log.write()
    expect(log.segments.all.map(({ baseOffset }) => baseOffset)).toEqual([0, 1, 2, 3, 4])
    leased.slice.release()
    for (const run of scheduled) run()
    memory.crash({ _tag: "process" })
    expect(values(await reload(memory), 0).map((value) => value.trim()))
      .toEqual(["0:value 0", "1:other 1", "2:other 2", "3:other 3", "4:other 4"])
  })

  test("a full disk that has no room for the new segment of a log that begins elsewhere leaves the log as it is", async () => {
    const memory = new MemoryDisk()
    const { log, scheduled } = newLog({}, memory)
    append(log, ["a"])
    memory.failWhen((operation) => operation === "create" ? "NoSpace" : undefined)
    expect(() => log.truncateFullyAndStartAt(100)).toThrow("fault")
    for (const run of scheduled.splice(0)) run()
    expect([log.logStartOffset, log.logEndOffset, log.failed]).toEqual([0, 1, undefined])
    expect(values(log, 0)).toEqual(["0:a"])
    memory.failWhen(undefined)
    expect(append(log, ["b"])).toBe(1)
    memory.crash({ _tag: "process" })
    expect(values(await reload(memory), 0)).toEqual(["0:a", "1:b"])
  })

  test("a truncation that a full disk stops in the middle leaves a log that ends where its segments do", async () => {
    const memory = new MemoryDisk()
    const { log } = newLog({ segmentBytes: 250, indexIntervalBytes: 0 }, memory)
    for (let i = 0; i < 9; i++) append(log, [`value ${i}`.padEnd(40)], { producerId: 1, producerEpoch: 0, baseSequence: i, leaderEpoch: i })
    const leased = log.read(2, { maxBytes: 1e6, minOneBatch: true, endOffset: log.logEndOffset })
    if (leased._tag !== "Read" || leased.slice === undefined) throw new Error("nothing was read")
    memory.failWhen((operation) => operation === "create" ? "NoSpace" : undefined)
    expect(() => log.truncateTo(2)).toThrow("fault")
    expect([log.logEndOffset, log.latestEpoch, log.failed]).toEqual([4, 3, undefined])
    expect(log.activeProducers()).toMatchObject([{ producerId: 1, lastSequence: 3 }])
    expect(values(log, 0)).toHaveLength(4)
    memory.failWhen(undefined)
    log.truncateTo(2)
    expect([log.logEndOffset, log.latestEpoch]).toEqual([2, 1])
    leased.slice.release()
    memory.crash({ _tag: "process" })
    expect(values(await reload(memory), 0).map((value) => value.trim())).toEqual(["0:value 0", "1:value 1"])
  })

  test("any other failure is the end of the log until a restart", () => {
    const { log, memory } = newLog()
    append(log, ["a"])
    memory.failWhen((operation) => operation === "write" ? "Io" : undefined)
    expect(() => append(log, ["b"])).toThrow("fault")
    memory.failWhen(undefined)
    expect(log.failed?.kind).toBe("Io")
    expect(() => append(log, ["b"])).toThrow("fault")
    expect(values(log, 0)).toEqual(["0:a"])
  })
})

describe("leases", () => {
  const stalled = () => {
    const made = newLog({ segmentBytes: 500, cleanupPolicy: { compact: false, delete: true }, retentionBytes: 1 })
    for (let i = 0; i < 12; i++) append(made.log, [`value ${i}`])
    const read = made.log.read(0, { maxBytes: 400, minOneBatch: true, endOffset: 12 })
    if (read._tag !== "Read" || read.slice === undefined) throw new Error("nothing read")
    return { ...made, slice: read.slice, before: bytesOf(read.slice) }
  }

  test("retention removes the segment under a stalled slice, whose bytes stay", () => {
    const { before, log, memory, scheduled, slice } = stalled()
    log.retain(1e15, log.logEndOffset)
    for (const run of scheduled) run()
    expect(log.logStartOffset).toBe(12)
    expect(memory.disk.list("/logs/t-0").filter((name) => name.endsWith(".log"))).toHaveLength(1)
    append(log, ["more"])
    expect(bytesOf(slice)).toEqual(before)
    slice.release()
    expect(() => bytesOf(slice)).toThrow("closed")
  })

  test("truncation cuts the segment under a stalled slice, whose bytes stay while others are written there", async () => {
    const { before, log, memory, slice } = stalled()
    log.truncateTo(2)
    expect(log.logEndOffset).toBe(2)
    append(log, ["other 2"])
    append(log, ["other 3"])
    expect(bytesOf(slice)).toEqual(before)
    expect(values(log, 0)).toEqual(["0:value 0", "1:value 1", "2:other 2", "3:other 3"])
    slice.release()
    memory.crash({ _tag: "process" })
    expect(values(await reload(memory), 0)).toEqual(["0:value 0", "1:value 1", "2:other 2", "3:other 3"])
  })

  test("what was truncated under a reader stays away when the rest of its segment goes too, and then the power", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { log, memory, slice } = stalled()
      const [, second] = log.segments.all
      const base = second!.baseOffset
      const read = log.read(base, { maxBytes: 400, minOneBatch: true, endOffset: 12 })
      if (read._tag !== "Read" || read.slice === undefined) throw new Error("nothing read")
      for (const path of ["/", "/logs"]) await Effect.runPromise(memory.disk.syncDirectory(path))
      log.truncateTo(base + 1)
      await Effect.runPromise(log.flush)
      slice.release()
      read.slice.release()
      log.truncateTo(base)
      memory.crash({ _tag: "machine", random: seeded(seed) })
      expect((await reload(memory)).logEndOffset, `seed ${seed}`).toBeLessThanOrEqual(base + 1)
    }
  })

  test("a log that is truncated fully, and a log that is closed, keep what is leased", () => {
    const { before, log, scheduled, slice } = stalled()
    log.truncateFullyAndStartAt(100)
    for (const run of scheduled) run()
    expect(append(log, ["hundred"])).toBe(100)
    log.close()
    expect(bytesOf(slice)).toEqual(before)
    slice.release()
  })
})

describe("leader epochs", () => {
  test("a leader's epoch begins with its first batch, and ends where the next begins", () => {
    const { log } = newLog()
    append(log, ["a", "b"], { leaderEpoch: 2 })
    append(log, ["c"], { leaderEpoch: 5 })
    append(log, ["d"], { leaderEpoch: 5 })
    expect(log.latestEpoch).toBe(5)
    expect(log.endOffsetForEpoch(2)).toEqual({ leaderEpoch: 2, endOffset: 2 })
    expect(log.endOffsetForEpoch(4)).toEqual({ leaderEpoch: 2, endOffset: 2 })
    expect(log.endOffsetForEpoch(5)).toEqual({ leaderEpoch: 5, endOffset: 4 })
    expect(log.endOffsetForEpoch(1)).toEqual({ leaderEpoch: 1, endOffset: 0 })
    expect(log.endOffsetForEpoch(6)).toEqual({ leaderEpoch: -1, endOffset: -1 })
    log.truncateTo(2)
    expect(log.latestEpoch).toBe(2)
  })

  test("a leadership that wrote nothing is forgotten when its end is cut, although no record goes", () => {
    const { log } = newLog()
    append(log, ["a", "b"], { leaderEpoch: 2 })
    log.assignEpoch(5, 2)
    expect(log.latestEpoch).toBe(5)
    log.truncateTo(2)
    expect(log.logEndOffset).toBe(2)
    expect(log.latestEpoch).toBe(2)
  })

  test("a log begins where its first epoch does: deleted records do not come back with an older checkpoint of log starts", async () => {
    const { log, memory } = newLog({ segmentBytes: 150 })
    append(log, ["a"], { leaderEpoch: 0 })
    append(log, ["b"], { leaderEpoch: 1 })
    append(log, ["c", "d"], { leaderEpoch: 1 })
    for (const logStartOffset of [1, 3, 4]) {
      log.incrementLogStartOffset(logStartOffset)
      for (const isClean of [false, true]) {
        const again = await reload(memory, { isClean, recoveryPoint: isClean ? 4 : 0 })
        expect(again).toMatchObject({ logStartOffset, logEndOffset: 4 })
      }
    }
  })

  test("a log begins with records from before there were epochs, too", async () => {
    const { log, memory } = newLog()
    log.appendAsFollower(batchOf(["a", "b"], { leaderEpoch: -1 }), { nowMs: 0 })
    log.write()
    append(log, ["c"], { leaderEpoch: 2 })
    expect(log.epochEntries).toEqual([{ epoch: 2, startOffset: 2 }])
    expect(await reload(memory)).toMatchObject({ logStartOffset: 0, logEndOffset: 3 })
  })

  test("epochs are found again in the batches when a crash took the checkpoint", async () => {
    const { log, memory } = newLog()
    append(log, ["a", "b"], { leaderEpoch: 2 })
    append(log, ["c"], { leaderEpoch: 5 })
    const entries = log.epochEntries
    memory.disk.remove("/logs/t-0/leader-epoch-checkpoint")
    memory.crash({ _tag: "process" })
    expect((await reload(memory)).epochEntries).toEqual(entries)
  })
})

describe("time", () => {
  test("offsets by timestamp: the first record at or after it", () => {
    const { log } = newLog({ segmentBytes: 700, indexIntervalBytes: 100 })
    for (let i = 0; i < 30; i++) {
      append(log, [{ timestamp: 1000 + i * 10, value: text("x") }, { timestamp: 1005 + i * 10, value: text("y") }])
    }
    expect(log.offsetForTimestamp(0)).toEqual({ offset: 0, timestamp: 1000, leaderEpoch: 0 })
    expect(log.offsetForTimestamp(1005)).toEqual({ offset: 1, timestamp: 1005, leaderEpoch: 0 })
    expect(log.offsetForTimestamp(1201)).toEqual({ offset: 41, timestamp: 1205, leaderEpoch: 0 })
    expect(log.offsetForTimestamp(1296)).toBeUndefined()
    expect(log.maxTimestampOffset()).toEqual({ offset: 59, timestamp: 1295, leaderEpoch: 0 })
    log.incrementLogStartOffset(5)
    expect(log.offsetForTimestamp(0)).toMatchObject({ offset: 5 })
  })

  test("timestamps out of order: the largest comes first", () => {
    const { log } = newLog({ indexIntervalBytes: 60 })
    for (const timestamp of [10, 50, 20, 50, 60, 5]) append(log, [{ timestamp, value: text("x") }])
    expect(log.offsetForTimestamp(15)).toMatchObject({ offset: 1, timestamp: 50 })
    expect(log.offsetForTimestamp(51)).toMatchObject({ offset: 4, timestamp: 60 })
    expect(log.maxTimestampOffset()).toMatchObject({ offset: 4, timestamp: 60 })
  })

  test("where no record has a time, the largest is none, of the first record", () => {
    const { log } = newLog({ segmentBytes: 200 })
    expect(log.maxTimestampOffset()).toBeUndefined()
    for (let i = 0; i < 6; i++) append(log, [{ timestamp: -1, value: text("x") }, { timestamp: -1, value: text("y") }])
    expect(log.maxTimestampOffset()).toEqual({ offset: 0, timestamp: -1, leaderEpoch: 0 })
    append(log, [{ timestamp: 0, value: text("z") }])
    expect(log.maxTimestampOffset()).toEqual({ offset: 12, timestamp: 0, leaderEpoch: 0 })
  })

  test("log-append time is the broker's", () => {
    const { log } = newLog({ messageTimestampType: "LogAppendTime" })
    const result = log.appendAsLeader(batchOf(["a"]), { leaderEpoch: 0, nowMs: 777, apiVersion: 13 })
    log.write()
    expect(result).toMatchObject({ logAppendTimeMs: 777 })
    expect(log.offsetForTimestamp(1)).toMatchObject({ offset: 0, timestamp: 777 })
  })
})

describe("flush", () => {
  test("flush.messages and flush.ms say when, and what was flushed survives the machine", async () => {
    const memory = new MemoryDisk()
    const { log } = newLog({ flushMessages: 3, flushMs: 1000 }, memory)
    await Effect.runPromise(memory.disk.syncDirectory("/"))
    await Effect.runPromise(memory.disk.syncDirectory("/logs"))
    append(log, ["a", "b"], { nowMs: 0 })
    expect(log.flushDue(999)).toBe(false)
    expect(log.flushDue(1000)).toBe(true)
    append(log, ["c"], { nowMs: 10 })
    expect(log.flushDue(10)).toBe(true)
    await Effect.runPromise(Effect.all([log.flush, log.flush, log.flush], { concurrency: 3 }))
    expect(log.flushedOffset).toBe(3)
    expect(log.flushDue(5000)).toBe(false)
    append(log, ["d"])
    memory.crash({ _tag: "machine" })
    expect(values(await reload(memory), 0)).toEqual(["0:a", "1:b", "2:c"])
  })

  test("who asks while a flush runs gets one that covers what was written meanwhile", async () => {
    const { log, memory } = newLog()
    await Effect.runPromise(memory.disk.syncDirectory("/"))
    await Effect.runPromise(memory.disk.syncDirectory("/logs"))
    append(log, ["a"])
    await Effect.runPromise(Effect.gen(function*() {
      const first = yield* Effect.forkChild(log.flush, { startImmediately: true })
      append(log, ["b"])
      yield* log.flush
      expect(log.flushedOffset).toBe(2)
      void first
    }))
    memory.crash({ _tag: "machine" })
    expect(values(await reload(memory), 0)).toEqual(["0:a", "1:b"])
  })

  test.each(["Io", "NoSpace"] as const)("a sync that fails (%s) is the end of the log: its pages are unknown", async (kind) => {
    const { log, memory } = newLog()
    append(log, ["a"])
    memory.failWhen((operation) => operation === "sync" ? kind : undefined)
    expect((await Effect.runPromise(Effect.flip(log.flush))).kind).toBe(kind)
    memory.failWhen(undefined)
    expect((await Effect.runPromise(Effect.flip(log.flush))).kind).toBe(kind)
    expect(log.flushedOffset).toBe(0)
    expect(() => append(log, ["b"])).toThrow("fault")
  })
})
