/**
 * What one fetcher follows from one leader's broker: partitions, the place where each goes on, and the fetch session
 * (KIP-227) that both sides remember. Pure and deterministic: the fetcher around it (ReplicaFetcher.ts) asks for the
 * next request, sends it and hands in the answer; the logs themselves say where they end.
 *
 * Rules
 *  - A partition is asked for with the leader epoch in which it is followed and the epoch of its last record. An
 *    answer counts only while it is still followed in that epoch: a later one may have another leader and history.
 *  - A leader whose history parts from ours answers with where (KIP-595's DivergingEpoch) instead of records:
 *    `truncationOffset` says how far back to go, and the next fetch finds out whether that was far enough (KIP-279).
 *  - What failed of one partition waits `backoffMs` and keeps the others going. A connection that failed lets all
 *    wait, and begins another session: nothing tells whether the broker has seen the last request.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { FetchRequestForgottenTopicInput, FetchRequestInput, FetchResponse, FetchResponsePartitionData } from "../protocol/generated/Fetch.ts"

/** Where a follower's log stands. */
export interface LogPosition {
  readonly fetchOffset: number
  /** Of the last record; -1 when the log has none. */
  readonly lastFetchedEpoch: number
  readonly logStartOffset: number
}

export interface FollowedId {
  readonly topicId: string
  readonly partition: number
}

interface Asked extends LogPosition {
  readonly leaderEpoch: number
}

interface Followed extends FollowedId {
  readonly leaderEpoch: number
  /** Not asked for before. */
  retryAtMs: number
}

/** What an answer says of a partition that is still followed as it was asked for. */
export interface ReplicaAnswer extends FollowedId {
  /** Of the request. */
  readonly leaderEpoch: number
  readonly fetchOffset: number
  readonly data: FetchResponsePartitionData
}

export interface ReplicaFetchLimits {
  /** `replica.fetch.max.bytes`: of one partition, unless its first batch is larger. */
  readonly partitionMaxBytes: number
  /** `replica.fetch.backoff.ms`. */
  readonly backoffMs: number
}

interface SessionFields extends Pick<FetchRequestInput, "topics"> {
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly forgottenTopicsData: ReadonlyArray<FetchRequestForgottenTopicInput>
}

const NO_SESSION = 0
const FULL_EPOCH = 0
const MAX_EPOCH = 0x7fff_ffff

const keyOf = ({ partition, topicId }: FollowedId): string => `${partition}/${topicId}`

export class ReplicaFetcherState {
  readonly #limits: ReplicaFetchLimits
  readonly #followed: Map<string, Followed> = new Map()
  /** What the broker remembers once it has the last request. */
  #asked: Map<string, Asked & FollowedId> = new Map()
  #sessionId: number = NO_SESSION
  #sessionEpoch: number = FULL_EPOCH

  constructor(limits: ReplicaFetchLimits) {
    this.#limits = limits
  }

  /** Partitions that are followed. */
  get size(): number {
    return this.#followed.size
  }

