/**
 * A log under any sequence of operations, crashes among them, held against a list of batches. Everything is drawn
 * from a seed, so a failure repeats with its seed, and the same seed gives the same trace on every runtime.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { expect } from "vitest"
import { defaultLogConfig, type LogConfig } from "../../core/log/LogConfig.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import type { FileSlice } from "../../core/model/Payload.ts"
import { DiskError } from "../../core/ports/Disk.ts"
import { RecordBatch } from "../../core/records/RecordBatch.ts"
import { checkIndexes } from "./CheckIndexes.ts"
import { batchesIn, batchOf, bytesOf, newLog, reload, seeded, text } from "./TestLog.ts"

interface ModelBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly epoch: number
  readonly producerId: number
  readonly lastSequence: number
  /** All of its bytes, as hex of their CRC and length: what must not change. */
  readonly signature: string
}

const KEY = text("k")

const signatureOf = (batch: RecordBatch): string => `${batch.baseOffset}+${batch.lastOffsetDelta}:${batch.crc.toString(16)}`

export class LogModel {
  readonly random: () => number
  readonly trace: Array<string> = []
  readonly memory: MemoryDisk
  /** A sync waits for it. */
  private device: Deferred.Deferred<void> | undefined
  private readonly config: LogConfig
  private log: PartitionLog
  /** What the log must hold: acknowledged and not truncated, retention's victims included until a restart shows. */
  private batches: Array<ModelBatch> = []
  private logStartOffset = 0
  private logEndOffset = 0
  private flushedOffset = 0
  /** What the flush that runs will have covered. */
  private flushingTo = 0
  /** As the checkpoint of log starts says: it may be older. */
  private checkpointedStart = 0
  /** The largest since the last flush: a truncation lowers it, and a crash of the machine takes that back. */
  private startBefore = 0
  /** Records below it were deleted, and no crash of the process brings them back. */
  private deletedTo = 0
  /** Batches that may be there after a crash of the machine although they were truncated or never acknowledged. */
  private ghosts: Array<ModelBatch> = []
  /** Batches that were refused since the last flush: only a crash of the machine may bring them back. */
  private refused: Array<ModelBatch> = []
  private epoch = 0
  private readonly sequences = new Map<number, number>()
  private readonly stalled: Array<{ readonly slice: FileSlice; readonly bytes: Uint8Array }> = []
  private counter = 0
  private isRetaining = false
  /** Since the last flush. */
  private hasBegunElsewhere = false
  /** A crash came before that was durable: segments that went may have left their producers in a snapshot. */
  private mayKnowMore = false

  constructor(seed: number) {
    this.random = seeded(seed)
    this.memory = new MemoryDisk({
      device: Effect.suspend(() => this.device === undefined ? Effect.yieldNow : Deferred.await(this.device))
    })
    this.config = {
      ...defaultLogConfig,
      segmentBytes: 400 + this.int(1500),
      indexIntervalBytes: 40 + this.int(200),
      retentionBytes: 2000 + this.int(3000),
      maxMessageBytes: 400,
      cleanupPolicy: { compact: this.random() < 0.3, delete: true }
    }
    this.log = newLog(this.config, this.memory).log
  }

  private int(below: number): number {
    return Math.floor(this.random() * below)
  }

  private note(what: string): void {
    this.trace.push(what)
  }

  async setUp(): Promise<void> {
    await Effect.runPromise(this.memory.disk.syncDirectory("/"))
    await Effect.runPromise(this.memory.disk.syncDirectory("/logs"))
    await Effect.runPromise(this.log.flush)
  }

  /** One operation drawn from the seed; a crash and a recovery when the machine stopped in it. */
  async step(): Promise<void> {
    const willStop = this.random() < 0.12
    if (willStop) {
      const tear = seeded(this.int(1 << 30))
      this.memory.stopAtOperation(this.memory.operations + 1 + this.int(12), tear)
    }
    try {
      for (let i = willStop ? 6 : 1; i > 0; i--) await this.operation()
      if (willStop) {
        this.note("power stays")
        this.memory.stopAtOperation(Infinity)
      }
    } catch (error) {
      if (!(error instanceof DiskError) || !error.message.includes("stopped")) throw error
      this.note("power goes")
      await this.crash()
    }
  }

