/** Why a connection gave no answer. */

/**
 * - `Unreachable`: nothing was connected.
 * - `Disconnected`: the connection ended first; what was asked may have happened.
 * - `TimedOut`: no answer in time; ends the connection too.
 * - `UnsupportedVersion`: no common version of the API, or none that can carry the request; nothing was sent.
 * - `InvalidRequest`: the request cannot be written; nothing was sent.
 * - `Malformed`: the peer's bytes are not an answer; ends the connection too.
 */
export type RpcErrorKind =
  | "Unreachable"
  | "Disconnected"
  | "TimedOut"
  | "UnsupportedVersion"
  | "InvalidRequest"
  | "Malformed"

export class RpcError extends Error {
  readonly _tag = "RpcError"
  readonly kind: RpcErrorKind
  constructor(kind: RpcErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}
