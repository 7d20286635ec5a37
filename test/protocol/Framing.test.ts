import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FrameReader } from "../../core/protocol/Framing.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { toHex } from "./Schemas.ts"

const seed = 20260617

const framed = (frames: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(frames.reduce((sum, frame) => sum + 4 + frame.length, 0))
  let at = 0
  for (const frame of frames) {
    new DataView(bytes.buffer).setInt32(at, frame.length)
    bytes.set(frame, at + 4)
    at += 4 + frame.length
  }
  return bytes
}

/** What a reader gives for a stream that arrives in pieces of these lengths (the rest in one), and how it ended. */
const readAll = (
  stream: Uint8Array,
  cuts: ReadonlyArray<number>,
  maxBytes: number
): { readonly frames: ReadonlyArray<string>; readonly refused: boolean } => {
  const frames: Array<string> = []
  const reader = new FrameReader({ maxBytes, onFrame: (frame) => frames.push(toHex(frame)) })
  let at = 0
  // A host reads into one buffer again and again: nothing may depend on bytes of an earlier push.
  const shared = new Uint8Array(stream.length)
  try {
    for (const cut of [...cuts, stream.length]) {
      const length = Math.min(cut, stream.length - at)
      shared.set(stream.subarray(at, at + length))
      reader.push(shared.subarray(0, length))
      shared.fill(0xee)
      at += length
    }
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError)
    return { frames, refused: true }
  }
  return { frames, refused: false }
}

