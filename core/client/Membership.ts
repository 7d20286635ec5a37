/**
 * A consumer's membership in its group: sends what ClassicMembership.ts decides, and has the consumer's own fiber run what
 * must lie between two polls. What it does when it leads the group is in GroupLeader.ts.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Assignor, LastAssignment, RebalanceProtocol } from "../assignors/Assignor.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { type HeartbeatRequestInput, heartbeatApi } from "../protocol/generated/Heartbeat.ts"
import { type JoinGroupRequestInput, joinGroupApi } from "../protocol/generated/JoinGroup.ts"
import { type LeaveGroupRequestInput, leaveGroupApi } from "../protocol/generated/LeaveGroup.ts"
import { type SyncGroupRequestInput, syncGroupApi } from "../protocol/generated/SyncGroup.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import {
  hasGeneration,
  isMember,
  makeMembership,
  type MembershipAction,
  type MembershipEvent,
  type MembershipState,
  nextTickMs,
  NO_GENERATION,
  NO_MEMBER_ID,
  step
} from "./ClassicMembership.ts"
import { type ClientError, errorOfCode, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import type { TopicPartition } from "./ClusterView.ts"
import type { GroupMetadata, RebalanceHooks } from "./Consumer.ts"
import { callCoordinator } from "./ConsumerOffsets.ts"
import {
  CONSUMER_PROTOCOL_TYPE,
  decodeAssignment,
  encodeSubscription,
  groupByTopic
} from "./ConsumerProtocol.ts"
import type { ConsumerSettings } from "./ConsumerSettings.ts"
import type { FetcherHost } from "./Fetcher.ts"
import { GroupLeader } from "./GroupLeader.ts"
import { type AssignedPartition, partitionKey, type SubscriptionState } from "./SubscriptionState.ts"

/** JoinGroup answers when the slowest member has joined: as much later than that as Kafka's own client waits. */
const JOIN_TIMEOUT_LAPSE_MS = 5000
/** Heartbeats that wait behind a JoinGroup, see `#checkJoin`; when there are more, none is added. */
const MAX_JOIN_PROBES = 16
/** How long a LeaveGroup that failed is tried once more: closing should not wait for a cluster that is gone. */
const LEAVE_RETRY_MS = 5000
/** KIP-800: a longer reason is cut off. */
const MAX_REASON_LENGTH = 255

export interface MembershipHost extends Pick<FetcherHost, "now" | "fork" | "wake" | "wakeAt" | "fail"> {
  /** Makes these the assigned ones; records of others are given out no more. */
  readonly assign: (
    partitions: ReadonlyArray<TopicPartition>,
    prepare?: (added: ReadonlyArray<AssignedPartition>) => void
  ) => { readonly added: ReadonlyArray<AssignedPartition> }
  /** Before partitions are given up, and the application's hook: who reads them ends, and is committed. Never fails. */
  readonly giveUp: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** The same for those that are lost: nothing can be committed. */
  readonly lose: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  readonly hooks: () => RebalanceHooks
  /** A partition may be read that might not before. */
  readonly refresh: (partition: AssignedPartition) => void
}

export class Membership {
  readonly #cluster: Cluster
  readonly #subscription: SubscriptionState
  readonly #settings: ConsumerSettings
  readonly #groupId: string
  readonly #host: MembershipHost
  readonly #state: MembershipState
  readonly #protocol: RebalanceProtocol
  /** What each assignor gave this member the last time, by name. */
  readonly #last: Map<string, LastAssignment> = new Map()
  readonly #leader: GroupLeader
  /** Who has the last JoinGroup. */
  #joinedAt: { readonly attempt: number; readonly nodeId: number } | undefined
  /** Not answered yet. */
  #joinProbes = 0

