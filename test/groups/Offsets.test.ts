/** Committed offsets: who may commit, what is told, when they go. */
import { describe, expect, it } from "vitest"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { MAX_EXPIRED_PER_APPEND } from "../../core/groups/GroupConfig.ts"
import { subscription, TestGroups } from "./TestGroups.ts"

const DAY = 24 * 3600_000
const ID = "abcdefghijklmnopqrstuA"
const OTHER_ID = "abcdefghijklmnopqrstuQ"

const loaded = (config = {}): TestGroups => {
  const groups = new TestGroups(config)
  groups.perform(groups.state.loaded(groups.now))
  return groups
}

describe("committing", () => {
  it("is for members of the generation, with their own id", () => {
    const groups = new TestGroups()
    const [member] = groups.stable(1)
    expect(groups.commitCode(5, member!)).toBe(ErrorCode.NONE)
    expect(groups.commitCode(6, { ...member!, generationId: 0 })).toBe(ErrorCode.ILLEGAL_GENERATION)
    expect(groups.commitCode(6, { memberId: "x", generationId: 1 })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(groups.commitCode(6)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(groups.committed()).toEqual({ "t-0": 5 })
  })

  it("without a generation is for groups that nobody is in, and makes one that is not there", () => {
    const groups = new TestGroups()
    expect(groups.commitCode(1)).toBe(ErrorCode.NONE)
    expect(groups.group()).toMatchObject({ state: "Empty", protocolType: null })
    expect(groups.commitCode(1, { groupId: "other", generationId: 3, memberId: "m", apiVersion: 9 })).toBe(ErrorCode.GROUP_ID_NOT_FOUND)
    expect(groups.commitCode(1, { groupId: "other", generationId: 3, memberId: "m", apiVersion: 8 })).toBe(ErrorCode.ILLEGAL_GENERATION)
    // The old API has groups without a name too.
    expect(groups.commitCode(1, { groupId: "" })).toBe(ErrorCode.NONE)
  })

  it("waits for the assignment, and may go on while others join", () => {
    const groups = new TestGroups()
    const joined = groups.joinNew()
    groups.advance(0)
    const member = joined.value!
    expect(groups.commitCode(1, member)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    groups.sync(member, {})
    groups.joinNew()
    expect(groups.group().state).toBe("PreparingRebalance")
    expect(groups.commitCode(2, member)).toBe(ErrorCode.NONE)
  })

  it("keeps metadata up to its bound", () => {
    const groups = new TestGroups({ offsetMetadataMaxBytes: 4 })
    expect(groups.commitCode(1, { metadata: "abcd" })).toBe(ErrorCode.NONE)
    expect(groups.commitCode(2, { metadata: "abcde", partition: 1 })).toBe(ErrorCode.OFFSET_METADATA_TOO_LARGE)
    const { value } = groups.fetchAll()
    expect(value).toMatchObject([{ partitions: [{ partitionIndex: 0, committedOffset: 1, metadata: "abcd" }] }])
  })

  it("is answered, and told, when it is in the log", () => {
    const groups = new TestGroups()
    groups.commitOffset(1)
    groups.autoCommit = false
    const commit = groups.commitOffset(2)
    const fetch = groups.fetchAll()
    expect([commit.value, fetch.value]).toEqual([undefined, undefined])
    groups.commitAll()
    expect(commit.value).toMatchObject([{ partitions: [{ errorCode: 0 }] }])
    expect(fetch.value).toMatchObject([{ partitions: [{ committedOffset: 2 }] }])
  })

  it("that could not be written never was", () => {
    const groups = new TestGroups()
    groups.commitOffset(1)
    groups.autoCommit = false
    const commits = [groups.commitOffset(2), groups.commitOffset(3), groups.commitOffset(4, { groupId: "new" })]
    groups.fail(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    expect(commits.map(({ value }) => value)).toEqual(Array.from({ length: 3 }, () => ErrorCode.COORDINATOR_NOT_AVAILABLE))
    groups.autoCommit = true
    expect(groups.committed()).toEqual({ "t-0": 1 })
    expect(groups.state.groups.has("new")).toBe(false)
  })

  it("of a topic is no commit of another that has its name now", () => {
    const groups = new TestGroups()
    groups.commitOffset(9, { topicId: ID })
    const fetch = (topicId: string) => {
      let offset: number | undefined
      groups.perform(groups.state.fetchOffsets(
        { groupId: "g", topics: [{ name: "t", topicId, partitionIndexes: [0] }] },
        (fetched) => {
          offset = typeof fetched === "number" ? undefined : fetched[0]!.partitions[0]!.committedOffset
        }
      ))
      return offset
    }
    expect([fetch(ID), fetch(OTHER_ID), fetch("AAAAAAAAAAAAAAAAAAAAAA")]).toEqual([9, -1, 9])
  })

  it("survives a restart with everything that belongs to it", () => {
    const groups = new TestGroups()
    groups.commitOffset(7, { metadata: "words", topicId: ID })
    groups.commitOffset(8, { partition: 1, retentionTimeMs: 1000 })
    const again = TestGroups.restarted(groups)
    expect(again.state.offsets.get("g", "t", 0)).toEqual(groups.state.offsets.get("g", "t", 0))
    expect(again.state.offsets.get("g", "t", 0)).toMatchObject({ offset: 7, metadata: "words", topicId: ID, expireTimestampMs: -1 })
    expect(again.state.offsets.get("g", "t", 1)).toMatchObject({ offset: 8, expireTimestampMs: groups.nowMs + 1000 })
  })
})

describe("expiry", () => {
  it("takes what was committed without members, each for itself, and then the group", () => {
    const groups = loaded()
    groups.commitOffset(1)
    groups.advance(3 * DAY)
    groups.commitOffset(2, { partition: 1 })
    groups.advance(4 * DAY)
    expect(groups.committed()).toEqual({ "t-1": 2 })
    groups.advance(3 * DAY)
    expect(groups.committed()).toEqual({})
    expect(groups.state.groups.size).toBe(0)
    expect(TestGroups.restarted(groups).state.groups.size).toBe(0)
  })

  it("counts from the moment the last member left", () => {
    const groups = loaded()
    const [member] = groups.stable(1)
    groups.commitOffset(1, member)
    for (let day = 0; day < 20 * 4; day++) {
      for (let i = 0; i < 6 * 3600; i += 3600) {
        groups.advance(3600_000 - 9000)
        // just in time: heartbeats would be too many to play them all
        groups.heartbeat(member!)
      }
      if (groups.group().state !== "Stable") break
    }
    const left = groups.nowMs
    groups.leave([member!])
    const emptyAt = groups.group().stateTimestampMs
    expect(emptyAt).toBeLessThanOrEqual(left)
    groups.advance(7 * DAY - (groups.nowMs - emptyAt) - 1)
    expect(groups.committed()).toEqual({ "t-0": 1 })
    groups.advance(600_000)
    expect(groups.committed()).toEqual({})
  })

  it("leaves what members read, and takes what none of them reads", () => {
    const groups = loaded({ offsetsRetentionMs: 5000, offsetsRetentionCheckIntervalMs: 1000 })
    const [member] = groups.stable(1, [{ protocols: [{ name: "range", metadata: subscription("t") }], sessionTimeoutMs: 60_000 }])
    groups.commitOffset(1, member)
    groups.commitOffset(2, { ...member!, topic: "u" })
    groups.advance(10_000)
    expect(groups.committed()).toEqual({ "t-0": 1 })
  })

  it("leaves everything of a group whose members are no consumers, or say what nobody understands", () => {
    for (const joining of [
      { protocolType: "connect" },
      { protocols: [{ name: "range", metadata: new Uint8Array([0, 1, 2]) }] }
    ]) {
      const groups = loaded({ offsetsRetentionMs: 5000, offsetsRetentionCheckIntervalMs: 1000 })
      const [member] = groups.stable(1, [{ ...joining, sessionTimeoutMs: 60_000 }])
      groups.commitOffset(2, { ...member!, topic: "u" })
      groups.advance(10_000)
      expect(groups.committed()).toEqual({ "u-0": 2 })
    }
  })

  it("goes by the client's own time where an old client gave one", () => {
    const groups = loaded({ offsetsRetentionCheckIntervalMs: 1000 })
    groups.commitOffset(1, { retentionTimeMs: 5000 })
    groups.advance(4000)
    expect(groups.committed()).toEqual({ "t-0": 1 })
    groups.advance(2000)
    expect(groups.committed()).toEqual({})
  })

  it("of many offsets comes in many appends", () => {
    const groups = loaded({ offsetsRetentionMs: 1000, offsetsRetentionCheckIntervalMs: 1000 })
    for (let partition = 0; partition < 2 * MAX_EXPIRED_PER_APPEND; partition++) groups.commitOffset(1, { partition })
    groups.autoCommit = false
    groups.advance(1000)
    expect(groups.pending.map(({ append }) => append.records.length)).toEqual([MAX_EXPIRED_PER_APPEND, MAX_EXPIRED_PER_APPEND, 1])
    groups.commitAll()
    expect(groups.state.offsets.size).toBe(0)
    expect(groups.state.groups.size).toBe(0)
  })

  it("removes a group that never had an offset and has nobody any more", () => {
    const groups = loaded()
    const [member] = groups.stable(1)
    groups.leave([member!])
    groups.advance(600_000)
    expect(groups.state.groups.size).toBe(0)
  })
})

describe("deleting", () => {
  it("takes a group with its offsets when nobody is in it", () => {
    const groups = new TestGroups()
    groups.commitOffset(1)
    groups.stable(1, [], "busy")
    expect(groups.deleteGroups("g", "busy", "nothing")).toEqual([ErrorCode.NONE, ErrorCode.NON_EMPTY_GROUP, ErrorCode.GROUP_ID_NOT_FOUND])
    expect(groups.state.groups.has("g")).toBe(false)
    expect(groups.committed()).toEqual({})
    const again = TestGroups.restarted(groups)
    expect([...again.state.groups.keys()]).toEqual(["busy"])
    expect(again.state.offsets.size).toBe(0)
  })

  it("takes offsets of topics that nobody reads", () => {
    const groups = new TestGroups()
    const [member] = groups.stable(1)
    groups.commitOffset(1, member)
    groups.commitOffset(2, { ...member!, topic: "u" })
    let answer: unknown
    const remove = (groupId: string, ...names: ReadonlyArray<string>) => {
      groups.perform(groups.state.deleteOffsets(
        { groupId, topics: names.map((name) => ({ name, partitions: [0, 1] })) },
        (results) => {
          answer = typeof results === "number" ? results : results.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
        }
      ))
      return answer
    }
    const subscribed = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    expect(remove("g", "t", "u")).toEqual([[subscribed, subscribed], [0, 0]])
    expect(groups.committed()).toEqual({ "t-0": 1 })
    expect(remove("nothing", "t")).toBe(ErrorCode.GROUP_ID_NOT_FOUND)
    expect(remove("", "t")).toBe(ErrorCode.INVALID_GROUP_ID)
    groups.stable(1, [{ protocolType: "connect" }], "connect")
    expect(remove("connect", "t")).toBe(ErrorCode.NON_EMPTY_GROUP)
  })

  it("takes the offsets of a topic that is deleted, of every group", () => {
    const groups = new TestGroups()
    for (const groupId of ["a", "b"]) {
      groups.commitOffset(1, { groupId })
      groups.commitOffset(2, { groupId, topic: "u" })
    }
    groups.perform(groups.state.topicsDeleted(new Set(["t", "x"])))
    expect([groups.committed("a"), groups.committed("b")]).toEqual([{ "u-0": 2 }, { "u-0": 2 }])
  })
})
