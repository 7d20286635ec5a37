/**
 * What a client's operation fails with, in two families: what may succeed when it is tried again, and what will not.
 * A broker's error code keeps its Kafka name as `reason`; what only the client knows has a name of its own.
 */
import { errorName, isRetriable, type ErrorName } from "../protocol/ErrorCode.ts"

/**
 * - `DISCONNECTED`: no connection to the broker, or it ended before the answer; what was asked may have happened.
 * - `TIMED_OUT`: no answer, metadata, memory or coordinator within the operation's time.
 * - `UNSUPPORTED`: the broker speaks no version of what is needed.
 * - `BUFFER_EXHAUSTED`: `buffer.memory` had no room within `max.block.ms`.
 * - `SERIALIZATION`: a key or value could not be encoded or decoded.
 * - `COMPRESSION`: the codec failed, so the batch was not sent; what it threw is the error's `cause`.
 * - `INVALID_ARGUMENT`: what was asked makes no sense; nothing was sent.
 * - `CLOSED`: the client was closed before or meanwhile.
 * - `CORRUPT`: bytes of a broker's answer are not what they should be.
 */
export type ClientReason =
  | "DISCONNECTED"
  | "TIMED_OUT"
  | "UNSUPPORTED"
  | "BUFFER_EXHAUSTED"
  | "SERIALIZATION"
  | "COMPRESSION"
  | "INVALID_ARGUMENT"
  | "CLOSED"
  | "CORRUPT"

/** `UNKNOWN(999)`-like strings come from brokers newer than Kafka 4.3. */
export type ErrorReason = ClientReason | ErrorName | (string & {})

/** The same operation may succeed later; the client has already retried it as its configuration says. */
export class RetriableError extends Error {
  readonly _tag = "RetriableError"
  readonly reason: ErrorReason
  /** A broker's error code; undefined when the client itself says it. */
  readonly code: number | undefined
  /** The broker's own words, where it sent some. */
  readonly detail: string | undefined
  constructor(reason: ErrorReason, message: string, code?: number, detail?: string) {
    super(message)
    this.reason = reason
    this.code = code
    this.detail = detail
  }
}

/** Trying again changes nothing: something has to be done first; the message says what. */
export class FatalError extends Error {
  readonly _tag = "FatalError"
  readonly reason: ErrorReason
  /** A broker's error code; undefined when the client itself says it. */
  readonly code: number | undefined
  /** The broker's own words, where it sent some. */
  readonly detail: string | undefined
  constructor(reason: ErrorReason, message: string, code?: number, detail?: string) {
    super(message)
    this.reason = reason
    this.code = code
    this.detail = detail
  }
}

export type ClientError = RetriableError | FatalError

/** A broker's answer as an error of its family. `context` says what was tried: "produce to orders-3". */
export const errorOfCode = (code: number, context: string, detail?: string | null): ClientError => {
  const name = errorName(code)
  const words = detail === null || detail === "" ? undefined : detail
  const message = `${context}: ${name}${words === undefined ? "" : ` (${words})`}`
  return isRetriable(code) ? new RetriableError(name, message, code, words) : new FatalError(name, message, code, words)
}