  private async operation(): Promise<void> {
    const dice = this.random()
    if (dice < 0.4) return this.append()
    if (dice < 0.5) return this.follow()
    if (dice < 0.6) return this.read()
    if (dice < 0.62) return this.endLeases()
    if (dice < 0.68) return this.flush()
    if (dice < 0.695) return this.flushMeanwhile()
    if (dice < 0.7) return this.failingSync()
    if (dice < 0.75) return this.roll()
    if (dice < 0.8) return this.truncate()
    if (dice < 0.85) return this.retain()
    if (dice < 0.88) return this.deleteRecords()
    if (dice < 0.93) return this.fullDisk()
    if (dice < 0.935) return this.beginElsewhere()
    if (dice < 0.94) return this.beginEpoch()
    if (dice < 0.96) return this.crash()
    return this.restart()
  }

  private staged: Array<ModelBatch> = []

  private stage(): void {
    if (this.random() < 0.1) this.epoch += 1 + this.int(2)
    const records = Array.from({ length: 1 + this.int(3) }, () => text(`${this.counter++} ${"x".repeat(this.int(57))}`))
    const producerId = this.random() < 0.5 ? this.int(3) : -1
    const known = (): number | undefined =>
      this.mayKnowMore ? this.log.activeProducers().find((each) => each.producerId === producerId)?.lastSequence : undefined
    const baseSequence = producerId < 0 ? -1 : (this.sequences.get(producerId) ?? known() ?? -1) + 1
    const bytes = batchOf(records.map((value, i) => ({ timestamp: 1000 + this.int(500) + i, key: KEY, value })), {
      producerId,
      producerEpoch: producerId < 0 ? -1 : 0,
      baseSequence
    })
    const appended = this.log.appendAsLeader(bytes, { leaderEpoch: this.epoch, nowMs: 2000, apiVersion: 13 })
    if (appended._tag === "Refusal") throw new Error(`refused: ${appended.error} ${appended.message}`)
    expect(appended.duplicate).toBe(false)
    const lastSequence = producerId < 0 ? -1 : baseSequence + records.length - 1
    if (producerId >= 0) this.sequences.set(producerId, lastSequence)
    const batch = new RecordBatch(bytes.slice())
    this.staged.push({
      baseOffset: appended.baseOffset,
      lastOffset: appended.lastOffset,
      epoch: this.epoch,
      producerId,
      lastSequence,
      signature: signatureOf(batch)
    })
  }

  private acknowledge(): void {
    this.batches.push(...this.staged)
    this.logEndOffset = this.staged.at(-1)?.lastOffset ?? this.logEndOffset - 1
    this.logEndOffset++
    this.staged = []
  }

  private append(): void {
    this.staged = []
    for (let i = 1 + this.int(4); i > 0; i--) this.stage()
    this.note(`append ${this.staged.map(({ signature }) => signature).join(" ")}`)
    this.log.write()
    this.acknowledge()
    expect(this.log.logEndOffset).toBe(this.logEndOffset)
  }

  /** What a leader gives, which may have gaps that its compaction left. */
  private follow(): void {
    this.staged = []
    let nextOffset = this.logEndOffset
    const pieces: Array<Uint8Array> = []
    for (let i = 1 + this.int(3); i > 0; i--) {
      if (this.random() < 0.1) this.epoch += 1 + this.int(2)
      const hasGaps = this.config.cleanupPolicy.compact && this.random() < 0.3
      const baseOffset = nextOffset + (hasGaps ? this.int(5) : 0)
      const records = Array.from({ length: 1 + this.int(3) }, () => text(`${this.counter++} ${"y".repeat(this.int(57))}`))
      const bytes = batchOf(records.map((value) => ({ timestamp: 1000 + this.int(500), key: KEY, value })), {
        baseOffset,
        leaderEpoch: this.epoch,
        lastOffset: baseOffset + records.length - 1 + (hasGaps ? this.int(3) : 0)
      })
      const batch = new RecordBatch(bytes)
      nextOffset = batch.nextOffset
      const { lastOffset } = batch
      this.staged.push({ baseOffset, lastOffset, epoch: this.epoch, producerId: -1, lastSequence: -1, signature: signatureOf(batch) })
      pieces.push(bytes)
    }
    this.note(`follow ${this.staged.map(({ signature }) => signature).join(" ")}`)
    const fetched = new Uint8Array(pieces.reduce((length, each) => length + each.length, 0))
    let at = 0
    for (const each of pieces) {
      fetched.set(each, at)
      at += each.length
    }
    const appended = this.log.appendAsFollower(fetched, { nowMs: 2000 })
    if (appended._tag === "Refusal") throw new Error(`refused: ${appended.error} ${appended.detail}`)
    this.log.write()
    this.acknowledge()
    expect(this.log.logEndOffset).toBe(this.logEndOffset)
  }

