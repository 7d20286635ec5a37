/** Records and batches for properties. */
import fc from "fast-check"
import type { RecordInput } from "../../core/records/BatchBuilder.ts"

const bytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.integer({ min: 60, max: 20_000 }).map((length) => new Uint8Array(length).fill(length)) }
)
const nullable: fc.Arbitrary<Uint8Array | null> = fc.option(bytes)

export const timestamps: fc.Arbitrary<number> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 0, 1) },
  { weight: 1, arbitrary: fc.integer({ min: -(2 ** 50), max: 2 ** 50 }) }
)

export const recordInputs: fc.Arbitrary<Required<RecordInput>> = fc.record({
  timestamp: timestamps,
  key: nullable,
  value: nullable,
  headers: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.record({ key: fc.string({ unit: "grapheme", maxLength: 8 }), value: nullable }), { maxLength: 5 }) }
  )
})
