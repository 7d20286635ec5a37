/**
 * A group under the classic protocol: who is in it, in which state and generation it is. It keeps itself consistent
 * and decides nothing: Rebalance.ts and Membership.ts do.
 *
 *     Empty ──join──► PreparingRebalance ──all joined, or time is up──► CompletingRebalance ──leader's assignment──► Stable
 *       ▲                  │       ▲                                            │                                      │
 *       └──everyone left───┘       └────────────── join, leave, session timeout, no sync ────────────────────────────┘
 *
 * Dead: the group is deleted, or its coordinator is another broker. There is no way out.
 */
import { Timer } from "../coordinator/TimerQueue.ts"
import { invariant } from "../model/Invariant.ts"
import { ByteReader } from "../protocol/ByteReader.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { decodeConsumerProtocolSubscription } from "../protocol/generated/records/ConsumerProtocolSubscription.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import type { ClassicGroupMember, JoinAnswer, MemberProtocol } from "./ClassicGroupMember.ts"
import type { GroupTimer } from "./GroupTimer.ts"
import { javaBucket } from "./JavaHash.ts"

/** As it is written on the wire. */
export type ClassicGroupState = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable" | "Dead"

/** Which states a state may follow. */
const PREVIOUS: Readonly<Record<ClassicGroupState, ReadonlyArray<ClassicGroupState>>> = {
  Empty: ["PreparingRebalance"],
  PreparingRebalance: ["Stable", "CompletingRebalance", "Empty"],
  CompletingRebalance: ["PreparingRebalance"],
  Stable: ["CompletingRebalance"],
  Dead: ["Stable", "PreparingRebalance", "CompletingRebalance", "Empty", "Dead"]
}

/** Of the protocol that consumers speak: then members say which topics they read. */
export const CONSUMER_PROTOCOL_TYPE = "consumer"

export interface ClassicGroupOptions {
  readonly groupId: string
  readonly state: ClassicGroupState
  readonly generationId: number
  /** Null without members ever: a group that only commits offsets ("simple"). */
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly leaderId: string | null
  /** When it came into its state, in ms; -1 unknown. */
  readonly stateTimestampMs: number
}

export class ClassicGroup {
  readonly groupId: string
  state: ClassicGroupState
  /** Before `state`; the state itself in a group that was just loaded or created, like in Kafka. */
  previousState: ClassicGroupState = "Dead"
  stateTimestampMs: number
  generationId: number
  protocolType: string | null
  /** Of the current generation. */
  protocolName: string | null
  leaderId: string | null
  /** Someone joined during the initial delay, which is then extended. */
  newMemberAdded = false
  /** In the order in which they came. */
  readonly members: Map<string, ClassicGroupMember> = new Map()
  /** Member ids that were given out and have not joined yet (KIP-394), each with its session. */
  readonly pendingJoin: Map<string, Timer<GroupTimer>> = new Map()
  /** Members of this generation that have not synced yet. */
  readonly pendingSync: Set<string> = new Set()
  /** The generation whose assignment is being written; -1 none yet. */
  assigningGeneration = -1
  readonly joinTimer: Timer<GroupTimer>
  readonly syncTimer: Timer<GroupTimer>
  /** By group instance id. */
  readonly #staticMembers: Map<string, string> = new Map()
  /** How many members have a protocol, by its name. */
  readonly #supportedProtocols: Map<string, number> = new Map()
  #awaitingJoin = 0
  /** Undefined: not known, then every topic counts as subscribed if this is a consumer group. */
  #subscribedTopics: ReadonlySet<string> | undefined

  constructor(options: ClassicGroupOptions) {
    this.groupId = options.groupId
    this.state = options.state
    this.generationId = options.generationId
    this.protocolType = options.protocolType
    this.protocolName = options.protocolName
    this.leaderId = options.leaderId
    this.stateTimestampMs = options.stateTimestampMs
    this.joinTimer = new Timer<GroupTimer>({ _tag: "Join", groupId: options.groupId })
    this.syncTimer = new Timer<GroupTimer>({ _tag: "Sync", groupId: options.groupId, generationId: options.generationId })
  }

  // -- state ---------------------------------------------------------------------------------------------------

  transitionTo(state: ClassicGroupState, wallMs: number): void {
    invariant(PREVIOUS[state].includes(this.state), `group ${this.groupId}: from ${this.state} to ${state}`)
    this.previousState = this.state
    this.state = state
    this.stateTimestampMs = wallMs
  }