  /** No room for so many bytes, or for the names of files either. */
  private whileFull(work: () => void, refused: () => void): void {
    this.memory.limitBytes = this.memory.usedBytes + this.int(900)
    const namesLeft = this.random() < 0.5 ? Infinity : this.int(4)
    let names = 0
    const refusesRenames = this.random() < 0.1
    this.memory.failWhen((operation, path) =>
      (operation === "create" || (refusesRenames && operation === "rename" && !path.endsWith(".deleted"))) && ++names > namesLeft
        ? "NoSpace"
        : undefined
    )
    try {
      work()
    } catch (error) {
      if (!(error instanceof DiskError) || error.kind !== "NoSpace") throw error
      this.note("refused")
      refused()
      // The machine may stop while what was refused is taken back.
      if (this.log.failed !== undefined) expect(this.log.failed.message).toContain("stopped")
    } finally {
      this.memory.limitBytes = Infinity
      this.memory.failWhen(undefined)
    }
  }

  private fullDisk(): void {
    const dice = this.random()
    if (dice < 0.6) return this.appendWhileFull()
    if (dice < 0.65) return this.whileFull(() => this.retain(), () => this.retained())
    if (dice < 0.7) return this.whileFull(() => this.beginElsewhere(), () => undefined)
    if (dice < 0.75) return this.whileFull(() => this.beginEpoch(), () => undefined)
    if (dice < 0.8) return this.whileFull(() => this.roll(), () => undefined)
    const { batches: before, flushingTo } = this
    return this.whileFull(() => this.truncate(), () => {
      // It is what is left of it, and ends there.
      const end = this.log.logEndOffset
      expect(end).toBeGreaterThanOrEqual(this.logEndOffset)
      this.batches = before.filter(({ lastOffset }) => lastOffset < end)
      this.flushingTo = Math.min(flushingTo, end)
      this.logEndOffset = end
      this.logStartOffset = this.log.logStartOffset
      this.resequence()
    })
  }

  private appendWhileFull(): void {
    const before = new Map(this.sequences)
    const epoch = this.epoch
    this.whileFull(() => this.random() < 0.8 ? this.append() : this.follow(), () => {
      if (this.log.failed !== undefined) this.ghosts.push(...this.staged)
      // Pages that were on the device before it was taken back, and no sync since.
      this.refused.push(...this.staged)
      this.staged = []
      this.sequences.clear()
      for (const [id, sequence] of before) this.sequences.set(id, sequence)
      this.epoch = epoch
      expect(this.log.logEndOffset).toBe(this.logEndOffset)
    })
  }

  private async flush(): Promise<void> {
    this.note(`flush ${this.logEndOffset}`)
    await Effect.runPromise(this.log.flush)
    this.flushedOffset = this.logEndOffset
    if (this.random() < 0.5) this.checkpointedStart = this.logStartOffset
    if (!this.log.segments.active.hasStaleTail) this.startBefore = 0
    this.refused = []
    this.hasBegunElsewhere = false
    // Until there is room to go on elsewhere, what was truncated under a reader is still in its file.
    if (!this.log.segments.active.hasStaleTail) this.ghosts = []
  }

  /** A flush while the log goes on. */
  private async flushMeanwhile(): Promise<void> {
    const device = this.device = Deferred.makeUnsafe<void>()
    this.note("flush begins")
    this.flushingTo = this.logEndOffset
    const flush = Effect.runFork(Effect.exit(this.log.flush))
    try {
      for (let i = 1 + this.int(5); i > 0; i--) {
        const dice = this.random()
        if (dice < 0.5) this.append()
        else if (dice < 0.65) this.truncate()
        else if (dice < 0.75) this.roll()
        else if (dice < 0.85) this.retain()
        else if (dice < 0.9) this.deleteRecords()
        else if (dice < 0.95) this.beginElsewhere()
        else this.fullDisk()
      }
    } finally {
      this.device = undefined
      Deferred.doneUnsafe(device, Effect.void)
    }
    const exit = await Effect.runPromise(Fiber.join(flush))
    if (exit._tag === "Failure") for (const reason of exit.cause.reasons) throw reason._tag === "Fail" ? reason.error : exit.cause
    this.flushedOffset = Math.max(this.flushedOffset, this.flushingTo)
    this.note(`flushed ${this.flushedOffset}`)
    expect(this.log.flushedOffset).toBeLessThanOrEqual(Math.max(this.flushedOffset, this.logStartOffset))
  }

