/**
 * What a member does that leads its classic group: it deals out the partitions of all topics that members subscribe to,
 * and watches whether those topics change. The other members are told by the coordinator.
 */
import * as Effect from "effect/Effect"
import type { Assignor, AssignorTopic, MemberSubscription } from "../assignors/Assignor.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import type { JoinedMember } from "./ClassicMembership.ts"
import { type ClientError, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import { decodeSubscription, encodeAssignment } from "./ConsumerProtocol.ts"

/** For SyncGroup. */
export interface MemberAssignment {
  readonly memberId: string
  readonly assignment: Uint8Array
}

export class GroupLeader {
  readonly #cluster: Cluster
  readonly #groupId: string
  readonly #assignors: ReadonlyArray<Assignor>
  /** Partition counts by which it dealt out last; undefined: it never did, or has told that they changed. */
  #counts: ReadonlyMap<string, number> | undefined

  constructor(cluster: Cluster, groupId: string, assignors: ReadonlyArray<Assignor>) {
    this.#cluster = cluster
    this.#groupId = groupId
    this.#assignors = assignors
  }

  /** By the assignor that the group has chosen, among members as JoinGroup has told of them. */
  assign(
    protocolName: string,
    members: ReadonlyArray<JoinedMember>
  ): Effect.Effect<ReadonlyArray<MemberAssignment>, ClientError> {
    return Effect.gen({ self: this }, function*() {
      const assignor = this.#assignors.find(({ name }) => name === protocolName)
      if (assignor === undefined) {
        return yield* Effect.fail(
          new FatalError("INCONSISTENT_GROUP_PROTOCOL", `group ${this.#groupId} chose the assignor ${protocolName}, which this consumer does not have`)
        )
      }
      const subscriptions: Array<MemberSubscription> = []
      for (const { groupInstanceId, memberId, metadata } of members) {
        try {
          subscriptions.push({ memberId, groupInstanceId, ...decodeSubscription(metadata) })
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          return yield* Effect.fail(new FatalError("CORRUPT", `the subscription of member ${memberId}: ${error.message}`))
        }
      }
      const names = [...new Set(subscriptions.flatMap(({ topics }) => topics))]
      yield* this.#learn(names)
      const assignment = assignor.assign(this.#topics(names), subscriptions)
      this.#counts = new Map(names.map((name) => [name, this.#count(name)]))
      return members.map(({ memberId }) => ({
        memberId,
        assignment: encodeAssignment(
          [...assignment.get(memberId) ?? []].map(([topic, partitions]) => ({ topic, partitions }))
        )
      }))
    })
  }

  /** Other members may have subscribed to what this one has not. What does not exist is left out. */
  #learn(names: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      if (names.every((name) => this.#cluster.topic(name) !== undefined)) return
      yield* Effect.ignore(this.#cluster.allTopics)
      const known = this.#cluster.view().topics
      const here = names.filter((name) => known.has(name))
      if (here.length > 0) yield* Effect.ignore(this.#cluster.topics(here, { allowAutoCreate: false }))
    })
  }

  /** As an assignor sees them; of the racks those that brokers have told. */
  #topics(names: ReadonlyArray<string>): Map<string, AssignorTopic> {
    const topics = new Map<string, AssignorTopic>()
    const { nodes } = this.#cluster.view()
    for (const name of names) {
      const view = this.#cluster.topic(name)
      if (view === undefined) continue
      const racks = view.partitions.map(({ replicas }) =>
        replicas.flatMap((id) => {
          const rack = nodes.get(id)?.rack
          return rack === undefined || rack === null ? [] : [rack]
        })
      )
      topics.set(name, { partitions: view.partitions.length, racks })
    }
    return topics
  }

  /** A topic that is not there any more is noticed by its group as Kafka's clients do: by the count. */
  #count(name: string): number {
    return this.#cluster.topic(name)?.partitions.length ?? 0
  }

  /** Whether what was dealt out is to be dealt out anew, by the metadata that is known now. @returns why; told once */
  changed(): string | undefined {
    const counts = this.#counts
    if (counts === undefined) return undefined
    for (const [topic, count] of counts) {
      const now = this.#count(topic)
      if (now === count) continue
      this.#counts = undefined
      return `cached metadata has changed: ${topic} had ${count} partitions at the beginning of the rebalance and has ${now}`
    }
    return undefined
  }
}
