/** The judge of the cluster's crash run says what is wrong, and nothing else. */
import { describe, expect, it } from "vitest"
import { Told } from "./Producers.ts"
import { Seen } from "./Readers.ts"
import { checkCommitted, checkLog, checkSeen, type LogRecord } from "./Verify.ts"

const at = (partition: number, offset: number, value: string): LogRecord => ({ partition, offset, value })
const log = [at(0, 0, "1.0"), at(0, 1, "2.0"), at(0, 2, "1.2"), at(1, 0, "1.1"), at(1, 1, "1.3")]

const told = (...acknowledged: ReadonlyArray<readonly [number: number, partition: number, offset: number]>): Told => {
  const one = new Told("Java", 1)
  for (const each of acknowledged) one.acknowledge(...each)
  return one
}

describe("the log", () => {
  it("holds what was acknowledged, and may hold more", () => {
    expect(checkLog(log, [told([0, 0, 0], [1, 1, 0], [2, 0, 2])])).toEqual([])
    // acknowledged as a duplicate, without an offset
    expect(checkLog(log, [told([2, 0, -1])])).toEqual([])
  })

  it("is wrong when a record is lost, elsewhere, twice, or out of its producer's order", () => {
    expect(checkLog(log, [told([4, 0, 3])])).toEqual(["Java: 4 was acknowledged at 0 3 and is not in the log"])
    expect(checkLog(log, [told([2, 0, 1])])).toEqual(["Java: 2 was acknowledged at 0 1 and is at 0 2"])
    expect(checkLog(log, [told([2, 1, -1])])).toEqual(["Java: 2 was acknowledged at 1 -1 and is at 0 2"])
    expect(checkLog([...log, at(1, 2, "1.0")], [])).toContain("1.0 is at 0 0 and at 1 2")
    expect(checkLog([at(0, 0, "1.2"), at(0, 1, "1.0")], [])).toEqual(["1.0 at 0 1 comes after 1.2"])
    expect(checkLog([at(0, 0, "1.0"), at(0, 2, "1.1")], [])).toEqual(["offset 2 in partition 0 where 1 was due"])
    expect(checkLog(log, [told([0, 0, 0], [0, 0, 0])])).toEqual(["Java: 0 was acknowledged twice"])
  })

  it("shows a producer's oldest record without an answer", () => {
    const one = told([0, 0, 0], [2, 0, 2])
    expect([one.oldestOpen, one.newest]).toEqual([1, 2])
    one.acknowledge(1, 1, 0)
    expect(one.oldestOpen).toBe(3)
  })
})

describe("a group", () => {
  const seenBy = (...records: ReadonlyArray<LogRecord>): Seen => {
    const seen = new Seen("g")
    const member = seen.member("a")
    for (const { offset, partition, value } of records) member.record(partition, offset, value)
    return seen
  }

  it("sees every record, again too when it lost its partitions meanwhile", () => {
    const seen = seenBy(...log)
    expect(checkSeen(log, seen)).toEqual([])
    const other = seen.member("b")
    other.record(0, 1, "2.0")
    other.assigned()
    other.record(0, 1, "2.0")
    expect(checkSeen(log, seen)).toEqual([])
    expect(seen.again).toBe(2)
  })

  it("has committed the end of each partition when it is done", () => {
    expect(checkCommitted(log, "g", [3, 2, -1])).toEqual([])
    expect(checkCommitted(log, "g", [3, 1, 0])).toEqual(["group g has committed 1 of partition 1, which ends at 2"])
    expect(checkCommitted(log, "g", [-1, 2])).toEqual(["group g has committed -1 of partition 0, which ends at 3"])
  })

  it("is wrong when it misses one, sees another, or goes back by itself", () => {
    expect(checkSeen(log, seenBy(...log.slice(1)))).toEqual(["group g never saw 1.0 at 0 0"])
    expect(checkSeen(log, seenBy(at(0, 0, "9.9"), ...log.slice(1)))).toEqual(["group g saw 9.9 at 0 0, where 1.0 is"])
    expect(checkSeen(log, seenBy(...log, at(2, 0, "1.9")))).toEqual(["group g saw 1 records that are not in the log"])
    expect(checkSeen(log, seenBy(...log, at(0, 1, "2.0")))).toEqual(["a: 0 1 after offset 2 without losing the partition"])
  })
})
