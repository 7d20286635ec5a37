/**
 * Asks Apache Kafka again for what test/fixtures/records/produce-answers.json holds: its answers to batches of all
 * kinds, right and wrong ones, and what it stored of them.
 *
 *   npm run produce-answers -- [--write]
 *
 * The batches are those of the file, moved to today: what a timestamp is answered depends on the clock. Differences in
 * codes, in explanations (but for times in them) and in what is stored are told, exit code 1; `--write` replaces the
 * file with what was answered now, for a newer Kafka.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { crc32c } from "../core/records/Crc32c.ts"
import { type ProduceAnswer, toHex } from "../test/records/Fixtures.ts"
import { Caller, type Fields } from "./peers/Calls.ts"
import { KAFKA_VERSION, startKafka } from "./peers/Kafka.ts"
import { PeerError, repository, waitFor } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, { options: { write: { type: "boolean", default: false } } })
const print = (line: string): void => void process.stdout.write(`${line}\n`)

const FILE = join(repository, "test/fixtures/records/produce-answers.json")
const NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"
/** Timestamps this near to the day of the recording are relative to it; others (0, -1, far away) are what they are. */
const NEAR_MS = 200 * 86_400_000

interface Recorded {
  readonly format: string
  readonly producedBy: string
  readonly notes: ReadonlyArray<string>
  readonly configs: { readonly [topic: string]: { readonly [key: string]: string } }
  readonly cases: ReadonlyArray<ProduceAnswer>
}

// -- moving a batch in time ------------------------------------------------------------------------------------------

/** Of batch v2: where its CRC begins, and what it says of times (Batches.ts has the whole table). */
const [CRC_AT, CRC_FROM, BASE_TIMESTAMP_AT, MAX_TIMESTAMP_AT, RECORDS_AT] = [17, 21, 27, 35, 61]

/** A signed number of variable length. @returns undefined where there is none */
const varlong = (bytes: Buffer, at: number): { readonly value: number; readonly end: number } | undefined => {
  let value = 0n
  for (let shift = 0n; shift < 70n && at < bytes.length; shift += 7n) {
    const byte = bytes[at++]!
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return { value: Number((value >> 1n) ^ -(value & 1n)), end: at }
  }
  return undefined
}

/** Whether a record of it lies far from its base: then its time is meant as it is, and the base has to stay. */
const hasFarRecord = (batch: Buffer): boolean => {
  if ((batch.readInt16BE(CRC_FROM) & 7) !== 0) return false
  for (let at = RECORDS_AT; at < batch.length;) {
    const length = varlong(batch, at)
    const delta = length === undefined ? undefined : varlong(batch, length.end + 1)
    if (length === undefined || delta === undefined || length.value <= 0) return false
    if (Math.abs(delta.value) > NEAR_MS) return true
    at = length.end + length.value
  }
  return false
}

/** The same batch as if it had been made `byMs` later, as intact or broken as it was. */
const moved = (hex: string, atMs: number, byMs: number): Buffer => {
  const bytes = Buffer.from(hex, "hex")
  if (bytes.length < RECORDS_AT || bytes[16] !== 2) return bytes
  const size = Math.min(bytes.length, 12 + Math.max(bytes.readInt32BE(8), RECORDS_AT - 12))
  const batch = bytes.subarray(0, size)
  if (hasFarRecord(batch)) return bytes
  const isIntact = batch.readUInt32BE(CRC_AT) === crc32c(batch.subarray(CRC_FROM))
  for (const at of [BASE_TIMESTAMP_AT, MAX_TIMESTAMP_AT]) {
    const time = Number(batch.readBigInt64BE(at))
    if (Math.abs(time - atMs) < NEAR_MS) batch.writeBigInt64BE(BigInt(time + byMs), at)
  }
  if (isIntact) batch.writeUInt32BE(crc32c(batch.subarray(CRC_FROM)), CRC_AT)
  return bytes
}

// -- asking ----------------------------------------------------------------------------------------------------------

