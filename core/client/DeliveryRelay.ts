/**
 * Sends what a source holds, by a delivery: an outbox table, a file, a device that repeats until it is told. The
 * source is to records sent what a position is to records read: released before they are sent, they are sent at most
 * once; released when a broker has answered, at least once.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Network } from "../ports/Network.ts"
import type { ClientError } from "./ClientError.ts"
import { producerConfig, ProducerDelivery, type Released, type Sent } from "./Delivery.ts"
import { layer as layerOfProducer, Producer, type ProducerConfig, type ProducerRecord, type SendHandle } from "./Producer.ts"

/** A few records that are sent and released together. All of them wait in the producer at once. */
export interface SourceBatch<E, R> {
  readonly records: ReadonlyArray<ProducerRecord>
  /** The source forgets them: it must not give them again, not even after a crash. */
  readonly release: Effect.Effect<unknown, E, R>
}

export interface RelaySource<E, R> {
  /** The next records that were not released, or undefined at the end; waits while there are none. */
  readonly next: Effect.Effect<SourceBatch<E, R> | undefined, E, R>
}

export interface Relayed {
  /** Records that were sent (at least once: acknowledged). */
  readonly sent: number
  /** At most once: released, and then refused by the producer in a way that might have passed. */
  readonly lost: number
}

interface Step {
  readonly _: unique symbol
}
const token: unknown = Object.freeze({})

/**
 * Relays until the source ends, then flushes. Fails with a FatalError of the producer (nothing gets through as it is),
 * with a RetriableError where the delivery does not try again by itself, and as the source fails. What was not
 * released comes again from the source with the next relay.
 */
export const relay = <E, R>(
  source: RelaySource<E, R>
): Effect.Effect<Relayed, ClientError | E, R | Producer | ProducerDelivery> =>
  Effect.gen(function*() {
    return yield* relayWith(yield* Producer, yield* ProducerDelivery, source)
  })

/** {@link relay} with its services as arguments. */
export const relayWith = <E, R>(
  producer: Pick<Producer, "enqueue" | "forget" | "flush">,
  delivery: ProducerDelivery,
  source: RelaySource<E, R>
): Effect.Effect<Relayed, ClientError | E, R> =>
  Effect.gen(function*() {
    let sent = 0
    let lost = 0
    while (true) {
      const batch = yield* source.next
      if (batch === undefined) break
      const release = Effect.as(batch.release, token as Released<Step>)
      if (delivery.semantics === "AtMostOnce") {
        // One that is refused is gone: it was released. What would be refused for ever ends the relay.
        const send = Effect.forEach(batch.records, (record) =>
          Effect.matchEffect(producer.forget(record), {
            onSuccess: () =>
              Effect.sync(() => {
                sent++
              }),
            onFailure: (error) => {
              if (error._tag === "FatalError") return Effect.fail(error)
              lost++
              return Effect.logWarning(`a record for ${record.topic} is lost: ${error.message}`)
            }
          }), { discard: true })
        yield* delivery.run<Step, E, R>({ release, send: () => Effect.as(send, token as Sent<Step>) })
      } else {
        let waiting = batch.records
        const send = Effect.suspend(() =>
          Effect.map(sendAll(producer, waiting), (failed) => {
            sent += waiting.length - failed.records.length
            waiting = failed.records
            return failed.error
          })
        ).pipe(
          Effect.flatMap((error) => (error === undefined ? Effect.succeed(token as Sent<Step>) : Effect.fail(error)))
        )
        yield* delivery.run<Step, E, R>({ send, release: () => release })
      }
    }
    yield* producer.flush
    return { sent, lost }
  })

/**
 * A Producer under the configuration of a delivery, and the delivery beside it.
 * Fails with FatalError INVALID_ARGUMENT where `config` says otherwise than the delivery.
 */
export const relayLayer = (
  delivery: ProducerDelivery,
  config: ProducerConfig
): Layer.Layer<Producer | ProducerDelivery, ClientError, Network | Compression | Crypto> => {
  const needed = producerConfig(delivery, config)
  return Layer.merge(
    Layer.succeed(ProducerDelivery, delivery),
    needed instanceof Error ? Layer.effect(Producer, Effect.fail(needed)) : layerOfProducer(needed)
  )
}

/** Those that were not acknowledged, and why: the fatal reason where there is one. */
const sendAll = (
  producer: Pick<Producer, "enqueue">,
  records: ReadonlyArray<ProducerRecord>
): Effect.Effect<{ readonly records: ReadonlyArray<ProducerRecord>; readonly error: ClientError | undefined }> =>
  Effect.gen(function*() {
    const handles: Array<SendHandle | ClientError> = []
    for (const record of records) {
      handles.push(yield* Effect.catch(producer.enqueue(record), (error) => Effect.succeed(error)))
    }
    const failed: Array<ProducerRecord> = []
    let reason: ClientError | undefined
    for (const [index, handle] of handles.entries()) {
      const error = handle instanceof Error
        ? handle
        : yield* Effect.match(handle.acknowledged, { onSuccess: () => undefined, onFailure: (error) => error })
      if (error === undefined) continue
      failed.push(records[index]!)
      if (reason === undefined || reason._tag === "RetriableError") reason = error
    }
    return { records: failed, error: reason }
  })
