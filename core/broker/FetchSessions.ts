/**
 * Incremental fetch sessions (KIP-227): the broker remembers what partitions a consumer fetches and what it last told
 * it, so that a request names changes only and a response only what is new.
 *
 * Bounds: `maxSessions` (max.incremental.fetch.session.cache.slots). When full a new session takes the place of one
 * unused for EVICTION_MS, else of one with fewer partitions that is at least EVICTION_MS old; else the client gets no
 * session (id 0) and goes on with full requests.
 */

/** A session that was used within this time, or made within it, is kept. */
export const EVICTION_MS = 120_000

/** Epoch of a request that asks for a new session, and of one that wants none. */
export const INITIAL_EPOCH = 0
export const FINAL_EPOCH: number = -1

/** What a client asked for of one partition, and what it was told last. */
export interface FetchPartition {
  /** Of the request: null when it named an id. */
  topic: string | null
  readonly topicId: string
  readonly partition: number
  fetchOffset: number
  maxBytes: number
  currentLeaderEpoch: number
  lastFetchedEpoch: number
  logStartOffset: number
  /** Told last; -1: nothing, or an error, so tell it again. */
  sentHighWatermark: number
  sentLogStartOffset: number
}

export interface FetchSession {
  readonly id: number
  readonly usesTopicIds: boolean
  readonly createdMs: number
  lastUsedMs: number
  /** Expected of the next request. */
  epoch: number
  /** By `partitionKey`, in the order to be served: who was given records goes to the end. */
  readonly partitions: Map<string, FetchPartition>
}

export const partitionKey = (topic: string | null, topicId: string, partition: number): string =>
  `${partition}/${topic ?? topicId}`

export const nextEpoch = (epoch: number): number => epoch < 0 ? FINAL_EPOCH : epoch === 0x7fffffff ? 1 : epoch + 1

export class FetchSessions {
  /** Least recently used first. */
  readonly #sessions: Map<number, FetchSession> = new Map()
  readonly #maxSessions: () => number
  readonly #randomInt31: () => number

  constructor(maxSessions: () => number, randomInt31: () => number) {
    this.#maxSessions = maxSessions
    this.#randomInt31 = randomInt31
  }

  get size(): number {
    return this.#sessions.size
  }

  get(id: number): FetchSession | undefined {
    return this.#sessions.get(id)
  }

  remove(id: number): void {
    this.#sessions.delete(id)
  }

  /** The session was used: it is the last to be evicted. */
  touch(session: FetchSession, nowMs: number): void {
    session.lastUsedMs = nowMs
    this.#sessions.delete(session.id)
    this.#sessions.set(session.id, session)
  }

  /** Undefined when there is no place for it. */
  create(partitions: ReadonlyArray<FetchPartition>, usesTopicIds: boolean, nowMs: number): FetchSession | undefined {
    const max = this.#maxSessions()
    if (this.#sessions.size >= max && (max <= 0 || !this.#evict(partitions.length, nowMs))) return undefined
    let id = 0
    while (id === 0 || this.#sessions.has(id)) id = this.#randomInt31()
    const session: FetchSession = {
      id,
      usesTopicIds,
      createdMs: nowMs,
      lastUsedMs: nowMs,
      epoch: nextEpoch(INITIAL_EPOCH),
      partitions: new Map(partitions.map((p) => [partitionKey(p.topic, p.topicId, p.partition), p]))
    }
    this.#sessions.set(id, session)
    return session
  }

  #evict(newSize: number, nowMs: number): boolean {
    let smallest: FetchSession | undefined
    for (const session of this.#sessions.values()) {
      if (nowMs - session.lastUsedMs > EVICTION_MS) return this.#sessions.delete(session.id)
      if (
        nowMs - session.createdMs > EVICTION_MS && session.partitions.size < newSize &&
        (smallest === undefined || session.partitions.size < smallest.partitions.size)
      ) smallest = session
    }
    return smallest !== undefined && this.#sessions.delete(smallest.id)
  }
}
