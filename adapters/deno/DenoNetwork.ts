/** Network on `Deno.listen` and `Deno.connect`: a loop of reads into one buffer per connection, writes one at a time. */
import process from "node:process"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import {
  type Address,
  type Connection,
  type ConnectionHandler,
  type Listener,
  type ListenOptions,
  Network,
  type NetworkError
} from "../../core/ports/Network.ts"
import { type Libc, noLibc } from "../shared/Libc.ts"
import { keepFreedMemory } from "../shared/Memory.ts"
import { onAnyHost, toNetworkError } from "../shared/NetworkErrors.ts"
import { SENDFILE_FROM_BYTES } from "../shared/SendQueue.ts"
import { showAddress, SocketConnection, type SocketConnectionOptions } from "../shared/SocketConnection.ts"
import { denoLibc } from "./DenoLibc.ts"

/** A pending read holds its buffer, so each connection has its own; pages that no read filled take no memory. */
const READ_BUFFER_BYTES = 256 * 1024
const DEFAULT_BACKLOG = 50
/** Before accepting again after an accept failed (no descriptors left), in ms. */
const ACCEPT_RETRY_MS = 100

/** What is used of Deno's globals. */
interface DenoAddress {
  readonly hostname: string
  readonly port: number
}
interface DenoConn {
  readonly localAddr: DenoAddress
  readonly remoteAddr: DenoAddress
  /** Null at the peer's end. */
  read(target: Uint8Array): Promise<number | null>
  write(bytes: Uint8Array): Promise<number>
  closeWrite(): Promise<void>
  close(): void
  setNoDelay(on: boolean): void
}
interface DenoListener {
  readonly addr: DenoAddress
  accept(): Promise<DenoConn>
  close(): void
}
interface DenoGlobal {
  readonly listen: (options: DenoAddress & { readonly tcpBacklog: number }) => DenoListener
  readonly connect: (options: DenoAddress & { readonly signal?: AbortSignal }) => Promise<DenoConn>
}
const deno = (): DenoGlobal => (globalThis as unknown as { readonly Deno: DenoGlobal }).Deno

/**
 * The descriptor of an accepted connection, under a symbol of Deno's own; it stays after a close, when it may be
 * another's. A connection that we made has none.
 */
const descriptorOf = (conn: DenoConn): number => {
  for (const symbol of Object.getOwnPropertySymbols(conn)) {
    if (symbol.description === "Deno.internal.fd") {
      const fd = (conn as unknown as Record<symbol, unknown>)[symbol]
      return typeof fd === "number" ? fd : -1
    }
  }
  return -1
}

class DenoConnection extends SocketConnection {
  private readonly conn: DenoConn
  private readonly fd: number
  private paused = false
  private wake: (() => void) | undefined

  constructor(conn: DenoConn, fd: number, options: SocketConnectionOptions) {
    super(options)
    this.conn = conn
    this.fd = fd
  }

  /** Only we close the socket, and `dead` is set in the same turn. */
  protected descriptor(): number {
    return this.dead ? -1 : this.fd
  }

  protected stopReading(): void {
    this.paused = true
  }

  protected startReading(): void {
    this.paused = false
    this.wake?.()
    this.wake = undefined
  }

  protected closeSending(): void {
    this.conn.closeWrite().catch((cause: unknown) => this.broken(cause))
  }

  protected closeSocket(): void {
    this.conn.close()
    this.startReading() // ends a loop that waits for a resume
    queueMicrotask(() => this.reportClosed())
  }

  private broken(cause: unknown): void {
    this.kill(toNetworkError(cause, "connection", "Reset"))
  }

  write(chunks: ReadonlyArray<Uint8Array>): boolean {
    void this.writeAll(chunks)
    return false
  }