  /** The broker gives up the log, and a start finds it. */
  private async failingSync(): Promise<void> {
    this.note("sync fails")
    let left = this.int(4)
    this.memory.failWhen((operation) => operation.startsWith("sync") && left-- === 0 ? "Io" : undefined)
    const exit = await Effect.runPromise(Effect.exit(this.log.flush))
    this.memory.failWhen(undefined)
    if (exit._tag === "Success") {
      this.flushedOffset = this.logEndOffset
      return
    }
    expect(this.log.failed).toBeDefined()
    expect(() => this.append()).toThrow(DiskError)
    this.resequence()
    this.ghosts.push(...this.staged.splice(0))
    await this.crash()
  }

  private roll(): void {
    this.note("roll")
    this.log.roll(2000)
  }

  private endLeases(): void {
    this.checkLeases()
    this.note(`${this.stalled.length} readers go on`)
    for (const { slice } of this.stalled.splice(0)) slice.release()
  }

  private checkLeases(): void {
    for (const { bytes, slice } of this.stalled) expect(bytesOf(slice)).toEqual(bytes)
  }

  private truncate(): void {
    const wanted = this.logEndOffset - this.int(Math.min(12, this.logEndOffset - this.logStartOffset + 1))
    // Behind a gap it would end after a restart where that begins, as in Kafka.
    const kept = this.batches.filter(({ lastOffset }) => lastOffset < wanted)
    const gap = (kept.at(-1)?.lastOffset ?? -1) + 1
    const isAfterGap = (this.batches[kept.length]?.baseOffset ?? gap) > gap
    const offset = isAfterGap ? Math.max(this.logStartOffset, gap) : wanted
    this.note(`truncate ${offset}`)
    this.startBefore = Math.max(this.startBefore, this.logStartOffset)
    const cut = this.batches.filter(({ lastOffset }) => lastOffset >= offset)
    // Until it is done, a crash may leave either.
    this.ghosts.push(...cut)
    const end = offset >= this.logEndOffset ? this.logEndOffset : Math.min(offset, cut[0]?.baseOffset ?? offset)
    this.flushedOffset = Math.min(this.flushedOffset, end)
    this.flushingTo = Math.min(this.flushingTo, end)
    this.deletedTo = 0
    this.batches = kept
    this.logEndOffset = end
    this.resequence()
    this.log.truncateTo(offset)
    expect(this.log.logEndOffset).toBe(end)
    this.logStartOffset = this.log.logStartOffset
    this.checkpointedStart = Math.min(this.checkpointedStart, this.logStartOffset)
  }

  private resequence(): void {
    this.sequences.clear()
    for (const { lastSequence, producerId } of this.batches) if (producerId >= 0) this.sequences.set(producerId, lastSequence)
  }

  private retain(): void {
    this.isRetaining = true
    this.log.retain(2000, this.logEndOffset)
    this.retained()
  }

  private retained(): void {
    this.note(`retain from ${this.log.logStartOffset}`)
    expect(this.log.logStartOffset).toBeGreaterThanOrEqual(this.logStartOffset)
    this.logStartOffset = this.log.logStartOffset
    this.isRetaining = false
  }

  /** As a follower whose leader's log begins behind its own end. */
  private beginElsewhere(): void {
    const offset = this.logEndOffset + this.int(4)
    this.note(`begin at ${offset}`)
    const { batches, flushingTo, logEndOffset } = this
    // Until it is done, a crash may leave all, or only the last of it; a machine's crash may also after that.
    this.ghosts.push(...batches)
    this.batches = []
    this.flushedOffset = 0
    this.flushingTo = 0
    this.deletedTo = 0
    this.logEndOffset = 0
    this.isRetaining = true
    this.hasBegunElsewhere = true
    try {
      this.log.truncateFullyAndStartAt(offset)
      this.logEndOffset = offset
      this.logStartOffset = offset
      this.sequences.clear()
    } catch (error) {
      if (error instanceof DiskError && error.kind === "NoSpace") {
        this.batches = batches
        this.logEndOffset = logEndOffset
        this.flushingTo = flushingTo
        this.isRetaining = false
      }
      throw error
    }
    this.isRetaining = false
  }

  private beginEpoch(): void {
    this.epoch++
    this.note(`epoch ${this.epoch} begins`)
    this.log.assignEpoch(this.epoch, this.logEndOffset)
  }

