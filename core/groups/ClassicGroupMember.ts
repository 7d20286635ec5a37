/** A member of a classic group, and whoever waits for an answer to its JoinGroup or SyncGroup. */
import { Timer } from "../coordinator/TimerQueue.ts"
import type { JoinGroupResponseInput } from "../protocol/generated/JoinGroup.ts"
import type { SyncGroupResponseInput } from "../protocol/generated/SyncGroup.ts"
import type { GroupTimer } from "./GroupTimer.ts"

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0)

/** How a member may be assigned partitions: a name that all members must share, and what the member says under it. */
export interface MemberProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

/** Takes a JoinGroup's or SyncGroup's answer. Called at most once. */
export type JoinAnswer = (response: JoinGroupResponseInput) => void
export type SyncAnswer = (response: SyncGroupResponseInput) => void

export interface MemberOptions {
  readonly memberId: string
  /** KIP-345: static members have one. */
  readonly groupInstanceId: string | null
  readonly clientId: string
  /** As Java prints addresses: `/127.0.0.1`. */
  readonly clientHost: string
  readonly rebalanceTimeoutMs: number
  readonly sessionTimeoutMs: number
  readonly protocolType: string
  /** In the order in which the member likes them; names are unique. */
  readonly protocols: ReadonlyArray<MemberProtocol>
  readonly assignment?: Uint8Array
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export class ClassicGroupMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly protocolType: string
  rebalanceTimeoutMs: number
  sessionTimeoutMs: number
  protocols: ReadonlyArray<MemberProtocol>
  /** Of the current generation; opaque. */
  assignment: Uint8Array
  /** It has not been in a generation yet: it does not know its id, so it cannot send heartbeats. */
  isNew = false
  /** Who waits for the JoinGroup's answer; the group counts them, so only it sets this. */
  awaitingJoin: JoinAnswer | undefined = undefined
  awaitingSync: SyncAnswer | undefined = undefined
  readonly session: Timer<GroupTimer>

  constructor(groupId: string, options: MemberOptions) {
    this.memberId = options.memberId
    this.groupInstanceId = options.groupInstanceId
    this.clientId = options.clientId
    this.clientHost = options.clientHost
    this.protocolType = options.protocolType
    this.rebalanceTimeoutMs = options.rebalanceTimeoutMs
    this.sessionTimeoutMs = options.sessionTimeoutMs
    this.protocols = options.protocols
    this.assignment = options.assignment ?? EMPTY_BYTES
    this.session = new Timer<GroupTimer>({ _tag: "Session", groupId, memberId: options.memberId })
  }

  get isStatic(): boolean {
    return this.groupInstanceId !== null
  }

  /** Whoever waits for the others needs no heartbeat; a new member does, so that those who vanished leave again. */
  get hasSatisfiedHeartbeat(): boolean {
    return !this.isNew && (this.awaitingJoin !== undefined || this.awaitingSync !== undefined)
  }

  /** What it says under a protocol; undefined when it does not have it. */
  metadata(protocol: string | null): Uint8Array | undefined {
    return this.protocols.find(({ name }) => name === protocol)?.metadata
  }

  /** Whether it would say the same again. */
  matches(protocols: ReadonlyArray<MemberProtocol>): boolean {
    return protocols.length === this.protocols.length &&
      protocols.every(({ metadata, name }, i) => {
        const own = this.protocols[i]!
        return own.name === name && sameBytes(own.metadata, metadata)
      })
  }

  /** The first of its protocols that is a candidate. */
  vote(candidates: ReadonlySet<string>): string | undefined {
    return this.protocols.find(({ name }) => candidates.has(name))?.name
  }
}
