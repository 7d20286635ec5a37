/**
 * Incremental fetch sessions (KIP-227): the broker remembers what partitions a consumer fetches and what it last told
 * it, so that a request names changes only and a response only what is new.
 *
 * Bounds: `maxSessions` (max.incremental.fetch.session.cache.slots). When full a new session takes the place of one
 * unused for EVICTION_MS; else of the least one that it is worth more than: a replica's is worth more than a
 * consumer's, and one of more partitions more than one of fewer. In use and younger than EVICTION_MS a session gives way
 * to nobody, but a consumer's to a replica at any age. Without a place the client gets no session (id 0) and goes on
 * with full requests.
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
  /** A replica's. */
  readonly isPrivileged: boolean
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
  create(
    partitions: ReadonlyArray<FetchPartition>,
    usesTopicIds: boolean,
    nowMs: number,
    isPrivileged = false
  ): FetchSession | undefined {
    const max = this.#maxSessions()
    if (this.#sessions.size >= max && (max <= 0 || !this.#evict(partitions.length, nowMs, isPrivileged))) return undefined
    let id = 0
    while (id === 0 || this.#sessions.has(id)) id = this.#randomInt31()
    const session: FetchSession = {
      id,
      usesTopicIds,
      isPrivileged,
      createdMs: nowMs,
      lastUsedMs: nowMs,
      epoch: nextEpoch(INITIAL_EPOCH),
      partitions: new Map(partitions.map((p) => [partitionKey(p.topic, p.topicId, p.partition), p]))
    }
    this.#sessions.set(id, session)
    return session
  }

  #evict(newSize: number, nowMs: number, isPrivileged: boolean): boolean {
    const [oldest] = this.#sessions.values()
    if (oldest !== undefined && nowMs - oldest.lastUsedMs > EVICTION_MS) return this.#sessions.delete(oldest.id)
    let least: FetchSession | undefined
    for (const session of this.#sessions.values()) {
      const isOld = nowMs - session.createdMs > EVICTION_MS
      if (!isOld && (!isPrivileged || session.isPrivileged)) continue
      if (least === undefined || isWorthLess(session, least.isPrivileged, least.partitions.size)) least = session
    }
    return least !== undefined && isWorthLess(least, isPrivileged, newSize) && this.#sessions.delete(least.id)
  }
}

/** Less than a session of so many partitions. */
const isWorthLess = (session: FetchSession, isPrivileged: boolean, size: number): boolean =>
  session.isPrivileged === isPrivileged ? session.partitions.size < size : isPrivileged
