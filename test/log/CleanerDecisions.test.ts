import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  type CleanableLog,
  dirtyRange,
  filthiest,
  type GroupableSegment,
  groupSegments,
  isDue,
  measureLog
} from "../../core/log/CleanerDecisions.ts"
import { defaultLogConfig, type LogConfig } from "../../core/log/LogConfig.ts"

const DAY_MS = 86_400_000
const NOW = 1000 * DAY_MS

/** Segments of 100 offsets and 1000 bytes, the last active; a segment's timestamps are its age in days before NOW. */
const logOf = (ages: ReadonlyArray<number>, options: Partial<CleanableLog> & { readonly settings?: Partial<LogConfig> } = {}): CleanableLog => ({
  segments: ages.map((days, i) => ({
    baseOffset: i * 100,
    sizeInBytes: 1000,
    largestTimestamp: NOW - days * DAY_MS,
    firstBatchTimestamp: NOW - days * DAY_MS
  })),
  logStartOffset: 0,
  logEndOffset: ages.length * 100,
  lastStableOffset: ages.length * 100,
  config: { ...defaultLogConfig, cleanupPolicy: { compact: true, delete: false }, ...options.settings },
  ...options
})

describe("dirtyRange", () => {
  it("begins at the log's start without a checkpoint and ends before the active segment", () => {
    expect(dirtyRange(logOf([3, 2, 1]), undefined, NOW)).toEqual({
      firstDirtyOffset: 0,
      firstUncleanableOffset: 200,
      resetsCheckpoint: false
    })
  })

  it("begins at the checkpoint when that lies in the log", () => {
    expect(dirtyRange(logOf([3, 2, 1]), 150, NOW).firstDirtyOffset).toBe(150)
    expect(dirtyRange(logOf([3, 2, 1]), 300, NOW)).toEqual({
      firstDirtyOffset: 300,
      firstUncleanableOffset: 300,
      resetsCheckpoint: false
    })
  })

  it("starts again when the checkpoint is below the log's start or beyond its end", () => {
    const log = logOf([3, 2, 1], { logStartOffset: 120 })
    for (const checkpoint of [119, 301]) {
      expect(dirtyRange(log, checkpoint, NOW)).toEqual({
        firstDirtyOffset: 120,
        firstUncleanableOffset: 200,
        resetsCheckpoint: true
      })
    }
  })

  it("leaves the segment alone that holds the last stable offset", () => {
    expect(dirtyRange(logOf([3, 2, 1], { lastStableOffset: 199 }), 0, NOW).firstUncleanableOffset).toBe(100)
    expect(dirtyRange(logOf([3, 2, 1], { lastStableOffset: 200 }), 0, NOW).firstUncleanableOffset).toBe(200)
    expect(dirtyRange(logOf([3, 2, 1], { lastStableOffset: 50 }), 0, NOW).firstUncleanableOffset).toBe(0)
  })

  it("leaves alone what is younger than min.compaction.lag.ms, and all behind it", () => {
    const settings = { minCompactionLagMs: 2 * DAY_MS }
    expect(dirtyRange(logOf([5, 4, 1, 4, 0], { settings }), 0, NOW).firstUncleanableOffset).toBe(200)
    expect(dirtyRange(logOf([5, 4, 2, 4, 0], { settings }), 0, NOW).firstUncleanableOffset).toBe(400)
    // What is clean already is not asked again.
    expect(dirtyRange(logOf([1, 4, 4, 0], { settings }), 100, NOW).firstUncleanableOffset).toBe(300)
  })
})

