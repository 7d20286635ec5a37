import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type FileSlice, isFileSlice, type Payload, payloadLength, toBytes } from "../../core/model/Payload.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ByteWriter, SPLICE_BYTES } from "../../core/protocol/ByteWriter.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { toHex } from "./Schemas.ts"

const sliceOf = (bytes: Uint8Array): FileSlice => ({
  file: {
    path: "memory",
    descriptor: -1,
    read: (target, position) => {
      target.set(bytes.subarray(position, position + target.length))
      return target.length
    }
  },
  position: 0,
  length: bytes.length,
  release: () => {}
})

const all = (pieces: ReadonlyArray<Uint8Array>): string => pieces.map(toHex).join("")

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

describe("ByteWriter", () => {
  it("passes large payloads and slices of files through untouched, in their places", () => {
    const large = filled(SPLICE_BYTES, 1)
    const small = filled(10, 2)
    const slice = sliceOf(filled(5, 3))
    const writer = new ByteWriter(16)
    writer.beginFrame()
    writer.int16(0x0a0b)
    writer.records([large, small, slice], false)
    writer.int8(9)
    expect(writer.length).toBe(4 + 2 + 4 + large.length + small.length + 5 + 1)
    const total = writer.length
    const parts = writer.finishFrame()
    expect(parts.some((part) => part === large)).toBe(true)
    expect(parts.filter(isFileSlice)).toEqual([slice])
    expect(payloadLength(parts)).toBe(total)
    const reader = new ByteReader(toBytes(parts))
    expect(reader.int32()).toBe(total - 4)
    expect(reader.int16()).toBe(0x0a0b)
    const records = reader.byteArray(false)
    expect(toHex(records)).toBe(toHex(large) + toHex(small) + toHex(filled(5, 3)))
    expect(reader.int8()).toBe(9)
    expect(reader.remaining).toBe(0)
  })

  it("puts the size in front of each of several frames, whatever was spliced into them", () => {
    const writer = new ByteWriter(16)
    const large = filled(SPLICE_BYTES, 1)
    for (const bytes of [filled(3, 4), large, filled(5, 6)]) {
      writer.beginFrame()
      writer.int8(bytes.length & 0x7f)
      writer.splice(bytes)
      writer.int8(7)
      writer.endFrame()
    }
    const reader = new ByteReader(toBytes(writer.finish()))
    for (const length of [3, SPLICE_BYTES, 5]) {
      expect(reader.int32()).toBe(length + 2)
      reader.position += length + 2
    }
    expect(reader.remaining).toBe(0)
  })

  it("never shares bytes with another writer, however they interleave", () => {
    const action = fc.tuple(fc.nat(3), fc.oneof(fc.nat(40), fc.nat(3000), fc.nat(30_000)), fc.nat(9), fc.nat(2000))
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const writers: Array<ByteWriter | undefined> = []
        const expected: Array<Array<Uint8Array>> = [[], [], [], []]
        const done: Array<readonly [given: ReadonlyArray<Payload>, expected: string]> = []
        actions.forEach(([index, length, kind, claim], step) => {
          const writer = (writers[index] ??= new ByteWriter(claim))
          if (kind === 0) writers[index] = undefined // given up half way, as when an encoder throws
          else if (kind < 4) done.push([writer.finish(), all(expected[index]!)])
          else {
            const bytes = filled(length, step + 1)
            if (kind < 6) writer.splice(bytes)
            else writer.raw(bytes)
            expected[index]!.push(bytes)
            return
          }
          expected[index] = []
        })
        for (const [given, wanted] of done) expect(toHex(toBytes(given))).toBe(wanted)
      }),
      { seed: 20260617, numRuns: 300 }
    )
  })

  it("starts anew after finish and leaves what it gave alone", () => {
    const writer = new ByteWriter(64)
    writer.int32(1)
    const first = toBytes(writer.finish())
    writer.int32(2)
    const second = toBytes(writer.finish())
    expect([toHex(first), toHex(second)]).toEqual(["00000001", "00000002"])
    expect(writer.finish()).toEqual([])
  })

  it("puts a tagged field's size before it, however long the size and the buffer are", () => {
    for (const length of [0, 1, 127, 128, 129, 16383, 16384, 70000]) {
      for (const initial of [0, 1, 64, 128, 200000]) {
        const writer = new ByteWriter(initial)
        writer.int8(5)
        const mark = writer.beginTag(300)
        writer.splice(filled(length, 7))
        writer.endTag(mark)
        writer.int8(6)
        const reader = new ByteReader(writer.toBytes())
        expect([reader.int8(), reader.uvarint()]).toEqual([5, 300])
        const end = reader.beginTag()
        expect(toHex(reader.raw(length))).toBe(toHex(filled(length, 7)))
        reader.endTag(end)
        expect([reader.int8(), reader.remaining]).toEqual([6, 0])
      }
    }
  })

  it("refuses values out of their type's range instead of cutting them", () => {
    const refused: ReadonlyArray<(writer: ByteWriter) => void> = [
      (w) => w.int8(128),
      (w) => w.int8(-129),
      (w) => w.int8(0.5),
      (w) => w.int16(32768),
      (w) => w.uint16(-1),
      (w) => w.uint16(65536),
      (w) => w.int32(2 ** 31),
      (w) => w.int32(Number.NaN),
      (w) => w.uint32(-1),
      (w) => w.uint32(2 ** 32),
      (w) => w.int64(2 ** 53),
      (w) => w.int64(0.5),
      (w) => w.int64(2n ** 63n),
      (w) => w.varint(2 ** 31),
      (w) => w.varlong(-(2n ** 63n) - 1n),
      (w) => w.uvarint(-1)
    ]
    for (const write of refused) expect(() => write(new ByteWriter())).toThrow(ProtocolError)
  })

  it("does not put a slice of a file into a tagged field", () => {
    const writer = new ByteWriter()
    writer.beginTag(0)
    expect(() => writer.splice(sliceOf(filled(1, 1)))).toThrow(ProtocolError)
  })
})