  get canRebalance(): boolean {
    return PREVIOUS.PreparingRebalance.includes(this.state)
  }

  get usesConsumerProtocol(): boolean {
    return this.protocolType === CONSUMER_PROTOCOL_TYPE
  }

  // -- members -------------------------------------------------------------------------------------------------

  isLeader(memberId: string): boolean {
    return this.leaderId === memberId
  }

  staticMemberId(groupInstanceId: string): string | undefined {
    return this.#staticMembers.get(groupInstanceId)
  }

  /** Members that wait in JoinGroup. */
  get awaitingJoinCount(): number {
    return this.#awaitingJoin
  }

  get hasAllMembersJoined(): boolean {
    return this.members.size === this.#awaitingJoin && this.pendingJoin.size === 0
  }

  /** The longest of its members', in ms. */
  get rebalanceTimeoutMs(): number {
    let longest = 0
    for (const { rebalanceTimeoutMs } of this.members.values()) longest = Math.max(longest, rebalanceTimeoutMs)
    return longest
  }

  /** The first member gives the group its protocol type and is its leader. */
  add(member: ClassicGroupMember, answer: JoinAnswer | undefined): void {
    const { groupInstanceId, memberId } = member
    invariant(!this.members.has(memberId), `group ${this.groupId}: member ${memberId} is there already`)
    if (groupInstanceId !== null) {
      invariant(!this.#staticMembers.has(groupInstanceId), `group ${this.groupId}: instance ${groupInstanceId} is there`)
      this.#staticMembers.set(groupInstanceId, memberId)
    }
    if (this.members.size === 0) this.protocolType = member.protocolType
    this.leaderId ??= memberId
    this.members.set(memberId, member)
    this.#countProtocols(member, 1)
    this.#setAwaitingJoin(member, answer)
    this.pendingJoin.delete(memberId)
  }

  /** The group's own only: its timers are the caller's to cancel. */
  remove(memberId: string): void {
    const member = this.members.get(memberId)
    if (member !== undefined) {
      this.members.delete(memberId)
      this.#countProtocols(member, -1)
      if (member.awaitingJoin !== undefined) this.#awaitingJoin--
      if (member.groupInstanceId !== null) this.#staticMembers.delete(member.groupInstanceId)
    }
    if (this.leaderId === memberId) this.leaderId = this.members.keys().next().value ?? null
    this.pendingJoin.delete(memberId)
    this.pendingSync.delete(memberId)
  }

  /** KIP-345: a static member comes back under a new id and takes the place of the old. Nobody waits on either. */
  replaceStatic(member: ClassicGroupMember, replacement: ClassicGroupMember): void {
    invariant(member.awaitingJoin === undefined, `group ${this.groupId}: ${member.memberId} is replaced while it joins`)
    const leads = this.leaderId === member.memberId
    this.members.delete(member.memberId)
    this.members.set(replacement.memberId, replacement)
    this.pendingSync.delete(member.memberId)
    if (leads) this.leaderId = replacement.memberId
    if (replacement.groupInstanceId !== null) this.#staticMembers.set(replacement.groupInstanceId, replacement.memberId)
  }

  /** What a member says in a new JoinGroup. */
  update(
    member: ClassicGroupMember,
    protocols: ReadonlyArray<MemberProtocol>,
    rebalanceTimeoutMs: number,
    sessionTimeoutMs: number,
    answer: JoinAnswer | undefined
  ): void {
    this.#countProtocols(member, -1)
    member.protocols = protocols
    this.#countProtocols(member, 1)
    member.rebalanceTimeoutMs = rebalanceTimeoutMs
    member.sessionTimeoutMs = sessionTimeoutMs
    this.#setAwaitingJoin(member, answer)
  }

  /** Takes the answer that a member waits for in JoinGroup. */
  takeJoinAnswer(member: ClassicGroupMember): JoinAnswer | undefined {
    const answer = member.awaitingJoin
    this.#setAwaitingJoin(member, undefined)
    return answer
  }

  #setAwaitingJoin(member: ClassicGroupMember, answer: JoinAnswer | undefined): void {
    if (answer !== undefined && member.awaitingJoin === undefined) this.#awaitingJoin++
    else if (answer === undefined && member.awaitingJoin !== undefined) this.#awaitingJoin--
    member.awaitingJoin = answer
  }

