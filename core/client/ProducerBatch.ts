/**
 * A batch on its way: records are encoded straight into its buffer as they are accepted, then it is closed (and
 * compressed), given its producer id and sequence, and sent until it is acknowledged or failed.
 *
 * The format is that of records/Record.ts and records/RecordBatch.ts. `BatchBuilder` writes the same bytes; this one
 * has a buffer that comes from a pool, knows its listeners, and can have its header written again with another
 * producer epoch (KIP-360).
 */
import { invariant } from "../model/Invariant.ts"
import type { Compression, CompressionCodec } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { compressWith, decompressWith } from "../records/Codec.ts"
import { type RecordHeader, RecordReader } from "../records/Record.ts"
import {
  incrementSequence,
  NO_LEADER_EPOCH,
  NO_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  NO_SEQUENCE,
  RECORD_BATCH_OVERHEAD,
  writeBatchHeader
} from "../records/RecordBatch.ts"
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from "../records/Varint.ts"
import { type ClientError, FatalError } from "./ClientError.ts"
import type { RecordMetadata, SendListener } from "./Producer.ts"
import type { ProducerMemory } from "./ProducerMemory.ts"

/**
 * - `Open`: takes records.
 * - `Closed`: waits to be sent the first time.
 * - `InTransit`: in a request that has no answer yet.
 * - `Retry`: was sent and is to be sent again.
 * - `Done`: acknowledged, failed, or split into others.
 */
export type BatchState = "Open" | "Closed" | "InTransit" | "Retry" | "Done"

export const NO_HEADERS: ReadonlyArray<RecordHeader> = []

/** Most that a record takes beside its key, value and headers: length, attributes, deltas, three counts. */
const MAX_RECORD_OVERHEAD = 5 + 1 + 10 + 5 + 5 + 5 + 5
/** Copying fewer bytes by hand is faster than a call of `set`. */
const COPY_BY_HAND_BELOW = 24

const encoder: TextEncoder = new TextEncoder()

const utf8Length = (text: string): number => {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return encoder.encode(text).length
  return text.length
}

const sizeOfHeaders = (headers: ReadonlyArray<RecordHeader>): number => {
  let size = 0
  for (const { key, value } of headers) {
    const keyLength = utf8Length(key)
    size += sizeOfVarint(keyLength) + keyLength + (value === null ? 1 : sizeOfVarint(value.length) + value.length)
  }
  return size
}

/** What a batch of only this record takes at most, in bytes: what `max.request.size` and `buffer.memory` look at. */
export const maxSizeOfOne = (
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: ReadonlyArray<RecordHeader>
): number =>
  RECORD_BATCH_OVERHEAD + MAX_RECORD_OVERHEAD + (key === null ? 0 : key.length) + (value === null ? 0 : value.length) +
  (headers.length === 0 ? 0 : sizeOfHeaders(headers))

/** What an ended batch tells its listeners. */
export type BatchResult =
  | { readonly _tag: "Acknowledged"; readonly baseOffset: number; readonly logAppendTimeMs: number }
  /** One error for all, or one for each record. */
  | { readonly _tag: "Failed"; readonly errorOf: (index: number) => ClientError }

export class ProducerBatch {
  readonly topic: string
  readonly partition: number
  readonly createdMs: number
  /** Of `buffer.memory`. */
  claimedBytes: number
  state: BatchState = "Open"
  /** How often it was sent. */
  attempts = 0
  /** When it may be sent again. */
  retryAtMs = 0
  /** The leader epoch known when it was last sent: a newer one needs no backoff (KIP-951). */
  sentLeaderEpoch = -1
  /** Whether an attempt without a clear answer may have put it into the log. */
  maybeAppended = false
  /** Whether the last answer was that something before it is missing. A broker that restarted says so of all but its last. */
  isOutOfOrder = false
  /** Known to be in the log, because one behind it was appended. */
  isAppended = false
  /** One behind it was given up that might have shown it to be in the log. Refused as out of order it is given up too. */
  lostItsWitness = false
  /** Counts the batches of its partition in the order of their sequences; parts of one share its number. */
  ordinal = 0
  /** Its codec failed: it can never be sent. */
  failure: FatalError | undefined
  producerId: number = NO_PRODUCER_ID
  producerEpoch: number = NO_PRODUCER_EPOCH
  baseSequence: number = NO_SEQUENCE
  /** Called once when the batch has ended and its listeners have been told. */
  readonly endListeners: Array<() => void> = []

