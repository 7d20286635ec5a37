/**
 * The pure state machine of groups with a log in memory: what it wants appended is written, and committed when the test
 * says so; what is due is fired when the test moves the time. Members are played by hand.
 */
import type { Append, Step } from "../../core/coordinator/CoordinatorState.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { JoinGroupRequestInput, JoinGroupResponseInput } from "../../core/protocol/generated/JoinGroup.ts"
import type { SyncGroupResponseInput } from "../../core/protocol/generated/SyncGroup.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { encodeConsumerProtocolSubscription } from "../../core/protocol/generated/records/ConsumerProtocolSubscription.ts"
import type { ClassicGroup } from "../../core/groups/ClassicGroup.ts"
import type { GroupConfig } from "../../core/groups/GroupConfig.ts"
import { type GroupRecord, groupRecordCodec } from "../../core/groups/GroupRecords.ts"
import { GroupsState, type GroupsStep } from "../../core/groups/GroupsState.ts"
import type { FetchedOffsets, PartitionResults } from "../../core/groups/Offsets.ts"
import { ZERO_TOPIC_ID } from "../../core/model/Ids.ts"
import type { Now } from "../../core/model/Time.ts"

export const testGroupConfig: GroupConfig = {
  initialRebalanceDelayMs: 0,
  minSessionTimeoutMs: 6000,
  maxSessionTimeoutMs: 1_800_000,
  maxSize: 0x7fff_ffff,
  offsetMetadataMaxBytes: 4096,
  offsetsRetentionMs: 7 * 24 * 3600_000,
  offsetsRetentionCheckIntervalMs: 600_000
}

