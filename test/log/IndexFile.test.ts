/** What a full disk takes of an index, and of the batches that it refuses with it. */
import * as Effect from "effect/Effect"
import { expect, test } from "vitest"
import { TransactionIndex } from "../../core/log/TransactionIndex.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import { batchOf, append, newLog, reload, values } from "./TestLog.ts"

test("an index that a full disk took a part of names no refused batch after a clean stop", async () => {
  const config = { segmentBytes: 250, indexIntervalBytes: 0 }
  let refused = 0
  for (let room = 0; room < 400; room++) {
    const { log, memory } = newLog(config)
    append(log, ["a"])
    memory.limitBytes = memory.usedBytes + room
    // Two that fit the segment, with an entry each, and one that begins the next, which is when the entries are written.
    for (const value of ["b", "c", "d"]) log.appendAsLeader(batchOf([value]), { leaderEpoch: 0, nowMs: 1000, apiVersion: 13 })
    let end = 4
    try {
      log.write()
    } catch {
      end = 1
      refused++
    }
    memory.limitBytes = Infinity
    expect(log.logEndOffset).toBe(end)
    log.finish()
    await Effect.runPromise(log.flush)
    log.close()
    const again = await reload(memory, { isClean: true, recoveryPoint: end, config: log.config })
    expect(again.logEndOffset, `room for ${room} bytes`).toBe(end)
    expect(values(again, 0)).toHaveLength(end)
  }
  expect(refused).toBeGreaterThan(0)
  expect(refused).toBeLessThan(400)
})

test("an index of aborted transactions that is cut on a full disk keeps the others", () => {
  const memory = new MemoryDisk()
  const index = new TransactionIndex(memory.disk, "/a.txnindex", true)
  const entries = [10, 20, 30].map((lastOffset) => ({ producerId: 1, firstOffset: lastOffset - 5, lastOffset, lastStableOffset: lastOffset + 1 }))
  for (const entry of entries) index.append(entry)
  memory.failWhen((operation) => operation === "write" ? "NoSpace" : undefined)
  index.truncateTo(25)
  expect(index.entries).toEqual(entries.slice(0, 2))
  expect(new TransactionIndex(memory.disk, "/a.txnindex", false).entries).toEqual(entries.slice(0, 2))
})
