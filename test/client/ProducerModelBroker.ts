/**
 * A model of what brokers do with Produce requests, for the pure core of a producer: two nodes that lead partitions in
 * turn over the same logs, Kafka's rules for producer ids, epochs and sequences, and every way of not answering well.
 */
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { ProduceResponse, ProduceResponsePartitionProduceResponse } from "../../core/protocol/generated/Produce.ts"
import { readBatches, readRecords } from "../oracle/Batches.ts"

/** Batches of a producer that a partition remembers. */
const WINDOW = 5

interface Remembered {
  readonly first: number
  readonly last: number
  readonly offset: number
}

interface ProducerEntry {
  epoch: number
  window: Array<Remembered>
}

export class ModelPartition {
  leader = 0
  leaderEpoch = 0
  /** Values, by offset. */
  readonly log: Array<string> = []
  /** Bytes of a batch that it takes. */
  maxBytes: number = Infinity
  /** Values that it refuses, with their batch. */
  poison: (value: string) => boolean = () => false
  readonly #producers: Map<number, ProducerEntry> = new Map()

  /** @returns the base offset, or why nothing was appended */
  append(records: Uint8Array): { readonly errorCode: number; readonly baseOffset: number; readonly poisoned?: ReadonlyArray<number> } {
    const { batches, partialBytes } = readBatches(records)
    const batch = batches[0]
    if (batch === undefined || batches.length > 1 || partialBytes > 0 || !batch.crcIsRight) return refused(ErrorCode.CORRUPT_MESSAGE)
    if (records.length > this.maxBytes) return refused(ErrorCode.MESSAGE_TOO_LARGE)
    const values = readRecords(batch).map(({ value }) => text.decode(value!))
    const poisoned = values.flatMap((value, index) => this.poison(value) ? [index] : [])
    if (poisoned.length > 0) return { ...refused(ErrorCode.INVALID_RECORD), poisoned }
    const { baseSequence, producerEpoch, producerId } = batch
    if (producerId >= 0) {
      const last = (baseSequence + values.length - 1) & 0x7fff_ffff
      const entry = this.#producers.get(producerId)
      if (entry !== undefined && producerEpoch < entry.epoch) return refused(ErrorCode.INVALID_PRODUCER_EPOCH)
      if (entry !== undefined && producerEpoch === entry.epoch) {
        const known = entry.window.find((one) => one.first === baseSequence && one.last === last)
        if (known !== undefined) return { errorCode: ErrorCode.NONE, baseOffset: known.offset }
        if (baseSequence !== ((entry.window.at(-1)!.last + 1) & 0x7fff_ffff)) return refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
        entry.window.push({ first: baseSequence, last, offset: this.log.length })
        if (entry.window.length > WINDOW) entry.window.shift()
      } else {
        // Without any state every sequence is taken, with an older epoch's only 0.
        if (entry !== undefined && baseSequence !== 0) return refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
        this.#producers.set(producerId, { epoch: producerEpoch, window: [{ first: baseSequence, last, offset: this.log.length }] })
      }
    }
    const baseOffset = this.log.length
    this.log.push(...values)
    return { errorCode: ErrorCode.NONE, baseOffset }
  }

  /** A restart of Kafka's broker: of each producer it keeps the last batch. */
  restart(): void {
    for (const entry of this.#producers.values()) entry.window.splice(0, entry.window.length - 1)
  }
}

const text = new TextDecoder()
const refused = (errorCode: number) => ({ errorCode, baseOffset: -1 })

/** Before anything is appended. */
export const REFUSALS: ReadonlyArray<number> = [
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.CORRUPT_MESSAGE
]
/** Although it was appended. */
export const LIES: ReadonlyArray<number> = [
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  ErrorCode.REQUEST_TIMED_OUT,
  ErrorCode.KAFKA_STORAGE_ERROR
]

export const partitionAnswer = (
  index: number,
  errorCode: number,
  baseOffset: number,
  more: Partial<ProduceResponsePartitionProduceResponse> = {}
): ProduceResponsePartitionProduceResponse => ({
  index,
  errorCode,
  baseOffset,
  logAppendTimeMs: -1,
  logStartOffset: 0,
  recordErrors: [],
  errorMessage: null,
  currentLeader: { leaderId: -1, leaderEpoch: -1 },
  ...more
})

export const responseOf = (name: string, partitionResponses: ReadonlyArray<ProduceResponsePartitionProduceResponse>): ProduceResponse => ({
  responses: [{ name, topicId: "AAAAAAAAAAAAAAAAAAAAAA", partitionResponses }],
  throttleTimeMs: 0,
  nodeEndpoints: []
})