/** What a consumer says of the topics it reads. */
export const subscription = (...topics: ReadonlyArray<string>): Uint8Array => {
  const writer = new ByteWriter()
  writer.int16(0)
  encodeConsumerProtocolSubscription(writer, 0, { topics })
  return writer.toBytes()
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** An answer that may not be there yet. */
export class Reply<Response> {
  value: Response | undefined = undefined
  /** How often it was answered: never more than once. */
  count = 0
  readonly take: (response: Response) => void = (response) => {
    this.count++
    this.value = response
  }
}

export interface Joining {
  readonly memberId?: string
  readonly groupInstanceId?: string | null
  readonly sessionTimeoutMs?: number
  readonly rebalanceTimeoutMs?: number
  readonly protocolType?: string
  readonly protocols?: JoinGroupRequestInput["protocols"]
  readonly apiVersion?: number
  readonly clientId?: string
}

/** Written to the log, and the offset it has there. */
interface Written {
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}

interface Pending {
  readonly append: Append<GroupRecord>
  readonly undos: ReadonlyArray<() => void>
}

export class TestGroups {
  readonly state: GroupsState
  /** Of the clock that is never set. It has nothing in common with the wall clock, nor with that of another coordinator. */
  monotonicMs = 0
  /** What the wall clock is ahead of it: another value sets the wall clock. */
  aheadMs: number
  /** Committed, in bytes as they are on disk. */
  readonly log: Array<Written> = []
  /** Appends that wait for `commit` or `fail`. */
  readonly pending: Array<Pending> = []
  /** Whether appends are committed at once. */
  autoCommit = true
  #uuid = 0

  constructor(config: Partial<GroupConfig> = {}, nowMs = 1_000_000) {
    this.state = new GroupsState({ ...testGroupConfig, ...config })
    this.aheadMs = nowMs
  }

  /** Of the wall clock. */
  get nowMs(): number {
    return this.monotonicMs + this.aheadMs
  }
  get now(): Now {
    return { wallMs: this.nowMs, monotonicMs: this.monotonicMs }
  }

  /** As a coordinator does that is loaded from the log of another. */
  static restarted(from: TestGroups, config: Partial<GroupConfig> = {}): TestGroups {
    const groups = new TestGroups({ ...from.state.config, ...config }, from.nowMs)
    groups.#uuid = from.#uuid
    from.log.forEach(({ key, value }, offset) => {
      groups.log.push({ key, value })
      const record = groupRecordCodec.decode(key, value)
      if (record !== undefined) groups.state.replay(record, offset)
    })
    groups.perform(groups.state.loaded(groups.now))
    return groups
  }

  perform(step: Step<GroupRecord>): void {
    for (const append of step.appends) {
      const undos = append.replay ? append.records.map((record) => this.state.replay(record, this.log.length)) : []
      this.pending.push({ append, undos })
      if (this.autoCommit) this.commit()
    }
    for (const reply of step.replies) reply()
  }

  /** Commits the oldest append. */
  commit(): void {
    const next = this.pending.shift()
    if (next === undefined) return
    for (const record of next.append.records) {
      // through the codec, as it is on disk
      const { key, value } = groupRecordCodec.encode(record)
      this.log.push({ key, value })
    }
    this.perform(next.append.settle(ErrorCode.NONE, this.now))
  }

  commitAll(): void {
    while (this.pending.length > 0) this.commit()
  }

  /** None of what is pending gets into the log: a failed write fails all that was to be written with it. */
  fail(error: number): void {
    const failed = this.pending.splice(0)
    for (const { undos } of [...failed].reverse()) for (const undo of [...undos].reverse()) undo()
    for (const { append } of failed) this.perform(append.settle(error, this.now))
  }

  /** Time passes; what comes due on the way is handled when it is due. */
  advance(ms: number): void {
    const endMs = this.monotonicMs + ms
    for (;;) {
      const next = this.state.nextDeadlineMs
      if (next > endMs) break
      this.monotonicMs = Math.max(this.monotonicMs, next)
      let step: GroupsStep | undefined
      while ((step = this.state.fire(this.now)) !== undefined) this.perform(step)
    }
    this.monotonicMs = endMs
  }

  group(groupId = "g"): ClassicGroup {
    const group = this.state.groups.get(groupId)
    if (group === undefined) throw new Error(`there is no group ${groupId}`)
    return group
  }

  // -- requests ------------------------------------------------------------------------------------------------

  /** One JoinGroup; `fire` lets an empty group's first rebalance end when there is no initial delay. */
  join(joining: Joining = {}, groupId = "g"): Reply<JoinGroupResponseInput> {
    const reply = new Reply<JoinGroupResponseInput>()
    const uuid = `uuid-${++this.#uuid}`
    this.perform(this.state.joinGroup(
      {
        request: {
          groupId,
          memberId: joining.memberId ?? "",
          groupInstanceId: joining.groupInstanceId ?? null,
          sessionTimeoutMs: joining.sessionTimeoutMs ?? 10_000,
          rebalanceTimeoutMs: joining.rebalanceTimeoutMs ?? 30_000,
          protocolType: joining.protocolType ?? "consumer",
          protocols: joining.protocols ?? [{ name: "range", metadata: subscription("t") }],
          reason: null
        },
        apiVersion: joining.apiVersion ?? 9,
        clientId: joining.clientId ?? "client",
        clientHost: "/127.0.0.1",
        uuid
      },
      reply.take,
      this.now
    ))
    return reply
  }

  /** As a new dynamic member does: asks for an id, then joins with it. Time does not pass. */
  joinNew(joining: Joining = {}, groupId = "g"): Reply<JoinGroupResponseInput> {
    const { value } = this.join(joining, groupId)
    if (value?.errorCode !== ErrorCode.MEMBER_ID_REQUIRED) throw new Error(`no id was given: ${value?.errorCode}`)
    return this.join({ ...joining, memberId: value.memberId }, groupId)
  }

  sync(
    member: { readonly memberId: string; readonly generationId?: number | undefined },
    assignments: Readonly<Record<string, string>> = {},
    groupId = "g",
    groupInstanceId: string | null = null
  ): Reply<SyncGroupResponseInput> {
    const reply = new Reply<SyncGroupResponseInput>()
    this.perform(this.state.syncGroup({
      groupId,
      memberId: member.memberId,
      generationId: member.generationId ?? -1,
      groupInstanceId,
      protocolType: null,
      protocolName: null,
      assignments: Object.entries(assignments).map(([memberId, assignment]) => ({ memberId, assignment: bytes(assignment) }))
    }, reply.take))
    return reply
  }

  heartbeat(
    member: { readonly memberId: string; readonly generationId?: number | undefined },
    groupId = "g",
    groupInstanceId: string | null = null
  ): number | undefined {
    const reply = new Reply<number>()
    const { generationId = -1, memberId } = member
    this.perform(this.state.heartbeat({ groupId, memberId, generationId, groupInstanceId }, reply.take, this.now))
    return reply.value
  }

  /** @returns the error codes, one for each member */
  leave(members: ReadonlyArray<{ readonly memberId: string; readonly groupInstanceId?: string | null }>, groupId = "g"): ReadonlyArray<number> | number {
    const reply = new Reply<ReadonlyArray<{ readonly errorCode: number }> | number>()
    this.perform(this.state.leaveGroup(groupId, members, reply.take, this.now))
    if (reply.value === undefined) throw new Error("LeaveGroup was not answered")
    return typeof reply.value === "number" ? reply.value : reply.value.map(({ errorCode }) => errorCode)
  }

  commitOffset(
    offset: number,
    by: {
      readonly groupId?: string
      readonly memberId?: string
      readonly generationId?: number | undefined
      readonly groupInstanceId?: string | null
      readonly topic?: string
      readonly topicId?: string
      readonly partition?: number
      readonly metadata?: string | null
      readonly retentionTimeMs?: number
      readonly apiVersion?: number
    } = {}
  ): Reply<ReadonlyArray<PartitionResults> | number> {
    const reply = new Reply<ReadonlyArray<PartitionResults> | number>()
    this.perform(this.state.commitOffsets(
      {
        apiVersion: by.apiVersion ?? 9,
        groupId: by.groupId ?? "g",
        generationId: by.generationId ?? -1,
        memberId: by.memberId ?? "",
        groupInstanceId: by.groupInstanceId ?? null,
        retentionTimeMs: by.retentionTimeMs ?? -1,
        topics: [{
          name: by.topic ?? "t",
          topicId: by.topicId ?? ZERO_TOPIC_ID,
          partitions: [{
            partitionIndex: by.partition ?? 0,
            committedOffset: offset,
            committedLeaderEpoch: -1,
            committedMetadata: by.metadata ?? null
          }]
        }]
      },
      reply.take,
      this.now
    ))
    return reply
  }

  /** The error code of a commit of one partition. */
  commitCode(offset: number, by: Parameters<TestGroups["commitOffset"]>[1] = {}): number | undefined {
    const { value } = this.commitOffset(offset, by)
    return typeof value === "number" ? value : value?.[0]?.partitions[0]?.errorCode
  }

  fetchAll(groupId = "g"): Reply<ReadonlyArray<FetchedOffsets> | number> {
    const reply = new Reply<ReadonlyArray<FetchedOffsets> | number>()
    this.perform(this.state.fetchOffsets({ groupId, topics: null }, reply.take))
    return reply
  }

  /** `topic-partition` to offset. */
  committed(groupId = "g"): Readonly<Record<string, number>> {
    const { value } = this.fetchAll(groupId)
    if (value === undefined || typeof value === "number") throw new Error(`OffsetFetch: ${value}`)
    const found: Record<string, number> = {}
    for (const { name, partitions } of value) {
      for (const { committedOffset, partitionIndex } of partitions) found[`${name}-${partitionIndex}`] = committedOffset
    }
    return found
  }

  deleteGroups(...groupIds: ReadonlyArray<string>): ReadonlyArray<number> | number | undefined {
    const reply = new Reply<ReadonlyArray<number> | number>()
    this.perform(this.state.deleteGroups(groupIds, reply.take))
    return reply.value
  }

  /** New dynamic members that all joined, synced and have `assignment-of-<n>`; in the order of their coming. */
  stable(count: number, joining: ReadonlyArray<Joining> = [], groupId = "g"): ReadonlyArray<Member> {
    const replies = Array.from({ length: count }, (_, i) => {
      const own = joining[i] ?? {}
      return own.groupInstanceId === undefined ? this.joinNew(own, groupId) : this.join(own, groupId)
    })
    this.advance(0)
    const members = replies.map(({ value }): Member => {
      if (value?.errorCode !== ErrorCode.NONE) throw new Error(`not joined: ${value?.errorCode}`)
      return { memberId: value.memberId, generationId: value.generationId ?? -1 }
    })
    const assignments = Object.fromEntries(members.map(({ memberId }, i) => [memberId, `assignment-of-${i}`]))
    const leader = replies[0]!.value!.leader
    for (const member of members) {
      this.sync(member, member.memberId === leader ? assignments : {}, groupId, this.instanceOf(member.memberId, groupId))
    }
    if (this.autoCommit && this.group(groupId).state !== "Stable") throw new Error(this.group(groupId).state)
    return members
  }

  instanceOf(memberId: string, groupId = "g"): string | null {
    return this.group(groupId).members.get(memberId)?.groupInstanceId ?? null
  }
}

export interface Member {
  readonly memberId: string
  readonly generationId: number
}

/** Groups in the middle of a rebalance. */
export const unsettled = (state: GroupsState): ReadonlySet<string> =>
  new Set([...state.groups.values()].filter(({ state }) => state !== "Stable" && state !== "Empty").map(({ groupId }) => groupId))

interface Durable {
  readonly offsets: ReadonlyArray<unknown>
  readonly groups: ReadonlyArray<unknown>
}

/**
 * What must be the same after a restart: every offset; every group that is Stable or Empty with what its record says. A
 * group in the middle of a rebalance comes back in the generation before, so of it only the existence counts.
 */
export const durable = (state: GroupsState, unsettled: ReadonlySet<string> = new Set()): Durable => ({
  offsets: [...state.groups.keys()].sort().map((groupId) => [
    groupId,
    [...state.offsets.of(groupId)]
      .map(([topic, partitions]) => [topic, [...partitions].sort(([a], [b]) => a - b)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
  ]),
  groups: [...state.groups.values()].sort((a, b) => (a.groupId < b.groupId ? -1 : 1)).map((group) =>
    unsettled.has(group.groupId) ? [group.groupId] : [
      group.groupId,
      {
        state: group.state,
        generationId: group.generationId,
        // a group that had no generation yet is written without a type
        protocolType: group.generationId === 0 ? null : group.protocolType,
        protocolName: group.protocolName,
        leaderId: group.leaderId,
        members: [...group.members.values()].map((member) => ({
          memberId: member.memberId,
          groupInstanceId: member.groupInstanceId,
          clientId: member.clientId,
          clientHost: member.clientHost,
          sessionTimeoutMs: member.sessionTimeoutMs,
          rebalanceTimeoutMs: member.rebalanceTimeoutMs,
          metadata: [...member.metadata(group.protocolName) ?? []],
          assignment: [...member.assignment]
        }))
      }
    ]
  )
})
