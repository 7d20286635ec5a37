/**
 * Those who wait for room in `buffer.memory`, in the order of their asking: whoever asks for little does not overtake who
 * asks for much, so a record of any size gets its turn. Each holds one record, and leaves when it is interrupted.
 */
import * as Effect from "effect/Effect"
import type { PartitionQueue } from "./Accumulator.ts"
import { type ClientError, RetriableError } from "./ClientError.ts"
import type { ProducerRecord, SendListener } from "./Producer.ts"

/** Why a record was not accepted, when trying again may help. */
export type Refusal = "NoMetadata" | "NoPartition" | "NoMemory"

interface Waiter {
  readonly topic: string
  /** Undefined: only wants to know that there is room for one. */
  readonly record: ProducerRecord | undefined
  /** What it would claim. */
  readonly claimBytes: number
  readonly listener: SendListener | undefined
  readonly resume: (result: PartitionQueue | undefined | ClientError) => void
}

export interface MemoryLineHost {
  readonly hasRoom: (claimBytes: number) => boolean
  readonly append: (record: ProducerRecord, listener: SendListener | undefined) => PartitionQueue | Refusal | ClientError
  /** Nothing is accepted any more; undefined: it is. */
  readonly closed: () => ClientError | undefined
  /** Somebody waits: what fills the memory is to be sent. */
  readonly onWait: () => void
}

export class MemoryLine {
  readonly #host: MemoryLineHost
  readonly #waiters: Set<Waiter> = new Set()

  constructor(host: MemoryLineHost) {
    this.#host = host
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0
  }

  /** Done when there may be room for so much. */
  room(topic: string, claimBytes: number): Effect.Effect<void, ClientError> {
    return Effect.asVoid(this.#wait(topic, undefined, undefined, claimBytes))
  }

  /** Accepts the record when its turn comes. */
  accept(record: ProducerRecord, listener: SendListener | undefined): Effect.Effect<PartitionQueue, ClientError> {
    return Effect.map(this.#wait(record.topic, record, listener, 0), (queue) => queue!)
  }

  #wait(
    topic: string,
    record: ProducerRecord | undefined,
    listener: SendListener | undefined,
    claimBytes: number
  ): Effect.Effect<PartitionQueue | undefined, ClientError> {
    return Effect.callback<PartitionQueue | undefined, ClientError>((resume) => {
      const waiter: Waiter = {
        topic,
        record,
        listener,
        claimBytes,
        resume: (result) => resume(result instanceof Error ? Effect.fail(result) : Effect.succeed(result))
      }
      this.#waiters.add(waiter)
      this.serve()
      if (this.#waiters.has(waiter)) this.#host.onWait()
      return Effect.sync(() => {
        if (this.#waiters.delete(waiter)) this.serve()
      })
    })
  }

  /** There may be room, or nothing is accepted any more. */
  serve(): void {
    for (const waiter of this.#waiters) {
      const closed = this.#host.closed()
      if (closed !== undefined) {
        this.#waiters.delete(waiter)
        waiter.resume(closed)
        continue
      }
      if (waiter.record === undefined) {
        if (!this.#host.hasRoom(waiter.claimBytes)) return
        this.#waiters.delete(waiter)
        waiter.resume(undefined)
        continue
      }
      const result = this.#host.append(waiter.record, waiter.listener)
      if (result === "NoMemory") return
      this.#waiters.delete(waiter)
      if (typeof result === "string") {
        waiter.resume(new RetriableError("TIMED_OUT", `topic ${waiter.topic} went away while a record waited for memory`))
      } else waiter.resume(result)
    }
  }
}
