/**
 * The groups and offsets of one partition of __consumer_offsets: a pure, synchronous state machine.
 *
 * What the log remembers: offsets; that a group exists; a group's last generation with its members, their metadata and
 * assignments. Offsets and deletions change by replay alone. A rebalance is soft state, as in Kafka: the group moves
 * first and its generation is written when it is assigned, so a restart in the middle of a rebalance finds the
 * generation before, whose members are heard of or time out. For a group that is Stable or Empty, and whose records
 * are committed, the live state and the state replayed from the log are the same.
 *
 * Requests come with a function that takes the answer; it is called when the step's replies are, see CoordinatorState.ts.
 *
 * Bounds: a group has group.max.size members and MAX_PENDING_MEMBERS that were given an id; each leaves when its
 * session ends. A group without members goes when its offsets have expired, or at the next look if it has none.
 */
import { type CoordinatorState, type Step, StepBuilder } from "../coordinator/CoordinatorState.ts"
import { Timer, TimerQueue } from "../coordinator/TimerQueue.ts"
import type { Now } from "../model/Time.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { DescribeGroupsResponseDescribedGroupInput } from "../protocol/generated/DescribeGroups.ts"
import type { HeartbeatRequest } from "../protocol/generated/Heartbeat.ts"
import type {
  LeaveGroupRequestMemberIdentityInput,
  LeaveGroupResponseMemberResponseInput
} from "../protocol/generated/LeaveGroup.ts"
import type { ListGroupsResponseListedGroupInput } from "../protocol/generated/ListGroups.ts"
import type { SyncGroupRequest } from "../protocol/generated/SyncGroup.ts"
import { toSafe } from "../protocol/Int64.ts"
import { ClassicGroup } from "./ClassicGroup.ts"
import { ClassicGroupMember, EMPTY_BYTES, type JoinAnswer, type SyncAnswer } from "./ClassicGroupMember.ts"
import { type GroupConfig, MAX_EXPIRED_PER_APPEND } from "./GroupConfig.ts"
import {
  type GroupMetadataRecord,
  type GroupRecord,
  groupTombstone,
  newGroupRecord,
  type OffsetCommitRecord,
  offsetTombstone
} from "./GroupRecords.ts"
import type { GroupTimer } from "./GroupTimer.ts"
import { heartbeat, type Join, joinGroup, leaveGroup, syncGroup } from "./Membership.ts"
import {
  commitError,
  commitOffsets,
  deleteError,
  deleteOffsets,
  expiredOffsets,
  type FetchedOffsets,
  fetchOffsets,
  type OffsetCommit,
  type OffsetDelete,
  type OffsetFetch,
  type PartitionResults
} from "./Offsets.ts"
import { OffsetStore } from "./OffsetStore.ts"
import {
  cancelTimers,
  completeJoin,
  expireInitialJoin,
  expireSession,
  expireSync,
  failedJoin,
  failedSync,
  failSync,
  answerJoin,
  type GroupStep,
  heard,
  prepareRebalance,
  type Rebalance
} from "./Rebalance.ts"

/** Takes an answer, or the error code that all of the request is answered with. */
export type Answer<Response> = (response: Response | number) => void

export type GroupsStep = Step<GroupRecord>

/** What ListGroups calls the groups of this protocol. */
export const CLASSIC_GROUP_TYPE = "classic"

export class GroupsState implements CoordinatorState<GroupRecord> {
  readonly groups: Map<string, ClassicGroup> = new Map()
  readonly offsets: OffsetStore = new OffsetStore()
  readonly #rebalance: Rebalance
  readonly #retention: Timer<GroupTimer> = new Timer<GroupTimer>({ _tag: "Retention" })

  constructor(config: GroupConfig) {
    this.#rebalance = { config, timers: new TimerQueue<GroupTimer>() }
  }

  get config(): GroupConfig {
    return this.#rebalance.config
  }

