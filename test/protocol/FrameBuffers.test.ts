import { describe, expect, it } from "vitest"
import { FrameBuffers } from "../../core/protocol/FrameBuffers.ts"
import { FrameReader } from "../../core/protocol/Framing.ts"

describe("FrameBuffers", () => {
  it("gives at least what is asked for, and again what was given back", () => {
    const buffers = new FrameBuffers()
    for (const bytes of [0, 1, 4096, 4097, 100_000, 1 << 20, (1 << 25) + 1]) {
      expect(buffers.take(bytes).length).toBeGreaterThanOrEqual(bytes)
    }
    const buffer = buffers.take(5000)
    buffers.give(buffer)
    expect(buffers.take(8192)).toBe(buffer)
    expect(buffers.freeBytes).toBe(0)
  })

  it("keeps no more free bytes than its limit, and nothing that is not its own", () => {
    const buffers = new FrameBuffers(10_000)
    const taken = [buffers.take(4096), buffers.take(4096), buffers.take(4096)]
    for (const buffer of taken) buffers.give(buffer)
    buffers.give(new Uint8Array(5000))
    expect(buffers.freeBytes).toBe(8192)
  })

  it("does not give a reader's frame to another before its push has ended", () => {
    const buffers = new FrameBuffers()
    const given: Array<Uint8Array> = []
    const reader = new FrameReader({ maxBytes: 1000, buffers, onFrame: (frame) => given.push(frame) })
    const other = new FrameReader({ maxBytes: 1000, buffers, onFrame: () => {} })
    reader.push(Uint8Array.of(0, 0, 0, 2, 7))
    other.push(Uint8Array.of(0, 0, 0, 9, 1))
    // Completes the first frame and begins another, whose bytes must not go over it.
    reader.push(Uint8Array.of(8, 0, 0, 0, 4, 5, 5))
    expect([...given[0]!]).toEqual([7, 8])
    reader.close()
    other.close()
    expect(buffers.freeBytes).toBe(3 * 4096)
  })
})
