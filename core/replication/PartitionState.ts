/**
 * What one replica knows of its partition's replication, and how that changes: pure and deterministic. `step` mutates
 * the state it is given (its one owner is Partition.ts) and returns flags that say what the owner has to do.
 *
 * Rules, for a leader
 *  - High watermark = the smallest log end offset over the maximal ISR. It never goes back, and stands still while the
 *    ISR is smaller than the effective min ISR = min(min.insync.replicas, number of replicas) (KIP-966).
 *  - Maximal ISR = the committed ISR and whoever a change in flight adds. A change in flight that removes someone still
 *    counts them: until it is committed a new leader could be chosen from either set (KIP-497).
 *  - One ISR change is in flight at a time.
 *  - A follower joins when its log end reached the high watermark and the start of the leader's epoch, it is not
 *    fenced, and it fetched with the broker epoch that the leader knows (KIP-841, KIP-903).
 *  - A follower leaves when it was not caught up for replica.lag.time.max.ms.
 *  - The leader's own log counts up to what is written, or, when the flush policy asked for an fsync, to what was
 *    flushed: until then its end waits at the last offset that needed none.
 *
 * For a follower the high watermark is the largest min(leader's high watermark, own log end) so far. Only a truncation
 * takes it back.
 */
import { invariant } from "../model/Invariant.ts"

/** What a leader knows of a follower from its fetches. */
export interface FollowerState {
  /** -1 until its first fetch in this leader epoch. */
  logEndOffset: number
  logStartOffset: number
  brokerEpoch: number
  /** When it last had all the records the leader had at the time of the fetch before: what lag is measured from. */
  lastCaughtUpMs: number
  /** The leader's log end at the follower's last fetch, and when that was. */
  lastFetchLeaderEnd: number
  lastFetchMs: number
  /** The high watermark it was told last, -1 for none: a newer one is not kept back until there are records. */
  toldHighWatermark: number
}

export interface IsrChange {
  readonly isr: ReadonlyArray<number>
  readonly leaderEpoch: number
  /** Of the partition the change starts from. */
  readonly partitionEpoch: number
}

export interface PartitionState {
  readonly brokerId: number
  role: "none" | "leader" | "follower"
  leaderId: number
  leaderEpoch: number
  partitionEpoch: number
  replicas: ReadonlyArray<number>
  /** As last committed. */
  isr: ReadonlyArray<number>
  isrInFlight: IsrChange | undefined
  /** `min.insync.replicas` of the topic. */
  minInsyncReplicas: number
  /** The first offset that this leader epoch wrote or will write. */
  epochStartOffset: number
  logStartOffset: number
  /** What is written to the log. */
  logEndOffset: number
  /** What of the log counts as this replica having it; below `logEndOffset` only while an fsync is due. */
  durableEndOffset: number
  /** An fsync up to here has to be done before the end moves on; 0 when none is due. */
  flushRequiredTo: number
  highWatermark: number
  readonly followers: Map<number, FollowerState>
}

export const makePartitionState = (brokerId: number, initial: {
  readonly logStartOffset: number
  readonly logEndOffset: number
  /** As checkpointed; brought into the log's bounds. */
  readonly highWatermark: number
  readonly minInsyncReplicas: number
}): PartitionState => ({
  brokerId,
  role: "none",
  leaderId: -1,
  leaderEpoch: -1,
  partitionEpoch: -1,
  replicas: [],
  isr: [],
  isrInFlight: undefined,
  minInsyncReplicas: initial.minInsyncReplicas,
  epochStartOffset: 0,
  logStartOffset: initial.logStartOffset,
  logEndOffset: initial.logEndOffset,
  durableEndOffset: initial.logEndOffset,
  flushRequiredTo: 0,
  highWatermark: Math.max(initial.logStartOffset, Math.min(initial.highWatermark, initial.logEndOffset)),
  followers: new Map()
})

export type PartitionEvent =
  | {
    readonly _tag: "BecomeLeader"
    readonly leaderEpoch: number
    readonly partitionEpoch: number
    readonly replicas: ReadonlyArray<number>
    readonly isr: ReadonlyArray<number>
  }
  | {
    readonly _tag: "BecomeFollower"
    readonly leaderId: number
    readonly leaderEpoch: number
    readonly partitionEpoch: number
    readonly replicas: ReadonlyArray<number>
    readonly isr: ReadonlyArray<number>
  }
  /** Written to the local log. `flushDue`: the flush policy wants these on the device before they count. */
  | { readonly _tag: "Appended"; readonly logEndOffset: number; readonly flushDue: boolean }
  | { readonly _tag: "Flushed"; readonly flushedOffset: number }
  | { readonly _tag: "Truncated"; readonly logStartOffset: number; readonly logEndOffset: number }
  | { readonly _tag: "LogStartMoved"; readonly logStartOffset: number }
  | {
    readonly _tag: "FollowerFetched"
    readonly replica: number
    readonly brokerEpoch: number
    /** The follower has everything below it. */
    readonly fetchOffset: number
    readonly logStartOffset: number
    /** May it join the ISR: alive, not shutting down, of the epoch that the image knows. */
    readonly eligible: boolean
  }
  | { readonly _tag: "LeaderHighWatermark"; readonly highWatermark: number }
  | { readonly _tag: "IsrCommitted"; readonly isr: ReadonlyArray<number>; readonly partitionEpoch: number }
  | { readonly _tag: "IsrRefused" }
  | { readonly _tag: "LagCheck"; readonly replicaLagTimeMaxMs: number }
  | { readonly _tag: "MinInsyncReplicas"; readonly minInsyncReplicas: number }

