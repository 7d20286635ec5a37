/** Keeps this node's image up to date with the store: lists, then watches, and lists again when a watch breaks. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import type { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
import { ImageState } from "./ImageApply.ts"
import { PREFIX } from "./Keys.ts"
import type { MetadataImage } from "./MetadataImage.ts"

/** How long a broken watch waits before it begins again. */
const RETRY_MS = 100

export interface ImageFollower {
  readonly state: ImageState
  readonly onChange: (listener: (image: MetadataImage, previous: MetadataImage) => void) => () => void
  /** The first image, the present one too, for which `accept` holds. */
  readonly awaitImage: (accept: (image: MetadataImage) => boolean) => Effect.Effect<MetadataImage>
  readonly changes: Stream.Stream<MetadataImage>
  /** Brings the image up to the store's present state at once, past what the watch has delivered. */
  readonly refresh: Effect.Effect<void, MetadataStoreError>
}

export const make: (store: MetadataStore) => Effect.Effect<ImageFollower, MetadataStoreError, Scope> = Effect.fnUntraced(
  function*(store) {
    const state = new ImageState()
    const listeners = new Set<(image: MetadataImage, previous: MetadataImage) => void>()
    let waiters: Array<{ readonly accept: (image: MetadataImage) => boolean; readonly done: Deferred.Deferred<MetadataImage> }> = []

    /** A listener or the image itself broke: nothing may wait for an image that will never come. */
    let broken: Effect.Effect<never> | undefined

    const changed = (previous: MetadataImage): void => {
      const image = state.image
      if (image === previous) return
      for (const listener of listeners) listener(image, previous)
      const accepted = waiters.filter(({ accept }) => accept(image))
      if (accepted.length === 0) return
      waiters = waiters.filter((waiter) => !accepted.includes(waiter))
      for (const { done } of accepted) Deferred.doneUnsafe(done, Effect.succeed(image))
    }

    const refresh = Effect.flatMap(store.list(PREFIX), ({ revision, entries }) =>
      Effect.sync(() => {
        // The watch may have brought a newer image while the list was under way.
        if (revision <= state.image.revision) return
        const previous = state.image
        state.reset(revision, entries)
        changed(previous)
      }))

    const follow = Effect.suspend(() =>
      Stream.runForEach(store.watch(PREFIX, state.image.revision), (batch) =>
        Effect.sync(() => {
          const previous = state.image
          state.apply(batch)
          changed(previous)
        }))
    )

    const awaitImage = (accept: (image: MetadataImage) => boolean): Effect.Effect<MetadataImage> =>
      Effect.suspend(() => {
        if (broken !== undefined) return broken
        if (accept(state.image)) return Effect.succeed(state.image)
        const waiter = { accept, done: Deferred.makeUnsafe<MetadataImage>() }
        waiters.push(waiter)
        return Effect.onInterrupt(Deferred.await(waiter.done), () =>
          Effect.sync(() => {
            waiters = waiters.filter((one) => one !== waiter)
          }))
      })

    yield* refresh
    yield* follow.pipe(
      Effect.catch((error) =>
        Effect.logWarning(`metadata: the watch ended, beginning again: ${error.message}`).pipe(
          Effect.andThen(Effect.sleep(RETRY_MS)),
          Effect.andThen(Effect.ignore(refresh))
        )
      ),
      Effect.forever,
      Effect.tapCause((cause) => {
        if (Cause.hasInterruptsOnly(cause)) return Effect.void
        broken = Effect.die(Cause.squash(cause))
        for (const { done } of waiters) Deferred.doneUnsafe(done, broken)
        waiters = []
        return Effect.logFatal("metadata: the image cannot be kept", cause)
      }),
      Effect.forkScoped
    )

    return {
      state,
      onChange: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      awaitImage,
      changes: Stream.unfold(-1, (seen: number) =>
        Effect.map(awaitImage((image) => image.revision > seen), (image) => [image, image.revision] as const)),
      refresh
    }
  }
)
