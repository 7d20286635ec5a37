/**
 * How a group gets from one generation to the next, and what its timers do to it. Requests are Membership.ts's.
 *
 * Whoever joins waits in JoinGroup until all members have joined or the longest rebalance timeout is over; dynamic
 * members that did not join are left behind, static ones stay and keep their place. Then the leader is told who is in,
 * all wait in SyncGroup for its assignment, and who does not come within the rebalance timeout is put out. So every
 * rebalance ends.
 */
import type { StepBuilder } from "../coordinator/CoordinatorState.ts"
import { Timer, type TimerQueue } from "../coordinator/TimerQueue.ts"
import type { Now } from "../model/Time.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { JoinGroupResponseInput } from "../protocol/generated/JoinGroup.ts"
import type { SyncGroupResponseInput } from "../protocol/generated/SyncGroup.ts"
import type { ClassicGroup } from "./ClassicGroup.ts"
import { type ClassicGroupMember, EMPTY_BYTES } from "./ClassicGroupMember.ts"
import type { GroupConfig } from "./GroupConfig.ts"
import { groupMetadataRecord, type GroupRecord } from "./GroupRecords.ts"
import type { GroupTimer } from "./GroupTimer.ts"

export type GroupStep = StepBuilder<GroupRecord>

/** What a JoinGroup is answered with when it fails. */
export const failedJoin = (memberId: string, errorCode: number): JoinGroupResponseInput => ({
  errorCode,
  memberId,
  generationId: -1,
  protocolType: null,
  protocolName: null,
  leader: "",
  skipAssignment: false,
  members: []
})

/** The same of a SyncGroup. */
export const failedSync = (errorCode: number): SyncGroupResponseInput => ({
  errorCode,
  protocolType: null,
  protocolName: null,
  assignment: EMPTY_BYTES
})

/** What all of this works with. */
export interface Rebalance {
  readonly config: GroupConfig
  readonly timers: TimerQueue<GroupTimer>
}

/** The group as it is, for one of its members; `members`: with everyone's metadata, which only a leader is told. */
export const joinedResponse = (
  group: ClassicGroup,
  memberId: string,
  members: boolean,
  over: Partial<JoinGroupResponseInput> = {}
): JoinGroupResponseInput => ({
  errorCode: ErrorCode.NONE,
  memberId,
  generationId: group.generationId,
  protocolType: group.protocolType,
  protocolName: group.protocolName,
  leader: group.leaderId ?? "",
  skipAssignment: false,
  members: members
    ? [...group.members.values()].map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      metadata: member.metadata(group.protocolName) ?? EMPTY_BYTES
    }))
    : [],
  ...over
})

// -- timers and answers ----------------------------------------------------------------------------------------

/** The member was heard of. */
export const heard = (
  { timers }: Rebalance,
  member: ClassicGroupMember,
  now: Now,
  timeoutMs: number = member.sessionTimeoutMs
): void => timers.set(member.session, now.monotonicMs + timeoutMs)

/** Answers a JoinGroup that waits for this member, if one does. */
export const answerJoin = (
  group: ClassicGroup,
  member: ClassicGroupMember,
  step: GroupStep,
  response: JoinGroupResponseInput
): void => {
  const answer = group.takeJoinAnswer(member)
  if (answer !== undefined) step.reply(answer, response)
}

/** As answerJoin, for a SyncGroup that ends without an assignment. Kafka forgets some of those and never answers. */
export const failSync = (member: ClassicGroupMember, step: GroupStep, errorCode: number): void => {
  const answer = member.awaitingSync
  if (answer === undefined) return
  member.awaitingSync = undefined
  step.reply(answer, failedSync(errorCode))
}

/** Takes someone out of the group, with its timers. Whoever waits for it is told that it is no member, and asks anew. */
export const removeMember = ({ timers }: Rebalance, group: ClassicGroup, memberId: string, step: GroupStep): void => {
  const member = group.members.get(memberId)
  if (member !== undefined) {
    answerJoin(group, member, step, failedJoin("", ErrorCode.UNKNOWN_MEMBER_ID))
    failSync(member, step, ErrorCode.UNKNOWN_MEMBER_ID)
  }
  const session = member?.session ?? group.pendingJoin.get(memberId)
  if (session !== undefined) timers.cancel(session)
  group.remove(memberId)
}

