/**
 * Cuts a stream of bytes into frames: int32 size, then that many bytes.
 *
 * A frame that lies whole in the bytes pushed is given as a view on them; only a frame that spans pushes is copied,
 * into a buffer that grows with what has arrived: a peer that claims 100 MiB and sends ten bytes costs a few KiB.
 */
import { FrameBuffers } from "./FrameBuffers.ts"
import { malformed } from "./ProtocolError.ts"

export interface FrameReaderOptions {
  /** Largest size accepted, in bytes (`socket.request.max.bytes`). */
  readonly maxBytes: number
  /**
   * Takes a frame without its size. The view is the receiver's until `push` returns, and the callback that it runs in, as
   * the bytes pushed are. It must not push.
   */
  readonly onFrame: (frame: Uint8Array, isOwn: boolean) => void
  /** Shared with other readers of the same loop; default: its own. */
  readonly buffers?: FrameBuffers
  /**
   * True: a frame that spans pushes has a buffer to itself and becomes the receiver's for good (`isOwn`), so what keeps
   * views on it need not copy it once more. Default false: buffers are used again.
   */
  readonly handOver?: boolean
  /** Makes the buffers that are handed over, with whatever is in them. Default: zeroes. */
  readonly allocate?: ((bytes: number) => Uint8Array) | undefined
}

/** First allocation for a frame that spans pushes, in bytes. */
const FIRST_BUFFER_BYTES = 4096

/**
 * Room that is asked for, as a multiple of what has arrived; buffers are rounded up to at most twice that. Few copies on
 * the way to a large frame.
 */
const GROWTH = 4

/** What a reader without buffers of others keeps for its next frame, in bytes. */
const OWN_BUFFERS_BYTES: number = 256 * 1024

/**
 * A frame that is handed over gets all its room at once up to here, in bytes: memory that nothing was written to costs
 * address space alone. A larger one grows with what arrives.
 */
const ROOM_AT_ONCE_BYTES: number = 16 * 1024 * 1024

/** Where so many bytes of a frame are missing, a host had better read them into their place. In bytes. */
const SPACE_FROM_BYTES: number = 64 * 1024

const NOTHING: Uint8Array = new Uint8Array(0)

const zeroes = (bytes: number): Uint8Array => new Uint8Array(bytes)

const SIZE_BYTES = 4

export class FrameReader {
  readonly #maxBytes: number
  readonly #onFrame: (frame: Uint8Array, isOwn: boolean) => void
  readonly #buffers: FrameBuffers
  readonly #handOver: boolean
  readonly #allocate: (bytes: number) => Uint8Array
  /** Start of the frame that is incomplete, its size included. */
  #buffer: Uint8Array = NOTHING
  #buffered = 0
  /** Holds a frame that the `push` that runs has given. */
  #lent: Uint8Array | undefined

  constructor(options: FrameReaderOptions) {
    this.#maxBytes = options.maxBytes
    this.#onFrame = options.onFrame
    this.#buffers = options.buffers ?? new FrameBuffers(OWN_BUFFERS_BYTES)
    this.#handOver = options.handOver ?? false
    this.#allocate = options.allocate ?? zeroes
  }

  /** Bytes of a frame that is not complete yet, its size included. */
  get pendingBytes(): number {
    return this.#buffered
  }

  /** Bytes of memory kept for incomplete frames. */
  get heldBytes(): number {
    return this.#buffer.length
  }

  /**
   * Where the rest of an incomplete large frame belongs. A host may read into it and push what it has read, the beginning
   * of it, which is then not copied. Undefined: nothing of the kind is under way.
   */
  get space(): Uint8Array | undefined {
    const from = this.#buffered
    if (from < SIZE_BYTES) return undefined
    const end = Math.min(SIZE_BYTES + this.#size(this.#buffer, 0), this.#buffer.length)
    return end - from < SPACE_FROM_BYTES ? undefined : view(this.#buffer, from, end)
  }

  /**
   * Gives every frame that these bytes complete.
   * @throws ProtocolError on a size below 0 or above the limit; the stream has no next frame then
   */
  push(bytes: Uint8Array): void {
    let position = this.#buffered === 0 ? 0 : this.#complete(bytes)
    let total = Infinity
    while (bytes.length - position >= SIZE_BYTES) {
      total = SIZE_BYTES + this.#size(bytes, position)
      const end = position + total
      if (end > bytes.length) break
      this.#onFrame(view(bytes, position + SIZE_BYTES, end), false)
      position = end
      total = Infinity
    }
    if (position < bytes.length) this.#keep(bytes, position, bytes.length, total)
    const lent = this.#lent
    if (lent === undefined) return
    this.#lent = undefined
    this.#buffers.give(lent)
  }

  /** Gives up the incomplete frame: no more is pushed. */
  close(): void {
    if (!this.#handOver && this.#buffer !== NOTHING) this.#buffers.give(this.#buffer)
    this.#buffer = NOTHING
    this.#buffered = 0
  }

  /** Goes on with the incomplete frame; gives the position in `bytes` after what it took. */
  #complete(bytes: Uint8Array): number {
    let position = 0
    if (this.#buffered < SIZE_BYTES) {
      position = Math.min(bytes.length, SIZE_BYTES - this.#buffered)
      this.#keep(bytes, 0, position)
      if (this.#buffered < SIZE_BYTES) return position
    }
    const total = SIZE_BYTES + this.#size(this.#buffer, 0)
    const taken = Math.min(bytes.length - position, total - this.#buffered)
    this.#keep(bytes, position, position + taken, total)
    if (this.#buffered < total) return position + taken
    const frame = view(this.#buffer, SIZE_BYTES, total)
    // Not given back before the push ends: whoever was given frames may look at all of them then.
    if (!this.#handOver) this.#lent = this.#buffer
    this.#buffer = NOTHING
    this.#buffered = 0
    this.#onFrame(frame, this.#handOver)
    return position + taken
  }

  #size(bytes: Uint8Array, at: number): number {
    const size = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
    if (size < 0 || size > this.#maxBytes) {
      throw malformed(`a frame of ${size} bytes, allowed are 0 to ${this.#maxBytes}`)
    }
    return size
  }

  /** Copies `[start, end)` behind what is kept; `total` is where the growth of the buffer may end. */
  #keep(bytes: Uint8Array, start: number, end: number, total: number = Infinity): void {
    const needed = this.#buffered + end - start
    if (needed > this.#buffer.length) {
      const atOnce = this.#handOver && total <= ROOM_AT_ONCE_BYTES ? total : Math.max(FIRST_BUFFER_BYTES, GROWTH * needed)
      const room = Math.max(needed, Math.min(total, atOnce))
      const larger = this.#handOver ? this.#allocate(room) : this.#buffers.take(room)
      larger.set(view(this.#buffer, 0, this.#buffered))
      if (!this.#handOver && this.#buffer !== NOTHING) this.#buffers.give(this.#buffer)
      this.#buffer = larger
    }
    const isInPlace = bytes.buffer === this.#buffer.buffer &&
      bytes.byteOffset + start === this.#buffer.byteOffset + this.#buffered
    if (!isInPlace) this.#buffer.set(view(bytes, start, end), this.#buffered)
    this.#buffered = needed
  }
}

const view = (bytes: Uint8Array, start: number, end: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)