  constructor(
    cluster: Cluster,
    subscription: SubscriptionState,
    settings: ConsumerSettings,
    groupId: string,
    host: MembershipHost
  ) {
    this.#cluster = cluster
    this.#subscription = subscription
    this.#settings = settings
    this.#groupId = groupId
    this.#host = host
    this.#leader = new GroupLeader(cluster, groupId, settings.assignors)
    const shared = (protocol: RebalanceProtocol): boolean =>
      settings.assignors.every(({ supportedProtocols }) => supportedProtocols.includes(protocol))
    this.#protocol = shared("COOPERATIVE") ? "COOPERATIVE" : "EAGER"
    this.#state = makeMembership({
      groupInstanceId: settings.groupInstanceId,
      sessionTimeoutMs: settings.sessionTimeoutMs,
      heartbeatIntervalMs: settings.heartbeatIntervalMs,
      maxPollIntervalMs: settings.maxPollIntervalMs,
      retryBackoffMs: settings.retryBackoffMs
    })
  }

  /** As the coordinator knows it. */
  get metadata(): GroupMetadata {
    return {
      groupId: this.#groupId,
      generationId: this.#state.generationId,
      memberId: this.#state.memberId,
      groupInstanceId: this.#settings.groupInstanceId
    }
  }

  /** For a commit; a rebalance that is under way refuses it before it is sent, as the coordinator would. */
  get commitMetadata(): GroupMetadata | FatalError {
    if (isMember(this.#state)) return this.metadata
    const { isFenced, isWanted, phase, work } = this.#state
    if (isFenced) return new FatalError("FENCED_INSTANCE_ID", this.#fencedError().message, ErrorCode.FENCED_INSTANCE_ID)
    return isWanted && (phase === "Joining" || phase === "Syncing") && hasGeneration(this.#state)
      ? new FatalError(
        "REBALANCE_IN_PROGRESS",
        "Offset commit cannot be completed since the consumer is undergoing a rebalance for auto partition assignment. You can try completing the rebalance by calling poll() and then retry the operation.",
        ErrorCode.REBALANCE_IN_PROGRESS
      )
      : new FatalError(
        "UNKNOWN_MEMBER_ID",
        `Offset commit cannot be completed since the consumer is not part of an active group (${phase}, ${work}): its partitions may be assigned to others. Poll at least every max.poll.interval.ms.`,
        ErrorCode.UNKNOWN_MEMBER_ID
      )
  }

  /** Whether the consumer's fiber has something to run before it gives out records. */
  get hasWork(): boolean {
    return this.#state.work !== "None"
  }

  /** Whether a poll must not give out records before it has looked here. */
  get isBusy(): boolean {
    return this.#state.work !== "None" || this.#state.isFenced
  }

  /** What every poll fails with until the consumer subscribes anew. */
  get fenced(): ClientError | undefined {
    return this.#state.isFenced ? this.#fencedError() : undefined
  }

  #fencedError(): ClientError {
    const code = ErrorCode.FENCED_INSTANCE_ID
    return errorOfCode(code, `group ${this.#groupId}, member ${this.#settings.groupInstanceId}`, hintOf(code))
  }

  subscribed(reason: string): void {
    this.#run({ _tag: "Subscribed", reason })
  }

  polled(): void {
    this.#run({ _tag: "Polled" })
  }

  tick(): void {
    const now = this.#host.now()
    if (nextTickMs(this.#state) <= now) this.#run({ _tag: "Tick" })
    this.#schedule()
  }

  commitRefused(group: GroupMetadata, errorCode: number): void {
    this.#run({ _tag: "CommitRefused", generationId: group.generationId, memberId: group.memberId, errorCode })
  }

  /** Topics that this member dealt out as the group's leader may have more partitions now. */
  onView(): void {
    if (!isMember(this.#state)) return
    const reason = this.#leader.changed()
    if (reason !== undefined) this.#run({ _tag: "Rejoin", reason })
  }

  /** Leaves without waiting for the coordinator. Hooks are the caller's. */
  leave(reason: string): void {
    this.#run({ _tag: "Leave", reason })
  }

  /** Leaves, and waits for the answer up to a time. */
  leaveAndWait(reason: string, timeoutMs: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const actions = step(this.#state, { _tag: "Leave", reason }, this.#host.now())
      const sends = actions.flatMap((action) => action._tag === "SendLeave" ? [this.#sendLeave(action.memberId, action.reason)] : [])
      return Effect.all(sends, { discard: true }).pipe(Effect.timeoutOption(timeoutMs), Effect.asVoid)
    })
  }

  /** What lies between two polls. Ends with what the first hook that failed, or died, ended with, after the rebalance went on. */
  readonly work: Effect.Effect<void, ClientError> = Effect.suspend(() => {
    switch (this.#state.work) {
      case "Prepare":
        return this.#prepare
      case "Complete":
        return this.#complete
      default:
        return Effect.void
    }
  })

  readonly #prepare: Effect.Effect<void, ClientError> = Effect.gen({ self: this }, function*() {
    const owned = [...this.#subscription.partitions.values()]
    const { onLost, onRevoked } = this.#host.hooks()
    const failures: Array<Cause.Cause<ClientError>> = []
    const run = (hook: RebalanceHooks["onLost"], partitions: ReadonlyArray<TopicPartition>) =>
      hook === undefined || partitions.length === 0 ? Effect.void : runHook(hook, partitions, failures)
    if (!hasGeneration(this.#state)) {
      yield* this.#host.lose(owned)
      yield* run(onLost ?? onRevoked, owned)
      this.#host.assign([])
    } else {
      const kept = this.#protocol === "EAGER" ? [] : owned.filter(({ topic }) => this.#subscription.topics.includes(topic))
      const revoked = owned.filter((one) => !kept.includes(one))
      yield* this.#host.giveUp(revoked)
      yield* run(onRevoked, revoked)
      this.#host.assign(kept)
    }
    this.#run({ _tag: "Prepared" })
    if (failures.length > 0) return yield* Effect.failCause(failures[0]!)
  })

  readonly #complete: Effect.Effect<void, ClientError> = Effect.gen({ self: this }, function*() {
    const { assignment, generationId, protocolName } = this.#state
    let assigned: ReadonlyArray<TopicPartition>
    try {
      assigned = decodeAssignment(assignment ?? new Uint8Array(0))
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#run({ _tag: "Completed", rejoin: "the assignment cannot be decoded" })
      return yield* Effect.fail(new FatalError("CORRUPT", `the assignment by ${protocolName}: ${error.message}`))
    }
    const foreign = assigned.find(({ topic }) => !this.#subscription.topics.includes(topic))
    if (foreign !== undefined) {
      // The subscription changed after the group's leader saw it.
      this.#run({ _tag: "Completed", rejoin: `received assignment of ${partitionKey(foreign.topic, foreign.partition)}, whose topic is not subscribed` })
      return
    }
    const { onAssigned, onRevoked } = this.#host.hooks()
    const failures: Array<Cause.Cause<ClientError>> = []
    const run = (hook: RebalanceHooks["onAssigned"], partitions: ReadonlyArray<TopicPartition>) =>
      hook === undefined ? Effect.void : runHook(hook, partitions, failures)
    const keys = new Set(assigned.map(({ partition, topic }) => partitionKey(topic, partition)))
    const revoked = [...this.#subscription.partitions.values()].filter(({ key }) => !keys.has(key))
    if (revoked.length > 0) {
      yield* this.#host.giveUp(revoked)
      yield* run(onRevoked, revoked)
    }
    const { added } = this.#host.assign(assigned, (added) => {
      for (const partition of added) partition.pendingAssignment = true
    })
    this.#last.set(protocolName, { generationId, partitions: groupByTopic(assigned) })
    yield* run(onAssigned, added)
    for (const partition of added) {
      partition.pendingAssignment = false
      this.#host.refresh(partition)
    }
    // What was given up is free only now: the next round gives it to others (KIP-429).
    this.#run({
      _tag: "Completed",
      rejoin: revoked.length > 0 && this.#protocol === "COOPERATIVE" ? "need to revoke partitions and re-join" : undefined
    })
    if (failures.length > 0) return yield* Effect.failCause(failures[0]!)
  })

  #run(event: MembershipEvent): void {
    for (const action of step(this.#state, event, this.#host.now())) this.#do(action)
    this.#schedule()
  }

  #schedule(): void {
    const at = nextTickMs(this.#state)
    if (at !== Infinity) this.#host.wakeAt(at)
  }

  #do(action: MembershipAction): void {
    switch (action._tag) {
      case "SendJoin":
        return this.#host.fork(this.#join(action.attempt, action.memberId, action.reason))
      case "SendSync":
        return this.#host.fork(this.#sync(action))
      case "CheckJoin":
        return this.#host.fork(this.#checkJoin(action.attempt, action.memberId))
      case "SendHeartbeat":
        return this.#host.fork(this.#heartbeat(action.memberId, action.generationId))
      case "SendLeave":
        return this.#host.fork(this.#sendLeave(action.memberId, action.reason))
      case "ForgetCoordinator":
        return this.#cluster.forgetCoordinator({ kind: "group", key: this.#groupId })
      case "Wake":
        return this.#host.wake()
      case "Fail":
        // That one is told by every poll.
        if (action.errorCode === ErrorCode.FENCED_INSTANCE_ID) return this.#host.wake()
        return this.#host.fail(errorOfCode(action.errorCode, `${action.request} of group ${this.#groupId}`, hintOf(action.errorCode)))
    }
  }

  #failed(event: MembershipEvent, error: ClientError): void {
    if (error._tag === "FatalError" && error.reason !== "CLOSED") this.#host.fail(error)
    this.#run(event)
  }

  #subscriptionOf(assignor: Assignor): Uint8Array {
    const { topics } = this.#subscription
    return encodeSubscription({
      topics,
      userData: assignor.subscriptionUserData(topics, this.#last.get(assignor.name) ?? null),
      ownedPartitions: groupByTopic(this.#subscription.partitions.values()),
      generationId: this.#state.generationId,
      rackId: this.#settings.rack === "" ? null : this.#settings.rack
    })
  }

  #join(attempt: number, memberId: string, reason: string): Effect.Effect<void> {
    const { assignors, groupInstanceId, maxPollIntervalMs, sessionTimeoutMs } = this.#settings
    // A pattern is a list of topics to the group: those that match now.
    const matched = this.#subscription.kind !== "Pattern"
      ? Effect.void
      : Effect.map(this.#cluster.allTopics, (topics) => {
        this.match(topics)
      })
    const request = (version: number): JoinGroupRequestInput => ({
      groupId: this.#groupId,
      sessionTimeoutMs,
      rebalanceTimeoutMs: maxPollIntervalMs,
      memberId,
      ...(version >= 5 ? { groupInstanceId: groupInstanceId ?? null } : {}),
      protocolType: CONSUMER_PROTOCOL_TYPE,
      protocols: assignors.map((assignor) => ({ name: assignor.name, metadata: this.#subscriptionOf(assignor) })),
      ...(version >= 8 ? { reason: reason.slice(0, MAX_REASON_LENGTH) } : {})
    })
    const timeoutMs = this.#joinTimeoutMs
    const asks = (nodeId: number): void => {
      this.#joinedAt = { attempt, nodeId }
    }
    return Effect.andThen(matched, callCoordinator(this.#cluster, this.#groupId, joinGroupApi, request, { timeoutMs, asks })).pipe(
      Effect.result,
      Effect.map((result) => {
        if (Result.isFailure(result)) return this.#failed({ _tag: "JoinFailed", attempt }, result.failure)
        const { errorCode, generationId, leader, memberId, members, protocolName, skipAssignment } = result.success
        this.#run({
          _tag: "JoinAnswered",
          attempt,
          errorCode,
          memberId,
          generationId,
          protocolName: protocolName ?? "",
          leader,
          skipAssignment,
          members
        })
      })
    )
  }

  get #joinTimeoutMs(): number {
    return Math.max(this.#settings.requestTimeoutMs, this.#settings.maxPollIntervalMs + JOIN_TIMEOUT_LAPSE_MS)
  }

  /**
   * A coordinator whose machine lost its power answers no JoinGroup, and its connection does not end. The cluster may have
   * made another broker the coordinator: the join begins anew there. If it is the same one, it may have lost its power and
   * be back: then it resets the connection as soon as it is sent something. A heartbeat of no generation changes nothing,
   * and as answers come in order it waits behind the JoinGroup.
   */
  #checkJoin(attempt: number, memberId: string): Effect.Effect<void> {
    const groupId = this.#groupId
    const key = { kind: "group", key: groupId } as const
    return Effect.gen({ self: this }, function*() {
      const asked = this.#joinedAt
      // Else no coordinator is found yet, which ends by itself.
      if (asked?.attempt !== attempt) return
      this.#cluster.forgetCoordinator(key)
      const nodeId = yield* this.#cluster.coordinator(key)
      if (nodeId !== asked.nodeId) return this.#run({ _tag: "JoinFailed", attempt })
      if (this.#state.attempt !== attempt || this.#joinProbes >= MAX_JOIN_PROBES) return
      this.#joinProbes++
      const probe: HeartbeatRequestInput = { groupId, generationId: NO_GENERATION, memberId }
      yield* Effect.ensuring(
        this.#cluster.call(nodeId, "coordinator", heartbeatApi, probe, { timeoutMs: this.#joinTimeoutMs }),
        Effect.sync(() => this.#joinProbes--)
      )
    }).pipe(Effect.ignore)
  }

  #sync(action: Extract<MembershipAction, { _tag: "SendSync" }>): Effect.Effect<void> {
    const { attempt, generationId, memberId, members, protocolName } = action
    return (members === undefined ? Effect.succeed([]) : this.#leader.assign(protocolName, members)).pipe(
      Effect.flatMap((assignments) =>
        callCoordinator(this.#cluster, this.#groupId, syncGroupApi, (version): SyncGroupRequestInput => ({
          groupId: this.#groupId,
          generationId,
          memberId,
          ...(version >= 3 ? { groupInstanceId: this.#settings.groupInstanceId ?? null } : {}),
          ...(version >= 5 ? { protocolType: CONSUMER_PROTOCOL_TYPE, protocolName } : {}),
          assignments
        }), { timeoutMs: this.#joinTimeoutMs })
      ),
      Effect.result,
      Effect.map((result) => {
        if (Result.isFailure(result)) return this.#failed({ _tag: "JoinFailed", attempt }, result.failure)
        const { assignment, errorCode } = result.success
        this.#run({ _tag: "SyncAnswered", attempt, errorCode, assignment })
      })
    )
  }

  #heartbeat(memberId: string, generationId: number): Effect.Effect<void> {
    return callCoordinator(this.#cluster, this.#groupId, heartbeatApi, (version): HeartbeatRequestInput => ({
      groupId: this.#groupId,
      generationId,
      memberId,
      ...(version >= 3 ? { groupInstanceId: this.#settings.groupInstanceId ?? null } : {})
    }), { timeoutMs: Math.min(this.#settings.requestTimeoutMs, this.#settings.sessionTimeoutMs) }).pipe(
      Effect.result,
      Effect.map((result) => {
        if (Result.isFailure(result)) this.#failed({ _tag: "HeartbeatFailed" }, result.failure)
        else this.#run({ _tag: "HeartbeatAnswered", generationId, memberId, errorCode: result.success.errorCode })
      })
    )
  }

  /** On the data lane: a JoinGroup that waits for others would keep it waiting on the coordinator's. */
  #sendLeave(memberId: string, reason: string): Effect.Effect<void> {
    const groupId = this.#groupId
    const request = (version: number): LeaveGroupRequestInput =>
      version < 3
        ? { groupId, memberId }
        : { groupId, members: [{ memberId, ...(version >= 5 ? { reason: reason.slice(0, MAX_REASON_LENGTH) } : {}) }] }
    const key = { kind: "group", key: groupId } as const
    const attempt = this.#cluster.coordinator(key).pipe(
      Effect.flatMap((node) => this.#cluster.call(node, "data", leaveGroupApi, request)),
      Effect.tapError(() => Effect.sync(() => this.#cluster.forgetCoordinator(key)))
    )
    // The connection may have ended unseen while nothing was sent; else the group would wait for the session to end.
    return attempt.pipe(
      Effect.catchTag("RetriableError", () => Effect.timeoutOption(attempt, LEAVE_RETRY_MS)),
      Effect.ignore
    )
  }

  /** The topics of the cluster are known anew. @returns whether those that the pattern matches have changed */
  match(topics: ReadonlyMap<string, { readonly name: string; readonly isInternal: boolean }>): boolean {
    const names: Array<string> = []
    for (const { isInternal, name } of topics.values()) if (!isInternal || !this.#settings.excludeInternal) names.push(name)
    return this.#subscription.matched(names)
  }
}

/** The rebalance goes on whatever becomes of it: half of one would leave partitions that are never read. */
const runHook = (
  hook: NonNullable<RebalanceHooks["onAssigned"]>,
  partitions: ReadonlyArray<TopicPartition>,
  failures: Array<Cause.Cause<ClientError>>
): Effect.Effect<void> =>
  Effect.catchCause(Effect.suspend(() => hook(partitions.map(bare))), (cause) => Effect.sync(() => void failures.push(cause)))

const bare = ({ partition, topic }: TopicPartition): TopicPartition => ({ topic, partition })

const hintOf = (code: number): string => {
  switch (code) {
    case ErrorCode.INCONSISTENT_GROUP_PROTOCOL:
      return "no assignor of partition.assignment.strategy is one that every member of the group has"
    case ErrorCode.FENCED_INSTANCE_ID:
      return "another consumer has joined with this group.instance.id; give each its own"
    case ErrorCode.INVALID_SESSION_TIMEOUT:
      return "session.timeout.ms is not between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"
    case ErrorCode.GROUP_MAX_SIZE_REACHED:
      return "the group has as many members as the broker's group.max.size allows"
    default:
      return ""
  }
}

export const ungrouped = (groupId: string): GroupMetadata => ({
  groupId,
  generationId: NO_GENERATION,
  memberId: NO_MEMBER_ID,
  groupInstanceId: undefined
})
