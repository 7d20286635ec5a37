/**
 * Properties over random lives of groups: what is replayed from the log is what the live coordinator has, every request
 * is answered once, and whoever is never heard of again leaves nothing behind.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { JoinGroupResponseInput } from "../../core/protocol/generated/JoinGroup.ts"
import { durable, type Reply, TestGroups, unsettled } from "./TestGroups.ts"

const GROUPS = ["g", "h"]

/** What may happen; numbers choose among what there is then. */
type Move =
  | { readonly kind: "join"; readonly group: number; readonly instance: number | null; readonly version: number; readonly protocols: number }
  | { readonly kind: "rejoin"; readonly member: number; readonly protocols: number }
  | { readonly kind: "sync"; readonly member: number }
  | { readonly kind: "heartbeat"; readonly member: number }
  | { readonly kind: "leave"; readonly member: number }
  | { readonly kind: "offset"; readonly member: number; readonly offset: number; readonly partition: number }
  | { readonly kind: "simpleOffset"; readonly group: number; readonly offset: number; readonly partition: number }
  | { readonly kind: "deleteGroup"; readonly group: number }
  | { readonly kind: "deleteOffsets"; readonly group: number; readonly partition: number }
  | { readonly kind: "topicGone" }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "everyoneSyncs"; readonly group: number }
  | { readonly kind: "commit" }
  | { readonly kind: "fail" }

const small = fc.nat(7)
const moves: fc.Arbitrary<ReadonlyArray<Move>> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("join" as const), group: small, instance: fc.option(fc.nat(2)), version: fc.constantFrom(3, 9), protocols: fc.nat(3) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("rejoin" as const), member: small, protocols: fc.nat(3) }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("sync" as const), member: small }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("heartbeat" as const), member: small }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("leave" as const), member: small }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("offset" as const), member: small, offset: fc.nat(100), partition: fc.nat(3) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("simpleOffset" as const), group: small, offset: fc.nat(100), partition: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteGroup" as const), group: small }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteOffsets" as const), group: small, partition: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("topicGone" as const) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(0, 1, 500, 3000, 10_000, 700_000) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("everyoneSyncs" as const), group: small }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("commit" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const) }) }
  ),
  { maxLength: 80, size: "max" }
)

const protocolsOf = (choice: number) =>
  ["range", "sticky", "roundrobin"].slice(choice % 2, 2 + (choice >> 1)).map((name) => ({ name, metadata: new Uint8Array([0, 0, 0, 0, 0, 0]) }))

interface Known {
  readonly groupId: string
  readonly groupInstanceId: string | null
  readonly reply: Reply<JoinGroupResponseInput>
}

/** A request's answer, whatever it is. */
interface Asked {
  readonly count: number
}

