/** What a broker's configuration says about groups. Times in ms. */
export interface GroupConfig {
  /** `group.initial.rebalance.delay.ms`: an empty group waits so long for more members before its first rebalance ends. */
  readonly initialRebalanceDelayMs: number
  /** `group.min.session.timeout.ms` and `group.max.session.timeout.ms`. */
  readonly minSessionTimeoutMs: number
  readonly maxSessionTimeoutMs: number
  /** `group.max.size`: members. */
  readonly maxSize: number
  /** `offset.metadata.max.bytes`: of one offset, in UTF-16 units, as Kafka counts them. */
  readonly offsetMetadataMaxBytes: number
  /** `offsets.retention.minutes`, in ms. */
  readonly offsetsRetentionMs: number
  /** `offsets.retention.check.interval.ms`. */
  readonly offsetsRetentionCheckIntervalMs: number
}

/** A new member may wait so long in JoinGroup: if it is still there it asks again (KAFKA-7610). In ms. */
export const NEW_MEMBER_JOIN_TIMEOUT_MS: number = 5 * 60 * 1000

/**
 * Member ids that were handed out and not come back with, in one group. Each holds its place for a session timeout at
 * most; who asks for one more is answered COORDINATOR_NOT_AVAILABLE and asks again. Kafka has no bound.
 */
export const MAX_PENDING_MEMBERS = 100_000

/** Offsets that expire are deleted in appends of so many records. */
export const MAX_EXPIRED_PER_APPEND = 1000
