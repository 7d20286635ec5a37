/** What several operations of the Admin have in common: many keys, each with an end of its own, some tried again. */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { type ClientError, FatalError, RetriableError } from "../ClientError.ts"
import type { Cluster, CoordinatorKey } from "../Cluster.ts"

/** Codes that pass without anyone doing anything: the same question goes out again. */
const passing: ReadonlySet<number> = new Set([
  ErrorCode.NOT_CONTROLLER,
  ErrorCode.THROTTLING_QUOTA_EXCEEDED,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.BROKER_NOT_AVAILABLE,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.UNKNOWN_LEADER_EPOCH,
  ErrorCode.REPLICA_NOT_AVAILABLE,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.OFFSET_NOT_AVAILABLE,
  ErrorCode.UNSTABLE_OFFSET_COMMIT
])

export const isError = (value: unknown): value is ClientError => value instanceof RetriableError || value instanceof FatalError

/** What the client itself says (no connection, no answer) also passes. */
export const isPassing = (error: ClientError): boolean =>
  error._tag === "RetriableError" && (error.code === undefined || passing.has(error.code))

/**
 * Asks about all keys, then again about those that ended with an error that passes, until each has another end or
 * `default.api.timeout.ms` is over; then the last error is its end.
 * @param keys each once
 * @returns an end for each key, in their order
 */
export const settleEach = <K, A>(
  cluster: Cluster,
  keys: ReadonlyArray<K>,
  ask: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, A | ClientError>, ClientError>,
  isRetried: (error: ClientError) => boolean = isPassing
): Effect.Effect<ReadonlyMap<K, A | ClientError>, ClientError> =>
  Effect.suspend(() => {
    const ends = new Map<K, A | ClientError>()
    const attempt = Effect.suspend(() => {
      const open = keys.filter((key) => {
        const end = ends.get(key)
        return !ends.has(key) || (isError(end) && isRetried(end))
      })
      if (open.length === 0) return Effect.void
      return Effect.flatMap(ask(open), (answers) => {
        let again: ClientError | undefined
        for (const key of open) {
          // An end may be undefined itself: nothing to tell of it.
          const end = answers.has(key) ? answers.get(key)! : leftOut(key)
          ends.set(key, end)
          if (isError(end) && isRetried(end)) again = end
        }
        if (again === undefined) return Effect.void
        if (again.code === ErrorCode.NOT_CONTROLLER) cluster.invalidate()
        return Effect.fail(again._tag === "RetriableError" ? again : new RetriableError(again.reason, again.message, again.code))
      })
    })
    const settled = Effect.catch(cluster.retry(attempt), (error) => ends.size < keys.length ? Effect.fail(error) : Effect.void)
    // In the order asked for, whatever the order of the answers.
    return Effect.map(settled, () => new Map(keys.map((key) => [key, ends.get(key)!])))
  })

const leftOut = (key: unknown): FatalError =>
  new FatalError("UNKNOWN_SERVER_ERROR", `the broker's answer leaves out ${String(key)}`)

/** As `settleEach`, for what belongs to groups: each coordinator is asked about its own. */
export const settleGroups = <A>(
  cluster: Cluster,
  groupIds: ReadonlyArray<string>,
  ask: (nodeId: number, groupIds: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, A | ClientError>, ClientError>
): Effect.Effect<ReadonlyMap<string, A | ClientError>, ClientError> =>
  settleEach(cluster, [...new Set(groupIds)], (open) =>
    Effect.gen(function*() {
      const ends = new Map<string, A | ClientError>()
      const byNode = new Map<number, Array<string>>()
      yield* Effect.forEach(open, (key) =>
        Effect.matchEager(cluster.coordinator({ kind: "group", key }), {
          onFailure: (error) => void ends.set(key, error),
          onSuccess: (nodeId) => {
            const keys = byNode.get(nodeId)
            if (keys === undefined) byNode.set(nodeId, [key])
            else keys.push(key)
          }
        }), { concurrency: "unbounded", discard: true })
      const answers = yield* Effect.forEach(byNode, ([nodeId, keys]) =>
        Effect.catch(ask(nodeId, keys), (error) =>
          Effect.succeed<ReadonlyMap<string, A | ClientError>>(new Map(keys.map((key) => [key, error])))), {
        concurrency: "unbounded"
      })
      for (const answer of answers) for (const [key, end] of answer) ends.set(key, end)
      for (const [key, end] of ends) if (isError(end)) forgetIfMoved(cluster, { kind: "group", key }, end)
      return ends
    }))

/** Calls about one group, again while its coordinator moves or loads. The answer's own code is the attempt's to judge. */
export const withCoordinator = <A>(
  cluster: Cluster,
  groupId: string,
  attempt: (nodeId: number) => Effect.Effect<A, ClientError>
): Effect.Effect<A, ClientError> => {
  const key: CoordinatorKey = { kind: "group", key: groupId }
  return cluster.retry(Effect.flatMap(cluster.coordinator(key), attempt).pipe(
    Effect.tapError((error) => Effect.sync(() => forgetIfMoved(cluster, key, error)))
  ))
}

/** The coordinator is to be looked for again: it says it is none, or it does not answer. */
const forgetIfMoved = (cluster: Cluster, key: CoordinatorKey, error: ClientError): void => {
  const isMoved = error.code === ErrorCode.NOT_COORDINATOR || error.code === ErrorCode.COORDINATOR_NOT_AVAILABLE
  if (isMoved || (error._tag === "RetriableError" && error.code === undefined)) cluster.forgetCoordinator(key)
}
