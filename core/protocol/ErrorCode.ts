/** Kafka's error codes: answers to a client, never exceptions of ours. */
import { ErrorCode, retriableCodes, staleMetadataCodes } from "./generated/ErrorCodes.ts"

export { ErrorCode }

/** A code as decoded: one of ErrorCode's, or one that only a newer Kafka knows. */
export type ErrorCode = number

export type ErrorName = keyof typeof ErrorCode

const names: ReadonlyMap<number, string> = new Map(Object.entries(ErrorCode).map(([name, code]) => [code, name]))

/** "NOT_LEADER_OR_FOLLOWER"; "UNKNOWN(999)" for a code that Kafka 4.3 does not have. */
export const errorName = (code: number): string => names.get(code) ?? `UNKNOWN(${code})`

/** Whether the same request may succeed later. */
export const isRetriable = (code: number): boolean => retriableCodes.has(code)

/** Whether a client should fetch metadata before it tries again. */
export const isStaleMetadata = (code: number): boolean => staleMetadataCodes.has(code)