describe("measureLog and isDue", () => {
  it("is due when more than min.cleanable.dirty.ratio of its bytes is dirty", () => {
    const log = logOf([3, 3, 3, 3, 0])
    expect(measureLog(log, 200, NOW)).toMatchObject({ cleanBytes: 2000, cleanableBytes: 2000, dirtyRatio: 0.5 })
    expect(isDue(log, measureLog(log, 200, NOW))).toBe(false)
    expect(isDue(log, measureLog(log, 100, NOW))).toBe(true)
    expect(isDue({ ...log, config: { ...log.config, cleanupPolicy: { compact: false, delete: true } } }, measureLog(log, 0, NOW)))
      .toBe(false)
  })

  it("is never due without closed dirty segments", () => {
    const settings = { minCleanableDirtyRatio: 0, maxCompactionLagMs: 1 }
    for (const [log, checkpoint] of [
      [logOf([9], { settings }), undefined],
      [logOf([9, 9, 9], { settings }), 200],
      [logOf([9, 9, 9], { settings }), 250],
      [logOf([9, 9, 9], { settings, lastStableOffset: 50 }), 60]
    ] as const) {
      const measured = measureLog(log, checkpoint, NOW)
      expect([measured.cleanableBytes, isDue(log, measured)]).toEqual([0, false])
    }
  })

  it("is due whatever its ratio when something dirty is older than max.compaction.lag.ms", () => {
    const settings = { maxCompactionLagMs: 4 * DAY_MS }
    const young = logOf([9, 9, 9, 3, 0], { settings })
    expect(isDue(young, measureLog(young, 300, NOW))).toBe(false)
    const old = logOf([9, 9, 9, 5, 0], { settings })
    expect(isDue(old, measureLog(old, 300, NOW))).toBe(true)
  })

  it("does not ask for timestamps that cannot decide anything", () => {
    const log = logOf([3, 2, 1])
    const segments = log.segments.map(({ baseOffset, sizeInBytes }) => ({
      baseOffset,
      sizeInBytes,
      get largestTimestamp(): number {
        throw new Error("read")
      },
      get firstBatchTimestamp(): number {
        throw new Error("read")
      }
    }))
    expect(measureLog({ ...log, segments }, undefined, NOW).cleanableBytes).toBe(2000)
  })

  it("never takes in the active segment, nor what is not stable", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 8 }),
        fc.nat(900),
        fc.option(fc.nat(900), { nil: undefined }),
        fc.integer({ min: 0, max: 5 }),
        (ages, stable, checkpoint, lagDays) => {
          const log = logOf(ages, {
            lastStableOffset: Math.min(stable, ages.length * 100),
            settings: { minCompactionLagMs: lagDays * DAY_MS }
          })
          const measured = measureLog(log, checkpoint, NOW)
          const { firstDirtyOffset, firstUncleanableOffset } = measured
          if (measured.cleanableBytes === 0) return
          expect(firstUncleanableOffset).toBeGreaterThan(firstDirtyOffset)
          expect(firstUncleanableOffset).toBeLessThanOrEqual(log.segments.at(-1)!.baseOffset)
          expect(firstUncleanableOffset).toBeLessThanOrEqual(log.lastStableOffset)
          expect(firstUncleanableOffset % 100).toBe(0)
          const dirty = log.segments.filter((s) => s.baseOffset + 100 > firstDirtyOffset && s.baseOffset < firstUncleanableOffset)
          expect(measured.cleanableBytes).toBe(dirty.length * 1000)
          if (lagDays > 0) for (const s of dirty) expect(s.largestTimestamp).toBeLessThanOrEqual(NOW - lagDays * DAY_MS)
        }
      ),
      { seed: 3102, numRuns: 500 }
    )
  })

  it("picks the dirtiest, the first of several", () => {
    const measured = [100, 0, 200, 0].map((checkpoint, id) => ({ id, ...measureLog(logOf([3, 3, 3, 0]), checkpoint, NOW) }))
    expect(filthiest(measured)?.id).toBe(1)
    expect(filthiest([])).toBeUndefined()
  })
})

const smallSegment = (baseOffset: number): GroupableSegment =>
  ({ baseOffset, sizeInBytes: 1, offsetIndexBytes: 0, timeIndexBytes: 0 })

const limits = { segmentBytes: 1000, segmentIndexBytes: 100 }

describe("groupSegments", () => {
  it("makes groups that fit one segment, in order, and none that could be joined with the next", () => {
    const segment = fc.record({
      span: fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.constant(2 ** 30)),
      sizeInBytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 1200 })),
      offsetIndexBytes: fc.integer({ min: 0, max: 110 }),
      timeIndexBytes: fc.integer({ min: 0, max: 110 })
    })
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 12 }), (specs) => {
        let at = 0
        const segments = specs.map(({ span, ...rest }) => {
          const baseOffset = at
          at += span
          return { baseOffset, endOffset: at, ...rest }
        })
        const groups = groupSegments(segments, limits, at)
        expect(groups.flat()).toEqual(segments)
        const fits = (group: ReadonlyArray<(typeof segments)[number]>): boolean => {
          const sum = (of: "sizeInBytes" | "offsetIndexBytes" | "timeIndexBytes"): number =>
            group.reduce((total, each) => total + each[of], 0)
          const last = group.findLast((each) => each.sizeInBytes > 0)
          return sum("sizeInBytes") <= 1000 && sum("offsetIndexBytes") <= 100 && sum("timeIndexBytes") <= 100 &&
            (last === undefined || last.endOffset - 1 - group[0]!.baseOffset <= 0x7fff_ffff)
        }
        groups.forEach((group, i) => {
          expect(group.length).toBeGreaterThan(0)
          if (group.length > 1) expect(fits(group)).toBe(true)
          const next = groups[i + 1]
          if (next !== undefined) expect(fits([...group, next[0]!])).toBe(false)
        })
      }),
      { seed: 3103, numRuns: 500 }
    )
  })

  it("does not stretch a segment over more offsets than an index can name", () => {
    const segments = [smallSegment(0), smallSegment(2 ** 31 - 2)]
    expect(groupSegments(segments, limits, 2 ** 31)).toEqual([segments])
    expect(groupSegments(segments, limits, 2 ** 31 + 1)).toEqual(segments.map((segment) => [segment]))
  })
})
