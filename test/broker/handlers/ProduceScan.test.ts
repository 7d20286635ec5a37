import { describe, expect, it } from "vitest"
import { scanError, scanRecords } from "../../../core/broker/handlers/ProduceScan.ts"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { type BatchInput, buildBatch } from "../../oracle/Batches.ts"

const batch = (input: Partial<BatchInput> = {}): Uint8Array =>
  new Uint8Array(buildBatch({ records: [{ key: null, value: new Uint8Array(3), timestamp: 0 }], ...input }))

const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]))

const errorOf = (records: Uint8Array | null, version = 9): number => {
  const scanned = scanRecords(records)
  if (typeof scanned === "string") throw new Error(scanned)
  return scanError(scanned, version)
}

describe("ProduceScan", () => {
  it("takes one whole batch of magic 2", () => {
    expect(errorOf(batch())).toBe(ErrorCode.NONE)
    expect(scanRecords(batch({ codec: 3 }))).toMatchObject({ batches: 1, magic: 2, codec: 3, isTransactional: false })
    expect(scanRecords(batch({ extraAttributes: 16 }))).toMatchObject({ isTransactional: true })
  })

  it("refuses none, a cut one, two, and an older magic as INVALID_RECORD", () => {
    for (const records of [null, new Uint8Array(0), batch().subarray(0, 70), join(batch(), batch()), batch({ magic: 1 })]) {
      expect(errorOf(records)).toBe(ErrorCode.INVALID_RECORD)
    }
  })

  it("refuses zstd in versions below 7", () => {
    expect(errorOf(batch({ codec: 4 }), 6)).toBe(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
    expect(errorOf(batch({ codec: 4 }), 7)).toBe(ErrorCode.NONE)
  })

  it("says why the first batch is none, and minds rubbish behind it for its partition alone", () => {
    expect(scanRecords(batch({ magic: 3 }))).toBe("Invalid magic found in record: 3")
    expect(scanRecords(new Uint8Array(80))).toBe("Record size 0 is less than the minimum record overhead (14)")
    expect(errorOf(join(batch(), new Uint8Array(80)))).toBe(ErrorCode.CORRUPT_MESSAGE)
    // Too short for a batch's head: a cut one.
    expect(errorOf(join(batch(), new Uint8Array(11)))).toBe(ErrorCode.NONE)
  })
})
