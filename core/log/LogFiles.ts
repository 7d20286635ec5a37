/**
 * Names in a log directory, as Kafka's.
 *
 * <log.dir>/                                   one of log.dirs
 *   meta.properties  .lock  .kafka_cleanshutdown
 *   recovery-point-offset-checkpoint  log-start-offset-checkpoint  replication-offset-checkpoint  cleaner-offset-checkpoint
 *   <topic>-<partition>/
 *     partition.metadata  leader-epoch-checkpoint
 *     <base offset, 20 digits>.log .index .timeindex .txnindex     a segment; .txnindex only once a transaction aborted
 *     <offset, 20 digits>.snapshot                                 producers as they were before that offset
 *     *.deleted                                                    waits for file.delete.delay.ms
 *     *.tmp                                                        not whole yet
 *     *.cleaned, then *.swap                                       a segment that compaction makes, then one it has made
 *   <topic>-<partition>.<32 hex digits>-delete/                    a deleted topic's, waiting the same way
 *   <topic>-<partition>.<32 hex digits>-stray/                     a partition that no topic of the metadata has
 */

export const LOG_SUFFIX = ".log"
export const INDEX_SUFFIX = ".index"
export const TIME_INDEX_SUFFIX = ".timeindex"
export const TXN_INDEX_SUFFIX = ".txnindex"
export const SNAPSHOT_SUFFIX = ".snapshot"
export const DELETED_SUFFIX = ".deleted"
export const CLEANED_SUFFIX = ".cleaned"
export const SWAP_SUFFIX = ".swap"
/** Of what is not whole yet: a start removes it. */
export const TEMPORARY_SUFFIX = ".tmp"

export const LEADER_EPOCH_CHECKPOINT = "leader-epoch-checkpoint"
export const PARTITION_METADATA = "partition.metadata"

/** The files of one segment. */
export const SEGMENT_SUFFIXES: ReadonlyArray<string> = [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX]

/** `<directory>/<offset, 20 digits>`: a segment's or snapshot's name before its suffix. */
export const offsetPath = (directory: string, offset: number): string =>
  `${directory}/${String(offset).padStart(20, "0")}`

/** The offset that a file is named by; undefined for other files. */
export const offsetOfName = (name: string, suffix: string): number | undefined => {
  if (!name.endsWith(suffix) || name.length !== 20 + suffix.length) return undefined
  const digits = name.slice(0, 20)
  return /^\d{20}$/.test(digits) ? Number(digits) : undefined
}

export interface PartitionDirectory {
  readonly topic: string
  readonly partition: number
  readonly state: "live" | "deleted" | "stray"
}

/** What a directory's name says; undefined when it isn't a partition's. */
export const parsePartitionDirectory = (name: string): PartitionDirectory | undefined => {
  const match = /^(.+?)(?:\.[0-9a-f]{32}-(delete|stray))?$/.exec(name)
  const live = match?.[1]
  if (live === undefined) return undefined
  const dash = live.lastIndexOf("-")
  const partition = live.slice(dash + 1)
  if (dash < 1 || !/^\d{1,10}$/.test(partition)) return undefined
  return {
    topic: live.slice(0, dash),
    partition: Number(partition),
    state: match?.[2] === "delete" ? "deleted" : match?.[2] === "stray" ? "stray" : "live"
  }
}

/** Longest name of a directory that hosts take, in bytes. */
const MAX_NAME_LENGTH = 255

/** A deleted or stray partition's directory: unique, and within the host's limit for long topic names as in Kafka. */
export const retiredDirectoryName = (
  topic: string,
  partition: number,
  unique: string,
  state: "delete" | "stray"
): string => {
  const suffix = `-${partition}.${unique}-${state}`
  return topic.slice(0, MAX_NAME_LENGTH - suffix.length) + suffix
}
