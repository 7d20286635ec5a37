/**
 * All logs of a broker: its log directories, loading and recovery, and the work that goes on in the background, all on
 * the Effect Clock. Ends with its scope: a clean stop, after which no log needs recovery.
 *
 * A directory whose disk fails goes offline with its logs; the others go on. A full disk is no failure: appends are
 * refused while it is full.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type { Scope } from "effect/Scope"
import { ZERO_TOPIC_ID } from "../model/Ids.ts"
import { Compression } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import { Disk, DiskError } from "../ports/Disk.ts"
import type { PartitionOffset } from "./Checkpoints.ts"
import { makeCleaner } from "./Cleaner.ts"
import type { LogConfig } from "./LogConfig.ts"
import { type LogContext, makeLogContext } from "./LogContext.ts"
import {
  CLEANER_CHECKPOINT,
  HIGH_WATERMARK_CHECKPOINT,
  InconsistentLogDirectory,
  LOG_START_CHECKPOINT,
  LogDirectory,
  RECOVERY_POINT_CHECKPOINT
} from "./LogDirectory.ts"
import { parsePartitionDirectory, retiredDirectoryName } from "./LogFiles.ts"
import { isFailure } from "./LogState.ts"
import type { PartitionLog } from "./PartitionLog.ts"
import { createLog, loadLog, readTopicId } from "./Recovery.ts"
import { attempt } from "./TextFile.ts"

export { InconsistentLogDirectory }

/** How often it is looked whether flush.ms asks for a flush. */
const FLUSH_CHECK_MS = 1000
/** Longer sleeps are cut to this; the int32 of hosts' timers ends soon after. */
const MAX_SLEEP_MS = 24 * 60 * 60 * 1000
/** Logs that are flushed at once by a stop. */
const STOP_FLUSHES = 16
/** KRaft's own log, in Kafka's data directories. */
const METADATA_LOG = "__cluster_metadata-0"

export interface LogDirectoryState {
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
  /**
   * The log, new or as it is. In the online directory with the fewest logs; one that fails goes offline, and the next
   * is tried. @throws DiskError when the disk is full, or no directory is online
   */
  readonly create: (topic: string, partition: number, topicId: string, config: LogConfig) => PartitionLog
  /**
   * Takes the log away at once; its files go after file.delete.delay.ms. One that the disk refuses to rename stays here:
   * another under its name would get its segments. @throws DiskError
   */
  readonly remove: (topic: string, partition: number) => void
  /** The same for a log whose topic the metadata does not have: its files stay, under a name with "-stray". @throws DiskError */
  readonly removeStray: (topic: string, partition: number) => void
  readonly directories: () => ReadonlyArray<LogDirectoryState>
  /** Path of the directory that a log is in. */
  readonly directoryOf: (log: PartitionLog) => string
  /** Whether the directory of this log has failed. */
  readonly isOffline: (log: PartitionLog) => boolean
  /** Called once for each log whose directory fails. */
  readonly onOffline: (listener: (log: PartitionLog) => void) => void
  /** Called once, when the last directory that was online fails, or at once when it has: nothing can be kept any more. */
  readonly onAllOffline: (listener: (error: DiskError) => void) => void
  /** From replication-offset-checkpoint as it was at start; 0 when not there. */
  readonly checkpointedHighWatermark: (topic: string, partition: number) => number
  /** Where retention, compaction and replication-offset-checkpoint ask for high watermarks; undefined, and until set: as checkpointed. */
  readonly setHighWatermarks: (source: (topic: string, partition: number) => number | undefined) => void
  /** The broker epoch that the clean-shutdown markers of the last stop named; -1 after an unclean one. */
  readonly previousBrokerEpoch: number
  /** For the clean-shutdown marker; until then it names the one before, which is still what the logs are of. */
  readonly setBrokerEpoch: (epoch: number) => void
}
export const LogManager: Context.Service<LogManager, LogManager> = Context.Service("ottla/LogManager")

