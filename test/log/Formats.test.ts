import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  parseEpochs,
  parseOffsets,
  parsePartitionMetadata,
  showEpochs,
  showOffsets,
  showPartitionMetadata
} from "../../core/log/Checkpoints.ts"
import { IndexPages } from "../../core/log/IndexFile.ts"
import { offsetOfName, offsetPath, parsePartitionDirectory, retiredDirectoryName } from "../../core/log/LogFiles.ts"
import { OffsetIndex } from "../../core/log/OffsetIndex.ts"
import { decodeProducerSnapshot, encodeProducerSnapshot } from "../../core/log/ProducerSnapshot.ts"
import type { ProducerEntry } from "../../core/log/ProducerState.ts"
import { TimeIndex } from "../../core/log/TimeIndex.ts"
import { TransactionIndex } from "../../core/log/TransactionIndex.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { decodeProducerSnapshot as decodeByFacts } from "../../core/protocol/generated/records/ProducerSnapshot.ts"
import { crypto } from "./TestLog.ts"

const contentOf = (memory: MemoryDisk, path: string): Uint8Array => {
  const bytes = new Uint8Array(memory.disk.stat(path)!.size)
  memory.disk.open(path, "read").read(bytes, 0)
  return bytes
}
const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")

describe("offset index", () => {
  test("an entry is 8 bytes: relative offset and position, big endian", () => {
    const memory = new MemoryDisk()
    const index = new OffsetIndex(memory.disk, new IndexPages(), "/i", 1000, true)
    index.reserve(2)
    index.append(1005, 4097)
    index.append(1300, 70_000)
    index.write()
    expect(hex(contentOf(memory, "/i"))).toBe("00000005000010010000012c00011170")
  })

  test("floors are those of a plain array, whatever is in the file and what in memory, after cuts and reopenings too", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ offset: fc.integer({ min: 1, max: 9 }), position: fc.integer({ min: 1, max: 5000 }) }), { maxLength: 1500 }),
        fc.array(fc.nat(15_000), { minLength: 20, maxLength: 20 }),
        fc.array(fc.nat(1500), { maxLength: 3 }),
        (steps, asked, cuts) => {
          const memory = new MemoryDisk()
          const pages = new IndexPages()
          let index = new OffsetIndex(memory.disk, pages, "/i", 100, true)
          let model: Array<{ offset: number; position: number }> = []
          let offset = 100
          let position = 0
          const check = (): void => {
            expect(index.entries).toBe(model.length)
            for (const by of asked) {
              const floor = model.findLast((entry) => entry.offset <= 100 + by)
              expect(index.floorPosition(100 + by)).toBe(floor?.position ?? 0)
              const floorByPosition = model.findLast((entry) => entry.position <= by * 100)
              expect(index.floorByPosition(by * 100)).toBe(floorByPosition?.position ?? 0)
            }
            if (model.length > 0) expect(index.lastOffset).toBe(model.at(-1)!.offset)
          }
          for (const step of steps) {
            offset += step.offset
            position += step.position
            index.reserve(1)
            index.append(offset, position)
            model.push({ offset, position })
          }
          check()
          for (const cut of cuts) {
            const at = 100 + cut * 4
            index.truncateTo(at)
            model = model.filter((entry) => entry.offset < at)
            check()
            index.write()
            index.close()
            index = new OffsetIndex(memory.disk, pages, "/i", 100, false)
            check()
          }
        }
      ),
      { seed: 7, numRuns: 25 }
    )
  })
})

describe("time index", () => {
  test("an entry is 12 bytes: timestamp and relative offset, big endian; only a larger timestamp gets one", () => {
    const memory = new MemoryDisk()
    const index = new TimeIndex(memory.disk, new IndexPages(), "/i", 1000, true)
    index.reserve(4)
    index.maybeAppend(-1, 1000)
    index.maybeAppend(1_700_000_000_000, 1005)
    index.maybeAppend(1_700_000_000_000, 1006)
    index.maybeAppend(1_700_000_000_001, 1010)
    index.write()
    expect(hex(contentOf(memory, "/i"))).toBe("0000018bcfe568000000000500000" + "18bcfe568010000000a")
    expect(index.floorOffset(1_699_999_999_999)).toBe(1000)
    expect(index.floorOffset(1_700_000_000_000)).toBe(1005)
    expect(index.floorOffset(2_000_000_000_000)).toBe(1010)
    index.truncateTo(1010)
    expect(index.last()).toEqual({ timestamp: 1_700_000_000_000, offset: 1005 })
  })
})

describe("transaction index", () => {
  test("an entry is 34 bytes, and a reader is told what reaches into its range", () => {
    const memory = new MemoryDisk()
    const index = new TransactionIndex(memory.disk, "/i", true)
    expect(memory.disk.stat("/i")).toBeUndefined()
    index.append({ producerId: 9, firstOffset: 31, lastOffset: 40, lastStableOffset: 33 })
    index.append({ producerId: 10, firstOffset: 33, lastOffset: 50, lastStableOffset: 51 })
    expect(hex(contentOf(memory, "/i")).slice(0, 68)).toBe(
      "0000" + "0000000000000009" + "000000000000001f" + "0000000000000028" + "0000000000000021"
    )
    const again = new TransactionIndex(memory.disk, "/i", false)
    const collect = (from: number, upTo: number): [number[], boolean] => {
      const found: Array<{ readonly producerId: number }> = []
      const isComplete = again.collect(from, upTo, found as never)
      return [found.map(({ producerId }) => producerId), isComplete]
    }
    expect(collect(0, 20)).toEqual([[], true])
    expect(collect(0, 32)).toEqual([[9], true])
    expect(collect(35, 45)).toEqual([[9, 10], true])
    expect(collect(41, 60)).toEqual([[10], false])
    again.truncateTo(45)
    expect(again.entries).toHaveLength(1)
    expect(memory.disk.stat("/i")!.size).toBe(34)
  })
})

