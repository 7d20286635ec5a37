/**
 * A member of a classic group (KIP-62, KIP-345, KIP-394, KIP-429), as a pure state machine: events with the time come
 * in, what is to be sent or told goes out. It never runs hooks and knows no partitions; it says when hooks are due.
 *
 * | phase    | in the group as                | leaves it by                                                     |
 * |----------|--------------------------------|------------------------------------------------------------------|
 * | Unjoined | nobody, or a member that waits | Prepared: sends JoinGroup                                        |
 * | Joining  | a member that waits for others | the answer: Syncing; refused: Joining again, or Unjoined         |
 * | Syncing  | a member of a generation       | the answer: Stable; refused: Unjoined or Joining again           |
 * | Stable   | a member with an assignment    | a rebalance (still Stable while hooks run), fenced, left         |
 *
 * `work` is what the application's fiber has to do next: "Prepare" before joining (commit, revoke or lose), "Complete"
 * after joining (revoke what moved, assign). Heartbeats go on meanwhile; who does not poll for `max.poll.interval.ms`
 * leaves. Every answer carries the attempt it belongs to; answers to older attempts are dropped.
 *
 * While a JoinGroup waits for others there are no heartbeats, and it may wait for `max.poll.interval.ms`. Kafka's own client
 * notices only then that its coordinator's machine lost its power; here it is looked at once per session ("CheckJoin").
 */
import { ErrorCode, errorName } from "../protocol/ErrorCode.ts"

export interface MembershipOptions {
  readonly groupInstanceId: string | undefined
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly maxPollIntervalMs: number
  readonly retryBackoffMs: number
}

export const NO_GENERATION = -1
export const NO_MEMBER_ID = ""

export type MembershipPhase = "Unjoined" | "Joining" | "Syncing" | "Stable"

export interface JoinedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly metadata: Uint8Array
}

export interface MembershipState {
  readonly options: MembershipOptions
  phase: MembershipPhase
  work: "None" | "Prepare" | "Complete"
  /** Subscribed to topics: wants to be a member. */
  isWanted: boolean
  needsRejoin: boolean
  /** Told to the coordinator (KIP-800). */
  rejoinReason: string
  memberId: string
  generationId: number
  protocolName: string
  isLeader: boolean
  /** Of the last SyncGroup, until "Complete" has been done. */
  assignment: Uint8Array | undefined
  /** Counts joins and syncs. */
  attempt: number
  isSending: boolean
  /** When a join or sync that failed is sent again; Infinity: not waiting. */
  retryAtMs: number
  /** When a join that is not answered is looked after; Infinity: not begun. */
  checkJoinAtMs: number
  isHeartbeatSending: boolean
  heartbeatAtMs: number
  /** When the coordinator gives us up, as far as we know. */
  sessionEndsMs: number
  pollEndsMs: number
  /** The member was fenced while hooks of "Prepare" ran: what it still has is lost. */
  wasResetInPrepare: boolean
  /** FENCED_INSTANCE_ID: another consumer has our group.instance.id; nothing is sent any more. */
  isFenced: boolean
}

export const makeMembership = (options: MembershipOptions): MembershipState => ({
  options,
  phase: "Unjoined",
  work: "None",
  isWanted: false,
  needsRejoin: false,
  rejoinReason: "",
  memberId: NO_MEMBER_ID,
  generationId: NO_GENERATION,
  protocolName: "",
  isLeader: false,
  assignment: undefined,
  attempt: 0,
  isSending: false,
  retryAtMs: Infinity,
  checkJoinAtMs: Infinity,
  isHeartbeatSending: false,
  heartbeatAtMs: Infinity,
  sessionEndsMs: Infinity,
  pollEndsMs: Infinity,
  wasResetInPrepare: false,
  isFenced: false
})

