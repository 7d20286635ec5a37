/**
 * How often a record is seen, as services with layers, for both sides. The order of effects that makes a semantics is
 * in its type: each effect of a step gives a token, and the effect that must come after it asks for that token. A
 * token belongs to its step alone (`S` is another type each time), so none can be kept from an earlier record.
 *
 * | side     | semantics      | order                                         | a crash in between      |
 * |----------|----------------|-----------------------------------------------|-------------------------|
 * | consumer | at most once   | save the position, then process               | loses, never repeats    |
 * | consumer | at least once  | process, then save the position               | repeats, never loses    |
 * | producer | at most once   | release from the source, then send once       | loses, never repeats    |
 * | producer | at least once  | send until answered, then release             | repeats, never loses    |
 * | producer | idempotent     | the same; the broker drops what it has        | repeats only over a restart of the program |
 *
 * Exactly once (a transaction that holds both the records sent and the positions saved) is one more member of these
 * unions, with the order begin, process, save, commit.
 *
 * Write one of your own with any effects between, and run `consumerDeliveryLaws` of `ottla/testing` on it:
 * ```ts
 * const thrice = Delivery.atLeastOnce({
 *   name: "at-least-once, three tries",
 *   run: (step) => Effect.flatMap(Effect.retry(step.process, { times: 2 }), step.save)
 * })
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { type ClientError, FatalError } from "./ClientError.ts"
import type { OffsetStoreError } from "./OffsetStore.ts"
import type { ProducerConfig } from "./Producer.ts"

declare const savedToken: unique symbol
declare const processedToken: unique symbol
declare const releasedToken: unique symbol
declare const sentToken: unique symbol

/** The position after the step's records is saved (at least once: or is among those that the interval saves). */
export interface Saved<in out S> {
  readonly [savedToken]: (step: S) => S
}
/** Every record of the step was processed. */
export interface Processed<in out S> {
  readonly [processedToken]: (step: S) => S
}
/** The source of the step's records will not give them again. */
export interface Released<in out S> {
  readonly [releasedToken]: (step: S) => S
}
/** The step's records were sent (at least once: and a broker has answered for each). */
export interface Sent<in out S> {
  readonly [sentToken]: (step: S) => S
}

/** What is done when positions cannot be saved. */
export interface SaveFailurePolicy {
  /** How often a save is tried again before it counts as failed. Default 0. */
  readonly retries: number
  /** Pause before each, in ms. Default 100. */
  readonly pauseMs: number
}

/** `save` saves the position after the step's records; only then can they be processed. */
export interface AtMostOnceStep<in out S, out E, out R> {
  readonly save: Effect.Effect<Saved<S>, OffsetStoreError>
  readonly process: (saved: Saved<S>) => Effect.Effect<Processed<S>, E, R>
}

export interface AtMostOnce {
  readonly semantics: "AtMostOnce"
  readonly name: string
  /** Records of one step: as many may be lost by a crash. */
  readonly every: { readonly records: number }
  /** A save that failed in the end fails the consumer: its records must not be processed. */
  readonly onSaveFailure: SaveFailurePolicy
  readonly run: <S, E, R>(step: AtMostOnceStep<S, E, R>) => Effect.Effect<Processed<S>, OffsetStoreError | E, R>
}

/** `process` processes the step's records; only then can the position after them be saved. */
export interface AtLeastOnceStep<in out S, out E, out R> {
  /** Run again after a failure, it goes on with the record that failed. */
  readonly process: Effect.Effect<Processed<S>, E, R>
  readonly save: (processed: Processed<S>) => Effect.Effect<Saved<S>, OffsetStoreError>
}

export interface AtLeastOnce {
  readonly semantics: "AtLeastOnce"
  readonly name: string
  /**
   * Positions are saved after so many records or so many ms, whichever is first; always before a partition is given
   * away and at the end. What a crash finds unsaved is processed again.
   */
  readonly every: { readonly records?: number; readonly ms?: number }
  /** `continue`: a save that failed in the end is logged, and the next one covers it: more may be repeated, none is lost. */
  readonly onSaveFailure: SaveFailurePolicy & { readonly otherwise: "fail" | "continue" }
  readonly run: <S, E, R>(step: AtLeastOnceStep<S, E, R>) => Effect.Effect<Saved<S>, OffsetStoreError | E, R>
}