  private deleteRecords(): void {
    const offset = this.logStartOffset + this.int(Math.max(1, (this.logEndOffset - this.logStartOffset) >> 1))
    this.note(`delete records ${offset}`)
    this.isRetaining = true
    this.log.incrementLogStartOffset(offset)
    this.isRetaining = false
    this.logStartOffset = Math.max(this.logStartOffset, offset)
    this.deletedTo = this.logStartOffset
  }

  private async restart(): Promise<void> {
    this.note("restart")
    this.endLeases()
    this.log.finish()
    await this.flush()
    this.log.close()
    await this.load(true)
    expect(this.log.logEndOffset).toBe(this.logEndOffset)
    this.check()
  }

  private async crash(): Promise<void> {
    const isMachine = this.random() < 0.5
    const isTorn = this.random() < 0.7
    const random = seeded(this.int(1 << 30))
    this.note(isMachine ? isTorn ? "machine crash, torn" : "machine crash" : "process crash")
    const acknowledged = this.logEndOffset
    const deletedTo = isMachine ? 0 : this.deletedTo
    if (isMachine) this.memory.crash(isTorn ? { _tag: "machine", random } : { _tag: "machine" })
    else this.memory.crash({ _tag: "process" })
    this.stalled.length = 0
    await this.load(false)
    // A compacted log may end with a gap, which no batch keeps.
    const lastEnd = this.config.cleanupPolicy.compact ? (this.batches.at(-1)?.lastOffset ?? -1) + 1 : Infinity
    const required = Math.min(lastEnd, isMachine ? this.flushedOffset : acknowledged)
    const end = this.log.logEndOffset
    expect(end, `acknowledged to ${acknowledged}, flushed to ${this.flushedOffset}`).toBeGreaterThanOrEqual(required)
    // What is left must be what was, up to what is required, then only batches that could be there.
    const known = new Map<string, ModelBatch>()
    const refused = isMachine ? this.refused : []
    for (const batch of [...refused, ...this.ghosts, ...this.batches, ...this.staged]) known.set(batch.signature, batch)
    const left: Array<ModelBatch> = []
    for (const batch of this.readBatches(this.log.segments.first.baseOffset)) {
      const signature = signatureOf(batch)
      const model = known.get(signature)
      expect(model, `unknown batch ${signature}`).toBeDefined()
      left.push(model!)
    }
    const first = left[0]?.baseOffset ?? end
    const mustBe = this.batches.filter(({ baseOffset, lastOffset }) => lastOffset < required && baseOffset >= first)
    expect(left.slice(0, mustBe.length).map(({ signature }) => signature)).toEqual(mustBe.map(({ signature }) => signature))
    const holder = this.batches.find(({ lastOffset }) => lastOffset >= this.logStartOffset)
    // What retention took may be back; it has not taken more than it was asked to.
    // Where a gap was, what is next may count as the beginning.
    if (!this.isRetaining && left.length > 0) {
      const latest = Math.max(this.logStartOffset, isMachine ? this.startBefore : 0)
      expect(this.log.logStartOffset).toBeLessThanOrEqual(Math.max(latest, (holder ?? left[0]!).baseOffset))
    }
    if (!this.config.cleanupPolicy.compact && this.log.epochEntries.length > 0) expect(this.log.logStartOffset).toBeGreaterThanOrEqual(deletedTo)
    this.deletedTo = 0
    if (!this.isRetaining && !this.config.cleanupPolicy.compact) expect(first).toBeLessThanOrEqual(Math.max(this.logStartOffset, holder?.baseOffset ?? 0))
    this.isRetaining = false
    // Of a compacted log's segments a crash of the machine may leave the later alone, as in Kafka: who knows what was there?
    const isWhole = !(isMachine && this.config.cleanupPolicy.compact)
    this.batches = [...this.batches.filter(({ lastOffset }) => isWhole && lastOffset < first), ...left]
    this.logEndOffset = end
    this.logStartOffset = this.log.logStartOffset
    this.flushedOffset = Math.min(this.flushedOffset, end)
    this.ghosts = []
    this.refused = []
    this.staged = []
    this.epoch = Math.max(this.epoch, this.log.latestEpoch)
    this.resequence()
    if (this.hasBegunElsewhere || !isWhole) this.mayKnowMore = true
    this.check()
    // A recovered log is flushed before it counts as that.
    await this.flush()
  }