export type MembershipEvent =
  /** The application subscribed, or its topics changed. */
  | { readonly _tag: "Subscribed"; readonly reason: string }
  | { readonly _tag: "Polled" }
  /** Hooks before joining have run. */
  | { readonly _tag: "Prepared" }
  | {
    readonly _tag: "JoinAnswered"
    readonly attempt: number
    readonly errorCode: number
    readonly memberId: string
    readonly generationId: number
    readonly protocolName: string
    readonly leader: string
    readonly skipAssignment: boolean
    readonly members: ReadonlyArray<JoinedMember>
  }
  | { readonly _tag: "SyncAnswered"; readonly attempt: number; readonly errorCode: number; readonly assignment: Uint8Array }
  | { readonly _tag: "HeartbeatAnswered"; readonly generationId: number; readonly memberId: string; readonly errorCode: number }
  /** No answer: the connection ended, or the coordinator is not known, or is another one by now. */
  | { readonly _tag: "JoinFailed"; readonly attempt: number }
  | { readonly _tag: "HeartbeatFailed" }
  | { readonly _tag: "CommitRefused"; readonly generationId: number; readonly memberId: string; readonly errorCode: number }
  /** Hooks after joining have run; some partitions were given up, so that others may have them (KIP-429). */
  | { readonly _tag: "Completed"; readonly rejoin: string | undefined }
  | { readonly _tag: "Rejoin"; readonly reason: string }
  | { readonly _tag: "Tick" }
  /** Unsubscribed or closed. */
  | { readonly _tag: "Leave"; readonly reason: string }

export type MembershipAction =
  | { readonly _tag: "SendJoin"; readonly attempt: number; readonly memberId: string; readonly reason: string }
  | {
    readonly _tag: "SendSync"
    readonly attempt: number
    readonly memberId: string
    readonly generationId: number
    readonly protocolName: string
    /** What the leader assigns to; undefined: a follower, or a leader that must not assign (KIP-814). */
    readonly members: ReadonlyArray<JoinedMember> | undefined
  }
  /** No answer for a session: is the coordinator still the one that was asked, and still there? If not, `JoinFailed`. */
  | { readonly _tag: "CheckJoin"; readonly attempt: number; readonly memberId: string }
  | { readonly _tag: "SendHeartbeat"; readonly memberId: string; readonly generationId: number }
  | { readonly _tag: "SendLeave"; readonly memberId: string; readonly reason: string }
  /** The coordinator is another one, or none: look for it. */
  | { readonly _tag: "ForgetCoordinator" }
  /** `work` is due: the application's fiber should look. */
  | { readonly _tag: "Wake" }
  | { readonly _tag: "Fail"; readonly errorCode: number; readonly request: "JoinGroup" | "SyncGroup" | "Heartbeat" }

type Actions = Array<MembershipAction>

export const hasGeneration = (state: MembershipState): boolean =>
  state.generationId !== NO_GENERATION && state.memberId !== NO_MEMBER_ID

/** Whether a commit as a member would be accepted, as far as we know. */
export const isMember = (state: MembershipState): boolean => state.phase === "Stable" && hasGeneration(state)

/** When `Tick` is due next; Infinity: never. */
export const nextTickMs = (state: MembershipState): number => {
  if (!state.isWanted || state.isFenced) return Infinity
  let at = awaitsJoin(state) ? Math.min(state.retryAtMs, state.checkJoinAtMs) : state.retryAtMs
  if (beats(state)) {
    at = Math.min(at, state.sessionEndsMs)
    if (!state.isHeartbeatSending) at = Math.min(at, state.heartbeatAtMs)
  }
  // Who is nobody has nothing to leave.
  return state.phase === "Unjoined" ? at : Math.min(at, state.pollEndsMs)
}

const awaitsJoin = (state: MembershipState): boolean => state.phase === "Joining" && state.isSending

const beats = (state: MembershipState): boolean =>
  hasGeneration(state) && (state.phase === "Stable" || state.phase === "Syncing")

