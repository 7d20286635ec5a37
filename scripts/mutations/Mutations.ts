/**
 * Rules of replication, each taken out of the sources by a small patch: what scripts/Mutations.ts shows the simulation to
 * find. A patch is a piece of the source, long enough to be there once, and what takes its place.
 */
export interface Patch {
  /** From the project's root. */
  readonly file: string
  /** There exactly once. */
  readonly find: string
  readonly replace: string
}

export interface Mutation {
  /** For `--only`. */
  readonly name: string
  /** The rule that is gone. */
  readonly rule: string
  readonly patches: ReadonlyArray<Patch>
  /** It is found in the first so many seeds. */
  readonly withinSeeds: number
  /** More options of `npm run simulate`. */
  readonly options?: ReadonlyArray<string>
}

const PARTITION = "core/replication/Partition.ts"
const STATE = "core/replication/PartitionState.ts"
const FETCH = "core/broker/handlers/Fetch.ts"
const DECISIONS = "core/cluster/PartitionDecisions.ts"
const CHANGE = "core/cluster/PartitionChange.ts"

export const mutations: ReadonlyArray<Mutation> = [
  {
    name: "truncate-to-high-watermark",
    rule: "a follower goes back to where histories part (KIP-101), not to its high watermark",
    withinSeeds: 100,
    patches: [{
      file: PARTITION,
      find: `    if ((flags & HIGH_WATERMARK_MOVED) !== 0) this.log.onHighWatermark(this.state.highWatermark)
    if ((flags & ISR_CHANGE_WANTED) !== 0)`,
      replace: `    if ((flags & LEADERSHIP_CHANGED) !== 0 && this.state.role === "follower") this.follower.truncateTo(this.state.highWatermark)
    if ((flags & HIGH_WATERMARK_MOVED) !== 0) this.log.onHighWatermark(this.state.highWatermark)
    if ((flags & ISR_CHANGE_WANTED) !== 0)`
    }]
  },
  {
    name: "committed-isr-only",
    rule: "the high watermark waits for whom an ISR change in flight adds (KIP-497)",
    withinSeeds: 150,
    patches: [{
      file: STATE,
      find: "  state.isr.includes(replica) || (state.isrInFlight?.isr.includes(replica) ?? false)",
      replace: "  state.isr.includes(replica)"
    }]
  },
  {
    name: "elect-outside-isr",
    rule: "a leader comes out of ISR or ELR (KIP-966)",
    withinSeeds: 20,
    patches: [{
      file: CHANGE,
      find: "isLive(lastKnown) ? lastKnown : unclean ? first(() => true) : undefined",
      replace: "isLive(lastKnown) ? lastKnown : first(() => true)"
    }]
  },
  {
    name: "fetch-without-epochs",
    rule: "a fetch is answered in the leader epoch and history in which it was asked (KIP-320, KIP-595)",
    withinSeeds: 20,
    patches: [
      {
        file: FETCH,
        find: "if (isStale || partition.check(asked.currentLeaderEpoch) !== ErrorCode.NONE) continue",
        replace: "if (isStale || partition.check(-1) !== ErrorCode.NONE) continue"
      },
      {
        file: FETCH,
        find: "const checked = partition.check(asked.currentLeaderEpoch, anyReplica)",
        replace: "const checked = partition.check(-1, anyReplica)"
      },
      {
        file: "core/replication/PartitionRead.ts",
        find: "  if (lastFetchedEpoch === -1) return undefined\n",
        replace: "  if (lastFetchedEpoch >= -1) return undefined\n"
      }
    ]
  },
  {
    name: "stale-broker-epoch",
    rule: "an ISR change names its members by the broker epoch in which they fetched (KIP-903)",
    withinSeeds: 150,
    patches: [{
      file: DECISIONS,
      find: "|| !isActive(broker) || (brokerEpoch !== -1 && brokerEpoch !== broker.epoch)) {",
      replace: "|| !isActive(broker) || brokerEpoch < -1) {"
    }]
  },
  {
    name: "high-watermark-under-min-isr",
    rule: "the high watermark stands still while the ISR is smaller than min.insync.replicas (KIP-966)",
    withinSeeds: 10,
    patches: [{
      file: STATE,
      find: `  if (state.role !== "leader" || isUnderMinIsr(state)) return 0
  let end = state.durableEndOffset`,
      replace: `  if (state.role !== "leader") return 0
  let end = state.durableEndOffset`
    }]
  },
  {
    name: "read-past-high-watermark",
    rule: "a consumer reads what is committed",
    withinSeeds: 10,
    patches: [{
      file: FETCH,
      find: `this.#isolation = replicaId >= 0 ? "LogEnd" : request.isolationLevel === 1 ? "LastStable" : "HighWatermark"`,
      replace: `this.#isolation = "LogEnd"`
    }]
  },
  {
    name: "no-producer-state-on-followers",
    rule: "a follower remembers the sequences of producers (KIP-98)",
    withinSeeds: 20,
    patches: [{
      file: "core/log/LogAppender.ts",
      find: `    return {
      _tag: "Appended",
      baseOffset: batches[0]?.baseOffset ?? -1,`,
      replace: `    this.state.producers.rollback()
    return {
      _tag: "Appended",
      baseOffset: batches[0]?.baseOffset ?? -1,`
    }]
  },
  {
    name: "controller-not-fenced",
    rule: "a partition changes on condition of the controller and of what the decision saw",
    withinSeeds: 100,
    patches: [
      {
        file: "core/cluster/Submit.ts",
        find: "yield* store.commit([controller, ...comparisons], operations)",
        replace: "yield* store.commit(comparisons.filter((one) => one !== controller), operations)"
      },
      {
        file: DECISIONS,
        find: "return changeOf([{ key, modRevision: before.modRevision }, ...members, ...seen], [put(key, partitionValue(after))])",
        replace: "return changeOf([{ key, modRevision: before.modRevision }, ...members, ...seen].slice(0, 0), [put(key, partitionValue(after))])"
      }
    ]
  },
  {
    name: "unclean-stays-in-elr",
    rule: "who stopped uncleanly leaves the ELR: it may have lost its tail (KIP-966)",
    withinSeeds: 150,
    options: ["--model", "machines"],
    patches: [
      {
        file: DECISIONS,
        find: "const drop = union(before.isr, before.elr).filter((id) => restartedUnclean(image, id, before))",
        replace: "const drop = before.isr.filter((id) => restartedUnclean(image, id, before))"
      },
      {
        file: DECISIONS,
        find: "unclean: union(partition.isr, partition.elr).filter(cameBackUnclean) }",
        replace: "unclean: partition.isr.filter(cameBackUnclean) }"
      }
    ]
  },
  {
    name: "elr-outlives-min-isr",
    rule: "who was eligible under one min ISR is not when fewer may commit under another (KIP-966)",
    withinSeeds: 150,
    patches: [{
      file: "core/cluster/ImageApply.ts",
      find: "const isVoid = partition.modRevision < cleared &&",
      replace: "const isVoid = partition.modRevision < 0 &&"
    }]
  },
  {
    name: "acks-all-on-leader-append",
    rule: "acks=all is answered when the high watermark has passed the record",
    withinSeeds: 10,
    patches: [{
      file: PARTITION,
      find: "    if (state.highWatermark < endOffset) return undefined\n",
      replace: ""
    }]
  },
  {
    name: "expand-below-epoch-start",
    rule: "a follower joins the ISR when it has all that was there when the leader's epoch began",
    withinSeeds: 150,
    patches: [{
      file: STATE,
      find: "event.fetchOffset >= state.highWatermark && event.fetchOffset >= state.epochStartOffset",
      replace: "event.fetchOffset >= state.highWatermark"
    }]
  }
]

/** The source with the patch; an error where it does not have the piece once. */
export const patched = (source: string, { file, find, replace }: Patch): string | Error => {
  const count = source.split(find).length - 1
  if (count === 1) return source.replace(find, () => replace)
  return new Error(`${file} has this ${count === 0 ? "no more" : `${count} times`}, so the patch must be written anew:\n${find}`)
}