  /** Timers that are set: for tests of what is left behind. */
  get timerCount(): number {
    return this.#rebalance.timers.size
  }

  // -- membership ----------------------------------------------------------------------------------------------

  joinGroup(join: Join, answer: JoinAnswer, now: Now): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const { groupId, memberId, sessionTimeoutMs } = join.request
    const { maxSessionTimeoutMs, minSessionTimeoutMs } = this.config
    const refuse = (errorCode: number): GroupsStep => {
      step.reply(answer, failedJoin(memberId, errorCode))
      return step
    }
    if (groupId === "") return refuse(ErrorCode.INVALID_GROUP_ID)
    if (sessionTimeoutMs < minSessionTimeoutMs || sessionTimeoutMs > maxSessionTimeoutMs) {
      return refuse(ErrorCode.INVALID_SESSION_TIMEOUT)
    }
    const existing = this.groups.get(groupId)
    if (existing !== undefined) {
      joinGroup(this.#rebalance, existing, join, answer, now, step)
      return step
    }
    if (memberId !== "") return refuse(ErrorCode.UNKNOWN_MEMBER_ID)
    const group = new ClassicGroup({
      groupId,
      state: "Empty",
      generationId: 0,
      protocolType: null,
      protocolName: null,
      leaderId: null,
      stateTimestampMs: now.wallMs
    })
    this.groups.set(groupId, group)
    step.append({
      records: [newGroupRecord(group)],
      replay: false,
      settle: (error, now) => error === ErrorCode.NONE ? step.next() : this.#forgetNew(group, error, now)
    })
    joinGroup(this.#rebalance, group, join, answer, now, step)
    return step
  }

  /** A group that did not get into the log is none, unless it got a generation meanwhile, which has a record of its own. */
  #forgetNew(group: ClassicGroup, error: number, now: Now): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    if (this.groups.get(group.groupId) !== group || group.generationId > 0) return step
    this.#bury(group, error, now.wallMs, step)
    this.groups.delete(group.groupId)
    return step
  }

  syncGroup(request: SyncGroupRequest, answer: SyncAnswer): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const group = this.groups.get(request.groupId)
    if (request.groupId === "") step.reply(answer, failedSync(ErrorCode.INVALID_GROUP_ID))
    else if (group === undefined) step.reply(answer, failedSync(ErrorCode.UNKNOWN_MEMBER_ID))
    else syncGroup(this.#rebalance, group, request, answer, step)
    return step
  }

  /** Answered with an error code. */
  heartbeat(request: HeartbeatRequest, answer: (errorCode: number) => void, now: Now): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const group = this.groups.get(request.groupId)
    const errorCode = request.groupId === ""
      ? ErrorCode.INVALID_GROUP_ID
      : group === undefined
      ? ErrorCode.UNKNOWN_MEMBER_ID
      : heartbeat(this.#rebalance, group, request, now)
    step.reply(answer, errorCode)
    return step
  }

  leaveGroup(
    groupId: string,
    members: ReadonlyArray<LeaveGroupRequestMemberIdentityInput>,
    answer: Answer<ReadonlyArray<LeaveGroupResponseMemberResponseInput>>,
    now: Now
  ): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const group = this.groups.get(groupId)
    if (groupId === "") step.reply(answer, ErrorCode.INVALID_GROUP_ID)
    else if (group === undefined) {
      step.reply(
        answer,
        members.map(({ groupInstanceId, memberId }) => ({
          memberId,
          groupInstanceId: groupInstanceId ?? null,
          errorCode: ErrorCode.UNKNOWN_MEMBER_ID
        }))
      )
    } else step.reply(answer, leaveGroup(this.#rebalance, group, members, now, step))
    return step
  }

  // -- offsets -------------------------------------------------------------------------------------------------

  commitOffsets(commit: OffsetCommit, answer: Answer<ReadonlyArray<PartitionResults>>, now: Now): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const group = this.groups.get(commit.groupId)
    const error = commitError(group, commit)
    if (error !== ErrorCode.NONE) {
      step.reply(answer, error)
      return step
    }
    // Whoever commits is alive.
    const member = group?.members.get(commit.memberId)
    if (member !== undefined && (group?.state === "Stable" || group?.state === "PreparingRebalance")) {
      heard(this.#rebalance, member, now)
    }
    const { records, results } = commitOffsets(commit, this.config.offsetMetadataMaxBytes, now.wallMs)
    step.replyAfter<ReadonlyArray<PartitionResults> | number>(records, answer, results, (failed) => failed)
    return step
  }

  /** What is told is committed: it waits for all that was written before. */
  fetchOffsets(fetch: OffsetFetch, answer: Answer<ReadonlyArray<FetchedOffsets>>): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const fetched = fetchOffsets(this.offsets.of(fetch.groupId), fetch.topics)
    step.replyAfter<ReadonlyArray<FetchedOffsets> | number>([], answer, fetched, (failed) => failed)
    return step
  }