/** A group that goes takes its timers along. */
export const cancelTimers = ({ timers }: Rebalance, group: ClassicGroup): void => {
  timers.cancel(group.joinTimer)
  timers.cancel(group.syncTimer)
  for (const { session } of group.members.values()) timers.cancel(session)
  for (const session of group.pendingJoin.values()) timers.cancel(session)
}

/** A member's id is given out; it must come back with it within its session. */
export const addPending = (
  { timers }: Rebalance,
  group: ClassicGroup,
  memberId: string,
  sessionTimeoutMs: number,
  now: Now
): void => {
  const session = new Timer<GroupTimer>({ _tag: "Session", groupId: group.groupId, memberId })
  group.pendingJoin.set(memberId, session)
  timers.set(session, now.monotonicMs + sessionTimeoutMs)
}

/** Answers all who wait in SyncGroup: with their assignments, or with an error and none. */
export const propagateAssignment = (
  rebalance: Rebalance,
  group: ClassicGroup,
  error: number,
  now: Now,
  step: GroupStep
): void => {
  const isFine = error === ErrorCode.NONE
  for (const member of group.members.values()) {
    const answer = member.awaitingSync
    if (answer === undefined) continue
    member.awaitingSync = undefined
    step.reply(answer, {
      errorCode: error,
      protocolType: isFine ? group.protocolType : null,
      protocolName: isFine ? group.protocolName : null,
      assignment: member.assignment
    })
    // A session that ended while its member waited here was let pass and not set again.
    heard(rebalance, member, now)
  }
}

export const resetAssignment = (
  rebalance: Rebalance,
  group: ClassicGroup,
  error: number,
  now: Now,
  step: GroupStep
): void => {
  for (const member of group.members.values()) member.assignment = EMPTY_BYTES
  propagateAssignment(rebalance, group, error, now, step)
}

// -- joining ---------------------------------------------------------------------------------------------------

/** Members are to join anew. An empty group waits for the initial delay first. */
export const prepareRebalance = (rebalance: Rebalance, group: ClassicGroup, now: Now, step: GroupStep): void => {
  const { config, timers } = rebalance
  if (group.state === "CompletingRebalance") {
    resetAssignment(rebalance, group, ErrorCode.REBALANCE_IN_PROGRESS, now, step)
  }
  group.pendingSync.clear()
  timers.cancel(group.syncTimer)
  if (group.state !== "Empty") {
    group.transitionTo("PreparingRebalance", now.wallMs)
    return completeJoinOrWait(rebalance, group, now, step)
  }
  const delayMs = config.initialRebalanceDelayMs
  group.transitionTo("PreparingRebalance", now.wallMs)
  group.joinTimer.event = {
    _tag: "InitialJoin",
    groupId: group.groupId,
    delayMs,
    remainingMs: Math.max(group.rebalanceTimeoutMs - delayMs, 0)
  }
  // Even without a delay it is the timer that ends the join, so that members of one turn come into one generation.
  timers.set(group.joinTimer, now.monotonicMs + delayMs)
}

const waitForJoin = ({ timers }: Rebalance, group: ClassicGroup, now: Now): void => {
  group.joinTimer.event = { _tag: "Join", groupId: group.groupId }
  timers.set(group.joinTimer, now.monotonicMs + group.rebalanceTimeoutMs)
}

const completeJoinOrWait = (rebalance: Rebalance, group: ClassicGroup, now: Now, step: GroupStep): void => {
  if (group.hasAllMembersJoined) completeJoin(rebalance, group, now, step)
  else waitForJoin(rebalance, group, now)
}

/** Someone joined or left while others wait: maybe that was the last. The initial delay is waited for to its end. */
export const completeJoinIfAllIn = (rebalance: Rebalance, group: ClassicGroup, now: Now, step: GroupStep): void => {
  if (group.state !== "PreparingRebalance" || group.previousState === "Empty" || !group.hasAllMembersJoined) return
  completeJoin(rebalance, group, now, step)
}