const createTopics = async (caller: Caller, configs: Recorded["configs"]): Promise<void> => {
  const answer = await caller.ask("CreateTopics", 7, {
    topics: Object.entries(configs).map(([name, entries]) => ({
      name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: Object.entries(entries).map(([key, value]) => ({ name: key, value }))
    })),
    timeoutMs: 30_000,
    validateOnly: false
  })
  for (const { errorCode, errorMessage, name } of answer["topics"] as ReadonlyArray<Fields>) {
    if (errorCode !== 0) throw new PeerError(`creating ${name}: error ${errorCode} ${errorMessage}`)
  }
  for (const name of Object.keys(configs)) {
    await waitFor(`the leader of ${name}`, 30_000, async () => {
      const asked = { replicaId: -1, isolationLevel: 0, topics: [{ name, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1 }] }] }
      return (await caller.ask("ListOffsets", 6, asked))["topics"][0]["partitions"][0]["errorCode"] === 0 ? true : undefined
    })
  }
}

/** The first batch at an offset. */
const storedAt = async (caller: Caller, topic: string, offset: number): Promise<string> => {
  const answer = await caller.ask("Fetch", 11, {
    replicaId: -1, maxWaitMs: 1000, minBytes: 1, maxBytes: 1_048_576, isolationLevel: 0, sessionId: 0, sessionEpoch: -1, rackId: "", forgottenTopicsData: [],
    topics: [{ topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, fetchOffset: offset, lastFetchedEpoch: -1, logStartOffset: -1, partitionMaxBytes: 1_048_576 }] }]
  })
  const records = answer["responses"][0]["partitions"][0]["records"] as Uint8Array
  return toHex(records.subarray(0, 12 + Buffer.from(records).readInt32BE(8)))
}

const askAgain = async (caller: Caller, one: ProduceAnswer, byMs: number): Promise<ProduceAnswer> => {
  const batch = moved(one.hex, one.nowMs, byMs)
  const nowMs = Date.now()
  const answer = await caller.ask("Produce", one.version, {
    transactionalId: null, acks: -1, timeoutMs: 30_000,
    topicData: [{ name: one.topic, topicId: NO_TOPIC_ID, partitionData: [{ index: 0, records: batch }] }]
  })
  const result = answer["responses"][0]["partitionResponses"][0] as Fields
  const error = result["errorCode"] as number
  return {
    name: one.name,
    topic: one.topic,
    version: one.version,
    hex: toHex(batch),
    nowMs,
    error,
    message: (result["errorMessage"] as string | null | undefined) ?? null,
    recordErrors: ((result["recordErrors"] ?? []) as ReadonlyArray<Fields>)
      .map(({ batchIndex, batchIndexErrorMessage }) => ({ index: batchIndex as number, message: batchIndexErrorMessage as string | null })),
    logAppendTimeMs: Number(result["logAppendTimeMs"]),
    ...(error === 0 ? { stored: await storedAt(caller, one.topic, Number(result["baseOffset"])) } : {})
  }
}

// -- comparing -------------------------------------------------------------------------------------------------------

/** Times of the recording are others each time; offsets are, too, when a case before was answered otherwise. */
const comparable = ({ error, logAppendTimeMs, message, recordErrors, stored }: ProduceAnswer): string => {
  const masked = (text: string | null): string | null => text?.replace(/\d{13,}/g, "TIME") ?? null
  const bytes = stored === undefined ? undefined : Buffer.from(stored, "hex")
  bytes?.fill(0, 0, 8).fill(0, CRC_AT, CRC_FROM).fill(0, BASE_TIMESTAMP_AT, MAX_TIMESTAMP_AT + 8)
  return JSON.stringify({
    error, message: masked(message), isAppendTime: logAppendTimeMs >= 0,
    recordErrors: recordErrors.map(({ index, message: text }) => ({ index, message: masked(text) })), stored: bytes?.toString("hex")
  })
}

const recorded = JSON.parse(readFileSync(FILE, "utf8")) as Recorded
const peer = await startKafka()
const caller = await Caller.connect(peer.host, peer.port)
await createTopics(caller, recorded.configs)
const cases: Array<ProduceAnswer> = []
let failed = 0
for (const one of recorded.cases) {
  const again = await askAgain(caller, one, Date.now() - one.nowMs)
  cases.push(again)
  if (comparable(again) === comparable(one)) continue
  failed++
  print(`otherwise: ${one.name}\n  recorded ${comparable(one)}\n  now      ${comparable(again)}`)
}
caller.close()
await peer.kill()
if (values.write) writeFileSync(FILE, JSON.stringify({ ...recorded, producedBy: `Apache Kafka ${KAFKA_VERSION}, one broker`, cases }))
print(`${cases.length - failed} passed, ${failed} failed`)
process.exit(failed === 0 || values.write ? 0 : 1)