  private async load(isClean: boolean): Promise<void> {
    // The checkpoints are LogManager's: here the recovery point lags or is exact, as theirs may be.
    const recoveryPoint = this.random() < 0.5 ? this.flushedOffset : 0
    this.log = await reload(this.memory, {
      config: this.config,
      isClean,
      logStartOffset: isClean || this.random() < 0.5 ? this.logStartOffset : Math.min(this.checkpointedStart, this.logStartOffset),
      recoveryPoint
    })
    this.note(`loaded ${this.log.logStartOffset} to ${this.log.logEndOffset}`)
  }

  private readBatches(from: number): Array<RecordBatch> {
    const found: Array<RecordBatch> = []
    for (const segment of this.log.segments.all) {
      if (segment.size === 0) continue
      const bytes = new Uint8Array(segment.size)
      segment.file.read(bytes, 0)
      found.push(...batchesIn(bytes).filter(({ lastOffset }) => lastOffset >= from))
    }
    return found
  }

  private read(): void {
    const offset = this.logStartOffset + this.int(this.logEndOffset - this.logStartOffset + 1)
    const maxBytes = this.int(1500)
    const endOffset = this.random() < 0.5 ? this.logEndOffset : offset + this.int(10)
    const minOneBatch = this.random() < 0.5
    const result = this.log.read(offset, { maxBytes, minOneBatch, endOffset })
    if (result._tag !== "Read") throw new Error(`offset ${offset} is out of range`)
    const visible = this.batches.filter((b) => b.lastOffset >= offset && b.lastOffset < Math.min(endOffset, this.logEndOffset))
    if (result.slice === undefined) {
      this.note(`read ${offset} nothing`)
      const first = visible[0]
      expect(first === undefined || !minOneBatch).toBe(true)
      return
    }
    const batches = batchesIn(bytesOf(result.slice))
    expect(result.slice.length <= maxBytes || (batches.length === 1 && minOneBatch)).toBe(true)
    // Some readers stall.
    if (this.random() < 0.3 && this.stalled.length < 8) this.stalled.push({ slice: result.slice, bytes: bytesOf(result.slice) })
    else result.slice.release()
    expect(batches.map(signatureOf)).toEqual(visible.slice(0, batches.length).map(({ signature }) => signature))
    const next = visible[batches.length]?.baseOffset
    // Or anywhere in a gap before it.
    if (next !== undefined) {
      expect(result.nextOffset).toBeLessThanOrEqual(next)
      expect(result.nextOffset).toBeGreaterThan(visible[batches.length - 1]!.lastOffset)
    }
    this.note(`read ${offset} to ${result.nextOffset}`)
  }

  /** Everything at once: records, every offset's read, indexes, epochs, producers. */
  check(): void {
    const { log } = this
    this.checkLeases()
    expect(log.logEndOffset).toBe(this.logEndOffset)
    expect(log.logStartOffset).toBe(this.logStartOffset)
    const expected = this.batches.filter(({ lastOffset }) => lastOffset >= log.segments.first.baseOffset)
    const found = this.readBatches(log.segments.first.baseOffset)
    expect(found.map(signatureOf)).toEqual(expected.map(({ signature }) => signature))
    for (let offset = this.logStartOffset; offset < this.logEndOffset; offset++) {
      const result = log.read(offset, { maxBytes: 1, minOneBatch: true, endOffset: this.logEndOffset })
      if (result._tag !== "Read") throw new Error(`no read at ${offset}`)
      const wanted = expected.find(({ lastOffset }) => lastOffset >= offset)
      // A compacted log that was cut in the middle of a truncation may end with a gap.
      if (wanted === undefined && this.config.cleanupPolicy.compact) {
        expect(result.slice).toBeUndefined()
        break
      }
      if (result.slice === undefined) throw new Error(`nothing read at ${offset}`)
      const [batch] = batchesIn(bytesOf(result.slice))
      result.slice.release()
      expect(signatureOf(batch!)).toBe(wanted!.signature)
    }
    for (const batch of found) {
      if (batch.lastOffset < this.logStartOffset) continue
      const end = log.endOffsetForEpoch(batch.partitionLeaderEpoch)
      expect(end.leaderEpoch).toBe(batch.partitionLeaderEpoch)
      expect(end.endOffset).toBeGreaterThan(batch.lastOffset)
    }
    const producers = new Map(log.activeProducers().map(({ lastSequence, producerId }) => [producerId, lastSequence]))
    for (const [producerId, lastSequence] of this.sequences) {
      const isThere = found.some((batch) => batch.producerId === producerId)
      if (isThere) expect(producers.get(producerId), `producer ${producerId}`).toBe(lastSequence)
    }
    checkIndexes(log, this.config.indexIntervalBytes)
  }
}
