/**
 * What a coordinator is to the runtime: a pure, synchronous state machine over the log of one partition of an internal
 * topic. Requests decide records and replies; `replay` of the records changes what the log remembers, on the live path
 * at append, after a restart while loading. What a log cannot remember (who waits for an answer, whose session is how
 * old) is soft state, which the machine changes as it decides and which a restart loses, as in Kafka.
 */
import type { Now } from "../model/Time.ts"
import { ErrorCode } from "../protocol/ErrorCode.ts"

/** Records that are appended together, or not at all, and what follows from that. */
export interface Append<Record> {
  /** Empty: only waits until all that was appended before is committed, so that no answer tells what may be lost. */
  readonly records: ReadonlyArray<Record>
  /** Whether the records are replayed at append. False where they write down soft state, which has changed already. */
  readonly replay: boolean
  /** Called once: with NONE when the records are committed, else with why they are not (already `coordinatorError`). */
  readonly settle: (error: number, now: Now) => Step<Record>
}

/** What a machine wants done after it took a step. */
export interface Step<Record> {
  /** Answers that wait for nothing. Called after the step, when the machine may be asked again. */
  readonly replies: ReadonlyArray<() => void>
  readonly appends: ReadonlyArray<Append<Record>>
}

/** Collects one step. */
export class StepBuilder<Record> implements Step<Record> {
  readonly replies: Array<() => void> = []
  readonly appends: Array<Append<Record>> = []

  reply<Response>(answer: (response: Response) => void, response: Response): void {
    this.replies.push(() => answer(response))
  }

  append(append: Append<Record>): void {
    this.appends.push(append)
  }

  /** For the step that follows when an append of this one is settled. */
  next(): StepBuilder<Record> {
    return new StepBuilder()
  }

  /** Answers when the records, and all before them, are committed. */
  replyAfter<Response>(
    records: ReadonlyArray<Record>,
    answer: (response: Response) => void,
    response: Response,
    failed: (error: number) => Response
  ): void {
    this.append({
      records,
      replay: true,
      settle: (error) => ({
        replies: [() => answer(error === ErrorCode.NONE ? response : failed(error))],
        appends: []
      })
    })
  }
}

export interface CoordinatorState<Record> {
  /**
   * Takes over what a record says. `offset` is the record's own in the log.
   * @returns takes it back, in case the write fails; called in the opposite order of the replays
   */
  replay(record: Record, offset: number): () => void
  /** All of the log is replayed: from now on requests come. */
  loaded(now: Now): Step<Record>
  /** Another broker coordinates this partition now, or none: answers everyone who waits. The machine is not used again. */
  unloaded(): Step<Record>
  /** When a timer is due at the earliest, by the monotonic clock; Infinity: none is set. */
  readonly nextDeadlineMs: number
  /** Handles one timer that is due; undefined when none is. */
  fire(now: Now): Step<Record> | undefined
}

export interface EncodedRecord {
  readonly key: Uint8Array
  /** Null: a tombstone. */
  readonly value: Uint8Array | null
}

export interface RecordCodec<Record> {
  readonly encode: (record: Record) => EncodedRecord
  /**
   * Undefined for a kind of record that this coordinator does not know, which is skipped.
   * What it returns must not point into `key` or `value`.
   * @throws ProtocolError
   */
  readonly decode: (key: Uint8Array, value: Uint8Array | null) => Record | undefined
}

/** What an append's error is called by a coordinator: a client knows what to do about these. */
export const coordinatorError = (error: number): number => {
  switch (error) {
    case ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
    case ErrorCode.NOT_ENOUGH_REPLICAS:
    case ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case ErrorCode.REQUEST_TIMED_OUT:
      return ErrorCode.COORDINATOR_NOT_AVAILABLE
    case ErrorCode.NOT_LEADER_OR_FOLLOWER:
    case ErrorCode.KAFKA_STORAGE_ERROR:
      return ErrorCode.NOT_COORDINATOR
    case ErrorCode.MESSAGE_TOO_LARGE:
    case ErrorCode.RECORD_LIST_TOO_LARGE:
    case ErrorCode.INVALID_FETCH_SIZE:
    case ErrorCode.INVALID_RECORD:
      return ErrorCode.UNKNOWN_SERVER_ERROR
    default:
      return error
  }
}