export const rebalanceOrCompleteJoin = (
  rebalance: Rebalance,
  group: ClassicGroup,
  now: Now,
  step: GroupStep
): void =>
  group.canRebalance
    ? prepareRebalance(rebalance, group, now, step)
    : completeJoinIfAllIn(rebalance, group, now, step)

/** The join ends: whoever is in makes the next generation. */
export const completeJoin = (rebalance: Rebalance, group: ClassicGroup, now: Now, step: GroupStep): void => {
  const { timers } = rebalance
  timers.cancel(group.joinTimer)
  for (const member of [...group.members.values()]) {
    if (member.awaitingJoin === undefined && !member.isStatic) removeMember(rebalance, group, member.memberId, step)
  }
  if (group.state === "Dead") return
  if (!group.electJoinedLeader() && group.members.size > 0) {
    // Only static members are left and none of them came: their sessions decide whether the group goes on without them.
    return waitForJoin(rebalance, group, now)
  }
  group.initNextGeneration(now.wallMs)
  if (group.state === "Empty") {
    step.append({
      records: [groupMetadataRecord(group, () => EMPTY_BYTES)],
      replay: false,
      // Should it not get into the log, a restart finds the generation before, whose members time out.
      settle: () => ({ replies: [], appends: [] })
    })
    return
  }
  for (const member of group.members.values()) {
    answerJoin(group, member, step, joinedResponse(group, member.memberId, group.isLeader(member.memberId)))
    heard(rebalance, member, now)
    member.isNew = false
    group.pendingSync.add(member.memberId)
  }
  group.syncTimer.event = { _tag: "Sync", groupId: group.groupId, generationId: group.generationId }
  timers.set(group.syncTimer, now.monotonicMs + group.rebalanceTimeoutMs)
}

// -- what comes due --------------------------------------------------------------------------------------------

/** A member's session is over. */
export const expireSession = (
  rebalance: Rebalance,
  group: ClassicGroup,
  memberId: string,
  now: Now,
  step: GroupStep
): void => {
  if (group.pendingJoin.has(memberId)) {
    removeMember(rebalance, group, memberId, step)
    if (group.state === "PreparingRebalance" && group.hasAllMembersJoined) completeJoin(rebalance, group, now, step)
    return
  }
  const member = group.members.get(memberId)
  if (member === undefined || member.hasSatisfiedHeartbeat) return
  removeMember(rebalance, group, memberId, step)
  if (group.state === "Stable" || group.state === "CompletingRebalance") {
    rebalanceOrCompleteJoin(rebalance, group, now, step)
  } else if (group.state === "PreparingRebalance" && group.hasAllMembersJoined) {
    completeJoin(rebalance, group, now, step)
  }
}

/** The initial delay is over: extended when someone came meanwhile, as long as the rebalance timeout lasts. */
export const expireInitialJoin = (
  rebalance: Rebalance,
  group: ClassicGroup,
  { delayMs, remainingMs }: { readonly delayMs: number; readonly remainingMs: number },
  now: Now,
  step: GroupStep
): void => {
  if (!group.newMemberAdded || remainingMs === 0) return completeJoin(rebalance, group, now, step)
  group.newMemberAdded = false
  const newDelayMs = Math.min(rebalance.config.initialRebalanceDelayMs, remainingMs)
  group.joinTimer.event = {
    _tag: "InitialJoin",
    groupId: group.groupId,
    delayMs: newDelayMs,
    remainingMs: Math.max(remainingMs - delayMs, 0)
  }
  rebalance.timers.set(group.joinTimer, now.monotonicMs + newDelayMs)
}

/** Who joined and never synced is put out. */
export const expireSync = (
  rebalance: Rebalance,
  group: ClassicGroup,
  generationId: number,
  now: Now,
  step: GroupStep
): void => {
  if (generationId !== group.generationId || group.pendingSync.size === 0) return
  if (group.state !== "CompletingRebalance" && group.state !== "Stable") return
  for (const memberId of [...group.pendingSync]) removeMember(rebalance, group, memberId, step)
  prepareRebalance(rebalance, group, now, step)
}
