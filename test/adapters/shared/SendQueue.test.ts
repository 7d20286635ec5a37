import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type SendHost, SENDFILE_FROM_BYTES, SendQueue } from "../../../adapters/shared/SendQueue.ts"
import type { FileSlice, Payload, ReadableFile } from "../../../core/model/Payload.ts"

const source = Uint8Array.from({ length: 700_000 }, (_, i) => (i * 31 + (i >> 8)) & 0xff)

/** A file that remembers the longest read. */
class MemoryFile implements ReadableFile {
  readonly path = "/file"
  descriptor = 3
  longestRead = 0
  read(target: Uint8Array, position: number): number {
    this.longestRead = Math.max(this.longestRead, target.length)
    const found = source.subarray(position, position + target.length)
    target.set(found)
    return found.length
  }
}

/** A socket whose every answer is up to `choose(n)`: a number from 0 to n - 1. */
class FakeHost implements SendHost {
  readonly queue: SendQueue
  readonly wire: Array<Uint8Array> = []
  writes = 0
  drains = 0
  shutdowns = 0
  failure: unknown
  private readonly choose: (n: number) => number
  private readonly pending: Array<() => void> = []
  readonly sendfile: SendHost["sendfile"]
  readonly sendBefore: SendHost["sendBefore"]

  constructor(choose: (n: number) => number, canSendfile: boolean) {
    this.choose = choose
    this.sendfile = canSendfile ? (slice, position, length) => this.someOf(slice, position, length) : undefined
    this.sendBefore = canSendfile ? (bytes) => this.someBefore(bytes) : undefined
    this.queue = new SendQueue(this)
  }
  private someOf(slice: FileSlice, position: number, length: number): number {
    const sent = this.choose(3) === 0 ? -1 : this.choose(length) + 1
    if (sent > 0) {
      const bytes = new Uint8Array(sent)
      slice.file.read(bytes, position)
      this.wire.push(bytes)
    }
    return sent
  }
  private someBefore(bytes: Uint8Array): number {
    const sent = this.choose(2) === 0 ? bytes.length : this.choose(bytes.length + 1) - 1
    if (sent > 0) this.wire.push(bytes.slice(0, sent))
    return sent
  }
  write(chunks: ReadonlyArray<Uint8Array>): boolean {
    this.writes++
    for (const chunk of chunks) this.wire.push(chunk.slice())
    if (this.choose(2) === 0) return true
    this.pending.push(() => this.queue.written())
    return false
  }
  shutdown(): void {
    this.shutdowns++
  }
  failed(cause: unknown): void {
    this.failure = cause
    this.queue.close()
  }
  drained(): void {
    this.drains++
  }
  later(task: () => void): void {
    this.pending.push(task)
  }
  /** Lets the socket take all that it was given. */
  async settle(): Promise<void> {
    do {
      this.pending.shift()?.()
      await Promise.resolve()
      await Promise.resolve()
    } while (this.pending.length > 0)
  }
}

const flat = (parts: ReadonlyArray<Uint8Array>): Buffer => Buffer.concat(parts)

describe("SendQueue", () => {
  it("puts the same bytes on the wire whatever the socket takes at a time, and releases each slice once", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            slice: fc.boolean(),
            position: fc.nat(100_000),
            length: fc.oneof(fc.nat(10), fc.nat(6000), fc.nat(600_000)),
            settle: fc.boolean()
          }),
          { maxLength: 20 }
        ),
        fc.infiniteStream(fc.nat()),
        fc.boolean(),
        async (script, choices, canSendfile) => {
          const host = new FakeHost((n) => (choices.next().value as number) % n, canSendfile)
          const file = new MemoryFile()
          const expected: Array<Uint8Array> = []
          const releases: Array<number> = []
          for (const { length, position, settle, slice } of script) {
            const bytes = source.subarray(position, position + length)
            expected.push(bytes)
            let payload: Payload = bytes
            if (slice) {
              const index = releases.push(0) - 1
              payload = { file, position, length: bytes.length, release: () => void releases[index]!++ }
            }
            host.queue.send([payload])
            if (settle) await host.settle()
          }
          host.queue.end()
          await host.settle()
          expect(host.failure).toBe(undefined)
          expect(Buffer.compare(flat(host.wire), flat(expected))).toBe(0)
          expect(releases.every((count) => count === 1)).toBe(true)
          expect(host.queue.queuedBytes).toBe(0)
          expect(host.shutdowns).toBe(1)
        }
      ),
      { numRuns: 60, seed: 1_102_026 }
    ))

  it("sends all of one turn in one write", async () => {
    const host = new FakeHost(() => 0, true)
    for (let i = 0; i < 500; i++) host.queue.send([Uint8Array.of(i & 0xff, 1), Uint8Array.of(2)])
    await host.settle()
    expect(host.writes).toBe(1)
    expect(flat(host.wire).length).toBe(1500)
    expect(host.drains).toBe(1)
  })

  it("reads the next piece of a copied slice only when the socket has taken the one before", async () => {
    const host = new FakeHost((n) => n - 1, false)
    const file = new MemoryFile()
    let released = 0
    host.queue.send([{ file, position: 0, length: source.length, release: () => void released++ }])
    await Promise.resolve()
    expect(file.longestRead).toBe(256 * 1024)
    expect(flat(host.wire).length).toBe(256 * 1024)
    expect([host.writes, released, host.queue.queuedBytes]).toEqual([1, 0, source.length])
    host.queue.close()
    expect([released, host.queue.queuedBytes]).toEqual([1, 0])
    host.queue.written() // of a write that ends after the close
    host.queue.send([{ file, position: 0, length: 10, release: () => void released++ }])
    await host.settle()
    expect([host.writes, released, host.drains]).toEqual([1, 2, 0])
  })

  it("copies a slice that sendfile always refuses", async () => {
    const host = new FakeHost(() => 0, true)
    let released = 0
    const slice = { file: new MemoryFile(), position: 5, length: source.length - 5, release: () => void released++ }
    host.queue.send([slice])
    await host.settle()
    expect(Buffer.compare(flat(host.wire), source.subarray(5))).toBe(0)
    expect(released).toBe(1)
  })

  it("fails the connection, and releases all, when a file ends inside a leased slice", async () => {
    const host = new FakeHost(() => 0, false)
    let released = 0
    const release = (): void => void released++
    host.queue.send([
      { file: new MemoryFile(), position: source.length - 10, length: 20, release },
      { file: new MemoryFile(), position: 0, length: SENDFILE_FROM_BYTES, release }
    ])
    await host.settle()
    expect(host.failure).toBeInstanceOf(RangeError)
    expect(released).toBe(2)
  })
})
