/**
 * What is queued on one connection, and how it leaves: the same on the three runtimes.
 *
 * Payloads that are queued within one turn leave in one write: small ones are gathered into one buffer, large ones go
 * by reference. A large file slice goes by sendfile(2) straight from the page cache; a small one, or any when there
 * is no sendfile, is copied piece by piece, and a piece is read only once the host has taken the one before, so a slow
 * reader never makes us hold a file in memory.
 *
 * A slice's lease ends when the host has taken it. After a sendfile the kernel sends from the file's own pages for as long
 * as the reader takes: whoever wrote to the file in place then would change what arrives (FileSlice.release says so).
 *
 * There is no poll for "writable": when sendfile takes nothing, a small piece is written through the runtime, whose
 * own completion is that signal, and where a real error of the socket shows.
 */
import type { FileSlice, Payload } from "../../core/model/Payload.ts"
import { isFileSlice } from "../../core/model/Payload.ts"

/**
 * A shorter slice costs less by copy, several in one write, than by a system call of its own: at 16 KiB 0.6 to 1, at
 * 32 KiB equal, at 1 MiB 1.3 to 1 in CPU per byte. In bytes.
 */
export const SENDFILE_FROM_BYTES: number = 32 * 1024
/** At most this much in one sendfile: a cold file blocks the loop for 2-3 ms per MiB. */
const SENDFILE_BYTES = 1024 * 1024
/** Sent by one connection before it lets the others have a turn. */
const TURN_BYTES = 1024 * 1024
/** Written by copy to wait until a socket takes more. */
const PROBE_BYTES = 16 * 1024
/** Buffers that small payloads are gathered in and slices copied through. */
const BUFFER_BYTES = 256 * 1024
/** Buffers kept for reuse by the whole process: 4 MiB. */
const MAX_FREE_BUFFERS = 16
/** A payload up to this size is copied into the gathering buffer; a longer one goes by reference. */
const GATHER_BYTES = 4096
/** By reference in one write. */
const MAX_CHUNKS = 256
/** sendfile calls in a row that took nothing, before the rest of a slice is copied: a file that cannot be sent so. */
const MAX_REFUSALS = 8

/** What a queue needs of its socket. None of these calls back before it returns. */
export interface SendHost {
  /**
   * Hands over all `chunks`, in order. True when the host has taken every byte at once; false when it will, and then
   * calls `written`. The chunks are not touched until then.
   */
  write(chunks: ReadonlyArray<Uint8Array>): boolean
  /** sendfile(2) on the descriptor that the socket has now. Called only while nothing is being written. */
  readonly sendfile: ((slice: FileSlice, position: number, length: number) => number) | undefined
  /** send(2) of bytes that a slice by sendfile follows. As `sendfile`. @returns bytes taken; negative for none */
  readonly sendBefore: ((bytes: Uint8Array) => number) | undefined
  /** Everything queued is taken, and `end` was asked for: closes the sending side. */
  shutdown(): void
  /** A slice could not be read: the stream cannot go on. */
  failed(cause: unknown): void
  drained(): void
  /** Runs `task` after other connections had their turn. */
  later(task: () => void): void
}

const freeBuffers: Array<Uint8Array> = []
const takeBuffer = (): Uint8Array => freeBuffers.pop() ?? new Uint8Array(BUFFER_BYTES)
const giveBuffer = (buffer: Uint8Array): void => {
  if (freeBuffers.length < MAX_FREE_BUFFERS) freeBuffers.push(buffer)
}

export class SendQueue {
  /** Given to `send` and not yet taken by the host. In bytes. */
  queuedBytes = 0
  private readonly host: SendHost
  /** Those before `head` are sent; `headSent` bytes of the one at `head` are. */
  private queue: Array<Payload> = []
  private head = 0
  private headSent = 0
  /** Bytes that the host was given and has not yet taken all of. */
  private inFlight = 0
  private writing = false
  private buffer: Uint8Array | undefined
  private scheduled = false
  private ending = false
  private shut = false
  private closed = false
  private sentThisTurn = 0
  private refusals = 0

  constructor(host: SendHost) {
    this.host = host
  }

  send(payloads: ReadonlyArray<Payload>): void {
    if (this.ending || this.closed) {
      for (const payload of payloads) if (isFileSlice(payload)) payload.release()
      return
    }
    for (const payload of payloads) {
      if (payload.length > 0) {
        this.queue.push(payload)
        this.queuedBytes += payload.length
      } else if (isFileSlice(payload)) payload.release()
    }
    this.schedule()
  }

  /** Shuts the sending side once all is taken. */
  end(): void {
    this.ending = true
    this.schedule()
  }

  /** The connection is gone: ends the leases of what was not sent. */
  close(): void {
    if (this.closed) return
    this.closed = true
    // the host may still look at what it was given, so the buffer is left to the collector
    this.buffer = undefined
    const rest = this.queue
    const from = this.head
    this.queue = []
    this.head = 0
    this.queuedBytes = 0
    for (let i = from; i < rest.length; i++) {
      const payload = rest[i] as Payload
      if (isFileSlice(payload)) payload.release()
    }
  }

  /** The host has taken all that `write` gave it. */
  written(): void {
    if (this.closed || !this.writing) return
    this.taken()
    this.flush()
  }

  /** What is sent leaves when the current callback is over, with all else that it sends. */
  private schedule(): void {
    if (this.scheduled || this.writing || this.closed) return
    this.scheduled = true
    queueMicrotask(this.run)
  }

  private readonly run = (): void => {
    this.scheduled = false
    if (!this.writing) this.flush()
  }

