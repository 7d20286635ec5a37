/**
 * What makes a retry harmless (KIP-98, KIP-360): a producer id and epoch, and for each partition sequences that count
 * its records, by which the broker knows what it has already and what is missing.
 *
 * Where a sequence is lost for good (a batch failed, or its log lost records) the batches behind it can only be refused;
 * the producer then takes the next epoch and counts that partition from 0 again. Kafka's client rewrites what is in
 * flight at once. Here it is rewritten when nothing of the partition is in transit and every batch that may have been
 * appended has been asked for again under its old sequence: else one whose answer was lost would be in the log twice.
 *
 * Kafka's broker keeps only the last batch of a producer over a restart, not the last five. Of five that it appended and
 * could not answer it then refuses four as out of order. When it knows the fifth, the four are in the log too.
 */
import { ErrorCode, isRetriable } from "../protocol/ErrorCode.ts"
import { incrementSequence, NO_PRODUCER_EPOCH, NO_PRODUCER_ID } from "../records/RecordBatch.ts"
import type { ProducerBatch } from "./ProducerBatch.ts"

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

/** After it comes a new producer id. */
export const MAX_PRODUCER_EPOCH = 32_767

/** Which id and epoch a producer's batches get from now on, and whether a broker is to be asked for an id. */
export class ProducerIdentities {
  #current: ProducerIdentity | undefined
  #isAsked = false
  #notBeforeMs = 0
  #failures = 0

  /** Of batches that are sent the first time; undefined: none is known. */
  get current(): ProducerIdentity | undefined {
    return this.#current
  }

  /** When a broker is to be asked for an id; Infinity: not before something else happens. */
  get askAtMs(): number {
    return this.#current !== undefined || this.#isAsked ? Infinity : this.#notBeforeMs
  }

  asked(): void {
    this.#isAsked = true
  }

  answered(identity: ProducerIdentity): void {
    this.#current = identity
    this.#isAsked = false
    this.#failures = 0
  }

  /** @param backoffMs after so many failures in a row */
  failed(nowMs: number, backoffMs: (failures: number) => number): void {
    this.#isAsked = false
    this.#notBeforeMs = nowMs + backoffMs(++this.#failures)
  }

  /** The next epoch; when this id has none left, another id is to be asked for. */
  bump(): void {
    if (this.#current === undefined) return
    const { producerEpoch, producerId } = this.#current
    this.#current = producerEpoch >= MAX_PRODUCER_EPOCH ? undefined : { producerId, producerEpoch: producerEpoch + 1 }
  }
}

/** What one partition knows of its sequences. */
export class PartitionSequences {
  producerId: number = NO_PRODUCER_ID
  producerEpoch: number = NO_PRODUCER_EPOCH
  /** Of the next record that is sent the first time. */
  next = 0
  /** Behind the last one acknowledged. */
  ackedNext = 0
  /**
   * Whether the broker has appended anything under this id and epoch. Until then only one batch is in flight: a broker
   * without any state of a producer takes every sequence, so a second batch would be appended where the first was refused.
   */
  isEstablished = false
  /** A sequence was lost, or may have been: nothing new is sent under this epoch. */
  needsBump = false
  #ordinal = 0

  isOf(identity: ProducerIdentity | undefined): boolean {
    return identity !== undefined && this.producerEpoch === identity.producerEpoch && this.producerId === identity.producerId
  }

  /**
   * How many batches there are from the oldest in flight to the newest ever sent, those acknowledged since among them.
   * A broker remembers the last five: one that is older would be refused as out of order although it is in the log.
   */
  spanOf(inFlight: ReadonlyArray<ProducerBatch>): number {
    return inFlight.length === 0 ? 0 : this.#ordinal - inFlight[0]!.ordinal
  }

  /** Gives a batch that is sent the first time its place. */
  assign(batch: ProducerBatch): void {
    batch.ordinal = this.#ordinal++
    batch.identify(this.producerId, this.producerEpoch, this.next)
    this.next = batch.nextSequence
  }