export interface LogManagerOptions {
  readonly logDirs: ReadonlyArray<string>
  readonly brokerId: number
  readonly clusterId: string
  /** Broker keys: intervals and limits of the background work. */
  readonly config: { readonly number: (key: string) => number }
  readonly configFor: (topic: string, topicId: string) => LogConfig
  /** As the metadata has it; undefined where it has no such topic. */
  readonly topicIdOf?: (topic: string) => string | undefined
}

const keyOf = (topic: string, partition: number): string => `${topic}-${partition}`

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")

/** Opens the log directories and loads what is in them. */
export const make = (
  options: LogManagerOptions
): Effect.Effect<
  LogManager,
  DiskError | InconsistentLogDirectory,
  Disk | Crypto | Compression | Scope
> =>
  Effect.gen(function*() {
    const { brokerId, clusterId, config, configFor } = options
    const disk = yield* Disk
    const crypto = yield* Crypto
    const compression = yield* Compression
    const clock = yield* Clock.Clock
    const nowMs = (): number => clock.currentTimeMillisUnsafe()

    const logs = new Map<string, PartitionLog>()
    const directoryOf = new Map<PartitionLog, LogDirectory>()
    const listeners: Array<(log: PartitionLog) => void> = []
    const allOfflineListeners: Array<(error: DiskError) => void> = []
    /** Of the last directory that was online. */
    let lastFailure: DiskError | undefined
    const highWatermarks = new Map<string, number>()
    let highWatermarkOf: (topic: string, partition: number) => number | undefined = () => undefined

    // -- directories -------------------------------------------------------------------------------------------
    const directories: Array<LogDirectory> = []
    const unopened: Array<LogDirectoryState> = []
    for (const path of new Set(options.logDirs.map((each) => disk.absolute(each)))) {
      const opened = yield* LogDirectory.open(disk, crypto, path, { brokerId, clusterId }).pipe(
        Effect.catchTag("DiskError", (error) => {
          // Another broker's, or the only one: nothing to go on with.
          if (error.kind === "Busy" || options.logDirs.length === 1) return Effect.fail(error)
          return Effect.as(
            Effect.logError("log directory is offline").pipe(Effect.annotateLogs({ path, error: error.message })),
            undefined
          )
        })
      )
      if (opened === undefined) unopened.push({ path, id: "", isOnline: false, totalBytes: -1, usableBytes: -1 })
      else directories.push(opened)
    }
    if (directories.length === 0) {
      return yield* Effect.fail(new DiskError("Io", "open", options.logDirs.join(","), "no log directory is online"))
    }
    const ids = new Set(directories.map(({ id }) => id))
    if (ids.size < directories.length) {
      return yield* Effect.fail(new InconsistentLogDirectory(directories[0]!.path, "another has the same directory.id"))
    }
    const cleanEpochs = new Set(directories.map(({ cleanBrokerEpoch }) => cleanBrokerEpoch))
    const [onlyEpoch] = cleanEpochs
    const previousBrokerEpoch = cleanEpochs.size === 1 ? onlyEpoch ?? -1 : -1
    let brokerEpoch = previousBrokerEpoch

    const logsIn = (directory: LogDirectory): ReadonlyArray<PartitionLog> =>
      [...logs.values()].filter((log) => directoryOf.get(log) === directory)
    const online = (): ReadonlyArray<LogDirectory> => directories.filter(({ failure }) => failure === undefined)

    const runFork = yield* FiberSet.makeRuntime<never>()
    const fork = (effect: Effect.Effect<unknown>): void => void runFork(effect)

    const goOffline = (directory: LogDirectory, error: DiskError): void => {
      if (directory.failure !== undefined) return
      directory.failure = error
      fork(
        Effect.logError("log directory is offline").pipe(
          Effect.annotateLogs({ path: directory.path, error: error.message })
        )
      )
      for (const log of logsIn(directory)) for (const listener of listeners) listener(log)
      if (online().length > 0) return
      lastFailure = error
      for (const listener of allOfflineListeners) listener(error)
    }
    /** Work in a directory that nobody waits for: a failure takes the directory offline, a full disk only a log line. */
    const inDirectory = (directory: LogDirectory, work: Effect.Effect<void, DiskError>): Effect.Effect<void> =>
      Effect.catch(work, (error) =>
        error.kind === "NoSpace"
          ? Effect.logWarning("no space left").pipe(Effect.annotateLogs({ path: directory.path, error: error.message }))
          : Effect.sync(() => goOffline(directory, error)))

    // -- the logs' context ---------------------------------------------------------------------------------------
    const offsetsOf = (directory: LogDirectory, offset: (log: PartitionLog) => number): ReadonlyArray<PartitionOffset> =>
      logsIn(directory).map((log) => ({ topic: log.topic, partition: log.partition, offset: offset(log) }))
    const waiting = new Set<PartitionLog>()
    const settling = new Set<LogDirectory>()
    const context: LogContext = makeLogContext({ disk, crypto, compression }, {
      producerIdExpirationMs: () => config.number("producer.id.expiration.ms"),
      random: () => crypto.randomBytes(1)[0]! / 256,
      schedule: (delayMs, run) =>
        fork(Effect.andThen(
          Effect.sleep(Math.min(delayMs, MAX_SLEEP_MS)),
          Effect.sync(() => {
            try {
              run()
            } catch (error) {
              // What stays goes with the next start.
              if (!(error instanceof DiskError)) throw error
            }
          })
        )),
      rolled: (log) => {
        if (waiting.has(log)) return
        waiting.add(log)
        fork(Effect.suspend(() => {
          waiting.delete(log)
          return Effect.ignore(log.flush)
        }))
      },
      truncated: (log, startsEarlier) => {
        const directory = directoryOf.get(log)
        if (directory === undefined) return
        checkpointNow(directory, RECOVERY_POINT_CHECKPOINT)
        if (startsEarlier) checkpointNow(directory, LOG_START_CHECKPOINT)
        // A loss of power could bring the old one back, which trusts what takes the place of what was truncated.
        if (settling.has(directory)) return
        settling.add(directory)
        fork(Effect.suspend(() => {
          settling.delete(directory)
          return inDirectory(directory, checkpointIn(directory, RECOVERY_POINT_CHECKPOINT))
        }))
      },
      failed: (log, error) => {
        const directory = directoryOf.get(log)
        if (directory !== undefined) goOffline(directory, error)
      }
    })

    const register = (log: PartitionLog, directory: LogDirectory): void => {
      logs.set(keyOf(log.topic, log.partition), log)
      directoryOf.set(log, directory)
    }
    const retiredPath = ({ partition, topic }: PartitionLog, directory: LogDirectory, state: "delete" | "stray"): string =>
      `${directory.path}/${retiredDirectoryName(topic, partition, hex(crypto.randomBytes(16)), state)}`
    /**
     * Of two logs of one name, the one that is not the present topic's: its directory was away when that was made.
     * Undefined: nobody can tell.
     */
    const strayOf = (log: PartitionLog, other: PartitionLog): PartitionLog | undefined => {
      const ids = [log.topicId, other.topicId]
      if (options.topicIdOf === undefined || ids[0] === ids[1] || ids.includes(ZERO_TOPIC_ID)) return undefined
      return log.topicId === options.topicIdOf(log.topic) ? other : log
    }
    const removeLater = (path: string, delayMs: number): void => context.schedule(delayMs, () => disk.remove(path))

    // -- loading -------------------------------------------------------------------------------------------------
    const load = (directory: LogDirectory): Effect.Effect<void, DiskError | InconsistentLogDirectory> =>
      Effect.gen(function*() {
        const recoveryPoints = directory.readOffsets(RECOVERY_POINT_CHECKPOINT)
        const logStarts = directory.readOffsets(LOG_START_CHECKPOINT)
        const checkpointed = directory.readOffsets(HIGH_WATERMARK_CHECKPOINT)
        const isClean = directory.cleanBrokerEpoch !== undefined
        const found: Array<Effect.Effect<void, DiskError | InconsistentLogDirectory>> = []
        for (const name of disk.list(directory.path)) {
          const path = `${directory.path}/${name}`
          const parsed = name === METADATA_LOG ? undefined : parsePartitionDirectory(name)
          if (parsed === undefined || disk.stat(path)?.kind !== "directory" || parsed.state === "stray") continue
          const { partition, topic } = parsed
          const key = keyOf(topic, partition)
          const topicConfig = configFor(topic, readTopicId(context, path) ?? "")
          if (parsed.state === "deleted") {
            removeLater(path, topicConfig.fileDeleteDelayMs)
            continue
          }
          found.push(Effect.gen(function*() {
            const log = yield* loadLog(context, {
              topic,
              partition,
              directory: path,
              config: topicConfig,
              logStartOffset: logStarts.get(key) ?? 0,
              recoveryPoint: recoveryPoints.get(key) ?? 0,
              isClean,
              nowMs: nowMs()
            })
            const other = logs.get(key)
            if (other !== undefined) {
              const stray = strayOf(log, other)
              if (stray === undefined) {
                return yield* Effect.fail(new InconsistentLogDirectory(directory.path, `${key} is in another one too`))
              }
              yield* Effect.logWarning("log of no topic is put aside").pipe(Effect.annotateLogs({ topic, partition, path: stray.directory }))
              yield* attempt(() => disk.rename(stray.directory, retiredPath(stray, stray === log ? directory : directoryOf.get(other)!, "stray")))
              stray.close()
              if (stray === log) return
              directoryOf.get(other)!.hasStaleNames = true
              directoryOf.delete(other)
            }
            register(log, directory)
            highWatermarks.set(key, checkpointed.get(key) ?? 0)
          }))
        }
        if (!isClean && found.length > 0) {
          yield* Effect.logInfo("the last stop was not clean: recovering").pipe(
            Effect.annotateLogs({ path: directory.path, logs: found.length })
          )
        }
        yield* Effect.forEach(found, (each) => each, {
          concurrency: Math.max(1, config.number("num.recovery.threads.per.data.dir")),
          discard: true
        })
        const own = new Set(logsIn(directory).map(({ partition, topic }) => keyOf(topic, partition)))
        for (const offsets of [recoveryPoints, logStarts, checkpointed]) {
          for (const key of offsets.keys()) if (!own.has(key)) directory.hasStaleNames = true
        }
      }).pipe(Effect.catchDefect((defect) => defect instanceof DiskError ? Effect.fail(defect) : Effect.die(defect)))
    for (const directory of directories) {
      yield* Effect.catchTag(load(directory), "DiskError", (error) => {
        if (directories.length === 1) return Effect.fail(error)
        return Effect.sync(() => goOffline(directory, error))
      })
    }

    // -- checkpoints and the clean stop ----------------------------------------------------------------------------
    const checkpointedHighWatermark = (topic: string, partition: number): number => highWatermarks.get(keyOf(topic, partition)) ?? 0
    // Of a log that nobody replicates yet, as in a start that is given up, no more is known than there was.
    const highWatermark = ({ logEndOffset, partition, topic }: PartitionLog): number =>
      Math.min(highWatermarkOf(topic, partition) ?? checkpointedHighWatermark(topic, partition), logEndOffset)
    const checkpoints: Readonly<Record<string, (log: PartitionLog) => number>> = {
      [RECOVERY_POINT_CHECKPOINT]: (log) => log.recoveryPoint,
      [LOG_START_CHECKPOINT]: (log) => log.logStartOffset,
      [HIGH_WATERMARK_CHECKPOINT]: highWatermark
    }
    /** @throws DiskError */
    const checkpointNow = (directory: LogDirectory, name: string): void =>
      directory.writeOffsetsNow(name, offsetsOf(directory, checkpoints[name]!))
    const checkpointIn = (directory: LogDirectory, name: string): Effect.Effect<void, DiskError> =>
      Effect.suspend(() => directory.writeOffsets(name, offsetsOf(directory, checkpoints[name]!)))
    const checkpoint = (name: string) => (): Effect.Effect<void> =>
      Effect.forEach(online(), (directory) => inDirectory(directory, checkpointIn(directory, name)), { discard: true })
    const checkpointAll = (directory: LogDirectory): Effect.Effect<void, DiskError> =>
      Effect.forEach(Object.keys(checkpoints), (name) => checkpointIn(directory, name), { discard: true })
    /** Before a log is made: with the offsets of one that had its name, a recovery would take its records away. @throws DiskError */
    const forgetRemoved = (directory: LogDirectory): void => {
      if (!directory.hasStaleNames) return
      for (const name of Object.keys(checkpoints)) checkpointNow(directory, name)
      const clean = directory.readOffsets(CLEANER_CHECKPOINT)
      const left = offsetsOf(directory, (log) => clean.get(keyOf(log.topic, log.partition)) ?? -1).filter(({ offset }) => offset >= 0)
      if (left.length < clean.size) directory.writeOffsetsNow(CLEANER_CHECKPOINT, left)
      directory.hasStaleNames = false
      fork(inDirectory(directory, checkpointAll(directory)))
    }

    const stop = (directory: LogDirectory): Effect.Effect<void, DiskError> =>
      Effect.gen(function*() {
        const own = logsIn(directory)
        let refused: DiskError | undefined
        const all = (work: (log: PartitionLog) => Effect.Effect<void, DiskError>) =>
          Effect.forEach(
            own,
            (log) => Effect.catch(work(log), (error) => directory.failure === undefined ? Effect.sync(() => refused ??= error) : Effect.fail(error)),
            { concurrency: STOP_FLUSHES, discard: true }
          )
        yield* all((log) => attempt(() => log.finish()))
        yield* all((log) => log.flush)
        yield* checkpointAll(directory)
        // As in Kafka the marker is of all logs or none. With the recovery points a start looks at their last segments only.
        if (refused !== undefined) return yield* Effect.fail(refused)
        yield* directory.markCleanShutdown(brokerEpoch)
      }).pipe(Effect.catchDefect((defect) => defect instanceof DiskError ? Effect.fail(defect) : Effect.die(defect)))
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        for (const directory of online()) {
          yield* Effect.catch(stop(directory), (error) =>
            Effect.logError("log directory was not stopped cleanly").pipe(
              Effect.annotateLogs({ path: directory.path, error: error.message })
            ))
        }
        for (const log of logs.values()) log.close()
      })
    )

    // -- background ------------------------------------------------------------------------------------------------
    const each = (work: (log: PartitionLog) => void): Effect.Effect<void> =>
      // the logs as they are each time it runs
      Effect.suspend(() => Effect.forEach([...logs.values()], (log) => {
        const directory = directoryOf.get(log)
        if (directory === undefined || directory.failure !== undefined) return Effect.void
        return inDirectory(
          directory,
          Effect.try({ try: () => work(log), catch: (error) => error as DiskError })
        )
      }, { discard: true }))
    const retainAll = each((log) => log.retain(nowMs(), highWatermark(log)))
    const every = (key: string, work: () => Effect.Effect<unknown>, initialDelayMs = 0) =>
      Effect.forkScoped(Effect.andThen(
        Effect.sleep(initialDelayMs),
        Effect.forever(Effect.andThen(
          Effect.suspend(() => Effect.sleep(Math.min(config.number(key), MAX_SLEEP_MS))),
          Effect.suspend(work)
        ))
      ))
    const initialDelayMs = config.number("log.initial.task.delay.ms")
    const cleaner = makeCleaner({
      context,
      logs: () => [...logs.values()].filter((log) => directoryOf.get(log)?.failure === undefined),
      directoryOf: (log) => directoryOf.get(log),
      highWatermark,
      nowMs,
      config
    })
    yield* every("log.retention.check.interval.ms", () => retainAll, initialDelayMs)
    yield* every("log.flush.offset.checkpoint.interval.ms", checkpoint(RECOVERY_POINT_CHECKPOINT), initialDelayMs)
    yield* every("log.flush.start.offset.checkpoint.interval.ms", checkpoint(LOG_START_CHECKPOINT), initialDelayMs)
    yield* every("replica.high.watermark.checkpoint.interval.ms", checkpoint(HIGH_WATERMARK_CHECKPOINT))
    yield* every(
      "producer.id.expiration.check.interval.ms",
      () => each((log) => log.expireProducers(nowMs())),
      initialDelayMs
    )
    yield* every("log.cleaner.backoff.ms", () => cleaner)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(
      Effect.sleep(FLUSH_CHECK_MS),
      Effect.suspend(() => {
        const now = nowMs()
        return Effect.forEach(
          [...logs.values()].filter((log) => log.failed === undefined && log.flushDue(now)),
          (log) => Effect.ignore(log.flush),
          { discard: true }
        )
      })
    )))

    // -- logs --------------------------------------------------------------------------------------------------------
    const retire = (topic: string, partition: number, state: "delete" | "stray"): void => {
      const key = keyOf(topic, partition)
      const log = logs.get(key)
      const directory = log === undefined ? undefined : directoryOf.get(log)
      if (log === undefined || directory === undefined) return
      if (directory.failure === undefined) {
        const path = retiredPath(log, directory, state)
        try {
          disk.rename(log.directory, path)
        } catch (error) {
          if (error instanceof DiskError && isFailure(error)) goOffline(directory, error)
          throw error
        }
        log.moved(path)
        if (state === "delete") removeLater(path, log.config.fileDeleteDelayMs)
      }
      directory.hasStaleNames = true
      highWatermarks.delete(key)
      logs.delete(key)
      directoryOf.delete(log)
      log.close()
    }

    return {
      get: (topic, partition) => logs.get(keyOf(topic, partition)),
      all: () => logs.values(),
      create: (topic, partition, topicId, topicConfig) => {
        const found = logs.get(keyOf(topic, partition))
        if (found !== undefined) return found
        for (;;) {
          let best: LogDirectory | undefined
          let fewest = Infinity
          for (const directory of online()) {
            const { length } = logsIn(directory)
            if (length >= fewest) continue
            fewest = length
            best = directory
          }
          if (best === undefined) throw new DiskError("Io", "create", keyOf(topic, partition), "no log directory is online")
          try {
            forgetRemoved(best)
            const log = createLog(context, {
              topic,
              partition,
              topicId,
              directory: `${best.path}/${keyOf(topic, partition)}`,
              config: topicConfig,
              nowMs: nowMs()
            })
            register(log, best)
            return log
          } catch (error) {
            if (!(error instanceof DiskError) || !isFailure(error)) throw error
            // As in Kafka the next directory gets it.
            goOffline(best, error)
          }
        }
      },
      remove: (topic, partition) => retire(topic, partition, "delete"),
      removeStray: (topic, partition) => retire(topic, partition, "stray"),
      directories: () => [
        ...directories.map(({ failure, id, path }): LogDirectoryState => {
          const space = failure === undefined ? disk.space(path) : { totalBytes: -1, usableBytes: -1 }
          return { path, id, isOnline: failure === undefined, ...space }
        }),
        ...unopened
      ],
      directoryOf: (log) => directoryOf.get(log)?.path ?? log.directory.slice(0, log.directory.lastIndexOf("/")),
      isOffline: (log) => directoryOf.get(log)?.failure !== undefined,
      onOffline: (listener) => void listeners.push(listener),
      onAllOffline: (listener) => {
        allOfflineListeners.push(listener)
        if (lastFailure !== undefined) listener(lastFailure)
      },
      checkpointedHighWatermark,
      setHighWatermarks: (source) => {
        highWatermarkOf = source
      },
      previousBrokerEpoch,
      setBrokerEpoch: (epoch) => {
        brokerEpoch = epoch
      }
    }
  })