  private readonly runLater = (): void => {
    this.sentThisTurn = 0
    this.run()
  }

  private taken(): void {
    this.writing = false
    this.queuedBytes -= this.inFlight
    this.sentThisTurn += this.inFlight
    this.inFlight = 0
    if (this.buffer !== undefined) {
      giveBuffer(this.buffer)
      this.buffer = undefined
    }
  }

  private flush(): void {
    if (this.scheduled) return
    try {
      while (!this.closed && this.head < this.queue.length) {
        if (this.sentThisTurn >= TURN_BYTES) {
          this.scheduled = true
          this.host.later(this.runLater)
          return
        }
        const payload = this.queue[this.head] as Payload
        const chunks = isFileSlice(payload) && this.sendable(payload, this.headSent)
          ? this.sendSlice(payload)
          : this.gather()
        if (chunks === undefined) continue
        const left = this.sendHeader(chunks)
        this.writing = true
        if (left !== undefined && !this.host.write(left)) return
        this.taken()
      }
    } catch (cause) {
      this.host.failed(cause)
      return
    }
    if (this.closed) return
    if (this.queue.length > 0) {
      this.queue = []
      this.head = 0
      this.sentThisTurn = 0
      this.host.drained() // may send more, which schedules another flush
    }
    if (this.ending && !this.shut && this.queue.length === 0) {
      this.shut = true
      this.host.shutdown()
    }
  }

  private sendable(slice: FileSlice, sent: number): boolean {
    return this.host.sendfile !== undefined && slice.length - sent >= SENDFILE_FROM_BYTES &&
      this.refusals < MAX_REFUSALS && slice.file.descriptor >= 0
  }

  /** @returns the piece to write by copy when the socket takes nothing now */
  private sendSlice(slice: FileSlice): ReadonlyArray<Uint8Array> | undefined {
    const left = slice.length - this.headSent
    const sent = this.host.sendfile!(slice, slice.position + this.headSent, Math.min(left, SENDFILE_BYTES))
    if (sent > 0) {
      this.refusals = 0
      this.queuedBytes -= sent
      this.sentThisTurn += sent
      this.advance(sent)
      return undefined
    }
    this.refusals++
    this.buffer = takeBuffer()
    return [this.copy(slice, this.buffer.subarray(0, Math.min(left, PROBE_BYTES)))]
  }

  /** @returns what of a header the socket did not take: the rest is for the runtime to write */
  private sendHeader(chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> | undefined {
    const next = this.queue[this.head]
    const header = chunks[0]
    if (
      this.host.sendBefore === undefined || next === undefined || !isFileSlice(next) || !this.sendable(next, this.headSent) ||
      chunks.length !== 1 || header === undefined || header.length > PROBE_BYTES || this.refusals > 0
    ) return chunks
    const sent = this.host.sendBefore(header)
    return sent === header.length ? undefined : sent <= 0 ? chunks : [header.subarray(sent)]
  }

  /** The next bytes to write: as many payloads as fit, up to a slice that sendfile will take. */
  private gather(): ReadonlyArray<Uint8Array> {
    const chunks: Array<Uint8Array> = []
    let used = 0 // of the buffer
    let runStart = 0 // of what was gathered since the last chunk by reference
    const endRun = (): void => {
      if (used > runStart) chunks.push(this.buffer!.subarray(runStart, used))
      runStart = used
    }
    while (this.head < this.queue.length && this.inFlight < TURN_BYTES && chunks.length < MAX_CHUNKS) {
      const payload = this.queue[this.head] as Payload
      if (isFileSlice(payload)) {
        if (this.sendable(payload, this.headSent)) break
        this.buffer ??= takeBuffer()
        const room = this.buffer.length - used
        if (room === 0) break
        const piece = this.buffer.subarray(used, used + Math.min(room, payload.length - this.headSent))
        this.copy(payload, piece)
        used += piece.length
      } else if (payload.length > GATHER_BYTES || (chunks.length === 0 && used === 0 && !this.smallNext())) {
        endRun()
        chunks.push(payload)
        this.inFlight += payload.length
        this.advance(payload.length)
      } else {
        this.buffer ??= takeBuffer()
        if (this.buffer.length - used < payload.length) break
        this.buffer.set(payload, used)
        used += payload.length
        this.inFlight += payload.length
        this.advance(payload.length)
      }
    }
    endRun()
    return chunks
  }

  /** Whether gathering is worth a buffer: something to be copied follows the head. */
  private smallNext(): boolean {
    const next = this.queue[this.head + 1]
    return next !== undefined && (isFileSlice(next) ? !this.sendable(next, 0) : next.length <= GATHER_BYTES)
  }

  /** Fills `target` from where the slice at the head stands. @throws DiskError, or RangeError when the file is shorter */
  private copy(slice: FileSlice, target: Uint8Array): Uint8Array {
    const position = slice.position + this.headSent
    const read = slice.file.read(target, position)
    if (read < target.length) throw new RangeError(`${slice.file.path} ends at ${position + read}, inside a leased slice`)
    this.inFlight += target.length
    this.advance(target.length)
    return target
  }

  /** `bytes` of the payload at the head are on their way; a slice's lease ends with its last. */
  private advance(bytes: number): void {
    const payload = this.queue[this.head] as Payload
    this.headSent += bytes
    if (this.headSent < payload.length) return
    this.head++
    this.headSent = 0
    this.refusals = 0
    if (isFileSlice(payload)) payload.release()
    if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head)
      this.head = 0
    }
  }
}
