/** Record batches: views, builders, validation. */
export * from "./BatchBuilder.ts"
export * from "./BatchScan.ts"
export * from "./BatchValidation.ts"
export * from "./ControlRecord.ts"
export * from "./Crc32c.ts"
export * from "./Record.ts"
export * from "./RecordBatch.ts"
export * from "./RecordError.ts"
