/** Keeps asking for the topics that a consumer reads until they are known; matches its pattern again and again. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { Cluster } from "./Cluster.ts"
import type { ClusterView } from "./ClusterView.ts"
import type { ConsumerSettings } from "./ConsumerSettings.ts"
import type { FetcherHost } from "./Fetcher.ts"
import type { SubscriptionState } from "./SubscriptionState.ts"

export interface TopicsHost extends Pick<FetcherHost, "fail"> {
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** A topic is known that was not. */
  readonly changed: () => void
  /** All topics of the cluster, for a pattern. */
  readonly listed: (topics: ClusterView["topics"]) => void
}

export class ConsumerTopics {
  readonly #cluster: Cluster
  readonly #subscription: SubscriptionState
  readonly #settings: ConsumerSettings
  readonly #host: TopicsHost
  #asking: Fiber.Fiber<void> | undefined

  constructor(cluster: Cluster, subscription: SubscriptionState, settings: ConsumerSettings, host: TopicsHost) {
    this.#cluster = cluster
    this.#subscription = subscription
    this.#settings = settings
    this.#host = host
  }

  /** For what is subscribed and assigned now. */
  ask(): void {
    this.stop()
    this.#asking = this.#host.fork(this.#subscription.kind === "Pattern" ? this.#pattern : this.#names(this.#wanted()))
  }

  stop(): void {
    this.#asking?.interruptUnsafe()
  }

  /** Asks for topics that were deleted, perhaps to be made again. */
  onView(): void {
    if (this.#asking?.pollUnsafe() === undefined) return
    for (const name of this.#wanted()) if (this.#cluster.topic(name) === undefined) return this.ask()
  }

  #wanted(): ReadonlySet<string> {
    const names = new Set(this.#subscription.topics)
    for (const { topic } of this.#subscription.partitions.values()) names.add(topic)
    return names
  }

  readonly #pattern: Effect.Effect<void> = Effect.suspend(() => this.#cluster.allTopics).pipe(
    Effect.result,
    Effect.flatMap((result) => {
      if (Result.isFailure(result)) {
        if (result.failure.reason === "CLOSED") return Effect.never
        if (result.failure._tag === "FatalError") this.#host.fail(result.failure)
        return Effect.sleep(this.#settings.retryBackoffMaxMs)
      }
      this.#host.listed(result.success)
      return Effect.andThen(this.#names(this.#wanted()), Effect.sleep(this.#settings.metadataMaxAgeMs))
    }),
    Effect.forever
  )

  /** Each for itself: one that does not exist keeps no other waiting. */
  #names(names: Iterable<string>): Effect.Effect<void> {
    return Effect.forEach(names, (name) => this.#name(name), { concurrency: "unbounded", discard: true })
  }

  #name(name: string): Effect.Effect<void> {
    return this.#cluster.topics([name], { allowAutoCreate: this.#settings.allowAutoCreate }).pipe(
      Effect.result,
      Effect.flatMap((result) => {
        if (Result.isSuccess(result)) return Effect.sync(this.#host.changed)
        if (result.failure.reason === "CLOSED") return Effect.void
        if (result.failure._tag === "RetriableError") {
          return Effect.andThen(Effect.sleep(this.#settings.retryBackoffMs), Effect.suspend(() => this.#name(name)))
        }
        this.#host.fail(result.failure)
        return Effect.void
      })
    )
  }
}