export type ConsumerDelivery = AtMostOnce | AtLeastOnce
export const ConsumerDelivery: Context.Service<ConsumerDelivery, ConsumerDelivery> = Context.Service(
  "ottla/client/ConsumerDelivery"
)

const policy = (options: Partial<SaveFailurePolicy> | undefined): SaveFailurePolicy => ({
  retries: options?.retries ?? 0,
  pauseMs: options?.pauseMs ?? 100
})

const positive = (value: number, name: string): number => {
  if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} must be an integer of at least 1, not ${value}`)
  return value
}

/**
 * Saves the position, then processes.
 * @param options.run your own effects around and between the two
 * @param options.every default `{ records: 1 }`: a save for each record, none lost but the one in work
 * @throws RangeError for an interval below 1
 */
export const atMostOnce = (options?: {
  readonly name?: string
  readonly run?: AtMostOnce["run"]
  readonly every?: { readonly records: number }
  readonly onSaveFailure?: Partial<SaveFailurePolicy>
}): AtMostOnce => ({
  semantics: "AtMostOnce",
  name: options?.name ?? "at-most-once",
  every: { records: positive(options?.every?.records ?? 1, "every.records") },
  onSaveFailure: policy(options?.onSaveFailure),
  run: options?.run ?? ((step) => Effect.flatMap(step.save, step.process))
})

/**
 * Processes, then saves the position.
 * @param options.run your own effects around and between the two
 * @param options.every default `{ ms: 5000 }`, Kafka's auto.commit.interval.ms; `{ records: 1 }` saves after each
 * @throws RangeError for an interval below 1
 */
export const atLeastOnce = (options?: {
  readonly name?: string
  readonly run?: AtLeastOnce["run"]
  readonly every?: { readonly records?: number; readonly ms?: number }
  readonly onSaveFailure?: Partial<AtLeastOnce["onSaveFailure"]>
}): AtLeastOnce => {
  const every = options?.every ?? { ms: 5000 }
  if (every.records === undefined && every.ms === undefined) throw new RangeError("every needs records or ms")
  if (every.records !== undefined) positive(every.records, "every.records")
  if (every.ms !== undefined) positive(every.ms, "every.ms")
  return {
    semantics: "AtLeastOnce",
    name: options?.name ?? "at-least-once",
    every,
    onSaveFailure: { ...policy(options?.onSaveFailure), otherwise: options?.onSaveFailure?.otherwise ?? "fail" },
    run: options?.run ?? ((step) => Effect.flatMap(step.process, step.save))
  }
}

/** A consumer's delivery as a layer: one of the above, or your own. */
export const consumerLayer = (delivery: ConsumerDelivery): Layer.Layer<ConsumerDelivery> =>
  Layer.succeed(ConsumerDelivery, delivery)
export const atMostOnceLayer: Layer.Layer<ConsumerDelivery> = consumerLayer(atMostOnce())
export const atLeastOnceLayer: Layer.Layer<ConsumerDelivery> = consumerLayer(atLeastOnce())

/** `release` tells the source that it is done with the records; only then can they be sent, and once. */
export interface SendOnceStep<in out S, out E, out R> {
  readonly release: Effect.Effect<Released<S>, E, R>
  readonly send: (released: Released<S>) => Effect.Effect<Sent<S>, ClientError>
}

/** At most once: no answer is awaited or believed, nothing is sent again. */
export interface SendOnce {
  readonly semantics: "AtMostOnce"
  readonly name: string
  readonly config: { readonly "acks": "0"; readonly "retries": 0; readonly "enable.idempotence": false }
  readonly run: <S, E, R>(step: SendOnceStep<S, E, R>) => Effect.Effect<Sent<S>, ClientError | E, R>
}

/** `send` is done when a broker has answered for each record; only then can the source release them. */
export interface ResendStep<in out S, out E, out R> {
  /** Run again, it sends what was not acknowledged yet. */
  readonly send: Effect.Effect<Sent<S>, ClientError>
  readonly release: (sent: Sent<S>) => Effect.Effect<Released<S>, E, R>
}

/** At least once: sent again until answered, so that a lost answer makes a second copy. */
export interface Resend {
  readonly semantics: "AtLeastOnce"
  readonly name: string
  readonly config: { readonly "acks": "1" | "all"; readonly "retries": number; readonly "enable.idempotence": false }
  readonly run: <S, E, R>(step: ResendStep<S, E, R>) => Effect.Effect<Released<S>, ClientError | E, R>
}

/**
 * At least once, and the broker knows what is sent again by its producer id and sequence: one copy while the producer
 * lives. A send that is made again after it failed is a new record to the broker, so `run` must not.
 */
export interface Idempotent {
  readonly semantics: "Idempotent"
  readonly name: string
  readonly config: { readonly "acks": "all"; readonly "retries": number; readonly "enable.idempotence": true }
  readonly run: <S, E, R>(step: ResendStep<S, E, R>) => Effect.Effect<Released<S>, ClientError | E, R>
}

export type ProducerDelivery = SendOnce | Resend | Idempotent
export const ProducerDelivery: Context.Service<ProducerDelivery, ProducerDelivery> = Context.Service(
  "ottla/client/ProducerDelivery"
)

/** Kafka's default: as often as `delivery.timeout.ms` allows. */
const RETRIES = 2147483647
/** Between a send that failed in the end and its repetition, in ms: `retry.backoff.ms`'s default. */
const RESEND_PAUSE_MS = 100

/** Send once and never again. */
export const sendOnce: SendOnce = {
  semantics: "AtMostOnce",
  name: "send-once",
  config: { "acks": "0", "retries": 0, "enable.idempotence": false },
  run: (step) => Effect.flatMap(step.release, step.send)
}

/**
 * Resend until answered, also past `delivery.timeout.ms`: ends with an answer or a FatalError.
 * @param options.acks default "all"
 */
export const resend = (options?: { readonly acks?: "1" | "all" }): Resend => ({
  semantics: "AtLeastOnce",
  name: "resend",
  config: { "acks": options?.acks ?? "all", "retries": RETRIES, "enable.idempotence": false },
  run: (step) =>
    Effect.flatMap(
      Effect.retry(step.send, {
        while: (error) => error._tag === "RetriableError",
        // the producer has paused between its own retries; this is between its giving up and the next beginning
        schedule: Schedule.spaced(RESEND_PAUSE_MS)
      }),
      step.release
    )
})

/** Resend under the same sequence until `delivery.timeout.ms`. */
export const idempotent: Idempotent = {
  semantics: "Idempotent",
  name: "idempotent",
  config: { "acks": "all", "retries": RETRIES, "enable.idempotence": true },
  run: (step) => Effect.flatMap(step.send, step.release)
}

/** A producer's delivery as a layer: one of the above, or your own. */
export const producerLayer = (delivery: ProducerDelivery): Layer.Layer<ProducerDelivery> =>
  Layer.succeed(ProducerDelivery, delivery)

/**
 * The configuration that a producer needs for a delivery.
 * @returns FatalError INVALID_ARGUMENT where `config` says otherwise than the delivery: it would not hold
 */
export const producerConfig = (delivery: ProducerDelivery, config: ProducerConfig): ProducerConfig | FatalError => {
  for (const [key, needed] of Object.entries(delivery.config)) {
    const given = config[key as keyof typeof delivery.config]
    // acks "-1" is another spelling of "all"; fewer retries than the most are the user's to choose, none are not
    const same = given === undefined || given === needed || (key === "acks" && given === "-1" && needed === "all") ||
      (key === "retries" && needed !== 0 && given !== 0)
    if (!same) {
      return new FatalError("INVALID_ARGUMENT", `${key}=${String(given)} contradicts the delivery ${delivery.name}, which needs ${String(needed)}; leave it out`)
    }
  }
  return { ...delivery.config, ...config }
}
