import { describe, expect, it } from "vitest"
import { EVICTION_MS, type FetchPartition, FetchSessions, nextEpoch, partitionKey } from "../../core/broker/FetchSessions.ts"

const partitions = (count: number): Array<FetchPartition> =>
  Array.from({ length: count }, (_, partition) => ({
    topic: "t",
    topicId: "AAAAAAAAAAAAAAAAAAAAAA",
    partition,
    fetchOffset: 0,
    maxBytes: 1024,
    currentLeaderEpoch: -1,
    lastFetchedEpoch: -1,
    logStartOffset: -1,
    sentHighWatermark: -1,
    sentLogStartOffset: -1
  }))

/** 0 and repeated numbers among the first, as dice may give. */
const dice = (): () => number => {
  const throws = [0, 5, 5, 0, 6]
  let next = 7
  return () => throws.shift() ?? next++
}

describe("FetchSessions", () => {
  it("gives ids that are not 0 and not taken", () => {
    const sessions = new FetchSessions(() => 10, dice())
    expect(sessions.create(partitions(1), true, 0)!.id).toBe(5)
    expect(sessions.create(partitions(1), true, 0)!.id).toBe(6)
  })

  it("gives no session when all places are taken by sessions in use", () => {
    const sessions = new FetchSessions(() => 2, dice())
    sessions.create(partitions(1), true, 0)
    sessions.create(partitions(1), true, 0)
    expect(sessions.create(partitions(9), true, EVICTION_MS)).toBeUndefined()
    expect(sessions.size).toBe(2)
  })

  it("gives up the session that was used least recently once it is unused for long enough", () => {
    const sessions = new FetchSessions(() => 2, dice())
    const first = sessions.create(partitions(1), true, 0)!
    const second = sessions.create(partitions(1), true, 0)!
    sessions.touch(first, 1000)
    const third = sessions.create(partitions(1), true, EVICTION_MS + 1)
    expect(third).toBeDefined()
    expect(sessions.get(second.id)).toBeUndefined()
    expect(sessions.get(first.id)).toBe(first)
  })

  it("prefers a larger session over a smaller one that is old, though in use", () => {
    const sessions = new FetchSessions(() => 2, dice())
    const small = sessions.create(partitions(2), true, 0)!
    const large = sessions.create(partitions(5), true, 0)!
    const now = EVICTION_MS + 1
    sessions.touch(small, now)
    sessions.touch(large, now)
    expect(sessions.create(partitions(2), true, now)).toBeUndefined()
    expect(sessions.create(partitions(3), true, now)).toBeDefined()
    expect(sessions.get(small.id)).toBeUndefined()
    expect(sessions.get(large.id)).toBe(large)
  })

  it("gives none at all when told to keep none", () => {
    expect(new FetchSessions(() => 0, dice()).create(partitions(1), true, 0)).toBeUndefined()
  })

  it("counts epochs from 1 to the largest int32 and then from 1 again", () => {
    expect([nextEpoch(0), nextEpoch(1), nextEpoch(0x7fffffff), nextEpoch(-1)]).toEqual([1, 2, 1, -1])
  })

  it("keeps partitions of topics by name and by id apart", () => {
    expect(partitionKey("a", "x", 1)).not.toBe(partitionKey(null, "x", 1))
    expect(partitionKey("a", "x", 11)).not.toBe(partitionKey("1/a", "x", 1))
  })

  it("keeps replicas' sessions from consumers, and gives a replica the place of a consumer's at any age", () => {
    const sessions = new FetchSessions(() => 2, dice())
    const consumer = sessions.create(partitions(9), true, 0)!
    const replica = sessions.create(partitions(1), true, 0, true)!
    const now = EVICTION_MS + 1
    for (const session of [consumer, replica]) sessions.touch(session, now)
    // A consumer's takes no replica's place, however large, only that of a smaller consumer's.
    const other = sessions.create(partitions(20), true, now)!
    expect(sessions.get(consumer.id)).toBeUndefined()
    expect(sessions.get(replica.id)).toBe(replica)
    expect(sessions.create(partitions(99), true, now)).toBeUndefined()
    // That is new and in use, and gives way to a replica's all the same.
    const second = sessions.create(partitions(1), true, now, true)!
    expect(sessions.get(other.id)).toBeUndefined()
    // Among replicas' sessions age and size count again.
    expect(sessions.create(partitions(1), true, now, true)).toBeUndefined()
    const third = sessions.create(partitions(2), true, now, true)!
    expect(sessions.get(replica.id)).toBeUndefined()
    expect([sessions.get(second.id), sessions.get(third.id)]).toEqual([second, third])
  })
})