  private async writeAll(chunks: ReadonlyArray<Uint8Array>): Promise<void> {
    try {
      for (const chunk of chunks) {
        let written = await this.conn.write(chunk)
        while (written < chunk.length) {
          if (this.dead) return
          written += await this.conn.write(chunk.subarray(written))
        }
      }
    } catch (cause) {
      return this.broken(cause)
    }
    this.queue.written()
  }

  private resumed(): Promise<void> | undefined {
    return this.paused && !this.dead ? new Promise((resolve) => this.wake = resolve) : undefined
  }

  /** Ends with the peer's end or the connection's. */
  async readLoop(): Promise<void> {
    const usual = new Uint8Array(READ_BUFFER_BYTES)
    while (!this.dead) {
      if (this.paused) await this.resumed()
      const buffer = this.wanted() ?? usual
      let length: number | null
      try {
        length = this.dead ? null : await this.conn.read(buffer)
      } catch (cause) {
        return this.broken(cause)
      }
      // What a read brought that was under way at a pause waits for the resume.
      if (this.paused) await this.resumed()
      if (length === null) return this.receivedEnd()
      this.received(buffer.subarray(0, length))
    }
  }
}

const addressOf = ({ hostname, port }: DenoAddress): Address => ({ host: hostname, port })

/** `libc`: sendfile when it has one. */
export const make = (libc: Libc): Network => {
  const open = (conn: DenoConn, handle: (connection: Connection) => ConnectionHandler): DenoConnection => {
    conn.setNoDelay(true)
    const fd = descriptorOf(conn)
    const connection = new DenoConnection(conn, fd, {
      remote: addressOf(conn.remoteAddr),
      local: addressOf(conn.localAddr),
      libc: fd < 0 ? noLibc : libc
    })
    connection.attach(handle(connection))
    void connection.readLoop()
    return connection
  }

  const acceptLoop = async (
    server: DenoListener,
    isClosed: () => boolean,
    accept: (connection: Connection) => ConnectionHandler
  ): Promise<void> => {
    while (!isClosed()) {
      let conn: DenoConn
      try {
        conn = await server.accept()
      } catch {
        if (!isClosed()) await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS))
        continue
      }
      open(conn, accept)
    }
  }

  const listen = (
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Listener, NetworkError, Scope> =>
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          const server = onAnyHost(options.host, (hostname) =>
            deno().listen({ hostname, port: options.port, tcpBacklog: options.backlog ?? DEFAULT_BACKLOG }))
          let closed = false
          const accepting = acceptLoop(server, () => closed, accept)
          return {
            port: server.addr.port,
            close: () => {
              closed = true
              server.close()
              return accepting // the port is taken until the accept under way has ended
            }
          }
        },
        catch: (cause) => toNetworkError(cause, `listen on ${showAddress(options)}`, "AddressUnavailable")
      }),
      (server) => Effect.promise(server.close)
    ).pipe(Effect.map((server) => ({ address: { host: options.host, port: server.port } })))

  const connect = (
    address: Address,
    handle: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Connection, NetworkError> =>
    Effect.callback<Connection, NetworkError>((resume) => {
      keepFreedMemory()
      let interrupted = false
      deno().connect({ hostname: address.host, port: address.port }).then(
        (conn) => {
          if (interrupted) conn.close()
          else resume(Effect.succeed(open(conn, handle)))
        },
        // a name that does not resolve comes without a code
        (cause: unknown) =>
          resume(Effect.fail(toNetworkError(cause, `connect to ${showAddress(address)}`, "Unreachable")))
      )
      return Effect.sync(() => {
        interrupted = true
      })
    })

  return {
    listen,
    connect,
    transfer: libc.sendfile === undefined ? "copy" : `sendfile from ${SENDFILE_FROM_BYTES} bytes`
  }
}

/** `OTTLA_SENDFILE=off` copies always. */
export const layer: Layer.Layer<Network> = Layer.sync(Network, () =>
  make(process.env["OTTLA_SENDFILE"] === "off" ? noLibc : denoLibc()))
