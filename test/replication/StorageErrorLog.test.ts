import fc from "fast-check"
import { expect, it } from "vitest"
import { STORAGE_ERROR_INTERVAL_MS, StorageErrorLog } from "../../core/replication/StorageErrorLog.ts"

it("every error is told or counted, a change of kind at once, and the same kind once in an interval", () => {
  const kinds = ["full", "failed"] as const
  fc.assert(fc.property(
    fc.array(fc.record({ kind: fc.constantFrom(...kinds), afterMs: fc.nat(STORAGE_ERROR_INTERVAL_MS) }), { maxLength: 200 }),
    (errors) => {
      const log = new StorageErrorLog()
      let nowMs = 1_000_000
      let last: { readonly kind: string; readonly ms: number } | undefined
      let untold = 0
      for (const { afterMs, kind } of errors) {
        nowMs += afterMs
        const told = log.note(kind, nowMs)
        const isDue = last === undefined || last.kind !== kind || nowMs - last.ms >= STORAGE_ERROR_INTERVAL_MS
        expect(told).toBe(isDue ? untold : undefined)
        if (told === undefined) untold++
        else [untold, last] = [0, { kind, ms: nowMs }]
      }
    }
  ))
})

it("a thousand refusals in a second are one line", () => {
  const log = new StorageErrorLog()
  const told = Array.from({ length: 1000 }, (_, i) => log.note("full", i)).filter((one) => one !== undefined)
  expect(told).toEqual([0])
  expect(log.note("full", STORAGE_ERROR_INTERVAL_MS)).toBe(999)
})