/** Changes `state`, which has one owner, and returns what is to be done. */
export const step = (state: MembershipState, event: MembershipEvent, nowMs: number): Actions => {
  const actions: Actions = []
  switch (event._tag) {
    case "Subscribed":
      if (!state.isWanted) state.pollEndsMs = nowMs + state.options.maxPollIntervalMs
      state.isWanted = true
      state.isFenced = false
      rejoin(state, event.reason, actions)
      break
    case "Rejoin":
      if (state.isWanted) rejoin(state, event.reason, actions)
      break
    case "Polled":
      if (state.isWanted) state.pollEndsMs = nowMs + state.options.maxPollIntervalMs
      break
    case "Prepared":
      prepared(state, actions)
      break
    case "JoinAnswered":
      if (event.attempt === state.attempt && state.isSending && state.phase === "Joining") joinAnswered(state, event, nowMs, actions)
      break
    case "SyncAnswered":
      if (event.attempt === state.attempt && state.isSending && state.phase === "Syncing") syncAnswered(state, event, nowMs, actions)
      break
    case "JoinFailed":
      if (event.attempt !== state.attempt || !state.isSending) break
      state.isSending = false
      // A sync that may or may not have arrived: whoever is in that generation joins the next.
      if (state.phase === "Syncing") state.phase = "Joining"
      state.retryAtMs = nowMs + state.options.retryBackoffMs
      break
    case "HeartbeatAnswered":
      heartbeatAnswered(state, event, nowMs, actions)
      break
    case "HeartbeatFailed":
      state.isHeartbeatSending = false
      state.heartbeatAtMs = nowMs + state.options.retryBackoffMs
      break
    case "CommitRefused":
      if (event.generationId === state.generationId && event.memberId === state.memberId) commitRefused(state, event.errorCode, actions)
      break
    case "Completed":
      if (state.work !== "Complete") break
      state.work = "None"
      state.assignment = undefined
      if (event.rejoin !== undefined) rejoin(state, event.rejoin, actions)
      else if (state.needsRejoin) askPrepare(state, actions)
      break
    case "Tick":
      break
    case "Leave":
      leave(state, event.reason, actions)
      state.isWanted = false
      state.needsRejoin = false
      state.work = "None"
      state.pollEndsMs = Infinity
      break
  }
  tick(state, nowMs, actions)
  return actions
}

const tick = (state: MembershipState, nowMs: number, actions: Actions): void => {
  if (!state.isWanted || state.isFenced) return
  if (nowMs >= state.pollEndsMs && state.phase !== "Unjoined") {
    // It is as good as gone for the others: its partitions are theirs. The next poll joins again.
    leave(state, "consumer poll timeout has expired.", actions)
    state.pollEndsMs = Infinity
    reset(state, true)
    rejoin(state, "consumer poll timeout has expired.", actions)
    return
  }
  if (state.retryAtMs <= nowMs) {
    state.retryAtMs = Infinity
    if (state.phase === "Joining" && !state.isSending) sendJoin(state, actions)
  }
  if (awaitsJoin(state)) {
    if (nowMs >= state.checkJoinAtMs) actions.push({ _tag: "CheckJoin", attempt: state.attempt, memberId: state.memberId })
    if (nowMs >= state.checkJoinAtMs || state.checkJoinAtMs === Infinity) state.checkJoinAtMs = nowMs + state.options.sessionTimeoutMs
  }
  if (!beats(state)) return
  if (nowMs >= state.sessionEndsMs) {
    // No heartbeat was answered for so long: perhaps another broker is the coordinator now.
    state.sessionEndsMs = nowMs + state.options.sessionTimeoutMs
    actions.push({ _tag: "ForgetCoordinator" })
  }
  if (!state.isHeartbeatSending && nowMs >= state.heartbeatAtMs) {
    state.isHeartbeatSending = true
    state.heartbeatAtMs = nowMs + state.options.heartbeatIntervalMs
    actions.push({ _tag: "SendHeartbeat", memberId: state.memberId, generationId: state.generationId })
  }
}

const rejoin = (state: MembershipState, reason: string, actions: Actions): void => {
  state.rejoinReason = state.needsRejoin ? state.rejoinReason : reason
  state.needsRejoin = true
  if (state.work === "None" && (state.phase === "Unjoined" || state.phase === "Stable")) askPrepare(state, actions)
}