  /** Follows a partition in a leader epoch from now on. @returns whether that is new */
  follow(id: FollowedId, leaderEpoch: number): boolean {
    const key = keyOf(id)
    if (this.#followed.get(key)?.leaderEpoch === leaderEpoch) return false
    this.#followed.set(key, { topicId: id.topicId, partition: id.partition, leaderEpoch, retryAtMs: 0 })
    return true
  }

  unfollow(id: FollowedId): void {
    this.#followed.delete(keyOf(id))
  }

  /** When the first that waits may be asked for again; Infinity when nothing is followed. */
  nextDueMs(): number {
    let next = Infinity
    for (const { retryAtMs } of this.#followed.values()) next = Math.min(next, retryAtMs)
    return next
  }

  /**
   * The next request's partitions and session; undefined when nothing is due.
   * @param positionOf where its log stands now; undefined: it cannot be fetched (offline), it waits
   */
  request(nowMs: number, positionOf: (id: FollowedId) => LogPosition | undefined): SessionFields | undefined {
    const due = new Map<string, Asked & FollowedId>()
    for (const [key, followed] of this.#followed) {
      if (followed.retryAtMs > nowMs) continue
      const position = positionOf(followed)
      if (position === undefined) this.failed(followed, followed.leaderEpoch, nowMs)
      else {
        const { leaderEpoch, partition, topicId } = followed
        const { fetchOffset, lastFetchedEpoch, logStartOffset } = position
        due.set(key, { topicId, partition, leaderEpoch, fetchOffset, lastFetchedEpoch, logStartOffset })
      }
    }
    if (due.size === 0) return undefined
    const before = this.#sessionEpoch === FULL_EPOCH ? new Map<string, Asked & FollowedId>() : this.#asked
    const named: Array<Asked & FollowedId> = []
    for (const [key, asked] of due) {
      const known = before.get(key)
      if (known === undefined || !isSame(known, asked)) named.push(asked)
    }
    const forgotten = [...before].filter(([key]) => !due.has(key)).map(([, asked]) => asked)
    this.#asked = due
    return {
      sessionId: this.#sessionId,
      sessionEpoch: this.#sessionEpoch,
      topics: byTopic(named).map(({ partitions, topicId }) => ({
        topicId,
        partitions: partitions.map((asked) => ({
          partition: asked.partition,
          currentLeaderEpoch: asked.leaderEpoch,
          fetchOffset: asked.fetchOffset,
          lastFetchedEpoch: asked.lastFetchedEpoch,
          logStartOffset: asked.logStartOffset,
          partitionMaxBytes: this.#limits.partitionMaxBytes
        }))
      })),
      forgottenTopicsData: byTopic(forgotten).map(({ partitions, topicId }): FetchRequestForgottenTopicInput => ({
        topicId,
        partitions: partitions.map(({ partition }) => partition)
      }))
    }
  }

  /** The answer to the last request. @returns what it says of partitions that are still followed as they were asked for */
  answered({ errorCode, responses, sessionId }: FetchResponse, nowMs: number): ReadonlyArray<ReplicaAnswer> {
    if (errorCode !== ErrorCode.NONE) {
      // Another session is asked for at once where ours is forgotten; anything else waits.
      const isForgotten = errorCode === ErrorCode.FETCH_SESSION_ID_NOT_FOUND ||
        errorCode === ErrorCode.INVALID_FETCH_SESSION_EPOCH
      this.#endSession()
      if (!isForgotten) this.#failedAll(nowMs)
      return []
    }
    if (sessionId === NO_SESSION) this.#endSession()
    else {
      this.#sessionEpoch = this.#sessionEpoch === MAX_EPOCH ? 1 : this.#sessionEpoch + 1
      this.#sessionId = sessionId
    }
    const answers: Array<ReplicaAnswer> = []
    for (const { partitions, topicId } of responses) {
      for (const data of partitions) {
        const key = keyOf({ topicId, partition: data.partitionIndex })
        const asked = this.#asked.get(key)
        if (asked === undefined || this.#followed.get(key)?.leaderEpoch !== asked.leaderEpoch) continue
        const { fetchOffset, leaderEpoch, partition } = asked
        answers.push({ topicId, partition, leaderEpoch, fetchOffset, data })
      }
    }
    return answers
  }

  /** One partition could not go on: it waits, if it is still followed in that epoch. */
  failed(id: FollowedId, leaderEpoch: number, nowMs: number): void {
    const followed = this.#followed.get(keyOf(id))
    if (followed?.leaderEpoch === leaderEpoch) followed.retryAtMs = nowMs + this.#limits.backoffMs
  }

  /** No answer came. */
  disconnected(nowMs: number): void {
    this.#endSession()
    this.#failedAll(nowMs)
  }

  #endSession(): void {
    this.#sessionId = NO_SESSION
    this.#sessionEpoch = FULL_EPOCH
    // `#asked` stays: an answer without a session is read by it.
  }

  #failedAll(nowMs: number): void {
    for (const followed of this.#followed.values()) followed.retryAtMs = nowMs + this.#limits.backoffMs
  }
}

const isSame = (a: Asked, b: Asked): boolean =>
  a.fetchOffset === b.fetchOffset && a.lastFetchedEpoch === b.lastFetchedEpoch && a.leaderEpoch === b.leaderEpoch &&
  a.logStartOffset === b.logStartOffset

const byTopic = <A extends FollowedId>(ids: ReadonlyArray<A>): ReadonlyArray<{ readonly topicId: string; readonly partitions: Array<A> }> => {
  const topics = new Map<string, { readonly topicId: string; readonly partitions: Array<A> }>()
  for (const id of ids) {
    const topic = topics.get(id.topicId)
    if (topic === undefined) topics.set(id.topicId, { topicId: id.topicId, partitions: [id] })
    else topic.partitions.push(id)
  }
  return [...topics.values()]
}

/**
 * How far a follower goes back when its leader says that `epoch` ends at `endOffset` there (KIP-101, KIP-279). When the
 * follower does not know that epoch it goes back to the end of the largest one below, and asks again from there.
 * @param own where the largest epoch of the follower that is not above `epoch` ends; both -1: it knows none
 */
export const truncationOffset = (
  leader: { readonly epoch: number; readonly endOffset: number },
  own: { readonly leaderEpoch: number; readonly endOffset: number },
  logEndOffset: number
): number => {
  if (own.endOffset === -1 || own.leaderEpoch === -1) return Math.min(leader.endOffset, logEndOffset)
  if (own.leaderEpoch !== leader.epoch) return Math.min(own.endOffset, logEndOffset)
  return Math.min(own.endOffset, leader.endOffset, logEndOffset)
}
