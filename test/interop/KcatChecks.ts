/** kcat (librdkafka): real text through each codec, there and back, byte for byte. */
import { join } from "node:path"
import { rmSync } from "node:fs"
import { kcat } from "../../scripts/peers/Kcat.ts"
import type { Peer } from "../../scripts/peers/Processes.ts"
import { type Check, expectEqual, expectSays } from "./Check.ts"
import { digestOf } from "./Text.ts"

/** Reads partition 0 of a topic from `offset` to its end into a file. */
export const readTopic = async (peer: Peer, topic: string, file: string, offset = "beginning", extra: ReadonlyArray<string> = []): Promise<void> => {
  const result = await kcat(["-C", "-b", peer.bootstrap, "-t", topic, "-p", "0", "-o", offset, "-e", "-q", ...extra], { outputFile: file, timeoutMs: 300_000 })
  expectSays(result, /^/, `kcat reads ${topic}`)
}

/** Sends each line of a file as a record to partition 0. */
export const sendLines = async (peer: Peer, topic: string, file: string, codec = "none", extra: ReadonlyArray<string> = []): Promise<void> => {
  const result = await kcat(["-P", "-b", peer.bootstrap, "-t", topic, "-p", "0", "-z", codec, ...extra, "-l", file], { timeoutMs: 300_000 })
  expectSays(result, /^/, `kcat sends to ${topic} with ${codec}`)
}

const throughCodec = (codec: string): Check => ({
  name: `kcat sends and reads text with ${codec}`,
  run: async ({ directory, peer, textDigest, textFile }) => {
    const back = join(directory, `back-${codec}.txt`)
    await sendLines(peer, `kcat-${codec}`, textFile, codec)
    await readTopic(peer, `kcat-${codec}`, back)
    expectEqual(await digestOf(back), textDigest, "digest of the text")
    rmSync(back)
  }
})

const keysAndHeaders: Check = {
  name: "kcat sends keys, headers, null values and reads them back",
  run: async ({ peer }) => {
    const sent = await kcat(["-P", "-b", peer.bootstrap, "-t", "kcat-keys", "-p", "0", "-K", ":", "-Z", "-H", "a=1", "-H", "b=zwei"], { input: "k1:v1\nk2:\n:v3\n" })
    expectSays(sent, /^/, "kcat sends keys")
    const read = await kcat(["-C", "-b", peer.bootstrap, "-t", "kcat-keys", "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o|%K|%k|%S|%s|%h\\n"])
    expectEqual(read.stdout, "0|2|k1|2|v1|a=1,b=zwei\n1|2|k2|-1||a=1,b=zwei\n2|-1||2|v3|a=1,b=zwei\n", "what kcat read")
  }
}

const offsets: Check = {
  name: "kcat reads from an offset, from the tail and by time",
  run: async ({ directory, peer, textFile }) => {
    await sendLines(peer, "kcat-offsets", textFile, "lz4")
    const tail = await kcat(["-C", "-b", peer.bootstrap, "-t", "kcat-offsets", "-p", "0", "-o", "-5", "-e", "-q", "-f", "%o\\n"])
    expectEqual(tail.stdout.trim().split("\n").length, 5, "records from the tail")
    const from = await kcat(["-C", "-b", peer.bootstrap, "-t", "kcat-offsets", "-p", "0", "-o", "77", "-c", "3", "-q", "-f", "%o\\n"])
    expectEqual(from.stdout, "77\n78\n79\n", "offsets from 77")
    const byTime = await kcat(["-Q", "-b", peer.bootstrap, "-t", "kcat-offsets:0:1"])
    expectSays(byTime, /kcat-offsets \[0\] offset 0/, "offset of the first record by time")
    void directory
  }
}

export const kcatChecks: ReadonlyArray<Check> = [
  ...["none", "gzip", "snappy", "lz4", "zstd"].map(throughCodec),
  keysAndHeaders,
  offsets
]
