/**
 * ISR changes of the partitions that this broker leads, on their way to the controller (KIP-497). What is wanted while a
 * submission is under way goes with the next one, so that a broker that comes back is in a thousand ISRs after a few
 * commits. What the metadata store could not take is asked for again until it is known or wanted no more: it may be
 * committed all the same, so whoever it adds counts, and whoever it removes too (PartitionState.ts).
 *
 * Bounds: one change in flight for each partition, MAX_CHANGES in a submission.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { AlterPartition } from "../cluster/Commands.ts"
import type { Controller } from "../cluster/Controller.ts"
import { MetadataStoreError } from "../ports/MetadataStore.ts"
import type { Partition } from "../replication/Partition.ts"
import type { IsrChange } from "../replication/PartitionState.ts"

/** After which is asked again for what the metadata store could not take, in milliseconds. */
const RETRY_MS = 50

/** After a bug, in milliseconds. */
const BUG_RETRY_MS = 1000

/** Changes in one submission; the others wait for the next. */
const MAX_CHANGES = 1000

interface Asked {
  readonly partition: Partition
  readonly change: IsrChange
  readonly request: AlterPartition
}

export class IsrChanges {
  readonly #controller: Pick<Controller, "brokerId" | "brokerEpoch" | "alterPartitions">
  readonly #fork: (effect: Effect.Effect<void>) => void
  readonly #wanted: Set<Partition> = new Set()
  #isSubmitting = false
  #maxChanges = MAX_CHANGES

  constructor(
    controller: Pick<Controller, "brokerId" | "brokerEpoch" | "alterPartitions">,
    fork: (effect: Effect.Effect<void>) => void
  ) {
    this.#controller = controller
    this.#fork = fork
  }

  /** The partition's `isrInFlight` was set. The image brings what is granted. */
  want(partition: Partition): void {
    this.#wanted.add(partition)
    if (this.#isSubmitting) return
    this.#isSubmitting = true
    this.#fork(this.#submitAll)
  }

  readonly #submitAll: Effect.Effect<void> = Effect.suspend(() => {
    const asked = this.#take()
    if (asked.length === 0) {
      this.#isSubmitting = false
      return Effect.void
    }
    return this.#controller.alterPartitions(asked.map(({ request }) => request)).pipe(
      Effect.matchCauseEffect({
        onFailure: (cause) => {
          for (const { change, partition } of asked) if (partition.state.isrInFlight === change) this.#wanted.add(partition)
          const error = Cause.squash(cause)
          if (error instanceof MetadataStoreError) {
            return Effect.andThen(
              Effect.logWarning(`${asked.length} ISR change(s) wait for the metadata store: ${error.message}`),
              Effect.sleep(RETRY_MS)
            )
          }
          // A bug that one partition brings out must not hold up the others: from now on each goes by itself.
          this.#maxChanges = 1
          return Effect.andThen(
            Effect.logError(`${asked.length} ISR change(s) could not be submitted, trying again`, cause),
            Effect.sleep(BUG_RETRY_MS)
          )
        },
        // A committed change came by the image before its answer: what is still in flight was refused.
        onSuccess: () =>
          Effect.sync(() => {
            for (const { change, partition } of asked) {
              if (partition.state.isrInFlight === change) partition.apply({ _tag: "IsrRefused" })
            }
          })
      }),
      Effect.andThen(this.#submitAll)
    )
  })

  /** What is still wanted, with the epoch of the present registration. */
  #take(): ReadonlyArray<Asked> {
    const { brokerEpoch, brokerId } = this.#controller
    const epoch = brokerEpoch()
    const asked: Array<Asked> = []
    for (const partition of this.#wanted) {
      if (asked.length === this.#maxChanges) break
      this.#wanted.delete(partition)
      const { followers, isrInFlight: change } = partition.state
      if (change === undefined) continue
      const request: AlterPartition = {
        topicId: partition.topicId,
        partition: partition.partition,
        leader: brokerId,
        leaderEpoch: change.leaderEpoch,
        brokerEpoch: epoch,
        partitionEpoch: change.partitionEpoch,
        newIsr: change.isr.map((id) => ({ brokerId: id, brokerEpoch: id === brokerId ? epoch : followers.get(id)?.brokerEpoch ?? -1 }))
      }
      asked.push({ partition, change, request })
    }
    return asked
  }
}
