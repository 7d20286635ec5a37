/** Network on `Bun.listen` and `Bun.connect`, whose write takes what the kernel takes and says how much that was. */
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
import { onAnyHost, toNetworkError } from "../shared/NetworkErrors.ts"
import { SENDFILE_FROM_BYTES } from "../shared/SendQueue.ts"
import { showAddress, SocketConnection, type SocketConnectionOptions } from "../shared/SocketConnection.ts"
import { bunLibc } from "./BunLibc.ts"

/** What is used of Bun's globals. */
interface BunSocket {
  data: BunConnection | undefined
  /** -1 once closed. */
  readonly fd: number
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
  /** @returns bytes taken, negative when closed */
  write(bytes: Uint8Array, position: number, length: number): number
  flush(): void
  /** Ends the sending side. */
  shutdown(): void
  end(): void
  /** Closes at once, with a reset. */
  terminate(): void
  pause(): void
  resume(): void
  setNoDelay(on: boolean): void
}
interface SocketHandlers {
  readonly binaryType: "uint8array"
  readonly open: (socket: BunSocket) => void
  readonly data: (socket: BunSocket, bytes: Uint8Array) => void
  readonly drain: (socket: BunSocket) => void
  readonly end: (socket: BunSocket) => void
  readonly close: (socket: BunSocket, cause: unknown) => void
  readonly error: (socket: BunSocket, cause: unknown) => void
  readonly connectError?: (socket: BunSocket, cause: unknown) => void
}
interface SocketOptions {
  readonly hostname: string
  readonly port: number
  readonly allowHalfOpen: true
  readonly exclusive?: true
  readonly backlog?: number
  readonly socket: SocketHandlers
}
interface BunListener {
  readonly port: number
  stop(closeConnections: boolean): void
}
interface BunGlobal {
  readonly listen: (options: SocketOptions) => BunListener
  readonly connect: (options: SocketOptions) => Promise<BunSocket>
}
const bun = (): BunGlobal => (globalThis as unknown as { readonly Bun: BunGlobal }).Bun

class BunConnection extends SocketConnection {
  private readonly socket: BunSocket
  /** What is being written, and how far it is. */
  private chunks: ReadonlyArray<Uint8Array> = []
  private index = 0
  private position = 0
  private unflushed = false
  /** Bun's close event comes inside the call that closes; the handler's comes after it. */
  private closing = false

  constructor(socket: BunSocket, options: SocketConnectionOptions) {
    super(options)
    this.socket = socket
  }

  protected descriptor(): number {
    if (this.unflushed) {
      this.unflushed = false
      this.socket.flush()
    }
    return this.socket.fd
  }

  protected stopReading(): void {
    this.socket.pause()
  }

  protected startReading(): void {
    this.socket.resume()
  }

  protected closeSending(): void {
    this.socket.shutdown()
  }

  protected closeSocket(dropping: boolean): void {
    this.closing = true
    if (dropping) this.socket.terminate()
    else this.socket.end()
    this.closing = false
  }

  write(chunks: ReadonlyArray<Uint8Array>): boolean {
    this.chunks = chunks
    this.index = 0
    this.position = 0
    this.unflushed = true
    return this.push()
  }

  /** @returns whether the kernel has taken all */
  private push(): boolean {
    while (this.index < this.chunks.length) {
      const chunk = this.chunks[this.index]!
      const left = chunk.length - this.position
      const taken = this.socket.write(chunk, this.position, left)
      if (taken < left) {
        this.position += Math.max(taken, 0) // closed: its event comes
        return false
      }
      this.index++
      this.position = 0
    }
    this.chunks = []
    return true
  }

  onDrain(): void {
    if (!this.dead && this.chunks.length > 0 && this.push()) this.queue.written()
  }
  onBytes(bytes: Uint8Array): void {
    this.received(bytes)
  }
  onEnd(): void {
    this.receivedEnd()
  }
  /** Bun also brings here what a handler throws: that is a defect, and not the socket's error. */
  onError(cause: unknown): void {
    if ((cause as { readonly code?: unknown } | null)?.code === undefined) {
      setImmediate(() => {
        throw cause
      })
    }
    this.kill(toNetworkError(cause, "connection", "Reset"))
  }
  /** A reset is told only here, and not always with a cause. */
  onClose(cause: unknown): void {
    if (this.closing) return queueMicrotask(() => this.reportClosed())
    this.reportClosed(cause === undefined || cause === null ? undefined : toNetworkError(cause, "connection", "Reset"))
  }
}

const socketHandlers = (open: (socket: BunSocket) => void): SocketHandlers => ({
  binaryType: "uint8array",
  open,
  data: (socket, bytes) => socket.data?.onBytes(bytes),
  drain: (socket) => socket.data?.onDrain(),
  end: (socket) => socket.data?.onEnd(),
  close: (socket, cause) => socket.data?.onClose(cause),
  error: (socket, cause) => socket.data?.onError(cause)
})

/** `libc`: sendfile when it has one. */
export const make = (libc: Libc): Network => {
  const connectionOf = (socket: BunSocket): BunConnection => {
    socket.setNoDelay(true)
    const connection = new BunConnection(socket, {
      remote: { host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 },
      local: { host: socket.localAddress ?? "", port: socket.localPort ?? 0 },
      libc
    })
    socket.data = connection
    return connection
  }

  const listen = (
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Listener, NetworkError, Scope> =>
    Effect.acquireRelease(
      Effect.try({
        try: () =>
          onAnyHost(options.host, (hostname) =>
            bun().listen({
              hostname,
              port: options.port,
              allowHalfOpen: true,
              exclusive: true, // else two brokers could share a port
              ...(options.backlog === undefined ? {} : { backlog: options.backlog }),
              socket: socketHandlers((socket) => {
                const connection = connectionOf(socket)
                connection.attach(accept(connection))
              })
            })),
        catch: (cause) => toNetworkError(cause, `listen on ${showAddress(options)}`, "AddressUnavailable")
      }),
      (server) => Effect.sync(() => server.stop(false))
    ).pipe(Effect.map((server) => ({ address: { host: options.host, port: server.port } })))

  const connect = (
    address: Address,
    handle: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Connection, NetworkError> =>
    Effect.callback<Connection, NetworkError>((resume) => {
      let interrupted = false
      const fail = (cause: unknown): void =>
        resume(Effect.fail(toNetworkError(cause, `connect to ${showAddress(address)}`)))
      bun().connect({
        hostname: address.host,
        port: address.port,
        allowHalfOpen: true,
        socket: {
          ...socketHandlers((socket) => {
            if (interrupted) return socket.terminate()
            const connection = connectionOf(socket)
            connection.attach(handle(connection))
            resume(Effect.succeed(connection))
          }),
          connectError: (_socket, cause) => fail(cause)
        }
      }).catch(fail)
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
  make(process.env["OTTLA_SENDFILE"] === "off" ? noLibc : bunLibc()))
