/** JoinGroup, SyncGroup, Heartbeat and LeaveGroup of the classic protocol: what each decides about a group. */
import type { Now } from "../model/Time.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { JoinGroupRequest } from "../protocol/generated/JoinGroup.ts"
import type {
  LeaveGroupRequestMemberIdentityInput,
  LeaveGroupResponseMemberResponseInput
} from "../protocol/generated/LeaveGroup.ts"
import type { SyncGroupRequest } from "../protocol/generated/SyncGroup.ts"
import type { ClassicGroup } from "./ClassicGroup.ts"
import { ClassicGroupMember, EMPTY_BYTES, type JoinAnswer, type MemberProtocol, type SyncAnswer } from "./ClassicGroupMember.ts"
import { MAX_PENDING_MEMBERS, NEW_MEMBER_JOIN_TIMEOUT_MS } from "./GroupConfig.ts"
import { groupMetadataRecord } from "./GroupRecords.ts"
import {
  addPending,
  answerJoin,
  completeJoinIfAllIn,
  failedJoin,
  failedSync,
  failSync,
  type GroupStep,
  heard,
  joinedResponse,
  prepareRebalance,
  propagateAssignment,
  type Rebalance,
  rebalanceOrCompleteJoin,
  removeMember,
  resetAssignment
} from "./Rebalance.ts"

/** Who asks, as far as the protocol does not say. */
export interface Asker {
  readonly apiVersion: number
  readonly clientId: string
  /** As Java prints addresses: `/127.0.0.1`. */
  readonly clientHost: string
}

export interface Join extends Asker {
  readonly request: JoinGroupRequest
  /** Random, for the id of a member that is new: a uuid as Java prints it. */
  readonly uuid: string
}

/** KIP-394: from this version on a new member is given its id first, and joins with it. */
const MEMBER_ID_REQUIRED_SINCE = 4
/** KIP-814: from this version on a static leader that comes back is told not to assign anew. */
const SKIP_ASSIGNMENT_SINCE = 9

/** UTF-16 units of a client's or an instance's name that become part of a member id, which must fit a string of Kafka's. */
const MAX_MEMBER_PREFIX = 1000

const memberIdOf = (name: string, uuid: string): string => {
  const prefix = name.slice(0, MAX_MEMBER_PREFIX)
  // Half a surrogate pair would not come back as it is.
  return `${/[\ud800-\udbff]$/.test(prefix) ? prefix.slice(0, -1) : prefix}-${uuid}`
}

/** Bytes of its own, each name once: the request's bytes are gone when the member is still there. */
const protocolsOf = ({ protocols }: JoinGroupRequest): ReadonlyArray<MemberProtocol> => {
  const byName = new Map<string, MemberProtocol>()
  for (const { metadata, name } of protocols) {
    if (!byName.has(name)) byName.set(name, { name, metadata: metadata.slice() })
  }
  return [...byName.values()]
}

/** Version 0 has no rebalance timeout: the session's stands in. */
const rebalanceTimeoutOf = ({ rebalanceTimeoutMs, sessionTimeoutMs }: JoinGroupRequest): number =>
  rebalanceTimeoutMs === -1 ? sessionTimeoutMs : rebalanceTimeoutMs

// -- JoinGroup -------------------------------------------------------------------------------------------------

/** Whether there is room. Members that are in already stay in, unless the group was above its size and rebalances. */
const hasRoom = ({ config }: Rebalance, group: ClassicGroup, memberId: string): boolean => {
  switch (group.state) {
    case "Empty":
    case "Dead":
      return true
    case "PreparingRebalance":
      // By those who joined: when group.max.size became smaller the last ones to come are left out.
      return group.members.get(memberId)?.awaitingJoin !== undefined || group.awaitingJoinCount < config.maxSize
    case "CompletingRebalance":
    case "Stable":
      return group.members.has(memberId) || group.members.size < config.maxSize
  }
}

