/** Frames that are no requests: does the connection close, or is there an answer? */
import { type Generator, liveTopics, type World } from "../World.ts"

const header = (apiKey: number, apiVersion: number, flexible: boolean): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeInt16BE(apiKey, 0)
  bytes.writeInt16BE(apiVersion, 2)
  bytes.writeInt32BE(99, 4)
  return Buffer.concat([bytes, Uint8Array.of(0, 1, 0x6f), flexible ? Uint8Array.of(0) : new Uint8Array()])
}

const frames = (world: World): ReadonlyArray<readonly [string, Uint8Array, boolean]> => {
  const { random } = world
  const name = Buffer.from(liveTopics(world)[0]?.name ?? "bad/name")
  const topic = Buffer.concat([Uint8Array.of(0, name.length & 0x7f), name.subarray(0, 127)])
  return [
    ["unknown api key", header(1000, 0, false), false],
    ["negative api key", header(-1, 0, false), false],
    ["unknown version of ApiVersions", header(18, 9 + random.int(0, 100), true), false],
    ["negative version of ApiVersions", header(18, -1, false), false],
    ["version of Metadata too high", Buffer.concat([header(3, 99, true), Uint8Array.of(0)]), false],
    ["version of Produce too low", header(0, random.int(0, 2), false), false],
    ["version of Fetch too low", header(1, random.int(0, 3), false), false],
    ["Metadata 1 without a body", header(3, 1, false), false],
    ["Metadata 1 with a huge count", Buffer.concat([header(3, 1, false), Uint8Array.of(0x7f, 0xff, 0xff, 0xff)]), false],
    ["Metadata 1 with a count of -2", Buffer.concat([header(3, 1, false), Uint8Array.of(0xff, 0xff, 0xff, 0xfe)]), false],
    ["Metadata 1 with a cut name", Buffer.concat([header(3, 1, false), Uint8Array.of(0, 0, 0, 1, 0, 99, 65)]), false],
    ["Metadata 1 with bytes behind", Buffer.concat([header(3, 1, false), Uint8Array.of(0, 0, 0, 1), topic, Uint8Array.of(1, 2, 3)]), false],
    ["Metadata 12 with a varint that does not end", Buffer.concat([header(3, 12, true), Buffer.alloc(8, 0xff)]), false],
    ["Metadata 1 with a null name", Buffer.concat([header(3, 1, false), Uint8Array.of(0, 0, 0, 1, 0xff, 0xff)]), false],
    ["ListOffsets 1 with noise", Buffer.concat([header(2, 1, false), random.bytes(random.int(1, 60))]), false],
    ["Fetch 12 with noise", Buffer.concat([header(1, 12, true), random.bytes(random.int(1, 60))]), false],
    ["Produce 9 with noise", Buffer.concat([header(0, 9, true), random.bytes(random.int(1, 60))]), false],
    ["a header cut short", header(3, 1, false).subarray(0, random.int(1, 9)), false],
    ["a header without tags", Buffer.concat([header(3, 12, false)]), false],
    ["a client id longer than the frame", Uint8Array.of(0, 3, 0, 1, 0, 0, 0, 9, 0x7f, 0xff, 65), false],
    ["an empty frame", Uint8Array.of(0, 0, 0, 0), true],
    ["a negative size", Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 3, 0, 1), true],
    ["a size over socket.request.max.bytes", Uint8Array.of(0x7f, 0, 0, 0, 0, 3, 0, 1), true],
    ["text", Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), true],
    ["a TLS hello", Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03), true]
  ]
}

export const raw: Generator = {
  api: "raw",
  weight: 3,
  make: (world) => {
    const [describe, bytes, bare] = world.random.pick(frames(world))
    return { describe, raw: () => bytes, bare }
  }
}
