/**
 * Ordered byte streams between processes. Data arrives by callback, because an effect per read costs more than the
 * read; establishing and listening are effects. Everything is on one event loop: callbacks never run inside a call
 * that core makes to a connection (`send`, `close`, …), so state needs no locks.
 *
 * Laws (networkLaws of `ottla/testing`): bytes arrive in order and unchanged, as bytes or as file slices alike, whatever
 * the reader's pace; `onClosed` comes exactly once and last; every slice given to `send` is released exactly once;
 * nothing sent on one connection ever reaches another, not after a reset either.
 */
import * as Context from "effect/Context"
import type { Effect } from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Payload } from "../model/Payload.ts"

export type NetworkErrorKind = "AddressInUse" | "AddressUnavailable" | "Refused" | "Reset" | "Unreachable" | "TimedOut" | "Io"

export class NetworkError extends Error {
  readonly _tag = "NetworkError"
  readonly kind: NetworkErrorKind
  constructor(kind: NetworkErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** One end of a stream. */
export interface Connection {
  readonly remote: Address
  readonly local: Address
  /** Queues payloads behind what is queued. After a close they are released and dropped. */
  send(payloads: ReadonlyArray<Payload>): void
  /** Bytes given to `send` that the host has not taken yet: what a bound on a slow reader looks at. */
  readonly queuedBytes: number
  /** Stops and restarts reading; a call to `onData` may still come after `pause` for what was read already. */
  pause(): void
  resume(): void
  /** Closes once what is queued is sent; no more is read. */
  end(): void
  /** Closes at once; what is queued is dropped and released. */
  destroy(): void
}

export interface ConnectionHandler {
  /** `bytes` are the handler's only until it returns; it may change them in place. */
  onData(bytes: Uint8Array): void
  /**
   * Memory of the handler's own for the bytes that come next, at least one; undefined: the host's. A host may ask before
   * it reads, and then read straight into it: what `onData` gets next is the filled beginning of that memory, which stays
   * the handler's. It may as well come in memory of the host's, or the memory of an earlier answer may be filled: only
   * the bytes given to `onData` count.
   */
  readBuffer?(): Uint8Array | undefined
  /** All that was queued has been taken by the host. */
  onDrained(): void
  /** The end, whoever caused it; `error` unless it was orderly. */
  onClosed(error: NetworkError | undefined): void
}

export interface ListenOptions extends Address {
  /** Connections that may wait to be accepted. Default 50 (`socket.listen.backlog.size`). */
  readonly backlog?: number
}

export interface Listener {
  /** With the port that was taken when 0 was asked for. */
  readonly address: Address
}

export interface Network {
  /** Accepts connections until the scope ends, which closes the listener and not its connections. */
  readonly listen: (
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler
  ) => Effect<Listener, NetworkError, Scope>
  /** The caller ends the connection; interrupting gives up connecting. */
  readonly connect: (
    address: Address,
    handle: (connection: Connection) => ConnectionHandler
  ) => Effect<Connection, NetworkError>
  /** Memory with whatever was in it, for a handler's `readBuffer`: cheaper than zeroes. Without it there are only zeroes. */
  readonly allocate?: (bytes: number) => Uint8Array
  /** How file slices are sent, for the line a broker prints at start: for example "sendfile from 16384 bytes" or "copy". */
  readonly transfer: string
}
export const Network: Context.Service<Network, Network> = Context.Service("ottla/Network")