describe("FrameReader", () => {
  it("gives the same frames however the stream is cut", () => {
    const frame = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 3000, maxLength: 9000 }))
    const cut = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 5000 }))
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(cut, { maxLength: 40 }), (frames, cuts) => {
        expect(readAll(framed(frames), cuts, 10_000)).toEqual({ frames: frames.map(toHex), refused: false })
      }),
      { seed, numRuns: 300 }
    )
  })

  it("hands over frames that span pushes for good, the same ones however the stream is cut", () => {
    const frame = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 3000, maxLength: 9000 }))
    const cut = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 5000 }))
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(cut, { maxLength: 40 }), (frames, cuts) => {
        const kept: Array<Uint8Array> = []
        const reader = new FrameReader({
          maxBytes: 10_000,
          handOver: true,
          onFrame: (frame, isOwn) => void kept.push(isOwn ? frame : frame.slice())
        })
        const stream = framed(frames)
        const shared = new Uint8Array(stream.length)
        let at = 0
        for (const cut of [...cuts, stream.length]) {
          const length = Math.min(cut, stream.length - at)
          shared.set(stream.subarray(at, at + length))
          reader.push(shared.subarray(0, length))
          shared.fill(0xee)
          at += length
        }
        // Looked at last: none was given to another frame meanwhile.
        expect(kept.map(toHex)).toEqual(frames.map(toHex))
      }),
      { seed, numRuns: 300 }
    )
  })

  it("gives the same frames when a host reads into the place that it is told, and copies nothing then", () => {
    const lengths = fc.array(fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 60_000, max: 400_000 })), { maxLength: 5 })
    const reads = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 150_000 })), { maxLength: 60 })
    fc.assert(
      fc.property(lengths, reads, fc.boolean(), (frameLengths, script, handOver) => {
        const frames = frameLengths.map((length, n) => new Uint8Array(length).map((_, i) => (i * 31 + n) & 0xff))
        const stream = framed(frames)
        const kept: Array<Uint8Array> = []
        const made: Array<Uint8Array> = []
        const reader = new FrameReader({
          maxBytes: 1_000_000,
          handOver,
          allocate: (bytes) => {
            made.push(new Uint8Array(bytes).fill(0xdd))
            return made.at(-1)!
          },
          onFrame: (frame, isOwn) => void kept.push(isOwn ? frame : frame.slice())
        })
        const shared = new Uint8Array(stream.length)
        let at = 0
        for (const [mayOffer, length] of [...script, ...Array.from({ length: 100 }, () => [true, stream.length] as const)]) {
          const space = mayOffer ? reader.space : undefined
          const target = space ?? shared
          const count = Math.min(length, target.length, stream.length - at)
          target.set(stream.subarray(at, at + count))
          reader.push(target.subarray(0, count))
          if (space === undefined) shared.fill(0xee)
          at += count
        }
        expect(at).toBe(stream.length)
        expect(kept.length).toBe(frames.length)
        for (const [n, frame] of frames.entries()) expect(Buffer.compare(kept[n]!, frame)).toBe(0)
        // One buffer for each frame that is handed over, at most.
        if (handOver) expect(made.length).toBeLessThanOrEqual(frames.length * 2)
      }),
      { seed, numRuns: 100 }
    )
  })

  it("gives a frame that is handed over its room at once, and no more than came for a size beyond that", () => {
    const claim = (size: number): number => {
      const reader = new FrameReader({ maxBytes: 200_000_000, handOver: true, onFrame: () => {} })
      const bytes = new Uint8Array(100)
      new DataView(bytes.buffer).setInt32(0, size)
      reader.push(bytes)
      return reader.heldBytes
    }
    expect(claim(5_000_000)).toBe(5_000_004)
    expect(claim(100_000_000)).toBeLessThanOrEqual(4096)
  })

  it("refuses the same size at the same frame however a garbled stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 30 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 40 }),
        (frames, edits, cuts) => {
          const stream = framed(frames)
          for (const [at, byte] of edits) stream[at % stream.length] = byte
          expect(readAll(stream, cuts, 40)).toEqual(readAll(stream, [], 40))
        }
      ),
      { seed, numRuns: 1000 }
    )
  })

  it("gives a view when a frame lies whole in what was pushed", () => {
    const stream = framed([new Uint8Array([1, 2, 3])])
    const buffers: Array<unknown> = []
    new FrameReader({ maxBytes: 10, onFrame: (frame) => buffers.push(frame.buffer) }).push(stream)
    expect(buffers).toEqual([stream.buffer])
    expect(buffers[0]).toBe(stream.buffer)
  })

  it("refuses a size below zero or over the limit before anything else of the frame has come", () => {
    for (const size of [-1, -(2 ** 31), 101, 2 ** 31 - 1]) {
      const head = new Uint8Array(4)
      new DataView(head.buffer).setInt32(0, size)
      const options = { maxBytes: 100, onFrame: (): void => {} }
      expect(() => new FrameReader(options).push(head)).toThrow(ProtocolError)
      const slow = new FrameReader(options)
      slow.push(head.subarray(0, 1))
      slow.push(head.subarray(1, 3))
      expect(() => slow.push(head.subarray(3))).toThrow(ProtocolError)
    }
  })

  it("holds no more for a large claim than what arrived justifies", () => {
    const head = new Uint8Array(14)
    new DataView(head.buffer).setInt32(0, 100 * 1024 * 1024)
    const reader = new FrameReader({ maxBytes: 100 * 1024 * 1024, onFrame: () => {} })
    reader.push(head.subarray(0, 10))
    reader.push(head.subarray(10))
    expect(reader.pendingBytes).toBe(14)
    expect(reader.heldBytes).toBeLessThanOrEqual(4096)
    let arrived = 14
    for (const length of [5000, 100_000, 1_000_000]) {
      reader.push(new Uint8Array(length))
      arrived += length
      expect(reader.heldBytes).toBeLessThanOrEqual(8 * arrived)
    }
  })

  it("gives up a large buffer once its frame is done", () => {
    const stream = framed([new Uint8Array(1024 * 1024)])
    const sizes: Array<number> = []
    const reader = new FrameReader({ maxBytes: stream.length, onFrame: (frame) => sizes.push(frame.length) })
    reader.push(stream.subarray(0, 500_000))
    reader.push(stream.subarray(500_000))
    expect(sizes).toEqual([1024 * 1024])
    expect(reader.heldBytes).toBe(0)
  })
})
