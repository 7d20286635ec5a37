/** Truncations that a full disk stops where readers have what was truncated before them. */
import { describe, expect, test } from "vitest"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { append, newLog, reload, text, values } from "./TestLog.ts"

/** For as long as the test runs. */
const readToEnd = (log: PartitionLog, from: number): void => {
  const read = log.read(from, { maxBytes: 1e6, minOneBatch: true, endOffset: log.logEndOffset })
  if (read._tag !== "Read" || read.slice === undefined) throw new Error("nothing was read")
}

/** Segments at 0 and 1 whose files go on with what readers have of two histories, then one at 2 and one at 4. */
const withReaders = () => {
  const made = newLog({ segmentBytes: 250, indexIntervalBytes: 0 })
  const { log } = made
  const put = (history: string) => append(log, [{ timestamp: 1000, value: text(`${history} ${log.logEndOffset}`.padEnd(40)) }])
  for (let i = 0; i < 2; i++) put("first")
  readToEnd(log, 0)
  log.truncateTo(1)
  for (let i = 0; i < 2; i++) put("second")
  readToEnd(log, 1)
  log.truncateTo(2)
  for (let i = 0; i < 4; i++) put("third")
  expect(log.segments.all.map(({ baseOffset }) => baseOffset)).toEqual([0, 1, 2, 4])
  return { ...made, put }
}

const trimmed = (log: PartitionLog): ReadonlyArray<string> => values(log, 0).map((value) => value.trim())

describe("a truncation that a full disk stops", () => {
  test("between two segments that are emptied: the log ends where the first of them begins, not where it ended", async () => {
    const { log, memory, put } = withReaders()
    let creates = 0
    memory.failWhen((operation) => operation === "create" && ++creates > 1 ? "NoSpace" : undefined)
    expect(() => log.truncateTo(0)).toThrow("fault")
    memory.failWhen(undefined)
    expect([log.logEndOffset, log.failed]).toEqual([1, undefined])
    expect(trimmed(log)).toEqual(["0:first 0"])
    expect(put("fourth")).toBe(1)
    memory.crash({ _tag: "process" })
    expect(trimmed(await reload(memory))).toEqual(["0:first 0", "1:fourth 1"])
  })

  test.each([".index", ".log"])("at the name of a segment behind one that is emptied already (%s): neither is in the log", async (suffix) => {
    const { log, memory, put } = withReaders()
    memory.failWhen((operation, path) => operation === "rename" && path.endsWith(`2${suffix}`) ? "NoSpace" : undefined)
    expect(() => log.truncateTo(0)).toThrow("fault")
    expect([log.logEndOffset, log.failed]).toEqual([1, undefined])
    expect(trimmed(log)).toEqual(["0:first 0"])
    // The log does not grow before the name is free: a start would find the segment again.
    expect(() => put("refused")).toThrow("fault")
    memory.failWhen(undefined)
    for (let i = 1; i < 4; i++) expect(put("fourth")).toBe(i)
    memory.crash({ _tag: "process" })
    expect(trimmed(await reload(memory))).toEqual(["0:first 0", "1:fourth 1", "2:fourth 2", "3:fourth 3"])
  })

  test("at the last of a segment's names: it is read by its indexes as before", () => {
    const { log, memory } = newLog({ segmentBytes: 2000, indexIntervalBytes: 0 })
    for (let i = 0; i < 40; i++) append(log, [`value ${i}`])
    const second = log.segments.at(1)!
    memory.failWhen((operation, path) => operation === "rename" && path === second.path ? "NoSpace" : undefined)
    expect(() => log.truncateTo(5)).toThrow("fault")
    memory.failWhen(undefined)
    for (const { path } of [second.offsetIndex, second.timeIndex]) expect(memory.disk.stat(path)?.kind).toBe("file")
    second.close()
    expect(log.logEndOffset).toBeGreaterThan(second.baseOffset)
    for (let offset = 0; offset < log.logEndOffset; offset++) expect(values(log, offset, 1)[0]).toBe(`${offset}:value ${offset}`)
  })
})