  /** When the leader did not join again another does its work. @returns false when nobody joined */
  electJoinedLeader(): boolean {
    if (this.leaderId === null) return false
    if (this.members.get(this.leaderId)?.awaitingJoin !== undefined) return true
    for (const { awaitingJoin, memberId } of this.members.values()) {
      if (awaitingJoin === undefined) continue
      this.leaderId = memberId
      return true
    }
    return false
  }

  /** NONE, or why this is not a member (any more). `groupInstanceId` null: not a static one. */
  memberError(memberId: string, groupInstanceId: string | null): number {
    if (groupInstanceId !== null) {
      const current = this.#staticMembers.get(groupInstanceId)
      if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
      if (current !== memberId) return ErrorCode.FENCED_INSTANCE_ID
    }
    return this.members.has(memberId) ? ErrorCode.NONE : ErrorCode.UNKNOWN_MEMBER_ID
  }

  // -- protocols -----------------------------------------------------------------------------------------------

  #countProtocols(member: ClassicGroupMember, by: number): void {
    for (const { name } of member.protocols) {
      const count = (this.#supportedProtocols.get(name) ?? 0) + by
      if (count === 0) this.#supportedProtocols.delete(name)
      else this.#supportedProtocols.set(name, count)
    }
  }

  /** Whether someone with these could be in the group: of its type, with a protocol that all members have. */
  supportsProtocols(protocolType: string, protocols: ReadonlyArray<{ readonly name: string }>): boolean {
    if (this.state === "Empty") return protocolType !== "" && protocols.length > 0
    return protocolType === this.protocolType &&
      protocols.some(({ name }) => (this.#supportedProtocols.get(name) ?? 0) === this.members.size)
  }

  /** Each member votes for the first of its protocols that all have; ties go by the order of Java's hash map. */
  selectProtocol(): string {
    const candidates = new Set<string>()
    for (const [name, count] of this.#supportedProtocols) if (count === this.members.size) candidates.add(name)
    const votes = new Map<string, number>()
    for (const member of this.members.values()) {
      const vote = member.vote(candidates)
      invariant(vote !== undefined, `group ${this.groupId}: ${member.memberId} has none of the protocols of all`)
      votes.set(vote, (votes.get(vote) ?? 0) + 1)
    }
    let best: string | undefined
    for (const [name, count] of votes) {
      const most = best === undefined ? 0 : votes.get(best)!
      if (count > most || (count === most && javaBucket(name) < javaBucket(best!))) best = name
    }
    invariant(best !== undefined, `group ${this.groupId}: no protocol to select for no members`)
    return best
  }

  // -- generations ---------------------------------------------------------------------------------------------

  /** Everyone who is coming has joined. */
  initNextGeneration(wallMs: number): void {
    this.generationId = this.generationId === 0x7fff_ffff ? 1 : this.generationId + 1
    this.protocolName = this.members.size === 0 ? null : this.selectProtocol()
    this.computeSubscribedTopics()
    this.transitionTo(this.members.size === 0 ? "Empty" : "CompletingRebalance", wallMs)
    this.pendingSync.clear()
  }

  /** From what consumers say: the offsets of topics that are read do not expire and can't be deleted. */
  computeSubscribedTopics(): void {
    this.#subscribedTopics = undefined
    if (!this.usesConsumerProtocol) return
    const topics = new Set<string>()
    if (this.members.size > 0 && this.protocolName === null) return
    for (const member of this.members.values()) {
      const metadata = member.metadata(this.protocolName)
      if (metadata === undefined) return
      try {
        const reader = new ByteReader(metadata)
        // The fields of version 0 begin every version; what comes behind them is not looked at.
        reader.int16()
        for (const topic of decodeConsumerProtocolSubscription(reader, 0).topics) topics.add(topic)
      } catch (error) {
        // A member that says something else under the name of consumers: nothing is known about its topics.
        if (error instanceof ProtocolError) return
        throw error
      }
    }
    this.#subscribedTopics = topics
  }

  get knowsSubscribedTopics(): boolean {
    return this.#subscribedTopics !== undefined
  }

  isSubscribedTo(topic: string): boolean {
    return this.#subscribedTopics === undefined ? this.usesConsumerProtocol : this.#subscribedTopics.has(topic)
  }
}