  deleteOffsets(request: OffsetDelete, answer: Answer<ReadonlyArray<PartitionResults>>): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const group = this.groups.get(request.groupId)
    const error = request.groupId === "" ? ErrorCode.INVALID_GROUP_ID : deleteError(group)
    if (error !== ErrorCode.NONE || group === undefined) {
      step.reply(answer, error)
      return step
    }
    const { records, results } = deleteOffsets(group, this.offsets, request)
    step.replyAfter<ReadonlyArray<PartitionResults> | number>(records, answer, results, (failed) => failed)
    return step
  }

  /** Topics are gone, and what was committed of them with them. */
  topicsDeleted(topics: ReadonlySet<string>): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const records: Array<GroupRecord> = []
    for (const { groupId, partition, topic } of this.offsets.ofTopics(topics)) {
      records.push(offsetTombstone(groupId, topic, partition))
    }
    this.#appendInPieces(records, step)
    return step
  }

  // -- administration ------------------------------------------------------------------------------------------

  /** @param apiVersion from 6 on a group that is not there is an error (KIP-1043) */
  describeGroups(
    groupIds: ReadonlyArray<string>,
    apiVersion: number,
    answer: Answer<ReadonlyArray<DescribeGroupsResponseDescribedGroupInput>>
  ): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const described = groupIds.map((groupId) => {
      const group = this.groups.get(groupId)
      return group === undefined ? undescribed(groupId, apiVersion) : describe(group)
    })
    step.replyAfter<ReadonlyArray<DescribeGroupsResponseDescribedGroupInput> | number>(
      [], answer, described, (failed) => failed
    )
    return step
  }

  /** Filters that are empty let all through; they are told apart without regard to case. */
  listGroups(
    statesFilter: ReadonlyArray<string>,
    typesFilter: ReadonlyArray<string>,
    answer: Answer<ReadonlyArray<ListGroupsResponseListedGroupInput>>
  ): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const states = new Set(statesFilter.map((state) => state.toLowerCase().trim()))
    const isType = typesFilter.length === 0 || typesFilter.some((type) => type.toLowerCase() === CLASSIC_GROUP_TYPE)
    const listed: Array<ListGroupsResponseListedGroupInput> = []
    for (const { groupId, protocolType, state } of isType ? this.groups.values() : []) {
      if (states.size > 0 && !states.has(state.toLowerCase())) continue
      listed.push({ groupId, protocolType: protocolType ?? "", groupState: state, groupType: CLASSIC_GROUP_TYPE })
    }
    step.replyAfter<ReadonlyArray<ListGroupsResponseListedGroupInput> | number>([], answer, listed, (failed) => failed)
    return step
  }

  /** Groups without members, with their offsets. Answered with an error code for each, in the order of the request. */
  deleteGroups(groupIds: ReadonlyArray<string>, answer: Answer<ReadonlyArray<number>>): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    const tombstones: Array<GroupRecord> = []
    const results = groupIds.map((groupId) => {
      const group = this.groups.get(groupId)
      if (group === undefined || group.state === "Dead") return ErrorCode.GROUP_ID_NOT_FOUND
      if (group.state !== "Empty") return ErrorCode.NON_EMPTY_GROUP
      this.#appendInPieces(this.#offsetTombstones(groupId), step)
      tombstones.push(groupTombstone(groupId))
      return ErrorCode.NONE
    })
    step.replyAfter<ReadonlyArray<number> | number>(tombstones, answer, results, (failed) => failed)
    return step
  }

  #offsetTombstones(groupId: string): ReadonlyArray<GroupRecord> {
    const records: Array<GroupRecord> = []
    for (const [topic, partitions] of this.offsets.of(groupId)) {
      for (const partition of partitions.keys()) records.push(offsetTombstone(groupId, topic, partition))
    }
    return records
  }

  /** Each piece may fail by itself: what is left is found again at the next look. */
  #appendInPieces(records: ReadonlyArray<GroupRecord>, step: GroupStep): void {
    for (let at = 0; at < records.length; at += MAX_EXPIRED_PER_APPEND) {
      step.append({
        records: records.slice(at, at + MAX_EXPIRED_PER_APPEND),
        replay: true,
        settle: () => step.next()
      })
    }
  }

  // -- time ----------------------------------------------------------------------------------------------------

  get nextDeadlineMs(): number {
    return this.#rebalance.timers.nextMs
  }

  fire(now: Now): GroupsStep | undefined {
    const timer = this.#rebalance.timers.take(now.monotonicMs)
    if (timer === undefined) return undefined
    const step = new StepBuilder<GroupRecord>()
    const { event } = timer
    if (event._tag === "Retention") {
      this.#expireOffsets(now, step)
      return step
    }
    const group = this.groups.get(event.groupId)
    if (group === undefined) return step
    switch (event._tag) {
      case "Session":
        expireSession(this.#rebalance, group, event.memberId, now, step)
        break
      case "Join":
        completeJoin(this.#rebalance, group, now, step)
        break
      case "InitialJoin":
        expireInitialJoin(this.#rebalance, group, event, now, step)
        break
      case "Sync":
        expireSync(this.#rebalance, group, event.generationId, now, step)
    }
    return step
  }

  #expireOffsets(now: Now, step: GroupStep): void {
    const { offsetsRetentionCheckIntervalMs, offsetsRetentionMs } = this.config
    const records: Array<GroupRecord> = []
    for (const group of this.groups.values()) {
      const expired = expiredOffsets(group, this.offsets.of(group.groupId), now.wallMs, offsetsRetentionMs)
      for (const record of expired.records) records.push(record)
      if (expired.areAll && group.state === "Empty") records.push(groupTombstone(group.groupId))
    }
    this.#appendInPieces(records, step)
    this.#rebalance.timers.set(this.#retention, now.monotonicMs + offsetsRetentionCheckIntervalMs)
  }

  // -- the log -------------------------------------------------------------------------------------------------

  replay(record: GroupRecord, _offset: number): () => void {
    return record._tag === "OffsetCommit" ? this.#replayOffset(record) : this.#replayGroup(record)
  }

  #replayOffset({ groupId, partition, topic, value }: OffsetCommitRecord): () => void {
    const isNewGroup = value !== null && !this.groups.has(groupId)
    // Someone commits without being in a group: a group without a protocol type comes to be.
    if (isNewGroup) {
      this.groups.set(groupId, new ClassicGroup({
        groupId,
        state: "Empty",
        generationId: 0,
        protocolType: null,
        protocolName: null,
        leaderId: null,
        stateTimestampMs: value.commitTimestampMs
      }))
    }
    const before = this.offsets.set(groupId, topic, partition, value ?? undefined)
    return () => {
      this.offsets.set(groupId, topic, partition, before)
      if (isNewGroup) this.groups.delete(groupId)
    }
  }

  #replayGroup({ groupId, value }: GroupMetadataRecord): () => void {
    const before = this.groups.get(groupId)
    if (before !== undefined) cancelTimers(this.#rebalance, before)
    if (value === null) {
      this.groups.delete(groupId)
      return () => {
        if (before !== undefined) this.#restore(before)
      }
    }
    const group = new ClassicGroup({
      groupId,
      state: value.members.length === 0 ? "Empty" : "Stable",
      generationId: value.generation,
      protocolType: value.protocolType === "" ? null : value.protocolType,
      protocolName: value.protocol,
      leaderId: value.leader,
      stateTimestampMs: toSafe(value.currentStateTimestamp) ?? -1
    })
    for (const member of value.members) {
      group.add(
        new ClassicGroupMember(groupId, {
          memberId: member.memberId,
          groupInstanceId: member.groupInstanceId,
          clientId: member.clientId,
          clientHost: member.clientHost,
          rebalanceTimeoutMs: member.rebalanceTimeout === -1 ? member.sessionTimeout : member.rebalanceTimeout,
          sessionTimeoutMs: member.sessionTimeout,
          protocolType: value.protocolType,
          // Of what a member can do only what was selected is written down; it tells the rest when it joins again.
          protocols: value.protocol === null ? [] : [{ name: value.protocol, metadata: member.subscription }],
          assignment: member.assignment
        }),
        undefined
      )
    }
    group.computeSubscribedTopics()
    this.groups.set(groupId, group)
    return () => {
      this.groups.delete(groupId)
      if (before !== undefined) this.#restore(before)
    }
  }

  /** A deletion that failed: ids that were given out meanwhile are forgotten, their holders ask for new ones. */
  #restore(group: ClassicGroup): void {
    group.pendingJoin.clear()
    this.groups.set(group.groupId, group)
  }

  loaded(now: Now): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    for (const group of this.groups.values()) {
      for (const member of group.members.values()) heard(this.#rebalance, member, now)
      // group.max.size is smaller than before: whoever joins again first stays.
      if (group.members.size > this.config.maxSize) prepareRebalance(this.#rebalance, group, now, step)
    }
    this.#rebalance.timers.set(this.#retention, now.monotonicMs + this.config.offsetsRetentionCheckIntervalMs)
    return step
  }

  unloaded(): GroupsStep {
    const step = new StepBuilder<GroupRecord>()
    for (const group of this.groups.values()) {
      this.#bury(group, ErrorCode.NOT_COORDINATOR, group.stateTimestampMs, step)
    }
    this.#rebalance.timers.cancel(this.#retention)
    return step
  }

  /** Nobody is to wait for this group any more. */
  #bury(group: ClassicGroup, error: number, wallMs: number, step: GroupStep): void {
    cancelTimers(this.#rebalance, group)
    group.transitionTo("Dead", wallMs)
    for (const member of group.members.values()) {
      answerJoin(group, member, step, failedJoin(member.memberId, error))
      failSync(member, step, error)
    }
  }
}

const describe = (group: ClassicGroup): DescribeGroupsResponseDescribedGroupInput => {
  const isStable = group.state === "Stable"
  return {
    errorCode: ErrorCode.NONE,
    groupId: group.groupId,
    groupState: group.state,
    protocolType: group.protocolType ?? "",
    protocolData: isStable ? group.protocolName ?? "" : "",
    members: [...group.members.values()].map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: (isStable ? member.metadata(group.protocolName) : undefined) ?? EMPTY_BYTES,
      memberAssignment: member.assignment
    }))
  }
}

const undescribed = (groupId: string, apiVersion: number): DescribeGroupsResponseDescribedGroupInput => ({
  errorCode: apiVersion >= 6 ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.NONE,
  errorMessage: apiVersion >= 6 ? `Group ${groupId} not found.` : null,
  groupId,
  groupState: "Dead",
  protocolType: "",
  protocolData: "",
  members: []
})