export const joinGroup = (
  rebalance: Rebalance,
  group: ClassicGroup,
  join: Join,
  answer: JoinAnswer,
  now: Now,
  step: GroupStep
): void => {
  const { request } = join
  const { groupInstanceId, memberId } = request
  if (!hasRoom(rebalance, group, memberId)) {
    removeMember(rebalance, group, memberId, step)
    return step.reply(answer, failedJoin("", ErrorCode.GROUP_MAX_SIZE_REACHED))
  }
  const protocols = protocolsOf(request)
  if (!group.supportsProtocols(request.protocolType, protocols)) {
    return step.reply(answer, failedJoin(memberId, ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
  }
  if (memberId !== "") return rejoin(rebalance, group, join, protocols, answer, now, step)
  const newMemberId = memberIdOf(groupInstanceId ?? join.clientId, join.uuid)
  if (groupInstanceId !== null) {
    const existing = group.members.get(group.staticMemberId(groupInstanceId) ?? "")
    if (existing === undefined) addMember(rebalance, group, join, newMemberId, protocols, answer, now, step)
    else replaceStatic(rebalance, group, existing, newMemberId, join, protocols, answer, now, step)
  } else if (join.apiVersion < MEMBER_ID_REQUIRED_SINCE) {
    addMember(rebalance, group, join, newMemberId, protocols, answer, now, step)
  } else if (group.pendingJoin.size >= MAX_PENDING_MEMBERS) {
    step.reply(answer, failedJoin("", ErrorCode.COORDINATOR_NOT_AVAILABLE))
  } else {
    addPending(rebalance, group, newMemberId, request.sessionTimeoutMs, now)
    step.reply(answer, failedJoin(newMemberId, ErrorCode.MEMBER_ID_REQUIRED))
  }
}

const addMember = (
  rebalance: Rebalance,
  group: ClassicGroup,
  { clientHost, clientId, request }: Join,
  memberId: string,
  protocols: ReadonlyArray<MemberProtocol>,
  answer: JoinAnswer,
  now: Now,
  step: GroupStep
): void => {
  const pending = group.pendingJoin.get(memberId)
  if (pending !== undefined) rebalance.timers.cancel(pending)
  const member = new ClassicGroupMember(group.groupId, {
    memberId,
    groupInstanceId: request.groupInstanceId,
    clientId,
    clientHost,
    rebalanceTimeoutMs: rebalanceTimeoutOf(request),
    sessionTimeoutMs: request.sessionTimeoutMs,
    protocolType: request.protocolType,
    protocols
  })
  member.isNew = true
  if (group.state === "PreparingRebalance" && group.previousState === "Empty") group.newMemberAdded = true
  group.add(member, answer)
  // It sends no heartbeats while it waits here, and when it goes away nobody hears of that.
  heard(rebalance, member, now, NEW_MEMBER_JOIN_TIMEOUT_MS)
  rebalanceOrCompleteJoin(rebalance, group, now, step)
}

/** Someone with a member id joins: one that was just given out, or a member. */
const rejoin = (
  rebalance: Rebalance,
  group: ClassicGroup,
  join: Join,
  protocols: ReadonlyArray<MemberProtocol>,
  answer: JoinAnswer,
  now: Now,
  step: GroupStep
): void => {
  const { groupInstanceId, memberId } = join.request
  // An id that was given out belongs to no instance.
  if (group.pendingJoin.has(memberId)) {
    return groupInstanceId === null
      ? addMember(rebalance, group, join, memberId, protocols, answer, now, step)
      : step.reply(answer, failedJoin("", ErrorCode.UNKNOWN_SERVER_ERROR))
  }
  const error = group.memberError(memberId, groupInstanceId)
  const member = group.members.get(memberId)
  if (error !== ErrorCode.NONE || member === undefined) return step.reply(answer, failedJoin(memberId, error))
  const isCurrent = member.matches(protocols)
  switch (group.state) {
    case "PreparingRebalance":
      return updateMember(rebalance, group, member, join.request, protocols, answer, now, step)
    case "CompletingRebalance":
      // It may have missed the answer to its first JoinGroup.
      if (isCurrent) return step.reply(answer, joinedResponse(group, memberId, group.isLeader(memberId)))
      return updateMember(rebalance, group, member, join.request, protocols, answer, now, step)
    case "Stable":
      // A leader joins again when something changed that is in no member's metadata: the partitions of a topic.
      if (isCurrent && !group.isLeader(memberId)) return step.reply(answer, joinedResponse(group, memberId, false))
      return updateMember(rebalance, group, member, join.request, protocols, answer, now, step)
    case "Empty":
    case "Dead":
      return step.reply(answer, failedJoin(memberId, ErrorCode.UNKNOWN_MEMBER_ID))
  }
}

const updateMember = (
  rebalance: Rebalance,
  group: ClassicGroup,
  member: ClassicGroupMember,
  request: JoinGroupRequest,
  protocols: ReadonlyArray<MemberProtocol>,
  answer: JoinAnswer,
  now: Now,
  step: GroupStep
): void => {
  // A JoinGroup of its that still waits is given up by the client, but its connection may wait for the answer.
  answerJoin(group, member, step, failedJoin(member.memberId, ErrorCode.REBALANCE_IN_PROGRESS))
  group.update(member, protocols, rebalanceTimeoutOf(request), request.sessionTimeoutMs, answer)
  rebalanceOrCompleteJoin(rebalance, group, now, step)
}

/** KIP-345: an instance comes back and is given a new id; whoever still has the old one is fenced. */
const replaceStatic = (
  rebalance: Rebalance,
  group: ClassicGroup,
  old: ClassicGroupMember,
  newMemberId: string,
  join: Join,
  protocols: ReadonlyArray<MemberProtocol>,
  answer: JoinAnswer,
  now: Now,
  step: GroupStep
): void => {
  const { request } = join
  const leaderBefore = group.leaderId ?? ""
  answerJoin(group, old, step, failedJoin(old.memberId, ErrorCode.FENCED_INSTANCE_ID))
  failSync(old, step, ErrorCode.FENCED_INSTANCE_ID)
  const member = new ClassicGroupMember(group.groupId, { ...old, memberId: newMemberId })
  group.replaceStatic(old, member)
  rebalance.timers.cancel(old.session)
  group.update(member, protocols, rebalanceTimeoutOf(request), request.sessionTimeoutMs, answer)
  heard(rebalance, member, now)
  switch (group.state) {
    case "Stable":
      if (group.selectProtocol() !== group.protocolName) return rebalanceOrCompleteJoin(rebalance, group, now, step)
      return persistReplaced(rebalance, group, old, member, join.apiVersion, leaderBefore, step)
    case "CompletingRebalance":
      // The leader was told the old id and would assign to that.
      return prepareRebalance(rebalance, group, now, step)
    default:
      return completeJoinIfAllIn(rebalance, group, now, step)
  }
}

/** Nothing changes for the others: the new id is written down, and the instance goes on with the old assignment. */
const persistReplaced = (
  rebalance: Rebalance,
  group: ClassicGroup,
  old: ClassicGroupMember,
  member: ClassicGroupMember,
  apiVersion: number,
  leaderBefore: string,
  step: GroupStep
): void => {
  const { memberId } = member
  step.append({
    records: [groupMetadataRecord(group, (id) => group.members.get(id)?.assignment ?? EMPTY_BYTES)],
    replay: false,
    settle: (error, now) => {
      const after = step.next()
      const isThere = group.members.get(memberId) === member
      if (error === ErrorCode.NONE) {
        if (!isThere) return after
        const leads = group.isLeader(memberId)
        answerJoin(
          group, member, after,
          apiVersion >= SKIP_ASSIGNMENT_SINCE
            ? joinedResponse(group, memberId, leads, { skipAssignment: leads })
            : joinedResponse(group, memberId, false, { leader: leaderBefore })
        )
        return after
      }
      // The log still has the old id: so has the group, and the instance comes again.
      answerJoin(group, member, after, joinedResponse(group, "", false, { errorCode: error, leader: leaderBefore }))
      if (isThere) {
        rebalance.timers.cancel(member.session)
        group.update(member, old.protocols, old.rebalanceTimeoutMs, old.sessionTimeoutMs, undefined)
        group.replaceStatic(member, old)
        heard(rebalance, old, now)
      }
      return after
    }
  })
}

// -- SyncGroup -------------------------------------------------------------------------------------------------

/** A protocol that is named must be the group's. */
const isOther = (named: string | null, groups: string | null): boolean =>
  named !== null && groups !== null && named !== groups

const syncError = (group: ClassicGroup, request: SyncGroupRequest): number => {
  if (group.state === "Dead") return ErrorCode.COORDINATOR_NOT_AVAILABLE
  const error = group.memberError(request.memberId, request.groupInstanceId)
  if (error !== ErrorCode.NONE) return error
  if (request.generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION
  return isOther(request.protocolType, group.protocolType) || isOther(request.protocolName, group.protocolName)
    ? ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    : ErrorCode.NONE
}

export const syncGroup = (
  rebalance: Rebalance,
  group: ClassicGroup,
  request: SyncGroupRequest,
  answer: SyncAnswer,
  step: GroupStep
): void => {
  const { memberId } = request
  const member = group.members.get(memberId)
  if (group.state === "Empty") return step.reply(answer, failedSync(ErrorCode.UNKNOWN_MEMBER_ID))
  const error = syncError(group, request)
  if (error !== ErrorCode.NONE || member === undefined) return step.reply(answer, failedSync(error))
  if (group.state === "PreparingRebalance") return step.reply(answer, failedSync(ErrorCode.REBALANCE_IN_PROGRESS))
  group.pendingSync.delete(memberId)
  if (group.state === "Stable") {
    return step.reply(answer, {
      errorCode: ErrorCode.NONE,
      protocolType: group.protocolType,
      protocolName: group.protocolName,
      assignment: member.assignment
    })
  }
  // The same member asks again: as with JoinGroup.
  failSync(member, step, ErrorCode.REBALANCE_IN_PROGRESS)
  member.awaitingSync = answer
  // A leader that asks twice has assigned once: members would be told the first, and the log would keep the second.
  if (group.isLeader(memberId) && group.assigningGeneration !== group.generationId) {
    persistAssignment(rebalance, group, request, step)
  }
}

/** The leader has assigned: when that is in the log the group is stable and everyone is told. */
const persistAssignment = (
  rebalance: Rebalance,
  group: ClassicGroup,
  { assignments, generationId }: SyncGroupRequest,
  step: GroupStep
): void => {
  group.assigningGeneration = generationId
  const byMember = new Map(assignments.map(({ assignment, memberId }) => [memberId, assignment.slice()]))
  step.append({
    records: [groupMetadataRecord(group, (memberId) => byMember.get(memberId) ?? EMPTY_BYTES)],
    replay: false,
    settle: (error, now) => {
      const after = step.next()
      // Someone may have joined or left while this was being written: then everyone was told to join again.
      if (group.state !== "CompletingRebalance" || group.generationId !== generationId) return after
      if (error !== ErrorCode.NONE) {
        resetAssignment(rebalance, group, error, now, after)
        rebalanceOrCompleteJoin(rebalance, group, now, after)
        return after
      }
      for (const member of group.members.values()) member.assignment = byMember.get(member.memberId) ?? EMPTY_BYTES
      propagateAssignment(rebalance, group, ErrorCode.NONE, now, after)
      group.transitionTo("Stable", now.wallMs)
      return after
    }
  })
}

// -- Heartbeat and LeaveGroup ----------------------------------------------------------------------------------

/** @returns the error code to answer with */
export const heartbeat = (
  rebalance: Rebalance,
  group: ClassicGroup,
  request: { readonly memberId: string; readonly groupInstanceId: string | null; readonly generationId: number },
  now: Now
): number => {
  if (group.state === "Dead") return ErrorCode.COORDINATOR_NOT_AVAILABLE
  const error = group.memberError(request.memberId, request.groupInstanceId)
  if (error !== ErrorCode.NONE) return error
  if (request.generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION
  heard(rebalance, group.members.get(request.memberId)!, now)
  return group.state === "PreparingRebalance" ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE
}

/** Members go, each by its id or, as an administrator does it, by its instance alone. */
export const leaveGroup = (
  rebalance: Rebalance,
  group: ClassicGroup,
  members: ReadonlyArray<LeaveGroupRequestMemberIdentityInput>,
  now: Now,
  step: GroupStep
): ReadonlyArray<LeaveGroupResponseMemberResponseInput> => {
  let left = 0
  const responses = members.map(({ groupInstanceId: instance, memberId }) => {
    const groupInstanceId = instance ?? null
    const respond = (errorCode: number): LeaveGroupResponseMemberResponseInput => ({ memberId, groupInstanceId, errorCode })
    const byInstance = memberId === "" && groupInstanceId !== null ? group.staticMemberId(groupInstanceId) : undefined
    const leaving = memberId === "" ? byInstance : memberId
    if (leaving === undefined) return respond(ErrorCode.UNKNOWN_MEMBER_ID)
    if (byInstance === undefined && !group.pendingJoin.has(memberId)) {
      const error = group.memberError(memberId, groupInstanceId)
      if (error !== ErrorCode.NONE) return respond(error)
    }
    removeMember(rebalance, group, leaving, step)
    left++
    return respond(ErrorCode.NONE)
  })
  if (left > 0) {
    if (group.state === "Stable" || group.state === "CompletingRebalance") {
      rebalanceOrCompleteJoin(rebalance, group, now, step)
    } else completeJoinIfAllIn(rebalance, group, now, step)
  }
  return responses
}
