/**
 * One of log.dirs: who it belongs to (meta.properties), its checkpoints, and the marker of a clean stop.
 *
 *   meta.properties        node.id=1 / directory.id=<22 characters> / version=1 / cluster.id=<22 characters>
 *   .kafka_cleanshutdown   {"version":0,"brokerEpoch":7}; made by a clean stop, removed by the next start
 *   .lock                  held while a broker runs
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Disk, DiskError } from "../ports/Disk.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { readUuid } from "../protocol/Uuid.ts"
import { type OffsetCheckpoint, parseOffsets, type PartitionOffset, showOffsets } from "./Checkpoints.ts"
import { attempt, readText, replaceFile, replaceFileDurably } from "./TextFile.ts"

const META_PROPERTIES = "meta.properties"
const CLEAN_SHUTDOWN = ".kafka_cleanshutdown"
const LOCK = ".lock"

export const RECOVERY_POINT_CHECKPOINT = "recovery-point-offset-checkpoint"
export const LOG_START_CHECKPOINT = "log-start-offset-checkpoint"
export const HIGH_WATERMARK_CHECKPOINT = "replication-offset-checkpoint"
export const CLEANER_CHECKPOINT = "cleaner-offset-checkpoint"

/** A log directory that this broker must not touch. */
export class InconsistentLogDirectory extends Error {
  readonly _tag = "InconsistentLogDirectory"
  readonly path: string
  constructor(path: string, detail: string) {
    super(`log directory ${path}: ${detail}`)
    this.path = path
  }
}

export interface LogDirectoryOwner {
  readonly brokerId: number
  readonly clusterId: string
}

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("/"), 0))

/** Java's properties as Kafka writes them: `key=value`, comments with `#`. */
const parseProperties = (text: string): ReadonlyMap<string, string> => {
  const properties = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*([^#!=\s][^=\s]*)\s*=\s*(.*?)\s*$/.exec(line)
    if (match !== null) properties.set(match[1]!, match[2]!)
  }
  return properties
}

const randomUuid = (crypto: Crypto): string => {
  for (;;) {
    const bytes = crypto.randomBytes(16)
    // Version and variant of a random uuid, as Java's.
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const id = readUuid(bytes, 0)
    // Kafka's tools take one that begins so for an option.
    if (!id.startsWith("-")) return id
  }
}

export class LogDirectory {
  readonly path: string
  /** directory.id */
  readonly id: string
  /** Of the clean stop before this start; undefined when it was not clean. -1 when that broker knew none. */
  readonly cleanBrokerEpoch: number | undefined
  /** Why it takes nothing more. */
  failure: DiskError | undefined
  /** Its checkpoints may name logs that are gone: a new one of such a name must not take their offsets for its own. */
  hasStaleNames = false
  private readonly disk: Disk
  /** What a checkpoint's file says, where that is known. */
  private readonly lastWritten = new Map<string, string>()
  /** By checkpoint: the number of the write that began last. */
  private readonly lastWrites = new Map<string, number>()

  private constructor(disk: Disk, path: string, id: string, cleanBrokerEpoch: number | undefined) {
    this.disk = disk
    this.path = path
    this.id = id
    this.cleanBrokerEpoch = cleanBrokerEpoch
  }

  /** Locks the directory until the scope ends and makes it this broker's when it is nobody's. */
  static open(
    disk: Disk,
    crypto: Crypto,
    path: string,
    owner: LogDirectoryOwner
  ): Effect.Effect<LogDirectory, DiskError | InconsistentLogDirectory, Scope> {
    return Effect.gen(function*() {
      const made: Array<string> = []
      yield* attempt(() => {
        for (let at = path; at !== "" && disk.stat(at) === undefined; at = parentOf(at)) made.push(at)
        disk.makeDirectory(path)
      })
      // Synced records are no good under a name that is lost.
      for (const name of made.reverse()) yield* disk.syncDirectory(parentOf(name) || "/")
      yield* disk.lock(`${path}/${LOCK}`)
      const text = yield* attempt(() => readText(disk, `${path}/${META_PROPERTIES}`))
      const found = text === undefined ? undefined : parseProperties(text)
      const refuse = (key: string, value: string | undefined, expected: string): InconsistentLogDirectory | undefined =>
        value === undefined || value === expected
          ? undefined
          : new InconsistentLogDirectory(path, `it belongs to ${key} ${value}, this broker's is ${expected}`)
      const version = found?.get("version")
      const problem = version !== undefined && version !== "0" && version !== "1"
        ? new InconsistentLogDirectory(path, `meta.properties has version ${version}`)
        : refuse("cluster.id", found?.get("cluster.id"), owner.clusterId) ??
          refuse("node.id", found?.get("node.id") ?? found?.get("broker.id"), String(owner.brokerId))
      if (problem !== undefined) return yield* Effect.fail(problem)
      const id = found?.get("directory.id") ?? randomUuid(crypto)
      if (version !== "1" || found?.get("directory.id") === undefined) {
        yield* replaceFileDurably(
          disk,
          `${path}/${META_PROPERTIES}`,
          `node.id=${owner.brokerId}\ndirectory.id=${id}\nversion=1\ncluster.id=${owner.clusterId}\n`
        )
      }
      const cleanEpoch = yield* attempt(() => {
        const marker = readText(disk, `${path}/${CLEAN_SHUTDOWN}`)
        if (marker === undefined) return undefined
        // Another crash must not find it.
        disk.remove(`${path}/${CLEAN_SHUTDOWN}`)
        return Number(/"brokerEpoch"\s*:\s*(-?\d+)/.exec(marker)?.[1] ?? -1)
      })
      if (cleanEpoch !== undefined) yield* disk.syncDirectory(path)
      return new LogDirectory(disk, path, id, cleanEpoch)
    })
  }

  /** Empty when there is none, or none that is whole. @throws DiskError */
  readOffsets(name: string): OffsetCheckpoint {
    const text = readText(this.disk, `${this.path}/${name}`)
    return (text === undefined ? undefined : parseOffsets(text)) ?? new Map()
  }

  /** Nothing when the file says that already, or when a later write overtakes this one. */
  writeOffsets(name: string, offsets: ReadonlyArray<PartitionOffset>): Effect.Effect<void, DiskError> {
    return Effect.suspend(() => {
      const text = showOffsets(offsets)
      if (this.lastWritten.get(name) === text) return Effect.void
      const write = this.beginWrite(name)
      const isLatest = (): boolean => this.lastWrites.get(name) === write
      return Effect.map(replaceFileDurably(this.disk, `${this.path}/${name}`, text, isLatest), () => {
        if (isLatest()) this.lastWritten.set(name, text)
      })
    })
  }

  /**
   * The same at once; durable with the next sync. One that waits for its sync has older offsets: they must not replace
   * these, whose file it would find gone, too. @throws DiskError
   */
  writeOffsetsNow(name: string, offsets: ReadonlyArray<PartitionOffset>): void {
    this.beginWrite(name)
    replaceFile(this.disk, `${this.path}/${name}`, showOffsets(offsets))
  }

  private beginWrite(name: string): number {
    const write = (this.lastWrites.get(name) ?? 0) + 1
    this.lastWrites.set(name, write)
    this.lastWritten.delete(name)
    return write
  }

  markCleanShutdown(brokerEpoch: number): Effect.Effect<void, DiskError> {
    return replaceFileDurably(
      this.disk,
      `${this.path}/${CLEAN_SHUTDOWN}`,
      JSON.stringify({ version: 0, brokerEpoch })
    )
  }
}