describe("producer snapshot", () => {
  const entries: ReadonlyArray<ProducerEntry> = [
    {
      producerId: 7,
      producerEpoch: 3,
      batches: [{ lastSequence: 0x7fffffff, lastOffset: 2 ** 40, offsetDelta: 4, timestamp: 1_700_000_000_000 }],
      coordinatorEpoch: -1,
      lastTimestamp: 1_700_000_000_000,
      currentTxnFirstOffset: -1
    },
    { producerId: 8, producerEpoch: 0, batches: [], coordinatorEpoch: 12, lastTimestamp: -1, currentTxnFirstOffset: 55 }
  ]

  test("reads back, and says the same by the protocol facts", () => {
    const bytes = encodeProducerSnapshot(entries, crypto)
    expect(decodeProducerSnapshot(bytes, crypto)).toEqual(entries)
    const facts = decodeByFacts(new ByteReader(bytes, 2), 1)
    expect(facts.crc).toBe(crypto.crc32c(bytes.subarray(6)))
    expect(facts.producerEntries).toMatchObject([
      { producerId: 7, epoch: 3, lastSequence: 0x7fffffff, lastOffset: 2 ** 40, offsetDelta: 4, currentTxnFirstOffset: -1 },
      { producerId: 8, epoch: 0, lastSequence: -1, coordinatorEpoch: 12, currentTxnFirstOffset: 55 }
    ])
  })

  test("any byte that is wrong or missing makes it none", () => {
    const bytes = encodeProducerSnapshot(entries, crypto)
    for (let at = 0; at < bytes.length; at++) {
      const wrong = bytes.slice()
      wrong[at]! ^= 1
      expect(decodeProducerSnapshot(wrong, crypto)).toBeUndefined()
      expect(decodeProducerSnapshot(bytes.subarray(0, at), crypto)).toBeUndefined()
    }
  })
})

describe("checkpoints", () => {
  test("are Kafka's text", () => {
    expect(showEpochs([{ epoch: 0, startOffset: 0 }, { epoch: 4, startOffset: 120 }])).toBe("0\n2\n0 0\n4 120\n")
    expect(showOffsets([{ topic: "a", partition: 3, offset: 9 }])).toBe("0\n1\na 3 9\n")
    expect(showPartitionMetadata("4hVg-F4nTtC4BTG2mM5NWA")).toBe("version: 0\ntopic_id: 4hVg-F4nTtC4BTG2mM5NWA")
    expect(parsePartitionMetadata("version: 0\ntopic_id: 4hVg-F4nTtC4BTG2mM5NWA")).toBe("4hVg-F4nTtC4BTG2mM5NWA")
    expect(parsePartitionMetadata("version: 0\ntopic_id: 4hVg")).toBeUndefined()
  })

  test("any part of one is none: the last line may have lost digits", () => {
    const epochs = showEpochs([{ epoch: 12, startOffset: 345 }, { epoch: 13, startOffset: 678 }])
    const offsets = showOffsets([{ topic: "a", partition: 3, offset: 9 }, { topic: "b", partition: 10, offset: 11 }])
    expect(parseEpochs(epochs)).toHaveLength(2)
    expect(parseOffsets(offsets)).toEqual(new Map([["a-3", 9], ["b-10", 11]]))
    for (let length = 0; length < epochs.length; length++) expect(parseEpochs(epochs.slice(0, length))).toBeUndefined()
    for (let length = 0; length < offsets.length; length++) expect(parseOffsets(offsets.slice(0, length))).toBeUndefined()
    expect(parseEpochs("\0".repeat(50))).toBeUndefined()
    expect(parseEpochs("0\n0\n")).toEqual([])
  })
})

describe("names", () => {
  test("files are named by 20 digits", () => {
    expect(offsetPath("/d", 170410)).toBe("/d/00000000000000170410")
    expect(offsetOfName("00000000000000170410.log", ".log")).toBe(170410)
    expect(offsetOfName("00000000000000170410.log.deleted", ".log")).toBeUndefined()
    expect(offsetOfName("0000000000000170410.log", ".log")).toBeUndefined()
  })

  test("directories are topics with a partition, live, deleted or stray", () => {
    expect(parsePartitionDirectory("a-b.c-12")).toEqual({ topic: "a-b.c", partition: 12, state: "live" })
    const unique = "0123456789abcdef0123456789abcdef"
    expect(parsePartitionDirectory(`t-0.${unique}-delete`)).toEqual({ topic: "t", partition: 0, state: "deleted" })
    expect(parsePartitionDirectory(`t-0.${unique}-stray`)).toEqual({ topic: "t", partition: 0, state: "stray" })
    expect(parsePartitionDirectory("lost+found")).toBeUndefined()
    expect(parsePartitionDirectory("-1")).toBeUndefined()
    const long = retiredDirectoryName("x".repeat(249), 1234, unique, "delete")
    expect(long.length).toBe(255)
    expect(parsePartitionDirectory(long)).toMatchObject({ partition: 1234, state: "deleted" })
  })
})
