/** One partition and its brokers as the controller's decisions see them, for tests: an image that commits what was decided. */
import type { AlterPartition, PartitionReassignment } from "../../core/cluster/Commands.ts"
import type { Change, Decided } from "../../core/cluster/Decision.ts"
import { partitionKey } from "../../core/cluster/Keys.ts"
import type { StoredPartition } from "../../core/cluster/Keys.ts"
import { decideElectLeaders, decidePreferredLeaders } from "../../core/cluster/LeaderElections.ts"
import { emptyImage } from "../../core/cluster/MetadataImage.ts"
import type { BrokerRegistration, MetadataImage, PartitionImage } from "../../core/cluster/MetadataImage.ts"
import { decideAlterPartition, decideElections } from "../../core/cluster/PartitionDecisions.ts"
import type { PartitionDecisionContext } from "../../core/cluster/PartitionDecisions.ts"
import { decideAlterPartitionReassignments } from "../../core/cluster/Reassignments.ts"
import type { TopicId, TopicName } from "../../core/model/Ids.ts"
import { broker } from "./support.ts"

export const TOPIC_ID = "abcdefghijklmnopqrstuA" as TopicId

export const partitionOf = (over: Partial<PartitionImage> = {}): PartitionImage => ({
  partition: 0,
  leader: 1,
  leaderEpoch: 3,
  partitionEpoch: 5,
  replicas: [1, 2, 3],
  isr: [1, 2, 3],
  elr: [],
  lastKnownElr: [],
  addingReplicas: [],
  removingReplicas: [],
  modRevision: 100,
  ...over
})

export const imageOf = (partition: PartitionImage, brokers: ReadonlyArray<BrokerRegistration>): MetadataImage => {
  const topic = { name: "t" as TopicName, id: TOPIC_ID, partitions: [partition], modRevision: 99 }
  return {
    ...emptyImage,
    brokers: new Map(brokers.map((one) => [one.id, one])),
    topicsByName: new Map([["t", topic]]),
    topicsById: new Map([[TOPIC_ID, topic]])
  }
}

/** Brokers 1 to 5, all live but these. */
export const brokersWithout = (...fenced: ReadonlyArray<number>): ReadonlyArray<BrokerRegistration> =>
  [1, 2, 3, 4, 5].map((id) => broker(id, { fenced: fenced.includes(id) }))

export const contextOf = (minIsr = 1, unclean = false): PartitionDecisionContext => ({
  minInSyncReplicas: () => minIsr,
  uncleanLeaderElection: () => unclean
})

/** The partition that a change writes; undefined: it writes none. */
export const written = (change: Change | undefined): StoredPartition | undefined => {
  const put = change?.operations.find(({ key }) => key === partitionKey(TOPIC_ID, 0))
  return put?._tag === "Put" ? JSON.parse(put.value) as StoredPartition : undefined
}

/** Time goes by commits: each has the next revision. */
export class PartitionWorld {
  partition: PartitionImage
  readonly brokers: Map<number, BrokerRegistration>
  readonly context: PartitionDecisionContext
  #revision = 1000

  constructor(partition: PartitionImage, brokers: ReadonlyArray<BrokerRegistration>, context: PartitionDecisionContext) {
    this.partition = partition
    this.brokers = new Map(brokers.map((one) => [one.id, one]))
    this.context = context
  }

  image(): MetadataImage {
    return imageOf(this.partition, [...this.brokers.values()])
  }

  die(id: number): void {
    this.brokers.set(id, { ...this.brokers.get(id)!, fenced: true })
  }

  register(id: number, cleanStart: boolean): void {
    const epoch = ++this.#revision
    const known = this.brokers.get(id)!
    this.brokers.set(id, { ...known, fenced: false, epoch, uncleanEpoch: cleanStart ? known.uncleanEpoch : epoch })
  }

  #commit<Result>(decided: Decided<Result>): Result {
    const next = written(decided.change)
    if (next !== undefined) {
      this.partition = {
        elr: [],
        lastKnownElr: [],
        addingReplicas: [],
        removingReplicas: [],
        ...next,
        partition: 0,
        modRevision: ++this.#revision
      }
    }
    return decided.result
  }

  /** What the controller owes: how many changes. */
  reconcile(): number {
    const decided = decideElections(this.image(), this.context)
    for (const one of decided) this.#commit(one)
    return decided.length
  }

  reassign(replicas: PartitionReassignment["replicas"], allowReplicationFactorChange = true): number {
    const [one] = decideAlterPartitionReassignments(
      this.image(),
      [{ topic: "t", partition: 0, replicas }],
      allowReplicationFactorChange,
      this.context
    )
    return this.#commit(one!).error
  }

  elect(type: number): number {
    return this.#commit(decideElectLeaders(this.image(), [{ topic: "t", partition: 0 }], type, this.context)[0]!).error
  }

  balance(): number {
    const decided = decidePreferredLeaders(this.image(), this.context)
    for (const one of decided) this.#commit(one)
    return decided.length
  }

  /** The leader's wish, with all epochs right. */
  alterIsr(isr: ReadonlyArray<number>, over: Partial<AlterPartition> = {}): number {
    const epochOf = (id: number): number => this.brokers.get(id)?.epoch ?? -1
    const { leader, leaderEpoch, partitionEpoch } = this.partition
    return this.#commit(decideAlterPartition(this.image(), {
      topicId: TOPIC_ID,
      partition: 0,
      leader,
      leaderEpoch,
      partitionEpoch,
      brokerEpoch: epochOf(leader),
      newIsr: isr.map((brokerId) => ({ brokerId, brokerEpoch: epochOf(brokerId) })),
      ...over
    }, this.context)).error
  }
}
