import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { describe, expect, test } from "vitest"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { append, newLog, values } from "./TestLog.ts"

/** A log of three records, and what `during` does while the device works on their flush. */
const whileFlushing = async (during: (log: PartitionLog) => void): Promise<PartitionLog> => {
  const device = Deferred.makeUnsafe<void>()
  const { log } = newLog({}, new MemoryDisk({ device: Deferred.await(device) }))
  for (const value of ["a", "b", "c"]) append(log, [value])
  await Effect.runPromise(Effect.gen(function*() {
    const flush = yield* Effect.forkChild(log.flush, { startImmediately: true })
    during(log)
    Deferred.doneUnsafe(device, Effect.void)
    yield* Fiber.join(flush)
  }))
  return log
}

describe("a flush that runs", () => {
  test("does not cover what is written in the place of what was truncated meanwhile", async () => {
    const log = await whileFlushing((log) => {
      log.truncateTo(1)
      append(log, ["other"], { leaderEpoch: 1 })
      append(log, ["another"], { leaderEpoch: 1 })
    })
    expect(values(log, 0)).toEqual(["0:a", "1:other", "2:another"])
    expect(log.flushedOffset).toBe(1)
  })

  test("does not cover a log that began elsewhere meanwhile", async () => {
    const log = await whileFlushing((log) => {
      log.truncateFullyAndStartAt(1)
      append(log, ["other"], { leaderEpoch: 1 })
    })
    expect(values(log, 1)).toEqual(["1:other"])
    expect(log.flushedOffset).toBe(1)
  })
})
