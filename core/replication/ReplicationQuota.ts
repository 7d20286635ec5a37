/**
 * How fast replicas that are not in the ISR may be copied: `leader.replication.throttled.rate` for what this broker gives,
 * `follower.replication.throttled.rate` for what it takes, of the partitions that the topic's
 * `leader.replication.throttled.replicas` or `follower…` name. A broken replica, or one that a reassignment adds, then
 * leaves the others their share of network and disk. Members of the ISR are never held back, and never late for it.
 *
 * The rate is measured as Kafka's SimpleRate: the bytes of the last `replication.quota.window.num` windows of
 * `replication.quota.window.size.seconds`, over the time that they cover, one window at least. Above the rate nothing more
 * is copied until enough time has passed: one answer may exceed it, the mean does not. Pure: time comes in.
 */

export interface ReplicationQuotaOptions {
  /** In bytes per second; asked at each use. */
  readonly rate: () => number
  /** Windows, and the length of one in ms. */
  readonly windows: number
  readonly windowMs: number
}

interface Window {
  readonly startMs: number
  bytes: number
}

export class ReplicationQuota {
  readonly #options: ReplicationQuotaOptions
  /** Oldest first; at most `windows`. */
  readonly #samples: Array<Window> = []
  #bytes = 0

  constructor(options: ReplicationQuotaOptions) {
    this.#options = options
  }

  record(bytes: number, nowMs: number): void {
    this.#purge(nowMs)
    const last = this.#samples.at(-1)
    if (last !== undefined && nowMs - last.startMs < this.#options.windowMs) last.bytes += bytes
    else this.#samples.push({ startMs: nowMs, bytes })
    this.#bytes += bytes
  }

  isExceeded(nowMs: number): boolean {
    return this.rate(nowMs) > this.#options.rate()
  }

  /** Measured, in bytes per second. */
  rate(nowMs: number): number {
    this.#purge(nowMs)
    const [oldest] = this.#samples
    if (oldest === undefined) return 0
    return this.#bytes * 1000 / Math.max(nowMs - oldest.startMs, this.#options.windowMs)
  }

  #purge(nowMs: number): void {
    const { windowMs, windows } = this.#options
    for (;;) {
      const [oldest] = this.#samples
      if (oldest === undefined || nowMs - oldest.startMs < windows * windowMs) return
      this.#bytes -= oldest.bytes
      this.#samples.shift()
    }
  }
}

export interface ReplicationQuotas {
  readonly leader: ReplicationQuota
  readonly follower: ReplicationQuota
}

/** Does a list of `partition:broker` (or `*`) name this replica? */
export const isThrottled = (replicas: ReadonlyArray<string>, partition: number, brokerId: number): boolean =>
  replicas.includes("*") || replicas.includes(`${partition}:${brokerId}`)
