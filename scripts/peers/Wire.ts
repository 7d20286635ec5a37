/**
 * A raw client of Kafka's protocol over node:net: whole frames out, whole frames in, nothing retried, nothing checked.
 * What is sent may be wrong on purpose, so this client must not know better.
 *
 * | offset | size | request frame                          |
 * |--------|------|----------------------------------------|
 * | 0      | 4    | size of what follows                   |
 * | 4      | 2    | api key                                |
 * | 6      | 2    | api version                            |
 * | 8      | 4    | correlation id                         |
 * | 12     | 2+n  | client id, then tags in header v2      |
 */
import { connect, type Socket } from "node:net"

/** What became of a request: a frame without its size, the end of the connection, or neither within the time. */
export type Outcome =
  | { readonly _tag: "Answer"; readonly frame: Uint8Array }
  | { readonly _tag: "Closed" }
  | { readonly _tag: "Timeout" }

const closed: Outcome = { _tag: "Closed" }
const timedOut: Outcome = { _tag: "Timeout" }

export class WireClient {
  readonly #socket: Socket
  #pending: Array<Buffer> = []
  #pendingBytes = 0
  #frames: Array<Uint8Array> = []
  #waiters: Array<(outcome: Outcome) => void> = []
  #isClosed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on("data", (bytes: Buffer) => this.#receive(bytes))
    socket.on("error", () => undefined)
    socket.on("close", () => {
      this.#isClosed = true
      for (const waiter of this.#waiters.splice(0)) waiter(closed)
    })
  }

  static connect(host: string, port: number): Promise<WireClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true })
      socket.once("error", reject)
      socket.once("connect", () => {
        socket.off("error", reject)
        resolve(new WireClient(socket))
      })
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  #receive(bytes: Buffer): void {
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    while (this.#pendingBytes >= 4) {
      let head = this.#pending[0]!
      if (head.length < 4) head = this.#join()
      const size = head.readInt32BE(0)
      if (this.#pendingBytes < 4 + size) return
      const all = head.length >= 4 + size ? head : this.#join()
      const frame = all.subarray(4, 4 + size)
      const rest = all.subarray(4 + size)
      this.#pending[0] = rest
      if (rest.length === 0) this.#pending.shift()
      this.#pendingBytes -= 4 + size
      const waiter = this.#waiters.shift()
      if (waiter === undefined) this.#frames.push(frame)
      else waiter({ _tag: "Answer", frame })
    }
  }

  #join(): Buffer {
    const all = Buffer.concat(this.#pending)
    this.#pending = [all]
    return all
  }

  /** Sends bytes as they are. */
  send(bytes: Uint8Array): void {
    if (!this.#isClosed) this.#socket.write(bytes)
  }

  /** The next frame that arrives. Frames are given to callers in the order of their calls. */
  receive(timeoutMs = 30_000): Promise<Outcome> {
    const frame = this.#frames.shift()
    if (frame !== undefined) return Promise.resolve({ _tag: "Answer", frame })
    if (this.#isClosed) return Promise.resolve(closed)
    return new Promise((resolve) => {
      const waiter = (outcome: Outcome): void => {
        clearTimeout(timer)
        resolve(outcome)
      }
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        resolve(timedOut)
      }, timeoutMs)
      this.#waiters.push(waiter)
    })
  }

  /** Half of a graceful end: no more is sent, answers may still come. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** Puts its size before a frame. */
export const sized = (frame: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(4 + frame.length)
  new DataView(bytes.buffer).setInt32(0, frame.length)
  bytes.set(frame, 4)
  return bytes
}

/** Whether a broker at that port answers Metadata with at least one broker in it. Bytes by hand: no codec needed. */
export const answers = async (host: string, port: number): Promise<boolean> => {
  let client: WireClient | undefined
  try {
    client = await WireClient.connect(host, port)
    const frame = Buffer.alloc(4 + 10 + 4)
    frame.writeInt32BE(14, 0)
    frame.writeInt16BE(3, 4) // Metadata
    frame.writeInt16BE(1, 6)
    frame.writeInt32BE(1, 8)
    frame.writeInt16BE(-1, 12) // no client id
    frame.writeInt32BE(0, 14) // no topics
    client.send(frame)
    const outcome = await client.receive(5000)
    return outcome._tag === "Answer" && outcome.frame.length > 8 && Buffer.from(outcome.frame).readInt32BE(4) > 0
  } catch {
    return false
  } finally {
    client?.destroy()
  }
}