  /**
   * A broker appends a batch only behind the one before it: whichever of those in flight before this one may have been
   * appended, was.
   */
  acknowledged(batch: ProducerBatch, inFlight: ReadonlyArray<ProducerBatch>): void {
    this.isEstablished = true
    for (const earlier of inFlight) {
      if (earlier === batch) break
      if (earlier.maybeAppended || earlier.state === "InTransit") earlier.isAppended = true
    }
    // Sequences wrap: the later one is less than half the circle ahead.
    if (((batch.nextSequence - this.ackedNext) & 0x7fff_ffff) < 0x4000_0000) this.ackedNext = batch.nextSequence
  }

  /** A batch that may be in the log will not be asked for again. */
  givenUp(batch: ProducerBatch, inFlight: ReadonlyArray<ProducerBatch>): void {
    this.needsBump = true
    if (!batch.maybeAppended && batch.state !== "InTransit") return
    for (const earlier of inFlight) {
      if (earlier === batch) return
      earlier.lostItsWitness = true
    }
  }

  /** Whether all that was ever sent was acknowledged, whatever became of batches that were given up. */
  get hasNoGap(): boolean {
    return this.ackedNext === this.next
  }

  /** Starts at 0 under another identity; `inFlight` are known not to be in the log. */
  restart(identity: ProducerIdentity, inFlight: ReadonlyArray<ProducerBatch>): void {
    this.producerId = identity.producerId
    this.producerEpoch = identity.producerEpoch
    this.ackedNext = 0
    this.needsBump = false
    this.isEstablished = false
    let sequence = 0
    for (const batch of inFlight) {
      batch.maybeAppended = false
      batch.isOutOfOrder = false
      batch.identify(identity.producerId, identity.producerEpoch, sequence)
      sequence = incrementSequence(sequence, batch.count)
    }
    this.next = sequence
  }
}

/**
 * What an error says of a batch that a broker was asked to append.
 * - `Duplicate`: it is in the log already, which is what was wanted.
 * - `OutOfOrder`: it does not follow on the last batch that the broker knows of this producer.
 * - `Retry`, `Fail`: as for every producer.
 */
export type Judgement = "Duplicate" | "OutOfOrder" | "Retry" | "Fail"

export const judge = (errorCode: number, isIdempotent: boolean, batch: ProducerBatch): Judgement => {
  if (errorCode === ErrorCode.DUPLICATE_SEQUENCE_NUMBER) return "Duplicate"
  if (isIdempotent && (errorCode === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER || errorCode === ErrorCode.UNKNOWN_PRODUCER_ID)) {
    return batch.isAppended ? "Duplicate" : "OutOfOrder"
  }
  return isRetriable(errorCode) ? "Retry" : "Fail"
}

/** Answers that a broker gives before it appends: they leave open what an earlier attempt did, and did nothing themselves. */
const refusals: ReadonlySet<number> = new Set<number>([
  ErrorCode.CORRUPT_MESSAGE,
  ErrorCode.INVALID_PRODUCER_EPOCH,
  ErrorCode.INVALID_RECORD,
  ErrorCode.INVALID_REQUIRED_ACKS,
  ErrorCode.INVALID_TIMESTAMP,
  ErrorCode.INVALID_TOPIC_EXCEPTION,
  ErrorCode.MESSAGE_TOO_LARGE,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  ErrorCode.RECORD_LIST_TOO_LARGE,
  ErrorCode.TOPIC_AUTHORIZATION_FAILED,
  ErrorCode.UNKNOWN_PRODUCER_ID,
  ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
  ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT
])

/**
 * Whether the attempt that got this answer may have appended the batch all the same: a leader that was deposed while it
 * waited for its followers answers NOT_LEADER_OR_FOLLOWER for what they may have.
 */
export const mayHaveAppended = (errorCode: number): boolean => !refusals.has(errorCode)
