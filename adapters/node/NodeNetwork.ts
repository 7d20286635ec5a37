/**
 * Network on `node:net`. Reads go into one buffer that all connections share: the callback is over before libuv reads
 * again, so a read costs no allocation but the view, 2.7 times less CPU than `data` events.
 */
import * as net from "node:net"
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
import { allocate, keepFreedMemory } from "../shared/Memory.ts"
import { toNetworkError } from "../shared/NetworkErrors.ts"
import { SENDFILE_FROM_BYTES } from "../shared/SendQueue.ts"
import { showAddress, SocketConnection, type SocketConnectionOptions } from "../shared/SocketConnection.ts"
import { nodeLibc } from "./NodeLibc.ts"

const READ_BUFFER_BYTES = 256 * 1024
const DEFAULT_BACKLOG = 50

/** On Windows a read is posted together with its buffer, so there each connection has its own. */
const shared = process.platform === "win32" ? undefined : new Uint8Array(READ_BUFFER_BYTES)
/** No Buffer: `slice` of one would be a view where the core expects a copy. */
const readBuffer = (): Uint8Array => shared ?? new Uint8Array(READ_BUFFER_BYTES)

/** What libuv's stream handle has and the types of `net` do not tell. */
interface Handle {
  readonly fd?: number
}
const handleOf = (socket: net.Socket): Handle | null | undefined =>
  (socket as unknown as { readonly _handle?: Handle | null })._handle

class NodeConnection extends SocketConnection {
  private readonly socket: net.Socket

  constructor(socket: net.Socket, options: SocketConnectionOptions) {
    super(options)
    this.socket = socket
    socket.on("end", () => this.receivedEnd())
    socket.on("error", (cause) => this.kill(toNetworkError(cause, "connection", "Reset")))
    socket.on("close", () => this.reportClosed())
  }

  protected descriptor(): number {
    return this.socket.destroyed ? -1 : handleOf(this.socket)?.fd ?? -1
  }

  protected stopReading(): void {
    this.socket.pause()
  }

  protected startReading(): void {
    this.socket.resume()
  }

  protected closeSending(): void {
    this.socket.end()
  }

  protected closeSocket(dropping: boolean): void {
    if (dropping) this.socket.resetAndDestroy()
    else this.socket.destroy()
  }

  // One bound function, no closure per write. An error comes by the socket's event as well.
  private readonly onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null) this.queue.written()
  }

  write(chunks: ReadonlyArray<Uint8Array>): boolean {
    const last = chunks.length - 1
    if (last === 0) this.socket.write(chunks[0]!, this.onWritten)
    else {
      this.socket.cork()
      for (let i = 0; i < last; i++) this.socket.write(chunks[i]!)
      this.socket.write(chunks[last]!, this.onWritten)
      this.socket.uncork() // one writev
    }
    return false
  }

  readonly onRead = (bytes: Uint8Array): void => this.received(bytes)

  /** What the handler offers for the next read, else `usual`. */
  bufferOr(usual: Uint8Array): Uint8Array {
    return this.wanted() ?? usual
  }
}

/** The `onread` option of a socket: it reads into a buffer that all share, or where its connection's handler wants it. */
const reading = (connection: () => NodeConnection | undefined): unknown => {
  const usual = readBuffer()
  return {
    // Asked at first and after each read.
    buffer: () => connection()?.bufferOr(usual) ?? usual,
    callback: (length: number, buffer: Uint8Array) => {
      connection()!.onRead(new Uint8Array(buffer.buffer, buffer.byteOffset, length))
      return true
    }
  }
}

const addressOf = (host: string | undefined, port: number | undefined): Address => ({ host: host ?? "", port: port ?? 0 })

/** `libc`: sendfile when it has one. */
export const make = (libc: Libc): Network => {
  const listen = (
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Listener, NetworkError, Scope> =>
    Effect.acquireRelease(
      Effect.callback<net.Server, NetworkError>((resume) => {
        const server = net.createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, (accepted) => {
          // `onread` is an option of a socket's making only: a second socket takes over the paused handle.
          const handle = handleOf(accepted)
          if (handle === null || handle === undefined) return void accepted.destroy()
          let connection: NodeConnection | undefined = undefined
          const socket = new net.Socket({
            handle,
            allowHalfOpen: true,
            onread: reading(() => connection)
          } as unknown as net.SocketConstructorOpts)
          ;(accepted as unknown as { _handle: null })._handle = null
          connection = new NodeConnection(socket, {
            remote: addressOf(socket.remoteAddress, socket.remotePort),
            local: addressOf(socket.localAddress, socket.localPort),
            libc
          })
          connection.attach(accept(connection))
        })
        const fail = (cause: Error): void =>
          resume(Effect.fail(toNetworkError(cause, `listen on ${showAddress(options)}`, "AddressUnavailable")))
        server.once("error", fail)
        server.listen(
          {
            port: options.port,
            backlog: options.backlog ?? DEFAULT_BACKLOG,
            ...(options.host === "" ? {} : { host: options.host })
          },
          () => {
            server.off("error", fail)
            server.on("error", () => {}) // an accept that failed (no descriptors): that connection's loss alone
            resume(Effect.succeed(server))
          }
        )
      }),
      (server) => Effect.sync(() => void server.close())
    ).pipe(
      Effect.map((server) => {
        const bound = server.address() as net.AddressInfo
        return { address: { host: options.host, port: bound.port } }
      })
    )

  const connect = (
    address: Address,
    handle: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Connection, NetworkError> =>
    Effect.callback<Connection, NetworkError>((resume) => {
      keepFreedMemory()
      let connection: NodeConnection | undefined = undefined
      const socket = net.connect({
        host: address.host,
        port: address.port,
        noDelay: true,
        allowHalfOpen: true,
        onread: reading(() => connection)
      } as unknown as net.NetConnectOpts)
      const fail = (cause: Error): void =>
        resume(Effect.fail(toNetworkError(cause, `connect to ${showAddress(address)}`)))
      socket.once("error", fail)
      socket.once("connect", () => {
        socket.off("error", fail)
        connection = new NodeConnection(socket, {
          remote: addressOf(socket.remoteAddress, socket.remotePort),
          local: addressOf(socket.localAddress, socket.localPort),
          libc
        })
        connection.attach(handle(connection))
        resume(Effect.succeed(connection))
      })
      return Effect.sync(() => {
        socket.on("error", () => {})
        socket.destroy()
      })
    })

  return {
    listen,
    connect,
    allocate,
    transfer: libc.sendfile === undefined ? "copy" : `sendfile from ${SENDFILE_FROM_BYTES} bytes`
  }
}

/** `OTTLA_SENDFILE=off` copies always. */
export const layer: Layer.Layer<Network> = Layer.sync(Network, () =>
  make(process.env["OTTLA_SENDFILE"] === "off" ? noLibc : nodeLibc()))
