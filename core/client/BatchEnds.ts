/**
 * How a producer's batches end: acknowledged, failed, or too old. Each ends once, leaves its partition's queue and its
 * memory, and its sequences are seen to. Who listens is told later, when all of the state has changed: they may send more.
 */
import { NO_SEQUENCE } from "../records/RecordBatch.ts"
import type { Accumulator, PartitionQueue } from "./Accumulator.ts"
import { type ClientError, RetriableError } from "./ClientError.ts"
import type { BatchResult, ProducerBatch } from "./ProducerBatch.ts"
import type { ProducerSettings } from "./ProducerSettings.ts"

export interface Ended {
  readonly batch: ProducerBatch
  readonly result: BatchResult
}

export class BatchEnds {
  readonly #settings: ProducerSettings
  readonly #accumulator: Accumulator
  #ended: Array<Ended> = []

  constructor(settings: ProducerSettings, accumulator: Accumulator) {
    this.#settings = settings
    this.#accumulator = accumulator
  }

  /** What ended since it was last asked. */
  take(): ReadonlyArray<Ended> {
    const ended = this.#ended
    if (ended.length > 0) this.#ended = []
    return ended
  }

  /** @param reusable whether the network holds no view of its bytes any more */
  acknowledge(queue: PartitionQueue, batch: ProducerBatch, baseOffset: number, logAppendTimeMs: number, reusable: boolean): void {
    const { inFlight, sequences } = queue
    if (this.#settings.isIdempotent) sequences.acknowledged(batch, inFlight)
    this.#accumulator.remove(queue, batch, reusable)
    this.#ended.push({ batch, result: { _tag: "Acknowledged", baseOffset, logAppendTimeMs } })
  }

  /** @param error one for all of its records, or one for each */
  fail(
    queue: PartitionQueue,
    batch: ProducerBatch,
    error: ClientError | ((index: number) => ClientError),
    reusable: boolean
  ): void {
    if (batch.isAppended) return this.acknowledge(queue, batch, -1, -1, reusable)
    // What has a sequence leaves a gap, unless it is in the log all the same.
    if (batch.baseSequence !== NO_SEQUENCE) queue.sequences.givenUp(batch, queue.inFlight)
    this.#accumulator.remove(queue, batch, reusable)
    const errorOf = typeof error === "function" ? error : () => error
    this.#ended.push({ batch, result: { _tag: "Failed", errorOf } })
  }

  failAll(error: ClientError): void {
    for (const queue of [...this.#accumulator.active]) {
      for (const batch of [...queue.inFlight, ...queue.queue]) this.fail(queue, batch, error, batch.state !== "InTransit")
    }
  }

  /**
   * Batches whose codec failed end here, before any of them is sent; those of a split one leave a gap in the sequences,
   * which `fail` sees to.
   */
  failUncompressed(): void {
    const { failed } = this.#accumulator
    if (failed.size === 0) return
    for (const queue of failed) {
      for (const batch of [...queue.inFlight, ...queue.queue]) {
        if (batch.failure !== undefined) this.fail(queue, batch, batch.failure, true)
      }
    }
    failed.clear()
  }

  /** Whether it is older than `delivery.timeout.ms`. */
  isDue(batch: ProducerBatch, nowMs: number): boolean {
    return batch.createdMs + this.#settings.deliveryTimeoutMs <= nowMs
  }

  expire(queue: PartitionQueue, batch: ProducerBatch, reusable: boolean): void {
    const sent = batch.attempts > 0 ? `; sent ${batch.attempts} time(s), so they may be in the log` : ""
    const error = new RetriableError(
      "TIMED_OUT",
      `${batch.count} record(s) for ${queue.name} were not acknowledged within delivery.timeout.ms, ` +
        `${this.#settings.deliveryTimeoutMs} ms${sent}`
    )
    this.fail(queue, batch, error, reusable)
  }

  /** Ends what is too old, wherever it is. @returns when the next one will be; Infinity: there is none */
  expireOld(nowMs: number): number {
    let nextMs = Infinity
    // A set may lose what is being looked at.
    for (const queue of this.#accumulator.active) {
      nextMs = Math.min(nextMs, this.#expireFirst(queue, queue.inFlight, nowMs), this.#expireFirst(queue, queue.queue, nowMs))
    }
    return nextMs
  }

  /** Of batches in the order of their age. */
  #expireFirst(queue: PartitionQueue, batches: ReadonlyArray<ProducerBatch>, nowMs: number): number {
    for (let first = batches[0]; first !== undefined; first = batches[0]) {
      if (!this.isDue(first, nowMs)) return first.createdMs + this.#settings.deliveryTimeoutMs
      this.expire(queue, first, first.state !== "InTransit")
    }
    return Infinity
  }
}
