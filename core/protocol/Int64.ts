/**
 * Kafka's int64 without loss: a number where it is safe (-(2^53-1) to 2^53-1), else a bigint. Codecs give the number
 * whenever there is one, so `===` compares what they decoded.
 */
import { invalidValue } from "./ProtocolError.ts"

export type Int64 = number | bigint

/** The number that `value` is, undefined when no number is exactly that. */
export const toSafe = (value: Int64): number | undefined => {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : undefined
  return value >= -0x1fffffffffffffn && value <= 0x1fffffffffffffn ? Number(value) : undefined
}

/** The one spelling that codecs use for a value. @throws ProtocolError when it is no int64 */
export const fromBigInt = (value: bigint): Int64 => {
  if (BigInt.asIntN(64, value) !== value) throw invalidValue(`${value} is not an int64`)
  return toSafe(value) ?? value
}

/** Equal as integers, whichever way they are spelled. */
export const sameInt64 = (a: Int64, b: Int64): boolean =>
  a === b || (typeof a !== typeof b && toSafe(a) !== undefined && toSafe(a) === toSafe(b))
