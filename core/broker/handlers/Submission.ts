/** A command's wait for the controller: the client's timeout, and the store's failure. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ItemResult } from "../../cluster/Commands.ts"
import type { MetadataStoreError } from "../../ports/MetadataStore.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"

const late = (message: string | null): ItemResult => ({ error: ErrorCode.REQUEST_TIMED_OUT, message })

/**
 * The results, or REQUEST_TIMED_OUT for all of them: then what was asked may still be done, or may be done already.
 * A timeout of 0 or less is over before it begins: nothing is done, as in Kafka.
 */
export const withinTimeout = <Result>(
  timeoutMs: number,
  submitted: Effect.Effect<ReadonlyArray<Result>, MetadataStoreError>,
  timedOut: (item: ItemResult) => ReadonlyArray<Result>
): Effect.Effect<ReadonlyArray<Result>> =>
  Effect.suspend(() => {
    if (timeoutMs <= 0) return Effect.succeed(timedOut(late(null)))
    return submitted.pipe(
      Effect.timeoutOption(timeoutMs),
      Effect.map(Option.getOrElse(() => timedOut(late(null)))),
      Effect.catch((error) =>
        Effect.as(
          Effect.logWarning(`the metadata store: ${error.message}`),
          timedOut(late(`The metadata store: ${error.message}`))
        )
      )
    )
  })

/** Names that come once, and names that come more often, in the order they first come. */
export const splitDuplicates = (
  names: Iterable<string>
): { readonly once: ReadonlySet<string>; readonly repeated: ReadonlySet<string> } => {
  const once = new Set<string>()
  const repeated = new Set<string>()
  for (const name of names) {
    if (repeated.has(name)) continue
    if (once.has(name)) {
      once.delete(name)
      repeated.add(name)
    } else once.add(name)
  }
  return { once, repeated }
}