const askPrepare = (state: MembershipState, actions: Actions): void => {
  state.work = "Prepare"
  state.wasResetInPrepare = false
  actions.push({ _tag: "Wake" })
}

const prepared = (state: MembershipState, actions: Actions): void => {
  if (state.work !== "Prepare" || !state.isWanted) return
  if (state.wasResetInPrepare) return askPrepare(state, actions)
  state.work = "None"
  sendJoin(state, actions)
}

const sendJoin = (state: MembershipState, actions: Actions): void => {
  state.phase = "Joining"
  state.needsRejoin = false
  state.attempt++
  state.isSending = true
  state.retryAtMs = Infinity
  state.checkJoinAtMs = Infinity
  actions.push({ _tag: "SendJoin", attempt: state.attempt, memberId: state.memberId, reason: state.rejoinReason })
}

/** The generation is over for us, and with `forgetMember` we are nobody to the coordinator. */
const reset = (state: MembershipState, forgetMember: boolean): void => {
  state.generationId = NO_GENERATION
  state.protocolName = ""
  state.isLeader = false
  state.assignment = undefined
  state.phase = "Unjoined"
  state.attempt++
  state.isSending = false
  state.retryAtMs = Infinity
  state.isHeartbeatSending = false
  state.heartbeatAtMs = Infinity
  state.sessionEndsMs = Infinity
  if (state.work === "Complete") state.work = "None"
  else if (state.work === "Prepare") state.wasResetInPrepare = true
  if (forgetMember) state.memberId = NO_MEMBER_ID
}

const fence = (state: MembershipState, request: "JoinGroup" | "SyncGroup" | "Heartbeat", actions: Actions): void => {
  reset(state, true)
  state.isFenced = true
  state.work = "None"
  actions.push({ _tag: "Fail", errorCode: ErrorCode.FENCED_INSTANCE_ID, request })
}

/** Tells the coordinator that we go. A static member stays, for its next process to find its partitions (KIP-345). */
const leave = (state: MembershipState, reason: string, actions: Actions): void => {
  if (state.memberId !== NO_MEMBER_ID && state.options.groupInstanceId === undefined) {
    actions.push({ _tag: "SendLeave", memberId: state.memberId, reason })
  }
  reset(state, true)
}

/** @returns whether the coordinator that was asked is none (any more), or not ready: asked again later, another perhaps */
const goesElsewhere = (errorCode: number, actions: Actions): boolean => {
  switch (errorCode) {
    case ErrorCode.NOT_COORDINATOR:
    case ErrorCode.COORDINATOR_NOT_AVAILABLE:
      actions.push({ _tag: "ForgetCoordinator" })
      return true
    case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
      return true
    default:
      return false
  }
}

/** @returns whether the coordinator knows no such member in this generation: then it is on its way to the next */
const loses = (
  state: MembershipState,
  errorCode: number,
  request: "JoinGroup" | "SyncGroup" | "Heartbeat" | "OffsetCommit",
  actions: Actions
): boolean => {
  switch (errorCode) {
    case ErrorCode.FENCED_INSTANCE_ID:
      fence(state, request === "OffsetCommit" ? "Heartbeat" : request, actions)
      return true
    case ErrorCode.ILLEGAL_GENERATION:
    case ErrorCode.UNKNOWN_MEMBER_ID:
      reset(state, errorCode === ErrorCode.UNKNOWN_MEMBER_ID)
      rejoin(state, `encountered ${errorName(errorCode)} from the response to ${request}`, actions)
      return true
    default:
      return false
  }
}