/** Bits of what `step` returns. */
export const HIGH_WATERMARK_MOVED = 1
/** `isrInFlight` was set: submit it to the controller. */
export const ISR_CHANGE_WANTED = 2
/** Role, leader or epoch changed: whoever waits on the partition must look again. */
export const LEADERSHIP_CHANGED = 4

export const effectiveMinIsr = (state: PartitionState): number =>
  Math.min(state.minInsyncReplicas, Math.max(1, state.replicas.length))

/** Fewer replicas in the committed ISR than acks=all needs. */
export const isUnderMinIsr = (state: PartitionState): boolean => state.isr.length < effectiveMinIsr(state)

const inMaximalIsr = (state: PartitionState, replica: number): boolean =>
  state.isr.includes(replica) || (state.isrInFlight?.isr.includes(replica) ?? false)

/** @returns HIGH_WATERMARK_MOVED or 0 */
const advanceHighWatermark = (state: PartitionState): number => {
  if (state.role !== "leader" || isUnderMinIsr(state)) return 0
  let end = state.durableEndOffset
  if (state.replicas.length > 1) {
    for (const [replica, follower] of state.followers) {
      if (inMaximalIsr(state, replica) && follower.logEndOffset < end) end = follower.logEndOffset
    }
  }
  if (end <= state.highWatermark) return 0
  state.highWatermark = end
  return HIGH_WATERMARK_MOVED
}

/** The ISR in the order of ids, as Kafka's leaders send it. */
const wantIsr = (state: PartitionState, members: ReadonlyArray<number>): number => {
  const isr = [...members].sort((a, b) => a - b)
  state.isrInFlight = { isr, leaderEpoch: state.leaderEpoch, partitionEpoch: state.partitionEpoch }
  return ISR_CHANGE_WANTED
}

const followerFetched = (
  state: PartitionState,
  event: PartitionEvent & { readonly _tag: "FollowerFetched" },
  nowMs: number
): number => {
  const follower = state.followers.get(event.replica)
  if (state.role !== "leader" || follower === undefined) return 0
  // Caught up now, or caught up with what the leader had when this fetch was prepared (KIP-16: lag is time, not records).
  if (event.fetchOffset >= state.logEndOffset) follower.lastCaughtUpMs = Math.max(follower.lastCaughtUpMs, nowMs)
  else if (event.fetchOffset >= follower.lastFetchLeaderEnd) {
    follower.lastCaughtUpMs = Math.max(follower.lastCaughtUpMs, follower.lastFetchMs)
  }
  follower.logEndOffset = event.fetchOffset
  follower.logStartOffset = event.logStartOffset
  follower.brokerEpoch = event.brokerEpoch
  follower.lastFetchLeaderEnd = state.logEndOffset
  follower.lastFetchMs = nowMs
  let flags = 0
  if (
    event.eligible && state.isrInFlight === undefined && !state.isr.includes(event.replica) &&
    event.fetchOffset >= state.highWatermark && event.fetchOffset >= state.epochStartOffset
  ) {
    flags |= wantIsr(state, [...state.isr, event.replica])
  }
  return flags | advanceHighWatermark(state)
}

const lagCheck = (state: PartitionState, replicaLagTimeMaxMs: number, nowMs: number): number => {
  if (state.role !== "leader" || state.isrInFlight !== undefined || state.isr.length < 2) return 0
  const stays = state.isr.filter((replica) => {
    if (replica === state.brokerId) return true
    const follower = state.followers.get(replica)
    if (follower === undefined) return false
    return follower.logEndOffset === state.logEndOffset || nowMs - follower.lastCaughtUpMs <= replicaLagTimeMaxMs
  })
  return stays.length === state.isr.length ? 0 : wantIsr(state, stays)
}

