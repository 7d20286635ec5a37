/**
 * A seeded mutation fuzzer of the decoders: takes golden bytes, breaks them, decodes them. The laws it holds:
 *  - a decoder gives a value or throws a ProtocolError, nothing else;
 *  - what it allocates is bounded by its input: array elements, string characters and bytes together are no more than
 *    the input has bytes;
 *  - a value that was decoded can be encoded, unless a ProtocolError says why not, and then decodes to itself.
 * A failure names its seed and its input, and both repeat.
 */
import { apis } from "../../core/protocol/Apis.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { decodeRequestHeader, decodeResponseHeaderOf } from "../../core/protocol/Headers.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { ZERO_UUID } from "../../core/protocol/Uuid.ts"
import { CLIENTS, frameVectors, messageVectors } from "./Fixtures.ts"
import { type Codec, fromHex, loadCodecs, toHex } from "./Schemas.ts"

/** Golden bytes and what reads them. */
export interface Target {
  readonly name: string
  readonly bytes: Uint8Array
  /** @throws ProtocolError */
  readonly decode: (bytes: Uint8Array) => object
  /** Undefined where the value does not tell how it was encoded. */
  readonly encode: ((value: object) => Uint8Array) | undefined
}

export interface FuzzReport {
  readonly inputs: number
  readonly decoded: number
  readonly refused: number
}

/** mulberry32: small, seeded, the same everywhere. Gives integers from 0 to `below` - 1. */
export const dice = (seed: number): ((below: number) => number) => {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below)
  }
}

const messageTarget = (codec: Codec, version: number, bytes: Uint8Array): Target => ({
  name: `${codec.name} v${version}`,
  bytes,
  decode: (input) => codec.decode(new ByteReader(input), version),
  encode: (value) => {
    const writer = new ByteWriter()
    codec.encode(writer, version, value)
    return writer.toBytes()
  }
})

/** Every vector, and every captured frame with its header: there a mutation may also change the API and the version. */
export const loadTargets = async (): Promise<ReadonlyArray<Target>> => {
  const codecs = await loadCodecs()
  const bodies = messageVectors().map(({ m, v, hex }) => messageTarget(codecs.get(m)!, v, fromHex(hex)))
  const frames = CLIENTS.flatMap((client) => frameVectors(client)).flatMap((vector): Array<Target> => {
    const request: Target = {
      name: `request ${vector.api} v${vector.version}`,
      bytes: fromHex(vector.frame).subarray(4),
      decode: (input) => {
        const reader = new ByteReader(input)
        const header = decodeRequestHeader(reader)
        const api = apis.get(header.apiKey)
        return api === undefined ? header : api.decodeRequest(reader, header.apiVersion)
      },
      encode: undefined
    }
    if (vector.mockResponse === undefined) return [request]
    const response: Target = {
      name: `response ${vector.api} v${vector.version}`,
      bytes: fromHex(vector.mockResponse.frame).subarray(4),
      decode: (input) => {
        const reader = new ByteReader(input)
        decodeResponseHeaderOf(reader, vector.key, vector.version)
        return apis.get(vector.key)!.decodeResponse(reader, vector.version)
      },
      encode: undefined
    }
    return [request, response]
  })
  return [...bodies, ...frames]
}

/** Values that lengths, counts and codes turn bad at. */
const EDGES: ReadonlyArray<number> = [
  0, 1, -1, -2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x01000000, 0x7fffffff, -0x80000000
]

const MAX_INPUT_BYTES = 64 * 1024

/** Breaks `bytes` in one to four places; `others` lend what is spliced in. */
export const mutate = (
  bytes: Uint8Array,
  roll: (below: number) => number,
  others: ReadonlyArray<Target>
): Uint8Array => {
  let out = new Uint8Array(bytes)
  for (let edits = 1 + roll(4); edits > 0; edits--) {
    const at = roll(out.length + 1)
    switch (roll(8)) {
      case 0: // a flipped bit
        if (at < out.length) out[at]! ^= 1 << roll(8)
        break
      case 1: // another byte
        if (at < out.length) out[at] = roll(256)
        break
      case 2: // a 4-byte length
        if (at + 4 <= out.length) new DataView(out.buffer).setInt32(at, EDGES[roll(EDGES.length)]!)
        break
      case 3: // a 2-byte length
        if (at + 2 <= out.length) new DataView(out.buffer).setInt16(at, EDGES[roll(EDGES.length)]!)
        break
      case 4: // a varint that goes on
        for (let i = at; i < Math.min(out.length, at + 1 + roll(5)); i++) out[i]! |= 0x80
        break
      case 5: // cut
        out = out.slice(0, at)
        break
      case 6: {
        // a stretch of another message
        const other = others[roll(others.length)]!.bytes
        const from = roll(other.length + 1)
        out = joined(out.subarray(0, at), other.subarray(from, from + roll(64)), out.subarray(at))
        break
      }
      default: // a stretch of its own, twice or gone
        if (roll(2) === 0) out = joined(out.subarray(0, at), out.subarray(Math.max(0, at - roll(64))))
        else out = joined(out.subarray(0, at), out.subarray(at + roll(16)))
    }
  }
  return out.length > MAX_INPUT_BYTES ? out.slice(0, MAX_INPUT_BYTES) : out
}

const joined = (...parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/**
 * Array elements, string characters and bytes in a decoded value. A uuid is 22 characters for 16 bytes; the zero uuid
 * counts nothing, as it stands for one that the version does not have.
 */
export const weigh = (value: unknown): number => {
  if (typeof value === "string") return value === ZERO_UUID ? 0 : value.length === 22 ? 15 : value.length
  if (value instanceof Uint8Array) return value.length
  if (Array.isArray(value)) return value.reduce((sum: number, element) => sum + 1 + weigh(element), 0)
  if (typeof value !== "object" || value === null) return 0
  let sum = 0
  for (const inner of Object.values(value)) sum += weigh(inner)
  return sum
}

const same = (a: unknown, b: unknown): boolean => {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (a instanceof Uint8Array) return b instanceof Uint8Array && toHex(a) === toHex(b)
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
}

/** A law that was broken: what to write into a test before mending it. */
export class FuzzFailure extends Error {
  constructor(seed: number, target: Target, input: Uint8Array, problem: string, cause?: unknown) {
    super(`seed ${seed}, ${target.name}, input ${toHex(input)}: ${problem}`, { cause })
  }
}

/** @throws FuzzFailure */
export const fuzz = (targets: ReadonlyArray<Target>, seed: number, inputs: number): FuzzReport => {
  const roll = dice(seed)
  let decoded = 0
  for (let n = 0; n < inputs; n++) {
    const target = targets[roll(targets.length)]!
    const input = mutate(target.bytes, roll, targets)
    const failure = (problem: string, cause?: unknown): FuzzFailure =>
      new FuzzFailure(seed, target, input, problem, cause)
    let value: object
    try {
      value = target.decode(input)
    } catch (error) {
      if (error instanceof ProtocolError) continue
      throw failure(`decoding threw ${String(error)}`, error)
    }
    decoded++
    const weight = weigh(value)
    if (weight > input.length) throw failure(`${input.length} bytes became ${weight} elements, characters and bytes`)
    if (target.encode === undefined) continue
    let again: Uint8Array
    try {
      again = target.encode(value)
    } catch (error) {
      if (error instanceof ProtocolError) continue
      throw failure(`encoding what was decoded threw ${String(error)}`, error)
    }
    if (!same(target.decode(again), value)) throw failure("what was decoded, encoded and decoded again is different")
  }
  return { inputs, decoded, refused: inputs - decoded }
}
