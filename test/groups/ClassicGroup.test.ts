/** How groups behave: the sequences that Apache Kafka's coordinator goes through. */
import { describe, expect, it } from "vitest"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { NEW_MEMBER_JOIN_TIMEOUT_MS } from "../../core/groups/GroupConfig.ts"
import { bytes, subscription, TestGroups, text } from "./TestGroups.ts"

const protocol = (name: string, metadata = "") => ({ name, metadata: bytes(metadata) })

describe("joining", () => {
  it("gives a new member its id first, and joins it with that id", () => {
    const groups = new TestGroups()
    const first = groups.join({ clientId: "app" })
    expect(first.value).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED, memberId: "app-uuid-1", generationId: -1 })
    expect(groups.group().state).toBe("Empty")
    const second = groups.join({ memberId: "app-uuid-1" })
    expect(second.value).toBeUndefined()
    groups.advance(0)
    expect(second.value).toMatchObject({ errorCode: 0, generationId: 1, leader: "app-uuid-1", protocolName: "range" })
    expect(groups.group().state).toBe("CompletingRebalance")
  })

  it("joins at once in versions before that, and static members in all", () => {
    for (const joining of [{ apiVersion: 3 }, { groupInstanceId: "i" }]) {
      const groups = new TestGroups()
      const reply = groups.join(joining)
      groups.advance(0)
      expect(reply.value).toMatchObject({ errorCode: 0, generationId: 1 })
    }
  })

  it("gives no id for an id that was not given out, and forgets one that does not come back in its session", () => {
    const groups = new TestGroups()
    expect(groups.join({ memberId: "nobody" }).value?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    const { memberId } = groups.join({ sessionTimeoutMs: 6000 }).value!
    groups.advance(6000)
    expect(groups.group().pendingJoin.size).toBe(0)
    expect(groups.join({ memberId }).value?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  })

  it("tells only the leader who is in, with what they said", () => {
    const groups = new TestGroups()
    const replies = ["a", "b", "c"].map((topic) => groups.joinNew({ protocols: [{ name: "range", metadata: subscription(topic) }] }))
    groups.advance(0)
    const [leader, ...others] = replies.map(({ value }) => value!)
    expect(leader!.members.map(({ memberId }) => memberId)).toEqual(replies.map(({ value }) => value!.memberId))
    expect(leader!.members.map(({ metadata }) => [...metadata])).toEqual(["a", "b", "c"].map((topic) => [...subscription(topic)]))
    for (const other of others) expect(other).toMatchObject({ members: [], leader: leader!.memberId, generationId: 1 })
  })

  it("refuses who has another type, no protocol, or none that all have", () => {
    const groups = new TestGroups()
    const errorOf = (joining: Parameters<TestGroups["join"]>[0]) => groups.join(joining).value?.errorCode
    expect(errorOf({ protocols: [] })).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    expect(errorOf({ protocolType: "" })).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    groups.stable(1, [{ protocols: [protocol("range"), protocol("sticky")] }])
    expect(errorOf({ protocolType: "connect" })).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    expect(errorOf({ protocols: [protocol("roundrobin")] })).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    expect(errorOf({ protocols: [protocol("sticky")] })).toBe(ErrorCode.MEMBER_ID_REQUIRED)
  })

  it("selects the protocol that most members like best, of those that all have", () => {
    const groups = new TestGroups()
    const reply = groups.joinNew({ protocols: [protocol("a"), protocol("b"), protocol("c")] })
    groups.joinNew({ protocols: [protocol("c"), protocol("b")] })
    groups.joinNew({ protocols: [protocol("c"), protocol("b"), protocol("a")] })
    groups.advance(0)
    expect(reply.value?.protocolName).toBe("c")
  })

  it("waits for members that are there until the rebalance timeout, then goes on without them", () => {
    const groups = new TestGroups()
    const [leader, second] = groups.stable(2)
    const third = groups.joinNew()
    expect(groups.heartbeat(leader!)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    const again = groups.join({ memberId: leader!.memberId })
    for (let i = 0; i < 6; i++) {
      groups.advance(5000)
      if (i < 5) expect(groups.heartbeat(second!)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    }
    expect(again.value).toMatchObject({ errorCode: 0, generationId: 2 })
    expect(third.value).toMatchObject({ errorCode: 0, generationId: 2 })
    expect(groups.group().members.size).toBe(2)
    expect(groups.heartbeat(second!)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  })

  it("makes another the leader when the leader does not come back", () => {
    const groups = new TestGroups()
    const [leader, second] = groups.stable(2)
    const again = groups.join({ memberId: second!.memberId, protocols: [{ name: "range", metadata: subscription("u") }] })
    groups.advance(30_000)
    expect(again.value).toMatchObject({ errorCode: 0, leader: second!.memberId })
    expect(groups.group().members.has(leader!.memberId)).toBe(false)
  })

  it("answers a member that joins again with nothing new, unless it leads", () => {
    const groups = new TestGroups()
    const [leader, second] = groups.stable(2)
    expect(groups.join({ memberId: second!.memberId }).value).toMatchObject({ errorCode: 0, generationId: 1, members: [] })
    expect(groups.group().state).toBe("Stable")
    groups.join({ memberId: leader!.memberId })
    expect(groups.group().state).toBe("PreparingRebalance")
  })

  it("times out a new member that waits in JoinGroup and may be gone", () => {
    const groups = new TestGroups()
    const [first] = groups.stable(1, [{ rebalanceTimeoutMs: 3_000_000, sessionTimeoutMs: 1_800_000 }])
    const late = groups.joinNew({ sessionTimeoutMs: 6000 })
    groups.advance(NEW_MEMBER_JOIN_TIMEOUT_MS - 1)
    expect(late.value).toBeUndefined()
    groups.advance(1)
    expect(late.value?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(groups.group().members.has(first!.memberId)).toBe(true)
  })

  it("ends a JoinGroup that its member gave up for another", () => {
    const groups = new TestGroups()
    const [, second] = groups.stable(2)
    const third = groups.joinNew()
    const given = groups.join({ memberId: second!.memberId })
    const again = groups.join({ memberId: second!.memberId })
    expect(given.value?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    expect([given.count, again.count, third.count]).toEqual([1, 0, 0])
  })
})

describe("group.max.size", () => {
  it("refuses whoever is too many, and keeps who is in", () => {
    const groups = new TestGroups({ maxSize: 2 })
    const [first] = groups.stable(2)
    expect(groups.join().value).toMatchObject({ errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED, memberId: "" })
    expect(groups.join({ memberId: first!.memberId }).value).toBeUndefined()
  })

  it("that became smaller lets in who comes first", () => {
    const before = new TestGroups()
    const members = before.stable(3)
    const groups = TestGroups.restarted(before, { maxSize: 2 })
    expect(groups.group().state).toBe("PreparingRebalance")
    const replies = members.map(({ memberId }) => groups.join({ memberId }))
    expect(replies[2]!.value?.errorCode).toBe(ErrorCode.GROUP_MAX_SIZE_REACHED)
    groups.advance(30_000)
    expect(replies.slice(0, 2).map(({ value }) => value?.errorCode)).toEqual([0, 0])
  })
})

describe("the initial delay", () => {
  it("is extended by whoever comes, up to the rebalance timeout", () => {
    const groups = new TestGroups({ initialRebalanceDelayMs: 1000 })
    const first = groups.joinNew({ rebalanceTimeoutMs: 2500, sessionTimeoutMs: 6000 })
    groups.advance(500)
    const second = groups.joinNew({ rebalanceTimeoutMs: 2500, sessionTimeoutMs: 6000 })
    groups.advance(500) // extended by 1000
    expect(first.value).toBeUndefined()
    groups.joinNew({ rebalanceTimeoutMs: 2500, sessionTimeoutMs: 6000 })
    groups.advance(1000) // by the 500 that are left
    expect(first.value).toBeUndefined()
    groups.joinNew({ rebalanceTimeoutMs: 2500, sessionTimeoutMs: 6000 })
    groups.advance(500)
    expect(first.value).toMatchObject({ errorCode: 0, generationId: 1 })
    expect(second.value).toMatchObject({ generationId: 1 })
    expect(groups.group().members.size).toBe(4)
  })
})

describe("syncing", () => {
  it("gives everyone what the leader assigned, when that is in the log", () => {
    const groups = new TestGroups()
    const replies = [groups.joinNew(), groups.joinNew()]
    groups.advance(0)
    const [leader, follower] = replies.map(({ value }) => value!)
    groups.autoCommit = false
    const waiting = groups.sync(follower!)
    const led = groups.sync(leader!, { [leader!.memberId]: "mine", [follower!.memberId]: "yours" })
    expect([waiting.value, led.value]).toEqual([undefined, undefined])
    expect(groups.group().state).toBe("CompletingRebalance")
    groups.commitAll()
    expect(groups.group().state).toBe("Stable")
    expect(text(led.value!.assignment)).toBe("mine")
    expect(text(waiting.value!.assignment)).toBe("yours")
    expect(text(groups.sync(follower!).value!.assignment)).toBe("yours")
  })

  it("is told to join again when someone comes or goes meanwhile", () => {
    const groups = new TestGroups()
    const replies = [groups.joinNew(), groups.joinNew()]
    groups.advance(0)
    const waiting = groups.sync(replies[1]!.value!)
    const third = groups.joinNew()
    expect(waiting.value?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    expect(groups.sync(replies[0]!.value!).value?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    expect(third.value).toBeUndefined()
  })

  it("puts out who joined and never syncs", () => {
    const groups = new TestGroups()
    const replies = [groups.joinNew({ rebalanceTimeoutMs: 7000 }), groups.joinNew({ rebalanceTimeoutMs: 7000 })]
    groups.advance(0)
    const [leader, hung] = replies.map(({ value }) => value!)
    groups.sync(leader!, {})
    expect(groups.group().state).toBe("Stable")
    groups.advance(6999)
    groups.heartbeat(leader!)
    expect(groups.group().members.has(hung!.memberId)).toBe(true)
    groups.advance(1)
    expect(groups.group().members.has(hung!.memberId)).toBe(false)
    expect(groups.heartbeat(leader!)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  })

  it("puts out a leader that never assigns, and another leads", () => {
    const groups = new TestGroups()
    const replies = [groups.joinNew({ rebalanceTimeoutMs: 7000 }), groups.joinNew({ rebalanceTimeoutMs: 7000 })]
    groups.advance(0)
    const [leader, follower] = replies.map(({ value }) => value!)
    const waiting = groups.sync(follower!)
    groups.advance(7000)
    expect(waiting.value?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    const again = groups.join({ memberId: follower!.memberId })
    expect(again.value).toMatchObject({ errorCode: 0, generationId: 2, leader: follower!.memberId })
    expect(groups.group().members.has(leader!.memberId)).toBe(false)
  })

  it("refuses another generation, another protocol and strangers", () => {
    const groups = new TestGroups()
    const [member] = groups.stable(1)
    expect(groups.sync({ ...member!, generationId: 0 }).value?.errorCode).toBe(ErrorCode.ILLEGAL_GENERATION)
    expect(groups.sync({ memberId: "x", generationId: 1 }).value?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(groups.sync(member!, {}, "nothing").value?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(groups.sync(member!, {}, "").value?.errorCode).toBe(ErrorCode.INVALID_GROUP_ID)
  })

  it("takes the first assignment of a leader that asks twice while it is written", () => {
    const groups = new TestGroups()
    const joined = groups.joinNew()
    groups.advance(0)
    const member = joined.value!
    groups.autoCommit = false
    const given = groups.sync(member, { [member.memberId]: "first" })
    const again = groups.sync(member, { [member.memberId]: "second" })
    expect(given.value?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    groups.commitAll()
    expect(text(again.value!.assignment)).toBe("first")
    const restarted = TestGroups.restarted(groups)
    expect(text([...restarted.group().members.values()][0]!.assignment)).toBe("first")
  })

  it("rebalances when the assignment could not be written, and keeps the group", () => {
    const groups = new TestGroups()
    const joined = groups.joinNew()
    groups.advance(0)
    groups.autoCommit = false
    const synced = groups.sync(joined.value!, { [joined.value!.memberId]: "x" })
    groups.fail(ErrorCode.NOT_COORDINATOR)
    expect(synced.value?.errorCode).toBe(ErrorCode.NOT_COORDINATOR)
    expect(groups.group().state).toBe("PreparingRebalance")
    groups.autoCommit = true
    const again = groups.join({ memberId: joined.value!.memberId })
    expect(again.value).toMatchObject({ errorCode: 0, generationId: 2 })
  })
})

describe("sessions", () => {
  it("end when nothing is heard, and the others are told", () => {
    const groups = new TestGroups()
    const [first, second] = groups.stable(2)
    for (let i = 0; i < 3; i++) {
      groups.advance(5000)
      groups.heartbeat(first!)
    }
    expect(groups.group().members.has(second!.memberId)).toBe(false)
    expect(groups.group().state).toBe("PreparingRebalance")
    expect(groups.heartbeat(second!)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    const again = groups.join({ memberId: first!.memberId })
    expect(again.value).toMatchObject({ errorCode: 0, generationId: 2 })
  })

  it("are kept alive by commits", () => {
    const groups = new TestGroups()
    const [member] = groups.stable(1)
    for (let i = 0; i < 4; i++) {
      groups.advance(9000)
      expect(groups.commitCode(i, member!)).toBe(ErrorCode.NONE)
    }
    expect(groups.group().state).toBe("Stable")
  })

  it("of all members end: the group is empty, and nothing is left that could come due", () => {
    const groups = new TestGroups()
    groups.stable(3)
    groups.advance(60_000)
    expect(groups.group()).toMatchObject({ state: "Empty", generationId: 2 })
    expect(groups.state.timerCount).toBe(0)
  })

  it("fence heartbeats of other generations", () => {
    const groups = new TestGroups()
    const [member] = groups.stable(1)
    expect(groups.heartbeat({ ...member!, generationId: 7 })).toBe(ErrorCode.ILLEGAL_GENERATION)
    expect(groups.heartbeat(member!, "nothing")).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(groups.heartbeat(member!, "")).toBe(ErrorCode.INVALID_GROUP_ID)
  })
})

describe("static members (KIP-345)", () => {
  it("come back under a new id without a rebalance, and fence the old one", () => {
    const groups = new TestGroups()
    const [a, b] = groups.stable(2, [{ groupInstanceId: "a" }, { groupInstanceId: "b" }])
    const back = groups.join({ groupInstanceId: "b" })
    expect(back.value).toMatchObject({ errorCode: 0, generationId: 1, leader: a!.memberId, skipAssignment: false })
    expect(back.value!.memberId).not.toBe(b!.memberId)
    expect(groups.group().state).toBe("Stable")
    expect(text(groups.sync({ ...b!, memberId: back.value!.memberId }, {}, "g", "b").value!.assignment)).toBe("assignment-of-1")
    expect(groups.heartbeat(b!, "g", "b")).toBe(ErrorCode.FENCED_INSTANCE_ID)
    expect(groups.sync(b!, {}, "g", "b").value?.errorCode).toBe(ErrorCode.FENCED_INSTANCE_ID)
    expect(groups.join({ memberId: b!.memberId, groupInstanceId: "b" }).value?.errorCode).toBe(ErrorCode.FENCED_INSTANCE_ID)
    expect(groups.commitCode(1, { ...b!, groupInstanceId: "b" })).toBe(ErrorCode.FENCED_INSTANCE_ID)
    expect(groups.leave([{ memberId: b!.memberId, groupInstanceId: "b" }])).toEqual([ErrorCode.FENCED_INSTANCE_ID])
  })

  it("tell a leader that comes back not to assign anew (version 9), or send it to sync as the follower of itself", () => {
    const groups = new TestGroups()
    const [a] = groups.stable(2, [{ groupInstanceId: "a" }, { groupInstanceId: "b" }])
    const back = groups.join({ groupInstanceId: "a" })
    expect(back.value).toMatchObject({ skipAssignment: true, leader: back.value!.memberId })
    expect(back.value!.members).toHaveLength(2)
    const older = groups.join({ groupInstanceId: "a", apiVersion: 8 })
    expect(older.value).toMatchObject({ skipAssignment: false, leader: back.value!.memberId, members: [] })
    expect(a!.memberId).not.toBe(older.value!.leader)
  })

  it("rebalance when they come back with what changes the protocol", () => {
    const groups = new TestGroups()
    groups.stable(1, [{ groupInstanceId: "a", protocols: [protocol("range")] }])
    const back = groups.join({ groupInstanceId: "a", protocols: [protocol("sticky"), protocol("range")] })
    expect(back.value).toMatchObject({ errorCode: 0, generationId: 2, protocolName: "sticky" })
  })

  it("keep their place in a rebalance that they miss, until their session ends", () => {
    const groups = new TestGroups()
    const [, b] = groups.stable(2, [
      { groupInstanceId: "a", rebalanceTimeoutMs: 5000, sessionTimeoutMs: 20_000 },
      { groupInstanceId: "b", rebalanceTimeoutMs: 5000, sessionTimeoutMs: 20_000 }
    ])
    const third = groups.joinNew({ rebalanceTimeoutMs: 5000, sessionTimeoutMs: 20_000 })
    groups.advance(5000)
    expect(third.value).toMatchObject({ errorCode: 0, generationId: 2 })
    expect(groups.group().members.has(b!.memberId)).toBe(true)
  })

  it("are removed by instance alone", () => {
    const groups = new TestGroups()
    groups.stable(1, [{ groupInstanceId: "a" }])
    expect(groups.leave([{ memberId: "", groupInstanceId: "nobody" }, { memberId: "", groupInstanceId: "a" }]))
      .toEqual([ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.NONE])
    expect(groups.group().state).toBe("Empty")
  })

  it("take back the old id when the new one could not be written", () => {
    const groups = new TestGroups()
    const [a] = groups.stable(1, [{ groupInstanceId: "a" }])
    groups.autoCommit = false
    const back = groups.join({ groupInstanceId: "a" })
    expect(back.value).toBeUndefined()
    groups.fail(ErrorCode.NOT_COORDINATOR)
    expect(back.value?.errorCode).toBe(ErrorCode.NOT_COORDINATOR)
    expect(groups.heartbeat(a!, "g", "a")).toBe(ErrorCode.NONE)
  })
})

describe("leaving", () => {
  it("empties the group, which keeps its generation", () => {
    const groups = new TestGroups()
    const [a, b] = groups.stable(2)
    expect(groups.leave([{ memberId: a!.memberId }, { memberId: "x" }])).toEqual([0, ErrorCode.UNKNOWN_MEMBER_ID])
    expect(groups.heartbeat(b!)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
    expect(groups.leave([{ memberId: b!.memberId }])).toEqual([0])
    expect(groups.group()).toMatchObject({ state: "Empty", generationId: 2, protocolName: null, leaderId: null })
    expect(groups.leave([{ memberId: b!.memberId }], "nothing")).toEqual([ErrorCode.UNKNOWN_MEMBER_ID])
    expect(groups.leave([], "")).toBe(ErrorCode.INVALID_GROUP_ID)
  })

  it("answers a JoinGroup and a SyncGroup of the member that goes", () => {
    const groups = new TestGroups()
    const replies = [groups.joinNew(), groups.joinNew()]
    groups.advance(0)
    const waiting = groups.sync(replies[1]!.value!)
    groups.leave([replies[1]!.value!])
    expect(waiting.value?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    const joining = groups.joinNew()
    groups.leave([{ memberId: [...groups.group().members.keys()].at(-1)! }])
    expect(joining.value?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  })

  it("of one that was only given its id lets the others go on", () => {
    const groups = new TestGroups()
    const [a] = groups.stable(1)
    const { memberId } = groups.join().value!
    const again = groups.join({ memberId: a!.memberId })
    expect(again.value).toBeUndefined()
    expect(groups.leave([{ memberId }])).toEqual([0])
    expect(again.value).toMatchObject({ errorCode: 0, generationId: 2 })
  })
})

describe("another coordinator", () => {
  it("ends every wait with NOT_COORDINATOR", () => {
    const groups = new TestGroups()
    const replies = [groups.joinNew(), groups.joinNew()]
    groups.advance(0)
    const syncing = groups.sync(replies[1]!.value!)
    groups.joinNew({}, "other")
    groups.advance(0)
    const joining = groups.joinNew({}, "other")
    groups.perform(groups.state.unloaded())
    expect([syncing.value?.errorCode, joining.value?.errorCode]).toEqual([ErrorCode.NOT_COORDINATOR, ErrorCode.NOT_COORDINATOR])
    expect(groups.state.timerCount).toBe(0)
  })
})