export const step = (state: PartitionState, event: PartitionEvent, nowMs: number): number => {
  switch (event._tag) {
    case "Appended": {
      invariant(event.logEndOffset >= state.logEndOffset, "an append does not shorten the log")
      state.logEndOffset = event.logEndOffset
      if (event.flushDue) state.flushRequiredTo = event.logEndOffset
      if (state.flushRequiredTo === 0) state.durableEndOffset = event.logEndOffset
      return advanceHighWatermark(state)
    }
    case "Flushed": {
      if (state.flushRequiredTo === 0) return 0
      if (event.flushedOffset >= state.flushRequiredTo) {
        state.flushRequiredTo = 0
        state.durableEndOffset = state.logEndOffset
      } else {
        state.durableEndOffset = Math.max(state.durableEndOffset, event.flushedOffset)
      }
      return advanceHighWatermark(state)
    }
    case "FollowerFetched":
      return followerFetched(state, event, nowMs)
    case "BecomeLeader": {
      invariant(event.leaderEpoch >= state.leaderEpoch, "a leader epoch does not go back")
      // The same leader and epoch again is a change of the ISR or of the replicas that came through the image.
      const isNew = state.role !== "leader" || event.leaderEpoch !== state.leaderEpoch
      state.role = "leader"
      state.leaderId = state.brokerId
      state.leaderEpoch = event.leaderEpoch
      if (isNew) {
        state.epochStartOffset = state.logEndOffset
        state.followers.clear()
        state.isrInFlight = undefined
      }
      if (event.partitionEpoch > state.partitionEpoch || isNew) {
        state.partitionEpoch = event.partitionEpoch
        state.isr = event.isr
        if (state.isrInFlight !== undefined) state.isrInFlight = undefined
      }
      state.replicas = event.replicas
      for (const replica of event.replicas) {
        if (replica === state.brokerId || state.followers.has(replica)) continue
        // A replica that is in the ISR is given the full lag time to make its first fetch.
        state.followers.set(replica, {
          logEndOffset: -1,
          logStartOffset: -1,
          brokerEpoch: -1,
          lastCaughtUpMs: event.isr.includes(replica) ? nowMs : -Infinity,
          lastFetchLeaderEnd: state.logEndOffset,
          lastFetchMs: -Infinity,
          toldHighWatermark: -1
        })
      }
      for (const replica of state.followers.keys()) {
        if (!event.replicas.includes(replica)) state.followers.delete(replica)
      }
      return (isNew ? LEADERSHIP_CHANGED : 0) | advanceHighWatermark(state)
    }
    case "BecomeFollower": {
      invariant(event.leaderEpoch >= state.leaderEpoch, "a leader epoch does not go back")
      const isNew = state.role !== "follower" || event.leaderEpoch !== state.leaderEpoch ||
        event.leaderId !== state.leaderId
      state.role = "follower"
      state.leaderId = event.leaderId
      state.leaderEpoch = event.leaderEpoch
      state.partitionEpoch = event.partitionEpoch
      state.replicas = event.replicas
      state.isr = event.isr
      state.isrInFlight = undefined
      state.followers.clear()
      return isNew ? LEADERSHIP_CHANGED : 0
    }
    case "Truncated": {
      state.logStartOffset = event.logStartOffset
      state.logEndOffset = event.logEndOffset
      state.durableEndOffset = Math.min(state.durableEndOffset, event.logEndOffset)
      state.flushRequiredTo = Math.min(state.flushRequiredTo, event.logEndOffset)
      state.highWatermark = Math.max(event.logStartOffset, Math.min(state.highWatermark, event.logEndOffset))
      return 0
    }
    case "LogStartMoved": {
      state.logStartOffset = Math.max(state.logStartOffset, event.logStartOffset)
      // Retention never passes the high watermark; a checkpoint lost in a crash can leave the mark below the start.
      if (state.highWatermark >= state.logStartOffset) return 0
      state.highWatermark = state.logStartOffset
      return HIGH_WATERMARK_MOVED
    }
    case "LeaderHighWatermark": {
      if (state.role !== "follower") return 0
      // A new leader may not know yet how far the one before had come: what was committed stays so.
      const next = Math.max(state.logStartOffset, Math.min(event.highWatermark, state.logEndOffset))
      if (next <= state.highWatermark) return 0
      state.highWatermark = next
      return HIGH_WATERMARK_MOVED
    }
    case "IsrCommitted": {
      if (state.role !== "leader" || event.partitionEpoch <= state.partitionEpoch) return 0
      state.isr = event.isr
      state.partitionEpoch = event.partitionEpoch
      state.isrInFlight = undefined
      return advanceHighWatermark(state)
    }
    case "IsrRefused": {
      state.isrInFlight = undefined
      return advanceHighWatermark(state)
    }
    case "LagCheck":
      return lagCheck(state, event.replicaLagTimeMaxMs, nowMs)
    case "MinInsyncReplicas": {
      state.minInsyncReplicas = event.minInsyncReplicas
      return advanceHighWatermark(state)
    }
  }
}
