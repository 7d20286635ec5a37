/** What a read at any offset costs, counted in reads of the disk: a count does not depend on the machine. */
import { describe, expect, test } from "vitest"
import { IndexPages } from "../../core/log/IndexFile.ts"
import { type LogConfig, defaultLogConfig } from "../../core/log/LogConfig.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { createLog } from "../../core/log/Recovery.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import type { Disk, File } from "../../core/ports/Disk.ts"
import { append, batchesIn, bytesOf, contextOn, DIRECTORY, seeded, text, TOPIC_ID } from "./TestLog.ts"

/** Pages of indexes in memory: the small log's index fits, nearly every search of the others misses. */
const PAGES = 1
const INTERVAL = 200
const RECORDS = 2

interface Counted {
  readonly log: PartitionLog
  readonly count: { reads: number; bytes: number }
}

/** A log of batches of 2 records, with about an index entry for each three; its disk counts reads. */
const logOf = (batches: number, config: Partial<LogConfig> = {}): Counted => {
  const count = { reads: 0, bytes: 0 }
  const memory = new MemoryDisk()
  const counting = (file: File): File => ({
    path: file.path,
    descriptor: file.descriptor,
    sync: file.sync,
    read: (target, position) => {
      count.reads++
      count.bytes += target.length
      return file.read(target, position)
    },
    write: (buffers, position) => file.write(buffers, position),
    truncate: (length) => file.truncate(length),
    size: () => file.size(),
    close: () => file.close()
  })
  const disk: Disk = { ...memory.disk, open: (path, mode) => counting(memory.disk.open(path, mode)) }
  memory.disk.makeDirectory("/logs")
  const log = createLog({ ...contextOn(memory), disk, pages: new IndexPages(PAGES) }, {
    topic: "t",
    partition: 0,
    topicId: TOPIC_ID,
    directory: DIRECTORY,
    config: { ...defaultLogConfig, indexIntervalBytes: INTERVAL, ...config },
    nowMs: 0
  })
  for (let i = 0; i < batches; i++) {
    append(log, Array.from({ length: RECORDS }, () => ({ timestamp: i, key: null, value: text("v") })), { nowMs: i })
  }
  return { log, count }
}

/** The dearest and the mean of many. */
const cost = ({ count }: Counted, times: number, run: () => void): { readonly most: number; readonly mean: number; readonly bytes: number } => {
  let most = 0
  let all = 0
  const before = count.bytes
  for (let i = 0; i < times; i++) {
    const from = count.reads
    run()
    most = Math.max(most, count.reads - from)
    all += count.reads - from
  }
  return { most, mean: all / times, bytes: (count.bytes - before) / times }
}

const readAtRandom = (counted: Counted, maxBytes: number, check: boolean): ReturnType<typeof cost> => {
  const { log } = counted
  const random = seeded(7)
  return cost(counted, 400, () => {
    const offset = Math.floor(random() * log.logEndOffset)
    const read = log.read(offset, { maxBytes, minOneBatch: true, endOffset: log.logEndOffset })
    if (read._tag !== "Read" || read.slice === undefined) throw new Error(`nothing at ${offset}`)
    if (check) {
      const [first] = batchesIn(bytesOf(read.slice))
      expect(first!.baseOffset).toBe(offset - offset % RECORDS)
    }
    read.slice.release()
  })
}

const sizes: ReadonlyArray<readonly [name: string, batches: number, config: Partial<LogConfig>]> = [
  ["a small log", 1000, {}],
  ["a log forty times as large", 40_000, {}],
  ["one in many segments", 20_000, { segmentBytes: 50_000 }]
]

describe("disk reads", () => {
  test.each(sizes)("of a read at a random offset: %s", (_name, batches, config) => {
    const counted = logOf(batches, config)
    // Every offset is right; the first entries of the index's pages are known from here on.
    readAtRandom(counted, 1, true)
    for (const maxBytes of [1, 1000]) {
      const { bytes, mean, most } = readAtRandom(counted, maxBytes, false)
      // A page of the index and a block of headers; one more where the answer ends in another page.
      expect(most).toBeLessThanOrEqual(4)
      expect(mean).toBeLessThanOrEqual(maxBytes === 1 ? 2.1 : 2.6)
      expect(bytes).toBeLessThanOrEqual(9000)
    }
  })

  test.each(sizes)("of the first reads of what was just written: %s", (_name, batches, config) => {
    const counted = logOf(batches, config)
    // Pages that the log itself wrote need no look; at most, as many are looked at as a binary search does.
    expect(readAtRandom(counted, 1, false).most).toBeLessThanOrEqual(4 + Math.ceil(Math.log2(1 + batches / 3 / 384)))
  })

  test.each(sizes)("of an offset by time: %s", (_name, batches, config) => {
    const counted = logOf(batches, config)
    const random = seeded(11)
    const find = (): void => {
      const timestamp = Math.floor(random() * batches)
      expect(counted.log.offsetForTimestamp(timestamp)).toMatchObject({ offset: timestamp * RECORDS, timestamp })
    }
    cost(counted, 400, find)
    const { mean, most } = cost(counted, 400, find)
    // A page of each index, a block of headers or two, the batch.
    expect(most).toBeLessThanOrEqual(5)
    expect(mean).toBeLessThanOrEqual(4.5)
  })

  test("pages that are full stay known while the log grows", () => {
    const counted = logOf(4000)
    const { log } = counted
    const read = (): void => {
      const answer = log.read(100, { maxBytes: 1, minOneBatch: true, endOffset: log.logEndOffset })
      if (answer._tag === "Read") answer.slice!.release()
    }
    read()
    for (let i = 0; i < 1000; i++) append(log, ["a", "b"])
    expect(cost(counted, 1, read).most).toBeLessThanOrEqual(1)
  })
})
