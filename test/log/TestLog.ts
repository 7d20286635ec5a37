/** Logs on a memory disk, for tests. */
import * as Effect from "effect/Effect"
import { type LogConfig, defaultLogConfig } from "../../core/log/LogConfig.ts"
import { type LogContext, makeLogContext } from "../../core/log/LogContext.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { createLog, type LoadOptions, loadLog } from "../../core/log/Recovery.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import type { FileSlice } from "../../core/model/Payload.ts"
import { type BatchOptions, buildBatch, type RecordInput } from "../../core/records/BatchBuilder.ts"
import { type Record, records } from "../../core/records/Record.ts"
import { RecordBatch } from "../../core/records/RecordBatch.ts"
import { compression, crypto } from "../records/Ports.ts"

export { compression, crypto }

export const DIRECTORY = "/logs/t-0"
export const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ"

/** A number in [0, 1): mulberry32. */
export const seeded = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

export interface TestLog {
  readonly memory: MemoryDisk
  readonly context: LogContext
  readonly log: PartitionLog
  /** Work that was scheduled for later. */
  readonly scheduled: Array<() => void>
}

export const contextOn = (memory: MemoryDisk, scheduled: Array<() => void> = []): LogContext =>
  makeLogContext({ disk: memory.disk, crypto, compression }, { schedule: (_, run) => void scheduled.push(run) })

export const newLog = (config: Partial<LogConfig> = {}, memory: MemoryDisk = new MemoryDisk()): TestLog => {
  const scheduled: Array<() => void> = []
  const context = contextOn(memory, scheduled)
  memory.disk.makeDirectory("/logs")
  const log = createLog(context, {
    topic: "t",
    partition: 0,
    topicId: TOPIC_ID,
    directory: DIRECTORY,
    config: { ...defaultLogConfig, ...config },
    nowMs: 0
  })
  return { memory, context, log, scheduled }
}

/** The log as a broker finds it at its start. */
export const reload = (memory: MemoryDisk, options: Partial<LoadOptions> = {}): Promise<PartitionLog> =>
  Effect.runPromise(loadLog(contextOn(memory), {
    topic: "t",
    partition: 0,
    directory: DIRECTORY,
    config: defaultLogConfig,
    logStartOffset: 0,
    recoveryPoint: 0,
    isClean: false,
    nowMs: 0,
    ...options
  }))

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** A batch as a client sends it: each record is its value, or key and value. */
export const batchOf = (
  values: ReadonlyArray<string | RecordInput>,
  options: Partial<BatchOptions> = {}
): Uint8Array =>
  buildBatch(
    values.map((value) => typeof value === "string" ? { timestamp: 1000, key: null, value: text(value) } : value),
    { crypto, compression, ...options }
  )

/** Appends one batch as the leader and writes it. Gives its base offset. */
export const append = (
  log: PartitionLog,
  values: ReadonlyArray<string | RecordInput>,
  options: Partial<BatchOptions> & { readonly leaderEpoch?: number; readonly nowMs?: number } = {}
): number => {
  const { leaderEpoch = 0, nowMs = 1000, ...batch } = options
  const appended = log.appendAsLeader(batchOf(values, batch), { leaderEpoch, nowMs, apiVersion: 13 })
  if (appended._tag === "Refusal") throw new Error(`refused: ${appended.error} ${appended.message}`)
  log.write()
  return appended.baseOffset
}

export const bytesOf = (slice: FileSlice): Uint8Array => {
  const bytes = new Uint8Array(slice.length)
  const read = slice.file.read(bytes, slice.position)
  if (read !== bytes.length) throw new Error(`${read} of ${bytes.length} bytes`)
  return bytes
}

export const batchesIn = (bytes: Uint8Array): Array<RecordBatch> => {
  const batches: Array<RecordBatch> = []
  for (let at = 0; at < bytes.length;) {
    const batch = new RecordBatch(bytes, at)
    if (batch.sizeInBytes < 61 || at + batch.sizeInBytes > bytes.length) throw new Error(`no whole batch at ${at}`)
    if (!batch.isIntact(crypto)) throw new Error(`wrong CRC at ${at}`)
    batches.push(batch)
    at += batch.sizeInBytes
  }
  return batches
}

/** Every record from an offset on, read as a consumer would. */
export const readAll = (log: PartitionLog, from: number, maxBytes: number = 1 << 20, endOffset: number = log.logEndOffset): Array<Record> => {
  const all: Array<Record> = []
  for (let offset = from;;) {
    const read = log.read(offset, { maxBytes, minOneBatch: true, endOffset })
    if (read._tag === "OffsetOutOfRange") throw new Error(`offset ${offset} is out of range`)
    if (read.slice === undefined) return all
    const bytes = bytesOf(read.slice)
    read.slice.release()
    for (const batch of batchesIn(bytes)) for (const record of records(batch, compression)) {
      if (record.offset >= offset) all.push({ ...record, key: record.key?.slice() ?? null, value: record.value?.slice() ?? null })
    }
    offset = read.nextOffset!
  }
}

export const values = (log: PartitionLog, from: number, maxBytes?: number): Array<string> =>
  readAll(log, from, maxBytes).map(({ offset, value }) => `${offset}:${value === null ? null : new TextDecoder().decode(value)}`)
