/** The Admin's resets of a group's offsets, with the meaning of Kafka's `kafka-consumer-groups --reset-offsets`. */
import * as Effect from "effect/Effect"
import type { Admin, ListedOffset, OffsetReset, OffsetSpec, OffsetTarget } from "./Admin.ts"
import { type ClientError, FatalError } from "./ClientError.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { isError } from "./internal/Settle.ts"

const keyOf = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`

/** What is known of a partition before its group is moved. */
export interface ResetFacts {
  readonly committed: number | undefined
  readonly earliest: number
  readonly latest: number
  /** The first offset at or after the time asked for; -1: none. */
  readonly atTime: number
}

/** The offset to go on at; undefined: a shift from nowhere. */
export const resetOffset = (target: OffsetTarget, { atTime, committed, earliest, latest }: ResetFacts): number | undefined => {
  const within = (offset: number): number => Math.min(Math.max(offset, earliest), latest)
  if (target === "earliest") return earliest
  if (target === "latest") return latest
  if (target === "current") return committed ?? latest
  if ("timestamp" in target) return atTime < 0 ? latest : atTime
  if ("offset" in target) return within(target.offset)
  return committed === undefined ? undefined : within(committed + target.shift)
}

export const resetGroupOffsets = (
  admin: Pick<Admin, "listOffsets" | "listGroupOffsets" | "alterGroupOffsets">
): Admin["resetGroupOffsets"] =>
(groupId, partitions, target, options = {}) =>
  Effect.gen(function*() {
    const offsetsAt = (spec: OffsetSpec): Effect.Effect<ReadonlyMap<string, ListedOffset | ClientError>, ClientError> =>
      Effect.map(admin.listOffsets(partitions.map(({ partition, topic }) => ({ topic, partition, spec }))), (listed) =>
        new Map(listed.map((one) => [keyOf(one), "error" in one ? one.error : one])))
    const isTimed = typeof target === "object" && "timestamp" in target
    const [earliest, latest, atTime, committed] = yield* Effect.all([
      offsetsAt("earliest"),
      offsetsAt("latest"),
      isTimed ? offsetsAt(target.timestamp) : Effect.succeed(undefined),
      Effect.map(admin.listGroupOffsets(groupId, partitions), (offsets) => new Map(offsets.map((one) => [keyOf(one), one.offset])))
    ], { concurrency: "unbounded" })

    const planned = partitions.map(({ partition, topic }): OffsetReset => {
      const key = keyOf({ topic, partition })
      const offsetBefore = committed.get(key)
      const failed = (error: ClientError): OffsetReset => ({ topic, partition, offsetBefore, offset: -1, error })
      const [first, end, timed] = [earliest.get(key)!, latest.get(key)!, atTime?.get(key)]
      for (const one of [first, end, timed]) if (isError(one)) return failed(one)
      const offset = resetOffset(target, {
        committed: offsetBefore,
        earliest: (first as ListedOffset).offset,
        latest: (end as ListedOffset).offset,
        atTime: timed === undefined ? -1 : (timed as ListedOffset).offset
      })
      return offset === undefined
        ? failed(new FatalError("INVALID_ARGUMENT", `${key}: nothing is committed to shift from`))
        : { topic, partition, offsetBefore, offset, error: undefined }
    })
    const changes = planned.filter(({ error }) => error === undefined)
    if (options.dryRun === true || changes.length === 0) return planned
    const altered = yield* admin.alterGroupOffsets(groupId, changes.map(({ offset, partition, topic }) => ({ topic, partition, offset })))
    const errors = new Map(altered.map((one) => [keyOf(one), one.error]))
    return planned.map((one) => {
      const error = one.error ?? errors.get(keyOf(one))
      return error === undefined ? one : { ...one, offset: -1, error }
    })
  })
