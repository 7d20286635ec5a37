import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { buildBatch } from "../../core/records/BatchBuilder.ts"
import { scanBatches, validateReplicated } from "../../core/records/BatchScan.ts"
import { RecordBatch } from "../../core/records/RecordBatch.ts"
import { crypto } from "./Ports.ts"

/** Batches of these counts, one behind the other; the gaps are offsets that compaction removed. */
const makeLog = (shape: ReadonlyArray<{ readonly count: number; readonly gap: number }>, from = 0) => {
  const ends: Array<number> = [0]
  const parts: Array<Uint8Array> = []
  let offset = from
  shape.forEach(({ count, gap }, epoch) => {
    offset += gap
    const inputs = Array.from({ length: count }, (_, i) => ({ timestamp: i, value: new Uint8Array(i % 7) }))
    parts.push(buildBatch(inputs, { crypto, baseOffset: offset, leaderEpoch: epoch }))
    offset += count
    ends.push(ends.at(-1)! + parts.at(-1)!.length)
  })
  const bytes = new Uint8Array(ends.at(-1)!)
  parts.forEach((part, index) => bytes.set(part, ends[index]))
  return { bytes, ends, nextOffset: offset }
}
const shapes = fc.array(fc.record({ count: fc.integer({ min: 1, max: 5 }), gap: fc.constantFrom(0, 0, 3) }), { minLength: 1, maxLength: 6 })

describe("scanBatches", () => {
  it("visits every batch of a whole log and says where the next offset is", () => {
    fc.assert(
      fc.property(shapes, fc.nat(1000), (shape, from) => {
        const { bytes, ends, nextOffset } = makeLog(shape, from)
        const positions: Array<number> = []
        const scan = scanBatches(bytes, { crypto, nextOffset: from }, ({ position }) => void positions.push(position))
        expect(positions).toEqual(ends.slice(0, -1))
        expect(scan).toEqual({ validEnd: bytes.length, nextOffset, stop: "End", neededBytes: 0, detail: "" })
      }),
      { seed: 21, numRuns: 100 }
    )
  })

  it("of a log cut anywhere keeps the whole batches and says how many bytes the next one needs", () => {
    const { bytes, ends } = makeLog([{ count: 2, gap: 0 }, { count: 1, gap: 0 }, { count: 3, gap: 0 }])
    for (let cut = 0; cut <= bytes.length; cut++) {
      const scan = scanBatches(bytes, { crypto, end: cut })
      const whole = ends.filter((end) => end <= cut).at(-1)!
      expect(scan.validEnd, `cut ${cut}`).toBe(whole)
      expect(scan.stop, `cut ${cut}`).toBe(cut === whole ? "End" : "Partial")
      if (cut > whole) expect(scan.neededBytes).toBeGreaterThan(cut - whole)
      if (cut - whole >= 17) expect(whole + scan.neededBytes).toBe(ends[ends.indexOf(whole) + 1])
    }
  })

  it("goes on in a window at the batch that it stopped at", () => {
    const { bytes, ends, nextOffset } = makeLog([{ count: 2, gap: 0 }, { count: 40, gap: 2 }, { count: 3, gap: 0 }])
    const seen: Array<number> = []
    let at = 0
    let next = 0
    let windowBytes = 20
    for (;;) {
      const window = bytes.subarray(at, at + windowBytes)
      const scan = scanBatches(window, { crypto, nextOffset: next }, ({ position }) => void seen.push(at + position))
      at += scan.validEnd
      next = scan.nextOffset
      if (scan.stop === "Partial") windowBytes = Math.max(windowBytes, scan.neededBytes)
      else if (at === bytes.length) break
    }
    expect(seen).toEqual(ends.slice(0, -1))
    expect(next).toBe(nextOffset)
  })

  it("stops at offsets that go back, at zeros and at anything that is no batch", () => {
    const { bytes, ends } = makeLog([{ count: 2, gap: 0 }, { count: 2, gap: 0 }])
    const back = bytes.slice()
    new RecordBatch(back, ends[1]).stamp(1, 0)
    expect(scanBatches(back, { crypto })).toMatchObject({ stop: "Corrupt", validEnd: ends[1], nextOffset: 2 })
    expect(scanBatches(bytes, { crypto, nextOffset: 1 })).toMatchObject({ stop: "Corrupt", validEnd: 0, nextOffset: 1 })
    const zeros = new Uint8Array(bytes.length + 100)
    zeros.set(bytes)
    expect(scanBatches(zeros, { crypto })).toMatchObject({ stop: "Corrupt", validEnd: bytes.length, nextOffset: 4 })
    const unsafe = bytes.slice()
    unsafe.fill(0x7f, 0, 8)
    expect(scanBatches(unsafe, { crypto })).toMatchObject({ stop: "Corrupt", validEnd: 0 })
  })

  it("takes a changed byte nowhere, but in the epoch, which has no checksum", () => {
    const { bytes } = makeLog([{ count: 3, gap: 0 }])
    for (let at = 8; at < bytes.length; at++) {
      if (at >= 12 && at < 16) continue
      const changed = bytes.slice()
      changed[at]! ^= 0x55
      expect(scanBatches(changed, { crypto }).stop, `byte ${at}`).not.toBe("End")
    }
  })
})

describe("validateReplicated", () => {
  it("takes whole batches and cuts off a part of one", () => {
    const { bytes, ends } = makeLog([{ count: 2, gap: 1 }, { count: 1, gap: 4 }, { count: 3, gap: 0 }])
    for (let cut = 0; cut <= bytes.length; cut++) {
      const result = validateReplicated(bytes.subarray(0, cut), { crypto, nextOffset: 1 })
      if (result._tag !== "Batches") throw new Error(result.detail)
      const whole = ends.filter((end) => end <= cut)
      expect(result.bytes.length).toBe(whole.at(-1))
      expect(result.batches.map(({ position }) => position)).toEqual(whole.slice(0, -1))
    }
  })

  it("refuses a wrong CRC and an offset that the follower has", () => {
    const { bytes, ends } = makeLog([{ count: 2, gap: 0 }, { count: 1, gap: 0 }])
    expect(validateReplicated(bytes, { crypto, nextOffset: 1 })).toMatchObject({ _tag: "Refusal", error: ErrorCode.CORRUPT_MESSAGE })
    bytes[ends[2]! - 1]! ^= 1
    expect(validateReplicated(bytes, { crypto, nextOffset: 0 })).toMatchObject({ _tag: "Refusal", error: ErrorCode.CORRUPT_MESSAGE })
  })

  it("leaves out batches of a later leader than the one it fetches from", () => {
    const { bytes, ends } = makeLog([{ count: 1, gap: 0 }, { count: 1, gap: 0 }, { count: 1, gap: 0 }])
    const result = validateReplicated(bytes, { crypto, nextOffset: 0, leaderEpoch: 1 })
    expect(result).toMatchObject({ _tag: "Batches", bytes: bytes.subarray(0, ends[2]) })
  })
})