  #bytes: Uint8Array
  #position: number = RECORD_BATCH_OVERHEAD
  /** Where the records end, before compression. */
  #limit: number
  #count = 0
  #baseTimestamp = -1
  #maxTimestamp = -1
  #codec: 0 | CompressionCodec = 0
  #uncompressedBytes = 0
  /** By record; both undefined as long as nobody listens. */
  #listeners: Array<SendListener | undefined> | undefined
  #timestamps: Array<number> = []
  /** What the header was written with; a retry with the same needs no new CRC. */
  #isSealed = false

  /** @param limitBytes what it may grow to with more than one record, before compression */
  constructor(topic: string, partition: number, createdMs: number, buffer: Uint8Array, claimedBytes: number, limitBytes: number) {
    this.topic = topic
    this.partition = partition
    this.createdMs = createdMs
    this.#bytes = buffer
    this.claimedBytes = claimedBytes
    this.#limit = limitBytes
  }

  get count(): number {
    return this.#count
  }
  /** What it takes in a request, as far as is known. */
  get sizeInBytes(): number {
    return this.#position
  }
  /** As `sizeInBytes`, had it no codec. */
  get uncompressedSizeInBytes(): number {
    return this.#codec === 0 ? this.#position : RECORD_BATCH_OVERHEAD + this.#uncompressedBytes
  }
  get isFull(): boolean {
    return this.#position >= this.#limit
  }
  get lastSequence(): number {
    return incrementSequence(this.baseSequence, this.#count - 1)
  }
  get nextSequence(): number {
    return incrementSequence(this.baseSequence, this.#count)
  }
  /** Compressed to uncompressed size of the records. */
  get compressionRatio(): number {
    const bytes = this.#uncompressedBytes
    return bytes === 0 ? 1 : (this.#position - RECORD_BATCH_OVERHEAD) / bytes
  }

  /** @returns the bytes that the record took, 0 when there is no room for it; a first record always has room */
  append(
    timestamp: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: ReadonlyArray<RecordHeader>,
    listener: SendListener | undefined,
    memory: ProducerMemory
  ): number {
    const count = this.#count
    const delta = count === 0 ? 0 : timestamp - this.#baseTimestamp
    const keyLength = key === null ? -1 : key.length
    const valueLength = value === null ? -1 : value.length
    let size = 1 + (delta >= 0 && delta < 64 ? 1 : sizeOfVarlong(delta)) + sizeOfVarint(count) + sizeOfVarint(keyLength) +
      (keyLength > 0 ? keyLength : 0) + sizeOfVarint(valueLength) + (valueLength > 0 ? valueLength : 0)
    size += headers.length === 0 ? 1 : sizeOfVarint(headers.length) + sizeOfHeaders(headers)
    const total = sizeOfVarint(size) + size
    let at = this.#position
    const end = at + total
    if (end > this.#limit && count > 0) return 0
    if (end > this.#bytes.length) this.#grow(end, memory)
    const bytes = this.#bytes
    if (count === 0) this.#baseTimestamp = timestamp
    at = writeVarint(bytes, at, size)
    bytes[at++] = 0
    if (delta >= 0 && delta < 64) bytes[at++] = delta << 1
    else at = writeVarlong(bytes, at, delta)
    at = writeVarint(bytes, at, count)
    at = writeVarint(bytes, at, keyLength)
    if (keyLength > 0) at = copyInto(bytes, at, key!)
    at = writeVarint(bytes, at, valueLength)
    if (valueLength > 0) at = copyInto(bytes, at, value!)
    if (headers.length === 0) bytes[at] = 0
    else this.#writeHeaders(at, headers)
    this.#position = end
    this.#count = count + 1
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
    if (listener !== undefined || this.#listeners !== undefined) this.#listen(count, timestamp, listener)
    return total
  }

  #writeHeaders(from: number, headers: ReadonlyArray<RecordHeader>): void {
    const bytes = this.#bytes
    let at = writeVarint(bytes, from, headers.length)
    for (const { key, value } of headers) {
      const keyBytes = encoder.encode(key)
      at = copyInto(bytes, writeVarint(bytes, at, keyBytes.length), keyBytes)
      at = writeVarint(bytes, at, value === null ? -1 : value.length)
      if (value !== null) at = copyInto(bytes, at, value)
    }
  }

  #listen(index: number, timestamp: number, listener: SendListener | undefined): void {
    const listeners = this.#listeners ??= []
    while (listeners.length < index) {
      listeners.push(undefined)
      this.#timestamps.push(-1)
    }
    listeners.push(listener)
    this.#timestamps.push(timestamp)
  }

  #grow(needed: number, memory: ProducerMemory): void {
    const old = this.#bytes
    const grown = new Uint8Array(Math.max(needed, Math.min(this.#limit, old.length * 2)))
    grown.set(old.subarray(0, this.#position))
    this.#bytes = grown
    if (grown.length > this.claimedBytes) {
      memory.addClaim(grown.length - this.claimedBytes)
      this.claimedBytes = grown.length
    }
    memory.giveBack(old)
  }

  /** No more records; compresses. Where that fails, `failure` says so. */
  close(codec: 0 | CompressionCodec, level: number | undefined, compression: Compression): void {
    invariant(this.state === "Open", `a batch that is ${this.state} is closed`)
    this.state = "Closed"
    if (codec === 0) return
    this.#codec = codec
    this.#uncompressedBytes = this.#position - RECORD_BATCH_OVERHEAD
    let packed: Uint8Array
    try {
      packed = compressWith(compression, codec, this.#bytes.subarray(RECORD_BATCH_OVERHEAD, this.#position), level)
    } catch (error) {
      return this.#failed("compressed", error)
    }
    const end = RECORD_BATCH_OVERHEAD + packed.length
    const bytes = end <= this.#bytes.length ? this.#bytes : new Uint8Array(end)
    bytes.set(packed, RECORD_BATCH_OVERHEAD)
    this.#bytes = bytes
    this.#position = end
  }

  #failed(what: string, error: unknown): void {
    const words = error instanceof Error ? error.message : String(error)
    const message = `${this.#count} record(s) for ${this.topic}-${this.partition} could not be ${what} and were not sent: ${words}`
    this.failure = Object.assign(new FatalError("COMPRESSION", message), { cause: error })
  }

  /** Another producer id, epoch or sequence than before: the header is written again before it is sent. */
  identify(producerId: number, producerEpoch: number, baseSequence: number): void {
    this.producerId = producerId
    this.producerEpoch = producerEpoch
    this.baseSequence = baseSequence
    this.#isSealed = false
  }

  /** The batch as it is sent: a view on its buffer, which must not be given back before the network is done with it. */
  toBytes(crypto: Crypto): Uint8Array {
    const bytes = this.#bytes
    const end = this.#position
    if (!this.#isSealed) {
      this.#isSealed = true
      writeBatchHeader(bytes, 0, end, {
        baseOffset: 0,
        lastOffsetDelta: this.#count - 1,
        leaderEpoch: NO_LEADER_EPOCH,
        attributes: this.#codec,
        baseTimestamp: this.#baseTimestamp,
        maxTimestamp: this.#maxTimestamp,
        producerId: this.producerId,
        producerEpoch: this.producerEpoch,
        baseSequence: this.baseSequence,
        recordCount: this.#count
      }, crypto)
    }
    return bytes.subarray(0, end)
  }

  /**
   * Two or more batches with the same records in the same order, each of at most `targetBytes` unless one record is
   * larger. They have the listeners now, and no part of `buffer.memory` but what `memory` counts for them here. None when
   * its codec fails: `failure` says so.
   */
  split(targetBytes: number, compression: Compression, memory: ProducerMemory): Array<ProducerBatch> {
    const stored = this.#bytes.subarray(RECORD_BATCH_OVERHEAD, this.#position)
    const parts: Array<ProducerBatch> = []
    let bytes = stored
    if (this.#codec !== 0) {
      try {
        bytes = decompressWith(compression, this.#codec, stored, this.#uncompressedBytes)
        // A codec may be wrong without a word: what is no run of records must not become half of the parts.
        for (const whole = new RecordReader(bytes, this.#count); whole.next(););
      } catch (error) {
        this.#failed("split into smaller batches", error)
        return parts
      }
    }
    let part: ProducerBatch | undefined
    const reader = new RecordReader(bytes, this.#count)
    while (reader.next()) {
      const timestamp = this.#baseTimestamp + reader.timestampDelta
      const listener = this.#listeners?.[reader.index]
      const add = (to: ProducerBatch): number =>
        to.append(timestamp, reader.key(), reader.value(), reader.headers(), listener, memory)
      if (part === undefined || add(part) === 0) {
        const room = Math.max(targetBytes, RECORD_BATCH_OVERHEAD + reader.end - reader.start + MAX_RECORD_OVERHEAD)
        memory.addClaim(room)
        part = new ProducerBatch(this.topic, this.partition, this.createdMs, new Uint8Array(room), room, targetBytes)
        part.ordinal = this.ordinal
        parts.push(part)
        add(part)
      }
    }
    if (this.baseSequence !== NO_SEQUENCE) {
      let sequence = this.baseSequence
      for (const one of parts) {
        one.identify(this.producerId, this.producerEpoch, sequence)
        sequence = one.nextSequence
      }
    }
    return parts
  }

  /**
   * Tells every listener once. `onThrow` gets what a listener threw, which it must not.
   * The batch is `Done` before: a listener may send more.
   */
  tell(result: BatchResult, onThrow: (error: unknown) => void): void {
    const listeners = this.#listeners
    this.#listeners = undefined
    if (listeners !== undefined) {
      for (let index = 0; index < listeners.length; index++) {
        const listener = listeners[index]
        if (listener === undefined) continue
        try {
          listener(result._tag === "Failed" ? result.errorOf(index) : this.#metadataOf(index, result))
        } catch (error) {
          onThrow(error)
        }
      }
    }
    for (const listener of this.endListeners) listener()
  }

  #metadataOf(index: number, result: Extract<BatchResult, { readonly _tag: "Acknowledged" }>): RecordMetadata {
    return {
      topic: this.topic,
      partition: this.partition,
      offset: result.baseOffset < 0 ? -1 : result.baseOffset + index,
      timestamp: result.logAppendTimeMs >= 0 ? result.logAppendTimeMs : this.#timestamps[index]!
    }
  }

  /** Its memory is free for others. `reusable`: the network holds no view of it any more. */
  release(memory: ProducerMemory, reusable: boolean): void {
    memory.release(this.claimedBytes)
    this.claimedBytes = 0
    if (reusable) memory.giveBack(this.#bytes)
    this.#bytes = NOTHING
  }
}

const NOTHING: Uint8Array = new Uint8Array(0)

const copyInto = (target: Uint8Array, at: number, source: Uint8Array): number => {
  const length = source.length
  if (length < COPY_BY_HAND_BELOW) for (let i = 0; i < length; i++) target[at + i] = source[i]!
  else target.set(source, at)
  return at + length
}