/** Plays the moves and keeps all replies. */
const play = (groups: TestGroups, plan: ReadonlyArray<Move>): { readonly replies: ReadonlyArray<Asked> } => {
  const replies: Array<Asked> = []
  const known: Array<Known> = []
  const memberOf = (index: number): Known | undefined => known[known.length - 1 - index]
  for (const move of plan) {
    switch (move.kind) {
      case "join": {
        const groupId = GROUPS[move.group % GROUPS.length]!
        const groupInstanceId = move.instance === null ? null : `i${move.instance}`
        const reply = groups.join(
          { groupInstanceId, apiVersion: move.version, protocols: protocolsOf(move.protocols), sessionTimeoutMs: 6000, rebalanceTimeoutMs: 8000 },
          groupId
        )
        replies.push(reply)
        known.push({ groupId, groupInstanceId, reply })
        break
      }
      case "rejoin": {
        const member = memberOf(move.member)
        const memberId = member?.reply.value?.memberId
        if (member === undefined || memberId === undefined || memberId === "") break
        const reply = groups.join(
          { memberId, groupInstanceId: member.groupInstanceId, protocols: protocolsOf(move.protocols), sessionTimeoutMs: 6000, rebalanceTimeoutMs: 8000 },
          member.groupId
        )
        replies.push(reply)
        known.push({ ...member, reply })
        break
      }
      case "sync": {
        const member = memberOf(move.member)
        if (member?.reply.value === undefined) break
        const assignments = Object.fromEntries(
          [...groups.state.groups.get(member.groupId)?.members.keys() ?? []].map((id, i) => [id, `part-${i}`])
        )
        replies.push(groups.sync(member.reply.value, assignments, member.groupId, member.groupInstanceId))
        break
      }
      case "heartbeat": {
        const member = memberOf(move.member)
        if (member?.reply.value !== undefined) groups.heartbeat(member.reply.value, member.groupId, member.groupInstanceId)
        break
      }
      case "leave": {
        const member = memberOf(move.member)
        if (member?.reply.value !== undefined) groups.leave([member.reply.value], member.groupId)
        break
      }
      case "offset": {
        const member = memberOf(move.member)
        if (member?.reply.value === undefined) break
        replies.push(groups.commitOffset(move.offset, {
          groupId: member.groupId,
          memberId: member.reply.value.memberId,
          generationId: member.reply.value.generationId ?? -1,
          groupInstanceId: member.groupInstanceId,
          partition: move.partition
        }))
        break
      }
      case "simpleOffset":
        replies.push(groups.commitOffset(move.offset, { groupId: GROUPS[move.group % 2]!, partition: move.partition, topic: "u" }))
        break
      case "deleteGroup":
        groups.deleteGroups(GROUPS[move.group % 2]!)
        break
      case "deleteOffsets":
        groups.perform(groups.state.deleteOffsets(
          { groupId: GROUPS[move.group % 2]!, topics: [{ name: "u", partitions: [move.partition] }] },
          () => {}
        ))
        break
      case "topicGone":
        groups.perform(groups.state.topicsDeleted(new Set(["u"])))
        break
      case "advance":
        groups.advance(move.ms)
        break
      case "everyoneSyncs": {
        groups.advance(0)
        const group = groups.state.groups.get(GROUPS[move.group % 2]!)
        if (group === undefined || group.leaderId === null) break
        const assignments = Object.fromEntries([...group.members.keys()].map((id) => [id, `assignment-of-${id}`]))
        for (const { groupInstanceId, memberId } of [...group.members.values()]) {
          const member = { memberId, generationId: group.generationId }
          replies.push(groups.sync(member, memberId === group.leaderId ? assignments : {}, group.groupId, groupInstanceId))
        }
        break
      }
      case "commit":
        groups.commit()
        break
      case "fail":
        groups.fail(ErrorCode.NOT_COORDINATOR)
    }
    for (const group of groups.state.groups.values()) {
      const awaiting = [...group.members.values()].filter(({ awaitingJoin }) => awaitingJoin !== undefined).length
      expect(group.awaitingJoinCount).toBe(awaiting)
      if (group.members.size > 0) expect(group.members.has(group.leaderId!)).toBe(true)
      if (group.state === "Empty") expect(group.members.size).toBe(0)
    }
    for (const reply of replies) expect(reply.count).toBeLessThanOrEqual(1)
  }
  return { replies }
}

const RUNS = 300

describe("groups", () => {
  it("replayed from their log are the live ones", () => {
    let stable = 0
    fc.assert(
      fc.property(moves, (plan) => {
        const live = new TestGroups()
        live.perform(live.state.loaded(live.now))
        live.autoCommit = false
        // A generation that could not be written is one that a restart does not know: no failures here.
        play(live, plan.filter(({ kind }) => kind !== "fail"))
        live.commitAll()
        const moving = unsettled(live.state)
        if ([...live.state.groups.values()].some((group) => group.state === "Stable")) stable++
        expect(durable(TestGroups.restarted(live).state, moving)).toEqual(durable(live.state, moving))
      }),
      { numRuns: RUNS }
    )
    // The property says something: many of the lives end with a group that has members.
    expect(stable).toBeGreaterThan(RUNS / 10)
  })

  it("that go on after a restart never have two members of one instance, and end every rebalance", () => {
    fc.assert(
      fc.property(moves, moves, (before, after) => {
        const first = new TestGroups()
        play(first, before)
        const groups = TestGroups.restarted(first)
        const { replies } = play(groups, after)
        for (const group of groups.state.groups.values()) {
          const instances = [...group.members.values()].flatMap(({ groupInstanceId }) => groupInstanceId ?? [])
          expect(new Set(instances).size).toBe(instances.length)
        }
        // Nobody is heard of any more: every rebalance ends, every wait too, every group is empty and has no timer.
        groups.advance(3_600_000)
        groups.commitAll()
        for (const group of groups.state.groups.values()) expect(group).toMatchObject({ state: "Empty" })
        for (const reply of replies) expect(reply.count).toBe(1)
        expect(groups.state.timerCount).toBe(1) // of the retention
      }),
      { numRuns: RUNS }
    )
  })

  it("take back what a failed write had them replay", () => {
    fc.assert(
      fc.property(moves, moves, (before, after) => {
        const groups = new TestGroups()
        play(groups, before)
        const expected = durable(groups.state)
        groups.autoCommit = false
        // Only offsets and deletions: membership is soft state and moves on.
        const kinds = new Set(["simpleOffset", "deleteGroup", "deleteOffsets", "topicGone"])
        play(groups, after.filter(({ kind }) => kinds.has(kind)))
        groups.fail(ErrorCode.NOT_COORDINATOR)
        expect(durable(groups.state)).toEqual(expected)
      }),
      { numRuns: RUNS }
    )
  })
})
