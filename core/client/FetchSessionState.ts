/**
 * A fetch session with one broker (KIP-227): both sides remember what is fetched, and a request names only what changed.
 * Pure.
 *
 * | session id, epoch | the request means                                              |
 * |-------------------|----------------------------------------------------------------|
 * | 0, 0              | everything is named; give me a session if you have room        |
 * | id, n             | the n-th increment: what changed, what is forgotten            |
 * | id, 0             | everything is named; close that session, give me another       |
 * | 0, -1             | everything is named; no session (not used here)                |
 * | id, -1            | close that session                                             |
 *
 * A broker without room answers session id 0: everything is named again the next time.
 */
import type { FetchRequestForgottenTopicInput, FetchRequestInput } from "../protocol/generated/Fetch.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"

export interface FetchTarget {
  readonly key: string
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly fetchOffset: number
  readonly leaderEpoch: number
  readonly maxBytes: number
}

interface SessionFields extends Pick<FetchRequestInput, "topics"> {
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly forgottenTopicsData: ReadonlyArray<FetchRequestForgottenTopicInput>
}

const NO_SESSION = 0
const FULL_EPOCH = 0
const FINAL_EPOCH = -1
const MAX_EPOCH = 0x7fff_ffff

export class FetchSessionState {
  #id: number = NO_SESSION
  #epoch: number = FULL_EPOCH
  /** What the broker remembers once it has the last request. */
  #targets: Map<string, FetchTarget> = new Map()
  #topicNames: Map<string, string> = new Map()
  #usesIds: boolean = true

  get sessionId(): number {
    return this.#id
  }

  /** The topic that an answer names by its id; undefined: not one that was asked for. */
  topicName(topicId: string): string | undefined {
    return this.#topicNames.get(topicId)
  }

  /** What of a request depends on the session, for exactly these partitions; the session moves on with it. */
  next(targets: ReadonlyArray<FetchTarget>, usesIds: boolean): SessionFields {
    // A session knows its topics by ids or by names, not by both.
    if (usesIds !== this.#usesIds) this.#epoch = FULL_EPOCH
    this.#usesIds = usesIds
    const isFull = this.#epoch === FULL_EPOCH
    const before = this.#targets
    const named: Array<FetchTarget> = []
    const forgotten: Array<FetchTarget> = []
    const now = new Map<string, FetchTarget>()
    for (const target of targets) {
      const known = isFull ? undefined : before.get(target.key)
      now.set(target.key, target)
      if (known === undefined) named.push(target)
      else if (usesIds && known.topicId !== target.topicId) {
        // The topic was deleted and made again: another topic for the broker.
        forgotten.push(known)
        named.push(target)
      } else if (
        known.fetchOffset !== target.fetchOffset || known.leaderEpoch !== target.leaderEpoch ||
        known.maxBytes !== target.maxBytes
      ) named.push(target)
    }
    if (!isFull) for (const [key, target] of before) if (!now.has(key)) forgotten.push(target)
    if (isFull) this.#topicNames = new Map()
    for (const target of named) this.#topicNames.set(target.topicId, target.topic)
    this.#targets = now
    return {
      sessionId: this.#id,
      sessionEpoch: this.#epoch,
      topics: byTopic(named, usesIds).map(({ partitions, topic, topicId }) => ({
        topic,
        topicId,
        partitions: partitions.map((target) => ({
          partition: target.partition,
          currentLeaderEpoch: target.leaderEpoch,
          fetchOffset: target.fetchOffset,
          partitionMaxBytes: target.maxBytes
        }))
      })),
      forgottenTopicsData: byTopic(forgotten, usesIds).map(({ partitions, topic, topicId }) => ({
        topic,
        topicId,
        partitions: partitions.map((target) => target.partition)
      }))
    }
  }

  /**
   * The answer's own error and session id.
   * @returns whether what it says of partitions holds
   */
  answered(errorCode: number, sessionId: number): boolean {
    if (errorCode !== ErrorCode.NONE) {
      if (errorCode === ErrorCode.FETCH_SESSION_ID_NOT_FOUND) this.#id = NO_SESSION
      this.#epoch = FULL_EPOCH
      return false
    }
    if (this.#epoch === FULL_EPOCH) {
      this.#id = sessionId
      this.#epoch = sessionId === NO_SESSION ? FULL_EPOCH : 1
    } else if (sessionId === NO_SESSION) {
      // The broker needed the room: all is named next time.
      this.#id = NO_SESSION
      this.#epoch = FULL_EPOCH
    } else this.#epoch = this.#epoch === MAX_EPOCH ? 1 : this.#epoch + 1
    return true
  }

  /** No answer came: nothing tells whether the broker has seen the request. */
  failed(): void {
    this.#epoch = FULL_EPOCH
  }

  /** The fields of the last request; undefined when the broker has no session of ours. */
  close(): SessionFields | undefined {
    if (this.#id === NO_SESSION) return undefined
    const fields = { sessionId: this.#id, sessionEpoch: FINAL_EPOCH, topics: [], forgottenTopicsData: [] }
    this.#id = NO_SESSION
    this.#epoch = FULL_EPOCH
    this.#targets = new Map()
    return fields
  }
}

interface TopicTargets {
  readonly topic: string
  readonly topicId: string
  readonly partitions: Array<FetchTarget>
}

const byTopic = (targets: ReadonlyArray<FetchTarget>, usesIds: boolean): ReadonlyArray<TopicTargets> => {
  const topics = new Map<string, TopicTargets>()
  for (const target of targets) {
    const key = usesIds ? target.topicId : target.topic
    const topic = topics.get(key)
    if (topic === undefined) topics.set(key, { topic: target.topic, topicId: target.topicId, partitions: [target] })
    else topic.partitions.push(target)
  }
  return [...topics.values()]
}
