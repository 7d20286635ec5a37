/** All logs of a broker: its log directories, loading and recovery, and the work that goes on in the background. */
import * as Context from "effect/Context"
import type { LogConfig } from "./LogConfig.ts"
import type { PartitionLog } from "./PartitionLog.ts"

export interface LogDirectory {
  /** As configured in log.dirs, in the host's absolute spelling. */
  readonly path: string
  /** directory.id of its meta.properties. */
  readonly id: string
  readonly isOnline: boolean
  /** Of its volume; -1 when the host cannot tell or the directory is offline. */
  readonly totalBytes: number
  readonly usableBytes: number
}

export interface LogManager {
  readonly get: (topic: string, partition: number) => PartitionLog | undefined
  readonly all: () => Iterable<PartitionLog>
  /** The log, new or as it is. In the directory with the fewest logs. @throws DiskError */
  readonly create: (topic: string, partition: number, topicId: string, config: LogConfig) => PartitionLog
  /** Takes the log away at once; its files go after file.delete.delay.ms. @throws DiskError */
  readonly remove: (topic: string, partition: number) => void
  readonly directories: () => ReadonlyArray<LogDirectory>
  /** Whether the directory of this log has failed. */
  readonly isOffline: (log: PartitionLog) => boolean
  /** Called once for each log whose directory fails. */
  readonly onOffline: (listener: (log: PartitionLog) => void) => void
  /** From replication-offset-checkpoint as it was at start; 0 when not there. */
  readonly checkpointedHighWatermark: (topic: string, partition: number) => number
  /** Where retention, compaction and replication-offset-checkpoint ask for high watermarks. Until set: the log end. */
  readonly setHighWatermarks: (source: (topic: string, partition: number) => number | undefined) => void
  /** The broker epoch that the clean-shutdown marker of the last stop named; -1 after an unclean one. */
  readonly previousBrokerEpoch: number
  /** For the clean-shutdown marker. */
  readonly setBrokerEpoch: (epoch: number) => void
}
export const LogManager: Context.Service<LogManager, LogManager> = Context.Service("ottla/LogManager")