const joinAnswered = (
  state: MembershipState,
  answer: Extract<MembershipEvent, { _tag: "JoinAnswered" }>,
  nowMs: number,
  actions: Actions
): void => {
  state.isSending = false
  switch (answer.errorCode) {
    case ErrorCode.NONE:
      state.memberId = answer.memberId
      state.generationId = answer.generationId
      state.protocolName = answer.protocolName
      state.isLeader = answer.leader === answer.memberId
      state.phase = "Syncing"
      state.attempt++
      state.isSending = true
      state.isHeartbeatSending = false
      state.heartbeatAtMs = nowMs + state.options.heartbeatIntervalMs
      state.sessionEndsMs = nowMs + state.options.sessionTimeoutMs
      actions.push({
        _tag: "SendSync",
        attempt: state.attempt,
        memberId: state.memberId,
        generationId: state.generationId,
        protocolName: state.protocolName,
        members: state.isLeader && !answer.skipAssignment ? answer.members : undefined
      })
      return
    case ErrorCode.MEMBER_ID_REQUIRED:
      state.memberId = answer.memberId
      return sendJoin(state, actions)
    case ErrorCode.REBALANCE_IN_PROGRESS:
      state.retryAtMs = nowMs + state.options.retryBackoffMs
      return
    default:
      if (loses(state, answer.errorCode, "JoinGroup", actions)) return
      if (goesElsewhere(answer.errorCode, actions)) state.retryAtMs = nowMs + state.options.retryBackoffMs
      else refused(state, answer.errorCode, "JoinGroup", actions)
  }
}

/** The application hears of it; its next poll tries once more. */
const refused = (state: MembershipState, errorCode: number, request: "JoinGroup" | "SyncGroup", actions: Actions): void => {
  state.phase = "Unjoined"
  actions.push({ _tag: "Fail", errorCode, request })
  rejoin(state, `${request} was refused with ${errorCode}`, actions)
}

const syncAnswered = (
  state: MembershipState,
  answer: Extract<MembershipEvent, { _tag: "SyncAnswered" }>,
  nowMs: number,
  actions: Actions
): void => {
  state.isSending = false
  switch (answer.errorCode) {
    case ErrorCode.NONE:
      state.phase = "Stable"
      state.assignment = answer.assignment
      state.work = "Complete"
      actions.push({ _tag: "Wake" })
      return
    case ErrorCode.REBALANCE_IN_PROGRESS:
      // Another round has begun: the same member joins it, with what it has.
      state.rejoinReason = "encountered REBALANCE_IN_PROGRESS from the response to SyncGroup"
      return sendJoin(state, actions)
    default:
      if (loses(state, answer.errorCode, "SyncGroup", actions)) return
      if (!goesElsewhere(answer.errorCode, actions)) return refused(state, answer.errorCode, "SyncGroup", actions)
      state.phase = "Joining"
      state.retryAtMs = nowMs + state.options.retryBackoffMs
  }
}

const heartbeatAnswered = (
  state: MembershipState,
  answer: Extract<MembershipEvent, { _tag: "HeartbeatAnswered" }>,
  nowMs: number,
  actions: Actions
): void => {
  if (answer.generationId !== state.generationId || answer.memberId !== state.memberId) return
  state.isHeartbeatSending = false
  switch (answer.errorCode) {
    case ErrorCode.NONE:
      state.sessionEndsMs = nowMs + state.options.sessionTimeoutMs
      return
    case ErrorCode.REBALANCE_IN_PROGRESS:
      state.sessionEndsMs = nowMs + state.options.sessionTimeoutMs
      if (state.phase === "Stable") rejoin(state, "group is already rebalancing", actions)
      return
    default:
      if (loses(state, answer.errorCode, "Heartbeat", actions)) return
      if (goesElsewhere(answer.errorCode, actions)) state.heartbeatAtMs = nowMs + state.options.retryBackoffMs
      else actions.push({ _tag: "Fail", errorCode: answer.errorCode, request: "Heartbeat" })
  }
}

/** A commit told first what the next heartbeat would have told. */
const commitRefused = (state: MembershipState, errorCode: number, actions: Actions): void => {
  if (errorCode !== ErrorCode.REBALANCE_IN_PROGRESS) {
    if (!loses(state, errorCode, "OffsetCommit", actions)) goesElsewhere(errorCode, actions)
  } else if (state.phase === "Stable") rejoin(state, "offset commit failed since group is already rebalancing", actions)
}
