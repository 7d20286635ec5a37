import { describe, expect, it } from "vitest"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { type CompressionType, validateProduced, type ValidationContext } from "../../core/records/BatchValidation.ts"
import { records } from "../../core/records/Record.ts"
import { RecordBatch } from "../../core/records/RecordBatch.ts"
import { fromHex, type ProduceAnswer, produceAnswers, toHex } from "./Fixtures.ts"
import { compression, crypto } from "./Ports.ts"

const { cases, configs } = produceAnswers()

const contextOf = (answer: ProduceAnswer): ValidationContext => {
  const config = configs[answer.topic]!
  return {
    topicPartition: `${answer.topic}-0`,
    compacted: (config["cleanup.policy"] ?? "").includes("compact"),
    maxMessageBytes: Number(config["max.message.bytes"] ?? 1_048_588),
    timestampType: config["message.timestamp.type"] === "LogAppendTime" ? "LogAppendTime" : "CreateTime",
    timestampBeforeMaxMs: Number(config["message.timestamp.before.max.ms"] ?? Number.MAX_SAFE_INTEGER),
    timestampAfterMaxMs: 3_600_000,
    compressionType: (config["compression.type"] ?? "producer") as CompressionType,
    compressionLevel: undefined,
    nowMs: answer.logAppendTimeMs >= 0 ? answer.logAppendTimeMs : answer.nowMs,
    apiVersion: answer.version,
    crypto,
    compression,
    isCoordinator: false
  }
}

/** Where we answer otherwise than Kafka, and why. */
const differences: ReadonlyMap<RegExp, number> = new Map([
  // Kafka stores wrong offset deltas of uncompressed batches as they are, fails on those of compressed ones and
  // renumbers them when it compresses anew. A log with them cannot be searched: refused, always the same way.
  [/^deltas /, ErrorCode.INVALID_RECORD],
  // Kafka does not look at the length of a record that it skips over, and stores a batch that no client can read.
  [/^gzip record length /, ErrorCode.INVALID_RECORD],
  // Kafka's builder takes no negative timestamp; the same batch is taken where the codec stays.
  [/^ts negative gzip->none$/, ErrorCode.NONE],
  // Kafka ignores what follows a gzip member and is no other one.
  [/^trailing payload codec 1$/, ErrorCode.UNKNOWN_SERVER_ERROR]
])
/** Answered before the batch is looked at. */
const elsewhere = new Set(["transactional without id"])

/** The clock moved between sending and judging. */
const maskRange = (message: string | null): string | null => message?.replace(/within \[.*\]/, "within […]") ?? null

describe("what Apache Kafka 4.3.1 answered to a produced batch", () => {
  it("is recorded for all kinds of batches", () => {
    expect(cases.length).toBe(205)
  })
  for (const answer of cases) {
    if (elsewhere.has(answer.name)) continue
    const other = [...differences].find(([pattern]) => pattern.test(answer.name))
    it(`${answer.name} to topic ${answer.topic} (${other === undefined ? "as Kafka" : "not as Kafka"})`, () => {
      const result = validateProduced(fromHex(answer.hex), contextOf(answer))
      if (other !== undefined) {
        expect(result._tag === "Refusal" ? result.error : ErrorCode.NONE).toBe(other[1])
        return
      }
      if (result._tag === "Refusal") {
        expect({
          error: result.error,
          message: result.message === "" ? null : result.message,
          recordErrors: result.recordErrors.map(({ index, message }) => ({ index, message: maskRange(message) }))
        }).toEqual({
          error: answer.error,
          message: answer.message,
          recordErrors: answer.recordErrors.map(({ index, message }) => ({ index, message: maskRange(message) }))
        })
        return
      }
      expect(answer.error).toBe(ErrorCode.NONE)
      const kafkas = new RecordBatch(fromHex(answer.stored!))
      const ours = new RecordBatch(result.bytes)
      ours.stamp(kafkas.baseOffset, kafkas.partitionLeaderEpoch)
      expect(ours.isIntact(crypto)).toBe(true)
      if (result.codec === 0 || toHex(fromHex(answer.hex).subarray(61)) === toHex(kafkas.bytes.subarray(61))) {
        expect(toHex(ours.bytes)).toBe(answer.stored)
      } else {
        // compressed anew: another compressor's bytes, the same header and records
        expect(toHex(ours.bytes.subarray(21, 61))).toBe(toHex(kafkas.bytes.subarray(21, 61)))
        expect([...records(ours, compression)]).toEqual([...records(kafkas, compression)])
      }
      expect(result).toMatchObject({
        count: kafkas.recordCount,
        lastOffsetDelta: kafkas.lastOffsetDelta,
        maxTimestamp: kafkas.maxTimestamp,
        codec: kafkas.compressionCodec
      })
    })
  }
})
